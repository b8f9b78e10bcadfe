"""What the networks see and answer."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core_cases import (
    SMALL,
    atom_covariances,
    facts_of,
    make_frames,
    make_model,
    random_network,
    ring,
)
from mne_mmnet.majorant import EvidenceMajorant
from mne_mmnet.network import EvidenceNetwork, NetworkConfig, compute_context
from mne_mmnet.network.mixing import mix
from mne_mmnet.network.preview import N_FIT_FEATURES, N_PREVIEW_FEATURES, preview
from mne_mmnet.network.prior import assemble, noise_centre
from mne_mmnet.solver import data_factor, normalise_data, peak_log_probability, pose


def context_of(model, data):
    scaled, _ = normalise_data(torch.as_tensor(data))
    whole = data_factor(scaled)
    factor = model.basis @ whole
    rest = (whole.square().sum((1, 2)) - factor.square().sum((1, 2))).clamp_min(0.0)
    nothing = torch.zeros(len(data))
    return compute_context(
        model, factor, rest, nothing, nothing, facts_of(len(data), model), SMALL
    )


def fields(context):
    return [context.atoms, context.norms, context.recording, context.start]


@pytest.fixture
def case(rng):
    """Lead field, its model, data."""
    leadfield = rng.standard_normal((1, 19, 30, 1))
    return leadfield, make_model(leadfield)[0], rng.standard_normal((2, 19, 12))


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


@pytest.mark.parametrize("orient", ["fixed", "free", "evidence"])
def test_sources_in_another_order(orient, rng):
    """Permuting the source space permutes prior, start, summary and peak probabilities."""
    config = replace(SMALL, thinning=1e-6)  # which atoms are kept depends on the order
    leadfield = rng.standard_normal((1, 19, 30, 1 if orient == "fixed" else 3))
    data, _ = normalise_data(torch.as_tensor(rng.standard_normal((2, 19, 12))))
    order = rng.permutation(30)
    adjacency = ring(30)[order][:, order]
    frames = make_frames(orient, 30)
    model, _ = make_model(leadfield, config, orient=orient)
    frames = None if frames is None else frames[order]
    leadfield = leadfield[:, :, order]
    other, _ = make_model(leadfield, config, adjacency, orient=orient, frames=frames)
    network = random_network(0, 0.2, config)
    nothing = torch.zeros(2)
    one = pose(network, model, data, nothing + 1, nothing, facts_of(len(data), model))
    two = pose(network, other, data, nothing + 1, nothing, facts_of(len(data), other))
    n_families = len(model.families)
    atoms = [30 * family + order for family in range(n_families)]
    atoms = np.concatenate([*atoms, 30 * n_families + np.arange(3)])
    torch.testing.assert_close(one.start[:, atoms], two.start, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        one.objective.cost[:, atoms], two.objective.cost, rtol=1e-2, atol=1e-4
    )
    torch.testing.assert_close(one.summary[:, order], two.summary, rtol=1e-3, atol=1e-3)
    peaks = [
        peak_log_probability(network, problem, problem.objective.evaluate(problem.start))
        for problem in (one, two)
    ]
    torch.testing.assert_close(peaks[0][:, order], peaks[1], rtol=1e-2, atol=1e-2)


def test_factor_stays_in_its_range(case, rng):
    """The curvature factor obeys the configuration for any weights."""
    _, model, data = case
    scaled, _ = normalise_data(torch.as_tensor(data))
    for spread in (1e-3, 1.0, 1e3):
        network = random_network(1, spread)
        problem = pose(network, model, scaled, torch.ones(2), torch.zeros(2), facts_of(2, model))
        factor = problem.objective.evaluate(problem.start)
        majorant = EvidenceMajorant(*problem.objective.coefficients(factor))
        cell = network.curvature
        state = cell.initial_state(2, 30, problem.summary)
        answer, state = cell(problem.start, majorant, problem.summary, model.graph, state, 3.0)
        assert answer.shape == problem.start.shape
        assert (answer >= SMALL.factor_min * 0.999).all()
        assert (answer <= SMALL.factor_max * 1.001).all()
        assert state.shape == (2 * 30, SMALL.state)


@pytest.mark.parametrize("kind", ["zeros", "single sample", "one channel", "noise"])
def test_context_is_finite(case, kind):
    """Data that are hardly any give features of the usual size."""
    _, model, data = case
    data = data.copy()
    if kind == "zeros":
        data[:] = 0.0
    elif kind == "single sample":
        data = data[:, :, :1]
    elif kind == "one channel":
        data[:, 1:] = 0.0
    context = context_of(model, data)
    for field in fields(context):
        assert torch.isfinite(field).all()
    for field in (context.atoms, context.norms, context.recording):
        assert field.abs().max() <= 12.0


def test_context_does_not_know_the_batch(case, rng):
    """Features of a recording are the same alone as among very different ones."""
    _, model, data = case
    others = [1e6 * data[:1], np.zeros((1, 19, 12)), data[1:], np.ones((1, 19, 12))]
    together = context_of(model, np.concatenate([*others, data[:1]]))
    for one, field in zip(fields(context_of(model, data[1:])), fields(together), strict=True):
        torch.testing.assert_close(one[0], field[2], rtol=1e-3, atol=1e-3)
    for field in fields(together):  # the first differs from the last by a factor only
        torch.testing.assert_close(field[0], field[-1], rtol=1e-3, atol=1e-3)


def naive_preview(model, data, rest, start, log_power, known, n_steps):
    """MacKay's updates of one sample, by the definition of J and in float64."""
    atoms = atom_covariances(model)
    terms = model.noise[0].double().numpy()
    below = np.array([0.0, 2.0, 4.0])
    centre = -log_power - below if known else np.array([-1.5, -1.5, -4.0])
    outside = model.n_rank - model.n_kept
    v = np.concatenate([start, centre])
    for _ in range(n_steps):
        variance = np.exp(v)
        sigma = variance[-3] * np.eye(model.n_kept)
        sigma = sigma + variance[-2] * terms[0] + variance[-1] * terms[1]
        sigma += np.einsum("anm,a->nm", atoms, variance[:-3])
        inverse = np.linalg.inv(sigma)
        middle = inverse @ data @ data.T @ inverse
        z = np.einsum("anm,nm->a", atoms, inverse)
        q = np.einsum("anm,nm->a", atoms, middle)
        cost, weight = np.exp(-1.0) / model.n_rank, model.n_rank * np.exp(-2.0)
        a = np.append(variance[:-3] * (z + cost), [0.0, 0.0, 0.0])
        b = np.append(variance[:-3] * q, [0.0, 0.0, 0.0])
        levels = ((np.eye(model.n_kept), outside, rest), *((term, 0, 0.0) for term in terms))
        for k, (shape, more, power) in enumerate(levels, start=-3):
            a[k] = variance[k] * np.sum(inverse * shape) + more
            a[k] += weight * variance[k] / np.exp(centre[k])
            b[k] = variance[k] * np.sum(middle * shape) + power / variance[k]
            b[k] += weight * np.exp(centre[k]) / variance[k]
        v = v + np.clip(np.log(b / a), -6.0, 6.0)
        v[:-3] = v[:-3].clip(-16.0, 10.0)
        v[-3:] = v[-3:].clip(-9.2, 4.0)
    return v


