"""Where electrodes are put on the template: by name, fitted to its scalp, or as given."""

import functools
from typing import NamedTuple

import numpy as np
from mne.io.constants import FIFF
from mne.transforms import apply_trans, invert_transform

from .electrodes import electrode_positions, find_copied, find_nominal, fit_similarity
from .landmarks import (
    head_to_template,
    known_places,
    scalp_tree,
    template_scalp,
    ten_five_places,
)

POSITIONS = ("auto", "as given")
"""What ``positions`` may be."""

# frames of electrodes that are the template's own, and what MNE calls them
_TEMPLATE_FRAMES = {
    int(FIFF.FIFFV_COORD_MRI): "mri",
    int(FIFF.FIFFV_MNE_COORD_MNI_TAL): "mni_tal",
}
_HEAD_FRAMES = (int(FIFF.FIFFV_COORD_HEAD), int(FIFF.FIFFV_COORD_UNKNOWN))
# m: names of another system than 10-05, although spelled alike, lie farther off (root mean square)
_SAME_SYSTEM = 0.018
# a cap's drawing is scaled to the scalp by no more than this, and lies as near to it then (m)
_SMALLEST, _LARGEST, _NEAR = 0.75, 1.35, 0.008
# standard deviations of a cap's scales, and of its distance from the scalp (m)
_SCALE, _DISTANCE = 0.1, 0.003


class Placement(NamedTuple):
    """Electrodes on the template.

    Parameters
    ----------
    positions : array of shape (n_electrodes, 3)
        In head coordinates, m.
    how : "as given" | "by name" | "fitted"
        How they were placed.
    montage : str | None
        What they were a copy of, see :func:`find_nominal`.
    """

    positions: np.ndarray
    how: str
    montage: str | None

    def __str__(self):
        """One line for a log."""
        source = {"few": "too few to tell", "sphere": "a sphere", "mirror": "a symmetric drawing"}
        source = source.get(self.montage, self.montage)
        if self.how == "as given":
            kind = "digitised" if self.montage is None else f"those of {source}"
            return f"Electrode positions as given ({kind})."
        if self.how == "by name":
            return (
                f"Electrode positions are no measurement ({source}): electrodes are placed by "
                "name, where fsaverage_1005 has them on the template. positions='as given' "
                "keeps them."
            )
        return (
            f"Electrode positions are no measurement ({source}): the cap is scaled and shifted to "
            "fit the template's scalp. positions='as given' keeps them."
        )


def electrode_frame(info):
    """Tell the coordinate frame that electrodes were given in.

    "head", "mri" or "mni_tal"; for any other frame its number in MNE. Channels say "head" whatever
    their positions are; the digitised points know.
    """
    frames = {
        int(point["coord_frame"])
        for point in info["dig"] or ()
        if int(point["kind"]) == FIFF.FIFFV_POINT_EEG
    }
    eeg = [ch for ch in info["chs"] if int(ch["kind"]) == FIFF.FIFFV_EEG_CH]
    if not frames:
        frames = {int(ch["coord_frame"]) for ch in eeg if int(ch["coord_frame"])}
    if not frames or frames & set(_HEAD_FRAMES):
        return "head"
    frame = min(frames)
    return _TEMPLATE_FRAMES.get(frame, str(frame))


def head_positions(info, ch_names=None, trans=None):
    """Find electrode positions, brought to head coordinates where they were in the template's.

    Parameters
    ----------
    info : instance of Info
        The measurement info.
    ch_names : collection of str | None
        Those to look at; None is all.
    trans : instance of Transform | None
        From head to MRI coordinates; None is the template's.

    Returns
    -------
    names : list of str
        EEG channels that have a position.
    positions : array of shape (n_electrodes, 3)
        In m.
    frame : str
        As :func:`electrode_frame` says.
    """
    names, positions = electrode_positions(info, ch_names)
    frame = electrode_frame(info)
    if frame in _TEMPLATE_FRAMES.values() and len(positions):
        trans = head_to_template() if trans is None else trans
        positions = apply_trans(invert_transform(trans), positions)
    return names, positions, frame


def has_made_up_fiducials(info):
    """Tell whether nasion and ears were invented.

    All three are equally far from the origin then, as MNE puts them where a file has none.
    """
    found = [
        np.linalg.norm(point["r"])
        for point in info["dig"] or ()
        if int(point["kind"]) == FIFF.FIFFV_POINT_CARDINAL
        and int(point["coord_frame"]) == FIFF.FIFFV_COORD_HEAD
    ]
    return len(found) == 3 and np.ptp(found) < 1e-3 * max(found)


def place_electrodes(names, positions, how="auto"):
    """Place electrodes on the template.

    Positions (n_electrodes, 3) are given in head coordinates, m; "auto" moves what is no
    measurement, "as given" nothing.
    """
    positions = np.ascontiguousarray(positions, float)
    if how == "as given":
        return Placement(positions, "as given", find_nominal(names, positions))
    return _place(tuple(names), positions.tobytes())


@functools.lru_cache(maxsize=64)
def _place(names, buffer):
    names, positions = list(names), np.frombuffer(buffer).reshape(-1, 3).copy()
    montage = find_nominal(names, positions)
    if montage in (None, "few"):
        return Placement(positions, "as given", montage)
    rows, places = known_places(names)
    if len(rows) and ten_five_places()[1]:
        # a drawing in any frame: turned and mirrored as it may be, names say where they belong
        linear, shift = fit_similarity(positions[rows], places, mirror=True)
        moved = positions @ linear.T + shift
        if np.sqrt(((moved[rows] - places) ** 2).sum(axis=1).mean()) < _SAME_SYSTEM:
            moved = _nearest_on_scalp(moved)
            moved[rows] = places
            return Placement(moved, "by name", montage)
    start = positions
    if (copied := find_copied(names, positions)) is not None:
        linear, shift = fit_similarity(positions[copied.rows], copied.places, mirror=True)
        start = positions @ linear.T + shift
    fitted = _fit_to_scalp(start)
    if fitted is None:
        return Placement(positions, "as given", montage)
    return Placement(fitted, "fitted", montage)


def _nearest_on_scalp(points):
    tree = scalp_tree()
    return tree.data[tree.query(points)[1]]


def _fit_to_scalp(points):
    """Scale and shift along each axis until points lie on the scalp; None if they can't."""
    rr, nn, _ = template_scalp()
    middle = points.mean(axis=0)
    scale, shift = np.ones(3), np.zeros(3)
    prior = np.hstack([np.eye(3) / _SCALE, np.zeros((3, 3))])
    for _ in range(40):
        moved = (points - middle) * scale + middle + shift
        nearest = scalp_tree().query(moved)[1]
        gap = ((rr[nearest] - moved) * nn[nearest]).sum(axis=1) / _DISTANCE
        rows = np.hstack([nn[nearest] * (points - middle), nn[nearest]]) / _DISTANCE
        step, *_ = np.linalg.lstsq(
            np.vstack([rows, prior]), np.concatenate([gap, (1 - scale) / _SCALE]), rcond=None
        )
        scale, shift = scale + step[:3], shift + step[3:]
    moved = (points - middle) * scale + middle + shift
    good = np.sqrt(np.mean(scalp_tree().query(moved)[0] ** 2)) < _NEAR
    inside = scale.min() > _SMALLEST and scale.max() < _LARGEST
    return moved if good and inside else None
