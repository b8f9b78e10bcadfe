"""Figures of ``benchmarks/paper.py``: estimates on the cortex, descent, and what majorants buy."""

import time
from functools import partial

import numpy as np
import torch
from drawing import COLOURS, DASHES, strip
from drawing import save as _save
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter
from paper_bounds import Analytic

from mne_mmnet.majorant import Proposition1Majorant, SharpMajorant, sharp_structured_majorant
from mne_mmnet.metrics import space_time_cosine
from mne_mmnet.solver import RayProposer
from mne_mmnet.solver.descent import certify, descend
from mne_mmnet.solver.general import SpectralProposer
from mne_mmnet.viz.colours import GYRUS, blend
from mne_mmnet.viz.surfaces import Painting, _Hemisphere, _renderer, find_surfaces

SUBJECT = "fsaverage5"
# factors by which an analytic majorant is raised where the objective rose: rounding or a kink
_RAISES = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0)


@torch.no_grad()
def majorant_traces(estimator, batch, n_steps, n_products=16):
    """Descend one objective, a trained estimator's, from one start with several majorants.

    An iteration of the spectral majorant takes so many Hessian-vector products, one of which costs
    about as much as two iterations of an analytic majorant. Returns by majorant F at the start and
    after each iteration (n_samples, n_steps + 1), certificates, and seconds.
    """
    objective, start = estimator.objective(batch.model, batch.data)

    def analytic(make):
        return descend(objective, start, Analytic(objective, make, _RAISES), n_steps)

    spectral = SpectralProposer(objective, n_products=n_products)
    runs = {
        "Proposition 1": analytic(Proposition1Majorant),
        "sharp diagonal": analytic(SharpMajorant),
        "structured": analytic(sharp_structured_majorant),
        "proved along a ray": descend(objective, start, RayProposer(objective), n_steps),
        "HVP": descend(objective, start, spectral, n_steps),
        "learned": estimator.certified_iterates(batch.model, batch.data, n_steps),
    }
    certificates, seconds = {}, {}
    for name, iterates in runs.items():
        started = time.perf_counter()
        _, certificates[name] = certify(iterates)
        seconds[name] = time.perf_counter() - started
    traces = {name: found.objective.cpu().numpy() for name, found in certificates.items()}
    return traces, certificates, seconds


_clean = partial(strip, labelsize=13)


