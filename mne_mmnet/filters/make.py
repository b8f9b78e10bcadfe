"""Making filters: source variances from whatever the user has, then one matrix."""

from dataclasses import replace

import mne
import numpy as np
from mne.time_frequency import CrossSpectralDensity
from mne.utils import _validate_type, logger, verbose

from .._mne import fill_shared, noise_scale
from ..inverse import MMNetOperator
from ..inverse.arguments import check_count, resolve_operator
from ..inverse.concerns import find_concerns, say
from ..inverse.epochs import default_batch
from .container import FilterOrigin, MMNetFilters
from .moments import (
    moments_of_covariance,
    moments_of_csd,
    moments_of_epochs,
    moments_of_evokeds,
    moments_of_raw,
)

_TYPES = (mne.Evoked, mne.BaseEpochs, mne.io.BaseRaw, mne.Covariance, CrossSpectralDensity)


@verbose
@fill_shared
def make_mmnet_filters(
    inst,
    fwd,
    noise_cov=None,
    *,
    info=None,
    model="mmnet-base",
    loose=None,
    head="auto",
    depth="auto",
    rank=None,
    nave=1,
    apply_nave=None,
    use_cps=True,
    n_steps=None,
    device="auto",
    verbose=None,
):
    r"""Make filters that localise whatever has the sources of some data.

    Under given source variances the posterior mean is linear in the data, so that the variances
    of an average, of pooled conditions, of a covariance or of a cross-spectral density make one
    matrix,

    .. math:: K = S̃ \mathrm{diag}(e^u) L̃^T Σ^{-1} W,

    for single trials, continuous data, spectra and contrasts: the same for all conditions, at the
    price of a matrix product.

    Parameters
    ----------
    inst : Evoked | list of Evoked | BaseEpochs | BaseRaw | Covariance | CrossSpectralDensity
        What the variances are found from. Of several responses, such as the conditions of a
        contrast, the samples are pooled. Of epochs, the second moment of all samples counts, what
        is not phase-locked included (for what is, give ``epochs.average()``); of continuous data
        the covariance about their mean, without what is annotated as bad; of a cross-spectral
        density the real part, averaged over its frequencies.
    %(fwd_operator)s
    noise_cov : mne.Covariance | None
        Noise covariance of single trials; MEG channels need one. Of a band or a frequency it must
        be the covariance of the noise in that band, transformed in the same way. With None the
        level of the noise is estimated from the data.
    info : mne.Info | None
        Types, positions and projectors of the channels of a covariance or cross-spectral density,
        which know names only. Not needed with an operator.
    %(model)s
    %(loose)s
    %(head)s
    %(depth)s
    %(rank_none)s
    nave : int
        Number of averages that an epoch, the continuous data or a covariance is; evoked responses
        know theirs.
    apply_nave : int | None
        Number of averages of the data that the filters are for: 1 for single trials, whose noise
        is so much larger than that of an average. None is as in ``inst``, so that the filters
        return the estimate of :func:`apply_mmnet_inverse` on what they were made of.
    %(use_cps)s
    %(n_steps)s
    %(device)s
    %(verbose)s

    Returns
    -------
    filters : MMNetFilters
        For :func:`apply_mmnet_filters`.

    Raises
    ------
    TypeError
        If an argument has the wrong type, or the data are complex.
    ValueError
        If channels, projectors, reference, covariances and options don't fit together, or the
        data are not finite; the message says what to do.
    FileNotFoundError
        If there is no such model.

    Warns
    -----
    RuntimeWarning
        As :func:`apply_mmnet_inverse`, of single channels where filters are made from responses;
        ``filters.report.concerns`` has the reasons.

    Notes
    -----
    Filters of an average follow its noise, and let too much of that of single trials through:
    with ``apply_nave=1`` they are

    .. math:: K = S̃ Γ L̃^T (r N + L̃ Γ L̃^T)^{-1} W,

    Γ the variances, N the noise of the average and r the number of its trials. On simulated
    single trials they follow the sources' courses better (``benchmarks/filters_accuracy.py``).
    Amplitudes are then shrunk, as r grows: compare what has been filtered alike.

    Examples
    --------
    >>> filters = mne_mmnet.make_mmnet_filters([left, right], fwd, noise_cov)  # doctest: +SKIP
    >>> stcs = mne_mmnet.apply_mmnet_filters(epochs, filters, label=label)  # doctest: +SKIP
    """
    inst = _check_inst(inst)
    check_count(n_steps, "n_steps")
    _validate_type(info, (mne.Info, None), "info")
    options = dict(model=model, loose=loose, head=head, depth=depth, rank=rank, use_cps=use_cps)
    known_info = _info_of(inst, info, fwd)
    operator, _, _ = resolve_operator(
        known_info, fwd, None, None, noise_cov=noise_cov, device=device, **options
    )
    prepared = operator.prepared
    for value in (nave, 1 if apply_nave is None else apply_nave):
        noise_scale(prepared, value)  # a bad one is an error before the work
    n_epochs = 1
    if isinstance(inst, list):
        moments = moments_of_evokeds(inst, prepared)
    elif isinstance(inst, mne.BaseEpochs):
        moments, n_epochs = moments_of_epochs(inst, prepared, nave)
    elif isinstance(inst, mne.io.BaseRaw):
        moments = moments_of_raw(inst, prepared, nave)
    elif isinstance(inst, mne.Covariance):
        moments = moments_of_covariance(inst, prepared, nave, info)
    else:
        moments = moments_of_csd(inst, None, prepared, info)
    if not moments.data.any():
        raise ValueError("The data are zero: there is nothing to make filters of.")
    origin = _describe(inst, moments, n_epochs)
    known = None if known_info is None else operator.doubt_recording(known_info)
    (filters,) = solve_moments(operator, [moments], [origin], n_steps, apply_nave, known)
    logger.info("[done]")
    return filters


