"""How alike two maps of the brain are (DESIGN §6)."""

import numpy as np
from scipy.spatial import KDTree
from scipy.stats import rankdata

PSNR_CEILING = 100.0  # dB: equal maps would be infinitely good, and no mean could hold that


def mean_power(currents):
    """Mean over time of the squared currents, in units of their largest square.

    Parameters
    ----------
    currents : array of shape (n_sources, n_times)
        Currents (any unit).

    Returns
    -------
    power : array of shape (n_sources,)
        Mean squares of the currents divided by their largest absolute value; zeros of zeros.
    """
    return np.mean(_normalise(currents) ** 2, axis=1)


def nmse(estimate, truth, peaks):
    """Mean squared error of the signed maps at each peak time, each divided by its max abs.

    Per peak, Σᵢ (x̂ᵢ / max|x̂| − xᵢ / max|x|)² / n_sources, as in Reynaud et al. 2024
    (10.3389/fnins.2024.1444935). A wrong sign counts. Zeros stay zeros; being close to most of
    a focal truth, they score well: never read this alone.

    Parameters
    ----------
    estimate, truth, peaks
        Of :func:`mne_mmnet.metrics.score`.

    Returns
    -------
    errors : array of shape (n_patches,)
        Between 0 (equal up to a positive factor) and 4.
    """
    return np.array(
        [np.mean((_normalise(estimate[:, t]) - _normalise(truth[:, t])) ** 2) for t in peaks]
    )


def psnr(estimate, truth, peaks):
    """Peak signal-to-noise ratio of the max-normalised signed maps at each peak time.

    10 log₁₀(1 / `nmse`): the peak of a normalised map is 1. (Reynaud et al. 2024 take it over
    the whole space-time array instead.)

    Parameters
    ----------
    estimate, truth, peaks
        Of :func:`mne_mmnet.metrics.score`.

    Returns
    -------
    ratios : array of shape (n_patches,)
        Ratios in dB, at most 100.
    """
    floor = 10.0 ** (-PSNR_CEILING / 10.0)
    return -10.0 * np.log10(np.maximum(nmse(estimate, truth, peaks), floor))


def auc(values, active):
    """Area under the ROC curve: how often an active source exceeds an inactive one.

    Ties count one half (Mann-Whitney), so that a constant map scores 0.5.

    Parameters
    ----------
    values : array of shape (n_sources,)
        What should be larger where a source is active.
    active : array of bool, shape (n_sources,)
        The true sources; neither none nor all.

    Returns
    -------
    auc : float
        Between 0 and 1.
    """
    active = np.asarray(active, bool)
    n_on, n_off = active.sum(), (~active).sum()
    if n_on == 0 or n_off == 0:
        raise ValueError("The area under the ROC curve needs active and inactive sources.")
    above = rankdata(values)[active].sum() - n_on * (n_on + 1) / 2
    return float(above / (n_on * n_off))


def roc_auc(values, labels, positions):
    """Area under the ROC curve, balanced between near and far inactive sources.

    After Grova et al. 2006 (10.1016/j.neuroimage.2005.08.053): a few active sources among
    many far ones would make every blurred map look good, so that as many inactive sources as
    active ones are drawn from the neighbourhood (blur is punished) and from the rest (spurious
    activity is), and the two areas averaged. Here without chance: *close* are the n_active
    inactive sources nearest to an active one (and those as near as the last of them), *far* all
    others; the area against a whole set is the expectation of the area against random subsets
    of it. Unlike here, Grova et al. draw the far ones around the spurious maxima of the estimate.

    Parameters
    ----------
    values : array of shape (n_sources,)
        Estimated strength, such as `mean_power`.
    labels, positions
        Of :func:`mne_mmnet.metrics.score`.

    Returns
    -------
    close, far, mean : float
        Areas between 0 and 1. Where too few inactive sources leave none far, all equal close.
    """
    active = np.asarray(labels) > 0
    off = np.flatnonzero(~active)
    if len(off) == len(active) or len(off) == 0:
        raise ValueError("The area under the ROC curve needs active and inactive sources.")
    distance = _distance_to_active(positions, active)[off]
    rim = np.sort(distance)[min(active.sum(), len(off)) - 1]
    near = distance <= rim * (1.0 + 1e-9)
    areas = []
    for others in (off[near], off[~near]):
        if len(others):
            chosen = np.r_[np.flatnonzero(active), others]
            areas.append(auc(values[chosen], active[chosen]))
    return areas[0], areas[-1], float(np.mean(areas))


def average_precision(values, labels):
    """Average precision: Σₙ (Rₙ − Rₙ₋₁) Pₙ over the distinct values, as scikit-learn has it.

    Parameters
    ----------
    values : array of shape (n_sources,)
        Estimated strength, such as `mean_power`.
    labels : array of int, shape (n_sources,)
        0 where inactive, k in the k-th true patch.

    Returns
    -------
    precision : float
        Between 0 and 1; a constant map scores the share of active sources.
    """
    order = np.argsort(-values, kind="stable")
    hits = np.cumsum(np.asarray(labels)[order] > 0)
    last = np.r_[np.flatnonzero(np.diff(values[order])), len(order) - 1]  # of each tie
    if hits[-1] == 0:
        raise ValueError("The average precision needs active sources.")
    recalled = np.diff(hits[last], prepend=0) / hits[-1]
    return float(np.sum(recalled * hits[last] / (last + 1)))


def spatial_dispersion(power, labels, positions):
    """Root mean squared distance of the estimated power from the true patches.

    sqrt(Σᵢ dᵢ² pᵢ / Σᵢ pᵢ) after Molins et al. 2008 (10.1016/j.neuroimage.2008.05.064), with dᵢ
    the distance to the nearest *active source* instead of a single dipole: power anywhere inside
    a patch is well placed.

    Parameters
    ----------
    power : array of shape (n_sources,)
        Estimated power (any unit); zeros are scored as an even map.
    labels, positions
        Of :func:`mne_mmnet.metrics.score`.

    Returns
    -------
    dispersion : float
        In mm; 0 where all power lies within the patches.
    """
    distance = _distance_to_active(positions, np.asarray(labels) > 0)
    weights = _normalise(power) if np.any(power) else np.ones(len(distance))
    return float(np.sqrt(np.average(distance**2, weights=weights)))


def space_time_cosine(estimate, truth):
    """Cosine of the angle between two space-time arrays: their agreement in all but amplitude.

    Parameters
    ----------
    estimate, truth : array of shape (n_sources, n_times)
        Estimated and true currents (each in any unit).

    Returns
    -------
    cosine : float
        Between -1 and 1; 0 where either is zero.
    """
    a, b = _normalise(estimate).ravel(), _normalise(truth).ravel()
    length = np.sqrt((a @ a) * (b @ b))
    return float(np.clip(a @ b / length, -1.0, 1.0)) if length > 0 else 0.0


def _normalise(values):
    """Divide by the largest absolute value; zeros stay zeros."""
    values = np.asarray(values, float)
    largest = np.abs(values).max()
    return values / largest if largest > 0 else values


def _distance_to_active(positions, active):
    """Distance (mm) of every source to the nearest active one."""
    return KDTree(positions[active]).query(positions)[0]
