"""The report, put together."""

import mne
import numpy as np
from mne.utils import _validate_type, logger, verbose

from .._version import __version__
from ..inverse import SolverReport
from ..places import find_sources
from ..places.layout import lay_out
from ..regions import Regions
from ..viz import plot_objective, plot_sources
from ..viz.projection import draw_projection
from ..viz.surfaces import find_surfaces
from ..viz.values import check_region, find_sample
from ..weights import ModelCard, read_card
from . import words
from .figures import draw_butterfly, draw_fit, draw_sensors, draw_time_courses, draw_topomaps
from .peaks import channel_types, find_times

_N_COURSES = 4
_ESTIMATES = (
    mne.SourceEstimate,
    mne.VectorSourceEstimate,
    mne.VolSourceEstimate,
    mne.VolVectorSourceEstimate,
    mne.MixedSourceEstimate,
    mne.MixedVectorSourceEstimate,
)


@verbose
def make_report(
    evoked,
    fwd,
    stc,
    report,
    *,
    uncertainty=None,
    level=0.9,
    model="mmnet-base",
    times=None,
    subject=None,
    subjects_dir=None,
    title=None,
    verbose=None,
):
    """Put a localisation into a report for the browser.

    It shows sensors, the response and its maps, sources at the peaks, their time courses, how
    well they fit, the certificate, the uncertainty, the model's card, and, first of all, every
    reason not to trust the answer.

    Parameters
    ----------
    evoked : mne.Evoked
        The response, as given to :func:`apply_mmnet_inverse` or longer.
    fwd : mne.Forward
        The forward solution given there.
    stc : mne.SourceEstimate | mne.VolSourceEstimate | mne.MixedSourceEstimate
        The estimate, or one with vectors, of which the length is shown.
    report : SolverReport
        The solver's report (``return_report=True``).
    uncertainty : Uncertainty | None
        How sure the estimate is (``return_uncertainty=True``).
    level : float
        Level of the confidence region, between 0 and 1.
    model : str | path-like | Model | ModelCard
        The model that was used.
    times : list of float | None
        Times (s) of maps. None takes those of the highest peaks of the global field power, three
        at most.
    subject : str | None
        The subject. None is the forward solution's own.
    subjects_dir : path-like | None
        Directory with the subject's surfaces, see :func:`plot_sources`. Where there are none,
        sources are drawn as points.
    title : str | None
        Title of the report.
    %(verbose)s

    Returns
    -------
    page : mne.Report
        The report; ``page.save("report.html")`` writes it.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If the estimate belongs to another forward solution, window or report, or times lie
        outside of it.
    """
    _validate_type(evoked, mne.Evoked, "evoked")
    _validate_type(fwd, mne.Forward, "fwd")
    _validate_type(stc, _ESTIMATES, "stc")
    _validate_type(report, SolverReport, "report")
    card = _find_card(model)
    stc = stc.magnitude() if hasattr(stc, "magnitude") else stc
    if len(report.explained_times) != len(stc.times):
        raise ValueError(
            f"report is of {len(report.explained_times)} samples, stc has {len(stc.times)}. Give "
            "both from one call of apply_mmnet_inverse."
        )
    window = float(stc.times[0]), float(stc.times[-1])
    half = 0.51 * stc.tstep
    if evoked.times[0] - half > window[0] or evoked.times[-1] + half < window[1]:
        raise ValueError("evoked does not cover the window of stc. Give the response localised.")
    times = find_times(evoked, window) if times is None else [float(time) for time in times]
    samples = [find_sample(stc, time) for time in times]
    times = [float(stc.times[sample]) for sample in samples]
    positions = lay_out(stc, fwd).positions
    check_region(uncertainty, stc, level)
    subject = fwd["src"][0].get("subject_his_id") if subject is None else subject
    place = dict(subject=subject, subjects_dir=subjects_dir)
    sources = find_sources(stc, fwd, time=times, uncertainty=uncertainty, **place)
    name = evoked.comment or "response"
    page = mne.Report(title=title or f"{name}: {card.name}", verbose="error")

    logger.info("Writing a report ...")
    _add_summary(page, evoked, fwd, stc, report, card, sources)
    _add_response(page, evoked, window, times)
    _add_sources(page, sources)
    surfaces = _Surfaces(subject, subjects_dir, stc)
    _add_maps(page, fwd, stc, surfaces, samples, (positions, uncertainty, level))
    regions = Regions(1e3 * positions)
    rows = regions.separate(np.sqrt(np.mean(stc.data**2, axis=1)), _N_COURSES)
    courses = [np.abs(stc.data[regions.within(k)]).sum(axis=0) for k in rows]
    figure = draw_time_courses(stc.times, courses, [_place(positions[k]) for k in rows], times)
    caption = (
        f"Moments within {regions.radius:g} mm of the places where they are largest over the "
        f"window; positions in mm ({_frame(fwd)}: x to the right, y to the front, z up)."
    )
    _show(page, "Sources", "Time courses of the strongest sources", figure, caption)
    caption = "Share of the whitened data's power that the sources explain, sample by sample."
    _show(page, "Fit", "Goodness of fit", draw_fit(report, stc, times), caption)
    _show(page, "Certificate", "The objective", plot_objective(report, verbose="error"))
    _say(page, "Certificate", "The numbers", words.lines(f"{report}\n\n{report.describe()}"))
    if uncertainty is not None:
        _add_uncertainty(page, uncertainty, positions, level)
    _add_card(page, card)
    logger.info("[done]")
    return page


