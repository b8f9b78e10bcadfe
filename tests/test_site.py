"""The site: every public name in the reference, built without a warning."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mne_mmnet

TUTORIALS = Path(__file__).parents[1] / "tutorials"
NEEDED = ("sphinx", "numpydoc", "sphinx_gallery", "pydata_sphinx_theme")


def test_reference_is_complete():
    page = (TUTORIALS / "site" / "api.rst").read_text(encoding="utf-8")
    tables = re.findall(r":toctree: api/\n\n((?:    \w+\n)+)", page)
    names = [name for table in tables for name in table.split()]
    assert len(names) == len(set(names))
    assert set(names) == set(mne_mmnet.__all__) - {"__version__"}


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
    (tmp_path / results).mkdir(parents=True)
    shutil.copy(TUTORIALS.parent / results / "limits.png", tmp_path / results)
    command = "-m sphinx -W --keep-going -q -b html -D plot_gallery=0 site html".split()
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path / "tutorials",
        env={**os.environ, "PYTHONPATH": str(TUTORIALS.parent)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    html = tmp_path / "tutorials" / "html"
    for name in mne_mmnet.__all__:
        assert (html / "api" / f"mne_mmnet.{name}.html").is_file()
    for script in TUTORIALS.glob("*.py"):
        assert (html / "gallery" / f"{script.stem}.html").is_file()
    # pages that need nothing from elsewhere
    front = (html / "index.html").read_text(encoding="utf-8")
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="https?:', front)
