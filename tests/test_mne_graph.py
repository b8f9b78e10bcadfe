"""The source-space graph: symmetric, in mm, within hemispheres, nobody left out."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.sparse import csgraph
from scipy.spatial.distance import cdist

import mne_cases as cases
from mne_mmnet._mne import prepare_forward, source_graph

N_USED = cases.N_USED


def _positions(src):
    return np.concatenate([space["rr"][space["vertno"]] for space in src]) * 1e3


def _restrict(fwd, vertices):
    """Keep some vertices, by MNE's own means."""
    data = np.ones((sum(map(len, vertices)), 1))
    stc = mne.SourceEstimate(data, [np.array(v, int) for v in vertices], 0, 1, cases.SUBJECT)
    return mne.forward.restrict_forward_to_stc(fwd, stc)


def _check(adjacency, src):
    assert isinstance(adjacency, sparse.csr_array)
    positions = _positions(src)
    assert adjacency.shape == (len(positions),) * 2
    assert (adjacency != adjacency.T).nnz == 0
    rows, cols = adjacency.nonzero()
    assert_allclose(
        adjacency.data, np.maximum(np.linalg.norm(positions[rows] - positions[cols], axis=1), 1e-3)
    )
    assert (rows != cols).all()
    return rows, cols


@pytest.mark.parametrize("kind", [*cases.KINDS, "grid"])
def test_symmetric_in_mm_and_complete(kind):
    src = cases.make_fwd(kind)["src"]
    adjacency = source_graph(src)
    _check(adjacency, src)
    n_parts, part = csgraph.connected_components(adjacency, directed=False)
    expected = {"surface": 2, "mixed": 3}.get(kind, 1)
    assert n_parts == expected
    sizes = [s["nuse"] for s in src]
    assert_array_equal(part, np.repeat(np.arange(expected), sizes))
    prepared = prepare_forward(cases.make_info(), cases.make_fwd(kind))
    assert (prepared.adjacency != adjacency).nnz == 0


def test_surface_neighbours_are_those_of_mne():
    src = cases.make_src("surface")
    oracle = mne.spatial_src_adjacency(src, verbose=False).tocsr()
    oracle.setdiag(0)
    oracle.eliminate_zeros()
    rows, cols = _check(source_graph(src), src)
    assert_array_equal(np.transpose(sorted(zip(rows, cols, strict=True))), oracle.nonzero())


def test_grid_neighbours_are_the_26_around():
    src = cases.make_src("volume")
    positions = _positions(src)
    steps = np.abs(positions[:, np.newaxis] - positions).max(axis=-1) / 18.0
    expected = (steps > 0.5) & (steps < 1.5)
    assert_array_equal(source_graph(src).toarray() > 0, expected)
    assert expected.sum(axis=1).max() == 26


def test_grid_made_without_an_mri_is_discrete_but_a_grid():
    assert cases.make_src("grid").kind == "discrete"
    expected, got = (source_graph(cases.make_src(kind)) for kind in ("volume", "grid"))
    assert_allclose(got.toarray(), expected.toarray())


def test_discrete_neighbours_are_the_nearest():
    src = cases.make_src("discrete")
    adjacency = source_graph(src).toarray()
    distances = cdist(_positions(src), _positions(src))
    np.fill_diagonal(distances, np.inf)
    limit = 3 * np.median(distances.min(axis=1))
    for row, mine in zip(distances, adjacency, strict=True):
        assert (mine[np.argsort(row)[:6]] > 0).tolist() == (np.sort(row)[:6] <= limit).tolist()


def test_mindist_holes():
    """Triangles that miss a few vertices: still the edges between those that remain."""
    full = cases.make_fwd()
    keep = [np.setdiff1d(np.arange(N_USED), [5, 40, 41]), np.arange(N_USED)]
    src = full["src"].copy()
    for space, vertno in zip(src, keep, strict=True):
        space["inuse"][:] = 0
        space["inuse"][vertno] = 1
        space.update(vertno=vertno, nuse=len(vertno))
    adjacency = source_graph(src)
    _check(adjacency, src)
    rows = np.concatenate([keep[0], N_USED + keep[1]])
    expected = source_graph(full["src"])[rows][:, rows]
    assert_allclose(adjacency.toarray(), expected.toarray())


def test_without_triangles_cells_on_the_mesh_take_over():
    """Irregular spacings and restricted forwards have no triangles of their own."""
    fwd = cases.make_fwd()
    everything = _restrict(fwd, [np.arange(N_USED)] * 2)
    assert everything["src"][0]["use_tris"].size == 0
    adjacency = source_graph(everything["src"])
    _check(adjacency, everything["src"])
    n_parts, part = csgraph.connected_components(adjacency, directed=False)
    assert n_parts == 2
    assert_array_equal(part, np.repeat([0, 1], N_USED))
    # the cells' neighbours are nearly the triangles'
    mine, expected = adjacency.toarray() > 0, source_graph(fwd["src"]).toarray() > 0
    assert (mine & expected).sum() / (mine | expected).sum() > 0.85


