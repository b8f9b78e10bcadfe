"""
Your own head: forward model and fine-tuning
============================================

A subject's own forward model in place of the template, and the model's weights adapted to it.
"""

# %%
# With a FreeSurfer reconstruction the forward model is MNE-Python's business:
#
# .. code-block:: python
#
#    mne.bem.make_watershed_bem(subject)                 # surfaces, once
#    model = mne.make_bem_model(subject, ico=4)          # conductivities: 0.3, 0.006, 0.3 S/m
#    bem = mne.make_bem_solution(model)
#    src = mne.setup_source_space(subject, "ico4")
#    trans = mne.read_trans("subject-trans.fif")         # from mne coreg
#    fwd = mne.make_forward_solution(raw.info, trans, src, bem, meg=False)
#
# The same here for a head that comes without an MRI: an infant-sized one, the template shrunk to
# 70 % with a skull of twice the conductivity. This is no infant's head, but far enough from the
# adult ones that the network was trained on.
#
# How far a lead field is trusted depends on whose it is, the subject's own or a template's, and
# that is told from the source space. A reconstruction needs no word about it; this head's surfaces
# are the template's but for their size, so that ``head="own"`` says that it is the right one.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np

import mne_mmnet

SCALE, SUBJECT = 0.7, "small"
template = mne_mmnet.fetch_template() / "fsaverage5"
folder = tempfile.TemporaryDirectory()
subjects_dir = Path(folder.name)
for name in ("surf", "bem"):
    (subjects_dir / SUBJECT / name).mkdir(parents=True)
surfaces = [f"surf/{hemi}.{kind}" for hemi in ("lh", "rh") for kind in ("white", "sphere")]
surfaces += [f"bem/{name}.surf" for name in ("inner_skull", "outer_skull", "outer_skin")]
for surface in surfaces:
    rr, tris = mne.read_surface(template / surface)
    mne.write_surface(subjects_dir / SUBJECT / surface, SCALE * rr, tris)

bem = mne.make_bem_solution(
    mne.make_bem_model(SUBJECT, 3, (0.3, 0.012, 0.3), subjects_dir=subjects_dir)
)
montage = mne.channels.make_standard_montage("biosemi32")
info = mne.create_info(montage.ch_names, sfreq=250.0, ch_types="eeg").set_montage(montage)
trans = mne.read_trans(template / "bem" / "fsaverage5-trans.fif")
trans["trans"][:3, 3] *= SCALE
for channel in info["chs"]:
    channel["loc"][:3] *= SCALE


def make_forward(spacing):
    """Make the source space and its forward solution."""
    src = mne.setup_source_space(SUBJECT, spacing, subjects_dir=subjects_dir, add_dist=False)
    return mne.make_forward_solution(info, trans, src, bem, meg=False, mindist=0.0)


fwd, coarse = make_forward("ico3"), make_forward("ico2")

# %%
# Does it need fine-tuning?
# -------------------------
#
# Perhaps not: the descent is certified on any lead field, and the network sees scale-free features
# only. :func:`mne_mmnet.fine_tune` finds out: it simulates on perturbed versions of the head,
# adapts the weights, and compares old and new ones on perturbations held out. If the new ones are
# not better there for certain, the old ones come back.
#
# Half a minute on a coarse source space shows how it goes; take ``minutes=10`` (and a GPU, if you
# have one) for work. Weights are shared by all locations, so that they serve the fine source space
# as well. ``directory=...`` keeps checkpoints, from which the same call resumes.

mine = mne_mmnet.fine_tune(coarse, info=info, head="own", minutes=0.4, rng=0)
outcome = mine.card.provenance["outcome"]
print(f"{outcome['n_recordings']} held-out recordings; new weights kept: {outcome['kept']}")
for row in outcome["table"]:
    _, low, high = row["change"]
    print(
        f"{row['measure']:20s} {row['before']:7.3f} → {row['after']:7.3f} "
        f"(change {low:+.3f} … {high:+.3f}, 95 % interval)"
    )

# %%
# The intervals are what counts: one that includes zero is no finding, and where the loss's does,
# the old weights were returned. Half a minute is often too short to be sure.
#
# Using it
# --------
#
# A tuned model is saved with its card (what it was tuned on, the table above) and is given by its
# path, or as it is, wherever a model is asked for; from the shell,
# ``mne-mmnet finetune FWD.fif --minutes 10 --out my-model``.

mne_mmnet.save_model(mine, subjects_dir / "small-head")
mine = mne_mmnet.read_model(subjects_dir / "small-head")

fixed = mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True)
rng = np.random.default_rng(1)
source = int(np.argmin(np.linalg.norm(fixed["source_rr"] / SCALE - [-0.045, 0, 0.085], axis=1)))
course = np.exp(-0.5 * ((np.arange(50) - 25) / 5.0) ** 2)
data = np.outer(fixed["sol"]["data"][:, source], 30e-9 * course)
# the lead field is never exact: 20 % of error in every channel
data *= 1 + 0.2 * rng.standard_normal((len(data), 1))
data += 0.1 * data.std() * rng.standard_normal(data.shape)
evoked = mne.EvokedArray(data, info).set_eeg_reference(projection=True)

courses = {}
for name, model in (("mmnet-base", "mmnet-base"), ("what came back", mine)):
    stc, report = mne_mmnet.apply_mmnet_inverse(
        evoked, fwd, model=model, head="own", return_report=True
    )
    assert report.descended
    found = mne_mmnet.find_sources(stc, fwd, n_sources=1)
    near = np.linalg.norm(1e3 * fwd["source_rr"] - found[0].position_mm, axis=1) <= found.radius
    courses[name] = stc.data[near].sum(axis=0)
    miss = np.linalg.norm(found[0].position_mm - 1e3 * fwd["source_rr"][source])
    print(f"{name}: strongest region {miss:.0f} mm from the true source")

fig, ax = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
ax.plot(1e3 * evoked.times, 30 * course, "k--", label="true")
for name, width in zip(courses, (4, 1.5), strict=True):
    label = f"{name}, within {found.radius:g} mm"
    ax.plot(1e3 * evoked.times, 1e9 * courses[name], lw=width, label=label)
ax.set(xlabel="time (ms)", ylabel="moment (nA·m)")
fig.legend(loc="outside upper center", ncols=3, fontsize="small")
folder.cleanup()

# %%
# One recording shows that it works and no more: which weights are better is what the table says.
