"""Objectives of one's own: ``minimize``, and the certified loop with one's own proposals."""

import math

import numpy as np
import pytest
import scipy.optimize
import torch
from torch.nn.functional import huber_loss, softplus

from core_cases import draw
from mne_mmnet.majorant import DiagonalMajorant
from mne_mmnet.objective import GeneralObjective
from mne_mmnet.solver import Proposal, SpectralProposer, certify, descend, minimize

N_BATCH, N_ROWS, N_COLUMNS = 3, 12, 5


def zeros(*shape):
    return torch.zeros(*shape, dtype=torch.float64)


def huber_problem(rng):
    """Robust regression: two thirds of the residuals beyond the kink at the start."""
    leadfield, data = draw(rng, N_ROWS, N_COLUMNS), 4.0 * draw(rng, N_BATCH, N_ROWS)

    def function(x, index):
        residual = x @ leadfield.T - data[index]
        loss = huber_loss(residual, torch.zeros_like(residual), reduction="none")
        return loss.sum(1) + 0.3 * x.square().sum(1)

    return function


def logistic_problem(rng):
    """Logistic regression with a ridge."""
    features = draw(rng, N_ROWS, N_COLUMNS)
    labels = torch.where(draw(rng, N_BATCH, N_ROWS) > 0, 1.0, -1.0).double()

    def function(x, index):
        margin = labels[index] * (x @ features.T)
        return softplus(-margin).sum(1) + 0.1 * x.square().sum(1)

    return function


def least_value(function, sample, n_columns=N_COLUMNS):
    """What SciPy finds."""

    def value_and_slope(x):
        x = torch.as_tensor(x)[None].requires_grad_(True)
        value = function(x, torch.tensor([sample])).sum()
        (slope,) = torch.autograd.grad(value, x)
        return float(value.detach()), slope[0].numpy()

    found = scipy.optimize.minimize(
        value_and_slope, np.zeros(n_columns), jac=True, method="BFGS", options={"gtol": 1e-9}
    )
    return found.fun


@pytest.mark.parametrize("problem", [huber_problem, logistic_problem])
def test_finds_the_minimum(problem, rng):
    """Convex losses end at the value that SciPy finds, by certified steps."""
    function = problem(rng)
    start = zeros(N_BATCH, N_COLUMNS)
    x, certificate = minimize(function, start, n_steps=200)
    assert (certificate.objective.diff(dim=1) <= 0).all()
    assert not certificate.analytic.any()
    for k in range(N_BATCH):
        least = least_value(function, k)
        assert float(certificate.objective[k, -1]) == pytest.approx(least, rel=1e-5)
    torch.testing.assert_close(function(x, torch.arange(N_BATCH)), certificate.objective[:, -1])
    assert (start == 0).all()  # the user's own tensor is left alone


def test_quadratic_in_one_step(rng):
    """A sphere's curvature is found exactly, and its minimum in one step."""
    target = draw(rng, N_BATCH, 3, 4)
    x, certificate = minimize(
        lambda x, index: 3.5 * (x - target[index]).square().sum((1, 2)), zeros(N_BATCH, 3, 4), 1
    )
    torch.testing.assert_close(x, target)
    assert (certificate.retries == 0).all()


def test_samples_are_independent(rng):
    """Each sample's path is what it would be alone, beside a mate that retries."""
    target = draw(rng, N_BATCH, N_COLUMNS)
    curvature = torch.tensor([2.0, 1.0, 0.3])

    def with_a_wall(x, index):
        # the second sample's Hessian grows steeply away from the start
        away = x - target[index]
        wall = (index == 1) * away.pow(4).sum(1) * 1e3 - away.sum(1)
        return curvature[index] * away.square().sum(1) + wall

    start = target + 1e-3 * draw(rng, N_BATCH, N_COLUMNS)
    together, certificate = minimize(with_a_wall, start, n_steps=10)
    assert certificate.retries[1].sum() > 0
    assert certificate.retries[[0, 2], 0].sum() == 0
    for k in range(N_BATCH):
        alone, single = minimize(
            lambda x, index, k=k: with_a_wall(x, index + k), start[k : k + 1], n_steps=10
        )
        torch.testing.assert_close(alone[0], together[k])
        torch.testing.assert_close(single.objective[0], certificate.objective[k])
        assert torch.equal(single.retries[0], certificate.retries[k])


@pytest.mark.parametrize("start", [1e-6, 1e-3, 0.1])
def test_retries_where_the_hessian_grows(start):
    """(x − 1)⁴-like walls beyond a flat start: the curvature is raised until it holds."""
    x, certificate = minimize(
        lambda x, index: x.pow(4).sum(1) - x.sum(1),
        torch.full((1, 2), start, dtype=torch.float64),
        n_steps=200,
    )
    assert certificate.retries[0, 0] > 0
    assert (certificate.objective.diff(dim=1) <= 0).all()
    torch.testing.assert_close(x, torch.full_like(x, 0.25 ** (1 / 3)), rtol=1e-5, atol=0.0)


