"""Slices through a volume of sources."""

import numpy as np
from scipy.spatial import cKDTree

from ..viz.colours import GYRUS, blend
from ..viz.page import add_current_bar, make_figure, to_image

# name, axes to the right and up, axis across, letters at left and right, below and above
_PLANES = (
    ("axial", 0, 1, 2, "LR", "PA"),
    ("coronal", 0, 2, 1, "LR", "IS"),
    ("sagittal", 1, 2, 0, "PA", "IS"),
)
_FINE = 1.5  # mm a pixel


def draw_slices(positions, values, *, stamp="", size=(1200, 480)):
    """Draw three slices through the strongest source.

    Of currents (A·m) at positions (mm): x to the right, y to the front, z up. A pixel has the
    value of the nearest source, if one is within a grid's step; ``stamp`` is written into the
    corner.
    """
    positions, values = np.asarray(positions), np.asarray(values)
    tree = cKDTree(positions)
    step = np.median(tree.query(positions, k=2)[0][:, 1]) if len(positions) > 1 else 10.0
    peak = positions[np.argmax(np.abs(values))]
    limit = float(np.abs(values).max()) or 1e-9
    low, high = positions.min(axis=0) - step, positions.max(axis=0) + step
    figure = make_figure(size)
    for column, (name, a, b, across, ends, levels) in enumerate(_PLANES):
        axes = figure.add_axes((0.06 + 0.285 * column, 0.14, 0.21, 0.74))
        x, y = (np.arange(low[k], high[k] + _FINE, _FINE) for k in (a, b))
        grid = np.empty((len(y), len(x), 3))
        grid[..., a], grid[..., b], grid[..., across] = *np.meshgrid(x, y), peak[across]
        distance, nearest = tree.query(grid.reshape(-1, 3))
        colours = blend(values[nearest] / limit, GYRUS)
        colours[distance > 0.87 * step] = 1.0  # half a cell's diagonal
        axes.imshow(
            colours.reshape(*grid.shape[:2], 3),
            extent=(x[0], x[-1], y[0], y[-1]),
            origin="lower",
            interpolation="nearest",
        )
        axes.axvline(peak[a], color="0.3", lw=0.6)
        axes.axhline(peak[b], color="0.3", lw=0.6)
        axes.set_title(f"{name}, {'xyz'[across]} = {peak[across]:.0f} mm", fontsize=13)
        axes.set_xlabel(f"{ends[0]}    {'xyz'[a]} (mm)    {ends[1]}", fontsize=11)
        axes.set_ylabel(f"{levels[0]}    {'xyz'[b]} (mm)    {levels[1]}", fontsize=11)
    signed = bool((values < 0).any())
    add_current_bar(figure, (0.925, 0.2, 0.014, 0.55), limit, signed, 11)
    figure.text(0.98, 0.98, stamp, ha="right", va="top", fontsize=14)
    return to_image(figure)
