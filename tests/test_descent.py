"""The lower level's loss: the curvature learns from it, and nothing else does."""

import pytest
import torch

from core_cases import SMALL, random_network
from mne_mmnet.solver import iterate
from mne_mmnet.training.descent import _EVERY, descent_loss, fix_problem
from mne_mmnet.training.loop import Space, pose_batch
from test_training import CONFIG, ring_people


@pytest.fixture(scope="module")
def space():
    return Space(ring_people(), SMALL)


def draw_problem(network, space, n_batch=8, seed=3):
    return pose_batch(network, space, space.simulate(CONFIG.simulation, n_batch, seed))[0]


def test_only_the_curvature_learns(space):
    """Its weights have a gradient; those of the hyperprior, which defines J, have none."""
    network = random_network(0, 0.3).requires_grad_(True)
    descent_loss(network, fix_problem(draw_problem(network, space))).backward()
    assert all(p.grad is None for p in network.hyperprior.parameters())
    assert sum(float(p.grad.abs().sum()) for p in network.curvature.parameters()) > 0


def test_every_fourth_recording(space):
    """By its number in the batch, however the batch is cut."""
    network = random_network(0, 0.3)
    problem = draw_problem(network, space)
    whole = fix_problem(problem)
    assert len(whole.start) == 2
    assert torch.equal(whole.start, problem.start[::_EVERY])
    assert torch.equal(whole.objective.cost, problem.objective.cost[::_EVERY])
    for first, n_found in ((0, 2), (2, 2), (4, 2), (7, 2), (8, 2)):
        found = fix_problem(problem, first).start
        assert len(found) == n_found
        assert torch.equal(found[0], problem.start[-first % _EVERY])


def test_less_is_left_after_training(space):
    """A timid network learns to be bold: J is lower after as many steps, on other recordings."""
    network = random_network(0, 0.1)
    with torch.no_grad():
        network.curvature.answer.bias.fill_(3.0)  # factors near the largest
    network.curvature.requires_grad_(True)
    optimiser = torch.optim.Adam(network.curvature.parameters(), lr=3e-2)

    def left():
        with torch.no_grad():
            problem = draw_problem(network, space, 8, 1000)
            *_, last = iterate(network, problem, 4)
            return float(last.point.value.mean())

    before = left()
    for seed in range(25):
        optimiser.zero_grad()
        problem = draw_problem(network, space, 8, seed)
        descent_loss(network, fix_problem(problem)).backward()
        optimiser.step()
    assert left() < before - 0.1
