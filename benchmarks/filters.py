"""Filters beside MNE's prepared inverse operators: time and memory; 64 channels × 1284 sources.

    python benchmarks/filters.py                # minutes

Both methods get the same data, forward solution, covariance, label and orientation (fixed, or
three directions a location whose length is returned), and are called by turns in one process, so
that what else the machine does meets both. What is prepared once is not counted. Time is the
median of ``--repeats`` calls, the ratio that of paired calls with its quartiles; memory is the
largest that allocations of Python and NumPy reach in a call beyond what there was before
(``tracemalloc``), with the result. Writes ``filters.csv``.

How accurate filters are says ``filters_accuracy.py``.
"""

import os
import tempfile
import tracemalloc
from pathlib import Path

import mne
import numpy as np
from common import by_turns, machine, make_info, referenced, write_rows
from mne.minimum_norm import apply_inverse_epochs, apply_inverse_raw
from runner import RESULTS, made_by, make_parser, quiet, tell

import mne_mmnet

SFREQ, LAMBDA2, N_LABEL = 250.0, 1.0 / 9.0, 100


def main():
    """Measure everything."""
    parser = make_parser(__file__, __doc__, out=RESULTS / "filters.csv", model=False)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--minutes", type=float, default=10.0)
    args = parser.parse_args()
    quiet()
    rng = np.random.default_rng(0)
    info = referenced(make_info("biosemi64", SFREQ))
    fwd = mne_mmnet.make_template_forward(info, medial_wall=True)
    assert fwd["nsource"] == 1284
    label = mne.Label(fwd["src"][0]["vertno"][:N_LABEL], hemi="lh", subject="fsaverage5")
    cov = mne.make_ad_hoc_cov(info)
    cov["data"] = np.asarray(cov.data) * 100.0  # 2 µV
    fixed = mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True)
    gain = fixed["sol"]["data"]
    signal = gain[:, [10, 700]] @ (
        5e-8 * np.sin(2 * np.pi * 10 * np.arange(50) / SFREQ + [[0], [1]])
    )
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, loose in (("fixed", 0.0), ("three directions", 0.2)):
            evoked = mne.EvokedArray(signal + 4e-7 * rng.standard_normal(signal.shape), info)
            evoked.nave = 100
            filters = mne_mmnet.make_mmnet_filters(evoked, fwd, cov, loose=loose)
            inverse = mne.minimum_norm.make_inverse_operator(
                info, fwd, cov, loose=loose, depth=None
            )
            inverse = mne.minimum_norm.prepare_inverse_operator(inverse, 1, LAMBDA2, "eLORETA")
            rows += compare(args, name, filters, inverse, label, info, rng, Path(folder))
    threads = f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}"
    notes = "seed 0", f"{machine()}, {threads}", f"mne {mne.__version__}"
    comment = made_by(args, "repeats minutes", *notes)
    write_rows(args.out, comment, rows)


def compare(args, orient, filters, inverse, label, info, rng, folder):
    """Time both methods on epochs and continuous data."""
    prepared = dict(lambda2=LAMBDA2, method="eLORETA", prepared=True, label=label)
    epochs = mne.EpochsArray(2e-6 * rng.standard_normal((100, 64, 50)), info)
    minute = mne.io.RawArray(2e-6 * rng.standard_normal((64, int(60 * SFREQ))), info)
    n_times = int(args.minutes * 60 * SFREQ)
    long = mne.io.RawArray(2e-6 * rng.standard_normal((64, n_times)), info)
    path = folder / "long_raw.fif"
    long.save(path, overwrite=True)
    read = mne.io.read_raw_fif(path)
    cases = {
        "100 epochs of 50 samples": (epochs, apply_inverse_epochs, args.repeats),
        "1 minute": (minute, apply_inverse_raw, args.repeats),
        f"{args.minutes:g} minutes": (long, apply_inverse_raw, max(3, args.repeats // 3)),
        f"{args.minutes:g} minutes, from a file": (
            read,
            apply_inverse_raw,
            max(3, args.repeats // 3),
        ),
    }
    rows = []
    for name, (inst, theirs, n_repeats) in cases.items():
        ways = {
            "filters": lambda inst=inst: mne_mmnet.apply_mmnet_filters(inst, filters, label=label),
            "eLORETA": lambda inst=inst, theirs=theirs: theirs(inst, inverse, **prepared),
        }
        seconds = by_turns(ways, n_repeats)
        peaks = {way: peak_mb(call) for way, call in ways.items()}
        ratios = np.divide(*(np.array(seconds[way]) for way in ways))
        low, middle, high = np.percentile(ratios, [25, 50, 75])
        rows.append(
            dict(
                data=name,
                orientation=orient,
                filters_ms=f"{1e3 * np.median(seconds['filters']):.2f}",
                eloreta_ms=f"{1e3 * np.median(seconds['eLORETA']):.2f}",
                time_ratio=f"{middle:.2f}",
                ratio_low=f"{low:.2f}",
                ratio_high=f"{high:.2f}",
                filters_mb=f"{peaks['filters']:.1f}",
                eloreta_mb=f"{peaks['eLORETA']:.1f}",
                memory_ratio=f"{peaks['filters'] / peaks['eLORETA']:.2f}",
            )
        )
        tell(rows[-1])
    return rows


def peak_mb(call):
    """Largest allocation during a call, MB."""
    tracemalloc.start()
    result = call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del result
    return peak / 2**20


if __name__ == "__main__":
    main()
