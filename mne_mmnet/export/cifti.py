"""Estimates as CIFTI-2 files: the sources of both hemispheres as grayordinates."""

from pathlib import Path

import mne
import nibabel
import numpy as np
from mne.utils import _validate_type
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, ScalarAxis, SeriesAxis

from .._support.files import whole_file
from .surface import HEMIS, check_vertices, surface_files
from .table import check_values, pick_samples

_SERIES, _SCALAR = ".dtseries.nii", ".dscalar.nii"
# names and codes of NIfTI's intents, by which Connectome Workbench tells one from the other
_INTENTS = {_SERIES: (3002, "ConnDenseSeries"), _SCALAR: (3006, "ConnDenseScalar")}


def write_cifti(stc, fname, *, times=None, scale=1e9, subjects_dir=None):
    """Write an estimate to a CIFTI-2 file, for Connectome Workbench and others.

    The file has the sources alone, each as a vertex of its hemisphere's mesh (grayordinates);
    :func:`write_gifti` writes that mesh, and values spread over all of it.

    Parameters
    ----------
    stc : mne.SourceEstimate | mne.VectorSourceEstimate
        The estimate on surfaces, vectors by their lengths.
    fname : path-like
        Ends in ``.dtseries.nii``: all samples, with a time axis in s; or in ``.dscalar.nii``: a
        map for each of ``times``, named by it.
    times : list of float | None
        Times of maps (s), of each the nearest sample. None is all.
    scale : float
        What values are multiplied with: currents in A·m become nA·m.
    subjects_dir : path-like | None
        Where the subject's surfaces are, whose vertices are counted. The template needs none.

    Returns
    -------
    path : pathlib.Path
        What was written: single precision, a row a sample.

    Raises
    ------
    TypeError
        If the estimate is not on surfaces, or complex.
    ValueError
        If it is not finite, does not say whose it is or has vertices that the surfaces lack, or
        the name has another ending.
    FileNotFoundError
        If there are no surfaces.
    UnwritableError
        If the place is full, read-only or forbidden.

    Examples
    --------
    >>> mne_mmnet.write_cifti(stc, "sub-01_task-tones.dtseries.nii")  # doctest: +SKIP
    """
    _validate_type(stc, (mne.SourceEstimate, mne.VectorSourceEstimate), "stc")
    _validate_type(fname, "path-like", "fname")
    path = Path(fname)
    ending = next((ending for ending in _INTENTS if path.name.endswith(ending)), None)
    if ending is None:
        raise ValueError(f"fname must end in {_SERIES} or {_SCALAR}, got {fname}.")
    if ending == _SERIES and times is not None:
        raise ValueError(
            f"A time axis has all samples. Crop the estimate with stc.crop, or write maps of "
            f"single times to a file that ends in {_SCALAR}."
        )
    values, samples = check_values(stc), pick_samples(stc, times)
    if ending == _SERIES:
        rows = SeriesAxis(float(stc.tmin), float(stc.tstep), len(samples), unit="SECOND")
    else:
        rows = ScalarAxis([f"{stc.times[k]:.6g} s" for k in samples])
    data = np.asarray(scale * values[:, samples].T, np.float32)
    image = Cifti2Image(data, (rows, _brain_models(stc, subjects_dir)))
    code, name = _INTENTS[ending]
    image.nifti_header["intent_code"], image.nifti_header["intent_name"] = code, name
    with whole_file(path) as scratch:
        nibabel.save(image, scratch)
    return path


def _brain_models(stc, subjects_dir):
    """Vertices of the sources, left and right."""
    models = None
    files = surface_files(stc, ["sphere"], subjects_dir)
    for (hemi, (_, structure)), vertices in zip(HEMIS.items(), stc.vertices, strict=True):
        points, _ = mne.read_surface(files[hemi][0])
        check_vertices(vertices, len(points), hemi, stc.subject)
        if len(vertices):
            model = BrainModelAxis.from_surface(vertices, len(points), name=structure)
            models = model if models is None else models + model
    return models
