r"""A bound of the cosine objective along one direction, without evaluating it there.

Along a ray x + td most of F is known in closed form: ⟨y, L(x + td)⟩, ‖L(x + td)‖ and ‖x + td‖
are polynomials of t or their roots. Only Φ(x + td) = Φ(x) + t (a + e) is uncertain, and e is
bounded by :meth:`mne_mmnet.network.Autoencoder.enclose`: of the activations' slopes only those can
change whose argument comes near the kink (or the bend) within the length of the step, and that is
known for each of them. Hence

    cos(x + td, Φ(x + td)) ≥ [⟨x + td, Φ + ta⟩ − t |⟨x, e⟩| − t² |⟨d, e⟩|]
                             / [‖x + td‖ (‖Φ + ta‖ + t ‖e‖)],

with ‖Φ + ta‖ − t‖e‖ in place of the sum where the numerator is negative. It holds for the ReLU,
too, for which no quadratic majorant exists; the bound touches F at t = 0, and a ray along which F
descends has a length at which the bound proves it: short enough, no slope changes.

A ball has no such luck: within a tenth of ‖x‖ all entries of a hidden time step can be made to
change their sign, if all of the step is spent there. That is what makes the product of the layers'
norms, squared, a hundred times the Hessian.
"""

from typing import NamedTuple

import torch

from ..objective import factor_dtype
from .analytic import LOCAL, data_weight
from .base import per_sample
from .structured import StructuredMajorant

