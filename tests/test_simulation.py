"""Simulated recordings: what they promise, checked on a small head."""

from dataclasses import replace

import numpy as np
import pytest

from core_cases import ring
from mne_mmnet.simulation import (
    HeadArchive,
    HeadVariety,
    NeuralMassConfig,
    PatchSampler,
    SimulationConfig,
    simulate_batch,
    timecourses,
)
from mne_mmnet.simulation.batch import _draw_electrodes
from mne_mmnet.simulation.neural_mass import draw_discharges
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
    layouts = {"ten twenty": np.array([1, 5, 7]), "a/b c": np.arange(3)}
    heads = replace(heads, is_volume=True, layouts=layouts)
    heads.save(tmp_path / "sub" / "heads.npz")
    back = HeadArchive.read(tmp_path / "sub" / "heads.npz")
    assert back.is_volume is True
    assert list(back.layouts) == list(layouts)
    for name, picks in layouts.items():
        np.testing.assert_array_equal(back.layouts[name], picks)
    for field in ("gains", "electrodes", "groups", "positions", "normals"):
        np.testing.assert_array_equal(getattr(back, field), getattr(heads, field))
    np.testing.assert_array_equal(back.adjacency.toarray(), heads.adjacency.toarray())
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["heads.npz"]


def test_archive_of_an_older_version(heads, tmp_path):
    """Files without layouts and kind of source space are of surfaces, without layouts."""
    heads.save(tmp_path / "heads.npz")
    with np.load(tmp_path / "heads.npz") as file:
        fields = {key: file[key] for key in file if key != "is_volume"}
    np.savez(tmp_path / "old.npz", **fields)
    back = HeadArchive.read(tmp_path / "old.npz")
    assert back.is_volume is False
    assert back.layouts == {}


def test_surface_frames(heads):
    """Two tangents and the normal, orthonormal, the normal as it is."""
    frames = heads.surface_frames
    products = np.einsum("sak,sbk->sab", frames, frames)
    np.testing.assert_allclose(products, np.broadcast_to(np.eye(3), (70, 3, 3)), atol=1e-12)
    np.testing.assert_array_equal(frames[:, 2], heads.normals)


def test_shapes_and_seed(heads):
    """The same seed gives the same batch; shapes belong together."""
    sampler = PatchSampler(heads.adjacency)
    for seed in range(12):
        batch = simulate_batch(heads, sampler, SMALL, 3, np.random.default_rng(seed))
        again = simulate_batch(heads, sampler, SMALL, 3, np.random.default_rng(seed))
        for field in (
            *("leadfield", "data", "currents", "orient_weights", "peak", "noise_known"),
        ):
            one, two = getattr(batch, field), getattr(again, field)
            np.testing.assert_array_equal(one, two)
            assert np.isfinite(one).all()
        n_batch, n_rank, n_sources, n_orient = batch.leadfield.shape
        assert (n_batch, n_sources) == (3, 70)
        assert 11 <= n_rank <= 19
        assert n_orient in (1, 3)
        assert batch.data.shape[:2] == (3, n_rank)
        assert batch.currents.shape == (3, 70, n_orient, batch.data.shape[2])
        assert batch.orient_weights.shape == (3, n_orient)
        assert batch.peak.shape == (3, 70)
        np.testing.assert_allclose(batch.peak.sum(axis=1), 1.0)
        assert set(batch.noise_known) <= {0.0, 1.0}


@pytest.mark.parametrize("n_channels", [(12, 256), (100, 256)])
def test_fewer_electrodes_than_asked_for(heads, n_channels):
    """The montage is what the smallest group of electrodes can give."""
    heads = replace(heads, groups=np.repeat([0, 1], [25, 15]))
    config = replace(SMALL, n_channels=n_channels)
    ranks = set()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        batch = simulate_batch(heads, PatchSampler(heads.adjacency), config, 3, rng)
        ranks.add(batch.leadfield.shape[1])
    assert max(ranks) == 14  # average reference
    assert (min(ranks) < 14) == (n_channels[0] < 15)


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
        n_channels=(20, 20), snr_db=(6.0, 6.0), tilt=0.0, background=0.0, known_noise=0.0
    )
    config = replace(config, free=0.0, loose=0.0)
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
        n_channels=(16, 16), snr_db=(-60.0, -60.0), known_noise=1.0, max_times=60
    )
    config = replace(config, free=0.0, loose=0.0)
    sampler = PatchSampler(heads.adjacency)
    power = [
        np.mean(simulate_batch(heads, sampler, config, 4, np.random.default_rng(s)).data ** 2)
        for s in range(20)
    ]
    assert 0.5 < np.median(power) < 2.0


