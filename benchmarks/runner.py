"""One way to run a benchmark: cases that are kept, gone on with, and spread over processes.

A benchmark says what is asked and what is drawn. It has a function ``make(args)``, called once in
every process, that returns a worker; ``worker(address, due)`` draws the case of an address (a
tuple) and yields ``name, factors, result`` for each name (a method, a head, ...) that is due.
Factors say what the case was drawn from, with a ``fingerprint`` of its data. A :class:`Store` a
name keeps results; :func:`run` computes what none of them has.

    args = make_parser(__file__, __doc__, work="mine").parse_args()
    stores = {"mine": Store(args.work / "mine.jsonl", ("person",), deciding(args.model))}
    run(make, args, [(person,) for person in range(24)], stores)
"""

import argparse
import functools
import hashlib
import json
import logging
import os
import shlex
import signal
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

import mne_mmnet
from mne_mmnet.weights import read_card

RESULTS = Path(__file__).parent / "results"
CACHE = Path.home() / ".cache" / "mne_mmnet"
# seconds: no method came near it; a hanging one is a failure
TIME_LIMIT = 300
# seconds between two lines that say how far a run is
_SILENCE = 30.0
_worker = None  # of this process


# The command line ------------------------------------------------------------------------------


def make_parser(script, doc, *, out=RESULTS, model=True, work=None):
    """Make the options that benchmarks share.

    Tables go to ``out`` unless told otherwise; ``model``: whether there are weights to choose;
    ``work``: where in the cache results are kept, None if they are not.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.set_defaults(script=Path(script).name)
    if model:
        parser.add_argument("--model", default="mmnet-base", help="name or path")
    if work is not None:
        parser.add_argument("--work", type=Path, default=CACHE / work, help="keeps results")
        parser.add_argument("--jobs", type=int, default=1, help="processes; times are longer then")
        parser.add_argument("--again", action="store_true", help="also what has been computed")
        parser.add_argument("--retry", action="store_true", help="also what has failed")
    parser.add_argument("--out", type=Path, default=out)
    return parser


def choose(parser, given, groups, known):
    """Resolve names and groups of methods; an unknown one is an error of the command line."""
    names = [name for one in given for name in groups.get(one, (one,))]
    if unknown := set(names) - set(known):
        parser.error(f"no such methods: {sorted(unknown)}; there are {list(known)}")
    return names


def quiet():
    """Say nothing but what the benchmark says."""
    import mne  # here, since training runs where there is none

    mne.set_log_level("error")
    logging.getLogger("invert").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")


def made_by(args, options, *notes):
    """Comment of a table: the command with the options that decide it, notes, the date.

    None of the options, named in one string, may be a place on this machine.
    """
    words = ["python", f"benchmarks/{args.script}"]
    for option in options.split():
        value = getattr(args, option)
        values = value if isinstance(value, list | tuple) else [value]
        texts = [f"{one:g}" if isinstance(one, float) else str(one) for one in values]
        words += [f"--{option.replace('_', '-')}", *map(shlex.quote, texts)]
    return "; ".join([" ".join(words), *notes, time.strftime("%F")])


def tell(row, names=None):
    """Print a row of a table while others are still made: all columns, or some."""
    print(" ".join(f"{name}={row[name]}" for name in names or row), flush=True)


# What is kept ----------------------------------------------------------------------------------


@functools.cache
def deciding(model, *files):
    """Digest of what decides results beside the data: weights, code in use, given files."""
    digest = hashlib.sha256(read_card(model).sha256.encode())
    for path in files:
        digest.update(Path(path).read_bytes() if path is not None else b"-")
    here, package = Path(__file__).resolve().parent, Path(mne_mmnet.__file__).resolve().parent
    loaded = (getattr(module, "__file__", None) for module in tuple(sys.modules.values()))
    own = {Path(file).resolve() for file in loaded if file and Path(file).resolve().parent == here}
    for path in sorted({*own, *package.rglob("*.py")}):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def fingerprint(data):
    """Two numbers that tell whether kept results belong to the same data (V)."""
    ramp = np.cos(np.arange(data.size)).reshape(data.shape)
    return [1e6 * float(np.linalg.norm(data)), 1e6 * float(np.sum(ramp * data))]


def same_data(first, second):
    """Tell whether two fingerprints are those of the same data."""
    return np.allclose(first, second, rtol=1e-5, atol=1e-2)


class Store:
    """Results of one name, a line of JSON each; the last line of a case counts.

    A line that an interrupt cut short is passed over, and so are results of another ``sha256`` (of
    what decides them beside the data) and those that lack some of the scores they need. ``keys``
    are the factors that tell cases apart, in the order of an address.
    """

    def __init__(self, path, keys, sha256=None, needs=()):
        self.path, self.keys, self.sha256 = Path(path), tuple(keys), sha256
        self.records, self._is_cut = {}, False
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        for line in text.splitlines(keepends=True):
            self._is_cut = not line.endswith("\n")
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            known = "factors" in record and record["model_sha256"] == sha256
            if known and set(needs) <= set(record.get("scores") or ()):
                self.records[self._address(record["factors"])] = record

    def _address(self, factors):
        return tuple(factors[key] for key in self.keys)

    def add(self, factors, result):
        """Keep a result: ``failure``, ``seconds``, ``scores`` and what else there is."""
        record = dict(factors=factors, model_sha256=self.sha256) | result
        line = json.dumps(record, default=lambda array: array.tolist())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as file:
            file.write(b"\n" * self._is_cut + line.encode() + b"\n")
        self._is_cut = False
        # as it will be read again
        self.records[self._address(factors)] = json.loads(line)

    def select(self, addresses):
        """Return records of some addresses, in their order; what there is not is left out."""
        return [self.records[address] for address in addresses if address in self.records]


def slug(name):
    """Name of a method as that of a file."""
    return name.lower().replace(", ", "-").replace(" ", "-").replace("=", "")


def leave_out_other_data(tables):
    """Remove, in place, cases of which not all methods' records are of the same data; say so."""
    prints = {}
    for records in tables:
        for key, record in records.items():
            prints.setdefault(key, []).append(record["factors"]["fingerprint"])
    unequal = {key for key, found in prints.items() if not same_data(found, found[0])}
    if unequal:
        print(f"{len(unequal)} cases are of different data: left out, run again.")
    for records in tables:
        for key in unequal & records.keys():
            del records[key]


