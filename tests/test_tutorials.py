"""Every tutorial runs as a script, without a display (unless VTK needs one)."""

import os
from pathlib import Path

import pytest
from vtkmodules.vtkCommonCore import vtkVersion

from process_cases import run_python

TUTORIALS = Path(__file__).parents[1] / "tutorials"
LIMIT = 120  # s


@pytest.mark.parametrize("name", sorted(path.name for path in TUTORIALS.glob("*.py")))
def test_tutorial(name, tmp_path):
    if name == "results_elsewhere.py":  # makes nilearn's surface images
        pytest.importorskip("nilearn", minversion="0.11")
    env = {**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": str(TUTORIALS.parent)}
    if (vtkVersion.GetVTKMajorVersion(), vtkVersion.GetVTKMinorVersion()) >= (9, 4):
        for display in ("DISPLAY", "WAYLAND_DISPLAY"):
            env.pop(display, None)
    run_python(TUTORIALS / name, cwd=tmp_path, env=env, timeout=LIMIT)
    assert not list(tmp_path.iterdir()), "left files behind"
