"""Sources between those of the inversion: drawn there, seen by the sensors, counted where near."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

import test_simulation
from mne_mmnet.simulation import PatchSampler, simulate_batch
from mne_mmnet.simulation.cortex import FineSources, draw_cortex
from mne_mmnet.simulation.grids import join_grids
from test_training import ring_people

# one's own lead field, hardly any noise
CLEAN = replace(test_simulation.CLEAN, ideal=0.0, off_grid=1.0)


@pytest.fixture(scope="module")
def people():
    """Sources on a circle, and three times as many in between; cells begin at a source."""
    coarse, fine = ring_people(30, 9.0), ring_people(90, 3.0)
    shared = np.arange(0, 90, 3)
    between = FineSources(
        gain=fine.true.astype(np.float16),
        positions=fine.positions,
        normals=fine.normals,
        adjacency=fine.adjacency,
        shared=shared,
        owner=np.repeat(np.arange(30), 3),
    )
    return replace(coarse, fine=between)


def test_join_grids():
    """Coarse sources are found among the fine ones; cells follow the surface."""
    # two hemispheres; the two ends of the second are near each other, but not along it
    coarse = [dict(vertno=np.array([2, 9]), nuse=2), dict(vertno=np.array([4]), nuse=1)]
    fine = [dict(vertno=np.array([1, 2, 5, 9]), nuse=4), dict(vertno=np.array([3, 4]), nuse=2)]
    links = sparse.coo_array(
        ([1.0, 1.0, 3.0, 2.0], ([0, 1, 2, 4], [1, 2, 3, 5])), shape=(6, 6)
    ).tocsr()
    shared, owner = join_grids(fine, coarse, links + links.T)
    assert_array_equal(shared, [1, 3, 5])
    assert_array_equal(owner, [0, 0, 0, 1, 2, 2])


def test_cortex(people):
    """On the grid or between, with the folds asked for; moments are summed by cells."""
    sampler = PatchSampler(people.adjacency)
    picks = np.array([3, 1, 7])
    plain = draw_cortex(np.random.default_rng(0), people, sampler, 0, picks, 0.0, False)
    assert plain.fine is None
    assert plain.sampler is sampler
    assert_allclose(plain.field, people.true[0][picks] @ [0.0, 0.0, 1.0])
    assert_array_equal(plain.coarse_normals, people.normals)
    moments = np.arange(30.0)[:, None]
    assert plain.gather(moments) is moments
    tilted = draw_cortex(np.random.default_rng(0), people, sampler, 0, picks, 20.0, True)
    assert tilted.gain.shape == (3, 90, 3)
    assert_array_equal(tilted.coarse_normals, tilted.normals[::3])
    angle = np.rad2deg(np.arccos(tilted.normals[:, 2]))
    assert np.sqrt(np.mean(angle**2)) == pytest.approx(20.0, abs=0.1)
    assert_allclose(tilted.gather(np.arange(90.0)[:, None])[:, 0], 9.0 * np.arange(30) + 3.0)
    # who has no finer grid has the sources of the inversion
    other = draw_cortex(
        np.random.default_rng(0), replace(people, fine=None), sampler, 0, picks, 0.0, True
    )
    assert_array_equal(other.field, plain.field)


def seen_and_made(batch):
    """The first recording's data, and what its true currents make; both of unit norm."""
    made = batch.leadfield[0, :, :, 0] @ batch.currents[0, :, 0]
    return [x / np.linalg.norm(x) for x in (batch.seen[0], made)]


def test_sources_between_the_grid(people):
    """The data are those of the fine sources, the truth their moments by cells."""
    sampler, differs = PatchSampler(people.adjacency), 0
    for seed in range(12):
        batch = simulate_batch(people, sampler, CLEAN, 2, np.random.default_rng(seed))
        assert batch.currents.shape[1:3] == (30, 1)
        # unit by unit, the truth on the grid makes nearly, but not quite, the data
        likeness = np.sum(np.prod(seen_and_made(batch), axis=0))
        assert likeness > 0.7
        differs += likeness < 0.9999
    assert differs > 8
    # so are ideal ones, as textbooks simulate: with the very lead field of the inversion
    for on_grid in (replace(CLEAN, off_grid=0.0), replace(CLEAN, ideal=1.0)):
        for seed in range(4):
            batch = simulate_batch(people, sampler, on_grid, 2, np.random.default_rng(seed))
            assert_allclose(*seen_and_made(batch), atol=1e-4)


def test_pick_electrodes(people):
    """All that is known of an electrode goes with it, sources between the grid included."""
    picks = np.array([3, 1, 7])
    few = people.pick_electrodes(picks)
    few._check_shapes()
    for name in ("true", "own", "fitted", "deep"):
        assert_array_equal(getattr(few, name), getattr(people, name)[:, picks])
    for name in ("standard", "electrodes", "groups"):
        assert_array_equal(getattr(few, name), getattr(people, name)[picks])
    assert_array_equal(few.fine.gain, people.fine.gain[:, picks])
    assert few.layouts == {}
    assert few.noise_factor is None
    noisy = replace(people, fine=None, noise_factor=np.eye(len(people.groups)))
    assert noisy.pick_electrodes(picks).fine is None
    assert_array_equal(noisy.pick_electrodes(picks).noise_factor, noisy.noise_factor[picks])
