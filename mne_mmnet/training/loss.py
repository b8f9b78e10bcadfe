"""Upper-level loss: how far the solver's currents are from the true ones."""

from dataclasses import dataclass

import torch

from ..network.mixing import mix
from ..simulation import PAIR

# power to which regional moments are raised before they are taken for chances of being the
# strongest
_SHARPNESS = 6.0
# mm: a strongest region that far off costs 1; more costs little more
_FAR_MM = 40.0
# weights of the strongest region's distance, and of a recording's difference from its window
_REGION, _STEADY = 1.0, 0.5


@dataclass(frozen=True)
class Target:
    """The truth in the forms that the loss needs.

    Parameters
    ----------
    currents : torch.Tensor of shape (n_batch, n_sources, n_orient, n_read)
        True currents, zero at samples outside of a recording's window.
    inside : torch.Tensor of shape (n_batch, n_read)
        1 at samples inside of it.
    amplitude : torch.Tensor of shape (n_batch, n_sources)
        Root mean square of the currents.
    blurred : tuple of torch.Tensor of shape (n_batch, n_sources)
        The same blurred.
    distance : torch.Tensor of shape (n_batch, n_sources)
        mm from each location to the true strongest region at the first sample.
    """

    currents: torch.Tensor
    inside: torch.Tensor
    amplitude: torch.Tensor
    blurred: tuple[torch.Tensor, ...]
    distance: torch.Tensor

    @classmethod
    def make(cls, currents, inside, space, positions):
        """Prepare the truth of a batch; ``positions`` are the sources' in mm."""
        moments = regional_moments(currents[..., 0], space)
        strongest = moments.argmax(1)
        places = torch.as_tensor(positions, dtype=torch.float32, device=currents.device)
        distance = (places[None] - places[strongest][:, None]).norm(dim=-1)
        currents = currents * inside[:, None, None]
        amplitude = _amplitude(currents)
        blurred = tuple(_blur(blur, amplitude) for blur in space.blurs)
        return cls(currents, inside, amplitude, blurred, distance)


def _amplitude(currents):
    return (currents.square().sum((2, 3)) + 1e-12).sqrt()


def _blur(blur, rows):
    return mix(blur, rows[..., None])[..., 0]


def regional_moments(currents, space):
    """Moment within 15 mm of each location, (n_batch, n_sources), at one sample."""
    return _blur(space.region, (currents.square().sum(2) + 1e-12).sqrt())


def _cosine_distance(x, y, dim):
    num = (x * y).sum(dim)
    den = (x.square().sum(dim) * y.square().sum(dim)).clamp_min(1e-24).sqrt()
    return 1.0 - num / den


def current_loss(estimate, target: Target, space):
    """Distances a sample, free of amplitude like the truth, whose unit is arbitrary.

    Cosine distances of the currents (signs and time courses), of their power (the support) and of
    the power blurred over the cortex to several degrees (which tells a near miss from a far one: a
    surrogate of the earth mover's distance); the expected distance of the strongest region from
    the true one, at the sample at which the most goes on; and, between a recording and its window,
    the cosine distance of regional moments at that sample.

    Parameters
    ----------
    estimate : torch.Tensor of shape (n_batch, n_sources, n_orient, n_read)
        Currents; recordings come in pairs, the second one a window of the first.
    target : Target
        The truth.
    space : Space
        Its ``blurs`` and ``region``.

    Returns
    -------
    loss : torch.Tensor of shape (n_batch,)
        From 0 to about 6.
    """
    # an estimate of very small or large unit must not underflow in float32
    estimate = estimate / estimate.detach().abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-30)
    moments = regional_moments(estimate[..., 0], space)
    estimate = estimate * target.inside[:, None, None]
    amplitude = _amplitude(estimate)
    loss = _cosine_distance(estimate, target.currents, (1, 2, 3))
    loss = loss + _cosine_distance(amplitude, target.amplitude, 1)
    for blur, blurred in zip(space.blurs, target.blurred, strict=True):
        loss = loss + _cosine_distance(_blur(blur, amplitude), blurred, 1)
    chances = (_SHARPNESS * moments.log()).softmax(1)
    loss = loss + _REGION * (chances * (target.distance / _FAR_MM).tanh()).sum(1)
    apart = _cosine_distance(moments[::PAIR], moments[1::PAIR], 1)
    return loss + 0.5 * _STEADY * apart.repeat_interleave(PAIR)


def unrolled_loss(losses):
    """Weighted mean of the losses along the iterations, the last ones first.

    Weights double from one supervised iterate to the next.
    """
    weights = [2.0**k for k in range(len(losses))]
    total = sum(w * loss.mean() for w, loss in zip(weights, losses, strict=True))
    return total / sum(weights)
