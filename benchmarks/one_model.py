"""One set of weights on other orientations, source spaces and numbers of electrodes.

    python benchmarks/one_model.py

Each axis varies one thing, the others stay at fixed orientation, ico3 and biosemi64. Recordings
are those of ``transfer.py`` (other heads, ico4 sources along the normals; covariance known):

- **orientation** (fixed, settled by the evidence, loose, free) and **source space**: the very
  same recordings of biosemi64. Oct6 is finer than the sources that simulate, and ico4 is their
  own grid, on the standard head.
- **electrodes**: sources and time courses are the same for all montages, heads and noise their
  own. Biosemi256 is added to the suite.
- **volume**: 10 mm, free orientation; its recordings are others, drawn in the same way: dipoles
  and blobs on a 7 mm grid that is shifted against it, in the biosemi64 heads, with directions that
  change smoothly through the brain.

Maps of different grids are compared as smooth ones: true and estimated currents (their lengths
where the orientation is not fixed) are spread by a Gaussian of 6 mm standard deviation, along the
surface (straight in the volume), and read at the same locations, those of ico3 (of the 10 mm grid
in the volume). Without that, the power of a focal source compared to a wide one would depend on
the grid. So the earth mover's distance and the AUC are not quite those of ``transfer.csv``. The
strongest region and the strongest peak are those of the estimate as it is, and their distance is
to the true centres on the fine grid.

- ``floor``: what the grid itself costs: the distance from the true centres to its nearest
  location.
- ``ratio``: to the best setting of the axis, 1 or more (for the AUC, the best over this one), with
  a paired 95 % bootstrap interval of the difference. Volume and cortex are other recordings, and
  other electrodes see other noise: there a ratio tells of the task as well as of the model.

Seconds are wall-clock, one call with a prepared operator (median), and what the first operator
took. Forward solutions are kept with those of ``transfer.py``. Writes ``one_model.csv``.
"""

import argparse
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import mne
import numpy as np
import transfer_suite
from ablation import mean_columns
from common import write_rows
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist
from transfer import RESULTS, WORK
from transfer_suite import N_HEADS, SEED, SNRS_DB, Setup, draw_case

from mne_mmnet import apply_mmnet_inverse, make_mmnet_operator, make_template_bem
from mne_mmnet import make_template_forward as make_forward
from mne_mmnet._mne import source_graph
from mne_mmnet.dictionary.patches import PatchScale
from mne_mmnet.inverse import routes
from mne_mmnet.metrics import (
    confidence_interval,
    earth_movers_distance,
    localization_errors,
    mean_power,
    roc_auc,
    strongest_region_error,
)

# the suite, with one montage more: its own draws are not touched
transfer_suite.MONTAGES = (*transfer_suite.MONTAGES, "biosemi256")
STANDARD = "biosemi64"
SURFACES = ("ico3", "oct5", "ico4", "oct6")
_VOLUME_MM, _FINE_VOLUME_MM = 10.0, 7.0
# metres: two grids that share no location
_SHIFT = 1.5e-3
# 1/mm: directions of volume sources turn over some centimetres
_TURNING = 0.02
_SMOOTH = PatchScale("gaussian", 6.0)
# metrics, and whether more is better
METRICS = {
    "strongest_region_error_mm": False,
    "strongest_peak_error_mm": False,
    "earth_movers_distance_mm": False,
    "auc": True,
}


class FineSetup(Setup):
    """One montage that remembers what its last case was made of.

    After ``draw_case``, ``fine_currents`` are the true currents on the fine grid (A·m).
    """

    def to_coarse(self, currents):
        self.fine_currents = currents
        return super().to_coarse(currents)


class SuiteSetup(FineSetup):
    """A montage of the suite on which the sources of the standard one are drawn."""

    def __init__(self, montage, folder):
        super().__init__(montage, folder)
        self.montage = STANDARD

    def forward(self, spacing):
        """Forward solution of the standard head on another source space, fixed orientation."""
        fwd = self._cached(spacing, lambda: make_forward(self.info, spacing))
        return mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True)


