"""Devices that fail: batches get smaller, then the CPU goes on, and the user is told."""

import importlib.util
import logging
import pickle
import sys
from dataclasses import replace
from functools import partial

import mne
import numpy as np
import pytest
import torch

from core_cases import random_network
from mne_cases import make_evoked, make_fwd, make_info, normal_gain
from mne_mmnet import (
    apply_mmnet_inverse,
    apply_mmnet_inverse_epochs,
    apply_mmnet_inverse_raw,
    make_mmnet_operator,
)
from mne_mmnet._support import devices
from mne_mmnet._support.devices import keep_triton_out, recognise
from mne_mmnet.inverse import operator as operator_module
from mne_mmnet.simulation import PAIR
from mne_mmnet.training import train
from mne_mmnet.training.confidence import score_peaks
from mne_mmnet.training.fine_tuning.evidence import measure
from mne_mmnet.training.gradient import Gradient
from mne_mmnet.training.loop import Space, final_loss, part_loss, pose_batch
from mne_mmnet.training.parts import Parts
from process_cases import run_python
from test_training import CONFIG, ring_people

INFO, FWD = make_info(32), make_fwd()
N_TIMES = 30
GPU = torch.device("cuda", 0)
NO_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
LOST = RuntimeError("CUDA error: device lost\nCUDA kernel errors might be asynchronously reported")


class Failing:
    """A route on a GPU that fails on request, though in truth it computes on the CPU."""

    def __init__(self, route, fails, device=GPU):
        self.route, self.fails, self.device, self.sizes = route, fails, device, []

    def solve(self, data, *args):
        self.sizes.append(len(data))
        if (error := self.fails(len(data), len(self.sizes))) is not None:
            raise error
        return self.route.solve(data, *args)


@pytest.fixture(scope="module")
def whole():
    return make_mmnet_operator(INFO, FWD)


def make_failing(whole, fails, device=GPU):
    """Return the same operator on a device that fails, and that device's route."""
    route = Failing(whole.route, fails, device)
    return replace(whole, route=route), route


def make_epochs(n_epochs=6):
    rng = np.random.default_rng(0)
    gain = normal_gain(FWD, INFO)
    wave = 5e-8 * np.sin(np.linspace(0, 6, N_TIMES))
    data = rng.uniform(0.5, 1.5, (n_epochs, 1, 1)) * np.outer(gain[:, 10], wave)
    data += 0.2 * data.std() * rng.standard_normal(data.shape)
    return mne.EpochsArray(data, INFO, verbose=False)


def agree(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.data, other.data, atol=2e-4 * np.abs(other.data).max())


@pytest.mark.parametrize("most", [1, 2, 4])
def test_smaller_batches(whole, most):
    """Batches are halved until they fit, nothing is lost, and the size is remembered."""
    operator, route = make_failing(whole, lambda size, _: NO_MEMORY if size > most else None)
    epochs = make_epochs()
    with pytest.warns(RuntimeWarning, match=r"memory of device 'cuda:0'.*at a time") as caught:
        stcs = apply_mmnet_inverse_epochs(epochs, operator, batch_size=6)
    agree(stcs, apply_mmnet_inverse_epochs(epochs, whole, batch_size=6))
    assert len(caught) == 1
    assert f"solved {dict([(1, 1), (2, 1), (4, 3)])[most]} at" in str(caught[0].message)  # 6, 3, 1
    assert operator.device == GPU
    route.sizes.clear()
    apply_mmnet_inverse_epochs(epochs, operator, batch_size=6)  # without a warning
    assert max(route.sizes) <= most


