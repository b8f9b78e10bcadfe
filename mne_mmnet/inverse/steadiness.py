"""Whether a shorter window would have given another answer."""

import numpy as np

from ..dictionary.regions import Regions
from .solver_report import Steadiness

# half widths (s) of the windows, as in the definition of steadiness (DESIGN §6)
_HALF_WIDTHS = (0.01, 0.025, 0.05)
# a window must be that much shorter than the whole, and have so many samples
_SHORTER, _LEAST_SAMPLES = 0.8, 3


def compare_windows(operator, data, sfreq, currents, n_steps=None):
    """Localise again in windows of ± 10, 25 and 50 ms around the moment of most current."""
    sizes = np.linalg.norm(currents, axis=1)
    n_times, peak = sizes.shape[1], int(sizes.sum(axis=0).argmax())
    windows = {_window(peak, round(half * sfreq), n_times) for half in _HALF_WIDTHS}
    windows = [
        (first, last)
        for first, last in sorted(windows)
        if _LEAST_SAMPLES <= last - first <= _SHORTER * n_times
    ]
    if not windows or not sizes[:, peak].any():
        return Steadiness(0, float("nan"))
    maps = [sizes[:, peak]]
    for first, last in windows:
        solution, _ = operator.solve(data[None, :, first:last], n_steps)
        maps.append(np.linalg.norm(solution.currents[0, :, :, peak - first], axis=1))
    positions = operator.prepared.positions
    places = positions[Regions(positions).strongest(np.stack(maps, axis=1))]
    return Steadiness(len(windows), float(np.linalg.norm(places[1:] - places[0], axis=1).max()))


def _window(peak, half, n_times):
    return max(0, peak - half), min(n_times, peak + half + 1)
