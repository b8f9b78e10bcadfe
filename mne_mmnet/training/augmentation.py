"""More recordings out of those there are: what training windows become by linear maps of time."""

import numpy as np
import torch

# share of the recordings that each change is made to
_SHARE = 0.5
# slowest, and where in the window the peak then lies
_SLOWEST, _PEAK = 4.0, (0.2, 0.8)
# size of a recording that is added, of the first one's root mean square
_SMALLEST = 0.3


class AugmentedStream:
    """Batches of another stream, with recordings slowed down, reversed and superposed.

    y = L x + n stays true under each: (y A) = L (x A) + (n A) for every linear map A of time, and
    for sums of recordings. What changes is what a network could learn by heart of one kind of
    data: courses, how many sources there are, which of them are active together. Nothing new is
    simulated, and the heads stay those of the recordings.

    Parameters
    ----------
    stream : SampleStream
        Training batches; validation recordings are to stay as they are.
    seed : int
        Of the changes, which depend on it and on the batch's number only.
    """

    def __init__(self, stream, seed=0):
        self.stream, self.seed = stream, seed
        self.model = stream.model

    def batch(self, k):
        """Make one batch (see :meth:`SampleStream.batch`)."""
        return augment(self.stream.batch(k), np.random.default_rng([self.seed, k]))


def augment(batch, rng):
    """Change the recordings of a batch, each by chance, and add some of them to others.

    Parameters
    ----------
    batch : Batch
        Recordings and what made them; left as it is.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    batch : Batch
        As many recordings, of the same shapes.
    """
    pairs = [_change_time(*pair, rng) for pair in zip(batch.data, batch.currents, strict=True)]
    data, currents = (torch.stack(part) for part in zip(*pairs, strict=True))
    partner = torch.as_tensor(rng.permutation(len(data)), device=data.device)
    size = data.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-30)
    share = torch.as_tensor(_draw_shares(len(data), rng), dtype=data.dtype, device=data.device)
    share = share * (partner != torch.arange(len(data), device=data.device))[:, None, None]
    share = share * size / size[partner]
    return batch._replace(
        data=data + share * data[partner], currents=currents + share * currents[partner]
    )


def _draw_shares(n_batch, rng):
    """Factors of the recordings that are added, of either sign, 0 where none is."""
    factors = np.exp(rng.uniform(np.log(_SMALLEST), 0.0, (n_batch, 1, 1)))
    return factors * rng.choice([-1.0, 1.0], factors.shape) * (rng.random(factors.shape) < _SHARE)


def _change_time(data, currents, rng):
    """Slow one recording down, by linear interpolation, and reverse it, or not."""
    n_times = data.shape[-1]
    if rng.random() < _SHARE:
        factor = np.exp(rng.uniform(0.0, np.log(_SLOWEST)))
        peak = int(currents.abs().amax(0).argmax())
        # the peak stays in the window, and the window in the recording
        first = peak - rng.uniform(*_PEAK) * n_times / factor
        first = np.clip(first, 0.0, (n_times - 1) * (1.0 - 1.0 / factor))
        data, currents = (_slow_down(part, first, factor) for part in (data, currents))
    if rng.random() < _SHARE:
        data, currents = data.flip(-1), currents.flip(-1)
    return data, currents


def _slow_down(series, first, factor):
    """Read a series at first + t / factor."""
    times = first + torch.arange(series.shape[-1], device=series.device) / factor
    before = times.floor().long().clamp(0, series.shape[-1] - 2)
    part = (times - before).to(series.dtype)
    return series[..., before] * (1.0 - part) + series[..., before + 1] * part
