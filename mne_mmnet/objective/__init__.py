"""What is minimised: the evidence objective, the paper's cosine objective, and any other."""

from .cosine import CosineObjective as CosineObjective
from .cosine import CosinePoint as CosinePoint
from .evidence import N_NOISE as N_NOISE
from .evidence import NOISE_MAX as NOISE_MAX
from .evidence import NOISE_MIN as NOISE_MIN
from .evidence import U_MAX as U_MAX
from .evidence import U_MIN as U_MIN
from .evidence import EvidenceObjective as EvidenceObjective
from .evidence import EvidencePoint as EvidencePoint
from .factorisation import factor_dtype as factor_dtype
from .factorisation import inverse_factor as inverse_factor
from .factorisation import robust_cholesky as robust_cholesky
from .general import GeneralObjective as GeneralObjective
from .general import GeneralPoint as GeneralPoint
from .screening import ScreenedObjective as ScreenedObjective
from .screening import Sweeps as Sweeps
from .screening import n_active as n_active
from .screening import screen as screen