def _show(page, section, title, figure, caption=None):
    tag = (section.lower(),)
    page.add_figure(figure, title, caption=caption, section=section, tags=tag)


def _say(page, section, title, html):
    page.add_html(html, title, section=section, tags=(section.lower(),))


def _find_card(model):
    model = getattr(model, "card", model)
    return model if isinstance(model, ModelCard) else read_card(model)


def _place(position):
    """Words for a position (m)."""
    x, y, z = (round(1e3 * value) for value in position)
    return f"{'left' if x < 0 else 'right'} ({x}, {y}, {z})"


def _frame(fwd):
    head = fwd["coord_frame"] == mne.io.constants.FIFF.FIFFV_COORD_HEAD
    return "head coordinates" if head else "MRI coordinates"


class _Surfaces:
    """The subject's surfaces, or the reason why there is no picture of the cortex."""

    def __init__(self, subject, subjects_dir, stc):
        self.subject, self.subjects_dir, self.missing = subject, subjects_dir, None
        if not isinstance(stc, mne.SourceEstimate):
            self.missing = (
                "These sources do not all lie on the cortex, so there is no picture of it: they "
                "are drawn as points."
            )
        elif subject is None:
            self.missing = "The forward solution does not say whose it is: no picture of a cortex."
        else:
            try:
                find_surfaces(subject, subjects_dir)
            except FileNotFoundError as error:
                self.missing = f"No picture of the cortex: {error}"


def _add_summary(page, evoked, fwd, stc, report, card, sources):
    kinds = ", ".join(f"{len(evoked.copy().pick(k).ch_names)} {k}" for k in channel_types(evoked))
    spaces = {"surf": "surface", "vol": "volume", "discrete": "discrete"}
    rows = {
        "response": f"{evoked.comment or '(no comment)'}, {evoked.nave} averages",
        "channels": f"{kinds}; bad: {', '.join(evoked.info['bads']) or 'none'}",
        "window": f"{1e3 * stc.times[0]:.1f} to {1e3 * stc.times[-1]:.1f} ms, "
        f"{len(stc.times)} samples of {1e3 * stc.tstep:.3g} ms",
        "sources": f"{len(stc.data)} of {fwd['nsource']}, "
        + " and ".join(dict.fromkeys(spaces.get(s["type"], s["type"]) for s in fwd["src"])),
        "strongest source": _say_strongest(sources),
        "model": card.name,
        "explained": f"{100 * report.explained:.1f} % of the whitened data",
        "objective": f"{report.objective[0]:.2f} → {report.objective[-1]:.2f}, "
        + ("never increasing" if report.descended else "NOT MONOTONE"),
        "mne_mmnet": __version__,
    }
    _say(page, "Summary", "Summary", words.verdict(report.concerns) + words.table(rows))


def _say_strongest(sources):
    """Put the strongest source of the times shown into words."""
    if len(sources) == 0:
        return "none"
    header, *rows = sources.cells()
    moments = [row.moment_nam for row in sources]
    cells = dict(zip(header, rows[moments.index(max(moments))], strict=True))
    return ", ".join(f"{name} {value}" for name, value in cells.items() if value)


