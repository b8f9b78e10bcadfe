"""Constants and formulas against numbers worked out by hand, in another way, or published."""

import inspect
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core_cases import make_model, random_objective, to_double
from mne_mmnet.majorant import (
    EvidenceMajorant,
    Proposition1Majorant,
    SharpMajorant,
    SpectralMajorant,
    StructuredMajorant,
    lanczos_norm_bound,
)
from mne_mmnet.majorant.spectral import _missed_share, _products_needed
from mne_mmnet.majorant.structured import sharp_structured_majorant
from mne_mmnet.objective import (
    N_NOISE,
    NOISE_MAX,
    NOISE_MIN,
    U_MAX,
    U_MIN,
    EvidenceObjective,
    GeneralObjective,
    factor_dtype,
    robust_cholesky,
)
from mne_mmnet.objective.cosine import _inner, _safe_inverse
from mne_mmnet.objective.products import _columns
from mne_mmnet.solver import (
    CosineModel,
    SpectralProposer,
    minimize,
    pose_cosine,
    shrink_singular_values,
)
from mne_mmnet.solver.cosine import CosineProposer, _unit, unit_rms
from mne_mmnet.solver.descent import Proposal, descend
from mne_mmnet.solver.evidence import data_factor
from mne_mmnet.solver.low_rank import optimal_threshold

N_BATCH, N_SOURCES, N_TIMES = 2, 3, 4


def cosine_point(x=2.0, seen=0.5, image=4.0):
    """‖x‖, ‖Lx‖ and ‖Φ(x)‖ of two equal samples, and nothing else."""
    norms = torch.tensor([[x, seen, image]], dtype=torch.float64).repeat(N_BATCH, 1)
    return SimpleNamespace(x=torch.ones(N_BATCH, N_SOURCES, N_TIMES), norms=norms)


def cosine_objective(slope, bend, joint, norm=3.0, weight=1.0):
    """‖L‖, λ and the smoothness of Φ: ρ, α and a."""
    return SimpleNamespace(
        norm=norm,
        weight=weight,
        leadfield=torch.eye(N_SOURCES, dtype=torch.float64)[None],
        regulariser=SimpleNamespace(smoothness=lambda: (slope, bend, joint)),
    )


GRADIENT = torch.ones(N_BATCH, N_SOURCES, N_TIMES, dtype=torch.float64)


@pytest.mark.parametrize("weight", [0.0, 1.0, 0.5])
def test_proposition_1(weight):
    """μ₁ = 5‖L‖²/‖Lx‖², μ₂ = (5ρ + 1)/(β‖x‖) + 2α√s/β + 4(ρ/β + 1/‖x‖)², with s = 3·4."""
    objective = cosine_objective(slope=6.0, bend=0.7, joint=99.0, weight=weight)
    found = Proposition1Majorant(objective, cosine_point(), GRADIENT).curvature
    first = 5.0 * 9.0 / 0.25
    second = 31.0 / 8.0 + 1.4 * math.sqrt(12.0) / 4.0 + 4.0 * (1.5 + 0.5) ** 2
    np.testing.assert_allclose(found, first + weight * second)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_sharp_bounds(weight):
    """κ = c‖L‖²/‖Lx‖² + λκ_g, with the constants proved for everywhere and for the Hessian."""
    objective = cosine_objective(slope=6.0, bend=99.0, joint=0.7, weight=weight)
    everywhere = 4.0 * 36.0 + weight * (4.0 * (0.5 + 1.5) ** 2 + 0.7 / 4.0)
    here = 2.0 / math.sqrt(3.0)
    here = here * 36.0 + weight * (here * (0.25 + 2.25) + 2.0 * 0.75 + 0.7 / 4.0)
    majorant = SharpMajorant(objective, cosine_point(), GRADIENT)
    np.testing.assert_allclose(majorant.curvature, everywhere)
    local = SharpMajorant(objective, cosine_point(), GRADIENT, "local")
    np.testing.assert_allclose(local.curvature, here)


