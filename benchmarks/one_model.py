"""One set of weights on other orientations, source spaces and numbers of electrodes.

    python benchmarks/one_model.py

Each axis varies one thing, the others stay at fixed orientation, ico3 and biosemi64. Recordings
are those of ``transfer.py`` (other heads, ico4 sources along the normals; covariance known), the
very same ones but for electrodes, which have heads and noise of their own, and for the volume (10
mm, free orientation), where they are drawn in the same way on a shifted grid of 7 mm, with
directions that change smoothly through the brain.

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
took. Writes ``one_model.csv``.
"""

from dataclasses import dataclass
from unittest import mock

import mne
import numpy as np
import transfer_suite
from common import timed, write_rows
from intervals import mean_columns
from people_scores import strongest_error
from runner import Store, answers, deciding, made_by, make_parser, measured, run, slug, tell
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist
from transfer_suite import N_HEADS, SEED, SNRS_DB, Setup, draw_case

from mne_mmnet import apply_mmnet_inverse, make_mmnet_operator, make_template_bem
from mne_mmnet import make_template_forward as make_forward
from mne_mmnet._mne import source_graph
from mne_mmnet.dictionary.patches import PatchScale
from mne_mmnet.inverse import graphs
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


class SuiteSetup(Setup):
    """A montage of the suite on which the sources of the standard one are drawn."""

    def __init__(self, montage, folder):
        super().__init__(montage, folder)
        self.montage = STANDARD

    def forward(self, spacing):
        """Forward solution of the standard head on another source space, fixed orientation."""
        fwd = self._cached(spacing, lambda: make_forward(self.info, spacing))
        return mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True)


class VolumeSetup(Setup):
    """Sources anywhere in the brain, with the electrodes and heads of another setup."""

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

    def _fine(self, head):
        return self._cached(
            f"volume-head{head}",
            lambda: make_forward(self._moved(head), self._fine_src, bem=self._bem(head)),
        )


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
        mesh = 1e3 * mne.surface.mesh_dist(here["tris"], here["rr"])
        distance = dijkstra(mesh, directed=False, indices=there["vertno"], limit=_SMOOTH.radius)
        blocks.append(sparse.csr_array(_SMOOTH(distance[:, here["vertno"]])))
    return sparse.block_diag(blocks, format="csr")


@dataclass
class Setting:
    """One forward solution and orientation, on the recordings of one setup."""

    setup: Setup
    fwd: mne.Forward
    space: str
    # estimated and true currents, each on its own grid, to smooth maps on the same one
    smooth: sparse.csr_array
    smooth_truth: sparse.csr_array
    orientation: str = "fixed"
    loose: str | float | None = None

    def operator(self, case, model):
        """Operator of one recording's covariance; the graphs of all settings are kept."""
        with mock.patch.object(graphs, "_KEPT", 20):
            return make_mmnet_operator(
                case.evoked.info, self.fwd, case.noise_cov, model=model, loose=self.loose
            )

    def measure(self, case, model):
        """Invert one recording and score it."""
        operator, prepare_s = timed(self.operator, case, model)
        stc, seconds = timed(apply_mmnet_inverse, case.evoked, operator)
        estimate = stc.data
        positions = 1e3 * self.fwd["source_rr"]
        power = mean_power(self.smooth @ estimate)
        truth = mean_power(self.smooth_truth @ case.currents)
        common = self.setup.positions
        return dict(
            ms=1e3 * seconds,
            prepare_s=prepare_s,
            floor_mm=localization_errors(case.centres, positions).mean(),
            strongest_region_error_mm=strongest_region_error(
                estimate,
                case.currents,
                case.centres,
                case.peaks,
                positions,
                true_positions=self.setup.fine_positions,
            ).mean(),
            strongest_peak_error_mm=np.mean(
                [strongest_error(abs(estimate[:, peak]), case, positions) for peak in case.peaks]
            ),
            earth_movers_distance_mm=earth_movers_distance(power, truth, common),
            auc=roc_auc(power, case.active.astype(int), common)[2],
        )


