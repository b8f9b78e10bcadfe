"""The simulated recordings of ``benchmarks/transfer.py``: other heads, finer sources.

A case is fixed by (seed, montage, SNR, number) alone: it is the same whatever else is run.

- **Heads**: four a montage. Skull 20 to 80 times less conductive than the brain (log-uniform),
  0.8 to 1.25 times as thick as the template's; electrodes moved by up to 5 mm rms.
- **Sources**: ico4, normal to the cortex; 1 to 4 patches anywhere, each one vertex (a quarter) or
  a Gaussian along the surface of 4 to 20 mm standard deviation (cut at 5 %), of 20 to 60 nA·m in
  all at its peak.
- **Time courses**: 64 samples at 256 Hz; bumps and damped oscillations that peak between 40 and
  200 ms; each two have the same Pearson correlation, 0 to 0.9.
- **Noise**: sensor noise, in half of the cases correlated between neighbours, and 1/f background
  activity of the brain, 0 to 80 % of its power; scaled to the SNR: mean power of the signal over
  that of the noise, over channels and samples, in average reference. The covariance is estimated
  from 200 samples before the window and regularised.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import mne
import numpy as np
from common import make_info
from noise import draw_noise
from runner import CACHE, fingerprint
from scipy.sparse.csgraph import dijkstra
from scipy.spatial.distance import cdist

import mne_mmnet
from mne_mmnet._mne import source_graph
from mne_mmnet._support.files import whole_file
from mne_mmnet.dictionary.patches import PatchScale
from mne_mmnet.simulation.electrodes import TEN_TEN
from mne_mmnet.simulation.grids import gather_matrix, join_grids
from mne_mmnet.template.surfaces import distance_to_surface

MONTAGES = ("10-20", "biosemi32", "biosemi64", "biosemi128")
SNRS_DB = (-5, 0, 5, 10)
SEED = 2026
N_HEADS = 4
# where forward solutions are kept
HEADS = CACHE / "transfer" / "heads"
N_TIMES, N_BASELINE, SFREQ = 64, 200, 256.0
_TEN_TWENTY = tuple("Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split())
# sources that near a true centre (mm) count as active: the grid of the inversion is 10 mm wide
_TOLERANCE = 10.0
MAX_CORRELATION = 0.9
# waves that overlap more are drawn again: their mixture would not look event-related any more
_LEAST_EIGENVALUE = 0.3


@dataclass(frozen=True)
class HeadDraw:
    """How one head differs from the template: factors, and the electrodes' rms error in mm."""

    skull_ratio: float
    skull_thickness: float
    electrode_error_mm: float
    shifts: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Case:
    """A recording as it is inverted, and the truth about it; positions in mm, currents in A·m.

    ``centres`` of patches are where they really are, and so are ``currents``; ``truth``, ``seeds``
    and ``active`` are on the grid of the inversion; ``peaks`` are samples; ``factors`` is what the
    case was drawn from.
    """

    evoked: mne.Evoked
    noise_cov: mne.Covariance | None
    centres: np.ndarray
    peaks: np.ndarray
    currents: np.ndarray
    truth: np.ndarray
    seeds: np.ndarray
    active: np.ndarray
    factors: dict


def montage_info(montage, sfreq=SFREQ):
    """Electrodes of a montage; ``"10-20"`` has 19."""
    if montage != "10-20":
        return make_info(montage, sfreq)
    info = mne.create_info(list(_TEN_TWENTY), sfreq, "eeg")
    info.set_montage(mne.channels.make_standard_montage(TEN_TEN))
    return info


def keep_forward(path, make):
    """Read a forward solution, computed once; also the first call reads the file."""
    if not path.exists():
        with whole_file(path) as scratch:
            mne.write_forward_solution(scratch, make())
    return mne.read_forward_solution(path)


def draw_head(montage, head, n_channels):
    """Draw one of the heads of a montage."""
    rng = np.random.default_rng([SEED + head, MONTAGES.index(montage)])
    ratio = float(np.exp(rng.uniform(np.log(20.0), np.log(80.0))))
    thickness, error = float(rng.uniform(0.8, 1.25)), float(rng.uniform(0.0, 5.0))
    shifts = error * rng.standard_normal((n_channels, 3)) / np.sqrt(3.0)
    return HeadDraw(ratio, thickness, error, shifts)


