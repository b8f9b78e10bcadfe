"""The training loop: simulate, unroll, backpropagate; resumable from a checkpoint at any batch."""

import contextlib
import json
import logging
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from .._support.devices import keep_triton_out
from ..dictionary.lead_errors import SHARES
from ..dictionary.model import build_source_graph, build_source_model, to_torch_csr
from ..dictionary.patches import mixing_matrix
from ..dictionary.regions import REGION_MM, Regions
from ..network import EvidenceNetwork, NetworkConfig, describe
from ..simulation import PAIR, PatchSampler, PeopleArchive, simulate_batch
from ..solver import iterate, normalise_data, pose
from .ahead import Ahead
from .checkpoint import append_entry, load_optimiser, resuming, write_checkpoint
from .config import TrainingConfig
from .gradient import Gradient
from .interrupt import Interrupt, ignore_interrupts
from .loss import Target, current_loss, unrolled_loss

# MNE's logger, without importing MNE: training runs where it is not installed
logger = logging.getLogger("mne")

# the blurred terms of the loss forgive misses of about this many mm
_BLUR_MM = (8.0, 20.0)
_TAPER = 0.1
_VALIDATION_SEED = 987_654
_N_VALIDATION = 32


class Space:
    """People with one source space, and what all batches on it share."""

    def __init__(self, people: PeopleArchive, network: NetworkConfig, device="cpu"):
        self.people, self.network, self.device = people, network, device
        self.sampler = PatchSampler(people.adjacency)
        self.blurs = tuple(
            to_torch_csr(mixing_matrix(people.adjacency, reach), device) for reach in _BLUR_MM
        )
        # a little less at the rim, so that the largest moment has one place
        region = Regions(people.positions).distance.copy()
        region.data = 1.0 - _TAPER * (region.data / REGION_MM) ** 2
        self.region = to_torch_csr(region, device)
        self._graphs = {}

    def graph(self, orient):
        """Return the dictionary for one kind of orientation, made when it is first needed."""
        if orient not in self._graphs:
            frames = {"fixed": None, "free": np.eye(3)[None]}.get(
                orient, self.people.surface_frames
            )
            graph = build_source_graph(
                self.people.adjacency, self.network, frames, orient, self.device
            )
            synthesis = graph.synthesis.to(self.device, torch.float32)
            self._graphs[orient] = replace(graph, synthesis=synthesis)
        return self._graphs[orient]

    def simulate(self, config, n_batch, seed):
        """Simulate one batch of recordings, to be inverted here."""
        rng = np.random.default_rng(seed)
        return simulate_batch(self.people, self.sampler, config, n_batch, rng)


def pose_batch(network, space, batch):
    """Pose the problems of a simulated batch; also returned is what the data were divided by."""
    device = space.device
    with torch.no_grad():
        graph = space.graph(batch.orient)
        # the unit, V/(A·m), is taken out before single precision could overflow
        leadfield = batch.leadfield / np.abs(batch.leadfield).max()
        leadfield = torch.as_tensor(leadfield, dtype=torch.float32, device=device)
        deep = torch.as_tensor(batch.deep, dtype=torch.float32, device=device)
        model, _ = build_source_model(
            leadfield, graph, network.config.n_errors, SHARES[batch.head], deep
        )
        raw = torch.as_tensor(batch.data, dtype=torch.float64, device=device)
        data, amplitude = normalise_data(raw)
        n_batch = len(data)
        known = torch.full((n_batch,), batch.noise_known, device=device)
        facts = describe(n_batch, batch.head, batch.orient, batch.n_samples, model.n_rank, device)
    return pose(network, model, data, amplitude, known, facts), amplitude


