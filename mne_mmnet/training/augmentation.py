"""More recordings out of those there are: sums of two."""

import numpy as np
import torch

# share of the recordings that another one is added to, and its least root mean square beside 1
_SHARE, _SMALLEST = 0.5, 0.3


class AugmentedStream:
    """Batches of another stream, some recordings of which are sums of two.

    y = L x + n holds for a sum as it does for its parts. What changes is what a network could
    learn by heart of one kind of data: how many sources there are, and which of them are active
    together. Nothing new is simulated; both parts are recordings of the stream's heads.

    Parameters
    ----------
    stream : SampleStream | AlternatingStream
        Training batches; validation recordings are to stay as they are.
    seed : int
        Of the choice, which depends on it and on the batch's number only.
    """

    def __init__(self, stream, seed=0):
        self.stream, self.seed = stream, seed

    def batch(self, k):
        """Make one batch (see :meth:`SampleStream.batch`)."""
        return superpose(self.stream.batch(k), np.random.default_rng([self.seed, k]))


def superpose(batch, rng):
    """Add to some recordings of a batch another one of it, of either sign and smaller.

    Parameters
    ----------
    batch : Batch
        Recordings and what made them; left as it is.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    batch : Batch
        As many recordings: y_i + r y_j and x_i + r x_j, where r ‖y_j‖ / ‖y_i‖ is from 0.3 to 1
        (log-uniform), or 0 for every second one.
    """
    count, data, currents = len(batch.data), batch.data, batch.currents
    partner = rng.permutation(count)
    ratio = np.exp(rng.uniform(np.log(_SMALLEST), 0.0, count)) * rng.choice([-1.0, 1.0], count)
    ratio *= (rng.random(count) < _SHARE) & (partner != np.arange(count))
    size = data.square().mean((1, 2), keepdim=True).sqrt()  # noise is in all of them
    ratio = torch.as_tensor(ratio, dtype=data.dtype, device=data.device)[:, None, None]
    ratio = ratio * size / size[partner]
    return batch._replace(
        data=data + ratio * data[partner], currents=currents + ratio * currents[partner]
    )
