"""Modules of ``benchmarks/`` as long as a test runs, and heads that are solved at once."""

import contextlib
import sys
from pathlib import Path

import pytest

from mne_mmnet.template import surfaces

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
# what is not of this package's own
_OPTIONAL = ("invert", "mne_lsl", "threadpoolctl")


@contextlib.contextmanager
def benchmark_modules():
    """Let benchmarks be imported from their own folder; forget them afterwards.

    "noise" or "common" are nobody else's business.
    """
    before = set(sys.modules)
    sys.path.insert(0, str(FOLDER))
    try:
        yield
    finally:
        sys.path.remove(str(FOLDER))
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).is_relative_to(FOLDER):
                del sys.modules[name]


@contextlib.contextmanager
def optional(name):
    """Skip what needs a package that only the benchmarks need, where that is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name.split(".")[0] not in _OPTIONAL:
            raise
        pytest.skip(f"{name} needs {error.name}")


@contextlib.contextmanager
def coarse_heads():
    """Solve boundary-element models of few triangles, at once."""
    reshape = surfaces.reshape_skull
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surfaces, "reshape_skull", lambda surfs, _, t: reshape(surfs, 2, t))
        yield patch


def quoted_columns(name):
    """Columns of a table in ``benchmarks/results``."""
    lines = (FOLDER / "results" / name).read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if not line.startswith("#")).split(",")


def check_table(path, name):
    """First line and header of a table that a benchmark wrote: how it was made, and no path."""
    first, header, *rows = path.read_text(encoding="utf-8").splitlines()
    assert first.startswith((f"# python benchmarks/{name}.py ", f"# python benchmarks/{name}.py;"))
    assert str(path.parent.parent) not in first  # no path of a machine
    assert rows
    return first, header
