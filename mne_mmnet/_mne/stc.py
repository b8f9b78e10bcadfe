"""From arrays back to MNE objects: source estimates and the residual."""

import mne
import numpy as np
from mne.utils import _validate_type

from .ch_types import units_of
from .check_input import check_finite, check_pick_ori
from .spaces import TEMPLATES

# (scalar, vector)
_CLASSES = {
    "surface": (mne.SourceEstimate, mne.VectorSourceEstimate),
    "volume": (mne.VolSourceEstimate, mne.VolVectorSourceEstimate),
    "discrete": (mne.VolSourceEstimate, mne.VolVectorSourceEstimate),
    "mixed": (mne.MixedSourceEstimate, mne.MixedVectorSourceEstimate),
}
ESTIMATES = tuple(dict.fromkeys(one for pair in _CLASSES.values() for one in pair))
"""Classes of source estimates."""

SMALLEST_CURRENT = 1e-12
"""A·m: no amplifier measures what smaller ones make."""


def check_estimate_values(stc, name="stc"):
    """Refuse estimates that are complex (these have a phase), not finite or empty."""
    if np.iscomplexobj(stc.data):
        raise TypeError(f"{name} must be real, got complex values. Take abs() of it first.")
    if not np.isfinite(stc.data).all():
        raise ValueError(f"{name} has values that are not finite.")
    if stc.data.size == 0:
        raise ValueError(f"{name} has no sources or no samples.")


def make_stc(prepared, currents, *, tmin, tstep, pick_ori=None, label=None):
    """Make the source estimate that fits the source space and ``pick_ori``.

    Parameters
    ----------
    prepared : instance of PreparedForward
        The prepared forward solution.
    currents : array of shape (n_sources, n_orient, n_times)
        Currents in A·m along ``prepared.frames``, orientation weights included; of all sources,
        or of those of the label alone.
    tmin : float
        Time of the first sample in s.
    tstep : float
        Time between samples in s.
    pick_ori : None | "normal" | "vector"
        None gives the signed amplitude along the normal with fixed orientation, otherwise the
        length of the current; "normal" the signed part along the normal; "vector" the current
        in x, y and z of the forward solution's coordinate frame.
    label : instance of Label | instance of BiHemiLabel | None
        Restrict the estimate to a label (surface source spaces only).

    Returns
    -------
    stc : instance of SourceEstimate | VectorSourceEstimate | VolSourceEstimate | \
            VolVectorSourceEstimate | MixedSourceEstimate | MixedVectorSourceEstimate
        The source estimate in A·m.
    """
    check_pick_ori(prepared, pick_ori)
    vertices, rows = restrict_to_label(prepared, label)
    currents = np.asarray(currents)
    if not np.iscomplexobj(currents):  # spectra and their like keep their phase
        currents = currents.astype(float, copy=False)
    sizes = (prepared.n_sources, len(rows))
    shape = currents.shape
    if currents.ndim != 3 or shape[0] not in sizes or shape[1] != prepared.n_orient:
        raise ValueError(
            f"currents must have the shape ({prepared.n_sources}, {prepared.n_orient}, n_times),"
            f" got {shape}. Keep all sources, or those of the label."
        )
    if shape[0] != len(rows):
        currents = currents[rows]
    frames = prepared.frames[rows]
    if pick_ori == "vector":
        data = np.einsum("skt,skd->sdt", currents, frames)
    elif pick_ori == "normal":
        data = np.einsum("skt,skd,sd->st", currents, frames, prepared.normals[rows])
    elif prepared.n_orient == 1:
        data = currents[:, 0].copy()
    else:
        data = np.linalg.norm(currents, axis=1)
    return wrap_stc(
        prepared, data, vertices, tmin=tmin, tstep=tstep, is_vector=pick_ori == "vector"
    )


def wrap_stc(prepared, data, vertices, *, tmin, tstep, is_vector=False):
    """Put an array into the class of source estimates that fits the source space.

    ``prepared`` is a prepared forward solution, or whatever has its ``kind`` and ``subject``. The
    data, (n_sources, n_times) or with vectors (n_sources, 3, n_times), are not copied; times are
    in s.
    """
    klass = _CLASSES[prepared.kind][is_vector]
    return klass(data, vertices, tmin=tmin, tstep=tstep, subject=prepared.subject)


def make_scalar_stc(prepared, values, *, tmin, tstep, label=None):
    """Make a source estimate of one number a source and sample, (n_sources, n_times)."""
    vertices, rows = restrict_to_label(prepared, label)
    return wrap_stc(prepared, values[rows], vertices, tmin=tmin, tstep=tstep)


def restrict_to_label(prepared, label):
    """Find the sources of a label.

    Their vertices by source space, and their rows among all. None keeps all sources.
    """
    _validate_type(label, (mne.Label, mne.BiHemiLabel, None), "label")
    if label is None:
        return [v.copy() for v in prepared.vertices], np.arange(prepared.n_sources)
    if prepared.kind != "surface":
        raise ValueError(
            f"A label needs a surface source space, got a {prepared.kind} one. Use label=None "
            "and restrict the source estimate afterwards."
        )
    # the template's vertices are fsaverage's, as far as they go: labels of one serve the other
    nested = {label.subject, prepared.subject} <= set(TEMPLATES)
    if None not in (label.subject, prepared.subject) and not (
        nested or label.subject == prepared.subject
    ):
        raise ValueError(
            f'The label belongs to subject "{label.subject}", the source space to '
            f'"{prepared.subject}". Use a label of that subject, or label.morph.'
        )
    parts = {"lh": None, "rh": None}
    if label.hemi == "both":
        parts.update(lh=label.lh, rh=label.rh)
    else:
        parts[label.hemi] = label
    vertices, rows, start = [], [], 0
    for vertno, part in zip(prepared.vertices, parts.values(), strict=True):
        inside = np.isin(vertno, [] if part is None else part.vertices)
        vertices.append(vertno[inside])
        rows.append(start + np.flatnonzero(inside))
        start += len(vertno)
    rows = np.concatenate(rows)
    if len(rows) == 0:
        raise ValueError(
            f'No source lies in the label "{label.name}". Use a larger label or a denser source '
            "space."
        )
    return vertices, rows


def claim_label(label, subject):
    """Make a label of fsaverage one of the template whose vertices are fsaverage's.

    A copy, or the same where it is of that subject, or no template's.
    """
    if label.subject == subject or not {label.subject, subject} <= set(TEMPLATES):
        return label
    label = label.copy()
    for part in (label.lh, label.rh) if label.hemi == "both" else (label,):
        part.subject = subject
    label.subject = subject
    return label


def make_residual(evoked, prepared, currents):
    """Subtract from the data what the currents explain.

    Currents, (n_sources, n_orient, n_times), are in A·m along ``prepared.frames``. The residual is
    on the channels of ``prepared``, EEG average-referenced over them and all other projectors
    applied.
    """
    names = list(prepared.ch_names)
    residual = evoked.copy().pick(names).reorder_channels(names)
    currents = np.asarray(currents, float)
    explained = np.tensordot(prepared.gain, currents, axes=2)
    check_finite(explained, names)
    if (factors := units_of(residual.info, names)) is not None:
        explained = explained / factors
    residual.data = prepared.projector @ (residual.data - explained)
    return residual