# longest step, in units of the one that the curvature at x suggests
LONGEST = 16.0
# lengths that are looked at: each range from half to the whole of the one before, at some places
_N_HALVINGS, _PLACES = 14, (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
# a sample that has found a length stops after so many ranges without a better one
_PATIENCE = 3
# products with the Jacobian from which its norm is estimated
_N_PRODUCTS = 6


class Ray(NamedTuple):
    """A step along a direction.

    Parameters
    ----------
    length : torch.Tensor of shape (n_batch,)
        t; 0 where no descent could be proved.
    value : torch.Tensor of shape (n_batch,), float64
        Proved: F(x + td) is not above it.
    """

    length: torch.Tensor
    value: torch.Tensor


class _Path:
    """What of F is known in closed form along x + td."""

    def __init__(self, objective, point, direction):
        seen = objective.leadfield @ direction
        self.objective, self.point, self.direction = objective, point, direction
        self.x = _square(point.x, direction)
        self.seen = _square(point.seen, seen)
        self.match = _inner(objective.data, point.seen), _inner(objective.data, seen)

    def bound(self, shortest, longest, lengths):
        """Bound F at ``lengths`` (n_batch, n), all between the other two (n_batch,)."""
        x, d, image = self.point.x, self.direction, self.point.image
        found = self.objective.regulariser.enclose(
            self.point.tape, d, shortest, longest, against=(x, d)
        )
        t, along = lengths, found.along
        doubt, of_x, of_d = (a.to(t)[:, None] for a in (found.size, *found.inner))
        known = (
            _inner(x, image)
            + t * (_inner(d, image) + _inner(x, along) - of_x)
            + t**2 * (_inner(d, along) - of_d)
        )
        middle = _norm(_square(image, along), t)
        doubt = t * doubt
        size = torch.where(known >= 0, middle + doubt, (middle - doubt).clamp_min(0.0))
        agreement = (known / (_norm(self.x, t) * size).clamp_min(1e-300)).clamp(-1.0, 1.0)
        match, slope = self.match
        fidelity = 1.0 - (match + t * slope) / _norm(self.seen, t).clamp_min(1e-300)
        return fidelity + self.objective.weight * (1.0 - agreement)


def _inner(a, b):
    """Multiply: ⟨a, b⟩ of each sample, (n_batch, 1), in the precision of the objective."""
    return (a * b).sum((1, 2), dtype=factor_dtype(a.device))[:, None]


def _square(a, b):
    """Coefficients of ‖a + tb‖²."""
    return _inner(a, a), 2.0 * _inner(a, b), _inner(b, b)


def _norm(square, t):
    constant, linear, quadratic = square
    return (constant + t * linear + t**2 * quadratic).clamp_min(0.0).sqrt()


@torch.no_grad()
def certified_ray(objective, point, direction, longest=LONGEST):
    """Find the length along a direction at which the most descent is proved.

    Parameters
    ----------
    objective : CosineObjective
        F.
    point : CosinePoint
        ``objective.evaluate(x)``.
    direction : torch.Tensor of shape (n_batch, n_sources, n_times)
        d.
    longest : float
        Largest length, in units of d; half of it, a quarter and so on are looked at as well.

    Returns
    -------
    ray : Ray
        Length and what is proved. F is not evaluated there.
    """
    path = _Path(objective, point, direction)
    best = point.value.clone()
    length = torch.zeros_like(best)
    places = torch.tensor(_PLACES, dtype=best.dtype, device=best.device)
    idle = torch.zeros_like(best, dtype=torch.int64)
    for halving in range(_N_HALVINGS):
        top = torch.full_like(best, longest * 0.5**halving)
        lengths = top[:, None] * places
        value, where = path.bound(lengths[:, 0], top, lengths).min(1)
        better = (value < best) & (idle < _PATIENCE)  # each for itself: batch mates don't matter
        best = torch.where(better, value, best)
        length = torch.where(better, lengths.gather(1, where[:, None])[:, 0], length)
        idle = torch.where(better | (length == 0), 0, idle + 1)
        if bool((idle >= _PATIENCE).all()):
            break
    return Ray(length.to(point.x.dtype), best)


@torch.no_grad()
def estimate_slope(regulariser, point, n_products=_N_PRODUCTS):
    """Estimate ‖∇Φ(x)‖ from below, by power iteration.

    Parameters
    ----------
    regulariser : Regulariser
        Φ.
    point : CosinePoint
        At x.
    n_products : int
        Products with the Jacobian.

    Returns
    -------
    slope : torch.Tensor of shape (n_batch,)
        At least ‖Φ(x)‖/‖x‖ for a ReLU, whose Jacobian maps x to Φ(x).
    """
    vector, size = point.x, None
    for _ in range(n_products):
        length = vector.flatten(1).norm(dim=1).clamp_min(1e-30)
        pushed = regulariser.pushforward(point.tape, vector / per_sample(length, vector))
        size = pushed.flatten(1).norm(dim=1)
        vector = regulariser.pullback(point.tape, pushed)
    return size


def local_structured_majorant(objective, point, gradient):
    """4/‖Lx‖² LᵀL with the curvature that the regulariser has at x, where its slopes don't change.

    With J = ‖∇Φ(x)‖ in place of the largest slope anywhere, and no bend: (2/√3)(1/‖x‖² + J²/β²) +
    2J/(‖x‖β). It bounds nothing away from x, but says where to go; how far, :func:`certified_ray`
    proves.

    Parameters
    ----------
    objective, point, gradient : CosineObjective, CosinePoint, torch.Tensor
        F, ``objective.evaluate(x)`` and ``objective.gradient(point)``.

    Returns
    -------
    majorant : StructuredMajorant
        Of the data term; not of the regulariser.
    """
    by_x, _, by_image = point.norms.clamp_min(1e-300).reciprocal().unbind(1)
    through = estimate_slope(objective.regulariser, point).to(by_x.dtype) * by_image
    curvature = objective.weight * (LOCAL * (by_x**2 + through**2) + 2.0 * by_x * through)
    curvature = torch.maximum(curvature.nan_to_num(0.0, posinf=0.0), 1e-6 * by_x**2)
    diagonal = curvature.to(gradient.dtype)[:, None].expand(-1, gradient.shape[1])
    return StructuredMajorant(gradient, objective.leadfield, data_weight(point), diagonal)
