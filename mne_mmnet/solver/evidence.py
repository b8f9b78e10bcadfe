"""The evidence route: from data to a posed problem, and the network that proposes its steps."""

import math
from dataclasses import dataclass

import torch

from .._support.eigen import symmetric_eigen
from ..dictionary.model import SourceModel
from ..majorant import EvidenceMajorant
from ..network import Context, EvidenceNetwork, compute_context
from ..objective import (
    N_NOISE,
    NOISE_MAX,
    NOISE_MIN,
    U_MIN,
    EvidenceObjective,
    Sweeps,
    factor_dtype,
)
from .descent import Proposal, descend

# factors by which the curvature is raised before the analytic majorant takes over
_RAISES = (2.0, 4.0)
# amplitudes below count as this one: the logarithm of zero is not wanted
_SMALLEST = 1e-37


@dataclass(frozen=True)
class Problem:
    """Everything fixed before the first step.

    Parameters
    ----------
    objective : EvidenceObjective
        The objective.
    start : torch.Tensor of shape (n_batch, n_atoms + 3)
        v₀.
    summary : torch.Tensor of shape (n_batch, n_sources, context)
        What the curvature cell is told of the data.
    context : Context
        What the network was shown.
    """

    objective: EvidenceObjective
    start: torch.Tensor
    summary: torch.Tensor
    context: Context


def normalise_data(data):
    """Scale data to unit mean power a channel, each sample by itself.

    Parameters
    ----------
    data : torch.Tensor of shape (n_batch, n_rank, n_times)
        Whitened data, float64 (float32 where the device has nothing better).

    Returns
    -------
    data : torch.Tensor of shape (n_batch, n_rank, n_times)
        The data, float32, scaled; a sample of zeros stays zero.
    amplitude : torch.Tensor of shape (n_batch,)
        What it was divided by, 0 for a sample of zeros.
    """
    # the maximum first: squares of 1e-200 would underflow
    largest = data.abs().amax((1, 2))
    safe = torch.where(largest > 0, largest, 1.0)
    data = data / safe[:, None, None]
    rms = data.square().mean((1, 2)).sqrt()
    data = data / torch.where(rms > 0, rms, 1.0)[:, None, None]
    return data.to(torch.float32), largest * rms


def data_factor(data):
    """Smallest Y with Y Yᵀ = data dataᵀ / n_times.

    Parameters
    ----------
    data : torch.Tensor of shape (n_batch, n_rank, n_times)
        Data.

    Returns
    -------
    factor : torch.Tensor of shape (n_batch, n_rank, min(n_rank, n_times))
        Y.
    """
    n_rank, n_times = data.shape[1:]
    if n_times <= n_rank:
        return data / n_times**0.5
    exact = data.to(factor_dtype(data.device))
    values, vectors = symmetric_eigen(exact @ exact.mT / n_times)
    return (vectors * values.clamp_min(0.0).sqrt()[:, None]).to(data.dtype)


def pose(
    network: EvidenceNetwork,
    model: SourceModel,
    data,  # (n_batch, n_rank, n_times), from normalise_data
    amplitude,  # (n_batch,), from normalise_data
    noise_known,  # (n_batch,): 1 or 0
    facts,  # (n_batch, N_FACTS)
    log_prior=None,  # (n_atoms,)
):
    """Let the network choose the objective and where to start.

    Whatever a network answers that is not a number is replaced by a neutral value (no cost, the
    lowest variance), so that no weights can make the objective undefined.

    Parameters
    ----------
    network : EvidenceNetwork
        Trained or not.
    model : SourceModel
        Lead field and dictionary.
    data : torch.Tensor of shape (n_batch, n_rank, n_times)
        Whitened data of unit mean power.
    amplitude : torch.Tensor of shape (n_batch,)
        What the data were divided by: where the noise is known, their level in its units.
    noise_known : torch.Tensor of shape (n_batch,)
        1 where the data were whitened by a measured noise covariance, 0 elsewhere.
    facts : torch.Tensor of shape (n_batch, N_FACTS)
        What else is known, from :func:`mne_mmnet.network.facts.describe`.
    log_prior : torch.Tensor of shape (n_atoms,) | None
        Log of prior variances relative to the learned ones: costs are divided, and starting
        variances multiplied, by them.

    Returns
    -------
    problem : Problem
        Fixed from here on.
    """
    factor = data_factor(model.basis @ data)
    power = data.square().sum((1, 2)) / data.shape[-1]
    rest = (power - factor.square().sum((1, 2))).clamp_min(0.0)
    log_power = 2.0 * amplitude.clamp_min(_SMALLEST).log().to(data.dtype)
    log_power = noise_known * log_power.clamp(-NOISE_MAX, -NOISE_MIN)
    context = compute_context(model, factor, rest, log_power, noise_known, facts, network.config)
    cost, barrier, start, summary = network.hyperprior(context, model.graph, model.n_rank)
    if log_prior is not None:
        shift = torch.nn.functional.pad(log_prior, (0, N_NOISE))
        cost, barrier = cost * (-shift).exp(), barrier * shift.exp()
        start = start + shift
    # the noise barrier must be positive, or J has no lower bound
    cost = cost.nan_to_num(0.0, posinf=1e6).clamp(0.0, 1e6)
    barrier = barrier.nan_to_num(1e-3, posinf=1e6).clamp(0.0, 1e6)
    floor = torch.zeros_like(barrier)
    floor[:, -N_NOISE:] = 1e-3
    objective = EvidenceObjective(model, factor, rest, cost, torch.maximum(barrier, floor))
    start = objective.project(start.nan_to_num(U_MIN))
    summary = summary.nan_to_num(0.0, posinf=0.0, neginf=0.0)
    return Problem(objective, start, summary, context)


