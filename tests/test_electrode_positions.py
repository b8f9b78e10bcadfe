"""Electrodes in another frame, unit, order or size, and where they are put on the template."""

import re
import warnings

import mne
import numpy as np
import pytest
from mne.io.constants import FIFF
from mne.transforms import apply_trans, invert_transform
from numpy.testing import assert_allclose

import mne_mmnet
import template_cases as cases
from mne_cases import montage_info, needs_mne_113
from mne_mmnet import make_template_forward
from mne_mmnet._mne import (
    COLIN27_1005,
    doubt_electrodes,
    doubt_positions,
    electrode_positions,
    head_positions,
    place_electrodes,
)

MONTAGES = mne.channels.get_builtin_montages()


def _turn(axis, degrees):
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix()


MOVES = {
    "frame": {
        "no fiducials": lambda r: r + np.array([0.0, -0.03, -0.045]),
        "x to the nose": lambda r: np.column_stack([r[:, 1], -r[:, 0], r[:, 2]]),
        "x to the back": lambda r: np.column_stack([-r[:, 1], r[:, 0], r[:, 2]]),
        "half a turn": lambda r: r * [-1, -1, 1],
        "upside down": lambda r: r * [1, -1, -1],
        "y up": lambda r: r[:, [0, 2, 1]] * [1, -1, 1],
        "nodding": lambda r: r @ _turn("x", 40).T,
    },
    "mirror": {
        "left and right": lambda r: r * [-1, 1, 1],
        "front and back": lambda r: r * [1, -1, 1],
        "axes exchanged": lambda r: r[:, [1, 0, 2]],
    },
    "unit": {
        "mm": lambda r: r * 1e3,
        "cm": lambda r: r * 1e2,
        "km": lambda r: r * 1e-3,
        "Neuroscan": lambda r: r + np.array([0.0, 0.0, 0.9]),
    },
    "size": {"child": lambda r: r * 0.8, "infant": lambda r: r * 0.65, "giant": lambda r: r * 1.3},
    "order": {
        "reversed": lambda r: r[::-1],
        "shuffled": lambda r: r[np.random.default_rng(3).permutation(len(r))],
    },
}
ALL_MOVES = [(kind, name) for kind, moves in MOVES.items() for name in moves]


def _moved(info, move):
    info = info.copy()
    places = move(np.array([ch["loc"][:3] for ch in info["chs"]]))
    for channel, place in zip(info["chs"], places, strict=True):
        channel["loc"][:3] = place
    return info


@pytest.mark.parametrize("montage", [COLIN27_1005, "biosemi64", "GSN-HydroCel-128", "mgh60"])
@pytest.mark.parametrize("jitter", [0.0, 2e-3])
@pytest.mark.parametrize(("kind", "name"), ALL_MOVES)
def test_kinds_are_told_apart(kind, name, jitter, montage, rng):
    """A cap's drawing and digitised positions, with names of the 10-05 system and a maker's."""
    info = montage_info(montage, cases.NAMES if "colin" in montage else None)
    names, places = electrode_positions(info)
    places = places + jitter * rng.standard_normal(places.shape)
    assert not doubt_positions(names, places)
    found = doubt_positions(names, MOVES[kind][name](places))
    assert kind in found, found
    assert all(len(text) < 700 for text in found.values())


@pytest.mark.parametrize("turn", [90, -90])
def test_nameless_caps_turned(turn, rng):
    """Without names, the shape of a head tells a quarter turn."""
    places = electrode_positions(montage_info("GSN-HydroCel-128"))[1]
    places = places + 2e-3 * rng.standard_normal((128, 3))
    names = [f"chan{k}" for k in range(128)]
    assert not doubt_positions(names, places)
    assert "turned by quarters" in doubt_positions(names, places @ _turn("z", turn).T)["frame"]
    assert "frame" in doubt_positions(names, places + np.array([0, -0.03, -0.03]))


def test_two_names_exchanged(rng):
    info, _, _ = cases.head()
    names, places = electrode_positions(info)
    places = places + 2e-3 * rng.standard_normal(places.shape)
    a, b = names.index("F3"), names.index("P8")
    places[[a, b]] = places[[b, a]]
    found = doubt_positions(names, places)
    assert set(found) == {"order"}
    assert "F3, P8" in found["order"]


def test_two_at_one_place():
    info, _, _ = cases.head()
    names, places = electrode_positions(info)
    places[3] = places[10] + [0.0, 0.0, 5e-4]
    assert "F3 and FC6" in doubt_positions(names, places)["same place"]


