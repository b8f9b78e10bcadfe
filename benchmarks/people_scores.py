"""How estimates of ``benchmarks/people.py`` are scored, the same for all methods."""

from dataclasses import dataclass

import numpy as np
from runner import attempt
from scipy.spatial.distance import cdist
from transfer_suite import SFREQ

from mne_mmnet.dictionary.regions import Regions
from mne_mmnet.metrics import (
    count_maxima,
    earth_movers_distance,
    localization_errors,
    mean_power,
    roc_auc,
    space_time_cosine,
    spatial_dispersion,
    strongest_region_error,
    time_error,
)
from mne_mmnet.metrics.localization import local_maxima

# mm
_TENT, _NEAR = 30.0, 25.0
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
# what every result has; older ones that lack some are made again
SCORES = (
    "earth_movers_distance_mm",
    "auc",
    "space_time_cosine",
    "strongest_region_error_mm",
    "window_region_error_mm",
    "tent_region_error_mm",
    "strongest_peak_error_mm",
    "localization_error_mm",
    "n_maxima",
    "spatial_dispersion_mm",
)
# half-width, in standard deviations, of the interval that holds a Gaussian with that probability
_WIDTHS = (0.1257, 0.2533, 0.3853, 0.5244, 0.6745, 0.8416, 1.0364, 1.2816, 1.6449)


@dataclass(frozen=True)
class Estimate:
    """What a method found.

    ``size`` are lengths of vectors or absolute values of currents, ``normal`` the currents along
    the normals, both (n_sources, n_times); ``std`` is their standard deviation, and ``level`` the
    confidence level of the smallest region that holds a location, (n_sources,).
    """

    size: np.ndarray
    normal: np.ndarray
    level: np.ndarray | None = None
    std: np.ndarray | None = None

    @classmethod
    def of(cls, currents, inversion, **more):
        """Make one of currents along the normals, or of vectors in head coordinates."""
        currents = np.asarray(currents)
        if currents.ndim == 2:
            return cls(np.abs(currents), currents, **more)
        normal = np.einsum("skt,sk->st", currents, inversion.normals)
        return cls(np.linalg.norm(currents, axis=1), normal, **more)

    @classmethod
    def zeros(cls, shape):
        """Make what a method that failed is scored as."""
        return cls(np.zeros(shape), np.zeros(shape))


def solve(score, method, case, inversion):
    """Run one method on one case; where it failed, a map of zeros is scored.

    ``score`` maps an :class:`Estimate`, the case and the inversion to scores, ``method`` the
    latter two to an estimate. Returns what a :class:`runner.Store` keeps.
    """

    def answer():
        estimate = method(case, inversion)
        if estimate.size.shape != case.truth.shape:
            raise ValueError(f"estimate of shape {estimate.size.shape}")
        if not (np.isfinite(estimate.size).all() and np.isfinite(estimate.normal).all()):
            raise ValueError("estimate is not finite")
        return estimate

    estimate, result = attempt(answer)
    return result | dict(
        scores=score(estimate or Estimate.zeros(case.truth.shape), case, inversion)
    )


def score(estimate, case, inversion):
    """Score an estimate; a dict of numbers."""
    size, positions = estimate.size, inversion.positions
    power, labels = mean_power(size), case.active.astype(int)
    region = strongest_region_error(size, case.truth, case.centres, case.peaks, positions)
    close, far, area = roc_auc(power, labels, positions)
    nearest, strongest = peak_errors(size, case, inversion)
    tent = [_tent_error(size[:, peak], case, peak, positions) for peak in case.peaks]
    scores = dict(
        earth_movers_distance_mm=earth_movers_distance(power, mean_power(case.truth), positions),
        auc=area,
        auc_close=close,
        auc_far=far,
        space_time_cosine=space_time_cosine(estimate.normal, case.truth),
        strongest_region_error_mm=np.mean(region),
        window_region_error_mm=_window_error(power, case, positions),
        tent_region_error_mm=np.mean(tent),
        strongest_peak_error_mm=np.mean(strongest),
        localization_error_mm=np.mean(nearest),
        n_maxima=np.mean(count_maxima(size, case.peaks, inversion.adjacency)),
        spatial_dispersion_mm=spatial_dispersion(power, labels, positions),
        time_error_ms=np.mean(time_error(size, case.seeds, case.peaks, SFREQ)),
    )
    if case.factors["part"] == "dipole":
        scores |= _moment(estimate, case, positions)
    if estimate.level is not None:
        scores |= _confidence(estimate, case, positions)
    return {name: float(value) for name, value in scores.items()}