def test_sharp_structured_majorant():
    """4/‖Lx‖² LᵀL + λκ_g I; a small curvature of ‖x‖⁻² where there is no regulariser."""
    objective = cosine_objective(slope=6.0, bend=99.0, joint=0.7, weight=0.5)
    point = cosine_point(seen=1e-3)
    majorant = sharp_structured_majorant(objective, point, GRADIENT)
    np.testing.assert_allclose(majorant.weight, 4e6)
    np.testing.assert_allclose(majorant.diagonal, 0.5 * (16.0 + 0.175))
    assert majorant.diagonal.dtype == GRADIENT.dtype
    for joint in (0.0, math.nan):
        objective = cosine_objective(slope=0.0, bend=0.0, joint=joint, weight=0.0)
        majorant = sharp_structured_majorant(objective, cosine_point(x=20.0), GRADIENT)
        np.testing.assert_allclose(majorant.diagonal, 1e-6 / 400.0)


def test_structured_majorant_in_single_precision(rng):
    """Inverted in double precision: the two terms of Woodbury's identity nearly cancel."""
    leadfield, gradient = rng.standard_normal((1, 4, 6)), rng.standard_normal((2, 6, 3))
    leadfield = torch.as_tensor(leadfield, dtype=torch.float32)
    gradient = torch.as_tensor(gradient, dtype=torch.float32)
    weight, diagonal = torch.tensor([1e6, 1.0]), torch.full((2, 6), 1e-2)
    given = (leadfield, weight, diagonal)
    found = StructuredMajorant(gradient, *given).minimiser()
    exact = StructuredMajorant(gradient.double(), *(x.double() for x in given)).minimiser()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact.float(), rtol=1e-6, atol=0.0)
    majorant = sharp_structured_majorant(
        cosine_objective(slope=6.0, bend=0.0, joint=0.7), cosine_point(), gradient
    )
    assert majorant.diagonal.dtype == torch.float32


def test_products_of_currents_are_added_in_double_precision():
    a = torch.tensor([[[1.0, 1e-8]]])
    found = _inner(a, torch.ones_like(a))
    assert found.dtype == torch.float64
    assert float(found[0]) == pytest.approx(1.0 + 1e-8, abs=1e-12)


def test_steps_of_kuczynski_and_wozniakowski():
    """1.648 √n exp(−√ε (2k − 1)) is the chance to miss one end of the spectrum."""
    for n, k, confidence in ((100, 20, 0.99), (10_000, 30, 0.9), (50, 9, 0.999)):
        share = _missed_share(k, n, confidence)
        chance = 1.648 * math.sqrt(n) * math.exp(-math.sqrt(share) * (2 * k - 1))
        assert chance == pytest.approx((1.0 - confidence) / 2.0)
        needed = _products_needed(n, confidence)
        assert _missed_share(needed, n, confidence) <= 1 / 16
        assert _missed_share(needed - 1, n, confidence) > 1 / 16


def test_bound_of_known_spectrum(rng):
    """The Ritz values of a known Krylov space, the margin, and the rounding."""
    values = torch.linspace(-1.0, 3.0, 60, dtype=torch.float64)
    like = torch.zeros(1, 60, dtype=torch.float64)
    k, confidence, seed = 30, 0.99, 5
    found = lanczos_norm_bound(lambda v: values * v, like, k, confidence, seed)
    # the same space, by a QR decomposition
    generator = torch.Generator().manual_seed(seed)
    column = torch.randn(60, generator=generator, dtype=torch.float64).numpy()
    basis = [column / np.linalg.norm(column)]
    for _ in range(k - 1):
        image = values.numpy() * basis[-1]
        for _ in range(3):
            image -= np.array(basis).T @ (np.array(basis) @ image)
        basis.append(image / np.linalg.norm(image))
    basis = np.array(basis)
    ritz = np.linalg.eigvalsh((basis * values.numpy()) @ basis.T)
    share = _missed_share(k, 60, confidence)
    margin = share / (1.0 - 2.0 * share) * (ritz[-1] - ritz[0])
    np.testing.assert_allclose(float(found), ritz[-1] + margin, rtol=1e-9)
    assert float(found) > 3.0
    # with one product for each dimension there is no margin, but room for rounding
    for dtype, rounding in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        exact = lanczos_norm_bound(lambda v: values.to(v) * v, like.to(dtype), 60)
        relative = float(exact.double()) / 3.0 - 1.0
        assert relative == pytest.approx(60 * rounding, rel=0.1)


