"""Reading the user's files, and writing theirs."""

import gzip
import struct
from pathlib import Path

from .._support.files import whole_file

# what an HDF5 file holds beside the numbers, and more
_MARGIN = 1 << 20
# a tag of a FIF file: kind, type, size of what follows, and where the next one is
_TAG = struct.Struct(">iIii")
_FIF_STARTS_WITH, _FOLLOWS = 100, 0


def read_file(reader, path, what):
    """Read a file; MNE stumbles over damaged ones in many ways, which are one to the user.

    ``what`` it should be is for the message.
    """
    try:
        return reader(path)
    except FileNotFoundError:
        raise
    except Exception as error:
        reason = say_cut_short(path) or f"({error})."
        raise ValueError(f"{path} cannot be read as {what} {reason}") from error


def say_cut_short(path):
    """Say that a file is empty, or a FIF file that ends too early.

    Such files make MNE fail anywhere, with words that help nobody. The end of a sentence; empty
    where nothing of the kind is seen.
    """
    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else open(path, "rb") as file:
            cut = _ends_early(file)
    except EOFError:  # gzip's
        cut = "it ends in the middle of its data"
    except (OSError, ValueError, gzip.zlib.error):
        return ""
    return cut and (
        f"because {cut}: it was cut short, as by a full disk or an unfinished download. Copy, "
        "download or write it again."
    )


def _ends_early(file):
    """How a file ends too early; empty where it is whole, or no FIF file."""
    size = file.seek(0, 2)
    if size == 0:
        return "it is empty"
    start = 0
    while start < size:
        file.seek(start)
        tag = file.read(_TAG.size)
        if len(tag) < _TAG.size:
            return "it ends in the middle of its data"
        kind, _, n_bytes, following = _TAG.unpack(tag)
        end = start + _TAG.size + n_bytes
        if (start == 0 and kind != _FIF_STARTS_WITH) or n_bytes < 0:
            return ""
        if end > size:
            return "it ends in the middle of its data"
        following = end if following == _FOLLOWS else following
        if following <= start:  # −1 after the last tag; else no FIF file
            return ""
        start = following
    return "its end is missing"


def write_stc(stc, path):
    """Write a source estimate to an HDF5 file, whole or not at all."""
    # asked for before: HDF5 crashes at the end of a process that could not write one of its files
    with whole_file(path, n_bytes=stc.data.nbytes + _MARGIN) as scratch:
        stc.save(scratch, ftype="h5", verbose="error")


def short_name(path):
    """Name of a recording's file without the endings that MNE gives it.

    ``sub-01_tones-ave.fif.gz`` is ``sub-01_tones``.
    """
    name = Path(path).name
    stem = name.removesuffix(".gz").removesuffix(".fif")
    if stem == name:  # of another format
        stem = Path(path).stem or name
    return stem.removesuffix("-ave").removesuffix("_ave")
