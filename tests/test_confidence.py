"""Where the peak is, as probabilities: always probabilities, and regions of the right size."""

import numpy as np
import pytest
import torch

from core_cases import SMALL, facts_of, make_model, random_network
from mne_mmnet.network import EvidenceNetwork, confidence_levels
from mne_mmnet.solver import certify, iterate, normalise_data, peak_log_probability, pose

DATA = ("zeros", "single sample", "rank-1", "noise")


def make_data(rng, kind, leadfield, n_batch=3):
    n_rank, n_sources = leadfield.shape[1:3]
    data = rng.standard_normal((n_batch, n_rank, 1 if kind == "single sample" else 25))
    if kind == "zeros":
        data[:] = 0.0
    elif kind == "rank-1":
        topography = leadfield[0, :, rng.integers(n_sources, size=n_batch), 0]
        data = topography[:, :, None] * rng.standard_normal((n_batch, 1, 25))
    return data


def solve(network, model, data):
    """Pose and run; return the log-probabilities, and the last iterate of the problem."""
    with torch.inference_mode():
        scaled, amplitude = normalise_data(torch.as_tensor(data))
        problem = pose(
            network, model, scaled, amplitude, torch.zeros(len(data)), facts_of(len(data), model)
        )
        last, _ = certify(iterate(network, problem, 3))
        return peak_log_probability(network, problem, last.point), last.point, problem


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("spread", [0.0, 0.3, 30.0, 1e4, float("nan"), float("inf")])
def test_probabilities_sum_to_one(kind, spread, rng):
    """For any weights and any data, every location has a probability."""
    for orient in ("fixed", "free", "evidence"):
        leadfield = rng.standard_normal((1, 15, 24, 1 if orient == "fixed" else 3))
        model, _ = make_model(leadfield, n_errors=2, share=0.15, orient=orient)
        network = random_network(int(rng.integers(1000)), spread)
        log_probability, *_ = solve(network, model, make_data(rng, kind, leadfield))
        assert log_probability.shape == (3, 24)
        assert not torch.isnan(log_probability).any()
        assert (log_probability <= 0).all()
        torch.testing.assert_close(log_probability.exp().sum(1), torch.ones(3))


def test_starts_from_the_power_of_the_estimate(rng):
    """Where the head's own layers are silent, probability follows the estimated power."""
    leadfield = rng.standard_normal((1, 15, 24, 3))
    model, _ = make_model(leadfield)
    network = random_network(2, 0.2)
    network.confidence.answer.weight.zero_()
    network.confidence.answer.bias.zero_()
    data = make_data(rng, "noise", leadfield)
    network.confidence.log_temperature.zero_()
    network.confidence.tail.zero_()
    log_probability, point, problem = solve(network, model, data)
    scaled, _ = normalise_data(torch.as_tensor(data))
    power = problem.objective.posterior_mean(point, scaled).square().sum((2, 3))
    power = (power / power.amax(1, keepdim=True)).clamp_min(1e-12)
    expected = power / power.sum(1, keepdim=True)
    torch.testing.assert_close(log_probability.exp(), expected, rtol=1e-2, atol=1e-6)


def test_temperature(rng):
    """Probabilities at temperature t are those at 1 to the power 1/t; t is what is known of it."""
    leadfield = rng.standard_normal((1, 15, 24, 1))
    model, _ = make_model(leadfield)
    network = random_network(2, 0.2)
    data = make_data(rng, "noise", leadfield)
    network.confidence.log_temperature.zero_()
    network.confidence.tail.zero_()
    plain, *_ = solve(network, model, data)
    change = torch.linspace(-0.4, 0.9, len(network.confidence.log_temperature))
    network.confidence.log_temperature.copy_(change)
    warm, _, problem = solve(network, model, data)
    temperature = (problem.context.calibration @ change).exp()[:, None]
    assert (temperature != 1.0).all()
    torch.testing.assert_close(warm, (plain / temperature).log_softmax(1), rtol=1e-4, atol=1e-4)
    # a share of it at another temperature
    network.confidence.tail.copy_(torch.tensor([0.3, 0.2]))
    mixed, *_ = solve(network, model, data)
    wide = (plain / (temperature * (1.0 + np.exp(0.2)))).softmax(1)
    expected = 0.7 * warm.exp() + 0.3 * wide
    torch.testing.assert_close(mixed.exp(), expected, rtol=1e-3, atol=1e-6)


def test_untrained_head_finds_a_noiseless_source(rng):
    """One source without noise: most of the probability is at its place."""
    leadfield = rng.standard_normal((1, 31, 60, 1))
    model, _ = make_model(leadfield)
    torch.manual_seed(0)
    network = EvidenceNetwork(SMALL)
    data = leadfield[0, :, 17, 0][None, :, None] * rng.standard_normal((1, 1, 20))
    log_probability, *_ = solve(network, model, data)
    assert int(log_probability.argmax()) == 17


def naive_region(probability, level):
    """Smallest set of locations whose probabilities sum to the level, the most probable first."""
    region, total = set(), 0.0
    for location in sorted(range(len(probability)), key=lambda k: -probability[k]):
        if total >= level:
            break
        region.add(location)
        total += probability[location]
    return region


@pytest.mark.parametrize("kind", ["random", "ties", "certain", "uniform"])
def test_regions_are_the_smallest_sets(kind, rng):
    """The region of a level holds it, would not without its last member, and is nested."""
    probability = rng.dirichlet(np.full(40, 0.2), size=5)
    if kind == "ties":
        probability = rng.integers(0, 4, (5, 40)).astype(float)
    elif kind == "certain":
        probability = np.eye(40)[:5]
    elif kind == "uniform":
        probability = np.ones((5, 40))
    probability /= probability.sum(axis=1, keepdims=True)
    levels = confidence_levels(torch.as_tensor(probability)).numpy()
    assert ((levels >= 0) & (levels <= 1 + 1e-12)).all()
    # none of these is the sum of a few of the probabilities
    wanted = (1e-9, 0.1234567, 0.5012345, 0.9012345, 0.9876543)
    for one, level in zip(probability, levels, strict=True):
        for c in wanted:
            region = set(np.flatnonzero(level < c).tolist())
            assert region == naive_region(one, c)
            assert int(one.argmax()) in region
            total = one[list(region)].sum()
            assert total >= c
            assert total - one[list(region)].min() < c
