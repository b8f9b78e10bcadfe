"""The certified majorization-minimization loop (DESIGN §2c).

A step is accepted only if the objective, as computed, did not increase: the comparison is exact,
without a tolerance. A rejected step is tried again with the curvature raised, then with a
curvature that the theory guarantees (every factor at least 1); if rounding defeats even that one,
the iterate stays where it is. This holds for any weights, lead field and data, sample by sample.
"""

from dataclasses import dataclass, replace

import torch

from .majorant import EvidenceMajorant
from .network import EvidenceNetwork, compute_context
from .objective import (
    N_NOISE,
    NOISE_MAX,
    NOISE_MIN,
    U_MIN,
    EvidenceObjective,
    Factor,
    factor_dtype,
)
from .source_model import SourceModel

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
    start : torch.Tensor of shape (n_batch, n_atoms + 2)
        v₀.
    summary : torch.Tensor of shape (n_batch, n_sources, context)
        What the curvature cell is told of the data.
    """

    objective: EvidenceObjective
    start: torch.Tensor
    summary: torch.Tensor


@dataclass(frozen=True)
class Iterate:
    """One accepted iterate of a batch.

    Parameters
    ----------
    v : torch.Tensor of shape (n_batch, n_atoms + 2)
        Log-variances.
    factor : Factor
        Σ factored there; ``factor.value`` is the objective.
    retries : torch.Tensor of shape (n_batch,), int64
        Rejected proposals on the way here.
    analytic : torch.Tensor of shape (n_batch,), bool
        Whether the analytic majorant's own step was taken.
    stalled : torch.Tensor of shape (n_batch,), bool
        Whether no step at all was taken, rounding having defeated the analytic one.
    """

    v: torch.Tensor
    factor: Factor
    retries: torch.Tensor
    analytic: torch.Tensor
    stalled: torch.Tensor


@dataclass(frozen=True)
class Certificate:
    """What the solver did, sample by sample.

    Parameters
    ----------
    objective : torch.Tensor of shape (n_batch, n_steps + 1), float64
        J at the start and after each step: never increases along a row.
    retries : torch.Tensor of shape (n_batch, n_steps), int64
        Rejected proposals in each step.
    analytic : torch.Tensor of shape (n_batch, n_steps), bool
        Steps taken by the analytic majorant.
    stalled : torch.Tensor of shape (n_batch, n_steps), bool
        Steps in which the iterate did not move.
    """

    objective: torch.Tensor
    retries: torch.Tensor
    analytic: torch.Tensor
    stalled: torch.Tensor


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
    values, vectors = torch.linalg.eigh(exact @ exact.mT / n_times)
    return (vectors * values.clamp_min(0.0).sqrt()[:, None]).to(data.dtype)


def pose(
    network: EvidenceNetwork,
    model: SourceModel,
    data,  # (n_batch, n_rank, n_times), from normalise_data
    amplitude,  # (n_batch,), from normalise_data
    noise_known,  # (n_batch,): 1 or 0
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
    log_prior : torch.Tensor of shape (n_sources * n_scales,) | None
        Log of prior variances relative to the learned ones: costs are divided, and starting
        variances multiplied, by them.

    Returns
    -------
    problem : Problem
        Fixed from here on.
    """
    factor = data_factor(data)
    power = factor.square().sum((1, 2))
    factor = model.basis @ factor
    rest = (power - factor.square().sum((1, 2))).clamp_min(0.0)
    log_power = 2.0 * amplitude.clamp_min(_SMALLEST).log().to(data.dtype)
    log_power = noise_known * log_power.clamp(-NOISE_MAX, -NOISE_MIN)
    context = compute_context(model, factor, log_power, noise_known)
    cost, barrier, start, summary = network.hyperprior(context, model.mixing, model.n_rank)
    if log_prior is not None:
        shift = torch.nn.functional.pad(log_prior, (0, N_NOISE))
        cost, start = cost * (-shift).exp(), start + shift
    # the noise barrier must be positive, or J has no lower bound
    cost = cost.nan_to_num(0.0, posinf=1e6).clamp(0.0, 1e6)
    barrier = barrier.nan_to_num(1e-3, posinf=1e6).clamp(0.0, 1e6)
    floor = torch.zeros_like(barrier)
    floor[:, -N_NOISE:] = 1e-3
    objective = EvidenceObjective(model, factor, rest, cost, torch.maximum(barrier, floor))
    start = objective.project(start.nan_to_num(U_MIN))
    return Problem(objective, start, summary.nan_to_num(0.0, posinf=0.0, neginf=0.0))


