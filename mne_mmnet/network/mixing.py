"""How locations see each other: averages over the source-space graph, batched."""

from torch import nn

from ..dictionary.model import SourceGraph
from ..objective.sparse import sparse_product


def mix(mixing, x):
    """Apply a matrix over locations, (n_rows, n_sources), to every sample and channel."""
    n_batch, n_sources, n_channels = x.shape
    flat = x.transpose(0, 1).reshape(n_sources, n_batch * n_channels)
    return sparse_product(mixing, flat).view(-1, n_batch, n_channels).transpose(0, 1)


class LookAround(nn.Module):
    """A layer on each location's features, and on averages of some near, far and everywhere.

    ``W [x, near y, far y, mean x] + b`` with y = P x, what locations show to each other: averages
    over neighbours are what costs on fine grids, and cost less of fewer features. What is the same
    for a cell of locations, or for all, is multiplied once.

    Parameters
    ----------
    n_in, n_out : int
        Widths.
    n_shown : int
        Width of y; 0 shows x itself.
    """

    def __init__(self, n_in, n_out, n_shown=0):
        super().__init__()
        self.show = nn.Linear(n_in, n_shown, bias=False) if n_shown else None
        shown = n_shown or n_in
        self.split = (n_in, shown, shown, n_in)
        self.join = nn.Linear(sum(self.split), n_out)

    def forward(self, graph: SourceGraph, x):
        """Apply the layer to features of the locations, (n_batch, n_sources, n_in)."""
        own, near, far, whole = self.join.weight.mT.split(self.split)
        whole = x.mean(1, keepdim=True) @ whole + self.join.bias
        shown = x if self.show is None else self.show(x)
        cells = mix(graph.far, shown) @ far + whole
        out = cells.index_select(1, graph.cell_of).flatten(0, 1)
        out.addmm_(x.flatten(0, 1), own).addmm_(mix(graph.near, shown).flatten(0, 1), near)
        return out.view(*x.shape[:2], -1)
