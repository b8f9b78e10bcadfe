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


@pytest.mark.parametrize("orient", ["fixed", "evidence"])
def test_only_active_atoms_move(orient, rng, monkeypatch):
    """Atoms on which J hardly depends keep their variances."""
    monkeypatch.setattr("mne_mmnet.solver.polishing._LEAST_ACTIVE", 4)
    objective, v = random_objective(rng, orient=orient)
    point = objective.evaluate(v)
    majorant = EvidenceMajorant(*objective.coefficients(point))
    step = polish(objective, point, majorant, 6, 4.0)
    counts = [count for count, _ in objective.model.families]
    assert len(counts) == (4 if orient == "evidence" else 2)
    for part in step[:, :-N_NOISE].split(counts, 1):
        assert (part != 0).sum(1).tolist() == [4, 4]
    assert (objective.evaluate(v + step).value < point.value).all()


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
def test_polishing_is_certified(spread, orient, rng):
    """With any weights the last step does not increase the objective; without it there is none."""
    leadfield = rng.standard_normal((1, 10, 16, 1 if orient == "fixed" else 3))
    model, _ = make_model(leadfield, n_errors=2, share=0.1, orient=orient)
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
