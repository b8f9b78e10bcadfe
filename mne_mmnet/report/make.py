"""The report, put together."""

import mne
import numpy as np
from mne.utils import _validate_type, logger, verbose

from .._mne import ESTIMATES, electrode_positions, shorten_names
from .._version import __version__
from ..dictionary.regions import Regions
from ..inverse import SolverReport
from ..places import find_sources
from ..places.layout import lay_out
from ..places.lobes import name_lobe
from ..viz import plot_alignment, plot_objective, plot_sources
from ..viz.colours import THRESHOLD
from ..viz.projection import draw_projection
from ..viz.surfaces import find_surfaces
from ..viz.values import check_region, find_sample
from ..weights import ModelCard, read_card
from . import html
from .extent import area_of_source, find_rise, source_areas
from .figures import draw_butterfly, draw_fit, draw_sensors, draw_time_courses, draw_topomaps
from .pages import INTERPRETATION, Pages, intended_use
from .peaks import channel_types, find_times
from .places import Places
from .recording import describe_head_model, describe_recording, localised, place_as_localised
from .slices import draw_slices

_N_COURSES = 4
# of the table of sources, before the numbers
_FIRST = ("time", "side", "lobe", "region")


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
    printable=None,
    verbose=None,
):
    """Put a localisation into a report for the browser.

    First of all every reason not to trust the answer; then the recording, the head model with the
    electrodes on the scalp, the response and its maps, sources at the peaks with their regions,
    extents and times, their time courses, how well they fit, the certificate, the uncertainty, a
    form for the reader's interpretation, what it is for, and the model's card. Only channels that
    were localised are looked at.

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
    printable : path-like | None
        HTML file to write, atomically, with the same content, no scripts and pages to be printed
        (to PDF, for instance).
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
    _validate_type(stc, ESTIMATES, "stc")
    _validate_type(report, SolverReport, "report")
    _validate_type(printable, ("path-like", None), "printable")
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
    seen = localised(evoked, fwd, report)
    times = find_times(seen, window) if times is None else [float(time) for time in times]
    samples = [find_sample(stc, time) for time in times]
    times = [float(stc.times[sample]) for sample in samples]
    check_region(uncertainty, stc, level)
    subject = fwd["src"][0].get("subject_his_id") if subject is None else subject
    whose = dict(subject=subject, subjects_dir=subjects_dir)
    sources = find_sources(stc, fwd, time=times, uncertainty=uncertainty, **whose)
    places = Places(stc, fwd, **whose)
    positions = places.positions
    name = evoked.comment or "response"
    page = Pages(title or f"{name}: {card.name}")

    logger.info("Writing a report ...")
    page.say("Summary", "Reasons to doubt", html.verdict(report.concerns))
    regions = Regions(1e3 * positions)
    areas = source_areas(fwd["src"])
    layout = lay_out(stc, fwd)
    areas = None if areas is None else areas[layout.rows]
    about = dict(regions=regions, layout=layout, areas=areas, places=places)
    _add_summary(page, stc, report, card, sources, _say_region(uncertainty, level, areas))
    _add_recording(page, evoked, seen, fwd, window)
    _add_response(page, place_as_localised(seen, fwd), window, times)
    _add_sources(page, stc, sources, samples, about)
    surfaces = _Surfaces(subject, subjects_dir, stc)
    _add_maps(page, fwd, stc, surfaces, samples, (places, uncertainty, level))
    rows = regions.separate(np.sqrt(np.mean(stc.data**2, axis=1)), _N_COURSES)
    courses = [np.abs(stc.data[regions.within(k)]).sum(axis=0) for k in rows]
    labels = list(map(places.name_with_region, rows))
    figure = draw_time_courses(stc.times, courses, labels, times)
    caption = (
        f"Moments within {regions.radius:g} mm of the places where they are largest over the "
        f"window; positions in mm ({places.frame}: x to the right, y to the front, z up)."
    )
    page.show("Sources", "Time courses of the strongest sources", figure, caption)
    caption = "Share of the whitened data's power that the sources explain, sample by sample."
    page.show("Fit", "Goodness of fit", draw_fit(report, stc, times), caption)
    page.say("Fit", "Agreement with a second method", html.paragraph(_say_agreement(report)))
    page.show("Certificate", "The objective", plot_objective(report, verbose="error"))
    page.say("Certificate", "The numbers", html.lines(f"{report}\n\n{report.describe()}"))
    if uncertainty is not None:
        _add_uncertainty(page, uncertainty, places, level, areas)
    page.say("Interpretation", "To be filled in by the reader", INTERPRETATION)
    page.say("Interpretation", "Intended use", intended_use(card))
    _add_card(page, card)
    if printable is not None:
        page.print(printable)
    logger.info("[done]")
    return page.page


def _find_card(model):
    model = getattr(model, "card", model)
    return model if isinstance(model, ModelCard) else read_card(model)


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


def _add_summary(page, stc, report, card, sources, region):
    rows = {
        "window": _say_window(stc),
        "strongest source": _say_strongest(sources),
        **region,
        "second method": _say_second_method(report),
        "model": card.name,
        "explained": f"{100 * report.explained:.1f} % of the whitened data",
        "objective": f"{report.objective[0]:.2f} → {report.objective[-1]:.2f}, "
        + ("never increasing" if report.descended else "NOT MONOTONE"),
        "mne_mmnet": __version__,
    }
    page.say("Summary", "Summary", html.table(rows))


def _say_window(stc):
    first, last = 1e3 * stc.times[0], 1e3 * stc.times[-1]
    if len(stc.times) == 1:
        return f"one sample at {first:.1f} ms"
    return f"{first:.1f} to {last:.1f} ms, {len(stc.times)} samples of {1e3 * stc.tstep:.3g} ms"


def _add_recording(page, evoked, seen, fwd, window):
    rows = describe_recording(evoked, seen, fwd, window)
    page.say("Recording", "Recording", html.table(rows))
    page.say("Head model", "Head model", html.table(describe_head_model(seen, fwd)))
    if "eeg" in seen and electrode_positions(fwd["info"])[0]:
        image = plot_alignment(evoked.info, fwd=fwd, verbose="error")
        caption = (
            "Electrodes of the forward solution on the scalp of fsaverage, whatever the head: "
            "look for the wrong side, axis or unit. Bad ones are red, those behind pale."
            + _say_short(electrode_positions(fwd["info"])[0])
        )
        page.show("Head model", "Alignment", image, caption)


def _say_short(names):
    """Say what names in a picture are short for."""
    prefix = shorten_names(names)[1].strip()
    return f" All names begin with {prefix!r}, left out here." if prefix else ""


def _say_second_method(report):
    if not report.has_second_opinion:
        return "none"
    return (
        f"eLORETA has its strongest source {report.agreement.region_distance_mm:.0f} mm away, its "
        f"largest single current {report.agreement.peak_distance_mm:.0f} mm"
    )


def _say_agreement(report):
    if not report.has_second_opinion:
        return "The estimate was not compared with another method."
    return (
        "eLORETA, which needs no training, has its strongest region over the window "
        f"{report.agreement.region_distance_mm:.0f} mm from this estimate's, and its largest "
        f"single current {report.agreement.peak_distance_mm:.0f} mm from this one's. The "
        f"correlation of the two maps is {report.agreement.correlation:.2f} (eLORETA's is smooth: "
        "0.3 is usual for a focal source). Where the two are far apart, other evidence decides."
    )


def _say_strongest(sources):
    """Put the strongest source of the times shown into words."""
    if len(sources) == 0:
        return "none"
    header, *rows = sources.cells()
    moments = [row.moment_nam for row in sources]
    cells = dict(zip(header, rows[moments.index(max(moments))], strict=True))
    time, side, region = cells.pop("time"), cells.pop("side"), cells.pop("region", "")
    others = [f"{name} {value}" for name, value in cells.items() if value]
    return f"{side}{f' {region}' if region else ''} at {time}: {', '.join(others)}"


def _add_sources(page, stc, sources, samples, about):
    if len(sources) == 0:
        page.say("Sources", "Table of sources", html.paragraph(str(sources)))
        return
    radius = sources.radius
    text = (
        f"The strongest at each time first. A source is where the sizes of all currents within "
        f"{radius:g} mm add up to most; others are more than {2 * radius:g} mm away from it. "
        f"Extent: radius that holds half of what lies within {2 * radius:g} mm, of the estimate "
        "rather than of the cortex behind it. Share: of the whole estimate at that time."
    )
    header, *rows = sources.cells()
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    if any(row.region for row in sources):
        columns["lobe"] = [name_lobe(row.region) for row in sources]
    if about["areas"] is not None:
        columns["area"] = [f"{_area(stc, row, radius, about):.1f} cm²" for row in sources]
        text += (
            f" Area: of the cortex within {2 * radius:g} mm whose current is at least half of the "
            "largest there."
        )
    if any(row.region for row in sources):
        text += " Region: of the AAL atlas, the nearest one."
    if any(row.probability is not None for row in sources):
        text += (
            f" Probability: that the strongest source over the window lies within {radius:g} mm."
        )
    order = [*_FIRST, *(name for name in columns if name not in _FIRST)]
    columns = {name: columns[name] for name in order if name in columns}
    rows = [list(columns), *map(list, zip(*columns.values(), strict=True))]
    page.say("Sources", "Table of sources", html.grid(rows) + html.paragraph(text))
    page.say("Sources", "Rise and peak", _tell_rises(stc, samples, about))


def _area(stc, row, radius, about):
    layout = about["layout"]
    here = (layout.vertices == row.vertex) & (layout.spaces == row.source_space)
    place = int(np.flatnonzero(here)[0])
    values = stc.data[:, find_sample(stc, row.time)]
    positions = about["regions"].positions
    return area_of_source(values, positions, place, 2 * radius, about["areas"])


def _tell_rises(stc, samples, about):
    """Make a table of when the strongest source of each time rises."""
    frame, regions = about["places"].frame, about["regions"]
    rows = [["peak", "half rise", f"place then ({frame}, mm)", "place at the peak", "way between"]]
    for sample in samples:
        rise = find_rise(stc.data, stc.times, regions, regions.positions, sample)
        places = [about["places"].name(k) for k in (rise.half_place, rise.peak_place)]
        if np.isfinite(rise.half_time):
            cells = [f"{1e3 * rise.half_time:.1f} ms", places[0], places[1]]
            rows.append([f"{1e3 * rise.peak_time:.1f} ms", *cells, f"{rise.distance_mm:.0f} mm"])
        else:
            peak = f"{1e3 * rise.peak_time:.1f} ms"
            rows.append([peak, "before the window", "", places[1], ""])
    text = (
        "Half rise: when the moment around the strongest source of the peak last passed half of "
        "its value. What lies where at the half rise is nearer to where activity begins than what "
        "lies where at the peak, if the two differ. Places on two sides of the head, or more than "
        f"{2 * about['regions'].radius:g} mm apart, are two sources rather than one on its way."
    )
    return html.grid(rows) + html.paragraph(text)


def _add_response(page, evoked, window, times):
    kinds = channel_types(evoked)
    placed = {kind: _with_positions(evoked, kind) for kind in kinds}
    for kind in kinds:
        if placed[kind] is not None:
            caption = _say_short(placed[kind].ch_names).strip() or None
            page.show("Sensors", f"Sensors, {kind}", draw_sensors(placed[kind], kind), caption)
        else:
            text = f"The {kind} channels have no positions: they cannot be drawn on a head."
            page.say("Sensors", f"Sensors, {kind}", html.paragraph(text))
    if len(evoked.times) > 1:
        figure = draw_butterfly(evoked, kinds, window, times)
        caption = (
            "All channels that were localised; the localised window is shaded, dotted lines are "
            "the peaks shown."
        )
        page.show("Response", "Butterfly", figure, caption)
    else:
        text = "The response has one sample: there is no curve to draw."
        page.say("Response", "Butterfly", html.paragraph(text))
    for kind in kinds:
        if placed[kind] is not None:
            caption = (
                "The response over the head, seen from above, nose up, left at the left; at one "
                "scale. "
            )
            caption += "Against the average reference." if kind == "eeg" else ""
            figure = draw_topomaps(placed[kind], kind, times)
            page.show("Response", f"Maps, {kind}", figure, caption.strip())


def _with_positions(evoked, kind):
    """Pick the channels of a type that have a place on the head."""
    data = evoked.copy().pick(kind)
    places = np.array([channel["loc"][:3] for channel in data.info["chs"]])
    known = np.isfinite(places).all(axis=1) & places.any(axis=1)
    names = [name for name, keep in zip(data.ch_names, known, strict=True) if keep]
    return data.pick(names) if len(names) > 2 else None


def _add_maps(page, fwd, stc, surfaces, samples, sources):
    places, uncertainty, level = sources
    positions = places.positions
    inside, label = check_region(uncertainty, stc, level)
    if surfaces.missing is not None:
        page.say("Sources", "No cortex", html.paragraph(surfaces.missing))
    sensors = np.array([ch["loc"][:3] for ch in fwd["info"]["chs"]])
    same_frame = fwd["coord_frame"] == mne.io.constants.FIFF.FIFFV_COORD_HEAD
    for sample in samples:
        stamp = f"{1e3 * stc.times[sample]:.1f} ms"
        strongest = int(np.argmax(np.abs(stc.data[:, sample])))
        caption = (
            f"Largest single current: {places.name(strongest)} mm, {places.frame}, "
            f"{1e9 * stc.data[strongest, sample]:.3g} nA·m; the table of sources sums them up. "
            "Currents below "
            f"{100 * THRESHOLD:.0f} % of the largest at that time are not coloured."
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
        axes = "" if surfaces.missing is None else " Axes: coordinates of the forward solution."
        page.show("Sources", f"Sources at {stamp}", image, caption + axes)
        if any(space["type"] != "surf" for space in fwd["src"]) and len(positions) > 30:
            image = draw_slices(places.mm, stc.data[:, sample], stamp=stamp)
            page.show("Sources", f"Slices at {stamp}", image, f"{caption} Axes: {places.frame}.")


def _say_region(uncertainty, level, areas):
    """How large the confidence region is, as a row of a table."""
    if uncertainty is None:
        return {}
    inside = uncertainty.region(level)
    share = f"{100 * inside.mean():.0f} % of all locations"
    size = share if areas is None else f"{areas[inside].sum():.0f} cm² of cortex, {share}"
    return {f"{100 * level:g} % region": f"{size}: where the strongest source may be"}


def _add_uncertainty(page, uncertainty, places, level, areas):
    probability = uncertainty.peak_probability.data[:, 0]
    likely = int(np.argmax(probability))
    rows = {
        "most probable location": f"{places.name(likely)} mm, {places.frame}, "
        f"probability {100 * probability[likely]:.1f} %",
        "standard deviation of the current there": f"{1e9 * uncertainty.std.data[likely, 0]:.3g} "
        "nA·m",
    }
    for one in sorted({0.5, level}):
        inside = uncertainty.region(one)
        rows[f"{100 * one:g} % confidence region"] = (
            f"{inside.sum()} locations"
            + ("" if areas is None else f" ({areas[inside].sum():.0f} cm² of cortex)")
            + f", farthest from the most probable one {places.distance(inside, likely):.0f} mm"
        )
    text = (
        "Where the strongest source over the window lies. The probabilities are right on average "
        "over recordings like the simulations that the model was trained on."
    )
    page.say("Uncertainty", "Uncertainty", html.paragraph(text) + html.table(rows))


def _add_card(page, card):
    rows = {"name": card.name, "kind": card.kind, "sha256": card.sha256 or "(not saved)"}
    page.say("Model", "Model card", html.table(rows))
    page.say("Model", "Training domain", html.small(html.table(card.domain)))
    page.say("Model", "Provenance", html.small(html.table(card.provenance)))
