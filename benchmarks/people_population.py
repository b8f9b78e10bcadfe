"""How much the people of ``benchmarks/people.py`` differ from the template, in numbers."""

import copy
import importlib.util
import time
from pathlib import Path

import mne
import nibabel
import numpy as np
from common import write_rows
from people_suite import MONTAGES, POPULATION
from scipy.spatial import cKDTree

from mne_mmnet.dictionary.distances import Neighbourhoods, cover
from mne_mmnet.simulation.people import NOMINAL_RATIO
from mne_mmnet.template.fit import vertex_normals

_PERCENT = (5, 25, 50, 75, 95)
_BLANK = dict.fromkeys((f"p{percent}" for percent in _PERCENT), "")
_COLUMNS = (2, 4, 6, 8)
# mm: of the regions that share their errors, and how far around them columns are taken from
_REGION, _BALL = 25.0, 20.0
_CORTEX = "an independent cortex (conte69)"


def describe(people, who, out):
    """Write ``people_population.csv`` of some people.

    Correlation of lead-field columns with the template's, by person and montage: along the
    person's own folds, along the template's normals, and between own head and truth; the same for
    an independent cortex, where there is one. Share of the energy of column errors that k
    principal columns of the template's neighbourhood hold, beside that of the population's own
    principal errors.
    """
    rows = []
    errors = {montage: [] for montage in MONTAGES}
    for person in who:
        for montage in MONTAGES:
            found, error = _correlations(people, montage, person)
            rows += [dict(quantity=q, montage=montage, who=person) | v for q, v in found.items()]
            errors[montage].append(error)
        print(f"person {person}: {rows[-3]}", flush=True)
    for quantity in dict.fromkeys(row["quantity"] for row in rows):
        for montage in MONTAGES:
            medians = [
                float(row["p50"])
                for row in rows
                if (row["quantity"], row["montage"]) == (quantity, montage)
            ]
            spread = np.percentile(medians, [0, 25, 50, 75, 100])
            row = dict(quantity=f"{quantity}: medians of people", montage=montage, who="all")
            rows.append(row | _named(spread))
    for montage in MONTAGES:
        rows += _captured(people, montage, errors[montage])
    rows += _independent(people)
    comment = (
        f"python benchmarks/people.py --population; seed {POPULATION}; {time.strftime('%F')}; "
        "p5 to p95: percentiles over sources (of medians: 0, 25, 50, 75, 100 over people); "
        "shares of energy: means over regions, in p50"
    )
    out.mkdir(parents=True, exist_ok=True)
    write_rows(out / "people_population.csv", comment, rows)


def _named(percentiles):
    names = (f"p{percent}" for percent in _PERCENT)
    return {n: f"{value:.4f}" for n, value in zip(names, percentiles, strict=True)}


def _share(quantity, montage, value):
    """Row of one number, which stands in p50."""
    row = dict(quantity=quantity, montage=montage, who="all") | _BLANK
    return row | dict(p50=f"{value:.4f}")


def _unit(gain):
    gain = gain - gain.mean(axis=0)
    return gain / np.linalg.norm(gain, axis=0)


def _correlate(first, second):
    return np.sum(_unit(first) * _unit(second), axis=0)


def _correlations(people, montage, person):
    """Percentiles of one person's correlations, and the errors of their columns."""
    template = people.inversion("template", montage, person)
    own = people.inversion("own", montage, person)
    true = people.true(person).gain[people.rows(montage)].astype(float)
    shared = true[:, template.coarse_in_fine]
    nominal = template.fwd["sol"]["data"]
    # columns of the own head along the template's normals
    unfolded = np.einsum(
        "esa,sak,sk->es",
        own.free["sol"]["data"].reshape(len(nominal), -1, 3),
        own.free["source_nn"].reshape(-1, 3, 3),
        template.normals,
    )
    found = {
        "true, own folds": _correlate(shared, nominal),
        "own head (nominal skull), template's folds": _correlate(unfolded, nominal),
        "true and own head": _correlate(shared, own.fwd["sol"]["data"]),
    }
    percentiles = {q: _named(np.percentile(c, _PERCENT)) for q, c in found.items()}
    return percentiles, _unit(shared) - _unit(nominal)


