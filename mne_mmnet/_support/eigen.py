"""Decompositions of batches of small matrices, where they take the least time.

A GPU is slow at these: 64 eigendecompositions of 64 × 64 take 46 ms on an H200, half of a training
batch's time, and the singular values of 32 recordings of 89 × 64 a second; a few milliseconds
on its processor's threads. Apple's GPUs have no such solvers at all.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import torch

# threads that share the matrices of a batch, one each, at most
_MOST_THREADS = 6


def symmetric_eigen(matrix):
    """Eigenvalues (ascending) and eigenvectors of symmetric matrices.

    Parameters
    ----------
    matrix : torch.Tensor of shape (n_batch, n, n)
        Symmetric, on any device.

    Returns
    -------
    values : torch.Tensor of shape (n_batch, n)
        Ascending.
    vectors : torch.Tensor of shape (n_batch, n, n)
        In columns.
    """
    return _decompose(torch.linalg.eigh, matrix)


def thin_svd(matrix):
    """Singular values (descending) and vectors.

    Parameters
    ----------
    matrix : torch.Tensor of shape (n_batch, n, m)
        On any device.

    Returns
    -------
    left : torch.Tensor of shape (n_batch, n, min(n, m))
        In columns.
    values : torch.Tensor of shape (n_batch, min(n, m))
        Descending.
    right : torch.Tensor of shape (n_batch, min(n, m), m)
        In rows.
    """
    return _decompose(partial(torch.linalg.svd, full_matrices=False), matrix)


def _decompose(function, matrix):
    if matrix.device.type == "cpu":
        return tuple(function(matrix))
    return tuple(found.to(matrix.device) for found in _on_threads(function, matrix.cpu()))


def _on_threads(function, matrix):
    parts = _pool().map(function, matrix.chunk(_n_threads()))
    return tuple(torch.cat(found) for found in zip(*parts, strict=True))


def _n_threads():
    return min(_MOST_THREADS, os.cpu_count() or 1)


@cache
def _pool():
    """Return threads that are kept: starting them takes as long as the work."""
    return ThreadPoolExecutor(_n_threads(), "mne-mmnet-eigen")