def test_invariant_subspace():
    """Where the Krylov space ends early, what follows adds nothing."""
    like = torch.zeros(2, 8, dtype=torch.float64)
    scale = torch.tensor([[-5.0], [0.0]], dtype=torch.float64)
    found = lanczos_norm_bound(lambda v: scale * v, like, 8)
    np.testing.assert_allclose(found, [5.0, 0.0], rtol=1e-9, atol=1e-12)


def test_flat_objectives():
    """Without a Hessian any positive curvature will do: the smallest."""
    x = torch.ones(2, 3, dtype=torch.float64)

    def kink(x, index):  # its second derivative at 0 is infinite
        return (x - 1.0).abs().pow(1.5).sum(1)

    functions = (lambda x, index: x.sum(1), lambda x, index: x.sum(1).detach(), kink)
    for function in functions:
        objective = GeneralObjective(function)
        majorant = SpectralMajorant(objective, objective.evaluate(x), torch.ones_like(x))
        assert torch.equal(majorant.curvature, torch.full((2,), 1e-12, dtype=torch.float64))


def test_objective_that_ignores_some_entries():
    """A constant slope, of a graph that does not reach x."""
    scale = torch.ones(1, dtype=torch.float64, requires_grad=True)
    objective = GeneralObjective(lambda x, index: (x * scale).sum(1))
    x = torch.ones(2, 3, dtype=torch.float64)
    majorant = SpectralMajorant(objective, objective.evaluate(x), torch.ones_like(x))
    assert (majorant.curvature == 1e-12).all()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lanczos_norm_bound, dict(n_products=None, confidence=0.99, seed=0)),
        (SpectralMajorant, dict(n_products=None, confidence=0.99, seed=0)),
        (minimize, dict(n_steps=100, n_products=None, confidence=0.99, seed=0)),
        (EvidenceMajorant.increase, dict(factor=1.0)),
        (EvidenceMajorant.minimiser, dict(factor=1.0, max_step=math.inf)),
    ],
)
def test_defaults(function, expected):
    """Those of the documentation."""
    parameters = inspect.signature(function).parameters.values()
    found = {one.name: one.default for one in parameters if one.default is not one.empty}
    assert {name: found[name] for name in expected} == expected


def test_defaults_are_used():
    """Leaving them out is the same as writing them out."""
    values = torch.linspace(-1.0, 3.0, 60, dtype=torch.float64)
    like = torch.zeros(1, 60, dtype=torch.float64)
    found = lanczos_norm_bound(lambda v: values * v, like)
    assert torch.equal(found, lanczos_norm_bound(lambda v: values * v, like, None, 0.99, 0))
    objective = GeneralObjective(lambda x, index: (values * x).sin().sum(1))
    point = objective.evaluate(like + 0.3)
    gradient = objective.gradient(point)
    found = SpectralMajorant(objective, point, gradient).curvature
    other = SpectralMajorant(objective, point, gradient, None, 0.99, 0).curvature
    assert torch.equal(found, other)
    proposals = (SpectralProposer(objective), SpectralProposer(objective, None, 0.99, 0))
    steps = [next(propose(point)).step(slice(None)) for propose in proposals]
    assert torch.equal(*steps)

    def valley(x, index):  # takes many steps
        return (values.abs() * x.square()).sum(1) + x.cos().sum(1)

    _, found = minimize(valley, like + 0.3)
    _, other = minimize(valley, like + 0.3, 100, n_products=None, confidence=0.99, seed=0)
    assert torch.equal(found.objective, other.objective)


