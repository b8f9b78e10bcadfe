"""Derivative datasets: names, sidecars, and the specification's own validator where it is."""

import csv
import importlib.util
import json
import os
import subprocess
import sys

import mne
import numpy as np
import pytest
from mne_bids import BIDSPath, write_raw_bids

from mne_cases import make_evoked, make_fwd, make_info
from mne_mmnet import apply_mmnet_inverse, localize_files
from mne_mmnet._cli import main
from mne_mmnet.batch import bids

INFO, FWD = make_info(32), make_fwd(n_channels=32)
TASKS = ("tones", "clicks")


@pytest.fixture
def root(tmp_path):
    """A dataset with the raw data of two subjects, and their averages among its derivatives."""
    root = tmp_path / "study"
    info = INFO.copy()
    info["line_freq"] = 50.0
    for number, subject in enumerate(("01", "02")):
        for task in TASKS:
            evoked = make_evoked(INFO, seed=number)
            wave = np.sin(np.arange(evoked.data.shape[1]))
            evoked.data += 1e-7 * np.outer(FWD["sol"]["data"][:, 100 + 300 * number], wave)
            raw = mne.io.RawArray(np.tile(evoked.data, 20), info, verbose=False)
            path = BIDSPath(subject=subject, task=task, datatype="eeg", root=root)
            write_raw_bids(raw, path, allow_preload=True, format="BrainVision", verbose="error")
            folder = root / "derivatives" / "averages" / f"sub-{subject}" / "eeg"
            folder.mkdir(parents=True, exist_ok=True)
            evoked.save(folder / f"sub-{subject}_task-{task}_desc-clean_ave.fif", verbose="error")
    mne.write_forward_solution(tmp_path / "head-fwd.fif", FWD, verbose="error")
    return root


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_derivatives(root, tmp_path):
    """All responses of a dataset; each result under a name of BIDS, with a sidecar."""
    records = localize_files(None, tmp_path / "head-fwd.fif", bids=root)
    assert [record.status for record in records] == ["done"] * 4
    out = root / "derivatives" / "mne-mmnet"
    about = read_json(out / "dataset_description.json")
    assert about["DatasetType"] == "derivative"
    assert about["GeneratedBy"][0]["Name"] == "mne_mmnet"
    assert (out / about["DatasetLinks"]["raw"]).resolve() == root.resolve()
    for subject in ("01", "02"):
        for task in TASKS:
            stem = out / f"sub-{subject}" / "eeg" / f"sub-{subject}_task-{task}_desc-mmnet"
            stc = mne.read_source_estimate(f"{stem}_stc.h5")
            source = f"derivatives/averages/sub-{subject}/eeg/sub-{subject}_task-{task}"
            sidecar = read_json(stem.with_name(stem.name + "_stc.json"))
            assert sidecar["Sources"] == [f"bids:raw:{source}_desc-clean_ave.fif"]
            assert sidecar["Units"] == "A.m"
            assert not sidecar["TemplateHead"]
            assert len(sidecar["ModelSHA256"]) == 64
            evoked = mne.read_evokeds(
                root / f"{source}_desc-clean_ave.fif", 0, proj=False, verbose="error"
            )
            expected = apply_mmnet_inverse(evoked, FWD).data
            np.testing.assert_allclose(stc.data, expected, atol=1e-4 * expected.max())
            with open(f"{stem}_sources.tsv", newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file, delimiter="\t"))
            columns = read_json(stem.with_name(stem.name + "_sources.json"))
            assert set(columns) == set(rows[0])
            assert float(rows[0]["moment"]) > 0
    again = localize_files(None, tmp_path / "head-fwd.fif", bids=root)
    assert again == records


def test_command(root, tmp_path, capsys):
    """On the command line, with a file of one's choice, and a second run that finds it done."""
    fwd = str(tmp_path / "head-fwd.fif")
    assert main(["batch", "--bids", str(root), "--fwd", fwd]) == 0
    assert "4 of 4 files done" in capsys.readouterr().out
    one = next((root / "derivatives" / "averages").rglob("*clicks*_ave.fif"))
    assert main(["batch", str(one), "--bids", str(root), "--fwd", fwd]) == 0
    other = tmp_path / "elsewhere"
    assert main(["batch", str(one), "--bids", str(root), "--fwd", fwd, "--out", str(other)]) == 0
    about = read_json(other / "dataset_description.json")
    assert about["DatasetLinks"]["raw"].startswith("file://")
    assert len(list(other.rglob("*_stc.h5"))) == 1


def test_bad_input(root, tmp_path):
    with pytest.raises(FileNotFoundError, match="no BIDS dataset"):
        localize_files(None, bids=tmp_path)
    with pytest.raises(ValueError, match="out says where"):
        localize_files([tmp_path / "x-ave.fif"])
    with pytest.raises(ValueError, match="must start with"):
        localize_files([tmp_path / "x-ave.fif"], bids=root)
    with pytest.raises(ValueError, match="no files to localise"):
        localize_files([], bids=root)


@pytest.mark.skipif(
    importlib.util.find_spec("bids_validator_deno") is None, reason="the validator is missing"
)
def test_validator(root, tmp_path):
    """The specification's validator finds no error in the derivative dataset."""
    from bids_validator_deno import cli  # noqa: F401

    localize_files(None, tmp_path / "head-fwd.fif", bids=root)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from bids_validator_deno import cli; cli()",
            str(root / "derivatives" / "mne-mmnet"),
            "--json",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    errors = [issue for issue in issues if issue["severity"] == "error"]
    assert not errors, errors


def test_sessions_have_folders():
    name = "sub-01_ses-2_task-tones_desc-clean"
    where = bids.place(f"anywhere/meg/{name}_ave.fif")
    assert where.as_posix() == "sub-01/ses-2/meg/sub-01_ses-2_task-tones"
