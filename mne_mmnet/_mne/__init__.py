"""The only seam to MNE objects: they come in here, arrays go out, and back again.

Nothing in this package knows torch; nothing outside it, `inverse`, `template` and
`simulation` needs to know how a forward solution or a covariance is laid out.
"""

from .ch_types import find_other_types as find_other_types
from .ch_types import no_eeg_message as no_eeg_message
from .ch_types import refuse_bipolar as refuse_bipolar
from .ch_types import refuse_other_types as refuse_other_types
from .ch_types import units_of as units_of
from .channels import MIN_CHANNELS as MIN_CHANNELS
from .channels import select_channels as select_channels
from .check_electrodes import doubt_electrodes as doubt_electrodes
from .check_electrodes import electrodes_key as electrodes_key
from .check_input import check_channel_axis as check_channel_axis
from .check_input import check_evoked as check_evoked
from .check_input import check_finite as check_finite
from .check_input import check_numbers as check_numbers
from .check_input import check_pick_ori as check_pick_ori
from .check_input import check_reference as check_reference
from .check_input import is_average_reference as is_average_reference
from .docs import fill_shared as fill_shared
from .electrodes import electrode_positions as electrode_positions
from .electrodes import find_nominal as find_nominal
from .electrodes import set_positions as set_positions
from .frames import doubt_positions as doubt_positions
from .frames import leave_out_remedy as leave_out_remedy
from .gain import PreparedForward as PreparedForward
from .gain import noise_scale as noise_scale
from .gain import pick_data as pick_data
from .gain import prepare_data as prepare_data
from .gain import prepare_forward as prepare_forward
from .gain import whiten_data as whiten_data
from .graph import source_graph as source_graph
from .head import HeadKind as HeadKind
from .head import describe_head as describe_head
from .head import resolve_head as resolve_head
from .head import template_scales as template_scales
from .landmarks import COLIN27_1005 as COLIN27_1005
from .landmarks import FSAVERAGE_1005 as FSAVERAGE_1005
from .landmarks import head_to_template as head_to_template
from .landmarks import plain_name as plain_name
from .landmarks import template_scalp as template_scalp
from .leadfield import complete_forward as complete_forward
from .match import check_like as check_like
from .match import check_projectors as check_projectors
from .match import check_values as check_values
from .match import match_channels as match_channels
from .placement import POSITIONS as POSITIONS
from .placement import has_made_up_fiducials as has_made_up_fiducials
from .placement import head_positions as head_positions
from .placement import place_electrodes as place_electrodes
from .spaces import TEMPLATES as TEMPLATES
from .spaces import bring_to_head as bring_to_head
from .spaces import describe_source_space as describe_source_space
from .spaces import locate_sources as locate_sources
from .stc import ESTIMATES as ESTIMATES
from .stc import claim_label as claim_label
from .stc import make_residual as make_residual
from .stc import make_scalar_stc as make_scalar_stc
from .stc import make_stc as make_stc
from .stc import restrict_to_label as restrict_to_label
from .stc import wrap_stc as wrap_stc
from .words import shorten_names as shorten_names
from .words import summarize_names as summarize_names
from .words import warn as warn
