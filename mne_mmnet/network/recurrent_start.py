"""A start of the descent that was read forwards and backwards in time."""

from torch import nn


class RecurrentStart(nn.Module):
    """Bidirectional LSTM over time from minimum norm to currents.

    What the direct LSTM of the comparison (:class:`mne_mmnet.baselines.LSTMNet`) does from a
    montage's data, from currents: one network serves every montage. Nothing of it enters a
    certificate, which holds from wherever the descent begins.

    Parameters
    ----------
    n_sources : int
        Channels in and out.
    width : int
        Features of each sample, and states of each direction.
    n_layers : int
        Stacked LSTMs.
    """

    def __init__(self, n_sources, width, n_layers=2):
        super().__init__()
        self.encode = nn.Linear(n_sources, width, bias=False)
        self.recurrent = nn.LSTM(width, width, n_layers, batch_first=True, bidirectional=True)
        self.decode = nn.Linear(2 * width, n_sources)

    def forward(self, x):
        """Make currents of others.

        Parameters
        ----------
        x : torch.Tensor of shape (n_batch, n_sources, n_times)
            Of unit mean square.

        Returns
        -------
        image : torch.Tensor of shape (n_batch, n_sources, n_times)
            Of any size; alone in a tuple, as where there is a tape.
        """
        features, _ = self.recurrent(self.encode(x.mT))
        return (self.decode(features).mT,)
