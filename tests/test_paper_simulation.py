"""Event-related and neural-mass sources, and data sets of them: on small graphs, without MNE."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.integrate import solve_ivp
from scipy.sparse.csgraph import shortest_path

from core_cases import make_heads, ring
from mne_mmnet.simulation import (
    Dataset,
    Neighbourhoods,
    NeuralMassConfig,
    SereegaConfig,
    SimulatedSources,
    simulate_neural_mass,
    simulate_sereega,
)
from mne_mmnet.simulation.neural_mass import firing_rate, integrate
from mne_mmnet.simulation.patches import Patches


def grid(side):
    """Sources on a square grid, each joined to four others."""
    line = sparse.diags_array([np.full(side - 1, 7.0)] * 2, offsets=[-1, 1])
    eye = sparse.eye_array(side)
    return sparse.csr_array(sparse.kron(line, eye) + sparse.kron(eye, line))


@pytest.fixture(scope="module")
def archive():
    """Three random heads with 12 electrodes and the sources of a grid."""
    rng = np.random.default_rng(0)
    normals = rng.standard_normal((400, 3))
    return make_heads(
        rng,
        rng.standard_normal((3, 12, 400, 3)),
        normals=normals / np.linalg.norm(normals, axis=1, keepdims=True),
        adjacency=grid(20),
        ch_names=tuple(f"E{k}" for k in range(12)),
    )


@pytest.fixture(scope="module")
def graph():
    return Neighbourhoods(grid(20), 5)


SMALL_MASS = NeuralMassConfig(n_times=150, n_patches=(1, 2), order=(1, 3))


@pytest.fixture(scope="module", params=["sereega", "neural_mass"])
def simulated(request, graph):
    """Sources of each kind, with their configuration."""
    if request.param == "sereega":
        config = SereegaConfig()
        return config, simulate_sereega(graph, config, 60, np.random.default_rng(1))
    return SMALL_MASS, simulate_neural_mass(graph, SMALL_MASS, 40, np.random.default_rng(1))


@pytest.mark.parametrize("adjacency", [ring(30), grid(9)], ids=["ring", "grid"])
def test_hops(adjacency):
    """Hops are shortest paths, as far as they are needed."""
    hops = Neighbourhoods(adjacency, 3).hops
    slow = shortest_path(adjacency != 0, unweighted=True)
    np.testing.assert_array_equal(hops, np.where(slow <= 6, slow, 127))
    assert hops.dtype == np.int8


def test_draw(graph, rng):
    """Patches are whole neighbourhoods that do not overlap; their numbers are uniform."""
    patches = graph.draw(600, (1, 4), (1, 5), rng)
    used = patches.seeds >= 0
    np.testing.assert_array_equal(used, patches.orders >= 0)
    assert (used[:, :-1] >= used[:, 1:]).all()
    assert (np.bincount(used.sum(axis=1), minlength=5)[1:] > 100).all()
    assert (np.bincount(patches.orders[:, 0])[1:] > 80).all()
    for labels, seeds, orders in zip(patches.labels, patches.seeds, patches.orders, strict=True):
        balls = [graph.hops[s] <= o for s, o in zip(seeds, orders, strict=True) if s >= 0]
        assert np.sum(balls, axis=0).max() == 1
        np.testing.assert_array_equal(labels, sum(k * ball for k, ball in enumerate(balls, 1)))


def test_draw_on_a_full_graph(rng):
    """Where there is no room, patches shrink, then stay out; below the minimum it is an error."""
    small = Neighbourhoods(ring(14), 3)
    patches = small.draw(50, (1, 4), (1, 3), rng)
    assert ((patches.labels > 0).sum(axis=1) <= 14).all()
    assert (patches.seeds[:, 0] >= 0).all()
    assert patches.orders.max() == 3
    with pytest.raises(ValueError, match="do not fit"):
        small.draw(50, (6, 6), (1, 3), rng)
    with pytest.raises(ValueError, match="larger max_order"):
        small.draw(1, (1, 1), (1, 4), rng)


def test_normalised_and_labelled(simulated, graph):
    """Peak 1 a sample, activity where the labels are and nowhere else, patches as configured."""
    config, sources = simulated
    n_samples, n_sources, n_times = sources.currents.shape
    assert (n_sources, n_times) == (400, config.n_times)
    assert sources.currents.dtype == np.float32
    assert sources.labels.dtype == np.int8
    size = np.abs(sources.currents)
    np.testing.assert_allclose(size.max(axis=(1, 2)), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(size.max(axis=2) > 0, sources.labels > 0)
    n_patches = (sources.seeds >= 0).sum(axis=1)
    np.testing.assert_array_equal(n_patches, sources.labels.max(axis=1))
    assert n_patches.min() == config.n_patches[0]
    assert n_patches.max() == config.n_patches[1]
    for sample in range(n_samples):
        for k, seed in enumerate(sources.seeds[sample]):
            if seed < 0:
                assert sources.peaks[sample, k] == -1
                continue
            members = sources.labels[sample] == k + 1
            reach = graph.hops[seed, members].max()
            assert config.order[0] <= reach <= config.order[1]
            np.testing.assert_array_equal(members, graph.hops[seed] <= reach)
            assert sources.peaks[sample, k] == size[sample, members].max(axis=0).argmax()


@pytest.mark.parametrize(
    ("simulate", "config"),
    [(simulate_sereega, SereegaConfig()), (simulate_neural_mass, SMALL_MASS)],
    ids=["sereega", "neural_mass"],
)
def test_seed(simulate, config, graph):
    """The same seed gives the same sources, another one others."""
    one, two, other = (
        simulate(graph, config, 3, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    for name in ("currents", "seeds", "labels", "peaks"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert not np.array_equal(one.seeds, other.seeds)


def test_from_waves():
    """A case by hand: two patches in one sample, one in the other."""
    patches = Patches(
        labels=np.array([[2, 0, 1], [1, 1, 0]], np.int8),
        seeds=np.array([[2, 0], [0, -1]]),
        orders=np.zeros((2, 2), int),
    )
    waves = np.array([[0, 1, -4], [2, 0, 0], [1, 0, 0], [0, -5, 0]], np.float32)
    sources = SimulatedSources.from_waves(patches, waves)
    np.testing.assert_allclose(
        sources.currents,
        [[[0, 0.25, -1], [0, 0, 0], [0.5, 0, 0]], [[0.2, 0, 0], [0, -1, 0], [0, 0, 0]]],
    )
    np.testing.assert_array_equal(sources.peaks, [[0, 2], [1, -1]])


def test_event_waveform(graph, rng):
    """Without deviations, a patch is one Gaussian that falls to its edge as said."""
    config = SereegaConfig(
        n_patches=(1, 1),
        order=(4, 4),
        latency=(0.06, 0.06),
        width=(0.09, 0.09),
        edge=(0.2, 0.2),
        amplitude_jitter=0.0,
        latency_jitter=0.0,
        width_jitter=0.0,
    )
    sources = simulate_sereega(graph, config, 20, rng)
    time = np.arange(64) / 512.0
    bump = np.exp(-0.5 * ((time - 0.06) / 0.015) ** 2)
    signs = set()
    for current, seed in zip(sources.currents, sources.seeds[:, 0], strict=True):
        hops = graph.hops[seed]
        sign = np.sign(current[seed, 31])
        signs.add(sign)
        expected = sign * np.where(hops <= 4, 1 - 0.8 * hops / 4, 0.0)[:, None] * bump / bump.max()
        np.testing.assert_allclose(current, expected, atol=1e-5)
    assert signs == {-1.0, 1.0}


def test_event_deviations(graph, rng):
    """Sources of a patch deviate from each other, less than patches do."""
    config = SereegaConfig(n_patches=(2, 2), order=(2, 2), width=(0.05, 0.05))
    sources = simulate_sereega(graph, config, 100, rng)
    latency = np.abs(sources.currents).argmax(axis=2) / 512.0
    within, between = [], []
    for labels, times in zip(sources.labels, latency, strict=True):
        first, second = times[labels == 1], times[labels == 2]
        within += [first.std(), second.std()]
        between.append(abs(first.mean() - second.mean()))
    assert 0 < np.median(within) < 0.005 < np.median(between)


def jansen_rit(config, gain, given, weight, drive, times):
    """Slow reference: one population, written out, by an adaptive method of high order."""
    a, b, c = config.rate_excitation, config.rate_inhibition, config.connectivity

    def sigmoid(v):
        return 5.0 / (1.0 + np.exp(0.56 * (6.0 - v)))

    def derivative(t, y):
        y0, y1, y2, y3, y4, y5 = y
        own = sigmoid(y1 - y2)
        arriving = given + weight * (drive(t) - own) + 0.8 * c * sigmoid(c * y0)
        return [
            y3,
            y4,
            y5,
            gain * a * own - 2 * a * y3 - a**2 * y0,
            gain * a * arriving - 2 * a * y4 - a**2 * y1,
            22.0 * b * 0.25 * c * sigmoid(0.25 * c * y0) - 2 * b * y5 - b**2 * y2,
        ]

    solution = solve_ivp(
        derivative, (0, times[-1]), np.zeros(6), t_eval=times, rtol=1e-9, atol=1e-12, max_step=5e-3
    )
    return solution.y[1] - solution.y[2]


def test_integration_against_a_slow_reference(rng):
    """Heun's method agrees with an adaptive solver, with second order in the step."""
    gains = np.array([3.25, 3.6, 4.2])
    weight = np.array([0.0, 10.0, 40.0])

    def drive(t):
        return 2.5 + 2.0 * np.sin(30.0 * t)

    times = np.arange(300) / 500.0
    slow = np.array(
        [
            jansen_rit(NeuralMassConfig(), g, 110.0, w, drive, times)
            for g, w in zip(gains, weight, strict=True)
        ]
    )
    errors = []
    for max_step in (1e-3, 5e-4):
        config = NeuralMassConfig(input_noise=0.0, max_step=max_step)
        fast = integrate(
            config,
            gains,
            110.0,
            300 * config.stride,
            rng,
            every=config.stride,
            weight=weight,
            drive=lambda index, step=config.step: np.full(3, drive(index * step)),
        )
        errors.append(np.abs(fast.T - slow).max())
    assert np.ptp(slow, axis=1).min() > 2.0  # mV: it does something
    assert errors[0] < 0.15
    assert errors[1] < 0.35 * errors[0]


