"""Reading the user's files, and writing theirs."""

from pathlib import Path

import mne

from ._files import whole_file

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


def read_evoked(path, condition=None):
    """Read one response of a file, projectors not applied.

    Parameters
    ----------
    path : path-like
        The file.
    condition : str | None
        Name or number of the response. None is the only one.

    Returns
    -------
    evoked : mne.Evoked
        The response.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it can't be read, or the choice is not clear; the message lists the responses.
    """
    responses = read_file(
        lambda name: mne.read_evokeds(name, proj=False), path, "evoked responses"
    )
    listing = ", ".join(f"{k}: {evoked.comment!r}" for k, evoked in enumerate(responses))
    if condition is None:
        if len(responses) > 1:
            raise ValueError(f"{path} holds several responses; give condition one of {listing}.")
        return responses[0]
    named = [evoked for evoked in responses if evoked.comment == condition]
    if len(named) == 1:
        return named[0]
    if condition.isdigit() and int(condition) < len(responses):
        return responses[int(condition)]
    raise ValueError(f"{path} has no response {condition!r}; it holds {listing}.")


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
    stem = Path(path).name.removesuffix(".gz").removesuffix(".fif")
    return stem.removesuffix("-ave").removesuffix("_ave")
