"""Files that appear whole or not at all."""

import os
import shutil
import tempfile
from pathlib import Path


def make_folder(path):
    """Make a folder to write to and return it."""
    path = Path(path).expanduser()
    path.mkdir(parents=True, exist_ok=True)
    return path


def write_stc(stc, path):
    """Write a source estimate as HDF5, replacing an earlier one only when it is complete.

    Parameters
    ----------
    stc : mne.SourceEstimate
        The estimate.
    path : pathlib.Path
        Ends in ``-stc.h5``.
    """
    scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=".mne-mmnet-"))
    try:
        stc.save(scratch / path.name, ftype="h5", overwrite=True, verbose="error")
        os.replace(scratch / path.name, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
