"""Filters in HDF5 files, as MNE keeps its beamformers, with a seal at the end.

HDF5 takes altered numbers for numbers, and an altered structure can keep it busy for ever: what is
damaged has to be known before it is read.
"""

import hashlib
from pathlib import Path

import h5io
import numpy as np

from .._support.files import whole_file

_TITLE = "mne_mmnet"
_FORMAT = 2
# what an HDF5 file holds beside the numbers, and more
_MARGIN = 1 << 20
# behind what HDF5 reads: this word, and the digest of all before it
_SEAL = b"mne_mmnet sha256"


def write_record(record, fname, overwrite=False):
    """Write a record of plain values to an HDF5 file, whole or not at all.

    Errors are those of :meth:`mne_mmnet.MMNetFilters.save`.
    """
    path = Path(fname)
    if path.suffix != ".h5":
        raise ValueError(f'Filters are kept in files that end in "-mmnet.h5", got {fname}.')
    if path.exists() and not overwrite:
        raise FileExistsError(f"{fname} exists. Use overwrite=True, or another name.")
    n_bytes = sum(x.nbytes for x in record.values() if isinstance(x, np.ndarray))
    # asked for before: HDF5 crashes at the end of a process that could not write one of its files
    with whole_file(path, n_bytes + _MARGIN) as scratch:
        h5io.write_hdf5(scratch, {"format": _FORMAT, **record}, title=_TITLE)
        seal = _SEAL + hashlib.sha256(scratch.read_bytes()).digest()
        with open(scratch, "ab") as file:
            file.write(seal)


def read_record(fname):
    """Read what :func:`write_record` wrote.

    A file that holds something else, is damaged, or was written by a later version is an error.
    """
    if not Path(fname).is_file():
        raise FileNotFoundError(f"There is no file {fname}.")
    _check_seal(Path(fname))
    try:
        record = h5io.read_hdf5(fname, title=_TITLE)
        version = int(record.pop("format"))
    except Exception as error:  # HDF5 stumbles over damaged files in many ways
        raise ValueError(f"{fname} cannot be read as filters ({error}).") from error
    if version != _FORMAT:
        raise ValueError(
            f"{fname} has format {version}, this version of mne_mmnet reads {_FORMAT}. Make the "
            "filters anew, or update mne_mmnet."
        )
    return record


def _check_seal(path):
    """Refuse a file that is not, byte for byte, what was written."""
    content = path.read_bytes()
    length = len(_SEAL) + hashlib.sha256().digest_size
    body, seal = content[:-length], content[-length:]
    if not seal.startswith(_SEAL):
        raise ValueError(
            f"{path} cannot be read as filters: it is no file of MMNetFilters.save, or cut short."
        )
    if seal != _SEAL + hashlib.sha256(body).digest():
        raise ValueError(
            f"{path} cannot be read as filters: it was damaged or changed since it was written. "
            "Copy it again, or make the filters anew."
        )
