"""Averages over the source-space graph, batched."""


def mix(mixing, x):
    """Apply a matrix over locations to every sample and channel.

    Parameters
    ----------
    mixing : torch.Tensor of shape (n_sources, n_sources)
        Sparse CSR or dense.
    x : torch.Tensor of shape (n_batch, n_sources, n_channels)
        Features of the locations.

    Returns
    -------
    mixed : torch.Tensor of shape (n_batch, n_sources, n_channels)
        ``mixing @ x[b]`` for every b.
    """
    n_batch, n_sources, n_channels = x.shape
    flat = x.transpose(0, 1).reshape(n_sources, n_batch * n_channels)
    return (mixing @ flat).view(n_sources, n_batch, n_channels).transpose(0, 1)
