"""Majorants of the cosine objective: inequalities, constants, and the interface of them all."""

import math

import numpy as np
import pytest
import torch

from core_cases import draw
from mne_mmnet.majorant import (
    DiagonalMajorant,
    Proposition1Majorant,
    SharpMajorant,
    SpectralMajorant,
    StructuredMajorant,
    lanczos_norm_bound,
)
from mne_mmnet.majorant.analytic import GLOBAL, LOCAL, regulariser_curvature
from mne_mmnet.majorant.spectral import _products_needed
from mne_mmnet.network import Autoencoder
from mne_mmnet.objective import CosineObjective, GeneralObjective

N_DRAWS = 10_000
N_CHANNELS, N_SOURCES, N_TIMES = 5, 9, 4
EPSILON = 0.3
# rounding of float64: relative to all the numbers that are summed in an inequality
SLACK = 1e-12
# the same where Lx is the small difference of large numbers
KERNEL_SLACK = 1e-9


def powers_of_ten(rng, low, high, *shape):
    return torch.as_tensor(10.0 ** rng.uniform(low, high, shape))


def unit(z):
    """Divide each sample by its norm."""
    size = z.flatten(1).norm(dim=1)
    return z / size.view(-1, *[1] * (z.ndim - 1))


def make_objective(rng, n_batch, n_models=None, weight=1.0, smoothing=EPSILON):
    """Float64 objective with a lead field for each sample and a smooth Φ."""
    n_models = n_batch if n_models is None else n_models
    leadfield = draw(rng, n_models, N_CHANNELS, N_SOURCES)
    net = Autoencoder(N_SOURCES, 4, smoothing=smoothing).double().requires_grad_(False)
    for kernel in net.kernels:
        kernel.copy_(draw(rng, *kernel.shape) * (2.0 / (3 * kernel.shape[1])) ** 0.5)
    return CosineObjective(
        leadfield,
        torch.linalg.matrix_norm(leadfield, ord=2),
        unit(draw(rng, n_batch, N_CHANNELS, N_TIMES)),
        net,
        weight,
    )


def structured(objective, point, gradient):
    """The analytic structured majorant: the sharp constant of both terms."""
    diagonal = objective.weight * regulariser_curvature(objective, point)
    weight = GLOBAL / point.norms[:, 1].square()
    return StructuredMajorant(
        gradient, objective.leadfield, weight, diagonal[:, None].expand(-1, gradient.shape[1])
    )


ANALYTIC = {
    "Proposition 1": Proposition1Majorant,
    "sharp": SharpMajorant,
    "structured": structured,
}
BUILDERS = {
    **ANALYTIC,
    "local": lambda *at: SharpMajorant(*at, scope="local"),
    "spectral": SpectralMajorant,
    "diagonal": lambda objective, point, gradient: DiagonalMajorant(
        gradient, 1.0 + point.x.square()
    ),
}


def dense_hessian(values, x):
    """Hessians of a batch, (n_batch, s, s), one Hessian-vector product a coordinate."""
    x = x.detach().clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(values(x).sum(), x, create_graph=True)
    columns = [
        torch.autograd.grad(column.sum(), x, retain_graph=True)[0].flatten(1)
        for column in slope.flatten(1).unbind(1)
    ]
    return torch.stack(columns, 2)


def spectral_norm(hessian):
    return torch.linalg.eigvalsh(0.5 * (hessian + hessian.mT)).abs().amax(1)


# the data term alone, z ↦ 1 − cos(z, y)


def distance(z, y):
    return 1.0 - (unit(z) * unit(y)).sum(1)


def distance_gradient(z, y):
    size = z.norm(dim=1, keepdim=True)
    y = unit(y)
    return -(y - (unit(z) * y).sum(1, keepdim=True) * unit(z)) / size


def increase_of_quadratic(z, new, y, constant):
    step = new - z
    quadratic = 0.5 * constant * (step.norm(dim=1) / z.norm(dim=1)).square()
    linear = (distance_gradient(z, y) * step).sum(1)
    return linear + quadratic, linear.abs() + quadratic


