"""MNE's own ``stc.plot`` shows an estimate of ours, under a virtual display."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

# in a process of its own: Qt ends the whole process where it cannot start
SCRIPT = """
import sys

import mne
import numpy as np
from mne_cases import make_evoked
from mne_mmnet import apply_mmnet_inverse, fetch_template, make_template_forward

info = mne.create_info(mne.channels.make_standard_montage("biosemi32").ch_names, 250.0, "eeg")
info.set_montage("biosemi32")
fwd = make_template_forward(info)
left = np.argmin(np.linalg.norm(fwd["source_rr"] - [-0.045, 0.0, 0.085], axis=1))
evoked = mne.EvokedArray(3e-8 * fwd["sol"]["data"][:, 3 * left + 2][:, np.newaxis], info)
evoked.data = evoked.data + 0.05 * make_evoked(info, n_times=1).data * evoked.data.std() / 1e-6
evoked.set_eeg_reference(projection=True)
stc = apply_mmnet_inverse(evoked, fwd, loose=1.0)
mne.viz.set_3d_backend("pyvistaqt")
brain = stc.plot(
    subjects_dir=fetch_template(), hemi="split", views="lat", size=(600, 300),
    background="white", time_viewer=False, show_traces=False, colorbar=False,
)
np.save(sys.argv[1], brain.screenshot())
brain.close()
"""


@pytest.fixture
def display():
    """Name of a virtual display of its own, which ends with the test."""
    if shutil.which("Xvfb") is None:
        pytest.skip("needs a virtual display (Debian, Ubuntu: apt install xvfb)")
    missing = [name for name in ("pyvistaqt", "PySide6") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs Qt: pip install {' '.join(missing)}")
    # the server picks a free number, and says it once it listens
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-screen", "0", "1024x768x24", "-nolisten", "tcp"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with server:
        try:
            yield f":{server.stdout.readline().strip()}"
        finally:
            server.terminate()


def test_stc_plot(display, tmp_path):
    """The estimate's peak is coloured on the left hemisphere, drawn on the left."""
    path = tmp_path / "brain.npy"
    paths = os.pathsep.join(str(Path(__file__).parents[k]) for k in (0, 1))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)],
        env={**os.environ, "DISPLAY": display, "PYTHONPATH": paths, "QT_QPA_PLATFORM": "xcb"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "no Qt platform plugin could be initialized" in done.stderr:
        pytest.skip("needs Qt's X libraries (apt install libxcb-cursor0 libxkbcommon-x11-0 …)")
    assert done.returncode == 0, done.stderr
    image = np.load(path).astype(int)
    assert image.shape == (300, 600, 3)
    colour = np.ptp(image, axis=2) > 60
    rows, columns = np.nonzero(colour[:, :300])
    assert len(rows) > 20
    assert 100 < columns.mean() < 230  # about the central sulcus, in the upper half
    assert rows.mean() < 150
    # a sparse estimate: the other hemisphere stays grey
    assert colour[:, :300].sum() > 5 * colour[:, 300:].sum()
