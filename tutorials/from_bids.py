"""
From BIDS to sources
====================

A data set in the Brain Imaging Data Structure, read with MNE-BIDS, down to sources saved as
derivatives.
"""

# %%
# A small data set
# ----------------
#
# If you have one, skip this. Here a subject's recording is simulated (40 stimuli, each followed by
# a response of one place; slow background activity and noise) and written as BIDS, with positions
# of the electrodes, to a temporary folder.

# sphinx_gallery_thumbnail_number = 2

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np
from mne_bids import BIDSPath, make_report, print_dir_tree, read_raw_bids, write_raw_bids

import mne_mmnet

folder = tempfile.TemporaryDirectory()
root = Path(folder.name) / "study"

rng = np.random.default_rng(1)
sfreq, n_stimuli = 250.0, 40
montage = mne.channels.make_standard_montage("biosemi64")
info = mne.create_info(montage.ch_names, sfreq, "eeg").set_montage(montage)
info["line_freq"] = 50.0
bem = mne_mmnet.make_template_bem(conductivity=(0.3, 0.01, 0.3), cache=True)
true_fwd = mne_mmnet.make_template_forward(info, bem=bem)
true_fwd = mne.convert_forward_solution(true_fwd, surf_ori=True, force_fixed=True)
gain, places = true_fwd["sol"]["data"], true_fwd["source_rr"]
source = int(np.argmin(np.linalg.norm(places - [-0.05, -0.06, 0.04], axis=1)))

n_samples = int((n_stimuli + 1) * sfreq)
times = np.arange(n_samples) / sfreq
onsets = 0.5 + np.arange(n_stimuli)
course = sum(np.exp(-0.5 * ((times - onset - 0.1) / 0.015) ** 2) for onset in onsets)
data = 30e-9 * np.outer(gain[:, source], course)
waves = np.cumsum(rng.standard_normal((100, n_samples)), axis=1)
waves -= mne.filter.filter_data(waves, sfreq, None, 1.0, verbose=False)  # no drifts
background = gain[:, rng.choice(len(places), 100, replace=False)] @ waves
data += 2e-6 * background / background.std() + 1e-6 * rng.standard_normal(data.shape)
raw = mne.io.RawArray(data, info)
raw.set_annotations(mne.Annotations(onsets, 0.1, "checkerboard"))

bids_path = BIDSPath(subject="01", task="visual", datatype="eeg", root=root)
write_raw_bids(raw, bids_path, allow_preload=True, format="BrainVision", verbose="error")
print_dir_tree(root)

# %%
# Reading it
# ----------
#
# :func:`mne_bids.read_raw_bids` brings the recording with its events, bad channels and electrodes.

raw = read_raw_bids(bids_path, verbose="error")
raw.load_data().filter(1.0, 40.0)
raw.set_eeg_reference(projection=True)
events, event_id = mne.events_from_annotations(raw)
epochs = mne.Epochs(raw, events, event_id, tmin=-0.3, tmax=0.3, baseline=(None, 0.0), preload=True)
evoked = epochs["checkerboard"].average()
fig = evoked.plot_joint(times=[0.1], title="Checkerboard")

# %%
# Sources
# -------
#
# The noise covariance is that of single trials before the stimulus; the number of averages is
# taken from the evoked response. BIDS stores electrodes without an MRI here, so the template head
# it is, which the data's orientations need not follow.

noise_cov = mne.compute_covariance(epochs, tmax=0.0, method="shrunk")
fwd = mne_mmnet.make_template_forward(evoked.info)
window = evoked.copy().crop(0.05, 0.15)
stc, report = mne_mmnet.apply_mmnet_inverse(window, fwd, noise_cov, return_report=True)
print(report.describe())

n_left = len(true_fwd["src"][0]["vertno"])
hemi = int(source >= n_left)
truth = [[], []]
truth[hemi] = [true_fwd["src"][hemi]["vertno"][source - hemi * n_left]]
image = mne_mmnet.plot_sources(stc, truth=truth, title="sub-01, checkerboard")
fig, ax = plt.subplots(figsize=(9, 7.2), layout="constrained")
ax.imshow(image)
ax.axis("off")

# %%
# Derivatives
# -----------
#
# Estimates go to a folder of their own beside the raw data, under names that say what they are.

derivatives = BIDSPath(
    subject="01",
    task="visual",
    suffix="mmnet",
    datatype="eeg",
    root=root / "derivatives" / "mne-mmnet",
    check=False,
)
derivatives.mkdir()
stc.save(derivatives.fpath, overwrite=True)
evoked.save(derivatives.copy().update(suffix="ave", extension=".fif").fpath, overwrite=True)
print_dir_tree(root / "derivatives")
again = mne.read_source_estimate(derivatives.fpath, "fsaverage5")
assert np.allclose(again.data, stc.data, rtol=1e-5)

# %%
# Put into your report of the methods what MNE-BIDS says of the data, and the version of this
# package and the name of its model.

print(make_report(root, verbose="error"))
print(f"mne_mmnet {mne_mmnet.__version__}, mmnet-base")
folder.cleanup()
