"""How locations see each other: averages over the source-space graph, batched."""

from torch import nn

from ..objective.sparse import sparse_product
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
    return sparse_product(mixing, flat).view(-1, n_batch, n_channels).transpose(0, 1)


class LookAround(nn.Linear):
    """A linear layer on each location's features and their averages near, far and everywhere.

    ``W [x, near x, far x, mean x] + b`` with W = [W₁, W₂, W₃, W₄]. What is the same for a cell of
    locations, or for all, is multiplied once: nearly half of the products are saved.

    Parameters
    ----------
    n_in, n_out : int
        Widths.
    """

    def __init__(self, n_in, n_out):
        super().__init__(4 * n_in, n_out)

    def forward(self, graph: SourceGraph, x):
        """Apply the layer.

        Parameters
        ----------
        graph : SourceGraph
            The source space.
        x : torch.Tensor of shape (n_batch, n_sources, n_in)
            Features of the locations.

        Returns
        -------
        out : torch.Tensor of shape (n_batch, n_sources, n_out)
            The answers.
        """
        own, near, far, whole = self.weight.mT.chunk(4)
        whole = x.mean(1, keepdim=True) @ whole + self.bias
        cells = mix(graph.far, x) @ far + whole
        out = cells.index_select(1, graph.cell_of).flatten(0, 1)
        out.addmm_(x.flatten(0, 1), own).addmm_(mix(graph.near, x).flatten(0, 1), near)
        return out.view(*x.shape[:2], -1)
