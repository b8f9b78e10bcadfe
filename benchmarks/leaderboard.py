"""mmnet among invertmeeg's solvers, on invertmeeg's four benchmark sets, through its own runner.

    pip install -c constraints.txt -e ".[benchmark]"
    python benchmarks/leaderboard.py --n-samples 25 --seeds 11 12

**Inverse crime, as in the original benchmark**: data are simulated and inverted with the same lead
field (biosemi32, template head, ico3, fixed orientation), so the numbers compare solvers and say
little about real recordings. Every solver is given the same data and the same estimated noise
covariance. Writes ``benchmarks/results/leaderboard.csv``: mean and 95 % bootstrap confidence
interval over all samples of all seeds.
"""

import argparse
import platform
import time
import warnings
from pathlib import Path

import mne
import numpy as np
import torch
from common import make_info, write_rows
from invert import solver_registry
from invert.benchmark import runner as invert_runner
from invert.solvers.base import BaseSolver, SolverMeta

import mne_mmnet

RESULTS = Path(__file__).parent / "results" / "leaderboard.csv"
METRICS = ("mle", "emd", "sd", "ap", "correlation")
PEERS = ("flex-champagne", "omni-champagne", "flex-nl-champagne", "champagne", "eloreta")
MODEL = {"model": "mmnet-base"}


class SolverMMNet(BaseSolver):
    """mmnet behind invertmeeg's solver interface."""

    meta = SolverMeta(acronym="MMNet", full_name="mne_mmnet", category="Learned", description="")

    # the names and signatures are invertmeeg's
    def make_inverse_operator(self, forward, mne_obj, *args, alpha="auto", noise_cov=None, **kw):
        self.forward, self.noise_cov = forward, noise_cov
        self.made_inverse_operator = True

    def apply_inverse_operator(self, mne_obj):
        evoked = mne_obj.copy().set_eeg_reference(projection=True, verbose="error")
        return mne_mmnet.apply_mmnet_inverse(
            evoked, self.forward, self.noise_cov, **MODEL, verbose="error"
        )


def register():
    """Plug mmnet into invertmeeg's registry."""
    spec = solver_registry.SolverSpec("mmnet", __name__, "SolverMMNet")
    solver_registry._SPECS_BY_ID["mmnet"] = spec
    solver_registry._ALIAS_TO_ID["mmnet"] = "mmnet"
    # its own asks for MNI coordinates, hence an MRI; distances are the same in head coordinates
    invert_runner.pos_from_forward = lambda forward, **_: 1e3 * forward["source_rr"]


def interval(values, rng, n_boot=2000):
    """Return the mean and its 95 % bootstrap confidence interval."""
    means = rng.choice(values, size=(n_boot, len(values))).mean(axis=1)
    return float(np.mean(values)), *np.percentile(means, [2.5, 97.5])


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-samples", type=int, default=25)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11])
    parser.add_argument("--solvers", nargs="+", default=["mmnet", *PEERS])
    parser.add_argument("--model", default="mmnet-base")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    MODEL["model"] = args.model
    mne.set_log_level("error")
    warnings.simplefilter("ignore")
    register()

    info = make_info("biosemi32", 1000.0)
    fwd = mne_mmnet.make_template_forward(info)
    fwd = mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True, use_cps=True)

    samples, seconds = {}, {}
    for seed in args.seeds:
        runner = invert_runner.BenchmarkRunner(
            fwd, info, solvers=args.solvers, n_samples=args.n_samples, n_jobs=1, random_seed=seed
        )
        for result in runner.run():
            key = (result.dataset_name, result.solver_name)
            samples.setdefault(key, []).extend(result.samples)
            seconds[key] = seconds.get(key, 0.0) + result.timing.total_seconds

    rng = np.random.default_rng(0)
    rows = []
    for (dataset, solver), found in samples.items():
        row = dict(dataset=dataset, solver=solver, n_samples=len(found))
        for metric in METRICS:
            values = np.array([getattr(sample, metric) for sample in found])
            row["n_failed"] = int(np.isnan(values).sum())
            mean, low, high = interval(values[~np.isnan(values)], rng)
            row[metric] = f"{mean:.4g}"
            row[f"{metric}_ci"] = f"{low:.4g} … {high:.4g}"
        row["seconds_per_sample"] = f"{seconds[dataset, solver] / len(found):.3g}"
        rows.append(row)
        print(
            f"{dataset:16s} {solver:18s} n={len(found):3d} MLE {row['mle']:>6s} "
            f"EMD {row['emd']:>6s} AP {row['ap']:>6s} [{row['ap_ci']}] "
            f"corr {row['correlation']:>6s} [{row['correlation_ci']}] "
            f"{row['seconds_per_sample']} s"
        )
    comment = (
        f"python benchmarks/leaderboard.py --n-samples {args.n_samples} "
        f"--seeds {' '.join(map(str, args.seeds))}; {time.strftime('%Y-%m-%d')}; "
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads; "
        "same lead field for simulation and inversion"
    )
    write_rows(args.out, comment, rows)


if __name__ == "__main__":
    main()
