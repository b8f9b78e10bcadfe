"""The cosine route's certificate (DESIGN §2c), for any weights, lead field and data."""

import math
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core_cases import LEADFIELDS, draw_data, draw_leadfield, randomise
from mne_mmnet.network import CosineConfig, CosineNetwork
from mne_mmnet.solver import (
    CosineModel,
    certify,
    cosine_iterates,
    pose_cosine,
    pose_network,
    shrink_singular_values,
    unit_rms,
)
from mne_mmnet.solver.cosine import CosineProposer
from mne_mmnet.solver.descent import certified_step, descend

N_SOURCES = 40
SMALL = CosineConfig(n_sources=N_SOURCES, width=8, hidden=6, dropout=0.1, n_steps=6)
BOLD = {"structured": (3e-3, 10.0), "diagonal": (0.3, 1e3)}
DATA = ("rank-1", "noise", "zeros", "single sample", "one channel", "constant")
# learned tries before the analytic ones, and all tries
N_LEARNED, N_TRIES = 4, 8


def make_config(metric="structured", smoothing=0.0, **changes):
    low, high = BOLD[metric]
    options = dict(metric=metric, smoothing=smoothing, factor_min=low, factor_max=high)
    return replace(SMALL, **{**options, **changes})


def random_network(seed, spread, config=SMALL):
    """Draw a network whose weights are all random, of standard deviation ``spread``."""
    return randomise(CosineNetwork(config).requires_grad_(False), seed, spread).eval()


def untrained(config=SMALL):
    torch.manual_seed(0)
    return CosineNetwork(config).eval()


def single(data, scale=1.0):
    """float32 data with a largest value of about ``scale``."""
    largest = np.abs(data).max() or 1.0
    return torch.as_tensor(data / largest * scale, dtype=torch.float32)


def draw_problem(rng, data_kind="noise", n_batch=3, scale=1.0):
    """A lead field of 12 channels, and data."""
    leadfield = draw_leadfield(rng, "generic", 12, N_SOURCES)
    model = CosineModel.build(leadfield)
    return model, single(draw_data(rng, data_kind, n_batch, leadfield), scale)


def run(network, model, data, n_steps=None):
    with torch.inference_mode():
        return certify(cosine_iterates(network, model, data, n_steps))


def check_certificate(last, certificate):
    """The contract, sample by sample."""
    assert torch.isfinite(last.point.x).all()
    assert torch.isfinite(certificate.objective).all()
    assert (certificate.objective.diff(dim=1) <= 0).all()
    assert (last.point.value == certificate.objective[:, -1]).all()
    assert not (certificate.analytic & certificate.stalled).any()
    # only when all learned tries were rejected may a step be analytic, or none at all
    assert (certificate.retries[certificate.analytic] >= N_LEARNED).all()
    assert (certificate.retries[~certificate.analytic & ~certificate.stalled] < N_LEARNED).all()
    assert (certificate.retries[certificate.stalled] == N_TRIES - 1).all()
    assert (certificate.objective.diff(dim=1)[certificate.stalled] == 0).all()


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    spread=st.sampled_from([0.0, 1e-6, 1e-2, 0.3, 3.0, 100.0, 1e4]),
    metric=st.sampled_from(list(BOLD)),
    smoothing=st.sampled_from([0.0, 1e-3, 0.1, 10.0]),
    weight=st.sampled_from([0.0, 0.7, 1.0]),
    n_channels=st.sampled_from([3, 8, 19, 60]),
    leadfield_kind=st.sampled_from(LEADFIELDS),
    data_kind=st.sampled_from(DATA),
    scale=st.sampled_from([1e-38, 1e-20, 1e-6, 1.0, 1e20, 1e38]),
)
@example(0, 0.0, "structured", 0.0, 1.0, 19, "generic", "noise", 1.0)
@example(1, 1e4, "diagonal", 0.0, 1.0, 19, "smooth", "rank-1", 1.0)
@example(2, 0.3, "structured", 0.1, 0.0, 8, "rank-deficient", "constant", 1.0)
def test_certificate(
    seed, spread, metric, smoothing, weight, n_channels, leadfield_kind, data_kind, scale
):
    """The objective never increases and the currents are finite."""
    rng = np.random.default_rng(seed)
    leadfield = draw_leadfield(rng, leadfield_kind, n_channels, N_SOURCES)
    data = single(draw_data(rng, data_kind, 3, leadfield), scale)
    model = CosineModel.build(leadfield * scale)
    network = random_network(seed, spread, make_config(metric, smoothing, weight=weight))
    check_certificate(*run(network, model, data))


