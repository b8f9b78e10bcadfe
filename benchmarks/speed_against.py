"""Time of every kind of call, and of the command, beside those of another commit.

    python benchmarks/speed_against.py --revision 2482684

Both run in processes of their own, by the same interpreter, on the same forward solutions (the
template with its medial wall, as the old commit has it) and the same data; they take turns, one
call each, so that what slows the machine slows both. Quoted are medians of times and geometric
means of paired ratios, with 95 % bootstrap intervals. Calls are timed by the wall clock, the
command by the processor time of its process, its caches warm. One thread of torch unless
``--threads`` says so. Writes ``speed_against.csv``.

This file is what the processes run, too; hence it imports the package nowhere at its top.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import mne
import numpy as np
from against import Served, export, serve
from common import MONTAGES, make_info, referenced, timed, write_rows

RESULTS = Path(__file__).parent / "results"
SFREQ, N_TIMES, N_EPOCHS, SECONDS = 250.0, 50, 20, 20.0
# kind, channels, spacing, orientation, repetitions
CALLS = (
    ("evoked", 64, "ico3", 0.0, 40),
    ("evoked", 64, "ico3", None, 40),
    ("epochs", 64, "ico3", 0.0, 8),
    ("raw", 64, "ico3", 0.0, 5),
    ("given fwd", 64, "ico3", 0.0, 12),
    ("evoked", 128, "oct6", 0.0, 12),
    ("evoked", 64, "ico5", 0.0, 8),
)


def cap_info(n_channels):
    """Measurement info of a cap with the average reference as a projector."""
    return referenced(make_info(MONTAGES[n_channels], SFREQ))


def draw(fwd, n_times, seed):
    """Three sources with Gaussian time courses, and white noise of 1 µV; V."""
    rng = np.random.default_rng(seed)
    gain = fwd["sol"]["data"]
    columns = rng.integers(gain.shape[1], size=3)
    centres = rng.uniform(0.2, 0.8, 3) * n_times
    courses = np.exp(-0.5 * ((np.arange(n_times) - centres[:, None]) / 5.0) ** 2)
    signal = gain[:, columns] @ courses
    return 3e-6 * signal / np.abs(signal).max() + 1e-6 * rng.standard_normal(signal.shape)


# The worker --------------------------------------------------------------------------------------


class Worker:
    """Makes calls of the package that its process finds first, and times them."""

    def __init__(self, folder, threads):
        import torch

        import mne_mmnet

        torch.set_num_threads(threads)
        self.package, self.folder, self.ready = mne_mmnet, Path(folder), {}

    def prepare(self, n_channels, spacing, loose):
        """Read a forward solution, and make an operator for it."""
        key = n_channels, spacing, loose
        if key not in self.ready:
            path = self.folder / f"{n_channels}-{spacing}-fwd.fif"
            fwd, info = mne.read_forward_solution(path), cap_info(n_channels)
            cov = mne.make_ad_hoc_cov(info, dict(eeg=1e-6))
            operator = self.package.make_mmnet_operator(info, fwd, cov, loose=loose)
            self.ready[key] = fwd, info, cov, operator
        return self.ready[key]

    def __call__(self, request):
        """Tell the seconds that one call takes."""
        kind, n_channels, spacing, loose, seed = request
        fwd, info, cov, operator = self.prepare(n_channels, spacing, loose)
        if kind == "epochs":
            data = np.array([draw(fwd, N_TIMES, [seed, k]) for k in range(N_EPOCHS)])
            inst = mne.EpochsArray(data, info)
            call = self.package.apply_mmnet_inverse_epochs
        elif kind == "raw":
            inst = mne.io.RawArray(draw(fwd, int(SECONDS * SFREQ), seed), info)
            call = self.package.apply_mmnet_inverse_raw
        else:
            inst = mne.EvokedArray(draw(fwd, N_TIMES, seed), info)
            call = self.package.apply_mmnet_inverse
        given = (fwd, cov) if kind == "given fwd" else (operator,)
        options = dict(loose=loose) if kind == "given fwd" else {}
        return dict(seconds=timed(call, inst, *given, **options)[1])


# Both of them ------------------------------------------------------------------------------------


class Side(Served):
    """One of the two commits."""

    def __init__(self, package, folder, threads):
        command = [sys.executable, __file__, "--serve", str(folder), "--threads", str(threads)]
        # the exported package before any installed one
        super().__init__(command, {"PYTHONPATH": str(package)} if package else {})

    def call(self, *request):
        """Return the seconds of one call."""
        return self.ask(request)["seconds"]

    def command(self, evoked, folder, *options):
        """Return the processor time (s) of ``mne-mmnet localize``."""
        code = "import sys; from mne_mmnet._cli import main; sys.exit(main())"
        arguments = ["localize", str(evoked), "--out", str(folder), *options]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=self.environment,
            cwd=folder.parent,  # Python looks there first
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def summarise(name, old, new, unit):
    """Turn paired times into a row."""
    from mne_mmnet.metrics import confidence_interval

    ratio = np.asarray(old) / np.asarray(new)
    low, high = np.exp(confidence_interval(np.log(ratio)))
    row = dict(call=name, n=len(ratio), unit=unit)
    row["old"], row["new"] = f"{np.median(old):.4g}", f"{np.median(new):.4g}"
    row["times_faster"] = f"{np.exp(np.log(ratio).mean()):.2f} ({low:.2f} … {high:.2f})"
    print(*row.values(), flush=True)
    return row


def time_calls(sides, calls):
    """Time the calls by turns; the first of each is not counted."""
    rows = []
    for kind, n_channels, spacing, loose, n in calls:
        times = np.array(
            [
                [side.call(kind, n_channels, spacing, loose, k) for side in sides]
                for k in range(n + 1)
            ]
        )[1:]
        orientation = "default orientation" if loose is None else "fixed"
        name = f"{kind}, {n_channels} channels, {spacing}, {orientation}"
        rows.append(summarise(name, *(1e3 * times.T), "ms"))
    return rows


def time_commands(sides, folder, n):
    """Time the command by turns, with and without a report."""
    fwd, info = mne.read_forward_solution(folder / "64-ico3-fwd.fif"), cap_info(64)
    evoked = mne.EvokedArray(draw(fwd, 125, 0), info, tmin=-0.1, nave=50, comment="response")
    path = folder / "response-ave.fif"
    evoked.save(path, verbose="error")
    rows = []
    for name, options in (("no report", ()), ("report", ("--report",))):
        times = np.array(
            [
                [side.command(path, folder / str(k), *options) for k, side in enumerate(sides)]
                for _ in range(n + 1)
            ]
        )[1:]
        rows.append(summarise(f"mne-mmnet localize, {name}", *times.T, "s of processor"))
    return rows


def main():
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--revision", default="2482684")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--commands", type=int, default=5, help="runs of each command")
    parser.add_argument("--kinds", nargs="+", help="of calls; default: all")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        mne.set_log_level("error")
        warnings.simplefilter("ignore")
        serve(Worker(args.serve, args.threads))
        return
    import mne_mmnet

    mne.set_log_level("error")
    calls = [call for call in CALLS if args.kinds is None or call[0] in args.kinds]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for n_channels, spacing in {call[1:3] for call in (CALLS[0], *calls)}:
            fwd = mne_mmnet.make_template_forward(cap_info(n_channels), spacing, medial_wall=True)
            path = folder / f"{n_channels}-{spacing}-fwd.fif"
            mne.write_forward_solution(path, fwd)
        sides = [Side(package, folder, args.threads) for package in (export(args.revision), None)]
        try:
            rows = time_calls(sides, calls)
            rows += time_commands(sides, folder, args.commands) if args.commands else []
        finally:
            for side in sides:
                side.close()
    comment = (
        f"python benchmarks/speed_against.py --revision {args.revision}; "
        f"{time.strftime('%F')}; torch with {args.threads} thread(s), {os.cpu_count()} cores"
    )
    write_rows(args.out / "speed_against.csv", comment, rows)


if __name__ == "__main__":
    main()
