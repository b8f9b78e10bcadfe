"""Fine-tuning on one lead field: simulate on heads like it, invert with it, keep what helps."""

import hashlib
import json
import logging
import math
import time
from dataclasses import asdict, dataclass, field, replace
from functools import partial

import numpy as np
import torch

from ..._support.devices import keep_triton_out, recognise
from ...dictionary.regions import Regions
from ...metrics import auc, confidence_interval, space_time_cosine
from ...network import EvidenceNetwork
from ...simulation import (
    PAIR,
    HeadArchive,
    PeopleArchive,
    Perturbation,
    SimulationConfig,
    perturb_heads,
)
from ...solver import iterate
from ..checkpoint import load_optimiser, resuming, write_checkpoint
from ..confidence import fit_calibration_to, score_peaks
from ..gradient import Gradient
from ..interrupt import Interrupt
from ..loop import Space, batch_loss, final_loss, part_loss, pose_batch

logger = logging.getLogger("mne")

# batch k of a purpose is simulated from (seed, purpose, k)
_TRAIN, _VALIDATE, _TEST, _TEMPERATURE = range(4)
_MEASURES = ("loss", "space-time cosine", "AUC", "strongest region (mm)")
# sources whose power exceeds this share of the largest count as active
_ACTIVE = 0.1


@dataclass(frozen=True)
class FineTuneConfig:
    """Everything that decides a fine-tuning run, but for the lead field.

    Parameters
    ----------
    simulation : SimulationConfig
        The recordings.
    perturbation : Perturbation
        The heads.
    minutes : float
        Time limit, validation included.
    n_heads : int
        Heads to simulate on, and as many others to validate on.
    batch_size : int
        Recordings a batch.
    n_held_out : int
        Batches to stop early by, and as many others to compare with the given model.
    n_steps : tuple of int
        Range from which the number of unrolled steps is drawn.
    learning_rate : float
        Of AdamW at the beginning; it falls to 5 % along a cosine.
    average : float
        Decay of the exponential average of the weights, which is what is kept.
    n_checks : int
        Validations a run, of which ``patience`` in a row without progress end it.
    patience : int
        See above.
    seed : int
        Of heads and recordings.
    """

    simulation: SimulationConfig = field(default_factory=SimulationConfig)
    perturbation: Perturbation = field(default_factory=Perturbation)
    minutes: float = 10.0
    n_heads: int = 16
    batch_size: int = 4
    n_held_out: int = 24
    n_steps: tuple[int, int] = (2, 4)
    learning_rate: float = 6e-4
    average: float = 0.99
    n_checks: int = 12
    patience: int = 4
    seed: int = 0


@dataclass(frozen=True)
class Comparison:
    """One line of the before/after table, on recordings that chose nothing.

    Parameters
    ----------
    measure : str
        What was measured.
    before, after : float
        Means over the recordings.
    change : tuple of float, length 3
        Mean of the differences and its 95 % bootstrap interval, over pairs of a recording and its
        window.
    """

    measure: str
    before: float
    after: float
    change: tuple[float, float, float]


@dataclass(frozen=True)
class Outcome:
    """What came out of a run.

    Parameters
    ----------
    kept : bool
        Whether the new weights are kept; else they are the given ones.
    n_batches : int
        Batches trained on.
    minutes : float
        Time taken, over all sessions.
    n_recordings : int
        Recordings of the table.
    table : list of Comparison
        Given against new weights.
    coverage : dict of float to float | None
        Share of held-out recordings whose confidence region holds the strongest source.
    """

    kept: bool
    n_batches: int
    minutes: float
    n_recordings: int
    table: list[Comparison]
    coverage: dict | None

    def __str__(self):
        lines = [f"{'':22}{'before':>9}{'after':>9}   change (95 % interval)"]
        for row in self.table:
            mean, low, high = row.change
            lines.append(
                f"{row.measure:22}{row.before:9.3f}{row.after:9.3f}   {mean:+.3f} "
                f"({low:+.3f} … {high:+.3f})"
            )
        verdict = "kept" if self.kept else "no better than the given ones, which are returned"
        lines.append(
            f"{self.n_recordings} held-out recordings; {self.n_batches} batches in "
            f"{self.minutes:.1f} min; the new weights are {verdict}"
        )
        return "\n".join(lines)


