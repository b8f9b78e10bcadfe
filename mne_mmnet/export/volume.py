"""Estimates as volumes in MNI space, for FSLeyes, SPM and all who read NIfTI."""

import nibabel
import numpy as np
from mne.utils import _validate_type
from scipy.spatial import KDTree

from ..places.anatomy import find_mni, to_head
from ..places.layout import lay_out
from .table import check_forward, check_values, pick_samples

# mm, MNI152: the box of the template that comes with FSL and SPM
_BOX = np.array([[-90.0, 90.0], [-126.0, 90.0], [-72.0, 108.0]])
_MNI = 4  # NIfTI's code of MNI152 space


def make_nifti(
    stc, fwd, *, resolution=4.0, reach=None, times=None, scale=1e9, subject=None, subjects_dir=None
):
    """Project an estimate to a regular grid in MNI152 space.

    Each voxel has the value of the nearest source, if there is one within reach: estimates on
    surfaces and in volumes alike, without an MRI where the head is the template.

    Parameters
    ----------
    stc : mne.SourceEstimate | mne.VolSourceEstimate | mne.MixedSourceEstimate
        The estimate, or one with vectors, whose lengths are taken.
    fwd : mne.Forward | MMNetOperator
        The forward solution that it was made with.
    resolution : float
        Size of voxels, mm.
    reach : float | None
        Farthest source of a voxel, mm. None is the median distance of neighbouring sources.
    times : list of float | None
        Times (s), of each the nearest sample. None is all.
    scale : float
        What values are multiplied with: currents in A·m become nA·m.
    subject : str | None
        The subject. None is the forward solution's own.
    subjects_dir : path-like | None
        As in :func:`source_mni`.

    Returns
    -------
    image : nibabel.Nifti1Image
        Of shape (n_x, n_y, n_z, n_times), single precision, 0 where there is no source, with an
        affine to MNI152 in mm. ``image.to_filename("x.nii.gz")`` writes it.

    Raises
    ------
    TypeError
        If an argument has the wrong type, or the estimate is complex.
    ValueError
        If the estimate has sources that ``fwd`` lacks, or values that are not finite, or the way
        to MNI coordinates is not known.

    Examples
    --------
    >>> mne_mmnet.make_nifti(stc, fwd).to_filename("sources.nii.gz")  # doctest: +SKIP
    """
    values = check_values(stc)
    fwd, subject = check_forward(fwd, subject)
    _validate_type(resolution, "numeric", "resolution")
    _validate_type(reach, ("numeric", None), "reach")
    for name, value in (("resolution", resolution), ("reach", reach)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be a length > 0 in mm, got {value}.")
    layout = lay_out(stc, fwd)
    mni = find_mni(to_head(layout.positions, fwd), fwd, subject, subjects_dir)
    if mni is None:
        raise ValueError(
            f"MNI coordinates of subject {subject!r} are not known. Give subjects_dir with its "
            "MRI and Talairach transform, or use the template; volume estimates have "
            "save_as_volume too."
        )
    tree = KDTree(mni)
    if reach is None:
        neighbours = tree.query(mni, k=min(2, len(mni)))[0]
        reach = np.median(neighbours[:, -1]) if len(mni) > 1 else 2 * resolution
        reach = max(reach, resolution)
    samples = pick_samples(stc, times)
    axes = [np.arange(low, high + 0.5 * resolution, resolution) for low, high in _BOX]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    distance, nearest = tree.query(grid.reshape(-1, 3), distance_upper_bound=reach)
    inside = np.isfinite(distance)
    data = np.zeros((len(inside), len(samples)), np.float32)
    data[inside] = scale * values[nearest[inside]][:, samples]
    affine = np.diag([resolution, resolution, resolution, 1.0])
    affine[:3, 3] = _BOX[:, 0]
    image = nibabel.Nifti1Image(data.reshape(*grid.shape[:3], -1), affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = stc.tstep
    image.header["toffset"] = stc.times[samples[0]]
    image.header["descrip"] = b"mne_mmnet, MNI152"
    image.set_qform(affine, code=_MNI)
    image.set_sform(affine, code=_MNI)
    return image
