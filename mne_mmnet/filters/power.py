"""Power at every source: of covariances and cross-spectral densities."""

import mne
import numpy as np
from mne.time_frequency import CrossSpectralDensity
from mne.utils import _check_option, _validate_type, logger, verbose

from .._mne import check_projectors, fill_shared, match_channels, warn
from ..inverse.arguments import check_count, resolve_operator
from ..inverse.concerns import doubt_amplitude
from .container import FilterOrigin
from .make import frequencies_of, make_mmnet_filters, pick_common, solve_moments
from .moments import check_matrix, moments_of_csd
from .readout import Readout


@verbose
@fill_shared
def apply_mmnet_inverse_cov(
    cov,
    info,
    fwd,
    noise_cov=None,
    *,
    model="mmnet-base",
    loose=None,
    head="auto",
    depth="auto",
    rank=None,
    nave=1,
    pick_ori=None,
    label=None,
    return_filters=False,
    use_cps=True,
    n_steps=None,
    device="auto",
    verbose=None,
):
    """Localise the power that a data covariance holds.

    Parameters
    ----------
    cov : mne.Covariance
        Covariance of the data, of the time or band of interest; not of the noise.
    info : mne.Info
        Types, positions and projectors of its channels.
    %(fwd_operator)s
    noise_cov : mne.Covariance | None
        Noise covariance, of the same band and made in the same way. With None the level of the
        noise is estimated from the data covariance.
    %(model)s
    %(loose)s
    %(head)s
    %(depth)s
    %(rank_none)s
    nave : int
        Number of averages that the data were.
    pick_ori : None | "normal"
        None sums the power over directions, "normal" takes that along the surface normal.
    %(label)s
    return_filters : bool
        Whether to return the filters too, with the certificate.
    %(use_cps)s
    %(n_steps)s
    %(device)s
    %(verbose)s

    Returns
    -------
    stc : mne.SourceEstimate | mne.VolSourceEstimate | mne.MixedSourceEstimate
        Power diag(K C Kᵀ) of the currents in (A·m)², one sample, as of
        :func:`mne.minimum_norm.apply_inverse_cov`.
    filters : MMNetFilters
        Only with ``return_filters=True``.

    Raises
    ------
    TypeError
        If an argument has the wrong type, or the covariance is complex.
    ValueError
        If channels, projectors, reference and covariances don't fit together, or the covariance
        is not finite, zero or indefinite; the message says what to do.
    RuntimeError
        If ``pick_ori="normal"`` and the source space has no normals.

    Warns
    -----
    RuntimeWarning
        As :func:`apply_mmnet_inverse`.

    Notes
    -----
    For band power at rest: filter to the band, ``cov = mne.compute_raw_covariance(raw)``, and as
    noise ``None``, or the covariance of an empty-room recording that was filtered in the same way;
    never one of the same rest, which would whiten away what is looked for.

    Examples
    --------
    >>> power = mne_mmnet.apply_mmnet_inverse_cov(cov, raw.info, fwd)  # doctest: +SKIP
    """
    _validate_type(cov, mne.Covariance, "cov")
    _validate_type(info, mne.Info, "info")
    _check_option("pick_ori", pick_ori, (None, "normal"))
    filters = make_mmnet_filters(
        cov,
        fwd,
        noise_cov,
        info=info,
        model=model,
        loose=loose,
        head=head,
        depth=depth,
        rank=rank,
        nave=nave,
        use_cps=use_cps,
        n_steps=n_steps,
        device=device,
    )
    stc = power_of_covariance(cov, filters, info, label, pick_ori)
    return (stc, filters) if return_filters else stc