def _captured(people, montage, errors):
    """Share of the errors' energy in k columns, fitted on half of the people at most."""
    if len(errors) < 4:
        return []
    inversion = people.inversion("template", montage, 0)
    gain = inversion.free["sol"]["data"]
    gain = gain - gain.mean(axis=0)
    normal = inversion.fwd["sol"]["data"]
    size = np.linalg.norm(normal - normal.mean(axis=0), axis=0)
    centres, region_of = cover(Neighbourhoods(inversion.adjacency, 30.0), _REGION)
    half = len(errors) // 2
    shares = {}
    for region, centre in enumerate(centres):
        members = np.flatnonzero(region_of == region)
        near = np.linalg.norm(inversion.positions - inversion.positions[centre], axis=1) < _BALL
        columns = np.flatnonzero(np.repeat(near, 3))
        bases = {
            "the neighbourhood's columns": gain[:, columns] / np.median(size[members]),
            "the population's errors": np.concatenate([e[:, members] for e in errors[:half]], 1),
        }
        test = np.concatenate([e[:, members] for e in errors[half:]], axis=1)
        for name, basis in bases.items():
            vectors = np.linalg.svd(basis, full_matrices=False)[0]
            for n_columns in _COLUMNS:
                held = np.sum((vectors[:, :n_columns].T @ test) ** 2) / np.sum(test**2)
                shares.setdefault((name, n_columns), []).append(held)
    size = np.mean([np.mean(np.sum(e**2, axis=0)) for e in errors])
    return [_share("mean squared error of unit columns", montage, size)] + [
        _share(f"energy of errors in {n_columns} of {name}", montage, np.mean(held))
        for (name, n_columns), held in shares.items()
    ]


def _independent(people):
    """Correlation of the template's columns with those of a cortex that is not its own.

    conte69 is the average of other people, made by other software, and has folds of its own; each
    of the template's sources is matched with its nearest vertex. Skull and electrodes are the
    template's: what differs is the cortex alone.
    """
    package = importlib.util.find_spec("brainspace")
    if package is None:
        reason = "left out: brainspace is not installed"
        return [dict(quantity=f"{_CORTEX}, {reason}", montage="", who="conte69") | _BLANK]
    folder = Path(package.origin).parent / "datasets" / "surfaces"
    other, normals = copy.copy(people.coarse), []
    other.src = other.src.copy()
    for space, name in zip(other.src, ("lh", "rh"), strict=True):
        surface = nibabel.load(folder / f"conte69_32k_{name}.gii")
        points = 1e-3 * surface.agg_data("pointset").astype(float)
        used = space["vertno"]
        _, nearest = cKDTree(points).query(space["rr"][used])
        space["rr"][used] = points[nearest]
        normals.append(vertex_normals(points, surface.agg_data("triangle"))[nearest])
    normals = mne.transforms.apply_trans(other.trans, np.concatenate(normals), move=False)
    bem = other.solve_bem(NOMINAL_RATIO, 1.0, lambda points: points)
    with mne.use_log_level("error"):
        fwd = other.forward(
            other.electrodes, bem, lambda points, _: points, normals=normals, subject="conte69"
        )
    fixed = mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True)
    kept = np.concatenate(
        [np.isin(a["vertno"], b["vertno"]) for a, b in zip(other.src, fwd["src"], strict=True)]
    )
    rows = []
    for montage in MONTAGES:
        nominal = people.inversion("template", montage, 0).fwd["sol"]["data"]
        found = _correlate(fixed["sol"]["data"][people.rows(montage)], nominal[:, kept])
        row = dict(quantity=f"{_CORTEX}, {kept.sum()} sources", montage=montage, who="conte69")
        rows.append(row | _named(np.percentile(found, _PERCENT)))
    return rows
