"""Tables and figure of ``benchmarks/people.py``: means, and mmnet against the best peer."""

import numpy as np
from common import write_rows
from drawing import COLOURS, MARKERS, save, strip
from intervals import clustered_interval, difference_columns, mean_columns
from matplotlib.figure import Figure
from people_scores import LEVELS
from people_suite import HEADS, POPULATION, SEED
from runner import leave_out_other_data, made_by

# what is claimed, and whether more is better
LEAD = {
    "earth_movers_distance_mm": False,
    "auc": True,
    "space_time_cosine": True,
    "strongest_region_error_mm": False,
    "window_region_error_mm": False,
    "tent_region_error_mm": False,
    "strongest_peak_error_mm": False,
    "localization_error_mm": False,
    "spatial_dispersion_mm": False,
    "dispersion_of_four_mm": False,
}
# what is drawn
TITLES = {
    "earth_movers_distance_mm": "Earth mover's distance (mm)",
    "auc": "ROC AUC (close/far balanced)",
    "space_time_cosine": "Space-time cosine",
    "strongest_region_error_mm": "Strongest-region error (mm)",
    "dispersion_of_four_mm": "Spread with four sources (mm)",
}
OURS = "mmnet"
# methods whose maps are no currents: shares of a moment mean nothing
_NO_MOMENT = ("dSPM", "sLORETA", "LCMV", "lcmv-mvpure")
_N_CURVES = len(MARKERS)


def metric_of(record, metric):
    """Return one score of a record, or None where it has none."""
    if metric == "dispersion_of_four_mm":
        four = record["factors"]["n_patches"] == 4
        return record["scores"]["spatial_dispersion_mm"] if four else None
    if metric == "seconds":
        return record["seconds"]
    if metric.startswith("moment") and record["method"].startswith(_NO_MOMENT):
        return None
    return record["scores"].get(metric)


def gather(stores, part, covariance):
    """Find the records of one part and covariance, by head and method.

    Recordings of which methods were given different data are of an older suite: left out.
    """
    found = {}
    for (head, name), store in stores.items():
        records = {
            key[2:]: record | dict(method=name)
            for key, record in store.records.items()
            if key[:2] == (part, covariance)
        }
        if records:
            found.setdefault(head, {})[name] = records
    leave_out_other_data([r for methods in found.values() for r in methods.values()])
    return found


def _values(records, keys, metric):
    """Scores of those of some records that have them, and whose they are."""
    pairs = [(metric_of(records[key], metric), key[1]) for key in keys]
    pairs = [(value, person) for value, person in pairs if value is not None]
    return np.array([v for v, _ in pairs], float), np.array([p for _, p in pairs], int)


def _pair(first, second, montages, metric):
    """Scores of the recordings that two methods share, which they are, and whose."""
    keys = sorted(key for key in first.keys() & second.keys() if key[0] in montages)
    mine, people = _values(first, keys, metric)
    return keys, mine, _values(second, keys, metric)[0], people


def _n_failed(records, keys):
    return sum(records[key]["failure"] is not None for key in keys)


def _cells(montages):
    return list(dict.fromkeys([*[(m,) for m in montages], tuple(montages)]))


def _place(where):
    return where[0] if len(where) == 1 else "all"


def table(found, montages):
    """Means of every metric with intervals, for each head, montage and method."""
    rows = []
    for head, methods in found.items():
        metrics = dict.fromkeys(
            m for r in methods.values() for one in r.values() for m in one["scores"]
        )
        metrics = [*metrics, "dispersion_of_four_mm", "seconds"]
        for where in _cells(montages):
            for name, records in methods.items():
                keys = [key for key in records if key[0] in where]
                if not keys:
                    continue
                failed = _n_failed(records, keys)
                row = dict(head=head, montage=_place(where), method=name, n=len(keys))
                row |= dict(n_people=len({key[1] for key in keys}), n_failed=failed)
                for metric in metrics:
                    values, people = _values(records, keys, metric)
                    row[metric] = row[f"{metric}_ci"] = ""
                    if len(values):
                        row |= mean_columns(metric, values, people)
                rows.append(row | _confidence(records, keys))
    return rows


def _confidence(records, keys):
    """Coverage of regions and intervals against what they promise (as in CaliBrain's terms).

    Mean signed deviation: the mean over nominal levels of coverage minus level; positive where
    regions hold more than they promise.
    """
    names = ("covered_0.5", "covered_0.9", "region_deviation", "current_deviation")
    scores = [records[key]["scores"] for key in keys if not records[key]["failure"]]
    reached = np.array([s["reached_at"] for s in scores if "reached_at" in s])
    if not len(reached):
        return dict.fromkeys(names, "")
    covered = np.array([(reached < level).mean() for level in LEVELS])
    within = [
        np.mean([s[f"current_within_{level:g}"] for s in scores if "reached_at" in s])
        for level in LEVELS
    ]
    values = (
        covered[LEVELS.index(0.5)],
        covered[LEVELS.index(0.9)],
        np.mean(covered - LEVELS),
        np.mean(np.subtract(within, LEVELS)),
    )
    return {name: f"{value:.3f}" for name, value in zip(names, values, strict=True)}


def compare(found, montages, ours, others):
    """Differences of methods to others, paired over the recordings that both have."""
    rows = []
    for head, methods in found.items():
        for name in (n for n in ours if n in methods):
            for where in _cells(montages):
                for metric, more_is_better in LEAD.items():
                    row = _against_best(methods, name, others, where, metric, more_is_better)
                    if row:
                        rows.append(dict(head=head, montage=_place(where), method=name) | row)
    return rows


