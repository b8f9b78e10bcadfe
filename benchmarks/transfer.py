"""Other heads, finer sources: simulated on perturbed heads, inverted on the standard one.

    pip install -c constraints.txt -e ".[benchmark]"
    python benchmarks/transfer.py --methods peers       # an hour on one core
    python benchmarks/transfer.py --methods mmnet --model mmnet-base

**Different lead fields** for simulation (ico4, perturbed heads) and inversion (ico3, the standard
template, fixed orientation, 1175 sources); what is simulated says ``transfer_suite.py``, what it
is compared with ``peers.py``. All methods get the same data and, but for "mmnet, no covariance",
the same noise covariance.

Metrics are those of DESIGN §6 (``mne_mmnet.metrics``). Distances are taken from the true centres
on the fine grid. The nearest-peak error rewards maps of many peaks: beside it stand their number
and, as ``chance_localization_error_mm``, the error of as many peaks at random. Active are sources
within 10 mm of a true centre, and those inside a patch above half of its peak. Maps and power are
compared on the coarse grid, where the true moments are summed at the nearest source along the
surface. A method that fails on a case is counted in ``n_failed`` and scored as a map of zeros.

Results are kept case by case in ``--work``, and only missing ones are computed: those of another
model (by its sha256) or of other data are not taken for the ones that are wanted. Writes
``transfer.csv`` (all means with 95 % bootstrap intervals over cases), ``transfer_lead.csv`` (mmnet
against the peer of the best mean in that very cell, which favours the peer) and two figures.
"""

import argparse
import json
import logging
import signal
import time
import warnings
from pathlib import Path

import mne
import numpy as np
from common import write_rows
from peers import PEERS
from scipy.spatial.distance import cdist
from transfer_figures import figure_factors, figure_overview
from transfer_suite import MONTAGES, SEED, SFREQ, SNRS_DB, Setup, draw_case

import mne_mmnet
from mne_mmnet.metrics import (
    confidence_interval,
    local_maxima,
    localization_errors,
    score,
    strongest_region_error,
)
from mne_mmnet.weights import read_card

RESULTS = Path(__file__).parent / "results"
WORK = Path.home() / ".cache" / "mne_mmnet" / "transfer"
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
# seconds: no method came near it; a hanging one is a failure
_TIME_LIMIT = 300


def make_methods(model):
    """Name every method: functions of (evoked, noise_cov, setup) that return currents."""

    def mmnet(evoked, noise_cov, setup):
        return mne_mmnet.apply_mmnet_inverse(evoked, setup.fwd, noise_cov, model=model).data

    def without(evoked, noise_cov, setup):
        return mne_mmnet.apply_mmnet_inverse(evoked, setup.fwd, model=model).data

    return dict(zip(OURS, (mmnet, without), strict=True)) | PEERS


class Store:
    """Results of one method, a line of JSON each; the last line of a case counts."""

    def __init__(self, folder, method, sha256):
        slug = method.lower().replace(", ", "-").replace(" ", "-")
        self.path, self.sha256, self.records = Path(folder) / f"{slug}.jsonl", sha256, {}
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue  # cut short by an interrupt
            if record["model_sha256"] == sha256:
                self.records[tuple(record["key"])] = record

    def find(self, factors):
        """Return the result of a case, if it is of the same data and has all scores."""
        record = self.records.get(_key(factors))
        if record and not set(LEAD) <= set(record["scores"]):
            return None
        if record and np.allclose(record["fingerprint"], factors["fingerprint"], rtol=1e-6):
            return record
        return None

    def add(self, factors, result):
        """Keep a result."""
        head = dict(key=_key(factors), model_sha256=self.sha256)
        record = head | dict(fingerprint=factors["fingerprint"]) | result
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        self.records[_key(factors)] = record


def _key(factors):
    return factors["montage"], factors["snr_db"], factors["case"]


def solve(method, case, setup):
    """Run one method on one case: scores, seconds, and the reason if it failed."""

    def stop(*_):
        raise TimeoutError(f"no answer in {_TIME_LIMIT} s")

    failure, started = None, time.perf_counter()
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(_TIME_LIMIT)
    try:
        estimate = np.asarray(method(case.evoked.copy(), case.noise_cov.copy(), setup))
        if estimate.shape != case.truth.shape:
            raise ValueError(f"estimate of shape {estimate.shape}")
        if not np.isfinite(estimate).all():
            raise ValueError("estimate is not finite")
    except Exception as error:
        # any failure of a method is a result of it, and told as such
        failure, estimate = f"{type(error).__name__}: {error}"[:300], np.zeros(case.truth.shape)
    finally:
        signal.alarm(0)
    seconds = time.perf_counter() - started
    scores, per_patch = score_case(estimate, case, setup)
    return dict(failure=failure, scores=scores | dict(seconds=seconds), per_patch=per_patch)


