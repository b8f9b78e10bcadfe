"""What the networks see and answer."""

import numpy as np
import pytest
import torch

from core_cases import SMALL, make_model, random_network, ring
from mne_mmnet.majorant import EvidenceMajorant
from mne_mmnet.network import EvidenceNetwork, NetworkConfig, compute_context
from mne_mmnet.network.mixing import mix
from mne_mmnet.solver import data_factor, normalise_data, pose


def context_of(model, data):
    scaled, _ = normalise_data(torch.as_tensor(data))
    factor = model.basis @ data_factor(scaled)
    nothing = torch.zeros(len(data))
    return compute_context(model, factor, nothing, nothing)


def fields(context):
    return [context.atoms, context.norms, context.recording, context.start]


@pytest.fixture
def case(rng):
    """Lead field, its model, data."""
    leadfield = rng.standard_normal((1, 19, 30, 1))
    return leadfield, make_model(leadfield)[0], rng.standard_normal((2, 19, 12))


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_context_is_scale_free(case, scale):
    """Units of data and lead field change nothing."""
    leadfield, model, data = case
    other = make_model(leadfield * scale)[0]
    for a, b in zip(
        fields(context_of(model, data)), fields(context_of(other, data / scale)), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_context_with_a_blind_source(case):
    """A source that no sensor sees does not blur what is known of the others."""
    leadfield, model, data = case
    blind = leadfield.copy()
    blind[:, :, 4] = 0.0
    other = context_of(make_model(blind)[0], data)
    assert all(torch.isfinite(field).all() for field in fields(other))
    far = np.r_[10:30]
    torch.testing.assert_close(
        other.atoms[:, far], context_of(model, data).atoms[:, far], rtol=0.3, atol=0.3
    )


def test_context_does_not_know_the_sensor_basis(case, rng):
    """A rotation of the whitened sensor space (another order of channels) changes nothing."""
    leadfield, model, data = case
    rotation = np.linalg.qr(rng.standard_normal((19, 19)))[0]
    other = make_model(np.einsum("rn,mnso->mrso", rotation, leadfield))[0]
    for a, b in zip(
        fields(context_of(model, data)), fields(context_of(other, rotation @ data)), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_sources_in_another_order(case, rng):
    """Permuting the source space permutes prior, start and summary."""
    leadfield, model, data = case
    order = rng.permutation(30)
    adjacency = ring(30)[order][:, order]
    other, _ = make_model(leadfield[:, :, order], adjacency=adjacency)
    network = random_network(0, 0.2)
    scaled, _ = normalise_data(torch.as_tensor(data))
    nothing = torch.zeros(2)
    one = pose(network, model, scaled, nothing + 1, nothing)
    two = pose(network, other, scaled, nothing + 1, nothing)
    atoms = np.concatenate([order, 30 + order, [60, 61]])
    torch.testing.assert_close(one.start[:, atoms], two.start, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        one.objective.cost[:, atoms], two.objective.cost, rtol=1e-2, atol=1e-4
    )
    torch.testing.assert_close(one.summary[:, order], two.summary, rtol=1e-3, atol=1e-3)


def test_factor_stays_in_its_range(case, rng):
    """The curvature factor obeys the configuration for any weights."""
    _, model, data = case
    scaled, _ = normalise_data(torch.as_tensor(data))
    for spread in (1e-3, 1.0, 1e3):
        network = random_network(1, spread)
        problem = pose(network, model, scaled, torch.ones(2), torch.zeros(2))
        factor = problem.objective.evaluate(problem.start)
        majorant = EvidenceMajorant(*problem.objective.coefficients(factor))
        cell = network.curvature
        state = cell.initial_state(2, 30, problem.summary)
        answer, state = cell(problem.start, majorant, problem.summary, model.mixing, state, 3.0)
        assert answer.shape == problem.start.shape
        assert (answer >= SMALL.factor_min * 0.999).all()
        assert (answer <= SMALL.factor_max * 1.001).all()
        assert state.shape == (2 * 30, SMALL.state)


def test_untrained_factor_is_bold_but_moderate():
    """The untrained network answers 0.7 everywhere."""
    cell = EvidenceNetwork(SMALL).curvature
    torch.testing.assert_close(cell._squash(cell.answer.bias), torch.full((2,), 0.7))
    torch.testing.assert_close(cell._squash(cell.noise), torch.full((2,), 0.7))


def test_mix(rng):
    """The batched product is one matrix product a sample."""
    matrix = torch.as_tensor(rng.standard_normal((5, 5)))
    x = torch.as_tensor(rng.standard_normal((3, 5, 2)))
    torch.testing.assert_close(mix(matrix, x), torch.stack([matrix @ one for one in x]))
    torch.testing.assert_close(mix(matrix.to_sparse_csr(), x), mix(matrix, x))


def test_config_round_trip():
    """A configuration survives its card; a wrong one is refused."""
    assert NetworkConfig.from_dict(SMALL.to_dict()) == SMALL
    with pytest.raises(TypeError, match="colour"):
        NetworkConfig.from_dict({**SMALL.to_dict(), "colour": 3})
    with pytest.raises(ValueError, match="first scale"):
        NetworkConfig(scales=SMALL.scales[1:])
    with pytest.raises(ValueError, match="factor_min"):
        NetworkConfig(factor_min=1.5)
    with pytest.raises(ValueError, match="hidden"):
        NetworkConfig(hidden=0)
