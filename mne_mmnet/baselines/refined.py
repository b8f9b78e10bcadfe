"""Anybody's answer, improved by a descent that is certified."""

from ..solver import pose_network
from .base import Estimator
from .mmnet import CosineMMNet


class Refined(CosineMMNet):
    """Certified descent from another method's answer, which the regulariser expects.

    F(x) = [1 − cos(y, L x)] + λ [1 − cos(x, Φ(x) + x₀)] as for an anchored network, from x₀ and
    with x₀ the other method's answer in place of that network's own start. The bounds know nothing
    of x₀, so that the certificate is the same.

    Parameters
    ----------
    descent : CosineMMNet
        Trained, with an anchored network; that network, steps included, is shared.
    peer : Estimator
        Whose answer is improved; the minimum norm where it has none (zero, or not finite).

    Raises
    ------
    ValueError
        If the regulariser expects no start.
    """

    def __init__(self, descent: CosineMMNet, peer: Estimator):
        if not descent.network.config.anchored:
            raise ValueError("A descent from another answer needs a network that is anchored.")
        super().__init__(network=descent.network)
        self.peer = peer

    def objective(self, model, data):
        """Return the objective, and the other method's answer, of unit mean square."""
        return pose_network(self.network, model, data, self.peer(model, data))
