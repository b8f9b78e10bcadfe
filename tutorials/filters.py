"""
Filters: single trials, contrasts, continuous data
==================================================

Sources are estimated once, from an average; then everything that has the same sources is
localised by one matrix product.
"""

# %%
# Two conditions
# --------------
#
# Forty trials of each condition: a source in the left motor cortex that follows every stimulus,
# twice as strong in the first condition, and one in the visual cortex that doesn't differ. The
# head that makes the data has another skull than the one that inverts them.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np

import mne_mmnet

rng = np.random.default_rng(0)
sfreq = 250.0
info = mne.create_info(mne.channels.make_standard_montage("biosemi64").ch_names, sfreq, "eeg")
info.set_montage("biosemi64")
bem = mne_mmnet.make_template_bem(conductivity=(0.3, 0.01, 0.3), cache=True)
true_fwd = mne_mmnet.make_template_forward(info, bem=bem)
true_fwd = mne.convert_forward_solution(true_fwd, surf_ori=True, force_fixed=True)
gain, places = true_fwd["sol"]["data"], true_fwd["source_rr"]
spots = dict(motor=[-0.045, 0.0, 0.085], visual=[0.03, -0.085, 0.045])
rows = [int(np.argmin(np.linalg.norm(places - spot, axis=1))) for spot in spots.values()]
times = np.arange(-25, 75) / sfreq
courses = np.array([np.exp(-0.5 * ((times - t) / 0.02) ** 2) for t in (0.14, 0.09)])

events = np.column_stack([np.arange(80), np.zeros(80, int), np.tile([1, 2], 40)])
sizes = np.where(events[:, 2:] == 1, [40e-9, 30e-9], [20e-9, 30e-9])
sizes = sizes * rng.lognormal(0.0, 0.3, sizes.shape)
data = np.einsum("cs,ns,st->nct", gain[:, rows], sizes, courses)
data += 3e-6 * rng.standard_normal(data.shape)
epochs = mne.EpochsArray(data, info, events, times[0], dict(strong=1, weak=2), verbose=False)
epochs.set_eeg_reference(projection=True)
noise_cov = mne.compute_covariance(epochs, tmax=0.0, method="shrunk", verbose="error")
fwd = mne_mmnet.make_template_forward(info)
operator = mne_mmnet.make_mmnet_operator(epochs.info, fwd, noise_cov)

# %%
# Filters of both
# ---------------
#
# Made of the two averages together, the filters are the same for both conditions: a difference
# between these can't come from a difference between filters. Their estimate of an average is that
# of :func:`mne_mmnet.apply_mmnet_inverse`, and a contrast's is the contrast of the estimates.

conditions = ["strong", "weak"]
averages = [epochs[name].average() for name in conditions]
filters = mne_mmnet.make_mmnet_filters(averages, operator)
print(filters)

contrast = mne.combine_evoked(averages, [1.0, -1.0])
vector = dict(pick_ori="vector")
difference = mne_mmnet.apply_mmnet_filters(contrast, filters, **vector)
strong, weak = (mne_mmnet.apply_mmnet_filters(x, filters, **vector) for x in averages)
assert np.allclose(difference.data, strong.data - weak.data, atol=1e-6 * strong.data.max())
print(mne_mmnet.find_sources(difference, fwd, time=0.14, n_sources=2))

# %%
# Linear they are in what has a sign: with ``pick_ori="vector"`` or ``"normal"``, or fixed
# orientation. Lengths (``pick_ori=None``) are not: that of a difference is not the difference of
# the lengths.
#
# Single trials
# -------------
#
# A trial's noise is much larger than an average's. ``apply_nave=1`` tells the filters, which then
# let less of it through; that is how they follow single trials best (``benchmarks/
# filters_accuracy.py``: correlation with the true course 0.80, without it 0.73, each trial by
# itself 0.73, LCMV 0.67, eLORETA 0.72).

single = mne_mmnet.make_mmnet_filters(averages, operator, apply_nave=1)
hemi = int(rows[0] >= true_fwd["src"][0]["nuse"])
vertex = true_fwd["src"][hemi]["vertno"][rows[0] - hemi * true_fwd["src"][0]["nuse"]]
label = mne.grow_labels("fsaverage5", [vertex], 15.0, [hemi], mne_mmnet.fetch_template())[0]
found = {
    name: mne_mmnet.apply_mmnet_filters(
        epochs, x, label=label, pick_ori="normal", return_as="array"
    ).sum(axis=1)
    for name, x in (("of the average", filters), ("for single trials", single))
}

sign = np.sign(found["for single trials"][:, 60].mean())
order = np.argsort(events[:, 2], kind="stable")
truth = sizes[:, :1] * courses[0]
panels = {f"Filters {name}": sign * moments for name, moments in found.items()} | {"Truth": truth}
fig, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained", sharey=True)
for ax, (name, moments) in zip(axes, panels.items(), strict=True):
    limit = np.abs(moments).max()
    ax.imshow(
        moments[order],
        extent=(times[0], times[-1], 80, 0),
        aspect="auto",
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
    )
    ax.axhline(40, color="black", lw=0.8)
    ax.set(title=f"{name} (±{1e9 * limit:.1f} nA·m)", xlabel="time (s)")
axes[0].set_ylabel("trials: strong, then weak")

# %%

for name, moments in found.items():
    correlation = np.corrcoef(sign * moments.ravel(), truth.ravel())[0, 1]
    print(f"Filters {name}: correlation with the truth {correlation:.2f}")

# %%
# Amplitudes are shrunk: what a noisy trial does not prove is taken for noise. Compare trials and
# conditions under the same filters, not amplitudes of different filters.
#
# Continuous data
# ---------------
#
# Read and multiplied piece by piece: beside the result, a few MB are needed however long the
# recording is. Files of filters are HDF5.

raw = mne.io.RawArray(np.hstack(data), info, verbose=False)
raw.set_eeg_reference(projection=True)
with tempfile.TemporaryDirectory() as folder:
    single.save(Path(folder) / "tones-mmnet.h5")
    again = mne_mmnet.read_mmnet_filters(Path(folder) / "tones-mmnet.h5")
stc = mne_mmnet.apply_mmnet_filters(raw, again, label=label, pick_ori="normal")
print(f"{stc.shape[0]} sources, {stc.times[-1]:.0f} s")

# %%
# What leaks from where
# ---------------------
#
# Filters times lead field is the resolution matrix: its columns say where a source is found (point
# spread), its rows what leaks into an estimate (cross-talk). MNE's functions read them. Filters
# belong to their data: a source that is silent in these is suppressed everywhere, which is right
# for such data and wrong for others.

fixed = mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True, use_cps=True)
resolution = mne_mmnet.make_mmnet_resolution_matrix(filters, fixed, pick_ori="normal")
inverse = mne.minimum_norm.make_inverse_operator(epochs.info, fwd, noise_cov, loose=0, depth=None)
theirs = mne.minimum_norm.make_inverse_resolution_matrix(fixed, inverse, "eLORETA", 1.0 / 9.0)
spreads = {
    "mmnet": mne.minimum_norm.get_point_spread(resolution, fixed["src"], [rows[0]], norm="max"),
    "eLORETA": mne.minimum_norm.get_point_spread(theirs, fixed["src"], [rows[0]], norm="max"),
}
fig, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
for ax, (name, spread) in zip(axes, spreads.items(), strict=True):
    image = mne_mmnet.plot_sources(
        abs(spread), truth=[[vertex], []], title=f"Point spread of the motor source: {name}"
    )
    ax.imshow(image)
    ax.axis("off")