def test_sigmoid():
    """Half the largest rate at the threshold; no overflow far from it."""
    config = NeuralMassConfig()
    assert firing_rate(config, np.array(6.0)) == pytest.approx(2.5)
    rate = integrate(
        replace(config, inhibition=1e6), np.array([3.0], np.float32), 90.0, 300, rng_of(0)
    )
    assert np.isfinite(rate).all()


def rng_of(seed):
    return np.random.default_rng(seed)


def test_discharges(graph):
    """Seeds discharge sharply; their neighbours do so later and more weakly with distance."""
    config = NeuralMassConfig(n_times=300, n_patches=(1, 1), order=(4, 4))
    sources = simulate_neural_mass(graph, config, 40, rng_of(3))
    height, lag, duration = [], [], []
    for current, seed in zip(sources.currents, sources.seeds[:, 0], strict=True):
        wave = current[seed]
        peak = wave.argmax()
        assert wave[peak] > 0.5
        above = wave > 0.5 * wave[peak]
        before = np.flatnonzero(~above[:peak])
        after = np.flatnonzero(~above[peak:])
        if len(before) and len(after):
            duration.append(2.0 * (peak + after[0] - before[-1] - 1))
        window = slice(max(peak - 20, 0), peak + 50)
        rings = [current[graph.hops[seed] == h][:, window].mean(axis=0) for h in range(5)]
        height.append([ring.max() for ring in rings])
        lag.append([2.0 * (ring.argmax() - rings[0].argmax()) for ring in rings[1:]])
    assert 30 < np.median(duration) < 100  # ms at half height
    assert (np.diff(np.median(height, axis=0)) < 0).all()
    assert (np.median(lag, axis=0) > 5).all()  # ms
    # sharp: the seed is near its baseline most of the time
    quiet = np.abs(sources.currents[np.arange(40), sources.seeds[:, 0]]) < 0.25
    assert quiet.mean() > 0.6


