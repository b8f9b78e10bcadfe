"""Files that appear whole or not at all."""

import contextlib
import os
import uuid
from pathlib import Path


@contextlib.contextmanager
def whole_file(path):
    """Write a file under a scratch name, and give it its own once it is complete.

    An interrupt leaves an earlier file of that name as it was, and no debris.

    Parameters
    ----------
    path : path-like
        The file. Missing folders are made.

    Yields
    ------
    scratch : pathlib.Path
        Where to write; in the same folder, with the same ending.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{uuid.uuid4().hex}-{path.name}")
    try:
        yield scratch
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
