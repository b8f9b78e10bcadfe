#!/bin/sh
# MNE-LSL's player sends samples before the time at which it dates them.
#
# The player stands for an amplifier, which can send a sample only after it was measured. In
# mne-lsl 1.14.0 it dates the samples of a chunk for the time that *follows* the moment of sending:
# the newest sample arrives up to a whole chunk before its own time stamp, on the same clock.
#
#     chunk          newest stamp minus time of arrival, median
#     25 samples     0.1 s long      about  +0.07 to +0.10 s
#     125 samples    0.5 s long      about  +0.48 s
#     250 samples    1.0 s long      about  +0.98 s
#     250 samples    1.0 s long, of a StreamOutlet, dated by default: below 0
#
# (in the future: +). With the player's default chunk of 10 samples at 250 Hz that is 40 ms. A
# delay from sample to result that is measured as "local_clock() - time stamp" against the player
# is too small by that, and often negative: a pipeline of 30 ms seems to answer before it was asked.
#
# Versions: mne-lsl 1.14.0, mne 1.13.2, numpy 2.4.6. Exits with 0 as long as this holds.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mne-lsl==1.14.0 mne==1.13.2 numpy==2.4.6 scipy==1.17.1
export MNE_DONTWRITE_HOME=true
cat >"$folder/check.py" <<'PYTHON'
import sys
import time
import uuid

import mne
import mne_lsl
import numpy as np
from mne_lsl.lsl import StreamInfo, StreamInlet, StreamOutlet, local_clock, resolve_streams
from mne_lsl.player import PlayerLSL

mne.set_log_level("error")
mne_lsl.set_log_level("error")
print("mne-lsl", mne_lsl.__version__)
SFREQ, N_CHANNELS = 250.0, 4
DATA = 1e-6 * np.random.default_rng(0).standard_normal((N_CHANNELS, 5000))


def listen(name, seconds, send=None):
    """Newest time stamp minus time of arrival of each chunk, s; the median."""
    (found,) = resolve_streams(timeout=10.0, name=name)
    inlet = StreamInlet(found)
    inlet.open_stream()
    ahead, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        if send is not None:
            send()
        _, stamps = inlet.pull_chunk(timeout=0.01)
        if len(stamps):
            ahead.append(stamps[-1] - local_clock())
    inlet.close_stream()
    return float(np.median(ahead[1:]))  # the first may have waited


same = True
info = mne.create_info(N_CHANNELS, SFREQ, "eeg")
for n_samples in (25, 125, 250):
    name = uuid.uuid4().hex
    with PlayerLSL(mne.io.RawArray(DATA, info), chunk_size=n_samples, name=name, source_id=name):
        ahead = listen(name, 8.0)
    print(f"player, chunks of {n_samples / SFREQ:.1f} s: {ahead:+.3f} s")
    same &= 0.3 < ahead * SFREQ / n_samples <= 1.0

name = uuid.uuid4().hex
outlet = StreamOutlet(StreamInfo(name, "eeg", N_CHANNELS, SFREQ, "float64", name), chunk_size=250)
last = time.monotonic()


def send():
    """One chunk a second, dated by default: the newest sample is of now."""
    global last
    if time.monotonic() - last >= 1.0:
        last += 1.0
        outlet.push_chunk(np.ascontiguousarray(DATA[:, :250].T))


ahead = listen(name, 8.0, send)
print(f"outlet, chunks of 1.0 s: {ahead:+.3f} s")
same &= ahead < 0
print("as described" if same else "CHANGED")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
