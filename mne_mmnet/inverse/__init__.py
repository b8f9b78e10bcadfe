"""What users call: an operator, and sources from evoked responses, epochs and raw data."""

from .apply import apply_mmnet_inverse as apply_mmnet_inverse
from .epochs import apply_mmnet_inverse_epochs as apply_mmnet_inverse_epochs
from .operator import MMNetOperator as MMNetOperator
from .operator import make_mmnet_operator as make_mmnet_operator
from .raw import apply_mmnet_inverse_raw as apply_mmnet_inverse_raw
from .solver_report import Agreement as Agreement
from .solver_report import SolverReport as SolverReport
from .solver_report import Steadiness as Steadiness
from .uncertainty import Uncertainty as Uncertainty