@pytest.mark.parametrize("metric", list(BOLD))
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_certificate_at_convergence(metric, smoothing, weight, rng):
    """Where rounding is all that is left, with or without a regulariser, it still holds."""
    model = CosineModel.build(draw_leadfield(rng, "generic", 12, N_SOURCES))
    data = single(draw_data(rng, "rank-1", 3, rng.standard_normal((12, N_SOURCES))))
    config = make_config(metric, smoothing, weight=weight)
    last, certificate = run(untrained(config), model, data, n_steps=80)
    check_certificate(last, certificate)
    assert (certificate.objective[:, -1] < certificate.objective[:, 0]).all()


@pytest.mark.parametrize("data_kind", ["noise", "zeros"])
@pytest.mark.parametrize("spread", [0.0, 0.3, 1e4])
@pytest.mark.parametrize("anchored", [False, True])
def test_certificate_of_a_learned_start(spread, data_kind, anchored, rng):
    """Wherever the descent begins, it descends; a useless start is the minimum norm."""
    model = CosineModel.build(draw_leadfield(rng, "generic", 12, N_SOURCES))
    data = single(draw_data(rng, data_kind, 3, rng.standard_normal((12, N_SOURCES))))
    config = make_config(dilations=(1, 2), start_width=9, anchored=anchored)
    network = random_network(3, spread, config)
    last, certificate = run(network, model, data)
    check_certificate(last, certificate)
    x = torch.as_tensor(rng.standard_normal((2, N_SOURCES, 7)), dtype=torch.float32)
    start = network.start(x)
    if spread != 0.3:  # zeros, or too much for single precision
        assert torch.equal(start, x)
    else:
        torch.testing.assert_close(start.square().mean((1, 2)), torch.ones(2))
    assert untrained().start(x) is x


def test_start_from_elsewhere(rng):
    """It is the start and the anchor, of unit size; without an answer it is the minimum norm."""
    network = random_network(4, 0.3, make_config(start_width=9, anchored=True))
    model, data = draw_problem(rng)
    answer = 3.0 * torch.as_tensor(rng.standard_normal((len(data), N_SOURCES, data.shape[2])))
    answer = answer.to(torch.float32)
    answer[0] = 0.0
    answer[1, 2, 1] = math.nan
    answer[2, :, 1:] = 0.0
    objective, start = pose_network(network, model, data, answer)
    _, minimum_norm = pose_cosine(network.regulariser, 1.0, model, data)
    torch.testing.assert_close(start[:2], minimum_norm[:2])
    torch.testing.assert_close(start[2:], unit_rms(answer[2:]))
    assert objective.regulariser.anchor is start
    assert objective.regulariser.network is network.regulariser


