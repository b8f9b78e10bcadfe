"""Estimates on whole meshes of the cortex: nilearn's images, and GIFTI files."""

from pathlib import Path

import mne
import nibabel
import numpy as np
from mne.utils import _check_option, _validate_type
from scipy.spatial import KDTree

from .._support.files import whole_file
from ..template.cortex import wall_vertices
from ..template.make import fetch_template
from .table import check_values, pick_samples

_MESHES = ("inflated", "pial", "white", "sphere")
# what nilearn and CIFTI call them
HEMIS = {"lh": ("left", "CortexLeft"), "rh": ("right", "CortexRight")}
_TEMPLATE = "fsaverage5"


def make_surface_image(stc, mesh="inflated", *, times=None, scale=1e9, subjects_dir=None):
    """Hand an estimate over to nilearn.

    Each vertex of the mesh has the value of the nearest source along the sphere; on the
    template's medial wall it is 0.

    Parameters
    ----------
    stc : mne.SourceEstimate | mne.VectorSourceEstimate
        The estimate on surfaces, vectors by their lengths.
    mesh : "inflated" | "pial" | "white" | "sphere"
        The surface.
    times : list of float | None
        Times (s), of each the nearest sample. None is all.
    scale : float
        What values are multiplied with: currents in A·m become nA·m.
    subjects_dir : path-like | None
        Where the subject's surfaces are. The template needs none.

    Returns
    -------
    image : nilearn.surface.SurfaceImage
        Data of shape (n_vertices, n_times) on both hemispheres.

    Raises
    ------
    TypeError
        If the estimate is not on surfaces, or complex.
    ValueError
        If it is not finite, or does not say whose it is.
    FileNotFoundError
        If there are no surfaces.
    ImportError
        If nilearn is older than 0.11, which has no such images.

    Examples
    --------
    >>> image = mne_mmnet.make_surface_image(stc, times=[0.1])  # doctest: +SKIP
    >>> nilearn.plotting.plot_surf_stat_map(stat_map=image, hemi="left")  # doctest: +SKIP
    """
    meshes, data = _spread(stc, mesh, times, scale, subjects_dir)
    try:
        from nilearn.surface import InMemoryMesh, PolyMesh, SurfaceImage
    except ImportError:
        raise ImportError(
            "make_surface_image needs nilearn 0.11 or later: pip install -U nilearn."
        ) from None
    parts = {HEMIS[hemi][0]: InMemoryMesh(*meshes[hemi]) for hemi in HEMIS}
    values = {HEMIS[hemi][0]: data[hemi].astype(float) for hemi in HEMIS}
    return SurfaceImage(mesh=PolyMesh(**parts), data=values)


