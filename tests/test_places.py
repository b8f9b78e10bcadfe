"""The table of sources: every kind of estimate, by naive sums; places, names and dipoles."""

import sys
from itertools import pairwise

import mne
import nibabel
import numpy as np
import pytest
from mne.transforms import apply_trans, invert_transform, rotation, translation

from mne_cases import CLASSES, KINDS, SUBJECT, make_evoked, make_fwd, make_info
from mne_mmnet import (
    SourceTable,
    apply_mmnet_inverse,
    fetch_template,
    find_sources,
    make_mmnet_operator,
    make_template_forward,
)
from mne_mmnet.dictionary.regions import Regions
from mne_mmnet.places.anatomy import name_regions, to_mni152


def make_stc(fwd, data, keep=None, kind="surface"):
    """An estimate of all sources, or of every `keep`-th."""
    vertices = [space["vertno"][::keep] for space in fwd["src"]]
    klass = CLASSES[kind][data.ndim == 3]
    return klass(data, vertices, tmin=0.1, tstep=0.01, subject=SUBJECT)


def random_stc(rng, kind, *, vector=False, keep=None, n_times=4):
    """A heavy-tailed estimate, and the rows of the forward solution that it has."""
    fwd = make_fwd(kind)
    starts = np.cumsum([0, *(len(space["vertno"]) for space in fwd["src"])])
    rows = np.concatenate([np.arange(a, b)[::keep] for a, b in pairwise(starts)])
    shape = (len(rows), 3, n_times) if vector else (len(rows), n_times)
    return make_stc(fwd, 1e-9 * rng.standard_normal(shape) ** 5, keep, kind), fwd, rows


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vector", [False, True])
@pytest.mark.parametrize("keep", [None, 2])
def test_table(kind, vector, keep, rng):
    """Places, moments and shares of every kind of estimate, whole or of some sources."""
    stc, fwd, rows = random_stc(rng, kind, vector=vector, keep=keep)
    before = stc.data.copy()
    found = find_sources(stc, fwd, time=0.12, radius=20.0)
    assert isinstance(found, SourceTable)
    assert 1 <= len(found) <= 5
    assert len(found.dipoles) == len(found.table) == len(found)
    at = 1e3 * fwd["source_rr"][rows]
    size = np.linalg.norm(stc.data[..., 2], axis=1) if vector else np.abs(stc.data[:, 2])
    assert np.argmin(np.linalg.norm(at - found[0].position_mm, axis=1)) == Regions(
        at, 20.0
    ).strongest(size)
    for row in found:
        inside = np.linalg.norm(at - row.position_mm, axis=1) <= 20.0
        assert row.moment_nam == pytest.approx(1e9 * size[inside].sum())
        assert row.share == pytest.approx(size[inside].sum() / size.sum())
        assert row.time == pytest.approx(0.12)
        assert (row.mni_mm, row.region, row.probability) == (None, None, None)
        space = fwd["src"][row.source_space]
        assert row.vertex in stc.vertices[row.source_space]
        np.testing.assert_allclose(1e3 * space["rr"][row.vertex], row.position_mm)
        if space["type"] == "surf":
            assert row.side == ("left", "right")[row.source_space]
        elif abs(row.position_mm[0]) > 1.0:
            assert row.side == ("left" if row.position_mm[0] < 0 else "right")
        else:
            assert row.side == "midline"
    assert sum(row.share for row in found) <= 1 + 1e-9
    np.testing.assert_array_equal(stc.data, before)


def test_times(rng):
    """None is the time of the largest moment of a region; lists are answered in their order."""
    stc, fwd, _ = random_stc(rng, "surface", n_times=600)
    at = 1e3 * fwd["source_rr"]
    moments = Regions(at).moments(stc.data).max(axis=0)
    found = find_sources(stc, fwd, n_sources=2)
    assert {row.time for row in found} == {stc.times[moments.argmax()]}
    assert found[0].moment_nam == pytest.approx(1e9 * moments.max(), rel=0.06)
    two = find_sources(stc, fwd, time=[0.3001, 0.2], n_sources=1)
    np.testing.assert_allclose([row.time for row in two], [0.3, 0.2])
    assert two[1] == find_sources(stc, fwd, time=0.2)[0]


