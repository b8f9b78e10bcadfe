"""The cosine route: from a lead field and data to iterates with a learned curvature."""

import math
from dataclasses import dataclass, replace

import torch

from ..majorant import (
    DiagonalMajorant,
    StructuredMajorant,
    certified_ray,
    local_structured_majorant,
    sharp_structured_majorant,
)
from ..majorant.analytic import data_weight
from ..majorant.base import per_sample
from ..network import CosineNetwork, unit_or
from ..objective import CosineObjective, factor_dtype
from .descent import Proposal, descend
from .low_rank import shrink_singular_values

# factors by which the curvature is raised before the analytic majorant takes over, and, for a
# regulariser with kinks, beyond it
_RAISES = (4.0, 16.0, 64.0)
_ANALYTIC_RAISES = (1.0, 1e2, 1e4)
# prior variances of the sources fall as the lead field's norm to this power (depth weighting)
_DEPTH = 1.6
# 1/SNR² of the start, a depth-weighted minimum norm
_START_NOISE = 0.03


@dataclass(frozen=True)
class CosineModel:
    """A lead field made ready for the cosine route.

    Parameters
    ----------
    leadfield : torch.Tensor of shape (1, n_channels, n_sources)
        Whitened, divided by its spectral norm.
    depth : torch.Tensor of shape (n_sources,)
        d₀: norm of each column to the power 1.6, of mean 1.
    depth_norm : float
        ‖L diag(d₀)^{−1/2}‖², so that LᵀL ⪯ depth_norm · diag(d₀).
    start : torch.Tensor of shape (n_sources, n_channels)
        Inverse operator of the start.
    """

    leadfield: torch.Tensor
    depth: torch.Tensor
    depth_norm: float
    start: torch.Tensor

    @classmethod
    def build(cls, leadfield, device="cpu"):
        """Prepare a lead field.

        Parameters
        ----------
        leadfield : array-like of shape (n_channels, n_sources)
            Whitened, per A·m.
        device : torch.device | str
            Where to put it.

        Raises
        ------
        ValueError
            If the lead field is zero or not finite.
        """
        exact = torch.as_tensor(leadfield, dtype=torch.float64)
        norm = torch.linalg.matrix_norm(exact, ord=2) if torch.isfinite(exact).all() else 0.0
        if not norm > 0:
            raise ValueError(
                "The lead field is zero or not finite: no source reaches the sensors. Recompute "
                "the forward solution."
            )
        exact = exact / norm
        depth = exact.square().sum(0).pow(_DEPTH / 2.0)
        # hardly visible sources are not given all the freedom that they would ask for
        depth = depth.clamp_min(1e-3 * float(depth.max()))
        depth = depth / depth.mean()
        weighted = exact / depth
        kernel = weighted @ exact.mT
        noise = _START_NOISE * kernel.trace() / len(kernel)
        eye = torch.eye(len(kernel), dtype=kernel.dtype)
        start = torch.linalg.solve(kernel + noise * eye, weighted).mT
        return cls(
            leadfield=exact[None].to(device, torch.float32),
            depth=depth.to(device, torch.float32),
            depth_norm=float(torch.linalg.matrix_norm(kernel, ord=2)),
            start=start.to(device, torch.float32),
        )


def pose_cosine(regulariser, weight, model: CosineModel, data):
    """State the problem and where to start.

    The data are first freed of noise (:func:`shrink_singular_values`): the cosine's data term
    knows no noise level, and would fit it.

    Parameters
    ----------
    regulariser : Regulariser
        Φ.
    weight : float
        λ.
    model : CosineModel
        The lead field.
    data : torch.Tensor of shape (n_batch, n_channels, n_times)
        Whitened data, of any scale and precision.

    Returns
    -------
    objective : CosineObjective
        F.
    start : torch.Tensor of shape (n_batch, n_sources, n_times)
        Depth-weighted minimum norm, of unit mean square; ones where the data are zero (F is not
        defined at zero).
    """
    data = _unit(data).to(model.leadfield.dtype)
    data = _unit(shrink_singular_values(data))
    start = model.start @ data
    start = unit_or(start, torch.ones_like(start))
    one = torch.ones(1, dtype=factor_dtype(data.device), device=data.device)
    return CosineObjective(model.leadfield, one, data, regulariser, weight), start


def pose_network(network: CosineNetwork, model: CosineModel, data, start=None):
    """State the problem as a network poses it: with its regulariser, from its start.

    See :func:`pose_cosine`, whose start is improved if the network does that. ``start`` is another
    one, currents of any size; samples of it that are zero or not finite are passed over.
    """
    objective, minimum_norm = pose_cosine(network.regulariser, network.config.weight, model, data)
    if start is None:
        start = network.start(minimum_norm)
    else:
        start = unit_or(start, minimum_norm)
    return replace(objective, regulariser=network.prior(start)), start


def _unit(data):
    """Divide each sample by its norm, where it has one; the maximum first, against underflow."""
    largest = data.abs().amax((1, 2), keepdim=True)
    data = data / torch.where(largest > 0, largest, 1.0)
    norm = data.square().sum((1, 2), keepdim=True).sqrt()
    return data / torch.where(norm > 0, norm, 1.0)


