"""
Quick start
===========

From an averaged response to a picture of its sources, offline and without an MRI.
"""

# %%
# A response with a known source: the left postcentral gyrus, in a 64-channel recording. The lead
# field that makes the data has another skull than the one that inverts them.

import mne
import numpy as np

import mne_mmnet

montage = mne.channels.make_standard_montage("biosemi64")
info = mne.create_info(montage.ch_names, sfreq=250.0, ch_types="eeg")
info.set_montage(montage)

bem = mne_mmnet.make_template_bem(conductivity=(0.3, 0.3 / 30, 0.3))
true_fwd = mne_mmnet.make_template_forward(info, bem=bem)
true_fwd = mne.convert_forward_solution(true_fwd, surf_ori=True, force_fixed=True)

rng = np.random.default_rng(0)
n_sources, times = true_fwd["nsource"], np.arange(50) / 250.0
source = int(np.argmin(np.linalg.norm(true_fwd["source_rr"] - [-0.045, 0.0, 0.085], axis=1)))
currents = np.zeros((n_sources, len(times)))
currents[source] = 30e-9 * np.exp(-0.5 * ((times - 0.1) / 0.02) ** 2)
data = true_fwd["sol"]["data"] @ currents
data += 0.2 * data.std() * rng.standard_normal(data.shape)

evoked = mne.EvokedArray(data, info, tmin=0.0)
evoked.set_eeg_reference(projection=True)

# %%
# The estimate. With no noise covariance the noise level is estimated from the data.

fwd = mne_mmnet.make_template_forward(info)
stc, report = mne_mmnet.apply_mmnet_inverse(evoked, fwd, return_report=True)
print(report)

vertex, time = stc.get_peak(vert_as_index=True)
miss = 1e3 * np.linalg.norm(fwd["source_rr"][vertex] - true_fwd["source_rr"][source])
print(f"Peak at {1e3 * time:.0f} ms, {miss:.0f} mm from the true source")
