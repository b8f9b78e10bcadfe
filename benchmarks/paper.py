"""The paper's comparison: SEREEGA-style and neural-mass data, every way across, every method.

    pip install -c constraints.txt -e ".[benchmark]"
    python benchmarks/paper.py --minutes 4 --jobs 2

Trains (or resumes, or loads) every learned method on each kind of data with the same recordings,
the same budget of compute time and the same choice of the best weights on validation data, then
evaluates all of them on both kinds, on the lead field that all invert with ("same": an inverse
crime, labelled) and on four heads that nobody trained on ("unseen": other conductivities, skull
thickness, electrode positions; inverted with the standard head). ``--full`` trains with the
paper's schedule instead of a budget (for a GPU).

90 electrodes of the 10–10 system, template source space ico3 (1284 sources), white sensor noise at
5 dB (mean signal power over mean noise power, over channels and samples). Training heads: the
standard one and seven perturbed ones. Learned methods all get data whose singular values are
shrunk; MNE's get the recordings, and are told the true ratio. No sign or amplitude is compared but
by the definitions in :mod:`mne_mmnet.metrics`.

Every data set is a manifest (seed, distribution, digests): the test sets' are written to
``benchmarks/results/paper_data/``, those of training and validation beside each run's weights.
Writes ``paper.csv``, ``paper.rst``, ``paper_descent.csv``, ``paper_majorants.csv``,
``paper_estimates.png``, ``paper_descent.png`` and ``paper_majorants.png`` to
``benchmarks/results/``.
"""

import argparse
import json
import os
import platform
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from common import write_rows
from paper_setup import (
    KINDS,
    SNR_DB,
    best_run,
    evaluation_set,
    load_one,
    make_fwd,
    read_heads,
    run_directory,
    train_one,
    validation_set,
)

from mne_mmnet.baselines import ESTIMATORS
from mne_mmnet.metrics import confidence_interval, score
from mne_mmnet.simulation import average_reference_basis
from mne_mmnet.training import BilevelConfig, SampleStream

RESULTS = Path(__file__).parent / "results"
CLASSICAL = ("MNE", "sLORETA", "eLORETA")
BATCH = 8
HEADLINE = (
    "space_time_cosine",
    "nmse",
    "auc",
    "localization_error_mm",
    "strongest_peak_error_mm",
    "earth_movers_distance_mm",
    "time_error_ms",
)


def conditions():
    """Every test set: kind of data, and whether the heads are unseen."""
    return [(kind, unseen) for kind in KINDS for unseen in (False, True)]


def run_learned(estimator, judge, batch):
    """Return a learned method's estimate, and counts of what its steps did to the objective.

    Methods without a regulariser are judged with another one's, of the same training data.
    """
    if hasattr(estimator, "certified_iterates"):
        iterates = list(estimator.certified_iterates(batch.model, batch.data))
        values = torch.stack([iterate.point.value for iterate in iterates], 1)
        estimate = iterates[-1].point.x
        counts = {
            name: sum(int((getattr(iterate, name) > 0).sum()) for iterate in iterates[1:])
            for name in ("retries", "analytic", "stalled")
        }
    else:
        own = estimator if estimator.regulariser is not None else judge
        objective, _ = own.objective(batch.model, batch.data)
        values = []
        for estimate in estimator.iterates(batch.model, batch.data):
            values.append(objective.evaluate(estimate).value)
        values, counts = torch.stack(values, 1), {}
    rises = values.diff(dim=1) > 0
    counts.update(
        samples=len(values),
        monotone=int((~rises).all(dim=1).sum()),
        steps=rises.numel(),
        rises=int(rises.sum()),
    )
    return estimate, counts


