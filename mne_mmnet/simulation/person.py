"""How one person's head differs from the template's: a described, seeded draw (arrays only).

A person is a map φ of space, common to all surfaces of the head, a second one of the brain alone,
conductivities, and a cap that does not sit where the montage says::

    φ(x) = c + diag(scale) (x − c) + a g(x) , g a random field of length 50 mm
    ψ(x) = φ(x + b h(x) min(d(x)/d₀, 1)) ,    h one of length 30 mm, d the depth below the skull

Random fields are sums of random waves: stationary Gaussian processes with a squared-exponential
covariance in the limit of many (Rahimi & Recht 2007). A source keeps the number of the template
vertex that φ or ψ moved, by which errors are measured.
"""

from dataclasses import dataclass

import numpy as np

# waves of a random field
_N_WAVES = 64
# the brain's own deformation fades to nothing over that much (mm) below the inner skull: so no
# source is pushed through it
_FADE_MM = 14.0


@dataclass(frozen=True)
class PeopleVariety:
    """How much people differ from the template and from each other (DESIGN §5).

    Parameters
    ----------
    scale : float
        Standard deviation of the three scale factors.
    warp_mm : tuple of float
        Range of the root-mean-square deformation of all surfaces, in mm.
    warp_length : float
        Its length, in mm.
    brain_mm, brain_length : tuple of float, float
        The same of the brain alone.
    skull_ratio : tuple of float
        Range of brain over skull conductivity, drawn log-uniformly.
    skull_thickness : tuple of float
        Range of the factor by which the skull's thickness is multiplied.
    pitch : float
        Standard deviation (degrees) of the angle by which the cap is tipped.
    shift_mm : float
        Standard deviation, along each axis, of the cap's displacement as a whole.
    electrode_mm : float
        Largest root-mean-square displacement of the electrodes, each by itself.
    digitised_mm : float
        Root-mean-square error of digitised positions.
    fitted : float
        Standard deviation of the error with which scale factors are found from digitised points.
    tilt : tuple of float
        Range (degrees) of the root-mean-square angle between the template's normals and a
        person's; drawn for each recording, smooth over the cortex.
    """

    scale: float = 0.06
    warp_mm: tuple[float, float] = (1.0, 5.0)
    warp_length: float = 50.0
    brain_mm: tuple[float, float] = (1.0, 4.0)
    brain_length: float = 30.0
    skull_ratio: tuple[float, float] = (15.0, 80.0)
    skull_thickness: tuple[float, float] = (0.75, 1.3)
    pitch: float = 4.0
    shift_mm: float = 3.0
    electrode_mm: float = 6.0
    digitised_mm: float = 2.0
    fitted: float = 0.03
    tilt: tuple[float, float] = (20.0, 30.0)


class RandomField:
    """A smooth random vector field.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    size, length : float
        Root-mean-square length of its vectors, and its correlation length (both in m).
    """

    def __init__(self, rng, size, length):
        self._waves = rng.standard_normal((3, _N_WAVES)) / length
        self._phases = rng.uniform(0.0, 2.0 * np.pi, _N_WAVES)
        self._vectors = rng.standard_normal((_N_WAVES, 3)) * size * np.sqrt(2.0 / (3 * _N_WAVES))

    def __call__(self, points):
        """Vectors at points, both of shape (n_points, 3) in m."""
        return np.cos(points @ self._waves + self._phases) @ self._vectors


@dataclass(frozen=True)
class Person:
    """One draw from :class:`PeopleVariety`.

    Parameters
    ----------
    scale : array of shape (3,)
        Factors along x, y and z.
    warp, brain_warp : RandomField
        g and h.
    skull_ratio, skull_thickness : float
        Brain over skull conductivity; factor of the thickness.
    cap : array of shape (3, 3)
        Rotation of the cap about the head's centre.
    cap_shift : array of shape (3,)
        Its displacement, in m.
    electrode_mm : float
        Root-mean-square displacement of single electrodes.
    seed : tuple of int
        Of the displacements and of the errors of digitising.
    fitted_scale : array of shape (3,)
        Scale factors as digitised points would tell them.
    """

    scale: np.ndarray
    warp: RandomField
    brain_warp: RandomField
    skull_ratio: float
    skull_thickness: float
    cap: np.ndarray
    cap_shift: np.ndarray
    electrode_mm: float
    seed: tuple[int, ...]
    fitted_scale: np.ndarray

    @classmethod
    def draw(cls, variety, *seed):
        """Draw a person: always the same for the same variety and seed."""
        rng = np.random.default_rng(seed)
        low, high = np.log(variety.skull_ratio)
        scale = 1.0 + variety.scale * rng.standard_normal(3)
        warp_mm, brain_mm = rng.uniform(*variety.warp_mm), rng.uniform(*variety.brain_mm)
        angle = np.deg2rad(variety.pitch) * rng.standard_normal()
        cos, sin = np.cos(angle), np.sin(angle)
        return cls(
            scale=scale,
            warp=RandomField(rng, 1e-3 * warp_mm, 1e-3 * variety.warp_length),
            brain_warp=RandomField(rng, 1e-3 * brain_mm, 1e-3 * variety.brain_length),
            skull_ratio=float(np.exp(rng.uniform(low, high))),
            skull_thickness=float(rng.uniform(*variety.skull_thickness)),
            cap=np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]]),
            cap_shift=1e-3 * variety.shift_mm * rng.standard_normal(3),
            electrode_mm=float(rng.uniform(0.0, variety.electrode_mm)),
            seed=tuple(seed),
            fitted_scale=scale + variety.fitted * rng.standard_normal(3),
        )

    def deform(self, points, centre):
        """φ: from the template head to this one; points of shape (n_points, 3) in m."""
        return centre + self.scale * (points - centre) + self.warp(points)

    def deform_brain(self, points, centre, depth):
        """ψ; ``depth`` is the distance (m) of each point to the template's inner skull."""
        fade = np.clip(depth / (1e-3 * _FADE_MM), 0.0, 1.0)
        return self.deform(points + fade[:, None] * self.brain_warp(points), centre)

    def place_cap(self, points, centre):
        """Electrodes of the template as this person wears them, before projection on the scalp."""
        rng = np.random.default_rng([*self.seed, 1])
        worn = centre + (self.deform(points, centre) - centre) @ self.cap.T + self.cap_shift
        return worn + 1e-3 * self.electrode_mm * rng.standard_normal(worn.shape) / np.sqrt(3.0)


def digitise(points, error_mm, seed):
    """Positions (m) as a digitiser finds them, with a root-mean-square error in mm."""
    rng = np.random.default_rng([*seed, 2])
    return points + 1e-3 * error_mm * rng.standard_normal(points.shape) / np.sqrt(3.0)


def tilt_normals(rng, normals, positions, degrees, length_mm=15.0):
    """Other folds: normals turned by a smooth random field.

    By a root-mean-square angle in degrees; positions and the field's length are in mm.
    """
    if degrees == 0:
        return normals
    field = RandomField(rng, 1.0, length_mm)(positions)
    field -= np.sum(field * normals, axis=1, keepdims=True) * normals  # only across the normal
    field *= np.deg2rad(degrees) / np.sqrt(np.mean(np.sum(field**2, axis=1)))
    # a turn by the angle |field| in the plane of the normal and the field
    angle = np.linalg.norm(field, axis=1, keepdims=True)
    return np.cos(angle) * normals + np.sinc(angle / np.pi) * field
