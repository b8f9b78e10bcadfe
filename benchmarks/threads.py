"""Whether threads wait for each other: the default against one and two threads, idle and beside.

    python benchmarks/threads.py

Three processes, alike but for ``OMP_NUM_THREADS`` (not set, 1 and 2), take turns, one call each;
first alone, then beside a process that keeps a core busy. Written are medians and the default's
over the better of the other two, with a 95 % bootstrap interval, and for streams the share of
windows within twice the median. Writes ``threads.csv``.
"""

import argparse
import contextlib
import sys

import mne
import numpy as np
from against import Served, serve
from common import busy_cores, draw_dipoles, machine, timed, write_rows
from runner import RESULTS, made_by, make_parser, tell
from throughput import SFREQ, prepare_cap

import mne_mmnet
from mne_mmnet.metrics import confidence_interval

SETTINGS = {"default": None, "1 thread": "1", "2 threads": "2"}
N_EPOCHS, N_TIMES, SECONDS, N_WINDOWS = 20, 50, 10.0, 20
KINDS = ("evoked", "epochs", "raw", "stream")


def make_calls():
    """Make what answers a kind of call with its seconds (of a stream: of each of its windows)."""
    info, fwd, operator = prepare_cap()
    epochs = np.stack([draw_dipoles(fwd, SFREQ, N_TIMES, seed) for seed in range(N_EPOCHS)])
    continuous = draw_dipoles(fwd, SFREQ, int(SECONDS * SFREQ), 1)

    def call(kind):
        if kind == "stream":
            stream = mne_mmnet.MMNetStream(operator, info)
            spent = []
            for k in range(N_WINDOWS):
                window = continuous[:, k * N_TIMES : (k + 1) * N_TIMES]
                spent.append(timed(stream.push, window)[1])
            return spent
        if kind == "evoked":
            inst = mne.EvokedArray(epochs[0], info)
            function = mne_mmnet.apply_mmnet_inverse
        elif kind == "epochs":
            inst = mne.EpochsArray(epochs, info)
            function = mne_mmnet.apply_mmnet_inverse_epochs
        else:
            inst = mne.io.RawArray(continuous, info)
            function = mne_mmnet.apply_mmnet_inverse_raw
        return [timed(function, inst, operator)[1]]

    return call


def summarise(kind, beside, spent):
    """One row: medians, and the default's over the better one's, paired by turn."""
    times = {name: np.array(found) for name, found in spent.items()}  # (n_turns, n_calls)
    median = {name: np.median(found) for name, found in times.items()}
    best = min(("1 thread", "2 threads"), key=median.get)
    ratio = np.log(np.median(times["default"], 1) / np.median(times[best], 1))
    low, high = np.exp(confidence_interval(ratio))
    row = dict(kind=kind, beside="a busy process" if beside else "nothing", n=len(ratio))
    row |= {f"{name}, ms": f"{1e3 * value:.4g}" for name, value in median.items()}
    row["default over the better"] = f"{np.exp(ratio.mean()):.2f} ({low:.2f} … {high:.2f})"
    within = np.mean(times["default"] <= 2 * median["default"])
    row["within twice the median, %"] = f"{100 * within:.1f}"
    return row


def main(argv=None):
    """Run everything."""
    parser = make_parser(__file__, __doc__, out=RESULTS / "threads.csv", model=False)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.serve:
        serve(make_calls())
        return
    rows, command = [], [sys.executable, __file__, "--serve"]
    with contextlib.ExitStack() as stack:
        ends = {
            name: stack.enter_context(Served(command, {"OMP_NUM_THREADS": setting}))
            for name, setting in SETTINGS.items()
        }
        for kind in KINDS:  # the first calls are others
            for end in ends.values():
                end.ask(kind)
        for beside in (False, True):
            with busy_cores(int(beside)):
                for kind in KINDS:
                    spent = {name: [] for name in ends}
                    for _ in range(args.turns):
                        for name, end in ends.items():
                            spent[name].append(end.ask(kind))
                    rows.append(summarise(kind, beside, spent))
                    tell(rows[-1])
    write_rows(args.out, made_by(args, "turns", machine()), rows)


if __name__ == "__main__":
    main()
