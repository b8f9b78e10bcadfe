"""How fast each majorant descends one and the same objective, and what that is worth.

    python benchmarks/majorant.py --people 12

The hyperprior of the model fixes J and the start; from there, for the same J, the analytic
majorant (the update of Champagne) beside MacKay's fixed-point update, SQUAREM (Varadhan & Roland
2008) and Anderson mixing, and learned ones: the model's own curvature network, trained for the
currents, as it is used and with all atoms in every step; one trained for the descent alone
(``--descent``, ``majorant_training.py``); one of random weights, which is what the certificate is
for.

All of them are certified: what would raise J is evaluated, counted, and replaced by the analytic
step. An *evaluation* is one of J with its factorisation of Σ, rejected ones included. The excess
is J above its value after 10,000 analytic steps in double precision (fewer where a step gains less
than 1e-8); J is not convex, so that it can be negative. Beside it stands the error of the
strongest region, with the posterior mean under the variances reached so far.

People and caps that the model was never trained on (``people_suite.py``, template and own head),
in three kinds of data, of which training has seen all, with other parameters. **Different lead
fields** for simulation and inversion. Medians (means of distances) with 95 % bootstrap intervals,
people as clusters. Writes ``majorant.csv`` (by evaluations), ``majorant_reach.csv`` (evaluations,
of those shown, until the excess that the analytic majorant has after 50, and MacKay's after 50)
and ``majorant.png``.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from common import read_rows, timed, write_rows
from drawing import COLOURS, save
from intervals import clustered_interval
from majorant_training import read_descent, with_curvature
from matplotlib.figure import Figure
from people_suite import FOLDER, HEADS, SEED, People, draw_recording, make_case
from runner import Store, answers, deciding, made_by, make_parser, measured, run
from transfer_suite import N_TIMES, SFREQ, draw_courses

import mne_mmnet
from mne_mmnet._mne import prepare_data
from mne_mmnet.majorant import EvidenceMajorant
from mne_mmnet.metrics import strongest_region_error
from mne_mmnet.simulation.timecourses import _discharges
from mne_mmnet.solver import Proposal, iterate, normalise_data, pose
from mne_mmnet.solver.descent import certified_step, first_iterate
from mne_mmnet.weights import read_model

SHOWN = (*range(1, 17), 18, 20, 22, 25, 30, 35, 40, 45, 50, 60, 75, 100)
TARGETS = {"analytic": 50, "MacKay": 50}
_DEPTH, _CONVERGED, _REFERENCE = 5, 1e-8, 10_000
_MAX_STEP = 6.0
N_BOOT = 1000


# Data --------------------------------------------------------------------------------------------


def draw_oscillations(rng, n_courses, correlation):
    """Rhythms of 8 to 13 Hz with slow envelopes, peak 1."""
    times = np.arange(N_TIMES) / SFREQ
    frequency = rng.uniform(8.0, 13.0, n_courses)[:, None]
    phase, peak = rng.uniform(0, 2 * np.pi, (n_courses, 1)), rng.uniform(0.05, 0.2, (n_courses, 1))
    courses = np.sin(2 * np.pi * frequency * times + phase)
    courses *= np.exp(-0.5 * ((times - peak) / 0.08) ** 2)
    return courses / np.abs(courses).max(axis=1, keepdims=True)


def draw_spikes(rng, n_courses, correlation):
    """Discharges of neural masses, peak 1."""
    traces = _discharges()[rng.choice(len(_discharges()), n_courses, replace=False)]
    grid = np.linspace(0.0, 1.0, traces.shape[1])
    peaks = np.abs(traces).argmax(axis=1) / traces.shape[1]
    courses = []
    for trace, peak in zip(traces, peaks, strict=True):
        start = np.clip(peak - rng.uniform(0.1, 0.4), 0.0, 0.5)
        courses.append(np.interp(start + 0.5 * np.linspace(0.0, 1.0, N_TIMES), grid, trace))
    courses = np.array(courses)
    return courses / np.abs(courses).max(axis=1, keepdims=True)


KINDS = {
    "event-related": draw_courses,
    "oscillations": draw_oscillations,
    "neural mass": draw_spikes,
}


def draw_case(people, kind, montage, person, head):
    """One recording of a kind, as it is inverted."""
    recording = draw_recording(people, "main", montage, person, 0, KINDS[kind])
    inversion = people.inversion(head, montage, person)
    return make_case(recording, inversion), inversion


class Task:
    """One objective, fixed, and how far from the truth a point of it is."""

    def __init__(self, case, inversion, model):
        operator = mne_mmnet.make_mmnet_operator(
            case.evoked.info, inversion.free, case.noise_cov, model=model
        )
        self.case, self.inversion, self.route = case, inversion, operator.route
        data = prepare_data(case.evoked.info, operator.prepared, case.evoked.data)
        self.scaled, amplitude = normalise_data(torch.as_tensor(data[None]))
        self.network = self.route.network
        self.problem = pose(
            self.network,
            self.route.model,
            self.scaled,
            amplitude,
            torch.full((1,), float(self.route.noise_is_known)),
            self.route.facts,
        )

    def region_error(self, point):
        """Mean error (mm) of the strongest region at the sources' peaks."""
        currents = self.problem.objective.posterior_mean(point, self.scaled)[0].numpy()
        size = np.linalg.norm(currents * self.route.orient_weights[:, :, None], axis=1)
        case = self.case
        errors = strongest_region_error(
            size, case.truth, case.centres, case.peaks, self.inversion.positions
        )
        return float(np.mean(errors))

    def converged(self):
        """J after very many analytic steps, in double precision."""
        objective, model = self.problem.objective, self.problem.objective.model
        graph = replace(model.graph, synthesis=model.graph.synthesis.double())
        wide = {name: getattr(model, name).double() for name in ("columns", "basis", "noise")}
        model = replace(model, **wide, scale=model.scale.double(), graph=graph)
        names = ("data", "rest", "cost", "barrier")
        wide = {name: getattr(objective, name).double() for name in names}
        objective = replace(objective, model=model, **wide)
        point = objective.evaluate(self.problem.start.double())
        for _ in range(_REFERENCE):
            majorant = EvidenceMajorant(*objective.coefficients(point))
            new = objective.evaluate(objective.move(point, majorant.minimiser(1.0, _MAX_STEP)))
            gain, point = float(point.value - new.value), new
            if gain < _CONVERGED:
                break
        return float(point.value)


