"""Epochs, continuous data and streams: time, memory and latency; 64 channels × 1175 sources.

    python benchmarks/throughput.py

Every part runs in a process of its own, so that its peak memory is its own. Epochs: the batched
function against a loop, by turns. Raw: from a FIF file that is not preloaded, restricted to a
label. NumPy's linear algebra has one thread, torch ``--threads``. Streams also on one thread, and
beside a process that keeps one core busy: two threads wait for each other. Writes
``throughput.csv``.
"""

import os
import resource
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import mne
import numpy as np
import torch
from common import (
    busy_cores,
    by_turns,
    draw_dipoles,
    machine,
    make_info,
    referenced,
    timed,
    write_rows,
)
from runner import RESULTS, made_by, make_parser, quiet, tell

import mne_mmnet

SFREQ, N_TIMES = 250.0, 50
N_LABEL = 100


def prepare():
    """Info with a reference, forward solution, operator."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    return prepare_cap()


def prepare_cap():
    """Info, forward solution and operator, with the threads that there are."""
    quiet()
    info = referenced(make_info("biosemi64", SFREQ))
    fwd = mne_mmnet.make_template_forward(info)
    return info, fwd, mne_mmnet.make_mmnet_operator(info, fwd)


def peak_mb():
    """Largest memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def make_row(what, n, median, least, most, ratio=""):
    """Round times (s) for the table."""
    times = dict(median_ms=median, min_ms=least, max_ms=most)
    times = {name: f"{1e3 * seconds:.1f}" for name, seconds in times.items()}
    return dict(what=what, n=n, **times, ratio=ratio, peak_mb=f"{peak_mb():.0f}")


def measure_epochs(n_epochs, n_repeats):
    """Measure a batch against loops, in ms an epoch."""
    info, fwd, operator = prepare()
    data = np.stack([draw_dipoles(fwd, SFREQ, N_TIMES, seed) for seed in range(n_epochs)])
    epochs = mne.EpochsArray(data, info)
    evokeds = [mne.EvokedArray(one, info) for one in data]
    few = evokeds[: max(2, n_epochs // 10)]  # preparing each time is slow

    ways = {
        "epochs, batched": lambda: mne_mmnet.apply_mmnet_inverse_epochs(epochs, operator),
        "loop, prepared operator": lambda: [
            mne_mmnet.apply_mmnet_inverse(evoked, operator) for evoked in evokeds
        ],
        "loop, forward solution": lambda: [
            mne_mmnet.apply_mmnet_inverse(evoked, fwd) for evoked in few
        ],
    }
    sizes = {name: len(few) if "forward" in name else n_epochs for name in ways}
    seconds = {
        name: np.array(found) / sizes[name] for name, found in by_turns(ways, n_repeats).items()
    }
    batched = seconds["epochs, batched"]
    rows = []
    for name, found in seconds.items():
        spread = (np.median(found), min(found), max(found))
        rows.append(make_row(name, sizes[name], *spread, f"{np.median(found / batched):.2f}"))
    return rows


def measure_raw(minutes):
    """Continuous data, from a file, to a label."""
    info, fwd, operator = prepare()
    n_times = int(60 * minutes * SFREQ)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long_raw.fif"
        raw = mne.io.RawArray(draw_dipoles(fwd, SFREQ, n_times, 0), info)
        raw.save(path)
        del raw
        raw = mne.io.read_raw_fif(path, preload=False)
        before = peak_mb()
        label = mne.Label(fwd["src"][0]["vertno"][:N_LABEL], hemi="lh", subject="fsaverage5")
        _, seconds = timed(mne_mmnet.apply_mmnet_inverse_raw, raw, operator, label=label)
    return [
        dict(
            what=f"raw, {minutes:g} min at {SFREQ:g} Hz, label of {N_LABEL} sources",
            n=1,
            median_ms=f"{1e3 * seconds:.0f}",
            min_ms="",
            max_ms="",
            ratio=f"{60 * minutes / seconds:.2f} × real time",
            peak_mb=f"{peak_mb():.0f} (before: {before:.0f})",
        )
    ]


def measure_stream(n_windows, beside=False):
    """Latency of windows of 0.2 s."""
    info, fwd, operator = prepare()
    stream = mne_mmnet.MMNetStream(operator, info)
    data = draw_dipoles(fwd, SFREQ, N_TIMES * n_windows, 1)
    stream.push(data[:, :N_TIMES])
    stream = mne_mmnet.MMNetStream(operator, info)
    with busy_cores(int(beside)):
        for k in range(n_windows):
            stream.push(data[:, k * N_TIMES : (k + 1) * N_TIMES])
    latency = stream.latency
    where = f"{torch.get_num_threads()} threads" + ", beside a process" * beside
    what = f"stream, windows of 50 samples (median, 95 %, longest), {where}"
    return [make_row(what, latency.n_windows, latency.median, latency.p95, latency.largest)]


def main():
    """Run the benchmark."""
    parser = make_parser(__file__, __doc__, out=RESULTS / "throughput.csv", model=False)
    parser.add_argument("--n-epochs", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--windows", type=int, default=100)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    jobs = [
        (args.threads, measure_epochs, args.n_epochs, args.repeats),
        (args.threads, measure_raw, args.minutes),
        *(
            (n_threads, measure_stream, args.windows, beside)
            for n_threads in (1, args.threads)
            for beside in (False, True)
        ),
    ]
    rows = []
    for n_threads, function, *options in jobs:
        os.environ["OMP_NUM_THREADS"] = str(n_threads)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            rows += pool.submit(function, *options).result()
        tell(rows[-1])
    versions = f"torch {torch.__version__}, mne {mne.__version__}"
    comment = made_by(args, "n_epochs repeats minutes windows threads", machine(), versions)
    write_rows(args.out, comment, rows)


if __name__ == "__main__":
    main()
