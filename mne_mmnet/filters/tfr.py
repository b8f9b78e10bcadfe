"""Sources of single trials' time–frequency coefficients."""

import numpy as np
from mne.time_frequency import EpochsTFR
from mne.utils import _validate_type, logger, verbose

from .._mne import check_like, fill_shared, noise_scale
from ..inverse import MMNetOperator
from ..inverse.arguments import check_count, resolve_operator
from .container import FilterOrigin
from .make import solve_moments
from .moments import moments_of_coefficients
from .readout import Readout
from .spectra import complex_data, currents_of_tfr


@verbose
@fill_shared
def apply_mmnet_inverse_tfr_epochs(
    epochs_tfr,
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
    nave=1,
    return_generator=False,
    use_cps=True,
    n_steps=None,
    device="auto",
    verbose=None,
):
    """Localise complex time–frequency coefficients of single trials.

    Each frequency has its own source variances, found from the real part of its second moment
    over all epochs and times; the filters are then the same for all of them.

    Parameters
    ----------
    epochs_tfr : mne.time_frequency.EpochsTFR
        Complex coefficients, such as ``epochs.compute_tfr("morlet", freqs, output="complex")``.
    fwd : mne.Forward | MMNetOperator | list of MMNetOperator
        The forward solution, or what :func:`make_mmnet_operator` made of it; or an operator for
        each frequency, each with the noise covariance of its frequency.
    noise_cov : mne.Covariance | None
        Noise covariance of such coefficients: the real part of their cross-spectral density in a
        baseline (:func:`mne.time_frequency.csd_tfr`). One of the signals themselves has another
        level. With None the level of the noise is estimated at each frequency.
    %(model)s
    %(loose)s
    %(head)s
    %(depth)s
    %(rank_none)s
    pick_ori : None | "normal" | "vector"
        None: the complex current where the orientation is fixed, its length (real) elsewhere.
        "normal", "vector": complex.
    %(label)s
    nave : int
        Number of averages that each epoch is.
    return_generator : bool
        Whether to return a generator, which holds the estimates of one frequency at a time.
    %(use_cps)s
    %(n_steps)s
    %(device)s
    %(verbose)s

    Returns
    -------
    stcs : list | generator of list of mne.SourceEstimate | mne.VectorSourceEstimate | ...
        For each frequency the estimates of all epochs, in A·m times the unit of the transform, as
        of :func:`mne.minimum_norm.apply_inverse_tfr_epochs`.

    Raises
    ------
    TypeError
        If an argument has the wrong type, or the coefficients are not complex.
    ValueError
        If channels, reference, covariance and options don't fit together; the message says what
        to do.
    RuntimeError
        If ``pick_ori="normal"`` and the source space has no normals.

    Warns
    -----
    RuntimeWarning
        As :func:`apply_mmnet_inverse`, once for each frequency.

    Examples
    --------
    >>> stcs = mne_mmnet.apply_mmnet_inverse_tfr_epochs(tfr, fwd)  # doctest: +SKIP
    """
    _validate_type(epochs_tfr, EpochsTFR, "epochs_tfr")
    check_count(n_steps, "n_steps")
    data, info = complex_data(epochs_tfr), epochs_tfr.info
    options = dict(model=model, loose=loose, head=head, depth=depth, rank=rank, use_cps=use_cps)
    options |= dict(noise_cov=noise_cov, device=device)
    freqs = [float(freq) for freq in epochs_tfr.freqs]
    each = _operators(fwd, len(freqs), info, pick_ori, label, options)
    n_epochs = len(data)
    moments, origins = [], []
    for k, operator in enumerate(each):
        prepared = operator.prepared
        noise_scale(prepared, nave)
        if k == 0 or operator is not each[k - 1]:
            # channels in front of times
            moved = np.moveaxis(data, 1, -2)
            check_like(info, moved, prepared.ch_names, prepared.projector, "operator")
        # (n_epochs, n_channels, (n_tapers,) n_times)
        one = np.moveaxis(data[..., k, :], 1, 0).reshape(data.shape[1], -1)
        moments.append(moments_of_coefficients(one, info, prepared, nave))
        origins.append(FilterOrigin("tfr", "", n_epochs, np.nan, (freqs[k],)))
    if isinstance(fwd, list | tuple):
        solved = zip(each, moments, origins, strict=True)
        filters = [solve_moments(op, [m], [o], n_steps)[0] for op, m, o in solved]
    else:  # in batches
        filters = solve_moments(each[0], moments, origins, n_steps)
    readouts = [Readout(one, label, pick_ori) for one in filters]
    logger.info("[done]")
    stcs = currents_of_tfr(epochs_tfr, readouts)
    return stcs if return_generator else list(stcs)


def _operators(fwd, n_freqs, info, pick_ori, label, options):
    """One operator for each frequency, in most cases the same."""
    if not isinstance(fwd, list | tuple):
        operator, _, _ = resolve_operator(info, fwd, pick_ori, label, **options)
        return [operator] * n_freqs
    for one in fwd:
        _validate_type(one, MMNetOperator, "each of a list of fwd")
    if len(fwd) != n_freqs:
        raise ValueError(
            f"There are {n_freqs} frequencies and {len(fwd)} operators. Pass one for each "
            "frequency, or one for all."
        )
    return [resolve_operator(info, one, pick_ori, label, **options)[0] for one in fwd]
