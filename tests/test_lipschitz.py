"""How much Φ can stretch: bounds against dense matrices of tiny networks."""

import itertools
import math

import pytest
import torch

from core_cases import dense_convolution
from mne_mmnet.network import Autoencoder, lipschitz
from mne_mmnet.network.lipschitz import _Blocks, averaged_norm, convolution_norm, sdp_norm

N_TIMES = 3


def draw_kernels(rng, n_sources=5, width=2, kernel=3):
    """Kernels W₃, W₂ and W₁, of He's size."""
    shapes = ((n_sources, width), (width, width), (width, n_sources))
    return [
        torch.as_tensor(rng.standard_normal((*shape, kernel)) * (2 / (shape[1] * kernel)) ** 0.5)
        for shape in shapes
    ]


def worst_norm(kernels):
    """Largest ‖W₃ D₂ W₂ D₁ W₁‖: it is convex in each D, so at a corner."""
    three, two, one = (dense_convolution(kernel, N_TIMES) for kernel in kernels)
    corners = torch.tensor(
        list(itertools.product([0.0, 1.0], repeat=two.shape[0])), dtype=torch.float64
    )
    late = three * corners[:, None]  # W₃ D₂
    inner = two * corners[:, None]  # W₂ D₁
    return max(float(torch.linalg.matrix_norm(part @ inner @ one, ord=2).max()) for part in late)


def product_of_norms(kernels):
    return math.prod(map(convolution_norm, kernels))


@pytest.mark.parametrize("bound", [averaged_norm, sdp_norm])
def test_bounds_are_between_the_worst_case_and_the_product(bound, rng):
    """No choice of slopes stretches more; and the bound is tighter than the product of norms."""
    for _ in range(3):
        kernels = draw_kernels(rng)
        found = bound(*kernels)
        assert worst_norm(kernels) <= found
        assert found < 0.97 * product_of_norms(kernels)


def test_the_program_is_tighter(rng):
    """Semidefinite programming is better than averaging, which costs nothing."""
    kernels = draw_kernels(rng, n_sources=12, width=8)
    assert sdp_norm(*kernels) < 0.95 * averaged_norm(*kernels)


def test_one_weight_after_the_other_is_exact_enough(rng):
    """Of a layer without inner ones (identities of one channel) it is the norm itself."""
    (three, _, one), eye = draw_kernels(rng, width=1), torch.ones(1, 1, 1).double()
    assert averaged_norm(three, eye, one) == pytest.approx(
        convolution_norm(three) * convolution_norm(one), rel=0.1
    )


@pytest.mark.parametrize("n_times", [1, 2, 40])
def test_bounds_hold_for_any_length(n_times, rng):
    """Padding is one more diagonal factor: slopes of a real network, windows short and long."""
    kernels = draw_kernels(rng, n_sources=6, width=4)
    three, two, one = (dense_convolution(kernel, n_times) for kernel in kernels)
    bounds = averaged_norm(*kernels), sdp_norm(*kernels)
    for _ in range(20):
        first, second = (
            torch.as_tensor(rng.integers(0, 2, 4 * n_times)).double() for _ in range(2)
        )
        matrix = three @ (second[:, None] * (two @ (first[:, None] * one)))
        assert float(torch.linalg.matrix_norm(matrix, ord=2)) <= min(bounds)


def test_a_wrong_bound_is_not_proved(rng):
    """The certificate refuses a bound below the truth, whatever the multipliers."""
    kernels = draw_kernels(rng)
    worst = worst_norm(kernels)
    blocks = _Blocks(*kernels, 256)
    logs = blocks.start()
    assert blocks.holds(logs - 0.01, float(blocks.square(logs).max()) * 1.05, 2)
    for shift in (-3.0, -1.0, 0.0, 1.0):
        assert not blocks.holds(logs + shift, 0.98 * worst**2, 2)


def test_tighten_is_kept_until_weights_change(rng):
    """`tighten` makes ρ smaller, for these weights only; dilated layers take part."""
    for dilations in ((), (1, 2)):
        torch.manual_seed(0)
        net = Autoencoder(12, 8, dilations=dilations).requires_grad_(False)
        before = net.smoothness()
        after = net.tighten()
        assert after < 0.97 * before.slope
        assert net.smoothness() == before._replace(slope=after)
        net.kernels[0].mul_(2.0)
        assert net.smoothness().slope == pytest.approx(2.0 * before.slope, rel=1e-5)


def test_zero_weights():
    """A network that answers zero stretches nothing."""
    kernels = [torch.zeros(4, 3, 3), torch.zeros(3, 3, 3), torch.zeros(3, 4, 3)]
    assert averaged_norm(*kernels) < 1e-8
    assert sdp_norm(*kernels, n_iterations=3) < 1e-8


def test_multipliers_that_break_a_constraint(rng, monkeypatch):
    """Too large ones prove nothing, of the first layer or the second; Adam returns from them."""
    kernels = draw_kernels(rng)
    blocks = _Blocks(*kernels, 16)
    logs = blocks.start()
    assert blocks.square(logs) is not None
    for layer in (0, 1):
        assert blocks.square(logs + 3.0 * torch.eye(2, dtype=logs.dtype)[layer, :, None]) is None
    adam = torch.optim.Adam
    monkeypatch.setattr(torch.optim, "Adam", lambda values, lr: adam(values, lr=30.0 * lr))
    bound = sdp_norm(*kernels, n_iterations=8)
    three, two, one = (dense_convolution(kernel, N_TIMES) for kernel in kernels)
    linear = float(torch.linalg.matrix_norm(three @ two @ one, ord=2))  # all slopes 1
    assert linear <= bound < product_of_norms(kernels)


def test_a_bound_that_cannot_be_proved_is_infinite(rng, monkeypatch):
    monkeypatch.setattr(lipschitz, "_RAISES", (0.5,))
    assert sdp_norm(*draw_kernels(rng), n_iterations=5) == math.inf