# Majorants ---------------------------------------------------------------------------------------


def analytic_factor(task, point, majorant):
    """Return the majorant's own factor."""
    return 1.0


def mackay_factor(task, point, majorant):
    """½ for the part of b that the data make: the barrier's minimiser is exact already."""
    held = task.problem.objective.barrier / point.v.exp()
    return 0.5 + 0.5 * (held / majorant.b.clamp_min(1e-30)).clamp(0.0, 1.0)


def plain(factor, task):
    """Make steps of a majorant whose curvature is multiplied by a factor."""
    objective = task.problem.objective
    current = first_iterate(objective, task.problem.start)
    yield current, 1
    while True:
        majorant = EvidenceMajorant(*objective.coefficients(current.point))
        bold = majorant.minimiser(factor(task, current.point, majorant), _MAX_STEP)
        safe = majorant.minimiser(1.0, _MAX_STEP)
        current = certified_step(objective, current, _proposals(bold, safe))
        yield current, 1 + int(current.retries)


def _proposals(*steps):
    """Try steps in turn; the last one is the majorant's own."""
    for number, step in enumerate(steps, start=1):
        yield Proposal(lambda index, step=step: step[index], number == len(steps))


def squarem(task):
    """Extrapolate from two updates, then update: three evaluations where it is accepted."""
    objective = task.problem.objective
    current = first_iterate(objective, task.problem.start)
    yield current, 1
    while True:
        steps, points = [], [current.point]
        for _ in range(2):
            majorant = EvidenceMajorant(*objective.coefficients(points[-1]))
            steps.append(majorant.minimiser(1.0, _MAX_STEP))
            points.append(objective.evaluate(objective.move(points[-1], steps[-1])))
        change = steps[1] - steps[0]
        length = steps[0].norm() / change.norm().clamp_min(1e-12)
        far = length.clamp_min(1.0)
        jump = 2.0 * far * steps[0] + far**2 * change
        near = replace(current, point=points[2])
        before = replace(current.point, value=points[2].value)  # it must beat both updates
        tried = certified_step(
            objective, replace(current, point=before), _proposals(jump, points[2].v - before.v)
        )
        current = tried if bool(tried.point.value < near.point.value) else near
        yield current, 3 + int(tried.retries)


