"""Batches of simulated, whitened recordings with the lead field to invert them."""

from dataclasses import dataclass, fields

import numpy as np
from scipy.linalg import helmert

from ..dictionary.lead_errors import deep_fields
from .cortex import draw_cortex
from .noise import draw_field_noise
from .people_archive import PeopleArchive
from .sources import PatchSampler
from .timecourses import draw_timecourses

HEADS = ("template", "fitted", "own")
"""Whose lead field recordings are inverted with."""
PAIR = 2
"""Recordings that belong together: a whole one, and a window of it."""
GAINS = {"template": "standard", "fitted": "fitted", "own": "own", "exact": "true"}
"""What a recording of people is inverted with, and the archive's name for it."""
# samples a recording at which estimates are compared with the truth
_READ_OUT = 16


@dataclass(frozen=True)
class SimulationConfig:
    """Distribution of the simulated recordings: the model's training domain.

    Parameters
    ----------
    n_channels : tuple of int
        Range of the number of electrodes, drawn log-uniformly; cut to what the archive has.
    layouts : float
        Share of batches with one of the archive's standard layouts, cut to their number of
        electrodes; the others have random ones.
    n_sources : tuple of int
        Range of the number of active patches.
    max_extent : float
        Largest radius or standard deviation of a patch, in mm.
    snr_db : tuple of float
        Range of the signal-to-noise ratio in dB: mean signal power over mean noise power, over
        channels and samples.
    max_times : int
        Largest number of time samples, at least 11: shorter recordings are drawn in any case.
    heads : tuple of float
        Shares of batches inverted with the template, with the template fitted to digitised
        electrodes, with the person's own head as a laboratory would have it, and with the lead
        field that made the recordings: not a single one of those would teach the network that no
        lead field can be trusted.
    orients : tuple of float
        Shares of batches with fixed, loose and free orientation, and with one that the evidence
        settles.
    off_grid : float
        Share of batches whose sources may lie between those of the inversion, where the archive
        has such places.
    tilt : tuple of float
        Range of the root-mean-square angle (degrees) between the template's normals and a
        person's.
    background : float
        Largest share of brain activity in the noise.
    deep : float
        Largest share of thalami and brain stem in that.
    known_noise : float
        Share of batches that come with a noise covariance.
    baseline : tuple of float
        Range of the samples, as multiples of the channels, that it is estimated from;
        log-uniform. It is regularised, shrunk or, where there are enough samples, left as it is.
    ideal : float
        Share of the batches with their own lead field that have white noise from the sensors
        alone, its covariance (where known) exact: as textbooks simulate.
    removed : float
        Share of batches in which up to a tenth of the dimensions were projected out, as components
        of an independent component analysis are.
    correlation : float
        Largest share of a common time course, drawn for half of the recordings.
    """

    n_channels: tuple[int, int] = (16, 256)
    layouts: float = 0.5
    n_sources: tuple[int, int] = (1, 6)
    max_extent: float = 40.0
    snr_db: tuple[float, float] = (-10.0, 20.0)
    max_times: int = 160
    heads: tuple[float, float, float, float] = (0.5, 0.15, 0.2, 0.15)
    orients: tuple[float, float, float, float] = (0.22, 0.06, 0.12, 0.6)
    off_grid: float = 0.85
    tilt: tuple[float, float] = (20.0, 30.0)
    background: float = 0.9
    deep: float = 0.4
    known_noise: float = 0.6
    baseline: tuple[float, float] = (1.5, 400.0)
    ideal: float = 0.3
    removed: float = 0.15
    correlation: float = 0.95

    def __post_init__(self):
        if not self.max_times >= 11:
            raise ValueError(f"max_times must be at least 11, got {self.max_times!r}.")