def hard_vectors(rng, z, y):
    """Seven kinds of destination for each z, all hard for some constant or rounding."""
    size = z.norm(dim=1, keepdim=True)
    tiny = powers_of_ten(rng, -9, 0, len(z), 1)
    noise = draw(rng, *z.shape) * size * powers_of_ten(rng, -12, -1, len(z), 1)
    return {
        "random": draw(rng, *z.shape) * size * powers_of_ten(rng, -3, 3, len(z), 1),
        "near": z + noise,
        "towards zero": tiny * z + tiny * noise,
        "through zero": -tiny * (z + noise),
        "like the data": unit(y) * size * tiny + tiny * noise,
        "against the data": -unit(y) * size * tiny + tiny * noise,
        "far": (z + noise) / tiny,
    }


@pytest.mark.parametrize("n_dims", [2, 3, 10, 60])
@pytest.mark.parametrize("angle", ["any", "aligned", "anti-aligned"])
def test_data_constant_majorizes(n_dims, angle, rng):
    """f(z) lies below the quadratic with c = 4 everywhere, for 10,000 draws of each kind."""
    y = draw(rng, N_DRAWS, n_dims)
    z = draw(rng, N_DRAWS, n_dims)
    if angle != "any":
        sign = 1.0 if angle == "aligned" else -1.0
        z = sign * unit(y) + z * powers_of_ten(rng, -9, -1, N_DRAWS, 1)
    z = z * powers_of_ten(rng, -6, 6, N_DRAWS, 1)
    for name, new in hard_vectors(rng, z, y).items():
        bound, size = increase_of_quadratic(z, new, y, GLOBAL)
        gap = distance(z, y) + bound - distance(new, y)
        assert (gap >= -SLACK * (1.0 + size)).all(), name


def test_data_constant_is_the_smallest(rng):
    """A little less than 4 fails: from the data themselves, to just beyond zero."""
    y = draw(rng, 100, 6)
    z = unit(y)
    for constant, fails in ((3.99, True), (GLOBAL, False)):
        new = -1e-4 * z
        bound, _ = increase_of_quadratic(z, new, y, constant)
        assert ((distance(z, y) + bound < distance(new, y)) == fails).all()


def test_local_data_constant(rng):
    """The Hessian's norm is at most (2/√3)/‖z‖² for 10,000 draws, equal to it at cos = ±1/√3."""
    y = unit(draw(rng, N_DRAWS, 5))
    z = draw(rng, N_DRAWS, 5)
    half = N_DRAWS // 2
    across = unit(z - (z * y).sum(1, keepdim=True) * y)
    cosine = torch.full((N_DRAWS, 1), 1.0 / math.sqrt(3.0), dtype=torch.float64)
    cosine[1::2] *= -1.0
    worst = cosine * y + (1.0 - cosine.square()).sqrt() * across
    z = torch.cat([z[:half], worst[half:]])
    z = z * powers_of_ten(rng, -3, 3, N_DRAWS, 1)
    norm = spectral_norm(dense_hessian(lambda at: distance(at, y), z))
    share = norm * z.square().sum(1) / LOCAL
    assert (share <= 1.0 + SLACK * 10).all()
    torch.testing.assert_close(share[half:], torch.ones(half, dtype=torch.float64))
    assert share[:half].min() < 0.9


# the whole of F


def hard_currents(rng, objective, kind):
    """Currents that are hard for the data term or for the regulariser."""
    leadfield, data = objective.leadfield, objective.data
    x = draw(rng, len(data), N_SOURCES, N_TIMES)
    inverse = torch.linalg.pinv(leadfield)
    if kind == "tiny":
        return x * powers_of_ten(rng, -9, -2, len(x), 1, 1)
    if kind == "near the kernel":
        invisible = x - inverse @ (leadfield @ x)
        return invisible + x * powers_of_ten(rng, -4, 0, len(x), 1, 1)
    if kind == "anti-aligned":
        return x * powers_of_ten(rng, -6, -1, len(x), 1, 1) - inverse @ data
    if kind == "aligned":
        return x * powers_of_ten(rng, -6, -1, len(x), 1, 1) + inverse @ data
    return x