def solve_moments(operator, moments, origins, n_steps=None, apply_nave=None, known=None):
    """Find the variances of several moments, in batches, and make filters of each.

    Parameters
    ----------
    operator : MMNetOperator
        The operator.
    moments : list of Moments
        All with the same number of columns, and of averages.
    origins : list of FilterOrigin
        What they are of.
    n_steps : int | None
        Of the user.
    apply_nave : float | None
        Averages of the data that the filters are for; None is as many as of the moments.
    known : dict of str | None
        What is known of the recording's electrodes, whatever its data.

    Returns
    -------
    filters : list of MMNetFilters
        One each.

    Warns
    -----
    RuntimeWarning
        If an answer should not be trusted.
    """
    filters, size = [], default_batch(operator, moments[0].data.shape[1])
    made_of = float(moments[0].nave)
    nave = made_of if apply_nave is None else float(apply_nave)
    logger.info(f"Making filters with {operator.card.name} on {operator.device}")
    for start in range(0, len(moments), size):
        part = moments[start : start + size]
        data = np.stack([one.data for one in part])
        solution, reports = operator.solve(data, n_steps, kernel=made_of / nave)
        for k, (one, report) in enumerate(zip(part, reports, strict=True)):
            report = _finish_report(operator, one, report, solution.currents[k], known)
            logger.info(f"    {report}")
            filters.append(
                _make(operator, solution, k, one.nave, nave, origins[len(filters)], report)
            )
    return filters


def _finish_report(operator, moments, report, currents, known):
    """Add the concerns, and say them."""
    prepared = operator.prepared
    scale = noise_scale(prepared, moments.nave)
    # columns of a covariance's root are no samples: their root-mean-square is that of the samples
    size = np.sqrt(np.square(currents).mean(axis=-1)).max(initial=0.0) / scale
    concerns, score = find_concerns(
        operator,
        moments.data,
        report,
        size,
        sensors=moments.sensors,
        known=known,
        n_times=moments.n_times,
        in_time=moments.in_time,
    )
    say(concerns, prepared)
    return replace(report, concerns=tuple(concerns.values()), domain_score=score)