@dataclass(frozen=True)
class SimulatedBatch:
    """Recordings of one person in one cap, and the same recordings cut to a part of their samples.

    They come in pairs: after each whole recording a window of it, the samples outside set to zero
    and those inside scaled so that the covariance of the whole is that of the window: a good
    method finds the same sources in both.

    Parameters
    ----------
    leadfield : array of shape (1, n_rank, n_sources, n_orient)
        Whitened lead field *for inversion*.
    data : array of shape (n_batch, n_rank, n_times)
        Whitened recordings.
    seen : array of shape (n_batch, n_rank, n_read)
        Samples of the whole recordings at which estimates are to be compared with the truth.
    inside : array of shape (n_batch, n_read)
        1 where such a sample lies in the recording's window, else 0. The first does, and is the
        one at which the most goes on.
    currents : array of shape (n_batch, n_sources, n_orient, n_read)
        True currents at these samples, in arbitrary units, along the columns of the lead field.
    deep : array of shape (1, n_rank, n_fields)
        Whitened fields of places deep inside the head.
    positions : array of shape (n_sources, 3)
        In mm.
    orient_weights : array of shape (n_orient,)
        What the columns of the lead field were multiplied by; currents were not divided by it.
    noise_known : float
        1 where the noise of ``data`` has (nearly) unit variance by measurement, else 0.
    n_samples : float
        Samples that the noise covariance was estimated from.
    head : str
        One of ``HEADS``.
    orient : str
        ``"fixed"``, ``"loose"``, ``"free"`` or ``"evidence"``.
    """

    leadfield: np.ndarray
    data: np.ndarray
    seen: np.ndarray
    inside: np.ndarray
    currents: np.ndarray
    deep: np.ndarray
    positions: np.ndarray
    orient_weights: np.ndarray
    noise_known: float
    n_samples: float
    head: str
    orient: str

    def take(self, part):
        """Return some recordings; ``part`` is a slice, of whole pairs for a loss."""
        own = ("data", "seen", "inside", "currents")
        return SimulatedBatch(
            *(
                getattr(self, field.name)[part] if field.name in own else getattr(self, field.name)
                for field in fields(self)
            )
        )


def draw_montage(rng, electrodes, n_channels):
    """Spread electrodes over the scalp: farthest-point sampling of a random part of them."""
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


def draw_electrodes(rng, people, config, n_channels):
    """Draw the electrodes of a standard layout, or of any part of a dense montage."""
    fitting = [name for name, picks in people.layouts.items() if len(picks) >= n_channels]
    if fitting and rng.uniform() < config.layouts:
        # the smallest ones that do: a layout is seldom worn with half of its electrodes
        fitting.sort(key=lambda name: len(people.layouts[name]))
        members = people.layouts[fitting[rng.integers(min(4, len(fitting)))]]
    else:
        members = np.flatnonzero(people.groups == rng.choice(np.unique(people.groups)))
    return members[draw_montage(rng, people.electrodes[members], n_channels)]


def average_reference_basis(n_channels):
    """Make orthonormal rows, (n_channels - 1, n_channels), that span the maps of zero mean."""
    return helmert(n_channels)


