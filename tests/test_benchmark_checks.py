"""Benchmarks of forward solutions, of choices, and of recordings of others, as small as can be."""

import csv
import functools
import importlib
import signal
import sys
from dataclasses import replace
from importlib.util import find_spec

import mne
import numpy as np
import pytest
import torch

import mne_mmnet
from benchmark_cases import benchmark_modules, check_table, coarse_heads, optional, quoted_columns
from core_cases import make_people, ring
from mne_cases import montage_info

pytestmark = [
    pytest.mark.xdist_group("benchmarks"),
    pytest.mark.filterwarnings("ignore"),
]
SFREQ = 200.0


@pytest.fixture
def run(monkeypatch):
    """Run a benchmark with some options, after ``change(module)``; rows of its table."""
    handler, n_threads = signal.getsignal(signal.SIGTERM), torch.get_num_threads()

    def go(name, words, path, change=lambda module: None):
        with optional(name):
            module = importlib.import_module(name)
        change(module)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, words)])
        module.main()
        _, header = check_table(path, name)
        assert set(quoted_columns(path.name)) <= set(header.split(","))
        with open(path, newline="", encoding="utf-8") as file:
            next(file)
            return list(csv.DictReader(file))

    with benchmark_modules(), coarse_heads():
        yield go
    torch.set_num_threads(n_threads)
    signal.signal(signal.SIGTERM, handler)


def write_average(path, seed=0):
    """Average of noise and a source, 32 electrodes that lie where nobody's montage has them."""
    info = montage_info("biosemi32", sfreq=SFREQ)
    rng = np.random.default_rng(seed)
    for channel in info["chs"]:
        channel["loc"][:3] *= 1.0 + 0.02 * rng.standard_normal(3)
    data = 1e-6 * rng.standard_normal((32, 60))
    data += 5e-6 * np.outer(rng.standard_normal(32), np.hanning(60))
    evoked = mne.EvokedArray(data - data.mean(axis=0), info, tmin=-0.1)
    evoked.set_eeg_reference(projection=True).apply_proj()
    evoked.save(path)
    return evoked


def test_forward(run, tmp_path):
    """Against spheres, and against OpenMEEG where that is installed."""

    def change(module):
        module.ECCENTRICITIES, module.N_PLACES = (0.3,), 2
        module.sphere_bem = functools.partial(module.sphere_bem, ico=1)
        module.make_template_bem = lambda ico: mne_mmnet.make_template_bem()
        module.make_template_forward = functools.partial(
            module.make_template_forward, spacing="ico2"
        )

    path = tmp_path / "forward.csv"
    rows = run("forward", ["--out", path], path, change)
    for solver, limit in {"MNE's sphere model": 0.02, "MNE": 0.2, "OpenMEEG": 0.2}.items():
        found = [row for row in rows if row["solver"] == solver and row["head"] == "spheres"]
        if solver != "OpenMEEG" or find_spec("openmeeg"):
            assert {row["orientation"] for row in found} == {"radial", "tangential"}
        assert all(float(row["rdm"]) < limit for row in found)


def test_design(run, tmp_path, rng):
    """Two variants, two batches of training each; kept, and not trained again."""
    n_electrodes, n_sources = 40, 60
    angle = np.linspace(0.0, 2 * np.pi, n_sources, endpoint=False)
    circle = np.c_[np.cos(angle), np.sin(angle), 0.0 * angle]
    around = rng.standard_normal((n_electrodes, 3))
    around *= 95.0 / np.linalg.norm(around, axis=1, keepdims=True)
    gains = rng.standard_normal((2, n_electrodes, n_sources, 3))
    people = make_people(rng, gains, around, 60.0 * circle, circle, ring(n_sources))

    def change(module):
        module.read_spaces = lambda *_: ((people,), (people,))
        module.RECORDINGS = replace(module.RECORDINGS, n_channels=(32, 40))
        few = dict(n_channels=(32, 40), layouts=0.0)
        for name, variant in module.VARIANTS.items():
            module.VARIANTS[name] = replace(variant, simulation=few | variant.simulation)

    words = ["--work", tmp_path / "work", "--batches", 2, "--evaluated", 1, "--out", tmp_path]
    words += ["--variants", "no error columns"]
    path = tmp_path / "design.csv"
    rows = run("design", words, path, change)
    assert [row["variant"] for row in rows] == ["full", "no error columns"]
    made = {file: file.stat().st_mtime_ns for file in (tmp_path / "work").rglob("*.*")}
    assert {file.suffix for file in made} >= {".pt", ".npy"}
    assert rows == run("design", words, path, change)
    assert made == {file: file.stat().st_mtime_ns for file in made}
    module = importlib.import_module("design")
    for variant in module.VARIANTS.values():  # what they change is there
        with module.patched(variant):
            pass


