"""4DVarNet: a learned gradient solver without a descent guarantee."""

import torch
from torch import nn

from ..network import Autoencoder, ConvLSTMCell
from ..solver import unit_rms
from .base import Estimator


class FourDVarNet(Estimator):
    """Gradient solver whose steps come from a convolutional LSTM.

        x ← x − [D ∗ ConvLSTM(ĝ)/(k + 1) + η (k + 1)/K · ĝ],   ĝ = ∇F(x)/rms ∇F(x), one sample each

    Fablet et al. 2021 (doi 10.1029/2021MS002572), with the step weights of their published solver
    as DESIGN §7 gives them; F is the cosine objective.

    Parameters
    ----------
    n_sources : int
        Sources.
    width, hidden, kernel : int
        Channels of the autoencoder, of the LSTM's state, and length of the kernels.
    dropout : float
        Share of the LSTM's state that is dropped in training.
    rate : float
        η at first; it is learned.
    n_steps : int
        K.
    """

    def __init__(
        self, n_sources, width=128, hidden=96, kernel=3, dropout=0.1, rate=0.1, n_steps=10
    ):
        super().__init__()
        self.regulariser_ = Autoencoder(n_sources, width, kernel)
        self.cell = ConvLSTMCell(n_sources, hidden, kernel)
        self.decode = nn.Conv1d(hidden, n_sources, 1)
        self.dropout = nn.Dropout(dropout)
        self.rate = nn.Parameter(torch.tensor(float(rate)))
        self.n_steps = n_steps

    @property
    def regulariser(self):
        """Φ."""
        return self.regulariser_

    def iterates(self, model, data, n_steps=None):
        """Yield the iterates (see :class:`Estimator`)."""
        n_steps = self.n_steps if n_steps is None else n_steps
        objective, x = self.objective(model, data)
        state = self.cell.initial_state(x)
        yield x
        for k in range(n_steps):
            gradient = unit_rms(objective.gradient(objective.evaluate(x)))
            state = self.cell(gradient, state)
            learned = self.decode(self.dropout(state[0]))
            x = x - (learned / (k + 1) + self.rate * (k + 1) / n_steps * gradient)
            yield x
