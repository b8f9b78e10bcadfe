"""The training loop: simulate, unroll, backpropagate; resumable from a checkpoint at any batch."""

import json
import logging
import time
from pathlib import Path

import numpy as np
import torch

from .._files import whole_file
from ..dictionary import mixing_matrix, patch_matrices, synthesis_matrix
from ..network import EvidenceNetwork
from ..simulation import HeadArchive, PatchSampler, simulate_batch
from ..solver import iterate, normalise_data, pose
from ..source_model import build_source_model, to_torch_csr
from .config import TrainingConfig
from .loss import current_loss, unrolled_loss

# MNE's logger, without importing MNE: training runs where it is not installed
logger = logging.getLogger("mne")

# the blurred term of the loss forgives misses of about this many mm
_BLUR_MM = 15.0
_VALIDATION_SEED = 987_654
_N_VALIDATION = 24


class _Graph:
    """What all batches share: the graph's matrices, as tensors."""

    def __init__(self, adjacency, config, device):
        patches = patch_matrices(adjacency, config.scales)
        fixed = synthesis_matrix(patches)
        axes = np.broadcast_to(np.eye(3), (adjacency.shape[0], 3, 3))
        self.synthesis = {
            1: to_torch_csr(fixed, device, torch.float64),
            3: to_torch_csr(synthesis_matrix(patches, axes), device, torch.float64),
        }
        self.mixing = to_torch_csr(mixing_matrix(adjacency, config.mixing_extent), device)
        self.blur = to_torch_csr(mixing_matrix(adjacency, _BLUR_MM), device)


def _batch_loss(network, graph, batch, n_steps, device):
    """Unroll the solver on one batch; return the loss and the last iterate's own."""
    with torch.no_grad():
        leadfield = torch.as_tensor(batch.leadfield, dtype=torch.float64, device=device)
        n_orient = leadfield.shape[-1]
        model, _ = build_source_model(leadfield, graph.synthesis[n_orient], graph.mixing)
        raw = torch.as_tensor(batch.data, dtype=torch.float64, device=device)
        data, amplitude = normalise_data(raw)
        known = torch.as_tensor(batch.noise_known, dtype=torch.float32, device=device)
        truth = torch.as_tensor(batch.currents, dtype=torch.float32, device=device)
        truth = truth / truth.abs().amax((1, 2, 3), keepdim=True)
    problem = pose(network, model, data, amplitude, known)
    supervised = {n_steps // 3, 2 * n_steps // 3, n_steps}
    losses = []
    for step, iterate_ in enumerate(iterate(network, problem, n_steps)):
        if step in supervised:
            currents = problem.objective.posterior_mean(iterate_.point, data)
            losses.append(current_loss(currents, truth, graph.blur))
    return unrolled_loss(losses), losses[-1].detach()


def _learning_rate(config, batch):
    """One cycle: linear rise over 5 % of the run, cosine fall to 1 %."""
    rise = 0.05 * config.n_batches
    if batch < rise:
        return config.learning_rate * (batch + 1) / rise
    phase = (batch - rise) / max(config.n_batches - rise, 1.0)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + np.cos(np.pi * min(phase, 1.0))))


def train(
    config: TrainingConfig,
    directory,
    heads: HeadArchive,
    *,
    device="cpu",
    initial=None,
    save_every=200,
    progress=iter,
):
    """Train a model, or go on where an interrupted run stopped.

    Parameters
    ----------
    config : TrainingConfig
        The run. A directory holds one run: another configuration is refused.
    directory : path-like
        Where ``checkpoint.pt`` and ``log.jsonl`` are kept.
    heads : HeadArchive
        Lead fields.
    device : str
        A torch device.
    initial : EvidenceNetwork | None
        Weights to start from, of the same configuration. None draws them from the seed.
    save_every : int
        Batches between two checkpoints, at which the model is also validated.
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
        If the directory holds a run with another configuration, or the initial weights belong to
        another network.

    Notes
    -----
    Batch number k is simulated from the seed (seed, k), so an interrupted run that is resumed sees
    the same batches as one that was not.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "checkpoint.pt"
    graph = _Graph(heads.adjacency, config.network, device)
    sampler = PatchSampler(heads.adjacency)

    torch.manual_seed(config.seed)
    network = EvidenceNetwork(config.network).to(device)
    if initial is not None:
        if initial.config != config.network:
            raise ValueError("The initial weights belong to another network configuration.")
        network.load_state_dict(initial.state_dict())
    average = EvidenceNetwork(config.network).to(device)
    average.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    first = 0
    if path.exists():
        state = torch.load(path, map_location=device, weights_only=True)
        if state["config"] != json.dumps(config.to_dict()):
            raise ValueError(
                f"{path} belongs to a run with another configuration. Give another directory, or "
                "remove the checkpoint."
            )
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["batch"]
        logger.info("Resuming %s at batch %d.", path, first)

    validation = [
        simulate_batch(
            heads,
            sampler,
            config.simulation,
            config.batch_size,
            np.random.default_rng([_VALIDATION_SEED, k]),
        )
        for k in range(_N_VALIDATION)
    ]

    def validate():
        with torch.no_grad():
            losses = [
                _batch_loss(average, graph, batch, config.network.n_steps, device)[1]
                for batch in validation
            ]
        return float(torch.cat(losses).mean())

    started = time.monotonic()
    recent = []
    for k in progress(range(first, config.n_batches)):
        rng = np.random.default_rng([config.seed, k])
        batch = simulate_batch(heads, sampler, config.simulation, config.batch_size, rng)
        n_steps = int(rng.integers(config.n_steps[0], config.n_steps[1] + 1))
        for group in optimiser.param_groups:
            group["lr"] = float(_learning_rate(config, k))
        loss, _ = _batch_loss(network, graph, batch, n_steps, device)
        optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        if torch.isfinite(norm):
            optimiser.step()
            # a short memory at first, so that the average is not that of the initial weights
            decay = min(config.average, (1 + k) / (10 + k))
            with torch.no_grad():
                for kept, new in zip(average.parameters(), network.parameters(), strict=True):
                    kept.lerp_(new, 1.0 - decay)
        recent.append(float(loss.detach()))
        if (k + 1) % save_every == 0 or k + 1 == config.n_batches:
            entry = dict(
                batch=k + 1,
                loss=float(np.mean(recent)),
                validation=validate(),
                seconds=round(time.monotonic() - started, 1),
            )
            recent = []
            with open(directory / "log.jsonl", "a") as file:
                file.write(json.dumps(entry) + "\n")
            state = dict(
                config=json.dumps(config.to_dict()),
                network=network.state_dict(),
                average=average.state_dict(),
                optimiser=optimiser.state_dict(),
                batch=k + 1,
            )
            with whole_file(path) as scratch:
                torch.save(state, scratch)
    return average, validate()
