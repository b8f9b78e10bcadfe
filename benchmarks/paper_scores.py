"""Scores of ``benchmarks/paper.py``: every method on every test set, one file each."""

import json
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from paper_setup import (
    KINDS,
    LEARNED,
    SNR_DB,
    archive_of,
    best_run,
    conditions,
    evaluation_set,
    is_trained,
    load_one,
    make_fwd,
    parts_of,
    read_config,
    read_run,
)

from mne_mmnet.metrics import confidence_interval, score
from mne_mmnet.simulation import average_reference_basis
from mne_mmnet.training import SampleStream

CLASSICAL = ("MNE", "sLORETA", "eLORETA")
BATCH = 8
# who judges methods without an objective
REFERENCE = "mmnet"
# whom all others are compared with, recording by recording
COMPARED_WITH = (REFERENCE, "mmnet+", "lstm+, then mmnet+")


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
        if own is None:  # nobody to judge it
            return estimator(batch.model, batch.data), {}
        objective, _ = own.objective(batch.model, batch.data)
        values = []
        for estimate in estimator.iterates(batch.model, batch.data):
            values.append(objective.evaluate(estimate).value)
        values, counts = torch.stack(values, 1), {}
    rises = ~(values.diff(dim=1) <= 0)  # what is no number counts as a rise
    counts.update(
        samples=len(values),
        monotone=int((~rises).all(dim=1).sum()),
        steps=rises.numel(),
        rises=int(rises.sum()),
    )
    return estimate, counts


class _Heads(NamedTuple):
    """Where the lead fields are, as :func:`paper_setup.archive_of` wants it."""

    heads: Path | None
    people: Path | None


@lru_cache(maxsize=1)
def read_recordings(condition, n_samples, where):
    """Make a test set; the last one is kept: simulating takes longer than most methods do."""
    kind, heads, noise = condition
    archive = archive_of(heads, where)
    dataset = evaluation_set(kind, n_samples, heads, noise)
    stream = SampleStream(dataset, BATCH, archive)
    numbers = range(n_samples // BATCH)
    return dataset, archive, [(stream.batch(k), stream.sources(k)) for k in numbers]


@torch.no_grad()
def evaluate(method, recordings):
    """Score one method on one test set; ``method`` maps a batch to an estimate and counts."""
    dataset, archive, batches = recordings
    rows, total = [], {}
    for batch, sources in batches:
        estimate, counts = method(batch)
        for name, count in counts.items():
            total[name] = total.get(name, 0) + count
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


def classical_matrix(name, archive):
    """One of MNE's methods as a matrix from the basis of the recordings to currents."""
    from mne_mmnet.baselines.classical import minimum_norm_kernel

    info, fwd = make_fwd(archive)
    kernel = minimum_norm_kernel(info, fwd, method=name, snr=10.0 ** (SNR_DB / 20.0))
    basis = average_reference_basis(len(info["ch_names"]))
    return torch.as_tensor(kernel @ basis.T, dtype=torch.float32)


def n_recordings(args, condition):
    """Size of a test set: heads never seen are what claims are made of, others may have fewer."""
    return args.n_samples if condition[1] == "unseen" else args.n_others or args.n_samples


def scores_path(args, name, trained_on, condition):
    """File of one method's scores on one test set; None if the method was not trained."""
    label = f"{'-'.join(condition)}-{n_recordings(args, condition)}.json"
    if trained_on is None:
        return args.root / f"{name}-scores" / label
    if not is_trained(args.root, name, trained_on):
        return None
    *peers, own = parts_of(name)
    folder = best_run(args.root, own, trained_on) / "scores"
    for peer in peers:  # whose other run would have another answer
        folder = folder / f"after {best_run(args.root, peer, trained_on).name}"
    return folder / label


def evaluate_one(name, trained_on, condition, args):
    """Score one method on one test set, unless that was done before; say whether it was trained.

    ``trained_on`` is None for methods that are not; ``condition`` is one of
    ``paper_setup.conditions()``.
    """
    path = scores_path(args, name, trained_on, condition)
    if path is None or path.exists():
        return path is not None
    n_samples = n_recordings(args, condition)
    recordings = read_recordings(condition, n_samples, _Heads(args.heads, args.people))
    archive, parameters = recordings[1], 0
    if trained_on is None:
        matrix = classical_matrix(name, archive)

        def method(batch):
            return matrix @ batch.data, {}
    else:
        estimator = load_one(name, trained_on, archive, args.root)
        parameters = sum(parameter.numel() for parameter in estimator.parameters())
        judge = None
        if best_run(args.root, REFERENCE, trained_on, missing_ok=True) is not None:
            judge = load_one(REFERENCE, trained_on, archive, args.root)

        def method(batch):
            return run_learned(estimator, judge, batch)

    found = evaluate(method, recordings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(parameters=parameters, **found)))
    return True