# one head whose own lead field is inverted, hardly any noise
CLEAN = SimulationConfig(
    n_channels=(20, 20),
    snr_db=(120.0, 120.0),
    tilt=0.0,
    background=0.0,
    known_noise=0.0,
    free=0.0,
    loose=0.0,
    matched=1.0,
    max_times=20,
)
ORIENTS = {"fixed": {}, "loose": {"loose": 1.0}, "free": {"free": 1.0}}


@pytest.mark.parametrize("orient", [*ORIENTS, "volume"])
def test_orientations(heads, orient):
    """Lead field without its weights, times the true currents, is what the sensors show."""
    one_head = replace(heads, gains=heads.gains[:1], is_volume=orient == "volume")
    config = replace(CLEAN, **ORIENTS.get(orient, {}))
    sampler = PatchSampler(heads.adjacency)
    for seed in range(6):
        batch = simulate_batch(one_head, sampler, config, 3, np.random.default_rng(seed))
        assert batch.orient == ("free" if orient == "volume" else orient)
        n_orient = 1 if orient == "fixed" else 3
        weights = batch.orient_weights
        assert weights.shape == (3, n_orient)
        np.testing.assert_array_equal(weights, weights[:1].repeat(3, axis=0))
        if orient == "loose":
            assert (weights[0, :2] == weights[0, 0]).all()
            assert 0.05 <= weights[0, 0] ** 2 <= 0.6
            assert (batch.currents[:, :, :2] == 0).all()
        else:
            assert (weights == 1).all()
        assert weights[0, -1] == 1
        leadfield = batch.leadfield / weights[:, None, None, :]
        seen = np.einsum("brso,bsot->brt", leadfield, batch.currents)
        np.testing.assert_allclose(seen, batch.data, atol=1e-4 * np.abs(seen).max())
        if orient == "volume":  # one direction a recording, whatever the normals
            for currents in batch.currents:
                _, values, axes = np.linalg.svd(np.moveaxis(currents, 1, 2).reshape(-1, 3))
                assert values[1] < 1e-9 * values[0]
                assert np.abs(heads.normals @ axes[0]).min() < 0.1


@pytest.mark.parametrize("orient", [*ORIENTS, "volume"])
def test_columns_of_the_leadfield(heads, orient):
    """They are the head's own, referenced, along normals, frames or axes, times the weights."""
    one_head = replace(heads, gains=heads.gains[:1], is_volume=orient == "volume")
    config = replace(CLEAN, n_channels=(40, 40), **ORIENTS.get(orient, {}))
    sampler = PatchSampler(heads.adjacency)
    batch = simulate_batch(one_head, sampler, config, 2, np.random.default_rng(1))
    frames = {
        "fixed": heads.normals[:, None],
        "loose": heads.surface_frames,
    }.get(orient, np.broadcast_to(np.eye(3), (70, 3, 3)))
    referenced = heads.gains[0] - heads.gains[0].mean(axis=0)
    columns = np.einsum("esk,sok->eso", referenced, frames) * batch.orient_weights[0]
    flat = columns.reshape(40, -1)
    for leadfield in batch.leadfield:  # in another basis of the sensor space
        found = leadfield.reshape(39, -1)
        np.testing.assert_allclose(found.T @ found, flat.T @ flat, atol=1e-3)


def test_volumes_are_always_free(heads):
    """Normals of a volume mean nothing: no orientation is ever taken from them."""
    volume = replace(heads, is_volume=True)
    sampler = PatchSampler(heads.adjacency)
    for seed in range(10):
        config = replace(CLEAN, loose=0.9)
        batch = simulate_batch(volume, sampler, config, 1, np.random.default_rng(seed))
        assert batch.orient == "free"


def test_share_of_orientations(heads):
    """Batches are loose and free as often as asked for; montages are small then."""
    config = replace(SMALL, free=0.3, loose=0.4, n_channels=(8, 40))
    sampler = PatchSampler(heads.adjacency)
    found = [
        simulate_batch(heads, sampler, config, 1, np.random.default_rng(seed)).orient
        for seed in range(150)
    ]
    assert abs(found.count("free") / 150 - 0.3) < 0.13
    assert abs(found.count("loose") / 150 - 0.4) < 0.13


