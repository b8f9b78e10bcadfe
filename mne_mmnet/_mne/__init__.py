"""The only seam to MNE objects: they come in here, arrays go out, and back again.

Nothing in this package knows torch; nothing outside it, `inverse`, `template` and
`simulation` needs to know how a forward solution or a covariance is laid out.
"""

from .channels import MIN_CHANNELS, select_channels
from .checks import (
    check_evoked,
    check_pick_ori,
    check_reference,
    is_average_reference,
    resolve_loose,
)
from .electrodes import electrode_positions, find_nominal
from .gain import PreparedForward, noise_scale, prepare_data, prepare_forward
from .graph import source_graph
from .head import HEADS, HeadKind, describe_head, resolve_head, template_scales
from .match import check_like, check_projectors, check_values, match_channels
from .spaces import TEMPLATES, describe_source_space, locate_sources
from .stc import make_residual, make_scalar_stc, make_stc, restrict_to_label, wrap_stc

__all__ = [
    "HEADS",
    "MIN_CHANNELS",
    "TEMPLATES",
    "HeadKind",
    "PreparedForward",
    "check_evoked",
    "check_like",
    "check_pick_ori",
    "check_projectors",
    "check_reference",
    "check_values",
    "describe_head",
    "describe_source_space",
    "electrode_positions",
    "find_nominal",
    "is_average_reference",
    "locate_sources",
    "make_residual",
    "make_scalar_stc",
    "make_stc",
    "match_channels",
    "noise_scale",
    "prepare_data",
    "prepare_forward",
    "resolve_head",
    "resolve_loose",
    "restrict_to_label",
    "select_channels",
    "source_graph",
    "template_scales",
    "wrap_stc",
]
