"""Pictures of sources on the cortex, drawn without a display."""

import numpy as np
from mne.utils import _check_option, logger, verbose

from .page import (
    add_current_bar,
    add_legend,
    check_path,
    finish,
    lay_out,
    make_figure,
    panel_places,
)
from .surfaces import SURFACES, Painting, draw_panels, find_surfaces
from .values import check_estimate, check_region, check_subject, find_sample, split

_WIDTH, _HEIGHT = 0.42, 0.4
_PLACES = panel_places((0.02, 0.45), (0.48, 0.04), _WIDTH, _HEIGHT)


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
    surface="inflated",
    region=None,
    level=0.9,
    verbose=None,
):
    """Draw a source estimate on the cortex, without a display.

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
        Directory that holds the subject's ``surf/{lh,rh}.{inflated,curv}`` (and ``pial``). None
        is MNE's configured ``SUBJECTS_DIR``, or the template's for subject ``fsaverage5``.
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
    surface : str
        ``"inflated"``, or ``"pial"`` for the folded cortex, whose sulci hide what is in them.
    region : Uncertainty | array of bool, shape (n_sources,) | None
        Confidence region to be outlined and tinted: an uncertainty that came with the estimate,
        or the sources inside. A hemisphere that has none of them shows nothing.
    level : float
        Level of an uncertainty's region, between 0 and 1.
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
        not finite, ``path`` is no PNG, or ``region`` belongs to other sources.
    FileNotFoundError
        If the subject's surfaces are not found.
    RuntimeError
        If this machine has nothing to draw with: neither a display nor a library in its place.
    """
    stc = check_estimate(stc)
    check_path(path)
    _check_option("surface", surface, SURFACES)
    sample = find_sample(stc, time)
    subject = check_subject(stc, subject)
    inside, label = check_region(region, stc, level)
    directory = find_surfaces(subject, subjects_dir, surface)
    values = stc.data[:, sample]
    limit = float(np.abs(values).max())
    stamp = f"{1e3 * stc.times[sample]:.1f} ms"
    logger.info(f"Drawing {subject} at {stamp} ...")
    painting = Painting(
        [np.asarray(v, int) for v in stc.vertices],
        split(values, stc),
        limit or 1.0,
        [np.asarray(v, int) for v in (([], []) if truth is None else truth)],
        split(inside, stc),
    )
    # panels at twice the resolution of the page, for smooth edges
    panel = (int(2 * _WIDTH * size[0]), int(2 * _HEIGHT * size[1]))
    (panels,) = draw_panels(directory, [painting], panel, surface)

    figure = make_figure(size)
    medium, large = 15.0 * size[0] / 1200, 17.0 * size[0] / 1200
    lay_out(figure, panels, _PLACES, medium)
    signed = bool((stc.data < 0).any())
    add_current_bar(figure, (0.895, 0.25, 0.016, 0.45), limit or 1e-9, signed, medium)
    figure.text(0.02, 0.975, title or "", ha="left", va="top", fontsize=large)
    figure.text(0.98, 0.975, stamp, ha="right", va="top", fontsize=large)
    add_legend(figure, 0.87 * medium, truth=any(len(v) for v in painting.truth), region=label)
    return finish(figure, path)