class CosineProposer:
    """The curvature network as a source of proposals.

    With h the network's factors, d₀ the depth weights and w = 4/‖Lx‖² the sharp constant of the
    data term, the curvature is

        diagonal:    M = w ‖L diag(d₀)^{−1/2}‖² diag(d₀ / h), one h for every source and time,
        structured:  M = w LᵀL + diag(d₀ / (h ‖x‖²)), one h a source: their
                     geometric mean over time, weighted by the data's power.

    M is what the step is taken with, so the bounds of h bound the step itself. If the objective
    does not fall, M is raised; then a step is taken whose descent is proved along its direction
    (:mod:`mne_mmnet.majorant.ray`), and at last one of the analytic structured majorant.

    Parameters
    ----------
    network : CosineNetwork
        Trained or not.
    model : CosineModel
        The lead field.
    objective : CosineObjective
        From :func:`pose_cosine`.
    """

    def __init__(self, network, model, objective):
        self.network, self.model, self.objective = network, model, objective
        self.state = None
        power = objective.data.square().sum(1)
        total = power.sum(1, keepdim=True)
        uniform = torch.full_like(power, 1.0 / power.shape[1])
        self.when = torch.where(total > 0, power / torch.where(total > 0, total, 1.0), uniform)

    def __call__(self, point):
        """Yield the proposals at a point, from the boldest to the analytic ones."""
        network, objective, model = self.network, self.objective, self.model
        gradient = objective.gradient(point)
        # the curvature must not depend on the unit of the currents or of the lead field
        seen = unit_rms(gradient / model.depth.sqrt()[:, None])
        x_unit = unit_rms(point.x)
        state = network.curvature.initial_state(point.x) if self.state is None else self.state
        log_factor, self.state = network.curvature(seen, x_unit, state)
        majorant = self._majorant(point, gradient, log_factor)
        for raised in (1.0, *_RAISES):
            step = majorant.minimiser(raised)
            yield Proposal(lambda index, step=step: step[index])
        yield ray_proposal(objective, point, gradient)
        safe = sharp_structured_majorant(objective, point, gradient)
        for raised in _ANALYTIC_RAISES:
            step = safe.minimiser(raised)
            yield Proposal(lambda index, step=step: step[index], analytic=True)

    def _majorant(self, point, gradient, log_factor):
        config, model = self.network.config, self.model
        low, high = config.factor_min, config.factor_max
        weight = data_weight(point).to(gradient.dtype)
        if config.metric == "diagonal":
            factor = log_factor.exp().nan_to_num(1.0).clamp(low, high)
            scale = weight[:, None, None] * model.depth_norm * model.depth[:, None]
            return DiagonalMajorant(gradient, scale / factor)
        pooled = (log_factor * self.when[:, None]).sum(2)
        factor = pooled.exp().nan_to_num(low).clamp(low, high)
        size = point.norms[:, 0].square().to(gradient.dtype)[:, None]
        return StructuredMajorant(
            gradient, self.objective.leadfield, weight, model.depth / (factor * size)
        )


def ray_proposal(objective, point, gradient):
    """Make the proposal whose descent is proved, though Φ has kinks.

    Along the step that the curvature at x suggests; refused where nothing was proved.
    """
    direction = local_structured_majorant(objective, point, gradient).minimiser()
    length = certified_ray(objective, point, direction).length
    step = per_sample(length, direction) * direction
    allowed = torch.where(length > 0, 0.0, -math.inf)
    return Proposal(lambda index: step[index], True, lambda index, _: allowed[index])


class RayProposer:
    """No network: every step is one whose descent is proved along its direction.

    Where rounding defeats it, the analytic structured majorant's step follows.

    Parameters
    ----------
    objective : CosineObjective
        From :func:`pose_cosine`.
    """

    def __init__(self, objective):
        self.objective = objective

    def __call__(self, point):
        """Yield the proposals at a point."""
        gradient = self.objective.gradient(point)
        yield ray_proposal(self.objective, point, gradient)
        step = sharp_structured_majorant(self.objective, point, gradient).minimiser()
        yield Proposal(lambda index: step[index], analytic=True)


def unit_rms(x):
    """Divide each sample by its root mean square; zeros stay zeros."""
    size = x.square().mean((1, 2), keepdim=True).sqrt()
    return x / torch.where(size > 0, size, 1.0)


def cosine_iterates(network: CosineNetwork, model: CosineModel, data, n_steps=None):
    """Run the certified loop on a batch of data.

    Parameters
    ----------
    network : CosineNetwork
        Trained or not.
    model : CosineModel
        The lead field.
    data : torch.Tensor of shape (n_batch, n_channels, n_times)
        Whitened data.
    n_steps : int | None
        Number of steps; None is the configuration's.

    Returns
    -------
    iterates : iterator of Iterate
        Their ``point.x`` are the currents, of arbitrary unit. Differentiable in the weights,
        unless run under ``torch.inference_mode``.
    """
    n_steps = network.config.n_steps if n_steps is None else n_steps
    objective, start = pose_network(network, model, data)
    return descend(objective, start, CosineProposer(network, model, objective), n_steps)
