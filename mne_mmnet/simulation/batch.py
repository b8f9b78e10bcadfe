"""Batches of simulated, whitened recordings with the lead fields to invert them."""

from dataclasses import dataclass, fields

import numpy as np
from scipy.spatial import cKDTree

from .archive import HeadArchive
from .noise import draw_noise
from .sources import PatchSampler
from .timecourses import draw_timecourses

# sources of at least this share of the largest power count as equally strong
_AS_STRONG = 0.98


@dataclass(frozen=True)
class SimulationConfig:
    """Distribution of the simulated recordings: the model's training domain.

    Parameters
    ----------
    n_channels : tuple of int
        Range of the number of electrodes, drawn log-uniformly; cut to what the archive has.
    layouts : float
        Share of recordings with one of the archive's standard layouts, cut to their number of
        electrodes; the others have random ones.
    n_sources : tuple of int
        Range of the number of active patches.
    max_extent : float
        Largest radius or standard deviation of a patch, in mm.
    snr_db : tuple of float
        Range of the signal-to-noise ratio in dB: mean signal power over mean noise power, over
        channels and samples.
    max_times : int
        Largest number of time samples.
    tilt : float
        Largest relative size of the smooth field by which the inversion's normals are tilted.
    background : float
        Largest share of brain activity in the noise.
    known_noise : float
        Share of recordings that come with a noise covariance (estimated, hence wrong).
    matched : float
        Share of recordings inverted with the lead field that made them. Not a single one would
        teach the network that no lead field can be trusted.
    ideal : float
        Share of recordings as textbooks simulate them: inverted with the lead field that made
        them, white noise from the sensors alone, its covariance (where known) exact.
    correlation : float
        Largest share of a common time course, drawn for half of the recordings.
    own_head : bool
        Whether all recordings are inverted with head 0, to whose errors a model shall get used;
        else with any.
    free : float
        Share of batches inverted with three free columns a location; all are on volume grids.
    loose : float
        Share of batches inverted with a loose orientation constraint.
    """

    n_channels: tuple[int, int] = (16, 256)
    layouts: float = 0.3
    n_sources: tuple[int, int] = (1, 6)
    max_extent: float = 40.0
    snr_db: tuple[float, float] = (-10.0, 20.0)
    max_times: int = 200
    tilt: float = 0.7
    background: float = 0.9
    known_noise: float = 0.6
    matched: float = 0.3
    ideal: float = 0.15
    correlation: float = 0.95
    own_head: bool = False
    free: float = 0.12
    loose: float = 0.06


@dataclass(frozen=True)
class SimulatedBatch:
    """Recordings of one montage size.

    Parameters
    ----------
    leadfield : array of shape (n_batch, n_rank, n_sources, n_orient)
        Whitened lead fields *for inversion*: other head, other normals than the simulation's.
    data : array of shape (n_batch, n_rank, n_times)
        Whitened recordings.
    currents : array of shape (n_batch, n_sources, n_orient, n_times)
        True currents, in arbitrary units, along the columns of the lead field.
    orient_weights : array of shape (n_batch, n_orient)
        What the columns of the lead field were multiplied by, the same in all samples; currents
        were not divided by it.
    peak : array of shape (n_batch, n_sources)
        1 where the strongest source is; shared by locations that are equally strong.
    noise_known : array of shape (n_batch,)
        1 where the noise of ``data`` has (nearly) unit variance by measurement.
    """

    leadfield: np.ndarray
    data: np.ndarray
    currents: np.ndarray
    orient_weights: np.ndarray
    peak: np.ndarray
    noise_known: np.ndarray

    def take(self, part):
        """Return some recordings; ``part`` is a slice."""
        return SimulatedBatch(*(getattr(self, field.name)[part] for field in fields(self)))

    @property
    def orient(self):
        """``"fixed"``, ``"loose"`` (tangential columns, then the normal) or ``"free"`` (axes)."""
        if self.leadfield.shape[-1] == 1:
            return "fixed"
        return "free" if self.orient_weights.min() == 1 else "loose"


def draw_montage(rng, electrodes, n_channels):
    """Spread electrodes over the scalp: farthest-point sampling of a random part of them.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    electrodes : array of shape (n_electrodes, 3)
        Positions to choose from.
    n_channels : int
        How many.

    Returns
    -------
    chosen : array of int, shape (n_channels,)
        Numbers of the electrodes.
    """
    candidates = rng.permutation(len(electrodes))
    if n_channels >= len(candidates):
        return candidates
    if rng.uniform() < 0.3:  # caps that leave the lower head out
        lowest = np.quantile(electrodes[:, 2], rng.uniform(0.0, 0.4))
        upper = candidates[electrodes[candidates, 2] >= lowest]
        candidates = upper if len(upper) >= n_channels else candidates
    candidates = candidates[: max(n_channels, int(len(candidates) * rng.uniform(0.3, 1.0)))]
    chosen = [candidates[0]]
    distance = np.full(len(candidates), np.inf)
    while len(chosen) < n_channels:
        step = np.linalg.norm(electrodes[candidates] - electrodes[chosen[-1]], axis=1)
        distance = np.minimum(distance, step)
        chosen.append(candidates[int(np.argmax(distance))])
    return np.array(chosen)


