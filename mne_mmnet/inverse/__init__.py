"""What users call: an operator, and sources from an evoked response."""

from .apply import apply_mmnet_inverse as apply_mmnet_inverse
from .operator import MMNetOperator as MMNetOperator
from .operator import make_mmnet_operator as make_mmnet_operator
from .report import SolverReport as SolverReport
from .uncertainty import Uncertainty as Uncertainty
