"""All metrics of one sample, and the mean over samples with its uncertainty."""

import numpy as np

from .localization import (
    count_maxima,
    localization_error,
    neighbourhood_localization_error,
    strongest_peak_error,
    time_error,
)
from .maps import (
    average_precision,
    mean_power,
    nmse,
    psnr,
    roc_auc,
    space_time_cosine,
    spatial_dispersion,
)
from .regions import strongest_region_error
from .transport import earth_movers_distance


def score(estimate, truth, *, labels, seeds, peaks, positions, adjacency, sfreq):
    """Score one estimate by every metric, averaged over its true patches.

    Areas, average precision, earth mover's distance and dispersion read the time-averaged power
    (`mean_power`); map errors and localization errors the maps at the true peak times. All
    answers are finite, also for an estimate of zeros: no maximum found, hence the distance to
    the farthest source; the largest possible time error; an even map (area 0.5, precision the
    share of active sources, distances of an even map); a cosine of 0; nMSE and PSNR of zeros.

    Parameters
    ----------
    estimate, truth : array of shape (n_sources, n_times)
        Estimated and true currents on the same sources (each in any unit).
    labels : array of int, shape (n_sources,)
        0 where inactive, k in the k-th true patch.
    seeds : array of int, shape (n_patches,)
        The source at the centre of each true patch.
    peaks : array of int, shape (n_patches,)
        The sample at which each true patch is largest.
    positions : array of shape (n_sources, 3)
        Positions of the sources (mm).
    adjacency : scipy.sparse array of shape (n_sources, n_sources)
        Positive where two sources are neighbours.
    sfreq : float
        Sampling frequency (Hz).

    Returns
    -------
    scores : dict of str to float
        The metrics by name; names end in the unit, where there is one.
    """
    estimate, truth, positions = (np.asarray(x, float) for x in (estimate, truth, positions))
    seeds, peaks = np.atleast_1d(seeds), np.atleast_1d(peaks)
    _check(estimate, truth, labels, seeds, peaks, positions)
    power = mean_power(estimate)
    close, far, area = roc_auc(power, labels, positions)
    per_patch = dict(
        localization_error_mm=localization_error(estimate, seeds, peaks, positions, adjacency),
        n_maxima=count_maxima(estimate, peaks, adjacency),
        strongest_peak_error_mm=strongest_peak_error(estimate, seeds, peaks, positions),
        strongest_region_error_mm=strongest_region_error(
            estimate, truth, positions[seeds], peaks, positions
        ),
        neighbourhood_localization_error_mm=neighbourhood_localization_error(
            estimate, seeds, peaks, positions, adjacency
        ),
        time_error_ms=time_error(estimate, seeds, peaks, sfreq),
        nmse=nmse(estimate, truth, peaks),
        psnr_db=psnr(estimate, truth, peaks),
    )
    return {name: float(np.mean(values)) for name, values in per_patch.items()} | dict(
        auc_close=close,
        auc_far=far,
        auc=area,
        average_precision=average_precision(power, labels),
        earth_movers_distance_mm=earth_movers_distance(power, mean_power(truth), positions),
        spatial_dispersion_mm=spatial_dispersion(power, labels, positions),
        space_time_cosine=space_time_cosine(estimate, truth),
    )


def confidence_interval(values, *, seed=0, n_boot=2000, level=0.95):
    """Percentile bootstrap interval of the mean over samples (Efron & Tibshirani 1993, ch. 13).

    Parameters
    ----------
    values : array of shape (n_samples,)
        One metric of every sample.
    seed : int
        Seed of the resampling.
    n_boot : int
        Number of resamplings.
    level : float
        Probability that the interval should hold the mean, between 0 and 1.

    Returns
    -------
    low, high : float
        Ends of the interval.
    """
    values = np.asarray(values, float)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise ValueError(
            "values must be finite numbers, one per sample; a method that failed on a sample "
            "needs a defined score there, not a gap."
        )
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}.")
    drawn = np.random.default_rng(seed).integers(len(values), size=(n_boot, len(values)))
    tails = [50.0 - 50.0 * level, 50.0 + 50.0 * level]
    low, high = np.percentile(values[drawn].mean(axis=1), tails)
    return float(low), float(high)


def _check(estimate, truth, labels, seeds, peaks, positions):
    """Refuse arrays that do not belong together."""
    if estimate.ndim != 2 or estimate.shape != truth.shape:
        raise ValueError(
            "estimate and truth must have one shape (n_sources, n_times), got "
            f"{estimate.shape} and {truth.shape}."
        )
    if not (np.isfinite(estimate).all() and np.isfinite(truth).all()):
        raise ValueError("estimate and truth must be finite.")
    n_sources, n_times = estimate.shape
    if len(labels) != n_sources or positions.shape != (n_sources, 3):
        raise ValueError(
            f"labels and positions must have one row for each of {n_sources} sources."
        )
    if len(seeds) == 0 or seeds.shape != peaks.shape:
        raise ValueError("seeds and peaks must have one entry for each patch, and at least one.")
    if not (np.isin(seeds, range(n_sources)).all() and np.isin(peaks, range(n_times)).all()):
        raise ValueError("seeds must be sources, and peaks samples, of the estimate.")
