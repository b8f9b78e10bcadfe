"""Anybody's answer, improved by a descent that is certified."""

from dataclasses import replace

from ..solver import pose_cosine, unit_rms
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
        Trained, with an anchored network, which is shared.
    first : Estimator
        Whose answer is improved.

    Raises
    ------
    ValueError
        If the regulariser expects no start.
    """

    def __init__(self, descent: CosineMMNet, first: Estimator):
        super().__init__(descent.network.config)
        if not descent.network.config.anchored:
            raise ValueError("A descent from another answer needs a network that is anchored.")
        self.network, self.first = descent.network, first

    def objective(self, model, data):
        """Return the objective, and the other method's answer, of unit mean square."""
        objective, minimum_norm = pose_cosine(self.regulariser, self.weight, model, data)
        answer = unit_rms(self.first(model, data))
        # F is not defined at zero
        start = answer.where((answer != 0).any((1, 2), keepdim=True), minimum_norm)
        return replace(objective, regulariser=self.network.prior(start)), start
