"""The one interface of all majorants.

A majorant of J at v is m with m(0) = J(v) and m(δ) ≥ J(v + δ) for all δ. Minimising it never
increases J.
"""

from abc import ABC, abstractmethod


class Majorant(ABC):
    """A function that touches the objective at a point and lies above it elsewhere."""

    @property
    @abstractmethod
    def gradient(self):
        """Gradient at δ = 0, which is the objective's."""

    @abstractmethod
    def increase(self, step, factor=1.0):
        """m(step) − J, shape (n_batch,), with the curvature multiplied by ``factor``."""

    @abstractmethod
    def minimiser(self, factor=1.0):
        """δ that minimises m, with the curvature multiplied by ``factor``."""


def per_sample(value, like):
    """Reshape one number a sample to the dimensions of ``like``."""
    return value.to(like.dtype).view(-1, *[1] * (like.ndim - 1))


class QuadraticMajorant(Majorant):
    """m(δ) = J + ⟨g, δ⟩ + ½ f ⟨δ, M δ⟩, f the factor.

    Parameters
    ----------
    gradient : torch.Tensor of shape (n_batch, ...)
        g.
    """

    def __init__(self, gradient):
        self._gradient = gradient
        self._newton = None

    @property
    def gradient(self):
        """Gradient of the objective, shape (n_batch, ...)."""
        return self._gradient

    @abstractmethod
    def product(self, step):
        """Return M δ."""

    @abstractmethod
    def solve(self, right):
        """Return M⁻¹ applied to ``right``."""

    def increase(self, step, factor=1.0):
        """m(step) − J, shape (n_batch,).

        Parameters
        ----------
        step : torch.Tensor of shape (n_batch, ...)
            δ.
        factor : float
            What the curvature is multiplied by.
        """
        quadratic = (self.product(step) * step).flatten(1).sum(1)
        return (self.gradient * step).flatten(1).sum(1) + 0.5 * factor * quadratic

    def minimiser(self, factor=1.0):
        """−M⁻¹ g / factor.

        Parameters
        ----------
        factor : float
            What the curvature is multiplied by.
        """
        if self._newton is None:
            self._newton = self.solve(self.gradient)
        return -self._newton / factor


class ScalarMajorant(QuadraticMajorant):
    """M = κ I, one κ a sample.

    Parameters
    ----------
    gradient : torch.Tensor of shape (n_batch, ...)
        g.
    curvature : torch.Tensor of shape (n_batch,)
        κ > 0.
    """

    def __init__(self, gradient, curvature):
        super().__init__(gradient)
        self.curvature = curvature

    def product(self, step):
        """Return κ δ."""
        return per_sample(self.curvature, step) * step

    def solve(self, right):
        """Return ``right`` / κ."""
        return right / per_sample(self.curvature, right)
