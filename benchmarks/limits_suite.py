"""The simulated recordings of ``benchmarks/limits.py``: one thing made harder at a time.

A recording is fixed by (seed, group, level, number) alone. Unless its group says otherwise: 64
electrodes (biosemi64), 5 dB, one Gaussian patch of 8 mm standard deviation anywhere on the cortex
(ico4, current along the normal), in one of the four perturbed heads of ``transfer_suite.py``; time
courses, noise and covariance as there. It is inverted on the standard head, ico3, fixed
orientation: never the same lead field.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial

import mne
import numpy as np
from calibration import location_area
from noise import draw_noise
from one_model import SuiteSetup, VolumeSetup
from scipy.sparse.csgraph import dijkstra
from scipy.spatial.distance import cdist
from transfer_suite import N_BASELINE, N_HEADS, N_TIMES, SEED, draw_courses, noise_covariance

from mne_mmnet import make_template_forward
from mne_mmnet.dictionary.patches import PatchScale
from mne_mmnet.template.cortex import leave_out_wall
from mne_mmnet.template.make import find_template

STANDARD = PatchScale("gaussian", 8.0)
SNR_DB = 5.0
# places in the brain where no source of the inversion lies: MNI coordinates in mm, right side
STRUCTURES = {
    "hippocampus": (28, -22, -14),
    "amygdala": (22, -4, -18),
    "thalamus": (10, -18, 8),
    "putamen": (26, 4, 2),
    "cerebellum, hemisphere": (28, -62, -34),
    "cerebellum, vermis": (2, -60, -22),
    "pons": (3, -26, -32),
}
_JITTER, _N_PLACES = 3.0, 8  # mm, and places a structure and side
_BREACH_MM = 40.0
_APART = 40.0  # mm between sources that are to be counted


@dataclass(frozen=True)
class Recording:
    """One recording and the truth about it.

    ``centres`` are true positions in mm, ``seeds`` the rows of the inversion nearest to them along
    the surface (empty where the source lies elsewhere).
    """

    evoked: mne.Evoked
    noise_cov: mne.Covariance
    centres: np.ndarray
    seeds: np.ndarray
    facts: dict = field(default_factory=dict)


class Bench(SuiteSetup):
    """A montage with the heads that the groups need, each made when first asked for."""

    def __init__(self, montage, folder):
        super().__init__(montage, folder)
        self.name = montage
        self.normals = self._fine(0)["source_nn"]
        self.area = location_area(self.fwd["src"])
        n_coarse, n_fine = len(self.positions), len(self.fine_positions)
        self.fine_area = self.area * n_coarse / n_fine
        centre = np.linalg.lstsq(
            np.c_[2 * self.electrodes, np.ones(len(self.electrodes))],
            (self.electrodes**2).sum(axis=1),
        )[0][:3]
        self.outward = self.fine_positions - centre
        self.outward /= np.linalg.norm(self.outward, axis=1, keepdims=True)
        self.to_electrode = cdist(self.fine_positions, self.electrodes).min(axis=1)

    @lru_cache  # noqa: B019 - there are as many of them as montages
    def free_gain(self, head):
        """Lead field of a head, fine sources: two tangential directions, then the normal."""
        return self._free(f"head{head}")

    @cached_property
    def standard_gain(self):
        """Take the standard head itself, with fine sources."""
        make = partial(make_template_forward, self.info, self.fine, positions="as given")
        return self._free(self.fine, make)[:, :, 2]

    @lru_cache  # noqa: B019 - there are as many of them as montages
    def shaped_gain(self, head):
        """Make a perturbed head up to a tenth longer or shorter along each axis, too."""
        return self._free(f"shaped{head}", partial(self._shaped, head))[:, :, 2]

    def _shaped(self, head):
        factor = np.random.default_rng([SEED, head, 7]).uniform(0.9, 1.1, 3)
        keys = ("id", "sigma", "coord_frame", "tris", "np", "ntri")
        surfs = [
            {key: surf[key] for key in keys} | dict(rr=surf["rr"] * factor)
            for surf in self._bem(head)["surfs"]
        ]
        subject, folder = find_template()
        src = mne.setup_source_space(subject, self.fine, subjects_dir=folder, add_dist=False)
        leave_out_wall(src)
        for space in src:
            space["rr"] = space["rr"] * factor
            normals = space["nn"] / factor
            space["nn"] = normals / np.linalg.norm(normals, axis=1, keepdims=True)
        info = self._moved(head)
        to_head = self.fwd["mri_head_t"]
        to_mri = mne.transforms.invert_transform(to_head)
        for channel in info["chs"]:
            place = mne.transforms.apply_trans(to_mri, channel["loc"][:3])
            channel["loc"][:3] = mne.transforms.apply_trans(to_head, place * factor)
        bem = mne.make_bem_solution(surfs)
        return make_template_forward(info, src, bem=bem, positions="as given")

    @cached_property
    def deep(self):
        """Places outside the cortex: name of each, positions (mm, head), lead fields by head."""
        rng = np.random.default_rng(SEED)
        names = np.repeat(list(STRUCTURES), 2 * _N_PLACES)
        places = np.repeat(np.array(list(STRUCTURES.values()), float), 2 * _N_PLACES, axis=0)
        places[::2, 0] *= -1.0
        places += rng.uniform(-_JITTER, _JITTER, places.shape)
        pos = dict(rr=1e-3 * places, nn=np.tile([0.0, 0.0, 1.0], (len(places), 1)))
        src = mne.setup_volume_source_space(pos=pos)
        gains = []
        for head in range(N_HEADS):
            fwd = self._cached(f"deep{head}", partial(self._on_head, head, src))
            assert fwd["nsource"] == len(places)
            gains.append(fwd["sol"]["data"].reshape(len(self.electrodes), -1, 3))
        return names, 1e3 * fwd["source_rr"], gains

    @cached_property
    def volume(self):
        """Forward solution of the standard head on a 10 mm grid through the whole brain."""
        return VolumeSetup(self).fwd

    def _free(self, name, make=None):
        fwd = mne.convert_forward_solution(self._cached(name, make), surf_ori=True)
        return fwd["sol"]["data"].reshape(len(self.electrodes), -1, 3)


def mix(
    bench,
    rng,
    topographies,
    gain,
    *,
    snr_db=None,
    noise_uv=None,
    n_baseline=N_BASELINE,
    understated=1.0,
):
    """Add time courses and noise to topographies; the average reference is pending.

    ``topographies`` (n_channels, n_sources) are what each source makes at its peak (V); no column
    is noise alone. By ``gain`` background activity reaches the sensors. The noise is given as
    ratio of powers or by its rms (µV); ``understated`` is how much more power it has in the window
    than where the covariance is taken.
    """
    signal = np.zeros((len(bench.electrodes), N_TIMES))
    if topographies.shape[1]:
        courses = draw_courses(rng, topographies.shape[1], float(rng.uniform(0.0, 0.9)))
        signal = topographies @ courses
    signal -= signal.mean(axis=0)
    background = float(rng.uniform(0.0, 0.8))
    noise = draw_noise(rng, gain, bench.electrodes, n_baseline + N_TIMES, background)
    noise -= noise.mean(axis=0)
    noise /= np.sqrt(np.mean(noise**2))
    power = np.mean(signal**2)
    noise *= np.sqrt(power) / 10 ** (snr_db / 20) if noise_uv is None else 1e-6 * noise_uv
    noise[:, n_baseline:] *= np.sqrt(understated)
    evoked = mne.EvokedArray(signal + noise[:, n_baseline:], bench.info)
    evoked.set_eeg_reference(projection=True)
    facts = {}
    if power > 0:
        level = 10 * np.log10(power / np.mean(noise**2))
        facts = dict(snr_db=level, peak_uv=1e6 * np.abs(signal).max())
    return evoked, noise_covariance(noise[:, :n_baseline], evoked.info), facts


def on_cortex(bench, rng, centres, scales, gain, moment=50e-9, **noise):
    """Record patches at fine sources; the moment of each is its total, in A·m."""
    reach = dijkstra(bench.fine_graph, directed=False, indices=centres, limit=90.0)
    profiles = np.array([scale(d) for scale, d in zip(scales, reach, strict=True)])
    topographies = moment * gain @ (profiles / profiles.sum(axis=1, keepdims=True)).T
    evoked, noise_cov, facts = mix(bench, rng, topographies, gain, **noise)
    first = centres[0]
    facts |= dict(
        depth=bench.depth[first],
        to_electrode=bench.to_electrode[first],
        angle=np.degrees(np.arccos(abs(bench.outward[first] @ bench.normals[first]))),
        area=bench.fine_area * float((profiles[0] >= 0.5).sum()),
    )
    seeds = bench.coarse_of_fine[centres]
    return Recording(evoked, noise_cov, bench.fine_positions[centres], seeds, facts)


def draw_one(bench, rng, scale=STANDARD, gain=None, place=None, **kwargs):
    """Record one patch anywhere, in one of the perturbed heads or by a given lead field."""
    gain = bench.gains[rng.integers(N_HEADS)] if gain is None else gain
    place = int(rng.integers(len(bench.fine_positions))) if place is None else place
    kwargs = kwargs or dict(snr_db=SNR_DB)
    return on_cortex(bench, rng, [place], [scale], gain, **kwargs)


def draw_several(bench, rng, n_sources, apart=(_APART, np.inf)):
    """Record sources whose distances from one another all lie in a range (mm)."""
    places = [int(rng.integers(len(bench.fine_positions)))]
    while len(places) < n_sources:
        distance = cdist(bench.fine_positions[places], bench.fine_positions)
        fit = ((distance >= apart[0]) & (distance < apart[1])).all(axis=0)
        places.append(int(rng.choice(np.flatnonzero(fit))))
    gain = bench.gains[rng.integers(N_HEADS)]
    return on_cortex(bench, rng, places, [STANDARD] * n_sources, gain, snr_db=SNR_DB)


def draw_other_head(bench, rng, level):
    """Record one patch in a head that differs from the template as the level says."""
    head, place = int(rng.integers(N_HEADS)), int(rng.integers(len(bench.fine_positions)))
    if level == "template itself":
        return draw_one(bench, rng, gain=bench.standard_gain, place=place)
    if level == "+ head's shape":
        return draw_one(bench, rng, gain=bench.shaped_gain(head), place=place)
    gain = bench.gains[head]
    if level.startswith("+ folds"):
        tilt = np.radians(float(level.split()[-1].rstrip("°")))
        free = bench.free_gain(head)
        turn = rng.uniform(0, 2 * np.pi)
        tangential = np.cos(turn) * free[:, :, 0] + np.sin(turn) * free[:, :, 1]
        gain = np.cos(tilt) * free[:, :, 2] + np.sin(tilt) * tangential
    elif level == "+ hole in the skull":
        middle = bench.electrodes[rng.integers(len(bench.electrodes))]
        near = np.linalg.norm(bench.electrodes - middle, axis=1) < _BREACH_MM
        gain = np.where(near, 2.0, 1.0)[:, None] * gain
        below = np.linalg.norm(bench.fine_positions - middle, axis=1) < 2 * _BREACH_MM
        place = int(rng.choice(np.flatnonzero(below)))
    return draw_one(bench, rng, gain=gain, place=place)


def draw_deep(bench, rng, structure):
    """Record one dipole of any direction in a structure below or behind the cortex."""
    names, positions, gains = bench.deep
    place, head = rng.choice(np.flatnonzero(names == structure)), rng.integers(N_HEADS)
    direction = rng.standard_normal(3)
    topography = 50e-9 * gains[head][:, place] @ (direction / np.linalg.norm(direction))
    evoked, noise_cov, facts = mix(
        bench, rng, topography[:, None], bench.gains[head], snr_db=SNR_DB
    )
    return Recording(evoked, noise_cov, positions[[place]], np.array([], int), facts)


def draw_silent(bench, rng, area_cm2, noise_uv):
    """Record the nearest vertices of a place that make an area, at 0.5 nA·m/mm²."""
    gain = bench.gains[rng.integers(N_HEADS)]
    place = int(rng.integers(len(bench.fine_positions)))
    distance = dijkstra(bench.fine_graph, directed=False, indices=[place], limit=90.0)[0]
    n_vertices = max(1, round(100.0 * area_cm2 / bench.fine_area))
    scale = PatchScale("flat", np.sort(distance)[n_vertices - 1] + 1e-6)
    moment = 0.5e-9 * n_vertices * bench.fine_area
    return on_cortex(bench, rng, [place], [scale], gain, moment, noise_uv=noise_uv)


def draw_noise_only(bench, rng, level):
    """Record nothing but noise; the level is (samples of the covariance, understated)."""
    nothing = np.zeros((len(bench.electrodes), 0))
    gain = bench.gains[rng.integers(N_HEADS)]
    noise = dict(noise_uv=0.4, n_baseline=level[0], understated=level[1])
    evoked, noise_cov, facts = mix(bench, rng, nothing, gain, **noise)
    return Recording(evoked, noise_cov, np.zeros((0, 3)), np.array([], int), facts)
