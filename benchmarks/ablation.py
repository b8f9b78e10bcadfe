"""What each part of mmnet is worth: parts taken away, on recordings of ``transfer.py``.

    python benchmarks/ablation.py

Parts are removed **without retraining**: what is left was trained to work with them, so that a
network trained without a part would lose less. The dictionary, the lead field, the recordings and
the certificate stay; the read-out is always the posterior mean.

- *analytic curvature*, *constant curvature 0.5*: the learned factor replaced by 1, the analytic
  majorant, or by MacKay's bolder one.
- *no learned start*: the search starts where the preview ends.
- *no hyperprior*: every atom costs the same, the noise is expected at its base.
- *no polish*: without the last step. *Preview only*: no certified step at all.
- *K steps*: more or fewer learned steps than the full model's; each is polished.
- *Champagne*: no network. Majorization-minimization updates without costs from a flat start
  (Wipf & Nagarajan 2009), the noise being estimated as in mmnet; on the whole dictionary, or on
  single locations.
- *points only*: mmnet with the wide patches held at the lowest variance, not retrained.

Other heads and finer sources simulate than invert (``transfer_suite.py``). Differences to the full
model are paired, with 95 % bootstrap intervals over recordings. Writes ``ablation.csv``.
"""

import argparse
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mne
import numpy as np
import torch
from common import write_rows
from transfer import LEAD, RESULTS, WORK, score_case
from transfer_suite import MONTAGES, SEED, SNRS_DB, Setup, draw_case

from mne_mmnet import make_mmnet_operator
from mne_mmnet._mne import noise_scale, prepare_data
from mne_mmnet.metrics import confidence_interval
from mne_mmnet.network import NetworkConfig
from mne_mmnet.network.prior import assemble, base_log_cost, base_log_weight, noise_centre
from mne_mmnet.objective import N_NOISE, U_MIN
from mne_mmnet.weights import read_model

FULL = "full"
METRICS = tuple(name for name in LEAD if name != "localization_error_mm")
N_STEPS = (2, 4, 6, 8, 12, 16)
N_CHAMPAGNE = (30, 100)
# of an atom that is held down: none gains that much, whatever the data
_FORBIDDEN = 1e5


@dataclass(frozen=True)
class Parts:
    """What the solver asks of a network: learned parts, or what stands in for them."""

    config: NetworkConfig
    hyperprior: Callable
    curvature: Any
    n_steps: int


class ConstantCurvature:
    """Takes the place of the curvature cell: the same factor always."""

    def __init__(self, factor):
        self.factor = factor

    def initial_state(self, n_batch, n_sources, like):
        return like.new_zeros(n_batch * n_sources, 1)

    def __call__(self, v, majorant, summary, graph, state, log_rank):
        return torch.full_like(v, self.factor), state


def _plain_prior(context, log_cost, n_rank):
    """Coefficients of a prior that nobody learned."""
    centre = noise_centre(context.log_power, context.noise_known)
    weight = torch.full_like(centre, base_log_weight(n_rank))
    return *assemble(log_cost, weight, centre), centre


def without_start(hyperprior):
    """Start where the preview ends."""

    def answer(context, graph, n_rank):
        cost, barrier, _, summary = hyperprior(context, graph, n_rank)
        return cost, barrier, context.start, summary

    return answer


def without_cost(hyperprior):
    """Let every atom cost the same, and expect the noise at its base."""

    def answer(context, graph, n_rank):
        _, _, start, summary = hyperprior(context, graph, n_rank)
        log_cost = torch.full_like(start[:, :-N_NOISE], base_log_cost(n_rank))
        cost, barrier, _ = _plain_prior(context, log_cost, n_rank)
        return cost, barrier, start, summary

    return answer


def flat(context, graph, n_rank):
    """No costs, and a flat start: all atoms together explain the data's power."""
    n_batch, n_sources, _ = context.atoms.shape
    nothing = context.start.new_full((n_batch, graph.n_atoms), -math.inf)
    cost, barrier, centre = _plain_prior(context, nothing, n_rank)
    start = torch.full_like(nothing, math.log(n_rank / graph.n_atoms))
    summary = start.new_zeros(n_batch, n_sources, 1)
    return cost, barrier, torch.cat([start, centre], 1), summary


def points_only(hyperprior):
    """Hold the wide patches at the lowest variance; the first scale's atoms are points."""

    def answer(context, graph, n_rank):
        cost, barrier, start, summary = hyperprior(context, graph, n_rank)
        wide = slice(graph.n_sources, graph.n_atoms)
        cost, start = cost.clone(), start.clone()
        cost[:, wide], start[:, wide] = _FORBIDDEN, U_MIN
        return cost, barrier, start, summary

    return answer


