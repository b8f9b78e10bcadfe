"""Pictures: drawn off-screen, with what they should show at the right place."""

import sys

import mne
import numpy as np
import pytest

from mne_mmnet import fetch_template
from mne_mmnet.viz import plot_sources, surfaces
from mne_mmnet.viz.colours import choose_unit

SIZE = (600, 480)


@pytest.fixture(scope="module")
def directory():
    return fetch_template()


def make_stc(values, times=1):
    """Three sources on the left lateral surface, two on the right one."""
    data = np.outer(values, np.arange(1, times + 1))
    vertices = [np.array([100, 2000, 5000]), np.array([300, 4000])]
    return mne.SourceEstimate(data, vertices, 0.0, 0.01, subject="fsaverage5")


def colourful(image):
    """Pixels (h, w) with a colour, left of the colour bar."""
    image = image.astype(int)[:, : int(0.87 * image.shape[1])]
    return np.ptp(image, axis=2) > 40


def test_picture(directory, tmp_path):
    """A PNG of the asked size, no debris; the active hemisphere is coloured, the other is not."""
    path = tmp_path / "map.png"
    image = plot_sources(
        make_stc([0, 1e-8, 0, 0, 0]), subjects_dir=directory, path=path, size=SIZE, title="Map"
    )
    assert image.shape == (SIZE[1], SIZE[0], 3)
    assert image.dtype == np.uint8
    assert [p.name for p in tmp_path.iterdir()] == ["map.png"]
    from matplotlib.image import imread

    np.testing.assert_allclose(imread(path)[:, :, :3] * 255, image, atol=1)
    spots = colourful(image)
    half = spots.shape[1] // 2
    assert spots[:, :half].sum() > 20
    assert spots[:, half:].sum() == 0
    # lateral (above) and medial (below) views differ
    rows = image.shape[0] // 2
    assert (
        np.abs(image[60:rows, :250].astype(int) - image[rows + 30 :, :250][: rows - 60]).max() > 50
    )


def test_signs_and_truth(directory):
    """Negative currents are blue, positive ones red, true sources green."""
    image = plot_sources(
        make_stc([1e-8, 0, 0, 0, -1e-8]),
        subjects_dir=directory,
        size=SIZE,
        truth=[[2000], []],
    ).astype(int)
    red, green, blue = image[:, : int(0.87 * SIZE[0])].transpose(2, 0, 1)
    assert ((red > 150) & (red > blue + 60)).any()
    assert ((blue > 150) & (blue > red + 60)).any()
    assert ((green > red + 60) & (green > blue + 30)).any()


def test_time(directory):
    """The sample nearest to the time is drawn; a time outside is refused."""
    stc = make_stc([0, 1e-8, 0, 0, 0], times=3)
    one = plot_sources(stc, subjects_dir=directory, size=SIZE, time=0.02)
    assert (one == plot_sources(stc, subjects_dir=directory, size=SIZE)).all()
    with pytest.raises(ValueError, match="time must be within"):
        plot_sources(stc, subjects_dir=directory, time=1.0)


def test_bad_input(directory, tmp_path):
    stc = make_stc([1.0, 0, 0, 0, 0])
    with pytest.raises(TypeError, match="stc must be an instance of"):
        plot_sources(stc.data)
    with pytest.raises(ValueError, match=r"end in \.png"):
        plot_sources(stc, subjects_dir=directory, path=tmp_path / "map.jpg")
    with pytest.raises(FileNotFoundError, match="surfaces of subject 'nobody'"):
        plot_sources(stc, subject="nobody", subjects_dir=directory)
    with pytest.raises(ValueError, match="not finite"):
        plot_sources(make_stc([np.nan, 0, 0, 0, 0]), subjects_dir=directory)
    with pytest.raises(TypeError, match=r"complex values. Take abs\(\)"):
        plot_sources(make_stc([1j, 0, 0, 0, 0]), subjects_dir=directory)


def test_units():
    """Of currents; power has none of these."""
    for limit, expected in (
        (3e-8, ("nA·m", 1e-9)),
        (3e-11, ("pA·m", 1e-12)),
        (9e-16, ("", 1.0)),
        (5.0, ("", 1.0)),
    ):
        assert choose_unit(limit) == expected


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is a display")
@pytest.mark.parametrize(
    ("what", "value", "message"),
    [
        ("_HEADLESS_VTK", (99, 0), r"VTK \d+\.\d+ can't draw .* vtk>=9\.4, or run under xvfb-run"),
        ("ctypes.util.find_library", lambda name: None, "Install libEGL"),
    ],
)
def test_nothing_to_draw_on(what, value, message, directory, monkeypatch):
    """VTK would end the process; here it is an error that says what to install."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(surfaces, "_HEADLESS_VTK", (0, 0))
    monkeypatch.setattr(f"mne_mmnet.viz.surfaces.{what}", value)
    with pytest.raises(RuntimeError, match=message):
        plot_sources(make_stc([1e-8, 0, 0, 0, 0]), subjects_dir=directory, size=SIZE)
