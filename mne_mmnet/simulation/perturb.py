"""Heads like a given one: smooth perturbations of a lead field, without computing another."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree

# sources that share a moved source's lead field
_N_NEIGHBOURS = 6
# reach (mm) of the random fields over the sources
_FIELD_MM = 40.0
_N_CENTRES = 60


@dataclass(frozen=True)
class Perturbation:
    """How far heads may differ from the given one.

    Parameters
    ----------
    electrode_mm : float
        Largest root-mean-square error of the electrodes' places, in mm.
    blur : float
        Largest |log| of the factor by which the finest scalp patterns that the montage shows are
        attenuated or raised against the coarsest: what another skull does.
    source_mm : float
        Largest root-mean-square shift of the sources, in mm, common to neighbours.
    gain : float
        Largest standard deviation of the log of a smooth field that scales the lead field.
    """

    electrode_mm: float = 6.0
    blur: float = 0.6
    source_mm: float = 5.0
    gain: float = 0.25


def perturb_heads(archive, n_heads, rng, perturbation=None):
    """Make a family of heads around the first one of an archive, which stays the first."""
    size = Perturbation() if perturbation is None else perturbation
    own = archive.gains[0].astype(float)
    gains = [own]
    sensors, radius = _unit_sphere(archive.electrodes)
    spectrum = _scalp_spectrum(sensors)
    tree = cKDTree(archive.positions)
    for _ in range(n_heads - 1):
        gain = _move_sources(own, archive.positions, tree, rng.uniform(0, size.source_mm), rng)
        gain = gain * np.exp(rng.uniform(0, size.gain) * _field(archive.positions, 1, rng))
        gain = np.tensordot(_blur(spectrum, rng.uniform(-size.blur, size.blur)), gain, 1)
        shift = rng.uniform(0, size.electrode_mm) / radius
        gain = np.tensordot(_move_sensors(sensors, shift, rng), gain, 1)
        gains.append(gain)
    return replace(archive, gains=np.stack(gains).astype(np.float32))


def _unit_sphere(points):
    """Directions of points from the centre of the sphere that fits them, and its radius."""
    system = np.column_stack([2 * points, np.ones(len(points))])
    centre = np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)[0][:3]
    away = points - centre
    radius = np.linalg.norm(away, axis=1)
    return away / radius[:, None], float(radius.mean())


def _scalp_spectrum(sensors):
    """Eigenvectors of smooth scalp functions, and their coarseness from 1 (coarsest) to 0."""
    kernel = np.exp((sensors @ sensors.T - 1.0) / 0.1)
    values, vectors = np.linalg.eigh(kernel)
    share = np.linspace(0.0, 1.0, len(values))  # by rank: kernels' eigenvalues fall too steeply
    return share, vectors


def _blur(spectrum, strength):
    """Operator (n_electrodes, n_electrodes) that scales fine patterns by exp(strength)."""
    share, vectors = spectrum
    return (vectors * np.exp(strength * (1.0 - share))) @ vectors.T


def _move_sensors(sensors, shift, rng):
    """Operator that reads the scalp potential at moved electrodes."""
    moved = sensors + shift / np.sqrt(3.0) * rng.standard_normal(sensors.shape)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    return RBFInterpolator(sensors, np.eye(len(sensors)), degree=1)(moved)


def _move_sources(gain, positions, tree, shift, rng):
    """Lead field of sources moved by a smooth field, from those of the nearest ones."""
    moved = positions + shift / np.sqrt(3.0) * _field(positions, 3, rng)
    n_near = min(_N_NEIGHBOURS, len(positions))
    distance, nearest = tree.query(moved, k=n_near)
    distance, nearest = distance.reshape(len(moved), -1), nearest.reshape(len(moved), -1)
    weight = 1.0 / np.maximum(distance, 1e-3) ** 2
    weight /= weight.sum(axis=1, keepdims=True)
    return sum(gain[:, nearest[:, k]] * weight[:, k, None] for k in range(nearest.shape[1]))


def _field(positions, n_components, rng):
    """Smooth random field over the sources, (n_sources, n_components), of unit mean square."""
    centres = positions[rng.choice(len(positions), min(_N_CENTRES, len(positions)), replace=False)]
    distance = np.linalg.norm(positions[:, None] - centres[None], axis=-1)
    field = np.exp(-0.5 * (distance / _FIELD_MM) ** 2) @ rng.standard_normal(
        (len(centres), n_components)
    )
    return field / np.sqrt(np.mean(field**2)).clip(1e-12)
