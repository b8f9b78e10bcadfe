"""Regions as dipoles: the vector sum of their currents."""

import mne
import numpy as np

from .anatomy import to_head


def find_directions(stc, fwd, operator, layout):
    """Find out along which normals the currents of an estimate are signed.

    Parameters
    ----------
    stc : mne.SourceEstimate | mne.VectorSourceEstimate | ...
        The estimate.
    fwd : mne.Forward
        Its forward solution.
    operator : MMNetOperator | None
        What was made of it, if that is known.
    layout : Layout
        Where the estimate's sources are.

    Returns
    -------
    normals : array of shape (n_sources, 3) | None
        Unit vectors in the forward solution's coordinates. None for vectors, which know by
        themselves, and where only lengths are known: without a word on the orientation, an
        estimate is one of lengths if no value is negative.
    """
    if stc.data.ndim == 3:
        return None
    if operator is not None:
        signed, normals = operator.prepared.orient == "fixed", operator.prepared.normals
    else:
        signed, normals = mne.forward.is_fixed_orient(fwd), _normals(fwd)
    return normals[layout.rows] if signed or (stc.data < 0).any() else None


def _normals(fwd):
    """Return the normals of all sources, in the forward solution's coordinates."""
    if mne.forward.is_fixed_orient(fwd):
        return np.asarray(fwd["source_nn"], float)
    return np.concatenate([space["nn"][space["vertno"]] for space in fwd["src"]]).astype(float)


def make_dipole(stc, rows, normals, fwd, position, name):
    """Sum the currents of a region, at all times.

    Parameters
    ----------
    stc : mne.SourceEstimate | mne.VectorSourceEstimate | ...
        The estimate.
    rows : array of int
        Its sources in the region.
    normals : array of shape (n_sources, 3) | None
        As `find_directions` gives them.
    fwd : mne.Forward
        The forward solution.
    position : array of shape (3,)
        Place of the region in metres, head coordinates.
    name : str | None
        Name of the region.

    Returns
    -------
    dipole : mne.Dipole
        In head coordinates; orientations are NaN where there is no direction.
    """
    ori = np.full((len(stc.times), 3), np.nan)
    if stc.data.ndim == 2 and normals is None:
        amplitude = stc.data[rows].sum(axis=0)
    else:
        if stc.data.ndim == 3:
            vector = stc.data[rows].sum(axis=0).T
        else:
            vector = stc.data[rows].T @ normals[rows]
        # directions turn with the frame, and do not move
        vector = to_head(vector, fwd) - to_head(np.zeros((1, 3)), fwd)
        amplitude = np.linalg.norm(vector, axis=1)
        np.divide(vector, amplitude[:, None], out=ori, where=amplitude[:, None] > 0)
    return mne.Dipole(
        stc.times,
        np.tile(position, (len(stc.times), 1)),
        amplitude,
        ori,
        gof=np.full(len(stc.times), np.nan),
        name=name,
        verbose="error",
    )