def test_vectors_add_up(rng):
    """Dipoles: place, amplitude and direction over all times are those of the vector sum."""
    stc, fwd, _ = random_stc(rng, "surface", vector=True)
    found = find_sources(stc, fwd)
    for row, dipole in zip(found, found.dipoles, strict=True):
        gap = np.linalg.norm(1e3 * fwd["source_rr"] - row.position_mm, axis=1)
        vector = stc.data[gap <= 15.0].sum(axis=0).T
        np.testing.assert_allclose(dipole.amplitude[:, None] * dipole.ori, vector, atol=1e-20)
        np.testing.assert_allclose(np.linalg.norm(dipole.ori, axis=1), 1.0)
        np.testing.assert_allclose(1e3 * dipole.pos, np.tile(row.position_mm, (4, 1)))
        np.testing.assert_allclose(dipole.times, stc.times)
        sample = np.argmin(np.abs(stc.times - row.time))
        assert 1e9 * dipole.amplitude[sample] <= row.moment_nam
        assert np.isnan(dipole.gof).all()


def test_signed_and_lengths(rng, tmp_path):
    """Signed currents have the directions of the normals; lengths have none."""
    stc, fwd, _ = random_stc(rng, "surface")
    fixed = mne.convert_forward_solution(fwd, force_fixed=True, use_cps=False, verbose=False)
    normals = np.concatenate([space["nn"][space["vertno"]] for space in fwd["src"]])
    found = find_sources(stc, fwd)
    gap = np.linalg.norm(1e3 * fwd["source_rr"] - found[0].position_mm, axis=1)
    vector = stc.data[gap <= 15.0].T @ normals[gap <= 15.0]
    dipole = found.dipoles[0]
    np.testing.assert_allclose(dipole.amplitude[:, None] * dipole.ori, vector, atol=1e-20)
    lengths = abs(stc)
    signed = find_sources(lengths, fixed).dipoles[0]  # nothing else could have been estimated
    assert np.isfinite(signed.ori).all()
    found = find_sources(lengths, fwd)
    dipole = found.dipoles[0]
    np.testing.assert_allclose(dipole.amplitude, lengths.data[gap <= 15.0].sum(axis=0))
    assert np.isnan(dipole.ori).all()
    dipole.save(tmp_path / "a.dip", verbose="error")
    read = mne.read_dipole(tmp_path / "a.dip", verbose="error")
    np.testing.assert_allclose(read.pos, dipole.pos, atol=1e-5)


def test_operator(rng):
    """What made an estimate says, too, along which normals it is signed."""
    fwd = make_fwd()
    evoked = make_evoked(make_info())
    operator = make_mmnet_operator(evoked.info, fwd, loose=0)
    stc, uncertainty = apply_mmnet_inverse(
        evoked, operator, return_uncertainty=True, verbose="error"
    )
    one = find_sources(stc, operator, uncertainty=uncertainty)
    two = find_sources(stc, fwd, uncertainty=uncertainty)
    assert one.table == two.table
    at = 1e3 * fwd["source_rr"]
    for row in one:
        near = np.linalg.norm(at - row.position_mm, axis=1) <= 15.0
        chance = uncertainty.peak_probability.data[near, 0].sum()
        assert row.probability == pytest.approx(chance)
    wide = find_sources(stc, operator, uncertainty=uncertainty, radius=500.0)
    assert wide[0].probability == pytest.approx(1.0)
    near = np.linalg.norm(at - one[0].position_mm, axis=1) <= 15.0
    vector = stc.data[near].T @ operator.prepared.normals[near]
    dipole = one.dipoles[0]
    np.testing.assert_allclose(dipole.amplitude[:, None] * dipole.ori, vector, atol=1e-20)


