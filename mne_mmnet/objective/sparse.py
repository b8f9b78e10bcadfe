"""Products with sparse matrices, through which gradients go at the price of another product."""

import torch
from torch.autograd.function import once_differentiable


class _Product(torch.autograd.Function):
    """M x; backward Mᵀ ḡ, with Mᵀ kept: torch sorts it anew for every gradient."""

    @staticmethod
    def forward(ctx, matrix, x):
        ctx.matrix = matrix
        return matrix @ x

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        matrix = ctx.matrix
        if not hasattr(matrix, "transposed"):
            matrix.transposed = matrix.mT.to_sparse_csr()
        return None, matrix.transposed @ grad.contiguous()


def sparse_product(matrix, x):
    """Multiply a matrix that nothing is learned of.

    Parameters
    ----------
    matrix : torch.Tensor of shape (n, m)
        Sparse CSR, or dense where the device has no CSR.
    x : torch.Tensor of shape (m, k)
        Dense.

    Returns
    -------
    product : torch.Tensor of shape (n, k)
        ``matrix @ x``, differentiable in ``x``, once.
    """
    if x.requires_grad and matrix.layout == torch.sparse_csr:
        return _Product.apply(matrix, x)
    return matrix @ x
