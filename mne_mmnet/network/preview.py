"""A short look ahead: what plain sparse Bayesian learning makes of the data.

The hyperprior decides before the first step. What it is shown has to tell which atoms compete for
the same data, and no single image does: a few plain steps do, the first of all atoms, the others
of those that matter. They are features like any other,
functions of the lead field and of C alone; nothing here is learned or certified.
"""

from dataclasses import dataclass

import torch

from ..dictionary.model import SourceModel
from ..majorant import EvidenceMajorant
from ..objective import EvidenceObjective, screen
from .curvature import relevance
from .prior import assemble, base_log_cost, base_log_weight, noise_centre

# the curvature factor of the plain steps: twice as bold as the majorant's (MacKay's update)
_FACTOR = 0.5
_FLOOR = -12.0
_TINY = 1e-12

# of the first and of the last iterate: relative variance and relative posterior power; of the
# last one also b/a, the relative image, log a and the relevance
N_PREVIEW_FEATURES = 8
# of the last iterate: three noise levels, and how well the model fits
N_FIT_FEATURES = 4


@dataclass(frozen=True)
class Preview:
    """Where the plain steps lead.

    Parameters
    ----------
    v : torch.Tensor of shape (n_batch, n_atoms + 3)
        Log-variances.
    atoms : list of torch.Tensor of shape (n_batch, n_atoms), length N_PREVIEW_FEATURES
        Features of the atoms.
    fit : torch.Tensor of shape (n_batch, N_FIT_FEATURES)
        Features of the recording.
    """

    v: torch.Tensor
    atoms: list[torch.Tensor]
    fit: torch.Tensor


def _relative(log):
    """Log relative to the largest of each sample, bounded below, about 1 in size."""
    return (log - log.amax(1, keepdim=True)).clamp_min(_FLOOR) / 4.0


def preview(model: SourceModel, data, rest, start, log_power, noise_known, config):
    """Take plain steps from a sLORETA-like start.

    Parameters
    ----------
    model : SourceModel
        Lead field and dictionary.
    data, rest : torch.Tensor
        As in :class:`mne_mmnet.objective.EvidenceObjective`.
    start : torch.Tensor of shape (n_batch, n_atoms)
        Log-variances of the atoms.
    log_power, noise_known : torch.Tensor of shape (n_batch,)
        As in :class:`mne_mmnet.network.Context`.
    config : NetworkConfig
        Its ``n_preview`` and ``max_step``.

    Returns
    -------
    preview : Preview
        What came out.
    """
    n_atoms = model.n_atoms
    centre = noise_centre(log_power, noise_known)
    weight = torch.full_like(centre, base_log_weight(model.n_rank))
    cost = torch.full_like(start, base_log_cost(model.n_rank))
    objective = EvidenceObjective(model, data, rest, *assemble(cost, weight, centre))
    v = objective.project(torch.cat([start, centre], 1))
    point = objective.evaluate(v)
    a, b = objective.coefficients(point)
    features = [_relative(start), _relative(b[:, :n_atoms].clamp_min(_TINY).log())]
    moved = objective.move(point, EvidenceMajorant(a, b).minimiser(_FACTOR, config.max_step))
    scope, v = screen(objective, moved, a, b, moved - point.v), moved
    for _ in range(config.n_preview - 1):
        point = scope.evaluate(v)
        a, b = scope.update(point, a, b)
        majorant = EvidenceMajorant(a, b)
        v = scope.move(point, majorant.minimiser(_FACTOR, config.max_step))
    log_b, ratio = b[:, :n_atoms].clamp_min(_TINY).log(), 2.0 * majorant.analytic_step
    features += [
        _relative(point.v[:, :n_atoms]),
        _relative(log_b),
        ratio[:, :n_atoms].clamp(-8.0, 8.0) / 2.0,
        _relative(log_b - point.v[:, :n_atoms]),
        a[:, :n_atoms].clamp_min(1e-9).log() / 4.0,
        relevance(majorant)[:, :n_atoms] / 2.0,
    ]
    misfit = point.data.square().sum((1, 2)).to(v.dtype) / model.n_kept
    fit = torch.cat([v[:, n_atoms:] / 4.0, misfit.clamp(1e-3, 1e3).log()[:, None]], 1)
    return Preview(v, features, fit)
