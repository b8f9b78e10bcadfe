"""Figures of ``benchmarks/transfer.py``: all methods at a glance, and what accuracy depends on."""

import textwrap
from itertools import pairwise

import numpy as np
from drawing import COLOURS, DASHES, MARKERS, save, strip
from intervals import clustered_interval
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from people_report import TITLES

from mne_mmnet.baselines.classical import CLASSICAL
from mne_mmnet.metrics import confidence_interval

OURS = "mmnet"
LABELS = TITLES | {
    "localization_error_mm": "Nearest-peak error (mm)",
    "strongest_peak_error_mm": "Strongest-peak error (mm)",
}
_DEPTHS = (0.0, 12.0, 18.0, 26.0, 36.0, 62.0)
_EXTENTS = (4.0, 8.0, 12.0, 16.0, 20.0)
_CORRELATIONS = (0.0, 0.3, 0.6, 0.9)


def figure_factors(path, found, cases, metrics):
    """Accuracy against each factor of the simulation: mean and 95 % interval.

    ``found`` are records by method and case, ``cases`` what each case was drawn from; ``metrics``
    say whether more is better.
    """
    names = _shown(found, metrics)
    keys = sorted(set.intersection(*(set(found[name]) for name in names)))
    factors = _factors(cases, keys)
    shape = (len(metrics), len(factors))
    figure = Figure(
        figsize=(20, 3 * len(metrics)), dpi=80, facecolor="white", layout="constrained"
    )
    grid = figure.subplots(*shape, sharey="row", squeeze=False)
    for row, metric in zip(grid, metrics, strict=True):
        for axes, (title, ticks, members) in zip(row, factors, strict=True):
            for k, name in enumerate(names):
                points = _levels(found[name], members, metric)
                if len(points):
                    _draw_points(axes, k, len(names), points)
            axes.set_xticks(range(len(ticks)), ticks)
            axes.set_xlim(-0.5, len(ticks) - 0.5)
            strip(axes, labelsize=12)
            if metric == next(iter(metrics)):
                counts = [len({key for key, _ in level}) for level in members]
                axes.set_title(f"{title}\n({_span(counts)} cases a point)", fontsize=14)
        arrow = "↑" if metrics[metric] else "↓"
        # in two lines: a row is not as high as a label is long
        label = textwrap.fill(LABELS[metric], 18)
        row[0].set_ylabel(f"{label} {arrow}", fontsize=14)
        if not metrics[metric]:
            row[0].set_ylim(bottom=0.0)
    _legend(figure, names)
    figure.supxlabel(
        f"Mean and 95 % bootstrap interval over cases; {len(keys)} cases, all montages and SNRs "
        "pooled. Depth and extent: every patch counts, with its own nearest- and strongest-peak "
        "error\nand with its case's other scores. Correlation: cases of two and more patches. "
        "↑ ↓: better. Simulated on perturbed heads, inverted on the standard one.",
        fontsize=12,
    )
    save(figure, path)


def figure_overview(path, found, lead, metrics):
    """All methods over all cases, and below what mmnet gains on the best peer of each cell.

    ``lead`` are the rows of ``transfer_lead.csv``; none without results of mmnet.
    """
    order = _ranked(found, metrics)
    keys = sorted(set.intersection(*(set(records) for records in found.values())))
    n_rows = 2 if lead else 1
    figure = Figure(figsize=(20, 6.5 * n_rows), dpi=80, facecolor="white", layout="constrained")
    grid = figure.subplots(n_rows, len(metrics), squeeze=False)
    for axes, (metric, more_is_better) in zip(grid[0], metrics.items(), strict=True):
        for y, name in enumerate(order[::-1]):
            values = np.array([found[name][key]["scores"][metric] for key in keys])
            low, high = confidence_interval(values)
            colour = COLOURS[0] if name.startswith(OURS) else "0.25"
            axes.plot([low, high], [y, y], color=colour, lw=2.5, solid_capstyle="butt")
            axes.plot(values.mean(), y, "o", color=colour, ms=7)
            if metric == "localization_error_mm":
                # the more peaks, the nearer the nearest one
                count = np.mean([found[name][key]["scores"]["n_maxima"] for key in keys])
                axes.text(
                    1.02, y, f"{count:.0f}", transform=axes.get_yaxis_transform(), va="center"
                )
                chance = [found[name][key]["scores"]["chance_" + metric] for key in keys]
                axes.plot(np.mean(chance), y, "x", color="#D55E00", ms=8, mew=2)
        shown = [_tick(name, found[name], keys) for name in order[::-1]]
        shown = shown if axes is grid[0, 0] else [""] * len(order)
        axes.set_yticks(range(len(order)), shown)
        note = "more is better →" if more_is_better else "← less is better"
        if metric == "localization_error_mm":
            note += "; ×: as many peaks at random\n(right: number of peaks)"
        axes.set_title(f"{LABELS[metric]}\n{note}", fontsize=13)
        strip(axes, labelsize=12)
    figure.suptitle(
        f"All methods, mean and 95 % bootstrap interval over {len(keys)} cases "
        "(all montages and SNRs), best mean rank on top",
        fontsize=15,
    )
    if lead:
        for axes, (metric, more_is_better) in zip(grid[1], metrics.items(), strict=True):
            _draw_lead(axes, lead, metric, more_is_better)
        grid[1, 0].set_ylabel("mmnet ahead of the best peer of the cell by", fontsize=13)
        grid[1, -1].legend(title="montage", fontsize=12, title_fontsize=12, loc="best")
    save(figure, path)