def anderson(task):
    """Mix the last updates so that their residual is least (Walker & Ni 2011)."""
    objective = task.problem.objective
    current = first_iterate(objective, task.problem.start)
    yield current, 1
    places, residuals = [], []
    while True:
        majorant = EvidenceMajorant(*objective.coefficients(current.point))
        safe = majorant.minimiser(1.0, _MAX_STEP)
        places, residuals = [*places, current.point.v][-_DEPTH:], [*residuals, safe][-_DEPTH:]
        proposals = [safe]
        if len(places) > 1:
            moves, bends = (torch.cat(x).diff(dim=0).mT for x in (places, residuals))
            weights = torch.linalg.lstsq(bends, safe.mT, driver="gelsd").solution
            mixed = (safe.mT - (moves + bends) @ weights).mT
            proposals.insert(0, mixed.clamp(-_MAX_STEP, _MAX_STEP))
        current = certified_step(objective, current, _proposals(*proposals))
        yield current, 1 + int(current.retries)


def learned(task, network=None, sweep=None):
    """Make the steps of the model's curvature network, or of another one."""
    chosen = task.network if network is None else network
    if sweep is not None:
        config = replace(chosen.config, sweep=sweep)
        chosen = SimpleNamespace(curvature=chosen.curvature, config=config)
    for number, current in enumerate(iterate(chosen, task.problem, 10_000)):
        yield current, 1 + int(current.retries) if number else 1


def random_network(network):
    """Return the model's network with a curvature cell of random weights."""
    other = with_curvature(network, replace(network.config, sweep=1))
    generator = torch.Generator().manual_seed(SEED)
    for weight in other.curvature.parameters():
        weight.copy_(torch.randn(weight.shape, generator=generator))
    return other


METHODS = {
    "analytic": partial(plain, analytic_factor),
    "MacKay": partial(plain, mackay_factor),
    "SQUAREM": squarem,
    "Anderson": anderson,
    "learned": learned,
    "learned, all atoms": partial(learned, sweep=1),
}


def trace(task, method):
    """J, region error and ms after each number of evaluations in SHOWN."""
    n_evaluations, seconds, found, last = 0, 0.0, {}, None
    steps, budgets = method(task), list(SHOWN)
    while budgets:
        (current, cost), spent = timed(next, steps)
        seconds += spent
        n_evaluations += cost
        while budgets and n_evaluations > budgets[0]:
            found[budgets.pop(0)] = last
        last = float(current.point.value), task.region_error(current.point), 1e3 * seconds
        while budgets and n_evaluations == budgets[0]:
            found[budgets.pop(0)] = last
    # a method that needs several evaluations at once has its start until then
    return [found[budget] for budget in SHOWN]


# Tables ------------------------------------------------------------------------------------------


def reach(excess, target):
    """Count evaluations, of those shown, until an excess is no more than a target; ∞ if never."""
    below = np.flatnonzero(excess <= target)
    return float(SHOWN[below[0]]) if len(below) else np.inf


def tabulate(records, methods):
    """Rows of both tables."""
    rows, reached = [], []
    for kind in ("all", *dict.fromkeys(r["kind"] for r in records)):
        part = [r for r in records if kind in ("all", r["kind"])]
        people = np.array([r["person"] for r in part])
        for method in methods:
            found = np.array([r["traces"][method] for r in part])  # (n, n_shown, 3)
            excess = found[..., 0] - np.array([r["converged"] for r in part])[:, None]
            for column, budget in enumerate(SHOWN):
                low, high = clustered_interval(excess[:, column], people, np.median, N_BOOT)
                region = found[:, column, 1]
                ends = clustered_interval(region, people, n_boot=N_BOOT)
                rows.append(
                    dict(
                        kind=kind,
                        method=method,
                        n=len(part),
                        evaluations=budget,
                        excess=f"{np.median(excess[:, column]):.4f}",
                        excess_ci=f"{low:.4f} … {high:.4f}",
                        region_mm=f"{region.mean():.2f}",
                        region_ci="{:.2f} … {:.2f}".format(*ends),
                        ms=f"{np.median(found[:, column, 2]):.1f}",
                    )
                )
            for whose, budget in TARGETS.items():
                goal = [r["traces"][whose][SHOWN.index(budget)][0] - r["converged"] for r in part]
                needed = [reach(e, g) for e, g in zip(excess, goal, strict=True)]
                reached.append(
                    dict(
                        kind=kind,
                        method=method,
                        goal=f"{whose} after {budget}",
                        evaluations=f"{np.median(needed):g}",
                        never=int(np.isinf(needed).sum()),
                        n=len(part),
                    )
                )
    return rows, reached


