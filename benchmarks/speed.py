"""Time and memory of one inverse at every size, beside the machine's floor and other methods.

    pip install -c constraints.txt -e ".[benchmark]"
    python benchmarks/speed.py                      # all sizes
    python benchmarks/speed.py --channels 64 --spacings ico3

Each recording is another one (three patches, 5 dB, 50 samples, noise covariance known) and every
method takes it in turn, after the machine's rates have been measured: what slows the machine slows
all. Quoted are medians of paired ratios, to the floor (``floor.py``, at the rates of this machine
in the same repetition) and to mmnet with a prepared operator. ``cold`` is a call that is given the
forward solution; ``epochs`` and ``raw`` are the time for one of 20 epochs and for one second of 20
s at 250 Hz.

The prepared operator is timed at every size, all else with ``--compare`` channels only. torch has
``--threads``, whatever the environment says; NumPy's BLAS has ``--numpy-threads``: one, with which
peers are fastest here (with two, Gamma-MAP and FlexChampagne take five times as long) and small
problems get two of torch's. mmnet as it is where the environment says nothing: ``--channels 64
--compare --numpy-threads 2 --out FILE``. Peers do what they do for every recording: eLORETA
applies a prepared operator; the others have nothing to prepare. They run with fixed orientation;
mmnet also with the default. One that took longer than ``--patience`` seconds is not tried at
larger sizes. Memory is the peak of the first call above what was resident before. Writes
``speed.csv`` and ``speed.png``; ``--figure`` redraws only.
"""

import ctypes
import gc
import os
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import mne
import numpy as np
import torch
from common import MONTAGES, machine, read_rows, referenced, timed, write_rows
from floor import count_work, measure_rates
from mne.minimum_norm import apply_inverse, make_inverse_operator, prepare_inverse_operator
from peers import PEERS, check_peers
from runner import RESULTS, made_by, make_parser, quiet
from speed_figure import draw
from threadpoolctl import threadpool_limits
from transfer_suite import montage_info

import mne_mmnet
from mne_mmnet._mne import source_graph
from mne_mmnet.simulation import PatchSampler

SPACINGS = ("ico3", "ico4", "oct6", "ico5")  # the coarsest first
# the default last
ORIENTATIONS = (0.0, "evidence")
SFREQ, N_TIMES, N_EPOCHS, N_SECONDS = 250.0, 50, 20, 20
COMPARED = ("MxNE", "Gamma-MAP", "FlexChampagne", "OmniChampagne", "AltProj")


def electrodes(n_channels):
    """Measurement info of a montage, average-referenced by projection."""
    return referenced(montage_info(MONTAGES[n_channels], SFREQ))


def draw_data(rng, gain, sampler, n_times=N_TIMES):
    """Three patches with smooth time courses and white noise of 1 µV, 5 dB; V."""
    time_axis = np.arange(n_times) / N_TIMES
    currents = 0.0
    for _ in range(3):
        patch, _ = sampler.draw(rng, 15.0)
        wave = np.cos(2 * np.pi * (rng.uniform(1, 4) * time_axis + rng.uniform()))
        currents = currents + np.outer(patch[0], wave)
    signal = gain @ currents
    return 1e-6 * (signal * 10 ** (5 / 20) / signal.std() + rng.standard_normal(signal.shape))


class Memory:
    """Peak of resident memory above what was resident before (Linux, glibc), MB."""

    def __enter__(self):
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what earlier calls freed would be used again unseen
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        self.before = self._read("VmRSS")
        return self

    def __exit__(self, *_):
        self.peak = (self._read("VmHWM") - self.before) / 1024

    @staticmethod
    def _read(key):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1])
        raise RuntimeError(f"/proc/self/status has no {key}.")


def entry_points(head, loose):
    """Return the ways to call mmnet: for one recording, and for many (with their number)."""
    given = dict(noise_cov=head.cov, loose=loose)

    def cold(evoked, _):
        mne_mmnet.apply_mmnet_inverse(evoked, head.free, **given)

    def prepared(evoked, _):
        mne_mmnet.apply_mmnet_inverse(evoked, head.operator)

    def epochs(_, rng):
        data = [draw_data(rng, head.gain, head.sampler) for _ in range(N_EPOCHS)]
        epochs = mne.EpochsArray(np.array(data), head.info)
        return lambda: mne_mmnet.apply_mmnet_inverse_epochs(epochs, head.operator)

    def raw(_, rng):
        data = draw_data(rng, head.gain, head.sampler, int(N_SECONDS * SFREQ))
        raw = mne.io.RawArray(data, head.info)
        return lambda: mne_mmnet.apply_mmnet_inverse_raw(raw, head.operator)

    many = {"mmnet epochs": (epochs, N_EPOCHS), "mmnet raw": (raw, N_SECONDS)}
    return {"mmnet": (prepared, 1), "mmnet cold": (cold, 1)}, many


def compared(head):
    """Return the other methods."""
    inverse = make_inverse_operator(head.info, head.fwd, head.cov, loose=0.0, depth=None)
    inverse = prepare_inverse_operator(inverse, 1, 1 / 9, "eLORETA")

    def eloreta(evoked, _):
        apply_inverse(evoked, inverse, 1 / 9, "eLORETA", prepared=True)

    def peer(method):
        return lambda evoked, _: method(evoked, head.cov, head)

    return {"eLORETA": eloreta} | {name: peer(PEERS[name]) for name in COMPARED}