def batch_loss(network, space, batch, n_steps):
    """Unroll the solver on one batch.

    Returns the loss weighted over the iterates, and that of each recording at the last one alone,
    without gradient.
    """
    problem, amplitude = pose_batch(network, space, batch)
    with torch.no_grad():
        seen = torch.as_tensor(batch.seen, dtype=torch.float32, device=space.device)
        seen = seen / amplitude[:, None, None].to(seen.dtype)
        truth = torch.as_tensor(batch.currents, dtype=torch.float32, device=space.device)
        inside = torch.as_tensor(batch.inside, dtype=torch.float32, device=space.device)
        weights = torch.as_tensor(batch.orient_weights, dtype=torch.float32, device=space.device)
        weights = weights[:, None]
        target = Target.make(truth, inside, space, batch.positions)
    supervised = {n_steps // 3, 2 * n_steps // 3, n_steps}
    losses = []
    for step, iterate_ in enumerate(iterate(network, problem, n_steps)):
        if step in supervised:
            currents = problem.objective.posterior_mean(iterate_.point, seen)
            losses.append(current_loss(currents * weights, target, space))
    return unrolled_loss(losses), losses[-1].detach()


def part_loss(network, space, batch, n_steps, part):
    """Mean loss of some recordings of a batch, see :func:`batch_loss`; ``part`` is a slice."""
    return batch_loss(network, space, batch.take(part), n_steps)[0]


@torch.no_grad()
def final_loss(network, space, batch, parts):
    """Loss (n_batch,) of the last iterate, with the steps taken at use."""

    def compute(part):
        return batch_loss(network, space, batch.take(part), network.config.n_steps)[1]

    return torch.cat(parts.each(compute, len(batch.data)))


class Feed:
    """Simulated batches by number, made ahead in other processes if there are some."""

    def __init__(self, config, spaces, n_workers):
        self.config, self.spaces = config, spaces
        self.shares = np.cumsum([share for _, _, share in config.spaces])
        self.pool = self.ahead = None
        if n_workers:
            self.pool = ProcessPoolExecutor(
                n_workers,
                mp_context=get_context("fork"),
                initializer=_start_worker,
            )
            _WORKER["feed"] = self  # inherited by the forked processes
            self.ahead = Ahead(self.pool, _make_in_worker, 3 * n_workers, config.n_batches)

    def pick(self, number):
        """Return the space of a batch."""
        point = np.random.default_rng([self.config.seed, number, 1]).uniform()
        return self.spaces[min(int(np.searchsorted(self.shares, point)), len(self.spaces) - 1)]

    def make(self, number):
        """Simulate a batch: number k always from the seed (seed, k)."""
        config = self.config
        batch = self.pick(number).simulate(
            config.simulation, config.batch_size, [config.seed, number]
        )
        # what is largest, in the precision in which it is used: it goes from process to process
        return replace(batch, currents=batch.currents.astype(np.float32))

    def batch(self, number):
        """Return a batch, and have the next ones made."""
        return self.make(number) if self.ahead is None else self.ahead(number)

    def close(self):
        """Stop the processes."""
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)


_WORKER = {}


def _start_worker():
    ignore_interrupts()
    torch.set_num_threads(1)


def _make_in_worker(number):
    return _WORKER["feed"].make(number)


def learning_rate(config, batch):
    """One cycle: linear rise over 5 % of the run, cosine fall to 1 %."""
    rise = max(0.05 * config.n_batches, 1.0)
    if batch < rise:
        return config.learning_rate * (batch + 1) / rise
    phase = (batch - rise) / max(config.n_batches - rise, 1.0)
    fall = 0.5 * (1.0 + np.cos(np.pi * min(phase, 1.0)))
    return float(config.learning_rate * (0.01 + 0.99 * fall))


