"""Weights and cards: round trip, and one clear error for each kind of damage."""

import errno
import hashlib
import json
import re
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core_cases import DOMAIN, SMALL, random_network
from mne_mmnet import weights
from mne_mmnet.weights import FORMAT, list_models, read_card, read_model, save_model


@pytest.fixture
def saved(tmp_path):
    """A saved model's path without suffix."""
    save_model(random_network(0, 0.1), tmp_path / "mine", domain=DOMAIN, provenance={"seed": 0})
    return tmp_path / "mine"


def edit_card(path, change):
    """Change a card that was saved."""
    path = path.with_suffix(".json")
    card = json.loads(path.read_text())
    change(card)
    path.write_text(json.dumps(card))


def reseal(path):
    """Make the card agree with tampered weights, so that later checks are reached."""
    digest = hashlib.sha256(path.with_suffix(".safetensors").read_bytes()).hexdigest()
    edit_card(path, lambda card: card.update(sha256=digest))


@pytest.mark.parametrize("suffix", ["", ".safetensors", ".json"])
def test_round_trip(saved, suffix):
    """What is saved is loaded, by any of its names."""
    assert sorted(p.name for p in saved.parent.iterdir()) == ["mine.json", "mine.safetensors"]
    network, card = read_model(str(saved) + suffix)
    assert network.config == SMALL
    assert card.name == "mine"
    assert card.provenance == {"seed": 0}
    assert card.domain["n_channels"] == list(DOMAIN["n_channels"])
    expected = random_network(0, 0.1).state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, expected[name])
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_shipped_models():
    """mmnet-base is there, whole, with what a user wants to know in its card."""
    assert "mmnet-base" in list_models()
    network, card = read_model("mmnet-base")
    assert sum(p.numel() for p in network.parameters()) < 1_250_000  # 5 MB
    assert set(card.domain) >= {"n_channels", "n_sources", "snr_db", "max_extent"}
    assert "command" in card.provenance
    assert asdict(card)["format"] == FORMAT


@pytest.mark.parametrize(
    "name", ["mmnet-bas", "mmnet-base.pt", Path("/nowhere/model.safetensors")]
)
def test_unknown_model(name):
    """An unknown name lists the known ones."""
    with pytest.raises(FileNotFoundError, match=r"no model .*\['mmnet-base'.*\.safetensors"):
        read_model(name)


def test_weights_missing(saved):
    """A card without weights is said so."""
    saved.with_suffix(".safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="card of 'mine' is there, but .*mine.safetensors"):
        read_model(saved)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated_weights(saved, keep):
    """A truncated file fails its digest."""
    path = saved.with_suffix(".safetensors")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="mine.safetensors is damaged.*sha256.*Get the file aga"):
        read_model(saved)
    reseal(saved)
    with pytest.raises(ValueError, match="impossible header|does not hold"):
        read_model(saved)


@pytest.mark.parametrize("damage", ["missing", "extra", "shape", "nan"])
def test_wrong_tensors(saved, damage):
    """Tensors that are not the card's network are refused."""
    path = saved.with_suffix(".safetensors")
    tensors = load_file(path)
    first = next(iter(tensors))
    if damage == "missing":
        del tensors[first]
    elif damage == "extra":
        tensors["backdoor"] = torch.zeros(3)
    elif damage == "shape":
        tensors[first] = torch.zeros(2, 2)
    else:
        tensors[first].fill_(np.nan)
    save_file(tensors, path)
    reseal(saved)
    with pytest.raises(ValueError, match="not finite" if damage == "nan" else "does not hold"):
        read_model(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card.pop("domain"), "exactly the keys"),
        (lambda card: card.update(extra=1), "exactly the keys"),
        (lambda card: card.update(format=99), "Update mne_mmnet"),
        (
            lambda card: card.update(format=FORMAT - 1),
            "an earlier mne_mmnet.*Train the model again",
        ),
    ],
)
def test_wrong_card(saved, change, message):
    """Unknown keys and future formats are refused."""
    edit_card(saved, change)
    with pytest.raises(ValueError, match=message):
        read_card(saved)