@pytest.mark.parametrize("orient", ["fixed", "free", "evidence"])
@pytest.mark.parametrize("known", [0.0, 1.0])
def test_preview(orient, known, rng):
    """The look ahead takes plain steps of sparse Bayesian learning, from where it is told."""
    weak = np.where(np.arange(20) < 15, 1.0, 1e-4)[:, None, None]  # some maps are no one's
    deep = torch.as_tensor(rng.standard_normal((20, 3)) * weak[:, :, 0])[None]
    leadfield = rng.standard_normal((1, 20, 30, 1 if orient == "fixed" else 3)) * weak
    model, _ = make_model(leadfield, n_errors=3, share=0.15, deep=deep, orient=orient)
    assert model.n_kept < model.n_rank
    data = torch.as_tensor(rng.standard_normal((2, model.n_kept, 6))).float()
    start = torch.as_tensor(rng.uniform(-6.0, 0.0, (2, model.n_atoms))).float()
    rest, log_power = torch.tensor([3.0, 0.5]), torch.tensor([1.0, 0.3])
    known = torch.full((2,), known)
    ahead = preview(model, data, rest, start, log_power, known, SMALL)
    for k in range(2):
        expected = naive_preview(
            model,
            data[k].double().numpy(),
            float(rest[k]),
            start[k].double().numpy(),
            float(log_power[k]),
            bool(known[k]),
            SMALL.n_preview,
        )
        np.testing.assert_allclose(ahead.v[k], expected, rtol=1e-3, atol=1e-3)
    assert len(ahead.atoms) == N_PREVIEW_FEATURES
    assert all(feature.shape == (2, model.n_atoms) for feature in ahead.atoms)
    assert ahead.fit.shape == (2, N_FIT_FEATURES)
    assert all(torch.isfinite(feature).all() for feature in (*ahead.atoms, ahead.fit))


def test_noise_prior_is_centred():
    """The noise terms alone would settle at their centre, known from the data's power or not."""
    log_power, known = torch.tensor([2.0, 2.0]), torch.tensor([1.0, 0.0])
    centre = noise_centre(log_power, known)
    torch.testing.assert_close(centre, torch.tensor([[-2.0, -4.0, -6.0], [-1.5, -1.5, -4.0]]))
    log_cost, log_weight = torch.full((2, 5), -3.0), torch.full((2, 3), 0.7)
    cost, barrier = assemble(log_cost, log_weight, centre)
    torch.testing.assert_close(cost[:, :5], log_cost.exp())
    assert (barrier[:, :5] == 0).all()
    torch.testing.assert_close(cost[:, 5:] * centre.exp(), barrier[:, 5:] * (-centre).exp())
    torch.testing.assert_close((cost * barrier)[:, 5:].log(), 2.0 * log_weight)


def test_untrained_factor_is_bold_but_moderate():
    """The untrained network answers 0.7 everywhere."""
    cell = EvidenceNetwork(SMALL).curvature
    torch.testing.assert_close(cell._squash(cell.answer.bias), torch.full((4,), 0.7))
    torch.testing.assert_close(cell._squash(cell.noise), torch.full((3,), 0.7))


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
    for wrong in ((5,), (-1,), (0, 0), (1.0,), (True,)):
        with pytest.raises(ValueError, match="tangential must name scales, each once"):
            NetworkConfig(tangential=wrong)
    with pytest.raises(ValueError, match="n_errors"):
        NetworkConfig(n_errors=-1)
    with pytest.raises(ValueError, match="region_extent"):
        NetworkConfig(region_extent=0.0)
    assert NetworkConfig(tangential=()).n_kinds == 4
