"""The paper's objective F and its regulariser: values, derivatives and the bounds of both."""

import numpy as np
import pytest
import torch

from core_cases import dense_convolution, draw
from mne_mmnet.network import Autoencoder
from mne_mmnet.network.autoencoder import Activation
from mne_mmnet.network.lipschitz import averaged_norm, convolution_norm
from mne_mmnet.objective import CosineObjective

N_BATCH, N_CHANNELS, N_SOURCES, N_TIMES = 4, 5, 9, 7
EPSILON = 0.3


def make_autoencoder(rng, n_sources, width, kernel=3, smoothing=0.0, dilations=()):
    """Float64 autoencoder with weights of the size that He's rule gives."""
    net = Autoencoder(n_sources, width, kernel, smoothing, dilations)
    net = net.double().requires_grad_(False)
    for weight in (*net.kernels, *net.context):
        weight.copy_(draw(rng, *weight.shape) * (2.0 / (weight.shape[1] * kernel)) ** 0.5)
    return net


def make_objective(rng, smoothing=0.0, weight=1.0, n_models=1):
    leadfield = draw(rng, n_models, N_CHANNELS, N_SOURCES)
    data = draw(rng, N_BATCH, N_CHANNELS, N_TIMES)
    return CosineObjective(
        leadfield,
        torch.linalg.matrix_norm(leadfield, ord=2),
        data / data.flatten(1).norm(dim=1)[:, None, None],
        make_autoencoder(rng, N_SOURCES, 6, smoothing=smoothing),
        weight,
    )


def cosine(a, b):
    return np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b))


def slow_convolution(weight, x):
    """W ∗ x with zeros beyond the ends, one output at a time."""
    n_out, n_in, kernel = weight.shape
    n_times = x.shape[1]
    out = np.zeros((n_out, n_times))
    for o in range(n_out):
        for t in range(n_times):
            for i in range(n_in):
                for k in range(kernel):
                    at = t + k - kernel // 2
                    if 0 <= at < n_times:
                        out[o, t] += weight[o, i, k] * x[i, at]
    return out


def slow_activation(t, smoothing):
    if not smoothing:
        return np.maximum(t, 0.0)
    return (t + np.sqrt(t * t + smoothing**2) - smoothing) / 2.0


@pytest.mark.parametrize("smoothing", [0.0, EPSILON])
@pytest.mark.parametrize("weight", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("n_models", [1, N_BATCH])
def test_value_against_numpy(smoothing, weight, n_models, rng):
    """F and its two parts are the formula's, evaluated sample by sample."""
    objective = make_objective(rng, smoothing, weight, n_models)
    x = draw(rng, N_BATCH, N_SOURCES, N_TIMES)
    point = objective.evaluate(x)
    kernels = [kernel.numpy() for kernel in objective.regulariser.kernels]
    for k in range(N_BATCH):
        image = x[k].numpy()
        for layer, kernel in enumerate(kernels):
            image = slow_activation(image, smoothing) if layer else image
            image = slow_convolution(kernel, image)
        leadfield = objective.leadfield[k % n_models].numpy()
        fidelity = 1.0 - cosine(objective.data[k].numpy(), leadfield @ x[k].numpy())
        regularity = 1.0 - cosine(x[k].numpy(), image)
        assert float(point.fidelity[k]) == pytest.approx(fidelity, abs=1e-12)
        assert float(point.regularity[k]) == pytest.approx(regularity, abs=1e-12)
        value = fidelity + weight * regularity
        assert float(objective.values(x)[k]) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, EPSILON])
@pytest.mark.parametrize("weight", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("n_models", [1, N_BATCH])
def test_gradient_against_autograd(smoothing, weight, n_models, rng):
    """The gradient written out is the one that automatic differentiation finds."""
    objective = make_objective(rng, smoothing, weight, n_models)
    x = draw(rng, N_BATCH, N_SOURCES, N_TIMES).requires_grad_(True)
    (expected,) = torch.autograd.grad(objective.values(x).sum(), x)
    found = objective.gradient(objective.evaluate(x.detach()))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, EPSILON])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_pullback_is_the_adjoint(smoothing, kernel, rng):
    """⟨c, ∇Φ d⟩ = ⟨∇Φᵀ c, d⟩."""
    net = make_autoencoder(rng, N_SOURCES, 6, kernel, smoothing)
    x, direction, cotangent = (draw(rng, 3, N_SOURCES, N_TIMES) for _ in range(3))
    _, pushed = torch.autograd.functional.jvp(lambda at: net(at)[0], x, direction)
    pulled = net.pullback(net(x)[1:], cotangent)
    torch.testing.assert_close((cotangent * pushed).sum(), (pulled * direction).sum())


