"""The two products with the whole dictionary, in which most of the time goes.

With the dictionary L̃ (n × m), variances γ (m), a whitener W = K⁻¹ (n × n) and whitened data D
(n × k), ::

    gram(L̃, γ) = L̃ diag(γ) L̃ᵀ
    quadratics(L̃, B_k, W, D) = z, q:   z_j = ‖W l̃_j‖² ,   q_j = ‖Dᵀ W l̃_j‖² .

Both go once through the dictionary, in blocks of columns that stay in a core's cache, with 2 n² m
operations. They keep nothing of the dictionary's size for the gradient: backward, each is made of
the other.
"""

import math

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from .._support.eigen import symmetric_eigen

# MKL's products take up to twice as long where the width of the result is no multiple of this
_WIDTH = 4
# floats worked on at once on a CPU, about half of a core's cache, and the least number of columns
# that makes a matrix product worth its name
_BLOCK, _LEAST_COLUMNS = 131_072, 512
# an eigendecomposition in double precision takes about as long as that many n³ operations of a
# product in single precision (measured on one core, n = 48 … 100)
_EIGEN_COST = 100


def _columns(atoms, n_batch, *rows):
    """Blocks of the dictionary's columns, and the same blocks of things that have one a column.

    What the whole batch shares loses its first dimension: products of a (n_batch, n, k) with a
    (k, m) tensor are then one matrix product instead of n_batch.
    """
    _, n, m = atoms.shape
    least = _LEAST_COLUMNS if atoms.device.type == "cpu" else m
    n_blocks = max(1, min(math.ceil(n_batch * n * m / _BLOCK), m // max(least, 1)))
    size = max(1, math.ceil(m / n_blocks))
    shared = atoms[0] if len(atoms) == 1 else atoms
    return zip(shared.split(size, -1), *(row.split(size, -1) for row in rows), strict=True)


class _Gram(torch.autograd.Function):
    """L̃ diag(γ) L̃ᵀ; backward γ̄_j = l̃_jᵀ Ḡ l̃_j."""

    @staticmethod
    def forward(ctx, atoms, variance):
        ctx.save_for_backward(atoms)
        n, total = atoms.shape[1], 0.0
        for block, part in _columns(atoms, len(variance), variance):
            # pad copies, even what needs nothing
            wide = pad(block, (0, 0, 0, -n % _WIDTH)) if n % _WIDTH else block
            total = (block * part[:, None, :]) @ wide.mT + total
        return total[..., :n]

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (atoms,) = ctx.saved_tensors
        parts = [(grad @ block).mul_(block).sum(-2) for (block,) in _columns(atoms, len(grad))]
        return None, torch.cat(parts, -1)


class _Quadratics(torch.autograd.Function):
    """z and q of the atoms and of the noise, stacked.

    With M = D Dᵀ, q_j = l̃_jᵀ Wᵀ M W l̃_j. For the gradients z̄ and q̄ let G_z = L̃ diag(z̄) L̃ᵀ,
    G_q likewise; then W̄ = 2 W G_z + 2 M W G_q and D̄ = 2 W G_q Wᵀ D. The noise terms I and B_k add
    z̄_white I + Σ_k z̄_k B_k to G_z.
    """

    @staticmethod
    def forward(ctx, atoms, terms, whiten, data):
        ctx.save_for_backward(atoms, terms, whiten, data)
        n, n_factors = data.shape[-2:]
        if atoms.device.type == "cpu" and 2 * n_factors * atoms.shape[-1] > _EIGEN_COST * n * n:
            # D Dᵀ = U diag(s) Uᵀ: z and q are two weighted sums of the same squares (Uᵀ W L̃)²
            values, vectors = symmetric_eigen(data @ data.mT)
            roots = vectors.mT @ whiten
            weights = torch.stack([torch.ones_like(values), values.clamp_min(0.0)], -2)
        else:
            roots = torch.cat([whiten, data.mT @ whiten], -2)
            weights = whiten.new_zeros(1, 2, n + n_factors)
            weights[:, 0, :n] = weights[:, 1, n:] = 1.0
        seen = (roots[:, None] @ terms.to(roots)).mul_(roots[:, None])
        noise = torch.cat([roots.square()[:, None], seen], 1).sum(-1)
        # from W L̃ rather than from Wᵀ W L̃: squares of numbers with error ε √cond(Σ), not
        # differences with error ε cond(Σ)
        low, few = roots.to(atoms), weights.to(atoms)
        parts = [few @ (low @ block).square_() for (block,) in _columns(atoms, len(low))]
        return torch.cat(parts, -1), (weights @ noise.mT)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, grad_noise):
        atoms, terms, whiten, data = ctx.saved_tensors
        eye = torch.eye(whiten.shape[-1], dtype=whiten.dtype, device=whiten.device)
        noise = torch.cat([eye.expand(len(terms), 1, -1, -1), terms.to(whiten)], 1)
        gram_z, gram_q = (
            gram(atoms, grad[:, k]).to(whiten) + (grad_noise[:, k, :, None, None] * noise).sum(1)
            for k in range(2)
        )
        seen = whiten @ gram_q
        grad_whiten = 2.0 * (whiten @ gram_z + data @ (data.mT @ seen))
        return None, None, grad_whiten, 2.0 * seen @ (whiten.mT @ data)


def gram(atoms, variance):
    """Covariance that atoms of given variances make.

    Parameters
    ----------
    atoms : torch.Tensor of shape (n_models, n_kept, n_columns)
        The dictionary L̃; n_models is 1 or n_batch.
    variance : torch.Tensor of shape (n_batch, n_columns)
        γ.

    Returns
    -------
    covariance : torch.Tensor of shape (n_batch, n_kept, n_kept)
        L̃ diag(γ) L̃ᵀ. Differentiable in γ, once.
    """
    return _Gram.apply(atoms, variance)


def quadratics(atoms, terms, whiten, data):
    """Whitened power of every atom and noise term, whole and in the directions of the data.

    Parameters
    ----------
    atoms : torch.Tensor of shape (n_models, n_kept, n_columns)
        The dictionary L̃; n_models is 1 or n_batch.
    terms : torch.Tensor of shape (n_models, n_terms, n_kept, n_kept)
        B_k, the covariances of the other noise terms; that of the first is the identity.
    whiten : torch.Tensor of shape (n_batch, n_kept, n_kept)
        W.
    data : torch.Tensor of shape (n_batch, n_kept, n_factors)
        D, in the precision of W.

    Returns
    -------
    atoms : torch.Tensor of shape (n_batch, 2, n_columns)
        z_j = ‖W l̃_j‖² and q_j = ‖Dᵀ W l̃_j‖², in the precision of L̃. Like the next,
        differentiable in W and D, once.
    noise : torch.Tensor of shape (n_batch, 2, 1 + n_terms)
        tr(W N Wᵀ) and tr(Dᵀ W N Wᵀ D) of N = I and N = B_k (last dimension), in W's precision.
    """
    return _Quadratics.apply(atoms, terms, whiten, data)
