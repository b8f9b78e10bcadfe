"""Decompositions of batches of small matrices."""

from functools import partial

import pytest
import torch

from mne_mmnet._support import eigen


@pytest.mark.parametrize("n_batch", [1, 2, 13])
def test_threads(n_batch, rng):
    """Threads that share a batch give what one gives, in order."""
    matrix = torch.as_tensor(rng.standard_normal((n_batch, 5, 5)))
    matrix = matrix + matrix.mT
    values, vectors = eigen._on_threads(torch.linalg.eigh, matrix)
    # LAPACKs differ in the last digit between one matrix and a batch
    torch.testing.assert_close(values, torch.linalg.eigh(matrix)[0], rtol=1e-13, atol=1e-13)
    torch.testing.assert_close((vectors * values[:, None]) @ vectors.mT, matrix)
    torch.testing.assert_close(eigen.symmetric_eigen(matrix)[0], values)


def test_thin_svd(rng):
    """Of wide and tall matrices, as thin as they can be."""
    matrix = torch.as_tensor(rng.standard_normal((7, 5, 3)))
    left, values, right = eigen.thin_svd(matrix)
    torch.testing.assert_close((left * values[:, None]) @ right, matrix)
    assert left.shape == matrix.shape
    function = partial(torch.linalg.svd, full_matrices=False)
    for one, two in zip(eigen._on_threads(function, matrix), (left, values, right), strict=True):
        torch.testing.assert_close(one, two)
