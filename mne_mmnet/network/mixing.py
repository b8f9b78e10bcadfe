"""How locations see each other: averages over the source-space graph, batched."""

import torch

from ..source_model import SourceGraph


def mix(mixing, x):
    """Apply a matrix over locations to every sample and channel.

    Parameters
    ----------
    mixing : torch.Tensor of shape (n_rows, n_sources)
        Sparse CSR or dense.
    x : torch.Tensor of shape (n_batch, n_sources, n_channels)
        Features of the locations.

    Returns
    -------
    mixed : torch.Tensor of shape (n_batch, n_rows, n_channels)
        ``mixing @ x[b]`` for every b.
    """
    n_batch, n_sources, n_channels = x.shape
    flat = x.transpose(0, 1).reshape(n_sources, n_batch * n_channels)
    return (mixing @ flat).view(-1, n_batch, n_channels).transpose(0, 1)


def look_around(graph: SourceGraph, x):
    """Join each location's features with averages near, far and over the whole source space.

    Parameters
    ----------
    graph : SourceGraph
        The source space.
    x : torch.Tensor of shape (n_batch, n_sources, n_channels)
        Features of the locations.

    Returns
    -------
    around : torch.Tensor of shape (n_batch, n_sources, 4 * n_channels)
        Own, near, far, whole.
    """
    far = mix(graph.far, x)[:, graph.cell_of]
    whole = x.mean(1, keepdim=True).expand_as(x)
    return torch.cat([x, mix(graph.near, x), far, whole], -1)