def test_memory_of_a_single_recording(whole):
    """What does not fit at all is computed on the CPU, now and from then on."""
    operator, route = make_failing(whole, lambda *_: NO_MEMORY)
    epochs = make_epochs(2)
    with pytest.warns(RuntimeWarning, match="a single recording. Computing goes on with the CPU"):
        stcs = apply_mmnet_inverse_epochs(epochs, operator, batch_size=2)
    assert route.sizes == [2, 1]
    assert operator.device.type == "cpu"
    assert "cpu>" in repr(operator)
    agree(stcs, apply_mmnet_inverse_epochs(epochs, whole, batch_size=2))
    apply_mmnet_inverse(epochs.average(), operator)  # without a warning
    assert route.sizes == [2, 1]


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_device_lost(whole, attempt):
    """A GPU that disappears, at the beginning or later, costs time only."""
    operator, route = make_failing(whole, lambda _, count: LOST if count >= attempt else None)
    epochs = make_epochs()
    with pytest.warns(RuntimeWarning, match="does not answer any more.*goes on with the CPU"):
        stcs = apply_mmnet_inverse_epochs(epochs, operator, batch_size=2)
    agree(stcs, apply_mmnet_inverse_epochs(epochs, whole, batch_size=2))
    assert len(route.sizes) == attempt
    assert operator.device.type == "cpu"


def test_raw_and_uncertainty(whole):
    """Windows of continuous data and posterior spreads are put together, too."""
    epochs = make_epochs(1)
    data = np.tile(epochs.get_data()[0], 4)
    raw = mne.io.RawArray(data, INFO, verbose=False)
    operator, _ = make_failing(whole, lambda size, _: NO_MEMORY if size > 1 else None)
    options = dict(window=N_TIMES / INFO["sfreq"])
    with pytest.warns(RuntimeWarning, match="1 at a time"):
        found = apply_mmnet_inverse_raw(raw, operator, **options)
    agree([found], [apply_mmnet_inverse_raw(raw, whole, **options)])
    whitened = np.random.default_rng(0).standard_normal((3, whole.prepared.n_rank, 10))
    parts, reports = operator.solve(whitened, uncertainty=True)
    one, expected = whole.solve(whitened, uncertainty=True)
    assert len(reports) == 3
    # single precision, summed in another order
    np.testing.assert_allclose(parts.spread.std, one.spread.std, rtol=1e-3)
    np.testing.assert_allclose(parts.spread.probability.sum(1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(reports[2].objective, expected[2].objective, rtol=1e-4)
    np.testing.assert_allclose(parts.noise_level, one.noise_level, rtol=1e-3)


def test_no_memory_anywhere(whole):
    """Without memory on the CPU there is one error that says what to do; the operator lives."""
    full = lambda *_: RuntimeError("DefaultCPUAllocator: can't allocate memory")  # noqa: E731
    operator, route = make_failing(whole, full, torch.device("cpu"))
    evoked = make_evoked(INFO)
    with pytest.raises(MemoryError, match="fewer samples.*coarser source space"):
        apply_mmnet_inverse(evoked, operator)
    route.fails = lambda *_: None
    with pytest.warns(RuntimeWarning, match="not be trusted|Don't read"):
        apply_mmnet_inverse(evoked, operator)


def test_other_errors_are_passed_on(whole):
    """Mistakes in the program are no trouble of the device."""
    wrong = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    operator, _ = make_failing(whole, lambda *_: wrong)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        apply_mmnet_inverse(make_evoked(INFO), operator)
    operator, _ = make_failing(whole, lambda *_: LOST, torch.device("cpu"))
    with pytest.raises(RuntimeError, match="device lost"):
        apply_mmnet_inverse(make_evoked(INFO), operator)


@pytest.mark.parametrize(("error", "words"), [(NO_MEMORY, "enough memory"), (LOST, "any more")])
def test_failure_while_preparing(monkeypatch, error, words):
    """The lead field is put on the CPU if the GPU can't take it."""
    prepare = operator_module._prepare_route

    def fail_on_gpu(*args):
        if args[-1].type == "cuda":
            raise error
        return prepare(*args)

    monkeypatch.setattr(operator_module, "_prepare_route", fail_on_gpu)
    monkeypatch.setattr(operator_module, "pick_device", lambda device: GPU)
    with pytest.warns(RuntimeWarning, match=words):
        operator = make_mmnet_operator(INFO, FWD)
    assert operator.device.type == "cpu"


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (NO_MEMORY, "memory"),
        (MemoryError(), "memory"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), "memory"),
        (RuntimeError("CUDA error: out of memory"), "memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublas"), "memory"),
        (LOST, "device"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "device"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "device"),
        (RuntimeError("linalg.cholesky: The factorization could not be completed"), None),
        (ValueError("CUDA error"), None),
    ],
    ids=str,
)
def test_recognise(error, trouble):
    """Drivers and libraries say the same in many words."""
    assert recognise(error) == trouble


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_real_gpu_without_memory():
    """The real thing: a GPU of which nearly nothing may be used."""
    operator = make_mmnet_operator(INFO, FWD, device="cuda")
    epochs = make_epochs(64)
    expected = apply_mmnet_inverse_epochs(epochs, make_mmnet_operator(INFO, FWD, device="cpu"))
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**23) / total)
    try:
        with pytest.warns(RuntimeWarning, match=r"at a time|with the CPU"):
            stcs = apply_mmnet_inverse_epochs(epochs, operator, batch_size=64)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    agree(stcs, expected)


