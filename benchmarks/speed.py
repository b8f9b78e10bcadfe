"""Time of one inverse: mmnet with a prepared operator, MNE's eLORETA, invertmeeg's FlexChampagne.

    pip install -c constraints.txt -e ".[benchmark]"
    python benchmarks/speed.py

The methods take turns on the same recordings (three patches, 5 dB, 50 samples, another one for
each repetition), so that a machine whose speed drifts slows all of them. Quoted are the median and
the range over repetitions, and the median of the paired ratios. eLORETA is timed with its inverse
operator prepared, applying included; FlexChampagne has nothing to prepare: its operator depends on
the data. Writes ``benchmarks/results/speed.csv``.
"""

import argparse
import os
import platform
import time
import warnings
from pathlib import Path

import mne
import numpy as np
import torch
from common import make_info, write_rows
from invert.solvers.bayesian.flex_champagne import SolverFlexChampagne
from mne.minimum_norm import apply_inverse, make_inverse_operator, prepare_inverse_operator

import mne_mmnet
from mne_mmnet._mne import source_graph
from mne_mmnet.simulation import PatchSampler

RESULTS = Path(__file__).parent / "results" / "speed.csv"
MONTAGES = {32: "biosemi32", 64: "biosemi64", 128: "biosemi128"}
SPACINGS = {1284: "ico3", 5124: "ico4"}


def draw_evoked(rng, info, gain, sampler):
    """Three patches with smooth time courses and white noise at 5 dB."""
    time_axis = np.linspace(0.0, 1.0, 50)
    currents = 0.0
    for _ in range(3):
        patch, _ = sampler.draw(rng, 15.0)
        wave = np.cos(2 * np.pi * (rng.uniform(1, 4) * time_axis + rng.uniform()))
        currents = currents + np.outer(patch[0], wave)
    signal = gain @ currents
    noise = rng.standard_normal(signal.shape)
    noise *= np.sqrt(np.mean(signal**2) / np.mean(noise**2)) * 10 ** (-5 / 20)
    data = signal + noise
    evoked = mne.EvokedArray(1e-6 * data / data.std(), info, verbose="error")
    return evoked.set_eeg_reference(projection=True, verbose="error")


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--channels", type=int, nargs="+", default=list(MONTAGES))
    parser.add_argument("--sources", type=int, nargs="+", default=list(SPACINGS))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    mne.set_log_level("error")
    warnings.simplefilter("ignore")

    rows = []
    for n_sources in args.sources:
        for n_channels in args.channels:
            info = make_info(MONTAGES[n_channels], 250.0)
            fwd = mne_mmnet.make_template_forward(info, SPACINGS[n_sources])
            fwd = mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True)
            gain = fwd["sol"]["data"]
            cov = mne.make_ad_hoc_cov(info)
            rng = np.random.default_rng(0)
            sampler = PatchSampler(source_graph(fwd["src"]))
            evoked = draw_evoked(rng, info, gain, sampler)
            started = time.perf_counter()
            operator = mne_mmnet.make_mmnet_operator(evoked.info, fwd)
            preparing = time.perf_counter() - started
            classical = make_inverse_operator(evoked.info, fwd, cov, loose=0.0, depth=None)
            classical = prepare_inverse_operator(classical, 1, 1 / 9, "eLORETA")

            def flex(evoked, fwd=fwd):
                solver = SolverFlexChampagne()
                solver.make_inverse_operator(fwd, evoked, alpha="auto")
                return solver.apply_inverse_operator(evoked)

            def eloreta(evoked, classical=classical):
                return apply_inverse(evoked, classical, 1 / 9, "eLORETA", prepared=True)

            def mmnet(evoked, operator=operator):
                return mne_mmnet.apply_mmnet_inverse(evoked, operator)

            methods = {"mmnet": mmnet, "eLORETA": eloreta, "FlexChampagne": flex}
            seconds = {name: [] for name in methods}
            for repeat in range(args.repeats + 1):
                evoked = draw_evoked(rng, info, gain, sampler)
                for name, method in methods.items():
                    started = time.perf_counter()
                    method(evoked)
                    if repeat:  # the first is the warm-up
                        seconds[name].append(time.perf_counter() - started)
            for name, found in seconds.items():
                ratio = np.median(np.array(found) / np.array(seconds["mmnet"]))
                row = dict(
                    n_channels=n_channels,
                    n_sources=n_sources,
                    method=name,
                    median_ms=f"{1e3 * np.median(found):.1f}",
                    min_ms=f"{1e3 * min(found):.1f}",
                    max_ms=f"{1e3 * max(found):.1f}",
                    ratio_to_mmnet=f"{ratio:.2f}",
                    prepare_ms=f"{1e3 * preparing:.0f}" if name == "mmnet" else "",
                )
                rows.append(row)
                print(" ".join(f"{key}={value}" for key, value in row.items()), flush=True)
    comment = (
        f"python benchmarks/speed.py --repeats {args.repeats} --threads {args.threads}; "
        f"{time.strftime('%Y-%m-%d')}; {platform.machine()}, {os.cpu_count()} cores; torch "
        f"{torch.__version__}, mne {mne.__version__}"
    )
    write_rows(args.out, comment, rows)


if __name__ == "__main__":
    main()
