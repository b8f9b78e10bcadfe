"""Eigendecompositions of small symmetric matrices."""

import numpy as np
import pytest
import torch

from mne_mmnet import _eigen


@pytest.mark.parametrize("n_batch", [1, 2, 13])
def test_threads(n_batch, rng):
    """Threads that share a batch give what one gives, in order."""
    matrix = torch.as_tensor(rng.standard_normal((n_batch, 5, 5)))
    matrix = matrix + matrix.mT
    values, vectors = _eigen._on_threads(matrix)
    np.testing.assert_array_equal(values, torch.linalg.eigh(matrix)[0])
    rebuilt = (vectors * values[:, None]) @ vectors.mT
    torch.testing.assert_close(rebuilt, matrix)
    torch.testing.assert_close(_eigen.symmetric_eigen(matrix)[0], values)
