"""
Reading the diagnostics and the uncertainty
===========================================

What the report says of a good recording, of noise, and of data in the wrong unit; and where the
strongest region may be.
"""

# %%
# A good recording and a bad one
# ------------------------------
#
# One patch of cortex, once well above the noise, once far below it. The noise covariance is
# known, as from a long baseline.

# sphinx_gallery_thumbnail_number = 2

import warnings

import matplotlib.pyplot as plt
import mne
import numpy as np

import mne_mmnet

rng = np.random.default_rng(5)
montage = mne.channels.make_standard_montage("biosemi64")
info = mne.create_info(montage.ch_names, sfreq=250.0, ch_types="eeg")
info.set_montage(montage)
bem = mne_mmnet.make_template_bem(conductivity=(0.3, 0.01, 0.3), cache=True)
true_fwd = mne_mmnet.make_template_forward(info, "ico4", bem=bem)
true_fwd = mne.convert_forward_solution(true_fwd, surf_ori=True, force_fixed=True)

places = true_fwd["source_rr"]
source = np.argmin(np.linalg.norm(places - [-0.045, 0.0, 0.085], axis=1))
vertex = true_fwd["src"][0]["vertno"][source]
patch = np.exp(-0.5 * (np.linalg.norm(places - places[source], axis=1) / 0.005) ** 2)
times = np.arange(50) / 250.0
course = np.exp(-0.5 * ((times - 0.1) / 0.02) ** 2)
response = np.outer(true_fwd["sol"]["data"] @ patch, course)
response *= 5e-6 / np.abs(response).max()  # V


def record(size):
    """Add 0.3 µV of noise to the response."""
    data = size * response + 3e-7 * rng.standard_normal(response.shape)
    return mne.EvokedArray(data, info).set_eeg_reference(projection=True)


noise_cov = mne.make_ad_hoc_cov(info, std=dict(eeg=3e-7))
fwd = mne_mmnet.make_template_forward(info)
evoked = record(1.0)
operator = mne_mmnet.make_mmnet_operator(evoked.info, fwd, noise_cov)
stc, report, uncertainty = mne_mmnet.apply_mmnet_inverse(
    evoked, operator, return_report=True, return_uncertainty=True
)
print(report.describe())

# %%
# Line by line:
#
# * *Objective*, *Descent*: the certificate. It speaks of the optimiser, not of the brain.
# * *Explained*: share of the whitened data. High at the response's peak and low in the baseline
#   is as it should be: see the figure.
# * *Residual*: with a noise covariance, the mean square of what is left. 1 is noise alone; 2 says
#   that something was not explained, or that the covariance is too small; 0.5 that noise was
#   explained too, or that the covariance is too large.
# * *eLORETA*: a method without training as a witness. It is smooth and this estimate is focal, so
#   0.3 is a usual correlation. Regions some 10 mm apart agree; 60 mm apart is a reason to look.
# * *Training domain*: whether number of channels and signal-to-noise ratio are such as the
#   network has seen.
# * *Concerns*: what speaks against the answer. They are warnings, too.

fig, ax = plt.subplots(figsize=(6.5, 3), layout="constrained")
ax.plot(1e3 * stc.times, 100 * report.explained_times)
ax.set(xlabel="time (ms)", ylabel="explained (%)", ylim=(0, 100))

# %%
# The same patch at a fiftieth of the size is buried. There is an answer, as there always is, and
# a warning not to read it.

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    _, noise_report = mne_mmnet.apply_mmnet_inverse(record(0.02), operator, return_report=True)
print("\n".join(f"Warning: {warning.message}" for warning in caught))
assert noise_report.concerns
print(f"Domain score {noise_report.domain_score:.1f}, {noise_report}")

# %%
# Data in µV, taken for V, give currents that no cortex can carry.

in_microvolt = evoked.copy()
in_microvolt.data *= 1e6
_, unit_report = mne_mmnet.apply_mmnet_inverse(
    in_microvolt, fwd, return_report=True, verbose="error"
)
print("\n".join(unit_report.concerns))
assert unit_report.concerns

# %%
# Where may the strongest region be?
# ----------------------------------
#
# ``uncertainty.peak_probability`` has a probability for each location, and
# ``uncertainty.region(0.9)`` is the smallest set of them that holds the place of the strongest
# region (that of the largest moment within 15 mm) with 90 % probability: right on average over
# simulations like those it was fitted on (``benchmarks/calibration.py``), no promise for a
# recording known to be special. Weak responses have larger regions; the weakest here is outside
# the training domain, as a warning says.

sizes, regions = (1.0, 0.3, 0.1), []
for size in sizes:
    stc, uncertainty = mne_mmnet.apply_mmnet_inverse(
        record(size), operator, return_uncertainty=True
    )
    inside = uncertainty.region(0.9)
    distance = 1e3 * np.linalg.norm(fwd["source_rr"] - places[source], axis=1)
    regions.append(uncertainty)
    print(
        f"{5 * size:3.1f} µV: {inside.sum():4d} locations in the 90 % region; the location "
        f"nearest to the truth is {'inside' if inside[np.argmin(distance)] else 'outside'}, "
        f"the region's nearest one {distance[inside].min():.0f} mm away"
    )

# %%
# The probabilities of the strong and of the weak response, the 90 % regions outlined; the green
# sphere is the true source.

fig, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
for ax, size, one in zip(axes, sizes[::2], regions[::2], strict=True):
    title = f"Probability of the strongest region, {5 * size:.1f} µV response"
    image = mne_mmnet.plot_sources(
        one.peak_probability, truth=[[vertex], []], region=one, title=title
    )
    ax.imshow(image)
    ax.axis("off")

# %%
# ``uncertainty.std`` is the posterior standard deviation of each current, in A·m. It takes the
# source variances as known, so that it is a lower bound. That the head is a template's is taken
# into account, as far as people differ from it on average; a particular error of a head, such as
# a hole in the skull, is not.
