"""
EEG without an MRI
==================

A real recording on the template head: what is needed, how to check it, and what the missing MRI
costs.
"""

# %%
# Electrodes
# ----------
#
# A template needs electrode positions, digitised or of a standard montage:
#
# .. code-block:: python
#
#    raw.set_montage("biosemi64")        # or mne.channels.read_dig_fif(...), read_custom_montage
#    raw.set_eeg_reference(projection=True)
#
# The recording here is a median-nerve response, 256 channels, that comes with ``spharapy``
# (``pip install mne_mmnet[demo]``). Its preparation for ``mne-mmnet demo`` (artefact interpolated,
# high-pass, lower electrodes left out, electrodes fitted to the scalp) was **chosen with the
# answer in view**: on the untouched recording methods miss by 40 mm and more.

# sphinx_gallery_thumbnail_number = 3

import matplotlib.pyplot as plt
import mne
import numpy as np
from mne.transforms import apply_trans

import mne_mmnet
from mne_mmnet._cli.recording import read_median_nerve

evoked = read_median_nerve()
fig = evoked.plot_joint(times=[0.0195, 0.03], title="Right median nerve")

# %%
# Always look at the electrodes on the head. They are brought to the template by the fiducials;
# :func:`mne_mmnet.make_template_forward` warns about electrodes more than 30 mm from the scalp
# (wrong unit, wrong fiducials) but cannot see a cap turned by 20 mm.

subjects_dir = mne_mmnet.fetch_template()
folder = subjects_dir / "fsaverage5" / "bem"
scalp = mne.read_surface(folder / "outer_skin.surf")[0] * 1e-3
head_to_mri = mne.read_trans(folder / "fsaverage5-trans.fif")
electrodes = np.array([channel["loc"][:3] for channel in evoked.info["chs"]])
electrodes = apply_trans(head_to_mri, electrodes)
fig, axes = plt.subplots(1, 2, figsize=(7, 3.6), layout="constrained")
for ax, across, name in zip(axes, (0, 1), ("from behind", "from the right"), strict=True):
    ax.plot(*1e3 * scalp[:, [across, 2]].T, ",", color="0.6")
    ax.plot(*1e3 * electrodes[:, [across, 2]].T, ".", color="C3")
    ax.set(aspect="equal", title=name, xlabel=f"{'xyz'[across]} (mm)", ylabel="z (mm)")

# %%
# Sources
# -------
#
# The template's folds are not the subject's, and nobody knows by how much: the data settle the
# orientations. ``print(operator.head)`` says what the lead field was taken for: a template's here,
# with electrodes that were measured. Crop to the response of interest, because variances are
# estimated from all samples given. Without a noise covariance the level of the noise is estimated
# from the data.

fwd = mne_mmnet.make_template_forward(evoked.info)
window = evoked.copy().crop(0.0195 - 0.05, 0.0195 + 0.05)  # as mne-mmnet localize does it
operator = mne_mmnet.make_mmnet_operator(window.info, fwd)
print(operator.head)
stc, report = mne_mmnet.apply_mmnet_inverse(window, operator, return_report=True)
print(mne_mmnet.find_sources(stc, operator, time=0.0195))
print(report.describe())

image = mne_mmnet.plot_sources(stc, time=0.0195, title="N20 of the right median nerve")
fig, ax = plt.subplots(figsize=(9, 7.2), layout="constrained")
ax.imshow(image)
ax.axis("off")

# %%
# The N20 is expected in the left postcentral gyrus, in the wall of the central sulcus, and there
# the strongest region is. In a window of ± 10 ms it moves to the other wall, the precentral gyrus:
# a template is not good to a fold. The parahippocampal gyrus and the occipital pole are not
# believable 20 ms after a stimulus at the wrist: fields from deep inside the head, and those that
# the wrong head cannot explain otherwise, end there.
#
# What the missing MRI costs
# --------------------------
#
# Nothing in an estimate shows it. A simulation does, in part: sources in heads with other skulls
# (conductivity, thickness) and electrodes moved by 5 mm, hardly any noise; once with the head
# that made the data, once with the standard template. ``head="own"`` says that the first lead
# field is right, which its source space, the template's, hides.

rng = np.random.default_rng(0)
montage = mne.channels.make_standard_montage("biosemi64")
info = mne.create_info(montage.ch_names, sfreq=250.0, ch_types="eeg").set_montage(montage)
course = np.exp(-0.5 * ((np.arange(25) - 12) / 4.0) ** 2)
template = mne_mmnet.make_template_forward(info)
errors = {"own head": [], "template": []}
for conductivity, thickness in ((0.02, 1.0), (0.004, 1.2)):
    moved = info.copy()
    for channel in moved["chs"]:
        channel["loc"][:3] += 0.005 * rng.standard_normal(3) / np.sqrt(3)
    bem = mne_mmnet.make_template_bem(
        conductivity=(0.3, conductivity, 0.3), skull_thickness=thickness, cache=True
    )
    true_fwd = mne_mmnet.make_template_forward(moved, "ico4", bem=bem)
    true_fwd = mne.convert_forward_solution(true_fwd, surf_ori=True, force_fixed=True)
    gain = true_fwd["sol"]["data"]
    strength = np.linalg.norm(gain - gain.mean(axis=0), axis=0)
    reachable = np.flatnonzero(strength > np.median(strength))
    own = mne_mmnet.make_template_forward(moved, bem=bem)
    operators = {
        "own head": mne_mmnet.make_mmnet_operator(info, own, head="own"),
        "template": mne_mmnet.make_mmnet_operator(info, template),
    }
    for source in rng.choice(reachable, 10, replace=False):
        data = np.outer(gain[:, source], 30e-9 * course)
        data += 0.05 * data.std() * rng.standard_normal(data.shape)
        one = mne.EvokedArray(data, info, verbose="error")
        one.set_eeg_reference(projection=True, verbose="error")
        for name, operator in operators.items():
            stc = mne_mmnet.apply_mmnet_inverse(one, operator, verbose="error")
            found = mne_mmnet.find_sources(stc, operator, n_sources=1)[0]
            miss = found.position_mm - 1e3 * true_fwd["source_rr"][source]
            errors[name].append(np.linalg.norm(miss))

for name, values in errors.items():
    low, median, high = np.percentile(values, (25, 50, 75))
    print(f"{name}: {median:.0f} mm (median; quartiles {low:.0f} and {high:.0f}, n={len(values)})")

# %%
# The own head's error is that of the grid and of the method, since its sources lie about 10 mm
# apart. The template adds the rest. Real subjects also differ in the shape of head and brain,
# which is not simulated here: expect more.
