"""Files that appear whole or not at all."""

import contextlib
import errno
import os
import re
import shutil
import uuid
from pathlib import Path

# what full, read-only, forbidden and impossible places answer
_REFUSALS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
    *(errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST),
}
# how the names of unfinished files start
_SCRATCH = re.compile(r"^\.[0-9a-f]{32}-")


class UnwritableError(OSError):
    """A file cannot be written where it should be; nothing of it is there."""


@contextlib.contextmanager
def writing(path):
    """Turn what a full disk or a forbidden place causes into one error that says what to do.

    That is an UnwritableError; others are passed on.
    """
    try:
        yield
    except UnwritableError:
        raise
    except Exception as error:
        code = _recognise(error)
        if code is None:
            raise
        remedy = "Nothing was written. Free some space, or choose another place"
        raise UnwritableError(code, f"{os.strerror(code)}. {remedy}", str(path)) from error


def _recognise(error):
    """Find the system's answer in an error, which libraries wrap in others; None is no refusal."""
    if getattr(error, "errno", None) in _REFUSALS:
        return error.errno
    if re.fullmatch(r"\d+ requested and \d+ written", str(error)):  # NumPy's tofile
        return errno.ENOSPC
    return next((code for code in _REFUSALS if os.strerror(code) in str(error)), None)


@contextlib.contextmanager
def whole_file(path, n_bytes=0):
    """Write a file under a scratch name, and give it its own once it is complete.

    An interrupt or a full disk leaves an earlier file of that name as it was, and no debris.

    Parameters
    ----------
    path : path-like
        The file. Missing folders are made.
    n_bytes : int
        Room that there must be before anything is written; for libraries that a full disk kills.

    Yields
    ------
    scratch : pathlib.Path
        Where to write; in the same folder, with the same ending.

    Raises
    ------
    UnwritableError
        If the place is full, read-only or forbidden.
    """
    path = Path(path)
    scratch = _scratch(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if n_bytes and shutil.disk_usage(path.parent).free < n_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        try:
            yield scratch
            os.replace(scratch, path)
        finally:
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)


def check_writable(path):
    """Find out before the work whether a file could be written after it.

    The file is not touched; missing folders are made. See :func:`writing`.
    """
    path = Path(path)
    scratch = _scratch(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            scratch.touch()
        finally:
            scratch.unlink(missing_ok=True)


def remove_scratch(path):
    """Remove what processes that were killed while they wrote a file have left of it.

    No living process may be writing the file.
    """
    path = Path(path)
    if not path.parent.is_dir():
        return
    for entry in path.parent.iterdir():
        if is_scratch(entry) and _SCRATCH.sub("", entry.name) == path.name:
            with contextlib.suppress(OSError):
                entry.unlink()


def is_scratch(path):
    """Tell whether a file is one that is, or was, being written."""
    return _SCRATCH.match(path.name) is not None


def _scratch(path):
    return path.with_name(f".{uuid.uuid4().hex}-{path.name}")
