"""Other people's heads: simulated on 24 of them, inverted on the template and on their own.

    pip install -c constraints.txt -e ".[benchmark]"
    python benchmarks/people.py --methods peers     # hours on one core: --people 8 for a part
    python benchmarks/people.py --methods ours old
    python benchmarks/people.py --methods           # tables alone, of what there is
    python benchmarks/people.py --population        # how much these people differ

**Different lead fields** for simulation and inversion in every row; what is simulated and inverted
says ``people_suite.py``, what it is compared with ``peers.py``, how it is scored
``people_scores.py``. 480 recordings: 24 people × 4 montages × 5. All methods get the same data,
covariance and forward solution, and are read in the same way: power of the window (earth mover's
distance, ROC area, dispersion), moment within 15 mm at the sources' peaks (strongest region), the
component along the normals (cosine). The strongest region of the window's power stands beside
that of the peaks: with it, and an orientation constraint of 0.2 ("sLORETA, loose=0.2"), the
classical methods are at their best where there is one source.

"mmnet 2482684" is the commit before this population, run beside (``against.py``).

A method that fails on a recording is counted in ``n_failed`` and scored as a map of zeros. Results
are kept in ``--work``, a line of JSON each, and only missing ones are computed: those of another
model (by its sha256) or of other data are not taken for the ones that are wanted. Writes
``people.csv`` (means, 95 % bootstrap intervals with people as clusters), ``people_lead.csv``
(mmnet against the best peer of each cell and column, paired, which favours the peer),
``people.rst`` and ``people.png``; of the part ``dipole`` (shares of a moment that come back)
``people_dipoles.csv``, and of ``--covariance short`` or ``none`` what a covariance is worth,
``people_covariance.csv``.
"""

import argparse
import json
import logging
import signal
import time
import warnings
from pathlib import Path

import mne
import numpy as np
from against import Revision
from peers import PEERS, sloreta_loose
from people_scores import SCORES, Estimate, score
from people_suite import (
    COVARIANCES,
    HEADS,
    MONTAGES,
    N_PEOPLE,
    N_RECORDINGS,
    PARTS,
    People,
    draw_recording,
    make_case,
)

import mne_mmnet
from mne_mmnet.weights import read_card

RESULTS = Path(__file__).parent / "results"
WORK = Path.home() / ".cache" / "mne_mmnet" / "people"
BASE = "2482684"
# DESIGN §7; the other peers of peers.py are behind these everywhere
SHOWN = (
    "FlexChampagne",
    "OmniChampagne",
    "FLEX-AP",
    "lcmv-mvpure",
    "Gamma-MAP",
    "MxNE",
    "LCMV",
    "MNE",
    "dSPM",
    "sLORETA",
    "eLORETA",
)
BEST_CLASSICAL = "sLORETA, loose=0.2"
OURS = {"mmnet": {}, "mmnet, loose=0": dict(loose=0.0)}
OLD = {f"mmnet {BASE}": {}, f"mmnet {BASE}, loose=0.2": dict(loose=0.2)}
# seconds: no method came near it; a hanging one is a failure
_TIME_LIMIT = 300


def _peer(name):
    def apply(case, inversion):
        noise_cov = _ad_hoc(case.evoked.info) if case.noise_cov is None else case.noise_cov
        if name == BEST_CLASSICAL:
            return Estimate.of(sloreta_loose(case.evoked, noise_cov, inversion), inversion)
        return Estimate.of(PEERS[name](case.evoked, noise_cov, inversion), inversion)

    return apply


def _ad_hoc(info):
    """Make what MNE has where there is no covariance: white, 0.2 µV; in average reference."""
    white = mne.make_ad_hoc_cov(info)
    n_channels = len(white["data"])
    data = white["data"][0] * (np.eye(n_channels) - 1.0 / n_channels)
    return mne.Covariance(data, white.ch_names, [], info["projs"], 0)


def _ours(model, options):
    """Run this package as users call it: vectors where the orientation is not fixed."""
    fixed = options.get("loose") == 0.0

    def apply(case, inversion):
        stc, uncertainty = mne_mmnet.apply_mmnet_inverse(
            case.evoked,
            inversion.free,
            case.noise_cov,
            model=model,
            pick_ori=None if fixed else "vector",
            return_uncertainty=True,
            **options,
        )
        level, std = uncertainty.confidence.data[:, 0], uncertainty.std.data[:, 0]
        return Estimate.of(stc.data, inversion, level=level, std=std)

    return apply


def _old(serve, options):
    """Run the commit to compare with; it fixed the orientation unless told otherwise."""

    def apply(case, inversion):
        found = serve().localise(
            case.evoked,
            case.noise_cov,
            inversion,
            pick_ori="vector" if options else None,
            return_uncertainty=True,
            **options,
        )
        return Estimate.of(found["data"], inversion, level=found["level"], std=found["std"])

    return apply


def make_methods(model, serve):
    """Name every method: functions of (case, inversion) that return an :class:`Estimate`."""
    methods = {name: _ours(model, options) for name, options in OURS.items()}
    methods |= {name: _old(serve, options) for name, options in OLD.items()}
    return methods | {name: _peer(name) for name in (*SHOWN, BEST_CLASSICAL)}


