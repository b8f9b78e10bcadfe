"""Batches of files: seconds a file with one process, two, and a Dask cluster of this machine.

    pip install -c constraints.txt -e ".[batch]"
    python benchmarks/batch.py

Each way takes its turn ``--repeats`` times, with an empty folder. The start of the workers is in
the first figure, and taken out of the second: the slope between few and many files. Writes
``batch.csv``.
"""

import tempfile
from pathlib import Path

import mne
import numpy as np
from common import draw_dipoles, machine, make_info, timed, write_rows
from runner import RESULTS, made_by, make_parser, quiet, tell

import mne_mmnet

WAYS = {
    "one process": dict(n_jobs=1),
    "two processes": dict(n_jobs=2),
    "Dask, two workers": dict(n_jobs=2, client="local"),
}


def make_study(folder, n_files, seed):
    """Write a forward solution and evoked responses; return their paths."""
    info = make_info("biosemi64", 250.0)
    fwd = mne_mmnet.make_template_forward(info)
    mne.write_forward_solution(folder / "head-fwd.fif", fwd)
    files = []
    for number in range(n_files):
        data = draw_dipoles(fwd, 250.0, 50, [seed, number], snr_db=10.0)
        evoked = mne.EvokedArray(data, info).set_eeg_reference(projection=True)
        files.append(folder / f"run-{number:03}-ave.fif")
        evoked.save(files[-1])
    return files


def run(files, fwd, options):
    """Localise all files into an empty folder; return seconds."""
    with tempfile.TemporaryDirectory() as out:
        records, seconds = timed(mne_mmnet.localize_files, files, fwd, out=out, **options)
    assert all(record.status == "done" for record in records)
    return seconds


def main():
    """Measure all ways in turns."""
    parser = make_parser(__file__, __doc__, out=RESULTS / "batch.csv", model=False)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--few", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    quiet()
    times = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        files = make_study(Path(folder), args.files, args.seed)
        fwd = Path(folder) / "head-fwd.fif"
        for _ in range(args.repeats):
            for way, options in WAYS.items():
                many = run(files, fwd, options)
                few = run(files[: args.few], fwd, options)
                times[way].append((many, (many - few) / (args.files - args.few)))
    rows = []
    for way, found in times.items():
        total, slope = np.array(found).T
        slope = slope * 1e3
        rows.append(
            {
                "way": way,
                "n_files": args.files,
                "n": len(found),
                "total_s": f"{np.median(total):.2f}",
                "ms_a_file": f"{np.median(slope):.1f}",
                "min_ms": f"{slope.min():.1f}",
                "max_ms": f"{slope.max():.1f}",
            }
        )
        tell(rows[-1])
    write_rows(args.out, made_by(args, "files repeats seed", machine()), rows)


if __name__ == "__main__":
    main()