def prepare(n_channels, spacing, loose):
    """All that does not depend on the recording."""
    info = electrodes(n_channels)
    free = mne_mmnet.make_template_forward(info, spacing)
    fixed = mne.convert_forward_solution(free, surf_ori=True, force_fixed=True)
    cov = mne.make_ad_hoc_cov(info, dict(eeg=1e-6))
    cov = mne.Covariance(np.diag(cov["data"]), cov.ch_names, [], info["projs"], 10_000)
    operator = mne_mmnet.make_mmnet_operator(info, free, cov, loose=loose)
    return SimpleNamespace(
        info=info,
        fwd=fixed,
        free=free,
        cov=cov,
        gain=fixed["sol"]["data"],
        positions=np.concatenate([space["rr"][space["vertno"]] for space in fixed["src"]]),
        sampler=PatchSampler(source_graph(fixed["src"])),
        operator=operator,
        loose=loose,
    )


def measure(head, args, slow):
    """Time everything at one size; returns rows."""
    rng = np.random.default_rng(args.seed)
    single, many = entry_points(head, head.loose)
    compares = len(head.info.ch_names) in args.compare
    methods = dict(single) if compares else {"mmnet": single["mmnet"]}
    many = many if compares else {}
    if compares and head.loose == 0.0:
        methods |= {name: (peer, 1) for name, peer in compared(head).items() if name not in slow}
    route = head.operator.route
    work = count_work(route.network, route.model, N_TIMES)
    seconds = {name: [] for name in (*methods, *many)}
    memory, floors = {}, []

    def clock(name, call, unit, repeat):
        if repeat == 0:  # the first call warms up, and says how much memory is needed
            with Memory() as peak:
                call()
            memory[name] = peak.peak
            return
        seconds[name].append(timed(call)[1] / unit)

    for repeat in range(args.repeats + 1):
        evoked = mne.EvokedArray(draw_data(rng, head.gain, head.sampler), head.info)
        floors.append(work.seconds(measure_rates()))
        for name, (method, unit) in methods.items():
            if name in slow or (repeat > args.few and name != "mmnet"):
                continue
            before = time.perf_counter()
            try:
                clock(name, partial(method, evoked, rng), unit, repeat)
            except RuntimeError as error:  # a sparse method that finds nothing
                print(f"{name}: {error}")
            took = time.perf_counter() - before
            if repeat and name not in single and took > args.patience:
                slow.add(name)
        if repeat <= args.few:
            for name, (make, unit) in many.items():
                clock(name, make(evoked, rng), unit, repeat)

    floors, ours = np.array(floors[1:]), np.array(seconds["mmnet"])
    sizes = dict(
        n_channels=len(head.info.ch_names),
        n_sources=route.model.n_sources,
        orientation=head.operator.prepared.orient,
        n_kept=route.model.n_kept,
        n_columns=route.model.columns.shape[-1],
    )
    rows = []
    for name, found in seconds.items():
        if not found:
            continue
        ratio = np.median(np.array(found) / ours[: len(found)])
        row = sizes | dict(
            method=name,
            n=len(found),
            median_ms=f"{1e3 * np.median(found):.1f}",
            min_ms=f"{1e3 * min(found):.1f}",
            max_ms=f"{1e3 * max(found):.1f}",
            ratio_to_mmnet=f"{ratio:.2f}",
            floor_ms="",
            ratio_to_floor="",
            memory_mb=f"{memory[name]:.0f}",
        )
        if name == "mmnet":
            row["floor_ms"] = f"{1e3 * np.median(floors):.1f}"
            row["ratio_to_floor"] = f"{np.median(ours / floors):.2f}"
        rows.append(row)
        print(" ".join(f"{key}={value}" for key, value in row.items() if value), flush=True)
    return rows


def main():
    """Run the benchmark."""
    parser = make_parser(__file__, __doc__, out=RESULTS / "speed.csv", model=False)
    parser.add_argument("--repeats", type=int, default=15, help="of mmnet")
    parser.add_argument("--few", type=int, default=4, help="repeats of all others")
    parser.add_argument("--channels", type=int, nargs="+", default=list(MONTAGES))
    parser.add_argument("--compare", type=int, nargs="*", default=[64], help="channels")
    parser.add_argument("--spacings", nargs="+", choices=SPACINGS, default=list(SPACINGS))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--numpy-threads", type=int, default=1)
    parser.add_argument("--patience", type=float, default=5.0, help="s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", action="store_true", help="only draw what was measured")
    args = parser.parse_args()
    if args.figure:
        return draw(read_rows(args.out), args.out.with_suffix(".png"))
    check_peers(COMPARED if args.compare else ())
    threadpool_limits(args.numpy_threads, user_api="blas")
    torch.set_num_threads(args.threads)
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # said by the user: use them all
    quiet()

    rows, slow = [], {}
    for size, spacing in enumerate(args.spacings):
        for n_channels in args.channels:
            for loose in ORIENTATIONS:
                # a method too slow at a size is too slow at a larger one
                skipped = {
                    name
                    for name, sizes in slow.items()
                    if any(n_channels >= c and size >= s for c, s in sizes)
                }
                before = set(skipped)
                rows += measure(prepare(n_channels, spacing, loose), args, skipped)
                for name in skipped - before:
                    slow.setdefault(name, []).append((n_channels, size))
                comment = made_by(
                    args,
                    "repeats few threads numpy_threads patience seed",
                    machine(),
                    f"torch {torch.__version__}, mne {mne.__version__}",
                )
                write_rows(args.out, comment, rows)
    draw(read_rows(args.out), args.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
