"""From recordings, covariances and spectra to what the objective needs: whitened second moments.

The objective knows data by C = Y Yᵀ / T alone (DESIGN §2b'), so that any Y with the same C stands
for them: that of an evoked response is the response itself, that of a covariance its square root.
"""

from dataclasses import dataclass

import numpy as np

from .._mne import (
    check_projectors,
    check_reference,
    is_average_reference,
    match_channels,
    noise_scale,
    pick_data,
    prepare_data,
    whiten_data,
)
from ..inverse.epochs import each_epoch

# eigenvalues below that share of the largest are negative by rounding
_ROUNDING = 1e-8
# the mean of average-referenced channels is rounding, relative to their root-mean-square
_MEAN_TOLERANCE = 1e-3
# samples of continuous data that are read together
_CHUNK = 20_000


@dataclass(frozen=True, eq=False)
class Moments:
    """What stands for the data of one set of filters.

    Parameters
    ----------
    data : array of shape (n_rank, n_columns)
        Whitened; C = data dataᵀ / n_columns.
    n_times : float | None
        Samples that C comes from; None where that is unknown.
    nave : float
        Averages that the data are, by which they are scaled where the noise is known.
    in_time : bool
        Whether the columns are samples in their order, rather than those of a root of C.
    sensors : array of shape (n_channels, n_columns) | None
        Of samples, what the channels measured (V, T and T/m).
    """

    data: np.ndarray
    n_times: float | None
    nave: float = 1.0
    in_time: bool = False
    sensors: np.ndarray | None = None


def moments_of_evokeds(evokeds, prepared):
    """Pool responses: their samples side by side, in units of their own noise.

    Of one response, exactly what :func:`apply_mmnet_inverse` solves for.
    """
    sensors, parts = [], []
    for evoked in evokeds:
        sensors.append(pick_data(evoked.info, prepared, evoked.data))
        check_reference(evoked.info, evoked.data, prepared.ch_names)
        parts.append(whiten_data(prepared, sensors[-1], evoked.nave))
    sensors, data = (np.concatenate(some, axis=1) for some in (sensors, parts))
    nave = evokeds[0].nave if len(evokeds) == 1 else np.mean([one.nave for one in evokeds])
    return Moments(data, data.shape[1], nave, in_time=True, sensors=sensors)


def moments_of_epochs(epochs, prepared, nave):
    """Second moment of all samples of all epochs, what is not phase-locked included.

    Also returned is how many good epochs there were; they are read one by one.
    """
    total, n_epochs = np.zeros((prepared.n_rank,) * 2), 0
    for data in each_epoch(epochs):
        whitened = prepare_data(epochs.info, prepared, data, nave)
        check_reference(epochs.info, data, prepared.ch_names)
        total += whitened @ whitened.T
        n_epochs += 1
    n_times = n_epochs * len(epochs.times)
    return Moments(_root(total / n_times), n_times, nave), n_epochs


def moments_of_raw(raw, prepared, nave):
    """Covariance of continuous data about their mean, as :func:`mne.compute_raw_covariance`.

    It is read piece by piece, without what is annotated as bad.
    """
    n = prepared.n_rank
    total, mean, n_times = np.zeros((n, n)), np.zeros(n), 0
    for start in range(0, len(raw.times), _CHUNK):
        stop = min(start + _CHUNK, len(raw.times))
        data = raw.get_data(start=start, stop=stop, reject_by_annotation="omit", verbose="error")
        if data.shape[1] == 0:
            continue
        whitened = prepare_data(raw.info, prepared, data, nave)
        check_reference(raw.info, data, prepared.ch_names)
        total += whitened @ whitened.T
        mean += whitened.sum(axis=1)
        n_times += whitened.shape[1]
    if n_times < 2:
        raise ValueError(
            "There are no good samples: all are annotated as bad. See raw.annotations."
        )
    covariance = (total - np.outer(mean, mean) / n_times) / (n_times - 1)
    return Moments(_root(covariance), n_times, nave)