def write_gifti(stc, prefix, *, mesh="pial", times=None, scale=1e9, subjects_dir=None):
    """Write an estimate on whole meshes to GIFTI files, for Connectome Workbench and others.

    Parameters
    ----------
    stc : mne.SourceEstimate | mne.VectorSourceEstimate
        The estimate on surfaces, vectors by their lengths.
    prefix : path-like
        How the names of the files start: ``PREFIX_hemi-L.func.gii``, ``PREFIX_hemi-L.surf.gii``,
        and the same with R. The structures are named, so that ``wb_command
        -cifti-create-dense-timeseries`` takes them.
    mesh : "inflated" | "pial" | "white" | "sphere"
        The surface.
    times : list of float | None
        Times (s), of each the nearest sample. None is all.
    scale : float
        What values are multiplied with: currents in A·m become nA·m.
    subjects_dir : path-like | None
        Where the subject's surfaces are. The template needs none.

    Returns
    -------
    files : list of pathlib.Path
        What was written.

    Raises
    ------
    TypeError
        If the estimate is not on surfaces, or complex.
    ValueError
        If it is not finite, or does not say whose it is.
    FileNotFoundError
        If there are no surfaces.
    UnwritableError
        If the place is full, read-only or forbidden.
    """
    _validate_type(prefix, "path-like", "prefix")
    meshes, data = _spread(stc, mesh, times, scale, subjects_dir)
    prefix, files = Path(prefix), []
    for hemi, (_, structure) in HEMIS.items():
        meta = {"AnatomicalStructurePrimary": structure}
        points, triangles = meshes[hemi]
        surface = [
            nibabel.gifti.GiftiDataArray(
                points.astype(np.float32),
                "NIFTI_INTENT_POINTSET",
                meta=nibabel.gifti.GiftiMetaData(
                    {**meta, "GeometricType": "Inflated" if mesh == "inflated" else "Anatomical"}
                ),
            ),
            nibabel.gifti.GiftiDataArray(triangles.astype(np.int32), "NIFTI_INTENT_TRIANGLE"),
        ]
        series = [
            nibabel.gifti.GiftiDataArray(
                column.astype(np.float32),
                "NIFTI_INTENT_TIME_SERIES",
                meta=nibabel.gifti.GiftiMetaData({"TimeStep": repr(float(stc.tstep))}),
            )
            for column in data[hemi].T
        ]
        for kind, arrays in (("surf", surface), ("func", series)):
            path = prefix.with_name(f"{prefix.name}_hemi-{hemi[0].upper()}.{kind}.gii")
            image = nibabel.gifti.GiftiImage(
                darrays=arrays, meta=nibabel.gifti.GiftiMetaData(meta)
            )
            with whole_file(path) as scratch:
                nibabel.save(image, scratch)
            files.append(path)
    return files


def surface_files(stc, kinds, subjects_dir):
    """Find surfaces of the subject of an estimate.

    Paths by hemisphere, in the order of ``kinds``. A missing one is a FileNotFoundError, an
    estimate that does not say whose it is a ValueError.
    """
    if stc.subject is None:
        raise ValueError("stc does not say whose it is. Set stc.subject.")
    if subjects_dir is None and stc.subject == _TEMPLATE:
        subjects_dir = fetch_template()
    subjects_dir = mne.get_config("SUBJECTS_DIR") if subjects_dir is None else subjects_dir
    folder = Path(subjects_dir or ".") / stc.subject / "surf"
    files = {hemi: [folder / f"{hemi}.{kind}" for kind in kinds] for hemi in HEMIS}
    for path in (path for hemi in HEMIS for path in files[hemi]):
        if subjects_dir is None or not path.is_file():
            raise FileNotFoundError(
                f"There is no {path.name} of subject {stc.subject!r} in {folder}. Give "
                "subjects_dir."
            )
    return files


def _spread(stc, mesh, times, scale, subjects_dir):
    """Meshes (points in mm, triangles), and values of all their vertices, by hemisphere."""
    _validate_type(stc, (mne.SourceEstimate, mne.VectorSourceEstimate), "stc")
    _check_option("mesh", mesh, _MESHES)
    values = check_values(stc)
    files = surface_files(stc, [mesh, "sphere"], subjects_dir)
    values = scale * values[:, pick_samples(stc, times)]
    halves = np.split(values, [len(stc.vertices[0])])
    meshes, data = {}, {}
    for hemi, vertices, half in zip(HEMIS, stc.vertices, halves, strict=True):
        surface, sphere = files[hemi]
        meshes[hemi] = mne.read_surface(surface)
        sphere, _ = mne.read_surface(sphere)
        check_vertices(vertices, len(sphere), hemi, stc.subject)
        data[hemi] = np.zeros((len(sphere), half.shape[1]))
        if len(vertices):
            data[hemi][:] = half[KDTree(sphere[vertices]).query(sphere)[1]]
        if stc.subject == _TEMPLATE:
            data[hemi][wall_vertices()[hemi == "rh"]] = 0.0
    return meshes, data


def check_vertices(vertices, n_vertices, hemi, subject):
    """Refuse vertices that a mesh doesn't have."""
    if len(vertices) and vertices[-1] >= n_vertices:
        raise ValueError(
            f"stc has sources at vertex {vertices[-1]} of {hemi}, the surface of {subject!r} has "
            f"{n_vertices} vertices: it is another one. Set stc.subject, or give subjects_dir."
        )