def _make(operator, solution, k, made_of, nave, origin, report):
    prepared = operator.prepared
    # from whitened data to sensors
    colour = np.linalg.pinv(prepared.whitener) / noise_scale(prepared, made_of)
    covariance = colour @ solution.covariance[k] @ colour.T
    return MMNetFilters(
        kernel=solution.kernel[k] @ prepared.whitener,
        # single precision is not quite symmetric
        covariance=(covariance + covariance.T) / 2.0,
        ch_names=prepared.ch_names,
        ch_types=prepared.ch_types,
        projector=prepared.projector.copy(),
        frames=prepared.frames.copy(),
        normals=prepared.normals.copy(),
        vertices=[vertno.copy() for vertno in prepared.vertices],
        kind=prepared.kind,
        subject=prepared.subject,
        orient=prepared.orient,
        noise_is_known=prepared.noise_is_known,
        n_rank=prepared.n_rank,
        nave=nave,
        model=operator.card.name,
        head=operator.head,
        origin=origin,
        report=report,
    )


def _check_inst(inst):
    """Make a list of responses; refuse everything that filters can't be made of."""
    if isinstance(inst, list | tuple):
        if not inst:
            raise ValueError("inst is an empty list. Pass at least one evoked response.")
        for one in inst:
            _validate_type(one, mne.Evoked, "each of a list of inst")
        return list(inst)
    _validate_type(inst, _TYPES, "inst")
    return [inst] if isinstance(inst, mne.Evoked) else inst


def _info_of(inst, info, fwd):
    """Info that an operator for ``inst`` can be made from."""
    if isinstance(inst, mne.Covariance | CrossSpectralDensity):
        if info is None and not isinstance(fwd, MMNetOperator):
            raise ValueError(
                "A covariance or cross-spectral density has no info. Pass info=, that of the data "
                "it was computed from, or an operator in place of fwd."
            )
        return None if info is None else pick_common(info, *_names_of(inst))
    if info is not None:
        raise ValueError("The data have an info of their own. Leave info=None.")
    if not isinstance(inst, list):
        return inst.info
    # what all conditions have, without what is bad in one
    bads = {name for evoked in inst for name in evoked.info["bads"]}
    names = set.intersection(*(set(evoked.ch_names) for evoked in inst))
    if not names:
        raise ValueError(
            "The responses have no channel in common. Channels are matched by name; rename them "
            "with rename_channels, or make filters of each."
        )
    return pick_common(inst[0].info, names, bads)


def _names_of(inst):
    if isinstance(inst, mne.Covariance):
        return inst["names"], inst["bads"]
    return inst.ch_names, []


def pick_common(info, names, bads=()):
    """Return a copy of an info with some channels only, more of which may be bad."""
    names = set(names)
    picks = [k for k, name in enumerate(info["ch_names"]) if name in names]
    if not picks:
        raise ValueError(
            "The data and the info have no channel in common. Channels are matched by name; "
            "rename them with rename_channels."
        )
    info = mne.pick_info(info, picks)  # a copy
    info["bads"] = [name for name in info["ch_names"] if name in {*info["bads"], *bads}]
    return info


def _describe(inst, moments, n_epochs):
    """Describe what filters were made of."""
    n_times = np.nan if moments.n_times is None else float(moments.n_times)
    if isinstance(inst, list):
        comment = ", ".join(one.comment for one in inst if one.comment)
        return FilterOrigin("evoked", comment, len(inst), n_times)
    if isinstance(inst, CrossSpectralDensity):
        return FilterOrigin("csd", "", 1, n_times, frequencies_of(inst))
    if isinstance(inst, mne.BaseEpochs):
        return FilterOrigin("epochs", ", ".join(inst.event_id), n_epochs, n_times)
    return FilterOrigin(
        "raw" if isinstance(inst, mne.io.BaseRaw) else "covariance", "", 1, n_times
    )


def frequencies_of(csd):
    """Frequencies of a cross-spectral density, in Hz; the mean of those that were averaged."""
    return tuple(float(np.mean(frequency)) for frequency in csd.frequencies)
