"""Filters for the channels that data have: fewer of them, and in the unit they are in.

Filters are the conditional expectation of the currents, K = X Σ⁻¹, with X the covariance of
currents and data and Σ that of the data. Given the variances both are known at any part of the
channels: rows and columns of the others are left out, without looking at the data again.
"""

from dataclasses import replace

import numpy as np
from mne.utils import logger

from .._mne import MIN_CHANNELS, refuse_other_types, summarize_names, units_of

# part of a projector's vector on the channels kept, below which it is of the others (MNE's)
_LEAST_VECTOR = 1e-2


def fit_filters(filters, names, bads=()):
    """Fit filters to the channels of data.

    The same where all channels are there, else filters for the good ones; too few of these, or
    filters for data of lower rank, are an error.
    """
    good = set(names) - set(bads)
    kept = np.flatnonzero([name in good for name in filters.ch_names])
    return filters if len(kept) == len(filters.ch_names) else _leave_out(filters, kept)


def for_units(filters, info):
    """Adapt filters, fitted to these channels, to data in the unit that their info declares."""
    refuse_other_types(info, filters)
    factors = units_of(info, filters.ch_names)
    return filters if factors is None else replace(filters, kernel=filters.kernel * factors[:, 0])


def _leave_out(filters, kept):
    """Make filters of some channels, under the same variances."""
    names = [filters.ch_names[k] for k in kept]
    others = [name for name in filters.ch_names if name not in names]
    if len(kept) < max(MIN_CHANNELS, len(filters.ch_names) / 2):
        raise ValueError(
            f"The data have {len(kept)} good ones of the {len(filters.ch_names)} channels that "
            f"the filters were made for, not {summarize_names(others)}. Channels are matched by "
            "name: rename them with rename_channels, or make the filters from data with these "
            "channels."
        )
    values, vectors = np.linalg.eigh(filters.projector)
    removed = vectors[:, values < 0.5]
    if filters.n_rank < len(filters.ch_names) - removed.shape[1]:
        raise ValueError(
            f"{summarize_names(others)} missing or bad in the data, and the filters are for data "
            f"of rank {filters.n_rank}, of which these were a part. Make the filters from data "
            "without these channels."
        )
    logger.info(
        f"The filters are computed anew, under the same source variances, without "
        f"{summarize_names(others)}"
    )
    # channels of one scale: volts and teslas together are beyond double precision
    scale = 1.0 / np.sqrt(np.diag(filters.covariance)[kept])
    sigma = scale[:, np.newaxis] * filters.covariance[np.ix_(kept, kept)] * scale
    cross = filters.kernel @ filters.covariance[:, kept] * scale
    # what the projectors remove is not known of the data: contrasts that are free of it
    removed = _left_of(removed, kept)
    contrasts = _complement(scale[:, np.newaxis] * removed)
    own = contrasts.T @ sigma @ contrasts
    kernel = np.linalg.solve(own, (cross @ contrasts).swapaxes(1, 2)).swapaxes(1, 2)
    kernel = kernel @ contrasts.T * scale
    projector = np.eye(len(kept)) - removed @ removed.T
    return replace(
        filters,
        kernel=kernel,
        ch_names=tuple(names),
        ch_types=tuple(filters.ch_types[k] for k in kept),
        projector=projector,
        covariance=projector @ filters.covariance[np.ix_(kept, kept)] @ projector,
        n_rank=len(own),
    )


def _left_of(vectors, kept):
    """Orthonormal span of vectors on some channels, without those that lie on the others."""
    left, sizes, _ = np.linalg.svd(vectors[kept], full_matrices=False)
    return left[:, sizes > _LEAST_VECTOR]


def _complement(vectors):
    """Orthonormal basis of all that is orthogonal to some vectors, (n, n - n_vectors)."""
    return np.linalg.qr(vectors, mode="complete")[0][:, vectors.shape[1] :]
