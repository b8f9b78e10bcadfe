"""Simulated recordings: what they promise, checked on small random lead fields."""

import runpy
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from core_cases import assert_same, make_heads, make_people, ring
from mne_mmnet.dictionary.lead_errors import deep_fields
from mne_mmnet.network import HEADS, ORIENTS
from mne_mmnet.simulation import (
    HeadArchive,
    HeadVariety,
    NeuralMassConfig,
    PatchSampler,
    SimulatedBatch,
    SimulationConfig,
    simulate_batch,
    timecourses,
)
from mne_mmnet.simulation.batch import draw_electrodes, estimate_covariance
from mne_mmnet.simulation.neural_mass import draw_discharges
from mne_mmnet.simulation.noise import draw_field_noise
from mne_mmnet.simulation.timecourses import draw_timecourses, power_law

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def heads():
    """Two random heads with 70 sources and 40 electrodes."""
    rng = np.random.default_rng(0)
    normals = rng.standard_normal((70, 3))
    electrodes = rng.standard_normal((40, 3))
    return make_heads(
        rng,
        rng.standard_normal((2, 40, 70, 3)),
        electrodes=90 * electrodes / np.linalg.norm(electrodes, axis=1, keepdims=True),
        normals=normals / np.linalg.norm(normals, axis=1, keepdims=True),
    )


def test_archive_round_trip(heads, tmp_path):
    """A saved archive is read back as it was, and no temporary file stays."""
    layouts = {"ten twenty": np.array([1, 5, 7]), "a/b c": np.arange(3)}
    heads = replace(heads, is_volume=True, layouts=layouts, ch_names=tuple("ABC"))
    heads.save(tmp_path / "sub" / "heads.npz")
    assert_same(HeadArchive.read(tmp_path / "sub" / "heads.npz"), heads)
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["heads.npz"]


def test_archive_of_an_older_version(heads, tmp_path):
    """Files without layouts, names and kind of source space are of surfaces, without these."""
    heads.save(tmp_path / "heads.npz")
    with np.load(tmp_path / "heads.npz") as file:
        assert "ch_names" not in file
        fields = {key: file[key] for key in file if key != "is_volume"}
    np.savez(tmp_path / "old.npz", **fields)
    back = HeadArchive.read(tmp_path / "old.npz")
    assert back.is_volume is False
    assert back.layouts == {}
    assert back.ch_names is None


@pytest.fixture(scope="module")
def people(heads):
    """Two people on 40 electrodes, all of whose lead fields differ."""
    rng = np.random.default_rng(1)
    found = make_people(
        rng, heads.gains, heads.electrodes, heads.positions, heads.normals, heads.adjacency
    )
    others = rng.standard_normal((2, *heads.gains.shape)).astype(np.float32)
    return replace(found, standard=heads.gains.mean(axis=0), own=others[0], fitted=others[1])


SMALL = SimulationConfig(n_channels=(12, 20), max_times=30)
# one's own lead field, the very one that made the recordings; hardly any noise
CLEAN = SimulationConfig(
    n_channels=(20, 20),
    snr_db=(120.0, 120.0),
    heads=(0.0, 0.0, 0.0, 1.0),
    orients=(1.0, 0.0, 0.0, 0.0),
    ideal=1.0,
    known_noise=0.0,
    removed=0.0,
    max_times=20,
)
KINDS = ["template", "fitted", "own", "exact"]


def only(name, names=ORIENTS):
    """Shares of which one is everything."""
    return tuple(float(name == other) for other in names)


def batches(people, config, n_batch=4, n_seeds=8):
    """Simulated batches of several seeds."""
    sampler = PatchSampler(people.adjacency)
    for seed in range(n_seeds):
        yield simulate_batch(people, sampler, config, n_batch, np.random.default_rng(seed))


def test_surface_frames(people):
    """Two tangents and the normal, orthonormal, the normal as it is."""
    frames = people.surface_frames
    products = np.einsum("sak,sbk->sab", frames, frames)
    np.testing.assert_allclose(products, np.broadcast_to(np.eye(3), (70, 3, 3)), atol=1e-12)
    np.testing.assert_array_equal(frames[:, 2], people.normals)