@verbose
@fill_shared
def apply_mmnet_inverse_csd(
    csd,
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
    return_filters=False,
    use_cps=True,
    n_steps=None,
    device="auto",
    verbose=None,
):
    """Localise the power at each frequency of a cross-spectral density.

    Each frequency, or band that was averaged with ``csd.mean``, has its own source variances,
    found from the real part: that of sources whose fields rise and fall at once. For the same
    filters at all frequencies use :func:`make_mmnet_filters`.

    Parameters
    ----------
    csd : mne.time_frequency.CrossSpectralDensity
        The density.
    info : mne.Info
        Types, positions and projectors of its channels.
    %(fwd_operator)s
    noise_cov : mne.Covariance | None
        Noise covariance, in the unit of the density: such as the real part of that of an
        empty-room recording. With None the level of the noise is estimated at each frequency.
    %(model)s
    %(loose)s
    %(head)s
    %(depth)s
    %(rank_none)s
    pick_ori : None | "normal"
        None sums the power over directions, "normal" takes that along the surface normal.
    %(label)s
    return_filters : bool
        Whether to return the filters of each frequency too, with their certificates.
    %(use_cps)s
    %(n_steps)s
    %(device)s
    %(verbose)s

    Returns
    -------
    stc : mne.SourceEstimate | mne.VolSourceEstimate | mne.MixedSourceEstimate
        Power in (A·m)² (a hertz, if the density is), one sample a frequency.
    frequencies : list of float
        Which, in Hz, as of :func:`mne.beamformer.apply_dics_csd`.
    filters : list of MMNetFilters
        One a frequency. Only with ``return_filters=True``.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If channels, projectors, reference and covariances don't fit together, or the density is
        not finite, zero or indefinite; the message says what to do.
    RuntimeError
        If ``pick_ori="normal"`` and the source space has no normals.

    Warns
    -----
    RuntimeWarning
        As :func:`apply_mmnet_inverse`, once for each frequency.

    Examples
    --------
    >>> power, hertz = mne_mmnet.apply_mmnet_inverse_csd(csd, raw.info, fwd)  # doctest: +SKIP
    """
    _validate_type(csd, CrossSpectralDensity, "csd")
    _validate_type(info, mne.Info, "info")
    _check_option("pick_ori", pick_ori, (None, "normal"))
    check_count(n_steps, "n_steps")
    common = pick_common(info, csd.ch_names)
    options = dict(model=model, loose=loose, head=head, depth=depth, rank=rank, use_cps=use_cps)
    operator, _, _ = resolve_operator(
        common, fwd, pick_ori, label, noise_cov=noise_cov, device=device, **options
    )
    prepared = operator.prepared
    frequencies = list(frequencies_of(csd))
    moments = [moments_of_csd(csd, k, prepared, info) for k in range(len(frequencies))]
    origins = [FilterOrigin("csd", "", 1, np.nan, (freq,)) for freq in frequencies]
    filters = solve_moments(operator, moments, origins, n_steps)
    data = []
    for k, one in enumerate(filters):
        readout = Readout(one, label, pick_ori)
        data.append(readout.power(_pick(csd.get_data(index=k), csd.ch_names, [], one)))
    stc = readout.wrap(np.stack(data, axis=1), dict(tmin=0.0, tstep=1.0))
    logger.info("[done]")
    return (stc, frequencies, filters) if return_filters else (stc, frequencies)


def power_of_covariance(cov, filters, info, label, pick_ori):
    """Compute the power, in (A·m)², of currents whose data have a covariance."""
    readout = _readout(filters, label, pick_ori)
    whole = np.diag(cov.data) if cov["diag"] else cov.data
    projs = [*cov["projs"], *([] if info is None else info["projs"])]
    picked = _pick(whole, cov["names"], cov["bads"], filters)
    _check(picked, projs, filters, "covariance")
    if np.iscomplexobj(whole):
        raise TypeError(
            "The covariance must be real, got complex values. Pass the CrossSpectralDensity "
            "itself."
        )
    data = readout.power(picked)
    largest = np.sqrt(data.max(initial=0.0))
    for text in doubt_amplitude(filters.ch_types, picked[:, :1], largest, None, False).values():
        warn(text)
    tstep = 1.0 if info is None else 1.0 / info["sfreq"]  # MNE's, which means nothing
    return readout.wrap(data[:, np.newaxis], dict(tmin=0.0, tstep=tstep))


def power_of_csd(csd, filters, info, label, pick_ori):
    """Compute the power, in (A·m)², at each frequency, with the same filters for all."""
    readout = _readout(filters, label, pick_ori)
    projs = [*csd.projs, *([] if info is None else info["projs"])]
    data = []
    for k in range(len(csd.frequencies)):
        picked = _pick(csd.get_data(index=k), csd.ch_names, [], filters)
        _check(picked, projs, filters, "cross-spectral density")
        data.append(readout.power(picked))
    return readout.wrap(np.stack(data, axis=1), dict(tmin=0.0, tstep=1.0))


def _readout(filters, label, pick_ori):
    if pick_ori == "vector":
        raise ValueError(
            'Power has no direction. Use pick_ori=None, which sums over directions, or "normal".'
        )
    return Readout(filters, label, pick_ori)


def _pick(matrix, names, bads, filters):
    picks = match_channels(names, bads, filters.ch_names, "filters")
    return matrix[np.ix_(picks, picks)]


def _check(picked, projs, filters, what):
    check_projectors(projs, filters.ch_names, filters.projector, "filters")
    check_matrix(picked.real, projs, filters.ch_types, what)
