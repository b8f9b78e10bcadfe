"""Pictures, drawn without a display: sources on the cortex, methods side by side, curves."""

from .alignment import plot_alignment as plot_alignment
from .comparison import plot_comparison as plot_comparison
from .curves import plot_objective as plot_objective
from .sources import plot_sources as plot_sources