@pytest.mark.parametrize("size", [0.87, 0.92, 1.0])
def test_channels_named_after_inputs_of_an_amplifier(size, rng):
    """EEG001, EEG002, …: names of MNE's mgh70, and of other labs' caps with other places.

    Sixteen people of one lab have them within 8 mm of mgh70 but for two, which are 19 cm away at
    the mastoids; and adults' heads are smaller than the template's by up to 13 %.
    """
    names, places = electrode_positions(montage_info("mgh70"))
    # mgh70's own head has 101.5 % of the template's size
    places = size / 1.015 * places + 4e-3 * rng.standard_normal(places.shape)
    places[0], places[2] = size * np.array([[-0.045, -0.08, 0.03], [0.045, -0.08, 0.03]])
    assert doubt_positions(names, places) == {}
    # two that have each other's place are another matter, also among these names
    exchanged = places.copy()
    exchanged[[10, 60]] = places[[60, 10]]
    apart = 1e3 * np.linalg.norm(places[10] - places[60])
    assert apart > 60
    assert "order" in doubt_positions(names[3:], exchanged[3:])


def test_size_of_a_makers_cap_is_the_templates_scalp(rng):
    names, places = electrode_positions(montage_info("mgh70"))
    child = 0.76 * places + 2e-3 * rng.standard_normal(places.shape)
    found = doubt_positions(names, child)
    size = float(re.search(r"about (\d+) %", found["size"])[1])
    assert abs(size - 100 * 0.76 * 1.015) < 3


@pytest.mark.parametrize("montage", MONTAGES)
def test_no_montage_of_mne_is_doubted(montage):
    info = montage_info(montage)
    if "prefixed" in montage:  # MNE's own fault: aF3 and aF4 have one place
        info = montage_info(montage, [name for name in info["ch_names"] if name != "aF4"])
    assert doubt_positions(*electrode_positions(info)) == {}


@pytest.mark.parametrize(("kind", "name"), ALL_MOVES)
def test_faults_are_concerns_of_every_estimate(kind, name):
    """Where the template is made from them, and with a forward solution that is at hand."""
    info, fwd, lead = cases.head()
    wrong = _moved(info, MOVES[kind][name])
    evoked = cases.make_response(info, lead)
    with evoked.info._unlock():
        evoked.info["chs"] = wrong["chs"]
    if kind == "unit":
        with pytest.raises(ValueError, match="unit"):
            make_template_forward(evoked.info)
        own = fwd
    else:
        with pytest.warns(RuntimeWarning, match=r"head coordinates|size|belong together"):
            own = make_template_forward(evoked.info, verbose="warning")
    stc, report, said = cases.localize(evoked, own)
    assert report.concerns
    assert any(concern in said for concern in report.concerns)
    if kind in ("frame", "mirror", "size"):  # the drawing's names say where its electrodes belong
        assert cases.miss(stc, fwd) < 15
    # a saved forward solution that was made as they are
    moved = fwd.copy()
    with moved["info"]._unlock():
        moved["info"]["chs"] = wrong["chs"]
    assert cases.localize(cases.make_response(info, lead), moved)[1].concerns


@pytest.mark.parametrize("road", ["epochs", "raw", "stream", "operator"])
def test_on_every_road(road):
    info, fwd, lead = cases.head()
    evoked = cases.make_response(_moved(info, MOVES["mirror"]["left and right"]), lead)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        operator = mne_mmnet.make_mmnet_operator(info, fwd, verbose="error")
    with pytest.warns(RuntimeWarning, match="mirror image"):
        found = cases.take(road, evoked, operator)
    if road == "stream":
        assert any("mirror image" in text for text in found.concerns)


def test_doubts_are_worked_out_once(monkeypatch):
    """And again where anything that they depend on has changed, also in place."""
    from mne_mmnet.inverse import operator as module

    info, fwd, _ = cases.head()
    info = info.copy()
    operator = mne_mmnet.make_mmnet_operator(info, fwd, verbose="error")
    calls = []

    def counted(*args):
        calls.append(args)
        return doubt(*args)

    doubt = module.doubt_electrodes
    monkeypatch.setattr(module, "doubt_electrodes", counted)
    assert operator.doubt_recording(info) == {}
    assert operator.doubt_recording(info.copy()) == {}
    assert len(calls) == 1
    for channel in info["chs"]:
        channel["loc"][0] *= -1
    assert "mirror" in operator.doubt_recording(info)
    for channel in info["chs"]:
        channel["loc"][0] *= -1
    assert operator.doubt_recording(info) == {}
    with info._unlock():
        for point in info["dig"]:
            point["coord_frame"] = FIFF.FIFFV_COORD_MRI
    operator.doubt_recording(info)
    assert len(calls) == 4


