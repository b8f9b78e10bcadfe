"""Whether a recording's electrodes are those that a forward solution was made for."""

import numpy as np
from mne.transforms import Transform

from .electrodes import electrode_positions
from .frames import doubt_positions, leave_out_remedy
from .placement import has_made_up_fiducials, head_positions, place_electrodes
from .words import summarize_names

# m: repeated digitising differs by less; and single electrodes by less than the second
_APART, _STRAY = 5e-3, 0.025
_SEEN = (
    "These are the data's own positions, which the forward solution does not use: it has its "
    "electrodes elsewhere, without fault."
)


def doubt_electrodes(info, fwd, ch_names):
    """Say what speaks against the electrodes of a recording and a forward solution.

    It is worked out from names and positions, so that nothing is lost in files. Texts by kind:
    those of :func:`doubt_positions`, and ``"moved"``.
    """
    used = set(ch_names)
    names, places = electrode_positions(fwd["info"], used)
    doubts = doubt_positions(names, places, made_up=has_made_up_fiducials(info))
    trans = fwd.get("mri_head_t")
    trans = trans if isinstance(trans, Transform) else None
    own_names, own, frame = head_positions(info, used, _head_to_mri(trans))
    if frame not in ("head", "mri", "mni_tal"):
        return doubts
    if len(own):
        theirs = doubt_positions(own_names, own, made_up=has_made_up_fiducials(info))
        if not doubts:
            theirs = {kind: f"{leave_out_remedy(text)} {_SEEN}" for kind, text in theirs.items()}
        doubts = theirs | doubts
    if moved := _doubt_moved(own_names, own, names, places):
        doubts["moved"] = moved
    return doubts


def electrodes_key(info):
    """Sum up what :func:`doubt_electrodes` reads of a recording: equal where the doubts are."""
    channels = info["chs"]
    places = np.array([channel["loc"][:3] for channel in channels]).tobytes()
    kinds = [(channel["kind"], channel["coord_frame"]) for channel in channels]
    points = [
        (point["kind"], point["coord_frame"], point["r"].tobytes()) for point in info["dig"] or ()
    ]
    return tuple(info["ch_names"]), places, tuple(kinds), tuple(points)


def _head_to_mri(trans):
    if trans is None or trans["from"] == 4:  # FIFFV_COORD_HEAD
        return trans
    return Transform(trans["to"], trans["from"], np.linalg.inv(trans["trans"]))


def _doubt_moved(names, own, fwd_names, places):
    """Say that positions differ, unless they were placed on the template."""
    rows = {name: k for k, name in enumerate(fwd_names)}
    common = [k for k, name in enumerate(names) if name in rows]
    if not common:
        return ""
    there = places[[rows[names[k]] for k in common]]
    placed = place_electrodes(names, own).positions
    apart = [np.linalg.norm(each[common] - there, axis=1) for each in (own, placed)]
    distances = min(apart, key=np.median)
    median = np.median(distances)
    if median > _APART:
        return (
            f"The electrodes of the data lie {1e3 * median:.0f} mm (median) from where the "
            "forward solution has the same names: it was made for another recording, another "
            "montage or another placement of the cap. Make it from the info of these data."
        )
    stray = np.flatnonzero(distances > _STRAY)
    if len(stray):
        lost = [names[common[k]] for k in stray]
        return (
            f"The data have {summarize_names(lost)} up to {1e3 * distances[stray].max():.0f} mm "
            "from where the forward solution has the same names. Make it from the info of these "
            "data."
        )
    return ""
