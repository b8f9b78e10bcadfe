"""The paper's claims one by one, of whatever weights lie in ``--root`` (see ``paper.py``).

    python benchmarks/paper_claims.py --root paper-runs --n-samples 64

- ``paper_stability.csv``: every method run for 1, 2, 4 and 10 times the steps that it was trained
  with: rises of its objective, recordings that end above their start or not at all (diverged),
  accuracy. One row a run, so that seeds of training can be told apart.
- ``paper_seeds.csv``: spread over seeds of training, with the settings of the best run.
- ``paper_curvature.csv``: transfer of the curvature: the regulariser of one kind of data with the
  curvature network of its own, with the other's, and with no network (each step proved along its
  ray, or the analytic structured majorant), on the same objective from the same start.
- ``paper_bounds.csv``: the diagonal network under each bound, trained without it ("at use":
  weights of mmnet-diagonal) and with it ("in training": runs of mmnet-proposition1, -sharp, -hvp,
  -ray and -none, where there are any).
- ``paper_slopes.csv``: how tight each bound of the regulariser's slope and curvature is, and how
  far the majorant that rests on it moves in 1, 3 and 10 steps.
- ``paper_truth.csv``: F at each method's start, at its estimate and at the truth, and what
  becomes of the truth when F is descended from there.

Recordings are those of the test sets, on heads never trained on. What was measured is kept in
``--root``; start the same command again after an interruption.
"""

import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from common import write_rows
from paper_bounds import Analytic, measure_slopes
from paper_setup import (
    KINDS,
    best_run,
    evaluation_set,
    load_run,
    read_config,
    read_heads,
    read_run,
    runs_of,
)
from paper_truth import measure_truth
from runner import made_by, make_parser

from mne_mmnet.baselines import ESTIMATORS, VARIANTS
from mne_mmnet.metrics import confidence_interval
from mne_mmnet.solver import CosineProposer, RayProposer, descend
from mne_mmnet.training import SampleStream
from mne_mmnet.training.bilevel import cosine

FACTORS = (1, 2, 4, 10)
BATCH = 8


