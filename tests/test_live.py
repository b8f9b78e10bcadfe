"""Live streams: the newest window, what is dropped, and a stream that is lost."""

import importlib.util
import sys
import time
import uuid

import mne
import numpy as np
import pytest

from mne_cases import make_fwd, make_info
from mne_mmnet import (
    MMNetStream,
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


class Forgetful(Stream):
    """A stream that is as it was at first once it was connected again, as MNE-LSL's are."""

    picked = 20

    @property
    def info(self):
        return mne.pick_info(INFO, np.arange(self.picked))

    def connect(self):
        super().connect()
        self.picked = 32

    def get_data(self, winsize):
        data, stamps = super().get_data(winsize)
        return data[: self.picked], stamps


def test_what_was_done_to_a_stream():
    """A reconnected stream is prepared as it was, or refused: other channels are not localised."""
    lost = Forgetful(dead_from=0.1, back_from=0.3)
    options = dict(window=0.04, silence=0.1, clock=lost.now)
    with pytest.raises(RuntimeError, match="came back with other channels, units. Pass prepare="):
        take(1000, lost, np.copy, **options)

    def prepare(again):
        again.picked = 20

    stream = Forgetful(dead_from=0.1, back_from=0.3)
    options["clock"] = stream.now
    for one in follow_stream(stream, np.copy, prepare=prepare, **options):
        assert one.currents.shape == (20, 10)
        if one.n_reconnected:
            break
    assert one.n_reconnected == 1


def test_bad_input():
    """Errors at once, not with the first window."""
    with pytest.raises(TypeError, match="prepare must be a function"):
        follow_stream(Stream(), np.copy, window=0.1, prepare=1, clock=time.monotonic)
    apart, short = Stream(), Stream()
    apart.connected, short.n_buffer = False, 20
    with pytest.raises(RuntimeError, match="not connected"):
        follow_stream(apart, np.copy, window=0.1, clock=time.monotonic)
    with pytest.raises(ValueError, match="window has 25 samples, the stream's buffer 20"):
        follow_stream(short, np.copy, window=0.1, clock=time.monotonic)
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
    made = operator if kind == "stream" else make_mmnet_filters(epochs.average(), operator)
    push = MMNetStream(made, epochs.info).push
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


@pytest.mark.skipif(importlib.util.find_spec("mne_lsl") is None, reason="mne-lsl is missing")
@pytest.mark.filterwarnings("ignore")
def test_amplifier_that_comes_back(rng):
    """MNE-LSL forgets picks and references with the connection; prepare= repeats them."""
    from mne_lsl.player import PlayerLSL
    from mne_lsl.stream import StreamLSL

    epochs = simulate(rng, n_epochs=40)
    raw = mne.io.RawArray(np.hstack(epochs.get_data()), make_info(32, reference=False))
    raw.reorder_channels(raw.ch_names[::-1])
    name = f"test-{uuid.uuid4().hex}"

    def prepare(again):
        again.pick(INFO["ch_names"][:31])
        again.set_eeg_reference("average")

    player = PlayerLSL(raw, chunk_size=5, name=name, source_id=name).start()
    stream = StreamLSL(2.0, name=name).connect(timeout=10.0)
    prepare(stream)
    filters = make_mmnet_filters(epochs.average(), FWD)
    push, names = MMNetStream(filters, stream.info).push, list(stream.info["ch_names"])
    try:
        found = 0
        for one in follow_stream(stream, push, window=0.1, silence=0.3, prepare=prepare):
            found += 1
            if found == 3:
                player.stop()
                player = PlayerLSL(raw, chunk_size=5, name=name, source_id=name).start()
                stream.disconnect()  # what a long silence leads to
            if one.n_reconnected and found > 6:
                break
        assert one.n_reconnected == 1
        assert stream.info["ch_names"] == names
    finally:
        player.stop()
        if stream.connected:
            stream.disconnect()


def test_without_mne_lsl(monkeypatch):
    """Its clock is the streams': another package's streams need one of their own."""
    monkeypatch.setitem(sys.modules, "mne_lsl", None)
    monkeypatch.setitem(sys.modules, "mne_lsl.lsl", None)
    with pytest.raises(ImportError, match=r'pip install "mne_mmnet\[live\]"'):
        follow_stream(Stream(), np.copy, window=0.1)
