"""
Epochs, labels and connectivity
===============================

From single trials to time courses of labels, and from these to who oscillates with whom.
"""

# %%
# Trials of three places
# ----------------------
#
# Oscillations of 20 Hz at three places: the first two keep a quarter period between them in every
# trial, the third one has a phase of its own. A quarter, because at no lag at all coupling cannot
# be told from the spread of one source to many electrodes. The head that makes the data has
# another skull than the one that inverts them.

# sphinx_gallery_thumbnail_number = 2

import matplotlib.pyplot as plt
import mne
import numpy as np
from mne_connectivity import spectral_connectivity_epochs, symmetric_orth
from mne_connectivity.viz import plot_connectivity_circle

import mne_mmnet

rng = np.random.default_rng(0)
montage = mne.channels.make_standard_montage("biosemi64")
info = mne.create_info(montage.ch_names, sfreq=200.0, ch_types="eeg")
info.set_montage(montage)
subjects_dir = mne_mmnet.fetch_template()
bem = mne_mmnet.make_template_bem(conductivity=(0.3, 0.01, 0.3), cache=True)
true_fwd = mne_mmnet.make_template_forward(info, bem=bem)
true_fwd = mne.convert_forward_solution(true_fwd, surf_ori=True, force_fixed=True)
gain, places = true_fwd["sol"]["data"], true_fwd["source_rr"]

names = ("left central", "right central", "left occipital")
spots = ([-0.045, 0.0, 0.085], [0.045, 0.0, 0.085], [-0.03, -0.08, 0.05])
rows = [int(np.argmin(np.linalg.norm(places - spot, axis=1))) for spot in spots]
times = np.arange(100) / 200.0


def trial(coupled):
    """Sensor data of one trial."""
    first, second, third = rng.uniform(0.0, 2 * np.pi, 3)
    phases = (first, first + np.pi / 2 if coupled else second, third)
    courses = [np.sin(2 * np.pi * 20.0 * times + phase) for phase in phases]
    return 15e-9 * gain[:, rows] @ courses + 1e-6 * rng.standard_normal((len(gain), len(times)))


events = np.column_stack([np.arange(60), np.zeros(60, int), np.repeat([1, 2], 30)])
data = [trial(coupled) for coupled in events[:, 2] == 1]
epochs = mne.EpochsArray(data, info, events, event_id=dict(coupled=1, free=2))
epochs.set_eeg_reference(projection=True)

# %%
# Labels
# ------
#
# With FreeSurfer's parcellation of a subject they come from :func:`mne.read_labels_from_annot`.
# The template has none: they are grown around the places, 20 mm wide.

n_left = len(true_fwd["src"][0]["vertno"])
hemis = [int(row >= n_left) for row in rows]
vertices = [
    true_fwd["src"][hemi]["vertno"][row - hemi * n_left]
    for hemi, row in zip(hemis, rows, strict=True)
]
labels = mne.grow_labels("fsaverage5", vertices, 20.0, hemis, subjects_dir, names=list(names))

# %%
# Sources of every epoch
# ----------------------
#
# An epoch is solved from its own samples, in batches. ``label`` restricts what is returned (all
# sources are estimated all the same), and a generator keeps one batch in memory at a time.
# Orientations are fixed here (``loose=0``): phases need signs. Single trials of real recordings
# are noisier than these, and a warning counts those that are not distinguishable from noise.

noise_cov = mne.make_ad_hoc_cov(info, std=dict(eeg=1e-6))
fwd = mne_mmnet.make_template_forward(info)
operator = mne_mmnet.make_mmnet_operator(epochs.info, fwd, noise_cov, loose=0)
everywhere = labels[0] + labels[1] + labels[2]
courses = {}
for condition in ("coupled", "free"):
    stcs = mne_mmnet.apply_mmnet_inverse_epochs(
        epochs[condition], operator, label=everywhere, return_generator=True
    )
    courses[condition] = np.stack(
        mne.extract_label_time_course(stcs, labels, fwd["src"], mode="mean_flip")
    )
    print(condition, courses[condition].shape)

# %%
# :class:`mne_mmnet.SourceTransformer` does the same as a step of a scikit-learn pipeline.
#
# Two trials of the first condition; the right one follows the left one by a quarter period, with
# either sign (a label's sign is that of its main direction).

