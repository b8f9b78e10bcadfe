"""Rounding: float32 against float64, repeated calls, batches, threads, training from a seed."""

import importlib.util
import os
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
import torch

import mne_mmnet
from mne_cases import make_cov, make_evoked, make_fwd, make_info
from mne_mmnet.training import train
from process_cases import run_python
from test_training import CONFIG, ring_people, weights

TESTS = Path(__file__).parent


def _load_double():
    """The reference of benchmarks/precision.py: the very same one."""
    path = TESTS.parent / "benchmarks" / "double.py"
    spec = importlib.util.spec_from_file_location("double_precision", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


in_double = _load_double().in_double


def make_recording(seed=0, fwd=None, n_times=20):
    """Two sources of a small head in noise of 1 µV."""
    fwd = make_fwd("surface", 32) if fwd is None else fwd
    evoked = make_evoked(make_info(32), seed=seed, n_times=n_times)
    rng = np.random.default_rng(seed)
    gain = fwd["sol"]["data"][:, rng.integers(fwd["sol"]["data"].shape[1], size=2)]
    signal = gain @ np.array([np.hanning(n_times), np.sin(np.arange(n_times) / 3.0)])
    evoked.data[:] += 3e-6 * signal / signal.std()
    return evoked


def bad_cov(info, condition):
    """A covariance of about 1 µV whose eigenvalues span so much."""
    rng = np.random.default_rng(2)
    n_channels = len(info["ch_names"])
    turn = np.linalg.qr(rng.standard_normal((n_channels, n_channels)))[0]
    data = 1e-12 * (turn * np.logspace(0, -np.log10(condition), n_channels)) @ turn.T
    return mne.Covariance(data, info["ch_names"], [], info["projs"], 1000)


# what it is, and the largest relative error of the currents: measured 1e-6 and 1e-4
CASES = {
    "covariance": (lambda info: make_cov(info), {}, 2e-5),
    "no covariance": (lambda _: None, {}, 2e-5),
    "signed": (lambda info: make_cov(info), dict(pick_ori="normal"), 2e-5),
    "fixed": (lambda info: make_cov(info), dict(loose=0.0), 2e-5),
    "free": (lambda info: make_cov(info), dict(loose=1.0), 2e-5),
    "loose": (lambda info: make_cov(info), dict(loose=0.2), 2e-5),
    "rank 12 of 32": (lambda info: make_cov(info, rank=12), {}, 2e-5),
    "condition 1e6": (lambda info: bad_cov(info, 1e6), {}, 2e-3),
    "condition 1e10": (lambda info: bad_cov(info, 1e10), {}, 2e-3),
    "condition 1e14": (lambda info: bad_cov(info, 1e14), {}, 2e-3),
    "condition 1e14, all of it": (lambda info: bad_cov(info, 1e14), dict(rank=dict(eeg=31)), 2e-3),
}


@pytest.mark.filterwarnings("ignore:.*outside the training domain.*:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.*will likely be unstable.*:RuntimeWarning")
@pytest.mark.parametrize("case", CASES)
def test_float32_agrees_with_float64(case):
    make, kwargs, tolerance = CASES[case]
    evoked, fwd = make_recording(), make_fwd("surface", 32)
    args = (evoked, fwd, make(evoked.info))
    single, report = mne_mmnet.apply_mmnet_inverse(*args, return_report=True, **kwargs)
    with in_double() as promote:
        double, exact = mne_mmnet.apply_mmnet_inverse(*args, return_report=True, **kwargs)
    # the reference is one: nothing but the weights, as they are read, was single
    n_weights = len(list(mne_mmnet.read_model().network.parameters()))
    assert promote.n_single == n_weights
    error = np.linalg.norm(single.data - double.data) / np.linalg.norm(double.data)
    assert 0.0 < error < tolerance
    strongest = [np.square(stc.data).sum(axis=1).argmax() for stc in (single, double)]
    assert strongest[0] == strongest[1]
    assert report.descended
    assert exact.descended
    np.testing.assert_allclose(report.objective, exact.objective, rtol=1e-3, atol=1e-2)


def test_reference_leaves_no_trace():
    with in_double():
        pass
    assert torch.get_default_dtype() == torch.float32
    assert torch.zeros(1, dtype=torch.float32).dtype == torch.float32


def test_same_call_twice_is_bitwise_equal():
    evoked, fwd = make_recording(), make_fwd("surface", 32)
    first, second = (
        mne_mmnet.apply_mmnet_inverse(evoked, fwd, make_cov(evoked.info), return_uncertainty=True)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first[0].data, second[0].data)
    for name in ("std", "peak_probability", "confidence"):
        pair = (getattr(both[1], name).data for both in (first, second))
        np.testing.assert_array_equal(*pair)


def make_epochs(n_epochs):
    data = np.stack([make_recording(seed).data for seed in range(n_epochs)])
    return mne.EpochsArray(data, make_info(32), baseline=None, verbose=False)


def test_batch_agrees_with_one_by_one():
    fwd, epochs = make_fwd("surface", 32), make_epochs(5)
    cov = make_cov(epochs.info)
    batch = mne_mmnet.apply_mmnet_inverse_epochs(epochs, fwd, cov)
    for stc, epoch in zip(batch, epochs.get_data(copy=False), strict=True):
        evoked = mne.EvokedArray(epoch, epochs.info, verbose=False)
        single = mne_mmnet.apply_mmnet_inverse(evoked, fwd, cov)
        error = np.linalg.norm(stc.data - single.data) / np.linalg.norm(single.data)
        assert error < 2e-5


# a batch of many and one of one: more threads than two are for large batches
_ESTIMATES = """
import sys
import mne
import numpy as np
import torch
torch.set_num_threads(int(sys.argv[2]))
import mne_mmnet
from mne_cases import make_cov, make_fwd
from test_precision import make_epochs
mne.set_log_level("error")
epochs = make_epochs(80)
given = make_fwd("surface", 32), make_cov(epochs.info)
stcs = mne_mmnet.apply_mmnet_inverse_epochs(epochs, *given)
stcs += mne_mmnet.apply_mmnet_inverse_epochs(epochs[:1], *given)
assert torch.get_num_threads() == int(sys.argv[2])
np.save(sys.argv[1], np.stack([stc.data for stc in stcs]))
"""


def test_threads_change_rounding_only(tmp_path):
    answers = {}
    for n_threads in ("1", "2", "4"):
        path = tmp_path / f"{n_threads}.npy"
        env = os.environ | dict(OMP_NUM_THREADS=n_threads, OPENBLAS_NUM_THREADS="1")
        env["PYTHONPATH"] = os.pathsep.join([str(TESTS), str(TESTS.parent)])
        run_python("-c", _ESTIMATES, path, n_threads, env=env)
        answers[n_threads] = np.load(path)
    one = answers["1"]
    for other in ("2", "4"):
        difference = np.linalg.norm(answers[other] - one, axis=(1, 2))
        assert (difference < 2e-5 * np.linalg.norm(one, axis=(1, 2))).all()


def test_training_is_reproducible(tmp_path, monkeypatch):
    """One thread: the same seed gives the same weights to the last bit, another one others."""
    monkeypatch.setattr("mne_mmnet.training.loop._N_VALIDATION", 2)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        config = replace(CONFIG, n_batches=3)
        first, again, other = (
            weights(train(replace(config, seed=seed), tmp_path / name, [ring_people()])[0])
            for name, seed in (("first", 3), ("again", 3), ("other", 4))
        )
    finally:
        torch.set_num_threads(before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