def test_orientation_settled_by_the_evidence(rng):
    """Lengths have no direction; signed along the normals, or as vectors, they have."""
    evoked = make_evoked(make_info())
    operator = make_mmnet_operator(evoked.info, make_fwd())
    for pick_ori in (None, "normal", "vector"):
        stc = apply_mmnet_inverse(evoked, operator, pick_ori=pick_ori, verbose="error")
        dipole = find_sources(stc, operator).dipoles[0]
        assert np.isnan(dipole.ori).all() == (pick_ori is None)
        assert (dipole.amplitude > 0).any()


def test_label(rng):
    """An estimate and an uncertainty of a label alone."""
    fwd = make_fwd()
    evoked = make_evoked(make_info())
    label = mne.Label(fwd["src"][1]["vertno"][:50], hemi="rh", subject=SUBJECT)
    stc, uncertainty = apply_mmnet_inverse(
        evoked, fwd, label=label, return_uncertainty=True, verbose="error"
    )
    found = find_sources(stc, fwd, uncertainty=uncertainty, atlas=[label.copy()])
    assert {row.side for row in found} == {"right"}
    assert all(row.vertex in label.vertices for row in found)
    assert all(row.region == label.name for row in found)
    total = uncertainty.peak_probability.data.sum()
    assert all(0 <= row.probability <= total + 1e-9 for row in found)
    other = find_sources(stc, fwd, atlas=[mne.Label([0], hemi="lh", subject=SUBJECT)])
    assert {row.region for row in other} == {None}


def test_zeros():
    """An estimate of nothing has no sources, and says so."""
    fwd = make_fwd()
    found = find_sources(make_stc(fwd, np.zeros((324, 3))), fwd)
    assert len(found) == len(found.dipoles) == 0
    assert "zero" in str(found)
    assert "0 sources" in repr(found)
    assert len(found.to_data_frame()) == 0


def test_template():
    """Known places of the template: MNI coordinates, names, whatever the forward's frame."""
    info = make_info()
    fwd = make_template_forward(info, verbose="error")
    assert fwd["src"][0]["subject_his_id"] == "fsaverage5"
    white = mne.read_surface(fetch_template() / "fsaverage5" / "surf" / "lh.white")[0]
    data = np.zeros((fwd["nsource"], 1))
    hand = [-40.0, -26.0, 52.0]
    vertno = fwd["src"][0]["vertno"]
    row = np.argmin(np.linalg.norm(white[vertno] - hand, axis=1))
    data[row] = -5e-9
    stc = mne.SourceEstimate(data, [s["vertno"] for s in fwd["src"]], 0, 1, "fsaverage5")
    found = find_sources(stc, fwd)
    (source,) = found
    assert source.vertex == vertno[row]
    np.testing.assert_allclose([source.mni_mm], to_mni152(white[vertno[row]]), atol=0.05)
    assert source.region in ("Postcentral_L", "Precentral_L")
    assert (source.side, source.extent_mm, source.share) == ("left", 0.0, 1.0)
    assert source.moment_nam == pytest.approx(5.0)
    for words in ("left", source.region, "5 nA·m", "MNI152", "100 %", "within 15 mm"):
        assert words in str(found)
    assert "probability" not in str(found)
    assert find_sources(stc, fwd, atlas=None)[0].region is None
    assert find_sources(stc, fwd, subject="nobody")[0].mni_mm is None
    # the same in MRI coordinates: dipoles are in head coordinates all the same
    to_mri = invert_transform(fwd["mri_head_t"])
    turned = fwd.copy()
    turned["coord_frame"] = mne.io.constants.FIFF.FIFFV_COORD_MRI
    turned["source_rr"] = apply_trans(to_mri, fwd["source_rr"])
    for space in turned["src"]:
        space["nn"] = space["nn"] @ to_mri["trans"][:3, :3].T
    again = find_sources(stc, turned)
    np.testing.assert_allclose(again[0].mni_mm, source.mni_mm, atol=1e-6)
    np.testing.assert_allclose(again[0].position_mm, source.position_mm, atol=1e-6)
    np.testing.assert_allclose(again.dipoles[0].ori, found.dipoles[0].ori, atol=1e-6)