def train(
    config: TrainingConfig,
    directory,
    people: list[PeopleArchive],
    *,
    validation_people: list[PeopleArchive] | None = None,
    device="cpu",
    initial=None,
    save_every=200,
    n_workers=0,
    progress=iter,
):
    """Train a model, or go on where an interrupted run stopped.

    Parameters
    ----------
    config : TrainingConfig
        The run. A directory holds one run: another configuration is refused.
    directory : path-like
        Where ``checkpoint.pt`` and ``log.jsonl`` are kept.
    people : list of PeopleArchive
        Lead fields, one archive for each of ``config.spaces``.
    validation_people : list of PeopleArchive | None
        Others, on which the weights are validated. None takes the same.
    device : str
        A torch device.
    initial : EvidenceNetwork | None
        Weights to start from, of the same configuration. None draws them from the seed.
    save_every : int
        Batches between two checkpoints, at which the model is also validated.
    n_workers : int
        Processes that simulate ahead; 0 simulates in this one. The batches are the same.
    progress : callable
        Wraps the sequence of batch numbers, for a progress bar.

    Returns
    -------
    network : EvidenceNetwork
        The averaged weights.
    validation : float
        Their loss on the held-out simulations.

    Raises
    ------
    ValueError
        If the directory holds a run with another configuration or a damaged checkpoint, or the
        initial weights belong to another network.
    KeyboardInterrupt
        After the first Ctrl-C as soon as the batch is over and a checkpoint is written, after the
        second one at once.
    OSError
        If the directory cannot be written; the last checkpoint is whole.

    Notes
    -----
    Batch number k is simulated from the seed (seed, k), so an interrupted run that is resumed sees
    the same batches as one that was not.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "checkpoint.pt"
    if len(people) != len(config.spaces):
        raise ValueError(f"{len(config.spaces)} archives are needed, got {len(people)}.")
    spaces = [Space(archive, config.network, device) for archive in people]

    torch.manual_seed(config.seed)
    network = EvidenceNetwork(config.network).to(device)
    if initial is not None:
        if initial.config != config.network:
            raise ValueError("The initial weights belong to another network configuration.")
        network.load_state_dict(initial.state_dict())
    average = EvidenceNetwork(config.network).to(device)
    average.load_state_dict(network.state_dict())
    learned = [*network.hyperprior.parameters(), *network.curvature.parameters()]
    keep_triton_out()
    optimiser = torch.optim.AdamW(
        learned, lr=config.learning_rate, weight_decay=config.weight_decay
    )
    first, mark = 0, ("config", json.dumps(config.to_dict()))
    if path.exists():
        with resuming(path, mark, "a run with another configuration", device) as state:
            network.load_state_dict(state["network"])
            average.load_state_dict(state["average"])
            load_optimiser(optimiser, state["optimiser"])
            first = int(state["batch"])
        logger.info("Resuming %s at batch %d.", path, first)

    held_out = spaces
    if validation_people is not None:
        held_out = [Space(archive, config.network, device) for archive in validation_people]
    validation = [
        (space, space.simulate(config.simulation, config.batch_size, [_VALIDATION_SEED, k]))
        for k, space in enumerate(held_out * (_N_VALIDATION // len(held_out)))
    ]

    gradient = Gradient(learned, PAIR)

    def validate():
        losses = [final_loss(average, space, batch, gradient.parts) for space, batch in validation]
        return float(torch.cat(losses).mean())

    def save(n_batches):
        state = dict(
            [mark],
            network=network.state_dict(),
            average=average.state_dict(),
            optimiser=optimiser.state_dict(),
            batch=n_batches,
        )
        write_checkpoint(path, state)

    started = time.monotonic()
    recent = []
    with Interrupt() as interrupt, contextlib.closing(Feed(config, spaces, n_workers)) as feed:
        for k in progress(range(first, config.n_batches)):
            batch = feed.batch(k)
            rng = np.random.default_rng([config.seed, k, 2])
            n_steps = int(rng.integers(config.n_steps[0], config.n_steps[1] + 1))
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(config, k)
            loss_of = partial(part_loss, network, feed.pick(k), batch, n_steps)
            recent.append(gradient(loss_of, len(batch.data)))
            norms = [
                torch.nn.utils.clip_grad_norm_(level.parameters(), config.clip)
                for level in (network.hyperprior, network.curvature)
            ]
            if torch.isfinite(torch.stack(norms)).all():
                optimiser.step()
                # a short memory at first, so that the average is not that of the initial weights
                decay = min(config.average, (1 + k) / (10 + k))
                with torch.no_grad():
                    for kept, new in zip(average.parameters(), network.parameters(), strict=True):
                        kept.lerp_(new, 1.0 - decay)
            if (k + 1) % save_every == 0 or k + 1 == config.n_batches:
                entry = dict(
                    batch=k + 1,
                    loss=float(np.mean(recent)),
                    validation=validate(),
                    seconds=round(time.monotonic() - started, 1),
                )
                recent = []
                append_entry(directory / "log.jsonl", entry)
                save(k + 1)
            interrupt.answer(partial(save, k + 1))
    return average, validate()