class Grid:
    """Where sources are looked for, on a coarser grid than they are simulated on.

    It has ``positions`` and ``fine_positions`` (mm); ``coarse_in_fine`` is which fine source each
    coarse one is, ``coarse_of_fine`` which coarse one is the nearest to each fine one.
    """

    @cached_property
    def _gather(self):
        return gather_matrix(self.coarse_of_fine, len(self.positions))

    def to_coarse(self, currents):
        """Moments of simulated sources, summed at the nearest source of the inversion."""
        return self._gather @ currents

    def place(self, centres, profiles, currents):
        """Patches at fine sources as a :class:`Case` tells the truth about them."""
        where = self.fine_positions[centres]
        near = cdist(self.positions, where).min(axis=1) <= _TOLERANCE
        return dict(
            centres=where,
            currents=currents,
            truth=self.to_coarse(currents),
            seeds=self.coarse_of_fine[centres],
            active=near | (profiles[:, self.coarse_in_fine] >= 0.5).any(axis=0),
        )


class Setup(Grid):
    """A montage on the standard head, and on those simulated; forward solutions are kept."""

    # source spaces that simulate and that invert
    fine, coarse = "ico4", "ico3"

    def __init__(self, montage, folder):
        self.montage, self.folder = montage, Path(folder)
        self.info = montage_info(montage)
        n_channels = len(self.info["ch_names"])
        self.heads = [draw_head(montage, head, n_channels) for head in range(N_HEADS)]
        free = self._cached(
            "standard",
            lambda: mne_mmnet.make_template_forward(self.info, self.coarse, positions="as given"),
        )
        self.free = mne.convert_forward_solution(free, surf_ori=True)
        self.fwd = mne.convert_forward_solution(free, surf_ori=True, force_fixed=True)
        self.positions = 1e3 * self.fwd["source_rr"]
        self.adjacency = source_graph(self.fwd["src"])
        self.electrodes = 1e3 * np.array([channel["loc"][:3] for channel in self.info["chs"]])

        fine = self._fine(0)
        self.gains = [fine["sol"]["data"]]
        self.gains += [self._fine(head)["sol"]["data"] for head in range(1, N_HEADS)]
        self.fine_positions = 1e3 * fine["source_rr"]
        self.fine_graph = source_graph(fine["src"])
        self.coarse_in_fine, self.coarse_of_fine = join_grids(
            fine["src"], self.fwd["src"], self.fine_graph
        )

    @cached_property
    def depth(self):
        """Distance (mm) of every fine source to the inner skull, the same in all heads."""
        bem = mne_mmnet.make_template_bem()
        (skull,) = (
            surf
            for surf in bem["surfs"]
            if surf["id"] == mne.io.constants.FIFF.FIFFV_BEM_SURF_ID_BRAIN
        )
        to_mri = mne.transforms.invert_transform(self.fwd["mri_head_t"])
        points = mne.transforms.apply_trans(to_mri, 1e-3 * self.fine_positions)
        return 1e3 * distance_to_surface(points, skull["rr"], skull["tris"])

    def _cached(self, name, make):
        return keep_forward(self.folder / f"{self.montage}-{name}-fwd.fif", make)

    def _fine(self, head):
        """Forward solution of one perturbed head, fixed orientation."""
        fwd = self._cached(f"head{head}", lambda: self._on_head(head, self.fine))
        return mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True)

    def _on_head(self, head, sources):
        """Forward solution of one perturbed head, for a spacing or a source space."""
        return mne_mmnet.make_template_forward(
            self._moved(head), sources, bem=self._bem(head), positions="as given"
        )

    def _bem(self, head):
        drawn = self.heads[head]
        return mne_mmnet.make_template_bem(
            conductivity=(0.3, 0.3 / drawn.skull_ratio, 0.3), skull_thickness=drawn.skull_thickness
        )

    def _moved(self, head):
        info = self.info.copy()
        for channel, shift in zip(info["chs"], self.heads[head].shifts, strict=True):
            channel["loc"][:3] += 1e-3 * shift
        return info


