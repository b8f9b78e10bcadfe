"""What 4DVarNet and the meta-learned methods share: steps along gradients that they change."""

from abc import abstractmethod

from ..network import Autoencoder
from ..solver import unit_rms
from .base import Estimator


class GradientDescent(Estimator):
    """x ← x − d_k, d_k made of ĝ = ∇F(x)/rms ∇F(x), each sample normalised alone.

    F is the cosine objective.

    Parameters
    ----------
    n_sources : int
        Sources.
    width, kernel : int
        Of the autoencoder.
    n_steps : int
        Number of steps.
    """

    def __init__(self, n_sources, width=128, kernel=3, n_steps=10):
        super().__init__()
        self.regulariser_ = Autoencoder(n_sources, width, kernel)
        self.n_steps = n_steps

    @property
    def regulariser(self):
        """Φ."""
        return self.regulariser_

    def begin(self, x):
        """Return what the first step is told besides the gradient; ``x`` is the start."""
        return None

    @abstractmethod
    def step(self, gradient, k, n_steps, state):
        """Answer the k-th of ``n_steps`` normalised gradients with d_k and the next state."""

    def iterates(self, model, data, n_steps=None):
        """Yield the iterates (see :class:`Estimator`)."""
        n_steps = self.n_steps if n_steps is None else n_steps
        objective, x = self.objective(model, data)
        yield x
        state = self.begin(x)
        for k in range(n_steps):
            gradient = unit_rms(objective.gradient(objective.evaluate(x)))
            step, state = self.step(gradient, k, n_steps, state)
            x = x - step
            yield x
