"""The paper's objective (DESIGN §2a): cosine distances of the data and of an autoencoder.

    F(x) = [1 − cos(y, L x)] + λ [1 − cos(x, Φ(x))]

with cosines over the flattened space × time array of one sample each. F does not change when x is
multiplied by a positive number and Φ is positively homogeneous (ReLU).
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch

from .factorisation import factor_dtype


class Smoothness(NamedTuple):
    """Bounds of a regulariser's derivatives, valid everywhere.

    Parameters
    ----------
    slope : float
        ρ ≥ ‖∇Φ(x)‖, spectral norm.
    bend : float
        α ≥ max_i ‖∇²Φ_i(x)‖, the largest Hessian of one output.
    joint_bend : float
        a ≥ sup ‖D²Φ(x)[d, d]‖ / ‖d‖², all outputs together. (α √s is one such bound.)
    """

    slope: float
    bend: float
    joint_bend: float


class Enclosure(NamedTuple):
    """What is certain of a regulariser along a ray: Φ(x + td) = Φ(x) + t (along + e).

    Parameters
    ----------
    along : torch.Tensor of shape (n_batch, n_sources, n_times)
        The middle of what is possible.
    size : torch.Tensor of shape (n_batch,)
        Bound of ‖e‖, whatever t.
    inner : tuple of torch.Tensor of shape (n_batch,)
        Bounds of |⟨v, e⟩|, one for each v that was asked for.
    """

    along: torch.Tensor
    size: torch.Tensor
    inner: tuple


class Regulariser(Protocol):
    """What the objective asks of Φ; :class:`mne_mmnet.network.Autoencoder` is one."""

    def forward(self, x):
        """Return Φ(x) and whatever ``pullback`` needs, as a tuple of tensors."""

    def select(self, index):
        """Return the regulariser of some samples of the batch."""

    def pullback(self, tape, cotangent):
        """Return ∇Φ(x)ᵀ applied to ``cotangent``."""

    def pushforward(self, tape, tangent):
        """Return ∇Φ(x) applied to ``tangent``."""

    def enclose(self, tape, tangent, shortest, longest, against=()) -> Enclosure:
        """Enclose Φ(x + td) for all t from ``shortest`` to ``longest``."""

    def smoothness(self) -> Smoothness:
        """Bounds of the derivatives."""


def _inner(a, b):
    """Return ⟨a, b⟩ of each sample, in double precision where the device has it."""
    return (a * b).sum((1, 2), dtype=factor_dtype(a.device))


def _safe_inverse(x):
    """1 / x, and 0 where x is 0: the cosine with a zero array counts as 0."""
    return torch.where(x > 0, 1.0 / torch.where(x > 0, x, 1.0), 0.0)


@dataclass(frozen=True)
class CosinePoint:
    """One iterate and everything computed on the way to its value.

    Parameters
    ----------
    x : torch.Tensor of shape (n_batch, n_sources, n_times)
        Currents.
    seen : torch.Tensor of shape (n_batch, n_channels, n_times)
        L x.
    image : torch.Tensor of shape (n_batch, n_sources, n_times)
        Φ(x).
    tape : tuple of torch.Tensor
        The regulariser's own notes.
    norms : torch.Tensor of shape (n_batch, 3), float64
        ‖x‖, ‖L x‖ and ‖Φ(x)‖.
    fidelity, regularity, value : torch.Tensor of shape (n_batch,), float64
        1 − cos(y, Lx), 1 − cos(x, Φ(x)) and F.
    """

    x: torch.Tensor
    seen: torch.Tensor
    image: torch.Tensor
    tape: tuple
    norms: torch.Tensor
    fidelity: torch.Tensor
    regularity: torch.Tensor
    value: torch.Tensor


@dataclass(frozen=True)
class CosineObjective:
    """F for a batch of data sets; fixed once made.

    Parameters
    ----------
    leadfield : torch.Tensor of shape (n_models, n_channels, n_sources)
        L, whitened; n_models is 1 or n_batch.
    norm : torch.Tensor of shape (n_models,)
        Spectral norm ‖L‖.
    data : torch.Tensor of shape (n_batch, n_channels, n_times)
        y, of unit norm (or zero) in each sample.
    regulariser : Regulariser
        Φ.
    weight : float
        λ.
    """

    leadfield: torch.Tensor
    norm: torch.Tensor
    data: torch.Tensor
    regulariser: Regulariser
    weight: float = 1.0

    def select(self, index):
        """Return the objective of some samples of the batch."""
        shared = len(self.leadfield) == 1
        return CosineObjective(
            self.leadfield if shared else self.leadfield[index],
            self.norm if shared else self.norm[index],
            self.data[index],
            self.regulariser.select(index),
            self.weight,
        )

    def move(self, point, step):
        """Return x + step."""
        return point.x + step

    def evaluate(self, x):
        """Evaluate F.

        Parameters
        ----------
        x : torch.Tensor of shape (n_batch, n_sources, n_times)
            Currents, not zero.

        Returns
        -------
        point : CosinePoint
            The value and its parts.
        """
        seen = self.leadfield @ x
        image, *tape = self.regulariser(x)
        x_norm, seen_norm, image_norm = (_inner(a, a).sqrt() for a in (x, seen, image))
        fidelity = 1.0 - _inner(self.data, seen) * _safe_inverse(seen_norm)
        agreement = _inner(x, image) * _safe_inverse(x_norm) * _safe_inverse(image_norm)
        regularity = 1.0 - agreement
        return CosinePoint(
            x=x,
            seen=seen,
            image=image,
            tape=tuple(tape),
            norms=torch.stack([x_norm, seen_norm, image_norm], 1),
            fidelity=fidelity,
            regularity=regularity,
            value=fidelity + self.weight * regularity,
        )

    def values(self, x):
        """Return F(x) alone, shape (n_batch,): what Hessian-vector products differentiate."""
        return self.evaluate(x).value

    def gradient(self, point):
        """∇F, written out (no autograd graph at use).

        With ĉ = cos(y, Lx) and r = ‖Lx‖ the data term's is −Lᵀ(y − ĉ Lx/r)/r. With g = cos(x, Φ),
        X = ‖x‖ and β = ‖Φ‖ the regulariser's is
        −[(Φ/β − g x/X)/X + ∇Φᵀ(x/X − g Φ/β)/β].

        Parameters
        ----------
        point : CosinePoint
            ``self.evaluate(x)``.

        Returns
        -------
        gradient : torch.Tensor of shape (n_batch, n_sources, n_times)
            Of the total F.
        """
        dtype = point.x.dtype
        inverse = _safe_inverse(point.norms).to(dtype)[:, :, None, None]
        by_x, by_seen, by_image = inverse.unbind(1)
        cos_data = (1.0 - point.fidelity).to(dtype)[:, None, None]
        cos_image = (1.0 - point.regularity).to(dtype)[:, None, None]
        mismatch = (self.data - cos_data * by_seen * point.seen) * by_seen
        x_unit, image_unit = by_x * point.x, by_image * point.image
        direct = (image_unit - cos_image * x_unit) * by_x
        through = self.regulariser.pullback(
            point.tape, (x_unit - cos_image * image_unit) * by_image
        )
        return -(self.leadfield.mT @ mismatch) - self.weight * (direct + through)
