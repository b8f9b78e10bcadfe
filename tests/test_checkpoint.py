"""Checkpoints that are damaged, foreign or no checkpoints at all: one clear error each."""

import io
import json
import zipfile
from functools import partial

import numpy as np
import pytest
import torch

from core_cases import heads_of
from mne_mmnet._support.devices import keep_triton_out
from mne_mmnet.training import train
from mne_mmnet.training.checkpoint import (
    append_entry,
    load_optimiser,
    resuming,
    write_checkpoint,
)
from test_training import CONFIG, ring_people

MARK = ("config", "mine")
N_CASES = 300


def make_state():
    return dict([MARK], network={"a": torch.arange(500.0)}, batch=3)


def read(path):
    """Read a checkpoint as a training run does."""
    with resuming(path, MARK, "a run with another configuration", "cpu") as state:
        return state["network"]["a"], int(state["batch"])


def test_round_trip(tmp_path):
    write_checkpoint(tmp_path / "c.pt", make_state())
    found, batch = read(tmp_path / "c.pt")
    assert batch == 3
    assert torch.equal(found, torch.arange(500.0))
    assert [path.name for path in tmp_path.iterdir()] == ["c.pt"]


def test_damage(tmp_path, rng):
    """Flipped bits, missing and additional bytes are found, though torch looks for none."""
    path = tmp_path / "c.pt"
    write_checkpoint(path, make_state())
    blob, outcomes = path.read_bytes(), []
    for k in range(N_CASES):
        bad, place = bytearray(blob), int(rng.integers(len(blob)))
        if k % 3 == 0:
            bad[place] ^= 1 << rng.integers(8)
        elif k % 3 == 1:
            del bad[place:]
        else:
            bad[place:place] = rng.bytes(20)
        path.write_bytes(bad)
        try:
            found, batch = read(path)
        except ValueError as error:
            outcomes.append(str(error))
        else:  # a bit that nobody reads, such as that of a time stamp
            assert torch.equal(found, torch.arange(500.0))
            assert batch == 3
    assert len(outcomes) > 0.8 * N_CASES
    assert all(str(path) in text and "remove the file" in text for text in outcomes)


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('the bomb went off')",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        [1, 2],
        {},
        {"config": "mine"},
        {"config": "mine", "network": None, "batch": 3},
        {"config": "mine", "network": {"a": torch.ones(2)}, "batch": "many"},
        {"config": "mine", "network": Bomb(), "batch": 3},
    ],
    ids=["empty", "bytes", "list", "no mark", "keys", "no network", "no number", "bomb"],
)
def test_no_checkpoint(tmp_path, content):
    """Files that something else wrote are refused, and nothing in them is executed."""
    path = tmp_path / "c.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match="is damaged, or no checkpoint.*remove the file"):
        read(path)


def test_another_run(tmp_path):
    """The checkpoint of another run is whole, and not ours."""
    write_checkpoint(tmp_path / "c.pt", {**make_state(), "config": "other"})
    with pytest.raises(ValueError, match="belongs to a run with another configuration. Give"):
        read(tmp_path / "c.pt")


def test_zip_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "c.pt", "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(ValueError, match="is damaged, or no checkpoint"):
        read(tmp_path / "c.pt")


def test_optimiser_of_another_network():
    """Averages of another shape would only fail a batch later."""
    keep_triton_out()  # as training does
    one, other = (torch.nn.Parameter(torch.ones(n)) for n in (3, 4))
    optimisers = [torch.optim.AdamW([parameter]) for parameter in (one, other)]
    one.grad = torch.ones(3)
    optimisers[0].step()
    with pytest.raises(ValueError, match="does not fit"):
        load_optimiser(optimisers[1], optimisers[0].state_dict())
    again = torch.optim.AdamW([one])
    load_optimiser(again, optimisers[0].state_dict())
    assert torch.equal(again.state[one]["exp_avg"], optimisers[0].state[one]["exp_avg"])


@pytest.mark.parametrize("damage", ["truncated", "network", "optimiser"])
def test_training_refuses(tmp_path, monkeypatch, damage):
    """The training loop says so before it works, and leaves the file to its owner."""
    monkeypatch.setattr("mne_mmnet.training.loop._N_VALIDATION", 1)
    people = [ring_people()]
    train(CONFIG, tmp_path, people)
    path = tmp_path / "checkpoint.pt"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    else:
        state = torch.load(path, weights_only=True)
        if damage == "network":
            state["network"].popitem()
        else:
            state["optimiser"]["state"][0]["exp_avg"] = torch.ones(1, 1)
        torch.save(state, path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="is damaged, or no checkpoint.*remove the file"):
        train(CONFIG, tmp_path, people)
    assert path.read_bytes() == before


def test_log(tmp_path):
    for k in range(3):
        append_entry(tmp_path / "log.jsonl", {"batch": k})
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["batch"] for line in lines] == [0, 1, 2]


# Lead fields ------------------------------------------------------------------------------------


LEAD_FIELDS = {
    "heads": (lambda: heads_of(ring_people(n_people=2)), ["gains", "positions"], "lead fields"),
    "people": (
        partial(ring_people, n_people=2),
        ["true", "own", "fitted", "deep", "normals"],
        "people",
    ),
}
KINDS = ["empty", "truncated", "bit", "pickle", "foreign", "missing", "words"]


@pytest.mark.parametrize(
    ("name", "damage"),
    [(name, kind) for name in LEAD_FIELDS for kind in [*KINDS, *LEAD_FIELDS[name][1]]],
)
def test_lead_fields(tmp_path, name, damage):
    """Archives of lead fields are refused in the same way."""
    make, _, words = LEAD_FIELDS[name]
    path, archive = tmp_path / f"{name}.npz", make()
    archive.save(path)
    blob = bytearray(path.read_bytes())
    if damage == "empty":
        blob.clear()
    elif damage == "truncated":
        del blob[-200:]
    elif damage == "bit":
        blob[len(blob) // 2] ^= 1
    else:
        with np.load(path) as file:
            arrays = dict(file)
        if damage == "pickle":
            arrays["positions"] = np.array([Bomb()], dtype=object)
        elif damage == "foreign":
            arrays = {"x": np.ones(3)}
        elif damage == "missing":
            del arrays["electrodes"]
        elif damage == "words":
            arrays["source_space" if name == "heads" else "words"] = np.array("no JSON")
        else:  # of one electrode or source too few
            axis = 1 if arrays[damage].ndim > 2 else 0
            arrays[damage] = np.delete(arrays[damage], 0, axis)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        blob = buffer.getvalue()
    path.write_bytes(blob)
    with pytest.raises(
        ValueError, match=rf"{name}\.npz holds no {words}, or is damaged.*Remove it"
    ):
        type(archive).read(path)
