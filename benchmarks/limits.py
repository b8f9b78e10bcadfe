"""What the estimate cannot tell: errors by one difficulty at a time, and whether it is said.

    python benchmarks/limits.py

Recordings of ``limits_suite.py``; mmnet as shipped, beside MNE's eLORETA (λ² = 1/9, the same lead
field and covariance). For every group and level:

- ``region``: mm from the true centre to the strongest region (most moment within 15 mm, of the rms
  over the window), mean with a 95 % bootstrap interval; ``error``: to the strongest single
  location; ``missed``: share of recordings in which that is more than 20 mm.
- ``in 50``, ``in 90``: share of recordings whose confidence region of that level holds the true
  location; ``radius 90``: of a disc of that region's area, mm, median.
- ``warned``: share of recordings with any warning of the library.

Sources are *found* where one of those that ``mne_mmnet.find_sources`` would list (of the rms) lies
within 20 mm; each counts once. *Extent* is the radius of a disc whose area is that of all
locations above half of the largest rms. *Scalp* is the largest potential without noise, for 50
nA·m. Noise: (samples of the covariance, how much stronger the noise is later); *listed* is the
number of sources listed. Writes ``limits.txt`` and ``limits.png``.
"""

import functools
import warnings
from itertools import pairwise

import mne
import numpy as np
import runner
import transfer_suite
from common import MONTAGES
from drawing import COLOURS, MARKERS, save, strip
from limits_suite import (
    SNR_DB,
    STRUCTURES,
    Bench,
    draw_deep,
    draw_noise_only,
    draw_one,
    draw_other_head,
    draw_several,
    draw_silent,
)
from matplotlib.figure import Figure
from mne.minimum_norm import apply_inverse, make_inverse_operator
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from transfer_suite import SEED

import mne_mmnet
from mne_mmnet._support.files import whole_file
from mne_mmnet.dictionary.patches import PatchScale
from mne_mmnet.dictionary.regions import Regions
from mne_mmnet.metrics import confidence_interval
from mne_mmnet.weights import read_card

# the model whose limits these are
MODEL = "mmnet-base"
NEAR = 20.0  # mm
HEAD_LEVELS = (
    "template itself",
    "+ skull and electrodes",
    "+ head's shape",
    "+ folds tilted by 30°",
    "+ folds tilted by 60°",
    "+ hole in the skull",
)
APART = ((10, 20), (20, 30), (30, 45), (45, 60))


def point_or_disc(radius):
    """Make the profile of a patch of constant current density."""
    return PatchScale("flat", radius) if radius else PatchScale("point")


# group: what is drawn at a level, levels, recordings a level
GROUPS = {
    "where": (lambda b, rng, _: draw_one(b, rng, noise_uv=0.4), ("anywhere",), 300),
    "snr": (lambda b, rng, db: draw_one(b, rng, snr_db=db), (-10, -5, 0, 5, 10, 20), 60),
    "electrodes": (lambda b, rng, _: draw_one(b, rng), tuple(MONTAGES), 60),
    "extent": (lambda b, rng, r: draw_one(b, rng, point_or_disc(r)), (0, 5, 10, 20, 30, 40), 60),
    "count": (draw_several, (1, 2, 3, 4), 60),
    "apart": (lambda b, rng, span: draw_several(b, rng, 2, span), APART, 60),
    "head": (draw_other_head, HEAD_LEVELS, 60),
    "head, free": (draw_other_head, HEAD_LEVELS, 60),
    "deep": (draw_deep, tuple(STRUCTURES), 40),
    "deep, volume": (draw_deep, tuple(STRUCTURES), 20),
    "silent, 1 µV": (lambda b, rng, a: draw_silent(b, rng, a, 1.0), (0.5, 1, 2, 4, 8, 16), 40),
    "silent, 10 µV": (lambda b, rng, a: draw_silent(b, rng, a, 10.0), (0.5, 1, 2, 4, 8, 16), 40),
    "noise": (draw_noise_only, ((200, 1.0), (2000, 1.0), (2000, 1.5)), 150),
    "noise, no covariance": (draw_noise_only, ((200, 1.0),), 150),
}
# groups of the same recordings
_SAME = {"head, free": "head", "deep, volume": "deep"}


def eloreta(recording, fwd, loose):
    """MNE's eLORETA on the same lead field and covariance."""
    inverse = make_inverse_operator(
        recording.evoked.info, fwd, recording.noise_cov, loose=loose, fixed=loose == 0, depth=None
    )
    return apply_inverse(recording.evoked, inverse, 1 / 9, "eLORETA").data


