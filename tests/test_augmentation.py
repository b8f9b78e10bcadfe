"""Training recordings that are sums of two."""

import numpy as np
import torch

from mne_mmnet.training import AugmentedStream, SampleStream
from mne_mmnet.training.augmentation import superpose
from test_bilevel import archive as archive
from test_bilevel import dataset


def clean(archive):
    """A stream, and recordings of it that hold no noise."""
    stream = SampleStream(dataset(), 8, archive)
    batch = stream.batch(0)
    return stream, batch._replace(data=batch.model.leadfield[0] @ batch.currents)


def test_sums_of_two(archive):
    """Of one recording and 0.3 to 1 times another, of either sign; what came in stays."""
    _, batch = clean(archive)
    before = [part.clone() for part in batch[1:]]
    count, changed, factors = len(batch.data), np.zeros(len(batch.data)), []
    for seed in range(40):
        found = superpose(batch, np.random.default_rng(seed))
        assert found.model is batch.model
        torch.testing.assert_close(
            found.data, batch.model.leadfield[0] @ found.currents, rtol=1e-3, atol=1e-6
        )
        partner = np.random.default_rng(seed).permutation(count)
        for i, j in enumerate(partner):
            added, other = found.data[i] - batch.data[i], batch.data[j]
            factor = float((added * other).sum() / other.square().sum())
            torch.testing.assert_close(added, factor * other, rtol=1e-3, atol=1e-5)
            if factor:
                assert i != j
                factors.append(factor * float(other.norm() / batch.data[i].norm()))
        changed += (found.data != batch.data).flatten(1).any(1).numpy()
    assert 0.299 < min(np.abs(factors)) < 0.35
    assert 0.9 < max(np.abs(factors)) <= 1.001
    assert min(factors) < 0 < max(factors)
    # one half of those whose partner is another
    assert 0.35 < changed.mean() / 40 < 0.55
    assert (changed > 0).all()
    for part, kept in zip(batch[1:], before, strict=True):
        assert torch.equal(part, kept)


def test_it_depends_on_the_batch_and_the_seed_only(archive):
    stream, _ = clean(archive)
    one, other, third = (AugmentedStream(stream, seed) for seed in (0, 0, 1))
    assert torch.equal(one.batch(1).data, other.batch(1).data)
    assert not torch.equal(one.batch(1).data, third.batch(1).data)
    assert not torch.equal(one.batch(1).data, stream.batch(1).data)


def test_a_recording_alone_stays(archive):
    """It is no sum with itself."""
    _, batch = clean(archive)
    alone = batch._replace(data=batch.data[:1], currents=batch.currents[:1])
    for seed in range(8):
        assert torch.equal(superpose(alone, np.random.default_rng(seed)).data, alone.data)
