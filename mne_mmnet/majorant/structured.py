"""Curvature of the data term kept as it is, LᵀL, with a diagonal for the rest."""

import torch

from ..objective import factor_dtype, robust_cholesky
from .analytic import data_weight, regulariser_curvature
from .base import QuadraticMajorant, per_sample

# least diagonal of the sharp majorant, times ‖x‖²
_LEAST_CURVATURE = 1e-6


class StructuredMajorant(QuadraticMajorant):
    """M = w LᵀL + diag(d), inverted in sensor space (Woodbury).

    With w = c/‖Lx‖² and c = 4 the first part majorizes the data term 1 − cos(y, Lx) everywhere:
    1 − cos(y, z) has the majorant (c/2‖z_k‖²) ‖z − z_k‖² (:mod:`mne_mmnet.majorant.analytic`), and
    z − z_k = L(x − x_k). It never exceeds the scalar bound c ‖L‖²/‖Lx‖², and is far below it in
    all directions that the sensors hardly see. The inverse costs one n × n factorisation,

        M⁻¹ r = D⁻¹ [r − Lᵀ (I/w + L D⁻¹ Lᵀ)⁻¹ L D⁻¹ r],   D = diag(d).

    Parameters
    ----------
    gradient : torch.Tensor of shape (n_batch, n_sources, n_times)
        g.
    leadfield : torch.Tensor of shape (n_models, n_channels, n_sources)
        L; n_models is 1 or n_batch.
    weight : torch.Tensor of shape (n_batch,)
        w > 0.
    diagonal : torch.Tensor of shape (n_batch, n_sources)
        d > 0, the same at all times.
    """

    def __init__(self, gradient, leadfield, weight, diagonal):
        super().__init__(gradient)
        self.leadfield, self.weight, self.diagonal = leadfield, weight, diagonal

    def product(self, step):
        """Return w LᵀL δ + d ∘ δ."""
        seen = self.leadfield.mT @ (self.leadfield @ step)
        return per_sample(self.weight, step) * seen + self.diagonal[:, :, None] * step

    def solve(self, right):
        """Return M⁻¹ applied to ``right``, by Woodbury's identity."""
        # in double precision: where d is far below w the two terms nearly cancel
        exact = factor_dtype(right.device)
        leadfield, inverse = self.leadfield.to(exact), self.diagonal.to(exact).reciprocal()
        kernel = (leadfield * inverse[:, None, :]) @ leadfield.mT
        eye = torch.eye(kernel.shape[-1], dtype=exact, device=kernel.device)
        chol = robust_cholesky(kernel + eye / per_sample(self.weight.to(exact), kernel))
        scaled = inverse[:, :, None] * right.to(exact)
        dual = torch.cholesky_solve(leadfield @ scaled, chol)
        return (scaled - inverse[:, :, None] * (leadfield.mT @ dual)).to(right.dtype)


def sharp_structured_majorant(objective, point, gradient):
    """Majorize the cosine objective everywhere by 4/‖Lx‖² LᵀL + λ κ_g I.

    Parameters
    ----------
    objective, point, gradient : CosineObjective, CosinePoint, torch.Tensor
        F, ``objective.evaluate(x)`` and ``objective.gradient(point)``.

    Returns
    -------
    majorant : StructuredMajorant
        With the constants of :mod:`mne_mmnet.majorant.analytic`.
    """
    curvature = objective.weight * regulariser_curvature(objective, point)
    # without a regulariser there is none, and the step needs some; F is free of scale
    floor = _LEAST_CURVATURE * point.norms[:, 0].square().reciprocal()
    curvature = torch.maximum(curvature.nan_to_num(0.0), floor)
    diagonal = curvature.to(gradient.dtype)[:, None].expand(-1, gradient.shape[1])
    return StructuredMajorant(gradient, objective.leadfield, data_weight(point), diagonal)