def test_no_discharge_is_an_error(graph, rng):
    """A population that cannot discharge is reported with the remedy."""
    config = NeuralMassConfig(
        n_times=20, excitability=(2.0, 2.0), search=0.05, burn_in=0.05, n_patches=(1, 1)
    )
    with pytest.raises(RuntimeError, match="Raise excitability"):
        simulate_neural_mass(graph, config, 1, rng)


@pytest.mark.parametrize(
    ("config", "change"),
    [
        (SereegaConfig, {"n_times": 0}),
        (SereegaConfig, {"n_patches": (0, 2)}),
        (SereegaConfig, {"order": (3, 1)}),
        (SereegaConfig, {"latency": (0.1, 0.5)}),
        (SereegaConfig, {"width_jitter": 1.0}),
        (NeuralMassConfig, {"sfreq": 0.0}),
        (NeuralMassConfig, {"falloff": (0.5, 1.5)}),
        (NeuralMassConfig, {"max_step": 0.01}),
        (NeuralMassConfig, {"input_noise": float("nan")}),
    ],
)
def test_bad_configuration(config, change):
    with pytest.raises(ValueError, match=next(iter(change))):
        config(**change)


DATASETS = [
    Dataset("sereega", SereegaConfig(order=(1, 3)), 7, 50, chunk_size=20, heads=(0, 2)),
    Dataset("neural_mass", SMALL_MASS, 7, 10, chunk_size=4, heads=(1,)),
]


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda d: d.kind)
def test_chunks(dataset, archive):
    """Chunks come out the same in any order; the last one is smaller; no two are alike."""
    last = dataset.n_chunks - 1
    data, sources, head = dataset.chunk(last, archive)
    n = dataset.n_samples - last * dataset.chunk_size
    assert data.shape == (n, 12, dataset.config.n_times)
    assert data.dtype == np.float32
    assert set(head) <= set(dataset.heads)
    first = dataset.chunk(0, archive)
    assert len(first[0]) == dataset.chunk_size
    again = dataset.chunk(last, archive, dataset.neighbourhoods(archive))
    np.testing.assert_array_equal(data, again[0])
    np.testing.assert_array_equal(sources.currents, again[1].currents)
    np.testing.assert_array_equal(head, again[2])
    assert not np.array_equal(first[1].seeds[:n], sources.seeds)
    with pytest.raises(ValueError, match="chunks 0 to"):
        dataset.chunk(last + 1, archive)


