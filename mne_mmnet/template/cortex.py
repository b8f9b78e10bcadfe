"""Where fsaverage has cortex: everywhere but on the medial wall.

The wall is what FreeSurfer's ``cortex.label`` of fsaverage5 leaves out. Thickness does not tell:
it is zero on a third of the wall alone, and over 3 mm beside the amygdala and the hippocampus.
"""

import base64
import zlib

import mne
import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from .._mne import TEMPLATES

N_VERTICES = 10242  # of a hemisphere of fsaverage5, which are the first ones of fsaverage's

# One bit a vertex, left and right: set on the wall (888 and 881 vertices, one piece each). Read
# off the resting-state recording in BrainSpace 0.3.0 (BSD-3), which is zero exactly there.
_WALL = (
    # left
    "eNqtU0tqwzAQHaEGQwgoyywCvkYIBfsmvUZ31i2yTG7QI0TQRY9RQxft0pAuTBv8MlZqq/7IxCYPLEbPM6N5oxFpoj"
    "kxZLnE/OVkqq3DJmByW+0kCW0NYWoPdUp5jUo+6IndNLlQEJkGI8gHPBlV1M4hcleGDzLViY1Qh77fSbk8d/lfTUMA"
    "MHvNGoStpaV32aeX2noHjglNBN2j16W6FeC+4lxHpiNCxTsqM8hGxIUfrXpjmowIeNkD3Ljk6wiz9ntKWDiBamA26G"
    "82/Lctrtof/QeuxuhQeENGwSe+O5PIRWvviE7uW84jqGzjHPczNdsa+N8ZPSWHxK77uGK6C1R580egyOhBHQRXu7hh"
    "sCzYvAAx9m4C",
    # right
    "eNqtU7ttwzAQfYRsSIUTIZ0rc4SkTGUJyCaewG2AAOQoGcEbRGO4VDZQFbAQeCEZ+SOSipjAr9CR1H343h0BrBdAAb"
    "Qw2Eg8wKH+McibgzXFdthv7EfhAt6tnc3YAR7yunO2uhwVgyVMQZC5ydv4bIuM2tBVeeU0ytOaycoP4Ht2WsaSjX2J"
    "GuBO+ufLL7BOT0XlGPjWwa8Zvn3I930qYPdLKgnupbo3qdQc20/jUYZ3Jo3bISeHZti+UJceuxLqyQlLRzHbu3h1dd"
    "2CKlKbj7n3f0ovDDM3LGd+IexAZsmaptA0kprGLURUyWcrVzoL3n/YMYk3hWh2hm4xG6TP775sm3/kWQl6lK9GOdZr"
    "wz5F6m80oG1h",
)


def wall_vertices():
    """List the vertices of fsaverage5 that lie on the medial wall."""
    packed = (np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8) for text in _WALL)
    return [np.flatnonzero(np.unpackbits(bits, count=N_VERTICES)) for bits in packed]


def on_cortex(src):
    """Tell which sources of a template source space lie on cortex, and not on the medial wall.

    Parameters
    ----------
    src : instance of mne.SourceSpaces
        Surfaces of ``fsaverage`` or ``fsaverage5``, of any spacing and in any coordinate frame;
        for instance ``fwd["src"]``. Not modified.

    Returns
    -------
    cortex : array of bool, shape (n_sources,)
        One value for each vertex in use, left hemisphere first.

    Raises
    ------
    ValueError
        If it is of another subject, or no cortical surface.

    Notes
    -----
    The vertices of fsaverage5 are those of FreeSurfer's ``cortex.label``; a vertex that only
    fsaverage has belongs with the nearest one of these along the surface.
    """
    walls, masks = wall_vertices(), []
    for space in src:
        subject = space.get("subject_his_id")
        if space["type"] != "surf" or subject not in TEMPLATES:
            raise ValueError(
                f"The medial wall is known on cortical surfaces of {' and '.join(TEMPLATES)}, "
                f"this source space is of type {space['type']!r} and subject {subject!r}. Use "
                "the cortex label that FreeSurfer made for the subject."
            )
        right = space["id"] == mne.io.constants.FIFF.FIFFV_MNE_SURF_RIGHT_HEMI
        masks.append(~np.isin(_in_fsaverage5(space), walls[int(right)]))
    return np.concatenate(masks)


def _in_fsaverage5(space):
    """Vertices of fsaverage5 that are nearest to those in use."""
    vertices = space["vertno"]
    if not (vertices >= N_VERTICES).any():
        return vertices
    tris = space["tris"]
    pairs = np.concatenate([tris[:, [0, 1]], tris[:, [1, 2]], tris[:, [2, 0]]])
    lengths = np.linalg.norm(space["rr"][pairs[:, 0]] - space["rr"][pairs[:, 1]], axis=1)
    n_points = len(space["rr"])
    # each of the two triangles of an edge gives one direction of it: nothing is added up twice
    mesh = sparse.csr_array((lengths, pairs.T), shape=(n_points, n_points))
    *_, nearest = csgraph.dijkstra(
        mesh,
        directed=False,
        indices=np.arange(N_VERTICES),
        return_predecessors=True,
        min_only=True,
    )
    return nearest[vertices]


def leave_out_wall(src):
    """Take the sources on the medial wall out of use, in place, and count them."""
    n_left_out = 0
    for space in src:
        keep = on_cortex([space])
        vertices = space["vertno"][keep]
        n_left_out += len(keep) - len(vertices)
        space["inuse"] = np.zeros_like(space["inuse"])
        space["inuse"][vertices] = 1
        space["vertno"], space["nuse"] = vertices, len(vertices)
        # the triangles between sources, where the spacing has them, end at the wall
        if space.get("use_tris") is not None and len(space["use_tris"]):
            inside = space["inuse"][space["use_tris"]].astype(bool).all(axis=1)
            space["use_tris"] = space["use_tris"][inside]
            space["nuse_tri"] = len(space["use_tris"])
    return n_left_out
