"""Screening: the atoms that hardly matter stand still while the others move.

After one step through the whole dictionary, a fifth of the atoms hold nearly all of the
majorant's curvature; the variances of the others are small, and so is what moving them could gain.
Between two such *sweeps* the search goes on among the former. The objective stays the same: what
stands still is summed once, into a covariance and a constant, so a step that is accepted here is
one that did not increase J. The next sweep looks at every atom again, and an atom that was left
out and whose gradient wants it comes back.
"""

from dataclasses import dataclass, replace

import torch

from .evidence import N_NOISE, EvidenceObjective, EvidencePoint
from .factorisation import factor_dtype

# share of the atoms that move, and their least number, of each family
_ACTIVE_SHARE, _LEAST_ACTIVE = 0.2, 64


def n_active(n_atoms):
    """Return the number of atoms that move, of all or of a family: a share, but not too few."""
    return min(n_atoms, max(_LEAST_ACTIVE, round(_ACTIVE_SHARE * n_atoms)))


@dataclass(frozen=True)
class ScreenedObjective:
    """The evidence objective, seen along the atoms that move.

    Points, steps and coefficients have the size of the whole, so that the certified loop and the
    networks need not know.

    Parameters
    ----------
    whole : EvidenceObjective
        The objective.
    part : EvidenceObjective
        The same in the variances that move, up to ``offset``.
    index : torch.Tensor of shape (n_batch, n_active + 3), int64
        Which these are.
    offset : torch.Tensor of shape (n_batch,)
        Cost of what stands still.
    """

    whole: EvidenceObjective
    part: EvidenceObjective
    index: torch.Tensor
    offset: torch.Tensor

    def move(self, point, step):
        """Return v + step for the variances that move."""
        moved = self.whole.project(point.v + step)
        return point.v.scatter(1, self.index, moved.gather(1, self.index))

    def evaluate(self, v):
        """Factor Σ(v) and evaluate J(v), v differing from where it was screened as said."""
        point = self.part.evaluate(v.gather(1, self.index))
        return EvidencePoint(v, point.whiten, point.data, point.value + self.offset)

    def update(self, point, a, b):
        """Coefficients of the majorant at v, those of what stands still as they were.

        Parameters
        ----------
        point : EvidencePoint
            ``self.evaluate(v)``.
        a, b : torch.Tensor of shape (n_batch, n_atoms + 3)
            The last ones.

        Returns
        -------
        a, b : torch.Tensor of shape (n_batch, n_atoms + 3)
            The coefficients.
        """
        here = replace(point, v=point.v.gather(1, self.index))
        fresh = self.part.coefficients(here)
        return tuple(
            old.scatter(1, self.index, new) for old, new in zip((a, b), fresh, strict=True)
        )

    def select(self, index):
        """Return the objective of some samples of the batch."""
        return ScreenedObjective(
            self.whole.select(index),
            self.part.select(index),
            self.index[index],
            self.offset[index],
        )


def screen(objective: EvidenceObjective, v, a, b, step):
    """Let the atoms of every family move that the majorant holds for important, and the noise.

    Were z and q as before, the majorant's curvature at v would be (a + b) e^δ.

    Parameters
    ----------
    objective : EvidenceObjective
        The objective.
    v : torch.Tensor of shape (n_batch, n_atoms + 3)
        Log-variances at which the other atoms stay.
    a, b : torch.Tensor of shape (n_batch, n_atoms + 3)
        The majorant's coefficients before the last step.
    step : torch.Tensor of shape (n_batch, n_atoms + 3)
        δ, the last step.

    Returns
    -------
    screened : ScreenedObjective
        For the steps from v on.
    """
    counts = [count for count, _ in objective.model.families]
    importance = ((a + b) * step.exp())[:, :-N_NOISE]
    # so many of every family that all recordings have as many columns
    active = tuple(
        part.topk(n_active(part.shape[1]), dim=1).indices
        for part in importance.split(counts, dim=1)
    )
    part, _, index = objective.freeze_all_but(v, active)
    variance = v[:, :-N_NOISE].to(factor_dtype(v.device)).exp()
    cost, barrier = objective.cost[:, :-N_NOISE], objective.barrier[:, :-N_NOISE]
    still = (cost * variance + barrier / variance).scatter(1, index[:, :-N_NOISE], 0.0)
    offset = still.sum(1)
    return ScreenedObjective(objective, part, index, offset)


class Sweeps:
    """Which atoms move in which step: all in a sweep, between sweeps those that matter.

    Parameters
    ----------
    objective : EvidenceObjective
        The objective.
    every : int
        Steps from one sweep through all atoms to the next; the first step is one.
    """

    def __init__(self, objective: EvidenceObjective, every):
        self.whole, self.every = objective, every
        self.scope, self.number, self.last = objective, 0, None

    def enter(self, point):
        """Return in what the next step is made, and the majorant's coefficients.

        Parameters
        ----------
        point : EvidencePoint
            Where it begins.

        Returns
        -------
        scope : EvidenceObjective | ScreenedObjective
            The objective, in the variances that move.
        coefficients : tuple of torch.Tensor of shape (n_batch, n_atoms + 3)
            a and b; of what stands still as they were at the last sweep.
        """
        if self.number % self.every == 0:
            self.scope, coefficients = self.whole, self.whole.coefficients(point)
        else:
            v, a, b = self.last
            if self.number % self.every == 1:
                self.scope = screen(self.whole, point.v, a, b, point.v - v)
            coefficients = self.scope.update(point, a, b)
        self.last, self.number = (point.v, *coefficients), self.number + 1
        return self.scope, coefficients
