"""Full disks, read-only places and caches: nothing half-written, one message, work goes on."""

import contextlib
import errno
import inspect
import os
import resource
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np
import pytest
import torch

from core_cases import DOMAIN, random_network
from mne_cases import make_fwd
from mne_mmnet._cli import main
from mne_mmnet._support import cache as caching
from mne_mmnet._support.cache import find_cached, keep_in_cache
from mne_mmnet._support.files import UnwritableError, check_writable, whole_file
from mne_mmnet.recordings.files import write_stc
from mne_mmnet.template import surfaces
from mne_mmnet.template.make import fetch_template, make_template_bem
from mne_mmnet.training.checkpoint import append_entry, write_checkpoint
from mne_mmnet.weights import save_model
from test_training import ring_people

SIZE = 16 << 10  # bytes that fit


@contextlib.contextmanager
def small_files():
    """Let no file grow beyond a few KB, as a quota or a full disk would; needs no rights."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def disk(tmp_path):
    """A disk of its own with room for a few KB, where the tests may mount one."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(path)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no right to mount a disk")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def save_stc(path):
    write_stc(mne.SourceEstimate(np.ones((2000, 10)), [np.arange(2000), []], 0, 1), path)


def save_surface(path):
    rr = np.zeros((5000, 3))
    with whole_file(path) as scratch:
        mne.write_surface(scratch, rr, np.zeros((1, 3), int), overwrite=True)


def save_fif(path):
    with whole_file(path) as scratch:
        mne.write_forward_solution(scratch, make_fwd(), verbose=False)


def save_figure(path):
    figure = plt.figure(figsize=(10, 10))
    figure.gca().imshow(np.random.default_rng(0).random((500, 500)))
    with whole_file(path) as scratch:
        figure.savefig(scratch)
    plt.close(figure)


WRITERS = {
    "model.safetensors": lambda path: save_model(
        random_network(0, 0.1), path, domain=DOMAIN, provenance={}
    ),
    "people.npz": lambda path: ring_people(200).save(path),
    "checkpoint.pt": lambda path: write_checkpoint(path, {"a": torch.ones(20_000)}),
    "log.jsonl": lambda path: append_entry(path, {"text": "x" * 2 * SIZE}),
    "lh.white": save_surface,
    "x-fwd.fif": save_fif,
    "x.png": save_figure,
    "x-stc.h5": save_stc,
}


def check_refused(name, folder, message):
    """One error, no debris, the old file stays."""
    (folder / name).write_bytes(b"old")
    with pytest.raises(UnwritableError, match=message):
        WRITERS[name](folder / name)
    plt.close("all")
    assert [path.name for path in folder.iterdir()] == [name]
    assert (folder / name).read_bytes() == b"old"


# HDF5 must not even begin, see write_stc
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", [name for name in WRITERS if name != "x-stc.h5"])
def test_full(name, tmp_path):
    """Whatever is written with whatever library is refused in the same way."""
    with small_files():
        check_refused(name, tmp_path, "Nothing was written. Free some")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", WRITERS)
def test_full_disk(name, disk):
    """The same on a disk that is really full."""
    check_refused(name, disk, "No space left on device. Nothing was written")


def test_other_errors_are_passed_on(tmp_path):
    """A mistake of the writer is not taken for a full disk."""
    with pytest.raises(KeyError), whole_file(tmp_path / "x"):
        raise KeyError("mistake")
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "x"):
        (tmp_path / "nowhere").read_bytes()
    assert list(tmp_path.iterdir()) == []


def test_known_before_the_work(tmp_path, capsys, monkeypatch):
    """Minutes of computing are not begun where their result cannot be written."""
    check_writable(tmp_path / "new" / "file")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableError, match="choose another place"):
        check_writable(tmp_path / "file" / "x")
    mne.write_forward_solution(tmp_path / "my-fwd.fif", make_fwd(), verbose=False)
    monkeypatch.setattr("mne_mmnet._cli.finetune.fine_tune", lambda *a, **k: pytest.fail("work"))
    argv = ["finetune", str(tmp_path / "my-fwd.fif"), "--out", str(tmp_path / "file" / "mine")]
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith("mne-mmnet: [Errno")
    assert "choose another place" in err
    assert len(err.splitlines()) == 1