def test_shapes_and_seed(people):
    """The same seed gives the same batch; shapes belong together."""
    found = zip(
        batches(people, SMALL, n_seeds=16), batches(people, SMALL, n_seeds=16), strict=True
    )
    for batch, again in found:
        for field in fields(SimulatedBatch):
            one, two = getattr(batch, field.name), getattr(again, field.name)
            np.testing.assert_array_equal(one, two)
            if isinstance(one, np.ndarray):
                assert np.isfinite(one).all()
        n_orient = 1 if batch.orient == "fixed" else 3
        n_rank = batch.leadfield.shape[1]
        assert batch.leadfield.shape == (1, n_rank, 70, n_orient)
        assert 9 <= n_rank <= 19  # average reference, and at times two removed components
        n_times = batch.data.shape[2]
        assert batch.data.shape == (4, n_rank, n_times)
        assert 1 <= n_times <= 30
        assert batch.seen.shape == (4, n_rank, 16)
        assert batch.inside.shape == (4, 16)
        assert batch.currents.shape == (4, 70, n_orient, 16)
        assert batch.deep.shape == (1, n_rank, 8)
        assert batch.orient_weights.shape == (n_orient,)
        np.testing.assert_allclose(np.abs(batch.currents).max(axis=(1, 2, 3)), 1.0)
        assert batch.noise_known in (0.0, 1.0)
        assert batch.head in HEADS
        assert batch.orient in ORIENTS


def test_pairs_only(people):
    """Recordings come with their windows."""
    with pytest.raises(ValueError, match="n_batch must be even, got 3"):
        next(batches(people, SMALL, 3))


def test_windows(people):
    """A window is what lies inside of it, of the covariance that it had; the rest is zero."""
    lengths, config = [], replace(SMALL, removed=0.0)
    for batch in batches(people, config, 6, 12):
        n_times = batch.data.shape[2]
        for field in ("seen", "currents"):  # the truth is that of the whole
            np.testing.assert_array_equal(*(getattr(batch, field)[k::2] for k in (0, 1)))
        assert (batch.inside[::2] == 1).all()
        assert (batch.inside[:, 0] == 1).all()
        pairs = (batch.data[::2], batch.data[1::2], batch.seen[::2], batch.inside[1::2])
        for whole, cut, seen, inside in zip(*pairs, strict=True):
            kept = np.flatnonzero((cut != 0).any(axis=0))
            assert (np.diff(kept) == 1).all()
            part = whole[:, kept]
            np.testing.assert_allclose(cut @ cut.T / n_times, part @ part.T / len(kept))
            # which sample of the recording is read
            apart = np.abs(seen[:, :, None] - whole[:, None]).max(axis=0)
            assert (apart.min(axis=1) == 0).all()
            np.testing.assert_array_equal(inside, np.isin(apart.argmin(axis=1), kept))
            lengths.append(len(kept) / n_times)
    assert min(lengths) < 0.3
    assert max(lengths) > 0.7


def test_first_sample_is_the_strongest(people):
    """At the first of the samples that are read the most goes on."""
    for batch in batches(people, CLEAN):
        strength = np.abs(batch.currents).sum(axis=(1, 2))
        assert (strength[:, 0] >= strength.max(axis=1) * (1 - 1e-6)).all()


def test_take(people):
    """Parts of a batch are what their slice says; what all recordings share stays."""
    (batch,) = batches(people, SMALL, 6, 1)
    part = batch.take(slice(2, 4))
    for field in fields(SimulatedBatch):
        one, whole = getattr(part, field.name), getattr(batch, field.name)
        own = field.name in ("data", "seen", "inside", "currents")
        np.testing.assert_array_equal(one, whole[2:4] if own else whole)


@pytest.mark.parametrize("n_channels", [(12, 256), (100, 256)])
def test_fewer_electrodes_than_asked_for(people, n_channels):
    """The montage is what the smallest group of electrodes can give."""
    people = replace(people, groups=np.repeat([0, 1], [25, 15]))
    config = replace(SMALL, n_channels=n_channels, removed=0.0)
    ranks = {batch.leadfield.shape[1] for batch in batches(people, config, 2, 30)}
    assert max(ranks) == 14  # average reference
    assert (min(ranks) < 14) == (n_channels[0] < 15)


def test_removed_components(people):
    """In some batches up to a tenth of the dimensions, or two, are gone."""
    config = replace(CLEAN, removed=0.5)
    ranks = [batch.leadfield.shape[1] for batch in batches(people, config, 2, 60)]
    assert set(ranks) == {19, 18, 17}
    assert 15 < ranks.count(19) < 45


