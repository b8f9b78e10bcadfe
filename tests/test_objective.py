"""The evidence objective against slow, obvious computations."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse.csgraph import shortest_path

from core_cases import (
    SMALL,
    atom_covariances,
    atom_widths,
    error_covariances,
    make_model,
    random_objective,
    ring,
    to_double,
)
from mne_mmnet.dictionary.distances import cover
from mne_mmnet.objective import N_NOISE, robust_cholesky
from mne_mmnet.solver import data_factor

ORIENT = pytest.mark.parametrize("orient", ["fixed", "free", "evidence"])


def naive_noise(model, v):
    """White noise, activity of the whole cortex, and of deep places, in the basis."""
    white, *levels = np.exp(np.asarray(v)[-N_NOISE:])
    noise = white * np.eye(model.n_kept)
    for level, term in zip(levels, model.noise[0].numpy(), strict=True):
        noise = noise + level * term
    return noise


def naive_errors(model, variances):
    """What the lead field gets wrong: every atom has its region's errors, too."""
    return np.einsum("i,inm->nm", variances, error_covariances(model))


def naive_inside(model, v):
    """Covariance of the data in the basis, term by term."""
    inside = naive_noise(model, v)
    for variance, part in zip(np.exp(v.numpy()), atom_covariances(model), strict=False):
        inside = inside + variance * part
    return inside


def naive_value(objective, v, k):
    """J of sample k in the whole sensor space, term by term."""
    model = objective.model
    n_rank = model.n_rank
    outside = ((0, n_rank - model.n_kept), (0, 0))
    variances = np.exp(v[k].numpy())
    inside = naive_inside(model, v[k])
    sigma = variances[-N_NOISE] * np.eye(n_rank)
    sigma[: model.n_kept, : model.n_kept] = inside
    data = np.pad(objective.data[k].numpy(), outside)
    data[-1, 0] = np.sqrt(objective.rest[k].item())
    return (
        np.linalg.slogdet(sigma)[1]
        + np.trace(data @ data.T @ np.linalg.inv(sigma))
        + np.sum(objective.cost[k].numpy() * variances)
        + np.sum(objective.barrier[k].numpy() / variances)
    )


@ORIENT
def test_value(orient, rng):
    """J is its definition."""
    objective, v = random_objective(rng, orient=orient)
    value = objective.evaluate(v).value
    for k in range(len(v)):
        np.testing.assert_allclose(value[k], naive_value(objective, v, k), rtol=1e-10)


@ORIENT
def test_data_covariance(orient, rng):
    """In whitened sensors, the dictionary's part along the basis, white noise elsewhere."""
    objective, v = random_objective(rng, orient=orient)
    model = objective.model
    basis = model.basis[0].numpy()
    beyond = np.eye(model.n_rank) - basis.T @ basis
    for k, found in enumerate(objective.data_covariance(objective.evaluate(v)).numpy()):
        white = np.exp(v[k, model.n_atoms].item())
        expected = basis.T @ naive_inside(model, v[k]) @ basis + white * beyond
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@ORIENT
def test_gradient(orient, rng):
    """The gradient of J, by autograd, is a − b."""
    objective, v = random_objective(rng, orient=orient)
    v.requires_grad_(True)
    factor = objective.evaluate(v)
    (gradient,) = torch.autograd.grad(factor.value.sum(), v)
    a, b = objective.coefficients(factor)
    torch.testing.assert_close(a - b, gradient, rtol=1e-8, atol=1e-8)
    assert (a >= 0).all()
    assert (b >= 0).all()


