"""What is proved of the cosine objective along a ray, and the steps that rest on it."""

import pytest
import torch

from core_cases import draw
from mne_mmnet.majorant import certified_ray, estimate_slope, local_structured_majorant
from mne_mmnet.majorant.ray import LONGEST, _Path
from mne_mmnet.majorant.structured import sharp_structured_majorant
from mne_mmnet.network import Autoencoder
from mne_mmnet.objective import CosineObjective
from mne_mmnet.solver import RayProposer, certify
from mne_mmnet.solver.descent import descend

N_SOURCES, N_TIMES, N_CHANNELS, N_BATCH = 10, 8, 5, 4
KINDS = [(0.0, ()), (0.3, ()), (0.0, (1, 2)), (0.3, (1, 2))]


def make_net(smoothing=0.0, dilations=(), width=16):
    torch.manual_seed(1)
    net = Autoencoder(N_SOURCES, width, 3, smoothing, dilations)
    return net.double().requires_grad_(False)


def make_problem(rng, smoothing=0.0, dilations=()):
    leadfield = draw(rng, 1, N_CHANNELS, N_SOURCES)
    data = draw(rng, N_BATCH, N_CHANNELS, N_TIMES)
    data = data / data.flatten(1).norm(dim=1)[:, None, None]
    norm = torch.linalg.matrix_norm(leadfield, ord=2)
    objective = CosineObjective(leadfield, norm, data, make_net(smoothing, dilations))
    return objective, objective.evaluate(draw(rng, N_BATCH, N_SOURCES, N_TIMES))


def along(point, length, direction):
    return point.x + length[:, None, None] * direction


@pytest.mark.parametrize(("smoothing", "dilations"), KINDS)
@pytest.mark.parametrize("scale", [1e-3, 0.1, 3.0])
def test_enclosure_holds(smoothing, dilations, scale, rng):
    """Φ(x + td) − Φ(x) − ta lies within the bounds of e, all along, and they are no luxury."""
    net = make_net(smoothing, dilations)
    x, d, v = (draw(rng, N_BATCH, N_SOURCES, N_TIMES) for _ in range(3))
    d = scale * d
    image, *tape = net(x)
    ones = torch.ones(N_BATCH).double()
    for shortest in (0.0, 0.5, 1.0):
        found = net.enclose(tape, d, shortest * ones, ones, against=(v, x))
        for t in torch.linspace(shortest, 1.0, 7).tolist():
            if t > 0:
                rest = (net(x + t * d)[0] - image) / t - found.along
                assert (rest.flatten(1).norm(dim=1) <= found.size + 1e-9).all()
                for vector, bound in zip((v, x), found.inner, strict=True):
                    assert ((vector * rest).sum((1, 2)).abs() <= bound + 1e-9).all()
        assert (found.size <= net.smoothness().slope * 2 * d.flatten(1).norm(dim=1)).all()
    # at one single length the first layer is known, and bounds are tighter
    whole = net.enclose(tape, d, 0.0 * ones, ones)
    assert (found.size <= whole.size).all()


@pytest.mark.parametrize(("smoothing", "dilations"), KINDS)
def test_pushforward_is_the_derivative(smoothing, dilations, rng):
    """It is what the pullback is the transpose of, and what Φ does to a short step."""
    net = make_net(smoothing, dilations)
    x, d, c = (draw(rng, N_BATCH, N_SOURCES, N_TIMES) for _ in range(3))
    image, *tape = net(x)
    pushed = net.pushforward(tape, d)
    torch.testing.assert_close(
        (pushed * c).sum((1, 2)), (net.pullback(tuple(tape), c) * d).sum((1, 2))
    )
    torch.testing.assert_close((net(x + 1e-7 * d)[0] - image) / 1e-7, pushed, rtol=1e-4, atol=1e-5)
    # with no length at all the enclosure is that, and certain
    nothing = torch.zeros(N_BATCH).double()
    found = net.enclose(tape, d, nothing, nothing)
    torch.testing.assert_close(found.along, pushed)
    assert (found.size == 0).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_secant_is_the_mean_slope(smoothing, rng):
    """σ(t + h) − σ(t) = h · secant, also at the kink and for no step at all."""
    activation = make_net(smoothing).activation
    t, h = draw(rng, 50), draw(rng, 50)
    torch.testing.assert_close(activation(t + h) - activation(t), h * activation.secant(t, h))
    torch.testing.assert_close(activation.secant(t, 0 * h), activation.slope(t))
    zero = torch.zeros(2).double()
    torch.testing.assert_close(activation.secant(zero, zero), activation.slope(zero))


