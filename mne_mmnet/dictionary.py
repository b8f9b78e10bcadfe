"""Multi-scale patch dictionary on a source-space graph (arrays only, no MNE, no torch).

A *patch* is a map over source locations that decays with the distance along the source-space
graph. Extents are millimetres, not hops, so a scale means the same at every grid density
(DESIGN §2b).
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

_PROFILES = ("point", "gaussian", "exponential", "flat")
# a patch is cut where its profile falls below this share of its peak
_CUT = 0.05
# rows of the distance matrix made at once: bounds the memory of the shortest-path search
_CHUNK = 128


@dataclass(frozen=True)
class PatchScale:
    """One scale of the dictionary.

    Parameters
    ----------
    profile : str
        ``"point"``, ``"gaussian"`` (exp(−d²/2e²)), ``"exponential"`` (exp(−d/e): a sharp centre
        with weak skirts) or ``"flat"`` (1 up to e).
    extent : float
        The extent e in mm; 0 for a point.
    """

    profile: str
    extent: float = 0.0

    def __post_init__(self):
        if self.profile not in _PROFILES:
            raise ValueError(f"profile must be one of {_PROFILES}, got {self.profile!r}.")
        if self.profile != "point" and not self.extent > 0:
            raise ValueError(f"A {self.profile} patch needs an extent > 0 mm, got {self.extent}.")

    @property
    def radius(self):
        """Distance (mm) beyond which the patch is zero."""
        if self.profile == "gaussian":
            return self.extent * np.sqrt(-2.0 * np.log(_CUT))
        if self.profile == "exponential":
            return self.extent * -np.log(_CUT)
        return self.extent if self.profile == "flat" else 0.0

    def __call__(self, distance):
        """Return the profile at distances in mm, peak 1."""
        distance = np.asarray(distance, float)
        if self.profile == "gaussian":
            value = np.exp(-0.5 * (distance / self.extent) ** 2)
        elif self.profile == "exponential":
            value = np.exp(-distance / self.extent)
        else:
            value = np.ones_like(distance)
        return np.where(distance <= self.radius, value, 0.0)


def graph_distances(adjacency, radius, rows=None):
    """Shortest-path distances along the graph, up to a radius.

    Parameters
    ----------
    adjacency : scipy.sparse array of shape (n_sources, n_sources)
        Symmetric edge lengths in mm.
    radius : float
        Largest distance (mm) kept.
    rows : array of int | None
        Locations from which distances are wanted. None is all.

    Returns
    -------
    distances : scipy.sparse.csr_array of shape (n_rows, n_sources)
        Distances in mm; that of a location from itself is stored, as an explicit zero.
    """
    adjacency = sparse.csr_array(adjacency)
    n_sources = adjacency.shape[0]
    rows = np.arange(n_sources) if rows is None else rows
    starts, cols, values = [np.zeros(1, int)], [np.zeros(0, np.int32)], [np.zeros(0)]
    for start in range(0, len(rows), _CHUNK):
        index = rows[start : start + _CHUNK]
        dense = dijkstra(adjacency, directed=False, indices=index, limit=radius)
        row, col = np.nonzero(dense <= radius)
        starts.append(np.bincount(row, minlength=len(index)))
        cols.append(col.astype(np.int32))
        values.append(dense[row, col])
    parts = (np.concatenate(values), np.concatenate(cols), np.cumsum(np.concatenate(starts)))
    return sparse.csr_array(parts, shape=(len(rows), n_sources))


class Neighbourhoods:
    """A graph with its distances up to a radius, searched for once.

    Every function of this module that takes a graph takes one of these or its adjacency.

    Parameters
    ----------
    adjacency : scipy.sparse array of shape (n_sources, n_sources)
        Symmetric edge lengths in mm.
    radius : float
        Distances (mm) up to which locations are looked up; beyond, they are searched for.
    """

    def __init__(self, adjacency, radius):
        self.adjacency, self.radius = adjacency, radius
        self._distances = graph_distances(adjacency, radius)

    def within(self, radius, rows=None):
        """Return :func:`graph_distances` up to a radius."""
        if radius > self.radius:
            return graph_distances(self.adjacency, radius, rows)
        found = self._distances if rows is None else self._distances[rows]
        keep = found.data <= radius
        # every row has an entry, its own location's
        counts = np.add.reduceat(keep, found.indptr[:-1], dtype=np.int64)
        starts = np.concatenate([[0], np.cumsum(counts)])
        return sparse.csr_array((found.data[keep], found.indices[keep], starts), found.shape)


def _within(graph, radius, rows=None):
    if isinstance(graph, Neighbourhoods):
        return graph.within(radius, rows)
    return graph_distances(graph, radius, rows)


def patch_matrices(graph, scales, rows=None):
    """One matrix of patches per scale.

    Parameters
    ----------
    graph : scipy.sparse array of shape (n_sources, n_sources) | Neighbourhoods
        Symmetric edge lengths in mm.
    scales : sequence of PatchScale
        The scales.
    rows : array of int | None
        Locations at which the patches are wanted. None is all.

    Returns
    -------
    patches : list of scipy.sparse.csr_array of shape (n_rows, n_sources)
        Column j of each is the patch centred at location j, with peak 1.
    """
    if not isinstance(graph, Neighbourhoods) and rows is None:
        graph = Neighbourhoods(graph, max(scale.radius for scale in scales))
    patches = []
    for scale in scales:
        patch = _within(graph, scale.radius, rows)
        patch.data = scale(patch.data)
        patches.append(patch)
    return patches


def cover(graph, spacing):
    """Spread centres over the graph, so that each location has one nearby.

    Parameters
    ----------
    graph : scipy.sparse array of shape (n_sources, n_sources) | Neighbourhoods
        Symmetric edge lengths in mm.
    spacing : float
        No two centres are that close (mm), and every location is that close to one.

    Returns
    -------
    centres : array of shape (n_centres,), int
        Locations, ascending.
    nearest : array of shape (n_sources,), int
        Number of the nearest centre of each location.
    """
    distances = _within(graph, spacing)
    n_sources = distances.shape[0]
    closest = np.full(n_sources, np.inf)
    nearest = np.zeros(n_sources, int)
    centres = []
    for location in range(n_sources):
        if closest[location] < np.inf:
            continue
        row = slice(distances.indptr[location], distances.indptr[location + 1])
        reached, distance = distances.indices[row], distances.data[row]
        closer = distance < closest[reached]
        closest[reached[closer]] = distance[closer]
        nearest[reached[closer]] = len(centres)
        centres.append(location)
    return np.array(centres), nearest


def mixing_matrix(graph, extent, rows=None):
    """Row-stochastic Gaussian average over the graph, by which locations see their neighbours.

    Parameters
    ----------
    graph : scipy.sparse array of shape (n_sources, n_sources) | Neighbourhoods
        Symmetric edge lengths in mm.
    extent : float
        Standard deviation of the Gaussian, in mm.
    rows : array of int | None
        Locations at which the average is wanted. None is all.

    Returns
    -------
    mixing : scipy.sparse.csr_array of shape (n_rows, n_sources)
        The average.
    """
    (weights,) = patch_matrices(graph, [PatchScale("gaussian", extent)], rows)
    return sparse.csr_array(sparse.diags_array(1.0 / weights.sum(axis=1)) @ weights)


def synthesis_matrix(patches, frames=None, transport=False, centres=None):
    """Map from atom amplitudes to source currents, S = [S₀, S₁, …].

    Parameters
    ----------
    patches : list of scipy.sparse array of shape (n_sources, n_sources)
        One matrix of patches per scale.
    frames : None | array of shape (n_sources, n_orient, 3)
        Direction of each column of a location. None is one column a location.
    transport : bool
        How a patch carries an orientation to its neighbours. True is for surface frames (two
        tangential columns, then the normal): a normal current stays normal, a tangential one is
        projected on the neighbour's tangent plane. False keeps the columns' names, which is right
        for one column and for the global x, y, z axes.
    centres : list of array of int | None
        Locations that have an atom, for each scale. None is all.

    Returns
    -------
    synthesis : scipy.sparse.csr_array of shape (n_sources * n_orient, n_atoms * n_orient)
        Atoms ordered by scale, then location; orientations vary fastest on both sides.
    """
    n_orient = 1 if frames is None else frames.shape[1]
    if centres is not None:
        patches = [
            sparse.csr_array(patch)[:, kept] for patch, kept in zip(patches, centres, strict=True)
        ]
    else:
        centres = [np.arange(patch.shape[1]) for patch in patches]
    if n_orient == 1:
        return sparse.csr_array(sparse.hstack(patches, format="csr"))
    if not transport:
        eye = sparse.eye_array(n_orient, format="csr")
        return sparse.csr_array(sparse.hstack([sparse.kron(p, eye) for p in patches]))
    blocks = []
    for patch, kept in zip(patches, centres, strict=True):
        coo = patch.tocoo()
        # R[p, a, b] = e_{i,a} · e_{j,b} for the edge i ← j
        rotation = np.einsum("pak,pbk->pab", frames[coo.row], frames[kept[coo.col]])
        rotation[:, :2, 2] = rotation[:, 2, :2] = 0.0
        rotation[:, 2, 2] = 1.0
        a, b = np.meshgrid(np.arange(3), np.arange(3), indexing="ij")
        rows = 3 * coo.row[:, None, None] + a
        cols = 3 * coo.col[:, None, None] + b
        values = coo.data[:, None, None] * rotation
        shape = (3 * patch.shape[0], 3 * patch.shape[1])
        block = sparse.coo_array((values.ravel(), (rows.ravel(), cols.ravel())), shape=shape)
        block = block.tocsr()
        block.eliminate_zeros()
        blocks.append(block)
    return sparse.csr_array(sparse.hstack(blocks, format="csr"))
