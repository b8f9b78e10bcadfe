"""The certificate (DESIGN §2c), for any weights, lead field and data."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core_cases import (
    LEADFIELDS,
    SMALL,
    atom_covariances,
    draw_data,
    draw_leadfield,
    facts_of,
    make_model,
    random_network,
)
from mne_mmnet.network import EvidenceNetwork
from mne_mmnet.objective import NOISE_MAX, NOISE_MIN, U_MAX, U_MIN
from mne_mmnet.solver import (
    certify,
    data_factor,
    iterate,
    normalise_data,
    peak_log_probability,
    pose,
)

DATA = ("rank-1", "single sample", "noise", "smooth", "zeros", "one channel")
ORIENTS = ("fixed", "free", "evidence")


def draw_fields(rng, kind, n_rank, n_sources, orient):
    """Lead field (1, n_rank, n_sources, n_orient)."""
    return draw_leadfield(rng, kind, n_rank, n_sources, 1 if orient == "fixed" else 3)[None]


def run(network, model, data, known=0.0, n_steps=None, far=False):
    """Solve; return currents relative to the data's amplitude, and the certificate."""
    with torch.inference_mode():
        scaled, amplitude = normalise_data(torch.as_tensor(data, dtype=torch.float64))
        problem = pose(
            network,
            model,
            scaled,
            amplitude,
            torch.full((len(data),), known),
            facts_of(len(data), model),
        )
        if far:  # not where the preview ends
            problem = replace(problem, start=torch.zeros_like(problem.start))
        last, certificate = certify(iterate(network, problem, n_steps))
        currents = problem.objective.posterior_mean(last.point, scaled)
    return currents, certificate, problem, last


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    spread=st.sampled_from([0.0, 1e-3, 0.1, 1.0, 30.0, 1e4]),
    n_rank=st.sampled_from([18, 19, 31, 64, 127, 255]),
    orient=st.sampled_from(ORIENTS),
    share=st.sampled_from([0.0, 0.15, 1e3]),
    leadfield_kind=st.sampled_from(LEADFIELDS),
    data_kind=st.sampled_from(DATA),
    scale=st.sampled_from([1e-20, 1e-6, 1.0, 1e20]),
    known=st.sampled_from([0.0, 1.0]),
)
def test_certificate(seed, spread, n_rank, orient, share, leadfield_kind, data_kind, scale, known):
    """The objective never increases, the output is finite, the iterate stays in its box."""
    rng = np.random.default_rng(seed)
    leadfield = draw_fields(rng, leadfield_kind, n_rank, 40, orient)
    data = scale * draw_data(rng, data_kind, 3, leadfield[0, :, :, 0])
    # deep sources that the lead field may not reach, or that are not known
    deep = torch.as_tensor(rng.standard_normal((1, n_rank, 4)) * rng.integers(2))
    model, unit = make_model(leadfield * scale, n_errors=3, share=share, deep=deep, orient=orient)
    network = random_network(seed, spread)
    currents, certificate, _, last = run(network, model, data, known)
    assert torch.isfinite(currents).all()
    assert np.isfinite(unit)
    assert torch.isfinite(certificate.objective).all()
    assert (certificate.objective.diff(dim=1) <= 0).all()
    atoms, noise = last.point.v[:, : model.n_atoms], last.point.v[:, model.n_atoms :]
    assert ((atoms >= U_MIN) & (atoms <= U_MAX)).all()
    assert ((noise >= NOISE_MIN) & (noise <= NOISE_MAX)).all()
    assert not (certificate.analytic & certificate.stalled).any()
    # a rejected proposal is counted, and only after three may a step be analytic or stalled
    rescued = certificate.analytic | certificate.stalled
    assert rescued.shape == (3, SMALL.n_steps)
    assert (certificate.retries[rescued] == 3).all()
    if data_kind == "zeros":
        assert (currents[0] == 0).all()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    spread=st.sampled_from([1e-3, 0.3]),
    n_rank=st.sampled_from([19, 63]),
    orient=st.sampled_from(ORIENTS),
    data_kind=st.sampled_from(["rank-1", "single sample", "noise", "zeros"]),
)
def test_batch_of_one_and_many_agree(seed, spread, n_rank, orient, data_kind):
    """A sample's answer does not depend on its batch mates."""
    rng = np.random.default_rng(seed)
    leadfield = draw_fields(rng, "generic", n_rank, 40, orient)
    data = draw_data(rng, data_kind, 32, leadfield[0, :, :, 0])
    data *= 10.0 ** rng.uniform(-3, 3, (32, 1, 1))
    deep = torch.as_tensor(rng.standard_normal((1, n_rank, 4)))
    model, _ = make_model(leadfield, n_errors=3, share=0.15, deep=deep, orient=orient)
    network = random_network(seed, spread)
    together, certificate, *_ = run(network, model, data)
    for k in (0, 13, 31):
        alone, single, *_ = run(network, model, data[k : k + 1])
        size = together[k].abs().max()
        assert (alone[0] - together[k]).abs().max() <= 1e-3 * size
        torch.testing.assert_close(
            single.objective[0], certificate.objective[k], rtol=1e-4, atol=1e-3
        )


