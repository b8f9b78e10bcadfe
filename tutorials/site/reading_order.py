"""The order in which to read the tutorials."""

from pathlib import Path

ORDER = (
    "quick_start",
    "no_mri",
    "comparing_methods",
    "diagnostics",
    "filters",
    "live",
    "band_power",
    "epochs_connectivity",
    "volume_sources",
    "from_bids",
    "own_head",
    "foreign_lead_field",
    "results_elsewhere",
    "mathematics",
    "own_loss",
)


def position(name):
    """Sort key of a tutorial's file name; a tutorial that is not listed is an error."""
    return ORDER.index(Path(name).stem)
