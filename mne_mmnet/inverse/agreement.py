"""Comparison with eLORETA: a second opinion that owes nothing to training."""

import mne
import numpy as np

from .report import Agreement

_LAMBDA2 = 1.0 / 9.0


def compare_with_eloreta(operator, evoked, currents):
    """Localise with MNE's eLORETA too, and compare.

    Parameters
    ----------
    operator : MMNetOperator
        The prepared operator.
    evoked : mne.Evoked
        The data.
    currents : array of shape (n_sources, n_orient, n_times)
        The estimate, A·m.

    Returns
    -------
    agreement : Agreement
        The comparison.
    """
    if not currents.any():
        return Agreement(0.0, float("nan"))
    prepared = operator.prepared
    with mne.use_log_level("error"):
        picked = evoked.copy().pick(list(prepared.ch_names))
        if "eeg" in picked:
            picked.set_eeg_reference(projection=True)
        cov = operator.noise_cov
        cov = mne.make_ad_hoc_cov(picked.info) if cov is None else cov.copy()
        cov["data"] = np.asarray(cov["data"], float)  # big-endian as read from a file
        inverse = mne.minimum_norm.make_inverse_operator(
            picked.info,
            operator.fwd,
            cov,
            loose=prepared.loose,
            depth=None,
            use_cps=prepared.use_cps,
        )
        stc = mne.minimum_norm.apply_inverse(picked, inverse, _LAMBDA2, "eLORETA")
    theirs = np.linalg.norm(stc.data, axis=1)
    ours = np.linalg.norm(currents, axis=(1, 2))
    gap = prepared.positions[np.argmax(ours)] - prepared.positions[np.argmax(theirs)]
    return Agreement(float(np.corrcoef(ours, theirs)[0, 1]), float(np.linalg.norm(gap)))
