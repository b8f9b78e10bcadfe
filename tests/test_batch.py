"""Many files: in parallel, resumable, one bad file never stopping the others."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mne
import numpy as np
import pytest

from mne_cases import make_evoked, make_fwd, make_info
from mne_mmnet import apply_mmnet_inverse, localize_files
from mne_mmnet._cli import batch, main
from mne_mmnet._support.files import UnwritableError, whole_file
from mne_mmnet.batch import job, run
from mne_mmnet.batch.job import run_job
from mne_mmnet.batch.records import read_record

N_FILES = 4


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two subjects with two responses each; a forward solution in every folder."""
    folder = tmp_path_factory.mktemp("study")
    info = make_info()
    for number, subject in enumerate(("sub-01", "sub-02")):
        (folder / subject).mkdir()
        fwd = make_fwd(n_channels=32).copy()
        fwd["sol"]["data"] *= 1.0 + number  # another head
        mne.write_forward_solution(folder / subject / "head-fwd.fif", fwd, verbose="error")
        for k, name in enumerate(("tones", "clicks")):
            evoked = make_evoked(info, seed=2 * number + k)
            wave = np.sin(np.arange(evoked.data.shape[1]))
            evoked.data *= 0.1
            evoked.data += 1e-8 * np.outer(fwd["sol"]["data"][:, 100 + 300 * k], wave)
            evoked.save(folder / subject / f"{name}-ave.fif", verbose="error")
    return folder


@pytest.fixture
def files(study):
    """Names that meet: tones and clicks in either folder."""
    return sorted(study.glob("*/*-ave.fif"))


FWD = "{folder}/head-fwd.fif"


def snapshot(out):
    return {path: path.stat().st_mtime_ns for path in out.rglob("*-mmnet*") if path.is_file()}


def read_states(out):
    """Read the column of states of the table."""
    with open(out / "mmnet-batch.csv", newline="") as file:
        return [row["status"] for row in csv.DictReader(file)]


def expect(record):
    """Currents of the file's own call."""
    folder = os.path.dirname(record.file)
    evoked = mne.read_evokeds(record.file, 0, proj=False, verbose="error")
    fwd = mne.read_forward_solution(f"{folder}/head-fwd.fif", verbose="error")
    return apply_mmnet_inverse(evoked, fwd).data


@pytest.mark.parametrize(
    "workers", [dict(), dict(n_jobs=2), dict(n_jobs=2, client="local")], ids=["one", "two", "dask"]
)
@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
def test_results_are_those_of_single_calls(files, tmp_path, workers):
    """Every file has its own estimate, whoever made it; folders are repeated."""
    records = localize_files(files, FWD, out=tmp_path, **workers)
    assert [record.file for record in records] == [str(path) for path in files]
    assert all(record.status == "done" and record.descended for record in records)
    for record in records:
        stc = mne.read_source_estimate(record.output)
        expected = expect(record)
        np.testing.assert_allclose(stc.data, expected, atol=1e-5 * np.abs(expected).max())
    outputs = {os.path.relpath(record.output, tmp_path) for record in records}
    assert len(outputs) == N_FILES
    assert os.path.join("sub-01", "tones-mmnet-stc.h5") in outputs
    assert read_states(tmp_path) == ["done"] * N_FILES


def test_goes_on_where_it_stopped(files, tmp_path):
    """What is whole and unchanged is kept; what is not is made again."""
    localize_files(files[:2], FWD, out=tmp_path)
    assert len(localize_files(files[:2], FWD, out=tmp_path)) == 2
    before = snapshot(tmp_path)
    # cut short by a crash, lost, and as it was
    first, second = sorted(path for path in before if path.suffix == ".h5")
    first.write_bytes(first.read_bytes()[:-100])
    records = localize_files(files[:2], FWD, out=tmp_path)
    after = snapshot(tmp_path)
    assert after[first] != before[first]
    assert after[second] == before[second]
    assert all(record.status == "done" for record in records)
    mne.read_source_estimate(first)
    second.with_name(second.name.replace("-stc.h5", ".json")).write_text("{ not a record")
    localize_files(files[:2], FWD, out=tmp_path)
    assert snapshot(tmp_path)[second] != after[second]