def test_peak_is_the_strongest_source(heads):
    """The peak is where most power is; equally strong locations share it."""
    sampler = PatchSampler(heads.adjacency)
    shared = 0
    for seed in range(25):
        batch = simulate_batch(heads, sampler, CLEAN, 3, np.random.default_rng(seed))
        power = (batch.currents**2).sum(axis=(2, 3))
        for one, peak in zip(power, batch.peak, strict=True):
            inside = peak > 0
            assert inside[one.argmax()]
            assert one[inside].min() >= 0.98 * one.max() * (1 - 1e-9)
            assert one[~inside].max(initial=0.0) <= 0.98 * one.max()
            np.testing.assert_allclose(peak[inside], 1.0 / inside.sum())
            shared += inside.sum() > 1
    assert 0 < shared < 75


def test_layouts_are_used(heads, rng):
    """Electrodes come from one of the four smallest layouts that have enough, or from anywhere."""
    layouts = {f"layout {k}": np.sort(rng.permutation(40)[:n]) for k, n in enumerate(range(9, 17))}
    layouts["many"] = np.arange(40)
    heads = replace(heads, layouts=layouts, groups=np.repeat([0, 1], 20))
    used = set()
    for _ in range(80):
        picks = _draw_electrodes(rng, heads, replace(SMALL, layouts=1.0), 11)
        assert len(set(picks.tolist())) == 11
        fitting = [name for name, all_ in layouts.items() if np.isin(picks, all_).all()]
        used |= {name for name in fitting if name != "many"}
        assert set(fitting) & {"layout 2", "layout 3", "layout 4", "layout 5"}
    assert used >= {"layout 2", "layout 3", "layout 4", "layout 5"}
    for _ in range(20):
        picks = _draw_electrodes(rng, heads, replace(SMALL, layouts=0.0), 11)
        assert len(set(heads.groups[picks].tolist())) == 1


def test_layouts_reach_the_batch(heads):
    """With one layout and no other montages, nothing else is in the data."""
    gains = heads.gains.copy()
    gains[:, 15:] = 0.0  # electrodes outside the layout see nothing
    blind = replace(heads, gains=gains, layouts={"small": np.arange(15)})
    config = replace(CLEAN, n_channels=(12, 12))
    sampler = PatchSampler(heads.adjacency)

    def kept(share):
        ranks = []
        for seed in range(10):
            config_ = replace(config, layouts=share)
            batch = simulate_batch(blind, sampler, config_, 1, np.random.default_rng(seed))
            ranks.append(np.linalg.matrix_rank(batch.leadfield[0, :, :, 0]))
        return ranks

    assert kept(1.0) == [11] * 10
    assert min(kept(0.0)) < 11


@pytest.mark.parametrize("orient", [*ORIENTS, "volume"])
def test_inversion_on_a_coarser_grid(heads, orient, rng):
    """True currents are those of the nearest places, and none is lost.

    Where all sources near a coarse one have its lead field, the coarse grid shows the same data.
    """
    few = replace(
        heads,
        gains=heads.gains[:1, :, :23],
        positions=rng.uniform(-60.0, 60.0, (23, 3)),
        normals=heads.normals[:23],
        adjacency=ring(23),
        is_volume=orient == "volume",
    )
    positions = rng.uniform(-60.0, 60.0, (70, 3))
    nearest = np.linalg.norm(positions[:, None] - few.positions, axis=2).argmin(axis=1)
    fine = replace(
        heads,
        gains=few.gains[:, :, nearest],
        positions=positions,
        normals=few.normals[nearest],
        is_volume=few.is_volume,
    )
    if orient == "free":  # their own directions are kept
        fine = replace(fine, normals=heads.normals)
    config = replace(CLEAN, **ORIENTS.get(orient, {}))
    sampler = PatchSampler(fine.adjacency)
    for seed in range(8):
        batch = simulate_batch(fine, sampler, config, 2, np.random.default_rng(seed), few)
        assert batch.orient == ("free" if orient == "volume" else orient)
        assert batch.currents.shape[:2] == batch.peak.shape == (2, 23)
        leadfield = batch.leadfield / batch.orient_weights[:, None, None, :]
        seen = np.einsum("brso,bsot->brt", leadfield, batch.currents)
        np.testing.assert_allclose(seen, batch.data, atol=1e-4 * np.abs(seen).max())
        np.testing.assert_allclose(batch.peak.sum(axis=1), 1.0)
        # a place that has the peak has at least one current
        power = (batch.currents**2).sum(axis=(2, 3))
        assert (power[batch.peak > 0] > 0).all()


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


