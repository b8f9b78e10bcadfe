"""Where and when the peaks of an estimate lie (DESIGN §6)."""

import numpy as np
from scipy import sparse


def local_maxima(values, adjacency, share=0.1):
    """Find the peaks of a map on a source-space graph.

    Parameters
    ----------
    values : array of shape (n_sources,)
        The map; its absolute value counts.
    adjacency : scipy.sparse array of shape (n_sources, n_sources)
        Positive where two sources are neighbours.
    share : float
        Peaks below this share of the largest value are left out.

    Returns
    -------
    peaks : array of int, shape (n_peaks,)
        Sources larger than all of their neighbours, the largest first.
    """
    size = np.abs(values)
    edges = sparse.coo_array(adjacency)
    highest = np.zeros_like(size)
    np.maximum.at(highest, edges.row, size[edges.col])
    peaks = np.flatnonzero((size > highest) & (size >= share * size.max()) & (size > 0))
    return peaks[np.argsort(-size[peaks])]


def localization_errors(truth, found):
    """Distance from each true source to the nearest peak found.

    Free of any oracle window: a peak anywhere may be the nearest, and none is left out.

    Parameters
    ----------
    truth : array of shape (n_true, 3)
        Positions of the true sources (mm).
    found : array of shape (n_peaks, 3)
        Positions of the peaks (mm).

    Returns
    -------
    errors : array of shape (n_true,)
        Distances in mm; infinite where nothing was found.
    """
    truth, found = np.atleast_2d(truth), np.asarray(found, float).reshape(-1, 3)
    if len(found) == 0:
        return np.full(len(truth), np.inf)
    return np.linalg.norm(truth[:, None] - found[None], axis=-1).min(axis=1)


def localization_error(estimate, seeds, peaks, positions, adjacency):
    """Distance from each true seed to the nearest local maximum at its peak time.

    Free of any oracle window. More maxima can only lower it: read it beside the number of
    maxima (`count_maxima`) and `strongest_peak_error`.

    Parameters
    ----------
    estimate, seeds, peaks, positions, adjacency
        Of :func:`mne_mmnet.metrics.score`.

    Returns
    -------
    errors : array of shape (n_patches,)
        Distances in mm. A map without a local maximum (zeros, or a plateau at its top) scores
        the distance to the farthest source of all.
    """
    errors = []
    for seed, peak in zip(seeds, peaks, strict=True):
        found = local_maxima(estimate[:, peak], adjacency)
        distance = _distance_to(positions, [seed])
        errors.append(distance[found].min() if len(found) else distance.max())
    return np.array(errors)


def count_maxima(estimate, peaks, adjacency):
    """Count the local maxima of the estimate at each peak time.

    Parameters
    ----------
    estimate, peaks, adjacency
        Of :func:`mne_mmnet.metrics.score`.

    Returns
    -------
    counts : array of int, shape (n_patches,)
        Numbers of peaks found by `local_maxima`.
    """
    return np.array([len(local_maxima(estimate[:, peak], adjacency)) for peak in peaks])


def strongest_peak_error(estimate, seeds, peaks, positions):
    """Distance from the largest estimated value at each peak time to the nearest true seed.

    Parameters
    ----------
    estimate, seeds, peaks, positions
        Of :func:`mne_mmnet.metrics.score`; the estimate's absolute value counts.

    Returns
    -------
    errors : array of shape (n_patches,)
        Distances in mm; of equal largest values the farthest counts, hence the farthest source
        of all where the map is zero.
    """
    distance = _distance_to(positions, seeds)
    maps = np.abs(estimate[:, peaks])
    return np.where(maps == maps.max(axis=0), distance[:, None], 0.0).max(axis=0)


def neighbourhood_localization_error(estimate, seeds, peaks, positions, adjacency, order=2):
    """Localization error inside an oracle window, after Reynaud et al. 2024.

    Each true seed is compared with the source of the largest absolute value *among its
    neighbours up to the given order*, at the true peak time. The window is drawn around the
    truth, so that the error cannot exceed its radius even for noise: comparable only with
    errors taken in the same window of the same source space. Reynaud et al., "Comprehensive
    analysis of supervised learning methods for electrical source imaging", Frontiers in
    Neuroscience 18 (2024), 10.3389/fnins.2024.1444935; order 2 as in their public evaluation
    script, on 994 sources.

    Parameters
    ----------
    estimate, seeds, peaks, positions, adjacency
        Of :func:`mne_mmnet.metrics.score`.
    order : int
        Edges between the seed and the rim of its window.

    Returns
    -------
    errors : array of shape (n_patches,)
        Distances in mm; of equal largest values the farthest counts.
    """
    edges = sparse.coo_array(adjacency)
    errors = []
    for seed, peak in zip(seeds, peaks, strict=True):
        inside = np.zeros(len(positions), bool)
        inside[seed] = True
        for _ in range(order):
            inside[edges.row[inside[edges.col]]] = True
        size = np.abs(estimate[inside, peak])
        distance = _distance_to(positions, [seed])[inside]
        errors.append(distance[size == size.max()].max())
    return np.array(errors)


def time_error(estimate, seeds, peaks, sfreq):
    """Difference between the estimated and the true peak time, at each true seed.

    The estimated peak is the largest absolute value over all samples, the first one of equals.
    (Reynaud et al. 2024 read it at the *estimated* seed of their window instead.)

    Parameters
    ----------
    estimate, seeds, peaks
        Of :func:`mne_mmnet.metrics.score`.
    sfreq : float
        Sampling frequency (Hz).

    Returns
    -------
    errors : array of shape (n_patches,)
        Absolute differences in ms; a course of zeros scores the largest that was possible.
    """
    peaks = np.asarray(peaks)
    courses = np.abs(estimate[seeds])
    shift = np.abs(courses.argmax(axis=1) - peaks)
    largest = np.maximum(peaks, courses.shape[1] - 1 - peaks)
    return np.where(courses.any(axis=1), shift, largest) * 1000.0 / sfreq


def _distance_to(positions, sources):
    """Distance (mm) of every source to the nearest of some sources, shape (n_sources,)."""
    return np.linalg.norm(positions[:, None] - positions[sources], axis=-1).min(axis=1)
