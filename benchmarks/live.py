"""Live: latency from sample to estimate, dropped windows, reconnection; 64 × 1175.

    pip install -c constraints.txt -e ".[live]"
    python benchmarks/live.py                   # four minutes

The player of MNE-LSL, in a process of its own, is the amplifier. Windows go through
``follow_stream`` into ``MMNetStream``, with the operator (each window's source variances are found
anew) and with filters (made of an average beforehand), at several steps from one window to the
next; alone, and beside one process a core that computes all the time.

``compute_ms`` is the time from array to currents. ``latency_ms`` is that from the moment when a
window's last sample arrived to the estimate: the player dates samples ahead of their arrival, by
up to a chunk (``findings/mne_lsl_player_ahead.sh``), which is measured with an inlet of its own
and added. Dropped windows are those that could not be kept up with. ``again_ms`` is the time from
the moment when the amplifier plays again, after 3 s and more without, to the first estimate of
what it plays. Writes ``live.csv``.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import threading
import time
import uuid

import mne
import mne_lsl
import numpy as np
from common import busy_cores, draw_dipoles, machine, make_info, write_rows
from mne_lsl.lsl import StreamInlet, local_clock, resolve_streams
from mne_lsl.player import PlayerLSL
from mne_lsl.stream import StreamLSL
from runner import RESULTS, made_by, make_parser, quiet, tell

import mne_mmnet

SFREQ, WINDOW, CHUNK = 250.0, 0.2, 5
STEPS = (0.2, 0.1, 0.04, 0.02)
AWAY = 3.0  # s


def main():
    """Measure everything."""
    parser = make_parser(__file__, __doc__, out=RESULTS / "live.csv", model=False)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each case")
    parser.add_argument("--play", help=argparse.SUPPRESS)
    args = parser.parse_args()
    quiet()
    mne_lsl.set_log_level("critical")
    info = make_info("biosemi64", SFREQ)
    fwd = mne_mmnet.make_template_forward(info)
    # no multiple of the chunk: at its end the player would send all of it at once
    data = draw_dipoles(fwd, SFREQ, int(10 * SFREQ) + 2, 0, snr_db=10.0)
    if args.play:
        play(mne.io.RawArray(data, info), args.play)
        return
    load = os.getloadavg()[0]
    response = mne.EvokedArray(data[:, :50], info).set_eeg_reference(projection=True)
    operator = mne_mmnet.make_mmnet_operator(response.info, fwd)
    ways = {
        "each window": operator,
        "filters": mne_mmnet.make_mmnet_filters(response, operator),
    }
    rows = []
    with amplifier() as name:
        ahead = measure_ahead(name)
        for n_busy in (0, os.cpu_count()):
            with busy_cores(n_busy):
                for step in STEPS:
                    for way, made in ways.items():
                        rows.append(measure(name, way, made, step, n_busy, ahead, args.seconds))
                        tell(rows[-1])
    for way, made in ways.items():
        rows.append(come_back(way, made, ahead))
        tell(rows[-1])
    notes = (
        f"seed 0; {machine()} (load average {load:.1f} before), "
        f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}; mne-lsl "
        f"{mne_lsl.__version__}; the player dates samples {1e3 * ahead:.0f} ms ahead"
    )
    write_rows(args.out, made_by(args, "seconds", notes), rows)


def play(raw, name):
    """Be an amplifier until the end of the input."""
    with PlayerLSL(raw, chunk_size=CHUNK, name=name, source_id=name):
        print("playing", flush=True)
        sys.stdin.read()


def start_amplifier(name):
    """Start a process that plays, and wait until it does."""
    command = [sys.executable, __file__, "--play", name]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    while process.stdout.readline().strip() != b"playing":
        assert process.poll() is None, "the player did not start"
    return process


@contextlib.contextmanager
def amplifier():
    """Play in a process of its own."""
    name = f"live-{uuid.uuid4().hex}"
    process = start_amplifier(name)
    try:
        yield name
    finally:
        process.communicate(b"")


def measure_ahead(name, seconds=4.0):
    """How far ahead of their arrival samples are dated, s; the median."""
    (found,) = resolve_streams(timeout=10.0, name=name)
    inlet = StreamInlet(found)
    inlet.open_stream()
    ahead, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        _, stamps = inlet.pull_chunk(timeout=0.001)
        if len(stamps):
            ahead.append(stamps[-1] - local_clock())
    inlet.close_stream()
    return float(np.median(ahead[len(ahead) // 4 :]))


def connect(name):
    """Connect as users do: average reference, a buffer of two seconds."""
    stream = StreamLSL(2.0, name=name).connect(timeout=10.0)
    prepare(stream)
    return stream


def prepare(stream):
    """Do what MNE-LSL forgets with the connection."""
    stream.set_eeg_reference("average")


def localizer(made, stream):
    """Make a stream of estimates, and have libraries get ready."""
    localize = mne_mmnet.MMNetStream(made, stream.info)
    data = np.random.default_rng(0).standard_normal((64, int(WINDOW * SFREQ)))
    for _ in range(3):
        localize.push(data - data.mean(axis=0))
    return mne_mmnet.MMNetStream(made, stream.info)


def measure(name, way, made, step, n_busy, ahead, seconds):
    """Follow for some seconds."""
    stream = connect(name)
    localize = localizer(made, stream)
    latencies, n_dropped, end = [], 0, time.monotonic() + seconds
    for one in mne_mmnet.follow_stream(stream, localize.push, window=WINDOW, step=step):
        latencies.append(one.latency + ahead)
        n_dropped += one.n_dropped
        if time.monotonic() > end:
            break
    stream.disconnect()
    return make_row(way, step, n_busy, localize, latencies, n_dropped)


def make_row(way, step, n_busy, localize, latencies, n_dropped, again=None):
    """Sum up a case."""
    median, p95, largest = 1e3 * np.quantile(latencies, [0.5, 0.95, 1.0])
    return dict(
        variances=way,
        step_ms=f"{1e3 * step:.0f}",
        busy_processes=n_busy,
        windows=len(latencies),
        compute_ms=f"{1e3 * localize.latency.median:.2f}",
        compute_p95_ms=f"{1e3 * localize.latency.p95:.2f}",
        latency_ms=f"{median:.1f}",
        latency_p95_ms=f"{p95:.1f}",
        latency_max_ms=f"{largest:.1f}",
        dropped_percent=f"{100 * n_dropped / (n_dropped + len(latencies)):.1f}",
        again_ms="" if again is None else f"{1e3 * again:.0f}",
    )


class Interruption(threading.Thread):
    """Take an amplifier away for some seconds, and bring it back, while others listen."""

    def __init__(self, name):
        super().__init__(daemon=True)
        self.name_of_stream, self.back = name, None
        self.process = start_amplifier(name)

    def run(self):
        """Do it."""
        time.sleep(3.0)
        self.stop()
        time.sleep(AWAY)
        self.process = start_amplifier(self.name_of_stream)
        self.back = local_clock()

    def stop(self):
        """End the amplifier's process."""
        self.process.communicate(b"")


def come_back(way, made, ahead, step=0.1):
    """Take the amplifier away and bring it back."""
    name = f"live-{uuid.uuid4().hex}"
    interruption = Interruption(name)
    stream = connect(name)
    localize = localizer(made, stream)
    interruption.start()
    latencies, n_dropped, again, end = [], 0, None, np.inf
    for one in mne_mmnet.follow_stream(
        stream, localize.push, window=WINDOW, step=step, prepare=prepare, patience=60.0
    ):
        if interruption.back is None or one.timestamp < interruption.back:
            continue
        if again is None:
            again, end = local_clock() - interruption.back, time.monotonic() + 5.0
        latencies.append(one.latency + ahead)
        n_dropped += one.n_dropped
        if time.monotonic() > end:
            break
    interruption.join()
    interruption.stop()
    stream.disconnect()
    return make_row(way, step, 0, localize, latencies, n_dropped, again)


if __name__ == "__main__":
    main()
