#!/bin/sh
# MNE-LSL's player sends the whole recording at once, each time it comes to its end.
#
# The player plays a recording again and again. In mne-lsl 1.14.0, where the length of the recording
# is a multiple of the chunk's (10 samples by default), the chunk that starts over holds the whole
# recording and the first samples once more, all at one moment:
#
#     2 s of 250 Hz, listened to for 7 s (1750 are due)     samples received   most at once
#     recording of 500 samples, chunks of 10                about 3380         510
#     recording of 501 samples, chunks of 10                about 1880         130, at the start
#
# (At the start comes what gathered before the connection, with either.)
# Nearly half of what is received was never due. The surplus is dated back by the recording's
# length, so that time stamps repeat, buffers are overrun, and what listens believes to be late.
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
from mne_lsl.lsl import StreamInlet, resolve_streams
from mne_lsl.player import PlayerLSL

mne.set_log_level("error")
mne_lsl.set_log_level("error")
print("mne-lsl", mne_lsl.__version__)
SFREQ, SECONDS = 250.0, 7.0
info = mne.create_info(1, SFREQ, "misc")
surplus = {}
for n_samples in (500, 501):
    # each sample says its own number
    raw = mne.io.RawArray(np.arange(n_samples, dtype=float)[np.newaxis], info)
    name, numbers, largest = uuid.uuid4().hex, [], 0
    with PlayerLSL(raw, chunk_size=10, name=name, source_id=name):
        (found,) = resolve_streams(timeout=10.0, name=name)
        inlet = StreamInlet(found)
        inlet.open_stream()
        start = time.monotonic()
        while time.monotonic() - start < SECONDS:
            data, _ = inlet.pull_chunk(timeout=0.01, max_samples=10000)
            numbers += list(np.ravel(data))
            largest = max(largest, len(np.ravel(data)))
        seconds = time.monotonic() - start
        inlet.close_stream()
    # samples beyond those that the time that passed is due
    surplus[n_samples] = len(numbers) - SFREQ * seconds
    steps = np.diff(numbers)
    print(
        f"recording of {n_samples} samples: {len(numbers)} received in {seconds:.1f} s "
        f"({SFREQ * seconds:.0f} are due), {largest} at once, recording started over "
        f"{(steps < 0).sum()} times"
    )
same = surplus[500] > 900 and abs(surplus[501]) < 250
print("as described" if same else "CHANGED")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
