"""Reading the user's files, and writing theirs."""

from pathlib import Path

from .._support.files import whole_file

# what an HDF5 file holds beside the numbers, and more
_MARGIN = 1 << 20


def read_file(reader, path, what):
    """Read a file; MNE stumbles over damaged ones in many ways, which are one to the user.

    Parameters
    ----------
    reader : callable
        MNE's reader.
    path : path-like
        The file.
    what : str
        What it should be, for the message.

    Returns
    -------
    content : object
        What the reader returns.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it can't be read.
    """
    try:
        return reader(path)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path} cannot be read as {what} ({error}).") from error


def write_stc(stc, path):
    """Write a source estimate to an HDF5 file, whole or not at all.

    Parameters
    ----------
    stc : mne.SourceEstimate | mne.VolSourceEstimate | ...
        The estimate.
    path : path-like
        The file.

    Raises
    ------
    UnwritableError
        If there is no room for it, or no right to write there.
    """
    # asked for before: HDF5 crashes at the end of a process that could not write one of its files
    with whole_file(path, n_bytes=stc.data.nbytes + _MARGIN) as scratch:
        stc.save(scratch, ftype="h5", verbose="error")


def short_name(path):
    """Name of a recording's file without the endings that MNE gives it.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    stem : str
        ``sub-01_tones-ave.fif.gz`` is ``sub-01_tones``.
    """
    name = Path(path).name
    stem = name.removesuffix(".gz").removesuffix(".fif")
    if stem == name:  # of another format
        stem = Path(path).stem or name
    return stem.removesuffix("-ave").removesuffix("_ave")