def _band(axes, x, trace, colour, dash, label, marker="o"):
    """Draw median and interquartile range of traces (n_samples, n)."""
    low, middle, high = np.percentile(trace, (25, 50, 75), axis=0)
    axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
    style = dict(color=colour, ls=dash, lw=2.2, label=label)
    axes.plot(x, middle, marker=marker, ms=6, markevery=-(-len(x) // 16), **style)


def figure_descent(path, traces, title=""):
    """Cost, and its two parts, against iteration: median and interquartile range over recordings.

    ``traces`` have for each method ``total``, ``fidelity`` and ``regularity``, all of shape
    (n_samples, n_steps + 1).
    """
    figure = Figure(figsize=(16, 5.6), dpi=100, facecolor="white", layout="constrained")
    panels = figure.subplots(1, 3)
    heads = {
        "total": "total cost  F(x)",
        "fidelity": "fidelity  1 − cos(y, Lx)",
        "regularity": "regularisation  1 − cos(x, Φ(x))",
    }
    counts = {len(parts["total"]) for parts in traces.values()}
    for axes, (part, head) in zip(panels, heads.items(), strict=True):
        for number, (name, parts) in enumerate(traces.items()):
            trace = np.asarray(parts[part])
            _band(
                axes,
                np.arange(trace.shape[1]),
                trace,
                COLOURS[number % len(COLOURS)],
                DASHES[number % len(DASHES)],
                name,
            )
        _clean(axes)
        axes.set_ylim(bottom=0.0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("iteration", fontsize=15)
        axes.set_ylabel("cost (dimensionless)", fontsize=15)
        axes.set_title(head, fontsize=16)
    handles, labels = panels[0].get_legend_handles_labels()
    if len(traces) > 1:
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=min(len(labels), 6),
            fontsize=14,
            frameon=False,
        )
    size = "–".join(str(count) for count in sorted(counts))
    own = "; each method with its own Φ" if len(traces) > 1 else ""
    note = f"median and interquartile range, {size} recordings{own}; mind the panels' axes"
    figure.suptitle(f"{title}\n{note}" if title else note, fontsize=15)
    _save(figure, path)


def figure_majorants(path, traces, title=""):
    """Descent of one objective from one start, by majorant: traces of :func:`majorant_traces`."""
    figure = Figure(figsize=(16, 6.4), dpi=100, facecolor="white", layout="constrained")
    left, right = figure.subplots(1, 2)
    count = {len(trace) for trace in traces.values()}
    markers = "osD^vP"
    for number, (name, trace) in enumerate(traces.items()):
        trace = np.asarray(trace)
        final = np.median(trace[:, 0] - trace[:, -1])
        label = f"{name}: −{final:.2g} in {trace.shape[1] - 1}"
        style = (COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)], label)
        steps, marker = np.arange(trace.shape[1]), markers[number % len(markers)]
        _band(left, steps, trace, *style, marker)
        # the first difference that float32 iterates can show
        gain = np.maximum(trace[:, :1] - trace[:, 1:], 1e-9)
        _band(right, steps[1:], gain, *style, marker)
    for axes in (left, right):
        _clean(axes)
        axes.set_xlabel("iteration $k$", fontsize=15)
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_ylim(bottom=0.0)
    left.set_ylabel("cost $F(x_k)$ (dimensionless)", fontsize=15)
    left.set_title("cost, linear axis", fontsize=16)
    right.set_yscale("log")
    right.set_xscale("log")
    last = max(np.shape(trace)[1] for trace in traces.values()) - 1
    ticks = [k for k in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if k <= last]
    right.set_xticks(ticks, [str(k) for k in ticks])
    right.xaxis.set_minor_formatter(NullFormatter())
    right.set_ylabel("decrease $F(x_0) - F(x_k)$ (dimensionless)", fontsize=15)
    right.set_title("gain since the start, logarithmic axes", fontsize=16)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=-(-len(labels) // 2),
        fontsize=14,
        frameon=False,
    )
    size = "–".join(str(n) for n in sorted(count))
    note = f"same objective, same start; median and interquartile range, {size} recordings"
    figure.suptitle(f"{title}\n{note}" if title else note, fontsize=15)
    _save(figure, path)


# places of the patches on the cortex and in the time courses; on neither half of the colour map
PATCH_COLOURS = ("#009E73", "#000000", "#CC79A7", "#8C510A", "#56B4E9")
_PIXELS = (720, 540)  # of one rendered view, shrunk on the page
_VIEWS = [(side, view) for side in (0, 1) for view in ("lateral", "medial")]
# eye and up of the views of the right hemisphere; the left one's are the mirror images
_EYES = {
    "lateral": ((1, 0, 0), (0, 0, 1)),
    "medial": ((-1, 0, 0), (0, 0, 1)),
    "dorsal": ((0, 0, 1), (-1, 0, 0)),
    "ventral": ((0, 0, -1), (1, 0, 0)),
    "anterior": ((0, 1, 0), (0, 0, 1)),
    "posterior": ((0, -1, 0), (0, 0, 1)),
}
_USUAL = 0.7  # the unusual views must show the truth so much better


def _eye_and_up(side, view):
    """Return unit vectors to the eye and upwards."""
    mirror = np.array([-1.0 if side == 0 else 1.0, 1.0, 1.0])
    eye, up = _EYES[view]
    return mirror * eye, mirror * up


def _describe(side, view):
    """Say what a view shows."""
    return f"{('left', 'right')[side]} {view}"


