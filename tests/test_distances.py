"""Distances along the source-space graph, and centres spread over it."""

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.csgraph import shortest_path

from core_cases import ring, two_islands
from mne_mmnet.dictionary.distances import Neighbourhoods, cover, graph_distances


@pytest.mark.parametrize("chunk", [1, 3, 7, 64, 1000])
@pytest.mark.parametrize("radius", [0.0, 9.0, 33.0, 1e4])
def test_search_in_pieces(monkeypatch, rng, chunk, radius):
    """Whatever is looked for together, distances are those of the whole graph."""
    monkeypatch.setattr("mne_mmnet.dictionary.distances._CHUNK", chunk)
    graph = sparse.block_diag([two_islands(rng), sparse.csr_array((3, 3))], format="csr")
    lengths = shortest_path(graph, directed=False)
    for rows in (None, np.array([67, 50, 3, 17, 3]), np.array([2]), np.array([], int)):
        found = graph_distances(graph, radius, rows)
        expected = lengths if rows is None else lengths[rows]
        assert found.has_sorted_indices
        assert found.shape == expected.shape
        kept = expected <= radius
        assert found.nnz == kept.sum()
        np.testing.assert_array_equal(found.toarray()[kept], expected[kept])


def test_neighbourhoods_are_the_search(rng):
    """Looked-up distances are the searched ones, inside the radius and beyond it."""
    graph = two_islands(rng)
    near = Neighbourhoods(graph, 20.0)
    rows = np.array([50, 3, 17])
    for radius in (6.0, 20.0, 31.0):
        for part in (None, rows):
            found = near.within(radius, part)
            expected = graph_distances(graph, radius, part)
            assert found.nnz == expected.nnz
            np.testing.assert_array_equal(found.toarray(), expected.toarray())


@pytest.mark.parametrize("spacing", [0.0, 6.0, 11.0, 30.0, 1e4])
def test_cover(spacing, rng):
    """Centres keep their distance, every location has one near, and its nearest is named."""
    graph = two_islands(rng)
    centres, nearest = cover(graph, spacing)
    lengths = shortest_path(graph, directed=False)
    between = lengths[np.ix_(centres, centres)]
    assert (between[~np.eye(len(centres), dtype=bool)] > spacing).all()
    assert (np.diff(centres) > 0).all()
    found = lengths[np.arange(65), centres[nearest]]
    assert (found <= spacing).all()
    np.testing.assert_allclose(found, lengths[:, centres].min(axis=1))
    np.testing.assert_array_equal(nearest[centres], np.arange(len(centres)))
    # one centre on each island is the least, one at each location the most
    expected = {0.0: 65, 1e4: 2}.get(spacing)
    assert len(centres) == expected if expected else 2 < len(centres) < 65


def test_cover_of_a_ring():
    """Along a ring every centre silences its neighbours within the spacing."""
    centres, nearest = cover(ring(12, spacing=5.0), 10.0)
    np.testing.assert_array_equal(centres, [0, 3, 6, 9])
    np.testing.assert_array_equal(nearest, [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 0])
