"""Do the confidence regions hold what they promise? On the recordings of ``people.py``.

    python benchmarks/calibration.py

On the template and on the own head: neither the network nor its temperature has seen these people.
The default orientation, settled by the evidence.

**Strongest region**: what ``uncertainty.peak_probability`` is the probability of: the place of the
largest moment within 15 mm, at the instant of the largest norm of all currents, of the true
currents on the grid of the inversion. Coverage: how often the region of level c
(``uncertainty.confidence.data < c``) holds it; *deviation*: coverage − c, whose mean over the
levels is the mean signed deviation in the terms of CaliBrain (above 0: too cautious), that of
their sizes the mean absolute one. Size: the number of locations, the radius of a disc of the same
cortical area, the largest distance from the most probable location (medians over recordings). A
region always holds one location: small levels cannot be met exactly.

**Current**: the share of locations that truly have current where it lies inside the interval of
level c, Gaussian of the posterior standard deviation, along the normals: over all samples, and at
those at which the sources peak. The variances are taken as known, and the standard deviation is
that of all directions together.

Intervals: bootstrap over people, who are drawn with all their recordings. Writes
``calibration.csv`` and ``calibration.png``.
"""

import functools

import numpy as np
from common import write_rows
from drawing import COLOURS, DASHES, MARKERS, save, strip
from intervals import clustered_interval
from matplotlib.figure import Figure
from people_run import add_options, ask
from people_scores import LEVELS
from people_suite import HEADS, MONTAGES, SNRS_DB
from runner import made_by, make_parser
from scipy.stats import norm

import mne_mmnet
from mne_mmnet.dictionary.regions import Regions
from mne_mmnet.template.cortex import wall_vertices

# what the regions are meant to hold: level and tolerance
TARGETS = ((0.5, 0.04), (0.9, 0.03))
# half-widths, in standard deviations
_WIDTHS = norm.ppf(0.5 + 0.5 * np.array(LEVELS))
SIZES = ("n_locations", "radius_mm", "max_distance_mm")
REGION, CURRENT, PEAK = "strongest region", "current, all samples", "current, peak samples"


def location_area(src):
    """Cortical area (mm²) of one location of the template's surfaces, on average."""
    area = 0.0
    for space, wall in zip(src, wall_vertices(), strict=True):
        tris = space["tris"][~np.isin(space["tris"], wall).any(axis=1)]
        a, b, c = (1e3 * space["rr"][tris.T[k]] for k in range(3))
        area += 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()
    return area / sum(space["nuse"] for space in src)


def strongest_place(truth, regions):
    """Place of the largest moment, at the instant at which the most goes on."""
    most = np.square(truth).sum(axis=0).argmax()
    return regions.strongest(truth[:, most])


def measure(model, case, inversion):
    """Level at which the region reaches the truth, sizes of the regions, currents within."""
    area, regions = location_area(inversion.fwd["src"]), Regions(inversion.positions)
    stc, uncertainty = mne_mmnet.apply_mmnet_inverse(
        case.evoked,
        inversion.free,
        case.noise_cov,
        model=model,
        pick_ori="normal",
        return_uncertainty=True,
    )
    level, positions = uncertainty.confidence.data[:, 0], inversion.positions
    distance = np.linalg.norm(positions - positions[level.argmin()], axis=1)
    inside = level[:, None] < np.array(LEVELS)
    count = inside.sum(axis=0)
    rows = case.truth.any(axis=1)
    off = np.abs(case.truth - stc.data)[rows]
    width = uncertainty.std.data[rows][..., None] * _WIDTHS
    within = off[..., None] <= width
    return dict(
        held=level[strongest_place(case.truth, regions)] < np.array(LEVELS),
        n_locations=count,
        radius_mm=np.sqrt(count * area / np.pi),
        max_distance_mm=(distance[:, None] * inside).max(axis=0),
        current=within.mean(axis=(0, 1)),
        peak_current=within[:, case.peaks].mean(axis=(0, 1)),
    )


def table(records):
    """Rows of the table: by head all recordings, then by SNR and by montage."""
    groups = [("all", "all")] + [("all", snr) for snr in SNRS_DB] + [(m, "all") for m in MONTAGES]
    rows = []
    for head in HEADS:
        for montage, snr_db in groups:
            members = [
                r
                for r in records
                if r["head"] == head
                and montage in ("all", r["montage"])
                and snr_db in ("all", r["snr_db"])
            ]
            if members:
                rows += _group_rows(dict(head=head, montage=montage, snr_db=snr_db), members)
    return rows


def _group_rows(place, members):
    people, rows = [r["person"] for r in members], []
    place = place | dict(n=len(members))
    for quantity, name in ((REGION, "held"), (CURRENT, "current"), (PEAK, "peak_current")):
        values = np.array([r[name] for r in members], float)
        share = values.mean(axis=0)
        off = share - np.array(LEVELS)
        low, high = clustered_interval(values, people)
        for k, level in enumerate(LEVELS):
            row = dict(quantity=quantity, **place, nominal=level)
            row |= _share(share[k], low[k], high[k]) | dict(deviation=f"{off[k]:+.4f}")
            row |= {
                size: f"{np.median([r[size][k] for r in members]):.3g}"
                if quantity == REGION
                else ""
                for size in SIZES
            }
            rows.append(row)
        # mean over levels: its interval is that of the mean of all, level by level for each person
        low, high = clustered_interval(values.mean(axis=1) - np.mean(LEVELS), people)
        row = dict(quantity=f"{quantity}, mean signed deviation", **place, nominal="all")
        row |= _share(off.mean(), low, high) | dict(deviation=f"{np.abs(off).mean():.4f}")
        rows.append(row | dict.fromkeys(SIZES, ""))
    return rows