def test_right_input_has_no_concern():
    info, fwd, lead = cases.head()
    stc, report, said = cases.localize(cases.make_response(info, lead), fwd)
    assert report.concerns == ()
    assert said == []
    assert cases.miss(stc, fwd) < 10


@needs_mne_113
@pytest.mark.parametrize("montage", ["biosemi64", "easycap-M1", "brainproducts-RNP-BA-128"])
def test_names_are_placed_on_the_template(montage):
    """Dipoles at the places of fsaverage_1005, inverted with a drawing's positions."""
    names = tuple(mne.channels.make_standard_montage(montage).ch_names)
    known = set(mne.channels.make_standard_montage("fsaverage_1005").ch_names)
    names = tuple(name for name in names if name in known)
    _, truth, lead = cases.head("fsaverage_1005", names)
    info, fwd, _ = cases.head(montage, names)
    errors = []
    for source in range(0, lead.shape[1], 97):
        data = np.outer(lead[:, source], 5e-8 * np.sin(np.arange(20) / 4))
        stc, _, _ = cases.localize(cases.referenced(data, info), fwd, head="own")
        errors.append(cases.miss(stc, truth, source))
    assert np.median(errors) <= 3
    kept = make_template_forward(info, positions="as given", verbose="error")
    assert_allclose(electrode_positions(kept["info"])[1], electrode_positions(info)[1])


@pytest.mark.parametrize("montage", ["biosemi128", "GSN-HydroCel-128", "easycap-M10"])
def test_other_drawings_are_fitted(montage):
    info = montage_info(montage)
    placed = place_electrodes(*electrode_positions(info))
    assert (placed.how, "scaled" in str(placed)) == ("fitted", True)
    from mne_mmnet._mne.frames import _shift_to_scalp

    before, after = (
        _shift_to_scalp(each)[1] for each in (electrode_positions(info)[1], placed.positions)
    )
    assert after < before
    fwd = make_template_forward(info, "oct3", verbose="error")
    from mne_mmnet._mne import describe_head

    assert describe_head(info, fwd).electrodes == "nominal"


def test_digitised_electrodes_are_kept(rng):
    info, _, _ = cases.head()
    info = _moved(info, lambda r: r + 3e-3 * rng.standard_normal(r.shape))
    fwd = make_template_forward(info, "oct3", fit=False, verbose="error")
    assert_allclose(electrode_positions(fwd["info"])[1], electrode_positions(info)[1])


@needs_mne_113
@pytest.mark.filterwarnings("ignore:Fiducial point nasion not found")
@pytest.mark.parametrize("frame", ["mri", "mni_tal"])
def test_positions_in_template_coordinates(frame):
    """As mne-bids reads space-fsaverage and space-MNI152."""
    found = mne.channels.make_standard_montage("fsaverage_1005").get_positions()["ch_pos"]
    montage = mne.channels.make_dig_montage(
        {name: found[name] for name in cases.NAMES}, coord_frame=frame
    )
    info = mne.create_info(cases.NAMES, 500.0, "eeg").set_montage(montage)
    _, fwd, lead = cases.head("fsaverage_1005")
    own = make_template_forward(info, verbose="error")
    assert_allclose(own["sol"]["data"], fwd["sol"]["data"], rtol=1e-5, atol=1e-2)
    stc, report, _ = cases.localize(cases.make_response(info, lead), own)
    assert report.concerns == ()
    assert cases.miss(stc, fwd) < 10


def test_unknown_frame_is_an_error():
    info, _, _ = cases.head()
    info = info.copy()
    with info._unlock():
        for point in info["dig"]:
            point["coord_frame"] = FIFF.FIFFV_COORD_ISOTRAK
        for channel in info["chs"]:
            channel["coord_frame"] = FIFF.FIFFV_COORD_ISOTRAK
    with pytest.raises(ValueError, match="coordinate frame"):
        make_template_forward(info)


def test_forward_solution_of_another_cap(rng):
    info, _, lead = cases.head()
    info = _moved(info, lambda r: r + 2e-3 * rng.standard_normal(r.shape))
    fwd = make_template_forward(info, fit=False, verbose="error")
    assert not cases.localize(cases.make_response(info, lead), fwd)[1].concerns
    moved = _moved(info, lambda r: r + np.array([0.0, 0.012, 0.0]))
    (concern,) = cases.localize(cases.make_response(moved, lead), fwd)[1].concerns
    assert "12 mm (median)" in concern


