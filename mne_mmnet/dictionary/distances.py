"""Distances along a source-space graph, and centres spread over it (no MNE, no torch).

Graphs are large and neighbourhoods small: locations close to each other are looked at together, in
the part of the graph that they reach.
"""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

# locations whose neighbourhoods are searched for together
_CHUNK = 128


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
    rows = np.arange(n_sources) if rows is None else np.asarray(rows)
    found = [(np.zeros(0, int), np.zeros(0, int), np.zeros(0))]
    for group in _groups(adjacency, rows):
        # no path up to the radius leaves the part of the graph that the group reaches
        reach = dijkstra(adjacency, indices=rows[group], min_only=True, limit=radius)
        part = np.flatnonzero(reach <= radius)
        start = np.searchsorted(part, rows[group])
        dense = dijkstra(adjacency[part][:, part], indices=start, limit=radius)
        row, col = np.nonzero(dense <= radius)
        found.append((group[row], part[col], dense[row, col]))
    row, col, value = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return sparse.csr_array((value, (row, col)), shape=(len(rows), n_sources))


def _groups(adjacency, rows):
    """Cut rows into parts, of locations close to each other; returns positions in ``rows``."""
    if len(rows) <= _CHUNK:
        return [np.arange(len(rows))]
    _, _, seed = dijkstra(
        adjacency, indices=rows[::_CHUNK], min_only=True, return_predecessors=True
    )
    order = np.argsort(seed[rows], kind="stable")
    cuts = np.flatnonzero(np.diff(seed[rows[order]])) + 1
    return [
        cell[start : start + _CHUNK]
        for cell in np.split(order, cuts)
        for start in range(0, len(cell), _CHUNK)
    ]


class Neighbourhoods:
    """A graph with its distances up to a radius, searched for once.

    Every function that takes a graph takes one of these or its adjacency.

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
        if radius == self.radius:
            return found.copy()
        keep = found.data <= radius
        # every row has an entry, its own location's
        counts = np.add.reduceat(keep, found.indptr[:-1], dtype=np.int64)
        starts = np.concatenate([[0], np.cumsum(counts)])
        return sparse.csr_array((found.data[keep], found.indices[keep], starts), found.shape)


def within(graph, radius, rows=None):
    """Return :func:`graph_distances` of an adjacency, or of :class:`Neighbourhoods`."""
    if isinstance(graph, Neighbourhoods):
        return graph.within(radius, rows)
    return graph_distances(graph, radius, rows)


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
    distances = within(graph, spacing)
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
