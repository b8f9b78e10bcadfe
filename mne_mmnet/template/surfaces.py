"""Geometry of the template head: ray casting, nested shells, and the subject's files.

The three shells of the boundary-element model share one set of rays. Each vertex of an icosphere
is moved along its ray ``d_i`` from a common centre to the radius ``r_i`` at which the ray leaves
the shell. Inside one facet the radius in direction ``d = Σ w_i d_i`` (w ≥ 0) is given by ``1/r =
Σ w_i / r_i``, so shells whose radii are ordered at every vertex are ordered everywhere: they
cannot intersect, whatever their shape.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

import mne
import nibabel
import numpy as np

from .._support.cache import LAYOUT
from .._support.files import writing
from .cortex import N_VERTICES, wall_vertices

SUBJECT = "fsaverage5"
MARKER = "mne_mmnet.json"

# Inside the brain of fsaverage (m, surface RAS); inner skull and skin are star-shaped about it.
CENTRE = np.array([0.0, -0.02, 0.01])
BEM_ICO = 4  # grade of the .surf files; make_bem_model decimates them
SKULL_FRACTION = 0.5  # of the way from the inner skull to the skin, along a ray
SKULL_MIN, SKULL_MAX = 0.003, 0.008  # m, along a ray
LAYER_MIN = 0.002  # m, along a ray: the least that is left to skull or scalp

_SURFACES = {"white": "white", "pial": "pial", "inflated": "infl", "sphere": "sphere"}
_MORPHS = {"curv": "curv", "sulc": "sulc"}
_SHELLS = ("inner_skull", "outer_skull", "outer_skin")
_MNE_FILES = ("head", "inner_skull-bem", "fiducials", "trans")
# what FreeSurfer writes into the surfaces of fsaverage: their origin is that of MNI305
_VOLUME_INFO = {
    "head": np.array([2, 0, 20], np.int32),
    "valid": "1  # volume info valid",
    "filename": "../mri/orig.mgz",
    "volume": np.array([256, 256, 256]),
    "voxelsize": np.ones(3),
    "xras": np.array([-1.0, 0.0, 0.0]),
    "yras": np.array([0.0, 0.0, -1.0]),
    "zras": np.array([0.0, 1.0, 0.0]),
    "cras": np.zeros(3),
}
_MNE_DATA = Path(mne.__file__).parent / "data"


def template_files():
    """List the files of a complete template subject, relative to its directory."""
    kinds = [*_SURFACES, *_MORPHS, "sphere.reg"]
    files = [f"surf/{hemi}.{kind}" for hemi in ("lh", "rh") for kind in kinds]
    files += [f"label/{hemi}.cortex.label" for hemi in ("lh", "rh")]
    files += [f"bem/{shell}.surf" for shell in _SHELLS]
    files += [f"bem/{SUBJECT}-{name}.fif" for name in _MNE_FILES]
    return [*files, MARKER]


def icosphere(ico):
    """Read MNE's subdivided icosahedron.

    Of its 10 × 4ⁱᶜᵒ + 2 vertices the directions, and triangles that are counter-clockwise seen
    from outside. MNE decimates only surfaces of this very order.
    """
    surf = mne.read_bem_surfaces(_MNE_DATA / "icos.fif.gz", s_id=9000 + ico, verbose="error")
    directions = surf["rr"] / np.linalg.norm(surf["rr"], axis=1, keepdims=True)
    return directions, surf["tris"]


def cast_rays(rr, tris, directions, centre):
    """Find where rays from a point leave a closed surface.

    Parameters
    ----------
    rr : array of shape (n_vertices, 3)
        Vertices of the surface (m).
    tris : array of shape (n_triangles, 3)
        Its triangles.
    directions : array of shape (n_rays, 3)
        Unit vectors.
    centre : array of shape (3,)
        Common origin of the rays (m), inside the surface.

    Returns
    -------
    radii : array of shape (n_rays,)
        Distance (m) from the centre to the outermost crossing.
    """
    corners = (rr - centre)[tris]
    # d = w_0 c_0 + w_1 c_1 + w_2 c_2 by Cramer's rule; the ray meets the plane at r = 1 / Σ w
    cofactors = np.stack([np.cross(corners[:, k - 2], corners[:, k - 1]) for k in range(3)])
    det = np.einsum("ij,ij->i", corners[:, 0], cofactors[0])
    # a triangle seen edge-on from the centre is crossed by no ray of its own
    keep = np.abs(det) > 1e-12 * np.abs(det).max()
    cofactors = cofactors[:, keep] / det[keep, np.newaxis]
    radii = np.empty(len(directions))
    for start in range(0, len(directions), 256):  # bounds the memory: 3 × 256 × n_triangles
        weights = directions[start : start + 256] @ cofactors.transpose(0, 2, 1)
        inverse = weights.sum(axis=0)
        hit = (weights >= -1e-6 * np.abs(inverse)).all(axis=0) & (inverse > 0)
        radii[start : start + 256] = 1.0 / np.where(hit, inverse, np.inf).min(axis=1)
    if not (np.isfinite(radii) & (radii > 0)).all():
        raise RuntimeError("Some rays miss the surface: it is not closed around the centre.")
    return radii


def skull_radii(inner, skin, outer=None, thickness=1.0):
    """Place the outer skull between the inner skull and the skin.

    Parameters
    ----------
    inner, skin : array of shape (n_rays,)
        Radii (m) of inner skull and skin.
    outer : array of shape (n_rays,) | None
        Radii (m) of a known outer skull. None takes a fixed fraction of the way, between 3 and 8
        mm.
    thickness : float
        Multiplies the thickness of the skull. The scalp keeps its own and moves with the skull.

    Returns
    -------
    outer : array of shape (n_rays,)
        Radii (m), at least 2 mm from the inner skull.
    skin : array of shape (n_rays,)
        Radii (m) of the skin, at least 2 mm from the outer skull.
    """
    if outer is None:
        skull = np.clip(SKULL_FRACTION * (skin - inner), SKULL_MIN, SKULL_MAX)
    else:
        skull = outer - inner
    scalp = np.maximum(skin - inner - skull, LAYER_MIN)
    outer = inner + np.maximum(thickness * skull, LAYER_MIN)
    return outer, outer + scalp


def distance_to_surface(points, rr, tris):
    """Compute the distance, not negative, from points to a triangulated surface, all in m."""
    a, b, c = rr[tris].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    squared = np.empty(len(points))
    for i, point in enumerate(points):
        height = np.einsum("ij,ij->i", point - a, normal)
        foot = point - height[:, np.newaxis] * normal
        inside = np.ones(len(tris), bool)
        best = np.inf
        for start, end in ((a, b), (b, c), (c, a)):
            edge = end - start
            inside &= np.einsum("ij,ij->i", np.cross(edge, foot - start), normal) >= 0
            along = np.einsum("ij,ij->i", point - start, edge) / (edge * edge).sum(axis=1)
            nearest = start + np.clip(along, 0, 1)[:, np.newaxis] * edge
            best = min(best, ((point - nearest) ** 2).sum(axis=1).min())
        if inside.any():
            best = min(best, (height[inside] ** 2).min())
        squared[i] = best
    return np.sqrt(squared)


def template_shells(ico=BEM_ICO):
    """Make the three nested shells of the template head.

    Parameters
    ----------
    ico : int
        Grade of the icospheres.

    Returns
    -------
    shells : dict
        ``"inner_skull"``, ``"outer_skull"`` and ``"outer_skin"``, each an array of shape
        (n_vertices, 3) in metres, surface RAS of fsaverage.
    tris : array of shape (n_triangles, 3)
        The triangles they share.
    """
    directions, tris = icosphere(ico)
    radii = []
    for name in ("inner_skull-bem", "head"):
        surf = mne.read_bem_surfaces(
            _MNE_DATA / "fsaverage" / f"fsaverage-{name}.fif", verbose="error"
        )[0]
        radii.append(cast_rays(surf["rr"], surf["tris"], directions, CENTRE))
    inner, skin = radii
    outer, skin = skull_radii(inner, skin)
    shells = {
        name: CENTRE + r[:, np.newaxis] * directions
        for name, r in zip(_SHELLS, (inner, outer, skin), strict=True)
    }
    return shells, tris


def reshape_skull(surfs, ico, thickness):
    """Multiply the skull thickness of a three-shell model.

    Shells are those of :func:`mne.make_bem_model` (m, MRI coordinates), skin, outer skull and
    inner skull; new ones, on common rays of grade ``ico``, come in the same order.
    """
    directions, tris = icosphere(ico)
    skin, outer, inner = (cast_rays(s["rr"], s["tris"], directions, CENTRE) for s in surfs)
    outer, skin = skull_radii(inner, skin, outer, thickness)
    keys = ("id", "sigma", "coord_frame")
    return [
        dict(
            {key: surf[key] for key in keys},
            rr=CENTRE + r[:, np.newaxis] * directions,
            tris=tris.copy(),
            np=len(directions),
            ntri=len(tris),
        )
        for surf, r in zip(surfs, (skin, outer, inner), strict=True)
    ]


def scale_shells(surfs, scales):
    """Scale the shells of a head model along the axes.

    Those of :func:`mne.make_bem_model` (MRI coordinates), in a copy: to the right, to the front,
    up.
    """
    keys = ("id", "sigma", "coord_frame", "tris", "np", "ntri")
    return [dict({key: surf[key] for key in keys}, rr=surf["rr"] * scales) for surf in surfs]


def _write_surface(fname, rr, tris):
    """Write one surface; vertices in mm."""
    mne.write_surface(fname, rr, tris, volume_info=_VOLUME_INFO)


def _write_files(directory):
    """Write every file of the template subject into an empty directory, the marker last."""
    # nilearn is slow to import, and needed only here
    from nilearn.datasets import fetch_surf_fsaverage

    bundle = fetch_surf_fsaverage("fsaverage5")
    surf_dir, bem_dir, label_dir = (directory / name for name in ("surf", "bem", "label"))
    for folder in (surf_dir, bem_dir, label_dir):
        folder.mkdir()
    walls = wall_vertices()
    for (hemi, side), wall in zip((("lh", "left"), ("rh", "right")), walls, strict=True):
        for name, key in _SURFACES.items():
            image = nibabel.load(bundle[f"{key}_{side}"])
            rr, tris = image.agg_data("pointset"), image.agg_data("triangle")
            _write_surface(surf_dir / f"{hemi}.{name}", rr.astype(float), tris)
        # the sphere of an average subject is its own registration
        shutil.copyfile(surf_dir / f"{hemi}.sphere", surf_dir / f"{hemi}.sphere.reg")
        for name, key in _MORPHS.items():
            values = np.asarray(nibabel.load(bundle[f"{key}_{side}"]).agg_data())
            nibabel.freesurfer.write_morph_data(surf_dir / f"{hemi}.{name}", values)
        white, _ = mne.read_surface(surf_dir / f"{hemi}.white")
        cortex = np.setdiff1d(np.arange(N_VERTICES), wall)
        label = mne.Label(cortex, 1e-3 * white[cortex], hemi=hemi, subject=SUBJECT)
        mne.write_label(label_dir / f"{hemi}.cortex.label", label)
    shells, tris = template_shells()
    for name, rr in shells.items():
        _write_surface(bem_dir / f"{name}.surf", 1e3 * rr, tris)
    for name in _MNE_FILES:
        shutil.copyfile(
            _MNE_DATA / "fsaverage" / f"fsaverage-{name}.fif", bem_dir / f"{SUBJECT}-{name}.fif"
        )
    marker = {"layout": LAYOUT, "subject": SUBJECT, "sources": ["mne", "nilearn"]}
    (directory / MARKER).write_text(json.dumps(marker), encoding="utf-8")


def is_template(directory):
    """Tell whether a directory holds a complete template subject of the present layout."""
    directory = Path(directory)
    try:
        layout = json.loads((directory / MARKER).read_text(encoding="utf-8"))["layout"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return layout == LAYOUT and all((directory / name).is_file() for name in template_files())


def build_template(subjects_dir):
    """Write the template subject; it appears whole or not at all.

    Parameters
    ----------
    subjects_dir : pathlib.Path
        Where to put it; made if missing. Two processes may do this at once: the later one
        discards its own copy.

    Raises
    ------
    FileExistsError
        If something else stands where the subject belongs. It is never touched.
    UnwritableError
        If the place is full, read-only or forbidden.
    """
    target = subjects_dir / SUBJECT
    _refuse_foreign(target)
    with writing(target):
        subjects_dir.mkdir(parents=True, exist_ok=True)
        # beside the target, because a rename is atomic only within one file system
        with tempfile.TemporaryDirectory(
            prefix=f".{SUBJECT}-", dir=subjects_dir, ignore_cleanup_errors=True
        ) as scratch:
            staged = Path(scratch) / SUBJECT
            staged.mkdir()
            _write_files(staged)
            try:
                os.rename(staged, target)
            except OSError:
                # a directory that is not empty is never replaced: then another process has won
                if not target.exists():
                    raise
    _refuse_foreign(target)


def _refuse_foreign(target):
    if target.exists() and not is_template(target):
        raise FileExistsError(
            f"{target} is not a complete template subject of this version, and it is not "
            "overwritten. Move it away or choose another directory (subjects_dir, or the "
            "environment variable MNE_MMNET_CACHE)."
        )
