#!/bin/sh
# Renaming the channels of a copy takes the reference away from the original.
#
# In MNE-Python 1.13.2 copies of recordings share the data of their projectors. After
#
#     renamed = raw.copy().rename_channels(lambda name: "EEG " + name)
#
# the projectors of ``raw`` itself know "EEG Fz" and no longer Fz. They are still listed, and
# nothing is said; but raw.apply_proj() finds no channel that they belong to, so that the average
# reference, or a projector against blinks, is not applied:
#
#                    mean over channels after apply_proj, of data 10 µV off the average
#                    with no copy renamed      with a copy renamed before
#     Raw, Epochs    0.00 µV                   10 µV
#     Evoked         0.00 µV                   10 µV
#
# The only trace is "The projections don't apply to these data. Doing nothing." at the log's level
# INFO. Types, positions and names of channels are copied as one expects. copy.deepcopy in place of
# the copy method does not help.
#
# Versions: mne 1.13.2, numpy 2.4.6. Exits with 0 as long as this holds.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mne==1.13.2 numpy==2.4.6 scipy==1.17.1
export MNE_DONTWRITE_HOME=true
cat >"$folder/check.py" <<'PYTHON'
import copy
import sys
import warnings

import mne
import numpy as np

mne.set_log_level("warning")
warnings.simplefilter("error")  # there is none
print("mne", mne.__version__)
NAMES = ["Fz", "Cz", "Pz", "Oz"]


def make(kind):
    """Noise of 1 µV, 10 µV off the average, with a projector of the average reference."""
    info = mne.create_info(NAMES, 100.0, "eeg")
    noise = 1e-5 + 1e-6 * np.random.default_rng(0).standard_normal((3, 4, 200))
    if kind == "Raw":
        inst = mne.io.RawArray(noise[0], info)
    elif kind == "Epochs":
        inst = mne.EpochsArray(noise, info)
    else:
        inst = mne.EvokedArray(noise[0], info)
    return inst.set_eeg_reference(projection=True)


def mean_after_projection(inst):
    """µV."""
    return 1e6 * np.abs(inst.apply_proj().get_data().mean(axis=-2)).mean()


def rename(inst):
    return inst.rename_channels(lambda name: "EEG " + name)


same = True
for kind in ("Raw", "Epochs", "Evoked"):
    untouched, by_method, by_deepcopy = make(kind), make(kind), make(kind)
    rename(by_method.copy())
    rename(copy.deepcopy(by_deepcopy))
    found = []
    for inst in (untouched, by_method, by_deepcopy):
        names = inst.info["projs"][0]["data"]["col_names"]
        found.append(mean_after_projection(inst))
        print(f"{kind}: channels {inst.ch_names}, projector's {names}: mean {found[-1]:.2f} µV")
        same &= inst.ch_names == NAMES
    same &= found[0] < 1e-6 and min(found[1:]) > 9.0
print("as described" if same else "CHANGED")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
