"""Sources of an evoked response."""

from dataclasses import replace

import numpy as np
from mne.utils import logger, verbose

from .._mne import (
    check_evoked,
    check_reference,
    fill_shared,
    make_residual,
    make_stc,
    noise_scale,
    pick_data,
    whiten_data,
)
from .agreement import compare_with_eloreta
from .arguments import check_count, resolve_operator
from .concerns import doubt_steadiness, find_concerns, say
from .steadiness import compare_windows
from .uncertainty import make_uncertainty


@verbose
@fill_shared
def apply_mmnet_inverse(
    evoked,
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
    return_residual=False,
    return_report=False,
    return_uncertainty=False,
    use_cps=True,
    n_steps=None,
    device="auto",
    verbose=None,
):
    r"""Localise the sources of an evoked response.

    With ``mmnet-base`` the estimate is the posterior mean of the currents under source variances
    found by certified majorization-minimization of the evidence objective

    .. math:: J(u, ℓ) = \log|Σ| + \mathrm{tr}(C Σ^{-1}) + \sum_i w_i e^{u_i} + r(ℓ),

    with curvature, hyperprior and starting point supplied by a pretrained network. With
    ``mmnet-cosine`` it is the minimiser of the paper's objective

    .. math:: F(x) = [1 - \cos(y, Lx)] + λ [1 - \cos(x, Φ(x))]

    for the template's source space, scaled to fit the data. Every step is checked not to increase
    the objective.

    Parameters
    ----------
    evoked : mne.Evoked
        The response: EEG, MEG or both. EEG must be average-referenced (a pending projector is
        enough). The time window matters: variances are estimated from all samples of it, so crop
        to the response of interest.
    %(fwd_operator)s
    noise_cov : mne.Covariance | None
        Noise covariance of single trials; data are multiplied by √nave on its account. MEG
        channels need one. With None the level of the noise, and how much of it comes from the
        brain, are estimated from the data, and ``evoked.nave`` is not used.
    %(model)s
    %(loose)s
    %(head)s
    %(depth)s
    %(rank_none)s
    %(pick_ori)s
    %(label)s
    return_residual : bool
        Whether to return the part of the data that is not explained, as an evoked.
    return_report : bool
        Whether to return the certificate and the diagnostics, which compare with eLORETA and with
        shorter windows: that takes longer than the estimate itself.
    return_uncertainty : bool
        Whether to return how sure the estimate is (not with ``mmnet-cosine``).
    %(use_cps)s
    %(n_steps)s
    %(device)s
    %(verbose)s

    Returns
    -------
    stc : mne.SourceEstimate | mne.VectorSourceEstimate | mne.VolSourceEstimate | ...
        Currents in A·m, of shape (n_sources, n_times) or (n_sources, 3, n_times). The class
        depends on the source space and ``pick_ori`` as in :func:`mne.minimum_norm.apply_inverse`.
    residual : mne.Evoked
        Data (V, T, T/m) minus what the sources explain. Only with ``return_residual=True``.
    report : SolverReport
        The certificate and the diagnostics. Only with ``return_report=True``.
    uncertainty : Uncertainty
        Posterior standard deviations, and where the strongest source may be, as source estimates.
        Only with ``return_uncertainty=True``.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the data are not finite or not average-referenced, or channels, covariance and options
        don't fit together; the message says what to do.
    RuntimeError
        If ``pick_ori="normal"`` and the source space has no normals.
    FileNotFoundError
        If there is no such model.

    Warns
    -----
    RuntimeWarning
        If the answer should not be trusted: electrodes are not where head coordinates or the
        forward solution have them; channels are left out, flat, copies of each other, or not what
        the others predict; the number of channels, or with a noise covariance
        the signal-to-noise ratio, lies outside the model's training domain; the data are nothing
        but noise; there are MEG channels; currents are impossibly large or
        small; data and whitener differ
        in rank; with ``return_uncertainty``, that the strongest source may be nearly anywhere; the
        noise covariance is so ill-conditioned that whitening is unstable (MNE's).

    Examples
    --------
    >>> stc = mne_mmnet.apply_mmnet_inverse(evoked, fwd, noise_cov)  # doctest: +SKIP
    """
    check_evoked(evoked)
    check_count(n_steps, "n_steps")
    options = dict(model=model, loose=loose, head=head, depth=depth, rank=rank, use_cps=use_cps)
    operator, _, _ = resolve_operator(
        evoked.info, fwd, pick_ori, label, noise_cov=noise_cov, device=device, **options
    )
    prepared = operator.prepared
    check_reference(evoked.info, evoked.data, prepared.ch_names)
    sensors = pick_data(evoked.info, prepared, evoked.data)
    whitened = whiten_data(prepared, sensors, evoked.nave)
    logger.info(f"Localising with {operator.card.name} on {operator.device}")
    solution, (report,) = operator.solve(whitened[None], n_steps, return_uncertainty)
    currents = solution.currents[0] / noise_scale(prepared, evoked.nave)
    concerns, score = find_concerns(
        operator,
        whitened,
        report,
        np.abs(currents).max(initial=0.0),
        solution.spread.level[0] if return_uncertainty else None,
        sensors=sensors,
        known=operator.doubt_recording(evoked.info),
    )
    report = replace(
        report,
        concerns=tuple(concerns.values()),
        domain_score=score,
        ch_names=tuple(prepared.ch_names),
    )
    logger.info(f"    {report}")
    say(concerns, prepared)
    place = dict(tmin=float(evoked.times[0]), tstep=1.0 / evoked.info["sfreq"], label=label)
    stc = make_stc(prepared, currents, pick_ori=pick_ori, **place)
    logger.info("[done]")
    out = [stc]
    if return_residual:
        out.append(make_residual(evoked, prepared, currents))
    if return_report:
        steadiness = compare_windows(operator, whitened, evoked.info["sfreq"], currents, n_steps)
        silent = {"noise", "explained"} & set(concerns)  # there is nothing to be steady
        if (doubt := doubt_steadiness(steadiness)) and not silent:
            report = replace(report, concerns=(*report.concerns, doubt))
            logger.info(f"    {doubt}")  # who asks for the report reads it there
        agreement = compare_with_eloreta(operator, evoked, currents)
        out.append(replace(report, agreement=agreement, steadiness=steadiness))
    if return_uncertainty:
        out.append(make_uncertainty(prepared, solution.spread, evoked.nave, **place))
    return out[0] if len(out) == 1 else tuple(out)