class _Cortex:
    """Both inflated hemispheres with the true patches outlined, to be painted with many maps."""

    def __init__(self, pyvista, plotter, directory, vertices, labels, seeds):
        self.plotter, self.vertices = plotter, vertices
        self.hemispheres = [
            _Hemisphere(pyvista, directory, hemi, "inflated") for hemi in ("lh", "rh")
        ]
        extent = np.max([np.ptp(h.rr, axis=0) for h in self.hemispheres], axis=0)
        self.scale = 0.51 * max(extent[2], extent[1] * _PIXELS[1] / _PIXELS[0])
        self.marks, self.lines = [[], []], []
        split = len(vertices[0])
        for side, hemisphere in enumerate(self.hemispheres):
            part = slice(0, split) if side == 0 else slice(split, None)
            normals = hemisphere.mesh.compute_normals(
                cell_normals=False, split_vertices=False, consistent_normals=False
            ).point_data["Normals"]
            points = np.asarray(hemisphere.mesh.points)
            for number, seed in enumerate(seeds):
                inside = (labels[part] == number + 1).astype(float)
                if not inside.any():
                    continue
                shell = hemisphere.mesh.copy(deep=True)
                shell.point_data["inside"] = hemisphere.carry(vertices[side], inside)
                for lift, width, colour in (
                    (0.8, 9, "white"),
                    (1.2, 5, PATCH_COLOURS[number % len(PATCH_COLOURS)]),
                ):
                    shell.points = points + lift * normals
                    line = shell.contour([0.5], scalars="inside")
                    actor = plotter.add_mesh(line, color=colour, line_width=width, lighting=False)
                    self.marks[side].append(actor)
                    self.lines.append((actor, width))
                if part.start <= seed and (part.stop is None or seed < part.stop):
                    vertex = vertices[side][seed - part.start]
                    centre = hemisphere.rr[vertex] + hemisphere.normals[vertex]
                    dot = pyvista.Sphere(radius=2.5, center=centre)
                    colour = PATCH_COLOURS[number % len(PATCH_COLOURS)]
                    self.marks[side].append(plotter.add_mesh(dot, color=colour, ambient=0.4))
            for actor in self.marks[side]:
                actor.visibility = False

    def best_view(self, weights):
        """Hemisphere and view that show most of the weights (n_sources,), foreshortened."""
        weights = np.split(weights, [len(self.vertices[0])])

        def seen(key):
            eye, _ = _eye_and_up(*key)
            facing = self.hemispheres[key[0]].normals[self.vertices[key[0]]] @ eye
            usual = 1.0 if key in _VIEWS else _USUAL
            return usual * float(weights[key[0]] @ np.maximum(facing, 0.0))

        return max(((side, view) for side in (0, 1) for view in _EYES), key=seen)

    def draw(self, values, best):
        """Render one normalised map (n_sources,): the best view and ``_VIEWS``.

        On all but the best, which will be small, patches are outlined with thicker lines.
        """
        plotter, images = self.plotter, {}
        values = np.split(values, [len(self.vertices[0])])
        for side, hemisphere in enumerate(self.hemispheres):
            actors = hemisphere.add(plotter, Painting(self.vertices, values, 1.0, [[], []]), side)
            for mark in self.marks[side]:
                mark.visibility = True
            middle = 0.5 * (hemisphere.rr.min(axis=0) + hemisphere.rr.max(axis=0))
            for view in {v for s, v in (*_VIEWS, best) if s == side}:
                eye, up = _eye_and_up(side, view)
                plotter.camera_position = [middle + 500.0 * eye, middle, up]
                plotter.camera.parallel_projection = True
                plotter.camera.parallel_scale = self.scale
                plotter.reset_camera_clipping_range()
                for line, thin in self.lines:
                    line.prop.line_width = thin if (side, view) == best else 2.2 * thin
                plotter.suppress_rendering = False
                plotter.render()
                images[side, view] = plotter.screenshot(return_img=True)
                plotter.suppress_rendering = True
            for actor in actors:
                plotter.remove_actor(actor)
            for mark in self.marks[side]:
                mark.visibility = False
        return images


