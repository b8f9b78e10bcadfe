"""The certified network itself, under the signature of what it is compared with."""

from dataclasses import replace

from ..network import CosineConfig, CosineNetwork
from ..solver import CosineProposer, descend, pose_network
from .base import Estimator


class CurvatureEstimator(Estimator):
    """What has the paper's two networks, whatever it does with them."""

    any_steps = True

    def __init__(self, config: CosineConfig | None = None, network: CosineNetwork | None = None):
        super().__init__()
        self.network = CosineNetwork(config) if network is None else network

    @property
    def weight(self):
        """λ."""
        return self.network.config.weight

    @property
    def regulariser(self):
        """Φ."""
        return self.network.regulariser

    def set_steps(self, n_steps):
        """Change the number of steps taken at use: the same weights may take any."""
        self.network.config = replace(self.network.config, n_steps=n_steps)


class CosineMMNet(CurvatureEstimator):
    """Majorization-minimization with a learned curvature (arXiv 2602.03855; DESIGN §2a).

    Parameters
    ----------
    config : CosineConfig
        Shape of the networks; ``metric="diagonal"`` is the paper's. With ``dilations``,
        ``start_width`` and ``anchored``, which are not the paper's, it is compared as
        "mmnet-anchored" and, trained with sums, as "mmnet+".
    network : CosineNetwork | None
        To be shared, in place of a new one of that shape.
    """

    def objective(self, model, data):
        """Return the objective, and where the descent begins."""
        return pose_network(self.network, model, data)

    def make_proposer(self, model, objective):
        """Make what proposes the steps."""
        return CosineProposer(self.network, model, objective)

    def certified_iterates(self, model, data, n_steps=None):
        """Yield what :meth:`iterates` does, with the certificate of each step (``Iterate``)."""
        return self._descend(model, *self.objective(model, data), n_steps)

    def _descend(self, model, objective, start, n_steps):
        n_steps = self.network.config.n_steps if n_steps is None else n_steps
        return descend(objective, start, self.make_proposer(model, objective), n_steps)

    def estimate(self, model, data, n_steps=None):
        """Return the estimate, and the regulariser of its objective, which may know the data."""
        objective, start = self.objective(model, data)
        *_, last = self._descend(model, objective, start, n_steps)
        return last.point.x, objective.regulariser

    def iterates(self, model, data, n_steps=None):
        """Yield the iterates (see :class:`Estimator`)."""
        for iterate in self.certified_iterates(model, data, n_steps):
            yield iterate.point.x
