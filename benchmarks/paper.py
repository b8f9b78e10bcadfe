"""The paper's comparison: SEREEGA-style and neural-mass data, every way across, every method.

    pip install -c constraints.txt -e ".[benchmark]"
    python benchmarks/paper.py --minutes 4 --jobs 2

Trains (or resumes, or loads) every learned method on each kind of data with the same recordings,
the same budget of compute time and the same choice of the best weights on validation data, then
evaluates all of them on both kinds, always inverted with the standard head: on recordings of that
head ("same": an inverse crime, labelled), of four heads that nobody trained on ("unseen": other
conductivities, skull thickness, electrode positions), and of 16 other people ("people", DESIGN §5:
of other sizes and shapes, with other folds, caps that sit askew), these also with noise half of
which is background activity of the brain. ``--full`` trains with the paper's schedule instead of a
budget (for a GPU); ``--test-only`` evaluates what was trained, methods without weights left out:

    python benchmarks/paper.py --test-only --root paper-runs --jobs 2   # resumable

``--methods`` are those to train; tested is all that has weights in ``--root``, and what mmnet+'s
descent makes of some peers' answers ("lstm+, then mmnet+"); with ``--test-only`` those of them
that ``--methods`` names. A part of the tests (``--lead-fields unseen``) goes to a folder of its
own with ``--out``. mmnet is what figures need.

90 electrodes of the 10–10 system, template source space ico3 (1284 sources), noise at
5 dB (mean signal power over mean noise power, over channels and samples). Training heads: the
standard one and seven perturbed ones. Learned methods all get data whose singular values are
shrunk; MNE's get the recordings, and are told the true ratio. No sign or amplitude is compared but
by the definitions in :mod:`mne_mmnet.metrics`.

Every data set is a manifest (seed, distribution, digests): the test sets' are written to
``benchmarks/results/paper_data/``, those of training and validation beside each run's weights.
Writes ``paper.csv``, ``paper_differences.csv`` (every method minus mmnet, mmnet+, and
"lstm+, then mmnet+", a refined answer minus that it began at, on the same recordings, with paired
intervals), ``paper_descent.csv``, ``paper_majorants.csv``, ``paper_estimates.png``,
``paper_descent.png`` and ``paper_majorants.png`` to ``benchmarks/results/``. The site's page
``tutorials/site/paper.rst`` makes its tables of these when it is built.
"""

import os
import platform
import shlex
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from common import timed, write_rows
from paper_scores import (
    BATCH,
    CLASSICAL,
    classical_matrix,
    collect,
    collect_descent,
    collect_differences,
    evaluate_one,
    n_recordings,
)
from paper_setup import (
    HEADS,
    KINDS,
    LEARNED,
    REFINED,
    archive_of,
    conditions,
    evaluation_set,
    is_trained,
    load_one,
    read_heads,
    read_people,
    run_directory,
    train_one,
    validation_set,
)
from runner import make_parser

from mne_mmnet.baselines import ESTIMATORS, VARIANTS
from mne_mmnet.training import BilevelConfig, SampleStream


def make_config(args):
    """Make the configuration of each training from the options."""
    plans = dict(
        cpu=lambda: BilevelConfig.budget(args.minutes),
        gpu=lambda: BilevelConfig.gpu_budget(args.minutes),
        paper=BilevelConfig,
    )
    config, factor = plans[args.config](), args.learning_rate_factor
    changes = dict(
        seed=args.seed,
        learning_rate=factor * config.learning_rate,
        regulariser_rate=factor * config.regulariser_rate,
        pretraining_rate=factor * config.pretraining_rate,
    )
    for name in ("pretraining", "n_steps", "crop"):
        if getattr(args, name) is not None:
            changes[name] = getattr(args, name)
    return replace(config, **changes)


def work(task):
    """Train or evaluate one method, in a process of its own."""
    what, name, kind, condition, args = task
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    started = time.monotonic()
    if what == "train":
        config = make_config(args)
        trial = (args.learning_rate_factor, config.pretraining) if args.trial else ()
        directory = run_directory(args.root, name, kind, *trial, seed=args.seed)
        heads = read_heads(args.heads)
        train_one(name, kind, config, heads, directory, args.device, chunks=args.chunks)
    elif not evaluate_one(name, kind, condition, args):
        return f"{name} was not trained on {kind}: left out"
    where = " ".join((what, name, kind or "", *condition))
    return f"{where}: {time.monotonic() - started:.0f} s"