class VolumeSetup(FineSetup):
    """Sources anywhere in the brain, in the heads of another setup.

    Parameters
    ----------
    surface : Setup
        Its electrodes and heads.
    """

    def __init__(self, surface):
        for name in ("montage", "folder", "info", "heads", "electrodes"):
            setattr(self, name, getattr(surface, name))
        bem = make_template_bem()
        # the same distance from the inner skull for both, the shift included
        src = mne.setup_volume_source_space(pos=_VOLUME_MM, bem=bem, mindist=5.0)
        fine = mne.setup_volume_source_space(pos=_FINE_VOLUME_MM, bem=bem, mindist=7.5)
        places = fine[0]["rr"][fine[0]["vertno"]] + _SHIFT
        normals = np.tile([0.0, 0.0, 1.0], (len(places), 1))
        self._fine_src = mne.setup_volume_source_space(pos=dict(rr=places, nn=normals))
        self.fwd = self._cached("volume", lambda: make_forward(self.info, src, bem=bem))
        self.positions = 1e3 * self.fwd["source_rr"]
        self.adjacency = source_graph(self.fwd["src"])
        forwards = [self._fine(head) for head in range(N_HEADS)]
        self.fine_positions = 1e3 * forwards[0]["source_rr"]
        self.fine_graph = source_graph(forwards[0]["src"])
        self.gains = []
        for head, fwd in enumerate(forwards):
            rng = np.random.default_rng([SEED, head])
            gain = fwd["sol"]["data"].reshape(len(self.electrodes), -1, 3)
            directions = smooth_directions(rng, self.fine_positions)
            self.gains.append(np.einsum("csk,sk->cs", gain, directions))
        self.coarse_of_fine = KDTree(self.positions).query(self.fine_positions)[1]
        self.coarse_in_fine = KDTree(self.fine_positions).query(self.positions)[1]
        where = (self.coarse_of_fine, np.arange(len(self.fine_positions)))
        shape = (len(self.positions), len(self.fine_positions))
        self._gather = sparse.csr_array((np.ones(shape[1]), where), shape=shape)

    def _fine(self, head):
        def make():
            drawn, moved = self.heads[head], self.info.copy()
            for channel, shift in zip(moved["chs"], drawn.shifts, strict=True):
                channel["loc"][:3] += 1e-3 * shift
            bem = make_template_bem(
                conductivity=(0.3, 0.3 / drawn.skull_ratio, 0.3),
                skull_thickness=drawn.skull_thickness,
            )
            return make_forward(moved, self._fine_src, bem=bem)

        return self._cached(f"volume-head{head}", make)


