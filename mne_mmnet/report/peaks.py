"""When there is most to see."""

import mne
import numpy as np
from scipy.signal import find_peaks

from .._mne import project

_N_PEAKS = 3
# peaks nearer in time (s), or standing out by less than this share of the highest, are left
_APART, _LEAST = 0.005, 0.3
# a window's first or last sample is where it was cut, no peak, unless peaks are so much lower
_EDGE = 2.0


def channel_types(evoked):
    """List the types of the good channels that are localised, of "eeg", "mag" and "grad"."""
    present = evoked.get_channel_types(picks=mne.pick_types(evoked.info, meg=True, eeg=True))
    return [kind for kind in ("eeg", "mag", "grad") if kind in present]


def project_types(evoked):
    """Yield the data of the good channels, type by type, with all projectors applied."""
    for kind in channel_types(evoked):
        picks = mne.pick_types(evoked.info, meg=kind != "eeg" and kind, eeg=kind == "eeg")
        yield project(evoked.info, evoked.data, picks)


def find_times(evoked, window):
    """Find the peaks of the response's global field power.

    In s, the three highest or fewer, in order. The window's first and last sample are none unless
    at least twice as high as the peaks between.
    """
    power = np.zeros(len(evoked.times))
    for data in project_types(evoked):
        of_kind = data.std(axis=0)
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
    inner = found[(found > 0) & (found < len(power) - 1)]
    highest_inner = power[inner].max(initial=0.0)
    found = found[np.isin(found, inner) | (power[found] >= _EDGE * highest_inner)]
    highest = found[np.argsort(power[found])[::-1][:_N_PEAKS]]
    return [float(times[k]) for k in sorted(highest)]
