"""Training of the confidence head, after everything else, on a network that stays as it is."""

import json
import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize

from .._support.devices import keep_triton_out
from ..network import EvidenceNetwork, confidence_levels
from ..solver import iterate, peak_logits
from .checkpoint import load_optimiser, resuming, write_checkpoint
from .config import TrainingConfig
from .gradient import Gradient
from .interrupt import Interrupt
from .loop import Space, learning_rate, pose_batch
from .loss import regional_moments
from .parts import Parts

logger = logging.getLogger("mne")

# batch k is simulated from (seed, _PHASE, k): other recordings than the network's own
_PHASE = 31
_TEMPERATURE_SEED = 123_456
# recordings that a temperature of 1 counts for
_PRIOR = 2.0
# share and log-ratio of temperatures of the tail from which its fit starts
_TAIL = (0.25, -0.5)
# The calibration is fitted on what is usually localised, not on all that was trained on: a few
# patches of moderate extent, wherever they are, seen by usual montages, in data of usable quality.
USUAL = dict(
    n_channels=(19, 128),
    layouts=1.0,
    n_sources=(1, 4),
    max_extent=20.0,
    snr_db=(-5.0, 10.0),
    off_grid=1.0,
)


def peak_score(network, space, batch, n_steps=None):
    """Run the solver without gradients, then locate the peak.

    Parameters
    ----------
    network : EvidenceNetwork
        The network.
    space : Space
        Where the recordings are inverted.
    batch : SimulatedBatch
        The recordings.
    n_steps : int | None
        Number of steps.

    Returns
    -------
    logits : torch.Tensor of shape (n_batch, n_sources)
        Differentiable in the confidence head's weights.
    target : torch.Tensor of shape (n_batch, n_sources)
        1 at the place of the truly strongest region, at the sample at which the most goes on.
    calibration : torch.Tensor of shape (n_batch, n_calibration)
        On what the calibration depends.
    """
    with torch.no_grad():
        problem, _ = pose_batch(network, space, batch)
        *_, last = iterate(network, problem, n_steps)
        truth = torch.as_tensor(batch.currents[..., 0], dtype=torch.float32, device=space.device)
        moments = regional_moments(truth, space)
        target = torch.zeros_like(moments).scatter_(1, moments.argmax(1, keepdim=True), 1.0)
    return peak_logits(network, problem, last.point), target, problem.context.calibration


@torch.no_grad()
def score_peaks(network, space, batch, parts):
    """:func:`peak_score` of a batch, in parts, without any gradient."""

    def compute(part):
        return peak_score(network, space, batch.take(part))

    found = parts.each(compute, len(batch.data))
    return tuple(torch.cat(tensors) for tensors in zip(*found, strict=True))


def _part_loss(network, space, batch, part):
    """Mean loss of some recordings of a batch; ``part`` is a slice."""
    logits, target, _ = peak_score(network, space, batch.take(part))
    return _cross_entropy(logits.log_softmax(1), target)


def _cross_entropy(log_probability, target):
    """Mean of −Σ t log p."""
    return -(target * log_probability).sum(1).mean()


