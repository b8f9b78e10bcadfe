"""Figures of ``benchmarks/paper.py``: estimates on the cortex, descent, and what majorants buy."""

import numpy as np
import torch
from common import timed
from drawing import COLOURS, DASHES, MARKERS, save, strip
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
from mne_mmnet.viz.surfaces import Painting, _Hemisphere, _renderer, _shoot, find_surfaces

SUBJECT = "fsaverage5"
_SMALL = 13  # size of numbers
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
        (_, certificates[name]), seconds[name] = timed(certify, iterates)
    traces = {name: found.objective.cpu().numpy() for name, found in certificates.items()}
    return traces, certificates, seconds


def curve_style(number):
    """Colour and dashes of one of many curves."""
    return dict(color=COLOURS[number % len(COLOURS)], ls=DASHES[number % len(DASHES)])


def _band(axes, x, trace, number, label, marker="o"):
    """Draw median and interquartile range of traces (n_samples, n)."""
    low, middle, high = np.percentile(trace, (25, 50, 75), axis=0)
    style = curve_style(number)
    axes.fill_between(x, low, high, color=style["color"], alpha=0.15, lw=0)
    marks = dict(marker=marker, ms=6, markevery=-(-len(x) // 16))
    axes.plot(x, middle, lw=2.2, label=label, **style, **marks)


def _finish(figure, axes, n_columns, title, note, path):
    """Put the curves' names below, title and note above; write the figure."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=n_columns,
        fontsize=14,
        frameon=False,
    )
    figure.suptitle(f"{title}\n{note}" if title else note, fontsize=15)
    save(figure, path)


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
            _band(axes, np.arange(trace.shape[1]), trace, number, name)
        strip(axes, _SMALL)
        axes.set_ylim(bottom=0.0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("iteration", fontsize=15)
        axes.set_ylabel("cost (dimensionless)", fontsize=15)
        axes.set_title(head, fontsize=16)
    size = "–".join(str(count) for count in sorted(counts))
    own = "; each method with its own Φ" if len(traces) > 1 else ""
    note = f"median and interquartile range, {size} recordings{own}; mind the panels' axes"
    _finish(figure, panels[0], min(len(traces), 6), title, note, path)


def figure_majorants(path, traces, title=""):
    """Descent of one objective from one start, by majorant: traces of :func:`majorant_traces`."""
    figure = Figure(figsize=(16, 6.4), dpi=100, facecolor="white", layout="constrained")
    left, right = figure.subplots(1, 2)
    count = {len(trace) for trace in traces.values()}
    for number, (name, trace) in enumerate(traces.items()):
        trace = np.asarray(trace)
        final = np.median(trace[:, 0] - trace[:, -1])
        label = f"{name}: −{final:.2g} in {trace.shape[1] - 1}"
        steps, style = np.arange(trace.shape[1]), (number, label, MARKERS[number % len(MARKERS)])
        _band(left, steps, trace, *style)
        # the first difference that float32 iterates can show
        gain = np.maximum(trace[:, :1] - trace[:, 1:], 1e-9)
        _band(right, steps[1:], gain, *style)
    for axes in (left, right):
        strip(axes, _SMALL)
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
    size = "–".join(str(n) for n in sorted(count))
    note = f"same objective, same start; median and interquartile range, {size} recordings"
    _finish(figure, left, -(-len(traces) // 2), title, note, path)


# places of the patches on the cortex and in the time courses; on neither half of the colour map
PATCH_COLOURS = ("#009E73", "#000000", "#CC79A7", "#8C510A", "#56B4E9")
_PIXELS = (720, 540)  # of one rendered view, shrunk on the page
# hemisphere and view: whether it is seen from the right (1) or from the left
_VIEWS = {(0, "lateral"): -1, (0, "medial"): 1, (1, "lateral"): 1, (1, "medial"): -1}
_N_COLUMNS = 6


def _describe(side, view):
    """Say what a view shows."""
    return f"{('left', 'right')[side]} {view}"


class _Cortex:
    """Both inflated hemispheres with the true patches outlined, to be painted with many maps."""

    def __init__(self, pyvista, plotter, vertices, labels, seeds):
        self.plotter, self.vertices = plotter, vertices
        directory = find_surfaces(SUBJECT, None)
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
                colour = PATCH_COLOURS[number % len(PATCH_COLOURS)]
                shell = hemisphere.mesh.copy(deep=True)
                shell.point_data["inside"] = hemisphere.carry(vertices[side], inside)
                for lift, width, ink in ((0.8, 9, "white"), (1.2, 5, colour)):
                    shell.points = points + lift * normals
                    line = shell.contour([0.5], scalars="inside")
                    actor = plotter.add_mesh(line, color=ink, line_width=width, lighting=False)
                    self.marks[side].append(actor)
                    self.lines.append((actor, width))
                if part.start <= seed and (part.stop is None or seed < part.stop):
                    vertex = vertices[side][seed - part.start]
                    centre = hemisphere.rr[vertex] + hemisphere.normals[vertex]
                    dot = pyvista.Sphere(radius=2.5, center=centre)
                    self.marks[side].append(plotter.add_mesh(dot, color=colour, ambient=0.4))
            for actor in self.marks[side]:
                actor.visibility = False

    def best_view(self, weights):
        """Hemisphere and view that show most of the weights (n_sources,), foreshortened."""
        weights = np.split(weights, [len(self.vertices[0])])

        def seen(key):
            side = key[0]
            facing = _VIEWS[key] * self.hemispheres[side].normals[self.vertices[side], 0]
            return float(weights[side] @ np.maximum(facing, 0.0))

        return max(_VIEWS, key=seen)

    def draw(self, values, best):
        """Render one normalised map (n_sources,) in all views.

        On all but the best, which will be small, patches are outlined with thicker lines.
        """
        plotter, images = self.plotter, {}
        values = np.split(values, [len(self.vertices[0])])
        for side, hemisphere in enumerate(self.hemispheres):
            actors = hemisphere.add(plotter, Painting(self.vertices, values, 1.0, [[], []]), side)
            for mark in self.marks[side]:
                mark.visibility = True
            middle = 0.5 * (hemisphere.rr.min(axis=0) + hemisphere.rr.max(axis=0))
            for key in [key for key in _VIEWS if key[0] == side]:
                for line, thin in self.lines:
                    line.prop.line_width = thin if key == best else 2.2 * thin
                eye = middle + np.array([500.0 * _VIEWS[key], 0.0, 0.0])
                images[key] = _shoot(plotter, eye, middle, self.scale)
            for actor in actors:
                plotter.remove_actor(actor)
            for mark in self.marks[side]:
                mark.visibility = False
        return images


def _normalise(values):
    """Divide by the largest absolute value; zeros stay zeros."""
    values = np.asarray(values, float)
    return values / (np.abs(values).max() or 1.0)


def figure_estimates(path, estimates, truth, times, labels, seeds, peak, title=""):
    """One recording: the truth and every method's estimate, on the cortex and at the true seeds.

    The large picture is the view that shows most of the truth, the small ones are the others, so
    that no spurious source hides. Currents are of shape (n_sources, n_times), on ico3, and any
    unit, ``times`` in ms; ``labels`` of sources are k in the k-th patch and 0 outside; negative
    ``seeds`` are no patches; maps are those of the sample ``peak``.
    """
    seeds = [int(seed) for seed in seeds if seed >= 0]
    everything = {"truth": np.asarray(truth), **estimates}
    # icosahedral grids are nested: the coarse one has the first vertices of the fine one
    half = np.arange(len(truth) // 2)
    with _renderer(_PIXELS) as (pyvista, plotter):
        cortex = _Cortex(pyvista, plotter, [half, half], np.asarray(labels), seeds)
        best = cortex.best_view(np.abs(everything["truth"][:, peak]))
        images = {
            name: cortex.draw(_normalise(x[:, peak]), best) for name, x in everything.items()
        }
    others = [key for key in _VIEWS if key != best]
    # the legend goes where there is no picture
    n_rows = 1 + len(everything) // _N_COLUMNS
    # inches: margins, picture, thumbnails, time courses
    width, left, gap, top = 16.0, 0.72, 0.26, 1.25
    cell = (width - left - 0.15 - gap * (_N_COLUMNS - 1)) / _N_COLUMNS
    ratio = _PIXELS[1] / _PIXELS[0]
    big, share = cell * ratio, cell / len(others)
    small, courses, head, foot = share * ratio, 1.25, 0.62, 0.55
    row = head + big + small + 0.12 + courses + foot
    height = top + n_rows * row + 0.1
    figure = Figure(figsize=(width, height), dpi=100, facecolor="white")

    def place(number, y, h, x=0.0, w=cell):
        """Make axes in a cell, in inches from its top left."""
        line, column = divmod(number, _N_COLUMNS)
        x, y = x + left + column * (cell + gap), y + top + line * row
        return figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))

    def show(axes, image):
        axes.imshow(image, interpolation="antialiased", aspect="auto")
        axes.set_axis_off()

    shown = np.concatenate([_normalise(x)[seeds].ravel() for x in everything.values()])
    low, high = min(shown.min(), -0.1) - 0.08, max(shown.max(), 0.1) + 0.08
    # a number below the end of one panel would run into the first of the next
    ticks = MaxNLocator(4).tick_values(times[0], times[-1])
    ticks = ticks[(ticks >= times[0]) & (ticks <= times[0] + 0.9 * np.ptp(times))]
    reference = _normalise(truth)
    for number, (name, x) in enumerate(everything.items()):
        is_truth = name == "truth"
        axes = place(number, head, big)
        show(axes, images[name][best])
        about = f"space–time cosine {space_time_cosine(x, truth):.2f}"
        about = f"map at {times[peak]:.0f} ms" if is_truth else about
        middle = dict(ha="center", va="top", transform=axes.transAxes)
        axes.text(0.5, 1.0 + 0.57 / big, name, fontsize=16, weight="bold", **middle)
        axes.text(0.5, 1.0 + 0.26 / big, about, fontsize=13, color="0.3", **middle)
        for k, key in enumerate(others):
            show(place(number, head + big, small, k * share, share), images[name][key])
        axes = place(number, head + big + small + 0.12, courses)
        axes.axvline(times[peak], color="0.6", lw=1.0)
        axes.axhline(0.0, color="0.85", lw=0.8)
        scaled = _normalise(x)
        for k, seed in enumerate(seeds):
            colour = PATCH_COLOURS[k % len(PATCH_COLOURS)]
            axes.plot(times, reference[seed], color=colour, lw=1.3, ls=(0, (3, 2)))
            if not is_truth:
                axes.plot(times, scaled[seed], color=colour, lw=1.8)
        strip(axes, _SMALL)
        axes.set(xlim=(times[0], times[-1]), ylim=(low, high), xticks=ticks)
        axes.set_yticks([tick for tick in (-1, 0, 1) if low <= tick <= high])
        axes.set_xlabel("time (ms)", fontsize=13, labelpad=1)
        if number % _N_COLUMNS:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel("current (norm.)", fontsize=13)

    note = (
        f"large: {_describe(*best)} (front {'right' if _VIEWS[best] > 0 else 'left'}); "
        f"small: {', '.join(_describe(*other) for other in others)}\n"
        "maps are divided by their own largest absolute value, time courses by the largest of all "
        "sources and times"
    )
    figure.text(0.5, 1 - 0.15 / height, title, ha="center", va="top", fontsize=18)
    figure.text(0.5, 1 - 0.55 / height, note, ha="center", va="top", fontsize=13, color="0.3")

    axes = place(len(everything), head, big)
    axes.set_axis_off()
    handles = [
        Line2D([], [], color="0.3", lw=1.3, ls=(0, (3, 2)), label="truth at the seed"),
        Line2D([], [], color="0.3", lw=1.8, label="estimate at the seed"),
        Line2D([], [], color="0.6", lw=1.0, label="time of the maps"),
    ]
    for k in range(len(seeds)):
        style = dict(color=PATCH_COLOURS[k % len(PATCH_COLOURS)], marker="o", ms=6, lw=2.5)
        handles.append(Line2D([], [], label=f"true patch {k + 1}", **style))
    axes.legend(handles=handles, loc="upper left", fontsize=13, frameon=False, handlelength=1.6)
    bar = place(len(everything), head + big + small + 0.3, 0.18, 0.1, cell - 0.2)
    rgb = blend(np.linspace(-1.0, 1.0, 511), GYRUS)
    bar.imshow(rgb[np.newaxis], aspect="auto", extent=(-1, 1, 0, 1))
    bar.set_yticks([])
    bar.tick_params(labelsize=13)
    bar.set_xlabel("current (norm.)", fontsize=13, labelpad=1)
    save(figure, path)
