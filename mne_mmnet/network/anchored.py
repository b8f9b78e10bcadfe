"""A regulariser that expects something of each sample: Φ(x) + a."""

from dataclasses import dataclass

import torch

from ..objective.cosine import Enclosure, Smoothness
from .autoencoder import Autoencoder


@dataclass(frozen=True)
class Anchored:
    """Φ(x) + a, a fixed for each sample: the derivatives, hence all their bounds, are Φ's own.

    With a learned start as a, the regulariser asks that x lie where that start and Φ agree: F has
    its minima near an estimate from the data instead of anywhere that Φ calls a current.

    Parameters
    ----------
    network : Autoencoder
        Φ.
    anchor : torch.Tensor of shape (n_batch, n_sources, n_times)
        a, in the unit of the iterates.
    """

    network: Autoencoder
    anchor: torch.Tensor

    def __call__(self, x):
        """Return Φ(x) + a and Φ's tape."""
        image, *tape = self.network(x)
        return image + self.anchor, *tape

    def select(self, index):
        """Return the regulariser of some samples of the batch."""
        return Anchored(self.network, self.anchor[index])

    def pullback(self, tape, cotangent):
        """∇Φ(x)ᵀ applied to a cotangent."""
        return self.network.pullback(tape, cotangent)

    def pushforward(self, tape, tangent):
        """∇Φ(x) applied to a tangent."""
        return self.network.pushforward(tape, tangent)

    def enclose(self, tape, tangent, shortest, longest, against=()) -> Enclosure:
        """Enclose Φ(x + td) − Φ(x) (see :meth:`Autoencoder.enclose`): a moves nothing."""
        return self.network.enclose(tape, tangent, shortest, longest, against)

    def smoothness(self) -> Smoothness:
        """Bounds of the derivatives, Φ's."""
        return self.network.smoothness()