@ORIENT
def test_posterior_mean(orient, rng):
    """The read-out is the mean of a Gaussian: prior covariance × lead fieldᵀ × Σ⁻¹ × data."""
    leadfield = rng.standard_normal((1, 7, 9, 1 if orient == "fixed" else 3))
    objective, v = random_objective(rng, orient=orient)
    float_model, unit = make_model(leadfield, n_errors=3, share=0.3, orient=orient)
    model = to_double(float_model)
    objective = replace(objective, model=model)
    data = torch.as_tensor(rng.standard_normal((2, 7, 4)))
    currents = objective.posterior_mean(objective.evaluate(v), data) * unit
    # the prior covariance of the currents, spelled out with dense matrices
    synthesis = model.graph.synthesis.to_dense().numpy()
    flat = leadfield[0].reshape(7, -1)
    for k in range(2):
        scale = objective.model.scale[0].numpy() * unit
        variances = np.exp(v[k, :-N_NOISE].numpy())
        prior = np.repeat(variances * scale**2, atom_widths(model))
        cov = synthesis @ np.diag(prior) @ synthesis.T
        basis = model.basis[0].numpy()
        noise = naive_noise(model, v[k]) + naive_errors(model, variances)
        noise = basis.T @ noise @ basis
        noise += np.exp(v[k, -N_NOISE].item()) * (np.eye(7) - basis.T @ basis)
        expected = cov @ flat.T @ np.linalg.solve(flat @ cov @ flat.T + noise, data[k].numpy())
        np.testing.assert_allclose(
            currents[k].reshape(-1, 4), expected, rtol=2e-5, atol=2e-5 * np.abs(expected).max()
        )


@ORIENT
def test_posterior_variance(orient, rng):
    """The spread is that of a Gaussian: inverse of prior precision plus data precision."""
    objective, v = random_objective(rng, orient=orient)
    model = objective.model
    variance = objective.posterior_variance(objective.evaluate(v))
    n_orient = 1 if orient == "fixed" else 3
    assert variance.shape == (2, 9, n_orient)
    synthesis = model.graph.synthesis.to_dense().numpy()
    synthesis = synthesis * np.repeat(model.scale[0].numpy(), atom_widths(model))
    atoms = model.atoms[0].numpy()
    for k in range(2):
        noise = naive_noise(model, v[k])
        noise += naive_errors(model, np.exp(v[k, :-N_NOISE].numpy()))
        prior = np.repeat(np.exp(-v[k, :-N_NOISE].numpy()), atom_widths(model))
        amplitudes = np.linalg.inv(np.diag(prior) + atoms.T @ np.linalg.solve(noise, atoms))
        expected = np.diag(synthesis @ amplitudes @ synthesis.T).reshape(9, n_orient)
        np.testing.assert_allclose(variance[k], expected, rtol=1e-8)


def test_posterior_variance_lies_below_the_prior(rng):
    """Data never make a current less certain; without noise they leave a positive rest."""
    objective, v = random_objective(rng)
    model = objective.model
    v[:, -N_NOISE:] = -9.2
    variance = objective.posterior_variance(objective.evaluate(v))[..., 0]
    prior = v[:, :-N_NOISE].exp() * model.scale**2
    prior = prior @ model.graph.synthesis.to_dense().square().mT
    assert (variance > 0).all()
    assert (variance <= prior).all()
    assert (variance < 0.9 * prior).any()