def trained(args, kind="sereega"):
    """Learned methods that have weights."""
    return [name for name in LEARNED if is_trained(args.root, name, kind)]


def measure_times(args):
    """Milliseconds a SEREEGA recording, one at a time, one thread, median of 15."""
    archive = read_heads(args.heads)
    stream = SampleStream(evaluation_set("sereega", BATCH), BATCH, archive)
    batch = stream.batch(0)
    torch.set_num_threads(1)
    times = {}
    for name in trained(args):
        estimator = load_one(name, "sereega", archive, args.root)
        spent = []
        with torch.inference_mode():
            for k in range(18):
                one = batch.data[k % BATCH : k % BATCH + 1]
                spent.append(1e3 * timed(estimator, batch.model, one)[1])
        times[name] = float(np.median(spent[3:]))
    return times


@torch.no_grad()
def descent_traces(estimator, batch):
    """Total, fidelity and regularisation along a method's own iterations."""
    objective, _ = estimator.objective(batch.model, batch.data)
    points = [objective.evaluate(x) for x in estimator.iterates(batch.model, batch.data)]
    parts = dict(total="value", fidelity="fidelity", regularity="regularity")
    return {
        part: torch.stack([getattr(point, name) for point in points], 1).numpy()
        for part, name in parts.items()
    }


@torch.no_grad()
def draw(args):
    """Draw the paper's two figures, and what each majorant buys."""
    import paper_figures

    archive = read_heads(args.heads)
    learned = {name: load_one(name, "sereega", archive, args.root) for name in trained(args)}
    # the first test recording of two patches, on a head never seen
    test = evaluation_set("sereega", args.n_samples, "unseen")
    stream = SampleStream(test, 1, archive)
    first = next(k for k in range(args.n_samples) if (stream.sources(k).seeds[0] >= 0).sum() == 2)
    batch, sources = stream.batch(first), stream.sources(first)
    estimates = {
        name.replace(", ", ",\n"): method(batch.model, batch.data)[0].numpy()
        for name, method in learned.items()
    }
    for name in CLASSICAL:
        estimates[name] = (classical_matrix(name, archive) @ batch.data)[0].numpy()
    paper_figures.figure_estimates(
        args.out / "paper_estimates.png",
        estimates,
        sources.currents[0],
        1e3 * np.arange(test.config.n_times) / test.config.sfreq,
        sources.labels[0],
        sources.seeds[0],
        int(sources.peaks[0, 0]),
        title="One test recording (SEREEGA-style, 5 dB, head never seen): truth and estimates",
    )
    stream = SampleStream(validation_set("sereega", 32), 32, archive)
    batch = stream.batch(0)
    iterative = {
        name: method for name, method in learned.items() if method.regulariser is not None
    }
    paper_figures.figure_descent(
        args.out / "paper_descent.png",
        {name: descent_traces(method, batch) for name, method in iterative.items()},
        title="Cost along the iterations, 32 validation recordings (SEREEGA-style)",
    )
    traces, certificates, seconds = paper_figures.majorant_traces(learned["mmnet"], batch, 10)
    paper_figures.figure_majorants(
        args.out / "paper_majorants.png",
        traces,
        title="Same objective, same start: cost with each majorant (SEREEGA-style, validation)",
    )
    rows = []
    for name, trace in traces.items():
        drop = trace[:, :1] - trace
        rows.append(
            dict(
                majorant=name,
                n_samples=len(trace),
                start=f"{np.median(trace[:, 0]):.4g}",
                **{
                    f"median_decrease_after_{k}": f"{np.median(drop[:, k]):.4g}"
                    for k in (1, 3, 10)
                },
                rising_steps=int((np.diff(trace, axis=1) > 0).sum()),
                retries=int(certificates[name].retries.sum()),
                stalled=int(certificates[name].stalled.sum()),
                seconds=f"{seconds[name]:.3g}",
            )
        )
    return rows


