"""What the other tests don't reach: seldom used helpers, and mistakes that few make."""

import sys
from pathlib import Path

import mne
import numpy as np
import pooch
import pytest
import torch

import mne_cases as cases
from mne_mmnet._support import cache, devices
from mne_mmnet._support.files import remove_scratch
from mne_mmnet.baselines.classical import CLASSICAL, minimum_norm, minimum_norm_kernel
from mne_mmnet.inverse.operator import pick_device
from mne_mmnet.network.cosine import CosineConfig
from mne_mmnet.template import surfaces
from mne_mmnet.training import command
from mne_mmnet.viz.values import check_estimate, check_subject

FWD = cases.make_fwd(n_channels=32)
EVOKED = cases.make_evoked(cases.make_info(32))


@pytest.mark.parametrize("method", CLASSICAL)
def test_kernel_is_the_method(method):
    kernel = minimum_norm_kernel(EVOKED.info, FWD, method=method, snr=2.0)
    stc = minimum_norm(EVOKED, FWD, method=method, snr=2.0)
    np.testing.assert_allclose(kernel @ EVOKED.data, stc.data, atol=1e-8 * abs(stc.data).max())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(metric="diag"), "metric must be one of"),
        (dict(factor_min=1.0, factor_max=1.0), "factor_min < factor_max"),
        (dict(factor_min=0.0), "factor_min < factor_max"),
        (dict(hidden=0), "hidden must be > 0"),
        (dict(dropout=-0.1), "dropout must be >= 0"),
        (dict(anchored=True), "start_width"),
        *((dict(start_width=9, anchored=x), "must be True or False") for x in ("false", 0, None)),
    ],
)
def test_cosine_config(options, message):
    with pytest.raises(ValueError, match=message):
        CosineConfig(**options)


def test_default_cache(monkeypatch):
    monkeypatch.delenv("MNE_MMNET_CACHE", raising=False)
    assert cache.cache_dir() == Path(pooch.os_cache("mne_mmnet")) / f"v{surfaces.LAYOUT}"


def test_estimates_that_cannot_be_drawn():
    stc = minimum_norm(EVOKED, FWD)
    stc.data[0, 0] = np.nan
    with pytest.raises(ValueError, match="truth has values that are not finite"):
        check_estimate(stc, "truth")
    stc.data[0, 0] = 0.0
    assert check_estimate(stc) is stc
    stc.subject = None
    with pytest.raises(ValueError, match="Give the name of the subject"):
        check_subject(stc, None)
    assert check_subject(stc, "bert") == "bert"


def test_pictures_of_vectors_and_of_nothing():
    stc = minimum_norm(EVOKED, FWD)
    vectors = mne.VectorSourceEstimate(
        np.stack([3 * stc.data, 4 * stc.data, 0 * stc.data], axis=1), stc.vertices, 0.0, 0.01
    )
    np.testing.assert_allclose(check_estimate(vectors).data, 5 * np.abs(stc.data))
    stc.data = stc.data[:, :0]
    with pytest.raises(ValueError, match="truth has no sources or no samples"):
        check_estimate(stc, "truth")


@pytest.mark.parametrize("there", ["cuda", "mps", "cpu"])
def test_the_device_that_is_there_is_used(there, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there == "cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: there == "mps")
    assert pick_device("auto").type == there


@pytest.mark.parametrize("dilation", [0, -2])
def test_impossible_dilations(dilation):
    with pytest.raises(ValueError, match=rf"dilations must be > 0, got \(1, {dilation}\)"):
        CosineConfig(dilations=[1, dilation])


def test_leftovers_of_a_folder_that_is_gone(tmp_path):
    remove_scratch(tmp_path / "nowhere" / "log.jsonl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_memory_of_a_device_that_is_gone(kind, monkeypatch):
    """Nothing can be freed, which is no error of its own."""
    asked = []

    def fail():
        asked.append(kind)
        raise RuntimeError("device lost")

    monkeypatch.setattr(getattr(torch, kind), "empty_cache", fail)
    devices.free_memory(torch.device(kind))
    assert asked == [kind]


def test_threads_without_threadpoolctl(monkeypatch):
    """Torch's are limited all the same."""
    before = torch.get_num_threads()
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    try:
        with command._limit_threads(1):
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
