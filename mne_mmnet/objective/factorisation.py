"""Cholesky factors that stand the rounding of what they factor."""

import torch


def factor_dtype(device):
    """Precision of the n × n factorisation: float64 wherever the device has it."""
    return torch.float32 if torch.device(device).type == "mps" else torch.float64


def robust_cholesky(sigma):
    """Cholesky factor of Σ, with jitter on the samples that need it.

    The jitter is 10^k ε tr(Σ)/n, k = 0 … 6, ε the machine epsilon of float32: the error with which
    Σ itself was summed. It is added only to samples whose plain factorisation fails.

    Parameters
    ----------
    sigma : torch.Tensor of shape (n_batch, n_rank, n_rank)
        Symmetric positive definite up to rounding.

    Returns
    -------
    chol : torch.Tensor of shape (n_batch, n_rank, n_rank)
        Lower triangular.

    Raises
    ------
    FloatingPointError
        If a matrix is not finite or stays indefinite under the largest jitter.
    """
    chol, info = torch.linalg.cholesky_ex(sigma)
    if not bool(info.any()):
        return chol
    n_rank = sigma.shape[-1]
    trace = sigma.diagonal(dim1=-2, dim2=-1).sum(-1)
    eye = torch.eye(n_rank, dtype=sigma.dtype, device=sigma.device)
    for power in range(7):
        jitter = (info > 0) * (10.0**power * torch.finfo(torch.float32).eps / n_rank) * trace
        chol, info_now = torch.linalg.cholesky_ex(sigma + jitter[:, None, None] * eye)
        if not bool(info_now.any()):
            return chol
        info = torch.maximum(info, info_now)
    raise FloatingPointError(
        "The model covariance is not positive definite; are data and lead field finite?"
    )


def inverse_factor(chol):
    """K⁻¹ of a Cholesky factor K, shape (n_batch, n, n): the whitener of Σ = K Kᵀ."""
    eye = torch.eye(chol.shape[-1], dtype=chol.dtype, device=chol.device)
    return torch.linalg.solve_triangular(chol, eye.expand_as(chol), upper=False)
