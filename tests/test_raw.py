"""Continuous data and streams."""

import mne
import numpy as np
import pytest

from mne_cases import normal_gain
from mne_mmnet import (
    MMNetStream,
    apply_mmnet_inverse,
    apply_mmnet_inverse_raw,
    make_mmnet_operator,
)
from test_filters import FWD, INFO, LABEL

N_TIMES = 600


@pytest.fixture(scope="module")
def operator():
    return make_mmnet_operator(INFO, FWD)


@pytest.fixture
def raw(rng, tmp_path):
    """Two dipoles that take turns, 10 dB above the noise, from a file that is not preloaded."""
    waves = 5e-8 * np.sin(np.arange(N_TIMES) / 4.0) * np.ones((2, 1))
    waves[0, N_TIMES // 2 :] = waves[1, : N_TIMES // 2] = 0.0
    data = normal_gain(FWD, INFO)[:, [10, 200]] @ waves
    data += rng.standard_normal(data.shape) * np.sqrt(np.mean(data**2) / 10)
    path = tmp_path / "test_raw.fif"
    mne.io.RawArray(data, INFO, verbose=False).save(path, verbose=False)
    return mne.io.read_raw_fif(path, preload=False, verbose=False)


def test_one_window_is_an_evoked(raw, operator):
    """A window as long as the range is what an evoked of it would be."""
    stc = apply_mmnet_inverse_raw(raw, operator, start=100, stop=200, window=10.0)
    data = raw.get_data(start=100, stop=200)
    alone = apply_mmnet_inverse(mne.EvokedArray(data, raw.info, verbose=False), operator)
    np.testing.assert_allclose(stc.data, alone.data, rtol=1e-5, atol=1e-14)
    assert stc.tmin == raw.times[100]
    np.testing.assert_allclose(stc.times, raw.times[100:200])


def test_fading(raw, operator):
    """Windows are faded into each other with weights sin², written out here."""
    n_window, step, stop = 100, 50, 230
    starts = [0, 50, 100, 130]
    # lengths are not linear, currents along the normals are
    stc = apply_mmnet_inverse_raw(
        raw, operator, stop=stop, window=n_window / raw.info["sfreq"], pick_ori="normal"
    )
    total, weight = np.zeros_like(stc.data), np.zeros(stop)
    for first in starts:
        data = raw.get_data(start=first, stop=first + n_window)
        evoked = mne.EvokedArray(data, raw.info, verbose=False)
        alone = apply_mmnet_inverse(evoked, operator, pick_ori="normal")
        for k in range(n_window):
            share = np.sin(np.pi * (k + 0.5) / n_window) ** 2
            total[:, first + k] += share * alone.data[:, k]
            weight[first + k] += share
    assert step == n_window // 2
    np.testing.assert_allclose(stc.data, total / weight, atol=2e-4 * np.abs(stc.data).max())


@pytest.mark.parametrize("buffer_size", [1, 125, 10_000])
def test_buffers(raw, operator, buffer_size):
    options = dict(window=0.4, overlap=0.4)
    whole = apply_mmnet_inverse_raw(raw, operator, **options)
    pieces = apply_mmnet_inverse_raw(raw, operator, buffer_size=buffer_size, **options)
    np.testing.assert_allclose(
        pieces.data, whole.data, atol=2e-4 * np.abs(whole.data).max(), rtol=0
    )


def test_sources_are_followed(raw, operator):
    """What is active in the first half is not what is active in the second."""
    power = np.square(apply_mmnet_inverse_raw(raw, operator).data)
    halves = power[:, :250].sum(axis=1), power[:, 350:].sum(axis=1)
    assert [int(np.argmax(half)) for half in halves] == [10, 200]


def test_label_and_vectors(raw, operator):
    """A label restricts the estimate; vectors are faded before lengths are taken."""
    whole = apply_mmnet_inverse_raw(raw, operator)
    part = apply_mmnet_inverse_raw(raw, operator, label=LABEL)
    np.testing.assert_allclose(part.data, whole.in_label(LABEL).data, atol=1e-18)
    options = dict(loose=1.0, label=LABEL, stop=200)
    vectors = apply_mmnet_inverse_raw(raw, FWD, pick_ori="vector", **options)
    lengths = apply_mmnet_inverse_raw(raw, FWD, **options)
    np.testing.assert_allclose(vectors.magnitude().data, lengths.data, rtol=1e-6, atol=1e-20)


def test_time_func(raw, operator):
    """A function of the sensor data comes first, on all samples at once."""

    def flip(data):
        assert data.shape == (32, N_TIMES)
        return data[:, ::-1]

    stc = apply_mmnet_inverse_raw(raw, operator, time_func=flip, overlap=0.0, window=0.4)
    plain = apply_mmnet_inverse_raw(raw, operator, overlap=0.0, window=0.4)
    np.testing.assert_allclose(
        stc.data[:, ::-1], plain.data, atol=2e-3 * np.abs(plain.data).max(), rtol=0
    )
    with pytest.raises(ValueError, match=r"must keep the shape.*resample"):
        apply_mmnet_inverse_raw(raw, operator, time_func=lambda data: data[:, ::2])


def test_bad_input(raw, operator):
    cases = [
        (dict(start=300, stop=300), r"0 ≤ start < stop ≤ 600"),
        (dict(start=-1), r"0 ≤ start < stop ≤ 600"),
        (dict(stop=601), r"0 ≤ start < stop ≤ 600"),
        (dict(window=0), "window must be a length > 0"),
        (dict(overlap=1.0), "overlap must be between 0 and 0.9"),
        (dict(buffer_size=0), "buffer_size must be at least 1"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            apply_mmnet_inverse_raw(raw, operator, **options)
    with pytest.raises(TypeError, match="raw must be an instance of"):
        apply_mmnet_inverse_raw(raw.get_data(), operator)
    with pytest.raises(TypeError, match="time_func must be a function"):
        apply_mmnet_inverse_raw(raw, operator, time_func=3)


def test_stream(raw, operator):
    """A stream answers what an evoked would, and tells its latency."""
    stream = MMNetStream(operator, raw.info, label=LABEL)
    with pytest.raises(RuntimeError, match="No window was pushed"):
        _ = stream.latency
    for first in (0, 100, 200):
        data = raw.get_data(start=first, stop=first + 100)
        currents = stream.push(data)
        evoked = mne.EvokedArray(data, raw.info, verbose=False)
        alone = apply_mmnet_inverse(evoked, operator, label=LABEL)
        np.testing.assert_allclose(currents, alone.data, rtol=1e-5, atol=1e-16)
    latency = stream.latency
    assert latency.n_windows == 3
    assert 0 < latency.median <= latency.p95 <= latency.largest
    assert "median of 3 windows" in str(latency)
    np.testing.assert_array_equal(stream.vertices[0], LABEL.vertices)
    with pytest.raises(ValueError, match="32 channels of info"):
        stream.push(data[:-1])
    with pytest.raises(ValueError, match="The data lack"):
        MMNetStream(operator, mne.pick_info(raw.info, np.arange(20)))
