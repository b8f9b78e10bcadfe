"""
Quick start
===========

From an averaged response to a picture of its sources, offline and without an MRI.
"""

# %%
# A recording
# -----------
#
# Yours comes from :func:`mne.read_evokeds`. Here one is made, so that the truth is known: a patch
# of cortex in the left postcentral gyrus, in 64 channels with noise. The head that makes the data
# has another skull and finer sources than the one that will invert them, as a real head would.

# sphinx_gallery_thumbnail_number = 2

import matplotlib.pyplot as plt
import mne
import numpy as np

import mne_mmnet

montage = mne.channels.make_standard_montage("biosemi64")
info = mne.create_info(montage.ch_names, sfreq=250.0, ch_types="eeg")
info.set_montage(montage)

subjects_dir = mne_mmnet.fetch_template()  # the head "fsaverage5", from what is installed
bem = mne_mmnet.make_template_bem(conductivity=(0.3, 0.01, 0.3), cache=True)
true_fwd = mne_mmnet.make_template_forward(info, "ico4", bem=bem)
true_fwd = mne.convert_forward_solution(true_fwd, surf_ori=True, force_fixed=True)

left = true_fwd["src"][0]
nearest = np.argmin(np.linalg.norm(left["rr"][left["vertno"]] - [-0.045, 0.0, 0.085], axis=1))
vertex = left["vertno"][nearest]
(patch,) = mne.grow_labels("fsaverage5", vertex, 8.0, 0, subjects_dir)  # 8 mm around it

times = np.arange(75) / 250.0 - 0.05
course = 5e-9 * np.exp(-0.5 * ((times - 0.1) / 0.02) ** 2)  # A·m at each source of the patch
truth = mne.simulation.simulate_stc(
    true_fwd["src"], [patch], course[np.newaxis], times[0], 1 / 250.0
)
evoked = mne.apply_forward(true_fwd, truth, info, verbose="error")
evoked.nave, single_trial = 50, 2e-6  # averages; noise of one trial in V
noise = single_trial / np.sqrt(evoked.nave)
evoked.data += noise * np.random.default_rng(0).standard_normal(evoked.data.shape)
noise_cov = mne.make_ad_hoc_cov(info, std=dict(eeg=single_trial))
evoked.set_eeg_reference(projection=True)

fig = evoked.plot_joint(times=[0.1], title="The recording")

# %%
# Its sources
# -----------
#
# A forward solution for these electrodes on the template head, and the estimate: an ordinary
# :class:`mne.SourceEstimate`, in A·m. Nothing has to be chosen: the data settle the orientations,
# along the cortex's normal where that explains them, across it where not, and the package sees
# that this is a template's lead field, which it trusts less than a subject's own.
# The report is the certificate that the objective never increased, and says what speaks against
# the answer.

fwd = mne_mmnet.make_template_forward(evoked.info)
window = evoked.copy().crop(0.0, 0.2)
stc, report = mne_mmnet.apply_mmnet_inverse(window, fwd, noise_cov, return_report=True)
print(report.describe())

# %%
# A picture at the time of the largest current; the green sphere is the centre of the true patch.

image = mne_mmnet.plot_sources(stc, truth=[[vertex], []], title="Estimate and true source")
fig, ax = plt.subplots(figsize=(9, 7.2), layout="constrained")
ax.imshow(image)
ax.axis("off")

# %%
# In words: the sources, at the time at which they are strongest. A source is a region, where the
# currents within 15 mm add up to most: the single largest current of a map depends more on the
# grid. ``sources.to_data_frame()`` is for pandas, ``sources.dipoles`` are :class:`mne.Dipole`.

sources = mne_mmnet.find_sources(stc, fwd)
print(sources)

# %%
# How far off is the first? The nearest position that the estimate could have answered is some
# millimetres away from the true one already: the template has a source every 10 mm.

miss = np.linalg.norm(sources[0].position_mm - 1e3 * left["rr"][vertex])
print(f"{miss:.0f} mm from the centre of the true patch")

# %%
# The estimate is saved with ``stc.save("response")`` and drawn interactively with ``stc.plot()``.
# With a single subject's own forward solution nothing changes but ``fwd``. Estimates are lengths
# of currents; ``pick_ori="normal"`` gives them a sign, ``loose=0`` fixes them to the normals.