def fine_tune_network(
    network: EvidenceNetwork, archive: HeadArchive, config, directory, *, device="cpu", progress
):
    """Train a network on one lead field, or go on where an interrupted run stopped.

    Parameters
    ----------
    network : EvidenceNetwork
        The given weights; not changed.
    archive : HeadArchive
        Its head 0 is the lead field to invert with.
    config : FineTuneConfig
        The run.
    directory : pathlib.Path
        Where ``fine-tune.pt`` is kept until the run is over.
    device : str | torch.device
        Where to train.
    progress : callable
        Called with the share of the time that is over.

    Returns
    -------
    tuned : EvidenceNetwork
        The new weights, or a copy of the given ones.
    outcome : Outcome
        What came out.

    Raises
    ------
    ValueError
        If the directory belongs to another run, or its checkpoint is damaged.
    KeyboardInterrupt
        After the first Ctrl-C as soon as the batch is over and a checkpoint is written, after the
        second one at once.
    OSError
        If the directory cannot be written.
    """
    run = _Run(network, archive, config, directory, device)
    run.resume()
    try:
        with Interrupt() as interrupt:
            while not run.is_over():
                run.train_one()
                progress(run.share())
                if run.share() >= run.next_check:
                    run.check()
                interrupt.answer(run.save)
    except BaseException as error:  # loses a batch, not the run
        if recognise(error) != "device":  # of which nothing can be copied any more
            run.save()
        raise
    run.save()
    tuned, outcome = run.finish()
    run.path.unlink(missing_ok=True)
    progress(1.0)
    return tuned, outcome


