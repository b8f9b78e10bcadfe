"""
The mathematics, with the objective falling
===========================================

What is minimised, why no step can make it worse, and what the learned curvature buys: the same
objective descended by the network's steps and by the textbook's.
"""

# %%
# The objective
# -------------
#
# Sources are patches on the cortex, with unknown variances :math:`e^{u_i}`; the noise has unknown
# variance too. The data covariance :math:`C` is to be explained by
#
# .. math::
#
#    J(u, ℓ) = \log|Σ| + \mathrm{tr}(C Σ^{-1}) + \sum_i w_i e^{u_i} + r(ℓ),
#    \qquad Σ = \mathrm{noise}(ℓ) + \tilde L\, \mathrm{diag}(e^{u})\, \tilde L^\top,
#
# the negative log evidence plus a prior, whose weights :math:`w` a network reads from the data.
# Variances that do not help to explain the data shrink, which makes the estimate focal without
# anything being tuned.
#
# Majorization-minimization
# -------------------------
#
# :math:`\log|Σ|` is concave in the variances, and the trace is a minimum of functions that are
# linear in their inverses: at any iterate both are bounded from above by simple functions that
# touch them there. The sum of these is separable; with :math:`δ_i` the change of :math:`u_i`,
#
# .. math:: J(u + δ) \leq J(u) + \sum_i [ a_i (e^{δ_i} - 1) + b_i (e^{-δ_i} - 1) ].
#
# Its minimiser, :math:`e^{2δ_i} = b_i / a_i`, is the update of sparse Bayesian learning
# (Champagne): safe, and slow. The network may ask for a bolder step. A proposal under which
# :math:`J`, as computed, would rise is rejected and the curvature raised; the analytic step is
# the last resort. So :math:`J` never rises, whatever the network answers.

import matplotlib.pyplot as plt
import mne
import numpy as np
import torch

import mne_mmnet

rng = np.random.default_rng(3)
montage = mne.channels.make_standard_montage("biosemi32")
info = mne.create_info(montage.ch_names, sfreq=250.0, ch_types="eeg")
info.set_montage(montage)
fwd = mne_mmnet.make_template_forward(info)
fixed = mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True)
gain, places = fixed["sol"]["data"], fixed["source_rr"]

times = np.arange(50) / 250.0
data = 0.0
for place, peak in (([-0.045, 0.0, 0.085], 0.07), ([0.05, -0.06, 0.05], 0.12)):
    source = np.argmin(np.linalg.norm(places - place, axis=1))
    data = data + np.outer(gain[:, source], 30e-9 * np.exp(-0.5 * ((times - peak) / 0.02) ** 2))
data = data + 0.2 * data.std() * rng.standard_normal(data.shape)
evoked = mne.EvokedArray(data, info).set_eeg_reference(projection=True)

# %%
# The objective falling
# ---------------------
#
# The report holds the objective at the start and after every step. The first step moves the
# variances of all patches, the next ones those that still matter.
#
# The network is used for few steps; more of them go on in the same way.

operator = mne_mmnet.make_mmnet_operator(evoked.info, fwd)
_, report = mne_mmnet.apply_mmnet_inverse(evoked, operator, n_steps=40, return_report=True)
assert report.descended

image = mne_mmnet.plot_objective(report)
fig, ax = plt.subplots(figsize=(7, 4.4), layout="constrained")
ax.imshow(image)
ax.axis("off")

# %%
# What the learned curvature buys
# -------------------------------
#
# The same objective from the same start by the textbook's steps: in another operator the
# network's factor of the curvature is replaced by 1. (This reaches into the package's inside,
# which may change; nothing but this picture needs it.)

textbook = mne_mmnet.make_mmnet_operator(evoked.info, fwd)
textbook.route.network.curvature.forward = lambda v, majorant, summary, graph, state, rank: (
    torch.ones_like(v),
    state,
)
_, plain = mne_mmnet.apply_mmnet_inverse(evoked, textbook, n_steps=40, return_report=True)
assert plain.descended
traces = {"learned curvature": report.objective, "textbook": plain.objective}

fig, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
for name, trace in traces.items():
    ax.plot(trace, ".-", markersize=4, label=name)
ax.set(xlabel="step", ylabel="objective J", xscale="symlog", xlim=(0, None))
ax.legend()
for name, trace in traces.items():
    print(f"{name:18s} after 2 steps {trace[2]:.2f}, after 40 {trace[-1]:.2f}")

# %%
# Both roads only go down. The network is made for two steps, after which it is ahead; what it
# contributes beyond is the objective itself (the weights :math:`w`) and the start.
# ``benchmarks/ablation.py`` measures each part on many recordings.
#
# A lower objective is no proof of a better map: it is the price of what was assumed about sources
# and noise. That maps are good is a matter of simulations with known truth (``benchmarks/``) and
# of your judgement.
