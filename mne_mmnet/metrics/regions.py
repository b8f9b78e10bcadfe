"""Where the most moment of an estimate lies, and whether that place is a steady one (DESIGN §6).

What a region is says `mne_mmnet.dictionary.regions`.
"""

from itertools import combinations

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from ..dictionary.regions import REGION_MM, Regions


def strongest_region_error(
    estimate, truth, centres, peaks, positions, *, radius=REGION_MM, true_positions=None
):
    """Distance from the place of the strongest region to the patch of the largest true moment.

    At each peak time, from the place of the estimate's largest moment within 15 mm to the centre
    of the patch that then has the largest true moment. A location is of the patch whose centre is
    nearest to it, and the moment of a patch the sum of |x| over its locations. The patch that
    peaks may be another one than the largest of that time; the number of estimated regions is of
    no matter.

    Parameters
    ----------
    estimate : array of shape (n_sources, n_times)
        Estimated currents (any unit); the absolute values count.
    truth : array of shape (n_true_sources, n_times)
        True currents, likewise.
    centres : array of shape (n_patches, 3)
        Centre of each true patch (mm), which may lie between the sources.
    peaks : array of int, shape (n_patches,)
        The sample at which each true patch is largest.
    positions : array of shape (n_sources, 3)
        Positions of the sources (mm).
    radius : float
        Radius of a region (mm).
    true_positions : array of shape (n_true_sources, 3) | None
        Positions of the true currents (mm). None is those of the estimate.

    Returns
    -------
    errors : array of shape (n_patches,)
        Distances in mm; of equally strong regions the farthest counts, hence the farthest source
        of all where the map is zero.
    """
    centres = np.atleast_2d(centres)
    regions = Regions(positions, radius)
    owner = KDTree(centres).query(positions if true_positions is None else true_positions)[1]
    errors = []
    for peak in peaks:
        moments = np.bincount(owner, np.abs(truth[:, peak]), minlength=len(centres))
        places = positions[regions.candidates(estimate[:, peak])]
        errors.append(np.linalg.norm(places - centres[moments.argmax()], axis=1).max())
    return np.array(errors)


def steadiness(maps, positions, *, radius=REGION_MM):
    """Mean distance between the strongest regions of several estimates of one instant.

    Of estimates of the same response over other windows, with other orientation constraints or
    other heads, say: 0 if all name the same place.

    Parameters
    ----------
    maps : array of shape (n_maps, n_sources)
        Estimates of the same instant, two at least (each in any unit).
    positions : array of shape (n_sources, 3)
        Positions of the sources (mm).
    radius : float
        Radius of a region (mm).

    Returns
    -------
    distance : float
        Mean over all pairs, in mm. Where regions of a map are equally strong, those farthest from
        the other map's count; a map of zeros is as far from all others as can be.
    """
    maps, positions = np.asarray(maps, float), np.asarray(positions, float)
    if maps.ndim != 2 or len(maps) < 2 or maps.shape[1] != len(positions):
        raise ValueError(
            f"maps must be of shape (n_maps, {len(positions)}), with two maps at least, got "
            f"{maps.shape}."
        )
    if not np.isfinite(maps).all():
        raise ValueError("maps must be finite.")
    regions = Regions(positions, radius)
    places = [positions[regions.candidates(one)] for one in maps]
    return float(np.mean([cdist(a, b).max() for a, b in combinations(places, 2)]))
