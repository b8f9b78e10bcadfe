"""Sources of single maps, many at once."""

import mne
import numpy as np
from mne.utils import _validate_type, logger, verbose

from .._mne import check_reference, fill_shared, make_stc, prepare_data
from ..inverse.arguments import check_count, resolve_operator
from ..inverse.concerns import Tally, find_concerns
from ..inverse.epochs import default_batch


@verbose
@fill_shared
def localize_maps(
    maps,
    info,
    fwd,
    noise_cov=None,
    *,
    model="mmnet-base",
    loose=None,
    head="auto",
    depth="auto",
    rank=None,
    pick_ori=None,
    label=None,
    return_reports=False,
    use_cps=True,
    n_steps=None,
    device="auto",
    verbose=None,
):
    """Localise sensor maps, each by itself: patterns of a decomposition, or single moments.

    A map is one sample, whose covariance has rank one: sources that are active in turn, or have
    different courses, can't be told apart in it. An independent component should have one source,
    or two that are mirror images.

    Parameters
    ----------
    maps : array of shape (n_channels, n_maps) or (n_channels,)
        The maps in V (T, T/m): forward patterns, not the weights of spatial filters. Scaled to the
        standard deviation of a component's course, currents are at one standard deviation.
    info : mne.Info
        The channels, in the order of the maps. EEG must be average-referenced (a pending projector
        is enough).
    %(fwd_operator)s
    noise_cov : mne.Covariance | None
        Covariance of the maps' noise; MEG channels need one. With None its level is estimated from
        each map.
    %(model)s
    %(loose)s
    %(head)s
    %(depth)s
    %(rank_none)s
    %(pick_ori)s
    %(label)s
    return_reports : bool
        Whether to return the certificates too. Their ``explained`` is the share of a map that the
        sources explain, which is low for muscles, bad electrodes and mixtures.
    %(use_cps)s
    %(n_steps)s
    %(device)s
    %(verbose)s

    Returns
    -------
    stcs : list of mne.SourceEstimate | mne.VectorSourceEstimate | mne.VolSourceEstimate | ...
        One for each map, with one sample, in A·m. A map's sign is arbitrary, and so is theirs.
    reports : list of SolverReport
        Only with ``return_reports=True``.

    Raises
    ------
    TypeError
        If an argument has the wrong type, or the maps are complex.
    ValueError
        If the maps are not finite or not average-referenced, one is zero, or channels and options
        don't fit together; the message says what to do.
    RuntimeError
        If ``pick_ori="normal"`` and the source space has no normals.

    Warns
    -----
    RuntimeWarning
        If some maps should not be trusted, once for each reason with their number.

    Examples
    --------
    >>> stcs = mne_mmnet.localize_maps(ssd.patterns_.T, info, fwd)  # doctest: +SKIP
    """
    _validate_type(maps, np.ndarray, "maps")
    _validate_type(info, mne.Info, "info")
    check_count(n_steps, "n_steps")
    maps = maps[:, np.newaxis] if maps.ndim == 1 else maps
    n_channels = len(info["ch_names"])
    if maps.ndim != 2 or len(maps) != n_channels or maps.shape[1] == 0:
        raise ValueError(
            f"maps must have the shape ({n_channels} channels, n_maps), got {maps.shape}. "
            "Transpose them, or pick the channels of info."
        )
    options = dict(model=model, loose=loose, head=head, depth=depth, rank=rank, use_cps=use_cps)
    operator, _, rows = resolve_operator(
        info, fwd, pick_ori, label, noise_cov=noise_cov, device=device, **options
    )
    prepared = operator.prepared
    if np.iscomplexobj(maps):
        raise TypeError("maps must be real. Localise real and imaginary parts one by one.")
    whitened = prepare_data(info, prepared, maps).T[:, :, np.newaxis]
    check_reference(info, maps, prepared.ch_names)
    zero = np.flatnonzero(~whitened.any(axis=(1, 2)))
    if len(zero):
        raise ValueError(f"Map {zero[0]} is zero. Leave it out.")
    logger.info(f"Localising {len(whitened)} maps with {operator.card.name} on {operator.device}")
    place = dict(tmin=0.0, tstep=1.0, pick_ori=pick_ori, label=label)
    stcs, all_reports, tally = [], [], Tally("maps should not be trusted", prepared)
    size, known = default_batch(operator, 1), operator.doubt_recording(info)
    for start in range(0, len(whitened), size):
        part = whitened[start : start + size]
        solution, reports = operator.solve(part, n_steps, rows=rows)
        for one, data, report in zip(solution.currents, part, reports, strict=True):
            largest = np.abs(one).max(initial=0.0)
            concerns, _ = find_concerns(operator, data, report, largest, known=known)
            concerns.pop("tiny", None)  # a component may hold next to nothing
            tally.add(concerns)
            stcs.append(make_stc(prepared, one, **place))
        all_reports += reports
    tally.tell()
    logger.info("[done]")
    return (stcs, all_reports) if return_reports else stcs