def iterate(network: EvidenceNetwork, problem: Problem, n_steps=None):
    """Run the certified loop with the network's curvature.

    Every ``sweep``-th step moves all atoms, the first one to begin with; the steps between move
    those that the last sweep found to matter (:class:`mne_mmnet.objective.Sweeps`).

    Parameters
    ----------
    network : EvidenceNetwork
        Trained or not.
    problem : Problem
        From :func:`pose`.
    n_steps : int | None
        Number of steps; None is the configuration's.

    Returns
    -------
    iterates : iterator of Iterate
        The start, then the iterate after each step. Differentiable in the network's weights,
        unless run under ``torch.inference_mode``.
    """
    n_steps = network.config.n_steps if n_steps is None else n_steps
    return descend(problem.objective, problem.start, _Proposer(network, problem), n_steps)


def peak_logits(network: EvidenceNetwork, problem: Problem, point):
    """Evidence that each location is the strongest source, before its calibration.

    Parameters
    ----------
    network : EvidenceNetwork
        Trained or not.
    problem : Problem
        From :func:`pose`.
    point : EvidencePoint
        The last iterate.

    Returns
    -------
    logits : torch.Tensor of shape (n_batch, n_sources)
        Of each location.
    """
    log_rank = math.log(problem.objective.model.n_rank)
    return network.confidence.logits(
        problem.objective, point, problem.context, problem.summary, log_rank
    )


def peak_log_probability(network: EvidenceNetwork, problem: Problem, point):
    """Log-probability (n_batch, n_sources) that each location is the strongest source."""
    logits = peak_logits(network, problem, point)
    return network.confidence.calibrate(logits, problem.context.calibration)


class _Proposer:
    """The recurrent network as a source of proposals.

    The factors are those of :class:`EvidenceMajorant`: the learned ones, then larger ones, then
    ones that are nowhere below 1.
    """

    def __init__(self, network, problem):
        self.network, self.problem = network, problem
        self.sweeps = Sweeps(problem.objective, network.config.sweep)
        n_batch, n_sources, _ = problem.summary.shape
        self.state = network.curvature.initial_state(n_batch, n_sources, problem.summary)
        self.log_rank = math.log(problem.objective.model.n_rank)

    def __call__(self, point):
        config = self.network.config
        scope, coefficients = self.sweeps.enter(point)
        majorant = EvidenceMajorant(*coefficients)
        factor, state = self.network.curvature(
            point.v,
            majorant,
            self.problem.summary,
            self.problem.objective.model.graph,
            self.state,
            self.log_rank,
        )
        factor = factor.nan_to_num(1.0).clamp(config.factor_min, config.factor_max)
        self.state = state.nan_to_num(0.0, posinf=0.0, neginf=0.0)

        def propose(raised, analytic=False):
            return Proposal(
                lambda index: majorant.minimiser(raised, config.max_step)[index],
                analytic,
                scope=scope,
            )

        yield propose(factor)
        for raise_ in _RAISES:
            yield propose(factor * raise_)
        yield propose(factor.clamp_min(1.0), analytic=True)
