"""Convolutional LSTM cell over time (Shi et al. 2015, arXiv 1506.04214; no peepholes)."""

import torch
from torch import nn


class ConvLSTMCell(nn.Module):
    """One recurrence over iterations of arrays that are convolved along time.

        i, f, o, c̃ = W ∗ [input, h];   c ← σ(f) c + σ(i) tanh(c̃);   h ← σ(o) tanh(c)

    Parameters
    ----------
    n_in : int
        Channels of the input.
    hidden : int
        Channels of the state.
    kernel : int
        Length of the kernel, odd.
    """

    def __init__(self, n_in, hidden, kernel=3):
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Conv1d(n_in + hidden, 4 * hidden, kernel, padding=kernel // 2)
        # remember at first
        nn.init.zeros_(self.gates.bias)
        nn.init.ones_(self.gates.bias[hidden : 2 * hidden])

    def initial_state(self, like):
        """Return zeros: h and c of shape (n_batch, hidden, n_times)."""
        zeros = like.new_zeros(len(like), self.hidden, like.shape[-1])
        return zeros, zeros

    def forward(self, x, state):
        """One step.

        Parameters
        ----------
        x : torch.Tensor of shape (n_batch, n_in, n_times)
            The input.
        state : tuple of torch.Tensor of shape (n_batch, hidden, n_times)
            h and c.

        Returns
        -------
        state : tuple of torch.Tensor of shape (n_batch, hidden, n_times)
            The next h and c.
        """
        hidden, cell = state
        gate_in, gate_keep, gate_out, new = self.gates(torch.cat([x, hidden], 1)).chunk(4, 1)
        cell = gate_keep.sigmoid() * cell + gate_in.sigmoid() * new.tanh()
        return gate_out.sigmoid() * cell.tanh(), cell
