"""Pages: panels, words and colour bars laid out as one image."""

import os
from pathlib import Path

import numpy as np
from mne.utils import logger

from .._support.files import whole_file
from .colours import GYRUS, REGION, TINT, TRUTH, choose_unit, colour_scale
from .surfaces import VIEWS


def make_figure(size):
    """Make an empty white page.

    Its size is in pixels. It is not one of pyplot's: no figure is left open and no backend is
    chosen for the user.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def to_image(figure):
    """Draw a page: its pixels (height, width, 3), uint8."""
    figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[:, :, :3]


def check_path(path):
    """Refuse a path that is no PNG, before the work."""
    if path is not None and Path(path).suffix.lower() != ".png":
        raise ValueError(f"path must end in .png, got {os.fspath(path)!r}.")


def finish(figure, path):
    """Draw a page, and write it to a PNG file, atomically, if there is a path; its pixels."""
    image = to_image(figure)
    if path is not None:
        from matplotlib.image import imsave

        with whole_file(path) as scratch:
            imsave(scratch, image)
        logger.info(f"    written to {path}")
    logger.info("[done]")
    return image


def lay_out(figure, panels, places, fontsize):
    """Put the four panels of a painting onto a page, each with its name and directions.

    Images and places (left, bottom, width and height) by hemisphere and view.
    """
    for (side, view), image in panels.items():
        axes = figure.add_axes(places[side, view])
        axes.imshow(image, interpolation="antialiased")
        axes.set_axis_off()
        place = dict(transform=axes.transAxes)
        label = f"{('left', 'right')[side]} {view}"
        axes.text(0.5, 1.0, label, ha="center", va="bottom", fontsize=fontsize, **place)
        place.update(va="center", color="0.4", fontsize=0.87 * fontsize)
        ends = "AP" if (side == 0) == (view == "lateral") else "PA"
        axes.text(0.0, 0.5, ends[0], ha="left", **place)
        axes.text(1.0, 0.5, ends[1], ha="right", **place)


def panel_places(left, bottom, width, height):
    """Places of the four panels: left hemisphere on the left, lateral views above.

    In parts of the page: left of the two columns, bottom of the two rows, the upper one first.
    """
    return {
        (side, view): (left[side], bottom[row], width, height)
        for side in (0, 1)
        for row, view in enumerate(VIEWS)
    }


def add_bar(figure, place, scale, low, high, label, fontsize):
    """Put a colour bar onto a page.

    ``place`` is left, bottom, width and height.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    colours = ScalarMappable(Normalize(low, high), scale)
    bar = figure.colorbar(colours, cax=figure.add_axes(place))
    bar.ax.tick_params(labelsize=0.87 * fontsize)
    bar.set_label(label, fontsize=fontsize)


def add_current_bar(figure, place, limit, signed, fontsize):
    """Put a colour bar of currents up to a limit (A·m) onto a page, in a readable unit."""
    name, unit = choose_unit(limit)
    label, top = f"current ({name})" if name else "value", limit / unit
    add_bar(figure, place, colour_scale(signed), -top if signed else 0.0, top, label, fontsize)


def add_legend(figure, fontsize, *, truth=False, region=None, ring=False):
    """Say what the marks are.

    ``region`` is what the outline is, if there is one; a ring is that of points, not of an area.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks = []
    if truth:
        dot = dict(marker="o", ls="", color=TRUTH, ms=0.6 * fontsize)
        marks.append(Line2D([], [], label="true source", **dot))
    if region is not None:
        if ring:
            look = dict(marker="o", ls="", mec=REGION, mfc="white", ms=0.7 * fontsize, mew=1.2)
            marks.append(Line2D([], [], label=region, **look))
        else:
            look = dict(ec=REGION, fc=tuple(GYRUS * x for x in TINT), lw=0.15 * fontsize)
            marks.append(Patch(label=region, **look))
    if marks:
        figure.legend(
            handles=marks, loc="lower right", frameon=False, fontsize=fontsize, ncols=len(marks)
        )
