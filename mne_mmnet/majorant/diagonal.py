"""Diagonal curvature: the form that the paper's network learns."""

from .base import QuadraticMajorant


class DiagonalMajorant(QuadraticMajorant):
    """M = diag(d), d of the shape of the variable; P = 1/d is the paper's inverse majorant.

    Parameters
    ----------
    gradient : torch.Tensor of shape (n_batch, ...)
        g.
    diagonal : torch.Tensor, broadcastable to the shape of ``gradient``
        d > 0. It majorizes wherever d ≥ κ, κ an upper bound of the curvature.
    """

    def __init__(self, gradient, diagonal):
        super().__init__(gradient)
        self.diagonal = diagonal

    def product(self, step):
        """Return d ∘ δ."""
        return self.diagonal * step

    def solve(self, right):
        """Return ``right`` / d."""
        return right / self.diagonal