def smooth_directions(rng, positions):
    """Draw unit vectors that hardly change over a blob, and much over the brain."""
    waves = _TURNING * rng.standard_normal((3, 4, 3))
    phases = rng.uniform(0.0, 2.0 * np.pi, (3, 4))
    vectors = np.sin(np.einsum("dwk,sk->sdw", waves, positions) + phases).sum(axis=2)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def smooth_surface(target, origin):
    """Matrix that spreads currents of one source space and reads them at another's locations."""
    blocks = []
    for there, here in zip(target, origin, strict=True):
        edges = here["tris"][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
        length = 1e3 * np.linalg.norm(here["rr"][edges[:, 0]] - here["rr"][edges[:, 1]], axis=1)
        n_vertices = len(here["rr"])
        # the two triangles of an edge go through it in opposite directions: no entry twice
        mesh = sparse.coo_array((length, edges.T), shape=(n_vertices, n_vertices)).tocsr()
        distance = dijkstra(mesh, directed=False, indices=there["vertno"], limit=_SMOOTH.radius)
        blocks.append(sparse.csr_array(_SMOOTH(distance[:, here["vertno"]])))
    return sparse.block_diag(blocks, format="csr")


@dataclass
class Setting:
    """One forward solution and orientation, on the recordings of one setup."""

    setup: FineSetup
    fwd: mne.Forward
    space: str
    # estimated and true currents, each on its own grid, to smooth maps on the same one
    smooth: sparse.csr_array
    smooth_truth: sparse.csr_array
    orientation: str = "fixed"
    loose: str | float | None = None
    records: list = field(default_factory=list)
    graph: object = None
    prepare_s: float | None = None

    def operator(self, case, model):
        """Operator of one recording's covariance; the graph does not depend on it."""
        build = routes.build_source_graph

        def remember(*args, **kwargs):
            if self.graph is None:
                self.graph = build(*args, **kwargs)
            return self.graph

        started = time.perf_counter()
        with mock.patch.object(routes, "build_source_graph", remember):
            operator = make_mmnet_operator(
                case.evoked.info, self.fwd, case.noise_cov, model=model, loose=self.loose
            )
        if self.prepare_s is None:
            self.prepare_s = time.perf_counter() - started
        return operator

    def measure(self, case, model):
        """Invert one recording and keep the scores."""
        operator = self.operator(case, model)
        started = time.perf_counter()
        estimate = apply_mmnet_inverse(case.evoked, operator).data
        seconds = time.perf_counter() - started
        positions = 1e3 * self.fwd["source_rr"]
        power = mean_power(self.smooth @ estimate)
        truth = mean_power(self.smooth_truth @ self.setup.fine_currents)
        common = self.setup.positions
        record = dict(
            seconds=seconds,
            floor_mm=localization_errors(case.centres, positions).mean(),
            strongest_region_error_mm=strongest_region_error(
                estimate,
                self.setup.fine_currents,
                case.centres,
                case.peaks,
                positions,
                true_positions=self.setup.fine_positions,
            ).mean(),
            strongest_peak_error_mm=strongest_peak_error(estimate, case, positions),
            earth_movers_distance_mm=earth_movers_distance(power, truth, common),
            auc=roc_auc(power, case.active.astype(int), common)[2],
        )
        self.records.append(record)

    def column(self, name):
        """One score of all recordings."""
        return np.array([record[name] for record in self.records])


def strongest_peak_error(estimate, case, positions):
    """Mean distance (mm) of the strongest location to the nearest centre, at each peak's time."""
    errors = []
    for peak in case.peaks:
        size = np.abs(estimate[:, peak])
        # of equal values the farthest counts, as in mne_mmnet.metrics
        best = positions[size == size.max()]
        errors.append(localization_errors(best, case.centres).max())
    return np.mean(errors)


def make_settings(folder):
    """All settings by name, and the names of those on each axis."""
    setups = {montage: SuiteSetup(montage, folder) for montage in transfer_suite.MONTAGES}
    home = setups[STANDARD]
    src = home.fwd["src"]
    # the same grids in all montages
    smooth, truth = smooth_surface(src, src), smooth_surface(src, home.forward("ico4")["src"])
    settings = {
        name: Setting(setup, setup.fwd, "ico3", smooth, truth) for name, setup in setups.items()
    }
    for name, loose in (("evidence", "evidence"), ("loose 0.2", 0.2), ("free", 1.0)):
        settings[name] = Setting(home, home.free, "ico3", smooth, truth, name, loose)
    for spacing in SURFACES[1:]:
        fwd = home.forward(spacing)
        settings[spacing] = Setting(home, fwd, spacing, smooth_surface(src, fwd["src"]), truth)
    volume = VolumeSetup(home)
    smooth, truth = (
        sparse.csr_array(_SMOOTH(cdist(volume.positions, x)))
        for x in (volume.positions, volume.fine_positions)
    )
    name = f"volume {_VOLUME_MM:.0f} mm"
    settings[name] = Setting(volume, volume.fwd, name, smooth, truth, "free")
    axes = {
        "orientation": (STANDARD, "evidence", "loose 0.2", "free"),
        "source space": (STANDARD, *SURFACES[1:], name),
        "electrodes": tuple(setups),
    }
    return settings, axes


def ratio_columns(metric, values, best):
    """How much worse than the best, as a ratio with its paired interval."""
    more_is_better = METRICS[metric]
    excess, unit = (best - values, values) if more_is_better else (values - best, best)
    low, high = 1.0 + np.array(confidence_interval(excess)) / unit.mean()
    ratio = 1.0 + excess.mean() / unit.mean()
    return {f"{metric}_ratio": f"{ratio:.3f}", f"{metric}_ratio_ci": f"{low:.3f} … {high:.3f}"}


def table(settings, axes):
    """Means, floors and ratios to the best of the axis."""
    rows = []
    for axis, names in axes.items():
        best = {}
        for metric, more_is_better in METRICS.items():
            means = {name: settings[name].column(metric).mean() for name in names}
            best[metric] = (max if more_is_better else min)(means, key=means.get)
        for name in names:
            setting = settings[name]
            row = dict(
                axis=axis,
                space=setting.space,
                orientation=setting.orientation,
                n_sources=setting.fwd["nsource"],
                n_channels=len(setting.setup.electrodes),
                n=len(setting.records),
            )
            for metric in METRICS:
                values = setting.column(metric)
                row |= mean_columns(metric, values)
                row |= ratio_columns(metric, values, settings[best[metric]].column(metric))
                if metric == "strongest_region_error_mm":
                    row["floor_mm"] = f"{setting.column('floor_mm').mean():.3g}"
            row["median_ms"] = f"{1e3 * np.median(setting.column('seconds')):.0f}"
            row["prepare_s"] = f"{setting.prepare_s:.2f}"
            rows.append(row)
    return rows


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mmnet-base", help="name or path")
    parser.add_argument("--n-samples", type=int, default=30, help="cases an SNR")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    mne.set_log_level("error")
    warnings.simplefilter("ignore")

    settings, axes = make_settings(WORK / "heads")
    for snr_db in SNRS_DB:
        for number in range(args.n_samples):
            cases = {}
            for setting in settings.values():
                if setting.setup not in cases:
                    cases[setting.setup] = draw_case(setting.setup, snr_db, number)
                setting.measure(cases[setting.setup], args.model)
        print(f"{snr_db} dB done", flush=True)
    comment = (
        f"python benchmarks/one_model.py --model {args.model} --n-samples {args.n_samples}; suite "
        f"of transfer.py, seed {SEED}, all SNRs pooled; {time.strftime('%F')}; different lead "
        "fields for simulation and inversion; SNR: mean power of signal over noise; means and "
        "95 % bootstrap intervals; ratio: to the best of the axis, 1 or more; floor: what the "
        "grid itself costs"
    )
    rows = table(settings, axes)
    write_rows(args.out / "one_model.csv", comment, rows)
    shown = ("axis", "space", "orientation", "n_channels", "median_ms")
    shown += tuple(f"{metric}{end}" for metric in METRICS for end in ("", "_ratio"))
    print(*(name.removesuffix("_mm")[-16:].ljust(16) for name in shown))
    for row in rows:
        print(*(str(row[name]).ljust(16) for name in shown))


if __name__ == "__main__":
    main()