def localise(recording, fwd, loose, with_cov):
    """Currents, level of the confidence region at each location, what was warned of."""
    noise_cov = recording.noise_cov if with_cov else None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stc, uncertainty = mne_mmnet.apply_mmnet_inverse(
            recording.evoked, fwd, noise_cov, loose=loose, return_uncertainty=True
        )
    said = [str(w.message) for w in caught if issubclass(w.category, RuntimeWarning)]
    return stc.data, uncertainty.confidence.data[:, 0], said


def measure(group, bench, recording):
    """One recording: errors, regions, warnings, in one dict."""
    if group == "deep, volume":
        fwd, loose, here = bench.volume, 1.0, None
        positions = 1e3 * fwd["source_rr"]
    else:
        free = group == "head, free"
        fwd, loose = (bench.free, 1.0) if free else (bench.fwd, None)
        positions, here = bench.positions, recording.seeds
    currents, level, said = localise(recording, fwd, loose, group != "noise, no covariance")
    answers = dict(mmnet=currents)
    if len(recording.centres) and group != "deep, volume":
        answers["eLORETA"] = eloreta(recording, fwd, loose or 0)
    out = dict(recording.facts, warned=bool(said), said=said)
    regions = Regions(positions)
    out["peak_nam"] = 1e9 * np.abs(currents).max()
    peaks = {}
    for name, answer in answers.items():
        rms = np.sqrt(np.mean(answer**2, axis=1))
        peaks[name] = positions[rms.argmax()]
        out[f"extent {name}"] = (rms >= 0.5 * rms.max()).sum() * bench.area
        listed = positions[regions.separate(rms)]
        out[f"listed {name}"] = len(listed)
        if len(recording.centres) == 0:
            continue
        out[f"error {name}"] = cdist(peaks[name][None], recording.centres).min()
        out[f"region {name}"] = cdist(listed[:1], recording.centres).min()
        distance = cdist(recording.centres, listed)
        # as many pairs as possible: far ones cost one too much
        rows, cols = linear_sum_assignment(np.where(distance <= NEAR, distance, 1e3))
        n_found = int((distance[rows, cols] <= NEAR).sum())
        out[f"found {name}"] = n_found
        out[f"false {name}"] = len(listed) - n_found
    if len(answers) == 2:
        out["apart"] = np.linalg.norm(peaks["mmnet"] - peaks["eLORETA"])
    if len(recording.centres):
        out["floor"] = cdist(recording.centres, positions).min()
    out["radius 90"] = np.sqrt((level < 0.9).sum() * bench.area / np.pi)
    if here is not None and len(here) == 1:
        out["in 50"], out["in 90"] = level[here[0]] < 0.5, level[here[0]] < 0.9
    return out


class Worker:
    """Answers a recording of a group, level and number; see :mod:`runner`."""

    def __init__(self, args):
        # not "error": the library's warnings are counted, and go by MNE's level
        mne.set_log_level("warning")
        self.bench = functools.cache(lambda montage: Bench(montage, transfer_suite.HEADS))

    def __call__(self, address, due):
        group, place, number = address
        draw, levels, _ = GROUPS[group]
        bench = self.bench(MONTAGES[levels[place]] if group == "electrodes" else "biosemi64")
        # the same sources for all montages
        drawn = 0 if group == "electrodes" else place
        seed = [SEED, list(GROUPS).index(_SAME.get(group, group)), drawn, number]
        recording = draw(bench, np.random.default_rng(seed), levels[place])
        factors = dict(group=group, place=place, number=number)
        factors["fingerprint"] = runner.fingerprint(recording.evoked.data)
        if due("limits", factors):
            yield "limits", factors, runner.measured(measure, group, bench, recording)


def by_level(found):
    """Answers by group and level."""
    records = {}
    for record in found:
        level = GROUPS[record["group"]][1][record["place"]]
        records.setdefault((record["group"], level), []).append(record)
    return records


def strata(records):
    """Add the recordings of sources anywhere once more, by depth, distance and direction."""
    everywhere = records.get(("where", "anywhere"), [])
    cuts = {
        "depth below the inner skull, mm": ("depth", (0, 10, 20, 30, 70)),
        "distance to the nearest electrode, mm": ("to_electrode", (0, 25, 35, 50, 90)),
        "angle to the radial direction, °": ("angle", (0, 30, 60, 90.1)),
        "potential that 50 nA·m make at the scalp, µV": ("peak_uv", (0, 3, 4.5, 6, 20)),
    }
    one = [r for k, v in records.items() if k[0] in ("where", "snr", "head") for r in v]
    groups = [(title, key, edges, everywhere) for title, (key, edges) in cuts.items()]
    # what can be seen without the truth: do the methods agree, is the region small?
    groups += [
        ("eLORETA's strongest location from mmnet's, mm", "apart", (0, 20, 40, 200), one),
        ("radius of the 90 % region, mm", "radius 90", (0, 40, 80, 200), one),
    ]
    added = {}
    for title, key, edges, candidates in groups:
        for low, high in pairwise(edges):
            members = [r for r in candidates if low <= r[key] < high]
            if len(members) > 1:
                added[title, f"{low:g} to {high:.0f}"] = members
    return records | added