def draw_case(setup, snr_db, number):
    """Simulate the case of a number at one of ``SNRS_DB``."""
    address = [SEED, MONTAGES.index(setup.montage), SNRS_DB.index(snr_db), number]
    rng = np.random.default_rng(address)
    head = int(rng.integers(N_HEADS))
    n_patches = int(rng.integers(1, 5))
    correlation = float(rng.uniform(0.0, MAX_CORRELATION))
    background = float(rng.uniform(0.0, 0.8))
    centres, extents, moments = draw_patches(rng, len(setup.fine_positions), n_patches)
    courses = draw_courses(rng, n_patches, correlation)
    profiles = patch_profiles(setup.fine_graph, centres, extents)
    weights = moments[:, None] * profiles / profiles.sum(axis=1, keepdims=True)
    currents = weights.T @ courses
    gain = setup.gains[head]
    signal = gain @ currents
    signal -= signal.mean(axis=0)
    noise = draw_noise(rng, gain, setup.electrodes, N_BASELINE + N_TIMES, background)
    noise -= noise.mean(axis=0)
    evoked = mne.EvokedArray(add_noise(signal, noise, snr_db), setup.info)
    evoked.set_eeg_reference(projection=True)

    drawn = setup.heads[head]
    return Case(
        evoked=evoked,
        noise_cov=noise_covariance(noise[:, :N_BASELINE], evoked.info),
        peaks=np.abs(courses).argmax(axis=1),
        **setup.place(centres, profiles, currents),
        factors=dict(
            montage=setup.montage,
            n_channels=len(setup.info["ch_names"]),
            snr_db=snr_db,
            case=number,
            head=head,
            skull_ratio=drawn.skull_ratio,
            skull_thickness=drawn.skull_thickness,
            electrode_error_mm=drawn.electrode_error_mm,
            n_patches=n_patches,
            correlation=correlation if n_patches > 1 else None,
            background=background,
            depth_mm=setup.depth[centres].tolist(),
            extent_mm=extents.tolist(),
            moment_nam=(1e9 * moments).tolist(),
            fingerprint=fingerprint(evoked.data),
        ),
    )


def draw_patches(rng, n_sources, n_patches):
    """Draw sources at the centres, standard deviations (mm; 0: one source) and moments (A·m)."""
    centres = rng.choice(n_sources, n_patches, replace=False)
    return centres, draw_extents(rng, n_patches), 1e-9 * rng.uniform(20.0, 60.0, n_patches)


def add_noise(signal, noise, snr_db):
    """Scale noise, in place, to a ratio of mean powers; return the signal in the last of it."""
    noise *= np.sqrt(np.mean(signal**2) / np.mean(noise**2)) / 10.0 ** (snr_db / 20.0)
    return signal + noise[:, -signal.shape[1] :]


def draw_extents(rng, n_patches):
    """Draw standard deviations of patches in mm; a quarter is a single source."""
    return np.where(rng.uniform(size=n_patches) < 0.25, 0.0, rng.uniform(4.0, 20.0, n_patches))


def patch_profiles(graph, centres, extents):
    """Shapes of patches along the surface, 1 at their centres: (n_patches, n_sources)."""
    reach = dijkstra(graph, directed=False, indices=centres, limit=60.0)
    scales = [PatchScale("gaussian", mm) if mm else PatchScale("point") for mm in extents]
    return np.array([scale(distance) for scale, distance in zip(scales, reach, strict=True)])


def draw_courses(rng, n_courses, correlation):
    """Event-related time courses of a given Pearson correlation, peak 1 in absolute value.

    Bumps and damped oscillations are drawn, then mixed: R^½ G^−½ of their correlations G is the
    change to the wanted correlations R that leaves each wave most of itself.
    """
    while True:
        waves = np.array([_wave(rng) for _ in range(n_courses)])
        centred = waves - waves.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(centred, axis=1, keepdims=True)
        gram = (centred / norm) @ (centred / norm).T
        if np.linalg.eigvalsh(gram)[0] < _LEAST_EIGENVALUE:
            continue
        wanted = np.full((n_courses, n_courses), correlation)
        np.fill_diagonal(wanted, 1.0)
        courses = _power(wanted, 0.5) @ _power(gram, -0.5) @ (waves / norm)
        courses /= np.abs(courses).max(axis=1, keepdims=True)
        peaks = np.abs(courses).argmax(axis=1)
        if peaks.min() >= 8 and peaks.max() < N_TIMES - 8:
            return courses


def _wave(rng):
    """Draw one event-related wave: a Gaussian bump or a damped oscillation of either sign."""
    times = np.arange(N_TIMES) / SFREQ
    peak, sign = rng.uniform(0.04, 0.2), rng.choice([-1.0, 1.0])
    if rng.uniform() < 0.5:
        return sign * np.exp(-0.5 * ((times - peak) / rng.uniform(0.008, 0.025)) ** 2)
    frequency, decay = rng.uniform(8.0, 20.0), rng.uniform(0.03, 0.08)
    since = (times - peak + 0.25 / frequency).clip(0.0)
    return sign * np.exp(-since / decay) * np.sin(2 * np.pi * frequency * since)


def _power(matrix, exponent):
    """Power of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**exponent) @ vectors.T


def noise_covariance(baseline, info, enough=np.inf):
    """Covariance of the noise before the window, as a user estimates it.

    It is regularised where there are fewer samples than ``enough``.
    """
    n_samples = baseline.shape[1]
    data = baseline @ baseline.T / n_samples
    cov = mne.Covariance(data, info["ch_names"], [], info["projs"], n_samples)
    return mne.cov.regularize(cov, info, eeg=0.1) if n_samples < enough else cov
