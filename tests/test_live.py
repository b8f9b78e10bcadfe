"""Live streams: the newest window, what is dropped, and a stream that is lost."""

import importlib.util
import time
import uuid

import mne
import numpy as np
import pytest

from mne_cases import make_fwd, make_info
from mne_mmnet import (
    MMNetStream,
    apply_mmnet_filters,
    follow_stream,
    make_mmnet_filters,
    make_mmnet_operator,
)
from test_filters import assert_close, simulate

INFO, FWD = make_info(32), make_fwd()
SFREQ = 250.0


class Stream:
    """A stream whose samples come with the clock; the n-th sample is n everywhere."""

    info = INFO

    def __init__(self, dead_from=np.inf, back_from=np.inf):
        self.start, self.seen, self.connected = time.monotonic(), 0, True
        self.dead_from, self.back_from, self.n_connects = dead_from, back_from, 0

    def now(self):
        return time.monotonic() - self.start

    def count(self):
        now = self.now()
        return int(SFREQ * (now if now >= self.back_from else min(now, self.dead_from)))

    @property
    def n_new_samples(self):
        return self.count() - self.seen

    def get_data(self, winsize):
        self.seen = self.count()
        number = self.seen - round(winsize * SFREQ) + 1 + np.arange(round(winsize * SFREQ))
        return np.tile(number, (32, 1)).astype(float), number / SFREQ

    def disconnect(self):
        self.connected = False

    def connect(self):
        if self.dead_from <= self.now() < self.back_from:
            raise RuntimeError("no stream")
        self.connected, self.n_connects, self.seen = True, self.n_connects + 1, self.count()


def take(n, *args, **kwargs):
    """First windows of a stream."""
    found = []
    for one in follow_stream(*args, **kwargs):
        found.append(one)
        if len(found) == n:
            return found


def test_windows_follow_each_other():
    """The newest samples, one step after the other, with their latency."""
    stream = Stream()
    found = take(4, stream, lambda x: x[0], window=0.04, step=0.02, clock=stream.now)
    for one in found:
        assert one.currents.shape == (10,)
        np.testing.assert_array_equal(np.diff(one.currents), 1.0)
        assert one.timestamp == one.currents[-1] / SFREQ
        assert -1e-9 <= one.latency < 0.5
    steps = np.diff([one.timestamp for one in found])
    assert (steps >= 0.02 - 1e-9).all()


def test_slow_work_drops_windows():
    """What can't be kept up with is left out and counted, and the delay does not grow."""
    stream = Stream()

    def localize(data):
        time.sleep(0.1)
        return data

    found = take(4, stream, localize, window=0.02, clock=stream.now)
    assert all(one.n_dropped >= 3 for one in found[1:])
    assert max(one.latency for one in found) < 0.4


def test_reconnects():
    """A stream that falls silent is found again; one that does not come back is an error."""
    stream = Stream(dead_from=0.1, back_from=0.4)
    found = []
    for one in follow_stream(stream, np.copy, window=0.04, silence=0.1, clock=stream.now):
        found.append(one)
        if one.n_reconnected and one.timestamp > 0.4:
            break
    assert found[0].n_reconnected == 0
    assert found[-1].n_reconnected == stream.n_connects == 1
    lost = Stream(dead_from=0.1)
    with pytest.raises(TimeoutError, match="did not come back within 0.2 s"):
        take(20, lost, np.copy, window=0.04, silence=0.1, patience=0.2, clock=lost.now)


def test_bad_input():
    """Errors at once, not with the first window."""
    with pytest.raises(TypeError, match="localize must be a function"):
        follow_stream(Stream(), 1, window=0.1, clock=time.monotonic)
    with pytest.raises(TypeError, match="clock must be a function"):
        follow_stream(Stream(), np.copy, window=0.1, clock=3.0)
    with pytest.raises(ValueError, match="at least a sample"):
        follow_stream(Stream(), np.copy, window=0.1, step=0.001, clock=time.monotonic)


@pytest.mark.skipif(importlib.util.find_spec("mne_lsl") is None, reason="mne-lsl is missing")
@pytest.mark.parametrize("kind", ["stream", "filters"])
@pytest.mark.filterwarnings("ignore")
def test_player_as_amplifier(rng, kind):
    """MNE-LSL's player in place of an amplifier: currents of the samples that it sent."""
    from mne_lsl.player import PlayerLSL
    from mne_lsl.stream import StreamLSL

    epochs = simulate(rng, n_epochs=40)
    raw = mne.io.RawArray(np.hstack(epochs.get_data()), make_info(32, reference=False))
    operator = make_mmnet_operator(epochs.info, FWD)
    filters = make_mmnet_filters(epochs.average(), operator)
    push = MMNetStream(operator, epochs.info).push
    if kind == "filters":

        def push(data):
            return apply_mmnet_filters(data, filters, info=epochs.info)

    seen = []

    def localize(data):
        seen.append(data.copy())
        return push(data)

    push(np.ascontiguousarray(epochs.get_data()[0]))  # libraries get ready
    name = f"test-{uuid.uuid4().hex}"
    with PlayerLSL(raw, chunk_size=5, name=name, source_id=name):
        stream = StreamLSL(2.0, name=name).connect(timeout=10.0)
        found = take(5, stream, localize, window=0.2)
        stream.disconnect()
    data = raw.get_data()
    for one, sent in zip(found, seen, strict=True):
        place = np.abs(data[:, :-50, None][:, :, 0] - sent[:, :1]).sum(axis=0).argmin()
        assert_close(sent, data[:, place : place + 50], 1e-6)
        assert_close(one.currents, push(sent), 1e-4)
        assert -5 / SFREQ < one.latency < 1.0  # the player dates a chunk ahead
    assert found[0].n_dropped == 0
