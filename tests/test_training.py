"""The training loop on a tiny problem: it learns, resumes exactly, and refuses mixtures."""

import json
import multiprocessing
from dataclasses import replace

import numpy as np
import pytest
import torch

from core_cases import SMALL, make_people, random_network, ring
from mne_mmnet.dictionary.regions import Regions
from mne_mmnet.network import ORIENTS, EvidenceNetwork
from mne_mmnet.simulation import SimulationConfig
from mne_mmnet.training import TrainingConfig, train
from mne_mmnet.training.loop import Feed, Space, learning_rate, pose_batch
from mne_mmnet.training.loss import Target, current_loss, regional_moments, unrolled_loss

CONFIG = TrainingConfig(
    network=SMALL,
    simulation=SimulationConfig(
        n_channels=(12, 14),
        n_sources=(1, 2),
        max_times=12,
        orients=(1.0, 0.0, 0.0, 0.0),
        snr_db=(5.0, 10.0),
    ),
    spaces=(("ring", 1, 1.0),),
    n_batches=6,
    batch_size=2,
    n_steps=(2, 3),
)


def ring_people(n_sources=40, spacing=6.0, n_people=1):
    """People with 20 electrodes; neighbouring sources look alike, as in EEG.

    Sources lie on a circle, evenly, so that of twice as many every other one is the same place.
    """
    rng = np.random.default_rng(0)
    electrodes = 80 * rng.standard_normal((20, 3))
    angle = 2 * np.pi * np.arange(n_sources) / n_sources
    waves = np.stack([f(k * angle) for k in range(1, 9) for f in (np.cos, np.sin)])
    size = 1.0 / np.repeat(np.arange(1, 9), 2)
    gains = np.einsum("heck,ks,k->hesc", rng.standard_normal((n_people, 20, 3, 16)), waves, size)
    return make_people(
        rng,
        gains,
        electrodes,
        positions=38.0 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1),
        normals=np.broadcast_to([0.0, 0.0, 1.0], (n_sources, 3)),
        adjacency=ring(n_sources, spacing),
    )


@pytest.fixture(scope="module")
def people():
    """One person with 40 sources."""
    return [ring_people()]