def test_verified_decrease(rng):
    """An accepted step decreases the objective by what its majorant promised, ‖g‖²/2κ, or more."""
    function = logistic_problem(rng)
    objective = GeneralObjective(function)
    point = objective.evaluate(draw(rng, N_BATCH, N_COLUMNS))
    (first, *_) = SpectralProposer(objective)(point)
    index = torch.arange(N_BATCH)
    step = first.step(index)
    promised = first.increase(index, step)
    torch.testing.assert_close(promised, 0.5 * (step * point.gradient).sum(1))
    assert (promised < 0).all()
    _, certificate = minimize(function, point.x, n_steps=1)
    # each retry was with four times the curvature
    promised = promised / 4.0 ** certificate.retries[:, 0]
    assert (certificate.objective.diff(dim=1)[:, 0] <= promised).all()


@pytest.mark.parametrize("n_products", [2, 5, None])
def test_certificate_of_a_nonconvex_loss(n_products, rng):
    """Saddles, plateaus and steep walls: monotone, whatever the number of products."""
    weights = draw(rng, 6, N_COLUMNS)

    def function(x, index):
        return (5.0 * x @ weights.T).sin().sum(1) + 0.01 * x.pow(4).sum(1)

    x, certificate = minimize(
        function, 3.0 * draw(rng, 20, N_COLUMNS), 60, n_products=n_products, confidence=0.1
    )
    assert (certificate.objective.diff(dim=1) <= 0).all()
    assert torch.isfinite(x).all()
    assert (certificate.objective[:, -1] < certificate.objective[:, 0]).all()


def test_walls_of_infinity():
    """Where a step leaves the domain it is refused: a logarithmic barrier is never crossed."""
    x, certificate = minimize(
        lambda x, index: (x - x.log()).sum(1) + 1e3 * (x - 3.0).clamp_min(0.0).sum(1),
        torch.tensor([[1e-3, 1e-6, 2.9, 50.0]], dtype=torch.float64),
        n_steps=300,
    )
    assert (x > 0).all()
    assert (certificate.objective.diff(dim=1) <= 0).all()
    assert (certificate.objective[0, -1] < certificate.objective[0, 0]).all()


def test_no_hessian_at_the_start(rng):
    """Σ|x|^1.5 has no Hessian at zero: the raised curvature still finds the way down."""
    target = draw(rng, N_BATCH, N_COLUMNS)

    def function(x, index):
        return 0.2 * x.abs().pow(1.5).sum(1) + (x - target[index]).square().sum(1)

    _, certificate = minimize(function, zeros(N_BATCH, N_COLUMNS), n_steps=100)
    assert (certificate.objective.diff(dim=1) <= 0).all()
    for k in range(N_BATCH):
        least = least_value(function, k)
        assert float(certificate.objective[k, -1]) == pytest.approx(least, abs=1e-4)


@pytest.mark.parametrize("function", ["flat", "linear"])
def test_no_curvature(function, rng):
    """A flat objective stays; a linear one descends without end, and stays finite."""
    slope = draw(rng, 4) * (function == "linear")
    x, certificate = minimize(lambda x, index: x @ slope, zeros(2, 4), n_steps=5)
    assert torch.isfinite(x).all()
    drop = certificate.objective.diff(dim=1)
    assert ((drop < 0) if function == "linear" else (drop == 0)).all()


def test_at_the_minimum(rng):
    """Started where it would end, nothing moves and nothing breaks."""
    x, certificate = minimize(lambda x, index: x.square().sum(1), zeros(2, 3), n_steps=3)
    assert (x == 0).all()
    assert (certificate.objective == 0).all()