def made_field(batch):
    """What the true currents look like at the sensors, (n_batch, n_rank, n_read)."""
    leadfield = batch.leadfield[0] / batch.orient_weights
    return np.einsum("rso,bsot->brt", leadfield, batch.currents)


def test_signal_to_noise_ratio(people):
    """What is not the field of the true currents has the power that the SNR says."""
    config = replace(CLEAN, snr_db=(6.0, 6.0), max_times=200)
    ratios = []
    for batch in batches(people, config, 4, 25):
        for field, seen in zip(made_field(batch)[::2], batch.seen[::2], strict=True):
            # currents have an arbitrary unit; the first sample is not drawn like the others
            signal = field * ((field * seen).sum() / (field**2).sum())
            power = np.mean(signal[:, 1:] ** 2)
            ratios.append(power / np.mean((seen - signal)[:, 1:] ** 2))
    # single samples scatter (few of them have few samples): the median must not
    assert abs(10 * np.log10(np.median(ratios)) - 6.0) < 1.0


@pytest.mark.parametrize("ideal", [0.0, 1.0])
def test_known_noise_is_white(people, ideal):
    """With a noise covariance, the whitened noise has about unit variance."""
    config = SimulationConfig(
        n_channels=(16, 16),
        snr_db=(-60.0, -60.0),
        known_noise=1.0,
        max_times=60,
        ideal=ideal,
        heads=only("exact", KINDS),
    )
    power = []
    for batch in batches(people, config, 4, 20):
        assert batch.noise_known == 1.0
        power.append(np.mean(batch.data**2))
        # what is told of the covariance: the samples behind it, or nothing
        assert batch.n_samples == np.inf or 1.5 * 16 <= batch.n_samples <= 400 * 16
    assert 0.5 < np.median(power) < 2.0
    if ideal:
        assert 0.85 < np.median(power) < 1.15


@pytest.mark.parametrize("orient", [*ORIENTS, "volume"])
def test_orientations(people, orient):
    """Lead field without its weights, times the true currents, is what the sensors show."""
    people = replace(people, is_volume=orient == "volume")
    shares = (0.0, 0.5, 0.0, 0.5) if orient == "volume" else only(orient)
    for batch in batches(people, replace(CLEAN, orients=shares), n_seeds=6):
        assert batch.orient == ("free" if orient == "volume" else orient)
        assert batch.head == "own"
        weights = batch.orient_weights
        assert weights.shape == ((1,) if orient == "fixed" else (3,))
        if orient == "loose":
            assert weights[0] == weights[1]
            assert 0.05 <= weights[0] ** 2 <= 0.6
        else:
            assert (weights == 1).all()
        assert weights[-1] == 1
        if orient in ("loose", "evidence"):  # people's own normals are those of their lead field
            np.testing.assert_allclose(batch.currents[:, :, :2], 0.0, atol=1e-6)
        for field, seen in zip(made_field(batch), batch.seen, strict=True):
            field = field * (np.linalg.norm(seen) / np.linalg.norm(field))
            np.testing.assert_allclose(field, seen, atol=1e-4 * np.abs(seen).max())
        if orient == "volume":  # one direction a recording, whatever the normals
            for currents in batch.currents:
                _, values, axes = np.linalg.svd(np.moveaxis(currents, 1, 2).reshape(-1, 3))
                assert values[1] < 1e-5 * values[0]
                assert np.abs(people.normals @ axes[0]).min() < 0.1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orient", [*ORIENTS, "volume"])
def test_columns_of_the_leadfield(people, orient, kind):
    """The lead field that was asked for: referenced, along its directions, times the weights."""
    people = replace(people, is_volume=orient == "volume")
    orients = only(orient if orient in ORIENTS else "fixed")
    config = replace(CLEAN, n_channels=(40, 40), orients=orients, heads=only(kind, KINDS))
    frames = {
        "fixed": people.normals[:, None],
        "loose": people.surface_frames,
        "evidence": people.surface_frames,
    }.get(orient, np.broadcast_to(np.eye(3), (70, 3, 3)))
    used = set()
    for batch in batches(people, config, 2, 6):
        assert batch.head == ("own" if kind == "exact" else kind)
        gains = {
            "template": people.standard[None],
            "fitted": people.fitted,
            "own": people.own,
            "exact": people.true,
        }[kind]
        found = batch.leadfield.reshape(39, -1)
        fits = []
        for gain in gains:
            columns = np.einsum("esk,sok->eso", gain - gain.mean(axis=0), frames)
            flat = (columns * batch.orient_weights).reshape(40, -1)
            # in another basis of the sensor space
            fits.append(np.allclose(found.T @ found, flat.T @ flat, atol=1e-3))
        assert sum(fits) == 1
        used.add(fits.index(True))
    assert len(used) == len(gains)  # all people take part


