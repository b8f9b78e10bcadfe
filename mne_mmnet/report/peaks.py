"""When and where there is most to see."""

import mne
import numpy as np
from scipy.signal import find_peaks

_N_PEAKS, _N_SOURCES = 3, 4
# peaks nearer in time (s), standing out by less than this share of the highest, or nearer in space
# (m) are left
_APART, _LEAST, _DISTANCE = 0.005, 0.3, 0.025


def channel_types(evoked):
    """List the types of the channels that sources are estimated from.

    Parameters
    ----------
    evoked : mne.Evoked
        The response.

    Returns
    -------
    types : list of str
        Those of "eeg", "mag" and "grad" of which there are good channels.
    """
    present = evoked.get_channel_types(picks=mne.pick_types(evoked.info, meg=True, eeg=True))
    return [kind for kind in ("eeg", "mag", "grad") if kind in present]


def find_times(evoked, window):
    """Find the peaks of the response's global field power.

    Parameters
    ----------
    evoked : mne.Evoked
        The response.
    window : tuple of float
        First and last time (s) that may be found.

    Returns
    -------
    times : list of float
        Of the three highest peaks or fewer, in order.
    """
    power = np.zeros(len(evoked.times))
    for kind in channel_types(evoked):
        of_kind = evoked.get_data(picks=kind).std(axis=0)
        power += of_kind / (of_kind.max() or 1.0)
    half = 0.5 / evoked.info["sfreq"]
    chosen = (evoked.times >= window[0] - half) & (evoked.times <= window[1] + half)
    times, power = evoked.times[chosen], power[chosen]
    apart = max(1, round(_APART * evoked.info["sfreq"]))
    # zeros around, so that a maximum at the edge of the window counts
    padded = np.concatenate([[0.0], power, [0.0]])
    found = find_peaks(padded, distance=apart, prominence=_LEAST * power.max())[0] - 1
    if len(found) == 0:
        found = np.array([np.argmax(power)])
    highest = found[np.argsort(power[found])[::-1][:_N_PEAKS]]
    return [float(times[k]) for k in sorted(highest)]


def find_positions(stc, fwd):
    """Find the positions of an estimate's sources.

    Parameters
    ----------
    stc : mne.SourceEstimate | mne.VolSourceEstimate | mne.MixedSourceEstimate
        The estimate.
    fwd : mne.Forward
        Its forward solution.

    Returns
    -------
    positions : array of shape (n_sources, 3)
        In metres, in the forward solution's coordinates.
    """
    if len(stc.vertices) != len(fwd["src"]):
        raise ValueError(
            f"stc has {len(stc.vertices)} source spaces, fwd has {len(fwd['src'])}. Give the "
            "forward solution that the estimate was made with."
        )
    pairs = zip(fwd["src"], stc.vertices, strict=True)
    return np.concatenate([space["rr"][np.asarray(v, int)] for space, v in pairs])


def find_sources(data, positions):
    """Find the strongest sources that are not neighbours.

    Parameters
    ----------
    data : array of shape (n_sources, n_times)
        Their currents.
    positions : array of shape (n_sources, 3)
        Their positions (m).

    Returns
    -------
    rows : list of int
        Of four sources or fewer, the strongest first.
    """
    strength = np.abs(data).max(axis=1)
    rest, rows = strength.copy(), []
    while len(rows) < _N_SOURCES and rest.max() > _LEAST / 3 * strength.max():
        rows.append(int(np.argmax(rest)))
        rest[np.linalg.norm(positions - positions[rows[-1]], axis=1) < _DISTANCE] = 0.0
    return rows
