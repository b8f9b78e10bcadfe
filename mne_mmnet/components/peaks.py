"""Sources at the peaks of global field power: the moments at which a map is clearest."""

import mne
import numpy as np
from mne.utils import _validate_type, logger
from scipy.signal import find_peaks

from .._mne import field_power
from ..inverse.arguments import check_count
from .maps import localize_maps


def localize_gfp_peaks(inst, fwd, noise_cov=None, *, n_peaks=None, distance=0.01, **options):
    """Localise the maps at the peaks of the global field power (GFP) of EEG.

    The GFP of a sample is the standard deviation over the good EEG channels; maps change least
    where it is largest, and have the best signal-to-noise ratio (Lehmann & Skrandies 1980).

    Parameters
    ----------
    inst : mne.Evoked | mne.io.BaseRaw
        The data. Of continuous data all EEG channels are read at once.
    fwd : mne.Forward | MMNetOperator
        The forward solution, or what :func:`make_mmnet_operator` made of it.
    noise_cov : mne.Covariance | None
        Covariance of the maps' noise: of an evoked response, that of single trials divided by its
        ``nave``.
    n_peaks : int | None
        The highest so many peaks; None is all.
    distance : float
        Least time between peaks, s; of nearer ones the highest counts.
    **options
        Of :func:`localize_maps`: ``loose``, ``pick_ori``, ``label``, ``return_reports`` and so on.

    Returns
    -------
    stcs : list of mne.SourceEstimate | mne.VectorSourceEstimate | mne.VolSourceEstimate | ...
        One for each peak in the order of time, with one sample, whose time is the peak's; in A·m.
    reports : list of SolverReport
        Only with ``return_reports=True``.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If there are no peaks, or channels and options don't fit together.

    Warns
    -----
    RuntimeWarning
        If some maps should not be trusted, once for each reason with their number.

    Examples
    --------
    >>> stcs = mne_mmnet.localize_gfp_peaks(evoked, fwd, n_peaks=4)  # doctest: +SKIP
    >>> [stc.tmin for stc in stcs]  # doctest: +SKIP
    """
    _validate_type(inst, (mne.Evoked, mne.io.BaseRaw), "inst")
    check_count(n_peaks, "n_peaks")
    _validate_type(distance, "numeric", "distance")
    picks = mne.pick_types(inst.info, meg=False, eeg=True, exclude="bads")
    if len(picks) == 0:
        raise ValueError(
            "There are no good EEG channels, of which the field power could be taken."
        )
    data = inst.data if isinstance(inst, mne.Evoked) else inst.get_data()
    power = field_power(inst.info, data, picks)
    between = max(1, round(distance * inst.info["sfreq"]))
    found, _ = find_peaks(power, distance=between)
    if len(found) == 0:
        raise ValueError(
            "The global field power has no peak within the data. Use a longer window, or "
            "localize_maps for a single moment."
        )
    if n_peaks is not None:
        found = np.sort(found[np.argsort(power[found], kind="stable")[::-1][:n_peaks]])
    logger.info(f"{len(found)} peaks of the global field power")
    answer = localize_maps(data[:, found], inst.info, fwd, noise_cov, **options)
    stcs = answer[0] if isinstance(answer, tuple) else answer
    for stc, sample in zip(stcs, found, strict=True):
        stc.tmin, stc.tstep = float(inst.times[sample]), 1.0 / inst.info["sfreq"]
    return answer