class Chosen:
    """A source of randomness that always draws the same kind of time course."""

    def __init__(self, rng, kind):
        self.rng, self.kind = rng, kind

    def choice(self, options, **kwargs):
        return self.kind if self.kind in options else self.rng.choice(options, **kwargs)

    def __getattr__(self, name):
        return getattr(self.rng, name)


@pytest.mark.parametrize("kind", ["event", "oscillation", "power_law", "discharge"])
@pytest.mark.parametrize("n_times", [1, 3, 4, 60])
def test_kinds_of_timecourses(kind, n_times, rng):
    """Every kind peaks at 1 and is finite, whatever the window."""
    for _ in range(10):
        wave = draw_timecourses(Chosen(rng, kind), 2, n_times, 0.3)
        np.testing.assert_allclose(np.abs(wave).max(axis=1), 1.0)


def test_discharges_are_in_the_window(rng, monkeypatch):
    """Whatever part of a discharge's trace is seen, its largest peak is in it."""
    place = np.arange(2000) / 2000
    traces = [np.exp(-0.5 * ((place - at) / 0.003) ** 2) - 0.3 for at in (0.01, 0.4, 0.98)]
    monkeypatch.setattr(timecourses, "_discharges", lambda: np.array(traces))
    monkeypatch.setattr(timecourses, "_N_DISCHARGES", 3)
    for _ in range(40):
        (wave,) = draw_timecourses(Chosen(rng, "discharge"), 1, 1000, 0.0)
        assert wave.max() == pytest.approx(1.0)  # -0.3 alone would be -1


def test_discharges(rng):
    """Traces rest at zero, peak at 1 in absolute value, and discharge: sharp and rare."""
    config = NeuralMassConfig(n_times=200, sfreq=250.0)
    traces = draw_discharges(config, 12, rng)
    assert traces.shape == (12, 200)
    np.testing.assert_allclose(np.abs(traces).max(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(np.median(traces, axis=1), 0.0, atol=1e-6)
    assert (traces.max(axis=1) == 1.0).mean() > 0.9  # upwards: the cells are excited
    assert np.mean(np.abs(traces) < 0.3) > 0.6
    again = draw_discharges(config, 12, np.random.default_rng(1))
    np.testing.assert_array_equal(again, draw_discharges(config, 12, np.random.default_rng(1)))


def test_head_variety(rng):
    """Heads are drawn from the ranges given, the skull's ratio evenly in its logarithm."""
    variety = HeadVariety(
        skull_ratio=(10.0, 1000.0), skull_thickness=(0.9, 1.1), electrode_error=3.0
    )
    drawn = np.array([variety.draw(rng) for _ in range(400)])
    low, high = drawn.min(axis=0), drawn.max(axis=0)
    assert (low >= [10.0, 0.9, 0.0]).all()
    assert (high <= [1000.0, 1.1, 3.0]).all()
    assert (high - low > 0.9 * np.array([900.0, 0.2, 3.0])).all()
    assert abs(np.median(np.log10(drawn[:, 0])) - 2.0) < 0.2


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


def test_large_spaces_keep_no_distances(heads, monkeypatch):
    """Distances looked for when they are needed are those kept: the same seed draws the same."""
    kept = PatchSampler(heads.adjacency)
    monkeypatch.setattr("mne_mmnet.simulation.sources._KEPT", 0)
    lazy = PatchSampler(heads.adjacency)
    assert lazy._kept is None
    locations = np.array([7, 2, 7])
    np.testing.assert_array_equal(lazy.distances(locations), kept.distances(locations))
    assert lazy.distances(3).shape == (heads.adjacency.shape[0],)
    for seed in range(20):
        one, other = (s.draw(np.random.default_rng(seed), 30.0) for s in (kept, lazy))
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1] == other[1]
    config = SimulationConfig(n_channels=(12, 14), max_times=12, tilt=0.7, free=0.0, loose=0.0)
    one, other = (
        simulate_batch(heads, s, config, 3, np.random.default_rng(5)) for s in (kept, lazy)
    )
    np.testing.assert_array_equal(one.leadfield, other.leadfield)
    np.testing.assert_array_equal(one.data, other.data)