def main():
    """Run the benchmark."""
    parser = make_parser(__file__, __doc__, model=False)
    parser.add_argument("--minutes", type=float, default=4.0, help="budget of each training")
    parser.add_argument("--config", choices=("cpu", "gpu", "paper"), default="cpu")
    parser.add_argument(
        "--full",
        action="store_const",
        const="paper",
        dest="config",
        help="--config paper: the paper's schedule, not a budget",
    )
    parser.add_argument(
        "--methods", nargs="+", choices=(*LEARNED, *VARIANTS), help="default: all, no variants"
    )
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS, help="to train on")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--train-only", action="store_true", help="needs no MNE, given --heads")
    which.add_argument("--test-only", action="store_true", help="of what lies in --root")
    parser.add_argument(
        "--trial", action="store_true", help="settings go into the name of the run's folder"
    )
    parser.add_argument("--learning-rate-factor", type=float, default=1.0)
    parser.add_argument("--pretraining", type=float, help="share of it (default: of the config)")
    parser.add_argument("--n-steps", type=int, help="K (default: of the config)")
    parser.add_argument("--crop", type=int, help="window in samples (default: of the config)")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights and dropout")
    parser.add_argument("--chunks", type=Path, help="folder of training windows, shared by runs")
    parser.add_argument(
        "--make-chunks", type=int, metavar="N", help="only make N chunks of 64 recordings there"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--n-samples", type=int, default=512, help="recordings a test set")
    parser.add_argument("--n-others", type=int, help="of those that are not of unseen heads")
    parser.add_argument("--lead-fields", nargs="+", default=HEADS, choices=HEADS, help="tested on")
    parser.add_argument(
        "--other-data", action="store_true", help="test on other data than in training only"
    )
    parser.add_argument("--root", type=Path, default=Path("paper-runs"), help="weights, scores")
    parser.add_argument("--heads", type=Path, help="lead fields (default: in the cache)")
    parser.add_argument("--people", type=Path, help="other people's (default: in the cache)")
    args = parser.parse_args()
    if args.make_chunks and args.chunks is None:
        parser.error("--make-chunks needs --chunks")
    if args.n_samples % BATCH or (args.n_others or 0) % BATCH:
        parser.error(f"--n-samples and --n-others must be multiples of {BATCH}")
    args.root.mkdir(parents=True, exist_ok=True)
    read_heads(args.heads)  # computed once, before the processes ask for them
    if args.make_chunks:
        from paper_chunks import make_chunks

        config = make_config(args)
        make_chunks(args.chunks, args.kinds, args.make_chunks, config, args.heads, args.jobs)
        return
    to_train = args.methods or ESTIMATORS
    if not args.test_only and set(to_train) & set(REFINED):
        parser.error("methods one after the other are not trained together, each is by itself")
    training = [("train", name, kind, (), args) for kind in args.kinds for name in to_train]
    to_test = args.methods if args.test_only and args.methods else LEARNED
    testing = [
        ("evaluate", name, kind, condition, args)
        for condition in conditions(args.lead_fields)
        for name in (*to_test, *CLASSICAL)
        for kind in (KINDS if name in to_test else (None,))
        if not (args.other_data and kind == condition[0])
    ]
    plans = (training,) if args.train_only else (testing,) if args.test_only else None
    if not args.train_only and "people" in args.lead_fields:
        read_people(args.people, read_heads(args.heads))  # computed once, like the others
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        for tasks in plans or (training, testing):
            for line in pool.map(work, tasks):
                print(line, flush=True)
    if args.train_only:
        return
    for condition in conditions(args.lead_fields):
        kind, heads, noise = condition
        manifest = args.out / "paper_data" / f"{kind}-{heads}-{noise}.json"
        manifest.parent.mkdir(parents=True, exist_ok=True)
        dataset = evaluation_set(kind, n_recordings(args, condition), heads, noise)
        dataset.seal(archive_of(heads, args)).save(manifest)
    times = measure_times(args)
    plan = "--full" if args.config == "paper" else f"--minutes {args.minutes:g}"
    plan = "--test-only" if args.test_only else plan
    others = f" --n-others {args.n_others}" if args.n_others else ""
    if tuple(args.lead_fields) != HEADS:
        others += f" --lead-fields {' '.join(args.lead_fields)}"
    others += " --other-data" * args.other_data
    if args.test_only and args.methods:
        others += f" --methods {shlex.join(args.methods)}"
    comment = (
        f"python benchmarks/paper.py {plan} --n-samples {args.n_samples}{others}; "
        f"{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores of {platform.machine()}, "
        f"device {args.device}; 95 % bootstrap intervals; 5 dB"
    )
    write_rows(args.out / "paper.csv", comment, collect(args, times))
    write_rows(args.out / "paper_descent.csv", comment, collect_descent(args))
    write_rows(args.out / "paper_differences.csv", comment, collect_differences(args))
    if "mmnet" in trained(args):
        write_rows(args.out / "paper_majorants.csv", comment, draw(args))


if __name__ == "__main__":
    main()