def iterate(network: EvidenceNetwork, problem: Problem, n_steps):
    """Run the certified loop.

    Parameters
    ----------
    network : EvidenceNetwork
        Trained or not.
    problem : Problem
        From :func:`pose`.
    n_steps : int
        Number of steps.

    Yields
    ------
    iterate : Iterate
        The start, then the iterate after each step (n_steps + 1 in all). Differentiable in the
        network's weights, unless called under ``torch.inference_mode``.
    """
    cell, config = network.curvature, network.config
    objective, v = problem.objective, problem.start
    n_batch, n_sources, _ = problem.summary.shape
    state = cell.initial_state(n_batch, n_sources, problem.summary)
    nothing = torch.zeros(n_batch, dtype=torch.int64, device=v.device)
    log_rank = float(torch.tensor(float(objective.model.n_rank)).log())
    current = Iterate(v, objective.factorise(v), nothing, nothing > 0, nothing > 0)
    yield current
    for _ in range(n_steps):
        majorant = EvidenceMajorant(*objective.coefficients(current.v, current.factor))
        factor, state = cell(
            current.v, majorant, problem.summary, objective.model.mixing, state, log_rank
        )
        factor = factor.nan_to_num(1.0).clamp(config.factor_min, config.factor_max)
        state = state.nan_to_num(0.0, posinf=0.0, neginf=0.0)
        current = _certified_step(objective, current, majorant, factor, config.max_step)
        yield current


def _certified_step(objective, current, majorant, factor, max_step):
    """Propose, check, raise the curvature, check again, … (see the module's text)."""
    v = objective.project(current.v + majorant.minimiser(factor, max_step))
    new = objective.factorise(v)
    rejected = ~(new.value <= current.factor.value)
    nothing = torch.zeros_like(current.retries)
    accepted = Iterate(v, new, nothing, nothing > 0, nothing > 0)
    proposals = [factor * raised for raised in _RAISES] + [factor.clamp_min(1.0)]
    for number, proposal in enumerate(proposals):
        index = rejected.nonzero()[:, 0]
        if len(index) == 0:
            return accepted
        step = majorant.minimiser(proposal, max_step)[index]
        part = objective if len(index) == len(rejected) else objective.select(index)
        v = part.project(current.v[index] + step)
        new = part.factorise(v)
        last = number == len(proposals) - 1
        if last:
            # if rounding defeats the analytic step too, stay
            stay = ~(new.value <= current.factor.value[index])
            v = torch.where(stay[:, None], current.v[index], v)
            new = Factor(
                torch.where(stay[:, None, None], current.factor.whiten[index], new.whiten),
                torch.where(stay[:, None, None], current.factor.data[index], new.data),
                torch.where(stay, current.factor.value[index], new.value),
            )
        accepted = Iterate(
            v=accepted.v.index_copy(0, index, v),
            factor=Factor(
                whiten=accepted.factor.whiten.index_copy(0, index, new.whiten),
                data=accepted.factor.data.index_copy(0, index, new.data),
                value=accepted.factor.value.index_copy(0, index, new.value),
            ),
            retries=accepted.retries.index_add(0, index, torch.ones_like(index)),
            analytic=accepted.analytic,
            stalled=accepted.stalled,
        )
        if last:
            return replace(
                accepted,
                analytic=accepted.analytic.index_copy(0, index, ~stay),
                stalled=accepted.stalled.index_copy(0, index, stay),
            )
        rejected = torch.zeros_like(rejected).index_copy(
            0, index, ~(new.value <= current.factor.value[index])
        )


def solve(network: EvidenceNetwork, problem: Problem, n_steps=None):
    """Run the loop to its end, keeping the certificate.

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
    last : Iterate
        The final iterate.
    certificate : Certificate
        What happened.
    """
    n_steps = network.config.n_steps if n_steps is None else n_steps
    history = []
    for last in iterate(network, problem, n_steps):
        history.append((last.factor.value, last.retries, last.analytic, last.stalled))
    values, retries, analytic, stalled = zip(*history, strict=True)
    empty = retries[0][:, None][:, :0]
    return last, Certificate(
        objective=torch.stack(values, 1),
        retries=torch.stack(retries[1:], 1) if n_steps else empty,
        analytic=torch.stack(analytic[1:], 1) if n_steps else empty > 0,
        stalled=torch.stack(stalled[1:], 1) if n_steps else empty > 0,
    )