fig, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True, layout="constrained")
for k, ax in enumerate(axes):
    ax.plot(1e3 * times, 1e9 * courses["coupled"][k].T, label=names)
    ax.set(xlabel="time (ms)", title=f"Trial {k + 1}", xlim=(0, 200))
axes[0].set_ylabel("mean current (nA·m)")
axes[1].legend(fontsize="small")

# %%
# Connectivity
# ------------
#
# The imaginary part of coherency ignores what is common without a lag, which is what leakage of
# one source into the estimate of another looks like.

found = {}
for condition, of_labels in courses.items():
    coherency = spectral_connectivity_epochs(
        of_labels, method="imcoh", sfreq=200.0, fmin=15.0, fmax=25.0, faverage=True, verbose=False
    )
    found[condition] = np.abs(coherency.get_data("dense")[:, :, 0])
    print(
        f"{condition}: "
        + ", ".join(
            f"{names[i]} and {names[j]} {found[condition][i, j]:.2f}"
            for i, j in ((1, 0), (2, 0), (2, 1))
        )
    )

# %%

fig, axes = plt.subplots(1, 2, figsize=(9, 4.5), subplot_kw=dict(polar=True))
for ax, (condition, matrix) in zip(axes, found.items(), strict=True):
    plot_connectivity_circle(
        matrix,
        names,
        title=condition,
        ax=ax,
        vmin=0.0,
        vmax=1.0,
        facecolor="white",
        textcolor="black",
        colormap="viridis_r",
        padding=3,
        show=False,
    )

# %%
# With random phases and 30 trials an absolute value of about 0.2 is chance; compare conditions,
# or test with surrogates, before believing a number. Estimates of single trials are focal: where
# a source is missed in a trial, its label's course is zero there.

# %%
# What filters do to it
# ---------------------
#
# Filters (:func:`mne_mmnet.make_mmnet_filters`) are the same for all trials and conditions, and
# linear: nothing is missed in a trial, but what leaks, leaks in every trial alike. Here they are
# made of all samples of all trials, so that both conditions and all phases count. Courses of
# labels are means with flipped signs, or first principal components; and, to take away what is
# common at no lag, symmetrically orthogonalised (Colclough et al. 2015). Ordinary coherence tells
# how much leaks between places that are *not* coupled. Only the first two labels are
# orthogonalised: three courses of one frequency span two dimensions.

filters = mne_mmnet.make_mmnet_filters(epochs, operator)


def of_labels(condition, mode):
    """Time courses of the labels in every trial of a condition."""
    stcs = mne_mmnet.apply_mmnet_filters(epochs[condition], filters, label=everywhere)
    return np.stack(mne.extract_label_time_course(stcs, labels, fwd["src"], mode=mode))


ways = {
    "each trial by itself, mean": courses,
    "filters, mean": {name: of_labels(name, "mean_flip") for name in courses},
    "filters, PCA": {name: of_labels(name, "pca_flip") for name in courses},
}
ways["filters, PCA, orthogonalised"] = {
    name: np.stack(list(symmetric_orth(x[:, :2]))) for name, x in ways["filters, PCA"].items()
}
for name, way in ways.items():
    values = []
    for condition, method in (("coupled", "imcoh"), ("free", "imcoh"), ("free", "coh")):
        found = spectral_connectivity_epochs(
            way[condition],
            method=method,
            sfreq=200.0,
            fmin=15.0,
            fmax=25.0,
            faverage=True,
            verbose=False,
        )
        values.append(abs(found.get_data("dense")[1, 0, 0]))
    print(
        f"{name}: imaginary coherency {values[0]:.2f} coupled, {values[1]:.2f} free; "
        f"coherence {values[2]:.2f} free"
    )

# %%
# The cross-talk between labels is a property of the filters, and can be looked at before any data:
# of a unit current in one label, the share that the filters find in another.

resolution = mne_mmnet.make_mmnet_resolution_matrix(
    filters, mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True)
)
inside = np.stack(
    [
        np.concatenate(
            [
                np.isin(space["vertno"], label.vertices if label.hemi == hemi else [])
                for hemi, space in zip(("lh", "rh"), fwd["src"], strict=True)
            ]
        )
        for label in labels
    ]
).astype(float)
talk = inside @ np.abs(resolution) @ inside.T / inside.sum(axis=1)
print(np.round(talk / talk.diagonal(), 3))