def test_other_settings_are_another_result(files, tmp_path):
    """A changed option, or a changed file, makes the result anew."""
    localize_files(files[:1], FWD, out=tmp_path)
    (path,) = tmp_path.glob("*.h5")
    made = path.stat().st_mtime_ns
    localize_files(files[:1], FWD, out=tmp_path, loose=1.0)
    assert path.stat().st_mtime_ns != made
    made = path.stat().st_mtime_ns
    (record,) = localize_files(files[:1], FWD, out=tmp_path, loose=1.0, head="template")
    assert path.stat().st_mtime_ns != made
    evoked = mne.read_evokeds(files[0], 0, proj=False, verbose="error")
    fwd = mne.read_forward_solution(files[0].with_name("head-fwd.fif"), verbose="error")
    expected = apply_mmnet_inverse(evoked, fwd, loose=1.0, head="template").data
    stc = mne.read_source_estimate(record.output)
    np.testing.assert_allclose(stc.data, expected, atol=1e-5 * np.abs(expected).max())
    localize_files(files[:1], FWD, out=tmp_path, loose=1.0)
    made = path.stat().st_mtime_ns
    os.utime(files[0])
    localize_files(files[:1], FWD, out=tmp_path, loose=1.0)
    assert path.stat().st_mtime_ns != made


def test_one_bad_file(study, files, tmp_path, capsys):
    """It is reported, and only tried again when asked to, or when it was mended."""
    bad = tmp_path / "study" / "bad-ave.fif"
    good = bad.with_name("good-ave.fif")
    bad.parent.mkdir()
    bad.write_bytes(files[0].read_bytes()[:3000])
    good.write_bytes(files[0].read_bytes())
    (bad.parent / "head-fwd.fif").write_bytes((study / "sub-01" / "head-fwd.fif").read_bytes())
    out = tmp_path / "out"
    command = ["batch", str(bad), str(good), "--fwd", FWD, "--out", str(out)]
    assert main(command) == 1
    said = capsys.readouterr().out
    assert "1 of 2 files done, 1 failed" in said
    assert "bad-ave.fif" in said
    record = json.loads((out / "bad-mmnet.json").read_text())
    assert record["status"] == "failed"
    assert record["error"] == "ValueError"
    assert "cannot be read" in record["message"]
    tried = snapshot(out)
    assert main(command) == 1
    assert snapshot(out) == tried
    assert main([*command, "--retry-failed"]) == 1
    again = snapshot(out)
    assert again[out / "bad-mmnet.json"] != tried[out / "bad-mmnet.json"]
    assert again[out / "good-mmnet.json"] == tried[out / "good-mmnet.json"]
    bad.write_bytes(good.read_bytes())
    assert main(command) == 0
    assert read_states(out) == ["done", "done"]


def test_what_a_killed_batch_left(files, tmp_path):
    """Half files of a batch that was killed are cleared away by the next, and nothing else."""
    (stem,) = (Path(record.output).name for record in localize_files(files[:1], FWD, out=tmp_path))
    half = [tmp_path / f".{32 * c}-{stem}" for c in "3a"]
    others = [tmp_path / name for name in (f".{stem}", f".{32 * '3'}-other-{stem}", ".notes")]
    for path in (*half, *others):
        path.write_text("half")
    localize_files(files[:1], FWD, out=tmp_path)  # nothing is due: nothing is looked at
    assert all(path.exists() for path in half)
    (tmp_path / stem).unlink()
    localize_files(files[:1], FWD, out=tmp_path)
    assert not any(path.exists() for path in half)
    assert all(path.exists() for path in others)


def test_record_that_got_no_name(files, tmp_path):
    """What was whole when its batch was killed, but not named yet, says nothing of places."""
    (record,) = localize_files(files[:1], FWD, out=tmp_path)
    path = Path(record.output.replace("-stc.h5", ".json"))
    path.rename(path.with_name(f".{32 * 'a'}-{path.name}"))
    (again,) = localize_files(files[:1], FWD, out=tmp_path)
    assert again.output == record.output
    assert sorted(tmp_path.glob("*-mmnet*")) == sorted([path, Path(record.output)])