def test_restricted_network_keeps_its_start(rng):
    """Of some of the sources it answers as the whole one does where the others are zero."""
    network = random_network(4, 0.3, make_config(dilations=(1, 2), start_width=9))
    kept = np.arange(0, N_SOURCES, 3)
    x = torch.zeros(2, N_SOURCES, 11)
    x[:, kept] = torch.as_tensor(rng.standard_normal((2, len(kept), 11)), dtype=torch.float32)
    image, *_ = network.first(x)
    part, *_ = network.restrict(kept).first(x[:, kept])
    torch.testing.assert_close(part, image[:, kept], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("metric", list(BOLD))
@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_broken_curvature_weights(metric, broken, rng):
    """A curvature network that is not made of numbers descends, at a cautious factor."""
    network = untrained(make_config(metric))
    for parameter in network.curvature.parameters():
        parameter.detach().fill_(broken)
    model, data = draw_problem(rng)
    last, certificate = run(network, model, data)
    check_certificate(last, certificate)
    assert (certificate.objective[:, -1] < certificate.objective[:, 0]).all()


@pytest.mark.parametrize("metric", list(BOLD))
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_broken_regulariser_weights(metric, broken, rng):
    """A regulariser that is not made of numbers leaves nothing to minimise: refused, in words."""
    network = untrained(make_config(metric))
    network.regulariser.kernels[1].detach()[0, 0, 0] = broken
    network.regulariser.kernels[0].detach().abs_()
    model, data = draw_problem(rng)
    with pytest.raises(ValueError, match="regulariser's weights are not finite"):
        run(network, model, data)


@pytest.mark.parametrize("dead", ["image", "everything"])
def test_dead_regulariser(dead, rng):
    """Φ = 0 counts as no agreement: the data term is still minimised."""
    network = untrained()
    for number, kernel in enumerate(network.regulariser.kernels):
        if number == 2 or dead == "everything":
            kernel.detach().zero_()
    model, data = draw_problem(rng)
    last, certificate = run(network, model, data)
    check_certificate(last, certificate)
    assert (last.point.regularity == 1.0).all()
    assert (last.point.fidelity < 0.1).all()


def test_zero_data(rng):
    """No data: the start is not zero, where F is undefined, and what is found is finite."""
    model = CosineModel.build(draw_leadfield(rng, "generic", 12, N_SOURCES))
    last, certificate = run(untrained(), model, torch.zeros(2, 12, 5))
    check_certificate(last, certificate)
    assert (last.point.fidelity == 1.0).all()


@pytest.mark.parametrize("scale", [1e-38, 1e-12, 1e12, 1e38])
def test_scale_of_the_data_and_of_the_leadfield(scale, rng):
    """Neither the data's nor the lead field's unit changes the answer."""
    leadfield = draw_leadfield(rng, "generic", 12, N_SOURCES)
    data = single(draw_data(rng, "noise", 3, leadfield))
    network = untrained()
    plain, certificate = run(network, CosineModel.build(leadfield), data)
    scaled, other = run(network, CosineModel.build(leadfield * scale), data * scale)
    torch.testing.assert_close(other.objective, certificate.objective, rtol=1e-4, atol=1e-5)
    gap = (plain.point.x - scaled.point.x).flatten(1).norm(dim=1)
    assert (gap <= 1e-3 * plain.point.x.flatten(1).norm(dim=1)).all()


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    spread=st.sampled_from([1e-3, 0.1, 0.3]),
    metric=st.sampled_from(list(BOLD)),
    smoothing=st.sampled_from([0.0, 0.1]),
    data_kind=st.sampled_from(["rank-1", "single sample", "noise", "zeros"]),
)
def test_batch_of_one_and_many_agree(seed, spread, metric, smoothing, data_kind):
    """A sample's answer does not depend on its batch mates, whatever their scale."""
    rng = np.random.default_rng(seed)
    leadfield = draw_leadfield(rng, "generic", 19, N_SOURCES)
    data = single(draw_data(rng, data_kind, 16, leadfield))
    data = data * torch.as_tensor(10.0 ** rng.uniform(-6, 6, (16, 1, 1)), dtype=torch.float32)
    model = CosineModel.build(leadfield)
    network = random_network(seed, spread, make_config(metric, smoothing))
    together, certificate = run(network, model, data)
    for k in (0, 7, 15):
        alone, single_one = run(network, model, data[k : k + 1])
        # rounding differs with the size of a product; wild weights amplify it (7e-4 was seen)
        torch.testing.assert_close(
            single_one.objective[0], certificate.objective[k], rtol=5e-3, atol=5e-3
        )
        size = together.point.x[k].norm()
        assert (alone.point.x[0] - together.point.x[k]).norm() <= 1e-2 * size


@pytest.mark.parametrize("metric", list(BOLD))
def test_deterministic(metric, rng):
    model, data = draw_problem(rng)
    network = untrained(make_config(metric))
    first, certificate = run(network, model, data)
    second, again = run(network, model, data)
    assert torch.equal(first.point.x, second.point.x)
    assert torch.equal(certificate.objective, again.objective)


