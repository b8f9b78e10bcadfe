"""Training of the confidence head: it learns, alone, and says how often it is right."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from core_cases import SMALL, random_network
from mne_mmnet.dictionary.regions import Regions
from mne_mmnet.network import EvidenceNetwork
from mne_mmnet.training.confidence import (
    _TEMPERATURE_SEED,
    USUAL,
    _best_calibration,
    _cross_entropy,
    coverage,
    fit_calibration,
    peak_score,
    train_confidence,
)
from mne_mmnet.training.loop import Space
from test_training import CONFIG, ring_people

TINY = replace(CONFIG, n_confidence=40, n_temperature=6, batch_size=4, learning_rate=1e-2)


@pytest.fixture(scope="module")
def spaces():
    """The space that is trained on, and two with other people to hold out."""
    held_out = [ring_people(n_people=n_people) for n_people in (2, 3)]
    return [Space(ring_people(), SMALL)], [Space(people, SMALL) for people in held_out]


def score(network, spaces, seeds):
    """Scores on recordings of people none of whom is trained on."""
    _, (space, _) = spaces
    with torch.no_grad():
        found = [
            peak_score(network, space, space.simulate(TINY.simulation, 4, [seed]))
            for seed in seeds
        ]
    logits, target, _ = (torch.cat(parts) for parts in zip(*found, strict=True))
    return logits.log_softmax(1), target


def test_learns_alone(spaces, tmp_path):
    """Held-out cross-entropy falls, every other weight stays, nothing is left trainable."""
    torch.manual_seed(0)
    network = EvidenceNetwork(SMALL)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    held_out = range(1000, 1012)
    initial = float(_cross_entropy(*score(network, spaces, held_out)))
    found = train_confidence(network, TINY, *spaces, tmp_path)
    final = float(_cross_entropy(*score(network, spaces, held_out)))
    assert final < initial - 0.05
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]) != name.startswith("confidence."), name
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert list(found) == [0.5, 0.9]
    assert 0 <= found[0.5] <= found[0.9] <= 1


@pytest.mark.parametrize("moment", [0, 3, 8])
def test_goes_on_exactly(spaces, tmp_path, moment):
    """Wherever it is stopped, no batch is lost, none is done twice, and the end is the same."""
    short = replace(TINY, n_confidence=9, n_temperature=2)
    whole, parts = random_network(0, 0.1), random_network(0, 0.1)
    found = train_confidence(whole, short, *spaces, tmp_path / "whole", save_every=4)
    seen = []

    def press(batches):
        for k in batches:
            seen.append(k)
            if k == moment:
                os.kill(os.getpid(), signal.SIGINT)
            yield k

    run = (short, *spaces, tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        train_confidence(parts, *run, save_every=4, progress=press)
    assert seen == list(range(moment + 1))
    parts = random_network(0, 0.1)
    again = train_confidence(parts, *run, save_every=4, progress=press)
    assert seen == list(range(9))
    assert again == found
    for one, other in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    # what is done is not done again
    train_confidence(random_network(0, 0.1), *run, progress=press)
    assert len(seen) == 9
    other = replace(short, seed=short.seed + 1)
    with pytest.raises(ValueError, match="another configuration"):
        train_confidence(parts, other, *run[1:])
    (tmp_path / "parts" / "confidence.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="is damaged"):
        train_confidence(parts, *run)


# an untrained head is overconfident, by more than is searched for from 0
@pytest.mark.parametrize("warm", [1.0, 1.7])
def test_coverage_is_that_of_the_trained_head(spaces, warm):
    """What is reported holds for the head as it is left, also if it had a temperature before."""
    network = random_network(0, 0.1)
    network.confidence.log_temperature.fill_(warm)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    _, held_out = spaces
    found = fit_calibration(network, TINY, held_out)
    for name, tensor in network.state_dict().items():
        fitted = name.endswith(("log_temperature", "tail"))
        assert torch.equal(tensor, before[name]) != fitted, name
    usual = replace(TINY.simulation, **USUAL)
    again = []
    for k in range(TINY.n_temperature):
        space = held_out[k % 2]  # in turn
        batch = space.simulate(usual, TINY.batch_size, [_TEMPERATURE_SEED, k])
        again.append(peak_score(network, space, batch))
    logits, target, known = (torch.cat(parts) for parts in zip(*again, strict=True))
    log_probability = network.confidence.calibrate(logits, known)
    assert (network.confidence.log_temperature - warm).abs().max() > 0.02
    for level in (0.5, 0.9):
        assert found[level] == pytest.approx(coverage(log_probability, target, level))
    # no other temperature does much better: weights are kept small
    with torch.no_grad():
        best = float(_cross_entropy(log_probability, target))
        for change in (-0.2, -0.05, 0.05, 0.2):
            other = (log_probability / np.exp(change)).log_softmax(1)
            assert float(_cross_entropy(other, target)) >= best - 0.02


def test_target_is_the_strongest_region(spaces):
    """It is where most moment is within 15 mm, at the sample at which the most goes on."""
    (space,), _ = spaces
    regions = Regions(space.people.positions)
    network = random_network(0, 0.1)
    for seed in range(4):
        batch = space.simulate(TINY.simulation, 6, [seed])
        logits, target, _ = peak_score(network, space, batch, 1)
        assert torch.isfinite(logits).all()
        assert (target.sum(1) == 1).all()
        size = np.linalg.norm(batch.currents[..., 0], axis=2)
        for one, place in zip(size, target.argmax(1).tolist(), strict=True):
            moments = regions.moments(one)
            assert moments[place] >= 0.9 * moments.max()  # but for the rim
        # a window has the target of its recording
        torch.testing.assert_close(target[::2], target[1::2])


def test_best_calibration(rng):
    """Outcomes drawn at temperatures that depend on what is known, and a tail, give these back."""
    head = EvidenceNetwork(SMALL).confidence
    logits = torch.as_tensor(3.0 * rng.standard_normal((20_000, 10)))
    kinds = torch.nn.functional.one_hot(torch.arange(20_000) % 3, 3).double()
    known = torch.cat([kinds, torch.as_tensor(rng.uniform(-1.0, 1.0, (20_000, 2)))], 1)
    true = torch.tensor([0.4, -0.2, 0.1, 0.4, -0.3], dtype=torch.float64)
    tail = torch.tensor([0.2, 1.5], dtype=torch.float64)
    with torch.no_grad():
        probability = head.calibrate(logits, known, true, tail).exp()
    torch.testing.assert_close(probability.sum(1), torch.ones(20_000).double())
    drawn = probability.multinomial(1)
    target = torch.zeros(20_000, 10, dtype=torch.float64).scatter_(1, drawn, 1.0)
    linear, found = _best_calibration(head, logits, target, known)
    np.testing.assert_allclose(linear, true, atol=0.1)
    np.testing.assert_allclose(found[0], tail[0], atol=0.05)
    np.testing.assert_allclose(found[1], tail[1], atol=0.5)
    # with a handful of recordings it stays where it was
    few = _best_calibration(head, logits[:3], target[:3], known[:3])[0]
    assert few.abs().max() < 0.5


def test_coverage_of_true_probabilities(rng):
    """Regions of honest probabilities hold the peak slightly more often than they say."""
    probability = torch.as_tensor(rng.dirichlet(np.full(30, 0.3), size=5000))
    drawn = probability.multinomial(1)
    target = torch.zeros_like(probability).scatter_(1, drawn, 1.0)
    for level in (0.5, 0.9):
        regions = coverage(probability.log(), target, level)
        assert level - 0.02 < regions < level + 0.2
    assert coverage(probability.log(), target, 1.0 - 1e-12) > 0.999


def test_cross_entropy_of_the_truth():
    """It is 0 for the truth, which is one place a recording, and positive else."""
    target = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    truth = target.clamp_min(1e-12).log()
    assert float(_cross_entropy(truth, target)) == pytest.approx(0.0, abs=1e-6)
    uniform = torch.full((2, 3), 1.0 / 3.0).log()
    assert float(_cross_entropy(uniform, target)) == pytest.approx(np.log(3.0), abs=1e-5)
