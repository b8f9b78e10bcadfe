"""The graph of the source space: which sources are neighbours, and how far apart (mm)."""

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph
from scipy.spatial import cKDTree

# Neighbours on a grid are the 26 around a point: the farthest are √3 grid steps away, the next
# ones 2. All 26, because shortest paths along the 6 axes alone overestimate distances by 73 %.
_GRID_RADIUS = 1.8
_N_NEIGHBOURS = 6
# An edge longer than so many typical ones joins separate pieces of a source space.
_LONGEST_EDGE = 3.0
# A cell ends so many typical distances between sources from its own: across a gap, such as the
# medial wall, there are no neighbours. Regular spacings need 2 of them.
_CELL_REACH = 2.5
# Sources at the same place: a stored zero would not count as an edge everywhere.
_SHORTEST_EDGE_MM = 1e-3


def source_graph(src):
    """Join neighbouring sources.

    On surfaces, neighbours are those joined by the triangles of the source space; where these
    are missing or incomplete (restricted or irregular spacing), sources whose cells on the
    full surface mesh touch. In volumes, neighbours are the 26 around a grid point; in discrete
    source spaces that are no grid, the 6 nearest and those that count a source among theirs.
    The two hemispheres, and surfaces and volumes, are never joined. Every source has a
    neighbour, unless it is alone in its hemisphere or volume.

    Parameters
    ----------
    src : instance of SourceSpaces
        The source spaces.

    Returns
    -------
    adjacency : csr_array of shape (n_sources, n_sources)
        Symmetric, with the Euclidean distances in mm between neighbours.
    """
    positions = [space["rr"][space["vertno"]] * 1e3 for space in src]
    stops = np.cumsum([len(pos) for pos in positions])
    members = [np.arange(stop - len(p), stop) for stop, p in zip(stops, positions, strict=True)]
    positions = np.concatenate(positions)
    edges = [np.empty((0, 2), int)]
    for space, member in zip(src, members, strict=True):
        if space["type"] == "surf":
            edges.append(member[_surface_edges(space)])
    for kind, find_edges in (("vol", _grid_edges), ("discrete", _discrete_edges)):
        # Structures that touch are neighbours: one cloud of points.
        parts = [m for space, m in zip(src, members, strict=True) if space["type"] == kind]
        if parts:
            member = np.concatenate(parts)
            edges.append(member[find_edges(positions[member])])
    return _edges_to_adjacency(np.concatenate(edges), positions)


def _surface_edges(space):
    positions = space["rr"][space["vertno"]] * 1e3
    n_points = len(positions)
    if n_points < 2:
        return np.empty((0, 2), int)
    edges = _triangle_edges(space)
    if len(np.unique(edges)) < n_points:
        edges = _drop_long(_cell_edges(space), positions)
    if len(edges) == 0:
        edges = _nearest_edges(positions)
    return _join_isolated(edges, positions)


def _triangle_edges(space):
    """Edges of the source space's own triangles, between sources in use."""
    tris = space.get("use_tris")
    if tris is None or np.size(tris) == 0:
        return np.empty((0, 2), int)
    return _relabel(_tri_edges(tris), space)


def _cell_edges(space):
    """Edges between sources whose cells (nearest along the surface) touch."""
    tris = space.get("tris")
    if tris is None or np.size(tris) == 0:
        return np.empty((0, 2), int)
    pairs = _tri_edges(tris)
    lengths = np.linalg.norm(space["rr"][pairs[:, 0]] - space["rr"][pairs[:, 1]], axis=1) * 1e3
    lengths = np.maximum(lengths, _SHORTEST_EDGE_MM)
    n_vertices = len(space["rr"])
    mesh = sparse.coo_array((lengths, pairs.T), shape=(n_vertices, n_vertices)).tocsr()
    spacing = np.median(_nearest_distance(cKDTree(space["rr"][space["vertno"]] * 1e3)))
    distances, _, cells = csgraph.dijkstra(
        mesh, directed=False, indices=space["vertno"], return_predecessors=True, min_only=True
    )
    cells[distances > _CELL_REACH * spacing] = -1
    pairs = cells[pairs]
    pairs = pairs[(pairs >= 0).all(axis=1) & (pairs[:, 0] != pairs[:, 1])]
    return _relabel(_unique(pairs), space)


