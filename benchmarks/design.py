"""What each part of the design is worth, *retrained*: short runs from scratch, paired.

    python benchmarks/design.py --work runs/design --people-folder people

What a loss or an input is worth cannot be told by taking it away from a network that was trained
with it (that is ``ablation.py``). Here every one of ``VARIANTS`` is trained from the same initial
weights (as far as they have the same shape) on the same recordings, for 300 batches, a fortieth of
the real training; then all localise the same recordings of eight other people. Such short runs
tell what helps to learn quickly, not what is best in the end.

**Different lead fields** for simulation and inversion, sources between those of the inversion, 1
to 4 patches up to 20 mm, −5 to 10 dB, standard caps of 19 to 128 electrodes, half of them on the
template. Differences to the full model are paired; 95 % bootstrap intervals with batches (a head
and a cap each) as clusters. Writes ``design.csv``.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from common import write_rows
from runner import made_by, make_parser

from mne_mmnet.dictionary.regions import Regions
from mne_mmnet.metrics import auc, confidence_interval, space_time_cosine
from mne_mmnet.network import NetworkConfig, describe
from mne_mmnet.simulation import PAIR, SimulationConfig
from mne_mmnet.solver import iterate
from mne_mmnet.training import TrainingConfig, train
from mne_mmnet.training.command import read_spaces
from mne_mmnet.training.confidence import USUAL
from mne_mmnet.training.loop import Space, pose_batch

FULL, N_BATCHES, N_EVALUATED, SEED = "full", 300, 80, 4242
RECORDINGS = SimulationConfig(
    **USUAL,
    heads=(0.5, 0.1, 0.4, 0.0),
    orients=(0.0, 0.0, 0.0, 1.0),
    removed=0.0,
)
METRICS = ("region_error_mm", "roc_area", "cosine", "window_shift_mm")


@dataclass(frozen=True)
class Variant:
    """What is changed: fields of the configurations, or names of the package."""

    network: dict[str, Any] = field(default_factory=dict)
    simulation: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    patches: dict[str, Any] = field(default_factory=dict)


def hide_head(*args, **kwargs):
    """Describe a recording, whoever's head it is."""
    facts = describe(*args, **kwargs).clone()
    facts[:, :3] = 0.0
    return facts


_TRAINING = "mne_mmnet.training"
_SQUASH = "mne_mmnet.network.curvature.CurvatureCell._squash"
VARIANTS = {
    FULL: Variant(),
    "no error columns": Variant(dict(n_errors=0)),
    "normal currents only": Variant(dict(tangential=())),
    "head not told": Variant(patches={f"{_TRAINING}.loop.describe": hide_head}),
    "no region target": Variant(patches={f"{_TRAINING}.loss._REGION": 0.0}),
    "no steadiness": Variant(patches={f"{_TRAINING}.loss._STEADY": 0.0}),
    "sources on the grid": Variant(simulation=dict(off_grid=0.0)),
    "preview of 4": Variant(dict(n_preview=4)),
    "3 to 5 steps": Variant(dict(n_steps=4), training=dict(n_steps=(3, 5))),
    "analytic curvature": Variant(patches={_SQUASH: lambda cell, x: torch.ones_like(x)}),
}


def patched(variant):
    """Change the package for a variant; a context manager."""
    stack = ExitStack()
    for name, value in variant.patches.items():
        stack.enter_context(mock.patch(name, value))
    return stack


def train_variant(variant, work, people, held_out, n_batches):
    """Train one variant; goes on where it was interrupted."""
    config = TrainingConfig(
        network=replace(NetworkConfig(), **variant.network),
        simulation=SimulationConfig(**variant.simulation),
        spaces=(("ico3", people.n_people, 1.0),),
        n_batches=n_batches,
        **variant.training,
    )
    network, _ = train(config, work, [people], validation_people=[held_out], save_every=n_batches)
    return network.requires_grad_(False)


@torch.no_grad()
def evaluate(network, people, n_batches=N_EVALUATED):
    """Score a network: an array of shape (n_batches, n_recordings, n_metrics)."""
    space, regions = Space(people, network.config), Regions(people.positions)
    rows = []
    for number in range(n_batches):
        batch = space.simulate(RECORDINGS, 6 * PAIR, [SEED, number])
        problem, amplitude = pose_batch(network, space, batch)
        *_, last = iterate(network, problem)
        seen = torch.as_tensor(batch.seen, dtype=torch.float32) / amplitude[:, None, None].float()
        found = problem.objective.posterior_mean(last.point, seen).numpy()
        found = found * batch.orient_weights[:, None]
        pairs = zip(found[::PAIR], found[1::PAIR], batch.currents[::PAIR], strict=True)
        rows.append([score(regions, *pair) for pair in pairs])
    return np.array(rows)


def score(regions, found, of_window, truth):
    """Score a recording, and how far its window's answer lies away (METRICS)."""
    places = [
        regions.positions[regions.strongest(np.linalg.norm(x[..., 0], axis=1))]
        for x in (truth, found, of_window)
    ]
    power, true = (np.sqrt(np.square(x).sum(axis=(1, 2))) for x in (found, truth))
    active = true > 0.1 * true.max()
    return (
        np.linalg.norm(places[1] - places[0]),
        auc(power, active),
        space_time_cosine(found, truth),
        np.linalg.norm(places[2] - places[1]),
    )


def tabulate(scores):
    """Means of all variants, and their differences to the full model."""
    rows = []
    for name, found in scores.items():
        row = dict(variant=name, n_recordings=found.shape[0] * found.shape[1])
        for column, metric in enumerate(METRICS):
            change = (found - scores[FULL])[..., column].mean(axis=1)
            low, high = confidence_interval(change)
            row[metric] = f"{found[..., column].mean():.4g}"
            row[f"{metric}_minus_full"] = f"{change.mean():+.3g} ({low:.3g} … {high:.3g})"
        rows.append(row)
    return rows


def main():
    """Run the command."""
    parser = make_parser(__file__, __doc__, model=False)
    parser.add_argument("--work", type=Path, default=Path("design"), help="where runs are kept")
    parser.add_argument("--people-folder", type=Path, help="lead fields; default: the cache")
    parser.add_argument("--batches", type=int, default=N_BATCHES)
    parser.add_argument("--evaluated", type=int, default=N_EVALUATED, help="batches")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    (people,), (held_out,) = read_spaces(args.people_folder, (("ico3", 40, 1.0),))
    scores = {}
    for name in dict.fromkeys([FULL, *args.variants]):
        variant, work = VARIANTS[name], args.work / name.replace(" ", "-")
        kept = work / f"scores-{args.batches}-{args.evaluated}.npy"
        if not kept.exists():
            with patched(variant):
                network = train_variant(variant, work, people, held_out, args.batches)
                np.save(kept, evaluate(network, held_out, args.evaluated))
        scores[name] = np.load(kept)
        print(name, *np.round(scores[name].mean(axis=(0, 1)), 3), flush=True)
    comment = made_by(
        args,
        "batches evaluated",
        "different lead fields for simulation and inversion",
        f"sources between those of the inversion; seed {SEED}",
    )
    write_rows(args.out / "design.csv", comment, tabulate(scores))


if __name__ == "__main__":
    main()
