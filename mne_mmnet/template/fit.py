"""Fit the template head to a recording's digitised points, where there are any."""

from pathlib import Path
from typing import NamedTuple

import mne
import numpy as np
from mne.io.constants import FIFF

from .._mne import electrode_positions, find_nominal, warn
from .head_shape import fit_head

# fiducials and standard pose of fsaverage
_MNE_DATA = Path(mne.__file__).parent / "data" / "fsaverage"
# beyond these no adult's head is a template's: the points are wrong
_SMALLEST, _LARGEST = 0.8, 1.25
# m: with half of the points farther from the fitted scalp, it is no scalp that they lie on
_FAR = 0.01
# with scales less sure than that, little is gained over the template's own (their spread is 0.06)
_UNSURE = 0.04
_MIN_POINTS = 8


class Points(NamedTuple):
    """What is known of a head's shape, in head coordinates (m).

    Parameters
    ----------
    electrodes : array of shape (n_electrodes, 3)
        Positions of EEG electrodes.
    head_shape : array of shape (n_points, 3)
        Other points on the scalp, those on the face left out.
    fiducials : dict
        Positions by ``"lpa"``, ``"nasion"`` and ``"rpa"``; empty where they were made up.
    nominal : str | None
        Where the electrodes' positions come from if they were not measured.
    """

    electrodes: np.ndarray
    head_shape: np.ndarray
    fiducials: dict
    nominal: str | None


_CARDINAL = {
    int(FIFF.FIFFV_POINT_LPA): "lpa",
    int(FIFF.FIFFV_POINT_NASION): "nasion",
    int(FIFF.FIFFV_POINT_RPA): "rpa",
}


def find_points(info):
    """Collect the points that say what shape a head has."""
    names, electrodes = electrode_positions(info)
    head_shape, fiducials = [], {}
    for point in info["dig"] or ():
        place = np.array(point["r"], float)
        if point["coord_frame"] != FIFF.FIFFV_COORD_HEAD or not np.isfinite(place).all():
            continue
        if point["kind"] == FIFF.FIFFV_POINT_EXTRA and not (place[1] > 0 and place[2] < 0):
            head_shape.append(place)
        elif point["kind"] == FIFF.FIFFV_POINT_CARDINAL:
            fiducials[_CARDINAL.get(int(point["ident"]))] = place
    # where a file has none, MNE puts all three at the same distance from the origin
    distances = [np.linalg.norm(place) for place in fiducials.values()]
    if len(fiducials) != 3 or None in fiducials or np.ptp(distances) < 1e-3 * max(distances):
        fiducials = {}
    return Points(
        electrodes,
        np.array(head_shape).reshape(-1, 3),
        fiducials,
        find_nominal(names, electrodes),
    )


def fit_template(info, scalp, *, force):
    """Fit pose and scales of the template to a recording.

    Parameters
    ----------
    info : mne.Info
        Of the recording.
    scalp : path-like
        The template's ``outer_skin.surf``.
    force : bool
        Whether to fit to points whatever they are. Otherwise only to electrodes that were
        measured, and only if they settle the scales.

    Returns
    -------
    fit : HeadFit | None
        None if the template is to be used as it is.
    message : str
        What was done, for the log; empty where there is nothing to say.

    Raises
    ------
    ValueError
        If ``force`` is given and there are too few points.

    Warns
    -----
    RuntimeWarning
        If the points fit no head.
    """
    points = find_points(info)
    cloud = np.concatenate([points.electrodes, points.head_shape])
    if force and len(cloud) < _MIN_POINTS:
        raise ValueError(
            f"fit=True needs at least {_MIN_POINTS} electrodes and head-shape points, there are "
            f"{len(cloud)}. Digitise more of them, or use fit=False."
        )
    if not force and (points.nominal is not None or len(cloud) < _MIN_POINTS):
        return None, ""
    rr, tris = mne.read_surface(scalp, verbose="error")
    pose = mne.read_trans(_MNE_DATA / "fsaverage-trans.fif", verbose="error")["trans"]
    fiducials = _pair_fiducials(points)
    fit = fit_head(cloud, 1e-3 * rr, vertex_normals(rr, tris), pose, fiducials)
    distance = np.median(np.abs(fit.distances))
    scales = " × ".join(f"{scale:.3f}" for scale in fit.scales)
    if fit.scales.min() < _SMALLEST or fit.scales.max() > _LARGEST or distance > _FAR:
        warn(
            f"The digitised points fit no scaled template (scales {scales}, half of the points "
            f"within {1e3 * distance:.0f} mm of its scalp): it is used as it is. Check the unit "
            "(m), the axes and the fiducials of the montage; fit=False leaves the fit out."
        )
        return None, ""
    worst = fit.uncertainty.max()
    if not force and worst > _UNSURE:
        return None, (
            f"The template is not scaled: {len(cloud)} points settle its size to {worst:.0%} only."
        )
    return fit, (
        f"The template is scaled by {scales} (right, front, up; ± {worst:.1%} or less) to fit "
        f"{len(points.electrodes)} electrodes and {len(points.head_shape)} head-shape points, "
        f"half of them within {1e3 * distance:.1f} mm of its scalp."
    )


def _pair_fiducials(points):
    """Digitised fiducials (m, head) and the template's (m, surface RAS)."""
    if not points.fiducials:
        return None
    theirs, _ = mne.io.read_fiducials(_MNE_DATA / "fsaverage-fiducials.fif", verbose="error")
    theirs = {_CARDINAL[int(point["ident"])]: point["r"] for point in theirs}
    names = sorted(points.fiducials)
    return np.array([[which[name] for name in names] for which in (points.fiducials, theirs)])


def vertex_normals(rr, tris):
    """Compute unit normals of a surface at its vertices, outwards.

    Means over the triangles around, which are counter-clockwise seen from outside, weighted by
    area; zero where there are none.
    """
    a, b, c = rr[tris].transpose(1, 0, 2)
    faces = np.cross(b - a, c - a)
    normals = np.zeros_like(rr)
    for corner in tris.T:
        np.add.at(normals, corner, faces)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.where(length > 0, length, 1.0)


def why_not_scaled(src):
    """Say why a source space cannot be scaled; empty if it can."""
    if any(space["coord_frame"] != FIFF.FIFFV_COORD_MRI for space in src):
        return "is in head coordinates, which belong to another pose"
    if any(space["type"] != "surf" for space in src):
        return "is no cortical surface, on which alone the scales could be found again"
    return ""


def scale_source_space(src, scales):
    """Scale positions and normals; vertex numbers and subject stay.

    A copy, in MRI coordinates, along the axes.
    """
    src = src.copy()
    for space in src:
        normals = space["nn"] / scales
        space["rr"] = space["rr"] * scales
        space["nn"] = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    return src