def read_scores(args):
    """Yield (method, trained_on or None, condition, scores) of all that were evaluated."""
    for name in (*LEARNED, *CLASSICAL):
        for trained_on in KINDS if name in LEARNED else (None,):
            for condition in conditions(args.lead_fields):
                path = scores_path(args, name, trained_on, condition)
                if path is not None and path.exists():
                    yield name, trained_on, condition, json.loads(path.read_text())


def _where(name, trained_on, condition):
    kind, heads, noise = condition
    return dict(
        method=name,
        trained_on=trained_on or "none",
        tested_on=kind,
        lead_field=heads,
        noise=noise,
    )


def _training(args, name, trained_on):
    """How much a method was trained, for the table: recordings, and minutes of core or GPU."""
    if trained_on is None:
        return dict(recordings_seen="", minutes_of_training="")
    seen = seconds = 0
    for one in parts_of(name):
        state = read_run(best_run(args.root, one, trained_on))
        last = state["history"][-1]
        seen += last["batch"] * read_config(state)["batch_size"]
        seconds += last["seconds"]
    return dict(recordings_seen=seen, minutes_of_training=f"{seconds / 60:.3g}")


def _interval(row, metric, values):
    low, high = confidence_interval(values)
    row[metric] = f"{values.mean():.4g}"
    row[f"{metric}_low"], row[f"{metric}_high"] = f"{low:.4g}", f"{high:.4g}"


def _values(found, metric):
    return np.array([scores[metric] for scores in found["scores"]])


def collect(args, times):
    """All results as rows of the long table."""
    rows, training = [], {}
    for name, trained_on, condition, found in read_scores(args):
        row = _where(name, trained_on, condition)
        row.update(n_samples=len(found["scores"]), parameters=found["parameters"])
        if (name, trained_on) not in training:  # one for all conditions: it is read of weights
            training[name, trained_on] = _training(args, name, trained_on)
        row.update(training[name, trained_on])
        row["ms_a_sample"] = f"{times[name]:.3g}" if name in times else ""
        for metric in found["scores"][0]:
            _interval(row, metric, _values(found, metric))
        rows.append(row)
    return rows


def collect_differences(args):
    """Every method's scores minus a reference's on the same recordings, with paired intervals.

    Methods that are not trained are compared with the reference of each kind of training data; a
    refined answer also with the answer that it began at.
    """
    everything = {(n, t, c): found for n, t, c, found in read_scores(args)}
    rows = []
    for (name, trained_on, condition), found in everything.items():
        kinds = KINDS if trained_on is None else (trained_on,)
        for whose, kind in product((*COMPARED_WITH, *parts_of(name)[:-1]), kinds):
            reference = everything.get((whose, kind, condition))
            if name == whose or reference is None:
                continue
            row = _where(name, trained_on, condition)
            row.update(reference=f"{whose}, {kind}", n_samples=len(found["scores"]))
            for metric in found["scores"][0]:
                _interval(row, metric, _values(found, metric) - _values(reference, metric))
            rows.append(row)
    return rows


def collect_descent(args):
    """Whether the objective fell, method by method."""
    rows = []
    for name, trained_on, condition, found in read_scores(args):
        counts = found["counts"]
        if not counts.get("steps"):  # direct methods have none
            continue
        row = _where(name, trained_on, condition)
        row.update(samples=counts["samples"], steps=counts["steps"])
        row["monotone_samples_percent"] = f"{100 * counts['monotone'] / counts['samples']:.1f}"
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
