"""Pictures of sources on the inflated cortex, drawn without a display."""

import contextlib
import ctypes.util
import os
import sys
from pathlib import Path

import mne
import numpy as np
from mne.utils import _validate_type, logger, verbose
from scipy.spatial import cKDTree

from ._files import whole_file
from .template import fetch_template

# below this share of the largest value the cortex shows through; above the second one it is hidden
_THRESHOLD, _OPAQUE = 0.25, 0.4
_SULCUS, _GYRUS = 0.52, 0.74  # grey levels
_MARKER = "#00a651"  # on neither colour map, nor lost on grey
_MARKER_MM = 3.0
# meshes are refined until edges are smooth at the size of a page
_N_POINTS = 40_000
_N_NEIGHBOURS = 6
# mm on the inflated surface: no value is carried farther than this from the source that has it
_REACH, _REACH_SPARSE = 25.0, 8.0
# A·m per unit; no cortex produces 1 mA·m, so larger values are no currents
_UNITS = (("pA·m", 1e-12, 1e-10), ("nA·m", 1e-9, 1e-6), ("µA·m", 1e-6, 1e-3))
_VIEWS = ("lateral", "medial")
# places of the panels on the page: hemispheres, views
_LEFT, _BOTTOM, _WIDTH, _HEIGHT = (0.02, 0.45), (0.48, 0.04), 0.42, 0.4


def _hot(values):
    """Colours (n, 3) of values in [0, 1]; neither the black nor the white end of the map."""
    from matplotlib import colormaps

    return colormaps["hot"](0.3 + 0.6 * np.clip(values, 0, 1))[:, :3]


def _colours(share):
    """Colours (n, 3) and opacities (n,) of values relative to the largest; blue is negative."""
    size = np.abs(share)
    rgb = _hot((size - _THRESHOLD) / (1 - _THRESHOLD))
    rgb = np.where(share[:, np.newaxis] < 0, rgb[:, ::-1], rgb)
    return rgb, np.clip((size - _THRESHOLD) / (_OPAQUE - _THRESHOLD), 0, 1)


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
        plotter = pyvista.Plotter(off_screen=True, window_size=size, lighting="none")
        yield pyvista, plotter
    finally:
        if plotter is not None:
            plotter.close()
        vtkLogger.SetStderrVerbosity(cutoff)


class _Hemisphere:
    """Inflated surface of one hemisphere, refined, with its curvature."""

    def __init__(self, pyvista, directory, hemi):
        rr, tris = mne.read_surface(directory / f"{hemi}.inflated", verbose="error")
        from nibabel.freesurfer import read_morph_data

        self.rr = rr
        faces = np.column_stack([np.full(len(tris), 3), tris]).ravel()
        mesh = pyvista.PolyData(rr, faces).compute_normals(
            cell_normals=False, split_vertices=False, consistent_normals=False
        )
        self.normals = np.array(mesh.point_data["Normals"])
        mesh.point_data["curv"] = read_morph_data(directory / f"{hemi}.curv")
        while mesh.n_points < _N_POINTS:
            mesh = mesh.subdivide(1, "linear")
        self.mesh = mesh

    def paint(self, vertices, values, limit):
        """Colour the mesh by the values (n_vertices,) of the sources."""
        points = np.asarray(self.mesh.points)
        share = np.nan_to_num(_interpolate(points, self.rr[vertices], values) / limit)
        grey = np.where(self.mesh.point_data["curv"] > 0, _SULCUS, _GYRUS)[:, np.newaxis]
        rgb, opacity = _colours(share)
        rgb = grey + opacity[:, np.newaxis] * (rgb - grey)
        self.mesh.point_data["rgb"] = np.round(255 * rgb).astype(np.uint8)


