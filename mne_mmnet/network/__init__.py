"""Learned parts of both routes.

Evidence: what an atom costs (hyperprior) and how boldly to step (curvature). Cosine: the
regulariser and the paper's recurrent curvature network.
"""

from .anchored import Anchored as Anchored
from .autoencoder import Autoencoder as Autoencoder
from .autoencoder import unit_or as unit_or
from .confidence import ConfidenceHead as ConfidenceHead
from .confidence import confidence_levels as confidence_levels
from .config import NetworkConfig as NetworkConfig
from .context import Context as Context
from .context import compute_context as compute_context
from .conv_lstm import ConvLSTMCell as ConvLSTMCell
from .cosine import CosineConfig as CosineConfig
from .cosine import CosineNetwork as CosineNetwork
from .curvature import CurvatureCell as CurvatureCell
from .evidence import EvidenceNetwork as EvidenceNetwork
from .facts import HEADS as HEADS
from .facts import ORIENTS as ORIENTS
from .facts import describe as describe
from .hyperprior import Hyperprior as Hyperprior
