"""A regulariser that expects the start: objective, bounds and certificate."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from core_cases import draw
from mne_mmnet.majorant.ray import certified_ray
from mne_mmnet.network import Anchored, CosineConfig, CosineNetwork
from mne_mmnet.solver import CosineModel, pose_cosine, pose_network
from mne_mmnet.weights import read_model, save_model
from test_cosine_majorants import (
    ANALYTIC,
    EPSILON,
    N_SOURCES,
    N_TIMES,
    make_objective,
    powers_of_ten,
)

CONFIG = CosineConfig(
    n_sources=24, width=8, hidden=6, n_steps=6, dilations=(1, 2), start_width=9, anchored=True
)


def make_anchored(rng, n_batch, smoothing=EPSILON):
    objective = make_objective(rng, n_batch, smoothing=smoothing)
    size = powers_of_ten(rng, -2, 2, n_batch, 1, 1)
    anchor = size * draw(rng, n_batch, N_SOURCES, N_TIMES)
    return replace(objective, regulariser=Anchored(objective.regulariser, anchor))


@pytest.mark.parametrize("smoothing", [0.0, EPSILON])
def test_value_and_gradient(smoothing, rng):
    """1 − cos(x, Φ(x) + a), and the gradient that automatic differentiation finds."""
    objective = make_anchored(rng, 6, smoothing)
    x = draw(rng, 6, N_SOURCES, N_TIMES).requires_grad_(True)
    point = objective.evaluate(x)
    image = objective.regulariser.network(x)[0] + objective.regulariser.anchor
    agreement = torch.nn.functional.cosine_similarity(x.flatten(1), image.flatten(1))
    torch.testing.assert_close(point.regularity, 1.0 - agreement)
    (expected,) = torch.autograd.grad(objective.values(x).sum(), x)
    torch.testing.assert_close(objective.gradient(objective.evaluate(x.detach())), expected)


def test_samples_keep_their_anchor(rng):
    """The objective of some samples has these samples' anchors."""
    objective = make_anchored(rng, 6)
    x, index = draw(rng, 6, N_SOURCES, N_TIMES), torch.tensor([4, 1])
    some = objective.select(index).evaluate(x[index])
    torch.testing.assert_close(some.value, objective.evaluate(x).value[index])


@pytest.mark.parametrize("name", ANALYTIC)
def test_analytic_bounds(name, rng):
    """Every analytic majorant's step descends, near or far from the anchor."""
    objective = make_anchored(rng, 2000)
    x = draw(rng, 2000, N_SOURCES, N_TIMES) * powers_of_ten(rng, -2, 2, 2000, 1, 1)
    point = objective.evaluate(x)
    step = ANALYTIC[name](objective, point, objective.gradient(point)).minimiser()
    assert (objective.values(x + step) <= point.value + 1e-12).all()
    assert (objective.values(x + step) < point.value).double().mean() > 0.99


def test_ray(rng):
    """What is proved along a ray holds at every length up to the one that is proved."""
    objective = make_anchored(rng, 200, smoothing=0.0)
    x = draw(rng, 200, N_SOURCES, N_TIMES)
    point = objective.evaluate(x)
    direction = -objective.gradient(point)
    length = certified_ray(objective, point, direction).length
    assert (length > 0).all()
    moved = objective.values(x + length[:, None, None] * direction)
    assert (moved < point.value).all()


def test_network_poses_it(rng):
    """The anchor is the start; without it the objective is the paper's."""
    network = CosineNetwork(CONFIG).eval()
    model = CosineModel.build(rng.standard_normal((12, 24)))
    data = torch.as_tensor(rng.standard_normal((3, 12, 9)), dtype=torch.float32)
    objective, start = pose_network(network, model, data)
    assert torch.equal(objective.regulariser.anchor, start)
    assert objective.regulariser.network is network.regulariser
    plain = CosineNetwork(replace(CONFIG, anchored=False)).eval()
    assert pose_network(plain, model, data)[0].regulariser is plain.regulariser
    _, minimum_norm = pose_cosine(plain.regulariser, 1.0, model, data)
    assert not torch.equal(start, minimum_norm)


def test_part_of_the_sources(rng):
    """Of some of the sources it answers as the whole one does where the others carry nothing."""
    network = CosineNetwork(CONFIG).eval().requires_grad_(False)
    kept = np.arange(0, 24, 3)
    part = network.restrict(kept)
    x = torch.zeros(2, 24, 11)
    x[:, kept] = torch.as_tensor(rng.standard_normal((2, 8, 11)), dtype=torch.float32)
    whole = network.prior(network.first(x)[0])(x)[0]
    found = part.prior(part.first(x[:, kept])[0])(x[:, kept])[0]
    torch.testing.assert_close(found, whole[:, kept], rtol=1e-4, atol=1e-4)


def test_round_trip(tmp_path):
    """It is written and read as it is; a card from before there was a choice has the paper's."""
    network = CosineNetwork(CONFIG)
    save_model(network, tmp_path / "new", domain={}, provenance={})
    assert read_model(tmp_path / "new").network.config == CONFIG
    card = json.loads((tmp_path / "new.json").read_text(encoding="utf-8"))
    del card["network"]["anchored"]
    (tmp_path / "new.json").write_text(json.dumps(card), encoding="utf-8")
    read = read_model(tmp_path / "new").network
    assert read.config == replace(CONFIG, anchored=False)
    start = torch.ones(1, 24, 5)
    assert read.prior(start) is read.regulariser
