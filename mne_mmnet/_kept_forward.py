"""Forward solutions on the template head, kept in the cache: the same cap gives the same one."""

import contextlib
import hashlib
import os

import mne
import numpy as np

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
    if path is None:
        fwd = make()
        if 4 * fwd["sol"]["data"].size > _MOST_BYTES:
            return fwd

        def write(path):
            with whole_file(path) as scratch:
                mne.write_forward_solution(scratch, fwd)

        path = keep_in_cache(name, write)
        _make_room(path.parent)
    else:
        with contextlib.suppress(OSError):  # a cache that may be read only
            os.utime(path)
    fwd = mne.read_forward_solution(path)
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