@pytest.fixture
def quick(monkeypatch):
    """Validate on few recordings, where validation is not what is tested."""
    monkeypatch.setattr("mne_mmnet.training.loop._N_VALIDATION", 4)


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@pytest.mark.usefixtures("quick")
def test_resumes_exactly(people, tmp_path):
    """A run that stops and goes on ends where an uninterrupted one does."""
    whole, loss = train(CONFIG, tmp_path / "whole", people, save_every=2)

    class Stop(Exception):
        pass

    def interrupted(batches):
        for k in batches:
            if k == 4:
                raise Stop
            yield k

    with pytest.raises(Stop):
        train(CONFIG, tmp_path / "parts", people, save_every=2, progress=interrupted)
    seen = []
    parts, loss_parts = train(
        CONFIG,
        tmp_path / "parts",
        people,
        save_every=2,
        progress=lambda batches: (seen.append(k) or k for k in batches),
    )
    assert seen == [4, 5]
    torch.testing.assert_close(weights(parts), weights(whole))
    assert loss == pytest.approx(loss_parts)
    log = [json.loads(x) for x in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert [entry["batch"] for entry in log] == [2, 4, 6]
    assert not list((tmp_path / "parts").glob("tmp*"))


def test_learns(people, tmp_path, monkeypatch):
    """Validation improves on the initial weights."""
    monkeypatch.setattr("mne_mmnet.training.loop._N_VALIDATION", 16)
    hard = replace(CONFIG.simulation, n_sources=(2, 4), snr_db=(-3.0, 3.0))
    config = replace(
        CONFIG, simulation=hard, n_batches=40, batch_size=4, learning_rate=4e-3, average=0.9
    )
    nothing = replace(config, n_batches=1, learning_rate=1e-12)
    _, before = train(nothing, tmp_path / "before", people)
    _, after = train(config, tmp_path / "after", people, save_every=40)
    assert after < before - 0.03


@pytest.mark.usefixtures("quick")
def test_refuses_another_configuration(people, tmp_path):
    """A directory belongs to one run."""
    train(replace(CONFIG, n_batches=1), tmp_path, people)
    with pytest.raises(ValueError, match="another configuration"):
        train(replace(CONFIG, n_batches=2), tmp_path, people)


@pytest.mark.parametrize(
    "change",
    [
        {"n_batches": 0},
        {"n_steps": (3, 2)},
        {"batch_size": -2},
        {"batch_size": 3},
        {"n_confidence": 0},
        {"n_temperature": 0},
        {"spaces": ()},
        {"spaces": (("ico3", 2, 0.5), ("oct5", 2, 0.4))},
        {"spaces": (("ico3", 2, 1.2), ("oct5", 2, -0.2))},
    ],
)
def test_impossible_configuration(change):
    """A run that could not train anything is refused."""
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(CONFIG, **change)


@pytest.mark.usefixtures("quick")
def test_initial_weights(people, tmp_path):
    """Training can start from given weights, of the same shape only."""
    start = EvidenceNetwork(SMALL)
    config = replace(CONFIG, n_batches=1, learning_rate=1e-12, weight_decay=0.0)
    after, _ = train(config, tmp_path / "a", people, initial=start)
    torch.testing.assert_close(weights(after), weights(start))
    with pytest.raises(ValueError, match="another network configuration"):
        train(config, tmp_path / "b", people, initial=EvidenceNetwork(replace(SMALL, hidden=7)))


SEVERAL = replace(
    CONFIG,
    spaces=(("ring", 2, 0.5), ("volume", 1, 0.3), ("circle", 1, 0.2)),
    simulation=replace(CONFIG.simulation, orients=(0.4, 0.3, 0.0, 0.3)),
    n_batches=5,
)


@pytest.fixture(scope="module")
def several():
    """Lead fields of several source spaces, one of them a volume."""
    return [ring_people(n_people=2), replace(ring_people(36), is_volume=True), ring_people(30)]


@pytest.mark.usefixtures("quick")
# newer Pythons warn of forking where there are threads; only fork lets workers share lead fields
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_workers_change_nothing(several, tmp_path):
    """Batches that are simulated ahead are the batches that are simulated when needed."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system cannot fork")
    found, logs = [], []
    for n_workers in (0, 1):
        folder = tmp_path / str(n_workers)
        network, loss = train(SEVERAL, folder, several, n_workers=n_workers, save_every=1)
        found.append((weights(network), loss))
        entries = [json.loads(x) for x in (folder / "log.jsonl").read_text().splitlines()]
        logs.append([entry["loss"] for entry in entries])
    assert len(logs[0]) == 5
    assert logs[0] == pytest.approx(logs[1])
    torch.testing.assert_close(found[0][0], found[1][0])
    assert found[0][1] == pytest.approx(found[1][1])


def test_batches_come_from_all_spaces(several):
    """Spaces take turns by their shares; a batch depends on its number alone."""
    spaces = [Space(people, SMALL) for people in several]
    feed = Feed(SEVERAL, spaces, 0)
    picked = [spaces.index(feed.pick(k)) for k in range(400)]
    shares = np.bincount(picked) / 400
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.08)
    orients = set()
    for k in (11, 3, 7, 5, 2):
        batch, again = feed.batch(k), feed.make(k)
        assert batch.currents.shape[1] == len(several[picked[k]].normals)
        np.testing.assert_array_equal(batch.data, again.data)
        orients.add(batch.orient)
        assert (batch.orient == "free") == (picked[k] == 1)
    assert not np.array_equal(feed.batch(0).data, feed.batch(1).data)
    feed.close()
    assert len(orients) > 1


@pytest.mark.parametrize("orient", ["fixed", "loose", "free", "evidence"])
def test_posed_problem_is_free_of_units(several, orient):
    """Volts, microvolts or anything else: the same problem, and a dictionary that fits it."""
    orients = tuple(float(orient == name) for name in ORIENTS)
    simulation = replace(SEVERAL.simulation, orients=orients)
    space = Space(several[1 if orient == "free" else 0], SMALL)
    batch = replace(space.simulate(simulation, 4, 0), noise_known=0.0)
    assert batch.orient == orient
    network = random_network(0, 0.2)
    problem, amplitude = pose_batch(network, space, batch)
    assert problem.objective.model.n_orient == (1 if orient == "fixed" else 3)
    assert problem.objective.model.graph is not None
    rms = torch.as_tensor(batch.data).square().mean((1, 2)).sqrt()
    torch.testing.assert_close(amplitude, rms)
    other = replace(batch, leadfield=1e-25 * batch.leadfield, data=1e5 * batch.data)
    again, _ = pose_batch(network, space, other)
    torch.testing.assert_close(again.start, problem.start, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(again.summary, problem.summary, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(again.objective.cost, problem.objective.cost, rtol=1e-2, atol=1e-4)


def test_graphs_of_a_space(several):
    """Each kind of orientation has its own dictionary, made once; loose ones follow normals."""
    people = several[0]
    tilted = np.random.default_rng(0).standard_normal((40, 3))
    tilted /= np.linalg.norm(tilted, axis=1, keepdims=True)
    space = Space(replace(people, normals=tilted), SMALL)
    assert space.graph("loose") is space.graph("loose")
    fixed, loose, free, settled = map(space.graph, ORIENTS)
    assert (fixed.n_orient, loose.n_orient, free.n_orient) == (1, 3, 3)
    plain = fixed.synthesis.to_dense()
    torch.testing.assert_close(free.synthesis.to_dense(), torch.kron(plain, torch.eye(3)))
    turned = loose.synthesis.to_dense()
    torch.testing.assert_close(turned[2::3, 2::3], plain)  # normals stay normals
    assert (turned - free.synthesis.to_dense()).abs().max() > 0.1
    # along the normals alone, or along both tangents
    assert settled.n_orient == 3
    assert settled.families == (*fixed.families, *((count, 2) for count, _ in fixed.families))
    several_ways = settled.synthesis.to_dense()
    n_atoms = plain.shape[1]
    torch.testing.assert_close(several_ways[2::3, :n_atoms], plain)
    for blur in space.blurs:
        torch.testing.assert_close(blur.to_dense().sum(1), torch.ones(40))


def test_region_of_a_space(several):
    """Regional moments are those of `Regions`, but for a little less at the rim."""
    space = Space(several[0], SMALL)
    positions = space.people.positions
    currents = torch.randn(2, 40, 3)
    found = regional_moments(currents, space).numpy()
    for one, moments in zip(currents.norm(dim=2).numpy(), found, strict=True):
        whole = Regions(positions).moments(one)
        assert (moments < whole).all()
        assert (moments > 0.9 * whole).all()
    # of a single source, the largest moment is at its place
    for place in (0, 17):
        single = torch.zeros(1, 40, 3)
        single[:, place] = torch.randn(3)
        assert int(regional_moments(single, space).argmax()) == place


@pytest.mark.usefixtures("quick")
def test_validation_people(people, tmp_path):
    """Validation is on the people that are given for it; training does not see them."""
    config = replace(CONFIG, n_batches=2)
    one, loss = train(config, tmp_path / "a", people)
    others = [ring_people(30)]
    two, other = train(config, tmp_path / "b", people, validation_people=others)
    torch.testing.assert_close(weights(one), weights(two))
    assert other != pytest.approx(loss, abs=1e-6)


def test_one_archive_for_each_space(people, tmp_path):
    """Too few or too many archives are an error before any work."""
    for archives in ([], people * 2):
        with pytest.raises(ValueError, match="1 archives are needed, got"):
            train(CONFIG, tmp_path, archives)


def test_learning_rate():
    """It rises over a twentieth of the run to its peak, then falls to a hundredth."""
    config = replace(CONFIG, n_batches=1000, learning_rate=0.3)
    rates = np.array([learning_rate(config, k) for k in range(1000)])
    assert rates[0] == pytest.approx(0.3 / 50)
    assert rates.max() == pytest.approx(0.3)
    assert 48 <= rates.argmax() <= 51
    assert (np.diff(rates[:50]) > 0).all()
    assert (np.diff(rates[51:]) < 0).all()
    assert rates[-1] == pytest.approx(0.003, rel=0.01)
    assert rates[525] == pytest.approx(0.1515, rel=0.01)  # half-way of the fall
    # a short run is no reason to exceed the peak
    assert learning_rate(replace(config, n_batches=1), 0) == pytest.approx(0.3)


def test_loss():
    """Zero for the truth at any amplitude, and a near miss costs less than a far one."""
    space = Space(ring_people(), SMALL)
    positions = space.people.positions
    truth = torch.zeros(2, 40, 1, 5)
    truth[:, 10] = torch.randn(5)
    inside = torch.ones(2, 5)
    target = Target.make(truth, inside, space, positions)

    def moved(to, factor=1.0):
        estimate = torch.zeros_like(truth)
        estimate[:, to] = factor * truth[:, 10]
        one, other = current_loss(estimate, target, space)
        assert one == other
        return float(one)

    right = moved(10)
    assert 0 <= right < 0.3  # of the chances, some are the neighbours'
    assert moved(10, 1e-9) == pytest.approx(right, abs=1e-3)
    assert moved(10, -1.0) == pytest.approx(2.0 + right, abs=1e-3)  # the wrong sign
    assert right < moved(12) < moved(15) < moved(30)
    # four cosines, and the strongest region as far as can be
    assert moved(30) == pytest.approx(4.0 + np.tanh(76.0 / 40.0), abs=0.1)
    losses = [torch.tensor([4.0]), torch.tensor([1.0])]
    assert float(unrolled_loss(losses)) == pytest.approx((1 * 4 + 2 * 1) / 3)


def test_loss_of_unsteadiness():
    """A recording and its window that disagree cost more than the two of them alone."""
    space = Space(ring_people(), SMALL)
    truth = torch.zeros(1, 40, 1, 5)
    truth[0, 10] = torch.tensor([2.0, -1.0, 0.5, 1.2, -0.3])  # most in the first
    both, inside = truth.repeat(4, 1, 1, 1), torch.ones(4, 5)
    inside[1::2, 3:] = 0.0
    target = Target.make(both, inside, space, space.people.positions)
    estimate = both.clone()
    agree = current_loss(estimate, target, space)
    estimate[1] = estimate[1].roll(15, 0)
    differ = current_loss(estimate, target, space)
    assert float(differ[0] - agree[0]) == pytest.approx(0.25, abs=0.01)
    torch.testing.assert_close(differ[2:], agree[2:])  # each pair for itself
    # what lies outside of the window is not asked for
    estimate = both.clone()
    estimate[1::2, ..., 3:] = 7.0
    torch.testing.assert_close(current_loss(estimate, target, space), agree)
