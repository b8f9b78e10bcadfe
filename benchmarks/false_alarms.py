"""Alarms on recordings of others: which checks of electrodes and channels speak up, and how often.

    python benchmarks/false_alarms.py FOLDER [FOLDER ...]

Every recording in the folders that MNE reads and that has positions of eight or more electrodes is
looked at: averages as they are (up to half a second from 50 ms on), others in ten windows of half
a second after a filter from 1 to 40 Hz, and ``*_electrodes.tsv`` of BIDS, positions without data.
Localised on the template as a user would; the fit of the template is left out, which changes none
of the checks. A recording with positions that another one of its kind had is left out. Writes
``false_alarms.csv``: windows with a concern, by check; names of files without folders.

The recordings that were used are public, and not part of this project::

    git clone --depth 1 https://github.com/mne-tools/mne-testing-data       # 1.5 GB
    git clone --depth 1 https://github.com/mne-tools/mne-python             # mne/io/*/tests/data
    git clone --depth 1 https://github.com/bids-standard/bids-examples      # positions only

and the folder of real EEG that the tests use, ../shared/data. Positions that were *digitised* are
those that equal no built-in montage, lie on no sphere and have no exact mirror image.
"""

import csv
import json
from pathlib import Path

import mne
import numpy as np
from common import write_rows
from faults import SAID, name_faults
from runner import RESULTS, made_by, make_parser, quiet, tell

import mne_mmnet
from mne_mmnet._mne.electrodes import find_nominal
from mne_mmnet._mne.placement import electrode_frame, head_positions
from mne_mmnet.recordings.averages import read_recording

ENDINGS = (".fif", ".fif.gz", ".vhdr", ".ahdr", ".set", ".edf", ".bdf", ".cnt", ".con", ".sqd")
ENDINGS += (".nedf", ".cdt", ".dat", ".raw", ".mff", ".ds", "_electrodes.tsv")
FOLDERS = (".mff", ".ds")  # recordings that are folders
N_WINDOWS, SECONDS, BAND = 10, 0.5, (1.0, 40.0)
LEAST = 8


def find_recordings(folders):
    """Paths of what may be a recording with electrodes."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if any(parent.suffix in FOLDERS for parent in path.parents):
                continue
            if path.name.lower().endswith(ENDINGS):
                yield path


def read_positions(path):
    """Info of a table of positions of BIDS, taken for head coordinates."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    rows = [row for row in rows if row["x"] not in ("n/a", "")]
    places = np.array([[float(row[axis]) for axis in "xyz"] for row in rows])
    median = np.median(np.linalg.norm(places, axis=1))
    # units in such tables are wrong too often to be believed: a head has 0.1 m
    places /= 10.0 ** np.round(np.log10(median / 0.1))
    side = next(iter(sorted(path.parent.glob("*coordsystem.json"))), None)
    marks = {} if side is None else json.loads(side.read_text(encoding="utf-8"))
    marks = marks.get("AnatomicalLandmarkCoordinates", {})
    found = [marks.get(name) for name in ("NAS", "LPA", "RPA")]
    names = [row["name"] for row in rows]
    info = mne.create_info(names, 100.0, "eeg")
    montage = mne.channels.make_dig_montage(
        dict(zip(names, places, strict=True)),
        *(None if place is None else np.array(place) for place in found),
        coord_frame="head",
    )
    return info.set_montage(montage)


def read_windows(path):
    """Kind of a recording, its info, and evoked responses to look at."""
    if path.name.endswith("_electrodes.tsv"):
        return "positions", read_positions(path), []
    kind, content = read_recording(path)
    if kind == "averages":
        content = [evoked for evoked in content if "eeg" in evoked]
        windows = [evoked.copy().pick("eeg", exclude=()) for evoked in content]
        for evoked in windows:
            low = max(0.05, evoked.times[0]) if evoked.times[-1] > 0.1 else evoked.times[0]
            evoked.apply_baseline((None, 0) if evoked.times[0] < 0 else (None, None))
            evoked.crop(low, min(low + SECONDS, evoked.times[-1]))
        return kind, content[0].info, windows
    content = content.load_data().pick("eeg", exclude=())
    if kind == "epochs":
        return kind, content.info, [content.average().apply_baseline((None, None))]
    high = min(BAND[1], 0.4 * content.info["sfreq"])
    content.filter(BAND[0], high, picks="eeg")
    n_times = int(SECONDS * content.info["sfreq"])
    starts = np.linspace(0, content.n_times - n_times, N_WINDOWS + 2)[1:-1].astype(int)
    info = content.info
    parts = [content.get_data(start=start, stop=start + n_times) for start in np.unique(starts)]
    return kind, info, [mne.EvokedArray(part, info) for part in parts]


def look_at(evoked, fwd):
    """Texts of concerns of one window; the text of an error."""
    if not mne.pick_types(evoked.info, meg=False, eeg=True).size:
        return ()
    if not evoked.info["custom_ref_applied"]:
        evoked = evoked.copy().set_eeg_reference(projection=True)
    try:
        return mne_mmnet.apply_mmnet_inverse(evoked, fwd, return_report=True)[1].concerns
    except ValueError as error:
        return (str(error),)


def look_at_all(folders):
    """One row a recording."""
    seen = set()
    for path in find_recordings(folders):
        try:
            kind, info, windows = read_windows(path)
        except Exception:  # files that are there to be broken, or empty, or hold no EEG
            continue
        names, places, _ = head_positions(info)
        # averages of one cap are of several experiments, recordings often copies of one
        key = kind, path.name if kind == "averages" else "", tuple(np.round(places, 4).ravel())
        if len(names) < LEAST or key in seen or electrode_frame(info) not in ("head", "mni_tal"):
            continue
        seen.add(key)
        origin = find_nominal(names, places) or "digitised"
        texts = []
        try:
            fwd = mne_mmnet.make_template_forward(info, fit=False)
        except ValueError as error:
            texts.append((str(error),))
        else:
            # what is said of electrodes alone
            texts += [look_at(evoked, fwd) for evoked in windows]
            texts = texts or [
                tuple(mne_mmnet.make_mmnet_operator(info, fwd).prepared.doubts.values())
            ]
        counts = {check: 0 for check in SAID}
        for each in texts:
            for check in name_faults(each):
                counts[check] += 1
        row = dict(
            recording=path.name, kind=kind, electrodes=len(names), positions=origin, n=len(texts)
        )
        yield row | counts


def main():
    """Run the benchmark from the command line."""
    parser = make_parser(__file__, __doc__, out=RESULTS / "false_alarms.csv", model=False)
    parser.add_argument("folders", type=Path, nargs="+")
    args = parser.parse_args()
    quiet()
    rows = []
    for row in look_at_all(args.folders):
        rows.append(row)
        tell(row)
    digitised = [row for row in rows if row["positions"] == "digitised"]
    doubted = sum(any(row[check] for check in SAID) for row in digitised)
    print(f"{len(digitised)} recordings with digitised electrodes, {doubted} doubted.")
    write_rows(args.out, made_by(args, "", "of FOLDER ...: windows with a concern"), rows)


if __name__ == "__main__":
    main()