def test_real_eeg(run, tmp_path):
    """One window of two recordings: any place is right in one, a single vertex in the other."""
    for name in ("one", "two"):
        write_average(tmp_path / f"{name}-ave.fif")
    all_of_it = np.arange(10242)
    places = dict(anywhere_lh=all_of_it, anywhere_rh=all_of_it, corner_lh=[0])
    np.savez(tmp_path / "targets_fsaverage5.npz", **places)

    def change(module):
        module.RECORDINGS = dict(one=("anywhere", 0.05), two=("corner", 0.05))
        module.WINDOWS = {"whole": np.inf}

    path = tmp_path / "real_eeg.csv"
    rows = run("real_eeg", [tmp_path, "--out", path], path, change)
    assert [row["read_out"] for row in rows] == 2 * ["region", "location"]
    for row in rows:
        row.pop("window"), row.pop("read_out")
        right = row.pop("recording") == "one"
        assert all((float(miss) == 0) == right for miss in row.values())


def test_false_alarms(run, tmp_path):
    """An average, a continuous recording of the same cap, and a table of positions alone."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    evoked = write_average(folder / "one-ave.fif")
    rng = np.random.default_rng(1)
    raw = mne.io.RawArray(1e-5 * rng.standard_normal((32, 2000)), evoked.info)
    raw.save(folder / "one_raw.fif")
    places = [channel["loc"][:3] for channel in evoked.info["chs"]]
    lines = [
        "\t".join([name, *(f"{1e3 * x:.3f}" for x in place)])
        for name, place in zip(evoked.ch_names, places, strict=True)
    ]
    table = "\n".join(["name\tx\ty\tz", *lines, "EXG1\tn/a\tn/a\tn/a"])
    (folder / "sub-01_electrodes.tsv").write_text(table)
    (folder / "broken_raw.fif").write_bytes(b"no recording")

    def change(module):
        module.N_WINDOWS = 2

    path = tmp_path / "false_alarms.csv"
    rows = run("false_alarms", [folder, "--out", path], path, change)
    assert {row["kind"] for row in rows} == {"averages", "raw", "positions"}
    assert {row["positions"] for row in rows} == {"digitised"}


def test_leaderboard(run, tmp_path):
    """mmnet and two others on invertmeeg's sets, one sample each; then from what is kept."""
    words = ["--solvers", "mmnet", "mne", "sloreta", "--seeds", 11, "--n-samples", 1]
    words += ["--out", tmp_path, "--work", tmp_path / "work"]
    path = tmp_path / "leaderboard.csv"
    rows = run("leaderboard", words, path)
    assert {row["solver"] for row in rows} == {"mmnet", "mne", "sloreta"}
    assert not any(row["failure"] for row in rows)
    assert run("leaderboard", ["--solvers", *words[4:]], path) == rows


def test_live(run, tmp_path):
    """A fraction of a second at one step."""

    def change(module):
        module.STEPS, module.AWAY = (0.2,), 0.5

    path = tmp_path / "live.csv"
    rows = run("live", ["--seconds", 0.5, "--out", path], path, change)
    assert {row["variances"] for row in rows} == {"each window", "filters"}