def draw_basis(rng, n_channels, config):
    """Draw rows that span what is left after the reference and, at times, removed components."""
    basis = average_reference_basis(n_channels)
    if rng.uniform() < config.removed:
        n_removed = int(rng.integers(1, max(2, n_channels // 10) + 1))
        turned = np.linalg.qr(rng.standard_normal((len(basis), len(basis))))[0]
        basis = turned[:, n_removed:].T @ basis
    return basis


def estimate_covariance(rng, covariance, n_samples):
    """Estimate a covariance as users do: regularised or shrunk, or left as it is."""
    n = len(covariance)
    root = np.linalg.cholesky(covariance + 1e-9 * np.trace(covariance) / n * np.eye(n))
    n_drawn = int(min(n_samples, 30 * n))
    draws = root @ rng.standard_normal((n, n_drawn))
    found = draws @ draws.T / n_drawn
    if n_samples > n_drawn:  # the rest of the samples only bring it closer to the truth
        weight = np.sqrt(n_drawn / n_samples)
        found = weight * found + (1.0 - weight) * covariance
    mean = np.trace(found) / n
    kind = rng.uniform()
    if kind < 0.4 or n_samples < 3 * n:
        return found + 0.1 * mean * np.eye(n)  # mne.cov.regularize
    if kind < 0.8:
        shrunk = rng.uniform(0.005, 0.15)
        return (1.0 - shrunk) * found + shrunk * mean * np.eye(n)
    return found


def whiten_basis(covariance, basis):
    """Turn rows so that noise of a covariance, which is that along them, is white along them."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors / np.sqrt(values.clip(1e-12 * values[-1]))).T @ basis


def gain_of(people, source, person):
    """Return the lead field (V/(A·m)) by which a person's recordings are inverted."""
    gain = getattr(people, GAINS[source])
    return gain if source == "template" else gain[person]


def _draw_window(rng, n_times, peak):
    """Part of a recording that holds its peak."""
    if n_times == 1:
        return 0, 1
    longest = n_times if rng.uniform() < 0.5 else max(2, n_times // 4)
    length = int(rng.integers(1, longest + 1))
    first = int(rng.integers(max(0, peak - length + 1), min(peak, n_times - length) + 1))
    return first, first + length


def simulate_batch(people: PeopleArchive, sampler: PatchSampler, config, n_batch, rng):
    """Simulate recordings of one person in one cap.

    Of an even number of them half are windows of the others.
    """
    if n_batch % PAIR:
        raise ValueError(f"n_batch must be even, got {n_batch}: recordings come in pairs.")
    orient = str(rng.choice(["fixed", "loose", "free", "evidence"], p=_shares(config.orients)))
    orient = "free" if people.is_volume else orient
    source = str(rng.choice(list(GAINS), p=_shares(config.heads)))
    person = int(rng.integers(people.n_people))
    ideal = source == "exact" and rng.uniform() < config.ideal

    most = np.unique(people.groups, return_counts=True)[1].min()
    low, high = (min(number, int(most)) for number in config.n_channels)
    if orient != "fixed":  # more columns a location are costly: smaller montages
        high = max(low, min(high, 128))
    n_channels = round(np.exp(rng.uniform(np.log(low), np.log(high))))
    picks = draw_electrodes(rng, people, config, n_channels)
    n_times = int(
        rng.choice(
            [1, rng.integers(2, 11), rng.integers(11, config.max_times + 1)], p=[0.07, 0.13, 0.8]
        )
    )

    degrees = rng.uniform(*config.tilt) if source in ("template", "fitted") else 0.0
    off_grid = rng.uniform() < config.off_grid and not ideal
    cortex = draw_cortex(rng, people, sampler, person, picks, degrees, off_grid)

    basis = draw_basis(rng, n_channels, config)
    noise_of, covariance = draw_noise_model(rng, people, person, picks, cortex, config, ideal)
    projected = basis @ covariance @ basis.T
    known, n_samples = rng.uniform() < config.known_noise, np.inf
    whitener, level = basis, np.sqrt(np.trace(projected) / len(basis))
    if known:
        if ideal:
            found, n_samples = projected, config.baseline[1] * n_channels
        else:
            times = np.exp(rng.uniform(*np.log(config.baseline)))
            n_samples = times * n_channels
            found = estimate_covariance(rng, projected, n_samples)
        whitener = whiten_basis(found, basis)

    gain = gain_of(people, source, person)[picks].astype(float)
    frames = _frames(people, orient)
    weights = np.ones(1 if orient == "fixed" else 3)
    if orient == "loose":  # standard deviations of tangential currents, as MNE's `loose`
        weights[:2] = np.sqrt(rng.uniform(0.05, 0.6))
    leadfield = np.tensordot(whitener, np.einsum("esk,sok->eso", gain, frames) * weights, 1)

    recordings = []
    for _ in range(n_batch // PAIR):
        recordings += _simulate_pair(
            rng,
            config,
            cortex,
            frames,
            orient,
            people.is_volume,
            n_times,
            noise_of,
            whitener,
            level,
        )
    data, seen, inside, currents = map(np.stack, zip(*recordings, strict=True))
    return SimulatedBatch(
        leadfield=leadfield[None],
        data=data,
        seen=seen,
        inside=inside,
        currents=currents,
        deep=(whitener @ deep_fields(people.electrodes[picks]))[None],
        positions=people.positions,
        orient_weights=weights,
        noise_known=float(known),
        # where a covariance comes from is not always told
        n_samples=float(n_samples) if rng.uniform() < 0.8 else np.inf,
        head="own" if source == "exact" else source,
        orient=orient,
    )


def _shares(shares):
    """Shares that sum to one."""
    shares = np.asarray(shares, float)
    return shares / shares.sum()


def _frames(people, orient):
    """Directions of the lead field's columns, (n_sources, n_orient, 3)."""
    if orient == "fixed":
        return people.normals[:, None]
    if orient == "free":
        return np.broadcast_to(np.eye(3), (len(people.normals), 3, 3))
    return people.surface_frames


def draw_noise_model(rng, people, person, picks, cortex, config, ideal):
    """Draw the kind of noise of a session.

    ``cortex`` is where background activity comes from; ideal is white noise of the sensors alone.
    Returned are a function from a generator and a number of samples to noise of unit power, and
    its covariance, (n_channels, n_channels), before the reference.
    """
    n_channels = len(picks)
    if ideal:
        return lambda r, n: r.standard_normal((n_channels, n)), np.eye(n_channels)
    if people.is_volume:
        direction = rng.standard_normal(cortex.normals.shape)
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        field = np.einsum("esk,sk->es", cortex.gain, direction)
    else:
        field = cortex.field
    return draw_field_noise(
        rng,
        field,
        people.deep[person][picks].astype(float),
        people.electrodes[picks],
        rng.uniform(0.0, config.background),
        rng.uniform(0.0, config.deep),
        None if people.noise_factor is None else people.noise_factor[picks],
    )


def _simulate_pair(
    rng, config, cortex, frames, orient, is_volume, n_times, noise_of, whitener, level
):
    """One recording, whole and cut: (data, seen, inside, currents) of both."""
    normals = cortex.coarse_normals
    if is_volume:  # any direction, the same throughout a patch
        direction = rng.standard_normal(3)
        normals = np.broadcast_to(direction / np.linalg.norm(direction), normals.shape)
    n_patches = int(rng.integers(config.n_sources[0], config.n_sources[1] + 1))
    correlation = rng.uniform(0.0, config.correlation) if rng.uniform() < 0.5 else 0.0
    # half of the recordings: patches of equal total moment, instead of equal peaks. Never of equal
    # strength at the sensors: that would teach that hardly visible places hold strong currents
    even = rng.uniform() < 0.5
    density = len(normals) / len(cortex.normals)
    maps = []
    for _ in range(n_patches):
        components, _ = cortex.sampler.draw(rng, config.max_extent)
        total = np.abs(components[0]).sum()
        if even:
            components = components / total
        else:  # per area: a fine grid has more sources there, but a point stays a point
            components = components * max(density, 1.0 / total)
        maps.append(rng.uniform(0.5, 1.0) * components)
    waves = draw_timecourses(rng, sum(len(m) for m in maps), n_times, correlation)
    shapes = np.concatenate(maps)
    active = np.flatnonzero(np.abs(shapes).max(axis=0) > 0)
    moments = shapes[:, active].T @ waves  # along the person's normals
    if is_volume:
        field = cortex.gain[:, active] @ normals[0]
    else:
        field = cortex.field[:, active]
    signal = field @ moments
    signal -= signal.mean(axis=0)
    noise = noise_of(rng, n_times)
    noise -= noise.mean(axis=0)
    # of the noise whose covariance is known: its level decides, not that of these few samples
    scale = np.sqrt(np.mean(signal**2)) / 10.0 ** (rng.uniform(*config.snr_db) / 20.0) / level
    data = whitener @ (signal / scale + noise)

    strength = np.abs(moments).sum(axis=0)
    peak = int(np.argmax(strength))
    others = rng.choice(n_times, size=_READ_OUT - 1, replace=n_times < _READ_OUT - 1)
    read = np.concatenate([[peak], others])
    first, last = _draw_window(rng, n_times, peak)
    window = np.zeros(n_times)
    window[first:last] = 1.0
    if orient == "fixed":
        along = np.ones((len(normals), 1))
    else:
        along = np.einsum("sok,sk->so", frames, normals)
    everywhere = np.zeros((shapes.shape[1], len(read)))
    everywhere[active] = moments[:, read]
    currents = along[:, :, None] * cortex.gather(everywhere)[:, None]
    currents /= np.abs(currents).max()
    currents = currents.astype(np.float32)
    cut = data * window * np.sqrt(n_times / (last - first))
    seen = data[:, read]
    return (
        (data, seen, np.ones(len(read)), currents),
        (cut, seen, window[read], currents),
    )
