"""Other heads, finer sources: simulated on perturbed heads, inverted on the standard one.

    pip install -c constraints.txt -e ".[benchmark]"
    python benchmarks/transfer.py --methods peers       # an hour on one core
    python benchmarks/transfer.py --methods mmnet --model mmnet-base

**Different lead fields** for simulation and inversion (the standard template, fixed orientation);
what is simulated says ``transfer_suite.py``, what it is compared with ``peers.py``. All methods
get the same data and, but for "mmnet, no covariance", the same noise covariance.

Metrics are those of DESIGN §6 (``mne_mmnet.metrics``). Distances are taken from the true centres
on the fine grid. The nearest-peak error rewards maps of many peaks: beside it stand their number
and, as ``chance_localization_error_mm``, the error of as many peaks at random. Active are sources
within 10 mm of a true centre, and those inside a patch above half of its peak. Maps and power are
compared on the coarse grid, where the true moments are summed at the nearest source along the
surface. A method that fails on a case is counted in ``n_failed`` and scored as a map of zeros.

Writes ``transfer.csv`` (all means with 95 % bootstrap intervals over cases), ``transfer_lead.csv``
(mmnet against the peer of the best mean in that very cell, which favours the peer) and two
figures.
"""

import functools
from itertools import product

import numpy as np
import runner
from common import write_rows
from intervals import difference_columns, mean_columns
from peers import PEERS, check_peers
from people_scores import Estimate, peak_errors, solve
from scipy.spatial.distance import cdist
from transfer_figures import figure_factors, figure_overview
from transfer_suite import MONTAGES, SEED, SFREQ, SNRS_DB, Setup, draw_case

import mne_mmnet
from mne_mmnet.metrics import score, strongest_region_error
from mne_mmnet.weights import read_card

OURS = ("mmnet", "mmnet, no covariance")
# what is claimed, and whether more is better
LEAD = {
    "earth_movers_distance_mm": False,
    "auc": True,
    "space_time_cosine": True,
    "localization_error_mm": False,
    "strongest_region_error_mm": False,
    "strongest_peak_error_mm": False,
}
# what tells cases apart
KEYS = ("montage", "snr_db", "case")


def make_methods(model):
    """Name every method: functions of (case, setup) that return an :class:`Estimate`."""

    def mmnet(evoked, noise_cov, setup):
        return mne_mmnet.apply_mmnet_inverse(evoked, setup.fwd, noise_cov, model=model).data

    def without(evoked, _, setup):
        return mmnet(evoked, None, setup)

    def ready(method):
        return lambda case, setup: Estimate.of(
            method(case.evoked.copy(), case.noise_cov.copy(), setup), setup
        )

    methods = dict(zip(OURS, (mmnet, without), strict=True)) | PEERS
    return {name: ready(method) for name, method in methods.items()}


def score_case(estimate, case, setup):
    """Score one estimate by all metrics; also patch by patch the two distances."""
    estimate = estimate.normal
    scores = score(
        estimate,
        case.truth,
        labels=case.active.astype(int),
        seeds=case.seeds,
        peaks=case.peaks,
        positions=setup.positions,
        adjacency=setup.adjacency,
        sfreq=SFREQ,
    )
    per_patch = {
        name: values.tolist()
        for name, values in zip(
            ("localization_error_mm", "strongest_peak_error_mm"),
            peak_errors(np.abs(estimate), case, setup),
            strict=True,
        )
    }
    region = strongest_region_error(
        estimate, case.truth, case.centres, case.peaks, setup.positions
    )
    scores["strongest_region_error_mm"] = float(region.mean())
    means = {name: float(np.mean(values)) for name, values in per_patch.items()}
    return scores | means | dict(per_patch=per_patch)


def chance_error(setup):
    """Make the expected distance from a source to the nearest of n random peaks, given n."""
    n_sources = len(setup.positions)
    distance = np.sort(cdist(setup.fine_positions[::20], setup.positions)).mean(axis=0)

    def expected(n_peaks):
        rank = np.arange(n_sources)
        # probability that the nearest sources, up to each rank, hold no peak
        none = np.cumprod((1.0 - n_peaks / (n_sources - rank)).clip(0.0))
        return float(distance @ -np.diff(none, prepend=1.0))

    return expected


class Worker:
    """Answers a case with the estimates of all methods; see :mod:`runner`."""

    def __init__(self, args):
        methods = make_methods(args.model)
        self.methods = {name: methods[name] for name in args.names}
        self.setup = functools.cache(lambda montage: Setup(montage, args.work / "heads"))
        self.warm = set()

    def __call__(self, address, due):
        montage, snr_db, number = address
        setup = self.setup(montage)
        case = draw_case(setup, snr_db, number)
        for name, method in self.methods.items():
            if due(name, case.factors):
                if name not in self.warm:  # imports and caches are not the method's time
                    solve(score_case, method, case, setup)
                    self.warm.add(name)
                result = solve(score_case, method, case, setup)
                scores = result["scores"] | dict(seconds=result["seconds"])
                per_patch = scores.pop("per_patch")
                yield name, case.factors, result | dict(scores=scores, per_patch=per_patch)


