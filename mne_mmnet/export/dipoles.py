"""Sources found, as a file of dipoles that MNE, Neuromag's and Brainstorm's tools read."""

from pathlib import Path

import mne
import numpy as np
from mne.utils import _validate_type

from .._support.files import whole_file
from ..places import SourceTable


def write_dipoles(sources, fname):
    """Write the sources of a table to a ``.dip`` file, each at its time.

    Parameters
    ----------
    sources : SourceTable
        Of :func:`find_sources`.
    fname : path-like
        The file; must end in ``.dip``.

    Returns
    -------
    dipoles : mne.Dipole
        What was written, one instant a source: head coordinates, amplitudes in A·m. Where an
        estimate knows no directions, they are 0. The goodness of fit is 0: sources are not fitted
        one by one.

    Raises
    ------
    TypeError
        If ``sources`` is no table.
    ValueError
        If it is empty, or the name ends in something else.
    UnwritableError
        If the place is full, read-only or forbidden.
    """
    _validate_type(sources, SourceTable, "sources")
    if len(sources) == 0:
        raise ValueError("There are no sources: the estimate is zero.")
    path = Path(fname)
    if path.suffix != ".dip":
        raise ValueError(f"The name of a file of dipoles must end in .dip, got {fname}.")
    each = list(zip(sources.table, sources.dipoles, strict=True))
    samples = [int(np.abs(dipole.times - row.time).argmin()) for row, dipole in each]
    pairs = [(dipole, k) for (_, dipole), k in zip(each, samples, strict=True)]
    found = mne.Dipole(
        np.array([row.time for row, _ in each]),
        np.array([dipole.pos[k] for dipole, k in pairs]),
        np.array([dipole.amplitude[k] for dipole, k in pairs]),
        # a file can't hold NaN
        np.nan_to_num(np.array([dipole.ori[k] for dipole, k in pairs])),
        gof=np.zeros(len(pairs)),
        name="mne_mmnet",
        verbose="error",
    )
    with whole_file(path) as scratch:
        found.save(scratch, overwrite=True, verbose="error")
    return found