def test_seed_only_matters_to_the_bound(rng):
    """The same seed gives the same path; another one ends at the same minimum."""
    function = logistic_problem(rng)
    start = zeros(N_BATCH, N_COLUMNS)
    first, again, other = (minimize(function, start, 40, seed=seed)[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    torch.testing.assert_close(first, other, rtol=1e-2, atol=1e-2)
    assert not torch.equal(first, other)


def test_under_inference_mode(rng):
    """The derivatives that it needs are taken there too, and no graph comes back."""
    function = huber_problem(rng)
    start = zeros(N_BATCH, N_COLUMNS)
    expected, _ = minimize(function, start, n_steps=5)
    with torch.inference_mode():
        x, certificate = minimize(function, start, n_steps=5)
    assert torch.equal(x, expected)
    for tensor in (x, expected, certificate.objective):
        assert not tensor.requires_grad


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda x, index: x.square().sum(), r"\(\)"),
        (lambda x, index: x.square(), r"\(2, 3\)"),
        (lambda x, index: x.square().sum(1)[:1], r"\(1,\)"),
        (lambda x, index: x.square().sum(1, keepdim=True), r"\(2, 1\)"),
        (lambda x, index: 1.0, "float"),
    ],
)
def test_wrong_shapes_are_refused(function, shape):
    """Anything but one number a sample is refused, with what came and what to do."""
    with pytest.raises(ValueError, match=rf"shape \(2,\), got .*{shape}.* Sum over"):
        minimize(function, zeros(2, 3))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_start_must_be_finite(value):
    with pytest.raises(
        ValueError, match=r"^The objective is not finite at the start; start somewhere else\.$"
    ):
        minimize(lambda x, index: (x + value).sum(1), zeros(2, 3))


def test_start_outside_the_domain():
    """One sample that starts badly is enough to be refused."""
    start = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match="start somewhere else"):
        minimize(lambda x, index: x.log().sum(1), start)


def test_impossible_confidence_is_refused(rng):
    """Fewer products than the confidence needs: the number that is enough is named."""
    with pytest.raises(ValueError, match="use at least"):
        minimize(lambda x, index: x.square().sum(1), zeros(1, 400), n_products=2)
    with pytest.raises(ValueError, match="between 0 and 1"):
        minimize(lambda x, index: x.square().sum(1), zeros(1, 4), confidence=1.0)


class HuberProposer:
    """A majorant of one's own: half-quadratic weights, for one residual an unknown."""

    def __init__(self, objective, target, raises=(1.0,)):
        self.objective, self.target, self.raises = objective, target, raises
        self.seen = []

    def __call__(self, point):
        residual = point.x - self.target
        weight = residual.abs().clamp_min(1.0).reciprocal()
        majorant = DiagonalMajorant(self.objective.gradient(point), weight)
        for raised in self.raises:
            self.seen.append(raised)
            step = majorant.minimiser(raised)
            yield Proposal(lambda index, step=step: step[index], analytic=raised == 1.0)


def separable_huber(target):
    return GeneralObjective(lambda x, index: huber_loss(x, target[index], reduction="none").sum(1))


def test_own_proposer(rng):
    """A proposer of one's own, on a majorant of the package, needs no retries to converge."""
    target = 10.0 * draw(rng, N_BATCH, N_COLUMNS)
    objective = separable_huber(target)
    proposer = HuberProposer(objective, target)
    last, certificate = certify(descend(objective, zeros(N_BATCH, N_COLUMNS), proposer, 30))
    assert (certificate.objective.diff(dim=1) <= 0).all()
    assert certificate.analytic.all()
    assert (certificate.retries == 0).all()
    torch.testing.assert_close(last.point.x, target)


def test_own_proposer_is_checked(rng):
    """A proposer that is far too bold is caught, sample by sample, and its next try is taken."""
    target = 10.0 * draw(rng, N_BATCH, N_COLUMNS)
    target[1] = 0.0  # already there: any step of any length is none
    objective = separable_huber(target)
    proposer = HuberProposer(objective, target, raises=(1e-3, 1.0))
    last, certificate = certify(descend(objective, zeros(N_BATCH, N_COLUMNS), proposer, 1))
    assert certificate.retries[:, 0].tolist() == [1, 0, 1]
    assert certificate.analytic[:, 0].tolist() == [True, False, True]
    torch.testing.assert_close(last.point.x, target)


def test_later_proposals_are_made_only_if_needed(rng):
    """A proposer is asked for its second try only after the first one failed."""
    target = 10.0 * draw(rng, N_BATCH, N_COLUMNS)
    objective = separable_huber(target)
    proposer = HuberProposer(objective, target, raises=(1.0, 2.0, 4.0))
    certify(descend(objective, zeros(N_BATCH, N_COLUMNS), proposer, 3))
    assert proposer.seen == [1.0, 1.0, 1.0]


def test_no_proposals(rng):
    """A proposer without ideas leaves the iterate where it is, and that is reported."""
    objective = separable_huber(draw(rng, 2, 3))
    last, certificate = certify(descend(objective, zeros(2, 3), lambda point: (), 2))
    assert certificate.stalled.all()
    assert (last.point.x == 0).all()


def test_odd_input():
    """A constant function stays where it is; an integer start is refused in words."""
    x, certificate = minimize(lambda x, index: torch.ones(len(x)), torch.zeros(2, 3), n_steps=2)
    assert (x == 0).all()
    assert (certificate.objective == 1).all()
    with pytest.raises(ValueError, match="floating point"):
        minimize(lambda x, index: x.sum(1), torch.zeros(2, 3, dtype=torch.int64))