def train_confidence(
    network: EvidenceNetwork,
    config: TrainingConfig,
    spaces: list[Space],
    held_out: list[Space],
    directory,
    *,
    save_every=200,
    progress=iter,
):
    """Train the confidence head, or go on where it was interrupted, then calibrate it.

    Parameters
    ----------
    network : EvidenceNetwork
        The trained network; its confidence head is trained in place.
    config : TrainingConfig
        The run.
    spaces : list of Space
        As for the network.
    held_out : list of Space
        Other people, all with the same sources, on whom it is calibrated.
    directory : path-like
        Where ``confidence.pt`` is kept: the directory of the network's own run.
    save_every : int
        Batches between two checkpoints.
    progress : callable
        Wraps the sequence of batch numbers, for a progress bar.

    Returns
    -------
    coverage : dict of float to float
        Share of the recordings for the calibration whose region of that level holds the peak.

    Raises
    ------
    ValueError
        If the directory holds a run with another configuration or a damaged checkpoint.
    KeyboardInterrupt
        After the first Ctrl-C as soon as the batch is over and a checkpoint is written, after the
        second one at once.
    OSError
        If the directory cannot be written; the last checkpoint is whole.
    """
    path = Path(directory) / "confidence.pt"
    network.requires_grad_(False)
    head = network.confidence.requires_grad_(True)
    fitted = ("log_temperature", "tail")
    learned = [p for name, p in head.named_parameters() if name not in fitted]
    keep_triton_out()
    optimiser = torch.optim.AdamW(learned, lr=config.learning_rate)
    gradient = Gradient(learned)
    shares = np.cumsum([share for _, _, share in config.spaces])
    schedule = replace(config, n_batches=config.n_confidence)
    first, mark = 0, ("config", json.dumps(config.to_dict()))
    if path.exists():
        with resuming(path, mark, "a run with another configuration", spaces[0].device) as state:
            head.load_state_dict(state["head"])
            load_optimiser(optimiser, state["optimiser"])
            first = int(state["batch"])
        logger.info("Resuming %s at batch %d.", path, first)

    def step(k):
        rng = np.random.default_rng([config.seed, _PHASE, k])
        number = min(int(np.searchsorted(shares, rng.uniform())), len(spaces) - 1)
        space = spaces[number]
        seed = [config.seed, _PHASE, k, 1]
        batch = space.simulate(config.simulation, config.batch_size, seed)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(schedule, k)
        loss = gradient(partial(_part_loss, network, space, batch), len(batch.data))
        norm = torch.nn.utils.clip_grad_norm_(learned, config.clip)
        if torch.isfinite(norm):
            optimiser.step()
        return loss

    def save(n_batches):
        state = dict(head=head.state_dict(), optimiser=optimiser.state_dict(), batch=n_batches)
        write_checkpoint(path, dict([mark], **state))

    losses = []
    with Interrupt() as interrupt:
        for k in progress(range(first, config.n_confidence)):
            losses.append(step(k))
            if (k + 1) % save_every == 0 or k + 1 == config.n_confidence:
                logger.info("    confidence, batch %d: %.3f", k + 1, np.mean(losses))
                losses = []
                save(k + 1)
            interrupt.answer(partial(save, k + 1))

    found = fit_calibration(network, config, held_out)
    network.requires_grad_(False)
    return found


@torch.no_grad()
def fit_calibration(network: EvidenceNetwork, config: TrainingConfig, held_out: list[Space]):
    """Fit temperature and tail of a trained confidence head.

    Of a network that was not trained on these people, all with the same sources; in place.
    Returned is the share of their recordings whose region of each level holds the strongest
    source.
    """
    usual = replace(config.simulation, **USUAL)
    parts = Parts(held_out[0].device)
    found = []
    for k in range(config.n_temperature):
        space = held_out[k % len(held_out)]
        batch = space.simulate(usual, config.batch_size, [_TEMPERATURE_SEED, k])
        found.append(score_peaks(network, space, batch, parts))
    return fit_calibration_to(network, found)


@torch.no_grad()
def fit_calibration_to(network: EvidenceNetwork, held_out):
    """Fit temperature and tail of a confidence head to recordings that were scored.

    By :func:`peak_score`. See :func:`fit_calibration`.
    """
    logits, target, calibration = (torch.cat(parts) for parts in zip(*held_out, strict=True))
    head = network.confidence
    for kept, new in zip(
        (head.log_temperature, head.tail),
        _best_calibration(head, logits, target, calibration),
        strict=True,
    ):
        kept.copy_(new)
    log_probability = head.calibrate(logits, calibration)
    return {level: coverage(log_probability, target, level) for level in (0.5, 0.9)}


def _best_calibration(head, logits, target, calibration):
    """Coefficients of the log-temperature and the tail with the smallest cross-entropy.

    They stay near the head's own where there are few recordings of a kind.
    """
    logits, target, calibration = (x.double().cpu() for x in (logits, target, calibration))
    ridge, n_known = _PRIOR / len(logits), calibration.shape[1]
    tail = head.tail.tolist() if head.tail[0] > 0 else _TAIL
    start = np.array([*head.log_temperature.tolist(), *tail])
    near = torch.as_tensor(start)
    bounds = [(None, None)] * n_known + [(1e-3, 0.5), (-3.0, 3.0)]

    def loss(weights):
        with torch.enable_grad():
            weights = torch.tensor(weights, requires_grad=True)
            linear, tail = weights[:n_known], weights[n_known:]
            error = _cross_entropy(head.calibrate(logits, calibration, linear, tail), target)
            error = error + ridge * (weights - near).square().sum()
        (slope,) = torch.autograd.grad(error, weights)
        return float(error.detach()), slope.numpy()

    found = torch.as_tensor(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x)
    return found[:n_known], found[n_known:]


def coverage(log_probability, target, level):
    """Share of the recordings whose confidence region holds the peak."""
    inside = confidence_levels(log_probability.double().exp()) < level
    return float((target * inside).sum(1).mean())
