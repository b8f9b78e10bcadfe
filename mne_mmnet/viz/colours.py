"""Colours of currents, and their units."""

import numpy as np

from .._mne import SMALLEST_CURRENT

# below this share of the largest value the cortex shows through; above the second one it is hidden
THRESHOLD, _OPAQUE = 0.25, 0.4
SULCUS, GYRUS = 0.52, 0.74  # grey levels
TRUTH = "#00a651"  # on neither colour map, nor lost on grey
REGION = "#202020"  # darker than any colour of the map
TINT = (1.0, 0.93, 1.07)  # of the grey within a region, so that its inner side is seen
# A·m per unit; no cortex produces 1 mA·m, so larger values are no currents
_UNITS = (("pA·m", 1e-12, 1e-10), ("nA·m", 1e-9, 1e-6), ("µA·m", 1e-6, 1e-3))


def _hot(values):
    """Colours (n, 3) of values in [0, 1]; neither the black nor the white end of the map."""
    from matplotlib import colormaps

    return colormaps["hot"](0.3 + 0.6 * np.clip(values, 0, 1))[:, :3]


def blend(share, grey):
    """Paint values over a grey ground.

    Parameters
    ----------
    share : array of shape (n,)
        Values relative to the largest; negative ones are blue.
    grey : array of shape (n,) or (n, 3) | float
        Grey levels or colours of the ground, between 0 and 1. It shows through where values are
        small.

    Returns
    -------
    rgb : array of shape (n, 3)
        Between 0 and 1.
    """
    size = np.abs(share)
    rgb = _hot((size - THRESHOLD) / (1 - THRESHOLD))
    rgb = np.where(share[:, np.newaxis] < 0, rgb[:, ::-1], rgb)
    opacity = np.clip((size - THRESHOLD) / (_OPAQUE - THRESHOLD), 0, 1)[:, np.newaxis]
    ground = grey if np.ndim(grey) == 2 else np.broadcast_to(grey, size.shape)[:, np.newaxis]
    return ground + opacity * (rgb - ground)


def choose_unit(limit):
    """Choose a readable unit for currents up to a limit.

    Its name, empty where values are too large or too small for currents (power, for one), and its
    size (both A·m).
    """
    if 0 < limit < SMALLEST_CURRENT:
        return "", 1.0
    for name, unit, below in _UNITS:
        if limit < below:
            return name, unit
    return "", 1.0


def colour_scale(signed):
    """Make the colour map of the bar, as painted on a gyrus."""
    from matplotlib.colors import ListedColormap

    return ListedColormap(blend(np.linspace(-1.0 if signed else 0.0, 1.0, 511), GYRUS))
