"""4DVarNet: a learned gradient solver without a descent guarantee."""

import torch
from torch import nn

from ..network import ConvLSTMCell
from .gradient import GradientDescent


class FourDVarNet(GradientDescent):
    """Gradient solver whose steps come from a convolutional LSTM.

        x ← x − [D ∗ ConvLSTM(ĝ)/(k + 1) + η (k + 1)/K · ĝ]

    Fablet et al. 2021 (doi 10.1029/2021MS002572), with the step weights of their published solver
    as DESIGN §7 gives them; ĝ is the normalised gradient of the cosine objective.

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
        super().__init__(n_sources, width, kernel, n_steps)
        self.cell = ConvLSTMCell(n_sources, hidden, kernel)
        self.decode = nn.Conv1d(hidden, n_sources, 1)
        self.dropout = nn.Dropout(dropout)
        self.rate = nn.Parameter(torch.tensor(float(rate)))

    def begin(self, x):
        """Return the LSTM's first state."""
        return self.cell.initial_state(x)

    def step(self, gradient, k, n_steps, state):
        """Answer a gradient (see :class:`GradientDescent`)."""
        state = self.cell(gradient, state)
        learned = self.decode(self.dropout(state[0]))
        return learned / (k + 1) + self.rate * (k + 1) / n_steps * gradient, state