class _Run:
    """State of a run, which a checkpoint holds."""

    def __init__(self, network, archive, config, directory, device):
        self.config, self.device = config, device
        self.given = _copy(network, device)
        self.network, self.average, self.best = (_copy(network, device) for _ in range(3))
        self.learned = [
            *self.network.hyperprior.parameters(),
            *self.network.curvature.parameters(),
        ]
        for parameter in self.learned:
            parameter.requires_grad_(True)
        keep_triton_out()
        self.optimiser = torch.optim.AdamW(self.learned, lr=config.learning_rate)
        self.gradient = Gradient(self.learned, PAIR)
        self.n_batches, self.seconds, self.checks = 0, 0.0, []
        self.next_check, self.reserve, self.is_whole = 0.0, 0.0, True
        digest = hashlib.sha256(np.ascontiguousarray(archive.gains[0]).tobytes())
        for tensor in network.state_dict().values():
            digest.update(tensor.cpu().numpy().tobytes())
        plain = {**asdict(config), "minutes": None}  # more time may be given to a resumed run
        self.fingerprint = json.dumps(plain, sort_keys=True) + digest.hexdigest()
        self.path = directory / "fine-tune.pt"
        people, others = (
            _people_around(archive, config, np.random.default_rng([config.seed, purpose, 1]))
            for purpose in (_TRAIN, _VALIDATE)
        )
        self.space = Space(people, network.config, device)
        self.held_out = Space(others, network.config, device)
        self.started = time.monotonic()

    def simulate(self, purpose, number):
        """Batch k of a purpose is always the same."""
        space = self.space if purpose == _TRAIN else self.held_out
        seed = [self.config.seed, purpose, number]
        return space, space.simulate(self.config.simulation, self.config.batch_size, seed)

    def elapsed(self):
        """Seconds, over all sessions."""
        return self.seconds + time.monotonic() - self.started

    def share(self):
        """Share of the time for training that is over; the comparison takes the rest."""
        total = 60.0 * self.config.minutes
        return min(1.0, self.elapsed() / (total - min(self.reserve, 0.5 * total)))

    def is_over(self):
        """Whether time is up or nothing gets better any more."""
        best = int(np.argmin(self.checks)) if self.checks else 0
        return self.share() >= 1.0 or len(self.checks) - 1 - best >= self.config.patience

    def train_one(self):
        """Take one step of the optimiser."""
        config = self.config
        space, batch = self.simulate(_TRAIN, self.n_batches)
        rng = np.random.default_rng([config.seed, self.n_batches, 7])
        n_steps = int(rng.integers(config.n_steps[0], config.n_steps[1] + 1))
        falling = 0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * self.share()))
        rising = min(1.0, (self.n_batches + 1) / 20.0)
        for group in self.optimiser.param_groups:
            group["lr"] = config.learning_rate * falling * rising
        self.gradient(partial(part_loss, self.network, space, batch, n_steps), len(batch.data))
        norm = torch.nn.utils.clip_grad_norm_(self.learned, 1.0)
        self.is_whole = False
        if torch.isfinite(norm):
            self.optimiser.step()
            with torch.no_grad():
                for kept, new in zip(
                    self.average.parameters(), self.network.parameters(), strict=True
                ):
                    kept.lerp_(new, 1.0 - config.average)
        self.n_batches += 1
        self.is_whole = True

    @torch.no_grad()
    def check(self):
        """Validate, keep the best weights, write a checkpoint."""
        started = time.monotonic()
        losses = []
        for k in range(self.config.n_held_out):
            space, batch = self.simulate(_VALIDATE, k)
            losses.append(final_loss(self.average, space, batch, self.gradient.parts))
        self.checks.append(float(torch.cat(losses).mean()))
        logger.info(
            "    %4d batches, %4.1f min: held-out loss %.4f",
            self.n_batches,
            self.elapsed() / 60.0,
            self.checks[-1],
        )
        if self.checks[-1] <= min(self.checks):
            self.best.load_state_dict(self.average.state_dict())
        # two networks, each run twice over as many recordings, and the temperature
        self.reserve = 5.0 * (time.monotonic() - started)
        self.next_check = self.share() + 1.0 / self.config.n_checks
        self.save()

    def save(self):
        """Write the checkpoint, unless a step was cut in the middle: then the last one counts."""
        if not self.is_whole:
            return
        state = dict(
            fingerprint=self.fingerprint,
            network=self.network.state_dict(),
            average=self.average.state_dict(),
            best=self.best.state_dict(),
            optimiser=self.optimiser.state_dict(),
            n_batches=self.n_batches,
            seconds=self.elapsed(),
            checks=self.checks,
        )
        write_checkpoint(self.path, state)

    def resume(self):
        """Go on from a checkpoint, if there is one."""
        if not self.path.exists():
            self.check()  # of the given weights
            return
        mark = ("fingerprint", self.fingerprint)
        other = "another lead field, model or configuration"
        with resuming(self.path, mark, other, self.device) as state:
            for name in ("network", "average", "best"):
                getattr(self, name).load_state_dict(state[name])
            load_optimiser(self.optimiser, state["optimiser"])
            self.n_batches, self.seconds = int(state["n_batches"]), float(state["seconds"])
            self.checks = [float(loss) for loss in state["checks"]]
        logger.info("Resuming %s at batch %d", self.path, self.n_batches)

    def finish(self):
        """Compare with the given weights on recordings that chose nothing."""
        before, after = (
            measure(
                network,
                self.held_out,
                (self.simulate(_TEST, k)[1] for k in range(self.config.n_held_out)),
                self.gradient.parts,
            )
            for network in (self.given, self.best)
        )
        table = compare(before, after, self.config.seed)
        kept = table[0].change[2] < 0.0  # the whole interval: better for certain, or not at all
        tuned = self.best if kept else self.given
        found = (
            fit_calibration_to(
                tuned,
                [
                    score_peaks(tuned, *self.simulate(_TEMPERATURE, k), self.gradient.parts)
                    for k in range(self.config.n_held_out)
                ],
            )
            if kept
            else None
        )
        outcome = Outcome(kept, self.n_batches, self.elapsed() / 60.0, len(before), table, found)
        return tuned.eval().requires_grad_(False), outcome


