"""The two products with the dictionary, against their definitions."""

import numpy as np
import pytest
import torch

from mne_mmnet.objective import products

N_BATCH, N, K, M = 2, 5, 3, 17


@pytest.fixture(params=["eigen", "direct"])
def route(request, monkeypatch):
    """Either way to compute the forms."""
    monkeypatch.setattr(products, "_EIGEN_COST", 0.0 if request.param == "eigen" else np.inf)


@pytest.fixture(params=["blocks", "whole"])
def blocks(request, monkeypatch):
    """In pieces of a few columns, and in one."""
    if request.param == "blocks":
        monkeypatch.setattr(products, "_BLOCK", 40)
        monkeypatch.setattr(products, "_LEAST_COLUMNS", 4)


def draw(rng, n_models, n_factors=K):
    """Dictionary, background, whitener, data."""

    def normal(*shape):
        return torch.as_tensor(rng.standard_normal(shape))

    background = normal(n_models, 2, N, N)
    return (
        normal(n_models, N, M),
        background @ background.mT,
        normal(N_BATCH, N, N).tril(),
        normal(N_BATCH, N, n_factors),
    )


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("n_models", [1, N_BATCH])
def test_gram(n_models, rng):
    """L̃ diag(γ) L̃ᵀ, and its gradient."""
    atoms = draw(rng, n_models)[0]
    variance = torch.as_tensor(rng.uniform(0.1, 2.0, (N_BATCH, M))).requires_grad_(True)
    expected = atoms @ torch.diag_embed(variance) @ atoms.mT
    torch.testing.assert_close(products.gram(atoms, variance), expected)
    assert torch.autograd.gradcheck(lambda x: products.gram(atoms, x), variance)


@pytest.mark.usefixtures("route", "blocks")
@pytest.mark.parametrize("n_models", [1, N_BATCH])
@pytest.mark.parametrize("n_factors", [1, K, N + 2])
def test_quadratics(n_models, n_factors, rng):
    """Both forms of atoms and noise, with fewer samples than channels and with more."""
    atoms, background, whiten, data = draw(rng, n_models, n_factors)
    found, noise = products.quadratics(atoms, background, whiten, data)
    seen = whiten @ atoms
    projected = data.mT @ seen
    expected = torch.stack([seen.square().sum(1), projected.square().sum(1)], 1)
    torch.testing.assert_close(found, expected)
    terms = background.expand(N_BATCH, -1, N, N).unbind(1)
    both = torch.eye(N).double().expand(N_BATCH, N, N), *terms
    for number, matrix in enumerate(both):
        whitened = whiten @ matrix @ whiten.mT
        power = whitened.diagonal(dim1=1, dim2=2).sum(1)
        part = (data.mT @ whitened @ data).diagonal(dim1=1, dim2=2).sum(1)
        torch.testing.assert_close(noise[:, :, number], torch.stack([power, part], 1))


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize("n_models", [1, N_BATCH])
def test_gradient_of_quadratics(n_models, rng):
    """Backward through whitener and data; equal eigenvalues do no harm."""
    atoms, background, whiten, data = draw(rng, n_models)  # N − K eigenvalues are 0
    whiten.requires_grad_(True)
    data.requires_grad_(True)
    assert torch.autograd.gradcheck(
        lambda w, d: products.quadratics(atoms, background, w, d), (whiten, data)
    )