def _normalise(values):
    """Divide by the largest absolute value; zeros stay zeros."""
    values = np.asarray(values, float)
    return values / (np.abs(values).max() or 1.0)


def figure_estimates(
    path,
    estimates,
    truth,
    times,
    labels,
    seeds,
    peak,
    title="",
    vertices=None,
    subjects_dir=None,
    n_columns=6,
):
    """One recording: the truth and every method's estimate, on the cortex and at the true seeds.

    The large picture is the view that shows most of the truth, the small ones are the lateral and
    medial views, so that no spurious source hides. Currents are of shape (n_sources, n_times) and
    any unit, ``times`` in ms; ``labels`` of sources are k in the k-th patch and 0 outside;
    negative ``seeds`` are no patches; maps are those of the sample ``peak``. Without ``vertices``
    of both hemispheres the grid is ico3.
    """
    truth, labels, times = np.asarray(truth), np.asarray(labels), np.asarray(times)
    seeds = [int(seed) for seed in seeds if seed >= 0]
    if vertices is None:
        # icosahedral grids are nested: the coarse one has the first vertices of the fine one
        half = len(truth) // 2
        vertices = [np.arange(half), np.arange(half)]
    directory = find_surfaces(SUBJECT, subjects_dir)
    everything = {"truth": truth, **estimates}
    with _renderer(_PIXELS) as (pyvista, plotter):
        cortex = _Cortex(pyvista, plotter, directory, vertices, labels, seeds)
        weights = np.abs(truth[:, peak])
        best = cortex.best_view(weights)
        images = {
            name: cortex.draw(_normalise(x[:, peak]), best) for name, x in everything.items()
        }
    # unusual views leave much white above and below
    drawn = np.flatnonzero((images["truth"][best] < 250).any(axis=(1, 2)))
    crop = slice(max(drawn[0] - 8, 0), drawn[-1] + 8)
    n_rows = -(-len(everything) // n_columns)
    # the legend goes where there is no picture, or below all of them
    is_full = len(everything) == n_rows * n_columns
    bottom = 1.15 if is_full else 0.1
    # inches: margins, picture, thumbnails, time courses
    width, left, gap, top = 16.0, 0.72, 0.26, 1.25
    cell = (width - left - 0.15 - gap * (n_columns - 1)) / n_columns
    others = [key for key in _VIEWS if key != best]
    across = 3 if len(others) == 3 else 2
    share, ratio = cell / across, _PIXELS[1] / _PIXELS[0]
    big, small = cell * len(range(*crop.indices(_PIXELS[1]))) / _PIXELS[0], share * ratio
    smalls = small * (len(others) // across)
    courses, head, foot = 1.25, 0.62, 0.55
    row = head + big + smalls + 0.12 + courses + foot
    height = top + n_rows * row + bottom
    figure = Figure(figsize=(width, height), dpi=100, facecolor="white")

    def place(x, y, w, h):
        """Make axes, in inches from the top left."""
        return figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))

    shown = np.concatenate([_normalise(x)[seeds].ravel() for x in everything.values()])
    low, high = min(shown.min(), -0.1), max(shown.max(), 0.1)
    # a number below the end of one panel would run into the first of the next
    ticks = MaxNLocator(4).tick_values(times[0], times[-1])
    ticks = ticks[(ticks >= times[0]) & (ticks <= times[0] + 0.9 * np.ptp(times))]
    for number, (name, x) in enumerate(everything.items()):
        line, column = divmod(number, n_columns)
        x0, y0 = left + column * (cell + gap), top + line * row
        axes = place(x0, y0 + head, cell, big)
        axes.imshow(images[name][best][crop], interpolation="antialiased", aspect="auto")
        axes.set_axis_off()
        middle = (x0 + cell / 2) / width
        figure.text(
            middle,
            1 - (y0 + 0.05) / height,
            name,
            ha="center",
            va="top",
            fontsize=16,
            weight="bold",
        )
        about = (
            f"map at {times[peak]:.0f} ms"
            if name == "truth"
            else f"space–time cosine {space_time_cosine(x, truth):.2f}"
        )
        figure.text(
            middle,
            1 - (y0 + 0.36) / height,
            about,
            ha="center",
            va="top",
            fontsize=13,
            color="0.3",
        )
        for k, key in enumerate(others):
            axes = place(
                x0 + k % across * share, y0 + head + big + k // across * small, share, small
            )
            axes.imshow(images[name][key], interpolation="antialiased", aspect="auto")
            axes.set_axis_off()
        axes = place(x0, y0 + head + big + smalls + 0.12, cell, courses)
        scaled, reference = _normalise(x), _normalise(truth)
        axes.axvline(times[peak], color="0.6", lw=1.0)
        axes.axhline(0.0, color="0.85", lw=0.8)
        for k, seed in enumerate(seeds):
            colour = PATCH_COLOURS[k % len(PATCH_COLOURS)]
            axes.plot(times, reference[seed], color=colour, lw=1.3, ls=(0, (3, 2)))
            if name != "truth":
                axes.plot(times, scaled[seed], color=colour, lw=1.8)
        _clean(axes)
        axes.set_xlim(times[0], times[-1])
        axes.set_ylim(low - 0.08, high + 0.08)
        axes.set_yticks([tick for tick in (-1, 0, 1) if low - 0.08 <= tick <= high + 0.08])
        if column:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel("current (norm.)", fontsize=13)
        axes.set_xticks(ticks)
        axes.set_xlabel("time (ms)", fontsize=13, labelpad=1)

    eye, up = _eye_and_up(*best)
    front = np.cross(up, eye)[1]  # where the page's right points to
    front = f" (front {('', 'right', 'left')[round(front)]})" if front else ""
    note = (
        f"large: {_describe(*best)}{front}; small: {', '.join(_describe(*o) for o in others)}\n"
        "maps are divided by their own largest absolute value, time courses by the largest of all "
        "sources and times"
    )
    figure.text(0.5, 1 - 0.15 / height, title, ha="center", va="top", fontsize=18)
    figure.text(0.5, 1 - 0.55 / height, note, ha="center", va="top", fontsize=13, color="0.3")

    if is_full:
        bar = place(left, height - 0.75, 3.6, 0.18)
        where = dict(loc="lower right", bbox_to_anchor=(0.995, 0.1 / height))
    else:
        x0 = left + (len(everything) % n_columns) * (cell + gap)
        y0 = top + (n_rows - 1) * row + head
        bar = place(x0 + 0.1, y0 + big + smalls + 0.3, cell - 0.2, 0.18)
        where = dict(
            loc="upper left", bbox_to_anchor=((x0 - 0.08) / width, 1 - (y0 - 0.3) / height)
        )
    rgb = blend(np.linspace(-1.0, 1.0, 511), GYRUS)
    bar.imshow(rgb[np.newaxis], aspect="auto", extent=(-1, 1, 0, 1))
    bar.set_yticks([])
    bar.tick_params(labelsize=13)
    bar.set_xlabel("current (norm.)", fontsize=13, labelpad=1)
    handles = [
        Line2D([], [], color="0.3", lw=1.3, ls=(0, (3, 2)), label="truth at the seed"),
        Line2D([], [], color="0.3", lw=1.8, label="estimate at the seed"),
        Line2D([], [], color="0.6", lw=1.0, label="time of the maps"),
    ]
    for k in range(len(seeds)):
        colour = PATCH_COLOURS[k % len(PATCH_COLOURS)]
        handles.append(
            Line2D([], [], color=colour, marker="o", ms=6, lw=2.5, label=f"true patch {k + 1}")
        )
    n_legend = -(-len(handles) // 2) if is_full else 1
    style = dict(fontsize=13, frameon=False, handlelength=1.6, borderaxespad=0.0)
    figure.legend(handles=handles, ncols=n_legend, **style, **where)
    _save(figure, path)
