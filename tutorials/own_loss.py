"""
Your own loss
=============

The certified loop minimises any differentiable objective: each step's curvature is an upper bound
of the Hessian's norm from Hessian-vector products, checked where it is used. Here a data term that
forgives outliers (Huber) localises a response with one broken electrode, where least squares with
the same prior goes astray.
"""

# %%
# A recording of one source in 64 channels; one electrode carries an artefact in every sample.

import matplotlib.pyplot as plt
import mne
import numpy as np
import torch

import mne_mmnet

montage = mne.channels.make_standard_montage("biosemi64")
info = mne.create_info(montage.ch_names, sfreq=250.0, ch_types="eeg")
info.set_montage(montage)
fwd = mne_mmnet.make_template_forward(info)
fwd = mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True)

rng = np.random.default_rng(0)
leadfield = fwd["sol"]["data"] - fwd["sol"]["data"].mean(axis=0)
source = int(np.argmin(np.linalg.norm(fwd["source_rr"] - [-0.045, 0.0, 0.085], axis=1)))
data = 30e-9 * leadfield[:, [source]] * np.sin(np.linspace(0.0, np.pi, 20))
noise = 0.1 * data.std()
data = data + noise * rng.standard_normal(data.shape)
data[info["ch_names"].index("O1")] += 150 * noise

# %%
# The objectives, in units of the noise; the prior is a depth-weighted minimum norm. A function
# gets the variable and the numbers of the samples that it holds, and answers one value a sample.

norms = np.linalg.norm(leadfield, axis=0)
depth = (norms / norms.mean()) ** 0.8
gain = leadfield / depth / noise * 1e-9  # currents in nA·m, depth-weighted
gain, recording = (torch.as_tensor(x, dtype=torch.float64) for x in (gain, data / noise))
recording = recording[None]


def objective(loss):
    """Sum a loss of the residuals, and add the prior."""

    def function(x, index):
        residual = recording[index] - gain @ x
        return loss(residual).sum((1, 2)) + 0.5 * x.square().sum((1, 2))

    return function


def huber(residual):
    """Quadratic up to 1.5 noise deviations, linear beyond."""
    return torch.nn.functional.huber_loss(
        residual, torch.zeros_like(residual), reduction="none", delta=1.5
    )


def squares(residual):
    """Half the square."""
    return 0.5 * residual.square()


# %%
# The certified loop, for both. The certificate is checked: no step went up.

start = torch.zeros(1, gain.shape[1], data.shape[1], dtype=torch.float64)
fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
misses = {}
for name, loss in (("least squares", squares), ("Huber", huber)):
    x, certificate = mne_mmnet.minimize(objective(loss), start, n_steps=150)
    steps = certificate.objective[0]
    assert bool((steps.diff() <= 0).all())
    peak = int(np.argmax(np.abs(x[0, :, 10].numpy() / depth)))
    misses[name] = 1e3 * np.linalg.norm(fwd["source_rr"][peak] - fwd["source_rr"][source])
    print(
        f"{name:13s} objective {steps[0]:.0f} → {steps[-1]:.0f}, "
        f"{int(certificate.retries.sum())} retries, peak {misses[name]:.0f} mm from the source"
    )
    axes[0].semilogy(steps / steps[0], label=name)
    size = np.abs(x[0, :, 10].numpy() / depth)
    distances = 1e3 * np.linalg.norm(fwd["source_rr"] - fwd["source_rr"][source], axis=1)
    axes[1].plot(distances, size, ".", markersize=3, label=name)
axes[0].set(xlabel="step", ylabel="objective, relative to the start")
axes[1].set(xlabel="distance from the true source (mm)", ylabel="current (nA·m)")
axes[1].legend(markerscale=4)

# %%
# Least squares has to explain the broken electrode, and puts currents under it; the Huber loss
# pays for it at a constant rate. After 150 steps neither has converged; the objectives are still
# falling, and only falling. A minimum norm is smooth and small: look at where its currents are,
# not at how large.