def hard_steps(rng, objective, x):
    """Steps of all lengths, and those that end near the kernel of L, at zero or beyond it."""
    size = x.flatten(1).norm(dim=1).view(-1, 1, 1)
    seen = torch.linalg.pinv(objective.leadfield) @ (objective.leadfield @ x)
    tiny = powers_of_ten(rng, -6, -1, len(x), 1, 1)
    yield unit(draw(rng, *x.shape)) * size * powers_of_ten(rng, -6, 3, len(x), 1, 1)
    yield -(1.0 - tiny) * seen
    yield -(1.0 + tiny) * seen
    yield -(1.0 - tiny) * x
    yield -(1.0 + tiny) * x
    yield -seen - tiny * torch.linalg.pinv(objective.leadfield) @ objective.data


@pytest.mark.parametrize("weight", [1.0, 1e-3])
@pytest.mark.parametrize("kind", ["generic", "near the kernel", "anti-aligned", "aligned", "tiny"])
def test_majorizes(kind, weight, rng):
    """F(x + d) ≤ F(x) + increase(d) for all analytic majorants, 10,000 draws of each kind."""
    objective = make_objective(rng, N_DRAWS, weight=weight)
    x = hard_currents(rng, objective, kind)
    point = objective.evaluate(x)
    gradient = objective.gradient(point)
    majorants = {name: build(objective, point, gradient) for name, build in ANALYTIC.items()}
    slack = KERNEL_SLACK if kind == "near the kernel" else SLACK
    for number, step in enumerate(hard_steps(rng, objective, x)):
        new = objective.values(x + step)
        linear = (gradient * step).sum((1, 2))
        for name, majorant in majorants.items():
            bound = majorant.increase(step)
            size = 1.0 + linear.abs() + (bound - linear)
            assert (new <= point.value + bound + slack * size).all(), (number, name)
    for name, majorant in majorants.items():
        step = majorant.minimiser()
        bound = majorant.increase(step)
        new = objective.values(x + step)
        assert (bound <= 0.0).all(), name
        assert (new <= point.value + bound + slack * (1.0 + bound.abs())).all(), name
        # twice the minimiser is as far as a descent is promised
        twice = objective.values(x + 2.0 * step)
        assert (twice <= point.value + slack * (1.0 + bound.abs())).all(), name


def test_data_part_of_the_bound_is_reached(rng):
    """With little regulariser the bound is all but touched at the far side of zero."""
    objective = make_objective(rng, 50, weight=1e-9)
    x = torch.linalg.pinv(objective.leadfield) @ objective.data
    point = objective.evaluate(x)
    gradient = objective.gradient(point)
    step = -(1.0 + 1e-6) * x
    rise = objective.values(x + step) - point.value
    bound = structured(objective, point, gradient).increase(step)
    torch.testing.assert_close(rise, bound, rtol=1e-4, atol=0.0)


def test_order_of_the_bounds(rng):
    """Proposition 1 ≥ sharp ≥ structured, and sharp ≥ local, at every draw."""
    objective = make_objective(rng, N_DRAWS)
    for kind in ("generic", "near the kernel", "tiny"):
        x = hard_currents(rng, objective, kind)
        point = objective.evaluate(x)
        at = objective, point, objective.gradient(point)
        first, sharp, kept, local = (
            BUILDERS[name](*at) for name in ("Proposition 1", "sharp", "structured", "local")
        )
        assert (first.curvature >= sharp.curvature).all()
        assert (sharp.curvature >= local.curvature).all()
        for step in hard_steps(rng, objective, x):
            below = (step * kept.product(step)).sum((1, 2))
            above = (step * sharp.product(step)).sum((1, 2))
            assert (below <= above * (1 + SLACK)).all()


@pytest.mark.parametrize("smoothing", [0.05, EPSILON, 3.0])
@pytest.mark.parametrize("kind", ["generic", "near the kernel", "anti-aligned", "aligned", "tiny"])
def test_local_bounds_the_hessian(kind, smoothing, rng):
    """The local curvature, and hence all others, is above the norm of the dense Hessian."""
    objective = make_objective(rng, 100, smoothing=smoothing)
    x = hard_currents(rng, objective, kind)
    point = objective.evaluate(x)
    norm = spectral_norm(dense_hessian(objective.values, x))
    bound = SharpMajorant(objective, point, objective.gradient(point), "local").curvature
    assert (norm <= bound).all()
    assert (norm > 1e-4 * bound).any()


