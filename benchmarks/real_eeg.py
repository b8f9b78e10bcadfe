"""Real recordings with known sources: distance of the map's place from the accepted region.

    python benchmarks/real_eeg.py [FOLDER]

FOLDER (../shared/data beside the checkout) holds the recordings and their accepted regions; they
are not part of this project. Template head (ico3), no noise covariance, windows around the stated
time; eLORETA and sLORETA with ad hoc white noise, SNR 3, free orientation. Lengths of the currents
count. The place is that of the strongest *region* (most moment within 15 mm,
``mne_mmnet.find_sources``), and beside it that of the strongest single *location*. Writes
``real_eeg.csv`` (mm).

The last recording is the first one untouched: the first one's preparation was chosen with the
answer in view. What was looked at while the training simulations were designed is not blind: these
four recordings are a check on gross failures, not an unbiased measure of accuracy.
"""

from pathlib import Path

import mne
import numpy as np
from common import write_rows
from runner import RESULTS, made_by, make_parser, quiet, tell

from mne_mmnet import apply_mmnet_inverse, make_template_forward
from mne_mmnet.baselines.classical import minimum_norm
from mne_mmnet.dictionary.regions import Regions

RECORDINGS = {
    "sep_median_nerve_hp20": ("left_postcentral", 0.0195),
    "faces_minus_objects": ("ventral_occipitotemporal", 0.164),
    "visual_left_minus_right": ("occipital", 0.115),
    "auditory_right_ear": ("auditory", 0.085),
    "sep_median_nerve_raw": ("left_postcentral", 0.0195),
}
OURS = {
    "mmnet, evidence": "evidence",
    "mmnet, fixed": 0.0,
    "mmnet, loose 0.2": 0.2,
    "mmnet, free": 1.0,
}
WINDOWS = {"± 10 ms": 0.01, "± 25 ms": 0.025, "± 50 ms": 0.05, "whole": np.inf}


def main():
    """Run the measurement."""
    parser = make_parser(__file__, __doc__, out=RESULTS / "real_eeg.csv")
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("folder", type=Path, nargs="?", default=default)
    args = parser.parse_args()
    folder = args.folder
    quiet()
    targets = np.load(folder / "targets_fsaverage5.npz")
    rows = []
    for name, (region, when) in RECORDINGS.items():
        (whole,) = mne.read_evokeds(folder / f"{name}-ave.fif")
        fwd = make_template_forward(whole.info)
        spaces = list(zip(fwd["src"], ("lh", "rh"), strict=True))
        positions = np.concatenate([space["rr"][space["vertno"]] for space, _ in spaces])
        accepted = [
            space["rr"][targets[f"{region}_{hemi}"]]
            for space, hemi in spaces
            if f"{region}_{hemi}" in targets
        ]
        accepted = np.concatenate(accepted)
        places = {
            "region": Regions(1e3 * positions).strongest,
            "location": lambda values: int(np.argmax(values)),
        }
        for window, half in WINDOWS.items():
            tmin, tmax = max(when - half, whole.times[0]), min(when + half, whole.times[-1])
            evoked = whole.copy().crop(tmin, tmax)
            estimates = {
                ours: apply_mmnet_inverse(evoked, fwd, loose=loose, model=args.model)
                for ours, loose in OURS.items()
            }
            estimates |= {
                "mmnet-cosine": apply_mmnet_inverse(evoked, fwd, model="mmnet-cosine"),
                "eLORETA, free": minimum_norm(evoked, fwd, method="eLORETA", loose=1.0),
                "sLORETA, free": minimum_norm(evoked, fwd, method="sLORETA", loose=1.0),
            }
            for read_out, find in places.items():
                row = dict(recording=name, window=window, read_out=read_out)
                for method, stc in estimates.items():
                    values = np.abs(stc.data[:, np.argmin(np.abs(stc.times - when))])
                    miss = np.linalg.norm(accepted - positions[find(values)], axis=1).min()
                    row[method] = f"{1e3 * miss:.0f}"
                rows.append(row)
                tell(row)
    write_rows(args.out, made_by(args, "", args.model, "mm"), rows)


if __name__ == "__main__":
    main()
