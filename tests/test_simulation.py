"""Simulated recordings: what they promise, checked on a small head."""

import numpy as np
import pytest

from core_cases import ring
from mne_mmnet.simulation import HeadArchive, PatchSampler, SimulationConfig, simulate_batch
from mne_mmnet.simulation.noise import draw_noise
from mne_mmnet.simulation.timecourses import draw_timecourses, power_law


@pytest.fixture(scope="module")
def heads():
    """Two random heads with 70 sources and 40 electrodes."""
    rng = np.random.default_rng(0)
    normals = rng.standard_normal((70, 3))
    electrodes = rng.standard_normal((40, 3))
    return HeadArchive(
        gains=rng.standard_normal((2, 40, 70, 3)).astype(np.float32),
        electrodes=90 * electrodes / np.linalg.norm(electrodes, axis=1, keepdims=True),
        groups=np.zeros(40, int),
        positions=rng.standard_normal((70, 3)),
        normals=normals / np.linalg.norm(normals, axis=1, keepdims=True),
        adjacency=ring(70),
    )


SMALL = SimulationConfig(n_channels=(12, 20), max_times=30)


def test_archive_round_trip(heads, tmp_path):
    """A saved archive is read back as it was, and no temporary file stays."""
    heads.save(tmp_path / "sub" / "heads.npz")
    back = HeadArchive.read(tmp_path / "sub" / "heads.npz")
    for field in ("gains", "electrodes", "groups", "positions", "normals"):
        np.testing.assert_array_equal(getattr(back, field), getattr(heads, field))
    np.testing.assert_array_equal(back.adjacency.toarray(), heads.adjacency.toarray())
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["heads.npz"]


def test_shapes_and_seed(heads):
    """The same seed gives the same batch; shapes belong together."""
    sampler = PatchSampler(heads.adjacency)
    for seed in range(12):
        batch = simulate_batch(heads, sampler, SMALL, 3, np.random.default_rng(seed))
        again = simulate_batch(heads, sampler, SMALL, 3, np.random.default_rng(seed))
        for field in ("leadfield", "data", "currents", "noise_known"):
            one, two = getattr(batch, field), getattr(again, field)
            np.testing.assert_array_equal(one, two)
            assert np.isfinite(one).all()
        n_batch, n_rank, n_sources, n_orient = batch.leadfield.shape
        assert (n_batch, n_sources) == (3, 70)
        assert 11 <= n_rank <= 19
        assert n_orient in (1, 3)
        assert batch.data.shape[:2] == (3, n_rank)
        assert batch.currents.shape == (3, 70, n_orient, batch.data.shape[2])
        assert set(batch.noise_known) <= {0.0, 1.0}


def test_signal_to_noise_ratio(heads):
    """Without tilt, background and other heads, the residual has the power that the SNR says."""
    one_head = HeadArchive(
        heads.gains[:1],
        heads.electrodes,
        heads.groups,
        heads.positions,
        heads.normals,
        heads.adjacency,
    )
    config = SimulationConfig(
        n_channels=(20, 20), snr_db=(6.0, 6.0), tilt=0.0, background=0.0, known_noise=0.0, free=0.0
    )
    sampler = PatchSampler(heads.adjacency)
    ratios = []
    for seed in range(20):
        batch = simulate_batch(one_head, sampler, config, 4, np.random.default_rng(seed))
        signal = np.einsum("brs,bst->brt", batch.leadfield[..., 0], batch.currents[:, :, 0])
        noise = batch.data - signal
        ratios += [np.mean(s**2) / np.mean(n**2) for s, n in zip(signal, noise, strict=True)]
    # single samples scatter (few of them have few samples): the median must not
    assert abs(10 * np.log10(np.median(ratios)) - 6.0) < 1.0


def test_known_noise_is_white(heads):
    """With a noise covariance, the whitened noise has about unit variance."""
    config = SimulationConfig(
        n_channels=(16, 16), snr_db=(-60.0, -60.0), known_noise=1.0, free=0.0, max_times=60
    )
    sampler = PatchSampler(heads.adjacency)
    power = [
        np.mean(simulate_batch(heads, sampler, config, 4, np.random.default_rng(s)).data ** 2)
        for s in range(20)
    ]
    assert 0.5 < np.median(power) < 2.0


def test_patches(rng):
    """Patches peak at 1, are where their centre is, and grow with their extent."""
    sampler = PatchSampler(ring(70))
    sizes = {5.5: [], 60.0: []}
    for extent, found in sizes.items():
        for _ in range(60):
            maps, centre = sampler.draw(rng, extent)
            assert maps.shape[1] == 70
            assert 0 < np.abs(maps[0]).max() <= 1 + 1e-12
            assert maps[0, centre] == pytest.approx(np.abs(maps[0]).max())
            found.append(np.count_nonzero(maps[0] > 0.1))
    assert np.mean(sizes[60.0]) > 2 * np.mean(sizes[5.5])


@pytest.mark.parametrize("n_times", [1, 3, 40])
@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_timecourses(n_times, correlation, rng):
    """Time courses peak at 1, finite for any length, and correlate when asked to."""
    waves = [draw_timecourses(rng, 3, n_times, correlation) for _ in range(40)]
    for wave in waves:
        assert wave.shape == (3, n_times)
        np.testing.assert_allclose(np.abs(wave).max(axis=1), 1.0)
    if n_times == 40 and correlation:
        similar = [np.abs(np.corrcoef(wave)[0, 1]) for wave in waves]
        assert np.median(similar) > 0.6


def test_power_law(rng):
    """A larger exponent puts the power at low frequencies; one sample is allowed."""
    steep, white = power_law(rng, 2.0, (50, 256)), power_law(rng, 0.0, (50, 256))

    def low_share(noise):
        power = np.abs(np.fft.rfft(noise)) ** 2
        return power[:, :13].sum() / power.sum()

    assert low_share(steep) > 0.8
    assert low_share(white) < 0.2
    assert power_law(rng, 1.0, (3, 1)).shape == (3, 1)


def test_noise_is_normalised(rng):
    """Noise has unit mean power a channel, whatever its mixture."""
    gain, electrodes = rng.standard_normal((12, 40)), 80 * rng.standard_normal((12, 3))
    for background in (0.0, 0.5, 1.0):
        noise = draw_noise(rng, gain, electrodes, 30, background)
        assert np.mean(noise**2) == pytest.approx(1.0)