@pytest.mark.parametrize("blob", [b"", b"[]", b"{", b"\xff\xfe\x00", b"null"])
def test_card_is_no_card(saved, blob):
    """Anything that is not a JSON object is refused."""
    saved.with_suffix(".json").write_bytes(blob)
    with pytest.raises(ValueError, match="mine.json is no JSON model card.*Get the file again"):
        read_model(saved)


@pytest.mark.parametrize(
    "change",
    [
        dict(network={}),
        dict(network={"scales": [["point", 0.0]], "hidden": -1}),
        dict(kind="oracle"),
    ],
    ids=str,
)
def test_card_describes_no_network(saved, change):
    """A configuration that makes no network, or of an unknown kind, is refused."""
    edit_card(saved, lambda card: card.update(change))
    with pytest.raises(ValueError, match="describes no network"):
        read_model(saved)


@pytest.mark.parametrize(
    "change",
    [
        dict(hidden=10**9),  # a layer of 10¹⁸ numbers
        dict(hidden=4096, blocks=4096),
        dict(blocks=10**12),
        dict(n_steps=10**9),
        dict(state=16.5),
        dict(read=True),
        dict(context="12"),
        dict(max_step=float("inf")),
        dict(thinning=float("nan")),
        dict(scales=[["point", 0.0]] * 1000),
        dict(scales=[["point", "0"]]),
        dict(scales=5),
        dict(tangential=[0, 0]),
        dict(tangential=[0.0]),
        dict(tangential=[[0]]),
        dict(tangential=[2]),
        dict(tangential=5),
        dict(tangential="0"),
        dict(n_errors=10**9),
        dict(n_errors=4.0),
        dict(region_extent=0.0),
        dict(region_extent=float("inf")),
    ],
    ids=str,
)
def test_absurd_network(saved, change):
    """A card can't make the reader take gigabytes or hours; nothing is allocated."""
    edit_card(saved, lambda card: card["network"].update(change))
    started = time.process_time()
    with pytest.raises(ValueError, match="describes no network|does not hold the network"):
        read_model(saved)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"format": 2, "format": 2}', "there twice"),
        (b'{"format": 1' + b"0" * 9000 + b"}", "no JSON model card"),
        (b" " * (2 << 20) + b"{}", "too large"),
        ('{"format": "ü"}'.encode("latin-1"), "no JSON model card.*utf-8"),
    ],
    ids=["deep", "twice", "digits", "large", "latin"],
)
def test_card_that_parsers_stumble_over(saved, text, message):
    """Nesting, doubles, endless numbers and sizes are one error each."""
    saved.with_suffix(".json").write_bytes(text)
    with pytest.raises(ValueError, match=message):
        read_card(saved)


@pytest.mark.parametrize(
    "change",
    [
        dict(name="\x1b[2J"),
        dict(name=""),
        dict(sha256="0" * 63),
        dict(format=2.0),
        dict(network=[]),
        dict(domain={"n_channels": [64, 16]}),
        dict(domain={"n_channels": [0, 16]}),
        dict(domain={"snr_db": "loud"}),
        dict(domain={"snr_db": [0.0, float("nan")]}),
        dict(domain={"ch_types": "eeg"}),
        dict(domain={"source_space": "mine"}),
    ],
    ids=str,
)
def test_card_says_the_impossible(saved, change):
    """What a card says is checked when it is read, not when it is used."""
    edit_card(saved, lambda card: card.update(change))
    with pytest.raises(ValueError, match="no card of a model"):
        read_card(saved)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.bfloat16, torch.bool])
def test_wrong_type(saved, dtype):
    """Numbers of another type are refused, though torch would convert them."""
    path = saved.with_suffix(".safetensors")
    save_file({name: tensor.to(dtype) for name, tensor in load_file(path).items()}, path)
    reseal(saved)
    with pytest.raises(ValueError, match="is not of type F16 or F32"):
        read_model(saved)


def test_enormous_weights(saved):
    """A file of a terabyte is not read."""
    with open(saved.with_suffix(".safetensors"), "r+b") as file:
        file.truncate(1 << 40)  # sparse: takes no space
    with pytest.raises(ValueError, match="too large"):
        read_model(saved)


