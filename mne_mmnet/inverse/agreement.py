"""Comparison with eLORETA: a second opinion that owes nothing to training."""

import mne
import numpy as np

from ..dictionary.regions import Regions
from .solver_report import Agreement
from .threads import numpy_on_one_thread

_LAMBDA2 = 1.0 / 9.0
# sources whose field is weaker than this share of the strongest one's have none but rounding
_BLIND = 1e-12


def compare_with_eloreta(operator, evoked, currents):
    """Localise with MNE's eLORETA too, and compare."""
    if not currents.any():
        return Agreement(0.0, float("nan"), float("nan"))
    prepared = operator.prepared
    strength = np.linalg.norm(prepared.leadfield, axis=(0, 2))
    if strength.min() <= _BLIND * strength.max():  # eLORETA divides by it
        return Agreement(float("nan"), float("nan"), float("nan"))
    with mne.use_log_level("error"):
        picked = evoked.copy().pick(list(prepared.ch_names))
        if "eeg" in picked:
            picked.set_eeg_reference(projection=True)
        inverse = _prepare_eloreta(operator, picked)
        stc = mne.minimum_norm.apply_inverse(picked, inverse, _LAMBDA2, "eLORETA", prepared=True)
    theirs = np.linalg.norm(stc.data, axis=1)
    ours = np.linalg.norm(currents, axis=(1, 2))
    maps = np.stack([ours, theirs], axis=1)
    regions = Regions(prepared.positions).strongest(maps)
    peak_gap, region_gap = (
        float(np.linalg.norm(np.subtract(*prepared.positions[rows])))
        for rows in (maps.argmax(axis=0), regions)
    )
    return Agreement(_correlate(ours, theirs), peak_gap, region_gap)


def _prepare_eloreta(operator, evoked):
    """Inverse operator: the last one again, if nothing has changed that it depends on."""
    projs = evoked.info["projs"]
    key = (evoked.nave, *((proj["active"], proj["data"]["data"].tobytes()) for proj in projs))
    if key not in operator.second_opinion:
        cov = operator.noise_cov
        cov = mne.make_ad_hoc_cov(evoked.info) if cov is None else cov.copy()
        cov["data"] = np.asarray(cov["data"], float)  # big-endian as read from a file
        # MNE has nothing that settles orientations; 0.2 is its own default
        loose = {k: 0.2 if v == "evidence" else v for k, v in operator.prepared.loose.items()}
        with numpy_on_one_thread():
            inverse = mne.minimum_norm.make_inverse_operator(
                evoked.info,
                operator.fwd,
                cov,
                loose=loose,
                depth=None,
                use_cps=operator.prepared.use_cps,
            )
            inverse = mne.minimum_norm.prepare_inverse_operator(
                inverse, evoked.nave, _LAMBDA2, "eLORETA"
            )
        operator.second_opinion.clear()
        operator.second_opinion[key] = inverse
    return operator.second_opinion[key]


def _correlate(ours, theirs):
    if ours.std() == 0.0 or theirs.std() == 0.0:  # such as the map of a single source
        return float("nan")
    return float(np.corrcoef(ours, theirs)[0, 1])