def test_steps_of_the_evidence_majorant():
    """Cut on both sides; the increase is a sum over atoms, in the step's precision."""
    a = torch.tensor([[1.0, 4.0, 1.0]], dtype=torch.float64)
    b = torch.tensor([[4.0, 1.0, 1.0]], dtype=torch.float64)
    majorant = EvidenceMajorant(a, b)
    half = math.log(2.0)
    np.testing.assert_allclose(majorant.minimiser(), [[half, -half, 0.0]])
    np.testing.assert_allclose(majorant.minimiser(2.0), [[half / 2, -half / 2, 0.0]])
    np.testing.assert_allclose(majorant.minimiser(1.0, 0.1), [[0.1, -0.1, 0.0]])
    # √(ab) + √(ab) − a − b for each of the first two
    increase = majorant.increase(majorant.minimiser())
    np.testing.assert_allclose(increase, [-2.0], rtol=1e-12)
    assert increase.shape == (1,)


@pytest.mark.parametrize("beta", [1.0, 0.5, 0.1])
def test_optimal_threshold(beta):
    """Where keeping a component costs as much as leaving it out.

    A component of strength x is seen at y² = (x² + 1)(x² + β)/x², with cosines c₁, c₂ to what it
    is, c₁ c₂ = (x⁴ − β)/(x³ y); its error is x² + y² − 2xy c₁ c₂ if kept and x² if not.
    """
    # y² = 2 (x⁴ − β)/x²: a quadratic in x²
    squared = max(np.roots([1.0, -(1.0 + beta), -3.0 * beta]))
    seen = math.sqrt((squared + 1.0) * (squared + beta) / squared)
    assert optimal_threshold(beta) == pytest.approx(seen, rel=1e-12)
    if beta == 1.0:  # the famous one
        assert seen == pytest.approx(4.0 / math.sqrt(3.0))


def test_cosine_model(rng):
    """Norms, depth weights and the start, by NumPy."""
    leadfield = rng.standard_normal((6, 20)) * 10.0 ** rng.uniform(-3, 0, 20)
    model = CosineModel.build(leadfield.astype(np.float32).astype(np.float64))
    scaled = leadfield / np.linalg.norm(leadfield, 2)
    np.testing.assert_allclose(model.leadfield[0], scaled, rtol=1e-5, atol=1e-7)
    depth = np.linalg.norm(scaled, axis=0) ** 1.6
    depth = np.maximum(depth, 1e-3 * depth.max())
    depth /= depth.mean()
    assert depth.min() * 900 < depth.max()  # some are cut
    np.testing.assert_allclose(model.depth, depth, rtol=1e-5)
    kernel = (scaled / depth) @ scaled.T
    assert model.depth_norm == pytest.approx(np.linalg.norm(kernel, 2), rel=1e-5)
    damped = kernel + 0.03 * np.trace(kernel) / 6 * np.eye(6)
    start = np.linalg.solve(damped, scaled / depth).T
    np.testing.assert_allclose(model.start, start, rtol=1e-4, atol=1e-5 * np.abs(start).max())
    tensors = (model.leadfield, model.depth, model.start)
    assert all(tensor.dtype == torch.float32 for tensor in tensors)


def test_cosine_model_of_single_precision(rng):
    """A float32 lead field is worked on in double precision: nearly dependent rows stay apart."""
    leadfield = rng.standard_normal((6, 20)).astype(np.float32)
    leadfield[1] = leadfield[0] * np.float32(1.0001)
    model = CosineModel.build(leadfield)
    same = CosineModel.build(leadfield.astype(np.float64))
    for name in ("leadfield", "depth", "start"):
        assert torch.equal(getattr(model, name), getattr(same, name))
    with pytest.raises(ValueError, match=r"^The lead field is zero .* the forward solution\.$"):
        CosineModel.build(0.0 * leadfield)


def test_units(rng):
    """Each sample by itself, small ones as well; zeros stay zeros."""
    data = torch.as_tensor(rng.standard_normal((4, 3, 5)))
    data *= torch.tensor([1.0, 1e-170, 1e170, 0.0], dtype=torch.float64)[:, None, None]
    size = _unit(data).square().sum((1, 2))
    np.testing.assert_allclose(size, [1.0, 1.0, 1.0, 0.0])
    for exponent in (1e-3, 1e3):
        size = unit_rms(exponent * data[[0, 3]]).square().mean((1, 2))
        np.testing.assert_allclose(size, [1.0, 0.0])


