"""The lower level: the curvature network learns to minimise what the hyperprior defines.

The outer loss teaches both networks. Here the problem is fixed, and how far its objective J falls
teaches the curvature network alone: the hyperprior can't make its task easier.
"""

from dataclasses import replace

import torch

from ..solver import Problem, iterate

# every so many recordings of a batch are descended again: enough for so small a network
_EVERY = 4
# steps over which it is
_N_STEPS = 7
# weights of J after a quarter and after half of the steps
_QUARTER, _HALF = 0.25, 0.5
# of all this, beside the outer loss
_WEIGHT = 0.1


def fix_problem(problem: Problem, first=0):
    """Return every fourth recording, as if nothing about it had been learned.

    Parameters
    ----------
    problem : Problem
        Of a batch, or of a part of it.
    first : int
        Number of the part's first recording in the batch.

    Returns
    -------
    problem : Problem
        Of the recordings whose number in the batch is a multiple of four.
    """
    some = torch.arange(-first % _EVERY, len(problem.start), _EVERY, device=problem.start.device)
    objective = problem.objective.select(some)
    objective = replace(
        objective, cost=objective.cost.detach(), barrier=objective.barrier.detach()
    )
    return replace(
        problem,
        objective=objective,
        start=problem.start[some].detach(),
        summary=problem.summary[some].detach(),
    )


def descent_loss(network, problem: Problem):
    """How much of J is left along the way.

    With J_K the objective after all of K = 7 steps and x_k = J_k − J_K: log(1 + x_k) after a
    quarter and after half of them, and J_K over 1 + x_{K/2}, for its gradient. Recordings that
    begin far away count no more than others.

    Parameters
    ----------
    network : EvidenceNetwork
        Its curvature cell learns.
    problem : Problem
        From :func:`fix_problem`.

    Returns
    -------
    loss : torch.Tensor of shape ()
        Sum over these recordings, times four: comparable to a sum over all.
    """
    heights = [one.point.value for one in iterate(network, problem, _N_STEPS)]
    end = heights[-1].detach()
    quarter, half = ((heights[_N_STEPS // part] - end).clamp_min(0.0).log1p() for part in (4, 2))
    last = (heights[-1] - end) / half.detach().exp()
    return _EVERY * _WEIGHT * (_QUARTER * quarter + _HALF * half + last).sum().to(torch.float32)
