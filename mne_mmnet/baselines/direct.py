"""Direct networks: data to currents in one pass, no lead field at use."""

from torch import nn

from ..solver import shrink_singular_values, unit_rms
from .base import Estimator


class ConvNet1D(Estimator):
    """1-D convolutional network over time, channels are electrodes, then features, then sources.

    x = W₃ ∗ relu(W₂ ∗ relu(W₁ ∗ ŷ)): the 1D-CNN of the comparison by Reynaud et al. 2024.

    Parameters
    ----------
    n_channels, n_sources : int
        In and out.
    width, kernel : int
        Hidden channels and length of the kernels.
    """

    def __init__(self, n_channels, n_sources, width=384, kernel=5):
        super().__init__()
        pad = kernel // 2
        self.layers = nn.Sequential(
            nn.Conv1d(n_channels, width, kernel, padding=pad),
            nn.ReLU(),
            nn.Conv1d(width, width, kernel, padding=pad),
            nn.ReLU(),
            nn.Conv1d(width, n_sources, kernel, padding=pad),
        )

    def iterates(self, model, data, n_steps=None):
        """Yield the estimate (see :class:`Estimator`)."""
        yield self.layers(unit_rms(shrink_singular_values(data)))


class LSTMNet(Estimator):
    """Bidirectional LSTM over time and a dense layer.

    Hecker et al. 2022 (bioRxiv 2022.04.13.488148), stacked and in both directions.

    Parameters
    ----------
    n_channels, n_sources : int
        In and out.
    hidden : int
        State in each direction.
    n_layers : int
        Stacked LSTMs.
    """

    def __init__(self, n_channels, n_sources, hidden=192, n_layers=2):
        super().__init__()
        self.recurrent = nn.LSTM(
            n_channels, hidden, n_layers, batch_first=True, bidirectional=True
        )
        self.dense = nn.Linear(2 * hidden, n_sources)

    def iterates(self, model, data, n_steps=None):
        """Yield the estimate (see :class:`Estimator`)."""
        features, _ = self.recurrent(unit_rms(shrink_singular_values(data)).mT)
        yield self.dense(features).mT
