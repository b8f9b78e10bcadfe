"""What every learned estimator is: data and a lead field in, currents out."""

from abc import ABC, abstractmethod

from torch import nn

from ..solver import pose_cosine


class Estimator(nn.Module, ABC):
    """A learned map from whitened data to currents of arbitrary unit.

    Attributes
    ----------
    regulariser : torch.nn.Module | None
        Φ of the objective that the method descends; None where there is no objective.
    any_steps : bool
        Whether the same weights may take more steps at use than in training.
    """

    regulariser = None
    any_steps = False
    weight = 1.0

    @abstractmethod
    def iterates(self, model, data, n_steps=None):
        """Yield the start and every further iterate; the last one is the estimate.

        Parameters
        ----------
        model : CosineModel
            The lead field.
        data : torch.Tensor of shape (n_batch, n_channels, n_times)
            Whitened data.
        n_steps : int | None
            Number of steps; None is what the method was made for. Direct methods have one.

        Yields
        ------
        x : torch.Tensor of shape (n_batch, n_sources, n_times)
            Currents.
        """

    def forward(self, model, data, n_steps=None):
        """Return the estimate, shape (n_batch, n_sources, n_times)."""
        *_, last = self.iterates(model, data, n_steps)
        return last

    def estimate(self, model, data, n_steps=None):
        """Return the estimate, and the regulariser of its objective; None where there is none."""
        return self(model, data, n_steps), self.regulariser

    def objective(self, model, data):
        """Return the cosine objective with this method's regulariser, and the start."""
        return pose_cosine(self.regulariser, self.weight, model, data)
