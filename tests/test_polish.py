"""The last step: a few atoms move, the others stand still, and the objective knows both."""

import numpy as np
import pytest
import torch

from core_cases import facts_of, make_model, random_network, random_objective
from mne_mmnet.majorant import EvidenceMajorant
from mne_mmnet.objective import N_NOISE
from mne_mmnet.solver import certify, iterate, normalise_data, polish, pose


def draw_active(rng, model, n_active):
    """Some atoms of every family, other ones for each of two samples."""
    return tuple(
        torch.as_tensor(np.stack([rng.permutation(count)[:n_active] for _ in range(2)]))
        for count, _ in model.families
    )


@pytest.mark.parametrize("n_orient", [1, 3])
def test_frozen_objective_is_the_whole_one_up_to_a_constant(n_orient, rng):
    """Value differences, and the majorant of the active atoms, are those of J."""
    objective, v = random_objective(rng, n_orient=n_orient)
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


def test_only_active_atoms_move(rng, monkeypatch):
    """Atoms on which J hardly depends keep their variances."""
    monkeypatch.setattr("mne_mmnet.solver.polishing._LEAST_ACTIVE", 4)
    objective, v = random_objective(rng)
    point = objective.evaluate(v)
    majorant = EvidenceMajorant(*objective.coefficients(point))
    step = polish(objective, point, majorant, 6, 4.0)
    n_families = len(objective.model.families)
    assert (step[:, :-N_NOISE] != 0).sum(1).tolist() == [4 * n_families] * 2
    assert (objective.evaluate(v + step).value < point.value).all()


def test_samples_are_selected_with_their_frozen_part(rng):
    """One sample of a batch has the value that it has in the batch."""
    objective, v = random_objective(rng)
    active = draw_active(rng, objective.model, 2)
    part, start, _ = objective.freeze_all_but(v, active)
    alone = part.select(torch.tensor([1]))
    torch.testing.assert_close(alone.evaluate(start[1:]).value, part.evaluate(start).value[1:])


@pytest.mark.parametrize("spread", [0.3, 30.0])
def test_polishing_is_certified(spread, rng):
    """With any weights the last step does not increase the objective; without it there is none."""
    model, _ = make_model(rng.standard_normal((1, 10, 16, 1)))
    data, amplitude = normalise_data(torch.as_tensor(rng.standard_normal((3, 10, 20))))
    with torch.inference_mode():
        network = random_network(3, spread)
        problem = pose(network, model, data, amplitude, torch.zeros(3), facts_of(3, model))
        last, certificate = certify(iterate(network, problem, 4))
        _, shorter = certify(iterate(network, problem, 4, polished=False))
    assert certificate.objective.shape == (3, 6)
    assert shorter.objective.shape == (3, 5)
    assert (certificate.objective.diff(dim=1) <= 0).all()
    torch.testing.assert_close(certificate.objective[:, :5], shorter.objective)
    torch.testing.assert_close(last.point.value, certificate.objective[:, -1])
