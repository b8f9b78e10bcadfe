"""Do the confidence regions hold what they promise? On the recordings of ``transfer.py``.

    python benchmarks/calibration.py

Other heads and finer sources simulate than invert (``transfer_suite.py``): neither the network nor
its temperature has seen these recordings, nor simulations of just this kind.

**Peak region**: how often the region of level c (``uncertainty.confidence.data < c``) holds the
strongest source: the fine location of the largest time-averaged squared current, taken to the grid
of the inversion as the suite takes the truth there. Its size: the number of locations, the radius
of a disc of the same cortical area, the largest distance from the most probable location (medians
over recordings). A region always holds one location: small levels cannot be met exactly.

**Current**: the share of the true currents within 1.96 posterior standard deviations of the
estimate, at the locations that truly have current: over all samples, and at the samples at which
the sources peak. The variances are taken as known, so that it is a *lower bound* of the
uncertainty, and less than 95 % is to be expected.

Intervals: Wilson's for regions, bootstrap over recordings for currents. Writes ``calibration.csv``
and ``calibration.png``.
"""

import argparse
import time
import warnings
from pathlib import Path

import mne
import numpy as np
from common import write_rows
from matplotlib.figure import Figure
from scipy.stats import binomtest
from transfer_figures import COLOURS, DASHES, MARKERS
from transfer_suite import MONTAGES, SEED, SNRS_DB, Setup, draw_case

import mne_mmnet
from mne_mmnet._files import whole_file
from mne_mmnet.metrics import confidence_interval

RESULTS = Path(__file__).parent / "results"
HEADS = Path.home() / ".cache" / "mne_mmnet" / "transfer" / "heads"
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
# what the regions are meant to hold: level and tolerance
TARGETS = ((0.5, 0.05), (0.9, 0.03))
_WITHIN = 1.96
SIZES = ("n_locations", "radius_mm", "max_distance_mm")


class FineSetup(Setup):
    """One montage that remembers what its last case was made of.

    After ``draw_case``, ``fine_currents`` are the true currents on the fine grid (A·m).
    """

    def to_coarse(self, currents):
        self.fine_currents = currents
        return super().to_coarse(currents)


def location_area(src):
    """Cortical area (mm²) of one location of the inversion, on average."""
    area = 0.0
    for space in src:
        a, b, c = (1e3 * space["rr"][space["tris"].T[k]] for k in range(3))
        area += 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()
    return area / sum(space["nuse"] for space in src)


def measure(case, setup, model, area):
    """Level at which the region reaches the truth, sizes of the regions, currents within."""
    stc, uncertainty = mne_mmnet.apply_mmnet_inverse(
        case.evoked, setup.fwd, case.noise_cov, model=model, return_uncertainty=True
    )
    level = uncertainty.confidence.data[:, 0]
    power = np.mean(setup.fine_currents**2, axis=1)
    distance = np.linalg.norm(setup.positions - setup.positions[level.argmin()], axis=1)
    inside = level[:, None] < np.array(LEVELS)
    count = inside.sum(axis=0)
    within = np.abs(case.truth - stc.data) <= _WITHIN * uncertainty.std.data
    within = within[case.truth.any(axis=1)]
    return dict(
        montage=setup.montage,
        snr_db=case.factors["snr_db"],
        level=level[setup.coarse_of_fine[power.argmax()]],
        n_locations=count,
        radius_mm=np.sqrt(count * area / np.pi),
        max_distance_mm=(distance[:, None] * inside).max(axis=0),
        current=within.mean(),
        peak_current=within[:, case.peaks].mean(),
    )


def table(records):
    """Rows of the table: all recordings, then by SNR and by montage."""
    groups = [("all", "all")] + [("all", snr) for snr in SNRS_DB] + [(m, "all") for m in MONTAGES]
    rows = []
    for montage, snr_db in groups:
        members = [
            r
            for r in records
            if montage in ("all", r["montage"]) and snr_db in ("all", r["snr_db"])
        ]
        if not members:
            continue
        place = dict(montage=montage, snr_db=snr_db, n=len(members))
        reached = np.array([r["level"] for r in members])
        for k, level in enumerate(LEVELS):
            n_held = int((reached < level).sum())
            interval = binomtest(n_held, len(members)).proportion_ci(method="wilson")
            row = dict(quantity="peak region", **place, nominal=level)
            row |= _share(n_held / len(members), *interval)
            row |= {name: f"{np.median([r[name][k] for r in members]):.3g}" for name in SIZES}
            rows.append(row)
        for quantity, name in (
            ("current, all samples", "current"),
            ("current, peak samples", "peak_current"),
        ):
            values = np.array([r[name] for r in members])
            row = dict(quantity=quantity, **place, nominal=0.95)
            row |= _share(values.mean(), *confidence_interval(values))
            rows.append(row | dict.fromkeys(SIZES, ""))
    return rows


