"""Two grids on one cortex: where sources are, and where they are looked for."""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

FINER = {"ico2": "ico3", "ico3": "ico4"}
"""Spacings whose sources are among those of the next finer one."""


def join_grids(fine, coarse, graph):
    """Find the coarse sources among the fine ones, and the cell of each fine one.

    Along the surface: straight through the head, the nearest source may lie on the other bank of a
    sulcus, where the normals point the other way.

    Parameters
    ----------
    fine, coarse : sequence of dict
        Hemispheres, with ``vertno`` and ``nuse``; what is in use of the coarse ones is in use of
        the fine ones, too.
    graph : scipy.sparse array of shape (n_fine, n_fine)
        Edge lengths of the fine grid.

    Returns
    -------
    shared : array of int, shape (n_coarse,)
        The fine source that each coarse one is.
    owner : array of int, shape (n_fine,)
        The coarse source nearest to each fine one.
    """
    offset, members = 0, []
    for few, many in zip(coarse, fine, strict=True):
        found = np.searchsorted(many["vertno"], few["vertno"])
        assert np.array_equal(many["vertno"][found], few["vertno"])
        members.append(offset + found)
        offset += many["nuse"]
    shared = np.concatenate(members)
    _, _, nearest = dijkstra(
        graph, directed=False, indices=shared, return_predecessors=True, min_only=True
    )
    rank = np.full(offset, -1)
    rank[shared] = np.arange(len(shared))
    assert (nearest >= 0).all()
    return shared, rank[nearest]


def gather_matrix(owner, n_coarse):
    """Make the matrix (n_coarse, n_fine) that sums moments of fine sources at coarse ones."""
    n_fine = len(owner)
    return sparse.csr_array(
        (np.ones(n_fine), (owner, np.arange(n_fine))), shape=(n_coarse, n_fine)
    )