def peak_errors(size, case, inversion):
    """Distances (mm) at the peak of each patch, two arrays.

    From its centre to the nearest maximum of ``size`` (n_sources, n_times), the farthest source
    where there is none; from the strongest location to the nearest centre.
    """
    positions, nearest, strongest = inversion.positions, [], []
    for centre, peak in zip(case.centres, case.peaks, strict=True):
        one = size[:, peak]
        found = local_maxima(one, inversion.adjacency)
        farthest = np.linalg.norm(positions - centre, axis=1).max()
        nearest.append(min(farthest, localization_errors(centre, positions[found])[0]))
        strongest.append(strongest_error(one, case, positions))
    return np.array(nearest), np.array(strongest)


def strongest_error(one, case, positions):
    """Distance (mm) from the strongest location of one map to the nearest centre.

    Of equal values the farthest counts, as in mne_mmnet.metrics.
    """
    return localization_errors(positions[one == one.max()], case.centres).max()


def _window_error(power, case, positions):
    """Distance of the strongest region of the window's power to the patch that is strongest in it.

    One answer a window, not one a peak: where there is one source, it is the best that classical
    methods can do.
    """
    places = positions[Regions(positions).candidates(power)]
    return _from_strongest(places, case, np.sqrt(mean_power(case.truth)), positions)


def _tent_error(one, case, peak, positions):
    """Like the strongest region's error, with moments weighted less the farther they are."""
    weights = (1.0 - cdist(positions, positions) / _TENT).clip(0.0)
    moments = weights @ one
    places = positions[moments >= moments.max()]
    return _from_strongest(places, case, np.abs(case.truth[:, peak]), positions)


def _from_strongest(places, case, truth, positions):
    """Largest distance of places from the patch that has most of a true map."""
    owner = cdist(case.centres, positions).argmin(axis=0)
    true = np.bincount(owner, truth, minlength=len(case.centres))
    return np.linalg.norm(places - case.centres[true.argmax()], axis=1).max()


def _moment(estimate, case, positions):
    """Moment found within 25 mm of a dipole, as a share of the true one."""
    (peak,), (centre,) = case.peaks, case.centres
    near = np.linalg.norm(positions - centre, axis=1) < _NEAR
    true = case.truth[:, peak].sum()
    return dict(
        moment_of_lengths=estimate.size[near, peak].sum() / abs(true),
        moment_along_normals=estimate.normal[near, peak].sum() / true,
    )


def _confidence(estimate, case, positions):
    """Level at which regions reach the strongest source, their sizes, and intervals of currents.

    The strongest source is the place of the largest mean power. Intervals: the share of locations
    that truly have current where it lies inside, at the samples at which sources peak. With free
    or loose orientation the standard deviation is that of all directions together.
    """
    level = estimate.level
    place = mean_power(case.truth).argmax()
    farthest = np.linalg.norm(positions - positions[level.argmin()], axis=1)
    scores = dict(reached_at=level[place])
    for nominal in (0.5, 0.9):
        inside = level < nominal
        scores[f"n_locations_{nominal:g}"] = inside.sum()
        scores[f"radius_{nominal:g}_mm"] = farthest[inside].max(initial=0.0)
    if estimate.std is not None:
        rows = case.truth.any(axis=1)
        off = np.abs(case.truth - estimate.normal)[rows][:, case.peaks]
        std = estimate.std[rows][:, None]
        for nominal, width in zip(LEVELS, _WIDTHS, strict=True):
            scores[f"current_within_{nominal:g}"] = np.mean(off <= width * std)
    return scores