def make_settings(folder):
    """All settings by name, and the names of those on each axis."""
    setups = {montage: SuiteSetup(montage, folder) for montage in transfer_suite.MONTAGES}
    home = setups[STANDARD]
    src = home.fwd["src"]
    # the same grids in all montages
    smooth, truth = smooth_surface(src, src), smooth_surface(src, home.forward(home.fine)["src"])
    settings = {
        name: Setting(setup, setup.fwd, home.coarse, smooth, truth)
        for name, setup in setups.items()
    }
    for name, loose in (("evidence", "evidence"), ("loose 0.2", 0.2), ("free", 1.0)):
        settings[name] = Setting(home, home.free, home.coarse, smooth, truth, name, loose)
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


class Worker:
    """Answers a case with all settings; see :mod:`runner`."""

    def __init__(self, args):
        self.model, self.settings = args.model, make_settings(transfer_suite.HEADS)[0]

    def __call__(self, address, due):
        snr_db, number = address
        cases = {}
        for name, setting in self.settings.items():
            if setting.setup not in cases:
                cases[setting.setup] = draw_case(setting.setup, snr_db, number)
            case = cases[setting.setup]
            if due(name, case.factors):
                yield name, case.factors, measured(setting.measure, case, self.model)


def column(records, name):
    """One score of all recordings."""
    return np.array([record[name] for record in records])


def table(settings, axes, found):
    """Means, floors and ratios to the best of the axis."""
    rows = []
    for axis, names in axes.items():
        best = {}
        for metric, more_is_better in METRICS.items():
            means = {name: column(found[name], metric).mean() for name in names}
            best[metric] = (max if more_is_better else min)(means, key=means.get)
        for name in names:
            setting, records = settings[name], found[name]
            row = dict(
                axis=axis,
                space=setting.space,
                orientation=setting.orientation,
                n_sources=setting.fwd["nsource"],
                n_channels=len(setting.setup.electrodes),
                n=len(records),
            )
            for metric in METRICS:
                values = column(records, metric)
                row |= mean_columns(metric, values)
                row |= ratio_columns(metric, values, column(found[best[metric]], metric))
                if metric == "strongest_region_error_mm":
                    row["floor_mm"] = f"{column(records, 'floor_mm').mean():.3g}"
            row["median_ms"] = f"{np.median(column(records, 'ms')):.0f}"
            # the first operator of a setting builds its graph
            row["prepare_s"] = f"{column(records, 'prepare_s').max():.2f}"
            rows.append(row)
    return rows


def main():
    """Run the benchmark."""
    parser = make_parser(__file__, __doc__, work="one_model")
    parser.add_argument("--n-samples", type=int, default=30, help="cases an SNR")
    args = parser.parse_args()
    settings, axes = make_settings(transfer_suite.HEADS)
    wanted = [(snr_db, number) for snr_db in SNRS_DB for number in range(args.n_samples)]
    stores = {
        name: Store(args.work / f"{slug(name)}.jsonl", ("snr_db", "case"), deciding(args.model))
        for name in settings
    }
    run(Worker, args, wanted, stores)
    _, counts = answers([r for store in stores.values() for r in store.select(wanted)])
    # ratios are paired: a case that one setting failed on is none of the others'
    failed = {a for store in stores.values() for a in wanted if store.records[a]["failure"]}
    paired = [address for address in wanted if address not in failed]
    found = {name: answers(store.select(paired))[0] for name, store in stores.items()}
    rows = table(settings, axes, found)
    comment = made_by(
        args,
        "model n_samples",
        f"suite of transfer.py, seed {SEED}, all SNRs pooled",
        counts,
        "different lead fields for simulation and inversion",
        "SNR: mean power of signal over noise",
        "means and 95 % bootstrap intervals",
        "ratio: to the best of the axis, 1 or more",
        "floor: what the grid itself costs",
    )
    write_rows(args.out / "one_model.csv", comment, rows)
    shown = ("axis", "space", "orientation", "n_channels", "median_ms")
    shown += tuple(f"{metric}{end}" for metric in METRICS for end in ("", "_ratio"))
    for row in rows:
        tell(row, shown)


if __name__ == "__main__":
    main()
