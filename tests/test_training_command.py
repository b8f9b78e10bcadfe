"""The training command, from lead fields in a folder to a model that can be used."""

import pytest
import torch

from core_cases import SMALL, random_network
from mne_mmnet.training.command import main, make_parser, read_spaces
from mne_mmnet.weights import read_model, save_model
from test_training import make_heads

SPACES = (("ring", 2, 0.7), ("circle", 1, 0.3))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with all lead fields that a run asks for; none can be computed."""

    def fail(*args, **kwargs):
        raise AssertionError("Lead fields that are there must not be computed again.")

    monkeypatch.setattr("mne_mmnet.simulation.heads.make_head_archive", fail)
    folder = tmp_path / "heads"
    make_heads(40, n_heads=2).save(folder / "ring-2-seed0.npz")
    make_heads(44).save(folder / "circle-1-seed1.npz")
    make_heads(40, n_heads=6).save(folder / "ring-6-seed77.npz")
    make_heads(80, spacing=3.0, n_heads=6).save(folder / "ico4-6-seed78.npz")
    return folder


def test_read_spaces(folder):
    """Each archive is read from the file that its space, number and seed name."""
    training, validation, fine = read_spaces(folder, SPACES)
    found = [heads.gains.shape[::2] for heads in (*training, *validation, fine)]
    assert found == [(2, 40), (1, 44), (6, 40), (6, 80)]


def test_missing_heads_are_computed_and_kept(folder, monkeypatch):
    """What is not in the folder is made there, by the same numbers."""
    made = []

    def make(path, **options):
        made.append((path.name, options))
        return make_heads()

    monkeypatch.setattr("mne_mmnet.simulation.heads.make_head_archive", make)
    read_spaces(folder, (("ring", 2, 0.5), ("oct5", 3, 0.5)))
    assert made == [("oct5-3-seed1.npz", dict(n_heads=3, spacing="oct5", seed=1))]


def test_space_option(capsys):
    """Spaces are spelled SPACING:HEADS:SHARE; anything else is an error of the command line."""
    args = make_parser().parse_args(["--spaces", "ring:2:0.7", "circle:1:0.3"])
    assert tuple(args.spaces) == SPACES
    for wrong in ("ring", "ring:2", "ring:two:0.7", "ring:2:0.7:1"):
        with pytest.raises(SystemExit):
            make_parser().parse_args(["--spaces", wrong])
        assert wrong in capsys.readouterr().err


def test_command(folder, tmp_path):
    """A whole run leaves a model whose card tells how it was made, and a log."""
    start = random_network(0, 0.1)
    start.confidence.log_temperature.zero_()
    save_model(start, tmp_path / "start", domain={}, provenance={})
    argv = ["--out", str(tmp_path / "run"), "--heads-folder", str(folder), "--name", "mine"]
    argv += ["--initial", str(tmp_path / "start"), "--spaces", "ring:2:0.7", "circle:1:0.3"]
    argv += ["--n-batches", "2", "--n-confidence", "2", "--n-temperature", "1"]
    argv += ["--batch-size", "2", "--n-steps", "1", "2", "--n-channels", "12", "14"]
    argv += ["--max-times", "12", "--free", "0", "--loose", "0.1"]
    card = main(argv)
    network, again = read_model(tmp_path / "run" / "mine")
    assert again.sha256 == card.sha256
    assert network.config == SMALL
    assert card.domain["n_channels"] == (12, 14)
    assert card.domain["loose"] == 0.1
    assert card.domain["spaces"] == [
        dict(spacing="ring", n_heads=2, share=0.7),
        dict(spacing="circle", n_heads=1, share=0.3),
    ]
    assert card.provenance["command"].startswith("python -m mne_mmnet.training --out")
    assert set(card.provenance["coverage"]) == {0.5, 0.9}
    assert card.provenance["validation_loss"] > 0
    assert (tmp_path / "run" / "log.jsonl").is_file()
    for part in ("hyperprior", "curvature", "confidence"):
        before, after = (
            torch.cat([p.flatten() for p in getattr(one, part).parameters()])
            for one in (start, network)
        )
        assert not torch.equal(before, after), part