def make_proposer(data, metric, log_factor):
    """A proposer whose network answers what it is told to."""
    n_channels, n_sources = 4, 6
    leadfield = np.random.default_rng(0).standard_normal((n_channels, n_sources))
    model = CosineModel.build(leadfield)
    config = SimpleNamespace(metric=metric, factor_min=0.1, factor_max=10.0)
    seen = []

    def curvature(gradient, x, state):
        seen.append((gradient, x, state))
        return log_factor, state + 1.0

    curvature.initial_state = lambda x: torch.zeros(1)
    network = SimpleNamespace(config=config, curvature=_Callable(curvature))
    gradient = torch.as_tensor(
        np.random.default_rng(1).standard_normal((2, n_sources, 3)), dtype=torch.float32
    )
    objective = SimpleNamespace(
        data=data,
        leadfield=model.leadfield,
        gradient=lambda point: gradient,
        weight=0.0,
        regulariser=SimpleNamespace(smoothness=lambda: (0.0, 0.0, 0.0)),
    )
    return CosineProposer(network, model, objective), gradient, seen


class _Callable:
    """A function that has an initial state."""

    def __init__(self, function):
        self.function, self.initial_state = function, function.initial_state

    def __call__(self, *args):
        return self.function(*args)


def cosine_iterate():
    x = torch.as_tensor(np.random.default_rng(2).standard_normal((2, 6, 3)), dtype=torch.float32)
    return SimpleNamespace(x=x, norms=torch.tensor([[2.0, 0.5, 1.0]] * 2, dtype=torch.float64))


ANSWERS = torch.tensor([math.nan, math.inf, -math.inf, 0.5, 9.0, -9.0])


def test_diagonal_metric():
    """w ‖L d₀^−½‖² d₀/h at every source and time, h within its bounds."""
    log_factor = ANSWERS[None, :, None].expand(2, 6, 3)
    data = torch.zeros(2, 4, 3)
    proposer, gradient, seen = make_proposer(data, "diagonal", log_factor)
    point = cosine_iterate()
    step = next(proposer(point)).step(slice(None))
    model = proposer.model
    h = torch.tensor([1.0, 10.0, 0.1, math.exp(0.5), 10.0, 0.1])
    curvature = 4.0 / 0.25 * model.depth_norm * model.depth / h
    torch.testing.assert_close(step, -gradient / curvature[:, None])
    # what the network is shown has no unit
    torch.testing.assert_close(seen[0][0], unit_rms(gradient / model.depth.sqrt()[:, None]))
    torch.testing.assert_close(seen[0][1], unit_rms(point.x))
    # its state goes on
    next(proposer(point))
    assert [float(state) for _, _, state in seen] == [0.0, 1.0]


def test_structured_metric():
    """w LᵀL + d₀/(h‖x‖²), h the geometric mean over time, weighted by the data's power."""
    rng = np.random.default_rng(3)
    data = torch.as_tensor(rng.standard_normal((2, 4, 3)), dtype=torch.float32) * 0.1
    data[1] = 0.0
    log_factor = torch.as_tensor(rng.standard_normal((2, 6, 3)), dtype=torch.float32)
    log_factor[:, 0], log_factor[:, 1], log_factor[:, 2] = math.nan, 30.0, -30.0
    proposer, gradient, _ = make_proposer(data, "structured", log_factor)
    model = proposer.model
    when = data.square().sum(1)
    when = torch.stack([when[0] / when[0].sum(), torch.full((3,), 1.0 / 3.0)])
    torch.testing.assert_close(proposer.when, when)
    h = (log_factor * when[:, None]).sum(2).exp()
    h[:, 0], h[:, 1], h[:, 2] = 0.1, 10.0, 0.1
    h = h.clamp(0.1, 10.0)
    point = cosine_iterate()
    step = next(proposer(point)).step(slice(None))
    assert step.dtype == gradient.dtype
    metric = 16.0 * model.leadfield.mT @ model.leadfield + torch.diag_embed(model.depth / h / 4.0)
    torch.testing.assert_close(step, -torch.linalg.solve(metric, gradient), rtol=1e-4, atol=1e-5)


