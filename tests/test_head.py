"""What a lead field is: own head or template, measured electrodes or a cap's drawing."""

import mne
import numpy as np
import pytest
from mne.transforms import apply_trans, translation
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

import mne_cases as cases
import mne_mmnet
from mne_mmnet import fetch_template
from mne_mmnet._mne import (
    HeadKind,
    describe_head,
    electrode_positions,
    find_nominal,
    resolve_head,
    template_scales,
)
from mne_mmnet._mne.electrodes import fit_similarity

MONTAGES = ("biosemi64", "easycap-M1", "GSN-HydroCel-128", "mgh60", "biosemi16")


def place(montage):
    """Names and positions (m) of a built-in montage, in head coordinates."""
    return electrode_positions(cases.montage_info(montage))


def measure(positions, seed, error=2e-3, scales=(0.96, 1.05, 1.0)):
    """Positions on another head, as a digitiser finds them."""
    noise = np.random.default_rng(seed).normal(size=positions.shape) / np.sqrt(3)
    return positions * scales + error * noise


# Electrodes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("montage", MONTAGES)
@pytest.mark.parametrize("n_electrodes", [8, 16, 1000])
def test_drawings_are_recognised(montage, n_electrodes):
    """Part of a montage, in another size and frame, rounded as in files, single ones moved."""
    names, positions = place(montage)
    rng = np.random.default_rng(n_electrodes)
    order = rng.permutation(len(names))[:n_electrodes]
    names, positions = [names[k].upper() for k in order], positions[order]
    turn = Rotation.from_euler("xyz", [10, -20, 95], degrees=True).as_matrix()
    copied = np.round(0.93 * positions @ turn.T + [0.01, 0.0, -0.03], 4)
    found = find_nominal(names, copied)
    assert found in mne.channels.get_builtin_montages()
    assert find_nominal([f"EEG {name}-REF" for name in names], copied) == found
    moved = copied.copy()
    moved[:: max(8, len(order) // 4)] += 0.02
    assert find_nominal(names, moved) in mne.channels.get_builtin_montages()


@pytest.mark.parametrize("montage", MONTAGES)
def test_measurements_are_recognised(montage):
    """No digitised cap passes for a drawing: same names, order and design."""
    names, positions = place(montage)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        some = rng.permutation(len(names))[: rng.integers(8, len(names) + 1)]
        scales = rng.normal(1.0, 0.06, 3)
        measured = measure(positions[some], seed, scales=scales)
        assert find_nominal([names[k] for k in some], measured) is None
        assert find_nominal([f"E{k}" for k in some], measured) is None


def test_regular_positions_under_other_names():
    """Nobody's electrodes lie on a sphere, or mirror each other to a millimetre."""
    names, sphere = place("biosemi64")
    names = [f"E{k}" for k in range(len(names))]
    assert find_nominal(names, sphere) == "sphere"
    egg = sphere * [0.9, 1.1, 1.0]
    assert find_nominal(names, egg) == "mirror"
    turn = Rotation.from_euler("z", 4, degrees=True).as_matrix()
    assert find_nominal(names, egg @ turn.T + [0.003, 0, 0]) == "mirror"
    assert find_nominal(names, egg + [1, 2, 1] * np.sin(40 * egg[:, ::-1]) * 2e-3) is None
    assert find_nominal(names[:7], sphere[:7]) == "few"
    assert find_nominal([], []) == "few"


def test_electrode_positions():
    """Of EEG channels that have one, bad ones among them."""
    info = mne.create_info(["Fz", "EOG", "Cz", "Pz", "Oz"], 1.0, ["eeg", "eog"] + ["eeg"] * 3)
    info.set_montage("easycap-M1", on_missing="ignore")
    info["bads"] = ["Cz"]
    info["chs"][3]["loc"][:3] = np.nan
    info["chs"][4]["loc"][:3] = 0
    names, positions = electrode_positions(info)
    assert names == ["Fz", "Cz"]
    assert positions.shape == (2, 3)
    assert electrode_positions(info, {"Cz", "EOG"})[0] == ["Cz"]
    assert electrode_positions(info, ())[1].shape == (0, 3)


def test_similarity():
    """Known rotation, size and shift are found; reflections only where they are asked for."""
    rng = np.random.default_rng(0)
    source = rng.normal(size=(12, 3))
    turn = Rotation.random(random_state=0).as_matrix()
    target = 1.3 * source @ turn.T + [1, 2, 3]
    linear, shift = fit_similarity(source, target)
    assert_allclose(linear, 1.3 * turn)
    assert_allclose(shift, [1, 2, 3])
    assert_allclose(fit_similarity(source, target, scale=False)[0], turn)
    flipped = target * [1, 1, -1]
    assert np.linalg.det(fit_similarity(source, flipped)[0]) > 0
    linear, shift = fit_similarity(source, flipped, mirror=True)
    assert_allclose(source @ linear.T + shift, flipped)


# Heads ------------------------------------------------------------------------------------------


def make_fwd(src, montage="biosemi32", positions=None):
    """Forward solution on a sphere: what is described is where things are."""
    info = cases.montage_info(montage)
    if positions is not None:
        for channel, position in zip(info["chs"], positions, strict=True):
            channel["loc"][:3] = position
    trans = mne.Transform("head", "mri", translation(0.001, -0.02, 0.003))
    fwd = mne.make_forward_solution(
        info, trans, src, cases.SPHERE, meg=False, mindist=0.0, verbose="error"
    )
    return info, fwd


@pytest.fixture(scope="module")
def template_src():
    """The template's surfaces, far inside of the sphere."""
    return mne.setup_source_space(
        "fsaverage5", "ico1", subjects_dir=fetch_template(), add_dist=False, verbose="error"
    )


def rename(src, subject, scales=(1.0, 1.0, 1.0), bend=0.0):
    """Another subject's, of another size or shape."""
    src = src.copy()
    for space in src:
        space["rr"] = space["rr"] * scales
        space["rr"] += bend * np.sin(60 * space["rr"][:, ::-1])
        space["subject_his_id"] = subject
    return src


@pytest.mark.parametrize("from_file", [False, True])
def test_describe(template_src, tmp_path, from_file):
    """Own head or template, by name or by shape; before and after a file."""
    _, nominal = place("biosemi32")
    digitised = measure(nominal, 0)

    def describe(src, positions=None):
        info, fwd = make_fwd(src, positions=positions)
        if from_file:
            mne.write_forward_solution(tmp_path / "a-fwd.fif", fwd, overwrite=True)
            fwd = mne.read_forward_solution(tmp_path / "a-fwd.fif")
        return describe_head(info, fwd)

    found = describe(template_src)
    assert found == HeadKind("template", "nominal", "biosemi32")
    assert not found.is_fitted
    assert str(found) == "a template head, nominal electrodes (biosemi32)"
    assert describe(template_src, digitised) == HeadKind("template", "digitised")
    assert describe(rename(template_src, "fsaverage"))[:2] == ("template", "nominal")
    # a copy under another name, and one that mne.scale_mri made
    assert describe(rename(template_src, "you")) == HeadKind("template", "nominal", "biosemi32")
    found = describe(rename(template_src, "you", (0.95, 1.02, 1.04)), digitised)
    assert found[:3] == ("template", "digitised", None)
    assert_allclose(found.scales, [0.95, 1.02, 1.04], atol=1e-4)
    assert found.is_fitted
    assert str(found) == "a template head scaled by 0.950 × 1.020 × 1.040, digitised electrodes"
    # another shape: somebody's own, unless the name says that it is the template, warped
    assert describe(rename(template_src, "you", bend=5e-3), digitised)[:2] == ("own", "digitised")
    assert describe(rename(template_src, "fsaverage5", bend=5e-3))[0] == "template"


def test_describe_other_spaces():
    """Volumes have a name at best; MEG has no electrodes."""
    for kind in ("surface", "volume", "discrete", "mixed"):
        found = describe_head(cases.make_info(32), cases.make_fwd(kind))
        assert found.kind == "own"
        assert found.scales is None
    fwd = cases.make_fwd("volume").copy()
    fwd["src"][0]["subject_his_id"] = "fsaverage"
    assert describe_head(cases.make_info(32), fwd).kind == "template"
    info = cases.make_meg_info(eeg=False)
    found = describe_head(info, cases.make_meg_fwd(eeg=False))
    assert found[:3] == ("own", "none", None)
    assert str(found) == "the person's own head"


def test_only_channels_of_the_recording_count(template_src):
    """Electrodes of the forward solution that were not recorded say nothing."""
    _, nominal = place("biosemi32")
    mixed = np.where(np.arange(32)[:, None] < 16, measure(nominal, 0), nominal)
    info, fwd = make_fwd(template_src, positions=mixed)
    measured, drawn = (mne.pick_info(info, picks) for picks in (range(16), range(16, 32)))
    assert describe_head(measured, fwd).electrodes == "digitised"
    assert describe_head(drawn, fwd).electrodes == "nominal"


def test_scales_in_any_frame(template_src):
    """Turned, moved and scaled."""
    scaled = rename(template_src, "you", (1.07, 0.9, 0.97))
    trans = np.eye(4)
    trans[:3, :3] = Rotation.from_euler("xyz", [20, 3, -5], degrees=True).as_matrix()
    trans[:3, 3] = 0.01
    for space in scaled:
        space["rr"] = apply_trans(trans, space["rr"])
    assert_allclose(template_scales(scaled), [1.07, 0.9, 0.97], atol=1e-4)
    assert template_scales(mne.SourceSpaces(scaled[:1])) is None
    assert template_scales(cases.make_src("surface")) is None


def test_resolve(template_src):
    """The user has the last word."""
    info, fwd = make_fwd(template_src)
    assert resolve_head("auto", info, fwd) == describe_head(info, fwd)
    assert resolve_head("own", info, fwd) == HeadKind("own", "nominal", "biosemi32")
    own = cases.make_info(32), cases.make_fwd()
    assert resolve_head("template", *own).kind == "template"
    with pytest.raises(ValueError, match=r"'head'.*'auto', 'own', and 'template'"):
        resolve_head("mine", info, fwd)
    for wrong in (None, True, 1):
        with pytest.raises(TypeError, match="head must be"):
            resolve_head(wrong, info, fwd)
    with pytest.raises(TypeError, match="fwd must be"):
        describe_head(info, info)


def test_a_fitted_drawing_with_channels_gone_or_in_another_order():
    """What a cap was copied from is seen by names, of whatever channels there are."""
    montage = "mgh60"
    info = cases.montage_info(montage)
    fwd = mne_mmnet.make_template_forward(info, "ico2")
    assert describe_head(info, fwd).montage == montage
    some = np.random.default_rng(0).permutation(len(info["ch_names"]))[:-9]
    fewer = cases.montage_info(montage, [info["ch_names"][k] for k in some])
    found = describe_head(fewer, fwd)
    assert (found.kind, found.electrodes, found.montage) == ("template", "nominal", montage)
