"""
Volume source spaces
====================

Sources on a grid through the whole brain instead of on the cortex: for deep structures, or where
no cortical surface is at hand. What EEG can say about depth is shown, too.
"""

# %%
# A grid inside the skull
# -----------------------
#
# The grid fills the inner skull of the template head; with an MRI of the subject, use its own
# ``bem`` and ``trans``. Currents have no preferred direction there, so that orientations are free.

import matplotlib.pyplot as plt
import mne
import numpy as np

import mne_mmnet

montage = mne.channels.make_standard_montage("biosemi64")
info = mne.create_info(montage.ch_names, sfreq=250.0, ch_types="eeg")
info.set_montage(montage)

subjects_dir = mne_mmnet.fetch_template()
trans = subjects_dir / "fsaverage5" / "bem" / "fsaverage5-trans.fif"
bem = mne_mmnet.make_template_bem()


def make_forward(pos, bem):
    """Make a grid of spacing ``pos`` (mm), and its forward solution."""
    src = mne.setup_volume_source_space(pos=pos, bem=bem, mindist=10.0, verbose="error")
    return mne.make_forward_solution(info, trans, src, bem, meg=False, eeg=True, verbose="error")


fwd = make_forward(12.0, bem)
print(fwd)

# %%
# Two sources, one shallow, one deep
# ----------------------------------
#
# They are made on a finer grid, in a head with another skull, each alone, with the same
# signal-to-noise ratio in the electrodes. (Of the same moment, the deep one would hardly be seen.)

other_bem = mne_mmnet.make_template_bem(conductivity=(0.3, 0.01, 0.3), cache=True)
true_fwd = make_forward(9.0, other_bem)
rng = np.random.default_rng(2)
times = np.arange(50) / 250.0
course = np.exp(-0.5 * ((times - 0.1) / 0.02) ** 2)


def record(place):
    """Record the source nearest to a place; return evoked, position and moment."""
    source = np.argmin(np.linalg.norm(true_fwd["source_rr"] - place, axis=1))
    towards = np.array([0.0, 0.6, 0.8])  # forwards and up
    response = true_fwd["sol"]["data"][:, 3 * source : 3 * source + 3] @ towards
    moment = 4e-6 / np.abs(response).max()  # 4 µV at the strongest electrode
    data = moment * np.outer(response, course) + 0.4e-6 * rng.standard_normal((64, 50))
    evoked = mne.EvokedArray(data, info, verbose="error")
    evoked.set_eeg_reference(projection=True, verbose="error")
    return evoked, true_fwd["source_rr"][source], moment


noise_cov = mne.make_ad_hoc_cov(info, std=dict(eeg=0.4e-6))
grid = fwd["source_rr"]
found = {}
for name, place in (("shallow", [-0.04, 0.02, 0.08]), ("deep", [0.015, 0.0, 0.04])):
    evoked, position, moment = record(place)
    stc, uncertainty = mne_mmnet.apply_mmnet_inverse(
        evoked, fwd, noise_cov, return_uncertainty=True
    )
    row, time = stc.get_peak(vert_as_index=True)
    miss = 1e3 * np.linalg.norm(grid[row] - position)
    print(
        f"{name:8s} {1e9 * moment:4.0f} nA·m; peak at {1e3 * time:.0f} ms, {miss:.0f} mm from the "
        f"source; {uncertainty.region(0.9).sum()} of {len(grid)} locations in the 90 % region"
    )
    found[name] = stc, position

# %%
# The estimate is a :class:`mne.VolSourceEstimate`. ``stc.plot(fwd["src"])`` draws it over an MRI;
# the template has none, so the largest current along each line of sight is drawn instead, with
# the brain's outline (of the grid) in grey and the true source as a green circle.

fig, axes = plt.subplots(2, 3, figsize=(9, 6.4), layout="constrained")
views = (("from above", 0, 1), ("from the right", 1, 2), ("from behind", 0, 2))
for line, (name, (stc, position)) in zip(axes, found.items(), strict=True):
    size = 1e9 * np.abs(stc.data).max(axis=1)
    order = np.argsort(size)  # the strongest in front
    for ax, (view, across, up) in zip(line, views, strict=True):
        ax.scatter(*1e3 * grid[:, [across, up]].T, s=60, c="0.92", linewidth=0)
        shown = order[size[order] > 0.05 * size.max()]
        dots = ax.scatter(
            *1e3 * grid[np.ix_(shown, [across, up])].T,
            s=60,
            c=size[shown],
            cmap="inferno_r",
            vmin=0,
            vmax=size.max(),
        )
        ax.plot(*1e3 * position[[across, up]], "o", mfc="none", mec="#00a651", ms=14, mew=2)
        ax.set(aspect="equal", title=f"{name}, {view}", xlabel=f"{'xyz'[across]} (mm)")
        ax.set_ylabel(f"{'xyz'[up]} (mm)")
    fig.colorbar(dots, ax=line, label="current (nA·m)", shrink=0.8)

# %%
# Read with care
# --------------
#
# A deep source's potentials are smooth, and so are those of shallow activity spread over both
# hemispheres: EEG tells them apart by assumption only. Here the assumption is true, one compact
# source. In a real brain, a deep peak calls for other evidence. Moments of free orientation are
# shrunk by noise: don't read them as absolute.
