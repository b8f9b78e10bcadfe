"""People for the cosine route: recordings, the command that trains on them, smaller files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from core_cases import heads_of, make_people, ring
from mne_mmnet.simulation import Dataset, PeopleArchive, SereegaConfig, SimulationConfig
from mne_mmnet.training.ahead import AheadStream
from mne_mmnet.training.augmentation import superpose
from mne_mmnet.training.people_samples import PeopleStream

N_SOURCES, N_ELECTRODES = 40, 30
SOURCES = SereegaConfig(
    n_times=24, sfreq=512.0, n_patches=(1, 2), order=(1, 2), latency=(0.01, 0.03)
)
DATA = Dataset("sereega", SOURCES, 0, 32, 8)
PLAIN = SimulationConfig(
    n_channels=(8, 20), snr_db=(60.0, 60.0), known_noise=0.0, tilt=(0.0, 0.0), layouts=0.0
)


@pytest.fixture
def people(rng):
    """Three people who differ; sources on a ring, electrodes of two layouts."""
    gains = rng.standard_normal((3, N_ELECTRODES, N_SOURCES, 3))
    archive = make_people(
        rng,
        gains,
        electrodes=80 * rng.standard_normal((N_ELECTRODES, 3)),
        positions=20 * rng.standard_normal((N_SOURCES, 3)),
        normals=np.tile([0.0, 0.0, 1.0], (N_SOURCES, 1)),
        adjacency=ring(N_SOURCES),
        layouts=dict(small=np.arange(3, 15), large=np.arange(25)),
        source_space=dict(subject="ring", n_sources=N_SOURCES, vertices_sha256="none"),
    )
    return replace(archive, standard=rng.standard_normal(gains.shape[1:]).astype(np.float32))


def test_batches(people):
    """Deterministic; lead fields and data of one cap, in different caps from batch to batch."""
    stream = PeopleStream(DATA, 4, people, SimulationConfig(n_channels=(8, 20)), seed=5)
    sizes = set()
    for k in range(6):
        batch = stream.batch(k)
        assert batch.data.shape == (4, batch.model.leadfield.shape[1], 24)
        assert batch.currents.shape == (4, N_SOURCES, 24)
        assert torch.isfinite(batch.data).all()
        again = PeopleStream(DATA, 4, people, SimulationConfig(n_channels=(8, 20)), seed=5)
        assert torch.equal(again.batch(k).data, batch.data)
        sizes.add(batch.data.shape[1])
    assert len(sizes) > 1
    # the sources are those of the data set, in another unit
    _, sources, _ = replace(DATA, heads=(0,)).chunk(0, heads_of(people))
    found, expected = (
        one / np.abs(one).max((1, 2), keepdims=True)
        for one in (stream.batch(1).currents.numpy(), sources.currents[4:])
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("heads", ["exact", "template"])
def test_who_inverts(heads, people):
    """With their own lead field the data are explained; with the template's they are not."""
    shares = dict(exact=(0, 0, 0, 1), template=(1, 0, 0, 0))[heads]
    stream = PeopleStream(DATA, 4, people, replace(PLAIN, heads=shares, ideal=1.0))
    for k in range(4):
        batch = stream.batch(k)
        seen, data = batch.model.leadfield @ batch.currents, batch.data
        cosine = torch.nn.functional.cosine_similarity(seen.flatten(1), data.flatten(1))
        assert (cosine > 0.99).all() if heads == "exact" else (cosine < 0.9).all()