def test_fields_of_deep_places(people):
    """They are those of the electrodes that are worn, referenced."""
    config = replace(CLEAN, n_channels=(40, 40))
    (batch,) = batches(people, config, 2, 1)
    fields = deep_fields(people.electrodes)
    fields = fields - fields.mean(axis=0)
    np.testing.assert_allclose(batch.deep[0].T @ batch.deep[0], fields.T @ fields, atol=1e-9)


def test_other_folds(people, rng):
    """On the template the true directions are tilted, on one's own head they are known."""
    people = replace(people, positions=rng.uniform(-70.0, 70.0, (70, 3)))
    angles = {}
    for kind in KINDS:
        config = replace(
            CLEAN,
            orients=only("evidence"),
            heads=only(kind, KINDS),
            n_sources=(6, 6),
            max_extent=80.0,
        )
        found = []
        for batch in batches(people, config, 2, 20):
            currents = np.abs(batch.currents[0]).max(axis=2)
            active = currents.max(axis=1) > 1e-3
            ratio = np.linalg.norm(currents[active, :2], axis=1) / currents[active, 2]
            found.append(np.rad2deg(np.arctan(ratio)))
        angles[kind] = np.sqrt(np.mean(np.concatenate(found) ** 2))
    assert 18 < angles["template"] < 32
    assert 18 < angles["fitted"] < 32
    assert max(angles["own"], angles["exact"]) < 1e-3


def test_shares(people):
    """Batches are loose, free, on the template … as often as asked for."""
    config = replace(SMALL, orients=(1.0, 4.0, 3.0, 2.0), heads=(0.2, 0.2, 0.5, 0.1))
    found = list(batches(people, config, 2, 150))
    for name, share in zip(ORIENTS, (0.1, 0.4, 0.3, 0.2), strict=True):
        assert abs(np.mean([batch.orient == name for batch in found]) - share) < 0.13
    for name, share in zip(HEADS, (0.2, 0.2, 0.6), strict=True):
        assert abs(np.mean([batch.head == name for batch in found]) - share) < 0.13
    known = np.mean([batch.noise_known for batch in found])
    assert abs(known - config.known_noise) < 0.13


def test_layouts_are_used(people, rng):
    """Electrodes come from one of the four smallest layouts that have enough, or from anywhere."""
    layouts = {f"layout {k}": np.sort(rng.permutation(40)[:n]) for k, n in enumerate(range(9, 17))}
    layouts["many"] = np.arange(40)
    people = replace(people, layouts=layouts, groups=np.repeat([0, 1], 20))
    used = set()
    for _ in range(80):
        picks = draw_electrodes(rng, people, replace(SMALL, layouts=1.0), 11)
        assert len(set(picks.tolist())) == 11
        fitting = [name for name, all_ in layouts.items() if np.isin(picks, all_).all()]
        used |= {name for name in fitting if name != "many"}
        assert set(fitting) & {"layout 2", "layout 3", "layout 4", "layout 5"}
    assert used >= {"layout 2", "layout 3", "layout 4", "layout 5"}
    for _ in range(20):
        picks = draw_electrodes(rng, people, replace(SMALL, layouts=0.0), 11)
        assert len(set(people.groups[picks].tolist())) == 1


