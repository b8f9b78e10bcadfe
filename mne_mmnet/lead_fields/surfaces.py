"""Source spaces of plain arrays: two hemispheres, or a cloud of points."""

import mne
import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from ..template.fit import vertex_normals

_FRAME = mne.io.constants.FIFF.FIFFV_COORD_HEAD
_SIDES = ("lh", "rh")
_IDS = {
    "lh": mne.io.constants.FIFF.FIFFV_MNE_SURF_LEFT_HEMI,
    "rh": mne.io.constants.FIFF.FIFFV_MNE_SURF_RIGHT_HEMI,
}


def find_hemispheres(positions, triangles):
    """Tell the hemispheres of a mesh apart: its two pieces.

    Returns which vertices belong to the right one, x being to the right. Another number of pieces
    is an error.
    """
    n = len(positions)
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]]])
    mesh = sparse.coo_array((np.ones(len(pairs)), pairs.T), shape=(n, n))
    count, piece = csgraph.connected_components(mesh, directed=False)
    if count != 2:
        raise ValueError(
            f"The mesh has {count} pieces, not two hemispheres. Pass hemispheres=, an array of "
            '"lh" and "rh", one for each source.'
        )
    middle = [positions[piece == k, 0].mean() for k in range(2)]
    return piece == int(np.argmax(middle))


def split(triangles, is_right):
    """Divide the triangles of a mesh between the hemispheres.

    Those of the left and of the right one, in their own numbers; one that belongs to both is an
    error.
    """
    sides = is_right[triangles]
    if (sides.any(axis=1) != sides.all(axis=1)).any():
        raise ValueError(
            "Some triangles join the two hemispheres. Check the order of hemispheres and "
            "triangles."
        )
    number = np.where(is_right, np.cumsum(is_right), np.cumsum(~is_right)) - 1
    return [number[triangles[sides[:, 0] == side]] for side in (False, True)]


def make_normals(positions, triangles):
    """Compute normals of a mesh's vertices, all of which must have triangles.

    Unit vectors; triangles are counter-clockwise seen from outside.
    """
    normals = vertex_normals(positions, triangles)
    if alone := int((~normals.any(axis=1)).sum()):
        raise ValueError(
            f"{alone} sources belong to no triangle. Pass normals=, or leave them out."
        )
    return normals


def make_surface_space(hemi, positions, normals, triangles, subject):
    """Make the source space of one hemisphere, all vertices in use.

    In head coordinates (m), with unit normals; triangles are in the numbers of these vertices.
    """
    return _make_space("surf", _IDS[hemi], positions, normals, triangles, subject)


def make_points(positions, normals, subject):
    """Make a discrete source space, in head coordinates (m), with unit normals."""
    return _make_space("discrete", -1, positions, normals, None, subject)


def _make_space(kind, number, positions, normals, triangles, subject):
    n, n_triangles = len(positions), 0 if triangles is None else len(triangles)
    space = dict(
        type=kind,
        id=number,
        np=n,
        ntri=n_triangles,
        coord_frame=_FRAME,
        rr=positions,
        nn=normals,
        tris=triangles,
        nuse=n,
        inuse=np.ones(n, int),
        vertno=np.arange(n),
        nuse_tri=n_triangles,
        use_tris=triangles,
        **dict.fromkeys(("nearest", "nearest_dist", "pinfo", "patch_inds", "dist", "dist_limit")),
    )
    return space if subject is None else space | dict(subject_his_id=subject)
