"""Training of ``benchmarks/paper.py``: without MNE, on shared windows, by trials."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmark_cases import FOLDER, benchmark_modules
from core_cases import make_heads
from mne_mmnet.training import SampleStream
from process_cases import run_python

N_SOURCES, N_ELECTRODES = 40, 20


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """As many heads as the benchmark has, tiny, in a file."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("heads") / "heads.npz"
    make_heads(rng, rng.standard_normal((14, N_ELECTRODES, N_SOURCES, 3))).save(path)
    return path


@pytest.fixture
def paper():
    """The benchmark's modules, for one test."""
    with benchmark_modules():
        import paper_chunks
        import paper_setup

        yield paper_setup, paper_chunks


@pytest.mark.parametrize(("kind", "crop"), [("sereega", 0), ("sereega", 24), ("neural_mass", 64)])
def test_stored_windows_are_the_simulated_ones(kind, crop, heads, paper, tmp_path):
    """Bit by bit, in any order, whoever made them; damaged files are made again."""
    setup, chunks = paper
    archive = setup.read_heads(heads)
    options = (setup.training_set(kind), 32, archive, crop)
    plain, stored = SampleStream(*options), chunks.StoredStream(tmp_path, *options)
    for k in (1, 0, 1):
        for left, right in zip(plain.batch(k)[1:], stored.batch(k)[1:], strict=True):
            assert torch.equal(left, right)
    assert [path.name for path in tmp_path.iterdir()] == [stored.path(0).name]
    # read, not made: what is in the file is what comes out
    found = stored.make(0)
    np.savez(stored.path(0), **{**found, "data": 2.0 * found["data"]})
    again = chunks.StoredStream(tmp_path, *options)
    torch.testing.assert_close(again.batch(0).data, 2.0 * plain.batch(0).data)
    stored.path(0).write_bytes(b"PK\x03\x04 of no use")
    again = chunks.StoredStream(tmp_path, *options)
    assert torch.equal(again.batch(0).data, plain.batch(0).data)


def test_stored_windows_of_other_settings_are_others(heads, paper, tmp_path):
    """No setting that changes the numbers shares a file with another."""
    setup, chunks = paper
    archive, data = setup.read_heads(heads), setup.training_set("sereega")
    other = setup.validation_set("sereega", 64)
    settings = [(data, 32, 0), (data, 16, 0), (data, 32, 24), (other, 32, 0)]
    names = [chunks.StoredStream(tmp_path, d, b, archive, c).path(0).name for d, b, c in settings]
    assert len(set(names)) == len(names)


def test_training_without_mne(heads, tmp_path):
    """Trains, resumes, and hands results back where importing MNE is an error."""
    (tmp_path / "mne").mkdir()
    (tmp_path / "mne" / "__init__.py").write_text("raise ImportError('no MNE here')")
    path = os.pathsep.join([str(tmp_path), str(FOLDER.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}

    def run(script, *options):
        return run_python(FOLDER / script, "--root", tmp_path / "runs", *options, env=environment)

    options = ["--methods", "cnn", "--kinds", "sereega", "--minutes", "0.002", "--device", "cpu"]
    options += ["--train-only", "--trial", "--heads", heads, "--chunks", tmp_path / "chunks"]
    options += ["--config", "gpu", "--learning-rate-factor", "0.3", "--jobs", "1"]
    assert "train cnn sereega" in run("paper.py", *options)
    folder = tmp_path / "runs" / "cnn-sereega-lr0.3-pre0.65"
    log = (folder / "log.jsonl").read_text()
    run("paper.py", *options)
    assert (folder / "log.jsonl").read_text() == log  # it was over
    assert list((tmp_path / "chunks").iterdir())
    run("paper_export.py", "--out", tmp_path / "out")
    (bundle,) = (tmp_path / "out").iterdir()
    before = torch.load(folder / "checkpoint.pt", weights_only=True)["best"]
    (folder / "checkpoint.pt").unlink()
    run("paper_export.py", "--unpack", bundle)
    after = torch.load(folder / "best.pt", weights_only=True)["best"]
    for name, tensor in before.items():
        torch.testing.assert_close(after[name].float(), tensor, rtol=1e-3, atol=1e-6)


def test_best_trial_is_chosen_by_the_cosine(paper, tmp_path):
    """Of the kept weights, not by the loss, and not among another method's or data's runs."""
    setup, _ = paper
    entries = {
        "mmnet-sereega-lr1-pre0.65": [(0.4, 0.5), (0.5, 0.9)],
        "mmnet-sereega-lr0.3-pre0.3": [(0.6, 0.6)],
        "mmnet+-sereega-lr1-pre0.65": [(0.1, 0.8)],
        "mmnet-neural_mass-lr1-pre0.65": [(0.1, 0.8)],
    }
    for name, history in entries.items():
        (tmp_path / name).mkdir()
        history = [dict(validation=loss, cosine=cosine) for loss, cosine in history]
        torch.save(dict(history=history), tmp_path / name / "best.pt")
    assert setup.best_run(tmp_path, "mmnet", "sereega").name == "mmnet-sereega-lr0.3-pre0.3"
    assert setup.best_run(tmp_path, "cnn", "sereega", missing_ok=True) is None
    with pytest.raises(FileNotFoundError, match="train it first"):
        setup.best_run(tmp_path, "cnn", "sereega")


def test_scores_of_a_refined_answer(heads, paper, tmp_path):
    """It is tested where both are trained, and compared with the answer that it refines."""
    setup, _ = paper
    import paper_scores

    archive = setup.read_heads(heads)
    plan = dict(n_batches=2, validate_every=1, n_validation=8, pretraining=0.5)
    config = setup.BilevelConfig.budget(0.0, **plan)
    args = SimpleNamespace(
        root=tmp_path, heads=heads, people=None, n_samples=8, n_others=None, lead_fields=["unseen"]
    )
    name, condition = "lstm+, then mmnet+", ("sereega", "unseen", "white")
    for method in ("lstm+", "mmnet+"):
        assert not paper_scores.evaluate_one(name, "sereega", condition, args)
        setup.train_one(
            method, "sereega", config, archive, setup.run_directory(tmp_path, method, "sereega")
        )
    for method in ("lstm+", name):
        assert paper_scores.evaluate_one(method, "sereega", condition, args)
    rows = {row["method"]: row for row in paper_scores.collect(args, {name: 1.0})}
    assert rows.keys() == {"lstm+", name}
    assert rows[name]["recordings_seen"] == 2 * rows["lstm+"]["recordings_seen"] > 0
    back, difference = paper_scores.collect_differences(args)
    assert (back["method"], back["reference"]) == ("lstm+", f"{name}, sereega")
    assert (difference["method"], difference["reference"]) == (name, "lstm+, sereega")
    gain = float(rows[name]["space_time_cosine"]) - float(rows["lstm+"]["space_time_cosine"])
    assert float(difference["space_time_cosine"]) == pytest.approx(gain, abs=2e-3)
    (descent,) = paper_scores.collect_descent(args)
    assert descent["rising_steps_percent"] == "0.00"
    # another run of the peer has another answer
    before = paper_scores.scores_path(args, name, "sereega", condition)
    trial = setup.run_directory(tmp_path, "lstm+", "sereega", 0.5, 0.5)
    setup.train_one("lstm+", "sereega", config, archive, trial)
    state = torch.load(trial / "checkpoint.pt", weights_only=True)
    state["history"] = [entry | dict(cosine=1.0) for entry in state["history"]]
    torch.save(state, trial / "checkpoint.pt")
    assert paper_scores.scores_path(args, name, "sereega", condition) != before
