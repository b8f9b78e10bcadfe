"""Figures of the benchmarks: colours, markers, frames, files."""

from mne_mmnet._support.files import whole_file

# Okabe & Ito's colours, told apart by the colour-blind; markers and dashes for print without
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#666666", "#8C510A")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.3)), (0, (6, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)))


def strip(axes, labelsize=None):
    """Draw no more of a frame than the eye needs, numbers as large as a figure's width needs."""
    axes.grid(True, color="0.92", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if labelsize is not None:
        axes.tick_params(labelsize=labelsize)


def save(figure, path):
    """Write a figure as PNG."""
    with whole_file(path) as scratch:
        figure.savefig(scratch, format="png", dpi=figure.dpi)
