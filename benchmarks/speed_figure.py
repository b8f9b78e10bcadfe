"""Cost against size: the figure of ``benchmarks/speed.py``."""

import matplotlib
import numpy as np
from drawing import save, strip
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

COLOURS = {
    "mmnet": "#0b6e99",
    "eLORETA": "#7a7a7a",
    "MxNE": "#c8782a",
    "Gamma-MAP": "#8a5aa8",
    "FlexChampagne": "#3f8f4f",
    "OmniChampagne": "#b03a48",
    "AltProj": "#a89020",
}


def _select(rows, **wanted):
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def _line(axis, rows, key, **style):
    rows = sorted(rows, key=lambda row: int(row[key]))
    if rows:
        x = [int(row[key]) for row in rows]
        axis.plot(x, [float(row["median_ms"]) for row in rows], marker="o", ms=4, **style)


def draw(rows, path):
    """Draw times against the number of sources, and against the work for mmnet, from speed.csv."""
    figure = Figure(figsize=(13, 4.2), dpi=130, layout="constrained")
    axes = figure.subplots(1, 3)
    for method, colour in COLOURS.items():
        found = _select(rows, method=method, orientation="fixed", n_channels="64")
        _line(axes[0], found, "n_sources", color=colour, label=method)
    axes[0].set(title="64 channels, fixed orientation", xlabel="sources", ylabel="time / ms")
    below = dict(loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False, fontsize=8)
    axes[0].legend(**below, ncols=4)

    channels = sorted({int(row["n_channels"]) for row in rows})
    shades = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.85, len(channels)))
    for n_channels, shade in zip(channels, shades, strict=True):
        for orientation, style in (("fixed", "-"), ("evidence", "--")):
            found = _select(
                rows, method="mmnet", orientation=orientation, n_channels=str(n_channels)
            )
            label = f"{n_channels} channels" if orientation == "fixed" else None
            _line(axes[1], found, "n_sources", color=shade, label=label, ls=style)
    axes[1].set(
        title="mmnet (dashed: orientation by evidence)", xlabel="sources", ylabel="time / ms"
    )
    axes[1].legend(**below, ncols=3)

    ours = _select(rows, method="mmnet")
    floor = np.array([float(row["floor_ms"]) for row in ours])
    found = np.array([float(row["median_ms"]) for row in ours])
    free = np.array([row["orientation"] != "fixed" for row in ours])
    axes[2].plot(floor[~free], found[~free], "o", color=COLOURS["mmnet"], label="fixed")
    axes[2].plot(
        floor[free], found[free], "s", mfc="none", color=COLOURS["mmnet"], label="evidence"
    )
    ends = np.array([floor.min(), floor.max()])
    for times, style in ((1, "-"), (3, ":")):
        axes[2].plot(ends, times * ends, style, color="0.5", lw=1, label=f"{times} × floor")
    axes[2].set(title="mmnet and the machine's floor", xlabel="floor / ms", ylabel="time / ms")
    axes[2].legend(**below, ncols=4)
    sizes = sorted({int(row["n_sources"]) for row in rows})
    for axis in axes:
        axis.set(xscale="log", yscale="log")
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            side.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
            side.set_minor_locator(NullLocator())
        strip(axis)
    for axis in axes[:2]:
        axis.set_xticks(sizes, sizes)
    save(figure, path)
