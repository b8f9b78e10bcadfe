"""The training command, from lead fields in a folder to a model that can be used."""

from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch

from core_cases import SMALL, random_network
from mne_mmnet import _cli
from mne_mmnet.simulation import PeopleVariety
from mne_mmnet.training.command import main, make_parser, read_spaces
from mne_mmnet.weights import read_model, save_model
from test_training import ring_people

SPACES = (("ring", 2, 0.7), ("circle", 1, 0.3))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with all lead fields that a run asks for; none can be computed."""

    def fail(*args, **kwargs):
        raise AssertionError("Lead fields that are there must not be computed again.")

    monkeypatch.setattr("mne_mmnet.simulation.people.make_people", fail)
    folder = tmp_path / "people"
    ring_people(40, n_people=2).save(folder / "ring-2-seed0.npz")
    ring_people(44).save(folder / "circle-1-seed0.npz")
    ring_people(40, n_people=3).save(folder / "ring-8-seed1000.npz")
    return folder


def test_read_spaces(folder):
    """Each archive is read from the file that its space, number and seed name."""
    training, validation = read_spaces(folder, SPACES)
    found = [people.true.shape[::2] for people in (*training, *validation)]
    assert found == [(2, 40), (1, 44), (3, 40)]


def test_missing_people_are_computed_and_kept(folder, monkeypatch):
    """What is not in the folder is made there, by the same numbers; of fine spaces a part."""
    made = []

    def make(path, **options):
        made.append((path.name, options))
        return ring_people()

    monkeypatch.setattr("mne_mmnet.simulation.people.make_people", make)
    read_spaces(folder, (("ring", 2, 0.5), ("oct5", 3, 0.3), ("ico4", 1, 0.2)))
    assert made == [
        (
            "oct5-3-seed0.npz",
            dict(n_people=3, spacing="oct5", seed=0, n_electrodes=None, n_jobs=1),
        ),
        ("ico4-1-seed0.npz", dict(n_people=1, spacing="ico4", seed=0, n_electrodes=300, n_jobs=1)),
    ]
    made.clear()
    read_spaces(folder, (("circle", 1, 1.0),))  # nobody is both trained on and held out
    assert made == [
        (
            "circle-8-seed1000.npz",
            dict(n_people=8, spacing="circle", seed=1000, n_electrodes=None, n_jobs=1),
        )
    ]


def test_space_option(capsys):
    """Spaces are spelled SPACING:PEOPLE:SHARE; anything else is an error of the command line."""
    args = make_parser().parse_args(["--spaces", "ring:2:0.7", "circle:1:0.3"])
    assert tuple(args.spaces) == SPACES
    for wrong in ("ring", "ring:2", "ring:two:0.7", "ring:2:0.7:1"):
        with pytest.raises(SystemExit):
            make_parser().parse_args(["--spaces", wrong])
        assert wrong in capsys.readouterr().err


def test_options_of_several_numbers(capsys):
    """Ranges and shares take as many numbers as there are."""
    given = ["--orients", "1", "0", "0", "2", "--snr-db", "-3", "4.5", "--heads", *"1234"]
    args = make_parser().parse_args(given)
    assert args.orients == [1.0, 0.0, 0.0, 2.0]
    assert args.snr_db == [-3.0, 4.5]
    assert args.heads == [1.0, 2.0, 3.0, 4.0]
    with pytest.raises(SystemExit):
        make_parser().parse_args(["--orients", "1", "0"])
    assert "expected 4 arguments" in capsys.readouterr().err


def test_command(folder, tmp_path):
    """A whole run leaves a model whose card tells how it was made, and a log."""
    start = random_network(0, 0.1)
    start.confidence.log_temperature.zero_()
    save_model(start, tmp_path / "start", domain={}, provenance={})
    argv = ["--out", str(tmp_path / "run"), "--people-folder", str(folder), "--name", "mine"]
    argv += ["--initial", str(tmp_path / "start"), "--spaces", "ring:2:0.7", "circle:1:0.3"]
    argv += ["--n-batches", "2", "--n-confidence", "2", "--n-temperature", "1"]
    argv += ["--batch-size", "2", "--n-steps", "1", "2", "--n-channels", "12", "14"]
    argv += ["--max-times", "12", "--orients", "0.5", "0.1", "0", "0.4"]
    card = main(argv)
    network, again = read_model(tmp_path / "run" / "mine")
    assert again.sha256 == card.sha256
    assert network.config == SMALL
    assert card.domain["n_channels"] == (12, 14)
    assert card.domain["orients"] == (0.5, 0.1, 0.0, 0.4)
    assert card.domain["people"] == asdict(PeopleVariety())
    assert card.domain["spaces"] == [
        dict(spacing="ring", n_people=2, share=0.7),
        dict(spacing="circle", n_people=1, share=0.3),
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


def test_command_line(capsys, monkeypatch):
    """Progress and what was saved are said, and options that make no sense are refused."""
    assert _cli.main(["train", "--max-times", "6"]) == 2
    assert capsys.readouterr().err == "mne-mmnet: max_times must be at least 11, got 6.\n"

    def train(argv, *, prog, progress):
        assert (argv, prog) == (["--seed", "3"], "mne-mmnet train")
        assert list(progress(range(4))) == [0, 1, 2, 3]
        return SimpleNamespace(name="mine", provenance={"validation_loss": 1.23456})

    monkeypatch.setattr("mne_mmnet.training.command.main", train)
    assert _cli.main(["train", "--seed", "3"]) == 0
    assert "Saved mine, validation loss 1.235\n" in capsys.readouterr().out