def _share(share, low, high):
    return dict(share=f"{share:.4f}", low=f"{low:.4f}", high=f"{high:.4f}")


def select(rows, quantity="peak region", montage="all", snr_db="all"):
    """Rows of one quantity and group."""
    wanted = (quantity, montage, snr_db)
    return [r for r in rows if (r["quantity"], r["montage"], r["snr_db"]) == wanted]


def draw(path, rows):
    """Coverage against the level: all, by SNR and by montage; and the regions' size."""
    figure = Figure(figsize=(18, 5.0), dpi=90, facecolor="white", layout="constrained")
    axes = figure.subplots(1, 4)
    whole = select(rows)
    share, low, high = (np.array([float(r[k]) for r in whole]) for k in ("share", "low", "high"))
    errors = [share - low, high - share]
    axes[0].errorbar(LEVELS, share, errors, color=COLOURS[0], marker="o", lw=2, label="mmnet")
    for number, (level, tolerance) in enumerate(TARGETS):
        axes[0].errorbar(
            level,
            level,
            tolerance,
            color=COLOURS[1],
            lw=6,
            alpha=0.45,
            label=None if number else "target",
        )
    axes[0].set_title(f"All {whole[0]['n']} recordings\n(95 % Wilson intervals)")
    by_snr = {f"{snr} dB": select(rows, snr_db=snr) for snr in SNRS_DB}
    by_montage = {montage: select(rows, montage=montage) for montage in MONTAGES}
    _draw_groups(axes[1], by_snr, "share", "signal-to-noise ratio")
    _draw_groups(axes[2], by_montage, "share", "electrodes")
    _draw_groups(axes[3], by_snr, "radius_mm", "signal-to-noise ratio")
    for panel in axes:
        panel.set_xlabel("Level of the region")
        panel.set_xlim(0.0, 1.0)
        panel.set_box_aspect(1.0)
        panel.grid(True, color="0.92")
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False, loc="best")
    for panel in axes[:3]:
        panel.plot([0, 1], [0, 1], color="0.4", lw=1, ls=":")
        panel.set_ylim(0.0, 1.03)
        panel.set_ylabel("Share of regions that hold\nthe strongest source")
    axes[3].set_ylabel("Radius of a disc of the region's\narea (mm), median")
    axes[3].set_ylim(bottom=0.0)
    with whole_file(path) as scratch:
        figure.savefig(scratch, format="png", dpi=figure.dpi)


def _draw_groups(axes, groups, column, title):
    styles = zip(COLOURS, MARKERS, DASHES, strict=True)
    # fewer groups than styles
    for (name, rows), (colour, marker, dash) in zip(groups.items(), styles, strict=False):
        if rows:
            values = [float(r[column]) for r in rows]
            label = f"{name} (n = {rows[0]['n']})"
            axes.plot(LEVELS, values, color=colour, marker=marker, ls=dash, lw=2, label=label)
    axes.set_title(f"By {title}")


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mmnet-base", help="name or path")
    parser.add_argument("--n-samples", type=int, default=40, help="cases a montage and SNR")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    mne.set_log_level("error")
    warnings.simplefilter("ignore")

    records = []
    for montage in MONTAGES:
        setup = FineSetup(montage, HEADS)
        area = location_area(setup.fwd["src"])
        for snr_db in SNRS_DB:
            for number in range(args.n_samples):
                case = draw_case(setup, snr_db, number)
                records.append(measure(case, setup, args.model, area))
        print(f"{montage}: {len(records)} recordings done", flush=True)
    rows = table(records)
    comment = (
        f"python benchmarks/calibration.py --model {args.model} --n-samples {args.n_samples}; "
        f"suite of transfer.py, seed {SEED}; {time.strftime('%F')}; different lead fields for "
        "simulation and inversion; SNR: mean power of signal over noise; sizes: medians"
    )
    write_rows(args.out / "calibration.csv", comment, rows)
    draw(args.out / "calibration.png", rows)
    for level, tolerance in TARGETS:
        (row,) = (r for r in select(rows) if r["nominal"] == level)
        met = abs(float(row["share"]) - level) <= tolerance
        print(
            f"{100 * level:.0f} % regions hold {100 * float(row['share']):.1f} % "
            f"({100 * float(row['low']):.1f} to {100 * float(row['high']):.1f}), median "
            f"{row['n_locations']} locations: target {'met' if met else 'missed'}"
        )
    for quantity in ("current, all samples", "current, peak samples"):
        (row,) = select(rows, quantity)
        print(f"{quantity} within {_WITHIN} std: {100 * float(row['share']):.1f} %")


if __name__ == "__main__":
    main()
