"""Sources as points, seen from three sides: for those that lie on no surface."""

import numpy as np

from .colours import GYRUS, blend
from .page import add_current_bar, add_legend, make_figure, to_image

# name, horizontal and vertical axis, letters at left, right, bottom and top
_SIDES = (
    ("from above", 0, 1, "LRPA"),
    ("from behind", 0, 2, "LRIS"),
    ("from the right", 1, 2, "PAIS"),
)
_SPOTS = (
    (0.02, 0.5, "left", "center"),
    (0.98, 0.5, "right", "center"),
    (0.5, 0.02, "center", "bottom"),
    (0.5, 0.98, "center", "top"),
)


def draw_projection(
    positions, values, *, sensors=None, inside=None, label=None, stamp="", size=(1200, 520)
):
    """Draw sources as points from above, behind and the right, the strongest on top.

    Parameters
    ----------
    positions : array of shape (n_sources, 3)
        Positions (m); x to the right, y to the front, z up.
    values : array of shape (n_sources,)
        Currents (A·m).
    sensors : array of shape (n_sensors, 3) | None
        Positions (m) of electrodes, drawn as crosses for orientation.
    inside : array of bool, shape (n_sources,) | None
        Sources of a region, drawn with an edge.
    label : str | None
        What the region is.
    stamp : str
        Time, for the upper right corner.
    size : tuple of int
        Width and height in pixels.

    Returns
    -------
    image : array of shape (height, width, 3), uint8
        The picture.
    """
    positions = 1e3 * np.asarray(positions)
    limit = float(np.abs(values).max()) or 1e-9
    order = np.argsort(np.abs(values))
    colours = blend(values / limit, GYRUS)
    strong = np.abs(values) / limit
    figure = make_figure(size)
    font = 15.0 * size[0] / 1200
    everything = positions if sensors is None else np.concatenate([positions, 1e3 * sensors])
    low, high = everything.min(axis=0) - 8, everything.max(axis=0) + 8
    extent = (high - low).max()
    for column, (name, a, b, letters) in enumerate(_SIDES):
        axes = figure.add_axes((0.05 + 0.285 * column, 0.14, 0.25, 0.72))
        if sensors is not None:
            look = dict(marker="+", ls="", color="0.85", ms=0.5 * font, zorder=0)
            axes.plot(1e3 * sensors[:, a], 1e3 * sensors[:, b], **look)
        edges = np.full((len(values), 4), 0.0)
        if inside is not None:
            edges[inside] = [0.0, 0.0, 0.0, 1.0]
        axes.scatter(
            positions[order, a],
            positions[order, b],
            s=(0.25 * font) ** 2 * (1 + 6 * strong[order]),
            c=colours[order],
            edgecolors=edges[order],
            linewidths=1.2,
        )
        axes.set_aspect("equal")
        for set_limits, axis in ((axes.set_xlim, a), (axes.set_ylim, b)):
            middle = 0.5 * (low[axis] + high[axis])
            set_limits(middle - 0.5 * extent, middle + 0.5 * extent)
        axes.set_title(name, fontsize=font)
        axes.tick_params(labelsize=0.7 * font)
        axes.locator_params(nbins=5)
        axes.set_xlabel(f"{'xyz'[a]} (mm)", fontsize=0.87 * font)
        place = dict(transform=axes.transAxes, color="0.4", fontsize=0.87 * font)
        for letter, (x, y, ha, va) in zip(letters, _SPOTS, strict=True):
            axes.text(x, y, letter, ha=ha, va=va, **place)
    signed = bool((np.asarray(values) < 0).any())
    add_current_bar(figure, (0.915, 0.2, 0.014, 0.55), limit, signed, 0.87 * font)
    figure.text(0.98, 0.98, stamp, ha="right", va="top", fontsize=1.1 * font)
    add_legend(figure, 0.8 * font, region=label if inside is not None else None, ring=True)
    return to_image(figure)