def moments_of_covariance(cov, prepared, nave, info=None):
    """Whiten a data covariance.

    The projectors of ``info`` are known, too, where the operator was made from it.
    """
    whole = np.diag(cov.data) if cov["diag"] else cov.data
    data = _whiten(whole, cov["names"], cov["bads"], cov["projs"], prepared, info, "covariance")
    n_times = cov["nfree"] if cov["nfree"] > 1 else None
    return Moments(noise_scale(prepared, nave) * data, n_times, nave)


def moments_of_csd(csd, index, prepared, info=None):
    """Whiten the real part of a cross-spectral density, that of in-phase and anti-phase fields.

    Of one frequency, or the mean of all; ``info`` is as for :func:`moments_of_covariance`.
    """
    which = range(len(csd.frequencies)) if index is None else [index]
    whole = np.mean([csd.get_data(index=k).real for k in which], axis=0)
    data = _whiten(whole, csd.ch_names, [], csd.projs, prepared, info, "cross-spectral density")
    return Moments(data, None)


def moments_of_coefficients(coefficients, info, prepared, nave):
    """Real part of the second moment of complex coefficients.

    Re(z zᴴ) = a aᵀ + b bᵀ of z = a + i b, over values of shape (n_all_channels, n_values).
    """
    parts = [prepare_data(info, prepared, x, nave) for x in (coefficients.real, coefficients.imag)]
    n_values = parts[0].shape[1]
    total = sum(part @ part.T for part in parts)
    return Moments(_root(total / n_values), None, nave)


def _whiten(matrix, names, bads, projs, prepared, info, what):
    """Square root of W M Wᵀ, after all that can be wrong with M."""
    if np.iscomplexobj(matrix):
        raise TypeError(
            f"The {what} must be real, got complex values. Pass the CrossSpectralDensity itself, "
            "whose real part is used, or a covariance of the data."
        )
    picks = match_channels(names, bads, prepared.ch_names, "operator")
    check_projectors(projs, prepared.ch_names, prepared.projector, "operator")
    matrix = np.asarray(matrix, float)[np.ix_(picks, picks)]
    known = [*projs, *([] if info is None else info["projs"])]
    check_matrix(matrix, known, prepared.ch_types, what)
    if not matrix.any():
        raise ValueError(f"The {what} is zero: there is nothing to localise.")
    # whitened first: volts and teslas together are beyond an eigendecomposition's precision
    return _root(prepared.whitener @ matrix @ prepared.whitener.T, what)


def check_matrix(matrix, projs, ch_types, what):
    """Check that second moments are finite and those of average-referenced EEG."""
    if not np.isfinite(matrix).all():
        raise ValueError(f"The {what} contains NaN or infinite values. Compute it again.")
    if not any(is_average_reference(proj) for proj in projs):
        _check_reference(matrix, ch_types, what)


def _check_reference(matrix, ch_types, what):
    """Refuse EEG whose average over channels has a variance."""
    is_eeg = np.array(ch_types) == "eeg"
    if not is_eeg.any():
        return
    block = matrix[np.ix_(is_eeg, is_eeg)]
    if block.mean() > _MEAN_TOLERANCE**2 * np.trace(block) / len(block):
        raise ValueError(
            f"The {what} has no average EEG reference. Compute it from data on which "
            "set_eeg_reference(projection=True) was called."
        )


def _root(matrix, what="data's second moment"):
    """Y with Y Yᵀ / n = M, for M of shape (n, n)."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    if values[0] < -_ROUNDING * values[-1]:
        raise ValueError(
            f"The {what} has negative eigenvalues ({values[0]:.2g}, the largest is "
            f"{values[-1]:.2g}), so that it is none. Pass that of the data, not a difference."
        )
    return vectors * np.sqrt(np.maximum(values, 0.0) * len(values))