@torch.no_grad()
def evaluate(method, dataset, archive, n_samples):
    """Score one method on one test set; ``method`` maps a batch to an estimate and counts."""
    stream = SampleStream(dataset, BATCH, archive)
    rows, total = [], {}
    for k in range(n_samples // BATCH):
        estimate, counts = method(stream.batch(k))
        for name, count in counts.items():
            total[name] = total.get(name, 0) + count
        sources = stream.sources(k)
        for i, currents in enumerate(estimate.numpy()):
            there = sources.seeds[i] >= 0
            rows.append(
                score(
                    currents,
                    sources.currents[i],
                    labels=sources.labels[i],
                    seeds=sources.seeds[i][there],
                    peaks=sources.peaks[i][there],
                    positions=archive.positions,
                    adjacency=archive.adjacency,
                    sfreq=dataset.config.sfreq,
                )
            )
    return dict(scores=rows, counts=total)


def evaluate_everywhere(method, archive, n_samples):
    """Score one method on all test sets."""
    return {
        f"{kind}-{'unseen' if unseen else 'same'}": evaluate(
            method, evaluation_set(kind, n_samples, unseen), archive, n_samples
        )
        for kind, unseen in conditions()
    }


def evaluate_learned(name, trained_on, args):
    """Evaluate one trained method on all test sets; results are kept next to its weights."""
    archive = read_heads(args.heads)
    path = best_run(args.root, name, trained_on) / f"scores-{args.n_samples}.json"
    if path.exists():
        return
    estimator = load_one(name, trained_on, archive, args.root)
    judge = load_one("mmnet", trained_on, archive, args.root)
    sets = evaluate_everywhere(
        lambda batch: run_learned(estimator, judge, batch), archive, args.n_samples
    )
    parameters = sum(parameter.numel() for parameter in estimator.parameters())
    path.write_text(json.dumps(dict(parameters=parameters, sets=sets)))


def classical_matrix(name, archive):
    """One of MNE's methods as a matrix from the basis of the recordings to currents."""
    from mne_mmnet.baselines.classical import minimum_norm_kernel

    info, fwd = make_fwd(archive)
    kernel = minimum_norm_kernel(info, fwd, method=name, snr=10.0 ** (SNR_DB / 20.0))
    basis = average_reference_basis(len(info["ch_names"]))
    return torch.as_tensor(kernel @ basis.T, dtype=torch.float32)


def evaluate_classical(name, args):
    """Evaluate one of MNE's methods on all test sets."""
    path = args.root / f"{name}-scores-{args.n_samples}.json"
    if path.exists():
        return
    archive = read_heads(args.heads)
    matrix = classical_matrix(name, archive)
    sets = evaluate_everywhere(lambda batch: (matrix @ batch.data, {}), archive, args.n_samples)
    path.write_text(json.dumps(dict(parameters=0, sets=sets)))


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
    what, name, kind, args = task
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    started = time.monotonic()
    if what == "train":
        config = make_config(args)
        trial = (args.learning_rate_factor, config.pretraining) if args.trial else ()
        directory = run_directory(args.root, name, kind, *trial, seed=args.seed)
        heads = read_heads(args.heads)
        train_one(name, kind, config, heads, directory, args.device, chunks=args.chunks)
    elif name in CLASSICAL:
        evaluate_classical(name, args)
    else:
        evaluate_learned(name, kind, args)
    return f"{what} {name} {kind or ''}: {time.monotonic() - started:.0f} s"


def measure_times(args):
    """Milliseconds a SEREEGA recording, one at a time, one thread, median of 15."""
    archive = read_heads(args.heads)
    stream = SampleStream(evaluation_set("sereega", BATCH, False), BATCH, archive)
    batch = stream.batch(0)
    torch.set_num_threads(1)
    times = {}
    for name in ESTIMATORS:
        estimator = load_one(name, "sereega", archive, args.root)
        spent = []
        with torch.inference_mode():
            for k in range(18):
                one = batch.data[k % BATCH : k % BATCH + 1]
                started = time.perf_counter()
                estimator(batch.model, one)
                spent.append(1e3 * (time.perf_counter() - started))
        times[name] = float(np.median(spent[3:]))
    return times


def collect(args, times):
    """All results as rows of the long table."""
    rows = []
    for name in (*ESTIMATORS, *CLASSICAL):
        for trained_on in KINDS if name in ESTIMATORS else ("",):
            file = f"scores-{args.n_samples}.json"
            path = args.root / f"{name}-{file}"
            if trained_on:
                path = best_run(args.root, name, trained_on) / file
            found = json.loads(path.read_text())
            for label, entry in found["sets"].items():
                kind, heads = label.rsplit("-", 1)
                row = dict(
                    method=name,
                    trained_on=trained_on or "none",
                    tested_on=kind,
                    lead_field=heads,
                    n_samples=len(entry["scores"]),
                    parameters=found["parameters"],
                    ms_a_sample=f"{times[name]:.3g}" if name in times else "",
                )
                for metric in entry["scores"][0]:
                    values = np.array([scores[metric] for scores in entry["scores"]])
                    low, high = confidence_interval(values)
                    row[metric] = f"{values.mean():.4g}"
                    row[f"{metric}_low"], row[f"{metric}_high"] = f"{low:.4g}", f"{high:.4g}"
                rows.append(row)
    return rows


def collect_descent(args):
    """Whether the objective fell, method by method."""
    rows = []
    for name in ESTIMATORS:
        for trained_on in KINDS:
            path = best_run(args.root, name, trained_on) / f"scores-{args.n_samples}.json"
            for label, entry in json.loads(path.read_text())["sets"].items():
                counts = entry["counts"]
                if not counts["steps"]:  # direct methods have none
                    continue
                row = dict(method=name, trained_on=trained_on, tested_on=label)
                row.update(samples=counts["samples"], steps=counts["steps"])
                row["monotone_samples_percent"] = (
                    f"{100 * counts['monotone'] / counts['samples']:.1f}"
                )
                row["rising_steps_percent"] = f"{100 * counts['rises'] / counts['steps']:.2f}"
                for what, title in (
                    ("retries", "retried"),
                    ("analytic", "analytic"),
                    ("stalled", "stalled"),
                ):
                    share = 100 * counts[what] / counts["steps"] if what in counts else None
                    row[f"{title}_steps_percent"] = "" if share is None else f"{share:.2f}"
                rows.append(row)
    return rows


def write_rst(path, comment, rows):
    """Write the headline metrics as reST tables, one a test condition."""
    lines = [comment, ""]
    order = sorted(
        {(r["trained_on"], r["tested_on"], r["lead_field"]) for r in rows if r["parameters"]},
        key=lambda c: (c[2] == "same", c[0] == c[1], c),
    )
    for trained_on, tested_on, heads in order:
        label = "heads never seen" if heads == "unseen" else "SAME lead field (inverse crime)"
        title = f"{trained_on} → {tested_on}, {label}"
        lines += [title, "-" * len(title), "", ".. list-table::", "   :header-rows: 1", ""]
        header = ["method", "parameters", "ms a sample", *HEADLINE]
        table = [header]
        for row in rows:
            if row["tested_on"] == tested_on and row["lead_field"] == heads:
                if row["trained_on"] in (trained_on, "none"):
                    cells = [
                        f"{float(row[m]):.3g} ({float(row[f'{m}_low']):.3g} … "
                        f"{float(row[f'{m}_high']):.3g})"
                        for m in HEADLINE
                    ]
                    size, spent = row["parameters"] or "–", row["ms_a_sample"] or "–"
                    table.append([row["method"], str(size), spent, *cells])
        for cells in table:
            lines += [f"   {'*' if k == 0 else ' '} - {cell}" for k, cell in enumerate(cells)]
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")


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
    learned = {name: load_one(name, "sereega", archive, args.root) for name in ESTIMATORS}
    # the first test recording of two patches, on a head never seen
    test = evaluation_set("sereega", args.n_samples, True)
    stream = SampleStream(test, 1, archive)
    first = next(k for k in range(args.n_samples) if (stream.sources(k).seeds[0] >= 0).sum() == 2)
    batch, sources = stream.batch(first), stream.sources(first)
    estimates = {
        name: method(batch.model, batch.data)[0].numpy() for name, method in learned.items()
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=4.0, help="budget of each training")
    parser.add_argument("--config", choices=("cpu", "gpu", "paper"), default="cpu")
    parser.add_argument(
        "--full",
        action="store_const",
        const="paper",
        dest="config",
        help="--config paper: the paper's schedule, not a budget",
    )
    parser.add_argument("--methods", nargs="+", default=ESTIMATORS, choices=ESTIMATORS)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS, help="to train on")
    parser.add_argument("--train-only", action="store_true", help="needs no MNE, given --heads")
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
    parser.add_argument("--n-samples", type=int, default=64, help="recordings a test set")
    parser.add_argument("--root", type=Path, default=Path("paper-runs"), help="weights, scores")
    parser.add_argument("--heads", type=Path, help="lead fields (default: in the cache)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.make_chunks and args.chunks is None:
        parser.error("--make-chunks needs --chunks")
    if args.n_samples % BATCH:
        parser.error(f"--n-samples must be a multiple of {BATCH}")
    args.root.mkdir(parents=True, exist_ok=True)
    read_heads(args.heads)  # computed once, before the processes ask for them
    if args.make_chunks:
        from paper_chunks import make_chunks

        config = make_config(args)
        make_chunks(args.chunks, args.kinds, args.make_chunks, config, args.heads, args.jobs)
        return
    training = [("train", name, kind, args) for kind in args.kinds for name in args.methods]
    testing = [("evaluate", name, kind, args) for kind in KINDS for name in ESTIMATORS]
    testing += [("evaluate", name, None, args) for name in CLASSICAL]
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        for tasks in (training,) if args.train_only else (training, testing):
            for line in pool.map(work, tasks):
                print(line, flush=True)
    if args.train_only:
        return
    archive = read_heads(args.heads)
    for kind, unseen in conditions():
        manifest = args.out / "paper_data" / f"{kind}-{'unseen' if unseen else 'same'}.json"
        manifest.parent.mkdir(parents=True, exist_ok=True)
        evaluation_set(kind, args.n_samples, unseen).seal(archive).save(manifest)
    times = measure_times(args)
    plan = "--full" if args.config == "paper" else f"--minutes {args.minutes:g}"
    comment = (
        f"python benchmarks/paper.py {plan} --n-samples {args.n_samples}; "
        f"{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores of {platform.machine()}, "
        f"device {args.device}; 95 % bootstrap intervals; 5 dB white noise"
    )
    rows = collect(args, times)
    write_rows(args.out / "paper.csv", comment, rows)
    write_rows(args.out / "paper_descent.csv", comment, collect_descent(args))
    write_rst(args.out / "paper.rst", comment, rows)
    write_rows(args.out / "paper_majorants.csv", comment, draw(args))


if __name__ == "__main__":
    main()