def answers(records):
    """Factors and scores in one dict a record that did not fail; words on how many there are.

    It is an error if there is none, which says why the first one failed.
    """
    found = [r["factors"] | r["scores"] for r in records if r["failure"] is None]
    if not found:
        reason = records[0]["failure"] if records else "nothing was asked"
        raise RuntimeError(f"There is no result to tabulate. The first of them: {reason}")
    counts = f"{len(found)} results"
    if failed := len(records) - len(found):
        counts += f", {failed} FAILED and left out"
    return found, counts


# Running ---------------------------------------------------------------------------------------


def attempt(function, *args):
    """Answer of a function, None where it failed, with its failure (or None) and seconds.

    Any failure, or no answer in time, is a result and told as such.
    """

    def stop(*_):
        raise TimeoutError(f"no answer in {TIME_LIMIT} s")

    answer, failure, started = None, None, time.perf_counter()
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(TIME_LIMIT)
    try:
        answer = function(*args)
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"[:300]
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return answer, dict(failure=failure, seconds=round(time.perf_counter() - started, 3))


def measured(function, *args):
    """Make a result whose scores are the answer of a function, None where it failed."""
    scores, result = attempt(function, *args)
    return result | dict(scores=scores)


def run(make, args, addresses, stores):
    """Compute what no store has of all cases, and keep each result as soon as it is there.

    ``make``, of a module's top, since other processes call it too, makes the worker of a process
    from the options.
    """

    def kept(address, store):
        record = store.records.get(address)
        if record is None or args.again or (args.retry and record["failure"]):
            return None
        return record["factors"]["fingerprint"]

    started = said = time.perf_counter()
    n_new = n_failed = 0
    tasks = [
        (address, {name: kept(address, store) for name, store in stores.items()})
        for address in addresses
    ]
    for number, found in enumerate(_spread(make, args, tasks), 1):
        for name, factors, result in found:
            stores[name].add(factors, result)
            n_new += 1
            if result["failure"]:
                n_failed += 1
                where = stores[name].path.stem, *addresses[number - 1]
                print(f"FAILED: {' '.join(map(str, where))}: {result['failure']}", flush=True)
        if n_new and (time.perf_counter() - said > _SILENCE or number == len(tasks)):
            said = time.perf_counter()
            print(
                f"{number} of {len(tasks)}: {n_new} new results, {n_failed} of them failed, "
                f"{said - started:.0f} s",
                flush=True,
            )


def _spread(make, args, tasks):
    """Answers to tasks in their order: in this process, or in several, one thread each."""
    if args.jobs == 1:
        _start(make, args)
        yield from map(_answer, tasks)
        return
    # read by libraries of linear algebra when they are loaded
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    context = get_context("spawn")
    with ProcessPoolExecutor(args.jobs, context, _start, (make, args)) as pool:
        yield from pool.map(_answer_all, tasks)


def _start(make, args):
    global _worker
    quiet()
    torch.set_num_threads(1)
    _worker = make(args)


def _answer(task):
    address, kept = task

    def due(name, factors):
        if name not in kept:  # nobody asks for it
            return False
        return kept[name] is None or not same_data(kept[name], factors["fingerprint"])

    return _worker(address, due)


def _answer_all(task):
    return list(_answer(task))
