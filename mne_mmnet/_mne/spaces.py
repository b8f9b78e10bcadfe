"""Source spaces by name: what weights were made for, and where in it given sources are."""

import hashlib

import numpy as np
from mne.io.constants import FIFF
from mne.transforms import apply_trans, invert_transform

TEMPLATES = ("fsaverage", "fsaverage5")
"""Subjects whose vertices are those of fsaverage, as far as they go."""

# vertices of an icosahedral grid, up to those of fsaverage
_ICO_SIZES = [10 * 4**grade + 2 for grade in range(8)]


def bring_to_head(src, head_mri_t):
    """Bring source spaces from MRI to head coordinates, in a copy."""
    src, trans = src.copy(), invert_transform(head_mri_t)
    for space in src:
        if space["coord_frame"] == FIFF.FIFFV_COORD_MRI:
            space["rr"] = apply_trans(trans, space["rr"])
            space["nn"] = apply_trans(trans, space["nn"], move=False)
            space["coord_frame"] = FIFF.FIFFV_COORD_HEAD
    return src


def describe_source_space(vertices, subject):
    """Name a source space, so that what was made for it can be matched with it.

    By subject, number of sources and a digest of the vertex numbers.
    """
    digest = hashlib.sha256()
    for numbers in vertices:
        digest.update(np.int64(len(numbers)).tobytes())
        digest.update(np.ascontiguousarray(numbers, np.int64).tobytes())
    return dict(
        subject=subject,
        n_sources=sum(len(numbers) for numbers in vertices),
        vertices_sha256=digest.hexdigest(),
    )


def locate_sources(vertices, subject, description, walls=None):
    """Find sources in a source space that is known by its description.

    Parameters
    ----------
    vertices : list of array
        Vertex numbers in each source space.
    subject : str | None
        The subject that they belong to. The icosahedral grids of fsaverage and fsaverage5 are
        nested: the same numbers are the same places.
    description : dict
        From :func:`describe_source_space`.
    walls : list of array | None
        Vertices of each hemisphere that the described space may be without (the medial wall's).

    Returns
    -------
    places : array of int, shape (n_sources,) | None
        Their numbers among the described sources, ascending; None where they are not, or cannot
        be told to be, among these.

    Notes
    -----
    Vertex numbers are only known by their digest. All sources are recognised in any space; some
    of them where the space is icosahedral, because its numbers then count from 0, or is that but
    for the walls.
    """
    if _family(subject) != _family(description.get("subject")):
        return None
    n_sources = description.get("n_sources")
    digest = description.get("vertices_sha256")
    found = describe_source_space(vertices, subject)
    if (found["n_sources"], found["vertices_sha256"]) == (n_sources, digest):
        return np.arange(n_sources)
    if len(vertices) != 2 or found["n_sources"] == 0:
        return None
    for whole in _icosahedral(walls):
        if sum(map(len, whole)) != n_sources:
            continue
        if describe_source_space(whole, subject)["vertices_sha256"] != digest:
            continue
        inside = [np.isin(part, grid).all() for part, grid in zip(vertices, whole, strict=True)]
        left, right = (np.searchsorted(*pair) for pair in zip(whole, vertices, strict=True))
        return np.concatenate([left, len(whole[0]) + right]) if all(inside) else None
    return None


def _icosahedral(walls):
    """Vertices of both hemispheres of every icosahedral grid, whole and without the walls."""
    for size in _ICO_SIZES:
        yield [np.arange(size)] * 2
        if walls is not None:
            yield [np.setdiff1d(np.arange(size), wall) for wall in walls]


def _family(subject):
    return TEMPLATES[0] if subject in TEMPLATES else subject