def test_missing_files(files, tmp_path):
    """A file, or its forward solution, that is not there fails by itself."""
    gone = tmp_path / "gone-ave.fif"
    records = localize_files([files[0], gone], FWD, out=tmp_path / "out")
    assert [record.status for record in records] == ["done", "failed"]
    assert records[1].error == "FileNotFoundError"
    (record,) = localize_files(files[:1], "{folder}/{name}-fwd.fif", out=tmp_path / "other")
    assert record.error == "FileNotFoundError"
    assert "-fwd.fif" in record.message


def test_results_do_not_meet(files, tmp_path):
    """Nothing is overwritten by another file's result."""
    with pytest.raises(ValueError, match="would have the same result"):
        localize_files([files[0], files[0]], FWD, out=tmp_path)
    localize_files(files[:1], FWD, out=tmp_path)
    other = [path for path in files if path.name == files[0].name][1:]
    with pytest.raises(ValueError, match="the result of another file"):
        localize_files(other, FWD, out=tmp_path)


def test_a_longer_list(files, tmp_path):
    """Files that join later leave the results that are there alone, and the table has all."""
    localize_files(files[:2], FWD, out=tmp_path)
    before = snapshot(tmp_path)
    assert len(before) == 4
    records = localize_files(files, FWD, out=tmp_path)
    assert {path: snapshot(tmp_path)[path] for path in before} == before
    assert len({record.output for record in records}) == N_FILES
    assert len(snapshot(tmp_path)) == 2 * N_FILES
    localize_files(files[-1:], FWD, out=tmp_path)
    assert len(snapshot(tmp_path)) == 2 * N_FILES
    assert read_states(tmp_path) == ["done"] * N_FILES


@pytest.fixture
def deadly(monkeypatch):
    """One of the files kills the process that works on it, half an estimate being written."""

    def run_or_die(job):  # a local function travels to the workers as a whole
        if "sub-01" in job.file and "clicks" in job.file:
            with whole_file(job.estimate) as scratch:
                scratch.write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)
        return run_job(job)

    monkeypatch.setattr(run, "run_job", run_or_die)


@pytest.mark.parametrize("client", [None, "local"], ids=["joblib", "dask"])
@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
@pytest.mark.usefixtures("deadly")
def test_a_process_that_dies(files, tmp_path, client):
    """One file that kills its process (out of memory, a crash) fails alone, and stays failed."""
    records = localize_files(files, FWD, out=tmp_path, n_jobs=2, client=client)
    assert [record.status for record in records] == ["failed", "done", "done", "done"]
    assert "died" in records[0].message
    assert not list(tmp_path.rglob(".*")), "half a file was left"
    before = snapshot(tmp_path)
    again = localize_files(files, FWD, out=tmp_path, n_jobs=2, client=client)
    assert [record.status for record in again] == [record.status for record in records]
    assert snapshot(tmp_path) == before


@pytest.mark.usefixtures("deadly")
@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
def test_workers_that_do_not_come_back(files, tmp_path, monkeypatch):
    """Dask does not replace a worker that dies too early: the batch ends all the same."""
    pytest.importorskip("distributed")

    async def leave_it(self, exitcode):
        pass

    monkeypatch.setattr("distributed.nanny.Nanny._on_worker_exit", leave_it)
    monkeypatch.setattr(run, "_PATIENCE", 2.0)
    with mne.utils.catch_logging() as log:
        records = localize_files(
            files, FWD, out=tmp_path, n_jobs=2, client="local", verbose="info"
        )
    assert "did not come back" in log.getvalue()
    assert [record.status for record in records] == ["failed", "done", "done", "done"]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        (dict(files=[]), ValueError, "no files"),
        (dict(files="one-ave.fif"), TypeError, "files must be"),
        (dict(model="nothing"), FileNotFoundError, "nothing"),
        (dict(n_jobs=2.5), TypeError, "n_jobs"),
        (dict(client=3), TypeError, "client"),
    ],
)
def test_arguments(files, tmp_path, options, error, match):
    """What is wrong with all files is said at once."""
    options = dict(files=files[:1], fwd=FWD, out=tmp_path) | options
    with pytest.raises(error, match=match):
        localize_files(**options)