@pytest.mark.parametrize("metric", list(BOLD))
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradients_reach_all_weights(metric, smoothing, rng):
    """Training sees every parameter through the unrolled loop."""
    model, data = draw_problem(rng, n_batch=2)
    network = untrained(make_config(metric, smoothing)).train()
    *_, last = cosine_iterates(network, model, data, 4)
    (last.point.x[:, ::2].square().sum() + last.point.value.sum()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_number_of_steps(rng):
    """As many as asked for, else those of the configuration."""
    model, data = draw_problem(rng, n_batch=2)
    network = untrained()
    for n_steps, expected in ((None, network.config.n_steps), (0, 0), (1, 1)):
        _, certificate = run(network, model, data, n_steps)
        assert certificate.objective.shape == (2, expected + 1)


def test_no_graph_at_use(rng):
    """Under inference mode nothing remembers how it was computed, trainable weights or not."""
    model, data = draw_problem(rng, n_batch=2)
    network = untrained()
    assert all(parameter.requires_grad for parameter in network.parameters())
    with torch.inference_mode():
        for current in cosine_iterates(network, model, data):
            for tensor in (current.point.x, current.point.value, *current.point.tape):
                assert tensor.grad_fn is None
                assert not tensor.requires_grad


def test_made_in_inference_mode(rng):
    """Network, model and data made in inference mode are as good, to the last rescue."""
    leadfield = draw_leadfield(rng, "generic", 12, N_SOURCES)
    with torch.inference_mode():
        data = single(draw_data(rng, "rank-1", 3, leadfield))
        last, certificate = run(untrained(), CosineModel.build(leadfield), data, n_steps=80)
    check_certificate(last, certificate)


# what the steps are made of


def prepare(rng, network, data_kind="noise", n_batch=3):
    model, data = draw_problem(rng, data_kind, n_batch)
    config = network.config
    objective, start = pose_cosine(network.regulariser, config.weight, model, data)
    return CosineProposer(network, model, objective), objective, objective.evaluate(start)


def implied_factor(proposer, objective, point, step):
    """h such that M δ = −∇F for the step that was taken, in float64."""
    model, metric = proposer.model, proposer.network.config.metric
    gradient, step = objective.gradient(point).double(), step.double()
    leadfield, depth = model.leadfield.double(), model.depth.double()[:, None]
    weight = 4.0 / point.norms[:, 1].square()[:, None, None]
    if metric == "diagonal":
        return -weight * model.depth_norm * depth * step / gradient
    rest = -gradient - weight * (leadfield.mT @ (leadfield @ step))
    size = point.norms[:, 0].square()[:, None, None]
    # one number a source: read off where the step is largest
    at = step.abs().argmax(2, keepdim=True)
    return (depth / size * step.gather(2, at) / rest.gather(2, at))[:, :, 0]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    spread=st.sampled_from([0.0, 0.3, 3.0, 1e2, 1e4, math.nan]),
    metric=st.sampled_from(list(BOLD)),
)
def test_factor_bounds_hold_on_the_step(seed, spread, metric):
    """The step itself, not only a matrix that is never used, obeys the factors' range."""
    config = make_config(metric)
    network = random_network(seed, 0.3, config)
    wild = random_network(seed, spread, config)
    network.curvature.load_state_dict(wild.curvature.state_dict())
    with torch.inference_mode():
        proposer, objective, point = prepare(np.random.default_rng(seed), network)
        for raised, proposal in zip((1.0, 4.0, 16.0, 64.0), proposer(point), strict=False):
            step = proposal.step(torch.arange(3)) * raised
            factor = implied_factor(proposer, objective, point, step)
            # rounding of the float32 solve, amplified where the sensors see nearly everything
            slack = 1.0 + (1e-4 if metric == "diagonal" else 3e-2)
            assert factor.min() >= config.factor_min / slack
            assert factor.max() <= config.factor_max * slack


@pytest.mark.parametrize("metric", list(BOLD))
def test_untrained_factor(metric, rng):
    """A network that has learned nothing gives every source much the same boldness."""
    config = make_config(metric)
    network = untrained(config)
    with torch.inference_mode():
        proposer, objective, point = prepare(rng, network)
        step = next(iter(proposer(point))).step(torch.arange(3))
        factor = implied_factor(proposer, objective, point, step)
    middle = {"structured": 0.3, "diagonal": 30.0}[metric]
    assert float(factor.median()) == pytest.approx(middle, rel=0.2)


def test_proposals_are_learned_then_analytic(rng):
    """The same step ever smaller, then the guaranteed one."""
    with torch.inference_mode():
        proposer, objective, point = prepare(rng, untrained(make_config(smoothing=0.1)))
        proposals = list(proposer(point))
        index = torch.arange(3)
        steps = [proposal.step(index) for proposal in proposals]
        assert [proposal.analytic for proposal in proposals] == [False] * 4 + [True] * 4
        # the one that is proved along its direction stands between them
        for first in (0, N_LEARNED + 1):
            for later in range(first + 1, N_LEARNED if first == 0 else N_TRIES):
                assert (steps[later].norm() < steps[later - 1].norm()).all()
                torch.testing.assert_close(
                    torch.nn.functional.normalize(steps[later].flatten(), dim=0),
                    torch.nn.functional.normalize(steps[first].flatten(), dim=0),
                )
        # a part of the batch gets its own part of the step
        part = torch.tensor([2, 0])
        assert torch.equal(proposals[0].step(part), steps[0][part])
        # the smooth Φ has a majorant: the guaranteed step descends
        for step in steps[N_LEARNED : N_LEARNED + 2]:
            assert (objective.values(point.x + step) < point.value).all()
        assert (steps[N_LEARNED].norm() > 10 * steps[N_LEARNED + 1].norm()).all()


