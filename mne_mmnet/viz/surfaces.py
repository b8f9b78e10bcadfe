"""Cortical surfaces, painted and seen from four sides, off-screen."""

import contextlib
import ctypes.util
import os
import sys
from pathlib import Path
from typing import NamedTuple

import mne
import numpy as np
from scipy.spatial import cKDTree

from ..template.make import fetch_template
from .colours import GYRUS, REGION, SULCUS, TINT, TRUTH, blend

VIEWS = ("lateral", "medial")
SURFACES = ("inflated", "pial")
_MARKER_MM, _OUTLINE_MM = 3.0, 0.7
# meshes are refined until edges are smooth at the size of a page
_N_POINTS = 40_000
_N_NEIGHBOURS = 6
# mm on the inflated surface: no value is carried farther than this from the source that has it
_REACH, _REACH_SPARSE = 25.0, 8.0
# the first VTK that looks for another way to draw where there is no X server
_HEADLESS_VTK = (9, 4)


class Painting(NamedTuple):
    """What to draw on a cortex; every list has one item for each hemisphere.

    Parameters
    ----------
    vertices : list of array of int, length 2
        Vertices of the sources.
    values : list of array, length 2
        Their values.
    limit : float
        Value of the strongest colour.
    truth : list of array of int, length 2
        Vertices to be marked.
    region : list of array of bool, length 2 | None
        Which of the sources are outlined.
    """

    vertices: list
    values: list
    limit: float
    truth: list
    region: list | None = None


def find_surfaces(subject, subjects_dir, surface="inflated"):
    """Find the directory of a subject's surfaces.

    Without a directory it is MNE's configured ``SUBJECTS_DIR``, or the template's for subject
    ``fsaverage5``. ``surface`` is needed beside the inflated one; missing files are a
    FileNotFoundError.
    """
    if subjects_dir is None:
        subjects_dir = mne.get_config("SUBJECTS_DIR")
        here = subjects_dir is not None and (Path(subjects_dir) / subject / "surf").is_dir()
        if not here and subject == "fsaverage5":
            subjects_dir = fetch_template()
    directory = Path(subjects_dir or ".") / subject / "surf"
    kinds = sorted({surface, "inflated", "curv"})
    files = [f"{hemi}.{kind}" for hemi in ("lh", "rh") for kind in kinds]
    missing = [name for name in files if not (directory / name).is_file()]
    if subjects_dir is None or missing:
        raise FileNotFoundError(
            f"The surfaces of subject {subject!r} are not in {directory.absolute()} (missing: "
            f"{', '.join(missing)}). Give the directory that holds them as subjects_dir."
        )
    return directory


def _interpolate(points, known, values):
    """Carry the values of sources to the points around them; NaN far from all.

    Shepard's interpolation with weights of compact support: it takes the sources' own values at
    the sources and never exceeds them, so that the colour bar holds.
    """
    out = np.full(len(points), np.nan)
    if len(known) == 0:
        return out
    tree = cKDTree(known)
    reach = _REACH_SPARSE
    if len(known) > 30:  # a grid, and not single sources
        spacing = np.median(tree.query(known, k=2)[0][:, 1])
        reach = min(3.0 * spacing, _REACH)
    distance, index = tree.query(points, k=min(_N_NEIGHBOURS, len(known)))
    distance, index = distance.reshape(len(points), -1), index.reshape(len(points), -1)
    near = distance[:, 0] <= reach
    distance, index = np.maximum(distance[near], 1e-6), index[near]
    radius = np.minimum(1.001 * distance[:, -1:], reach) + 1e-6
    weight = (np.clip(radius - distance, 1e-9, None) / (radius * distance)) ** 2
    out[near] = (weight * values[index]).sum(axis=1) / weight.sum(axis=1)
    return out


@contextlib.contextmanager
def _renderer(size):
    """Off-screen plotter without VTK's chatter about the X server that it looks for first."""
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        # VTK does not raise an error here, it crashes
        from vtkmodules.vtkCommonCore import vtkVersion

        found = vtkVersion.GetVTKMajorVersion(), vtkVersion.GetVTKMinorVersion()
        if found < _HEADLESS_VTK:
            raise RuntimeError(
                f"VTK {found[0]}.{found[1]} can't draw without a display. Install vtk>=9.4, or "
                "run under xvfb-run (Debian, Ubuntu: apt install xvfb)."
            )
        if not any(ctypes.util.find_library(name) for name in ("EGL", "OSMesa")):
            raise RuntimeError(
                "There is neither a display nor a library to draw without one. Install libEGL "
                "(Debian, Ubuntu: apt install libegl1) or OSMesa (libosmesa6)."
            )
    import pyvista
    from vtkmodules.vtkCommonCore import vtkLogger

    cutoff = vtkLogger.ConvertToVerbosity(vtkLogger.GetCurrentVerbosityCutoff())
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)
    plotter = None
    try:
        # a theme of our own: opacity or edges of the user's would show what is behind
        plotter = pyvista.Plotter(
            off_screen=True, window_size=size, lighting="none", theme=pyvista.themes.Theme()
        )
        plotter.set_background("white")
        # every step would draw the whole scene anew, at a third of a second each
        plotter.suppress_rendering = True
        plotter.add_light(pyvista.Light(light_type="headlight", intensity=0.85))
        plotter.add_light(
            pyvista.Light(position=(0, 0.6, 1), light_type="camera light", intensity=0.25)
        )
        yield pyvista, plotter
    finally:
        if plotter is not None:
            plotter.close()
        vtkLogger.SetStderrVerbosity(cutoff)