def batches(kind, args, archive):
    """Yield the recordings that everything here is measured on."""
    stream = SampleStream(evaluation_set(kind, args.n_samples, "unseen"), BATCH, archive)
    for k in range(args.n_samples // BATCH):
        yield stream.batch(k)


def follow(estimator, batch, n_steps):
    """Return F of its own objective along a method's steps, and the last estimate's cosine."""
    objective = None
    if estimator.regulariser is not None:
        objective, _ = estimator.objective(batch.model, batch.data)
    values = []
    for estimate in estimator.iterates(batch.model, batch.data, n_steps):
        if objective is not None:
            values.append(objective.evaluate(estimate).value)
    trace = torch.stack(values, 1) if values else torch.zeros(len(batch.data), 1)
    accuracy = cosine(estimate, batch.currents)
    finite = torch.isfinite(estimate).flatten(1).all(1)
    return trace.numpy(), torch.where(finite, accuracy, 0.0).numpy(), finite.numpy()


def summarise(parts):
    """Make a row of what :func:`follow` found of all batches."""
    trace, accuracy, finite = (np.concatenate(part) for part in zip(*parts, strict=True))
    rises = ~(np.diff(trace, axis=1) <= 0)  # what is no number counts as a rise
    gone = ~finite | ~np.isfinite(trace[:, -1]) | (trace[:, -1] > trace[:, 0])
    low, high = confidence_interval(accuracy)
    return dict(
        n_samples=len(trace),
        start=f"{np.median(trace[:, 0]):.4g}",
        end=f"{np.median(trace[:, -1]):.4g}",
        rising_steps_percent=f"{100 * rises.mean() if rises.size else 0:.2f}",
        largest_rise=f"{np.nan_to_num(np.diff(trace, axis=1), nan=np.inf).max(initial=0.0):.2g}",
        diverged_percent=f"{100 * gone.mean():.2f}",
        cosine=f"{accuracy.mean():.4f}",
        cosine_low=f"{low:.4f}",
        cosine_high=f"{high:.4f}",
    )


def settings_of(config):
    """Return what tells trials apart, but for the seed."""
    names = ("learning_rate", "regulariser_rate", "pretraining", "n_steps", "crop", "minutes")
    return {name: config[name] for name in names}


def steps_of(estimator, config):
    """Return the steps that a method was trained with; 0 for direct ones."""
    if estimator.any_steps:
        return config["n_steps"]
    return getattr(estimator, "n_steps", 0)


def stability(args, archive, name, kind):
    """Rows of runs longer than those of training, of every run with the best one's settings."""
    chosen = best_run(args.root, name, kind, missing_ok=True)
    own = chosen and settings_of(read_config(read_run(chosen)))
    for directory in runs_of(args.root, name, kind):
        state = read_run(directory)
        config = read_config(state)
        # some travelled without weights; trials that were not chosen are not of interest
        if not state["best"] or settings_of(config) != own:
            continue
        estimator = load_run(directory, name, archive)
        trained = steps_of(estimator, config)
        for factor in FACTORS if trained else (1,):
            n_steps = factor * trained or None
            parts = [follow(estimator, b, n_steps) for b in batches(kind, args, archive)]
            row = dict(method=name, trained_on=kind, run=directory.name)
            row.update(seed=config["seed"], times_the_steps=factor, steps=n_steps or 1)
            yield row | summarise(parts)


def spread(rows):
    """Mean and standard deviation over seeds of training, of :func:`stability`'s rows."""
    groups = {}
    for row in rows:
        key = row["method"], row["trained_on"], row["times_the_steps"]
        groups.setdefault(key, []).append(float(row["cosine"]))
    return [
        dict(
            method=method,
            trained_on=kind,
            times_the_steps=factor,
            n_seeds=len(found),
            cosine_mean=f"{np.mean(found):.4f}",
            cosine_sd_over_seeds=f"{np.std(found, ddof=1):.4f}" if len(found) > 1 else "",
        )
        for (method, kind, factor), found in groups.items()
    ]


def curvature(args, archive, name, kind):
    """Rows of one kind's regulariser descended with several curvatures."""
    found = {k: best_run(args.root, name, k, missing_ok=True) for k in KINDS}
    if found[kind] is None:
        return
    loaded = {k: load_run(path, name, archive) for k, path in found.items() if path}
    owner = loaded[kind]
    n_steps = owner.network.config.n_steps
    makers = {f"network of {k}": (network, "other") for k, network in loaded.items()}
    makers[f"network of {kind}"] = owner, "own"
    makers["proved along a ray"] = RayProposer, "analytic"
    makers["structured, analytic"] = Analytic, "analytic"
    for tested_on in KINDS:
        for label, (maker, whose) in makers.items():
            parts = [
                _descend_with(owner, maker, batch, n_steps)
                for batch in batches(tested_on, args, archive)
            ]
            row = dict(method=name, regulariser=kind, tested_on=tested_on)
            row.update(curvature=label, whose=whose, steps=n_steps)
            yield row | summarise(parts)


def _descend_with(owner, maker, batch, n_steps):
    if not isinstance(maker, torch.nn.Module):
        objective, start = owner.objective(batch.model, batch.data)
        iterates = descend(objective, start, maker(objective), n_steps)
    elif maker is owner:
        iterates = owner.certified_iterates(batch.model, batch.data, n_steps)
    else:
        objective, start = owner.objective(batch.model, batch.data)
        proposer = CosineProposer(maker.network, batch.model, objective)
        iterates = descend(objective, start, proposer, n_steps)
    points = [iterate.point for iterate in iterates]
    trace = torch.stack([point.value for point in points], 1).numpy()
    accuracy = cosine(points[-1].x, batch.currents).numpy()
    return trace, accuracy, np.isfinite(accuracy)


def bounds(args, archive, name, kind):
    """Rows of the diagonal network under a bound, at use and in training."""
    plain = best_run(args.root, "mmnet-diagonal", kind, missing_ok=True)
    tasks = [("in training", best_run(args.root, name, kind, missing_ok=True))]
    if name in VARIANTS:
        tasks.append(("at use", plain))
    for when, path in tasks:
        if path is None:
            continue
        estimator = load_run(path, name, archive)
        started = time.perf_counter()
        parts = [follow(estimator, b, None) for b in batches(kind, args, archive)]
        spent = time.perf_counter() - started
        row = dict(bound=name, when=when, weights_of=path.name, trained_on=kind)
        row.update(summarise(parts))
        yield row | dict(ms_a_recording=f"{1e3 * spent / int(row['n_samples']):.3g}")


def slopes(args, archive, name, kind):
    """Rows of :func:`paper_bounds.measure_slopes` of a trained regulariser."""
    path = best_run(args.root, name, kind, missing_ok=True)
    if path is not None:
        estimator = load_run(path, name, archive)
        for row in measure_slopes(estimator, next(batches(kind, args, archive))):
            yield dict(weights=path.name) | row


def truth(args, archive, name, kind):
    """Rows of :func:`paper_truth.measure_truth` of a trained method."""
    path = best_run(args.root, name, kind, missing_ok=True)
    if path is None:
        return
    estimator = load_run(path, name, archive)
    for tested_on in KINDS:
        for row in measure_truth(estimator, tested_on, batches(tested_on, args, archive)):
            yield dict(method=name, trained_on=kind) | row


_CERTIFIED = (
    "mmnet",
    "mmnet-diagonal",
    "mmnet-dilated",
    "mmnet-start",
    "mmnet-anchored",
    "mmnet+",
)
_DESCENDING = ("4dvarnet", "metacurvature", "modgrad")
_WITH_OBJECTIVE = (*_CERTIFIED, *_DESCENDING, *(f"{name}+" for name in _DESCENDING))
# what is measured, and of which methods
CLAIMS = dict(
    stability=(stability, (*ESTIMATORS, "mmnet-none")),
    curvature=(curvature, _CERTIFIED),
    bounds=(bounds, ("mmnet", "mmnet-diagonal", *VARIANTS)),
    slopes=(slopes, _CERTIFIED),
    truth=(truth, _WITH_OBJECTIVE),
)


@torch.no_grad()
def work(task):
    """Measure one claim of one method, unless that was done before; return the rows."""
    claim, name, kind, args = task
    path = args.root / "claims" / f"{claim}-{name}-{kind}-{args.n_samples}.json"
    if path.exists():
        return json.loads(path.read_text())
    torch.set_num_threads(1)
    rows = list(CLAIMS[claim][0](args, read_heads(args.heads), name, kind))
    if rows:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows))
    return rows


