"""Learning curves of ``benchmarks/paper.py``: whether the order of the methods has settled.

    python benchmarks/paper_curves.py --root paper-runs

Reads the history of every run in ``--root`` (also of those that travelled without weights) and
writes ``paper_curves.csv`` (one row a validation) and ``paper_curves.png`` (each method's best
trial: cosine on validation recordings against recordings seen and against minutes).
"""

from pathlib import Path

import numpy as np
from common import write_rows
from drawing import save, strip
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from paper_figures import curve_style
from paper_setup import KINDS, best_run, read_config, read_run, runs_of
from runner import made_by, make_parser

from mne_mmnet.baselines import ESTIMATORS, VARIANTS


def curve(directory):
    """Return the validations of a run as rows: recordings and minutes until then, and scores.

    ``best_cosine`` is that of the weights that would be kept then.
    """
    state = read_run(directory)
    config, rows = read_config(state), []
    loss, kept = np.inf, 0.0
    for entry in state["history"]:
        if entry["validation"] < loss:  # the best weights are chosen by the loss
            loss, kept = entry["validation"], entry["cosine"]
        rows.append(
            dict(
                run=directory.name,
                recordings=entry["batch"] * config["batch_size"],
                minutes=f"{entry['seconds'] / 60:.3f}",
                validation_loss=f"{entry['validation']:.5f}",
                cosine=f"{entry['cosine']:.5f}",
                best_cosine=f"{kept:.5f}",
            )
        )
    return rows


def read_curves(root, names=(*ESTIMATORS, *VARIANTS)):
    """Rows of all runs, and those of each method's best trial by (method, kind)."""
    rows, best = [], {}
    for name in names:
        for kind in KINDS:
            chosen = best_run(root, name, kind, missing_ok=True)
            for directory in runs_of(root, name, kind):
                found = curve(directory)
                extra = dict(method=name, trained_on=kind, chosen=int(directory == chosen))
                rows += [extra | row for row in found]
                if directory == chosen and found:
                    best[name, kind] = found
    return rows, best


def figure_curves(path, best):
    """Draw the best trials' curves, of :func:`read_curves`."""
    figure = Figure(figsize=(16, 10), dpi=100, facecolor="white", layout="constrained")
    panels = figure.subplots(len(KINDS), 2, sharey="row", squeeze=False)
    names = list(dict.fromkeys(name for name, _ in best))
    for line, kind in zip(panels, KINDS, strict=True):
        for axes, quantity in zip(line, ("recordings", "minutes"), strict=True):
            for number, name in enumerate(names):
                if (name, kind) not in best:
                    continue
                rows = best[name, kind]
                x = [float(row[quantity]) for row in rows]
                y = [float(row["cosine"]) for row in rows]
                last = float(rows[-1]["best_cosine"])
                axes.plot(
                    x,
                    y,
                    lw=2,
                    marker="o",
                    ms=4,
                    label=f"{name}: {last:.3f}",
                    **curve_style(number),
                )
            strip(axes, labelsize=13)
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(NullFormatter())
            unit = "recordings seen" if quantity == "recordings" else "minutes of training"
            axes.set_xlabel(unit, fontsize=15)
            axes.set_title(f"trained and validated on {kind}", fontsize=16)
        line[0].set_ylabel("space–time cosine", fontsize=15)
        if line[1].get_legend_handles_labels()[0]:
            line[1].legend(
                fontsize=11,
                loc="upper left",
                bbox_to_anchor=(1, 1),
                title="cosine of the weights kept",
            )
    figure.suptitle(
        "Learning curves on validation recordings; each method's best trial. "
        "Pretraining of Φ has no validation of its steps, but counts",
        fontsize=15,
    )
    save(figure, path)


def main():
    """Write the table and draw the figure."""
    parser = make_parser(__file__, __doc__, model=False)
    parser.add_argument("--root", type=Path, default=Path("paper-runs"))
    args = parser.parse_args()
    rows, best = read_curves(args.root)
    if not rows:
        parser.error(f"there is no run in {args.root}")
    write_rows(args.out / "paper_curves.csv", made_by(args, "", "validation recordings"), rows)
    figure_curves(args.out / "paper_curves.png", best)


if __name__ == "__main__":
    main()
