"""Whether electrodes were measured: positions that equal a built-in montage's are no measurement.

Files often carry the positions of a cap's drawing. What comes out of a digitiser is off by
millimetres from any drawing, has no exact mirror image and lies on no sphere.
"""

import functools
from typing import NamedTuple

import mne
import numpy as np
from mne.io.constants import FIFF
from scipy.spatial import cKDTree

from .landmarks import places_of, plain_name

# m: positions this near a montage's, up to rotation, shift and size, were copied from it; rounding
# in files moves them by 0.5 mm at most, digitising by 2 mm or more
_TOLERANCE = 1e-3
# this share of the electrodes decides: single ones may have been placed by hand
_SHARE = 0.8
MIN_ELECTRODES = 8
"""With fewer, agreement with some montage would prove nothing."""
# points that lie on a sphere by chance: 4 numbers are fitted
_MIN_SPHERE, _SPHERE_TOLERANCE = 16, 3e-3


def electrode_positions(info, ch_names=None):
    """Find the positions of the EEG electrodes.

    Parameters
    ----------
    info : instance of Info
        The measurement info, or that of a forward solution.
    ch_names : collection of str | None
        Those to look at; None is all.

    Returns
    -------
    names : list of str
        EEG channels that have a position.
    positions : array of shape (n_electrodes, 3)
        In m, head coordinates.
    """
    picks = mne.pick_types(info, meg=False, eeg=True, exclude=())
    found = [(info["ch_names"][pick], info["chs"][pick]["loc"][:3]) for pick in picks]
    found = [
        (name, place)
        for name, place in found
        if np.isfinite(place).all() and place.any() and (ch_names is None or name in ch_names)
    ]
    names = [name for name, _ in found]
    return names, np.array([place for _, place in found], float).reshape(-1, 3)


def set_positions(info, names, positions):
    """Put electrodes elsewhere.

    Positions of shape (n_electrodes, 3) are head coordinates in m. The info is one's own; the
    arrays in it may be shared with others, and stay.
    """
    places = dict(zip(names, positions, strict=True))
    for channel in info["chs"]:
        if channel["ch_name"] in places:
            channel["loc"] = np.concatenate([places[channel["ch_name"]], channel["loc"][3:]])
            channel["coord_frame"] = FIFF.FIFFV_COORD_HEAD


def find_nominal(names, positions):
    """Say where electrode positions were copied from, if they were not measured.

    Parameters
    ----------
    names : list of str
        The electrodes.
    positions : array of shape (n_electrodes, 3)
        In m, in any coordinate frame.

    Returns
    -------
    origin : str | None
        Name of one of MNE's built-in montages; ``"sphere"`` or ``"mirror"`` where positions are
        too regular for a head; ``"few"`` where there are too few to tell; None if they were
        measured.
    """
    positions = np.asarray(positions, float)
    if len(positions) < MIN_ELECTRODES:
        return "few"
    if (copied := find_copied(names, positions)) is not None:
        return copied.montage
    if len(positions) >= _MIN_SPHERE and _is_sphere(positions):
        return "sphere"
    return "mirror" if _is_symmetric(positions) else None


class Known(NamedTuple):
    """A built-in montage, and which of some electrodes it has.

    Parameters
    ----------
    montage : str
        Its name.
    rows : array of int, shape (n_common,)
        Which of the electrodes it has.
    places : array of shape (n_common, 3)
        Where MNE puts them in head coordinates (m) when the montage is set as it is.
    """

    montage: str
    rows: np.ndarray
    places: np.ndarray


def find_copied(names, positions):
    """Find the built-in montage that positions equal, up to rotation, mirror, shift and size.

    Positions are in m, in any coordinate frame. None where there is no such montage, or too few
    electrodes to tell.
    """
    for known in montages_of(names, max(MIN_ELECTRODES, _SHARE * len(positions))):
        if _is_copy(known.places, positions[known.rows], mirror=True):
            return known
    return None


def montages_of(names, least):
    """Yield the built-in montages that have at least so many of the electrodes, as `Known`."""
    rows = {plain_name(name): row for row, name in enumerate(names)}
    for montage, places in builtin_montages().items():
        common = sorted(rows.keys() & places.keys())
        if len(common) >= least:
            mine = np.array([rows[name] for name in common])
            yield Known(montage, mine, np.array([places[name] for name in common]))


@functools.cache
def builtin_montages():
    """Read MNE's built-in montages, a quarter of a second once.

    Head coordinates (m) by plain name, by montage.
    """
    montages = {}
    for name in mne.channels.get_builtin_montages():
        names, places = places_of(mne.channels.make_standard_montage(name))
        names = (channel.casefold() for channel in names)
        montages[name] = dict(zip(names, places, strict=True))
    return montages


def fit_similarity(source, target, *, scale=True, mirror=False):
    """Fit rotation, shift and size by least squares (Umeyama 1991, doi 10.1109/34.88573).

    Parameters
    ----------
    source, target : array of shape (n_points, 3)
        Points that belong together.
    scale : bool
        Whether the size is fitted.
    mirror : bool
        Whether reflections are allowed.

    Returns
    -------
    linear : array of shape (3, 3)
        Rotation times size.
    shift : array of shape (3,)
        ``source @ linear.T + shift`` is near the target.
    """
    middle, aim = source.mean(axis=0), target.mean(axis=0)
    u, s, vt = np.linalg.svd((target - aim).T @ (source - middle))
    signs = np.ones(3)
    if not mirror and np.linalg.det(u @ vt) < 0:
        signs[2] = -1.0
    linear = (u * signs) @ vt
    power = ((source - middle) ** 2).sum()
    if scale and power > 0:
        linear = linear * (s * signs).sum() / power
    return linear, aim - linear @ middle


def _is_copy(source, target, **kwargs):
    """Whether most points lie where a similarity brings the others'."""
    kept = np.arange(len(target))
    n_kept = int(np.ceil(_SHARE * len(target)))
    for _ in range(5):  # without the worst, which would draw the fit away
        linear, shift = fit_similarity(source[kept], target[kept], **kwargs)
        distances = np.linalg.norm(source @ linear.T + shift - target, axis=1)
        kept = np.argsort(distances)[:n_kept]
    return distances[kept].max() < _TOLERANCE


def _is_sphere(positions):
    """Whether all points have the same distance from some centre, to a third of a millimetre."""
    # |p|² = 2 p·c + (r² − |c|²)
    design = np.column_stack([2 * positions, np.ones(len(positions))])
    solution, *_ = np.linalg.lstsq(design, (positions**2).sum(axis=1), rcond=None)
    radii = np.linalg.norm(positions - solution[:3], axis=1)
    return radii.std() < _SPHERE_TOLERANCE * radii.mean()


def _is_symmetric(positions):
    """Whether left and right are exact mirror images."""
    mirrored = positions * [-1.0, 1.0, 1.0]
    tree = cKDTree(positions)
    for _ in range(10):  # pairs are not known, nor is the plane
        distances, partner = tree.query(mirrored)
        linear, shift = fit_similarity(mirrored, positions[partner], scale=False)
        mirrored = mirrored @ linear.T + shift
    distances = np.sort(tree.query(mirrored)[0])
    return distances[int(np.ceil(_SHARE * len(positions))) - 1] < _TOLERANCE
