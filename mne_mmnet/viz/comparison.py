"""Several methods side by side."""

import numpy as np
from mne.utils import _check_option, _validate_type, logger, verbose

from .colours import choose_unit, colour_scale
from .page import (
    add_bar,
    add_legend,
    check_path,
    finish,
    lay_out,
    make_figure,
    panel_places,
)
from .surfaces import SURFACES, Painting, draw_panels, find_surfaces
from .values import check_estimate, check_subject, find_sample, split


@verbose
def plot_comparison(
    stcs,
    *,
    time=None,
    subject=None,
    subjects_dir=None,
    truth=None,
    surface="inflated",
    path=None,
    title=None,
    width=600,
    verbose=None,
):
    """Draw several estimates of one response side by side, without a display.

    Each is scaled to its own largest value at that time, because methods differ in units and in
    amplitude; the picture says so and names that value. Compare places and extents, not colours.

    Parameters
    ----------
    stcs : dict of mne.SourceEstimate | mne.VectorSourceEstimate
        The estimates by the names of their methods; drawn from left to right. They may have
        sources and samples of their own, but must be of one subject.
    time : float | None
        Time (s), of which the nearest sample of each is drawn. None is the time of the first
        estimate's largest value.
    subject : str | None
        The subject. None is the first estimate's own.
    subjects_dir : path-like | None
        Directory that holds the subject's ``surf/{lh,rh}.{inflated,curv}`` (and ``pial``). None
        is MNE's configured ``SUBJECTS_DIR``, or the template's for subject ``fsaverage5``.
    truth : list of array of int, length 2 | None
        Vertices of left and right hemisphere to be marked as true sources.
    surface : str
        ``"inflated"`` or ``"pial"``.
    path : path-like | None
        PNG file to write, atomically.
    title : str | None
        Title of the picture.
    width : int
        Width of one method's column in pixels.
    %(verbose)s

    Returns
    -------
    image : array of shape (height, width, 3), uint8
        The picture.

    Raises
    ------
    TypeError
        If an estimate is not one on surfaces.
    ValueError
        If there is no estimate, they are of different subjects, the time lies outside one, values
        are not finite or ``path`` is no PNG.
    FileNotFoundError
        If the subject's surfaces are not found.
    RuntimeError
        If this machine has nothing to draw with: neither a display nor a library in its place.
    """
    _validate_type(stcs, dict, "stcs")
    _check_option("surface", surface, SURFACES)
    check_path(path)
    if not stcs:
        raise ValueError("stcs holds no estimate.")
    estimates = {name: check_estimate(stc, f"stcs[{name!r}]") for name, stc in stcs.items()}
    first = next(iter(estimates.values()))
    subject = check_subject(first, subject)
    others = {stc.subject for stc in estimates.values()} - {None, subject}
    if others:
        raise ValueError(
            f"The estimates are of different subjects, {subject!r} and {sorted(others)}. Morph "
            "them to one (mne.compute_source_morph)."
        )
    directory = find_surfaces(subject, subjects_dir, surface)
    time = float(first.times[find_sample(first, time)])
    truth = [np.asarray(v, int) for v in (([], []) if truth is None else truth)]
    paintings, captions = [], []
    for name, stc in estimates.items():
        values = stc.data[:, find_sample(stc, time)]
        limit = float(np.abs(values).max())
        unit_name, unit = choose_unit(limit)
        captions.append(f"{name}\nlargest {limit / unit:.3g} {unit_name}".rstrip())
        vertices = [np.asarray(v, int) for v in stc.vertices]
        paintings.append(Painting(vertices, split(values, stc), limit or 1.0, truth))
    logger.info(f"Drawing {', '.join(estimates)} at {1e3 * time:.1f} ms ...")
    size = (width * len(paintings) + width // 4, int(0.92 * width))
    column = width / size[0]
    place = (0.475 * column, 0.335)  # of a panel
    panel = (int(2 * place[0] * size[0]), int(2 * place[1] * size[1]))
    drawn = draw_panels(directory, paintings, panel, surface)

    figure = make_figure(size)
    font = 12.0 * width / 600
    for number, (panels, caption) in enumerate(zip(drawn, captions, strict=True)):
        left = (number + 0.02) * column
        places = panel_places((left, left + 0.49 * column), (0.435, 0.05), *place)
        lay_out(figure, panels, places, 0.87 * font)
        look = dict(ha="center", va="top", fontsize=font)
        figure.text((number + 0.5) * column, 0.92, caption, **look)
    signed = any((stc.data < 0).any() for stc in estimates.values())
    place = (len(paintings) * column + 0.02 * column, 0.2, 0.022 * column, 0.45)
    words = "% of each method's own largest value"
    add_bar(figure, place, colour_scale(signed), -100 if signed else 0, 100, words, 0.87 * font)
    edge = 0.02 * column
    figure.text(edge, 0.985, title or "", ha="left", va="top", fontsize=1.1 * font)
    stamp = f"{1e3 * time:.1f} ms"
    figure.text(1 - edge, 0.985, stamp, ha="right", va="top", fontsize=1.1 * font)
    add_legend(figure, 0.8 * font, truth=any(len(v) for v in truth))
    return finish(figure, path)
