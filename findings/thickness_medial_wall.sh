#!/bin/sh
# Cortical thickness does not tell the medial wall of fsaverage5.
#
# nilearn 0.14.1 ships the thickness of fsaverage5 (thick_left, thick_right). The medial wall has
# no cortex, so one expects zero there, and "thickness > 0" to be the cortex. It is not:
#
#                                        left   right
#   vertices of the medial wall           888     881
#   ... with a thickness of exactly 0     263     304   (30 % and 35 %)
#   ... with a thickness below 0.05 mm    358     402   (40 % and 46 %)
#   ... with a thickness of 3 mm or more   97      86   (as thick as cortex gets; up to 4.5 mm)
#
# No threshold helps: 1.5 mm, which is already within the range of cortex (it takes 178 and 203
# vertices of it away), still leaves 241 and 247 vertices of the wall in. Off the wall no vertex is
# zero: zero thickness means wall, wall does not mean zero thickness.
#
# Where the wall is, we take from another source: the resting-state recording on fsaverage5 in
# brainspace 0.3.0, which has signal on cortex and is zero at all times on the wall. Checked below:
# its surface is nilearn's, vertex by vertex; the vertices without signal are one connected piece
# on each hemisphere; and all vertices of zero thickness are among them.
#
# Versions: nilearn 0.14.1, brainspace 0.3.0 (its data files alone are read), nibabel 5.4.2.
# Exits with 0 as long as this holds.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet nilearn==0.14.1 nibabel==5.4.2 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/pip" install --quiet --no-deps brainspace==0.3.0
export NILEARN_DATA="$folder/data"
cat >"$folder/check.py" <<'PYTHON'
import importlib.metadata
import importlib.util
import pathlib
import sys

import nibabel
import numpy as np
from nilearn.datasets import fetch_surf_fsaverage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SEEN = {  # size of the wall, thickness 0, below 0.05 mm, 3 mm and more, over 1.5 mm; cortex to 1.5
    "left": (888, 263, 358, 97, 241, 178),
    "right": (881, 304, 402, 86, 247, 203),
}

for package in ("nilearn", "brainspace", "nibabel"):
    print(package, importlib.metadata.version(package))
# found, not imported: no dependency of it is needed to read its data
brainspace = pathlib.Path(importlib.util.find_spec("brainspace").origin).parent / "datasets"
fsaverage5 = fetch_surf_fsaverage("fsaverage5")
same = True
for side, letters in (("left", "lh"), ("right", "rh")):
    points, triangles = nibabel.load(fsaverage5[f"pial_{side}"]).agg_data()
    thickness = nibabel.load(fsaverage5[f"thick_{side}"]).agg_data()
    surface = brainspace / "surfaces" / f"fsa5.pial.{letters}.gii"
    theirs = nibabel.load(surface).agg_data("pointset")
    (recording,) = (brainspace / "preprocessing").glob(f"*.fsa5.{letters}.mgz")
    series = np.asarray(nibabel.load(recording).dataobj).reshape(len(points), -1)
    wall = ~series.any(axis=1)

    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    within = edges[wall[edges].all(axis=1)]
    graph = coo_array((np.ones(len(within)), within.T), shape=(len(points), len(points)))
    _, labels = connected_components(graph, directed=False)
    n_pieces = len(np.unique(labels[wall]))
    distance = np.linalg.norm(points - theirs, axis=1).max()

    on, off = thickness[wall], thickness[~wall]
    found = (
        int(wall.sum()),
        int((on == 0).sum()),
        int((on < 0.05).sum()),
        int((on >= 3).sum()),
        int((on > 1.5).sum()),
        int((off <= 1.5).sum()),
    )
    print(
        f"{side}: surfaces at most {distance:.2g} mm apart; {found[0]} vertices of the wall in "
        f"{n_pieces} piece(s): thickness 0 at {found[1]}, < 0.05 mm at {found[2]}, >= 3 mm at "
        f"{found[3]} (maximum {on.max():.2f}); thicker than 1.5 mm: {found[4]} of the wall, and "
        f"{found[5]} of cortex are not; minimum on cortex {off.min():.2f} mm"
    )
    same &= found == SEEN[side] and n_pieces == 1 and distance < 1e-3 and off.min() > 0
print("as described" if same else "CHANGED")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
