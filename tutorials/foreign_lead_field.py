"""
Lead fields from elsewhere
==========================

A lead field of Brainstorm, FieldTrip, a finite-element program or a colleague becomes a forward
solution, for this package and for MNE's own methods.
"""

# %%
# What other programs write
# -------------------------
#
# This lead field is laid out as Brainstorm's: three columns a source in V/(A·m), triangles that
# count from 1, x to the nose and y to the left. It comes from the template here, so that we can
# see whether it arrives unharmed.

import matplotlib.pyplot as plt
import mne
import numpy as np

import mne_mmnet

info = mne.create_info(mne.channels.make_standard_montage("biosemi64").ch_names, 250.0, "eeg")
info.set_montage("biosemi64")
reference = mne_mmnet.make_template_forward(info, medial_wall=True)
left, right = reference["src"]


def to_scs(vectors):
    """From MNE's axes to Brainstorm's."""
    return np.stack([vectors[..., 1], -vectors[..., 0], vectors[..., 2]], axis=-1)


headmodel = dict(
    Gain=to_scs(reference["sol"]["data"].reshape(64, -1, 3)).reshape(64, -1),
    GridLoc=to_scs(reference["source_rr"]),
    GridOrient=to_scs(np.concatenate([s["nn"][s["vertno"]] for s in (left, right)])),
)
number = [np.cumsum(s["inuse"]) - 1 for s in (left, right)]
faces = [n[s["use_tris"]] for n, s in zip(number, (left, right), strict=True)]
headmodel["Faces"] = 1 + np.concatenate([faces[0], left["nuse"] + faces[1]])

# %%
# Mistakes are seen
# -----------------
#
# Axes, units and orders that are wrong pass every check of shapes. Fields of a homogeneous medium
# know better: the lead field of a head correlates with them by about 0.9, a mistaken one does not.

arrays = dict(
    leadfield=headmodel["Gain"],
    positions=headmodel["GridLoc"],
    normals=headmodel["GridOrient"],
    triangles=headmodel["Faces"] - 1,
)
mistakes = {
    "as it is": arrays,
    "triangles from 1": arrays | dict(triangles=headmodel["Faces"]),
    "millimetres": arrays | dict(positions=1e3 * headmodel["GridLoc"]),
}
for name, given in mistakes.items():
    try:
        mne_mmnet.make_forward_from_arrays(info=info, **given, hemispheres=None)
    except ValueError as error:
        print(f"{name}: {error}\n")

# %%
# The right way
# -------------
#
# Turned to MNE's axes (x to the right, y to the nose), it is taken. The hemispheres are the two
# pieces of the mesh.


def from_scs(vectors):
    """From Brainstorm's axes to MNE's."""
    return np.stack([-vectors[..., 1], vectors[..., 0], vectors[..., 2]], axis=-1)


fwd = mne_mmnet.make_forward_from_arrays(
    from_scs(headmodel["Gain"].reshape(64, -1, 3)),
    from_scs(headmodel["GridLoc"]),
    info,
    normals=from_scs(headmodel["GridOrient"]),
    triangles=headmodel["Faces"] - 1,
    subject="fsaverage5",
    trans=reference["mri_head_t"],
)
print(fwd)

# %%
# It is an ordinary forward solution
# ----------------------------------
#
# The same response by the original forward solution and by the one from arrays: both methods give
# the same answer.

rng = np.random.default_rng(0)
evoked = mne.EvokedArray(2e-7 * rng.standard_normal((64, 50)), info, verbose=False)
fixed = mne.convert_forward_solution(reference, surf_ori=True, force_fixed=True)
course = 40e-9 * np.hanning(50)
evoked.data += np.outer(fixed["sol"]["data"][:, 900], course)
evoked.set_eeg_reference(projection=True, verbose=False)
noise_cov = mne.make_ad_hoc_cov(info, std=dict(eeg=2e-7))

fig, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for ax, name in zip(axes, ("mmnet", "eLORETA"), strict=True):
    for label, one in (("MNE's forward solution", reference), ("from arrays", fwd)):
        if name == "mmnet":
            stc = mne_mmnet.apply_mmnet_inverse(evoked, one, noise_cov, head="own")
        else:
            inverse = mne.minimum_norm.make_inverse_operator(
                evoked.info, one, noise_cov, loose=0.2, use_cps=False
            )
            stc = mne.minimum_norm.apply_inverse(evoked, inverse, 1.0 / 9.0, name)
        ax.plot(1e9 * stc.data[:, 25], lw=2.5 if "MNE" in label else 1.0, label=label)
    ax.set(title=name, xlabel="source")
axes[0].set_ylabel("current at the peak (nA·m)")
axes[1].legend(fontsize="small")