def _share(share, low, high):
    return dict(share=f"{share:.4f}", low=f"{low:.4f}", high=f"{high:.4f}")


def select(rows, quantity=REGION, head=HEADS[0], montage="all", snr_db="all"):
    """Rows of one quantity and group."""
    wanted = (quantity, head, montage, snr_db)
    return [r for r in rows if (r["quantity"], r["head"], r["montage"], r["snr_db"]) == wanted]


def draw(path, rows):
    """Coverage against the level: both heads, by SNR and by montage; and the regions' size."""
    figure = Figure(figsize=(18, 5.0), dpi=90, facecolor="white", layout="constrained")
    axes = figure.subplots(1, 4)
    for k, head in enumerate(HEADS):
        if whole := select(rows, head=head):
            share, low, high = (
                np.array([float(r[name]) for r in whole]) for name in ("share", "low", "high")
            )
            label = f"{head} (n = {whole[0]['n']})"
            style = dict(color=COLOURS[k], marker=MARKERS[k], lw=2, label=label)
            bars = np.array([share - low, high - share])
            axes[0].errorbar(LEVELS, share, bars if np.isfinite(bars).all() else None, **style)
    for number, (level, tolerance) in enumerate(TARGETS):
        label = None if number else "target"
        axes[0].errorbar(level, level, tolerance, color="0.5", lw=6, alpha=0.45, label=label)
    axes[0].set_title("Template and own head\n(95 % intervals over people)")
    by_snr = {f"{snr} dB": select(rows, snr_db=snr) for snr in SNRS_DB}
    by_montage = {montage: select(rows, montage=montage) for montage in MONTAGES}
    _draw_groups(axes[1], by_snr, "share", "signal-to-noise ratio, template")
    _draw_groups(axes[2], by_montage, "share", "electrodes, template")
    _draw_groups(axes[3], by_snr, "radius_mm", "signal-to-noise ratio, template")
    for panel in axes:
        panel.set_xlabel("Level of the region")
        panel.set_xlim(0.0, 1.0)
        panel.set_box_aspect(1.0)
        strip(panel)
        panel.legend(frameon=False, loc="best")
    for panel in axes[:3]:
        panel.plot([0, 1], [0, 1], color="0.4", lw=1, ls=":")
        panel.set_ylim(0.0, 1.03)
        panel.set_ylabel("Share of regions that hold\nthe strongest source")
    axes[3].set_ylabel("Radius of a disc of the region's\narea (mm), median")
    axes[3].set_ylim(bottom=0.0)
    save(figure, path)


def _draw_groups(axes, groups, column, title):
    styles = zip(COLOURS, MARKERS, DASHES, strict=False)
    # fewer groups than styles
    for (name, rows), (colour, marker, dash) in zip(groups.items(), styles, strict=False):
        if rows:
            values = [float(r[column]) for r in rows]
            label = f"{name} (n = {rows[0]['n']})"
            axes.plot(LEVELS, values, color=colour, marker=marker, ls=dash, lw=2, label=label)
    axes.set_title(f"By {title}")


def say(rows):
    """Say whether the targets are met."""
    for head in HEADS:
        for level, tolerance in TARGETS:
            for row in select(rows, head=head):
                if row["nominal"] == level:
                    met = abs(float(row["share"]) - level) <= tolerance
                    share, low, high = (100 * float(row[k]) for k in ("share", "low", "high"))
                    print(
                        f"{head}: {100 * level:.0f} % regions hold {share:.1f} % ({low:.1f} to "
                        f"{high:.1f}), median {row['n_locations']} locations: target "
                        f"{'met' if met else 'missed'}"
                    )
        for quantity in (REGION, CURRENT, PEAK):
            for row in select(rows, f"{quantity}, mean signed deviation", head=head):
                print(f"{head}: {row['quantity']} {row['share']} ({row['low']} … {row['high']})")


def make(args):
    """Make what is asked of every recording."""
    return functools.partial(measure, args.model)


def main():
    """Run the benchmark."""
    parser = make_parser(__file__, __doc__, work="calibration")
    add_options(parser)
    args = parser.parse_args()
    found, notes = ask(make, args)
    rows = table(found)
    comment = made_by(
        args,
        "model people montages heads covariance",
        *notes,
        "different lead fields for simulation and inversion",
        "SNR: mean power of signal over noise",
        "sizes: medians",
        "in rows of mean deviations, share is the signed and deviation the absolute one",
    )
    write_rows(args.out / "calibration.csv", comment, rows)
    draw(args.out / "calibration.png", rows)
    say(rows)


if __name__ == "__main__":
    main()
