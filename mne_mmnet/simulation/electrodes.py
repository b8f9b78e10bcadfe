"""Electrodes of simulated recordings: dense montages, and standard layouts among them."""

import mne
import numpy as np
from scipy.spatial import cKDTree

from .._mne import COLIN27_1005

_MONTAGES = (COLIN27_1005, "biosemi256", "GSN-HydroCel-256")
TEN_TEN = COLIN27_1005.replace("1005", "1020")
# older names of T7, T8, P7 and P8: the same places
_ALIASES = ("T3", "T4", "T5", "T6")


def ten_ten_info():
    """Make one info of the 90 electrodes of the 10–10 system.

    With it come their places, (90, 3) in head coordinates (m), and their groups, all zero.
    """
    names = [
        name
        for name in mne.channels.make_standard_montage(TEN_TEN).ch_names
        if name not in _ALIASES
    ]
    info = mne.create_info(names, 1.0, "eeg")
    info.set_montage(TEN_TEN)
    positions = np.array([ch["loc"][:3] for ch in info["chs"]])
    return info, positions, np.zeros(len(names), int)


def electrode_info():
    """Make one info of the electrodes of three dense montages side by side.

    Returns
    -------
    info : mne.Info
        Names begin with the montage's.
    positions : array of shape (n_electrodes, 3)
        In head coordinates (m).
    groups : array of shape (n_electrodes,), int
        The montage of each.
    """
    infos = []
    for montage in _MONTAGES:
        names = mne.channels.make_standard_montage(montage).ch_names
        info = mne.create_info(names, 1.0, "eeg")
        info.set_montage(montage)
        mne.rename_channels(info, {name: f"{montage}-{name}" for name in names})
        infos.append(info)
    groups = np.repeat(np.arange(len(infos)), [len(info["ch_names"]) for info in infos])
    names = [name for info in infos for name in info["ch_names"]]
    merged = mne.create_info(names, 1.0, "eeg")
    positions = np.array([ch["loc"][:3] for info in infos for ch in info["chs"]])
    # one electrode of a standard montage lies where another one does (T7 and T3): keep one
    _, unique = np.unique(
        np.round(np.column_stack([groups, positions * 1e3]), 1), axis=0, return_index=True
    )
    unique = np.sort(unique)
    merged = mne.pick_info(merged, unique)
    return merged, positions[unique], groups[unique]


def standard_layouts(electrodes, groups):
    """Find the electrodes nearest to those of each of MNE's standard layouts.

    Numbers of electrodes of :func:`electrode_info`, all of one group, by layout.
    """
    layouts = {}
    for name in mne.channels.get_builtin_montages():
        montage = mne.channels.make_standard_montage(name)
        if name.startswith("artinis") or len(montage.ch_names) > 300:
            continue  # optodes; the 10-5 system, which is itself what is chosen from
        info = mne.create_info(montage.ch_names, 1.0, "eeg")
        info.set_montage(montage)
        wanted = np.array([channel["loc"][:3] for channel in info["chs"]])
        best = None
        for group in np.unique(groups):
            members = np.flatnonzero(groups == group)
            distance, nearest = cKDTree(electrodes[members]).query(wanted)
            if best is None or distance.mean() < best[0]:
                best = distance.mean(), np.unique(members[nearest])
        layouts[name] = best[1]
    return layouts
