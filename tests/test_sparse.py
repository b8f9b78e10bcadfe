"""Products with sparse matrices, and their gradients."""

import pytest
import torch

from mne_mmnet.objective.sparse import sparse_product


@pytest.mark.parametrize("layout", ["csr", "dense"])
def test_sparse_product(layout, rng):
    """The product, and the gradient in the dense factor, again and again."""
    dense = torch.as_tensor(rng.standard_normal((5, 7)) * (rng.uniform(size=(5, 7)) < 0.4))
    matrix = dense.to_sparse_csr() if layout == "csr" else dense
    for n_columns in (1, 3):
        x = torch.as_tensor(rng.standard_normal((7, n_columns))).requires_grad_(True)
        torch.testing.assert_close(sparse_product(matrix, x.detach()), dense @ x.detach())
        found = sparse_product(matrix, x)
        torch.testing.assert_close(found, dense @ x)
        # a gradient that is not contiguous
        weight = torch.as_tensor(rng.standard_normal((n_columns, 5))).mT
        (gradient,) = torch.autograd.grad((found * weight).sum(), x)
        torch.testing.assert_close(gradient, dense.mT @ weight)
        assert torch.autograd.gradcheck(lambda x: sparse_product(matrix, x), x)


def test_nothing_is_kept_where_no_gradient_is_wanted(rng):
    """At use no transposed matrix is made."""
    matrix = torch.as_tensor(rng.standard_normal((4, 4))).to_sparse_csr()
    with torch.inference_mode():
        sparse_product(matrix, torch.ones(4, 2, dtype=torch.float64))
    assert not hasattr(matrix, "transposed")
