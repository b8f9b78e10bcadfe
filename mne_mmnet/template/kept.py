"""Forward solutions on the template head, kept in the cache: the same cap gives the same one."""

import contextlib
import copy
import hashlib
import json
import os

import mne
import numpy as np
from mne.utils import logger

from .._support.cache import find_cached, keep_in_cache
from .._support.files import whole_file
from .._version import __version__

# bytes of the largest one that is kept, and how many: those that were not used longest make room
_MOST_BYTES, _MOST_FILES = 8_000_000, 32
_ENDING, _ABOUT = "-fwd.fif", "-fwd.json"


def name_forward(info, what, files):
    """Name a forward solution's file by all that it depends on.

    Channels, the ``repr`` of ``what``, and the content of surfaces count.
    """
    digest = hashlib.sha256(repr((mne.__version__, __version__, what, info["bads"])).encode())
    for channel in info["chs"]:
        rest = {key: str(value) for key, value in sorted(channel.items()) if key != "loc"}
        digest.update(repr(rest).encode())
        digest.update(np.asarray(channel["loc"], dtype="<f8").tobytes())
    for path in files:
        digest.update(path.read_bytes())
    return f"forward/{digest.hexdigest()[:24]}{_ENDING}"


def kept_forward(name, info, make):
    """Read a forward solution from the cache, where it is put when it is first needed.

    Also the first call reads the file: its single precision gives all the same numbers. Neither
    names nor paths are in it. What ``make`` computes comes with notes of what there is to say of
    it.
    """
    path = find_cached(name)
    found = None if path is None else _read(path)
    if found is not None:
        with contextlib.suppress(OSError):  # a cache that may be read only
            os.utime(path)
        fwd, notes = found
        return _restore(fwd, info), notes
    fwd, notes = make()
    if 4 * fwd["sol"]["data"].size > _MOST_BYTES:
        return fwd, notes

    def write(path):
        with whole_file(path) as scratch:
            mne.write_forward_solution(scratch, _nameless(fwd))

    path = keep_in_cache(name, write)
    kept = mne.read_forward_solution(path)
    about = dict(checksum=_checksum(kept), notes=notes)

    def write_about(path):
        with whole_file(path) as scratch:
            scratch.write_text(json.dumps(about), encoding="utf-8")

    keep_in_cache(name.replace(_ENDING, _ABOUT), write_about)
    _make_room(path.parent)
    return _restore(kept, info), notes


def _nameless(fwd):
    """Copy a solution, without what is nobody's business or what a FIF file can't spell."""
    fwd = fwd.copy()
    names = [f"EEG{number:03d}" for number in range(fwd["nchan"])]
    info = fwd["info"]
    with info._unlock():
        info["bads"] = []
        for channel, name in zip(info["chs"], names, strict=True):
            channel["ch_name"] = name
        info._update_redundant()
        info.update(working_dir=".", command_line="make_template_forward", mri_file="template")
    fwd["sol"]["row_names"] = names
    return fwd


def _checksum(fwd):
    """Digest of the numbers."""
    digest = hashlib.sha256()
    for numbers in (fwd["sol"]["data"], fwd["source_rr"], *(x["vertno"] for x in fwd["src"])):
        digest.update(np.ascontiguousarray(numbers, dtype="<f8").tobytes())
    return digest.hexdigest()


def _read(path):
    """Read a solution and its notes; None if a file is damaged: both will be made again."""
    try:
        about = path.with_name(path.name.replace(_ENDING, _ABOUT))
        about = json.loads(about.read_text(encoding="utf-8"))
        fwd, notes = mne.read_forward_solution(path), list(about["notes"])
        if about["checksum"] != _checksum(fwd):
            raise ValueError("its checksum is another")
    except Exception as error:  # whatever MNE makes of a file that a disk has spoilt
        logger.info(f"{path} is damaged ({error}) and is made again.")
        return None
    return fwd, notes


def _restore(fwd, info):
    """Give a solution, as it was read, the channels of the recording."""
    # as precise, in type, as a solution that was not read from a file
    fwd["sol"]["data"], fwd["_orig_sol"] = (
        x.astype(float) for x in (fwd["sol"]["data"], fwd["_orig_sol"])
    )
    fwd["sol"]["row_names"] = list(info["ch_names"])
    with fwd["info"]._unlock():
        fwd["info"]["chs"] = copy.deepcopy(info["chs"])
        fwd["info"]["dev_head_t"] = copy.deepcopy(info["dev_head_t"])
        fwd["info"]._update_redundant()
        fwd["info"]["bads"] = list(info["bads"])
    return fwd


def _make_room(folder):
    """Remove what was not used for longest; another process may be doing the same."""

    def age(path):
        try:
            return path.stat().st_mtime
        except OSError:
            return 0.0

    kept = sorted(folder.glob(f"[!.]*{_ENDING}"), key=age, reverse=True)
    for path in kept[_MOST_FILES:]:
        for old in (path, path.with_name(path.name.replace(_ENDING, _ABOUT))):
            with contextlib.suppress(OSError):
                old.unlink()
