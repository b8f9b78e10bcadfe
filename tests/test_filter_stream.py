"""Windows through filters: what apply_mmnet_filters answers, with latency and warnings."""

import mne
import numpy as np
import pytest

from mne_cases import make_fwd, make_info
from mne_mmnet import (
    MMNetStream,
    apply_mmnet_filters,
    make_mmnet_filters,
    make_mmnet_operator,
)
from test_filters import FWD, INFO, LABEL, assert_close


@pytest.mark.parametrize("loose", [None, 0.0])
@pytest.mark.parametrize("pick_ori", [None, "normal", "vector"])
@pytest.mark.parametrize("label", [None, LABEL])
def test_windows(epochs, loose, pick_ori, label):
    """The same numbers and shapes, in any order of channels, with latency."""
    filters = make_mmnet_filters(epochs.average(), FWD, loose=loose)
    others = mne.create_info(["EOG"], 250.0, "eog")
    more = epochs.copy().add_channels(
        [mne.EpochsArray(np.full((4, 1, 50), 7.0), others, tmin=-0.04, verbose=False)],
        force_update_info=True,
    )
    more.reorder_channels(more.ch_names[::-1])
    stream = MMNetStream(filters, more.info, label=label, pick_ori=pick_ori)
    operator = make_mmnet_operator(epochs.info, FWD, loose=loose)
    solved = MMNetStream(operator, epochs.info, label=label, pick_ori=pick_ori)
    with pytest.raises(RuntimeError, match="No window was pushed"):
        _ = stream.latency
    for k, data in enumerate(epochs.get_data()):
        found = stream.push(more.get_data()[k])
        expected = apply_mmnet_filters(
            data, filters, info=epochs.info, label=label, pick_ori=pick_ori
        )
        assert_close(found, expected, 1e-12)
        assert stream.concerns == ()
    whole = solved.push(data)
    assert found.shape == whole.shape
    assert found.dtype == whole.dtype
    for a, b in zip(stream.vertices, solved.vertices, strict=True):
        np.testing.assert_array_equal(a, b)
    assert stream.latency.n_windows == 4
    assert 0 < stream.latency.median <= stream.latency.largest < 1.0
    # a single sample is a window
    assert_close(
        stream.push(more.get_data()[0][:, :1]),
        apply_mmnet_filters(
            epochs.get_data()[0][:, :1], filters, info=epochs.info, label=label, pick_ori=pick_ori
        ),
        1e-12,
    )


def test_other_source_spaces(epochs):
    filters = make_mmnet_filters(epochs.average(), make_fwd("volume"))
    data = epochs.get_data()[1]
    found = MMNetStream(filters, epochs.info).push(data)
    np.testing.assert_array_equal(found, apply_mmnet_filters(data, filters, info=epochs.info))
    with pytest.raises(RuntimeError, match="needs normals"):
        MMNetStream(filters, epochs.info, pick_ori="normal")


def test_fewer_channels(epochs):
    """Bad channels are left out once, when the stream is made; they may hold anything."""
    filters = make_mmnet_filters(epochs.average(), FWD)
    bad = epochs.copy()
    bad.info["bads"] = [bad.ch_names[4]]
    with mne.utils.catch_logging(verbose="info") as log:
        stream = MMNetStream(filters, bad.info)
    assert "without 1 channel (" in log.getvalue()
    data = bad.get_data()[0]
    expected = apply_mmnet_filters(data, filters, info=bad.info)
    data[4] = np.nan
    with mne.utils.catch_logging(verbose="info") as log:
        assert_close(stream.push(data), expected, 1e-12)
    assert log.getvalue() == ""


def test_warnings(epochs):
    """What is seen of a window is said once, and in concerns."""
    filters = make_mmnet_filters(epochs.average(), FWD)
    stream = MMNetStream(filters, epochs.info)
    data = epochs.get_data()[0]
    with pytest.warns(RuntimeWarning, match="divide data in µV by 1e6") as record:
        stream.push(1e6 * data)
    assert len(record) == 1
    stream.push(1e6 * data)  # warnings are errors here
    assert "divide data" in stream.concerns[0]
    flat = data.copy()
    flat[3] = flat[3, 0]
    with pytest.warns(RuntimeWarning, match=f"{INFO['ch_names'][3]}.* flat"):
        stream.push(flat)
    with pytest.warns(RuntimeWarning, match="smaller than any amplifier"):
        stream.push(1e-8 * data)
    stream.push(data)
    assert stream.concerns == ()
    noise = mne.EvokedArray(1e-6 * np.random.default_rng(0).standard_normal((32, 50)), INFO)
    with pytest.warns(RuntimeWarning, match="Don't read the estimate"):
        filters = make_mmnet_filters(noise, FWD)
    stream = MMNetStream(filters, epochs.info)
    stream.push(data)
    assert "Don't read the estimate" in stream.concerns[0]


def test_bad_input(epochs):
    """Errors when the stream is made, or with the first window that is wrong."""
    filters = make_mmnet_filters(epochs.average(), FWD)
    with pytest.raises(TypeError, match="operator must be an instance of"):
        MMNetStream(FWD, epochs.info)
    for given in (dict(nave=4), dict(n_steps=2)):
        with pytest.raises(ValueError, match="settled nave and n_steps.*apply_nave"):
            MMNetStream(filters, epochs.info, **given)
    with pytest.raises(ValueError, match="12 good ones of the 32 channels"):
        MMNetStream(filters, mne.pick_info(epochs.info, range(12)))
    stream, data = MMNetStream(filters, epochs.info), epochs.get_data()[0]
    for wrong in (data[:-1], data[0], data[None]):
        with pytest.raises(ValueError, match="the 32 channels of info, got"):
            stream.push(wrong)
    with pytest.raises(TypeError, match="must be real"):
        stream.push(data.astype(complex))
    with pytest.raises(ValueError, match="are empty"):
        stream.push(data[:, :0])
    for each in (stream, MMNetStream(make_mmnet_operator(epochs.info, FWD), epochs.info)):
        with pytest.raises(TypeError, match="are a masked array"):
            each.push(np.ma.masked_less(data, 0))
        with pytest.raises(TypeError, match="must be numbers"):
            each.push(data.astype(object))
    data[7, 3] = np.inf
    with pytest.raises(ValueError, match=f"NaN or infinite.*{epochs.ch_names[7]}"):
        stream.push(data)
    plain = MMNetStream(filters, make_info(32, reference=False))
    data = epochs.get_data()[0]
    with pytest.raises(ValueError, match="no average EEG reference"):
        plain.push(data + 1e-5)
    average = data - data.mean(axis=0)
    assert_close(plain.push(average), stream.push(data), 1e-9)
