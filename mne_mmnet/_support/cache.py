"""The user's cache, and a place that stands in for it where it cannot be written."""

import atexit
import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from mne.utils import warn

from .files import UnwritableError

# Raise it whenever the template's files change (template/surfaces.py): the caches of other layouts
# are left alone.
LAYOUT = 2
# folders that stand in for caches as long as this process lives
_SPARE = {}


def cache_dir():
    """Return the cache of this layout; another layout lives beside it, undisturbed."""
    root = os.environ.get("MNE_MMNET_CACHE")
    if not root:
        import pooch

        root = pooch.os_cache("mne_mmnet")
    return Path(root).expanduser().absolute() / f"v{LAYOUT}"


def find_cached(name, is_whole=Path.is_file):
    """Find something in the cache by its path there; None if ``is_whole`` does not hold."""
    for root in (cache_dir(), _SPARE.get(cache_dir())):
        with contextlib.suppress(OSError):  # a folder that may not be looked into
            if root is not None and is_whole(root / name):
                return root / name
    return None


def keep_in_cache(name, write):
    """Write something into the cache, or where that cannot be, for this process alone.

    Parameters
    ----------
    name : str
        Its path within the cache.
    write : callable
        Writes it, whole or not at all, to the path that it is given.

    Returns
    -------
    path : pathlib.Path
        Where it is.

    Raises
    ------
    UnwritableError
        If there is no room in the system's temporary directory either.

    Warns
    -----
    RuntimeWarning
        If the cache cannot be written.
    """
    root = cache_dir()
    try:
        write(root / name)
        return root / name
    except UnwritableError as error:
        warn(
            f"The cache cannot be written ({error}). Work goes on without it, and the next "
            "process will have to make the same again. Set the environment variable "
            "MNE_MMNET_CACHE to a folder that can be written.",
            module="mne_mmnet",
            ignore_namespaces=("mne", "mne_mmnet"),
        )
    if root not in _SPARE:
        _SPARE[root] = Path(tempfile.mkdtemp(prefix="mne_mmnet-"))
        atexit.register(shutil.rmtree, _SPARE[root], ignore_errors=True)
    write(_SPARE[root] / name)
    return _SPARE[root] / name
