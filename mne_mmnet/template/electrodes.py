"""Electrodes of a recording, made ready for the template head."""

import mne
import numpy as np
from mne.transforms import apply_trans, invert_transform
from mne.utils import logger

from .._mne import (
    doubt_positions,
    electrode_positions,
    has_made_up_fiducials,
    head_positions,
    leave_out_remedy,
    no_eeg_message,
    place_electrodes,
    refuse_bipolar,
    set_positions,
    summarize_names,
    warn,
)
from . import surfaces

# m: an electrode this far from the scalp is worth a warning; MNE's measured montages reach 28 mm
_FAR = 0.03


def pick_electrodes(info):
    """Pick the EEG channels that have a position.

    To have none, some that are differences of two electrodes, or good ones without a position is
    an error.
    """
    picks = mne.pick_types(info, meg=False, eeg=True, exclude=[])
    if len(picks) == 0:
        raise ValueError(no_eeg_message(info))
    good = [info["ch_names"][pick] for pick in picks if info["ch_names"][pick] not in info["bads"]]
    refuse_bipolar(info, good)
    known = set(electrode_positions(info)[0])
    lost = [info["ch_names"][pick] for pick in picks if info["ch_names"][pick] not in known]
    fatal = [name for name in lost if name not in info["bads"]]
    if fatal:
        raise ValueError(
            f"{summarize_names(fatal)} of type EEG have no position. Give them one with "
            "set_montage(...), or drop them, mark them as bad or change their type "
            "(set_channel_types; 'eog', 'ecg' or 'misc' for what is no scalp electrode)."
        )
    if not known:
        raise ValueError(
            "No EEG channel has a position (all are marked as bad). Use set_montage(...)."
        )
    if lost:
        logger.info(f"Bad channels without a position are left out: {summarize_names(lost)}")
    return mne.pick_info(info, [k for k in picks if info["ch_names"][k] in known], copy=True)


def place_on_template(info, how):
    """Place electrodes on the template, and say what speaks against their positions.

    Parameters
    ----------
    info : mne.Info
        From :func:`pick_electrodes`. Its positions are changed.
    how : "auto" | "as given"
        Whether what is no measurement is moved.

    Returns
    -------
    moved : bool
        Whether they were moved.
    message : str
        What was done, for the log.

    Raises
    ------
    ValueError
        If positions are in another unit, or in a frame that nothing is known of.

    Warns
    -----
    RuntimeWarning
        If positions are not where a head has them.
    """
    names, positions, frame = head_positions(info)
    if frame not in ("head", "mri", "mni_tal"):
        raise ValueError(
            f"The electrodes' positions are in coordinate frame {frame}, which is neither 'head' "
            "nor the template's ('mri', 'mni_tal'). Set them with "
            "mne.channels.make_dig_montage(..., coord_frame='head') and fiducials."
        )
    good = [k for k, name in enumerate(names) if name not in info["bads"]]
    doubts = doubt_positions(
        [names[k] for k in good], positions[good], made_up=has_made_up_fiducials(info)
    )
    if "unit" in doubts:
        raise ValueError(doubts["unit"])
    placed = place_electrodes(names, positions, how)
    for text in doubts.values():
        if placed.how == "by name":
            text = f"{leave_out_remedy(text)} They are placed by their names instead."
        warn(text)
    set_positions(info, names, placed.positions)
    notes = [str(placed)]
    if frame != "head":
        notes.insert(0, f"Electrode positions are in the template's own coordinates ({frame}).")
    return placed.how != "as given", " ".join(notes)


def warn_far_electrodes(fwd, bem):
    """Warn about electrodes far from the scalp onto which they were projected."""
    loc = np.array([ch["loc"][:3] for ch in fwd["info"]["chs"]])
    if bem["is_sphere"]:
        radius = bem["layers"][-1]["rad"] if bem["layers"] else None
        if radius is None:
            return
        distances = np.abs(np.linalg.norm(loc - bem["r0"], axis=1) - radius)
        where = "the outermost sphere of the head model"
    else:
        # mri_head_t maps MRI to head
        loc = apply_trans(invert_transform(fwd["mri_head_t"]), loc)
        scalp = bem["surfs"][0]
        distances = surfaces.distance_to_surface(loc, scalp["rr"], scalp["tris"])
        where = "the scalp of the template head"
    far = np.flatnonzero(distances > _FAR)
    if len(far):
        names = ", ".join(
            f"{fwd['info']['ch_names'][i]} ({1e3 * distances[i]:.0f} mm)" for i in far[:8]
        )
        warn(
            f"{len(far)} electrode(s) lie more than {1e3 * _FAR:.0f} mm from {where}: "
            f"{names}{', …' if len(far) > 8 else ''}. They are projected onto it. Check the "
            "units (m) and the fiducials of the montage."
        )
