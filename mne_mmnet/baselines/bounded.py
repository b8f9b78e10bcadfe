"""The paper's diagonal network under one bound or another: what each costs, and is worth."""

import torch

from ..majorant import (
    DiagonalMajorant,
    Proposition1Majorant,
    SharpMajorant,
    SpectralMajorant,
    certified_ray,
)
from ..majorant.base import per_sample
from ..network import CosineConfig
from ..solver import CosineProposer, Proposal
from .mmnet import CosineMMNet, CurvatureEstimator

# Hessian-vector products a step, and the probability with which so few bound the curvature
_N_PRODUCTS, _CONFIDENCE = 12, 0.9


def _spectral(objective, point, gradient):
    return SpectralMajorant(objective, point, gradient, _N_PRODUCTS, _CONFIDENCE)


_BOUNDS = {"proposition1": Proposition1Majorant, "sharp": SharpMajorant, "hvp": _spectral}
BOUNDS = (*_BOUNDS, "ray", "none")
"""Bounds by name. :class:`CosineMMNet` itself has its network's range, and the check of F."""


class _BoundedProposer(CosineProposer):
    """The network's diagonal, never below what the bound asks for: P in (0, 2/κ)."""

    def __init__(self, network, model, objective, bound):
        super().__init__(network, model, objective)
        self.bound = bound

    def _majorant(self, point, gradient, log_factor):
        learned = super()._majorant(point, gradient, log_factor)
        if self.bound not in _BOUNDS:
            return learned
        with torch.no_grad():
            least = _BOUNDS[self.bound](self.objective, point, gradient.detach()).curvature / 2.0
        return DiagonalMajorant(gradient, learned.diagonal.clamp_min(per_sample(least, gradient)))

    def __call__(self, point):
        proposals = super().__call__(point)
        first = next(proposals)
        if self.bound == "ray":
            index = torch.arange(len(point.x), device=point.x.device)
            direction = first.step(index)
            length = certified_ray(self.objective, point, direction, 1.0).length
            step = per_sample(length, direction) * direction
            first = Proposal(lambda part: step[part])
        yield first
        yield from proposals


class BoundedMMNet(CosineMMNet):
    """The diagonal network with its steps kept within a bound; certified as ever.

    Parameters
    ----------
    config : CosineConfig
        With the diagonal metric.
    bound : str
        "proposition1", "sharp" or "hvp": of the curvature, everywhere or at the iterate. "ray":
        the step is cut to the length for which descent is proved.
    """

    def __init__(self, config: CosineConfig, bound):
        super().__init__(config)
        self.bound = bound

    def make_proposer(self, model, objective):
        """Make what proposes the steps, within the bound."""
        return _BoundedProposer(self.network, model, objective, self.bound)


class UnboundedMMNet(CurvatureEstimator):
    """The diagonal network believed blindly: no bound, and nobody checks F."""

    def iterates(self, model, data, n_steps=None):
        """Yield the iterates (see :class:`Estimator`)."""
        n_steps = self.network.config.n_steps if n_steps is None else n_steps
        objective, x = self.objective(model, data)
        proposer = CosineProposer(self.network, model, objective)
        everything = torch.arange(len(x), device=x.device)
        yield x
        for _ in range(n_steps):
            x = x + next(proposer(objective.evaluate(x))).step(everything)
            yield x
