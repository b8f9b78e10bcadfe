"""Filters: the estimate as a matrix, for single trials, continuous data, spectra and power."""

from .apply import apply_mmnet_filters as apply_mmnet_filters
from .container import FilterOrigin as FilterOrigin
from .container import MMNetFilters as MMNetFilters
from .container import read_mmnet_filters as read_mmnet_filters
from .make import make_mmnet_filters as make_mmnet_filters
from .power import apply_mmnet_inverse_cov as apply_mmnet_inverse_cov
from .power import apply_mmnet_inverse_csd as apply_mmnet_inverse_csd
from .resolution import make_mmnet_resolution_matrix as make_mmnet_resolution_matrix
from .tfr import apply_mmnet_inverse_tfr_epochs as apply_mmnet_inverse_tfr_epochs