def draw_figure(rows, path):
    """Excess and region error against evaluations and time."""
    methods = dict.fromkeys(row["method"] for row in rows)
    figure = Figure(figsize=(11.5, 3.6), dpi=150, layout="constrained")
    colours = [*COLOURS[:5], "0.6", "0.3", "black"]
    for ax, x, y in zip(
        figure.subplots(1, 3),
        ("evaluations", "ms", "evaluations"),
        ("excess", "excess", "region_mm"),
        strict=True,
    ):
        for colour, method in zip(colours, methods, strict=False):
            mine = [r for r in rows if r["kind"] == "all" and r["method"] == method]
            ax.plot(
                [float(r[x]) for r in mine],
                [float(r[y]) for r in mine],
                ".-",
                color=colour,
                markersize=4,
                label=method,
            )
        ax.set(xscale="log", xlabel=x.replace("ms", "time (ms)"))
        ax.set_ylabel("J above its minimum" if y == "excess" else "strongest region (mm)")
        if y == "excess":
            ax.set_yscale("log")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside right center", fontsize="small")
    save(figure, path)


class Worker:
    """Answers an objective with the descents of all methods; see :mod:`runner`."""

    @torch.no_grad()  # weights made in inference mode can't be loaded or versioned outside of it
    def __init__(self, args):
        self.args, self.people = args, People(args.folder)
        model = read_model(args.model)
        random = random_network(model.network)
        self.methods = METHODS | {"random weights": partial(learned, network=random)}
        if args.descent is not None:
            network = read_descent(args.descent, model)
            self.methods["learned for J"] = partial(learned, network=network)

    def __call__(self, address, due):
        kind, montage, person = address
        # both heads for each kind, and for each person
        number = [(m, k) for m in self.args.montages for k in self.args.kinds].index(
            (montage, kind)
        )
        case, inversion = draw_case(
            self.people, kind, montage, person, HEADS[(person + number) % 2]
        )
        factors = case.factors | dict(kind=kind)
        if due("majorant", factors):
            yield "majorant", factors, measured(self.descend, case, inversion)

    @torch.inference_mode()
    def descend(self, case, inversion):
        """Trace all methods, on one objective."""
        task = Task(case, inversion, self.args.model)
        traces = {name: trace(task, method) for name, method in self.methods.items()}
        return dict(converged=task.converged(), traces=traces)


def main():
    """Run the command."""
    parser = make_parser(__file__, __doc__, work="majorant")
    parser.add_argument("--people", type=int, default=12, help="the first so many")
    parser.add_argument("--montages", nargs="+", default=["biosemi64"])
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of lead fields")
    parser.add_argument("--descent", type=Path, help="of majorant_training.py")
    parser.add_argument("--figure", action="store_true", help="only draw what was measured")
    args = parser.parse_args()
    if args.figure:
        draw_figure(read_rows(args.out / "majorant.csv"), args.out / "majorant.png")
        return
    wanted = [
        (kind, montage, person)
        for person in range(args.people)
        for montage in args.montages
        for kind in args.kinds
    ]
    sha256 = deciding(args.model, args.descent)
    store = Store(args.work / "majorant.jsonl", ("kind", "montage", "person"), sha256)
    run(Worker, args, wanted, dict(majorant=store))
    records, counts = answers(store.select(wanted))
    rows, reached = tabulate(records, list(records[0]["traces"]))
    comment = made_by(
        args,
        "people montages",
        "with --descent FILE" if args.descent else "without --descent",
        read_model(args.model).card.sha256[:12],
        f"seed {SEED}",
        counts,
        "one thread",
        "different lead fields for simulation and inversion",
    )
    write_rows(args.out / "majorant.csv", comment, rows)
    write_rows(args.out / "majorant_reach.csv", comment, reached)
    draw_figure(rows, args.out / "majorant.png")


if __name__ == "__main__":
    main()
