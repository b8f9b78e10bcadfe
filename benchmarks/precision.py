"""How much of an estimate is rounding: against float64, across threads, twice, and in training.

    python benchmarks/precision.py

- **float32 against float64**: every recording is estimated as shipped, and once more with all of
  the pipeline in double precision (``double.py``). ``worst`` and ``median``: ‖x − x₆₄‖ / ‖x₆₄‖ of
  the currents over all locations and samples; ``peak``: the largest difference at any location
  and sample, relative to the largest current; ``moved``: recordings whose strongest location (rms
  over the window) is another one; ``level``: largest difference of a confidence level;
  ``steps``: recordings in which another proposal was rejected. Recordings are those of
  ``transfer.py`` (other heads), of ``limits.py`` (noise alone) and, where they are found, the real
  ones of ``real_eeg.py``.
- **covariances**: 64 channels, 5 dB; eigenvalues from 1 to 1/condition in random directions, rank
  as MNE estimates it, or given (all that the average reference leaves).
- **threads**: the same recordings in processes of 1, 2 and 4 threads, against the first of them
  (single recordings use two at most). NumPy's linear algebra has one everywhere.
- **twice**: the same call again; and epochs in a batch against one by one.
- **training**: three batches of the full network, in processes of 1 and 2 threads, each twice.

Writes ``precision.txt``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mne
import numpy as np
import torch
from double import in_double
from limits_suite import Bench, draw_noise_only
from runner import RESULTS, made_by, make_parser, quiet
from threadpoolctl import threadpool_limits
from transfer_suite import HEADS, MONTAGES, SNRS_DB, draw_case

import mne_mmnet
from mne_mmnet._mne import prepare_data, source_graph
from mne_mmnet._support.files import whole_file
from mne_mmnet.simulation import PeopleArchive, SimulationConfig
from mne_mmnet.training import TrainingConfig, train

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
THREADS = (1, 2, 4)
CONDITIONS = (1e2, 1e6, 1e8, 1e10, 1e12, 1e14)
# montages of the estimates across threads, and windows of a batch so large that several are used
GROUPS = (("biosemi32", 0), ("biosemi64", 32), ("biosemi128", 16))
_N_CASES = 2  # a montage and SNR; of every other kind four times as many


def estimate(evoked, fwd, noise_cov=None, **kwargs):
    """Currents, confidence levels (None for a model without) and the report."""
    sure = kwargs.get("model") != "mmnet-cosine"
    # the operator apart: the report's comparison with eLORETA is not wanted
    operator = mne_mmnet.make_mmnet_operator(evoked.info, fwd, noise_cov, **kwargs)
    whitened = _prepare(operator, evoked)
    solution, (report,) = operator.solve(whitened[None], uncertainty=sure)
    return solution.currents[0], solution.spread.level[0] if sure else None, report


def _prepare(operator, evoked):
    return prepare_data(evoked.info, operator.prepared, evoked.data, evoked.nave)


def differ(call):
    """Compare an estimate as shipped with its float64 reference; a dict of numbers."""
    evoked, fwd, noise_cov, kwargs = call
    currents, level, report = estimate(evoked, fwd, noise_cov, **kwargs)
    with in_double():
        exact, exact_level, exact_report = estimate(evoked, fwd, noise_cov, **kwargs)
    error = np.abs(currents - exact)
    peak, exact_peak = (np.square(x).sum(axis=(1, 2)).argmax() for x in (currents, exact))
    places = 1e3 * fwd["source_rr"]
    return dict(
        relative=np.linalg.norm(error) / np.linalg.norm(exact),
        peak=error.max() / np.abs(exact).max(),
        moved=np.linalg.norm(places[peak] - places[exact_peak]),
        level=0.0 if level is None else np.abs(level - exact_level).max(),
        steps=not np.array_equal(report.retries, exact_report.retries),
        descended=report.descended,
        finite=bool(np.isfinite(currents).all()),
    )


def recordings(n_cases):
    """All kinds of recordings: (kind, iterator of what ``estimate`` takes)."""
    bench = Bench("biosemi64", HEADS)

    for montage in MONTAGES:
        setup = bench if montage == "biosemi64" else Bench(montage, HEADS)
        cases = [draw_case(setup, snr_db, k) for snr_db in SNRS_DB for k in range(n_cases)]
        yield montage, [(c.evoked, setup.fwd, c.noise_cov, {}) for c in cases]
        if montage == "biosemi64":
            kept = cases
    yield "no covariance", [(c.evoked, bench.fwd, None, {}) for c in kept]
    yield "loose 0.2", [(c.evoked, bench.free, c.noise_cov, dict(loose=0.2)) for c in kept]
    yield "evidence", [(c.evoked, bench.free, c.noise_cov, {}) for c in kept]
    yield "free orientation", [(c.evoked, bench.free, c.noise_cov, dict(loose=1.0)) for c in kept]
    yield "volume grid", [(c.evoked, bench.volume, c.noise_cov, {}) for c in kept[::3]]
    yield (
        "one sample",
        [
            (c.evoked.copy().crop(*2 * [c.evoked.times[c.peaks[0]]]), bench.fwd, c.noise_cov, {})
            for c in kept
        ],
    )
    yield (
        "noise alone",
        [
            (r.evoked, bench.fwd, r.noise_cov, {})
            for r in (
                draw_noise_only(bench, np.random.default_rng(number), (200, 1.0))
                for number in range(len(kept))
            )
        ],
    )
    # the lead field itself, no noise: the least regular problem there is
    clean = [
        (c.evoked.copy(), bench.fwd["sol"]["data"] @ c.truth, None if k % 2 else c.noise_cov)
        for k, c in enumerate(kept)
    ]
    for evoked, data, _ in clean:
        evoked.data[:] = data - data.mean(axis=0)
    own = dict(head="own")
    yield "same head, no noise", [(evoked, bench.fwd, cov, own) for evoked, _, cov in clean]
    cosine = dict(model="mmnet-cosine")
    yield "mmnet-cosine", [(c.evoked, bench.fwd, c.noise_cov, cosine) for c in kept]
    files = sorted(REAL.glob("*-ave.fif"))
    if files:
        real = []
        for path in files:
            (evoked,) = mne.read_evokeds(path)
            fwd = mne_mmnet.make_template_forward(evoked.info)
            real += [(evoked, fwd, None, dict(loose=loose)) for loose in (None, 0.0, 1.0)]
        yield "real recordings", real


def covariances(n_cases):
    """Draw recordings with badly conditioned noise covariances."""
    bench = Bench("biosemi64", HEADS)
    n_channels = len(bench.info["ch_names"])
    for name in (*CONDITIONS, "rank 20 of 64", "8 channels interpolated"):
        for given in (False, True) if name == CONDITIONS[-1] else (False,):
            calls = []
            for number in range(2 * n_cases):
                rng = np.random.default_rng([7, number])
                case = draw_case(bench, 5, number)
                turn = np.linalg.qr(rng.standard_normal((n_channels, n_channels)))[0]
                values = np.ones(n_channels)
                if isinstance(name, float):
                    values = np.logspace(0, -np.log10(name), n_channels)
                elif name.startswith("rank"):
                    values[20:] = 0.0
                root = turn * np.sqrt(values)
                if name == "8 channels interpolated":
                    root[:8] = root[8:].reshape(8, 7, -1).mean(axis=1)
                noise = root @ rng.standard_normal((n_channels, case.evoked.data.shape[1]))
                signal = bench.gains[0][:, rng.integers(bench.gains[0].shape[1])]
                course = np.hanning(noise.shape[1])
                data = np.outer(signal / np.sqrt(np.mean(np.outer(signal, course) ** 2)), course)
                size = 1e-6 / np.sqrt(np.mean(root**2) * n_channels)
                evoked = case.evoked.copy()
                evoked.data[:] = 1.8e-6 * data + size * noise
                cov = mne.Covariance(
                    size**2 * root @ root.T, evoked.ch_names, [], evoked.info["projs"], 1000
                )
                rank = dict(eeg=n_channels - 1) if given else None
                calls.append((evoked, bench.fwd, cov, dict(rank=rank)))
            label = f"condition {name:.0e}" if isinstance(name, float) else name
            yield label + (", full rank" if given else ""), calls


def compare(kinds):
    """Lines of the table, a kind of recording each."""
    lines = [
        f"{'kind':32}{'n':>5}{'worst':>10}{'median':>10}{'peak':>10}{'moved':>7}{'mm':>6}"
        f"{'level':>10}{'steps':>7}{'descended':>11}{'finite':>8}"
    ]
    everything = []
    for kind, calls in kinds:
        found = []
        for call in calls:
            try:
                found.append(differ(call))
            except (ValueError, FloatingPointError, np.linalg.LinAlgError) as error:
                lines.append(f"FAILED: {kind}: {type(error).__name__}: {error}")
        if found:
            everything += found
            lines.append(_line(kind, found))
            print(lines[-1], flush=True)
    lines.append(_line("all", everything))
    return lines


def _line(kind, found):
    values = {key: np.array([f[key] for f in found], float) for key in found[0]}
    return (
        f"{kind:32}{len(found):5d}{values['relative'].max():10.1e}"
        f"{np.median(values['relative']):10.1e}{values['peak'].max():10.1e}"
        f"{int((values['moved'] > 0).sum()):7d}{values['moved'].max():6.0f}"
        f"{values['level'].max():10.1e}{int(values['steps'].sum()):7d}"
        f"{int(values['descended'].sum()):11d}{int(values['finite'].sum()):8d}"
    )


def run_process(task, n_threads, path):
    """Run one task of this script in a process of so many threads, and read what it wrote."""
    n = str(n_threads)
    # beside more threads of NumPy's, single recordings would be computed on one
    env = os.environ | dict(OMP_NUM_THREADS=n, OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS=n)
    command = [sys.executable, str(Path(__file__).resolve()), "--task", task, "--out", str(path)]
    # torch takes no more than the cores unless it is told
    subprocess.run([*command, "--n-threads", n], env=env, check=True)
    return np.load(path)["values"]


def task_estimates():
    """Estimates of single recordings, and of batches."""
    found = []
    for montage, n_batch in GROUPS:
        setup = Bench(montage, HEADS)
        cases = [draw_case(setup, snr_db, 0) for snr_db in SNRS_DB]
        found += [estimate(case.evoked, setup.fwd, case.noise_cov)[0] for case in cases]
        if n_batch:
            operator = mne_mmnet.make_mmnet_operator(
                cases[0].evoked.info, setup.fwd, cases[0].noise_cov
            )
            cases = [draw_case(setup, 5, number) for number in range(n_batch)]
            found += list(
                operator.solve(np.stack([_prepare(operator, c.evoked) for c in cases]))[0].currents
            )
    return np.stack([x[:, 0] / np.linalg.norm(x) for x in found])


def task_training():
    """Weights after three batches from a seed."""
    bench = Bench("biosemi64", HEADS)
    fwd = mne.read_forward_solution(HEADS / "biosemi64-standard-fwd.fif")
    n_channels = len(bench.electrodes)
    gains = fwd["sol"]["data"].reshape(1, n_channels, -1, 3).astype(np.float32)
    people = PeopleArchive(
        standard=gains[0],
        true=gains,
        own=gains,
        fitted=gains,
        deep=gains[:, :, :4],
        electrodes=bench.electrodes,
        groups=np.zeros(n_channels, int),
        positions=bench.positions,
        normals=bench.fwd["source_nn"],
        adjacency=source_graph(fwd["src"]),
    )
    config = TrainingConfig(
        simulation=SimulationConfig(n_channels=(32, n_channels), layouts=0.0),
        spaces=(("ico3", 1, 1.0),),
        n_batches=3,
        batch_size=2,
        n_steps=(2, 3),
        seed=5,
    )
    with tempfile.TemporaryDirectory() as folder:
        network, _ = train(config, folder, [people])
    return torch.cat([p.detach().flatten() for p in network.parameters()]).double().numpy()


TASKS = dict(estimates=task_estimates, training=task_training)


def threads(folder):
    """Lines about threads and training."""
    lines, first = [], None
    for n_threads in THREADS:
        values = run_process("estimates", n_threads, folder / "estimates.npz")
        first = values if first is None else first
        error = np.linalg.norm((values - first).reshape(len(values), -1), axis=1)
        moved = (np.square(values).sum(2).argmax(1) != np.square(first).sum(2).argmax(1)).sum()
        lines.append(
            f"{n_threads} threads: currents differ from those of one by {error.max():.1e} at most "
            f"({np.median(error):.1e} median, n = {len(values)}), {moved} peaks moved"
        )
        print(lines[-1], flush=True)
    first = None
    for n_threads in THREADS[:2]:
        runs = [run_process("training", n_threads, folder / "training.npz") for _ in range(2)]
        first = runs[0] if first is None else first
        same = "bitwise equal" if np.array_equal(*runs) else "NOT equal"
        change = np.linalg.norm(runs[0] - first) / np.linalg.norm(first)
        lines.append(
            f"training, {n_threads} threads: two runs of a seed {same} ({runs[0].size} weights); "
            f"weights differ from those of one thread by {change:.1e}"
        )
        print(lines[-1], flush=True)
    return lines


def twice(n_cases):
    """Lines about the same call again, and about batches."""
    bench = Bench("biosemi64", HEADS)
    cases = [draw_case(bench, 5, number) for number in range(4 * n_cases)]
    calls = [(c.evoked, bench.fwd, c.noise_cov) for c in cases]
    same = [all(np.array_equal(a, b) for a, b in _pairs(call)) for call in calls]
    operator = mne_mmnet.make_mmnet_operator(cases[0].evoked.info, bench.fwd, cases[0].noise_cov)
    data = np.stack([_prepare(operator, c.evoked) for c in cases])
    whole = operator.solve(data)[0].currents
    single = np.concatenate([operator.solve(x[None])[0].currents for x in data])
    error = [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(whole, single, strict=True)]
    lines = [
        f"the same call twice, {torch.get_num_threads()} threads: {sum(same)} of {len(same)} "
        "bitwise equal (currents and levels)",
        f"a batch of {len(data)} against one by one: currents differ by {max(error):.1e} at most",
    ]
    print(*lines, sep="\n", flush=True)
    return lines


def _pairs(call):
    return zip(estimate(*call)[:2], estimate(*call)[:2], strict=True)


def main():
    """Run the benchmark."""
    parser = make_parser(__file__, __doc__, out=RESULTS / "precision.txt", model=False)
    parser.add_argument("--n-cases", type=int, default=_N_CASES, help="a montage and SNR")
    parser.add_argument("--task", choices=list(TASKS), help=argparse.SUPPRESS)
    parser.add_argument("--n-threads", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    quiet()
    if args.task:
        torch.set_num_threads(args.n_threads)
        np.savez(args.out, values=TASKS[args.task]())
        return
    # else single recordings would be computed on one thread
    threadpool_limits(1, user_api="blas")
    os.environ["OMP_NUM_THREADS"] = str(torch.get_num_threads())
    started = time.perf_counter()
    lines = ["float32 against float64, relative errors", *compare(recordings(args.n_cases)), ""]
    lines += ["noise covariances", *compare(covariances(args.n_cases)), ""]
    lines += twice(args.n_cases)
    with tempfile.TemporaryDirectory() as folder:
        lines += threads(Path(folder))
    comment = made_by(
        args,
        "n_cases",
        f"torch {torch.__version__}, numpy {np.__version__}",
        f"{time.perf_counter() - started:.0f} s",
        "what the columns mean says the script",
    )
    with whole_file(args.out) as scratch:
        scratch.write_text("\n".join([f"# {comment}", "", *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