def test_cells_follow_the_surface_across_a_fold():
    """Two banks of a fold, 2 mm apart in space and far along the surface, aren't neighbours."""
    width, depth, gap = 6, 21, 2e-3
    along = 1e-3 * np.arange(depth)
    # down one bank, across the bottom, up the other
    y = np.r_[np.zeros(depth), np.full(depth, gap)]
    z = np.r_[-along, -along[::-1]]
    n_rows = 2 * depth
    x = 1e-3 * np.arange(width)
    rr = np.stack([np.tile(x, n_rows), np.repeat(y, width), np.repeat(z, width)], axis=1)
    corner = np.arange(n_rows * width).reshape(n_rows, width)[:-1, :-1].ravel()
    tris = np.concatenate(
        [
            np.column_stack([corner, corner + 1, corner + width]),
            np.column_stack([corner + 1, corner + width, corner + width + 1]),
        ]
    )
    vertno = np.arange(n_rows * width).reshape(n_rows, width)[::4, ::3].ravel()
    space = dict(type="surf", rr=rr, tris=tris, use_tris=None, vertno=vertno)
    space.update(nuse=len(vertno), np=len(rr), inuse=np.isin(np.arange(len(rr)), vertno))
    adjacency = source_graph([space]).tocoo()
    row_of = vertno // width
    assert csgraph.connected_components(adjacency)[0] == 1
    assert np.abs(row_of[adjacency.row] - row_of[adjacency.col]).max() <= 4
    # without a mesh, nothing but distance is left
    space["tris"] = None
    assert csgraph.connected_components(source_graph([space]))[0] == 1


def test_separate_patches_stay_separate():
    positions = cases.make_src("surface")[0]["rr"][:N_USED]
    vertices = [
        np.flatnonzero(np.abs(positions[:, 2] - 0.04) > 0.02),
        [],
    ]
    fwd = _restrict(cases.make_fwd(), vertices)
    adjacency = source_graph(fwd["src"])
    rows, cols = _check(adjacency, fwd["src"])
    top = _positions(fwd["src"])[:, 2] > 40
    assert (top[rows] == top[cols]).all()
    assert csgraph.connected_components(adjacency)[0] == 2


@pytest.mark.parametrize("mesh", [True, False])
def test_only_a_source_on_its_own_is_isolated(mesh):
    def graph(*vertices):
        src = _restrict(cases.make_fwd(), vertices)["src"]
        for space in src:
            space["tris"] = space["tris"] if mesh else None
        adjacency = source_graph(src)
        _check(adjacency, src)
        return adjacency.toarray() > 0

    assert graph([3], [7]).sum() == 0
    assert graph([], [7]).shape == (1, 1)
    assert graph([3, 120], []).sum() == 2
    assert graph([3, 120], [8]).sum() == 2
    # a cluster and one far away, in one hemisphere
    far = graph([], [0, 1, 2, 3, 4, 161])
    assert (far.sum(axis=1) > 0).all()


def test_coincident_sources():
    rr = np.repeat(np.random.default_rng(0).normal(size=(10, 3)) * 0.03, 2, axis=0)
    src = mne.setup_volume_source_space(pos=dict(rr=rr, nn=np.eye(3)[np.arange(20) % 3]))
    adjacency = source_graph(src)
    _check(adjacency, src)
    assert adjacency.data.min() == 1e-3
    assert csgraph.connected_components(adjacency)[0] <= 10
    src = mne.setup_volume_source_space(pos=dict(rr=rr[:1], nn=np.eye(3)[:1]))
    assert source_graph(src).nnz == 0


def test_neighbouring_structures_are_joined():
    """Volumes of touching structures share a grid."""
    whole = cases.make_src("volume")
    parts = whole.copy() + whole.copy()
    vertno = whole[0]["vertno"]
    left = whole[0]["rr"][vertno, 0] < 0
    for space, mine in zip(parts, (left, ~left), strict=True):
        space.update(vertno=vertno[mine], nuse=int(mine.sum()))
    order = np.r_[np.flatnonzero(left), np.flatnonzero(~left)]
    expected = source_graph(whole).toarray()[np.ix_(order, order)]
    assert_allclose(source_graph(parts).toarray(), expected)


def test_a_grid_of_one_point():
    """It has no neighbours, and is a source space all the same."""
    space = mne.setup_volume_source_space(
        pos=dict(rr=[[0.0, 0.0, 0.05]], nn=[[0.0, 0.0, 1.0]]), verbose=False
    )
    space[0]["type"] = "vol"
    assert source_graph(space).shape == (1, 1)
    assert source_graph(space).nnz == 0
