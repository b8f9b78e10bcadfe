"""The site: every public name in the reference, built without a warning."""

import importlib.util
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

import mne_mmnet
from process_cases import run_python

TUTORIALS = Path(__file__).parents[1] / "tutorials"
NEEDED = ("sphinx", "numpydoc", "sphinx_gallery", "pydata_sphinx_theme")


def test_reference_is_complete():
    page = (TUTORIALS / "site" / "api.rst").read_text(encoding="utf-8")
    tables = re.findall(r":toctree: api/\n\n((?:    \w+\n)+)", page)
    names = [name for table in tables for name in table.split()]
    assert len(names) == len(set(names))
    assert set(names) == set(mne_mmnet.__all__) - {"__version__"}


@pytest.fixture
def rooms():
    """The extension that draws the rooms."""
    return load_extension("rooms")


def load_extension(name):
    spec = importlib.util.spec_from_file_location(name, TUTORIALS / "site" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rooms(rooms, tmp_path):
    """Every room is drawn with what it is for; arrows go up, and none follows from others."""
    order = rooms.read_order()
    folders = {path.parent.name for path in rooms.PACKAGE.glob("*/__init__.py")}
    assert set(order) == folders | {"weights"}
    pairs = rooms.arrows(order)
    assert ("inverse", "solver") in pairs
    assert ("inverse", "network") not in pairs
    assert all(order.index(other) < order.index(room) for room, other in pairs)
    rooms.draw(tmp_path / "rooms.svg")
    picture = (tmp_path / "rooms.svg").read_text(encoding="utf-8")
    assert all(f"<!-- {room} -->" in picture for room in order)


def test_rooms_page_names_what_is_there():
    """Files and folders that the page sends a reader to exist."""
    page = (TUTORIALS / "site" / "rooms.rst").read_text(encoding="utf-8")
    named = re.findall(r"``([\w/]+(?:\.py|/))``", page)
    assert len(named) > 15
    for name in named:
        root = TUTORIALS.parent
        assert (root / "mne_mmnet" / name).exists() or (root / name).exists(), name


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Tables of results, of a folder of their own."""
    module = load_extension("results")
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    (tmp_path / "some.csv").write_text(
        "# python some.py; 2026-01-01\n"
        "head,method,n_0.5,auc,auc_ci\n"
        'own,"mmnet, loose=0",1,0.91234,0.8999 … 0.92\n'
        "own,dSPM,2,,\n"
        "template,dSPM,3,0.5,0.4 … 0.6\n",
        encoding="utf-8",
    )
    return module


def test_tables_of_results(results):
    made, rows = results.read("some.csv")
    assert made == "python some.py; 2026-01-01"
    columns = "method = {method}\nn = {n_0.5}\nAUC = {auc:.2f} ({auc_ci:.2f})"
    head, *lines = results.make_table(
        rows, columns, where="head = own", order="dSPM | absent | mmnet, loose=0"
    )
    assert head == ["method", "n", "AUC"]
    assert lines == [["dSPM", "2", "– (–)"], ["mmnet, loose=0", "1", "0.91 (0.90 … 0.92)"]]
    across = dict(across="head", cell="{auc:.1f}", where="method != mmnet*")
    assert results.make_table(rows, "m = {method}", **across) == [
        ["m", "own", "template"],
        ["dSPM", "–", "0.5"],
    ]
    with pytest.raises(ValueError, match="no rows are left"):
        results.make_table(rows, columns, where="head = nobody's")
    with pytest.raises(KeyError, match="gone"):
        results.make_table(rows, "method = {gone}")
    assert "     - a\\|b" in results.to_rst([["x", "y"], ["1", "a|b"]], "A caption")


def test_remarks_know_their_files(results, tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.rst"
    page.write_text(f".. remarks:: some.csv@{results.stamp('some.csv')}\n\n   Said.\n")
    assert results.stale(page) == []
    with open(tmp_path / "some.csv", "a", encoding="utf-8") as file:
        file.write("own,MNE,3,0.5,\n")
    ((name, old, new),) = results.stale(page)
    assert name == "some.csv"
    assert old != new == results.stamp("some.csv")
    monkeypatch.setattr(results, "SITE", tmp_path)
    monkeypatch.setattr(sys, "argv", ["results.py"])
    results.main()
    assert "some.csv" in capsys.readouterr().out
    assert results.stale(page)
    monkeypatch.setattr(sys, "argv", ["results.py", "--accept", str(page)])
    results.main()
    assert results.stale(page) == []


def test_authors_of_the_paper():
    page = (TUTORIALS / "site" / "citing.rst").read_text(encoding="utf-8")
    assert "2602.03855" in page
    for author in ("Tran", "Reynaud", "Fablet", "Merlini", "Rousseau", "Pham"):
        assert page.count(author) >= 2, author


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in NEEDED), reason="docs extra missing"
)
def test_site_builds(tmp_path):
    """Without running the tutorials, which tests/test_tutorials.py does."""
    # a copy, because pages are made beside the sources
    ignored = shutil.ignore_patterns("_build", "api", "gallery", "__pycache__")
    shutil.copytree(TUTORIALS, tmp_path / "tutorials", ignore=ignored)
    results = Path("benchmarks", "results")
    ignored = shutil.ignore_patterns("*.tar.gz")
    shutil.copytree(TUTORIALS.parent / results, tmp_path / results, ignore=ignored)
    # of which the rooms are drawn
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TUTORIALS.parent / "mne_mmnet", tmp_path / "mne_mmnet", ignore=ignored)
    (tmp_path / "pretrained").mkdir()
    files = (
        "CHANGES.rst",
        "pretrained/TRAINING.rst",
        "pyproject.toml",
        "benchmarks/paper_page.sh",
    )
    for name in files:
        shutil.copy(TUTORIALS.parent / name, tmp_path / name)
    command = "-m sphinx -W --keep-going -q -b html -D plot_gallery=0 site html".split()
    env = os.environ | {"PYTHONPATH": str(TUTORIALS.parent)}
    run_python(*command, cwd=tmp_path / "tutorials", env=env, timeout=300)
    html = tmp_path / "tutorials" / "html"
    for name in mne_mmnet.__all__:
        assert (html / "api" / f"mne_mmnet.{name}.html").is_file()
    for script in TUTORIALS.glob("*.py"):
        assert (html / "gallery" / f"{script.stem}.html").is_file()
    # tables of results, and names of other versions
    people = (html / "benchmarks" / "people.html").read_text(encoding="utf-8")
    assert "FlexChampagne" in people
    assert "people.csv</span>" in people
    assert "make_mmnet_filters" in (html / "which_call.html").read_text(encoding="utf-8")
    # pages that need nothing from elsewhere
    front = (html / "index.html").read_text(encoding="utf-8")
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="https?:', front)