def test_talairach(tmp_path, rng):
    """A subject of one's own: MNI coordinates by MRI and Talairach transform, or none."""
    stc, fwd, _ = random_stc(rng, "surface")
    fwd = fwd.copy()
    fwd["mri_head_t"] = mne.Transform("mri", "head", translation(0.0, 0.01, 0.02))
    assert find_sources(stc, fwd, subjects_dir=tmp_path)[0].mni_mm is None
    folder = tmp_path / SUBJECT / "mri"
    (folder / "transforms").mkdir(parents=True)
    affine = np.array([[-1.0, 0, 0, 128], [0, 0, 1, -128], [0, -1, 0, 128], [0, 0, 0, 1]])
    affine[:3, 3] += [3.0, -4.0, 5.0]  # centre of the volume, where surfaces have their zero
    image = nibabel.MGHImage(np.zeros((256, 256, 256), np.uint8), affine)
    nibabel.save(image, folder / "T1.mgz")
    assert find_sources(stc, fwd, subjects_dir=tmp_path)[0].mni_mm is None
    matrix = (rotation(0.1, 0.05, -0.1) @ np.diag([1.1, 1.05, 0.95, 1.0]))[:3]
    matrix[:, 3] = 1.0, 2.0, 3.0
    text = "\n".join(" ".join(f"{x:.9f}" for x in line) for line in matrix)
    (folder / "transforms" / "talairach.xfm").write_text(
        f"MNI Transform File\n\nTransform_Type = Linear;\nLinear_Transform =\n{text};\n",
        encoding="utf-8",
    )
    for row in find_sources(stc, fwd, subjects_dir=tmp_path):
        surface = np.array(row.position_mm) - [0.0, 10.0, 20.0]
        scanner = surface + np.array([3.0, -4.0, 5.0])
        expected = to_mni152(matrix[:, :3] @ scanner + matrix[:, 3])[0]
        np.testing.assert_allclose(row.mni_mm, expected, atol=1e-3)
        assert row.region is not None


def test_parcellation(tmp_path, rng):
    """Names of the subject's own parcellation, by the vertex."""
    stc, fwd, _ = random_stc(rng, "surface")
    labels = []
    for space, hemi in zip(fwd["src"], ("lh", "rh"), strict=True):
        surf = tmp_path / SUBJECT / "surf"
        surf.mkdir(parents=True, exist_ok=True)
        mne.write_surface(surf / f"{hemi}.white", 1e3 * space["rr"], space["tris"])
        front = np.flatnonzero(space["rr"][:, 1] > 0)
        labels.append(mne.Label(front, hemi=hemi, name=f"front-{hemi}", subject=SUBJECT))
    (tmp_path / SUBJECT / "label").mkdir()
    options = dict(subject=SUBJECT, subjects_dir=tmp_path, verbose="error")
    mne.write_labels_to_annot(labels, parc="halves", **options)
    for row in find_sources(stc, fwd, atlas="halves", subjects_dir=tmp_path):
        hemi = ("lh", "rh")[row.source_space]
        where = "front" if row.position_mm[1] > 0 else "unknown"
        assert row.region == f"{where}-{hemi}"


def test_regions():
    """Known places have their known names."""
    places = to_mni152(np.array([[-40.0, -26, 52], [10, -85, 5], [-52, -20, 8]]))
    names = name_regions(places)
    assert names[0] in ("Postcentral_L", "Precentral_L")
    assert names[1] in ("Calcarine_R", "Cuneus_R", "Lingual_R")
    assert names[2] in ("Temporal_Sup_L", "Heschl_L")
    assert name_regions([[0.0, 0.0, 120.0]])[0] != "Undefined"
    np.testing.assert_allclose(to_mni152(np.zeros(3)), [[-0.0429, 1.5496, 1.1840]])


