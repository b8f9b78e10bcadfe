"""What each part of mmnet is worth: parts taken away, on recordings of ``people.py``.

    python benchmarks/ablation.py

Parts are removed **without retraining**: what is left was trained to work with them, so that a
network trained without a part would lose less (``design.py``). The recordings and the certificate
stay; the read-out is always the posterior mean, in the default orientation unless it is said.
:func:`make_variants` names them. *Champagne* has no network: Majorization-minimization updates
without costs from a flat start (Wipf & Nagarajan 2009), the noise being estimated as in mmnet; on
the whole model, or on single locations of an exact lead field.

Other people's heads and finer sources simulate than invert (``people_suite.py``). Differences to
the full model are paired; 95 % bootstrap intervals with people as clusters. Writes
``ablation.csv``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from common import write_rows
from intervals import mean_columns
from people_run import add_options, ask
from people_scores import Estimate, score
from people_suite import HEADS, SNRS_DB
from runner import made_by, make_parser, tell

from mne_mmnet import make_mmnet_operator
from mne_mmnet._mne import noise_scale, prepare_data
from mne_mmnet.dictionary.lead_errors import SHARES
from mne_mmnet.inverse.operator import name_head
from mne_mmnet.network import NetworkConfig, describe
from mne_mmnet.network.prior import assemble, base_log_cost, base_log_weight, noise_centre
from mne_mmnet.objective import N_NOISE, U_MIN
from mne_mmnet.weights import read_model

FULL = "full"
METRICS = (
    "strongest_region_error_mm",
    "earth_movers_distance_mm",
    "auc",
    "space_time_cosine",
    "strongest_peak_error_mm",
)
N_STEPS = (2, 3, 4, 6, 8)
N_CHAMPAGNE = (30, 100)
# of an atom that is held down: none gains that much, whatever the data
_FORBIDDEN = 1e5
_WRONG = {"template": "own", "fitted": "own", "own": "template"}


@dataclass(frozen=True)
class Parts:
    """What the solver asks of a network: learned parts, or what stands in for them."""

    config: NetworkConfig
    hyperprior: Callable
    curvature: Any
    n_steps: int


@dataclass(frozen=True)
class Variant:
    """One variant: parts of the network, a change of the lead field's model, an orientation.

    ``change`` takes the operator and its route, and returns another route.
    """

    parts: Parts
    change: Callable | None = None
    loose: str | float = "evidence"


class ConstantCurvature:
    """Takes the place of the curvature cell: 1 is the analytic majorant, ½ MacKay's bolder one."""

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


def without_start(hyperprior, context, graph, n_rank):
    """Start where the preview ends."""
    cost, barrier, _, summary = hyperprior(context, graph, n_rank)
    return cost, barrier, context.start, summary


def without_cost(hyperprior, context, graph, n_rank):
    """Let every atom cost the same, and expect the noise at its base."""
    _, _, start, summary = hyperprior(context, graph, n_rank)
    log_cost = torch.full_like(start[:, :-N_NOISE], base_log_cost(n_rank))
    cost, barrier, _ = _plain_prior(context, log_cost, n_rank)
    return cost, barrier, start, summary


def flat(context, graph, n_rank):
    """No costs, and a flat start: all atoms together explain the data's power."""
    n_batch, n_sources, _ = context.atoms.shape
    nothing = context.start.new_full((n_batch, graph.n_atoms), -math.inf)
    cost, barrier, centre = _plain_prior(context, nothing, n_rank)
    start = torch.full_like(nothing, math.log(n_rank / graph.n_atoms))
    summary = start.new_zeros(n_batch, n_sources, 1)
    return cost, barrier, torch.cat([start, centre], 1), summary


def points_only(hyperprior, context, graph, n_rank):
    """Hold the wide patches at the lowest variance; points are an atom of every location."""
    cost, barrier, start, summary = hyperprior(context, graph, n_rank)
    counts = torch.tensor([count for count, _ in graph.families])
    wide = (counts < graph.n_sources).repeat_interleave(counts).nonzero()[:, 0]
    cost, start = cost.clone(), start.clone()
    cost[:, wide], start[:, wide] = _FORBIDDEN, U_MIN
    return cost, barrier, start, summary


def without_errors(operator, route):
    """Take the lead field to be exact."""
    return replace(route, model=replace(route.model, columns=route.model.atoms.contiguous()))


def without_deep(operator, route):
    """Let no places deep inside the head make a field."""
    noise = route.model.noise.clone()
    noise[:, 1:] = 0.0
    return replace(route, model=replace(route.model, noise=noise))


def told_wrongly(operator, route):
    """Say that it is another kind of head, to the network and to the model."""
    head = name_head(operator.head)
    model, wrong = route.model, _WRONG[head]
    columns = model.columns.clone()
    columns[..., model.n_atom_columns :] *= math.sqrt(SHARES[wrong] / SHARES[head])
    return mistold(operator, replace(route, model=replace(model, columns=columns)))


def mistold(operator, route):
    """Say so to the network only."""
    prepared, wrong = operator.prepared, _WRONG[name_head(operator.head)]
    facts = describe(1, wrong, prepared.orient, prepared.noise_samples, prepared.n_rank)
    return replace(route, facts=facts)