def test_recordings_can_be_added_up(people):
    """Data and currents are in one unit: a sum of two recordings is a recording, too."""
    config = replace(PLAIN, heads=(0, 0, 0, 1), ideal=1.0, snr_db=(120.0, 120.0))
    batch = superpose(PeopleStream(DATA, 4, people, config).batch(1), np.random.default_rng(0))
    seen = batch.model.leadfield @ batch.currents
    # the model's lead field has a size of its own
    torch.testing.assert_close(
        seen / seen.norm(), batch.data / batch.data.norm(), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("snr_db", [0.0, 20.0])
def test_noise(snr_db, people):
    """The ratio is the one asked for, and background activity is seen in the noise."""
    config = replace(PLAIN, heads=(0, 0, 0, 1), ideal=0.0, background=1e-9)
    loud, quiet = (
        PeopleStream(DATA, 8, people, replace(config, snr_db=(level, level))).batch(0)
        for level in (snr_db, 200.0)
    )
    # of a clean recording there is only the signal, in units of its noise
    signal = quiet.data / quiet.data.flatten(1).norm(dim=1)[:, None, None]
    along = (loud.data * signal).sum((1, 2), keepdim=True) * signal
    noise = (loud.data - along).square().mean()
    assert float(10 * torch.log10(along.square().mean() / noise)) == pytest.approx(snr_db, abs=2.5)


def test_windows_are_cut_alike(people):
    """A crop holds the same samples of currents and data."""
    config = replace(PLAIN, heads=(0, 0, 0, 1), ideal=1.0)
    cropped = PeopleStream(DATA, 4, people, config, crop=8).batch(2)
    assert cropped.data.shape[2] == cropped.currents.shape[2] == 8
    seen = cropped.model.leadfield @ cropped.currents
    assert torch.nn.functional.cosine_similarity(
        seen.flatten(1), cropped.data.flatten(1)
    ).min() > (0.99)


def test_covariance_whitens(rng, people):
    """With a covariance the noise of the data has unit variance, whatever it was."""
    config = replace(PLAIN, known_noise=1.0, baseline=(400.0, 400.0), snr_db=(-60.0, -60.0))
    whole = replace(DATA, config=replace(SOURCES, n_times=600), chunk_size=32)
    ratios = []
    for seed in range(4):
        data = PeopleStream(whole, 8, people, config, seed=seed).batch(0).data
        covariance = torch.einsum("bct,bdt->cd", data, data)
        values = torch.linalg.eigvalsh(covariance.double())
        ratios.append(float(values[-1] / values[0]))
    assert np.median(ratios) < 4.0


def test_ahead(people):
    """Other processes make the same batches, from any place on."""
    stream = PeopleStream(DATA, 4, people, PLAIN, seed=5)
    with AheadStream(stream, 1) as ahead:
        for k in (1, 2, 5):
            mine, theirs = stream.batch(k), ahead.batch(k)
            assert torch.equal(mine.data, theirs.data)
            assert torch.equal(mine.currents, theirs.currents)
            assert torch.equal(mine.model.start, theirs.model.start)
            assert mine.model.depth_norm == theirs.model.depth_norm


def test_command_with_people(people, tmp_path):
    """Trains on files of people, says so in the card; other source spaces are refused."""
    from mne_mmnet.training.cosine_command import main
    from mne_mmnet.weights import read_model

    files = [tmp_path / "training.npz", tmp_path / "validation.npz"]
    for file in files:
        people.save(file)
    options = ["--out", str(tmp_path / "run"), "--name", "tiny", "--people", *map(str, files)]
    options += ["--device", "cpu", "--n-channels", "8", "20", "--sources", "sereega"]
    options += ["--n-batches", "2", "--batch-size", "2", "--n-validation", "4", "--n-steps", "2"]
    options += ["--dilations", "1", "2", "--workers", "1"]
    card = main(options)
    assert card.domain["n_people"] == 3
    assert "background" in card.domain["noise"]
    assert card.domain["simulation"]["known_noise"] > 0
    assert "n_heads" not in card.domain
    network, _ = read_model(tmp_path / "run" / "tiny")
    assert network.config.dilations == (1, 2)
    log = (tmp_path / "run" / "log.jsonl").read_text()
    main(options)
    assert (tmp_path / "run" / "log.jsonl").read_text() == log  # it was over
    assert json.loads((tmp_path / "run" / "tiny.json").read_text())["domain"]["n_people"] == 3
    replace(people, source_space=dict(people.source_space, subject="other")).save(files[1])
    with pytest.raises(ValueError, match="different source spaces"):
        main(options)


def test_shrink(people, tmp_path):
    """Few people and electrodes; what is left is where it was."""
    small = people.shrink(2, largest=12)
    assert small.n_people == 2
    np.testing.assert_array_equal(small.electrodes, people.electrodes[3:15])
    np.testing.assert_allclose(small.true, people.true[:2, 3:15], rtol=1e-3)
    assert small.true.dtype == small.standard.dtype == np.float16
    assert list(small.layouts) == ["small"]
    np.testing.assert_array_equal(small.layouts["small"], np.arange(12))
    both = people.shrink(1, largest=30)
    np.testing.assert_array_equal(
        both.electrodes[both.layouts["small"]], people.electrodes[people.layouts["small"]]
    )
    small.save(tmp_path / "small.npz")
    again = PeopleArchive.read(tmp_path / "small.npz")
    batch = PeopleStream(DATA, 4, again, replace(PLAIN, n_channels=(8, 12))).batch(0)
    assert torch.isfinite(batch.data).all()