def make_variants(network):
    """Name every variant of a network; the first is the full one."""
    config = network.config
    prior = network.hyperprior
    full = Parts(config, prior, network.curvature, config.n_steps)
    plain = replace(config, n_polish=0)
    champagne = Parts(plain, flat, ConstantCurvature(1.0), 0)
    single = replace(champagne, hyperprior=points_only(flat))
    variants = {
        FULL: full,
        "analytic curvature": replace(full, curvature=ConstantCurvature(1.0)),
        "constant curvature 0.5": replace(full, curvature=ConstantCurvature(0.5)),
        "no learned start": replace(full, hyperprior=without_start(prior)),
        "no hyperprior": replace(full, hyperprior=without_cost(prior)),
        "no polish": replace(full, config=plain),
        "preview only": replace(full, config=plain, hyperprior=without_start(prior), n_steps=0),
        "points only, not retrained": replace(full, hyperprior=points_only(prior)),
    }
    variants |= {f"{k} steps": replace(full, n_steps=k) for k in N_STEPS if k != full.n_steps}
    for k in N_CHAMPAGNE:
        variants[f"Champagne, {k} steps"] = replace(champagne, n_steps=k)
        variants[f"Champagne, points only, {k} steps"] = replace(single, n_steps=k)
    return variants


def solve(operator, parts, evoked):
    """Currents (A·m) and the certificate of one variant."""
    variant = replace(operator, route=replace(operator.route, network=parts))
    whitened = prepare_data(evoked.info, operator.prepared, evoked.data, evoked.nave)
    solution, (report,) = variant.solve(whitened[None], parts.n_steps)
    currents = solution.currents[0, :, 0] / noise_scale(operator.prepared, evoked.nave)
    return currents, report


def measure(setup, snr_db, number, model, variants):
    """Scores of all variants on one recording."""
    case = draw_case(setup, snr_db, number)
    operator = make_mmnet_operator(case.evoked.info, setup.fwd, case.noise_cov, model=model)
    found = {}
    for name, parts in variants.items():
        currents, report = solve(operator, parts, case.evoked)
        scores, _ = score_case(currents, case, setup)
        found[name] = {metric: scores[metric] for metric in METRICS} | dict(
            ms=1e3 * report.seconds, retries=int(report.retries.sum())
        )
    return found


def table(records):
    """Means and differences to the full model: all recordings, then SNR by SNR."""
    rows = []
    for snr_db in ("all", *SNRS_DB):
        cell = [found for snr, found in records if snr_db in ("all", snr)]
        for name in cell[0] if cell else ():
            row = dict(snr_db=snr_db, variant=name, n=len(cell))
            for metric in METRICS:
                full, values = (
                    np.array([found[which][metric] for found in cell]) for which in (FULL, name)
                )
                row |= mean_columns(metric, values)
                row |= mean_columns(f"{metric}_minus_full", values - full)
            row["retries"] = f"{np.mean([found[name]['retries'] for found in cell]):.2f}"
            row["median_ms"] = f"{np.median([found[name]['ms'] for found in cell]):.0f}"
            rows.append(row)
    return rows


def mean_columns(name, values):
    """Mean and interval, as columns of a table."""
    low, high = confidence_interval(values)
    return {name: f"{values.mean():.4g}", f"{name}_ci": f"{low:.4g} … {high:.4g}"}


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mmnet-base", help="name or path")
    parser.add_argument(
        "--montages", nargs="+", choices=MONTAGES, default=["biosemi32", "biosemi64"]
    )
    parser.add_argument("--n-samples", type=int, default=15, help="cases a montage and SNR")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    mne.set_log_level("error")
    warnings.simplefilter("ignore")

    network, _ = read_model(args.model)
    variants = make_variants(network)
    records = []
    for montage in args.montages:
        setup = Setup(montage, WORK / "heads")
        for snr_db in SNRS_DB:
            for number in range(args.n_samples):
                records.append((snr_db, measure(setup, snr_db, number, args.model, variants)))
        print(f"{montage}: {len(records)} recordings done", flush=True)
    comment = (
        f"python benchmarks/ablation.py --model {args.model} --n-samples {args.n_samples} "
        f"--montages {' '.join(args.montages)}; suite of transfer.py, seed {SEED}; "
        f"{time.strftime('%F')}; parts removed without retraining; full: "
        f"{network.config.n_steps} steps and polish; different lead fields for simulation and "
        "inversion; SNR: mean power of signal over noise; means and 95 % bootstrap intervals"
    )
    rows = table(records)
    write_rows(args.out / "ablation.csv", comment, rows)
    print("variant".ljust(34), *(metric.rjust(26) for metric in METRICS))
    for row in rows[: len(variants)]:
        print(row["variant"].ljust(34), *(row[metric].rjust(26) for metric in METRICS))


if __name__ == "__main__":
    main()
