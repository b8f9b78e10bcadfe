"""mmnet among invertmeeg's solvers, on invertmeeg's four benchmark sets, through its own runner.

    pip install -c constraints.txt -e ".[benchmark]"
    python benchmarks/leaderboard.py --solvers all --seeds 11 --time-limit 150    # hours
    python benchmarks/leaderboard.py --solvers mmnet top --seeds 11 12            # and the tables

**Inverse crime, as in the original benchmark**: data are simulated and inverted with the same lead
field (biosemi32, template head, ico3, fixed orientation), so the numbers compare solvers and say
little about real recordings. Every solver is given the same data (their digests are compared) and
the same estimated noise covariance, with the parameters of invertmeeg's runner.

**Average rank**, as invertmeeg defines it (``BenchmarkRunner._compute_average_ranks``): for each
set and each of its five metrics, solvers are ranked by their mean over the samples; equal means
share the better rank. Less is better of localisation error, earth mover's distance and spatial
dispersion (``mle``, ``emd``, ``sd``), more of average precision and correlation. The mean of the
five is the rank on a set, that of the four the average rank. As in invertmeeg, a sample without a
value is left out of a mean (``n_failed`` counts them); unlike there, a solver that failed on a set
shares the last rank on it. There are two rankings, each among solvers with the same samples:
``all``, on the seeds that all solvers ran, and ``top``, the ten best of them on all ``--seeds``.

Results are kept in ``--work``, a file for each solver. What is there is not computed again, except
failures of mmnet and time-outs at a shorter limit; mmnet's go by the digest of its weights:
changed code needs ``--refresh mmnet``. Writes ``leaderboard.csv``, ``leaderboard_ranks.csv`` and
``leaderboard.png`` (``--solvers`` without names: only these); intervals are 95 % bootstrap
intervals over samples. Linux: solvers run in forked processes, with a limit of memory.
"""

import hashlib
import importlib
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import mne
import numpy as np
import torch
from common import machine, make_info, timed, write_rows
from drawing import save, strip
from invert import solver_registry
from invert.benchmark import runner as invert_runner
from invert.solvers.base import BaseSolver, SolverMeta
from matplotlib.figure import Figure
from runner import CACHE, Store, made_by, make_parser, quiet, tell
from scipy.stats import rankdata

import mne_mmnet
from mne_mmnet.weights import read_card

METRICS = ("mle", "emd", "sd", "ap", "correlation")
SIGNS = np.array([1, 1, 1, -1, -1])  # of the metrics: what is ranked is lower for the better
# the ten best of invertmeeg's own results (results/release/leaderboard.json of 2026-02-07)
TOP = (
    "flex-champagne",
    "omni-champagne",
    "flex-nl-champagne",
    "flex-ap",
    "subspace-sbl",
    "flex-music",
    "subspace-sbl-plus",
    "chimera",
    "generalized-iterative",
    "flex-ssm",
)
CATEGORIES = (
    "bayesian",
    "music",
    "other",
    "beamformer",
    "matching_pursuit",
    "loreta",
    "minimum_norm",
    "neural_networks",
)
REFERENCE = "flex-champagne"
N_BOOT = 2000
MODEL = {"model": "mmnet-base"}
# the lead field that simulates is the one that inverts, along the normals: mmnet is told both
SETTING = {"loose": 0.0, "head": "own"}


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
            evoked, self.forward, self.noise_cov, **MODEL, **SETTING, verbose="error"
        )


class DigestedSimulation(invert_runner.SimulationGenerator):
    """invertmeeg's simulation; leaves a digest of what it made."""

    digest = None

    def generate(self, *args, **kwargs):
        for data, sources, info in super().generate(*args, **kwargs):
            covs = np.stack(info["noise_cov_est_scaled"].to_list())
            parts = (np.ascontiguousarray(part).tobytes() for part in (data, sources, covs))
            DigestedSimulation.digest = hashlib.sha256(b"".join(parts)).hexdigest()[:16]
            yield data, sources, info


