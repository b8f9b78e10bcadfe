"""The training loop on a tiny problem: it learns, resumes exactly, and refuses mixtures."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from core_cases import SMALL, ring
from mne_mmnet.network import EvidenceNetwork
from mne_mmnet.network.mixing import mix
from mne_mmnet.simulation import HeadArchive, SimulationConfig
from mne_mmnet.training import TrainingConfig, train
from mne_mmnet.training.loss import current_loss, unrolled_loss

CONFIG = TrainingConfig(
    network=SMALL,
    simulation=SimulationConfig(
        n_channels=(12, 14), n_sources=(1, 2), max_times=12, free=0.0, snr_db=(5.0, 10.0)
    ),
    n_batches=6,
    batch_size=2,
    n_steps=(2, 3),
)


@pytest.fixture(scope="module")
def heads():
    """One head with 40 sources and 20 electrodes; neighbouring sources look alike, as in EEG."""
    rng = np.random.default_rng(0)
    gains = rng.standard_normal((1, 20, 40, 3))
    for _ in range(6):
        gains = gains + np.roll(gains, 1, axis=2) + np.roll(gains, -1, axis=2)
    return HeadArchive(
        gains=gains.astype(np.float32),
        electrodes=80 * rng.standard_normal((20, 3)),
        groups=np.zeros(20, int),
        positions=rng.standard_normal((40, 3)),
        normals=np.broadcast_to([0.0, 0.0, 1.0], (40, 3)),
        adjacency=ring(40),
    )


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def test_resumes_exactly(heads, tmp_path):
    """A run that stops and goes on ends where an uninterrupted one does."""
    whole, loss = train(CONFIG, tmp_path / "whole", heads, save_every=2)

    class Stop(Exception):
        pass

    def interrupted(batches):
        for k in batches:
            if k == 4:
                raise Stop
            yield k

    with pytest.raises(Stop):
        train(CONFIG, tmp_path / "parts", heads, save_every=2, progress=interrupted)
    seen = []
    parts, loss_parts = train(
        CONFIG,
        tmp_path / "parts",
        heads,
        save_every=2,
        progress=lambda batches: (seen.append(k) or k for k in batches),
    )
    assert seen == [4, 5]
    torch.testing.assert_close(weights(parts), weights(whole))
    assert loss == pytest.approx(loss_parts)
    log = [json.loads(x) for x in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert [entry["batch"] for entry in log] == [2, 4, 6]
    assert not list((tmp_path / "parts").glob("tmp*"))


def test_learns(heads, tmp_path):
    """Validation improves on the initial weights."""
    hard = replace(CONFIG.simulation, n_sources=(2, 4), snr_db=(-3.0, 3.0))
    config = replace(
        CONFIG, simulation=hard, n_batches=60, batch_size=4, learning_rate=1e-2, average=0.9
    )
    nothing = replace(config, n_batches=1, learning_rate=1e-12)
    _, before = train(nothing, tmp_path / "before", heads)
    _, after = train(config, tmp_path / "after", heads, save_every=60)
    assert after < before - 0.01


def test_refuses_another_configuration(heads, tmp_path):
    """A directory belongs to one run."""
    train(replace(CONFIG, n_batches=1), tmp_path, heads)
    with pytest.raises(ValueError, match="another configuration"):
        train(replace(CONFIG, n_batches=2), tmp_path, heads)


@pytest.mark.parametrize("change", [{"n_batches": 0}, {"n_steps": (3, 2)}, {"batch_size": -1}])
def test_impossible_configuration(change):
    """A run that could not train anything is refused."""
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(CONFIG, **change)


def test_initial_weights(heads, tmp_path):
    """Training can start from given weights, of the same shape only."""
    start = EvidenceNetwork(SMALL)
    config = replace(CONFIG, n_batches=1, learning_rate=1e-12, weight_decay=0.0)
    after, _ = train(config, tmp_path / "a", heads, initial=start)
    torch.testing.assert_close(weights(after), weights(start))
    with pytest.raises(ValueError, match="another network configuration"):
        train(config, tmp_path / "b", heads, initial=EvidenceNetwork(replace(SMALL, hidden=7)))


def test_loss():
    """Zero for the truth at any amplitude, and a near miss costs less than a far one."""
    from core_cases import to_torch_csr
    from mne_mmnet.dictionary import mixing_matrix

    blur = to_torch_csr(mixing_matrix(ring(40), 12.0))
    truth = torch.zeros(1, 40, 1, 5)
    truth[0, 10] = torch.randn(5)

    def moved(to, factor=1.0):
        estimate = torch.zeros_like(truth)
        estimate[0, to] = factor * truth[0, 10]
        return float(current_loss(estimate, truth, blur))

    assert moved(10) == pytest.approx(0.0, abs=1e-3)
    assert moved(10, 1e-9) == pytest.approx(0.0, abs=1e-3)
    assert moved(10, -1.0) == pytest.approx(2.0, abs=1e-3)
    assert moved(12) < moved(30)
    assert moved(30) == pytest.approx(3.0, abs=1e-2)
    losses = [torch.tensor([4.0]), torch.tensor([1.0])]
    assert float(unrolled_loss(losses)) == pytest.approx((1 * 4 + 2 * 1) / 3)
    assert mix(blur, torch.ones(1, 40, 1)).allclose(torch.ones(1, 40, 1))
