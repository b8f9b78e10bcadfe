"""Screening: a few atoms move, the others stand still, and the objective knows both."""

import numpy as np
import pytest
import torch

from core_cases import facts_of, make_model, random_network, random_objective
from mne_mmnet.majorant import EvidenceMajorant
from mne_mmnet.objective import N_NOISE, n_active, screen
from mne_mmnet.solver import certify, iterate, normalise_data, pose


def draw_active(rng, model, n_active):
    """Some atoms of every family, other ones for each of two samples."""
    return tuple(
        torch.as_tensor(np.stack([rng.permutation(count)[:n_active] for _ in range(2)]))
        for count, _ in model.families
    )


@pytest.mark.parametrize("orient", ["fixed", "free", "evidence"])
def test_frozen_objective_is_the_whole_one_up_to_a_constant(orient, rng):
    """Value differences, and the majorant of the active atoms, are those of J."""
    objective, v = random_objective(rng, orient=orient)
    active = draw_active(rng, objective.model, 3)
    part, start, index = objective.freeze_all_but(v, active)
    moved = start + torch.as_tensor(rng.uniform(-1.0, 1.0, start.shape))
    whole = v.scatter(1, index, moved)
    torch.testing.assert_close(
        part.evaluate(moved).value - part.evaluate(start).value,
        objective.evaluate(whole).value - objective.evaluate(v).value,
    )
    found = part.coefficients(part.evaluate(moved))
    expected = objective.coefficients(objective.evaluate(whole))
    for one, all_ in zip(found, expected, strict=True):
        torch.testing.assert_close(one, all_.gather(1, index))


def draw_screened(rng, orient, monkeypatch):
    """An objective, a point after a step, and what moves from there on."""
    monkeypatch.setattr("mne_mmnet.objective.screening._LEAST_ACTIVE", 4)
    objective, v = random_objective(rng, orient=orient)
    point = objective.evaluate(v)
    a, b = objective.coefficients(point)
    step = EvidenceMajorant(a, b).minimiser(0.5, 4.0)
    v = objective.move(point, step)
    return objective, screen(objective, v, a, b, v - point.v), v, (a + b) * (v - point.v).exp()


@pytest.mark.parametrize("orient", ["fixed", "free", "evidence"])
def test_screened_objective_is_the_whole_one(orient, rng, monkeypatch):
    """Same value, same majorant where something moves; the other coefficients stay."""
    objective, screened, v, _ = draw_screened(rng, orient, monkeypatch)
    start = objective.evaluate(v)
    step = torch.as_tensor(rng.uniform(-1.0, 1.0, v.shape))
    moved = screened.move(start, step)
    here, there = screened.evaluate(moved), objective.evaluate(moved)
    for name in ("v", "value", "whiten"):
        torch.testing.assert_close(getattr(here, name), getattr(there, name))
    old = torch.full_like(v, 7.0), torch.full_like(v, 9.0)
    active = torch.zeros_like(v, dtype=torch.bool).scatter(1, screened.index, True)
    new = objective.coefficients(there)
    for found, kept, fresh in zip(screened.update(here, *old), old, new, strict=True):
        torch.testing.assert_close(found, torch.where(active, fresh, kept))
    alone = screened.select(torch.tensor([1]))
    torch.testing.assert_close(alone.evaluate(moved[1:]).value, here.value[1:])


@pytest.mark.parametrize("orient", ["fixed", "evidence"])
def test_only_what_matters_moves(orient, rng, monkeypatch):
    """The atoms of largest curvature of every family, and the noise."""
    objective, screened, v, curvature = draw_screened(rng, orient, monkeypatch)
    counts = [count for count, _ in objective.model.families]
    assert len(counts) == (4 if orient == "evidence" else 2)
    moved = screened.move(objective.evaluate(v), torch.full_like(v, -0.5)) != v
    assert moved[:, -N_NOISE:].all()
    parts = zip(
        moved[:, :-N_NOISE].split(counts, 1), curvature[:, :-N_NOISE].split(counts, 1), strict=True
    )
    for active, importance in parts:
        assert (active.sum(1) == min(4, importance.shape[1])).all()
        for row, size in zip(active, importance, strict=True):
            assert size[row].min() >= max(size[~row], default=0.0)


def test_number_of_active_atoms():
    """A fifth, but not too few."""
    assert [n_active(n) for n in (10, 64, 300, 4250)] == [10, 64, 64, 850]


@pytest.mark.parametrize("orient", ["fixed", "evidence"])
def test_samples_are_selected_with_their_frozen_part(orient, rng):
    """One sample of a batch has the value that it has in the batch."""
    objective, v = random_objective(rng, orient=orient)
    active = draw_active(rng, objective.model, 2)
    part, start, _ = objective.freeze_all_but(v, active)
    alone = part.select(torch.tensor([1]))
    torch.testing.assert_close(alone.evaluate(start[1:]).value, part.evaluate(start).value[1:])


@pytest.mark.parametrize("orient", ["fixed", "evidence"])
@pytest.mark.parametrize("spread", [0.3, 30.0])
def test_screened_steps_are_certified(spread, orient, rng, monkeypatch):
    """With any weights no step increases J, which is that of all atoms; sweeps move all again."""
    monkeypatch.setattr("mne_mmnet.objective.screening._LEAST_ACTIVE", 4)
    leadfield = rng.standard_normal((1, 10, 16, 1 if orient == "fixed" else 3))
    model, _ = make_model(leadfield, n_errors=2, share=0.1, orient=orient)
    data, amplitude = normalise_data(torch.as_tensor(rng.standard_normal((3, 10, 20))))
    with torch.inference_mode():
        network = random_network(3, spread)
        problem = pose(network, model, data, amplitude, torch.zeros(3), facts_of(3, model))
        iterates = list(iterate(network, problem, 6))
        _, certificate = certify(iterates)
    assert certificate.objective.shape == (3, 7)
    assert (certificate.objective.diff(dim=1) <= 0).all()
    for one in iterates:
        whole = problem.objective.evaluate(one.point.v).value
        torch.testing.assert_close(one.point.value, whole, rtol=1e-5, atol=1e-3)
    points = torch.stack([one.point.v for one in iterates])
    moved = (points.diff(dim=0) != 0)[..., :-N_NOISE].sum(-1)  # (n_steps, n_batch)
    most = sum(min(4, count) for count, _ in model.families)
    for number in range(6):
        if number % network.config.sweep:
            assert (moved[number] <= most).all()
    assert (moved[0] > most).any()