class Overconfident(CosineProposer):
    """Turns the learned steps of some samples into uphill ones; leaves the analytic ones alone."""

    uphill = (True, False, True)

    def __call__(self, point):
        sign = torch.where(torch.tensor(self.uphill), -0.1, 1.0)[:, None, None]
        for proposal in super().__call__(point):
            if proposal.analytic:
                yield proposal
            else:
                yield replace(proposal, step=lambda i, p=proposal: sign[i] * p.step(i))


@pytest.mark.parametrize("metric", list(BOLD))
def test_rejected_proposals_are_rescued(metric, rng):
    """Where all learned steps lead uphill the analytic one is taken, in those samples only."""
    network = untrained(make_config(metric, smoothing=0.1))
    with torch.inference_mode():
        learned, objective, point = prepare(rng, network)
        proposer = Overconfident(network, learned.model, objective)
        *_, last = iterates = list(descend(objective, point.x, proposer, 3))
        certificate = certify(iterates)[1]
    check_certificate(last, certificate)
    uphill = torch.tensor(Overconfident.uphill)
    assert (certificate.analytic == uphill[:, None]).all()
    assert (certificate.retries[uphill] == N_LEARNED).all()
    assert (certificate.objective.diff(dim=1) < 0).all()


def test_nothing_descends(rng):
    """Where every proposal is refused the iterate stays, and says so; its mates move on."""
    network = untrained(make_config(smoothing=0.1))
    with torch.inference_mode():
        proposer, objective, point = prepare(rng, network)
        (start,) = islice(descend(objective, point.x, proposer, 0), 1)
        wrong = torch.tensor([math.inf, 1.0, math.nan])[:, None, None]
        proposals = [
            replace(proposal, step=lambda i, p=proposal: wrong[i] * p.step(i))
            for proposal in proposer(point)
        ]
        new = certified_step(objective, start, proposals)
    assert new.stalled.tolist() == [True, False, True]
    assert torch.equal(new.point.x[::2], point.x[::2])
    assert (new.point.value[1] < point.value[1]).all()
    assert new.retries.tolist() == [N_TRIES - 1, 0, N_TRIES - 1]


def test_overbold_network_is_caught(rng):
    """A network that always answers its boldest factor is rejected now and then, and descends."""
    config = make_config(factor_min=1e3, factor_max=1e6)
    leadfield = draw_leadfield(rng, "smooth", 12, N_SOURCES)
    data = single(draw_data(rng, "noise", 8, leadfield))
    last, certificate = run(untrained(config), CosineModel.build(leadfield), data, n_steps=12)
    check_certificate(last, certificate)
    assert certificate.retries.sum() > 0


def test_iterates_are_consistent(rng):
    """The value that comes back is that of the currents that come back."""
    network = untrained()
    model, data = draw_problem(rng, n_batch=5)
    last, _ = run(network, model, data)
    objective, start = pose_cosine(network.regulariser, SMALL.weight, model, data)
    with torch.inference_mode():
        torch.testing.assert_close(objective.values(last.point.x), last.point.value)
        assert (objective.values(start) > last.point.value).all()


# preparation


@pytest.mark.parametrize("broken", ["zero", "nan", "inf"])
def test_impossible_leadfield(broken, rng):
    leadfield = draw_leadfield(rng, "generic", 5, N_SOURCES)
    leadfield = 0.0 * leadfield if broken == "zero" else leadfield
    leadfield[0, 0] = {"zero": 0.0, "nan": math.nan, "inf": math.inf}[broken]
    with pytest.raises(ValueError, match="zero or not finite"):
        CosineModel.build(leadfield)