@pytest.mark.parametrize("snr_db", [5.0, -3.0])
def test_signal_to_noise_ratio(snr_db, archive):
    """The noise of each sample is white, referenced, and as strong as the ratio says."""
    dataset = Dataset("sereega", SereegaConfig(), 1, 40, snr_db=snr_db, heads=(0, 2))
    data, sources, head = dataset.chunk(0, archive)
    assert set(head) == {0, 2}
    gain = np.einsum("hesk,sk->hes", archive.gains, archive.normals)
    gain -= gain.mean(axis=1, keepdims=True)
    signal = np.einsum("nes,nst->net", gain[head], sources.currents)
    noise = data - signal
    np.testing.assert_allclose(data.mean(axis=1), 0.0, atol=1e-5 * np.abs(data).max())
    ratio = np.mean(signal**2, axis=(1, 2)) / np.mean(noise**2, axis=(1, 2))
    np.testing.assert_allclose(10 * np.log10(ratio), snr_db, atol=1e-2)
    unit = noise / noise.std(axis=(1, 2), keepdims=True)
    covariance = np.einsum("net,nft->ef", unit, unit) / (len(unit) * unit.shape[2])
    expected = (np.eye(12) - 1 / 12) * 12 / 11
    np.testing.assert_allclose(covariance, expected, atol=0.12)
    # neighbouring samples share nothing
    assert abs(np.mean(unit[..., 1:] * unit[..., :-1])) < 0.02


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda d: d.kind)
def test_manifest(dataset, archive, tmp_path):
    """A manifest is read back as it was, and it makes the same data again."""
    path = tmp_path / "sub" / "set.json"
    with pytest.raises(ValueError, match="seal"):
        dataset.save(path)
    with pytest.raises(ValueError, match="seal"):
        dataset.verify(archive)
    sealed = dataset.seal(archive)
    sealed.save(path)
    back = Dataset.read(path)
    assert back == sealed
    assert back.version == sealed.version
    assert [p.name for p in path.parent.iterdir()] == ["set.json"]
    back.verify(archive)
    np.testing.assert_array_equal(back.chunk(1, archive)[0], dataset.chunk(1, archive)[0])