def score_case(estimate, case, setup):
    """Score one estimate: all metrics, and the two distances patch by patch."""
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
    nearest, strongest = [], []
    for centre, peak in zip(case.centres, case.peaks, strict=True):
        size = np.abs(estimate[:, peak])
        found = local_maxima(size, setup.adjacency)
        farthest = np.linalg.norm(setup.positions - centre, axis=1).max()
        nearest.append(min(farthest, localization_errors(centre, setup.positions[found])[0]))
        # of equal values the farthest counts, as in mne_mmnet.metrics
        best = setup.positions[size == size.max()]
        strongest.append(localization_errors(best, case.centres).max())
    per_patch = dict(localization_error_mm=nearest, strongest_peak_error_mm=strongest)
    region = strongest_region_error(
        estimate, case.truth, case.centres, case.peaks, setup.positions
    )
    scores["strongest_region_error_mm"] = float(region.mean())
    scores |= {name: float(np.mean(values)) for name, values in per_patch.items()}
    return scores, {name: [float(v) for v in values] for name, values in per_patch.items()}


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


def run(setups, snrs, n_samples, names, methods, stores, again=False):
    """Compute what is missing, case by case over all cells; return the factors of all cases."""
    everything, warm = {}, set()
    for number in range(n_samples):
        started, n_new = time.perf_counter(), 0
        for setup in setups.values():
            for snr_db in snrs:
                case = draw_case(setup, snr_db, number)
                everything[_key(case.factors)] = case.factors
                for name in names:
                    record = stores[name].find(case.factors)
                    if record and not record["failure"] and not again:
                        continue
                    if name not in warm:  # imports and caches are not the method's time
                        solve(methods[name], case, setup)
                        warm.add(name)
                    result = solve(methods[name], case, setup)
                    stores[name].add(case.factors, result)
                    n_new += 1
                    if result["failure"]:
                        print(f"{name} failed on {_key(case.factors)}: {result['failure']}")
        if n_new:
            seconds = time.perf_counter() - started
            print(f"case {number + 1} of {n_samples}: {n_new} in {seconds:.0f} s", flush=True)
    return everything


def collect(cases, stores, chance):
    """Results by method and case, of the same data only."""
    found = {}
    for name, store in stores.items():
        records = {key: store.find(factors) for key, factors in cases.items()}
        found[name] = {key: record for key, record in records.items() if record}
        stale = [key for key in cases if key in store.records and key not in found[name]]
        if stale:
            print(f"{len(stale)} results of {name} are of other data or lack scores: run again.")
        for record in found[name].values():
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
                low, high = confidence_interval(values)
                row[metric] = f"{values.mean():.4g}"
                row[f"{metric}_ci"] = f"{low:.4g} … {high:.4g}"
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
            gain = scores[OURS[0]] - scores[best]
            low, high = confidence_interval(gain)
            ahead, behind = (low > 0, high < 0) if more_is_better else (high < 0, low > 0)
            rows.append(
                dict(
                    montage=where[0] if len(where) == 1 else "all",
                    snr_db=levels[0] if len(levels) == 1 else "all",
                    metric=metric,
                    n=len(keys),
                    best_peer=best,
                    peer_mean=f"{scores[best].mean():.4g}",
                    mmnet_mean=f"{scores[OURS[0]].mean():.4g}",
                    difference=f"{gain.mean():.4g}",
                    low=f"{low:.4g}",
                    high=f"{high:.4g}",
                    verdict="lead" if ahead else "behind" if behind else "tie",
                )
            )
    return rows


def report(found, cases, montages, snrs, out, model):
    """Write tables and figures, and say how often mmnet leads."""
    out.mkdir(parents=True, exist_ok=True)
    comment = (
        f"python benchmarks/transfer.py --model {model}; seed {SEED}; {time.strftime('%F')}; "
        "different lead fields for simulation and inversion; SNR: mean power of signal over "
        "noise, average reference; n and 95 % bootstrap intervals over cases"
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
    figure_factors(out / "transfer_factors.png", found, cases, LEAD)
    figure_overview(out / "transfer_overview.png", found, rows, LEAD)


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--montages", nargs="+", choices=MONTAGES, default=list(MONTAGES))
    parser.add_argument("--snrs", nargs="+", type=int, choices=SNRS_DB, default=list(SNRS_DB))
    parser.add_argument("--n-samples", type=int, default=25, help="cases a montage and SNR")
    parser.add_argument(
        "--methods", nargs="*", default=["all"], help='names, "peers", "ours"; none: tables only'
    )
    parser.add_argument("--model", default="mmnet-base", help="name or path")
    parser.add_argument("--again", action="store_true", help="also what has been computed")
    parser.add_argument("--no-report", action="store_true", help="write no tables and figures")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    mne.set_log_level("error")
    logging.getLogger("invert").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")

    methods = make_methods(args.model)
    groups = dict(all=tuple(methods), peers=tuple(PEERS), ours=OURS)
    names = [name for given in args.methods for name in groups.get(given, (given,))]
    if unknown := set(names) - set(methods):
        parser.error(f"no such methods: {sorted(unknown)}; there are {list(methods)}")
    sha256 = read_card(args.model).sha256
    stores = {name: Store(args.work, name, sha256 if name in OURS else None) for name in methods}
    setups = {montage: Setup(montage, args.work / "heads") for montage in args.montages}
    cases = run(setups, args.snrs, args.n_samples, names, methods, stores, args.again)
    with open(args.work / "cases.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(factors) + "\n" for factors in cases.values())
    if not args.no_report:
        # the source spaces of all montages are the same
        found = collect(cases, stores, chance_error(setups[args.montages[0]]))
        report(found, cases, args.montages, args.snrs, args.out, args.model)


if __name__ == "__main__":
    main()