@pytest.mark.parametrize("orient", ORIENTS)
@pytest.mark.parametrize("kind", LEADFIELDS)
def test_objective_against_float64(kind, orient, rng):
    """J as computed is J to 1e-4, so its descent is that of the real objective."""
    leadfield = draw_fields(rng, kind, 32, 60, orient)
    data = draw_data(rng, "noise", 4, leadfield[0, :, :, 0])
    deep = torch.as_tensor(rng.standard_normal((1, 32, 4)))
    model, _ = make_model(leadfield, n_errors=3, share=0.15, deep=deep, orient=orient)
    _, certificate, problem, last = run(random_network(3, 0.1), model, data)
    objective = problem.objective
    atoms = atom_covariances(model)
    cortex, deep = model.noise[0].double().numpy()
    for k in range(4):
        v = last.point.v[k].double().numpy()
        sigma = np.einsum("i,inm->nm", np.exp(v[:-3]), atoms)
        sigma += np.exp(v[-3]) * np.eye(model.n_kept)
        sigma += np.exp(v[-2]) * cortex + np.exp(v[-1]) * deep
        factor = objective.data[k].double().numpy()
        value = np.linalg.slogdet(sigma)[1] + np.sum(factor * np.linalg.solve(sigma, factor))
        value += (32 - model.n_kept) * v[-3] + float(objective.rest[k]) * np.exp(-v[-3])
        value += np.sum(objective.cost[k].double().numpy() * np.exp(v))
        value += np.sum(objective.barrier[k].double().numpy() * np.exp(-v))
        assert abs(value - certificate.objective[k, -1]) < 1e-4 * (1 + abs(value))


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
def test_broken_weights(broken, rng):
    """Weights that are not numbers still descend, by the analytic majorant alone."""
    leadfield = draw_fields(rng, "generic", 19, 40, "fixed")
    model, _ = make_model(leadfield)
    data = draw_data(rng, "noise", 3, leadfield[0, :, :, 0])
    network = random_network(0, 0.1)
    for parameter in network.parameters():
        parameter.fill_(broken)
    currents, certificate, *_ = run(network, model, data)
    assert torch.isfinite(currents).all()
    assert (certificate.objective.diff(dim=1) <= 0).all()
    assert certificate.objective[:, 0].min() > certificate.objective[:, -1].max() - 1e6
    assert (certificate.objective[:, -1] < certificate.objective[:, 0]).all()


def test_overconfident_network_is_caught(rng):
    """A network that always answers its boldest step is rejected now and then, and rescued."""
    leadfield = draw_fields(rng, "smooth", 19, 40, "fixed")
    model, _ = make_model(leadfield)
    data = draw_data(rng, "rank-1", 16, leadfield[0, :, :, 0])
    network = EvidenceNetwork(SMALL).requires_grad_(False)
    network.curvature.answer.bias.fill_(-20.0)
    network.curvature.noise.fill_(-20.0)
    _, certificate, *_ = run(network, model, data, n_steps=12)
    assert certificate.retries.sum() > 0
    assert (certificate.objective.diff(dim=1) <= 0).all()


def test_every_step_makes_progress(rng):
    """The untrained network descends far below a distant start: the loop is not idle."""
    leadfield = draw_fields(rng, "generic", 31, 60, "fixed")
    model, _ = make_model(leadfield)
    data = draw_data(rng, "rank-1", 4, leadfield[0, :, :, 0])
    _, certificate, *_ = run(EvidenceNetwork(SMALL), model, data, n_steps=12, far=True)
    drop = certificate.objective[:, 0] - certificate.objective[:, -1]
    assert (drop > 10.0).all()
    assert not certificate.stalled[:, :8].any()  # later it may have converged to rounding


@pytest.mark.parametrize("orient", ORIENTS)
def test_finds_a_noiseless_source(orient, rng):
    """One source, no noise: the strongest current is at its place."""
    leadfield = draw_fields(rng, "generic", 31, 60, orient)
    model, _ = make_model(leadfield, n_errors=3, share=0.02, orient=orient)
    data = leadfield[0, :, 17, 0][None, :, None] * rng.standard_normal((1, 1, 20))
    currents, *_ = run(EvidenceNetwork(SMALL), model, data, n_steps=30)
    assert int(currents[0].square().sum((1, 2)).argmax()) == 17


@pytest.mark.parametrize("orient", ["fixed", "evidence"])
def test_gradients_reach_all_weights(orient, rng):
    """Training sees every parameter through the unrolled loop."""
    leadfield = draw_fields(rng, "generic", 19, 40, orient)
    model, _ = make_model(leadfield, n_errors=2, share=0.1, orient=orient)
    data, _ = normalise_data(torch.as_tensor(draw_data(rng, "noise", 2, leadfield[0, :, :, 0])))
    torch.manual_seed(0)
    network = EvidenceNetwork(SMALL)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    network.confidence.tail.data.abs_()  # a share
    problem = pose(network, model, data, torch.ones(2), torch.zeros(2), facts_of(2, model))
    *_, last = iterate(network, problem, 4)
    currents = problem.objective.posterior_mean(last.point, data)
    currents.square().sum().backward(retain_graph=True)
    # the confidence head has nothing to do with the currents
    assert all(parameter.grad is None for parameter in network.confidence.parameters())
    peak_log_probability(network, problem, last.point)[:, 3].sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("n_times", [1, 5, 19, 200])
def test_data_factor(n_times, rng):
    """Y Yᵀ is the data covariance, with no more columns than channels."""
    data = torch.as_tensor(rng.standard_normal((2, 19, n_times)))
    factor = data_factor(data)
    assert factor.shape == (2, 19, min(19, n_times))
    torch.testing.assert_close(factor @ factor.mT, data @ data.mT / n_times)


@pytest.mark.parametrize("scale", [1e-300, 1e-20, 1.0, 1e20, 1e300])
def test_normalise_data(scale, rng):
    """Unit mean power at any scale; zeros stay zeros."""
    data = torch.as_tensor(rng.standard_normal((3, 19, 7))) * scale
    data[1] = 0.0
    scaled, amplitude = normalise_data(data)
    power = scaled.square().mean((1, 2))
    torch.testing.assert_close(power, torch.tensor([1.0, 0.0, 1.0]))
    torch.testing.assert_close(scaled.double() * amplitude[:, None, None], data, rtol=1e-6, atol=0)
