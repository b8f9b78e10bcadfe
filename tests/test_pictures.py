"""Regions, folded cortex, objective curves, comparisons: painted where they should be."""

from types import SimpleNamespace

import mne
import numpy as np
import pytest

from mne_mmnet import fetch_template, plot_comparison, plot_objective, plot_sources
from mne_mmnet.viz.projection import draw_projection
from test_viz import SIZE, colourful, make_stc


@pytest.fixture(scope="module")
def directory():
    return fetch_template()


def make_report(retries=(0, 0, 0), analytic=(), objective=(9.0, 5.0, 4.0, 3.5)):
    """What plot_objective reads of a certificate."""
    flags = np.isin(np.arange(len(retries)), analytic)
    return SimpleNamespace(
        objective=np.array(objective),
        retries=np.array(retries),
        analytic=flags,
        stalled=np.zeros(len(retries), bool),
    )


def make_grid_stc(values=None):
    """Every 8th vertex of both hemispheres, one sample."""
    vertices = [np.arange(0, 10242, 8)] * 2
    data = np.zeros((2 * len(vertices[0]), 1)) if values is None else values[:, np.newaxis]
    return mne.SourceEstimate(data, vertices, 0.0, 0.01, subject="fsaverage5")


def changed(one, other, share=1.0):
    """Pixels (h, w) that differ, within the left part of the pictures."""
    width = int(share * one.shape[1])
    return (one != other).any(axis=2)[:, :width]


@pytest.mark.parametrize("surface", ["inflated", "pial"])
def test_region(directory, surface):
    """The region's edge is dark, lies around its sources, on their hemisphere, with a legend."""
    rr, _ = mne.read_surface(directory / "fsaverage5" / "surf" / f"lh.{surface}")
    stc = make_grid_stc()
    used = rr[stc.vertices[0]]
    # around the most lateral source of the left hemisphere
    near = np.linalg.norm(used - used[np.argmin(used[:, 0])], axis=1) < 25.0
    region = np.concatenate([near, np.zeros(len(used), bool)])
    look = dict(subjects_dir=directory, size=SIZE, surface=surface)
    plain = plot_sources(stc, **look)
    marked = plot_sources(stc, region=region, **look)
    differ = changed(plain, marked)
    edge = differ & (marked.max(axis=2) < 100)
    cortex, legend = edge[: int(0.9 * SIZE[1])], edge[int(0.94 * SIZE[1]) :]
    assert legend.any()
    rows, columns = np.nonzero(cortex)
    assert len(rows) > 50
    assert marked[rows, columns].mean() < plain[rows, columns].mean() - 30
    # left hemisphere, seen from the side; a ring of at most 50 mm, where 170 mm are 0.42 widths
    assert columns.max() < 0.45 * SIZE[0]
    if surface == "pial":  # of which other sides see some, too
        return
    assert rows.max() < 0.5 * SIZE[1]
    assert 20 < np.ptp(columns) < 60 / 170 * 0.42 * SIZE[0] + 10
    # a ring: its middle is tinted only
    middle = int(rows.mean()), int(columns.mean())
    assert differ[middle]
    assert not cortex[middle]
    assert np.abs(marked[middle].astype(int) - plain[middle]).max() < 25


def test_region_of_an_uncertainty(directory):
    """Its level decides what is outlined; one of other sources is refused."""
    stc = make_grid_stc()
    level = np.clip(np.arange(len(stc.data)) / 50.0, 0, 1)[:, np.newaxis]
    confidence = stc.copy()
    confidence.data = level
    uncertainty = SimpleNamespace(confidence=confidence, region=lambda c: level[:, 0] < c)
    look = dict(subjects_dir=directory, size=SIZE)
    given = plot_sources(stc, region=level[:, 0] < 0.5, **look)
    named = plot_sources(stc, region=uncertainty, level=0.5, **look)
    differ = changed(given, named)
    assert not differ[: int(0.9 * SIZE[1])].any()
    assert differ[int(0.94 * SIZE[1]) :].any()  # the legend names the level
    with pytest.raises(ValueError, match="other sources"):
        plot_sources(make_stc([1e-8, 0, 0, 0, 0]), region=uncertainty, **look)
    with pytest.raises(ValueError, match="array of bool"):
        plot_sources(stc, region=level[:, 0], **look)


def test_surfaces(directory):
    """The folded cortex is another picture, with the colour on the same hemisphere."""
    stc = make_stc([0, 0, 0, 1e-8, 1e-8])
    look = dict(subjects_dir=directory, size=SIZE)
    pial = plot_sources(stc, surface="pial", **look)
    assert changed(pial, plot_sources(stc, **look)).mean() > 0.1
    spots = colourful(pial)
    half = spots.shape[1] // 2
    assert spots[:, half:].sum() > 20
    assert spots[:, :half].sum() == 0
    with pytest.raises(ValueError, match="surface"):
        plot_sources(stc, surface="white", **look)
    stc.vertices[1] = np.array([300, 20_000])
    with pytest.raises(ValueError, match="beyond the 10242"):
        plot_sources(stc, **look)


