#!/bin/sh
# The fiducials of an EEGLAB file are turned by 90 degrees and 100 or 1000 times too far away.
#
# EEGLAB points x to the nose and y to the left, in any unit. MNE-Python's reader turns electrodes
# to its own axes (x to the right, y to the nose) and scales them to m, but nasion and ears
# (EEG.chaninfo.nodatchans) neither. Of a file in which the nasion is where the electrode Fpz is,
# and the ears are where T7 and T8 are, all of them 10 cm from the origin, it makes, in m:
#
#                 electrode                 fiducial, file in cm     fiducial, file in mm
#     Fpz, nasion ( 0.0,  0.1, 0.0)         (10.0,   0.0, 0.0)       (100.0,    0.0, 0.0)
#     T7, left    (-0.1,  0.0, 0.0)         ( 0.0,  10.0, 0.0)       (  0.0,  100.0, 0.0)
#     T8, right   ( 0.1,  0.0, 0.0)         ( 0.0, -10.0, 0.0)       (  0.0, -100.0, 0.0)
#
# The nasion is to the right, and the left ear in front, whether montage_units names the unit or
# not. All are called head coordinates, which are defined by these three points, and nothing is
# said. The positions of the electrodes are right.
#
# The same is seen in a file of EEGLAB's that MNE's own tests read (mne-tools/mne-testing-data at
# e31ecb0, EEGLAB/test_raw_chanloc_fids.set, which is in cm): the nasion is at (10.4, 0.0, -2.7) m.
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
import sys
import warnings
from pathlib import Path

import mne
import numpy as np
from scipy.io import savemat

mne.set_log_level("warning")
warnings.simplefilter("error")  # there is none
print("mne", mne.__version__)
# in EEGLAB's axes: x to the nose, y to the left, z up
PLACES = dict(Fpz=(1, 0, 0), T7=(0, 1, 0), T8=(0, -1, 0), Cz=(0, 0, 1), Oz=(-1, 0, 0))
FIDUCIALS = {
    "Nasion": "Fpz",
    "Left periauricular point": "T7",
    "Right periauricular point": "T8",
}


def structs(rows):
    """A struct array of MATLAB's."""
    array = np.empty(len(rows), dtype=[(name, object) for name in rows[0]])
    for k, row in enumerate(rows):
        array[k] = tuple(row.values())
    return array


def place(name, radius):
    return dict(zip("XYZ", (float(radius * each) for each in PLACES[name])))


def write(path, radius):
    """Write five channels and three fiducials, as EEGLAB has them."""
    chanlocs = structs([dict(labels=name, type="EEG") | place(name, radius) for name in PLACES])
    fiducials = structs(
        [
            dict(labels=f"E{k}", type="FID", description=text) | place(name, radius)
            for k, (text, name) in enumerate(FIDUCIALS.items(), 130)
        ]
    )
    eeg = dict(
        setname="x", nbchan=5.0, trials=1.0, pnts=100.0, srate=100.0, xmin=0.0, xmax=0.99,
        data=np.random.default_rng(0).standard_normal((5, 100)), chanlocs=chanlocs, event=[],
        epoch=[], icawinv=[], icaweights=[], icasphere=[], icachansind=[],
        chaninfo=dict(nosedir="+X", nodatchans=fiducials),
    )
    savemat(path, dict(EEG=eeg), appendmat=False)


same = True
for unit, radius in (("cm", 10.0), ("mm", 100.0)):
    path = Path(__file__).with_name(f"{unit}.set")
    write(path, radius)
    for units in ("auto", unit):
        positions = mne.io.read_raw_eeglab(path, montage_units=units).get_montage().get_positions()
        print(f"file in {unit}, montage_units={units!r}, {positions['coord_frame']} frame, in m:")
        for name, point in zip(FIDUCIALS.values(), ("nasion", "lpa", "rpa")):
            electrode, fiducial = positions["ch_pos"][name], positions[point]
            print(f"  {name} {electrode.round(3)}, {point} {fiducial.round(3)}")
            x, y, z = PLACES[name]
            same &= np.allclose(electrode, 0.1 * np.array([-y, x, z]))
            same &= np.allclose(fiducial, radius * np.array([x, y, z]))
print("as described" if same else "CHANGED")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