class Store:
    """Results of one method on one kind of head, a line of JSON each; the last one counts."""

    def __init__(self, folder, head, method, sha256):
        slug = method.lower().replace(", ", "-").replace(" ", "-").replace("=", "")
        self.path, self.sha256, self.records = Path(folder) / f"{head}-{slug}.jsonl", sha256, {}
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue  # cut short by an interrupt
            if record["model_sha256"] == sha256:
                self.records[key_of(record["factors"])] = record

    def find(self, factors):
        """Return the result of a recording, if it is of the same data and has all scores."""
        record = self.records.get(key_of(factors))
        if record is None or not set(SCORES) <= set(record["scores"]):
            return None
        same = np.allclose(
            record["factors"]["fingerprint"], factors["fingerprint"], rtol=1e-5, atol=1e-2
        )
        return record if same else None

    def add(self, factors, result):
        """Keep a result."""
        record = dict(factors=factors, model_sha256=self.sha256) | result
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        self.records[key_of(factors)] = record


def key_of(factors):
    """Say what a recording is told apart by."""
    return tuple(factors[k] for k in ("part", "covariance", "montage", "person", "number"))


def solve(method, case, inversion):
    """Run one method on one case: scores, seconds, and the reason if it failed."""

    def stop(*_):
        raise TimeoutError(f"no answer in {_TIME_LIMIT} s")

    failure, started = None, time.perf_counter()
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(_TIME_LIMIT)
    try:
        estimate = method(case, inversion)
        if estimate.size.shape != case.truth.shape:
            raise ValueError(f"estimate of shape {estimate.size.shape}")
        if not (np.isfinite(estimate.size).all() and np.isfinite(estimate.normal).all()):
            raise ValueError("estimate is not finite")
    except Exception as error:
        # any failure of a method is a result of it, and told as such
        failure, estimate = f"{type(error).__name__}: {error}"[:300], None
    finally:
        signal.alarm(0)
    seconds = time.perf_counter() - started
    scores = score(estimate or Estimate.zeros(case.truth.shape), case, inversion)
    return dict(failure=failure, seconds=round(seconds, 3), scores=scores)


def run(people, args, methods, stores):
    """Compute what is missing, person by person."""
    for person in args.people:
        started, n_new = time.perf_counter(), 0
        for montage in args.montages:
            for number in range(N_RECORDINGS[args.part]):
                recording = draw_recording(people, args.part, montage, person, number)
                for head in args.heads:
                    inversion = people.inversion(head, montage, person)
                    case = make_case(recording, inversion, args.covariance)
                    for name in args.names:
                        store = stores[head, name]
                        record = store.find(case.factors)
                        if record and not (args.again or (args.retry and record["failure"])):
                            continue
                        result = solve(methods[name], case, inversion)
                        store.add(case.factors, result)
                        n_new += 1
                        if result["failure"]:
                            print(f"{name} failed on {key_of(case.factors)}: {result['failure']}")
        if n_new:
            seconds = time.perf_counter() - started
            print(f"person {person}: {n_new} results in {seconds:.0f} s", flush=True)


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, default="main")
    parser.add_argument("--covariance", choices=COVARIANCES, default=COVARIANCES[0])
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=list(HEADS))
    parser.add_argument("--montages", nargs="+", choices=MONTAGES, default=list(MONTAGES))
    parser.add_argument("--people", type=int, default=N_PEOPLE, help="the first so many")
    parser.add_argument(
        "--methods", nargs="*", default=["all"], help='names, "peers", "ours", "old"; none: tables'
    )
    parser.add_argument("--model", default="mmnet-base", help="name or path")
    parser.add_argument("--again", action="store_true", help="also what has been computed")
    parser.add_argument("--retry", action="store_true", help="also what has failed")
    parser.add_argument("--no-report", action="store_true", help="write no tables and figures")
    parser.add_argument("--population", action="store_true", help="describe the people instead")
    parser.add_argument("--folder", type=Path, default=WORK / "heads", help="of lead fields")
    parser.add_argument("--work", type=Path, default=WORK / "rows")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    mne.set_log_level("error")
    logging.getLogger("invert").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    people, args.people = People(args.folder), range(args.people)
    if args.population:
        from people_population import describe

        describe(people, args.people, args.out)
        return
    others = []

    def serve():
        if not others:
            others.append(Revision(BASE))
        return others[0]

    methods = make_methods(args.model, serve)
    groups = dict(all=tuple(methods), peers=(*SHOWN, BEST_CLASSICAL))
    groups |= dict(ours=tuple(OURS), old=tuple(OLD))
    args.names = [name for given in args.methods for name in groups.get(given, (given,))]
    if unknown := set(args.names) - set(methods):
        parser.error(f"no such methods: {sorted(unknown)}; there are {list(methods)}")
    # a table of peers alone needs no weights
    ours = set(OURS) & set(args.names) or not args.no_report
    sha256 = read_card(args.model).sha256 if ours else None
    stores = {
        (head, name): Store(args.work, head, name, sha256 if name in OURS else None)
        for head in args.heads
        for name in methods
    }
    if args.names:
        run(people, args, methods, stores)
    for other in others:
        other.close()
    if not args.no_report:
        from people_report import report

        report(stores, args, (*SHOWN, BEST_CLASSICAL), tuple(OURS), tuple(OLD))


if __name__ == "__main__":
    main()