# column: how a record answers, factor, decimals, whether with an interval
COLUMNS = {
    "SNR, dB": (lambda r: r["snr_db"], 0, np.median),
    "region": (lambda r: r["region mmnet"], 1, None),
    "eLORETA's": (lambda r: r["region eLORETA"], 1, None),
    "error": (lambda r: r["error mmnet"], 1, None),
    "eLORETA": (lambda r: r["error eLORETA"], 1, None),
    "missed %": (lambda r: 100.0 * (r["error mmnet"] > NEAR), 0, None),
    "eLORETA %": (lambda r: 100.0 * (r["error eLORETA"] > NEAR), 0, None),
    "in 50 %": (lambda r: 100.0 * r["in 50"], 0, None),
    "in 90 %": (lambda r: 100.0 * r["in 90"], 0, None),
    "radius 90": (lambda r: r["radius 90"], 0, np.median),
    "warned %": (lambda r: 100.0 * r["warned"], 0, None),
}
_EXTENT = {
    f"extent {who}": (lambda r, who=who: np.sqrt(r[f"extent {who}"] / np.pi), 0, None)
    for who in ("mmnet", "eLORETA")
}
_FOUND = {
    f"{what} {who}": (lambda r, what=what, who=who: r[f"{what} {who}"], 2, None)
    for who in ("mmnet", "eLORETA")
    for what in ("found", "false")
}
_PEAK = {"peak, nA·m": (lambda r: r["peak_nam"], 1, np.median)}
_SCALP = {"scalp, µV": (lambda r: r["peak_uv"], 1, np.median)}
_LISTED = {"listed": (lambda r: r["listed mmnet"], 1, None)}
EXTRA = {
    "extent": {"true": (lambda r: np.sqrt(r["area"] / np.pi), 0, np.median)} | _EXTENT,
    "count": _FOUND,
    "apart": _FOUND,
    "where": _SCALP,
    "deep": {"to cortex": (lambda r: r["floor"], 1, np.median)} | _SCALP,
    "deep, volume": {"to grid": (lambda r: r["floor"], 1, np.median)},
    "silent, 1 µV": _SCALP,
    "silent, 10 µV": _SCALP,
    "noise": _PEAK | _LISTED,
    "noise, no covariance": _PEAK | _LISTED,
    "snr": _PEAK,
}


def table(records):
    """Rows of values: (group, level, n, {column: (value, low, high)}), low None for medians."""
    rows = []
    for (group, level), members in strata(records).items():
        cells = {}
        for name, (answer, _, centre) in (COLUMNS | EXTRA.get(group, {})).items():
            try:
                values = np.array([answer(r) for r in members], float)
            except KeyError:
                continue  # this group has no such thing
            if centre is not None:
                cells[name] = (float(centre(values)), None, None)
            else:
                cells[name] = (float(values.mean()), *confidence_interval(values))
        rows.append((group, level, len(members), cells))
    return rows


def write(path, rows, comment):
    """Write the rows as text, a table for each group."""
    lines, last = [f"# {comment}"], None
    columns = functools.reduce(dict.__or__, EXTRA.values(), COLUMNS)
    for group, level, n, cells in rows:
        texts = []
        for name, (value, low, high) in cells.items():
            d = columns[name][1]
            text = f"{value + 0.0:.{d}f}"
            texts.append(text if low is None else f"{text} ({low:.{d}f} … {high:.{d}f})")
        widths = [max(len(name), 20 if v[1] is not None else 0) for name, v in cells.items()]
        if group != last:
            heads = [name.rjust(w) for name, w in zip(cells, widths, strict=True)]
            lines += ["", group, " " * 24 + "   n  " + "  ".join(heads)]
            last = group
        if isinstance(level, tuple):
            join = " × " if group.startswith("noise") else " to "
            level = join.join(map(str, level))
        values = [t.rjust(w) for t, w in zip(texts, widths, strict=True)]
        lines.append(f"{level!s:24}{n:4d}  " + "  ".join(values))
    with whole_file(path) as scratch:
        scratch.write_text("\n".join(lines) + "\n", encoding="utf-8")