def main():
    """Measure what the options ask for."""
    parser = make_parser(__file__, __doc__, model=False)
    parser.add_argument("--root", type=Path, default=Path("paper-runs"))
    parser.add_argument("--heads", type=Path, help="lead fields (default: in the cache)")
    parser.add_argument("--n-samples", type=int, default=64, help="recordings of each kind")
    parser.add_argument("--claims", nargs="+", default=CLAIMS, choices=CLAIMS)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS, help="trained on")
    parser.add_argument("--methods", nargs="+", help="default: all that a claim is made of")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    if args.n_samples % BATCH:
        parser.error(f"--n-samples must be a multiple of {BATCH}")
    read_heads(args.heads)
    options = "n_samples methods" if args.methods else "n_samples"
    notes = f"{os.cpu_count()} cores", "heads never trained on, 5 dB white noise"
    comment = made_by(args, options, *notes)
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        for claim in args.claims:
            names = [n for n in CLAIMS[claim][1] if n in (args.methods or CLAIMS[claim][1])]
            tasks = [(claim, name, k, args) for name in names for k in args.kinds]
            rows = []
            for (_, name, kind, _), found in zip(tasks, pool.map(work, tasks), strict=True):
                print(f"{claim} {name} {kind}: {len(found)} rows", flush=True)
                rows += found
            if not rows:
                print(f"{claim}: no weights for it in {args.root}", flush=True)
                continue
            write_rows(args.out / f"paper_{claim}.csv", comment, rows)
            if claim == "stability":
                write_rows(args.out / "paper_seeds.csv", comment, spread(rows))


if __name__ == "__main__":
    main()