def register():
    """Plug mmnet into invertmeeg's registry, and the digest into its runner."""
    spec = solver_registry.SolverSpec("mmnet", __name__, "SolverMMNet")
    solver_registry._SPECS_BY_ID["mmnet"] = spec
    solver_registry._ALIAS_TO_ID["mmnet"] = "mmnet"
    # its own asks for MNI coordinates, hence an MRI; distances are the same in head coordinates
    invert_runner.pos_from_forward = lambda forward, **_: 1e3 * forward["source_rr"]
    invert_runner.SimulationGenerator = DigestedSimulation


def resolve(names):
    """Return the identifiers of solvers: those expected to be good first, slow ones last."""
    categories = invert_runner.SOLVER_CATEGORIES
    everyone = [solver for name in CATEGORIES for solver in categories[name]]
    listed = invert_runner.resolve_solvers(categories=["all"])
    everyone += [solver for solver in listed if solver not in everyone]
    classical = [solver for solver in everyone if solver not in categories["neural_networks"]]
    groups = {
        "top": TOP,
        "classical": (*TOP, *classical),
        "all": ("mmnet", *TOP, *everyone),
    }
    names = [solver for name in names for solver in groups.get(name, (name,))]
    return invert_runner.resolve_solvers(solvers=names)


def store_of(folder, solver):
    """Results of a solver, or of mmnet with its present weights."""
    sha256 = read_card(MODEL["model"]).sha256 if solver == "mmnet" else None
    return Store(folder / f"{solver}.jsonl", ("seed", "dataset"), sha256)


# ---- running


def solve(forward, info, dataset, seed, solver, n_samples):
    """Return one solver's metrics on one set."""
    if solver == "mmnet":  # the others are imported before the runner's clock starts, too
        importlib.import_module("mne_mmnet.inverse")
    runner = invert_runner.BenchmarkRunner(
        forward,
        info,
        solvers=[solver],
        datasets={dataset: invert_runner.BENCHMARK_DATASETS[dataset]},
        n_samples=n_samples,
        n_jobs=1,
        random_seed=seed,
    )
    (result,) = runner.run()
    samples = {}
    for metric in METRICS:
        values = [getattr(sample, metric) for sample in result.samples]
        samples[metric] = [value if np.isfinite(value) else None for value in values]
    seconds = result.timing.total_seconds
    return dict(failure=None, scores=samples, seconds=seconds, data=DigestedSimulation.digest)


def child(sender, log, max_bytes, task):
    """Solve in a process of its own, and send the result or what went wrong."""
    os.setpgid(0, 0)  # whatever the solver starts is killed with it
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    resource.setrlimit(resource.RLIMIT_AS, (max_bytes, max_bytes))
    try:
        found = solve(*task)
    except BaseException as error:  # SystemExit included: nothing a solver does ends the benchmark
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        if isinstance(error, MemoryError) or "allocate memory" in reason:  # numpy's or torch's
            reason = f"memory limit ({max_bytes / 2**30:g} GiB): {reason}"
        found = dict(failure=reason, traceback=traceback.format_exc())
    sender.send(found)


def supervise(task, time_limit, memory):
    """Run a task in a child process, and kill it at the limit."""
    context = multiprocessing.get_context("fork")  # imports and lead field are there already
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.TemporaryFile() as log:
        process = context.Process(target=child, args=(sender, log, int(memory * 2**30), task))
        process.start()
        sender.close()
        try:
            if receiver.poll(time_limit):
                found = receiver.recv()
                process.join(10)
            else:
                found = dict(failure=f"time limit ({time_limit:g} s)")
        except EOFError:  # ended without a word
            process.join()
            code = process.exitcode
            reason = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            found = dict(failure=f"crash ({reason})")
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:  # the usual case: all of them have ended
                pass
            process.join()
        if found["failure"]:
            log.seek(0)
            found["output"] = log.read()[-2000:].decode(errors="replace")
    return found


def is_due(record, time_limit):
    """Whether there is no result yet, or a failure that more time or a repair might avoid."""
    if record is None or (record["factors"]["solver"] == "mmnet" and record["failure"]):
        return True
    timed_out = (record["failure"] or "").startswith("time limit")
    return timed_out and record["time_limit"] < time_limit