@ORIENT
@pytest.mark.parametrize("n_times", [3, 40])
def test_posterior_power(orient, n_times, rng):
    """It is the mean square of the read-out, whatever factor of C it is computed from."""
    objective, v = random_objective(rng, orient=orient)
    raw = torch.as_tensor(rng.standard_normal((2, objective.model.n_rank, n_times)))
    objective = replace(objective, data=objective.model.basis @ data_factor(raw))
    point = objective.evaluate(v)
    expected = objective.posterior_mean(point, raw).square().mean(-1)
    torch.testing.assert_close(objective.posterior_power(point), expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("orient", ["free", "loose", "evidence"])
def test_atoms_have_unit_norm(orient, rng):
    """Every atom has norm 1, and scale × norm of L S is the same for all."""
    leadfield = rng.standard_normal((1, 7, 9, 3)) * rng.uniform(1e-3, 1e3, (1, 1, 9, 1))
    model, unit = make_model(leadfield, orient=orient)
    first = np.cumsum([0, *atom_widths(model)])[:-1]
    power = np.add.reduceat(model.atoms[0].numpy() ** 2, first, axis=1).sum(axis=0)
    np.testing.assert_allclose(power, 1.0, rtol=1e-2)
    reached = leadfield[0].reshape(7, -1) @ model.graph.synthesis.to_dense().numpy()
    norms = np.sqrt(np.add.reduceat(reached**2, first, axis=1).sum(axis=0))
    np.testing.assert_allclose(norms * model.scale[0].numpy() * unit, 1.0, rtol=1e-5)


def test_basis_of_a_smooth_leadfield(rng):
    """Directions that hold almost nothing of the dictionary are left out, and only those."""
    weak = np.ones((1, 30, 1, 1))
    weak[:, 20:] = 1e-4
    model, _ = make_model(rng.standard_normal((1, 30, 60, 1)) * weak)
    assert 15 <= model.n_kept <= 20
    assert model.n_rank == 30
    basis = model.basis[0].double()
    torch.testing.assert_close(
        basis @ basis.T, torch.eye(model.n_kept, dtype=torch.float64), rtol=1e-5, atol=1e-5
    )
    # what it misses of the atoms is what is promised
    assert (1.0 - model.atoms[0].square().sum(0)).mean() < 1e-3


def test_blind_source_gets_no_current(rng):
    """A source that no sensor sees has no atom at the point scale."""
    leadfield = rng.standard_normal((1, 7, 9, 1))
    leadfield[:, :, 4] = 0.0
    model, _ = make_model(leadfield)
    assert model.scale[0, 4] == 0
    assert torch.isfinite(model.atoms).all()


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_impossible_leadfield(value):
    with pytest.raises(ValueError, match="Recompute the forward solution"):
        make_model(np.full((1, 7, 9, 1), value))


def test_background_is_normalised(rng):
    """B has unit mean variance a channel; without deep sources, their term is 0."""
    leadfield = rng.standard_normal((1, 7, 9, 1))
    deep = torch.as_tensor(rng.standard_normal((1, 7, 3)))
    for fields, expected in ((None, (7, 0)), (deep, (7, 7))):
        model, _ = make_model(leadfield, deep=fields)
        trace = model.noise[0].diagonal(dim1=-2, dim2=-1).sum(-1)
        np.testing.assert_allclose(trace, expected, rtol=1e-6)


@ORIENT
@pytest.mark.parametrize("errors", [True, False])
def test_spread_and_collect(orient, errors, rng):
    """Variances reach their own columns and the errors of their region; sums go the way back."""
    objective, v = random_objective(rng, orient=orient)
    model = objective.model
    if not errors:
        model = replace(model, columns=model.atoms)
    assert model.n_errors == (2 if errors else 0)
    variance = v[:, :-N_NOISE].exp()
    columns = model.spread(variance)
    for k in range(2):
        gram = model.columns[0] @ torch.diag(columns[k]) @ model.columns[0].T
        expected = sum(
            variance[k, i].item() * part for i, part in enumerate(atom_covariances(model))
        )
        np.testing.assert_allclose(gram, expected, rtol=1e-10, atol=1e-12)
    # an atom collects from the very columns that it reaches, as often as it does
    reached = torch.stack(
        [model.spread(one[None])[0] for one in torch.eye(model.n_atoms).double()]
    )
    other = torch.as_tensor(rng.standard_normal((2, 3, columns.shape[1])))
    torch.testing.assert_close(model.collect(other), other @ reached.T)
    assert (reached.sum(1).numpy() == atom_widths(model) + model.n_errors).all()


@ORIENT
def test_atoms_and_their_errors_are_covariances(orient, rng):
    """A_i is positive semidefinite, and its trace is that of a unit atom and the errors' share."""
    leadfield = rng.standard_normal((1, 7, 9, 1 if orient == "fixed" else 3))
    model, _ = make_model(leadfield, n_errors=3, share=0.25, orient=orient)
    found = atom_covariances(model)
    assert np.linalg.eigvalsh(found).min() > -1e-6
    # all dimensions are kept, so nothing of the atoms is lost
    np.testing.assert_allclose(np.trace(found, axis1=1, axis2=2), 1.25, rtol=1e-5)


@pytest.mark.parametrize("chunk", [1, 10**9])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_errors_are_those_of_currents_nearby(chunk, scale, rng, monkeypatch):
    """The strongest fields of all sources near a region's centre, with a share of their power."""
    monkeypatch.setattr("mne_mmnet.dictionary.model._CHUNK", chunk)
    leadfield = rng.standard_normal((2, 7, 9, 3)) * rng.uniform(0.5, 2.0, (2, 1, 9, 1))
    model, _ = make_model(scale * leadfield, n_errors=3, share=0.25, orient="evidence")
    graph = model.graph
    lengths = shortest_path(ring(9), directed=False)
    centres, _ = cover(ring(9), SMALL.region_extent)
    errors = model.columns[..., model.n_atom_columns :].double().numpy()
    for head in range(2):
        inside = np.einsum("kn,nso->kso", model.basis[head].double().numpy(), leadfield[head])
        for k, part in enumerate(np.split(errors[head], graph.n_regions, axis=1)):
            near = lengths[centres[k]] <= SMALL.region_extent
            left, values, _ = np.linalg.svd(inside[:, near].reshape(len(inside), -1))
            power = values[:3] ** 2 / np.sum(values[:3] ** 2)
            expected = 0.25 * (left[:, :3] * power) @ left[:, :3].T
            np.testing.assert_allclose(part @ part.T, expected, rtol=1e-4, atol=1e-6)


def test_no_more_errors_than_dimensions(rng):
    """Columns that could hold nothing are not made; regions that no sensor sees have none."""
    leadfield = rng.standard_normal((1, 3, 9, 1))
    model, _ = make_model(leadfield, n_errors=50, share=0.25)
    assert model.n_errors == model.n_kept == 3
    leadfield[:] = 0.0
    leadfield[:, :, 0] = 1.0
    model, _ = make_model(leadfield, n_errors=2, share=0.25)
    assert torch.isfinite(model.columns).all()
    for options in (dict(n_errors=0, share=0.25), dict(n_errors=4, share=0.0)):
        assert make_model(rng.standard_normal((1, 3, 9, 1)), **options)[0].n_errors == 0


def test_select_is_a_subset(rng):
    """Samples of a batch can be taken out without changing their objective."""
    objective, v = random_objective(rng, n_batch=5)
    index = torch.tensor([3, 1])
    part = objective.select(index).evaluate(v[index]).value
    torch.testing.assert_close(part, objective.evaluate(v).value[index])


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_cholesky_of_singular(rank, rng):
    """Singular and slightly indefinite matrices are factored with a jitter of rounding size."""
    root = rng.standard_normal((6, rank))
    good = torch.as_tensor(root @ root.T + np.eye(6))
    bad = torch.as_tensor(root @ root.T - 1e-9 * np.eye(6) * (rank > 0))
    chol = robust_cholesky(torch.stack([good, bad])) if rank else None
    if rank == 0:
        with pytest.raises(FloatingPointError, match="not positive definite"):
            robust_cholesky(bad[None] * float("nan"))
        return
    torch.testing.assert_close(chol[0] @ chol[0].T, good, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(chol[1] @ chol[1].T, bad, rtol=1e-4, atol=1e-4)


def test_graph_of_the_cases():
    """The ring has two neighbours for each source."""
    assert set((ring(9) > 0).sum(axis=0).tolist()) == {2}
