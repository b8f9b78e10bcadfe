"""The learned parts of the evidence route under one roof."""

from torch import nn

from .confidence import ConfidenceHead
from .config import NetworkConfig
from .curvature import CurvatureCell
from .hyperprior import Hyperprior


class EvidenceNetwork(nn.Module):
    """Hyperprior, curvature cell and confidence head, as saved together."""

    def __init__(self, config: NetworkConfig | None = None):
        super().__init__()
        self.config = NetworkConfig() if config is None else config
        self.hyperprior = Hyperprior(self.config)
        self.curvature = CurvatureCell(self.config)
        self.confidence = ConfidenceHead(self.config)