def _add_sources(page, sources):
    if len(sources) == 0:
        _say(page, "Sources", "Table of sources", words.paragraph(str(sources)))
        return
    radius = sources.radius
    text = (
        f"The strongest at each time first. A source is where the sizes of all currents within "
        f"{radius:g} mm add up to most; others are more than {2 * radius:g} mm away from it. "
        f"Extent: radius that holds half of what lies within {2 * radius:g} mm, of the estimate "
        "rather than of the cortex behind it. Share: of the whole estimate at that time."
    )
    if any(row.probability is not None for row in sources):
        text += (
            f" Probability: that the strongest source over the window lies within {radius:g} mm."
        )
    _say(page, "Sources", "Table of sources", words.grid(sources.cells()) + words.paragraph(text))


def _add_response(page, evoked, window, times):
    kinds = channel_types(evoked)
    placed = [kind for kind in kinds if _has_positions(evoked, kind)]
    for kind in kinds:
        if kind in placed:
            _show(page, "Sensors", f"Sensors, {kind}", draw_sensors(evoked, kind))
        else:
            text = f"The {kind} channels have no positions: they cannot be drawn on a head."
            _say(page, "Sensors", f"Sensors, {kind}", words.paragraph(text))
    if len(evoked.times) > 1:
        figure = draw_butterfly(evoked, kinds, window, times)
        caption = "All channels; the localised window is shaded, dotted lines are the peaks shown."
        _show(page, "Response", "Butterfly", figure, caption)
    else:
        text = "The response has one sample: there is no curve to draw."
        _say(page, "Response", "Butterfly", words.paragraph(text))
    for kind in placed:
        _show(page, "Response", f"Maps, {kind}", draw_topomaps(evoked, kind, times))


def _has_positions(evoked, kind):
    data = evoked.copy().pick(kind, exclude=())
    places = np.array([channel["loc"][:3] for channel in data.info["chs"]])
    return bool(np.isfinite(places).all() and places.any(axis=1).all())


def _add_maps(page, fwd, stc, surfaces, samples, sources):
    positions, uncertainty, level = sources
    inside, label = check_region(uncertainty, stc, level)
    if surfaces.missing is not None:
        _say(page, "Sources", "No cortex", words.paragraph(surfaces.missing))
    sensors = np.array([ch["loc"][:3] for ch in fwd["info"]["chs"]])
    same_frame = fwd["coord_frame"] == mne.io.constants.FIFF.FIFFV_COORD_HEAD
    for sample in samples:
        stamp = f"{1e3 * stc.times[sample]:.1f} ms"
        strongest = int(np.argmax(np.abs(stc.data[:, sample])))
        caption = (
            f"Largest single current: {_place(positions[strongest])} mm, {_frame(fwd)}, "
            f"{1e9 * stc.data[strongest, sample]:.3g} nA·m; the table of sources sums them up."
        )
        if surfaces.missing is None:
            image = plot_sources(
                stc,
                subject=surfaces.subject,
                subjects_dir=surfaces.subjects_dir,
                time=stc.times[sample],
                region=uncertainty,
                level=level,
                verbose="error",
            )
        else:
            image = draw_projection(
                positions,
                stc.data[:, sample],
                sensors=sensors if same_frame and np.isfinite(sensors).all() else None,
                inside=inside,
                label=label,
                stamp=stamp,
            )
        _show(page, "Sources", f"Sources at {stamp}", image, caption)


def _add_uncertainty(page, uncertainty, positions, level):
    probability = uncertainty.peak_probability.data[:, 0]
    likely = int(np.argmax(probability))
    rows = {
        "most probable location": f"{_place(positions[likely])} mm, "
        f"probability {probability[likely]:.3f}",
        "standard deviation of the current there": f"{1e9 * uncertainty.std.data[likely, 0]:.3g} "
        "nA·m",
    }
    for one in sorted({0.5, level}):
        inside = uncertainty.region(one)
        rows[f"{100 * one:g} % confidence region"] = (
            f"{inside.sum()} locations, farthest from the most probable one "
            f"{_reach(positions, inside, likely):.0f} mm"
        )
    text = (
        "Where the strongest source over the window lies. The probabilities are right on average "
        "over recordings like the simulations that the model was trained on."
    )
    _say(page, "Uncertainty", "Uncertainty", words.paragraph(text) + words.table(rows))


def _reach(positions, inside, centre):
    """Distance (mm) of the farthest location inside."""
    return 1e3 * np.linalg.norm(positions[inside] - positions[centre], axis=1).max(initial=0.0)


def _add_card(page, card):
    rows = {"name": card.name, "kind": card.kind, "sha256": card.sha256 or "(not saved)"}
    _say(page, "Model", "Model card", words.table(rows))
    _say(page, "Model", "Training domain", words.table(card.domain))
    _say(page, "Model", "Provenance", words.table(card.provenance))