# the interface, for all quadratic majorants


@pytest.fixture(params=BUILDERS)
def majorant(request, rng):
    objective = make_objective(rng, 3)
    point = objective.evaluate(draw(rng, 3, N_SOURCES, N_TIMES))
    return BUILDERS[request.param](objective, point, objective.gradient(point))


class TestQuadraticMajorant:
    """What every quadratic majorant promises."""

    def test_product_is_symmetric_positive(self, majorant, rng):
        """⟨u, M v⟩ = ⟨M u, v⟩ and ⟨u, M u⟩ > 0."""
        u, v = (draw(rng, 3, N_SOURCES, N_TIMES) for _ in range(2))
        left, right = (u * majorant.product(v)).sum((1, 2)), (majorant.product(u) * v).sum((1, 2))
        torch.testing.assert_close(left, right)
        assert ((u * majorant.product(u)).sum((1, 2)) > 0).all()

    def test_solve_inverts_product(self, majorant, rng):
        """M⁻¹ M δ = M M⁻¹ δ = δ."""
        step = draw(rng, 3, N_SOURCES, N_TIMES)
        torch.testing.assert_close(majorant.solve(majorant.product(step)), step)
        torch.testing.assert_close(majorant.product(majorant.solve(step)), step)

    @pytest.mark.parametrize("factor", [0.3, 1.0, 64.0])
    def test_minimiser(self, majorant, factor):
        """The majorant is flat at its minimiser, and lower than at zero."""
        step = majorant.minimiser(factor).requires_grad_(True)
        increase = majorant.increase(step, factor)
        (slope,) = torch.autograd.grad(increase.sum(), step)
        assert slope.abs().max() <= 1e-10 * majorant.gradient.abs().max()
        assert (increase < 0).all()

    @pytest.mark.parametrize("factor", [0.3, 1.0, 64.0])
    def test_touches(self, majorant, factor):
        """m(0) = F with F's gradient, whatever the factor."""
        step = torch.zeros_like(majorant.gradient, requires_grad=True)
        increase = majorant.increase(step, factor)
        assert (increase == 0).all()
        (slope,) = torch.autograd.grad(increase.sum(), step)
        torch.testing.assert_close(slope, majorant.gradient)

    def test_factor_multiplies_the_curvature(self, majorant, rng):
        """The minimiser shrinks, and the quadratic part grows, in proportion to the factor."""
        step = draw(rng, 3, N_SOURCES, N_TIMES)
        torch.testing.assert_close(majorant.minimiser(8.0) * 8.0, majorant.minimiser())
        linear = (majorant.gradient * step).sum((1, 2))
        torch.testing.assert_close(
            majorant.increase(step, 8.0) - linear, 8.0 * (majorant.increase(step) - linear)
        )


# the structured majorant's inverse