@pytest.mark.parametrize("scale", [1e-6, 0.3, 1e6])
def test_free_of_scale(scale, rng):
    """With the ReLU, F(cx) = F(x), ∇F(cx) = ∇F(x)/c and ∇F ⟂ x."""
    objective = make_objective(rng)
    x = draw(rng, N_BATCH, N_SOURCES, N_TIMES)
    at, scaled = objective.evaluate(x), objective.evaluate(scale * x)
    torch.testing.assert_close(scaled.value, at.value, rtol=1e-12, atol=1e-12)
    gradient = objective.gradient(at)
    torch.testing.assert_close(objective.gradient(scaled) * scale, gradient)
    assert (gradient * x).sum((1, 2)).abs().max() < 1e-12


@pytest.mark.parametrize("zero", ["image", "data", "seen", "x"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_norms(zero, dtype, rng):
    """A cosine with a zero array counts as 0: value and gradient stay finite."""
    objective = make_objective(rng)
    x = draw(rng, N_BATCH, N_SOURCES, N_TIMES)
    if zero == "image":
        for kernel in objective.regulariser.kernels:
            kernel.abs_()
        x = -x.abs()  # the ReLU passes nothing
    elif zero == "data":
        objective.data.zero_()
    elif zero == "seen":
        objective.leadfield[..., :2] = 0.0
        x[:, 2:] = 0.0
    else:
        x.zero_()
    objective.regulariser.to(dtype)
    objective = CosineObjective(
        objective.leadfield.to(dtype),
        objective.norm,
        objective.data.to(dtype),
        objective.regulariser,
    )
    point = objective.evaluate(x.to(dtype))
    if zero != "image":
        assert (point.fidelity == 1.0).all()
    if zero in ("image", "x"):
        assert (point.regularity == 1.0).all()
    assert torch.isfinite(point.value).all()
    gradient = objective.gradient(point)
    assert gradient.dtype == dtype
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("n_models", [1, N_BATCH])
def test_select_is_a_subset(n_models, rng):
    """The objective of some samples has their values and gradients."""
    objective = make_objective(rng, 0.0, 0.7, n_models)
    x = draw(rng, N_BATCH, N_SOURCES, N_TIMES)
    point = objective.evaluate(x)
    for index in (torch.tensor([2]), torch.tensor([3, 0]), torch.arange(N_BATCH)):
        part = objective.select(index)
        found = part.evaluate(x[index])
        torch.testing.assert_close(found.value, point.value[index])
        torch.testing.assert_close(part.gradient(found), objective.gradient(point)[index])
        assert len(part.norm) == len(part.leadfield)


@pytest.mark.parametrize("smoothing", [1e-3, EPSILON, 10.0])
def test_smooth_relu(smoothing):
    """σ(0) = 0, σ' is autograd's, and σ'' is bounded by the bend, which is attained at 0."""
    activation = Activation(smoothing)
    t = torch.linspace(-20 * smoothing, 20 * smoothing, 4001, dtype=torch.float64)
    assert float(activation(torch.zeros(1, dtype=torch.float64))) == 0.0
    t.requires_grad_(True)
    (slope,) = torch.autograd.grad(activation(t).sum(), t)
    t.requires_grad_(False)
    torch.testing.assert_close(activation.slope(t), slope)
    assert ((slope > 0) & (slope < 1)).all()
    step = 1e-4 * smoothing
    second = (activation(t + step) - 2 * activation(t) + activation(t - step)) / step**2
    assert second.max() <= activation.bend * (1 + 1e-5)
    assert float(second[2000]) == pytest.approx(activation.bend, rel=1e-5)
    # between the ReLU and ε/2 below it
    gap = t.relu() - activation(t)
    assert (gap >= -1e-15).all()
    assert (gap <= smoothing / 2).all()


@pytest.mark.parametrize("t", [1e-30, 1e-8, -1e-8, 1e-4, -0.1, 1.0, 1e20])
def test_smooth_relu_in_single_precision(t):
    """Small and large arguments keep the digits that float32 has."""
    t = torch.tensor([t])
    found, exact = Activation(0.1)(t), Activation(0.1)(t.double())
    torch.testing.assert_close(found.double(), exact, rtol=5e-7, atol=0.0)


def test_relu_is_the_limit():
    """ε = 0 is the ReLU, whose bend is not counted."""
    activation = Activation(0.0)
    t = torch.tensor([-2.0, 0.0, 3.0])
    assert activation(t).tolist() == [0.0, 0.0, 3.0]
    assert activation.slope(t).tolist() == [0.0, 0.0, 1.0]
    assert activation.bend == 0.0


@pytest.mark.parametrize(
    ("n_out", "n_in", "kernel", "n_times"),
    [(1, 1, 1, 1), (1, 1, 3, 1), (3, 2, 3, 2), (2, 5, 3, 40), (4, 4, 5, 17), (6, 3, 7, 30)],
)
def test_convolution_norm_bounds(n_out, n_in, kernel, n_times, rng):
    """The bound is above the spectral norm of the convolution's matrix, at any length."""
    for _ in range(20):
        weight = draw(rng, n_out, n_in, kernel)
        exact = torch.linalg.matrix_norm(dense_convolution(weight, n_times), ord=2)
        assert float(exact) <= convolution_norm(weight) * (1 + 1e-12)


def test_convolution_norm_is_tight(rng):
    """Within 1 % of the matrix's norm for long signals."""
    for _ in range(10):
        weight = draw(rng, 2, 3, 3)
        exact = float(torch.linalg.matrix_norm(dense_convolution(weight, 150), ord=2))
        assert exact <= convolution_norm(weight) <= 1.01 * exact


@pytest.mark.parametrize("frequency", np.linspace(0.0, np.pi, 7))
def test_convolution_norm_between_frequencies(frequency):
    """A kernel whose response peaks between the sampled frequencies is bounded as well."""
    weight = torch.cos(frequency * torch.arange(-2.0, 3.0, dtype=torch.float64)).view(1, 1, 5)
    fine = torch.fft.rfft(weight, 1 << 16, dim=2).abs().max()
    assert float(fine) <= convolution_norm(weight) <= 1.02 * float(fine)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_broken_weights_have_no_norm(broken):
    weight = torch.ones(2, 2, 3)
    weight[0, 1, 2] = broken
    with pytest.raises(ValueError, match="not finite"):
        convolution_norm(weight)


def _derivatives(values, x):
    """Gradients (n_points, n_values, n) of values (n_points, n_values), each of its own point."""
    columns = values.sum(0)
    parts = [torch.autograd.grad(column, x, create_graph=True)[0] for column in columns]
    return torch.stack(parts, 1)


@pytest.mark.parametrize("dilations", [(), (1, 2)])
@pytest.mark.parametrize("smoothing", [0.02, EPSILON, 3.0])
def test_smoothness_bounds_dense_derivatives(smoothing, dilations, rng):
    """ρ ≥ ‖∇Φ‖, α ≥ max_i ‖∇²Φ_i‖ and a ≥ ‖D²Φ[d, d]‖/‖d‖², at many points of tiny networks."""
    n_sources, n_times, n_points = 2, 3, 60
    for _ in range(3):
        net = make_autoencoder(rng, n_sources, 3, smoothing=smoothing, dilations=dilations)
        rho, alpha, joint = net.smoothness()
        x = draw(rng, n_points, n_sources * n_times)
        x = x * torch.as_tensor(10.0 ** rng.uniform(-3, 2, (n_points, 1))) * smoothing
        # torch.func would import triton, which crashes where Mesa's LLVM is loaded
        x.requires_grad_(True)
        out = net(x.view(n_points, n_sources, n_times))[0].flatten(1)
        jacobian = _derivatives(out, x)
        assert torch.linalg.matrix_norm(jacobian, ord=2).max() <= rho
        hessian = _derivatives(jacobian.flatten(1), x).unflatten(1, (out.shape[1], -1)).detach()
        values, vectors = torch.linalg.eigh(hessian)
        assert values.abs().max() <= alpha
        # not a trivial bound
        assert values.abs().max() > (1e-4 if dilations else 1e-3) * alpha
        # the outputs' own worst directions, and random ones
        random = draw(rng, n_points, 200, n_sources * n_times)
        direction = torch.cat([vectors.mT.flatten(1, 2), random], 1)
        direction = direction / direction.norm(dim=2, keepdim=True)
        bent = torch.einsum("piab,pda,pdb->pdi", hessian, direction, direction).norm(dim=2)
        assert bent.max() <= joint


@pytest.mark.parametrize("smoothing", [0.0, EPSILON])
def test_dilated_layers(smoothing, rng):
    """They are the residual layers that they say they are; the pullback is their derivative."""
    n_times, dilations = 12, (1, 2, 4)
    net = make_autoencoder(rng, 3, 4, smoothing=smoothing, dilations=dilations)
    x = draw(rng, 2, 3, n_times).requires_grad_(True)
    image, *tape = net(x)

    def convolve(kernel, h, dilation=1):
        out = torch.zeros(len(h), len(kernel), n_times, dtype=h.dtype)
        for t in range(n_times):
            for tap in range(3):
                at = t + (tap - 1) * dilation
                if 0 <= at < n_times:
                    out[:, :, t] += h[:, :, at] @ kernel[:, :, tap].T
        return out

    encode, inner, decode = net.kernels
    h = net.activation(convolve(inner, net.activation(convolve(encode, x))))
    for kernel, dilation in zip(net.context, dilations, strict=True):
        h = h + net.activation(convolve(kernel, h, dilation))
    torch.testing.assert_close(image, convolve(decode, h))
    cotangent = draw(rng, *image.shape)
    (expected,) = torch.autograd.grad((image * cotangent).sum(), x)
    torch.testing.assert_close(net.pullback(tuple(tape), cotangent), expected)


def test_smoothness_follows_dilated_weights(rng):
    """A residual layer's kernel is among those whose change is noticed."""
    net = make_autoencoder(rng, 3, 4, dilations=(2,))
    plain = make_autoencoder(rng, 3, 4)
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if "context" not in k})
    for _ in range(2):
        encode, inner, decode = plain.kernels
        after = convolution_norm(decode) * (1.0 + convolution_norm(net.context[0]))
        expected = after * averaged_norm(torch.eye(4).double()[:, :, None], inner, encode)
        assert net.smoothness().slope == pytest.approx(expected)
        net.context[0].mul_(2.0)