def test_layouts_reach_the_batch(people):
    """With one layout and no other montages, nothing else is in the data."""
    gains = people.true.copy()
    gains[:, 15:] = 0.0  # electrodes outside the layout see nothing
    blind = replace(people, true=gains, layouts={"small": np.arange(15)})
    config = replace(CLEAN, n_channels=(12, 12))

    def kept(share):
        return [
            np.linalg.matrix_rank(batch.leadfield[0, :, :, 0])
            for batch in batches(blind, replace(config, layouts=share), 2, 10)
        ]

    assert kept(1.0) == [11] * 10
    assert min(kept(0.0)) < 11


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
    """The benchmarks' noise has unit mean power a channel, whatever its mixture."""
    draw_noise = runpy.run_path(str(BENCHMARKS / "noise.py"))["draw_noise"]
    gain, electrodes = rng.standard_normal((12, 40)), 80 * rng.standard_normal((12, 3))
    for background in (0.0, 0.5, 1.0):
        noise = draw_noise(rng, gain, electrodes, 30, background)
        assert np.mean(noise**2) == pytest.approx(1.0)


def centred(covariance):
    """In average reference."""
    reference = np.eye(len(covariance)) - 1.0 / len(covariance)
    return reference @ covariance @ reference


@pytest.mark.parametrize("background", [0.0, 0.6])
@pytest.mark.parametrize("deep_share", [0.0, 0.5])
def test_noise_of_a_session(rng, background, deep_share):
    """Unit power in average reference, and of the covariance that is said of it."""
    gain, deep = rng.standard_normal((8, 40)), rng.standard_normal((8, 3, 3))
    electrodes = 80 * rng.standard_normal((8, 3))
    for _ in range(5):
        draw, covariance = draw_field_noise(rng, gain, deep, electrodes, background, deep_share)
        unmixed = np.trace(centred(covariance)) / 8
        assert unmixed == pytest.approx(1.0)
        samples = [draw(rng, 40) for _ in range(500)]
        # slow activity differs from recording to recording: its mean is not counted
        found = np.mean([np.cov(x) for x in samples], axis=0)
        # what goes on in the brain is louder at times: by up to a fifth, on average
        assert np.abs(found - covariance).max() < 0.3 * np.abs(covariance).max()


def test_kinds_of_noise(rng):
    """Shares of cortex and deep places are what they are asked to be; so is a measured factor."""
    gain, deep = rng.standard_normal((9, 40)), rng.standard_normal((9, 3, 3))
    electrodes, factor = 80 * rng.standard_normal((9, 3)), rng.standard_normal((9, 2))

    def covariances(background, deep_share, factor=None, n=12):
        for _ in range(n):
            yield draw_field_noise(rng, gain, deep, electrodes, background, deep_share, factor)[1]

    for covariance in covariances(1.0, 1.0):
        assert np.linalg.matrix_rank(covariance) == 3  # a direction at each of the three places
    assert all(np.linalg.matrix_rank(c) == 9 for c in covariances(0.0, 0.5))
    ranks = [np.linalg.matrix_rank(c) for c in covariances(0.0, 0.0, factor, 40)]
    assert set(ranks) == {2, 9}
    assert 8 < ranks.count(2) < 32


def test_estimated_covariance(rng):
    """Positive definite from however few samples, and near the truth where there are many."""
    factor = rng.standard_normal((10, 10))
    truth = factor @ factor.T
    kinds = []
    for _ in range(20):
        few, many = (estimate_covariance(rng, truth, n) for n in (15, 4000))
        for found in (few, many):
            np.testing.assert_allclose(found, found.T)
            assert np.linalg.eigvalsh(found).min() > 0
        kinds.append(np.linalg.norm(many - truth) / np.linalg.norm(truth))
    assert max(kinds) < 0.35
    assert min(kinds) < 0.12


def test_large_spaces_keep_no_distances(people, monkeypatch):
    """Distances looked for when they are needed are those kept: the same seed draws the same."""
    kept = PatchSampler(people.adjacency)
    monkeypatch.setattr("mne_mmnet.simulation.sources._KEPT", 0)
    lazy = PatchSampler(people.adjacency)
    assert lazy._kept is None
    locations = np.array([7, 2, 7])
    np.testing.assert_array_equal(lazy.distances(locations), kept.distances(locations))
    assert lazy.distances(3).shape == (people.adjacency.shape[0],)
    for seed in range(20):
        one, other = (s.draw(np.random.default_rng(seed), 30.0) for s in (kept, lazy))
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1] == other[1]
    config = SimulationConfig(n_channels=(12, 14), max_times=12)
    one, other = (
        simulate_batch(people, s, config, 4, np.random.default_rng(5)) for s in (kept, lazy)
    )
    np.testing.assert_array_equal(one.leadfield, other.leadfield)
    np.testing.assert_array_equal(one.data, other.data)
