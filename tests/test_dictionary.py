"""The multi-scale dictionary: extents in mm, whatever the grid."""

import numpy as np
import pytest
from scipy import sparse

from core_cases import ring
from mne_mmnet.dictionary import (
    PatchScale,
    graph_distances,
    mixing_matrix,
    patch_matrices,
    synthesis_matrix,
)


def test_distances_along_the_ring():
    """Distances are path lengths, cut at the radius, with the diagonal kept."""
    distances = graph_distances(ring(20, spacing=5.0), 12.0).tocsr()
    row = distances[[4]].tocoo()
    found = dict(zip(row.col.tolist(), row.data.tolist(), strict=True))
    assert found == {4: 0.0, 3: 5.0, 5: 5.0, 2: 10.0, 6: 10.0}


def test_chunks_make_no_difference(monkeypatch):
    """The search in pieces gives the whole."""
    whole = graph_distances(ring(30), 20.0).toarray()
    monkeypatch.setattr("mne_mmnet.dictionary._CHUNK", 7)
    np.testing.assert_array_equal(graph_distances(ring(30), 20.0).toarray(), whole)


@pytest.mark.parametrize("profile", ["gaussian", "exponential", "flat"])
def test_extent_is_in_mm(profile):
    """Twice as fine a grid gives the same patch at the places that both have."""
    scale = [PatchScale(profile, 9.0)]
    coarse = patch_matrices(ring(24, spacing=6.0), scale)[0].toarray()
    fine = patch_matrices(ring(48, spacing=3.0), scale)[0].toarray()
    np.testing.assert_allclose(fine[::2, ::2], coarse)
    np.testing.assert_allclose(np.diag(coarse), 1.0)
    np.testing.assert_allclose(coarse, coarse.T)


def test_point_is_the_identity():
    """The first scale holds single locations."""
    (point,) = patch_matrices(ring(9), [PatchScale("point")])
    np.testing.assert_array_equal(point.toarray(), np.eye(9))


def test_mixing_is_an_average():
    """Constants stay, peaks spread."""
    mixing = mixing_matrix(ring(15), 8.0)
    np.testing.assert_allclose(mixing @ np.ones(15), 1.0)
    assert (mixing.toarray()[3] > 0).sum() > 3


def test_disconnected_locations_stay_apart():
    """A patch never jumps between parts of the graph."""
    two = sparse.csr_array(sparse.block_diag([ring(6), ring(8)]))
    wide = patch_matrices(two, [PatchScale("gaussian", 50.0)])[0].toarray()
    assert (wide[:6, 6:] == 0).all()
    assert (wide[6:, :6] == 0).all()


def test_surface_frames_are_transported():
    """Normal stays normal; tangents follow the neighbour's tangent plane."""
    rng = np.random.default_rng(0)
    frames = np.linalg.qr(rng.standard_normal((9, 3, 3)))[0]
    patches = patch_matrices(ring(9), [PatchScale("point"), PatchScale("gaussian", 8.0)])
    synthesis = synthesis_matrix(patches, frames, transport=True).toarray()
    np.testing.assert_allclose(synthesis[:, :27], np.eye(27), atol=1e-12)
    block = synthesis[3 * 4 : 3 * 4 + 3, 27 + 3 * 5 : 27 + 3 * 5 + 3]  # location 4 ← patch at 5
    weight = patches[1].toarray()[4, 5]
    expected = weight * frames[4, :2] @ frames[5, :2].T
    np.testing.assert_allclose(block[:2, :2], expected)
    np.testing.assert_allclose(block[2], [0, 0, weight])
    np.testing.assert_allclose(block[:, 2], [0, 0, weight])


def test_axes_are_carried_unchanged():
    """With global axes a patch is the same for x, y and z."""
    frames = np.broadcast_to(np.eye(3), (9, 3, 3))
    patches = patch_matrices(ring(9), [PatchScale("point"), PatchScale("flat", 8.0)])
    synthesis = synthesis_matrix(patches, frames).toarray()
    plain = synthesis_matrix(patches).toarray()
    np.testing.assert_allclose(synthesis, np.kron(plain, np.eye(3)))


@pytest.mark.parametrize(("profile", "extent"), [("cone", 3.0), ("flat", 0.0), ("gaussian", -1.0)])
def test_bad_scale(profile, extent):
    """Unknown profiles and impossible extents are refused."""
    with pytest.raises(ValueError, match="profile must be|needs an extent"):
        PatchScale(profile, extent)
