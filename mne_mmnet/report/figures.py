"""Curves and maps of a report. All are drawn without pyplot and without a display."""

import mne
import numpy as np

from .._mne import shorten_names
from ..viz.colours import choose_unit
from ..viz.page import make_figure

_FONT = 11.0


def _curve_style(axes, window=None, times=()):
    """Labels and marks that all curves share."""
    axes.set_xlabel("time (ms)", fontsize=_FONT)
    axes.spines[["top", "right"]].set_visible(False)
    for time in times:
        axes.axvline(1e3 * time, color="0.4", lw=0.8, ls=":")
    if window is not None:
        axes.axvspan(1e3 * window[0], 1e3 * window[1], color="#1f4e79", alpha=0.08, lw=0)


def draw_sensors(evoked, kind):
    """Draw where the channels of a type are, seen from above, bad ones in red."""
    figure = make_figure((700, 640))
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
    names = evoked.copy().pick(kind, exclude=()).ch_names
    shown = len(names) <= 70  # more would overlap
    evoked.plot_sensors(ch_type=kind, show_names=shown, axes=axes, show=False, verbose="error")
    # not the channels themselves: copies of a response share the names in their projectors
    short = dict(zip(names, shorten_names(names)[0], strict=True))
    for text in axes.texts:
        text.set_text(short.get(text.get_text(), text.get_text()))
    return figure


def draw_butterfly(evoked, kinds, window, times):
    """Draw all channels over time, a panel for each type.

    The localised window is shaded, peaks are marked (both in s); projectors are applied.
    """
    figure = make_figure((950, 60 + 300 * len(kinds)))
    room = dict(left=0.09, right=0.98, bottom=0.5 / (1 + 2 * len(kinds)), top=0.92, hspace=0.6)
    axes = figure.subplots(len(kinds), squeeze=False, gridspec_kw=room)[:, 0]
    data = evoked.copy().pick(kinds)
    data.plot(
        axes=list(axes),
        proj=bool(data.info["projs"]),
        spatial_colors="auto",
        time_unit="ms",
        selectable=False,
        show=False,
        verbose="error",
    )
    for one in axes:
        _curve_style(one, window, times)
    return figure


def draw_topomaps(evoked, kind, times):
    """Draw the field over the head at some times (s), with projectors applied, at one scale."""
    total = 230 * len(times) + 120  # pixels
    figure = make_figure((total, 260))
    lefts = [(20 + 230 * k) / total for k in range(len(times) + 1)]
    axes = [figure.add_axes((left, 0.04, 200 / total, 0.84)) for left in lefts[:-1]]
    axes.append(figure.add_axes((lefts[-1], 0.2, 14 / total, 0.5)))
    proj = bool(evoked.info["projs"])
    with mne.use_log_level("error"):
        evoked.plot_topomap(
            times,
            ch_type=kind,
            axes=axes,
            time_unit="ms",
            time_format="%.1f ms",
            proj=proj,
            show=False,
        )
    for one in axes:  # MNE's own are twice as large
        one.title.set_fontsize(_FONT)
    return figure


def draw_time_courses(all_times, courses, labels, times):
    """Draw the moments (A·m) of some sources over time (s); peaks are marked."""
    figure = make_figure((950, 380))
    axes = figure.add_axes((0.09, 0.14, 0.54, 0.8))
    name, unit = choose_unit(max((course.max() for course in courses), default=0.0) or 1e-9)
    for course, label in zip(courses, labels, strict=True):
        axes.plot(1e3 * all_times, course / unit, marker=_marker(all_times), label=label)
    _curve_style(axes, times=times)
    axes.axhline(0.0, color="0.7", lw=0.8, zorder=0)
    axes.set_ylabel(f"moment ({name})" if name else "value", fontsize=_FONT)
    if courses:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=_FONT)
    return figure


def draw_fit(report, stc, times):
    """Draw the share of the data that the sources explain over time; peaks (s) are marked."""
    figure = make_figure((950, 340))
    axes = figure.add_axes((0.09, 0.16, 0.88, 0.76))
    share = 100 * np.asarray(report.explained_times)
    axes.plot(1e3 * stc.times, share, color="#1f4e79", marker=_marker(stc.times))
    _curve_style(axes, times=times)
    mean = 100 * report.explained
    axes.axhline(mean, color="0.6", lw=0.8, ls="--", zorder=0)
    axes.annotate(
        f"whole window {mean:.1f} %",
        *((1.0, mean), (0, 3)),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        color="0.4",
    )
    axes.set_ylim(min(0.0, 1.1 * share.min()), 108)
    axes.set_ylabel("whitened data explained (%)", fontsize=_FONT)
    return figure


def _marker(times):
    return "o" if len(times) == 1 else None