def run(folder, solvers, args):
    """Run what is due: seed by seed and solver by solver."""
    info = make_info("biosemi32", 1000.0)
    forward = mne_mmnet.make_template_forward(info, positions="as given")
    forward = mne.convert_forward_solution(forward, surf_ori=True, force_fixed=True, use_cps=True)
    refreshed = invert_runner.resolve_solvers(solvers=args.refresh)
    stores = {solver: store_of(folder, solver) for solver in solvers}
    tasks = [
        (dataset, seed, solver)
        for seed in args.seeds
        for solver in solvers
        for dataset in invert_runner.BENCHMARK_DATASETS
    ]
    for number, (dataset, seed, solver) in enumerate(tasks, 1):
        known = stores[solver].records.get((seed, dataset))
        if solver not in refreshed and not is_due(known, args.time_limit):
            continue
        task = (forward, info, dataset, seed, solver, args.n_samples)
        found, taken = timed(supervise, task, args.time_limit, args.memory)
        limits = dict(time_limit=args.time_limit, memory_limit=args.memory, machine=machine())
        factors = dict(dataset=dataset, seed=seed, solver=solver, n_samples=args.n_samples)
        stores[solver].add(factors, found | limits)
        outcome = f"FAILED: {found['failure']}" if found["failure"] else "done"
        print(
            f"{time.strftime('%H:%M:%S')} {number}/{len(tasks)} seed {seed} {dataset:16s} "
            f"{solver:36s} {taken:6.1f} s  {outcome}",
            flush=True,
        )


# ---- tables


def load(folder, seeds):
    """Return the records of all solvers by solver, seed and set; their data must be the same."""
    records, digests = {}, {}
    for path in sorted(folder.glob("*.jsonl")):
        for (seed, dataset), record in store_of(folder, path.stem).records.items():
            if seed in seeds:
                records[path.stem, seed, dataset] = record
                if not record["failure"]:
                    one = digests.setdefault((seed, dataset), {})
                    one.setdefault(record["data"], []).append(path.stem)
    for (seed, dataset), one in digests.items():
        if len(one) > 1:
            raise RuntimeError(
                f"Solvers had different data of seed {seed}, {dataset}: {one}. Run the fewer ones "
                "again with --refresh."
            )
    return records


def metrics_of(records, solver, dataset, seeds):
    """Return a solver's metrics, shape (n_samples, n_metrics), NaN where it failed."""
    found = []
    for seed in seeds:
        record = records[solver, seed, dataset]
        if record["failure"]:
            n_samples = record["factors"]["n_samples"]
            found.append(np.full((n_samples, len(METRICS)), np.nan))
        else:
            columns = [record["scores"][metric] for metric in METRICS]
            found.append(np.array(columns, dtype=float).T)
    return np.concatenate(found)


