"""What the networks are told before the data."""

import math

import pytest
import torch

from mne_mmnet.network import HEADS, ORIENTS, describe
from mne_mmnet.network.facts import N_FACTS


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("orient", ORIENTS)
def test_head_and_orientation(head, orient):
    """One flag each, the same for the whole batch."""
    facts = describe(3, head, orient)
    assert facts.shape == (3, N_FACTS)
    assert facts.dtype == torch.float32
    assert (facts == facts[0]).all()
    flags = [float(name == head) for name in HEADS] + [float(name == orient) for name in ORIENTS]
    assert facts[0, :-1].tolist() == flags


@pytest.mark.parametrize(
    ("n_samples", "expected"),
    [
        (None, 2.0),
        (math.inf, 2.0),
        (math.nan, 2.0),
        (50.0 * math.e, 1.0),
        (50.0, 0.0),
        (0.0, -2.0),
        (1e9, 6.0),
    ],
)
def test_trust_in_the_covariance(n_samples, expected):
    """Log of samples a dimension, in bounds; a usual number where it is unknown."""
    facts = describe(1, "own", "fixed", n_samples, 50)
    assert float(facts[0, -1]) == pytest.approx(expected / 3.0)