def _draw_electrodes(rng, heads, config, n_channels):
    """Electrodes of a standard layout, or of any part of a dense montage."""
    fitting = [name for name, picks in heads.layouts.items() if len(picks) >= n_channels]
    if fitting and rng.uniform() < config.layouts:
        # the smallest ones that do: a layout is seldom worn with half of its electrodes
        fitting.sort(key=lambda name: len(heads.layouts[name]))
        members = heads.layouts[fitting[rng.integers(min(4, len(fitting)))]]
    else:
        members = np.flatnonzero(heads.groups == rng.choice(np.unique(heads.groups)))
    return members[draw_montage(rng, heads.electrodes[members], n_channels)]


def _tilt(rng, normals, sampler, size):
    """Add a smooth random field to the normals."""
    if size == 0:
        return normals
    centres = rng.choice(len(normals), size=min(60, len(normals)), replace=False)
    distance = np.minimum(sampler.distances(centres).T, 1e3)
    weight = np.exp(-0.5 * (distance / 25.0) ** 2)
    field = weight @ rng.standard_normal((len(centres), 3))
    field *= size / np.sqrt(np.mean(field**2) * 3.0)
    tilted = normals + field
    return tilted / np.linalg.norm(tilted, axis=1, keepdims=True)


def average_reference_basis(n_channels):
    """Make orthonormal rows that span the maps of zero mean.

    Parameters
    ----------
    n_channels : int
        Number of electrodes.

    Returns
    -------
    basis : array of shape (n_channels - 1, n_channels)
        The rows.
    """
    centred = np.eye(n_channels) - 1.0 / n_channels
    return np.linalg.svd(centred)[0][:, : n_channels - 1].T


def _whitener(rng, noise, known):
    """Average-reference basis, or the whitener of an estimated noise covariance."""
    basis = average_reference_basis(len(noise))
    if not known:
        return basis
    covariance = basis @ (noise @ noise.T / noise.shape[1]) @ basis.T
    shrink = rng.uniform(0.02, 0.3)
    covariance = (1 - shrink) * covariance + shrink * np.trace(covariance) / len(basis) * np.eye(
        len(basis)
    )
    values, vectors = np.linalg.eigh(covariance)
    return (vectors / np.sqrt(values)).T @ basis


def simulate_batch(
    heads: HeadArchive, sampler: PatchSampler, config, n_batch, rng, inverse_heads=None
):
    """Simulate recordings.

    Parameters
    ----------
    heads : HeadArchive
        Lead fields.
    sampler : PatchSampler
        Patches on the archive's graph.
    config : SimulationConfig
        The distribution.
    n_batch : int
        Number of recordings; all have the same number of electrodes and samples.
    rng : numpy.random.Generator
        Source of randomness.
    inverse_heads : HeadArchive | None
        Heads with a coarser source space for the inversion, and the same electrodes. True
        currents are then moved to the nearest of its locations. None inverts with ``heads``.

    Returns
    -------
    batch : SimulatedBatch
        The recordings.
    """
    kinds, shares = ["free", "loose"], [config.free, config.loose]
    orient = str(rng.choice([*kinds, "fixed"], p=[*shares, 1.0 - sum(shares)]))
    orient = "free" if heads.is_volume else orient
    most = np.unique(heads.groups, return_counts=True)[1].min()
    low, high = (min(number, int(most)) for number in config.n_channels)
    if orient != "fixed":  # three columns a location are costly: smaller montages
        high = max(low, min(high, 64))
    n_channels = round(np.exp(rng.uniform(np.log(low), np.log(high))))
    n_times = int(
        rng.choice(
            [1, rng.integers(2, 11), rng.integers(11, config.max_times + 1)], p=[0.07, 0.13, 0.8]
        )
    )
    weights = np.ones(1 if orient == "fixed" else 3)
    if orient == "loose":  # standard deviations of tangential currents, as MNE's `loose`
        weights[:2] = np.sqrt(rng.uniform(0.05, 0.6))
    nearest = None
    if inverse_heads is not None:
        _, nearest = cKDTree(inverse_heads.positions).query(heads.positions)
    samples = [
        _simulate_one(
            heads,
            inverse_heads,
            nearest,
            sampler,
            config,
            n_channels,
            n_times,
            orient,
            weights,
            rng,
        )
        for _ in range(n_batch)
    ]
    return SimulatedBatch(*(np.stack(field) for field in zip(*samples, strict=True)))