# Caches -----------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of one's own, and subjects that are not there."""
    path = tmp_path / "cache"
    path.mkdir()
    monkeypatch.setenv("MNE_MMNET_CACHE", str(path))
    monkeypatch.setenv("SUBJECTS_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(caching, "_SPARE", {})
    return path


def refuse(monkeypatch, code):
    """Make the cache refuse every new folder, as a full or read-only one would, also for root."""
    mkdir = Path.mkdir

    def fail(path, *args, **kwargs):
        if caching.cache_dir() in (path, *path.parents):
            raise OSError(code, os.strerror(code), str(path))
        mkdir(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", fail)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_unwritable_cache(cache, monkeypatch, code):
    """Work goes on without the cache, is done once, and a warning says what to do."""
    refuse(monkeypatch, code)
    written = []

    def write(path):
        with whole_file(path) as scratch:
            scratch.write_text("content")
        written.append(path)

    with pytest.warns(RuntimeWarning, match=f"{os.strerror(code)}.*MNE_MMNET_CACHE") as caught:
        path = keep_in_cache("bem/x.fif", write)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert path.read_text() == "content"
    assert find_cached("bem/x.fif") == path
    assert written == [path]
    assert not list(cache.iterdir())
    assert find_cached("bem/y.fif") is None


def test_template_without_a_cache(cache, monkeypatch):
    """The template subject and its head model are made all the same, and only once."""
    refuse(monkeypatch, errno.EROFS)
    monkeypatch.setattr(surfaces, "_write_files", fake_subject)
    fake_solution(monkeypatch)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bem = make_template_bem()
    assert [str(w.message)[:29] for w in caught] == 2 * ["The cache cannot be written ("]
    monkeypatch.setattr(surfaces, "_write_files", lambda path: pytest.fail("made again"))
    monkeypatch.setattr(mne, "make_bem_solution", lambda surfs: pytest.fail("made again"))
    assert make_template_bem(verbose="error") == bem == b"solution"
    assert surfaces.is_template(fetch_template() / surfaces.SUBJECT)
    assert not list(cache.iterdir())


def fake_subject(directory):
    """Write empty files for those of the template subject, which take seconds."""
    for name in surfaces.template_files():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(f'{{"layout": {surfaces.LAYOUT}}}')


def fake_solution(monkeypatch):
    """Bytes for a head model, which takes seconds."""
    monkeypatch.setattr(mne, "make_bem_model", lambda *args: None)
    monkeypatch.setattr(mne, "make_bem_solution", lambda surfs: b"solution")
    monkeypatch.setattr(mne, "write_bem_solution", lambda path, bem: path.write_bytes(bem))
    monkeypatch.setattr(mne, "read_bem_solution", lambda path: path.read_bytes())


def test_full_cache(disk, monkeypatch):
    """The real template on a cache without room for it."""
    monkeypatch.setenv("MNE_MMNET_CACHE", str(disk))
    monkeypatch.setattr(caching, "_SPARE", {})
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        subjects_dir = fetch_template()
    assert surfaces.is_template(subjects_dir / surfaces.SUBJECT)
    assert disk not in subjects_dir.parents
    assert not [path for path in disk.rglob("*") if path.is_file() or path.name.startswith(".")]
    # a folder that the user chose is another matter
    with pytest.raises(OSError, match="No space left on device. Nothing was written"):
        fetch_template(disk / "mine", verbose="error")


def test_read_only_cache(disk, monkeypatch):
    """What is in a read-only cache is used; what is not there is made elsewhere."""
    monkeypatch.setenv("MNE_MMNET_CACHE", str(disk))
    monkeypatch.setattr(caching, "_SPARE", {})
    keep_in_cache("old", lambda path: (path.parent.mkdir(), path.write_text("old")))
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

    def write(path):
        with whole_file(path) as scratch:
            scratch.write_text("new")

    with pytest.warns(RuntimeWarning, match="Read-only file system"):
        assert keep_in_cache("new", write).read_text() == "new"
    assert find_cached("old") == disk / f"v{surfaces.LAYOUT}" / "old"
    with pytest.raises(UnwritableError, match="Read-only file system. Nothing was written"):
        save_model(random_network(0, 0.1), disk / "mine", domain={}, provenance={})


# Both processes compute, and write half, before one of them may go on.
RACE = f"""
{inspect.getsource(fake_subject)}
import os, sys, time
from pathlib import Path
import mne
from mne_mmnet.template import surfaces
from mne_mmnet.template.make import make_template_bem
meeting = Path(sys.argv[1])

def meet(name):
    (meeting / f"{{name}}-{{os.getpid()}}").touch()
    stop = time.monotonic() + 60
    while len(list(meeting.glob(f"{{name}}-*"))) < 2:
        assert time.monotonic() < stop, "the other process never came"
        time.sleep(0.01)

def write_subject(directory):
    fake_subject(directory)
    meet("subject")

def write(path, bem):
    with open(path, "wb") as file:
        file.write(bem[:500_000])
        file.flush()
        meet("bem")
        file.write(bem[500_000:])

surfaces._write_files = write_subject
mne.make_bem_model = lambda *args: None
mne.make_bem_solution = lambda surfs: bytes(range(250)) * 4000
mne.write_bem_solution = write
mne.read_bem_solution = lambda path: path.read_bytes()
print(make_template_bem(verbose="error") == bytes(range(250)) * 4000)
"""


def test_two_processes_fill_the_cache_at_once(cache, tmp_path):
    """Both succeed, and leave one subject and one complete head model."""
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    command = [sys.executable, "-W", "error", "-c", RACE, str(meeting)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out.strip() == "True"
    assert len(list(meeting.iterdir())) == 4  # they did meet
    cache = cache / f"v{surfaces.LAYOUT}"
    (solution,) = (cache / "bem").iterdir()
    assert solution.stat().st_size == 1_000_000
    assert [path.name for path in (cache / "subjects").iterdir()] == ["fsaverage5"]
