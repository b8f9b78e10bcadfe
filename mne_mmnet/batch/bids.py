"""Results as a BIDS derivative dataset: names, descriptions, sidecars."""

import json
import re
from pathlib import Path

from .._support.files import whole_file
from .._version import __version__
from ..recordings.files import short_name

BIDS_VERSION = "1.10.0"
FOLDER = Path("derivatives", "mne-mmnet")
_SUBJECT = re.compile(r"^sub-[a-zA-Z0-9+]+$")
_ENTITY = re.compile(r"^([a-zA-Z]+)-([a-zA-Z0-9+]+)$")
_DATATYPES = ("eeg", "meg")
# what the specification has no place for yet: source estimates, and the table of a batch
_IGNORED = ("*_stc.h5", "*_sources.tsv", "*_stc.json", "*_sources.json", "mmnet-batch.csv")
_COLUMNS = {
    "time": ("Time of the estimate", "s"),
    "side": ("left, right or midline", None),
    "region": ("Region of the AAL atlas, n/a without the atlas", None),
    "mni_x": ("MNI152 coordinate to the right", "mm"),
    "mni_y": ("MNI152 coordinate to the front", "mm"),
    "mni_z": ("MNI152 coordinate up", "mm"),
    "moment": ("Sum of the sizes of all currents within 15 mm", "nA.m"),
    "share": ("Share of the moment of the whole estimate", None),
}


def find_recordings(root):
    """List the evoked responses of a dataset and its derivatives, but for our own."""
    root = check_root(root)
    own = root / FOLDER
    found = {*root.rglob("sub-*[_-]ave.fif"), *root.rglob("sub-*[_-]ave.fif.gz")}
    return sorted(path for path in found if own not in path.parents)


def check_root(root):
    """Check that a folder is a BIDS dataset, and make its path absolute."""
    root = Path(root).expanduser().resolve()
    if not (root / "dataset_description.json").is_file():
        raise FileNotFoundError(
            f"{root} is no BIDS dataset: it has no dataset_description.json. Give its root."
        )
    return root


def place(file):
    """Say where the result of a recording goes in the derivative dataset.

    Relative, without the endings of the results: ``sub-01/ses-1/eeg/sub-01_ses-1_task-x``. A name
    that is not one of BIDS is an error.
    """
    parts = short_name(file).split("_")
    entities = [part for part in parts if _ENTITY.match(part) and not part.startswith("desc-")]
    if not entities or entities[0] != parts[0] or not _SUBJECT.match(parts[0]):
        raise ValueError(
            f'{file} has no name of BIDS. It must start with "sub-LABEL_", such as '
            "sub-01_task-tones_ave.fif."
        )
    folder = Path(entities[0])
    for entity in entities[1:]:
        if entity.startswith("ses-"):
            folder /= entity
    datatype = Path(file).parent.name
    folder /= datatype if datatype in _DATATYPES else "eeg"
    return folder / "_".join(entities)


def write_description(out, root):
    """Write what makes a folder a derivative dataset, where it is not there yet."""
    description = {
        "Name": "EEG and MEG source estimates by mne_mmnet",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "mne_mmnet", "Version": __version__}],
        "DatasetLinks": {"raw": _relative(root, out)},
    }
    texts = {
        "dataset_description.json": json.dumps(description, indent=2),
        "README.md": (
            "# Source estimates\n\nMade by `mne-mmnet batch --bids` from evoked responses. "
            "`*_stc.h5` are currents in A·m (`mne.read_source_estimate`), `*_stc.json` how they "
            "were made, `*_sources.tsv` the strongest sources with MNI152 coordinates.\n"
        ),
        ".bidsignore": "\n".join(_IGNORED) + "\n",
    }
    for name, text in texts.items():
        if not (out / name).exists():
            with whole_file(out / name) as scratch:
                scratch.write_text(text, encoding="utf-8")


def _relative(path, start):
    """Path from one folder to another, where one is inside the other; else absolute."""
    try:
        return "/".join([".."] * len(start.relative_to(path).parts))
    except ValueError:
        return path.as_uri()


def describe(file, root, settings, subject):
    """Say in BIDS' terms how an estimate was made, for the JSON file beside it."""
    path = Path(file)
    inside = Path(root) in path.parents
    source = f"bids:raw:{path.relative_to(root).as_posix()}" if inside else path.name
    return {
        "Description": "Currents of the cortex, estimated from an evoked response",
        "Sources": [source],
        "Units": "A.m",
        "SourceSpaceSubject": subject or "n/a",
        "Model": settings.model,
        "ModelSHA256": settings.weights,
        "TemplateHead": settings.fwd is None,
        "NoiseCovariance": settings.noise_cov is not None,
    }


def write_sources(sources, path):
    """Write the strongest sources, with a sidecar that says what the columns are."""
    lines = ["\t".join(_COLUMNS)]
    for row in sources:
        mni = ["n/a"] * 3 if row.mni_mm is None else [f"{x:.1f}" for x in row.mni_mm]
        lines.append(
            "\t".join(
                [
                    f"{row.time:.6g}",
                    row.side,
                    row.region or "n/a",
                    *mni,
                    f"{row.moment_nam:.4g}",
                    f"{row.share:.4f}",
                ]
            )
        )
    with whole_file(path) as scratch:
        scratch.write_text("\n".join(lines) + "\n", encoding="utf-8")
    columns = {
        name: {"Description": text} | ({} if unit is None else {"Units": unit})
        for name, (text, unit) in _COLUMNS.items()
    }
    with whole_file(path.with_suffix(".json")) as scratch:
        scratch.write_text(json.dumps(columns, indent=2), encoding="utf-8")
