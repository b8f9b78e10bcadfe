"""How far an estimate is from the truth (DESIGN §6). Arrays only."""

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