# panels: group, title, label of the levels, columns drawn and what they are called
_ERRORS = {"error": "mmnet", "eLORETA": "eLORETA"}
PANELS = (
    ("depth below the inner skull, mm", "Depth", "mm below the inner skull", _ERRORS),
    ("angle to the radial direction, °", "Direction", "° to the radial direction", _ERRORS),
    ("snr", "Signal-to-noise ratio", "dB", _ERRORS),
    ("electrodes", "Electrodes", "number", _ERRORS),
    ("head", "Another head", "", _ERRORS | {"free": "mmnet, free orientation"}),
    ("deep", "Below the cortex", "", _ERRORS | {"volume": "mmnet, volume grid"}),
    (
        "extent",
        "Extent",
        "true radius (mm)",
        {"true": "truth", "extent mmnet": "mmnet", "extent eLORETA": "eLORETA"},
    ),
    (
        "count",
        "How many",
        "true number of sources",
        {"found mmnet": "mmnet, found", "false mmnet": "mmnet, false"}
        | {"found eLORETA": "eLORETA, found", "false eLORETA": "eLORETA, false"},
    ),
)
_UNITS = {"extent": "Radius above half of the peak (mm)", "count": "Sources"}
# another model of the sources, beside those of its group
_BESIDE = {"free": ("head", "head, free"), "volume": ("deep", "deep, volume")}


def _style(name):
    """Colour, marker and line of a curve: one colour a method."""
    if name == "truth":
        return dict(color="0.5", marker="")
    method = 2 if "free" in name or "volume" in name else int("eLORETA" in name)
    return dict(color=COLOURS[method], marker=MARKERS[method], ls=":" if "false" in name else "-")


def draw(path, rows):
    """Draw the panels, each with its 95 % intervals."""
    by_group = {}
    for group, level, n, cells in rows:
        by_group.setdefault(group, []).append((level, {n}, dict(cells)))
    for name, (group, other) in _BESIDE.items():
        for one, another in zip(by_group[group], by_group[other], strict=True):
            one[2][name] = another[2]["error"]
            one[1].update(another[1])
    figure = Figure(figsize=(18, 10), dpi=90, facecolor="white", layout="constrained")
    for axes, panel in zip(figure.subplots(2, 4).ravel(), PANELS, strict=True):
        _draw_panel(axes, by_group[panel[0]], *panel)
    save(figure, path)


def _draw_panel(axes, members, group, title, label, columns):
    for k, (column, name) in enumerate(columns.items()):
        values = [cells[column] for _, _, cells in members]
        middle = np.array([v[0] for v in values])
        ends = np.array([(v[0], v[0]) if v[1] is None else v[1:] for v in values]).T
        style = _style(name)
        if not label:  # names of things have no order
            style["ls"] = ""
        places = np.arange(len(values)) + 0.12 * (k - 0.5 * (len(columns) - 1))
        axes.errorbar(places, middle, np.abs(ends - middle), lw=1.5, label=name, **style)
    turn = dict(rotation=35, ha="right") if not label else {}
    axes.set_xticks(range(len(members)), [str(level) for level, _, _ in members], **turn)
    counts = sorted(set().union(*(n for _, n, _ in members)))
    span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    axes.set_title(f"{title} (n = {span} a point)")
    axes.set_xlabel(label)
    axes.set_ylabel(_UNITS.get(group, "Strongest location off by (mm)"))
    # room for the legend
    axes.set_ylim(0.0, 1.35 * axes.get_ylim()[1])
    strip(axes)
    axes.legend(frameon=False, loc="upper left", ncols=2 if len(columns) > 3 else 1)


def main():
    """Run the benchmark."""
    parser = runner.make_parser(__file__, __doc__, model=False, work="limits")
    parser.add_argument("--groups", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--share", type=float, default=1.0, help="of the recordings")
    args = parser.parse_args()
    wanted = [
        (group, place, number)
        for group in args.groups
        for place in range(len(GROUPS[group][1]))
        for number in range(max(2, round(args.share * GROUPS[group][2])))
    ]
    store = runner.Store(
        args.work / "limits.jsonl", ("group", "place", "number"), runner.deciding(MODEL)
    )
    runner.run(Worker, args, wanted, dict(limits=store))
    records = store.select(wanted)
    found, counts = runner.answers(records)
    rows = table(by_level(found))
    comment = runner.made_by(
        args,
        "share",
        f"seed {SEED}",
        f"{MODEL} {read_card(MODEL).sha256[:12]}",
        f"{counts}, {sum(record['seconds'] for record in records):.0f} s of one core",
        "different lead fields for simulation and inversion",
        f"{SNR_DB:g} dB, 64 electrodes, fixed orientation unless said otherwise",
        "means with 95 % bootstrap intervals over recordings, medians without",
    )
    write(args.out / "limits.txt", rows, comment)
    if set(args.groups) == set(GROUPS):
        draw(args.out / "limits.png", rows)


if __name__ == "__main__":
    main()