@torch.no_grad()
def measure(network, space, batches, parts):
    """Score a network on simulated recordings.

    Returns an array of shape (n_recordings, 4): training loss, space-time cosine, area under the
    ROC curve, distance between the strongest regions (mm).
    """
    rows = []
    for batch in batches:
        for some in parts.each(partial(_score, network, space, batch), len(batch.data)):
            rows += some
    return np.array(rows)


def _score(network, space, whole, part):
    """Scores of some recordings of a batch, one row each; ``part`` is a slice."""
    n_steps, batch, rows = network.config.n_steps, whole.take(part), []
    _, losses = batch_loss(network, space, batch, n_steps)
    problem, amplitude = pose_batch(network, space, batch)
    *_, last = iterate(network, problem, n_steps)
    seen = torch.as_tensor(batch.seen, device=space.device) / amplitude[:, None, None]
    currents = problem.objective.posterior_mean(last.point, seen.float())
    currents = currents.cpu().double().numpy() * batch.orient_weights[:, None]
    regions = Regions(batch.positions)
    for loss, estimate, truth in zip(losses, currents, batch.currents, strict=True):
        power, true_power = (np.square(x).sum(axis=(1, 2)) for x in (estimate, truth))
        places = [
            batch.positions[regions.strongest(np.linalg.norm(x[..., 0], axis=1))]
            for x in (estimate, truth)
        ]
        rows.append(
            (
                float(loss),
                space_time_cosine(*(x.reshape(len(x), -1) for x in (estimate, truth))),
                auc(power, true_power > _ACTIVE * true_power.max()),
                float(np.linalg.norm(places[0] - places[1])),
            )
        )
    return rows


def _people_around(archive, config, rng):
    """People whose heads are like the given one, which is what all are inverted with."""
    gains = perturb_heads(archive, config.n_heads + 1, rng, config.perturbation).gains
    given = np.broadcast_to(gains[0], gains[1:].shape)
    return PeopleArchive(
        standard=gains[0],
        true=gains[1:],
        own=given,
        fitted=given,
        deep=np.zeros((len(given), given.shape[1], 1, 3), np.float32),
        electrodes=archive.electrodes,
        groups=archive.groups,
        positions=archive.positions,
        normals=archive.normals,
        adjacency=archive.adjacency,
        source_space=archive.source_space,
        is_volume=archive.is_volume,
        noise_factor=archive.noise_factor,
    )


def compare(before, after, seed=0):
    """Compare scores of :func:`measure`, of the same recordings, which come in pairs."""
    table = []
    for name, old, new in zip(_MEASURES, before.T, after.T, strict=True):
        # a recording and its window say the same thing twice
        changes = (new - old).reshape(-1, PAIR).mean(axis=1)
        low, high = confidence_interval(changes, seed=seed)
        change = (float(changes.mean()), float(low), float(high))
        table.append(Comparison(name, float(old.mean()), float(new.mean()), change))
    return table


def _copy(network, device):
    """Weights of one's own."""
    copied = EvidenceNetwork(network.config).to(device)
    copied.load_state_dict(network.state_dict())
    return copied.requires_grad_(False)


def small_batches(config, n_sources, n_orient):
    """Shrink the batches of a large source space, so that enough of them fit in the time."""
    columns = n_sources * n_orient
    if columns <= 1500:
        return config
    return replace(config, batch_size=2, n_held_out=20 if columns <= 5000 else 10)