@pytest.mark.parametrize("last", ["_support.files.os.replace", "weights.Path.write_text"])
def test_both_files_or_none(saved, monkeypatch, last):
    """What can't be written leaves the earlier files, both of them, whole and no debris."""
    before = {path.name: path.read_bytes() for path in saved.parent.iterdir()}

    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"mne_mmnet.{last}", fail)
    with pytest.raises(OSError, match="No space left"):
        save_model(random_network(1, 0.1), saved, domain=DOMAIN, provenance={})
    assert {path.name: path.read_bytes() for path in saved.parent.iterdir()} == before


def test_cosine_kind(tmp_path):
    """Both kinds of network go to disk and back; half precision halves the file, not the speed."""
    from mne_mmnet.network import CosineConfig, CosineNetwork

    torch.manual_seed(0)
    config = CosineConfig(n_sources=30, width=16, hidden=8, dilations=(1, 2), start_width=12)
    network = CosineNetwork(config)
    sizes = {}
    for name, half in (("single", False), ("half", True)):
        card = save_model(network, tmp_path / name, domain={}, provenance={}, half=half)
        assert card.kind == "cosine"
        found, _ = read_model(tmp_path / name)
        assert found.config == network.config
        assert not found.training
        sizes[name] = (tmp_path / f"{name}.safetensors").stat().st_size
        for key, tensor in network.state_dict().items():
            assert found.state_dict()[key].dtype == torch.float32
            torch.testing.assert_close(found.state_dict()[key], tensor, rtol=1e-3 * half, atol=0)
    assert sizes["half"] < 0.6 * sizes["single"]


def test_provenance_names_no_place():
    """Commands in cards can be repeated elsewhere, and tell nothing about the machine."""
    from mne_mmnet.training.provenance import name_of, write_command

    argv = ["--out", "/data/some one/run", "--people=/data/p.npz", "--lr", "1e-3", "a/b", "--x=/"]
    command = write_command("python -m t", argv)
    assert command == "python -m t --out run --people=p.npz --lr 1e-3 a/b --x="
    assert name_of(None) is None


def test_cards_name_no_place():
    """Nor do the shipped ones."""
    for path in (Path(__file__).parents[1] / "pretrained").glob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"""["' =](/|[A-Z]:\\\\|~)\w""", text), path.name


def test_what_a_model_is_called(saved):
    assert repr(read_model(saved)) == "<Model | mine, evidence>"


@pytest.mark.parametrize("beside", [True, False])
def test_models_of_a_clone(beside, monkeypatch, tmp_path):
    """Not installed, they lie beside the package; a package alone says what is missing."""

    def fail(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(weights.resources, "files", fail)
    if beside:
        assert "mmnet-base" in list_models()
        return
    monkeypatch.setattr(weights, "__file__", str(tmp_path / "mne_mmnet" / "weights.py"))
    with pytest.raises(FileNotFoundError, match=r"pretrained models are not.*pip install \."):
        read_card("mmnet-base")


def test_weights_that_could_not_be_read_again(tmp_path, monkeypatch):
    """They are refused before they are written, and fit in half precision."""
    network = random_network(0, 0.1)
    options = dict(domain=DOMAIN, provenance={})
    save_model(network, tmp_path / "half", half=True, **options)
    size = (tmp_path / "half.safetensors").stat().st_size
    monkeypatch.setattr(weights, "_MAX_BYTES", size)
    with pytest.raises(ValueError, match=f"{size} are the most. Write them with half=True"):
        save_model(network, tmp_path / "whole", **options)
    assert not (tmp_path / "whole.safetensors").exists()
    save_model(network, tmp_path / "again", half=True, **options)
    read_model(tmp_path / "again")


@pytest.mark.parametrize("again", [False, True])
def test_read_in_inference_mode(again):
    """What is read there can be trained outside of it, a copy too."""
    with torch.inference_mode():
        model = read_model("mmnet-base")
        if again:
            model = read_model(model)
    parameters = list(model.network.requires_grad_(True).parameters())
    sum(p.square().sum() for p in parameters).backward()
    assert all(p.grad is not None for p in parameters)