def _draw_lead(axes, lead, metric, more_is_better):
    """Gain of mmnet on the best peer of each cell: above zero is better."""
    rows = [row for row in lead if row["metric"] == metric and "all" not in row.values()]
    montages = list(dict.fromkeys(row["montage"] for row in rows))
    levels = sorted({row["snr_db"] for row in rows})
    sign = 1.0 if more_is_better else -1.0
    axes.axhline(0.0, color="0.3", lw=1.2)
    for k, montage in enumerate(montages):
        points = []
        for x, level in enumerate(levels):
            for row in rows:
                if (row["montage"], row["snr_db"]) == (montage, level):
                    ends = sorted(sign * float(row[end]) for end in ("low", "high"))
                    points.append((x, sign * float(row["difference"]), *ends))
        _draw_points(axes, k, len(montages), np.array(points), montage, joined=False)
    axes.set_xticks(range(len(levels)), [f"{level}" for level in levels])
    axes.set_xlabel("SNR (dB)", fontsize=13)
    axes.set_title(LABELS[metric], fontsize=13)
    strip(axes, labelsize=12)


def _factors(cases, keys):
    """Title, tick labels and members of each factor; a member is a case and a patch or None."""

    def whole(name, values):
        return [[(key, None) for key in keys if cases[key][name] == value] for value in values]

    def by_patch(name, low, high):
        return [
            (key, patch)
            for key in keys
            for patch, value in enumerate(cases[key][name])
            if low <= value < high
        ]

    channels = sorted({cases[key]["n_channels"] for key in keys})
    snrs = sorted({cases[key]["snr_db"] for key in keys})
    pairs = list(pairwise(_CORRELATIONS))
    correlated = [
        [
            (key, None)
            for key in keys
            if cases[key]["correlation"] is not None and low <= cases[key]["correlation"] < high
        ]
        for low, high in pairs
    ]
    depths = list(pairwise(_DEPTHS))
    extents = [(0.0, 1.0), *pairwise(_EXTENTS)]
    return [
        (
            "Depth below inner skull (mm)",
            [f"<{_DEPTHS[1]:.0f}", *(f"{a:.0f}–{b:.0f}" for a, b in depths[1:])],
            [by_patch("depth_mm", *pair) for pair in depths],
        ),
        ("SNR (dB)", [str(snr) for snr in snrs], whole("snr_db", snrs)),
        ("Number of sources", list("1234"), whole("n_patches", (1, 2, 3, 4))),
        (
            "Extent (mm, Gaussian s.d.)",
            ["point", *(f"{a:.0f}–{b:.0f}" for a, b in extents[1:])],
            [by_patch("extent_mm", *pair) for pair in extents],
        ),
        ("Correlation of sources", [f"{a:g}–{b:g}" for a, b in pairs], correlated),
        ("Electrodes", [str(n) for n in channels], whole("n_channels", channels)),
    ]


def _levels(records, members, metric):
    """Position, mean and interval at each level of a factor that has cases."""
    points = []
    for x, level in enumerate(members):
        values, groups = [], []
        for key, patch in level:
            record = records[key]
            own = record["per_patch"].get(metric) if patch is not None else None
            values.append(record["scores"][metric] if own is None else own[patch])
            groups.append(key)
        if len(set(groups)) > 1:
            points.append((x, np.mean(values), *clustered_interval(values, groups)))
    return np.array(points)


def _draw_points(axes, k, n_series, points, label=None, joined=True):
    """Draw means with intervals, moved aside so that none hides another."""
    x = points[:, 0] + 0.12 * (k - (n_series - 1) / 2)
    style = dict(color=COLOURS[k], marker=MARKERS[k], ls=DASHES[k] if joined else "", label=label)
    axes.plot(x, points[:, 1], ms=6, lw=2.0, zorder=3 if k == 0 else 2, **style)
    axes.vlines(x, points[:, 2], points[:, 3], color=COLOURS[k], lw=1.6)


def _ranked(found, metrics):
    """Methods by their mean rank over the metrics, on the cases that all have."""
    keys = sorted(set.intersection(*(set(records) for records in found.values())))
    ranks = dict.fromkeys(found, 0)
    for metric, more_is_better in metrics.items():
        sign = -1.0 if more_is_better else 1.0
        means = {
            name: sign * np.mean([records[key]["scores"][metric] for key in keys])
            for name, records in found.items()
        }
        for rank, name in enumerate(sorted(means, key=means.get)):
            ranks[name] += rank
    return sorted(ranks, key=ranks.get)


def _shown(found, metrics):
    """Choose mmnet, the three peers of the best mean rank, and the best linear one."""
    peers = [name for name in _ranked(found, metrics) if not name.startswith(OURS)]
    linear = [name for name in peers if name in CLASSICAL][:1]
    others = [name for name in peers if name not in CLASSICAL][:3]
    return [name for name in (OURS, *others, *linear) if name in found]


def _tick(name, records, keys):
    """Name a method, and how often it failed."""
    n_failed = sum(records[key]["failure"] is not None for key in keys)
    return f"{name} ({n_failed} failed)" if n_failed else name


def _span(counts):
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"


def _legend(figure, names):
    handles = [
        Line2D([], [], color=COLOURS[k], marker=MARKERS[k], ls=DASHES[k], lw=2.2, ms=8)
        for k in range(len(names))
    ]
    figure.legend(
        handles, names, loc="outside upper center", ncols=len(names), fontsize=15, frameon=False
    )