def _against_best(methods, name, others, where, metric, more_is_better):
    """Compare with the one of the others over which the lead is smallest."""
    sign, best = 1.0 if more_is_better else -1.0, None
    for other in (o for o in others if o in methods and o != name):
        _, mine, theirs, people = _pair(methods[name], methods[other], where, metric)
        if len(mine) < 2:
            continue
        gain = mine - theirs
        if best is None or sign * gain.mean() < sign * best[1].mean():
            best = other, gain, mine, theirs, people
    if best is None:
        return None
    other, gain, mine, theirs, people = best
    return dict(
        metric=metric,
        n=len(gain),
        n_people=len(set(people)),
        other=other,
        its_mean=f"{theirs.mean():.4g}",
        mean=f"{mine.mean():.4g}",
        **difference_columns(gain, more_is_better, people),
    )


def draw(path, found, montages):
    """Draw the claimed metrics over montages, a row a head; the best few methods in colour.

    Methods with fewer people than others are left out: theirs are means of other recordings.
    """
    size = (4.2 * len(TITLES), 4.0 * len(found))
    figure = Figure(figsize=size, dpi=90, facecolor="white", layout="constrained")
    grid = figure.subplots(len(found), len(TITLES), squeeze=False)
    numbers = {}  # one colour a method, in all rows
    for line, (head, methods) in zip(grid, found.items(), strict=True):
        full = max(len(records) for records in methods.values())
        methods = {n: r for n, r in methods.items() if len(r) == full}
        every = {
            n: _values(r, r, "earth_movers_distance_mm")[0].mean() for n, r in methods.items()
        }
        shown = sorted(every, key=every.get)
        shown.sort(key=lambda name: not name.startswith(OURS))
        shown = shown[:_N_CURVES]
        for name in shown:
            numbers.setdefault(name, len(numbers))
        for axes, (metric, title) in zip(line, TITLES.items(), strict=True):
            for name in shown:
                _draw_curve(axes, numbers[name], name, methods[name], montages, metric)
            axes.set(title=title, xticks=range(len(montages)))
            axes.set_xticklabels(montages)
            strip(axes)
        line[0].set_ylabel({"template": "Template", "own": "Person's own head"}[head])
        line[-1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    save(figure, path)


def _draw_curve(axes, k, name, records, montages, metric):
    """Means over montages with intervals."""
    means, bars = [], []
    for montage in montages:
        keys = [key for key in records if key[0] == montage]
        values, people = _values(records, keys, metric)
        low, high = clustered_interval(values, people)
        means.append(values.mean())
        bars.append([values.mean() - low, high - values.mean()])
    place = np.arange(len(montages)) + 0.06 * (k - _N_CURVES / 2)
    bars = np.array(bars).T.clip(0.0)
    axes.errorbar(
        place,
        means,
        bars if np.isfinite(bars).all() else None,
        color=COLOURS[k % len(COLOURS)],
        marker=MARKERS[k % len(MARKERS)],
        markersize=5,
        lw=1.4 + 0.8 * name.startswith(OURS),
        label=name,
    )


def compare_covariances(stores, part, montages, names):
    """Say what a covariance is worth: with it less without, paired, by head and method."""
    rows = []
    with_one = gather(stores, part, "60 s")
    for kind in ("short", "none"):
        for head, methods in gather(stores, part, kind).items():
            for name in (n for n in names if n in methods):
                known = with_one.get(head, {}).get(name, {})
                for metric in LEAD:
                    keys, first, other, people = _pair(known, methods[name], montages, metric)
                    if len(first) < 2:
                        continue
                    change = difference_columns(first - other, LEAD[metric], people)
                    del change["verdict"]
                    row = dict(head=head, method=name, covariance=kind, metric=metric)
                    row |= dict(n=len(first), n_failed=_n_failed(methods[name], keys))
                    row |= dict(mean=f"{other.mean():.4g}", mean_60_s=f"{first.mean():.4g}")
                    rows.append(row | change)
    return rows


def report(stores, args, names, comparisons):
    """Write tables and a figure of what there is, and say how often mmnet leads.

    ``comparisons`` are pairs of methods, and those with the best of which each is compared.
    """
    comment = made_by(
        args,
        "methods heads montages n_recordings" if args.n_recordings else "model",
        f"seeds {SEED} and {POPULATION}",
        "different lead fields for simulation and inversion, other people's heads",
        "SNR: mean power of signal over noise, average reference, -5 to 10 dB",
        "95 % bootstrap intervals with people as clusters. MNE's sLORETA of free orientation (not "
        "shown) misses even noise-free dipoles by 1 cm",
    )
    heads = [head for head in HEADS if head in args.heads]
    for part, stem in (("main", "people"), ("dipole", "people_dipoles")):
        found = gather(stores, part, "60 s")
        found = {head: found[head] for head in heads if head in found}
        if not found:
            continue
        write_rows(args.out / f"{stem}.csv", comment, table(found, args.montages))
        rows = []
        for mine, others in comparisons:
            rows += compare(found, args.montages, mine, others)
        if rows:
            write_rows(args.out / f"{stem}_lead.csv", comment, rows)
        if part != "main":
            continue
        if len(args.montages) > 1:  # curves over montages
            draw(args.out / f"{stem}.png", found, args.montages)
        for row in rows:
            if row["montage"] == _place(args.montages):
                print(
                    "{head}: {method} {metric} {mean}, {other} {its_mean} "
                    "({low} to {high}, {verdict}; n = {n})".format(**row)
                )
    rows = compare_covariances(stores, "main", args.montages, names)
    if rows:
        write_rows(args.out / "people_covariance.csv", comment, rows)
