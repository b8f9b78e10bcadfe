"""Curvature of any objective from Hessian-vector products, never forming the Hessian."""

import math

import torch

from .._support.devices import keep_triton_out
from .base import ScalarMajorant, per_sample

# default: enough products for the Ritz values to miss at most this share of the spectrum
_SHARE = 1.0 / 16.0


def _missed_share(n_products, dimension, confidence):
    """ε of Kuczyński & Woźniakowski for both ends of the spectrum together.

    Lanczos with k products from a uniformly random start misses an end of the spectrum by more
    than ε of its width with probability at most 1.648 √n exp(−√ε (2k − 1)) (Kuczyński &
    Woźniakowski 1992, doi 10.1137/0613066, Theorem 4.2, for the matrix shifted to be
    semidefinite: Lanczos does not see a shift).
    """
    fail = (1.0 - confidence) / 2.0
    return (math.log(1.648 * math.sqrt(dimension) / fail) / (2 * n_products - 1)) ** 2


def _products_needed(dimension, confidence):
    fail = (1.0 - confidence) / 2.0
    needed = math.log(1.648 * math.sqrt(dimension) / fail) / math.sqrt(_SHARE)
    return math.ceil((needed + 1.0) / 2.0)


def lanczos_norm_bound(product, like, n_products=None, confidence=0.99, seed=0):
    """Upper bound of the spectral norm of a symmetric operator, one a sample.

    With Ritz values from ξ₋ to ξ₊ after k products, every eigenvalue lies, with the stated
    confidence, within ε/(1 − 2ε) (ξ₊ − ξ₋) of [ξ₋, ξ₊], ε as in ``_missed_share``; for k at
    least the dimension the Ritz values are exact. A bare power iteration answers a *lower* bound.

    Parameters
    ----------
    product : callable
        v ↦ H v, of shape (n_batch, ...); H acts on each sample by itself.
    like : torch.Tensor of shape (n_batch, ...)
        Gives shape, precision and device.
    n_products : int | None
        k; None takes as many as make ε ≤ 1/16.
    confidence : float
        Probability, over the random start, that the bound holds, between 0 and 1.
    seed : int
        Of the start, which is the same for every sample: batch mates don't matter.

    Returns
    -------
    bound : torch.Tensor of shape (n_batch,)
        ≥ ‖H‖ with the stated confidence; infinite where H v is not finite.

    Raises
    ------
    ValueError
        If so few products can't give the confidence asked for.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}.")
    dimension = like[0].numel()
    wanted = _products_needed(dimension, confidence) if n_products is None else n_products
    exhaustive = wanted >= dimension
    n_products = min(wanted, dimension)
    share = 0.0 if exhaustive else _missed_share(n_products, dimension, confidence)
    if share >= 0.5:
        raise ValueError(
            f"{n_products} products bound the norm of a Hessian of dimension {dimension} with no "
            f"confidence of {confidence}; use at least {_products_needed(dimension, confidence)}."
        )
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(like.shape[1:], generator=generator, dtype=torch.float64)
    vector = (start / start.norm()).to(like)[None].expand_as(like)
    basis, diagonal, off = [vector], [], []
    for _ in range(n_products):
        image = product(basis[-1])
        diagonal.append((basis[-1] * image).flatten(1).sum(1))
        # full orthogonalisation, twice: without it ghosts appear, and convergence is lost
        for _ in range(2):
            for other in basis:
                image = image - per_sample((other * image).flatten(1).sum(1), image) * other
        length = image.flatten(1).norm(dim=1)
        off.append(length)
        # an invariant subspace has been found where nothing is left
        small = length <= 1e-10 * torch.stack(diagonal).abs().amax(0)
        scale = torch.where(small, 0.0, 1.0 / torch.where(small, 1.0, length))
        basis.append(image * per_sample(scale, image))
    tridiagonal = torch.diag_embed(torch.stack(diagonal, 1))
    if n_products > 1:
        beside = torch.stack(off[:-1], 1)
        tridiagonal = (
            tridiagonal + torch.diag_embed(beside, offset=1) + torch.diag_embed(beside, offset=-1)
        )
    broken = ~torch.isfinite(tridiagonal).all((1, 2))
    ritz = torch.linalg.eigvalsh(torch.where(broken[:, None, None], 0.0, tridiagonal))
    low, high = ritz[:, 0], ritz[:, -1]
    margin = share / (1.0 - 2.0 * share) * (high - low)
    rounding = 1e-6 if like.dtype == torch.float32 else 1e-12
    bound = (torch.maximum(high.abs(), low.abs()) + margin) * (1.0 + rounding * n_products)
    return torch.where(broken, math.inf, bound)


class SpectralMajorant(ScalarMajorant):
    """κ from Hessian-vector products: for losses that have no analytic bound.

    κ bounds the norm of the Hessian *at x* (with the stated confidence). Elsewhere the Hessian may
    be larger, so a step from this majorant is to be verified, m(δ) ≥ J(x + δ), and κ raised where
    that fails: :func:`mne_mmnet.solver.minimize` does so.

    Parameters
    ----------
    objective : GeneralObjective | CosineObjective
        Anything with ``values(x)``, differentiable twice.
    point : GeneralPoint | CosinePoint
        ``objective.evaluate(x)``.
    gradient : torch.Tensor of shape (n_batch, ...)
        ``objective.gradient(point)``.
    n_products, confidence, seed
        See :func:`lanczos_norm_bound`.
    """

    def __init__(self, objective, point, gradient, n_products=None, confidence=0.99, seed=0):
        keep_triton_out()
        with torch.inference_mode(False), torch.enable_grad():
            x = point.x.detach().clone().requires_grad_(True)
            values = objective.values(x)
            slope = torch.zeros_like(x)
            if values.requires_grad:  # else it ignores x
                (slope,) = torch.autograd.grad(values.sum(), x, create_graph=True)

            def product(vector):
                if not slope.requires_grad:  # a linear objective
                    return torch.zeros_like(x)
                (image,) = torch.autograd.grad(
                    slope, x, vector.clone(), retain_graph=True, allow_unused=True
                )
                return torch.zeros_like(x) if image is None else image.detach()

            bound = lanczos_norm_bound(product, x.detach(), n_products, confidence, seed)
        # any positive curvature will do for a flat objective, and where there is no Hessian
        # (|x|^1.5 at 0): the verification raises it
        bound = torch.where(torch.isfinite(bound), bound, 0.0)
        super().__init__(gradient, bound.clamp_min(1e-12))
