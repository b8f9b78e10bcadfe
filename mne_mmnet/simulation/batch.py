"""Batches of simulated, whitened recordings with the lead fields to invert them."""

from dataclasses import dataclass

import numpy as np

from .archive import HeadArchive
from .noise import draw_noise
from .sources import PatchSampler
from .timecourses import draw_timecourses


@dataclass(frozen=True)
class SimulationConfig:
    """Distribution of the simulated recordings: the model's training domain.

    Parameters
    ----------
    n_channels : tuple of int
        Range of the number of electrodes, drawn log-uniformly.
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
    free : float
        Share of batches inverted with three free columns a location.
    """

    n_channels: tuple[int, int] = (16, 256)
    n_sources: tuple[int, int] = (1, 5)
    max_extent: float = 40.0
    snr_db: tuple[float, float] = (-6.0, 20.0)
    max_times: int = 80
    tilt: float = 0.7
    background: float = 0.9
    known_noise: float = 0.5
    matched: float = 0.3
    free: float = 0.25


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
        True currents, in arbitrary units.
    noise_known : array of shape (n_batch,)
        1 where the noise of ``data`` has (nearly) unit variance by measurement.
    """

    leadfield: np.ndarray
    data: np.ndarray
    currents: np.ndarray
    noise_known: np.ndarray


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


def _tilt(rng, normals, distances, size):
    """Add a smooth random field to the normals."""
    if size == 0:
        return normals
    centres = rng.choice(len(normals), size=min(60, len(normals)), replace=False)
    weight = np.exp(-0.5 * (np.minimum(distances[:, centres], 1e3) / 25.0) ** 2)
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


def simulate_batch(heads: HeadArchive, sampler: PatchSampler, config, n_batch, rng):
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

    Returns
    -------
    batch : SimulatedBatch
        The recordings.
    """
    free = rng.uniform() < config.free
    low, high = config.n_channels
    if free:  # three columns a location are costly: smaller montages
        high = max(low, min(high, 64))
    n_channels = round(np.exp(rng.uniform(np.log(low), np.log(high))))
    n_times = int(
        rng.choice(
            [1, rng.integers(2, 11), rng.integers(11, config.max_times + 1)], p=[0.05, 0.15, 0.8]
        )
    )
    samples = [
        _simulate_one(heads, sampler, config, n_channels, n_times, free, rng)
        for _ in range(n_batch)
    ]
    return SimulatedBatch(*(np.stack(field) for field in zip(*samples, strict=True)))


def _simulate_one(heads, sampler, config, n_channels, n_times, free, rng):
    true_head, used_head = rng.integers(len(heads.gains), size=2)
    matched = rng.uniform() < config.matched
    if matched:
        used_head = true_head
    group = rng.choice(np.unique(heads.groups))
    members = np.flatnonzero(heads.groups == group)
    picks = members[draw_montage(rng, heads.electrodes[members], n_channels)]
    gain = np.einsum("esk,sk->es", heads.gains[true_head][picks], heads.normals)

    # sources
    n_patches = int(rng.integers(config.n_sources[0], config.n_sources[1] + 1))
    correlation = rng.uniform(0.0, 0.95) if rng.uniform() < 0.5 else 0.0
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
    n_baseline = int(n_channels * rng.uniform(2.0, 6.0)) if known else 0
    background = rng.uniform(0.0, config.background)
    noise = draw_noise(rng, gain, heads.electrodes[picks], n_times + n_baseline, background)
    snr = 10.0 ** (rng.uniform(*config.snr_db) / 20.0)
    signal -= signal.mean(axis=0)
    noise -= noise.mean(axis=0)
    noise *= np.sqrt(np.mean(signal**2) / np.mean(noise**2)) / snr

    whitener = _whitener(rng, noise[:, n_times:], known)
    data = whitener @ (signal + noise[:, :n_times])
    seen = heads.gains[used_head][picks]
    if free:
        leadfield = np.einsum("re,esk->rsk", whitener, seen)
        currents = heads.normals[:, :, None] * currents[:, None, :]
    else:
        tilt = 0.0 if matched else rng.uniform(0.0, config.tilt)
        normals = _tilt(rng, heads.normals, sampler.distances, tilt)
        leadfield = (whitener @ np.einsum("esk,sk->es", seen, normals))[:, :, None]
        currents = currents[:, None, :]
    return leadfield, data, currents, float(known)