@pytest.mark.parametrize("change", ["in place", "load", "convert"])
def test_smoothness_follows_the_weights(change, rng):
    """The bounds are kept between calls, and computed again once weights have changed."""
    net = make_autoencoder(rng, 3, 4, smoothing=EPSILON)
    before = net.smoothness()
    assert net.smoothness() is before
    if change == "in place":
        net.kernels[1].mul_(2.0)
    elif change == "load":
        state = {name: weight.clone() for name, weight in net.state_dict().items()}
        net.load_state_dict({**state, "kernels.1": 2.0 * state["kernels.1"]})
    else:
        net.to(torch.float32)
    expected = before.slope * (1.0 if change == "convert" else 2.0)
    assert net.smoothness() is not before
    assert net.smoothness().slope == pytest.approx(expected, rel=1e-6)


def test_smoothness_in_inference_mode():
    """Weights made in inference mode, which have no version, have bounds, and never stale ones."""
    with torch.inference_mode():
        net = Autoencoder(3, 4)
        before = net.smoothness().slope
        net.kernels[0].mul_(2.0)
        assert net.smoothness().slope == pytest.approx(2.0 * before)


def test_even_kernel_is_refused():
    """A kernel without a middle shifts the signal: refused."""
    with pytest.raises(ValueError, match="odd"):
        Autoencoder(3, 4, kernel=4)