@needs_mne_113
def test_sphere_keeps_the_occipital_cortex():
    info, fwd, _ = cases.head()
    sphere = mne.make_sphere_model((0, 0, 0.04), 0.095, verbose="error")
    with pytest.warns(RuntimeWarning, match="of 1175 sources outside"):
        found = make_template_forward(info, bem=sphere, verbose="warning")
    pairs = zip(fwd["src"], found["src"], strict=True)
    lost = ~np.concatenate([np.isin(a["vertno"], b["vertno"]) for a, b in pairs])
    assert lost.mean() < 0.06
    to_mri = invert_transform(fwd["mri_head_t"])
    y = apply_trans(to_mri, fwd["source_rr"])[:, 1]
    assert lost[y < -0.06].mean() < 0.06
    assert found["sol"]["data"].any(axis=0).all()
    assert_allclose(found["mri_head_t"]["trans"], fwd["mri_head_t"]["trans"], atol=1e-6)


def test_silent_sources_are_a_concern():
    info, fwd, lead = cases.head()
    fwd = fwd.copy()
    for data in (fwd["sol"]["data"], fwd["_orig_sol"]):
        data[:, 300:306] = 0.0
    concerns = cases.localize(cases.make_response(info, lead), fwd)[1].concerns
    assert any("2 of 1175 sources have no field" in text for text in concerns)


def test_alignment_is_drawn(tmp_path):
    info, fwd, _ = cases.head()
    info = info.copy()
    info["bads"] = ["Cz"]
    image = mne_mmnet.plot_alignment(info, path=tmp_path / "a.png", verbose="error")
    assert (tmp_path / "a.png").stat().st_size > 10000
    red = (image[..., 0] > 180) & (image[..., 1] < 80) & (image[..., 2] < 80)
    assert red.sum() > 20
    mirrored = _moved(info, MOVES["mirror"]["left and right"])
    assert (mne_mmnet.plot_alignment(mirrored, verbose="error") != image).any()
    assert mne_mmnet.plot_alignment(info, fwd=fwd, verbose="error").shape == image.shape
    for channel in info["chs"]:
        channel["loc"][:3] = np.nan
    with pytest.raises(ValueError, match="No EEG channel has a position"):
        mne_mmnet.plot_alignment(info)


def test_single_electrodes_that_moved(rng):
    """Of a measured cap, the electrode that was measured elsewhere is named."""
    info = _moved(cases.head()[0], lambda r: r + 2e-3 * rng.standard_normal(r.shape))
    fwd, moved, names = cases.head()[1].copy(), info.copy(), list(info["ch_names"])
    for channel, place in zip(fwd["info"]["chs"], info["chs"], strict=True):
        channel["loc"][:3] = place["loc"][:3]
    moved["chs"][names.index("C3")]["loc"][:3] = info["chs"][names.index("P3")]["loc"][:3] + 0.001
    text = doubt_electrodes(moved, fwd, names)["moved"]
    assert re.match(r"The data have 1 channel \(C3\) up to \d\d mm from where", text)
    assert "Make it from the info of these data" in text


@pytest.mark.parametrize("change", ["nothing", "turned round", "left out"])
def test_whichever_way_a_forward_solution_has_its_transform(change):
    """Positions in MRI coordinates are compared by it; without one they are taken as they are."""
    info, fwd, _ = cases.head()
    names, places, _ = head_positions(info, set(info["ch_names"]))
    trans = invert_transform(fwd["mri_head_t"])
    montage = mne.channels.make_dig_montage(
        dict(zip(names, apply_trans(trans, places), strict=True)), coord_frame="mri"
    )
    data = mne.create_info(names, 500.0, "eeg", verbose="error")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.set_montage(montage)
    fwd = fwd.copy()
    if change == "turned round":
        fwd["mri_head_t"] = trans
    elif change == "left out":
        del fwd["mri_head_t"]
    assert "moved" not in doubt_electrodes(data, fwd, names)


def test_positions_in_a_frame_that_nobody_knows():
    """They are compared with nothing, and not doubted."""
    info, fwd, _ = cases.head()
    info = info.copy()
    for channel in info["chs"]:
        channel["coord_frame"] = FIFF.FIFFV_COORD_ISOTRAK
        channel["loc"][:3] *= 2.0
    with info._unlock():
        for point in info["dig"]:
            point["coord_frame"] = FIFF.FIFFV_COORD_ISOTRAK
    assert doubt_electrodes(info, fwd, info["ch_names"]) == {}