def _draw_panels(directory, vertices, values, limit, truth, size):
    """Images (h, w, 3) of both hemispheres, lateral and medial, all at one scale."""
    panels = {}
    with _renderer(size) as (pyvista, plotter):
        plotter.set_background("white")
        # every step would draw the whole scene anew, at a third of a second each
        plotter.suppress_rendering = True
        plotter.add_light(pyvista.Light(light_type="headlight", intensity=0.85))
        plotter.add_light(
            pyvista.Light(position=(0, 0.6, 1), light_type="camera light", intensity=0.25)
        )
        hemispheres = [_Hemisphere(pyvista, directory, hemi) for hemi in ("lh", "rh")]
        extent = np.max([np.ptp(hemi.rr, axis=0) for hemi in hemispheres], axis=0)
        # half the height of a panel in mm, with some margin
        scale = 0.53 * max(extent[2], extent[1] * size[1] / size[0])
        for side, hemisphere in enumerate(hemispheres):
            hemisphere.paint(vertices[side], values[side], limit)
            actors = [
                plotter.add_mesh(
                    hemisphere.mesh, scalars="rgb", rgb=True, ambient=0.15, specular=0.05
                )
            ]
            actors[0].prop.interpolation = "Phong"
            for vertex in truth[side]:
                centre = hemisphere.rr[vertex] + 0.5 * _MARKER_MM * hemisphere.normals[vertex]
                sphere = pyvista.Sphere(radius=_MARKER_MM, center=centre)
                actors.append(plotter.add_mesh(sphere, color=_MARKER, ambient=0.4))
            middle = 0.5 * (hemisphere.rr.min(axis=0) + hemisphere.rr.max(axis=0))
            for view in _VIEWS:
                outward = (-1 if side == 0 else 1) * (1 if view == "lateral" else -1)
                eye = middle + np.array([500.0 * outward, 0.0, 0.0])
                plotter.camera_position = [eye, middle, (0, 0, 1)]
                plotter.camera.parallel_projection = True
                plotter.camera.parallel_scale = scale
                plotter.reset_camera_clipping_range()
                plotter.suppress_rendering = False
                plotter.render()  # a screenshot alone would repeat the first view
                panels[side, view] = plotter.screenshot(return_img=True)
                plotter.suppress_rendering = True
            for actor in actors:
                plotter.remove_actor(actor)
    return panels


def _unit(limit):
    """Name and size (A·m) of a readable unit for values up to a limit."""
    for name, unit, below in _UNITS:
        if limit < below:
            return f"current ({name})", unit
    return "value", 1.0


def _compose(panels, limit, signed, stamp, title, has_truth, size):
    """Lay the panels out with labels, time and colour bar; returns an image (h, w, 3)."""
    # not pyplot: no figure is left open and no backend is chosen for the user
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    small, medium, large = np.array([13.0, 15.0, 17.0]) * size[0] / 1200
    for (side, view), image in panels.items():
        left, bottom = _LEFT[side], _BOTTOM[_VIEWS.index(view)]
        axes = figure.add_axes((left, bottom, _WIDTH, _HEIGHT))
        axes.imshow(image, interpolation="antialiased")
        axes.set_axis_off()
        place = dict(transform=axes.transAxes)
        label = f"{('left', 'right')[side]} {view}"
        axes.text(0.5, 1.0, label, ha="center", va="bottom", fontsize=medium, **place)
        place.update(va="center", color="0.4", fontsize=small)
        ends = "AP" if (side == 0) == (view == "lateral") else "PA"
        axes.text(0.0, 0.5, ends[0], ha="left", **place)
        axes.text(1.0, 0.5, ends[1], ha="right", **place)

    label, unit = _unit(limit)
    top = limit / unit
    rgb, opacity = _colours(np.linspace(-1.0 if signed else 0.0, 1.0, 511))
    rgb = _GYRUS + opacity[:, np.newaxis] * (rgb - _GYRUS)
    colours = ScalarMappable(Normalize(-top if signed else 0.0, top), ListedColormap(rgb))
    bar = figure.colorbar(colours, cax=figure.add_axes((0.895, 0.25, 0.016, 0.45)))
    bar.ax.tick_params(labelsize=small)
    bar.set_label(label, fontsize=medium)
    figure.text(0.02, 0.975, title or "", ha="left", va="top", fontsize=large)
    figure.text(0.98, 0.975, stamp, ha="right", va="top", fontsize=large)
    if has_truth:
        dot = Line2D([], [], marker="o", ls="", color=_MARKER, ms=0.6 * small, label="true source")
        figure.legend(handles=[dot], loc="lower right", frameon=False, fontsize=small)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[:, :, :3]


def _surface_directory(subject, subjects_dir):
    """Where the surfaces of a subject are."""
    if subjects_dir is None:
        subjects_dir = mne.get_config("SUBJECTS_DIR")
        here = subjects_dir is not None and (Path(subjects_dir) / subject / "surf").is_dir()
        if not here and subject == "fsaverage5":
            subjects_dir = fetch_template()
    directory = Path(subjects_dir or ".") / subject / "surf"
    files = [f"{hemi}.{kind}" for hemi in ("lh", "rh") for kind in ("inflated", "curv")]
    missing = [name for name in files if not (directory / name).is_file()]
    if subjects_dir is None or missing:
        raise FileNotFoundError(
            f"The surfaces of subject {subject!r} are not in {directory.absolute()} (missing: "
            f"{', '.join(missing)}). Give the directory that holds them as subjects_dir."
        )
    return directory