def _tri_edges(tris):
    tris = np.asarray(tris)
    return _unique(np.concatenate([tris[:, [0, 1]], tris[:, [1, 2]], tris[:, [2, 0]]]))


def _relabel(pairs, space):
    """Turn vertex numbers into ranks in ``vertno``; drop pairs with a vertex not in use."""
    rank = np.full(len(space["rr"]), -1)
    rank[space["vertno"]] = np.arange(len(space["vertno"]))
    pairs = rank[pairs]
    return pairs[(pairs >= 0).all(axis=1)]


def _grid_edges(positions):
    if len(positions) < 2:
        return np.empty((0, 2), int)
    tree = cKDTree(positions)
    spacing = np.median(_nearest_distance(tree))
    edges = tree.query_pairs(_GRID_RADIUS * spacing, output_type="ndarray")
    return _join_isolated(edges, positions)


def _discrete_edges(positions):
    if len(positions) < 2:
        return np.empty((0, 2), int)
    nearest = _nearest_distance(cKDTree(positions))
    # MNE calls a volume grid made without an MRI discrete, too.
    if len(positions) > 8 and np.ptp(nearest) < 1e-2 * np.median(nearest):
        return _grid_edges(positions)
    return _join_isolated(_nearest_edges(positions), positions)


def _nearest_edges(positions):
    """Edges between each point and its nearest ones, unless they are far away."""
    tree = cKDTree(positions)
    n_points = len(positions)
    limit = _LONGEST_EDGE * np.median(_nearest_distance(tree))
    distances, neighbours = tree.query(positions, k=min(_N_NEIGHBOURS + 1, n_points))
    rows = np.repeat(np.arange(n_points), neighbours.shape[1])
    edges = np.column_stack([rows, neighbours.ravel()])
    keep = (distances.ravel() <= limit) & (edges[:, 0] != edges[:, 1])
    return _unique(edges[keep])


def _nearest_distance(tree):
    return tree.query(tree.data, k=2)[0][:, 1]


def _drop_long(edges, positions):
    if len(edges) == 0:
        return edges
    lengths = np.linalg.norm(positions[edges[:, 0]] - positions[edges[:, 1]], axis=1)
    return edges[lengths <= _LONGEST_EDGE * np.median(lengths)]


def _join_isolated(edges, positions):
    """Join each point that has no edge to the nearest other one, however far."""
    isolated = np.setdiff1d(np.arange(len(positions)), edges)
    if len(isolated) == 0:
        return edges
    _, neighbours = cKDTree(positions).query(positions[isolated], k=2)
    # Of two points at the same place, either may come first.
    other = np.where(neighbours[:, 0] == isolated, neighbours[:, 1], neighbours[:, 0])
    return _unique(np.concatenate([edges, np.column_stack([isolated, other])]))


def _unique(edges):
    """Sort each pair, and keep one of each."""
    # as numbers: six times faster than np.unique(..., axis=0)
    first, second = np.sort(edges, axis=1).T.astype(np.int64)
    base = edges.max(initial=0) + 1
    return np.column_stack(np.divmod(np.unique(first * base + second), base))


def _edges_to_adjacency(edges, positions):
    n_points = len(positions)
    lengths = np.linalg.norm(positions[edges[:, 0]] - positions[edges[:, 1]], axis=1)
    lengths = np.maximum(lengths, _SHORTEST_EDGE_MM)
    upper = sparse.coo_array((lengths, edges.T), shape=(n_points, n_points))
    adjacency = (upper + upper.T).tocsr()
    adjacency.sort_indices()
    return adjacency
