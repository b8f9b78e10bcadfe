"""Learned parts: what an atom costs (hyperprior) and how boldly to step (curvature)."""

from .config import NetworkConfig as NetworkConfig
from .context import Context as Context
from .context import compute_context as compute_context
from .curvature import CurvatureCell as CurvatureCell
from .evidence import EvidenceNetwork as EvidenceNetwork
from .hyperprior import Hyperprior as Hyperprior
