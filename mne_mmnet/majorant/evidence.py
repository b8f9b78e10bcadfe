"""Majorant of the evidence objective."""

import math

import torch

from .base import Majorant

# where a coefficient is zero (no data, or an atom at the bottom of its box) the logarithm is cut
_TINY = 1e-30


class EvidenceMajorant(Majorant):
    """Separable majorant of the evidence objective, with a curvature factor.

    At v, with the coefficients a, b of :meth:`EvidenceObjective.coefficients`,

        m_o(δ) = J(v) + Σ_i [ a_i (e^{o_i δ_i} − 1) + b_i (e^{−o_i δ_i} − 1) ] / o_i .

    Its gradient at 0 is a − b for every o, its curvature o (a + b). For o = 1 it majorizes J:
    log|Σ| is concave in e^v, and tr(C Σ⁻¹) is a minimum over X of functions Σ_i ‖x_i‖² e^{−v_i}
    (DESIGN §2b; Wipf & Nagarajan 2009). Since t ↦ (e^{tδ} − 1)/t is non-decreasing for t > 0
    (its derivative is [tδ e^{tδ} − e^{tδ} + 1]/t² ≥ 0), m_o ≥ m_1 for o ≥ 1: **every o ≥ 1 is a
    valid majorant**. An o < 1 is a bolder step that only the certificate can admit.

    Parameters
    ----------
    a, b : torch.Tensor of shape (n_batch, n_atoms + 3)
        Coefficients, non-negative.
    """

    def __init__(self, a, b):
        self.a, self.b = a, b
        # ½ log(b/a), the exact minimiser for o = 1
        self.analytic_step = 0.5 * (b.clamp_min(_TINY).log() - a.clamp_min(_TINY).log())

    @property
    def gradient(self):
        """Gradient of J, a − b, shape (n_batch, n_atoms + 3)."""
        return self.a - self.b

    @property
    def curvature(self):
        """Curvature of the majorant at 0 for o = 1, a + b, shape (n_batch, n_atoms + 3)."""
        return self.a + self.b

    def increase(self, step, factor=1.0):
        """m_o(step) − J(v), shape (n_batch,).

        Parameters
        ----------
        step : torch.Tensor of shape (n_batch, n_atoms + 3)
            δ.
        factor : torch.Tensor of shape (n_batch, n_atoms + 3) | float
            o.
        """
        factor = torch.as_tensor(factor, dtype=step.dtype, device=step.device)
        up = self.a * torch.expm1(factor * step)
        down = self.b * torch.expm1(-factor * step)
        return ((up + down) / factor).sum(-1)

    def minimiser(self, factor=1.0, max_step=math.inf):
        """Minimiser of m_o in the box |δ| ≤ max_step: ½ log(b/a)/o, cut.

        The majorant is separable and convex, so its minimiser in a box is the cut one, and a step
        cut towards 0 still decreases it.

        Parameters
        ----------
        factor : torch.Tensor of shape (n_batch, n_atoms + 3) | float
            o > 0.
        max_step : float
            Bound of |δ|.
        """
        return (self.analytic_step / factor).clamp(-max_step, max_step)
