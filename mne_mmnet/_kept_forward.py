"""Forward solutions on the template head, kept in the cache: the same cap gives the same one."""

import contextlib
import hashlib
import os

import mne
import numpy as np
from mne.utils import logger

from ._cache import find_cached, keep_in_cache
from ._files import is_scratch, whole_file

# bytes of the largest one that is kept, and how many: those that were not used longest make room
_MOST_BYTES, _MOST_FILES = 8_000_000, 32


def name_forward(info, what):
    """Name a forward solution's file by all that it depends on.

    Parameters
    ----------
    info : mne.Info
        Its channels, all of them EEG.
    what : tuple
        All else; its ``repr`` counts.

    Returns
    -------
    name : str
        Path within the cache.
    """
    digest = hashlib.sha256(repr((mne.__version__, what, info["bads"])).encode())
    for channel in info["chs"]:
        rest = {key: str(value) for key, value in sorted(channel.items()) if key != "loc"}
        digest.update(repr(rest).encode())
        digest.update(np.asarray(channel["loc"], dtype="<f8").tobytes())
    return f"forward/{digest.hexdigest()[:24]}-fwd.fif"


def kept_forward(name, make):
    """Read a forward solution from the cache, where it is put when it is first needed.

    Also the first call reads the file: its single precision gives all the same numbers.

    Parameters
    ----------
    name : str
        From :func:`name_forward`.
    make : callable
        Computes it.

    Returns
    -------
    fwd : mne.Forward
        The solution.
    """
    path = find_cached(name)
    fwd = None if path is None else _read(path)
    if fwd is not None:
        with contextlib.suppress(OSError):  # a cache that may be read only
            os.utime(path)
        return fwd
    made = make()
    if 4 * made["sol"]["data"].size > _MOST_BYTES:
        return made

    def write(path):
        with whole_file(path) as scratch:
            mne.write_forward_solution(scratch, made)

    # where MNE was started is nobody's business
    with made["info"]._unlock():
        made["info"]["working_dir"] = "."
    path = keep_in_cache(name, write)
    _make_room(path.parent)
    return _read(path) or made


def _read(path):
    """Read a solution; None if the file is damaged: it will be made again."""
    try:
        fwd = mne.read_forward_solution(path)
    except Exception as error:  # whatever MNE makes of a file that a disk has spoilt
        logger.info(f"{path} is damaged ({error}) and is made again.")
        return None
    # as precise, in type, as a solution that was not read from a file
    fwd["sol"]["data"], fwd["_orig_sol"] = (
        x.astype(float) for x in (fwd["sol"]["data"], fwd["_orig_sol"])
    )
    return fwd


def _make_room(folder):
    """Remove what was not used for longest; another process may be doing the same."""

    def age(path):
        try:
            return path.stat().st_mtime
        except OSError:
            return 0.0

    kept = sorted((p for p in folder.iterdir() if not is_scratch(p)), key=age, reverse=True)
    for path in kept[_MOST_FILES:]:
        with contextlib.suppress(OSError):
            path.unlink()