@pytest.mark.parametrize("n_models", [1, 3])
@pytest.mark.parametrize("kind", ["generic", "rank-deficient", "zero", "one channel"])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_structured_solve_against_dense(n_models, kind, scale, rng):
    """Woodbury's identity gives what the dense inverse gives, for any lead field."""
    leadfield = draw(rng, n_models, 1 if kind == "one channel" else 6, N_SOURCES)
    if kind == "rank-deficient":
        leadfield[:, 3:] = leadfield[:, :3]
    elif kind == "zero":
        leadfield.zero_()
    weight = powers_of_ten(rng, -1, 1, 3) * scale
    diagonal = powers_of_ten(rng, -1, 1, 3, N_SOURCES)
    right = draw(rng, 3, N_SOURCES, N_TIMES)
    majorant = StructuredMajorant(right, leadfield, weight, diagonal)
    dense = weight[:, None, None] * (leadfield.mT @ leadfield) + torch.diag_embed(diagonal)
    found = majorant.solve(right)
    torch.testing.assert_close(found, torch.linalg.solve(dense, right), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(majorant.product(right), dense @ right)


# Lanczos and the majorant from Hessian-vector products

SPECTRA = ("uniform", "clustered", "large gap", "indefinite", "negative", "Wigner", "low rank")


def draw_spectrum(rng, kind, n):
    if kind == "uniform":
        return rng.uniform(0.0, 1.0, n)
    if kind == "clustered":  # a crowd just below the largest
        return 1.0 - rng.exponential(1e-3, n)
    if kind == "large gap":
        return np.append(rng.uniform(0.0, 1e-6, n - 1), 1.0)
    if kind == "indefinite":
        return rng.uniform(-1.0, 1.0, n)
    if kind == "negative":
        return -(rng.uniform(0.0, 1.0, n) ** 0.1)
    if kind == "Wigner":
        return 2.0 * rng.beta(1.5, 1.5, n) - 1.0
    return np.append(np.zeros(n - 1), -1.0)


def fewest_products(dimension, confidence):
    """Least number of products that is not refused."""
    like = torch.zeros(1, dimension, dtype=torch.float64)
    for k in range(1, dimension + 1):
        try:
            lanczos_norm_bound(lambda v: v, like, k, confidence)
        except ValueError:
            continue
        return k
    raise AssertionError


@pytest.mark.parametrize("dimension", [3, 30, 300])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("effort", ["fewest", "few", "default"])
def test_lanczos_is_an_upper_bound(dimension, confidence, effort, rng):
    """The norm is missed in no more than the stated share of the random starts."""
    # Lanczos' iteration commutes with rotations: a diagonal matrix is as good as any
    spectra = np.stack([draw_spectrum(rng, kind, dimension) for kind in SPECTRA])
    spectra = torch.as_tensor(spectra * 10.0 ** rng.uniform(-6, 6, (len(SPECTRA), 1)))
    norm = spectra.abs().amax(1)
    n_products = None
    if effort != "default":
        n_products = fewest_products(dimension, confidence) + (3 if effort == "few" else 0)
    n_seeds = 20
    missed = torch.zeros(len(SPECTRA))
    for seed in range(n_seeds):
        bound = lanczos_norm_bound(
            lambda v: spectra * v, torch.zeros_like(spectra), n_products, confidence, seed
        )
        assert torch.isfinite(bound).all()
        missed += bound < norm
        if effort == "default":  # a bound of use: ε ≤ 1/16 of the spectrum's width
            assert (bound <= norm * (1.0 + 2.0 / 14.0) * (1.0 + 1e-9)).all()
    assert (missed <= (1.0 - confidence) * n_seeds).all()


@pytest.mark.parametrize("n_products", [None, 40])
def test_lanczos_on_dense_matrices(n_products, rng):
    """The same with matrices that aren't diagonal, and variables of more dimensions."""
    matrix = draw(rng, 20, 80, 80)
    matrix = matrix + matrix.mT

    def product(v):
        return (matrix @ v.flatten(1)[..., None])[..., 0].view_as(v)

    bound = lanczos_norm_bound(product, torch.zeros(20, 16, 5, dtype=torch.float64), n_products)
    assert (bound >= spectral_norm(matrix)).all()


@pytest.mark.parametrize("dimension", [1, 2, 3, 12])
@pytest.mark.parametrize("kind", [*SPECTRA, "multiples of one", "zero"])
def test_lanczos_is_exact(dimension, kind, rng):
    """As many products as dimensions give the norm itself, repeated eigenvalues or not."""
    if kind == "multiples of one":
        spectrum = np.full(dimension, -2.5)
    elif kind == "zero":
        spectrum = np.zeros(dimension)
    else:
        spectrum = draw_spectrum(rng, kind, dimension)
    spectrum = torch.as_tensor(spectrum)[None]
    for n_products in (None, dimension, 5 * dimension):
        bound = lanczos_norm_bound(lambda v: spectrum * v, spectrum, n_products)
        torch.testing.assert_close(bound, spectrum.abs().amax(1), rtol=1e-9, atol=1e-12)


def test_lanczos_in_single_precision(rng):
    """float32 is covered by its rounding allowance."""
    matrix = draw(rng, 10, 60, 60)
    matrix = (matrix + matrix.mT).float()
    bound = lanczos_norm_bound(lambda v: (matrix @ v[..., None])[..., 0], torch.zeros(10, 60))
    assert bound.dtype == torch.float32
    assert (bound.double() >= spectral_norm(matrix.double())).all()


def test_lanczos_refuses_impossible_confidence():
    """Too few products for the confidence: refused, with a number that is enough."""
    like = torch.zeros(1, 200)
    with pytest.raises(ValueError, match="2 products bound .* 200 with no confidence") as info:
        lanczos_norm_bound(lambda v: v, like, 2)
    enough = int(str(info.value).rstrip(".").split()[-1])
    assert enough == _products_needed(200, 0.99)
    lanczos_norm_bound(lambda v: v, like, enough)
    for confidence in (0.0, 1.0, -1.0, 2.0, math.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            lanczos_norm_bound(lambda v: v, like, confidence=confidence)


def test_lanczos_is_independent_of_batch_mates(rng):
    """A sample's bound is the same alone, among others, and beside a broken one."""
    spectra = torch.as_tensor(np.stack([draw_spectrum(rng, kind, 50) for kind in SPECTRA]))
    together = lanczos_norm_bound(lambda v: spectra * v, spectra)
    for k in range(len(spectra)):
        alone = lanczos_norm_bound(lambda v, k=k: spectra[k] * v, spectra[k : k + 1])
        torch.testing.assert_close(alone[0], together[k], rtol=1e-12, atol=0.0)
    spectra[3] = math.nan
    spectra[4, 7] = math.inf
    beside = lanczos_norm_bound(lambda v: spectra * v, torch.zeros_like(spectra))
    assert torch.isinf(beside[3:5]).all()
    torch.testing.assert_close(beside[:3], together[:3], rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("inference", [False, True])
def test_spectral_bounds_the_cosine_hessian(inference, rng):
    """Hessian-vector products of F: above the dense Hessian's norm, within their allowance."""
    objective = make_objective(rng, 50)
    x = draw(rng, 50, N_SOURCES, N_TIMES)
    norm = spectral_norm(dense_hessian(objective.values, x))
    with torch.inference_mode(inference):
        point = objective.evaluate(x)
        at = objective, point, objective.gradient(point)
        default, exact = SpectralMajorant(*at), SpectralMajorant(*at, n_products=36)
    assert (default.curvature >= norm).all()
    assert (default.curvature <= norm * (1 + 2 / 14)).all()
    torch.testing.assert_close(exact.curvature, norm)
    assert not default.curvature.requires_grad


def test_spectral_bounds_a_huber_hessian(rng):
    """The same for a loss of one's own, against torch's dense Hessian."""
    leadfield, data = draw(rng, 8, 12), 3.0 * draw(rng, 6, 8)

    def huber(x, index):
        residual = x @ leadfield.T - data[index]
        loss = torch.nn.functional.huber_loss(
            residual, torch.zeros_like(residual), reduction="none"
        )
        return loss.sum(1) + 1e-3 * x.square().sum(1)

    objective = GeneralObjective(huber)
    x = draw(rng, 6, 12)
    point = objective.evaluate(x)
    majorant = SpectralMajorant(objective, point, objective.gradient(point))
    for k in range(6):
        hessian = torch.autograd.functional.hessian(
            lambda at, k=k: huber(at[None], torch.tensor([k]))[0], x[k]
        )
        norm = float(torch.linalg.matrix_norm(hessian, ord=2))
        assert norm * (1 - 1e-9) <= float(majorant.curvature[k]) <= norm * (1 + 2 / 14)


@pytest.mark.parametrize("function", ["linear", "kinked"])
def test_spectral_without_a_hessian(function, rng):
    """No curvature at all, or none that is finite: a positive number that may be raised."""
    slope = draw(rng, 4)
    values = {
        "linear": lambda x, index: x @ slope,
        "kinked": lambda x, index: x.abs().pow(1.5).sum(1),
    }[function]
    objective = GeneralObjective(values)
    point = objective.evaluate(torch.zeros(2, 4, dtype=torch.float64))
    majorant = SpectralMajorant(objective, point, objective.gradient(point))
    assert torch.isfinite(majorant.curvature).all()
    assert (majorant.curvature > 0).all()
