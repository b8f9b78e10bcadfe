"""Any differentiable objective of the user's own."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .._support.devices import keep_triton_out


@dataclass(frozen=True)
class GeneralPoint:
    """One iterate.

    Parameters
    ----------
    x : torch.Tensor of shape (n_batch, ...)
        The variable.
    value : torch.Tensor of shape (n_batch,)
        The objective.
    gradient : torch.Tensor of shape (n_batch, ...)
        Its gradient.
    """

    x: torch.Tensor
    value: torch.Tensor
    gradient: torch.Tensor


@dataclass(frozen=True)
class GeneralObjective:
    """A function of the user's own, with derivatives by automatic differentiation.

    Parameters
    ----------
    function : callable
        ``function(x, index)`` maps x of shape (n_part, ...) to values of shape (n_part,), where
        ``index`` says which samples of the batch x holds, so that the function can pick their
        data. Written with torch, twice differentiable almost everywhere.
    index : torch.Tensor of shape (n_part,), int64 | None
        Samples that this objective is about; None is all.
    """

    function: Callable
    index: torch.Tensor | None = None

    def select(self, index):
        """Return the objective of some samples of the batch."""
        return GeneralObjective(self.function, index if self.index is None else self.index[index])

    def move(self, point, step):
        """Return x + step."""
        return point.x + step

    def values(self, x):
        """Return the objective, shape (n_batch,).

        Raises
        ------
        ValueError
            If the function answers anything but one number a sample.
        """
        index = torch.arange(len(x), device=x.device) if self.index is None else self.index
        values = self.function(x, index)
        if not isinstance(values, torch.Tensor) or values.shape != (len(x),):
            shape = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values)
            raise ValueError(
                f"The objective must return one value a sample, shape ({len(x)},), got {shape}. "
                "Sum over every dimension but the first."
            )
        return values

    def evaluate(self, x):
        """Evaluate the objective and its gradient."""
        keep_triton_out()
        with torch.inference_mode(False), torch.enable_grad():
            leaf = x.detach().clone().requires_grad_(True)
            values = self.values(leaf)
            gradient = torch.zeros_like(leaf)
            if values.requires_grad:  # else it ignores x
                (gradient,) = torch.autograd.grad(values.sum(), leaf)
        return GeneralPoint(x, values.detach(), gradient)

    def gradient(self, point):
        """Return the gradient at a point."""
        return point.gradient