def test_place_that_cannot_be_written(files, tmp_path):
    """Said before the work."""
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UnwritableError):
        localize_files(files, FWD, out=tmp_path / "taken" / "out")


@pytest.mark.parametrize(
    "workers",
    [[], ["--jobs", "2"], ["--jobs", "2", "--dask", "local"]],
    ids=["one", "two", "dask"],
)
def test_interrupt(files, tmp_path, workers):
    """After Ctrl-C all files that are there are whole, and the same command goes on."""
    many = []
    for number in range(40):
        many.append(tmp_path / "study" / f"run-{number:02}-ave.fif")
        many[-1].parent.mkdir(exist_ok=True)
        many[-1].write_bytes(files[0].read_bytes())
    (tmp_path / "study" / "head-fwd.fif").write_bytes(
        files[0].with_name("head-fwd.fif").read_bytes()
    )
    out = tmp_path / "out"
    command = ["batch", *map(str, many), "--fwd", FWD, "--out", str(out), *workers]
    script = tmp_path / "command.py"  # workers import it: the guard must be there
    script.write_text(
        "import sys\nfrom mne_mmnet._cli import main\n"
        "if __name__ == '__main__':\n    sys.exit(main(sys.argv[1:]))\n"
    )
    with subprocess.Popen(
        [sys.executable, script, *command],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 180
        while len(list(out.glob("run-*.json"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the workers, too
        _, said = process.communicate(timeout=180)
    assert process.returncode == 130, said
    if "--dask" not in workers:  # Dask's own workers print theirs
        assert "Traceback" not in said, said
    done = sorted(out.glob("*.json"))
    assert 2 <= len(done) < len(many)
    for path in out.glob("*.h5"):
        mne.read_source_estimate(path)
    assert all(read_record(path).status == "done" for path in done)
    # a worker may have finished its file after the table was written
    assert len(done) - 2 <= len(read_states(out)) <= len(done)
    before = snapshot(out)
    n_again = min(len(done) + 3, len(many))
    records = localize_files(many[:n_again], FWD, out=out)
    assert all(record.status == "done" for record in records)
    assert all(snapshot(out)[path] == before[path] for path in done)
    assert read_states(out) == ["done"] * max(n_again, len(done))
    assert not list(out.glob(".*"))


def test_many_kinds_of_concerns_are_not_all_printed(capsys):
    """The most frequent ones are, and how many others there are."""
    batch._say("Concern", [[f"one of file {k}", "one of all"] for k in range(40)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Concern, 40 of 40 files: one of all"
    assert lines[-1] == f"... and {41 - len(lines) + 1} others: see the table."


def test_without_dask(files, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(ImportError, match=r'pip install "mne_mmnet\[batch\]"'):
        localize_files(files[:1], FWD, out=tmp_path, client="local")


def test_a_recording_that_is_a_folder_has_changed(tmp_path):
    """CTF's and EGI's recordings are folders: any of their files counts, the folder's date not."""
    folder = tmp_path / "x.mff" / "inner"
    folder.mkdir(parents=True)
    (folder / "signal.bin").write_bytes(b"0123")
    before = job._stamp_recording(folder.parent)
    assert [stamp[1] for stamp in before] == [4]
    (folder / "signal.bin").write_bytes(b"01234")
    assert job._stamp_recording(folder.parent) != before


def test_a_record_that_cannot_be_written(tmp_path):
    """A worker hands back what is wrong with the place, whatever came of the file."""
    (tmp_path / "taken").write_text("a file")
    settings = job.Settings(
        *(None, None, "ico3", "mmnet-base", "", None, "auto", None, None, None, None, "cpu")
    )
    found = run_job(job.Job(str(tmp_path / "x-ave.fif"), str(tmp_path / "taken" / "x"), settings))
    assert (found.status, found.error) == ("failed", "UnwritableError")
    assert str(tmp_path / "taken") in found.message