def test_comparison(directory, tmp_path):
    """Columns in order, each scaled to its own maximum, and nothing but places compared."""
    one, two = make_stc([0, 1e-8, 0, 0, 0], times=2), make_stc([0, 0, 0, 3e-3, 0], times=2)
    path = tmp_path / "methods.png"
    look = dict(subjects_dir=directory, width=400)
    image = plot_comparison({"one": one, "two": two}, path=path, title="Both", **look)
    assert image.shape == (368, 900, 3)
    assert image.dtype == np.uint8
    assert [p.name for p in tmp_path.iterdir()] == ["methods.png"]
    colour = np.ptp(image.astype(int), axis=2) > 40
    columns = [colour[:, 200 * k : 200 * (k + 1)].sum() > 10 for k in range(4)]
    # left hemisphere of the first, right one of the second
    assert columns == [True, False, False, True]
    # 300,000 times larger, painted the same; the caption says how large
    weak = plot_comparison({"one": one, "two": 1e-5 * two}, title="Both", **look)
    differ = changed(image, weak, 800 / 900)
    assert not differ[int(0.26 * len(image)) :].any()
    assert differ[: int(0.26 * len(image)), 400:].any()
    assert not differ[:, :400].any()


def test_comparison_bad_input(directory):
    stc = make_stc([1e-8, 0, 0, 0, 0])
    with pytest.raises(TypeError, match="stcs must be"):
        plot_comparison([stc])
    with pytest.raises(ValueError, match="no estimate"):
        plot_comparison({})
    with pytest.raises(TypeError, match=r"stcs\['b'\]"):
        plot_comparison({"a": stc, "b": stc.data}, subjects_dir=directory)
    other = stc.copy()
    other.subject = "sample"
    with pytest.raises(ValueError, match="different subjects"):
        plot_comparison({"a": stc, "b": other}, subjects_dir=directory)
    late = stc.copy()
    late.tmin = 3.0
    with pytest.raises(ValueError, match="time must be within"):
        plot_comparison({"a": stc, "b": late}, subjects_dir=directory)


def test_objective(tmp_path):
    """The curve falls from left to right; retries and analytic steps are marked in colour."""
    path = tmp_path / "curve.png"
    image = plot_objective(make_report(), path=path).astype(int)
    assert image.shape == (560, 900, 3)
    assert [p.name for p in tmp_path.iterdir()] == ["curve.png"]
    red, green, blue = image.transpose(2, 0, 1)
    rows, columns = np.nonzero((blue > red + 50) & (blue > green + 20))
    height = [rows[columns == c].mean() for c in np.unique(columns)]
    assert np.ptp(columns) > 500
    assert np.diff(height).min() > -3  # rows count downwards; the markers are round
    assert height[-1] - height[0] > 200

    def marked(report):
        """Reddish pixels: retries, and analytic steps."""
        image = plot_objective(report).astype(int)
        red = (image[:, :, 0] > 180) & (image[:, :, 1] < 80) & (image[:, :, 2] < 80)
        orange = (image[:, :, 0] > 200) & (abs(image[:, :, 1] - 138) < 25) & (image[:, :, 2] < 40)
        return red.sum(), orange.sum()

    assert marked(make_report()) == (0, 0)
    red, orange = marked(make_report(retries=(0, 3, 0)))
    assert red > 20
    assert orange == 0
    red, orange = marked(make_report(analytic=[1]))
    assert red == 0
    assert orange > 20
    # a trace that rises is not called certified
    assert marked(make_report(objective=(9.0, 5.0, 6.0, 3.5)))[0] > 20
    with pytest.raises(TypeError, match="return_report=True"):
        plot_objective([3.0, 2.0])


def test_projection(rng):
    """The strongest source is coloured where it is, in all three views."""
    positions = rng.uniform(-0.06, 0.06, (80, 3))
    positions[0] = [0.07, 0.07, 0.07]  # right, front, above
    values = np.zeros(80)
    values[0] = 1e-8
    image = draw_projection(positions, values, size=(1200, 520))
    colour = colourful(image)
    for column, name in enumerate(("above", "behind", "the right")):
        left = int((0.05 + 0.285 * column) * 1200)
        rows, columns = np.nonzero(colour[:, left : left + 300])
        assert len(rows) > 5, name
        assert columns.mean() > 0.6 * 300, name
        assert rows.mean() < 0.5 * 520, name
    ringed = draw_projection(positions, values, inside=values > 0, label="90 %", size=(1200, 520))
    assert changed(image, ringed)[:450].any()