@pytest.mark.parametrize("kind", LEADFIELDS)
def test_model_bounds(kind, rng):
    """‖L‖ = 1, LᵀL ⪯ depth_norm · diag(d₀), and d₀ > 0 of mean 1."""
    model = CosineModel.build(draw_leadfield(rng, kind, 12, N_SOURCES))
    leadfield, depth = model.leadfield[0].double(), model.depth.double()
    assert float(torch.linalg.matrix_norm(leadfield, ord=2)) == pytest.approx(1.0, rel=1e-6)
    assert (depth > 0).all()
    assert float(depth.mean()) == pytest.approx(1.0, rel=1e-5)
    gap = model.depth_norm * torch.diag(depth) - leadfield.T @ leadfield
    assert torch.linalg.eigvalsh(gap).min() > -1e-6


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("scale", [1e-44, 1e-20, 1.0, 1e38])
def test_posed_problem(kind, scale, rng):
    """Data of unit norm, and a start of unit mean square; zeros stay zeros and start at ones."""
    model, data = draw_problem(rng, kind, scale=scale)
    network = untrained()
    objective, start = pose_cosine(network.regulariser, 1.0, model, data)
    zero = (data == 0).all(2).all(1)
    norm = objective.data.flatten(1).norm(dim=1)
    torch.testing.assert_close(norm, (~zero).float(), rtol=1e-5, atol=0.0)
    power = start.square().mean((1, 2))
    torch.testing.assert_close(power, torch.ones(3), rtol=1e-4, atol=0.0)
    assert (start[zero] == 1.0).all()


# shrinkage of the singular values


@pytest.mark.parametrize("shape", [(20, 60), (60, 20), (32, 32), (64, 500)])
@pytest.mark.parametrize("strength", [1.5, 3.0, 10.0])
def test_shrinkage_removes_noise(shape, strength, rng):
    """Of a signal of rank 2 in white noise, less noise is left than there was."""
    n_channels, n_times = shape
    left = np.linalg.qr(rng.standard_normal((10, n_channels, 2)))[0]
    right = np.linalg.qr(rng.standard_normal((10, n_times, 2)))[0]
    signal = strength * (left * [1.5, 1.0]) @ right.swapaxes(1, 2)
    noisy = signal + rng.standard_normal((10, *shape)) / math.sqrt(max(shape))
    shrunk = shrink_singular_values(torch.as_tensor(noisy)).numpy()
    before, after = (np.sum((a - signal) ** 2, axis=(1, 2)) for a in (noisy, shrunk))
    assert (after < 0.5 * before).all()
    rank = np.linalg.matrix_rank(shrunk, tol=1e-9)
    assert (rank <= 5).all()
    if strength > 2.0:
        assert (rank >= 2).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e30])
def test_shrinkage_is_scale_equivariant(scale, rng):
    """The noise level is read off the data: c y is shrunk to c times as much."""
    data = torch.as_tensor(rng.standard_normal((4, 20, 50)))
    data[:, :, :] += torch.as_tensor(rng.standard_normal((4, 20, 1)))
    expected = shrink_singular_values(data)
    torch.testing.assert_close(
        shrink_singular_values(scale * data) / scale, expected, rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("shape", [(7, 100), (100, 7), (1, 1), (64, 1)])
def test_shrinkage_leaves_small_arrays(shape, rng):
    """Without a noise floor to read off, the data come back as they are."""
    data = torch.as_tensor(rng.standard_normal((2, *shape)))
    assert torch.equal(shrink_singular_values(data), data)


@pytest.mark.parametrize("shape", [(20, 30), (19, 64), (64, 64), (32, 1000)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shrinkage_leaves_noiseless_data(shape, dtype, rng):
    """Low rank without noise comes back as it is, however tiny the rounding's singular values."""
    n_channels, n_times = shape
    up = np.arange(1.0, n_times + 1.0)
    arrays = [
        np.ones(shape),  # LAPACK answers singular values of 1e-200
        np.outer(np.arange(1.0, n_channels + 1.0), up),
        np.outer(rng.standard_normal(n_channels), rng.standard_normal(n_times)),
        np.outer(np.eye(n_channels)[0], up),
        np.zeros(shape),
    ]
    data = torch.as_tensor(np.stack(arrays), dtype=dtype)
    shrunk = shrink_singular_values(data)
    assert shrunk.dtype == dtype
    torch.testing.assert_close(shrunk, data, rtol=1e-5, atol=1e-5)


def test_shrinkage_never_answers_zero(rng):
    """Pure noise keeps its first component; zeros stay zeros; samples are on their own."""
    data = torch.as_tensor(rng.standard_normal((40, 20, 60)))
    data[7] = 0.0
    shrunk = shrink_singular_values(data)
    power = shrunk.square().sum((1, 2))
    assert power[7] == 0.0
    assert (np.delete(power.numpy(), 7) > 0.0).all()
    assert (power <= data.square().sum((1, 2))).all()
    # most of the noise is gone
    assert power.sum() < 0.3 * data.square().sum()
    for k in (0, 7, 39):
        torch.testing.assert_close(shrink_singular_values(data[k : k + 1])[0], shrunk[k])
