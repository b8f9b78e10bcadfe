"""The last step: plain updates of the few atoms that still matter.

Learned steps bring the search close to a minimum; what is left is to decide between neighbouring
atoms, which takes many small updates of few variances. They cost little where the other atoms
stand still. All of them together are one proposal: the certificate looks at where they end.
"""

import torch

from ..majorant import EvidenceMajorant
from ..objective import EvidenceObjective, EvidencePoint

# curvature factor of the updates: twice as bold as the majorant's own (MacKay's update)
_FACTOR = 0.5
# share of the atoms that move, and their least number
_ACTIVE_SHARE, _LEAST_ACTIVE = 0.2, 64


def n_active(n_atoms):
    """Return the number of atoms that move.

    Parameters
    ----------
    n_atoms : int
        Of the dictionary, or of a family in it.

    Returns
    -------
    number : int
        A share of them, but not too few.
    """
    return min(n_atoms, max(_LEAST_ACTIVE, round(_ACTIVE_SHARE * n_atoms)))


def polish(
    objective: EvidenceObjective,
    point: EvidencePoint,
    majorant: EvidenceMajorant,
    n_updates,
    max_step,
):
    """Update the atoms on which the objective depends most, the others standing still.

    Parameters
    ----------
    objective : EvidenceObjective
        The objective.
    point : EvidencePoint
        Where to start.
    majorant : EvidenceMajorant
        The majorant there.
    n_updates : int
        How many.
    max_step : float
        Bound on the change of a log-variance in one update.

    Returns
    -------
    step : torch.Tensor of shape (n_batch, n_atoms + 3)
        From the point to where the updates end.
    """
    counts = [count for count, _ in objective.model.families]
    # so many of every family that all recordings have as many columns
    active = tuple(
        part.topk(n_active(part.shape[1]), dim=1).indices
        for part in majorant.curvature[:, : sum(counts)].split(counts, dim=1)
    )
    part, v, index = objective.freeze_all_but(point.v, active)
    start = v
    for _ in range(n_updates):
        here = part.evaluate(v)
        update = EvidenceMajorant(*part.coefficients(here)).minimiser(_FACTOR, max_step)
        v = part.move(here, update)
    return torch.zeros_like(point.v).scatter(1, index, v - start)