# Factorisation -----------------------------------------------------------------------------------

EPS = torch.finfo(torch.float32).eps


def nearly_singular(share, n=4):
    """Three eigenvalues that add up to n and a negative one, −share ε: the first pivot's."""
    values = torch.tensor([0.0, *torch.arange(1.0, n)], dtype=torch.float64)
    values *= n / values.sum()
    values[0] = -share * EPS
    return torch.diag(values)


def test_jitter():
    """10^k ε tr(Σ)/n with the least k that will do, and none for samples that need none."""
    good = torch.tensor([[4.0, 1.0, 0, 0], [1, 3, 0, 0], [0, 0, 2, 1], [0, 0, 1, 9.0]])
    good = good.double()
    for share, jitter in ((0.5, 1.0), (5.0, 10.0), (5e5, 1e6)):
        for scale in (1.0, 7.0):
            bad = scale * nearly_singular(share)
            jitter_now = jitter * EPS * bad.trace() / 4.0
            chol = robust_cholesky(torch.stack([good, bad]))
            assert torch.equal(chol[0], torch.linalg.cholesky(good))
            expected = bad + jitter_now * torch.eye(4, dtype=torch.float64)
            np.testing.assert_allclose(chol[1] @ chol[1].T, expected, rtol=1e-6, atol=0)
    # one that jitter has mended keeps it while others need more
    mended, worse = nearly_singular(0.5), nearly_singular(5.0)
    chol = robust_cholesky(torch.stack([mended, worse]))
    np.testing.assert_allclose((chol @ chol.mT)[:, 0, 0], [9.5 * EPS, 5.0 * EPS], rtol=1e-5)


@pytest.mark.parametrize("share", [5e6, 1e9, math.nan])
def test_no_jitter_is_enough(share):
    with pytest.raises(FloatingPointError, match=r"^The model covariance .* lead field finite\?$"):
        robust_cholesky(nearly_singular(share)[None])


def test_precision_of_factors():
    """Double wherever there is double precision."""
    assert factor_dtype("cpu") == factor_dtype("cuda:1") == torch.float64
    assert factor_dtype("mps") == factor_dtype(torch.device("mps:0")) == torch.float32


@pytest.mark.parametrize(
    ("n_batch", "n", "m", "sizes"),
    [
        (1, 16, 400, [400]),  # no more work than one block's
        (1, 64, 5000, [1667, 1667, 1666]),  # 320,000 entries in blocks of 131,072
        (1, 64, 2048, [2048]),  # exactly one
        (8, 64, 5000, [556] * 8 + [552]),  # never fewer columns than 512
        (8, 64, 100, [100]),
    ],
)
def test_blocks_of_columns(n_batch, n, m, sizes):
    """They fit in a core's cache, and what the batch shares has no first dimension."""
    atoms, rows = torch.zeros(1, n, m), torch.arange(m).expand(n_batch, m)
    blocks = list(_columns(atoms, n_batch, rows))
    assert [block.shape for block, _ in blocks] == [(n, size) for size in sizes]
    assert torch.equal(torch.cat([part for _, part in blocks], 1), rows)
    ((block,), *_) = _columns(torch.zeros(2, 3, 5), 2)
    assert block.shape == (2, 3, 5)


def test_weak_components_of_the_data(rng):
    """Their squares are below the precision of single numbers."""
    left, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    right, _ = np.linalg.qr(rng.standard_normal((8, 3)))
    data = torch.as_tensor((left * [1.0, 0.3, 1e-4]) @ right.T, dtype=torch.float32)[None]
    factor = data_factor(data)
    assert factor.dtype == torch.float32
    found = torch.linalg.svdvals(factor.double())
    torch.testing.assert_close(
        found, torch.linalg.svdvals(data.double()) / 8**0.5, rtol=1e-2, atol=0.0
    )


