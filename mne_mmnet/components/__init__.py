"""Sources of maps: independent and other components, and peaks of global field power."""

from .decompositions import localize_components as localize_components
from .maps import localize_maps as localize_maps
from .peaks import localize_gfp_peaks as localize_gfp_peaks