def test_changes_are_noticed(archive, tmp_path):
    """Another archive, another seed or a foreign file do not go unnoticed."""
    sealed = DATASETS[0].seal(archive)
    gains = archive.gains.copy()
    gains[1, 2, 3, 0] *= 1.001
    with pytest.raises(ValueError, match="not the lead fields"):
        sealed.verify(replace(archive, gains=gains))
    with pytest.raises(ValueError, match="first chunk comes out differently"):
        replace(sealed, seed=8).verify(archive)
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"format": 0}))
    with pytest.raises(ValueError, match="no data set manifest"):
        Dataset.read(path)
    with pytest.raises(ValueError, match="heads 0 to 2"):
        replace(sealed, heads=(3,)).chunk(0, archive)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"kind": "other"}, ValueError, "kind must be one of"),
        ({"kind": "neural_mass"}, TypeError, "must be a NeuralMassConfig"),
        ({"n_samples": 0}, ValueError, "n_samples"),
        ({"heads": ()}, ValueError, "heads"),
        ({"snr_db": float("nan")}, ValueError, "snr_db"),
    ],
)
def test_bad_dataset(change, error, match):
    with pytest.raises(error, match=match):
        replace(DATASETS[0], **change)


def test_ten_ten_electrodes():
    """90 names for 90 places; the merged montages have no two electrodes in one place either."""
    from mne_mmnet.simulation import electrodes, heads

    info, positions, groups = electrodes.ten_ten_info()
    assert len(info["ch_names"]) == len(positions) == len(groups) == 90
    assert len(np.unique(positions.round(4), axis=0)) == 90
    _, merged, _ = electrodes.electrode_info()
    assert len(np.unique(merged.round(6), axis=0)) == len(merged)
    with pytest.raises(ValueError, match="montage must be"):
        heads.make_head_archive("never-written.npz", montage="10-20")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(background=1.5), "background must be from 0 to 1, got 1.5"),
        (dict(snr_db=np.nan), "snr_db must be finite, got nan"),
    ],
)
def test_data_sets_that_cannot_be_made(change, message):
    with pytest.raises(ValueError, match=message):
        replace(DATASETS[0], **change)


def test_manifest_of_another_simulator(archive, tmp_path):
    path = tmp_path / "set.json"
    DATASETS[0].seal(archive).save(path)
    path.write_text(path.read_text().replace('"kind": "', '"kind": "new '))
    with pytest.raises(ValueError, match="data of the unknown kind 'new "):
        Dataset.read(path)


def test_patches_of_impossible_order(archive):
    with pytest.raises(ValueError, match="max_order must be from 0 to 60, got 61"):
        Neighbourhoods(archive.adjacency, max_order=61)