def test_data_frame(rng, monkeypatch):
    """Columns for pandas; without it, a sentence."""
    stc, fwd, _ = random_stc(rng, "surface")
    found = find_sources(stc, fwd, time=[0.1, 0.11])
    frame = found.to_data_frame()
    assert len(frame) == len(found)
    np.testing.assert_allclose(frame[["x", "y", "z"]], [row.position_mm for row in found])
    assert frame["mni_x"].isna().all()
    assert frame["moment_nam"].tolist() == [row.moment_nam for row in found]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        found.to_data_frame()


def test_without_an_atlas(monkeypatch):
    """Names are left out where the package with the atlas is missing."""
    from mne_mmnet.places import anatomy

    monkeypatch.setattr(anatomy, "_browser", lambda: None)
    fwd = make_template_forward(make_info(), verbose="error")
    data = np.zeros((fwd["nsource"], 1))
    data[3] = 1e-9
    stc = mne.SourceEstimate(data, [s["vertno"] for s in fwd["src"]], 0, 1, "fsaverage5")
    found = find_sources(stc, fwd)
    assert found[0].region is None
    assert "region" not in str(found)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(stc=np.zeros(3)), TypeError, "stc must be an instance"),
        (dict(fwd="fwd"), TypeError, "fwd must be an instance"),
        (dict(n_sources=0), ValueError, "n_sources must be at least 1"),
        (dict(least=1.5), ValueError, "least must be between"),
        (dict(radius=-1.0), ValueError, "radius must be a positive"),
        (dict(radius="wide"), TypeError, "radius must be"),
        (dict(time=9.0), ValueError, "time must be within 0.1 and 0.13 s"),
        (dict(time="now"), TypeError, "time must be"),
        (dict(uncertainty=0.5), TypeError, "uncertainty must be"),
        (dict(atlas=3), TypeError, "atlas must be"),
        (dict(atlas=["here"]), TypeError, "Every one of atlas"),
        (
            dict(atlas=[mne.Label([0], hemi="lh", name="here", subject="other")]),
            ValueError,
            "label.morph",
        ),
        (dict(fwd=make_fwd("volume")), ValueError, "source spaces"),
    ],
)
def test_bad_input(change, error, message, rng):
    stc, fwd, _ = random_stc(rng, "surface")
    options = dict(stc=stc, fwd=fwd) | change
    with pytest.raises(error, match=message):
        find_sources(options.pop("stc"), options.pop("fwd"), **options)


def test_bad_estimates(rng):
    """Sources of another grid, values that are none, nothing at all."""
    stc, fwd, _ = random_stc(rng, "surface")
    foreign = stc.copy()
    foreign.vertices = [foreign.vertices[0] + 300, foreign.vertices[1]]
    with pytest.raises(ValueError, match="162 sources that fwd lacks"):
        find_sources(foreign, fwd)
    broken = stc.copy()
    broken.data[3, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        find_sources(broken, fwd)
    with pytest.raises(TypeError, match=r"complex values. Take abs\(\)"):
        find_sources(mne.SourceEstimate(1j * stc.data, stc.vertices, 0, 1), fwd)
    with pytest.warns(RuntimeWarning, match="If it is power, take the square root"):
        power = find_sources(stc**2, fwd)
    assert len(power) > 0
    empty = mne.SourceEstimate(np.zeros((0, 3)), [[], []], 0, 1)
    with pytest.raises(ValueError, match="no sources"):
        find_sources(empty, fwd)
    nameless = fwd.copy()
    for space in nameless["src"]:
        space["subject_his_id"] = None
    with pytest.raises(ValueError, match="Give subject"):
        find_sources(stc, nameless, atlas="aparc")