@pytest.mark.parametrize(("smoothing", "dilations"), KINDS)
@pytest.mark.parametrize("uphill", [False, True])
def test_bound_along_a_ray(smoothing, dilations, uphill, rng):
    """It is above F wherever it is said to hold, and touches F at the start."""
    objective, point = make_problem(rng, smoothing, dilations)
    d = objective.gradient(point) if uphill else draw(rng, N_BATCH, N_SOURCES, N_TIMES)
    path = _Path(objective, point, d)
    for top in (1e-6, 1e-2, 0.3, 5.0):
        longest = torch.full((N_BATCH,), top).double()
        lengths = longest[:, None] * torch.linspace(0.0, 1.0, 9).double()
        bound = path.bound(0.0 * longest, longest, lengths)
        for k in range(9):
            value = objective.evaluate(along(point, lengths[:, k], d)).value
            assert (bound[:, k] >= value - 1e-12).all()
        torch.testing.assert_close(bound[:, 0], point.value)
        if top == 1e-6:  # tight where no slope changes
            torch.testing.assert_close(bound[:, -1], value, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize(("smoothing", "dilations"), KINDS)
def test_certified_ray(smoothing, dilations, rng):
    """Descent is proved, and happens; uphill nothing is."""
    objective, point = make_problem(rng, smoothing, dilations)
    gradient = objective.gradient(point)
    direction = local_structured_majorant(objective, point, gradient).minimiser()
    ray = certified_ray(objective, point, direction)
    assert (ray.length > 0).all()
    assert (ray.length <= LONGEST).all()
    assert (ray.value < point.value).all()
    value = objective.evaluate(along(point, ray.length, direction)).value
    assert (value <= ray.value + 1e-12).all()
    upwards = certified_ray(objective, point, gradient)
    assert (upwards.length == 0).all()
    assert torch.equal(upwards.value, point.value)


def test_more_is_proved_than_by_the_product_of_norms(rng):
    """Tens of times the descent that the sharp structured majorant allows itself."""
    objective, point = make_problem(rng, 0.3)
    gradient = objective.gradient(point)
    sharp = sharp_structured_majorant(objective, point, gradient)
    allowed = -sharp.increase(sharp.minimiser())
    direction = local_structured_majorant(objective, point, gradient).minimiser()
    proved = point.value - certified_ray(objective, point, direction).value
    assert (proved > 5.0 * allowed).all()
    assert proved.median() > 15.0 * allowed.median()


def test_batch_mates_do_not_matter(rng):
    """Each sample has its own length, whatever the others still look for."""
    objective, point = make_problem(rng)
    direction = draw(rng, N_BATCH, N_SOURCES, N_TIMES)
    direction[1] = -objective.gradient(point)[1]
    together = certified_ray(objective, point, direction)
    for k in range(N_BATCH):
        index = torch.tensor([k])
        alone = objective.select(index)
        ray = certified_ray(alone, alone.evaluate(point.x[index]), direction[index])
        torch.testing.assert_close(ray.length[0], together.length[k])
        torch.testing.assert_close(ray.value[0], together.value[k])


def test_slope_is_estimated_from_below(rng):
    """Power iteration never exceeds the dense Jacobian's norm, and comes near it."""
    net = make_net()
    _, point = make_problem(rng)
    basis = torch.eye(N_SOURCES * N_TIMES).double().view(-1, N_SOURCES, N_TIMES)
    for k in range(N_BATCH):
        tape = [part[k : k + 1].expand(len(basis), -1, -1) for part in point.tape]
        norm = torch.linalg.matrix_norm(net.pushforward(tape, basis).flatten(1), ord=2)
        found = estimate_slope(net, point, 30)[k]
        assert 0.8 * norm <= found <= norm * (1 + 1e-9)
        assert norm <= net.smoothness().slope


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_ray_proposer(smoothing, rng):
    """A monotone objective without a retry, far below what the sharp majorant reaches."""
    objective, point = make_problem(rng, smoothing)
    _, found = certify(descend(objective, point.x, RayProposer(objective), 8))
    assert (found.objective.diff(dim=1) < 0).all()
    assert (found.retries == 0).all()
    assert found.analytic.all()
    x = point.x
    for _ in range(8):
        at = objective.evaluate(x)
        x = x + sharp_structured_majorant(objective, at, objective.gradient(at)).minimiser()
    sharp = point.value - objective.evaluate(x).value
    assert (found.objective[:, 0] - found.objective[:, -1] > 5.0 * sharp).all()
