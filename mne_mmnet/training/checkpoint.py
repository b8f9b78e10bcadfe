"""Checkpoints and logs of training runs: whole files, and one error for damaged ones."""

import contextlib
import io
import json
import zipfile
from pathlib import Path

import torch

from .._support.files import whole_file


def write_checkpoint(path, state):
    """Write a checkpoint; the earlier one stays until this one is complete."""
    # in memory first: torch's own writer answers a full disk with riddles
    blob = io.BytesIO()
    torch.save(state, blob)
    with whole_file(path) as scratch:
        # no copy; getbuffer's, kept alive by an error, would crash Python 3.12's collector
        scratch.write_bytes(blob.getvalue())


@contextlib.contextmanager
def resuming(path, mark, other, device):
    """Read a checkpoint, and take what goes wrong while it is used for damage.

    Parameters
    ----------
    path : path-like
        The file.
    mark : tuple of str
        Key and value by which a run knows its own checkpoints.
    other : str
        What it belongs to if the value is another one, for the message.
    device : str | torch.device
        Where to put the tensors.

    Yields
    ------
    state : dict
        What was written.

    Raises
    ------
    ValueError
        If the file is damaged, no checkpoint, or that of another run.
    """
    remedy = "Give another directory, or remove the file."
    key, value = mark
    try:
        state = _read(path, device)
        own = state[key] == value
        if own:
            yield state
    except (torch.OutOfMemoryError, OSError):
        raise
    except Exception as error:
        raise ValueError(
            f"{path} is damaged, or no checkpoint of mne_mmnet ({type(error).__name__}). {remedy}"
        ) from error
    if not own:
        raise ValueError(f"{path} belongs to {other}. {remedy}")


def _read(path, device):
    """Read plain values and tensors; torch compares no checksums, the zip archive has them."""
    blob = io.BytesIO(Path(path).read_bytes())
    with zipfile.ZipFile(blob) as archive:
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"{damaged} differs from its checksum")
    blob.seek(0)
    return torch.load(blob, map_location=device, weights_only=True)


def load_optimiser(optimiser, state):
    """Restore an optimiser, whose own method takes averages of any shape."""
    optimiser.load_state_dict(state)
    for parameter, kept in optimiser.state.items():
        if any(x.shape not in (parameter.shape, ()) for x in kept.values()):
            raise ValueError("the optimiser's state does not fit the network")


def append_entry(path, entry):
    """Add a line to a log of JSON lines; the file is whole at any time."""
    path = Path(path)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    with whole_file(path) as scratch:
        scratch.write_text(before + json.dumps(entry) + "\n", encoding="utf-8")