def untold(operator, route):
    """Tell the network nothing."""
    return replace(route, facts=torch.zeros_like(route.facts))


def make_variants(network):
    """Name every variant of a network; the first is the full one."""
    config = network.config
    prior = network.hyperprior
    full = Parts(config, prior, network.curvature, config.n_steps)
    thorough = replace(config, sweep=1)
    champagne = Parts(thorough, flat, ConstantCurvature(1.0), 0)
    single = replace(champagne, hyperprior=partial(points_only, flat))
    variants = {
        FULL: Variant(full),
        "no error columns": Variant(full, without_errors),
        "no deep places": Variant(full, without_deep),
        "no tangential atoms": Variant(full, loose=0.0),
        "loose 0.2": Variant(full, loose=0.2),
        "free": Variant(full, loose=1.0),
        "head told wrongly": Variant(full, told_wrongly),
        "head told wrongly, to the network only": Variant(full, mistold),
        "network told nothing": Variant(full, untold),
        "points only": Variant(replace(full, hyperprior=partial(points_only, prior))),
        "analytic curvature": Variant(replace(full, curvature=ConstantCurvature(1.0))),
        "constant curvature 0.5": Variant(replace(full, curvature=ConstantCurvature(0.5))),
        "no learned start": Variant(replace(full, hyperprior=partial(without_start, prior))),
        "no hyperprior": Variant(replace(full, hyperprior=partial(without_cost, prior))),
        "no screening": Variant(replace(full, config=thorough)),
        "preview only": Variant(
            replace(full, hyperprior=partial(without_start, prior), n_steps=0)
        ),
    }
    for k in N_STEPS:
        if k != full.n_steps:
            variants[f"{k} steps"] = Variant(replace(full, n_steps=k))
    for k in N_CHAMPAGNE:
        variants[f"Champagne, {k} steps"] = Variant(replace(champagne, n_steps=k))
        variants[f"Champagne, points only, {k} steps"] = Variant(
            replace(single, n_steps=k), without_errors
        )
    return variants


def solve(operator, variant, evoked):
    """Currents (A·m, vectors in head coordinates) and the certificate of one variant."""
    parts, prepared = variant.parts, operator.prepared
    route = replace(operator.route, network=parts)
    route = variant.change(operator, route) if variant.change else route
    whitened = prepare_data(evoked.info, prepared, evoked.data, evoked.nave)
    changed = replace(operator, route=route)
    solution, (report,) = changed.solve(whitened[None], parts.n_steps)
    vectors = np.einsum("sot,sok->skt", solution.currents[0], prepared.frames)
    return vectors / noise_scale(prepared, evoked.nave), report


def measure(model, variants, case, inversion):
    """Scores of all variants on one recording."""
    info, operators, found = case.evoked.info, {}, {}
    for name, variant in variants.items():
        if variant.loose not in operators:
            operators[variant.loose] = make_mmnet_operator(
                info, inversion.free, case.noise_cov, model=model, loose=variant.loose
            )
        vectors, report = solve(operators[variant.loose], variant, case.evoked)
        scores = score(Estimate.of(vectors, inversion), case, inversion)
        found[name] = {metric: scores[metric] for metric in METRICS} | dict(
            ms=1e3 * report.seconds, retries=int(report.retries.sum())
        )
    return dict(variants=found)


def table(records):
    """Means and differences to the full model: by head all recordings, then SNR by SNR."""
    rows = []
    for head in HEADS:
        for snr_db in ("all", *SNRS_DB):
            cell = [r for r in records if r["head"] == head and snr_db in ("all", r["snr_db"])]
            people = [r["person"] for r in cell]
            for name in cell[0]["variants"] if cell else ():
                of = partial(column, cell)
                row = dict(head=head, snr_db=snr_db, variant=name, n=len(cell))
                for metric in METRICS:
                    full, values = of(FULL, metric), of(name, metric)
                    row |= mean_columns(metric, values, people)
                    row |= mean_columns(f"{metric}_minus_full", values - full, people)
                row["retries"] = f"{of(name, 'retries').mean():.2f}"
                row["median_ms"] = f"{np.median(of(name, 'ms')):.0f}"
                rows.append(row)
    return rows


def column(records, variant, name):
    """One number of a variant, of all records."""
    return np.array([record["variants"][variant][name] for record in records])


def make(args):
    """Make what is asked of every recording."""
    return partial(measure, args.model, make_variants(read_model(args.model).network))


def main():
    """Run the benchmark."""
    parser = make_parser(__file__, __doc__, work="ablation")
    add_options(parser, people=12, montages=("biosemi32", "biosemi64"))
    args = parser.parse_args()
    found, notes = ask(make, args)
    n_steps = read_model(args.model).network.config.n_steps
    comment = made_by(
        args,
        "model people montages heads covariance",
        *notes,
        f"parts removed without retraining; full: {n_steps} steps",
        "different lead fields for simulation and inversion",
        "SNR: mean power of signal over noise",
        "means and 95 % bootstrap intervals, people as clusters",
    )
    rows = table(found)
    write_rows(args.out / "ablation.csv", comment, rows)
    for row in rows:
        if row["snr_db"] == "all":
            tell(row, ("head", "variant", *METRICS))


if __name__ == "__main__":
    main()
