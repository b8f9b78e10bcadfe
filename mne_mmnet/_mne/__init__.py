"""The only seam to MNE objects: they come in here, arrays go out, and back again.

Nothing in this package knows torch; nothing outside it, `inverse`, `template` and
`simulation` needs to know how a forward solution or a covariance is laid out.
"""

from .ch_types import (
    find_other_types,
    no_eeg_message,
    refuse_bipolar,
    refuse_other_types,
    units_of,
)
from .channels import MIN_CHANNELS, select_channels
from .checks import (
    check_channel_axis,
    check_evoked,
    check_finite,
    check_numbers,
    check_pick_ori,
    check_reference,
    is_average_reference,
    resolve_loose,
)
from .docs import fill_shared
from .doubts import doubt_electrodes, electrodes_key
from .electrodes import electrode_positions, find_nominal, set_positions
from .frames import doubt_positions, leave_out_remedy
from .gain import (
    PreparedForward,
    noise_scale,
    pick_data,
    prepare_data,
    prepare_forward,
    whiten_data,
)
from .graph import source_graph
from .head import HEADS, HeadKind, describe_head, resolve_head, template_scales
from .landmarks import head_to_template, known_places, plain_name, template_scalp
from .leadfield import complete_forward
from .match import check_like, check_projectors, check_values, match_channels
from .placement import (
    POSITIONS,
    Placement,
    electrode_frame,
    has_made_up_fiducials,
    head_positions,
    place_electrodes,
)
from .spaces import TEMPLATES, bring_to_head, describe_source_space, locate_sources
from .stc import (
    ESTIMATES,
    claim_label,
    make_residual,
    make_scalar_stc,
    make_stc,
    restrict_to_label,
    wrap_stc,
)
from .words import shorten_names, summarize_names, warn

__all__ = [
    "ESTIMATES",
    "HEADS",
    "MIN_CHANNELS",
    "POSITIONS",
    "TEMPLATES",
    "HeadKind",
    "Placement",
    "PreparedForward",
    "bring_to_head",
    "check_channel_axis",
    "check_evoked",
    "check_finite",
    "check_like",
    "check_numbers",
    "check_pick_ori",
    "check_projectors",
    "check_reference",
    "check_values",
    "claim_label",
    "complete_forward",
    "describe_head",
    "describe_source_space",
    "doubt_electrodes",
    "doubt_positions",
    "electrode_frame",
    "electrode_positions",
    "electrodes_key",
    "fill_shared",
    "find_nominal",
    "find_other_types",
    "has_made_up_fiducials",
    "head_positions",
    "head_to_template",
    "is_average_reference",
    "known_places",
    "leave_out_remedy",
    "locate_sources",
    "make_residual",
    "make_scalar_stc",
    "make_stc",
    "match_channels",
    "no_eeg_message",
    "noise_scale",
    "pick_data",
    "place_electrodes",
    "plain_name",
    "prepare_data",
    "prepare_forward",
    "refuse_bipolar",
    "refuse_other_types",
    "resolve_head",
    "resolve_loose",
    "restrict_to_label",
    "select_channels",
    "set_positions",
    "shorten_names",
    "source_graph",
    "summarize_names",
    "template_scales",
    "template_scalp",
    "units_of",
    "warn",
    "whiten_data",
    "wrap_stc",
]
