"""Electrodes on the scalp: the first thing to look at."""

import mne
import numpy as np
from mne.utils import _validate_type, verbose

from .._mne import (
    doubt_positions,
    electrode_positions,
    head_positions,
    shorten_names,
    template_scalp,
)
from .page import check_path, finish, make_figure

# name, axes to the right and up, axis towards the eye and its sign
_VIEWS = (
    ("from the left", (1, -1), (2, 1), (0, -1)),
    ("from the front", (0, -1), (2, 1), (1, 1)),
    ("from above", (0, 1), (1, 1), (2, 1)),
)
_GOOD, _BAD = "#1f4e79", "#d62728"
_MOST_NAMES = 70
_MARGIN = 14.0  # mm, for the letters of the sides


@verbose
def plot_alignment(info, *, fwd=None, path=None, title=None, size=(1350, 560), verbose=None):
    """Draw electrodes on the template's scalp, seen from the left, the front and above.

    Parameters
    ----------
    info : mne.Info
        Of the recording: electrodes as they were given, bad ones in red.
    fwd : mne.Forward | None
        A forward solution, whose electrodes are drawn in place of the recording's: where they
        were placed.
    path : path-like | None
        PNG file to write, atomically.
    title : str | None
        Title of the picture. None says what speaks against the positions, if anything does.
    size : tuple of int
        Width and height in pixels.
    %(verbose)s

    Returns
    -------
    image : array of shape (height, width, 3), uint8
        The picture.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If no EEG channel has a position, or ``path`` is no PNG.

    Notes
    -----
    The scalp is fsaverage's, brought to head coordinates by MNE's standard coregistration; of
    other heads, the picture shows frame, axes and size, and no distances.
    """
    _validate_type(info, mne.Info, "info")
    _validate_type(fwd, (mne.Forward, None), "fwd")
    check_path(path)
    if fwd is None:
        names, places, _ = head_positions(info)
    else:
        names, places = electrode_positions(fwd["info"])
    if not names:
        raise ValueError("No EEG channel has a position. Set them with set_montage(...).")
    places = 1e3 * places
    good = np.array([name not in info["bads"] for name in names])
    if title is None:
        doubts = doubt_positions([names[k] for k in np.flatnonzero(good)], places[good] / 1e3)
        title = " ".join(text.split(":")[0] + "." for text in doubts.values())
        title = title or "Electrodes on the template's scalp"
    return finish(_draw(names, places, good, title, size), path)


def _draw(names, places, good, title, size):
    scalp, nn, faces = template_scalp()
    scalp = 1e3 * scalp
    figure = make_figure(size)
    font = 12.0 * size[0] / 1350
    figure.text(0.01, 0.97, title, fontsize=1.1 * font, va="top", wrap=True)
    short = shorten_names(names)[0]
    everything = np.concatenate([scalp, places])
    low, high = everything.min(axis=0) - _MARGIN, everything.max(axis=0) + _MARGIN
    extent = (high - low).max()
    for column, (name, across, up, eye) in enumerate(_VIEWS):
        axes = figure.add_axes((0.01 + 0.34 * column, 0.02, 0.3, 0.8))
        _draw_scalp(axes, scalp, faces, nn, across, up, eye)
        x, y = (each[1] * places[:, each[0]] for each in (across, up))
        middle = 0.5 * (low[eye[0]] + high[eye[0]])
        near = eye[1] * (places[:, eye[0]] - middle) >= -15
        for shown, alpha in ((~near, 0.25), (near, 1.0)):
            for which, colour in ((good, _GOOD), (~good, _BAD)):
                rows = shown & which
                axes.plot(x[rows], y[rows], "o", color=colour, ms=0.45 * font, alpha=alpha)
        for k in np.flatnonzero(near & (len(names) <= _MOST_NAMES)):
            axes.annotate(
                short[k],
                (x[k], y[k]),
                xytext=(2, 2),
                textcoords="offset points",
                fontsize=0.7 * font,
            )
        for set_limits, (axis, sign) in ((axes.set_xlim, across), (axes.set_ylim, up)):
            centre = sign * 0.5 * (low[axis] + high[axis])
            set_limits(centre - 0.5 * extent, centre + 0.5 * extent)
        axes.set_aspect("equal")
        axes.set_axis_off()
        axes.set_title(name, fontsize=font)
        _draw_sides(axes, across, up, font)
    return figure


def _draw_sides(axes, across, up, font):
    letters = {(0, 1): "LR", (0, -1): "RL", (1, 1): "PA", (1, -1): "AP", (2, 1): "IS"}
    place = dict(transform=axes.transAxes, color="0.4", fontsize=font, ha="center", va="center")
    left, right = letters[across]
    axes.text(0.02, 0.5, left, **place)
    axes.text(0.98, 0.5, right, **place)
    below, above = letters[up]
    axes.text(0.5, 0.02, below, **place)
    axes.text(0.5, 0.98, above, **place)


def _draw_scalp(axes, scalp, faces, nn, across, up, eye):
    """Shade the faces that look at the eye, the farthest first."""
    from matplotlib.collections import PolyCollection

    corners = scalp[faces]
    facing = eye[1] * nn[faces].mean(axis=1)[:, eye[0]]
    order = np.argsort(eye[1] * corners.mean(axis=1)[:, eye[0]])
    order = order[facing[order] > 0]
    flat = np.stack([each[1] * corners[order][:, :, each[0]] for each in (across, up)], axis=-1)
    light = 0.55 + 0.37 * facing[order][:, np.newaxis]
    colours = np.clip(light * np.array([1.0, 0.93, 0.86]), 0, 1)
    axes.add_collection(PolyCollection(flat, facecolors=colours, edgecolors=colours, lw=0.4))
