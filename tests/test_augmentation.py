"""Training windows that are changed: the physics stays, what could be learned by heart goes."""

import numpy as np
import pytest
import torch

from mne_mmnet.training import AugmentedStream, SampleStream
from mne_mmnet.training.augmentation import _change_time, _slow_down, augment
from test_bilevel import archive as archive
from test_bilevel import dataset


def clean(archive):
    """A stream, and recordings of it that hold no noise."""
    stream = SampleStream(dataset(), 8, archive)
    batch = stream.batch(0)
    return stream, batch._replace(data=batch.model.leadfield[0] @ batch.currents)


def test_the_lead_field_still_maps_currents_to_data(archive):
    _, batch = clean(archive)
    before = [part.clone() for part in batch[1:]]
    changed = set()
    for seed in range(8):
        found = augment(batch, np.random.default_rng(seed))
        assert found.model is batch.model
        assert found.data.shape == batch.data.shape
        torch.testing.assert_close(
            found.data, batch.model.leadfield[0] @ found.currents, rtol=1e-3, atol=1e-6
        )
        assert found.data.square().sum((1, 2)).min() > 0.0
        same = (found.currents == batch.currents).flatten(1).all(1)
        changed |= {(row, bool(kept)) for row, kept in enumerate(same)}
    # each recording is changed by some draws; nothing that came in is
    assert {(row, False) for row in range(len(batch.data))} <= changed
    for part, kept in zip(batch[1:], before, strict=True):
        assert torch.equal(part, kept)


def test_it_depends_on_the_batch_and_the_seed_only(archive):
    stream, _ = clean(archive)
    one, other, third = (AugmentedStream(stream, seed) for seed in (0, 0, 1))
    assert one.model is stream.model
    assert torch.equal(one.batch(1).data, other.batch(1).data)
    assert not torch.equal(one.batch(1).data, third.batch(1).data)
    assert not torch.equal(one.batch(1).data, stream.batch(1).data)


class _Fixed:
    """Draws that are known: everything is changed, or nothing."""

    def __init__(self, chance, low):
        self.chance, self.low = chance, low

    def random(self, shape=None):
        return self.chance if shape is None else np.full(shape, self.chance)

    def uniform(self, low, high, shape=None):
        found = low if self.low else high
        return found if shape is None else np.full(shape, found)

    def choice(self, values, shape):
        return np.full(shape, values[0])

    def permutation(self, n):
        return np.arange(n)[::-1].copy()


def test_nothing_is_changed_by_no_chance(archive):
    _, batch = clean(archive)
    found = augment(batch, _Fixed(0.9, low=True))
    assert torch.equal(found.data, batch.data)
    assert torch.equal(found.currents, batch.currents)


def test_reversed_and_superposed(archive):
    """Slowed down by 1, which is not at all; then backwards, less 0.3 of the partner."""
    _, batch = clean(archive)
    found = augment(batch, _Fixed(0.1, low=True))
    back = batch.data.flip(-1)
    size = back.square().mean((1, 2), keepdim=True).sqrt()
    partner = torch.arange(len(back)).flip(0)
    expected = back - 0.3 * size / size[partner] * back[partner]
    torch.testing.assert_close(found.data, expected)


def test_slowed_down():
    """A ramp says at which time each sample was read."""
    ramp = torch.arange(24.0).expand(2, -1)
    torch.testing.assert_close(_slow_down(ramp, 3.0, 4.0), 3.0 + ramp / 4.0)
    torch.testing.assert_close(_slow_down(ramp, 0.0, 1.0), ramp)


@pytest.mark.parametrize("peak", [0, 11, 23])
@pytest.mark.parametrize("low", [True, False])
def test_the_peak_stays_in_the_window(peak, low):
    currents = torch.exp(-((torch.arange(24.0) - peak) ** 2) / 50.0).expand(3, -1)
    rng = _Fixed(0.1, low)
    data, found = _change_time(currents[:2], currents, rng)
    assert found.max() > 0.99
    assert torch.equal(data, found[:2])
