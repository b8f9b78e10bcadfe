"""
Comparing with MNE's methods
============================

The same recordings through MNE, sLORETA, eLORETA and this package: pictures of one, numbers of
several, and what those numbers do not tell.
"""

# %%
# Recordings with known sources
# -----------------------------
#
# Two patches of cortex with overlapping time courses, and the rest of the brain: 1/f activity of
# 300 random places, in single trials ten times as strong as the response. The head that makes the
# data differs from the one that inverts them: skull conductivity, electrodes moved by 3 mm on
# average, sources four times as dense.

import matplotlib.pyplot as plt
import mne
import numpy as np
from mne.minimum_norm import apply_inverse, make_inverse_operator

import mne_mmnet

rng = np.random.default_rng(7)
montage = mne.channels.make_standard_montage("biosemi64")
info = mne.create_info(montage.ch_names, sfreq=250.0, ch_types="eeg")
info.set_montage(montage)
moved = info.copy()
for channel in moved["chs"]:
    channel["loc"][:3] += 0.003 * rng.standard_normal(3) / np.sqrt(3)

subjects_dir = mne_mmnet.fetch_template()
bem = mne_mmnet.make_template_bem(conductivity=(0.3, 0.01, 0.3), cache=True)
true_fwd = mne_mmnet.make_template_forward(moved, "ico4", bem=bem)
true_fwd = mne.convert_forward_solution(true_fwd, surf_ori=True, force_fixed=True)
true_gain, true_places = true_fwd["sol"]["data"], true_fwd["source_rr"]

n_trials, times = 40, np.arange(75) / 250.0 - 0.1
frequencies = np.fft.rfftfreq(len(times), 1 / 250.0)[1:]


def background():
    """Activity of 300 places with a 1/f spectrum, of unit power, for every trial."""
    shape = (n_trials, 300, len(frequencies))
    spectrum = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / frequencies**0.5
    spectrum = np.concatenate([np.zeros((*shape[:2], 1)), spectrum], axis=2)
    waves = true_gain[:, rng.choice(len(true_places), 300, replace=False)] @ np.fft.irfft(
        spectrum, len(times), axis=2
    )
    return waves / waves.std()


def choose_centres():
    """Choose two places in reach of the electrodes, at least 50 mm apart."""
    strength = np.linalg.norm(true_gain - true_gain.mean(axis=0), axis=0)
    reachable = np.flatnonzero(strength > np.median(strength))
    while True:
        centres = true_places[rng.choice(reachable, 2, replace=False)]
        if np.linalg.norm(np.diff(centres, axis=0)) > 0.05:  # m
            return centres


def record(centres):
    """Record trials of two patches, as epochs with an average reference."""
    signal = 0.0
    for centre, peak in zip(centres, (0.06, 0.12), strict=True):
        weights = np.exp(-0.5 * (np.linalg.norm(true_places - centre, axis=1) / 0.006) ** 2)
        course = np.exp(-0.5 * ((times - peak) / 0.02) ** 2)
        signal = signal + np.outer(true_gain @ weights, course)
    data = signal / np.abs(signal).max() + 0.5 * background()
    data += 0.2 * rng.standard_normal(data.shape)
    epochs = mne.EpochsArray(4e-6 * data, info, tmin=times[0], verbose="error")
    return epochs.set_eeg_reference(projection=True, verbose="error")


# %%
# All methods get the same evoked response, forward solution and noise covariance, and the same
# fixed orientation, which is right here: the folds are those of the template. MNE's own get the
# usual λ² = 1/9 and, except for eLORETA, which needs none, the usual depth weighting.

fwd = mne_mmnet.make_template_forward(info)
methods = {"mmnet": None, "MNE": 0.8, "sLORETA": 0.8, "eLORETA": None}


def localise(epochs):
    """Estimates of all methods."""
    noise_cov = mne.compute_covariance(epochs, tmax=0.0, method="shrunk", verbose="error")
    evoked = epochs.average().crop(0.0, None)
    stcs = {
        "mmnet": mne_mmnet.apply_mmnet_inverse(evoked, fwd, noise_cov, loose=0.0, verbose="error")
    }
    for method, depth in list(methods.items())[1:]:
        inverse = make_inverse_operator(
            evoked.info, fwd, noise_cov, loose=0.0, depth=depth, verbose="error"
        )
        stcs[method] = apply_inverse(evoked, inverse, 1 / 9, method, verbose="error")
    return stcs


# %%
# One recording, seen by all
# --------------------------
#
# The maps when the first source, near the left central sulcus (green), is at its peak, before the
# second one in the right temporal lobe. Places are chosen to be seen from outside. Each map has
# its own scale: red out of the cortex, blue into it. sLORETA's is a statistic without unit.

centres = np.array([[-0.045, 0.0, 0.085], [0.065, 0.0, 0.045]])  # m, head coordinates
left = true_fwd["src"][0]
nearest = np.argmin(np.linalg.norm(left["rr"][left["vertno"]] - centres[0], axis=1))
truth = [left["vertno"][[nearest]], []]
stcs = localise(record(centres))

fig, axes = plt.subplots(2, figsize=(9, 8.2), layout="constrained")
for ax, names in zip(axes, (("mmnet", "MNE"), ("sLORETA", "eLORETA")), strict=True):
    pair = {name: stcs[name] for name in names}
    ax.imshow(mne_mmnet.plot_comparison(pair, time=0.06, truth=truth))
    ax.axis("off")

# %%
# Ten recordings, in numbers
# --------------------------
#
# At each source's peak time: the distance from its centre to the strongest place of the map, and
# the share of the map's power that lies within 20 mm of either centre (how much of the picture is
# about the sources).

places = fwd["source_rr"]
errors = {name: [] for name in methods}
shares = {name: [] for name in methods}
for _ in range(10):
    centres = choose_centres()
    for name, stc in localise(record(centres)).items():
        for peak in (0.06, 0.12):
            power = stc.data[:, np.argmin(np.abs(stc.times - peak))] ** 2
            # the map may rightly be strongest at the other source
            distances = np.linalg.norm(places[:, None] - centres, axis=2).min(axis=1)
            errors[name].append(1e3 * distances[np.argmax(power)])
            shares[name].append(power[distances < 0.02].sum() / power.sum())

for name in methods:
    print(
        f"{name:8s} strongest place {np.median(errors[name]):3.0f} mm from a source (median), "
        f"{np.mean(shares[name]):4.0%} of the power within 20 mm"
    )

# %%

fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
columns = ((errors, "strongest place to nearest source (mm)"), (shares, "power within 20 mm"))
for ax, (values, title) in zip(axes, columns, strict=True):
    ax.boxplot(list(values.values()), showfliers=True)
    ax.set_xticks(range(1, len(values) + 1), list(values))
    ax.set_title(title)
    ax.set_ylim(0, None)

# %%
# Read with care
# --------------
#
# * Twenty peaks of ten recordings rank nothing: intervals are wide, and another seed moves them.
#   ``benchmarks/`` holds the comparisons with enough recordings and confidence intervals.
# * Linear maps are smooth by construction. That their power is spread out is no fault where
#   activity is; a sparse estimate shows less of it. For an extended source choose accordingly.
# * The patches here are like those that the network was trained on.
# * Agreement of two methods is no proof. But where mmnet and eLORETA peak far apart, look twice:
#   ``report.agreement`` tells, see the tutorial on diagnostics.