def test_operator_can_be_sent_to_another_process(whole):
    """It survives pickling, for joblib and Dask."""
    again = pickle.loads(pickle.dumps(whole))
    evoked = make_epochs(1).average()
    agree([apply_mmnet_inverse(evoked, again)], [apply_mmnet_inverse(evoked, whole)])


# Training ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [2, 3, 5])
def test_gradients_add_up(most, caplog, monkeypatch):
    """A batch that does not fit is backpropagated in parts; the gradient is the same.

    Recordings stay with their windows, whose difference the loss has a term for.
    """
    monkeypatch.setattr(logging.getLogger("mne"), "propagate", True)  # MNE 1.9 keeps it to itself
    network = random_network(0, 0.1).requires_grad_(True)
    learned = [*network.hyperprior.parameters(), *network.curvature.parameters()]
    space = Space(ring_people(), network.config)
    batch = space.simulate(CONFIG.simulation, 8, 0)
    sizes = []

    def loss_of(part):
        sizes.append(part.stop - part.start)
        if sizes[-1] > most:
            raise NO_MEMORY
        return part_loss(network, space, batch, 2, part)

    expected = Gradient(learned)(partial(part_loss, network, space, batch, 2), 8)
    whole = [parameter.grad.clone() for parameter in learned]
    gradient = Gradient(learned, PAIR)
    assert gradient(loss_of, 8) == pytest.approx(expected, rel=1e-4)
    assert "recordings at once; they are taken" in caplog.text
    assert gradient.parts.most == most // 2 * 2
    assert all(size % 2 == 0 for size in sizes)
    for parameter, other in zip(learned, whole, strict=True):
        torch.testing.assert_close(parameter.grad, other, rtol=1e-2, atol=1e-4)
    sizes.clear()
    gradient(loss_of, 8)
    assert max(sizes) <= most  # remembered


@pytest.mark.parametrize(
    ("unit", "n_batch", "tried", "words"),
    [(1, 5, [5, 2, 1], "a single recording"), (2, 14, [14, 6, 2], "2 recordings")],
)
def test_parts_that_stay_together(unit, n_batch, tried, words):
    """Parts get smaller, but never than what belongs together; then it is an error."""
    parts, sizes = Parts("cpu", unit), []

    def work(slices):
        assert [part.start for part in slices[1:]] == [part.stop for part in slices[:-1]]
        assert (slices[0].start, slices[-1].stop) == (0, n_batch)
        assert all((part.stop - part.start) % unit == 0 for part in slices)
        sizes.append(slices[0].stop)
        raise NO_MEMORY

    with pytest.raises(MemoryError, match=f"not enough for {words}"):
        parts(work, n_batch)
    assert sizes == tried


def allow(most, monkeypatch):
    """Have memory for that many recordings at once, in everything but simulation."""

    def pose(network, space, batch):
        if len(batch.data) > most:
            raise NO_MEMORY
        return pose_batch(network, space, batch)

    for module in ("loop", "confidence", "fine_tuning.evidence"):
        monkeypatch.setattr(f"mne_mmnet.training.{module}.pose_batch", pose)


def scores(network, space, batch, parts):
    return measure(network, space, [batch], parts)