# What the rest of a step depends on --------------------------------------------------------------


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (8, 8), (30, 30)])
@pytest.mark.parametrize("signal", [0.0, 1.0, 3.0])
def test_shrinkage(shape, signal, rng):
    """Gavish & Donoho's singular values, one by one; the largest is always kept."""
    data = rng.standard_normal(shape)
    data += signal * np.outer(rng.standard_normal(shape[0]), rng.standard_normal(shape[1]))
    shrunk = shrink_singular_values(torch.as_tensor(data)[None])[0].numpy()
    left, values, right = np.linalg.svd(data, full_matrices=False)
    beta = min(shape) / max(shape)
    omega = np.polyval([0.56, -0.95, 1.82, 1.43], beta)
    unit = np.sort(values)[(len(values) - 1) // 2]  # torch's median: the lower one
    y = values / (unit * omega / optimal_threshold(beta))
    expected = np.zeros_like(values)
    seen = y > 1.0 + math.sqrt(beta)
    expected[seen] = np.sqrt((y[seen] ** 2 - beta - 1.0) ** 2 - 4.0 * beta) / y[seen]
    expected *= values / y
    if not seen[0]:
        expected[0] = values[0]
    np.testing.assert_allclose(shrunk, (left * expected) @ right, atol=1e-9)
    assert not np.allclose(shrunk, data)


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_shrinkage_without_noise(scale, rng):
    """No noise floor, no shrinkage: few components stay as they are."""
    data = torch.as_tensor(rng.standard_normal((1, 20, 2)) @ rng.standard_normal((1, 2, 30)))
    data *= scale
    np.testing.assert_allclose(shrink_singular_values(data), data, atol=1e-12 * scale)
    zeros = torch.zeros(1, 20, 30, dtype=torch.float64)
    assert torch.equal(shrink_singular_values(zeros), zeros)


def quadratic_step(proposals, x=3.0):
    """Take a step on J = Σ x²."""
    objective = GeneralObjective(lambda x, index: x.square().sum(1))
    start = torch.full((3, 2), x, dtype=torch.float64)
    *_, last = descend(objective, start, lambda point: proposals, 1)
    return last


def test_a_majorant_that_lies_is_rejected():
    """A step is taken only if the objective falls at least as far as its majorant."""
    downhill = torch.full((3, 2), -1.0, dtype=torch.float64)
    fall = -2.0 * (9.0 - 4.0)
    asked = []

    def allow(excess):
        def increase(index, step):
            asked.append((index, step))
            return torch.full((len(index),), fall + excess, dtype=torch.float64)

        return increase

    for excess, taken in ((-1e-3, False), (1e-3, True), (100.0, True)):
        proposal = Proposal(lambda index: downhill[index], increase=allow(excess))
        last = quadratic_step([proposal])
        assert (last.stalled == (not taken)).all()
        assert (last.point.value == (8.0 if taken else 18.0)).all()
    assert all(len(index) == 3 and torch.equal(step, downhill) for index, step in asked)


def test_flags_of_the_start():
    """Before the first step nothing was retried, analytic or stalled."""
    objective = GeneralObjective(lambda x, index: x.square().sum(1))
    start = torch.ones(3, 2, dtype=torch.float64)
    (first,) = descend(objective, start, None, 0)
    assert first.retries.dtype == torch.int64
    for flag in (first.retries, first.analytic, first.stalled):
        assert flag.shape == (3,)
        assert not flag.any()


def test_samples_of_samples():
    """The function is told the numbers of the whole batch."""
    objective = GeneralObjective(lambda x, index: index.to(x.dtype) + 0.0 * x.sum(1))
    part = objective.select(torch.tensor([4, 2, 3])).select(torch.tensor([2, 0]))
    assert part.values(torch.zeros(2, 1)).tolist() == [3.0, 4.0]


def test_safe_inverse():
    """1/x, 0 at 0, and no gradient there."""
    x = torch.tensor([4.0, 0.5, 0.0], requires_grad=True)
    inverse = _safe_inverse(x)
    inverse.sum().backward()
    assert inverse.tolist() == [0.25, 2.0, 0.0]
    assert x.grad.tolist() == [-0.0625, -4.0, 0.0]


def test_posed_cosine_problem(rng):
    """The lead field's norm is 1, the weight is λ, the start has unit mean square."""
    model = CosineModel.build(rng.standard_normal((6, 20)))
    data = torch.as_tensor(rng.standard_normal((3, 6, 5)))
    data[1] = 0.0
    objective, start = pose_cosine(None, 0.25, model, data)
    assert torch.equal(objective.norm, torch.ones(1, dtype=torch.float64))
    assert objective.weight == 0.25
    assert start.dtype == objective.data.dtype == torch.float32
    np.testing.assert_allclose(start.square().mean((1, 2)), 1.0, rtol=1e-5)
    assert (start[1] == 1.0).all()


def test_single_precision_is_factored_in_double(rng):
    """Σ and its factor are float64 on a CPU; coefficients are as precise as the point."""
    objective, v = random_objective(rng)
    small = EvidenceObjective(
        make_model(rng.standard_normal((1, 7, 9, 1)))[0],
        *(getattr(objective, name).float() for name in ("data", "rest", "cost", "barrier")),
    )
    point = small.evaluate(v.float())
    assert point.whiten.dtype == point.data.dtype == point.value.dtype == torch.float64
    a, b = small.coefficients(point)
    assert a.dtype == b.dtype == torch.float32
    # lead field, background and variances as they are in float32, all else exactly
    model = small.model
    exact = EvidenceObjective(
        to_double(model),
        *(getattr(small, name).double() for name in ("data", "rest", "cost", "barrier")),
    )
    value = exact.evaluate(v.float().double()).value
    np.testing.assert_allclose(point.value, value, rtol=2e-6)
    assert len(point.value) == 2


def test_box_of_the_variances(rng):
    objective, v = random_objective(rng)
    for value, atoms, noise in ((1e3, U_MAX, NOISE_MAX), (-1e3, U_MIN, NOISE_MIN)):
        inside = objective.project(torch.full_like(v, value))
        assert (inside[:, :-N_NOISE] == atoms).all()
        assert (inside[:, -N_NOISE:] == noise).all()


def test_variance_of_a_source_that_is_off(rng):
    """No larger than the prior one, however small that is; and positive."""
    objective, v = random_objective(rng)
    v[:, :-N_NOISE] = U_MIN
    variance = objective.posterior_variance(objective.evaluate(v))
    largest = math.exp(U_MIN) * objective.model.scale.square().max() * objective.model.n_atoms
    assert (variance <= largest).all()
    assert (variance > 0).all()
    # data without noise: what is known leaves nothing but rounding, and 1e-6 of the prior
    v[:, :-N_NOISE], v[:, -N_NOISE:] = U_MAX, NOISE_MIN
    variance = objective.posterior_variance(objective.evaluate(v))
    assert (variance > 0).all()


def test_structured_solve_in_single_precision(rng):
    """Where d is far below w the terms of Woodbury's identity nearly cancel."""
    leadfield = torch.as_tensor(rng.standard_normal((1, 5, 12)), dtype=torch.float32)
    weight = torch.tensor([1e6, 3e6])
    diagonal = torch.as_tensor(rng.uniform(0.5, 2.0, (2, 12)), dtype=torch.float32)
    gradient = torch.as_tensor(rng.standard_normal((2, 12, 3)), dtype=torch.float32)
    solved = StructuredMajorant(gradient, leadfield, weight, diagonal).solve(gradient)
    metric = weight.double()[:, None, None] * leadfield.double().mT @ leadfield.double()
    metric += torch.diag_embed(diagonal.double())
    expected = torch.linalg.solve(metric, gradient.double())
    assert solved.dtype == torch.float32
    np.testing.assert_allclose(
        solved, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max())
    )
