"""MNE-Python's own linear methods, set up once for every comparison."""

import mne
import numpy as np
from mne.minimum_norm import apply_inverse, make_inverse_operator

CLASSICAL = ("MNE", "dSPM", "sLORETA", "eLORETA")


def minimum_norm(evoked, fwd, noise_cov=None, *, method="eLORETA", snr=3.0, loose=0.0, depth=0.8):
    """Localise an evoked response with one of MNE's minimum-norm methods.

    Parameters
    ----------
    evoked : mne.Evoked
        The response, with an average-reference projector.
    fwd : mne.Forward
        Forward solution of free orientation.
    noise_cov : mne.Covariance | None
        Noise covariance; None is MNE's ad hoc one (white noise).
    method : "MNE" | "dSPM" | "sLORETA" | "eLORETA"
        The method (Hämäläinen & Ilmoniemi 1994; Dale et al. 2000; Pascual-Marqui 2002, 2007).
    snr : float
        Amplitude signal-to-noise ratio; λ² = 1/snr².
    loose : float | "auto"
        Orientation constraint: 0 is fixed (signed estimates), 1 free.
    depth : float | None
        Depth weighting.

    Returns
    -------
    stc : mne.SourceEstimate
        The estimate.
    """
    cov = mne.make_ad_hoc_cov(evoked.info, verbose="error") if noise_cov is None else noise_cov
    inverse = make_inverse_operator(
        evoked.info, fwd, cov, loose=loose, depth=depth, verbose="error"
    )
    return apply_inverse(evoked, inverse, 1.0 / snr**2, method, verbose="error")


def minimum_norm_kernel(info, fwd, noise_cov=None, **options):
    """Return the matrix by which a minimum-norm method of fixed orientation maps data to currents.

    The methods are linear, so the estimates of unit impulses are its columns, (n_sources,
    n_channels). ``options`` are ``method``, ``snr`` and ``depth`` of :func:`minimum_norm`.
    """
    n_channels = len(info["ch_names"])
    impulses = mne.EvokedArray(np.eye(n_channels), info, verbose="error")
    impulses.set_eeg_reference(projection=True, verbose="error")
    return minimum_norm(impulses, fwd, noise_cov, **options).data