@verbose
def plot_sources(
    stc,
    *,
    subject=None,
    subjects_dir=None,
    time=None,
    truth=None,
    path=None,
    title=None,
    size=(1200, 960),
    verbose=None,
):
    """Draw a source estimate on the inflated cortex, without a display.

    Both hemispheres are drawn from the outside and from the inside, sulci darker than gyri.
    Values below 25 %% of the largest at that time leave the cortex uncovered. Sources are
    interpolated along the surface; at the sources the colours show their own values.

    Parameters
    ----------
    stc : mne.SourceEstimate | mne.VectorSourceEstimate
        The estimate; of vectors the length is drawn. Where it has negative values, the colours
        are red for currents out of the cortex and blue for currents into it.
    subject : str | None
        The subject. None is the estimate's own.
    subjects_dir : path-like | None
        Directory that holds the subject's ``surf/{lh,rh}.{inflated,curv}``. None is MNE's
        configured ``SUBJECTS_DIR``, or the template's for subject ``fsaverage5``.
    time : float | None
        Time (s), of which the nearest sample is drawn. None is the time of the largest value.
    truth : list of array of int, length 2 | None
        Vertices of left and right hemisphere to be marked as true sources.
    path : path-like | None
        PNG file to write, atomically.
    title : str | None
        Title of the picture.
    size : tuple of int
        Width and height in pixels.
    %(verbose)s

    Returns
    -------
    image : array of shape (height, width, 3), uint8
        The picture.

    Raises
    ------
    TypeError
        If the estimate is not one on surfaces.
    ValueError
        If the time lies outside the estimate, vertices don't belong to the subject, values are
        not finite or ``path`` is no PNG.
    FileNotFoundError
        If the subject's surfaces are not found.
    RuntimeError
        If this machine has no library to draw with.
    """
    _validate_type(stc, (mne.SourceEstimate, mne.VectorSourceEstimate), "stc")
    _validate_type(time, ("numeric", None), "time")
    if path is not None and Path(path).suffix.lower() != ".png":
        raise ValueError(f"path must end in .png, got {os.fspath(path)!r}.")
    if isinstance(stc, mne.VectorSourceEstimate):
        stc = stc.magnitude()
    data = stc.data
    if not np.isfinite(data).all():
        raise ValueError("stc has values that are not finite.")
    if data.size == 0:
        raise ValueError("stc has no sources or no samples.")
    if time is None:
        sample = int(np.argmax(np.abs(data).max(axis=0)))
    elif stc.times[0] - stc.tstep <= time <= stc.times[-1] + stc.tstep:
        sample = int(np.argmin(np.abs(stc.times - time)))
    else:
        raise ValueError(
            f"time must be within {stc.times[0]:g} and {stc.times[-1]:g} s, got {time:g}."
        )
    subject = stc.subject if subject is None else subject
    if subject is None:
        raise ValueError("stc does not say whose it is. Give the name of the subject.")
    directory = _surface_directory(subject, subjects_dir)
    vertices = [np.asarray(v, int) for v in stc.vertices]
    truth = [np.asarray(v, int) for v in (([], []) if truth is None else truth)]
    values = np.split(data[:, sample], [len(vertices[0])])
    limit = float(np.abs(data[:, sample]).max())
    logger.info(f"Drawing {subject} at {1e3 * stc.times[sample]:.1f} ms ...")
    # panels at twice the resolution of the page, for smooth edges
    panel = (int(2 * _WIDTH * size[0]), int(2 * _HEIGHT * size[1]))
    panels = _draw_panels(directory, vertices, values, limit or 1.0, truth, panel)
    stamp = f"{1e3 * stc.times[sample]:.1f} ms"
    signed = bool((data < 0).any())
    has_truth = any(len(v) for v in truth)
    image = _compose(panels, limit or 1e-9, signed, stamp, title, has_truth, size)
    if path is not None:
        from matplotlib.image import imsave

        with whole_file(path) as scratch:
            imsave(scratch, image)
        logger.info(f"    written to {path}")
    logger.info("[done]")
    return image
