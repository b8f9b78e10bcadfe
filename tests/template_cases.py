"""Recordings simulated on the template itself: a right input is localised without error."""

import functools
import warnings

import mne
import numpy as np

import mne_mmnet
from mne_cases import montage_info, normal_gain
from mne_mmnet._mne import COLIN27_1005

NAMES = (
    "Fp1 Fp2 F7 F3 Fz F4 F8 FC5 FC1 FC2 FC6 T7 C3 Cz C4 T8 CP5 CP1 CP2 CP6 P7 P3 Pz P4 P8 PO3 "
    "PO4 O1 Oz O2"
).split()
LEFT = 45


@functools.cache
def head(montage=COLIN27_1005, names=tuple(NAMES)):
    """Info, forward solution and lead field along the normals; cached, so copy before changes."""
    info = montage_info(montage, names, 500.0)
    fwd = mne_mmnet.make_template_forward(info, verbose="error")
    return info, fwd, normal_gain(fwd, info)


def referenced(data, info):
    """A response (V) whose average reference is pending."""
    evoked = mne.EvokedArray(data, info.copy(), comment="x", verbose=False)
    return evoked.set_eeg_reference(projection=True, verbose=False)


def make_response(info, lead, source=LEFT, n_times=50, noise=3e-7, seed=0):
    """One dipole of 50 nA·m and white noise (V)."""
    wave = 5e-8 * np.sin(np.arange(n_times) / 8)
    data = np.outer(lead[:, source], wave)
    data += noise * np.random.default_rng(seed).standard_normal(data.shape)
    return referenced(data, info)


def localize(evoked, fwd, **options):
    """Estimate, report and the texts of all warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stc, report = mne_mmnet.apply_mmnet_inverse(
            evoked, fwd, loose=1.0, return_report=True, verbose="warning", **options
        )
    return stc, report, [str(one.message) for one in caught]


def take(road, evoked, operator):
    """Localise on one of the roads that data can take; the stream's concerns, where it is one."""
    if road == "epochs":
        epochs = mne.EpochsArray(evoked.data[None], evoked.info, verbose="error")
        return mne_mmnet.apply_mmnet_inverse_epochs(epochs, operator, verbose="warning")
    if road == "raw":
        raw = mne.io.RawArray(evoked.data, evoked.info, verbose="error")
        return mne_mmnet.apply_mmnet_inverse_raw(raw, operator, verbose="warning")
    if road == "stream":
        stream = mne_mmnet.MMNetStream(operator, evoked.info)
        stream.push(evoked.data)
        return stream
    return mne_mmnet.apply_mmnet_inverse(evoked, operator, verbose="warning")


def miss(stc, fwd, source=LEFT):
    """Distance (mm) from the strongest location to the source."""
    peak = np.abs(stc.data).max(axis=1).argmax()
    return 1e3 * np.linalg.norm(fwd["source_rr"][peak] - fwd["source_rr"][source])