def _simulate_one(
    heads, inverse_heads, nearest, sampler, config, n_channels, n_times, orient, weights, rng
):
    used = heads if inverse_heads is None else inverse_heads
    true_head, used_head = rng.integers(len(heads.gains)), rng.integers(len(used.gains))
    ideal = used is heads and rng.uniform() < config.ideal
    matched = ideal or (used is heads and rng.uniform() < config.matched)
    if config.own_head:
        used_head = 0
        true_head = 0 if matched else true_head
    elif matched:
        used_head = true_head
    picks = _draw_electrodes(rng, heads, config, n_channels)
    normals = heads.normals
    if heads.is_volume:  # any direction, the same throughout a patch
        normals = np.broadcast_to(_directions(rng, 1), normals.shape)
    seen = heads.gains[true_head][picks]
    gain = np.einsum("esk,sk->es", seen, normals)

    # sources
    n_patches = int(rng.integers(config.n_sources[0], config.n_sources[1] + 1))
    correlation = rng.uniform(0.0, config.correlation) if rng.uniform() < 0.5 else 0.0
    # half of the recordings: patches of equal total moment, instead of equal peaks. Never of equal
    # strength at the sensors: that would teach that hardly visible places hold strong currents
    even = rng.uniform() < 0.5
    maps = []
    for _ in range(n_patches):
        components, _ = sampler.draw(rng, config.max_extent)
        if even:
            components = components / np.abs(components[0]).sum()
        maps.append(rng.uniform(0.5, 1.0) * components)
    n_components = [len(m) for m in maps]
    waves = draw_timecourses(rng, sum(n_components), n_times, correlation)
    currents = np.concatenate(maps).T @ waves
    signal = gain @ currents

    # noise: long enough for an estimate of its covariance, of which the data see a part
    known = rng.uniform() < config.known_noise
    n_baseline = int(n_channels * rng.uniform(2.0, 6.0)) if known and not ideal else 0
    background = rng.uniform(0.0, config.background)
    if heads.is_volume:
        gain = np.einsum("esk,sk->es", seen, _directions(rng, len(normals)))
    if ideal:
        noise = rng.standard_normal((n_channels, n_times))
    else:
        factor = None if heads.noise_factor is None else heads.noise_factor[picks]
        places, n_samples = heads.electrodes[picks], n_times + n_baseline
        noise = draw_noise(rng, gain, places, n_samples, background, factor)
    snr = 10.0 ** (rng.uniform(*config.snr_db) / 20.0)
    signal -= signal.mean(axis=0)
    noise -= noise.mean(axis=0)
    deviation = np.sqrt(np.mean(signal**2) / np.mean(noise[:, :n_times] ** 2)) / snr
    noise *= deviation

    whitener = _whitener(rng, noise[:, n_times:], known and not ideal)
    if known and ideal:
        whitener = whitener / deviation
    data = whitener @ (signal + noise[:, :n_times])
    seen = used.gains[used_head][picks]
    power = (currents**2).mean(axis=1)
    peak = (power >= _AS_STRONG * power.max()).astype(float)
    if orient == "free":  # vectors stay what they are, elsewhere as well
        currents = normals[:, :, None] * currents[:, None, :]
    if nearest is not None:
        peak, currents = (_move(x, nearest, len(used.normals)) for x in (peak, currents))
        normals = used.normals
    peak /= peak.sum()
    if orient == "fixed":
        tilt = rng.uniform(0.0, config.tilt)
        if matched or used is not heads:  # other places have other normals as it is
            tilt = 0.0
        frames = _tilt(rng, normals, sampler, tilt)[:, None, :]
        currents = currents[:, None, :]
    elif orient == "loose":
        frames = used.surface_frames
        currents = np.pad(currents[:, None, :], ((0, 0), (2, 0), (0, 0)))
    else:
        frames = np.broadcast_to(np.eye(3), (len(normals), 3, 3))
    leadfield = np.einsum("esk,sok->eso", seen, frames) * weights
    leadfield = np.tensordot(whitener, leadfield, 1)
    return leadfield, data, currents, weights, peak, float(known)


def _move(values, nearest, n_sources):
    """Sum what goes to the same place."""
    moved = np.zeros((n_sources, *values.shape[1:]))
    np.add.at(moved, nearest, values)
    return moved


def _directions(rng, n):
    vectors = rng.standard_normal((n, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