class _Hemisphere:
    """Surface of one hemisphere, refined, with its curvature.

    Values are carried along the inflated surface whatever is drawn: on the folded one, the banks
    of a sulcus are near each other but no neighbours.
    """

    def __init__(self, pyvista, directory, hemi, surface):
        from nibabel.freesurfer import read_morph_data

        self.pyvista = pyvista
        self.rr, tris = mne.read_surface(directory / f"{hemi}.{surface}", verbose="error")
        self.inflated, _ = mne.read_surface(directory / f"{hemi}.inflated", verbose="error")
        faces = np.column_stack([np.full(len(tris), 3), tris]).ravel()
        mesh = pyvista.PolyData(self.rr, faces).compute_normals(
            cell_normals=False, split_vertices=False, consistent_normals=False
        )
        self.normals = np.array(mesh.point_data["Normals"])
        mesh.point_data["curv"] = read_morph_data(directory / f"{hemi}.curv")
        mesh.point_data["inflated"] = self.inflated
        while mesh.n_points < _N_POINTS:
            mesh = mesh.subdivide(1, "linear")
        self.mesh = mesh

    def carry(self, vertices, values):
        """Values (n_points,) around the sources; 0 far from all."""
        points = np.asarray(self.mesh.point_data["inflated"])
        return np.nan_to_num(_interpolate(points, self.inflated[vertices], values))

    def add(self, plotter, painting, side):
        """Put one painting into the scene; returns the actors."""
        vertices = painting.vertices[side]
        if max([*vertices, *painting.truth[side]], default=0) >= len(self.rr):
            raise ValueError(
                f"There are vertices beyond the {len(self.rr)} of the subject's surface. Give the "
                "subject that the estimate was made for."
            )
        share = self.carry(vertices, painting.values[side]) / painting.limit
        ground = np.where(self.mesh.point_data["curv"] > 0, SULCUS, GYRUS)[:, np.newaxis]
        inside = np.zeros(len(share))
        if painting.region is not None:
            inside = self.carry(vertices, painting.region[side].astype(float))
        ground = ground * np.where(inside[:, np.newaxis] > 0.5, TINT, 1.0)
        rgb = blend(share, ground)
        self.mesh.point_data["rgb"] = np.round(255 * rgb).astype(np.uint8)
        look = dict(scalars="rgb", rgb=True, ambient=0.15, specular=0.05, copy_mesh=True)
        actors = [plotter.add_mesh(self.mesh, **look)]
        actors[0].prop.interpolation = "Phong"
        for vertex in painting.truth[side]:
            centre = self.rr[vertex] + 0.5 * _MARKER_MM * self.normals[vertex]
            sphere = self.pyvista.Sphere(radius=_MARKER_MM, center=centre)
            actors.append(plotter.add_mesh(sphere, color=TRUTH, ambient=0.4))
        if inside.any():
            line = self.mesh.contour([0.5], scalars=inside)
            if line.n_points:
                tube = line.tube(radius=_OUTLINE_MM)
                actors.append(plotter.add_mesh(tube, color=REGION, lighting=False))
        return actors


def draw_panels(directory, paintings, size, surface="inflated"):
    """Draw both hemispheres from the outside and the inside, all at one scale.

    Panels have a size in pixels: for every painting, images (height, width, 3) by hemisphere (0
    left, 1 right) and view.
    """
    panels = [{} for _ in paintings]
    with _renderer(size) as (pyvista, plotter):
        both = [_Hemisphere(pyvista, directory, hemi, surface) for hemi in ("lh", "rh")]
        extent = np.max([np.ptp(hemisphere.rr, axis=0) for hemisphere in both], axis=0)
        # half the height of a panel in mm, with some margin
        scale = 0.53 * max(extent[2], extent[1] * size[1] / size[0])
        for side, hemisphere in enumerate(both):
            middle = 0.5 * (hemisphere.rr.min(axis=0) + hemisphere.rr.max(axis=0))
            for painting, images in zip(paintings, panels, strict=True):
                actors = hemisphere.add(plotter, painting, side)
                for view in VIEWS:
                    outward = (-1 if side == 0 else 1) * (1 if view == "lateral" else -1)
                    eye = middle + np.array([500.0 * outward, 0.0, 0.0])
                    images[side, view] = _shoot(plotter, eye, middle, scale)
                for actor in actors:
                    plotter.remove_actor(actor)
    return panels


def _shoot(plotter, eye, middle, scale):
    """Image of the scene from one side."""
    plotter.camera_position = [eye, middle, (0, 0, 1)]
    plotter.camera.parallel_projection = True
    plotter.camera.parallel_scale = scale
    plotter.reset_camera_clipping_range()
    plotter.suppress_rendering = False
    plotter.render()  # a screenshot alone would repeat the first view
    image = plotter.screenshot(return_img=True)
    plotter.suppress_rendering = True
    return image