@pytest.mark.parametrize("compute", [final_loss, score_peaks, scores])
def test_validation_in_parts(compute, monkeypatch):
    """What is computed without gradients is the same in parts, as far as batches go."""
    network = random_network(0, 0.1)
    space = Space(ring_people(), network.config)
    batch = space.simulate(CONFIG.simulation, 6, 0)
    expected = compute(network, space, batch, Parts("cpu", PAIR))
    allow(3, monkeypatch)
    parts = Parts("cpu", PAIR)
    found = compute(network, space, batch, parts)
    assert parts.most == 2
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_training_with_little_memory(tmp_path, monkeypatch):
    """Training and validation both go on with what fits, to the same end."""
    monkeypatch.setattr("mne_mmnet.training.loop._N_VALIDATION", 2)
    config = replace(CONFIG, batch_size=6)
    _, expected = train(config, tmp_path / "whole", [ring_people()], save_every=2)
    allow(2, monkeypatch)
    _, found = train(config, tmp_path / "parts", [ring_people()], save_every=2)
    assert found == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (NO_MEMORY, MemoryError, "not enough for 2 recordings"),
        (LOST, RuntimeError, "does not answer any more.*last checkpoint is whole"),
        (ValueError("mistake"), ValueError, "mistake"),
    ],
    ids=["memory", "device", "mistake"],
)
def test_training_stops_clearly(tmp_path, monkeypatch, error, kind, words):
    """What can't go on says why; the last checkpoint is there to go on from."""
    monkeypatch.setattr("mne_mmnet.training.loop._N_VALIDATION", 1)
    compute, left = part_loss, [4]

    def fail(*args):
        if left[0] == 0:
            raise error
        left[0] -= 1
        return compute(*args)

    monkeypatch.setattr("mne_mmnet.training.loop.part_loss", fail)
    with pytest.raises(kind, match=words):
        train(CONFIG, tmp_path, [ring_people()], save_every=2)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["batch"] == 4
    left[0] = -1
    train(CONFIG, tmp_path, [ring_people()], save_every=2)
    assert left[0] == -3  # the two that were left


@pytest.mark.parametrize(
    ("libraries", "imported", "kept_out"),
    [
        (b"7f00-7f01 r-xp 0 00:00 1 /usr/lib/libLLVM-15.so.1\n", False, True),
        (b"7f00-7f01 r-xp 0 00:00 1 /usr/lib/libLLVM-15.so.1\n", True, False),
        (b"7f00-7f01 r-xp 0 00:00 1 /usr/lib/libGL.so.1\n", False, False),
        (None, False, False),
    ],
    ids=["drawn", "imported before", "not drawn", "not Linux"],
)
def test_when_triton_is_kept_out(libraries, imported, kept_out, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "_LIBRARIES", tmp_path / "maps")
    if libraries is not None:
        (tmp_path / "maps").write_bytes(libraries)
    monkeypatch.setitem(sys.modules, "triton", sys)
    if not imported:
        del sys.modules["triton"]
    keep_triton_out()
    assert sys.modules.get("triton", "free") == (None if kept_out else sys if imported else "free")


AFTER_DRAWING = {
    "an optimiser": """
keep_triton_out()
weight = torch.nn.Parameter(torch.ones(3))
optimiser = torch.optim.AdamW([weight])
weight.sum().backward()
optimiser.step()
""",
    "a majorant of one's own loss": """
minimize(lambda x, index: x.abs().pow(1.5).sum(1), torch.ones(2, 4), n_steps=2)
""",
}


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
@pytest.mark.parametrize("what", AFTER_DRAWING)
def test_triton_after_drawing(what):
    """Without ``keep_triton_out`` these are segmentation faults where Mesa draws."""
    code = """
import pyvista, torch
from mne_mmnet._support.devices import keep_triton_out
from mne_mmnet.solver import minimize
plotter = pyvista.Plotter(off_screen=True)
plotter.add_mesh(pyvista.Sphere())
plotter.screenshot()
plotter.close()
"""
    run_python("-c", code + AFTER_DRAWING[what])
