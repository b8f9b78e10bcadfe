"""Curves: the objective falling."""

import numpy as np
from mne.utils import verbose

from .page import check_path, finish, make_figure

_LINE, _RETRY, _ANALYTIC, _STALLED = "#1f4e79", "#d62728", "#e08a00", "#7f7f7f"


@verbose
def plot_objective(report, *, path=None, title=None, size=(900, 560), verbose=None):
    """Draw the objective against the step: the certificate, seen.

    Steps of which proposals were rejected carry their number; steps that the analytic majorant
    took, and those where rounding defeated even that one, are marked.

    Parameters
    ----------
    report : SolverReport
        The solver's report (``return_report=True``).
    path : path-like | None
        PNG file to write, atomically.
    title : str | None
        Title of the picture.
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
        If it is no report.
    ValueError
        If ``path`` is no PNG.
    """
    check_path(path)
    if not all(hasattr(report, name) for name in ("objective", "retries", "analytic", "stalled")):
        raise TypeError(
            f"report must be a SolverReport, got {type(report)}. Call apply_mmnet_inverse with "
            "return_report=True."
        )
    figure = make_figure(size)
    font = 15.0 * size[0] / 1200
    axes = figure.add_axes((0.13, 0.13, 0.84, 0.77))
    draw_objective(axes, report, font)
    axes.set_title(title or "", loc="left", fontsize=1.1 * font)
    return finish(figure, path)


def draw_objective(axes, report, fontsize):
    """Draw the objective into axes."""
    objective = np.asarray(report.objective, float)
    retries, analytic, stalled = (
        np.asarray(getattr(report, name)) for name in ("retries", "analytic", "stalled")
    )
    steps = np.arange(len(objective))
    axes.plot(steps, objective, "-o", color=_LINE, label="objective", ms=0.45 * fontsize)
    groups = (
        (retries > 0, "o", _RETRY, 1.1, "proposals rejected before this step (how many)"),
        (analytic, "s", _ANALYTIC, 0.85, "analytic step"),
        (stalled, "x", _STALLED, 0.85, "stalled: the iterate was kept"),
    )
    for which, marker, colour, share, label in groups:
        chosen = 1 + np.flatnonzero(which)
        if len(chosen):
            look = dict(marker=marker, ls="", color=colour, ms=share * fontsize, mfc="none", mew=2)
            axes.plot(chosen, objective[chosen], label=label, **look)
    for step in 1 + np.flatnonzero(retries > 0):
        axes.annotate(
            str(int(retries[step - 1])),
            (step, objective[step]),
            (0, 0.9 * fontsize),
            textcoords="offset points",
            ha="center",
            color=_RETRY,
            fontsize=0.87 * fontsize,
        )
    descended = bool(np.all(np.diff(objective) <= 0))
    verdict = (
        f"{objective[0]:.2f} → {objective[-1]:.2f}\n"
        f"{'certified: it never increased' if descended else 'NOT MONOTONE'}\n"
        f"{retries.sum()} proposals rejected, {analytic.sum()} analytic and {stalled.sum()} "
        "stalled steps"
    )
    axes.text(
        *(0.98, 0.97, verdict),
        transform=axes.transAxes,
        ha="right",
        va="top",
        fontsize=fontsize,
        color="black" if descended else _RETRY,
    )
    axes.set_xlabel("step", fontsize=fontsize)
    axes.set_ylabel("objective", fontsize=fontsize)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.tick_params(labelsize=0.87 * fontsize)
    axes.margins(y=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    if (retries > 0).any() or analytic.any() or stalled.any():
        # under the verdict, above a curve that has fallen
        look = dict(frameon=False, fontsize=0.87 * fontsize)
        axes.legend(loc="upper right", bbox_to_anchor=(0.99, 0.8), **look)
