"""Whitened data with their noise taken out, without knowing its level."""

import math

import torch

from .._support.eigen import thin_svd
from ..objective import factor_dtype

# below this many channels or samples there is no noise floor to read off the singular values
_SMALLEST = 8


def optimal_threshold(beta):
    """λ*(β), the optimal hard threshold of singular values (Gavish & Donoho 2014, eq. 11).

    Parameters
    ----------
    beta : float
        Aspect ratio of the matrix, 0 < β ≤ 1.

    Returns
    -------
    threshold : float
        In units of σ √max(n, T).
    """
    return math.sqrt(2 * (beta + 1) + 8 * beta / (beta + 1 + math.sqrt(beta**2 + 14 * beta + 1)))


def shrink_singular_values(data):
    """Optimal shrinkage of the singular values of data in white noise.

    With β the aspect ratio and y a singular value in units of σ √max(n, T), the best for the mean
    squared error is √((y² − β − 1)² − 4β)/y, and 0 for y ≤ 1 + √β (Gavish & Donoho 2017,
    doi 10.1109/TIT.2017.2653801, eq. 7). σ comes from the median singular value, through
    μ_β = (λ*(β)/ω(β))², λ* and ω(β) ≈ 0.56β³ − 0.95β² + 1.82β + 1.43 as in Gavish & Donoho 2014
    (doi 10.1109/TIT.2014.2323359, eqs 11 and 5). MNE's sparse solvers do the like (``time_pca``).

    Parameters
    ----------
    data : torch.Tensor of shape (n_batch, n_channels, n_times)
        Whitened data. Fewer than 8 channels or samples come back as they are.

    Returns
    -------
    shrunk : torch.Tensor of shape (n_batch, n_channels, n_times)
        Never zero where the data are not: the first component is kept.
    """
    low, high = sorted(data.shape[1:])
    if low < _SMALLEST:
        return data
    beta = low / high
    omega = 0.56 * beta**3 - 0.95 * beta**2 + 1.82 * beta + 1.43
    left, values, right = thin_svd(data.to(factor_dtype(data.device)))
    # σ √max(n, T): the median is √μ_β of them
    unit = values.median(1, keepdim=True).values * omega / optimal_threshold(beta)
    # a noise floor below the rounding of the decomposition is none
    unit = torch.where(unit > torch.finfo(unit.dtype).eps * values[:, :1], unit, 0.0)
    scaled = values / torch.where(unit > 0, unit, 1.0)
    above = (scaled > 1.0 + math.sqrt(beta)) | (unit <= 0)
    best = ((scaled**2 - beta - 1.0) ** 2 - 4.0 * beta).clamp_min(0.0).sqrt()
    share = torch.where(
        above & (unit > 0), best / scaled.clamp_min(1e-30) ** 2, above.to(best.dtype)
    )
    first = torch.zeros_like(above)
    first[:, 0] = True
    share = torch.where(first & ~above, 1.0, share)
    return ((left * (values * share)[:, None]) @ right).to(data.dtype)
