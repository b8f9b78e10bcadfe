"""The certified majorization-minimization loop (DESIGN §2c), for every objective.

A step is accepted only if the objective, as computed, did not increase: the comparison is exact,
without a tolerance. A rejected step is tried again with the curvature raised, then with a
curvature that the theory guarantees; if rounding defeats even that one, the iterate stays where
it is. This holds for any weights, lead field and data, sample by sample.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch


class Objective(Protocol):
    """What the loop asks of an objective. Points are dataclasses of tensors, one row a sample."""

    def evaluate(self, variable):
        """Return the point at ``variable``: a dataclass with ``value`` of shape (n_batch,)."""

    def move(self, point, step):
        """Return the variable that ``step`` leads to."""

    def select(self, index):
        """Return the objective of some samples."""


@dataclass(frozen=True)
class Proposal:
    """One step that may be tried.

    Parameters
    ----------
    step : callable
        Maps the numbers of some samples, int64 of shape (n_part,), to their steps.
    analytic : bool
        Whether theory guarantees that the objective will not increase.
    increase : callable | None
        Maps (index, step) to the increase that the majorant allows, shape (n_part,), where the
        majorant itself is to be verified; None asks for descent only.
    scope : Objective | None
        What evaluates it: the objective, seen along the variables that move. None is the
        objective itself.
    """

    step: Callable
    analytic: bool = False
    increase: Callable | None = None
    scope: Any = None


@dataclass(frozen=True)
class Iterate:
    """One accepted iterate of a batch.

    Parameters
    ----------
    point : dataclass of torch.Tensor
        Where, and the objective there (``point.value``).
    retries : torch.Tensor of shape (n_batch,), int64
        Times that a rejected proposal was replaced by the next one on the way here.
    analytic : torch.Tensor of shape (n_batch,), bool
        Whether a guaranteed step was taken.
    stalled : torch.Tensor of shape (n_batch,), bool
        Whether no step at all was taken, rounding having defeated the guaranteed one.
    """

    point: Any
    retries: torch.Tensor
    analytic: torch.Tensor
    stalled: torch.Tensor


@dataclass(frozen=True)
class Certificate:
    """What the solver did, sample by sample.

    Parameters
    ----------
    objective : torch.Tensor of shape (n_batch, n_steps + 1), float64
        The objective at the start and after each step: never increases along a row.
    retries : torch.Tensor of shape (n_batch, n_steps), int64
        Retries in each step.
    analytic : torch.Tensor of shape (n_batch, n_steps), bool
        Steps that the theory guarantees, all bolder ones having been rejected.
    stalled : torch.Tensor of shape (n_batch, n_steps), bool
        Steps in which the iterate did not move.
    """

    objective: torch.Tensor
    retries: torch.Tensor
    analytic: torch.Tensor
    stalled: torch.Tensor


def _combine(function, first, *others):
    """Apply a function to the tensors of points of one class, field by field."""
    if isinstance(first, torch.Tensor):
        return function(first, *others)
    if isinstance(first, tuple):
        return tuple(_combine(function, *parts) for parts in zip(first, *others, strict=True))
    values = {
        field.name: _combine(function, *(getattr(p, field.name) for p in (first, *others)))
        for field in fields(first)
    }
    return type(first)(**values)


def certified_step(objective: Objective, current, proposals: Iterable[Proposal]):
    """Try proposals in turn, sample by sample, until one does not increase the objective.

    Parameters
    ----------
    objective : Objective
        What must not increase.
    current : Iterate
        Where the batch is.
    proposals : iterable of Proposal
        The boldest first, the guaranteed one last. Later ones are only made if they are needed.

    Returns
    -------
    iterate : Iterate
        The next one. Differentiable in the accepted steps.
    """
    before = current.point.value
    waiting = torch.arange(len(before), device=before.device)
    point = current.point
    retries = torch.zeros_like(waiting)
    analytic = torch.zeros_like(waiting, dtype=torch.bool)
    for number, proposal in enumerate(proposals):
        if number:
            retries = retries.index_add(0, waiting, torch.ones_like(waiting))
        whole = len(waiting) == len(before)
        scope = objective if proposal.scope is None else proposal.scope
        part = scope if whole else scope.select(waiting)
        origin = current.point
        if not whole:
            origin = _combine(lambda tensor, at=waiting: tensor[at], origin)
        step = proposal.step(waiting)
        new = part.evaluate(part.move(origin, step))
        ceiling = origin.value
        if proposal.increase is not None:
            ceiling = torch.minimum(ceiling, ceiling + proposal.increase(waiting, step))
        good = new.value <= ceiling
        if whole and bool(good.all()):
            return Iterate(new, retries, analytic | proposal.analytic, analytic)
        kept, accepted = good.nonzero()[:, 0], waiting[good]
        point = _combine(
            lambda old, fresh, at=accepted, take=kept: old.index_copy(0, at, fresh[take]),
            point,
            new,
        )
        if proposal.analytic:
            analytic = analytic.index_fill(0, accepted, True)
        waiting = waiting[~good]
        if len(waiting) == 0:
            break
    stalled = torch.zeros_like(analytic).index_fill(0, waiting, True)
    return Iterate(point, retries, analytic, stalled)


def first_iterate(objective: Objective, start):
    """Evaluate the start, where nothing has been tried yet."""
    nothing = torch.zeros(len(start), dtype=torch.int64, device=start.device)
    return Iterate(objective.evaluate(start), nothing, nothing > 0, nothing > 0)


def descend(objective: Objective, start, propose, n_steps):
    """Run the certified loop.

    Parameters
    ----------
    objective : Objective
        What must not increase.
    start : torch.Tensor of shape (n_batch, ...)
        The first variable.
    propose : callable
        Maps a point to an iterable of :class:`Proposal`.
    n_steps : int
        Number of steps.

    Yields
    ------
    iterate : Iterate
        The start, then the iterate after each step (n_steps + 1 in all).
    """
    current = first_iterate(objective, start)
    yield current
    for _ in range(n_steps):
        current = certified_step(objective, current, propose(current.point))
        yield current


def certify(iterates):
    """Run a loop to its end, keeping the certificate.

    Parameters
    ----------
    iterates : iterable of Iterate
        From :func:`descend`.

    Returns
    -------
    last : Iterate
        The final iterate.
    certificate : Certificate
        What happened.
    """
    history = []
    for last in iterates:
        history.append((last.point.value, last.retries, last.analytic, last.stalled))
    columns = zip(*history, strict=True)
    values, retries, analytic, stalled = (torch.stack(column, 1) for column in columns)
    return last, Certificate(values, retries[:, 1:], analytic[:, 1:], stalled[:, 1:])