def collect(stores, wanted, chance):
    """Results by method and case."""
    found = {
        name: {key: store.records[key] for key in wanted if key in store.records}
        for name, store in stores.items()
    }
    runner.leave_out_other_data(list(found.values()))
    for records in found.values():
        for record in records.values():
            scores = record["scores"]
            scores["chance_localization_error_mm"] = chance(scores["n_maxima"])
    return {name: records for name, records in found.items() if records}


def table(found, montages, snrs):
    """Means and intervals of every metric, for each montage, SNR and method, and over all."""
    cells = [(montage, snr_db) for montage in montages for snr_db in snrs] + [("all", "all")]
    rows = []
    for montage, snr_db in cells:
        for name, records in found.items():
            keys = [key for key in records if montage == "all" or key[:2] == (montage, snr_db)]
            cell = [records[key] for key in keys]
            if not cell:
                continue
            n_failed = sum(record["failure"] is not None for record in cell)
            row = dict(montage=montage, snr_db=snr_db, method=name, n=len(cell))
            row |= dict(n_failed=n_failed)
            for metric in cell[0]["scores"]:
                values = np.array([record["scores"][metric] for record in cell])
                row |= mean_columns(metric, values)
            rows.append(row)
    return rows


def lead(found, montages, snrs):
    """Compare mmnet with the best peer of each cell, paired over the cases that all have.

    The last rows pool the SNRs of a montage, and everything.
    """
    peers = [name for name in found if name in PEERS]
    if OURS[0] not in found or not peers:
        return []
    common = set.intersection(*(set(found[name]) for name in (OURS[0], *peers)))
    cells = [((montage,), (snr_db,)) for montage in montages for snr_db in snrs]
    cells += [((montage,), snrs) for montage in montages] + [(montages, snrs)]
    rows = []
    for where, levels in cells:
        keys = sorted(key for key in common if key[0] in where and key[1] in levels)
        for metric, more_is_better in LEAD.items() if len(keys) > 1 else ():
            scores = {
                name: np.array([found[name][key]["scores"][metric] for key in keys])
                for name in (OURS[0], *peers)
            }
            sign = 1.0 if more_is_better else -1.0
            best = max(peers, key=lambda name: sign * scores[name].mean())
            rows.append(
                dict(
                    montage=where[0] if len(where) == 1 else "all",
                    snr_db=levels[0] if len(levels) == 1 else "all",
                    metric=metric,
                    n=len(keys),
                    best_peer=best,
                    peer_mean=f"{scores[best].mean():.4g}",
                    mmnet_mean=f"{scores[OURS[0]].mean():.4g}",
                    **difference_columns(scores[OURS[0]] - scores[best], more_is_better),
                )
            )
    return rows


def report(found, args):
    """Write tables and figures, and say how often mmnet leads."""
    out, montages, snrs = args.out, args.montages, args.snrs
    comment = runner.made_by(
        args,
        "model",
        f"seed {SEED}",
        "different lead fields for simulation and inversion",
        "SNR: mean power of signal over noise, average reference",
        "n and 95 % bootstrap intervals over cases",
    )
    write_rows(out / "transfer.csv", comment, table(found, montages, snrs))
    rows = lead(found, montages, snrs)
    if rows:
        write_rows(out / "transfer_lead.csv", comment, rows)
    for metric in LEAD:
        cells = [r for r in rows if r["metric"] == metric and "all" not in r.values()]
        counts = {v: sum(r["verdict"] == v for r in cells) for v in ("lead", "tie", "behind")}
        if cells:
            print(f"{metric}: " + ", ".join(f"{n} {v}" for v, n in counts.items()))
    cases = {key: r["factors"] for records in found.values() for key, r in records.items()}
    figure_factors(out / "transfer_factors.png", found, cases, LEAD)
    figure_overview(out / "transfer_overview.png", found, rows, LEAD)


def main():
    """Run the benchmark."""
    parser = runner.make_parser(__file__, __doc__, work="transfer")
    parser.add_argument("--montages", nargs="+", choices=MONTAGES, default=list(MONTAGES))
    parser.add_argument("--snrs", nargs="+", type=int, choices=SNRS_DB, default=list(SNRS_DB))
    parser.add_argument("--n-samples", type=int, default=25, help="cases a montage and SNR")
    parser.add_argument(
        "--methods", nargs="*", default=["all"], help='names, "peers", "ours"; none: tables only'
    )
    parser.add_argument("--no-report", action="store_true", help="write no tables and figures")
    args = parser.parse_args()
    methods = (*OURS, *PEERS)
    groups = dict(all=methods, peers=tuple(PEERS), ours=OURS)
    args.names = runner.choose(parser, args.methods, groups, methods)
    check_peers(args.names)
    sha256 = dict.fromkeys(OURS, read_card(args.model).sha256)
    stores = {
        name: runner.Store(args.work / f"{runner.slug(name)}.jsonl", KEYS, sha256.get(name), LEAD)
        for name in methods
    }
    wanted = [(m, s, k) for k, m, s in product(range(args.n_samples), args.montages, args.snrs)]
    if args.names:
        runner.run(Worker, args, wanted, {name: stores[name] for name in args.names})
    if not args.no_report:
        # the source spaces of all montages are the same
        chance = chance_error(Setup(args.montages[0], args.work / "heads"))
        report(collect(stores, wanted, chance), args)


if __name__ == "__main__":
    main()
