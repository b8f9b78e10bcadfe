"""Majorization of the evidence objective: inequality, curvature, minimiser."""

from itertools import pairwise

import pytest
import torch
from scipy.optimize import minimize_scalar

from core_cases import random_objective
from mne_mmnet.majorant import EvidenceMajorant

N_DRAWS = 2000
ORIENT = pytest.mark.parametrize("orient", ["fixed", "free", "evidence"])


def majorant_at(objective, v):
    factor = objective.evaluate(v)
    return EvidenceMajorant(*objective.coefficients(factor)), factor.value


@ORIENT
@pytest.mark.parametrize("spread", [1e-2, 1.0, 6.0])
def test_majorizes(orient, spread, rng):
    """J(v + δ) ≤ m_o(δ) for every o ≥ 1, near and far."""
    objective, v = random_objective(rng, n_batch=N_DRAWS // 4, orient=orient)
    majorant, value = majorant_at(objective, v)
    for _ in range(4):
        step = spread * torch.as_tensor(rng.standard_normal(v.shape))
        factor = torch.as_tensor(1.0 + rng.exponential(0.5, v.shape) * (rng.uniform() < 0.5))
        bound = value + majorant.increase(step, factor)
        # steps along single coordinates are the hardest for a separable bound
        new = objective.evaluate(v + step).value
        slack = 1e-9 * (1 + value.abs() + bound.abs())
        assert (new <= bound + slack).all()


@ORIENT
def test_majorizes_along_coordinates(orient, rng):
    """The same along single coordinates, where there is no slack from the others."""
    objective, v = random_objective(rng, n_batch=1, orient=orient)
    majorant, value = majorant_at(objective, v)
    n_variances = v.shape[1]
    for size in (-4.0, -0.5, 0.1, 1.0, 4.0):
        for i in range(n_variances):
            step = torch.zeros_like(v)
            step[0, i] = size
            new = objective.evaluate(v + step).value
            assert new <= value + majorant.increase(step) + 1e-9


def test_touches(rng):
    """m(0) = J and the gradients agree, whatever the factor."""
    objective, v = random_objective(rng)
    majorant, _ = majorant_at(objective, v)
    step = torch.zeros_like(v, requires_grad=True)
    for factor in (0.1, 1.0, 2.0):
        increase = majorant.increase(step, factor)
        assert (increase == 0).all()
        (gradient,) = torch.autograd.grad(increase.sum(), step)
        torch.testing.assert_close(gradient, majorant.gradient)


@ORIENT
def test_curvature_dominates_dense_hessian(orient, rng):
    """diag(a + b) minus the dense Hessian of J is positive semidefinite."""
    objective, v = random_objective(rng, n_batch=1, orient=orient)
    majorant, _ = majorant_at(objective, v)
    hessian = torch.autograd.functional.hessian(
        lambda x: objective.evaluate(x[None]).value[0], v[0]
    )
    gap = torch.linalg.eigvalsh(torch.diag(majorant.curvature[0]) - hessian)
    assert gap.min() > -1e-9
    # not a trivial bound: some curvature is used
    assert torch.linalg.eigvalsh(hessian).max() > 1e-3


def test_curvature_of_the_factor(rng):
    """The second derivative of m_o at 0 is o (a + b)."""
    objective, v = random_objective(rng, n_batch=1)
    majorant, _ = majorant_at(objective, v)
    factor = torch.as_tensor(rng.uniform(0.1, 2.0, v.shape))
    hessian = torch.autograd.functional.hessian(
        lambda step: majorant.increase(step[None], factor)[0], torch.zeros_like(v[0])
    )
    torch.testing.assert_close(hessian, torch.diag((factor * majorant.curvature)[0]))


@pytest.mark.parametrize("factor", [0.2, 1.0, 1.7])
def test_minimiser(factor, rng):
    """The closed form agrees with a brute-force search, coordinate by coordinate."""
    objective, v = random_objective(rng, n_batch=1)
    majorant, _ = majorant_at(objective, v)
    step = majorant.minimiser(torch.full_like(v, factor), max_step=50.0)
    for i in range(v.shape[1]):

        def along(x, i=i):
            trial = torch.zeros_like(v)
            trial[0, i] = x
            return float(majorant.increase(trial, factor)[0])

        found = minimize_scalar(along, bounds=(-40, 40), method="bounded", options={"xatol": 1e-9})
        assert along(float(step[0, i])) <= found.fun + 1e-9


@ORIENT
def test_box_keeps_descent(orient, rng):
    """A step cut by its bound or by the box of the variances decreases the majorant and J."""
    objective, v = random_objective(rng, n_batch=200, orient=orient)
    v = objective.project(v * 4.0)
    majorant, value = majorant_at(objective, v)
    for max_step in (0.1, 1.0, 4.0):
        target = objective.project(v + majorant.minimiser(torch.ones_like(v), max_step))
        assert (majorant.increase(target - v) <= 1e-9).all()
        new = objective.evaluate(target).value
        assert (new <= value + 1e-9 * (1 + value.abs())).all()


def test_monotone_in_the_factor(rng):
    """A larger o is a larger function: raising the curvature can only make a step safer."""
    objective, v = random_objective(rng, n_batch=50)
    majorant, _ = majorant_at(objective, v)
    step = 2.0 * torch.as_tensor(rng.standard_normal(v.shape))
    values = [majorant.increase(step, factor) for factor in (0.1, 0.5, 1.0, 1.5, 4.0)]
    for low, high in pairwise(values):
        assert (low <= high + 1e-9 * (1 + high.abs())).all()


def test_zero_coefficients_are_finite():
    """No data power at all: the step is the bound, not infinity."""
    zero = torch.zeros(1, 3)
    majorant = EvidenceMajorant(torch.ones(1, 3), zero)
    assert (majorant.minimiser(torch.ones(1, 3), 4.0) == -4.0).all()
    assert (EvidenceMajorant(zero, zero).minimiser(torch.ones(1, 3), 4.0) == 0.0).all()
    assert torch.isfinite(majorant.increase(-4.0 * torch.ones(1, 3))).all()
