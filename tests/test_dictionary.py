"""The multi-scale dictionary: extents in mm, whatever the grid."""

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.csgraph import shortest_path

from core_cases import make_frames, ring, two_islands
from mne_mmnet.dictionary.patches import (
    PatchScale,
    mixing_matrix,
    patch_matrices,
    synthesis_matrix,
)


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
    frames = make_frames("loose", 9)
    patches = patch_matrices(ring(9), [PatchScale("point"), PatchScale("gaussian", 8.0)])
    synthesis = synthesis_matrix(patches, frames, "loose").toarray()
    np.testing.assert_allclose(synthesis[:, :27], np.eye(27), atol=1e-12)
    block = synthesis[3 * 4 : 3 * 4 + 3, 27 + 3 * 5 : 27 + 3 * 5 + 3]  # location 4 ← patch at 5
    weight = patches[1].toarray()[4, 5]
    expected = weight * frames[4, :2] @ frames[5, :2].T
    np.testing.assert_allclose(block[:2, :2], expected)
    np.testing.assert_allclose(block[2], [0, 0, weight])
    np.testing.assert_allclose(block[:, 2], [0, 0, weight])


def test_evidence_has_both_kinds_of_atoms():
    """Normal columns of every scale, then pairs of tangential ones of some: those of loose."""
    frames = make_frames("evidence", 9)
    scales = [PatchScale("point"), PatchScale("gaussian", 8.0), PatchScale("flat", 13.0)]
    patches = patch_matrices(ring(9), scales)
    loose = synthesis_matrix(patches, frames, "loose").toarray().reshape(27, 3, 9, 3)
    found = synthesis_matrix(patches, frames, "evidence", tangential=(2, 0)).toarray()
    assert found.shape == (27, 27 + 2 * 18)
    np.testing.assert_array_equal(found[:, :27], loose[..., 2].reshape(27, 27))
    for number, scale in enumerate((2, 0)):
        block = found[:, 27 + 18 * number : 45 + 18 * number]
        np.testing.assert_array_equal(block, loose[:, scale, :, :2].reshape(27, 18))
    plain = synthesis_matrix(patches).toarray()
    np.testing.assert_array_equal(found[2::3, :27], plain)
    assert not found[0::3, :27].any()
    assert not found[1::3, :27].any()


def test_axes_are_carried_unchanged():
    """With global axes a patch is the same for x, y and z."""
    frames = make_frames("free", 9)
    patches = patch_matrices(ring(9), [PatchScale("point"), PatchScale("flat", 8.0)])
    synthesis = synthesis_matrix(patches, frames, "free").toarray()
    plain = synthesis_matrix(patches).toarray()
    np.testing.assert_allclose(synthesis, np.kron(plain, np.eye(3)))


def test_mixing_of_some_rows(rng):
    """The average at some locations is a part of the average at all, in the order asked for."""
    graph = two_islands(rng)
    rows = np.array([50, 3, 17])
    whole = mixing_matrix(graph, 9.0).toarray()
    np.testing.assert_allclose(mixing_matrix(graph, 9.0, rows).toarray(), whole[rows])
    # its weights fall off as a Gaussian of the distance
    lengths = shortest_path(graph, directed=False)[3]
    weights = np.exp(-0.5 * (lengths / 9.0) ** 2)
    weights[weights < 0.05] = 0.0  # where a patch ends
    np.testing.assert_allclose(whole[3], weights / weights.sum(), atol=1e-12)


@pytest.mark.parametrize("orient", ["fixed", "free", "loose"])
def test_thinned_synthesis(orient, rng):
    """Leaving atoms out leaves the columns of the others as they are."""
    graph = two_islands(rng, (12, 7))
    scales = [PatchScale("point"), PatchScale("gaussian", 8.0), PatchScale("flat", 20.0)]
    patches = patch_matrices(graph, scales)
    kept = [np.arange(19), np.array([0, 4, 5, 18]), np.array([11])]
    n_orient = 1 if orient == "fixed" else 3
    frames = make_frames(orient, 19)
    whole = synthesis_matrix(patches, frames, orient).toarray()
    thinned = synthesis_matrix(patch_matrices(graph, scales, kept), frames, orient, kept).toarray()
    columns = np.concatenate([19 * k + part for k, part in enumerate(kept)])
    columns = (n_orient * columns[:, None] + np.arange(n_orient)).ravel()
    assert thinned.shape == (19 * n_orient, 24 * n_orient)
    np.testing.assert_array_equal(thinned, whole[:, columns])


@pytest.mark.parametrize(("profile", "extent"), [("cone", 3.0), ("flat", 0.0), ("gaussian", -1.0)])
def test_bad_scale(profile, extent):
    with pytest.raises(ValueError, match="profile must be|needs an extent"):
        PatchScale(profile, extent)