def average_ranks(scores):
    """Rank solvers as invertmeeg does: ranks of shape (n_solvers, n_sets).

    ``scores`` are of shape (n_solvers, n_sets, n_samples, n_metrics), NaN where there is none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nothing but NaN: ranked last, below
        means = SIGNS * np.nanmean(scores, axis=2)
    means[np.isnan(means)] = np.inf
    return rankdata(means, method="min", axis=0).mean(axis=-1)


def rank(records, solvers, seeds, name):
    """Rank solvers on the same seeds, the best first, with bootstrap intervals."""
    datasets = list(invert_runner.BENCHMARK_DATASETS)
    scores = np.stack(
        [[metrics_of(records, solver, name, seeds) for name in datasets] for solver in solvers]
    )
    missing = np.isnan(scores).any(axis=-1).sum(axis=(1, 2))
    for row, solver in enumerate(solvers):  # no mean of one seed against others' means of two
        for column, dataset in enumerate(datasets):
            if any(records[solver, seed, dataset]["failure"] for seed in seeds):
                scores[row, column] = np.nan
    ranks = average_ranks(scores)
    rng = np.random.default_rng(0)
    n_sets, n_samples = scores.shape[1:3]
    draws = []
    for _ in range(N_BOOT // 2):
        # the same samples for all solvers
        index = rng.integers(n_samples, size=(n_sets, n_samples))
        drawn = np.take_along_axis(scores, index[None, :, :, None], axis=2)
        draws.append(average_ranks(drawn).mean(axis=1))
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    averages = ranks.mean(axis=1)
    rows = []
    for place, i in enumerate(np.argsort(averages, kind="stable"), 1):
        rows.append(
            dict(
                ranking=name,
                place=place,
                solver=solvers[i],
                average_rank=f"{averages[i]:.2f}",
                average_rank_ci=f"{low[i]:.2f} … {high[i]:.2f}",
                **{dataset: f"{ranks[i, j]:.2f}" for j, dataset in enumerate(datasets)},
                n_solvers=len(solvers),
                n_samples_per_set=n_samples,
                n_samples_failed=missing[i],
                seeds=" ".join(map(str, seeds)),
                metrics="mle- emd- sd- ap+ correlation+",
                failures=failures(records, solvers[i], seeds),
            )
        )
    return rows


def failures(records, solver, seeds):
    """Return why a solver failed, and where."""
    reasons = {}
    for seed in seeds:
        for dataset in invert_runner.BENCHMARK_DATASETS:
            reason = records[solver, seed, dataset]["failure"]
            if reason:
                reasons.setdefault(reason, []).append(f"{dataset} {seed}")
    return "; ".join(f"{reason} [{', '.join(where)}]" for reason, where in reasons.items())


def summary(values, rng):
    """Return mean and 95 % bootstrap interval of the values that are there, for a table."""
    values = values[np.isfinite(values)]
    if not len(values):
        return "", ""
    means = rng.choice(values, size=(N_BOOT, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{np.mean(values):.4g}", f"{low:.4g} … {high:.4g}"


def describe(records, solver, dataset, seeds, reference_seeds):
    """Return a row of means and intervals of one solver on one set."""
    rng = np.random.default_rng(0)
    metrics = metrics_of(records, solver, dataset, seeds)
    mine = [records[solver, seed, dataset] for seed in seeds]
    ran = [record for record in mine if not record["failure"]]
    row = dict(dataset=dataset, solver=solver, seeds=" ".join(map(str, seeds)))
    row["n_samples"] = len(metrics)
    row["n_failed"] = int(np.isnan(metrics).any(axis=1).sum())
    for metric, values in zip(METRICS, metrics.T, strict=True):
        row[metric], row[f"{metric}_ci"] = summary(values, rng)
    # sample by sample: these intervals are narrower than the difference of two
    shared = [seed for seed in seeds if seed in reference_seeds]
    for metric in ("ap", "correlation"):
        column = f"{metric}_minus_{REFERENCE}"
        row[column] = row[f"{column}_ci"] = ""
        if shared:
            pair = [metrics_of(records, name, dataset, shared) for name in (solver, REFERENCE)]
            difference = (pair[0] - pair[1])[:, METRICS.index(metric)]
            row[column], row[f"{column}_ci"] = summary(difference, rng)
    n_timed = sum(record["factors"]["n_samples"] for record in ran)
    seconds = sum(record["seconds"] for record in ran)
    row["seconds_per_sample"] = f"{seconds / n_timed:.3g}" if ran else ""
    failed = [record for record in mine if record["failure"]]
    row["failure"] = "; ".join(
        f"seed {record['factors']['seed']}: {record['failure']}" for record in failed
    )
    return row


def plot(rows, names, path):
    """Draw average precision and correlation with their intervals: a column for each set."""
    figure = Figure(figsize=(12, 1.6 + 0.44 * len(names)), dpi=150, layout="constrained")
    datasets = list(invert_runner.BENCHMARK_DATASETS)
    grid = figure.subplots(2, len(datasets), sharex=True, sharey=True)
    titles = {"ap": "average precision", "correlation": "correlation"}
    for axes, (metric, title) in zip(grid, titles.items(), strict=True):
        for axis, dataset in zip(axes, datasets, strict=True):
            for y, solver in enumerate(names):
                row = rows[dataset, solver]
                if not row[metric]:  # failed; the tables say why
                    continue
                mean = float(row[metric])
                low, high = map(float, row[f"{metric}_ci"].split(" … "))
                colour = "#D55E00" if solver == "mmnet" else "#0072B2"
                axis.plot([low, high], [y, y], color=colour, linewidth=1.5)
                axis.plot(mean, y, "D" if solver == "mmnet" else "o", color=colour, markersize=5)
            strip(axis)
            axis.set_xlabel(title)
            axis.tick_params(labelbottom=True)
        axes[0].set_yticks(range(len(names)), names)
        for label in axes[0].get_yticklabels():
            label.set_fontweight("bold" if label.get_text() == "mmnet" else "normal")
    for axis, dataset in zip(grid[0], datasets, strict=True):
        axis.set_title(invert_runner.BENCHMARK_DATASETS[dataset].name)
    grid[0, 0].set_ylim(len(names) - 0.4, -0.6)
    first = rows[datasets[0], names[0]]
    figure.suptitle(
        f"invertmeeg's sets, {first['n_samples']} samples each (seeds {first['seeds']}), "
        "95 % intervals; best average rank at the top",
        fontsize=11,
    )
    save(figure, path)


def make_tables(folder, args):
    """Write both tables and the figure, from all results of these seeds that are there."""
    records = load(folder, args.seeds)
    datasets = list(invert_runner.BENCHMARK_DATASETS)
    finished = {solver: [] for solver, *_ in records}
    for solver, seeds in finished.items():
        for seed in args.seeds:
            if all((solver, seed, dataset) in records for dataset in datasets):
                seeds.append(seed)
    if unfinished := [solver for solver, seeds in finished.items() if not seeds]:
        print(f"Left out, as no seed of theirs is finished: {unfinished}")
    finished = {solver: seeds for solver, seeds in finished.items() if seeds}
    common = [seed for seed in args.seeds if all(seed in seeds for seeds in finished.values())]
    if not common:
        raise RuntimeError(f"No seed was run by all solvers: {finished}. Run all of them on one.")
    ranking = rank(records, list(finished), common, "all")
    order = [row["solver"] for row in ranking]

    complete = [solver for solver in order if finished[solver] == args.seeds]
    behind = [solver for solver in order[:10] if solver not in complete]
    if behind:
        print(f"Among the ten best, but not run with all seeds {args.seeds}: {behind}")
    top = complete[:10] + [solver for solver in complete[10:] if solver == "mmnet"]
    if top:
        ranking += rank(records, top, args.seeds, "top")
        top = [row["solver"] for row in ranking if row["ranking"] == "top"]

    reference = finished.get(REFERENCE, [])
    rows = {
        (dataset, solver): describe(records, solver, dataset, finished[solver], reference)
        for dataset in datasets
        for solver in order
    }
    comment = made_by(
        args,
        "solvers seeds n_samples",
        f"{machine()}, {torch.get_num_threads()} threads",
        "same lead field for simulation and inversion (inverse crime, as in the original)",
    )
    write_rows(args.out / "leaderboard.csv", comment, list(rows.values()))
    write_rows(args.out / "leaderboard_ranks.csv", comment, ranking)
    if top:
        plot(rows, top, args.out / "leaderboard.png")
    shown = ("ranking", "place", "solver", "average_rank", "average_rank_ci", *datasets)
    for row in ranking:
        tell(row, (*shown, "failures"))
    for row in rows.values():
        if row["solver"] in top:
            tell(row)


def main():
    """Run the benchmark."""
    parser = make_parser(__file__, __doc__)
    parser.add_argument(
        "--solvers",
        nargs="*",
        default=["mmnet", "top"],
        help="all, classical (all but neural networks and mmnet), top, or invertmeeg's names",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12])
    parser.add_argument("--n-samples", type=int, default=25, help="for each set and seed")
    parser.add_argument("--refresh", nargs="+", default=[], help="solvers to run again")
    parser.add_argument(
        "--time-limit", type=float, default=600.0, help="seconds for each set, seed and solver"
    )
    parser.add_argument("--memory", type=float, default=6.0, help="limit of address space (GiB)")
    parser.add_argument(
        "--work", type=Path, default=CACHE / "leaderboard", help="where results are kept"
    )
    args = parser.parse_args()
    MODEL["model"] = args.model
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the solver that runs, too
    quiet()
    register()

    folder = args.work.expanduser() / f"n{args.n_samples}"
    solvers = resolve([*args.solvers, *args.refresh])
    if solvers:
        run(folder, solvers, args)
    make_tables(folder, args)


if __name__ == "__main__":
    main()
