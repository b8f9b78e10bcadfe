"""Pictures, drawn without a display: sources on the cortex, methods side by side, curves."""

from .alignment import plot_alignment
from .comparison import plot_comparison
from .curves import plot_objective
from .sources import plot_sources

__all__ = ["plot_alignment", "plot_comparison", "plot_objective", "plot_sources"]
