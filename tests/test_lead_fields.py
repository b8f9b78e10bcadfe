"""Forward solutions of arrays: the same as MNE's own, for MNE too, and mistakes are seen."""

import mne
import numpy as np
import pytest
from mne.transforms import invert_transform
from scipy import sparse

import mne_mmnet
from mne_cases import make_evoked, make_fwd, make_info, make_meg_fwd, make_meg_info
from mne_mmnet import apply_mmnet_inverse, make_forward_from_arrays
from test_filters import assert_close

FWD = make_fwd()
INFO = make_info(64)
RNG = np.random.default_rng(0)


def arrays(fwd=FWD, info=INFO):
    """A forward solution as plain arrays, and its mesh in one piece of numbering."""
    fwd = mne.pick_channels_forward(fwd, info["ch_names"], ordered=True, verbose=False)
    gain = fwd["sol"]["data"].reshape(len(info["ch_names"]), -1, 3)
    left, right = fwd["src"][:2]
    return dict(
        leadfield=gain,
        positions=fwd["source_rr"],
        info=info,
        normals=np.concatenate([s["nn"][s["vertno"]] for s in (left, right)]),
        # the vertices in use have a hull of their own
        triangles=np.concatenate([left["use_tris"], right["use_tris"] + left["nuse"]]),
    )


@pytest.fixture
def evoked():
    """A response of two sources in noise."""
    evoked = make_evoked(INFO, n_times=30)
    gain = arrays()["leadfield"]
    evoked.data += 5e-8 * gain[:, [10, 200], 2] @ np.sin(np.arange(60) / 4.0).reshape(2, 30)
    return evoked


@pytest.mark.parametrize("form", ["cube", "flat", "list"])
def test_free_orientation(evoked, form):
    """The same lead field gives MNE's estimate, and ours."""
    given = arrays()
    if form == "flat":
        given["leadfield"] = given["leadfield"].reshape(64, -1)
    elif form == "list":
        given["leadfield"] = list(given["leadfield"].swapaxes(0, 1))
    fwd = make_forward_from_arrays(**given, subject="twoballs")
    assert isinstance(fwd, mne.Forward)
    assert fwd["src"].kind == "surface"
    assert fwd["src"][1]["subject_his_id"] == "twoballs"
    cov = mne.make_ad_hoc_cov(INFO, verbose=False)
    for method in ("MNE", "eLORETA"):
        theirs, ours = (
            mne.minimum_norm.apply_inverse(
                evoked,
                mne.minimum_norm.make_inverse_operator(
                    INFO, x, cov, loose=0.2, use_cps=False, verbose=False
                ),
                method=method,
                verbose=False,
            )
            for x in (FWD, fwd)
        )
        assert_close(ours.data, theirs.data)
    theirs, ours = (
        apply_mmnet_inverse(evoked, x, loose=1.0, pick_ori="vector", head="own")
        for x in (FWD, fwd)
    )
    assert type(theirs) is type(ours)
    # the mesh is another one: neighbours differ a little
    assert np.corrcoef(theirs.data.ravel(), ours.data.ravel())[0, 1] > 0.9


def test_fixed_orientation(evoked):
    """One column a source, along the normals."""
    given = arrays()
    given["leadfield"] = np.einsum("csk,sk->cs", given["leadfield"], given["normals"])
    fwd = make_forward_from_arrays(**given)
    assert mne.forward.is_fixed_orient(fwd)
    stc = apply_mmnet_inverse(evoked, fwd)
    assert (stc.data < 0).any()
    fixed = mne.convert_forward_solution(FWD, force_fixed=True, use_cps=False, verbose=False)
    currents = np.zeros((324, 1))
    currents[[3, 170]] = 1e-8
    stc = mne.SourceEstimate(currents, [s["vertno"] for s in FWD["src"]], 0, 1, "twoballs")
    other = mne.SourceEstimate(currents, [s["vertno"] for s in fwd["src"]], 0, 1)
    a, b = (
        mne.apply_forward(x, y, INFO, verbose=False).data for x, y in ((fixed, stc), (fwd, other))
    )
    assert_close(b, a)


def test_points(evoked):
    """Without a mesh it is a cloud of points."""
    given = arrays()
    given.pop("triangles")
    fwd = make_forward_from_arrays(**given)
    assert fwd["src"].kind == "discrete"
    stc = apply_mmnet_inverse(evoked, fwd)
    assert isinstance(stc, mne.VolSourceEstimate)
    given.pop("normals")
    fwd = make_forward_from_arrays(**given)
    assert len(mne_mmnet.find_sources(apply_mmnet_inverse(evoked, fwd), fwd)) > 0


def test_order_of_hemispheres(evoked):
    """Sources in any order come left hemisphere first, each with its own column."""
    given = arrays()
    order = RNG.permutation(324)
    shuffled = {
        **given,
        "leadfield": given["leadfield"][:, order],
        "positions": given["positions"][order],
        "normals": given["normals"][order],
        "triangles": np.argsort(order)[given["triangles"]],
    }
    fwd = make_forward_from_arrays(**shuffled)
    assert (fwd["src"][0]["rr"][:, 0].mean(), fwd["src"][1]["rr"][:, 0].mean()) < (0, 0)
    rows = [np.flatnonzero((given["positions"] == x).all(axis=1))[0] for x in fwd["source_rr"]]
    assert sorted(rows) == list(range(324))
    assert max(rows[:162]) < 162
    columns = fwd["sol"]["data"].reshape(64, 324, 3)
    expected = mne.pick_channels_forward(FWD, fwd["sol"]["row_names"], ordered=True, verbose=False)
    expected = expected["sol"]["data"].reshape(64, 324, 3)
    np.testing.assert_array_equal(columns, expected[:, rows])
    tris = fwd["src"][1]["tris"]
    longest = np.linalg.norm(np.diff(fwd["src"][1]["rr"][tris], axis=1), axis=-1).max()
    assert longest < 0.02  # neighbours are near
    sides = np.where(order < 162, "lh", "rh")
    named = make_forward_from_arrays(**shuffled, hemispheres=sides)
    np.testing.assert_array_equal(named["sol"]["data"], fwd["sol"]["data"])
    with pytest.raises(ValueError, match="hemispheres are swapped"):
        make_forward_from_arrays(**shuffled, hemispheres=np.where(order < 162, "rh", "lh"))
    with pytest.raises(ValueError, match="Some triangles join"):
        make_forward_from_arrays(**given, hemispheres=np.repeat(["lh", "rh"], [100, 224]))


def test_normals_of_the_mesh():
    """Normals of triangles point outwards, as the triangles are numbered."""
    given = arrays()
    left = given["triangles"][:320]
    centre = given["positions"][:162].mean(axis=0)
    corners = given["positions"][left]
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flip = (outward * (corners.mean(axis=1) - centre)).sum(axis=1) < 0
    triangles = given["triangles"].copy()
    triangles[:320][flip] = triangles[:320][flip][:, ::-1]
    made = make_forward_from_arrays(**{**given, "normals": None, "triangles": triangles})
    agreement = (made["src"][0]["nn"] * given["normals"][:162]).sum(axis=1)
    assert np.median(agreement) > 0.95


def test_file(tmp_path, evoked):
    """MNE writes and reads it; distances and adjacency are there."""
    fwd = make_forward_from_arrays(**arrays(), subject="twoballs")
    mne.write_forward_solution(tmp_path / "x-fwd.fif", fwd, verbose=False)
    read = mne.read_forward_solution(tmp_path / "x-fwd.fif", verbose=False)
    a, b = (apply_mmnet_inverse(evoked, x, head="own").data for x in (fwd, read))
    assert_close(b, a, 1e-3)  # single precision
    adjacency = mne.spatial_src_adjacency(fwd["src"], verbose=False)
    assert sparse.csgraph.connected_components(adjacency)[0] == 2


def test_meg():
    """Magnetometers and gradiometers with electrodes, channels in MNE's order."""
    info, fwd = make_meg_info(), make_meg_fwd()
    made = make_forward_from_arrays(**arrays(fwd, info))
    np.testing.assert_array_equal(
        mne.pick_channels_forward(made, info["ch_names"], ordered=True, verbose=False)["sol"][
            "data"
        ],
        mne.pick_channels_forward(fwd, info["ch_names"], ordered=True, verbose=False)["sol"][
            "data"
        ],
    )


def test_mni():
    """With a transform, places have MNI coordinates."""
    fwd = mne_mmnet.make_template_forward(INFO)
    left, right = fwd["src"]
    fixed = mne.convert_forward_solution(fwd, force_fixed=True, use_cps=False, verbose=False)
    trans = invert_transform(fwd["mri_head_t"])
    made = make_forward_from_arrays(
        fixed["sol"]["data"],
        fixed["source_rr"],
        INFO,
        normals=fixed["source_nn"],
        subject="fsaverage5",
        trans=trans,
    )
    assert left["nuse"] + right["nuse"] == made["nsource"]
    stc = mne.VolSourceEstimate(np.eye(made["nsource"], 1), [made["src"][0]["vertno"]], 0, 1)
    (found,) = mne_mmnet.find_sources(stc, made)
    twin = mne.SourceEstimate(stc.data, [s["vertno"] for s in fwd["src"]], 0, 1)
    (expected,) = mne_mmnet.find_sources(twin, fwd)
    np.testing.assert_allclose(found.mni_mm, expected.mni_mm, atol=0.1)


def test_mistakes_are_seen():
    """Wrong units, axes, order and sign: each with its name."""
    given = arrays()
    gain, places, normals = given["leadfield"], given["positions"], given["normals"]

    def expect(match, **changed):
        with pytest.raises(ValueError, match=match):
            make_forward_from_arrays(**{**given, **changed})

    expect("opposite sign", leadfield=-gain)
    expect("in millimetres", positions=1e3 * places)
    expect("in centimetres", positions=1e2 * places)
    blocks = gain.swapaxes(1, 2).reshape(64, -1)
    expect("blocks of x, y and z", leadfield=blocks)
    expect("order of channels", leadfield=gain[RNG.permutation(64)])

    def turn(x):
        return np.stack([x[..., 1], -x[..., 0], x[..., 2]], axis=-1)

    expect("x points to the nose", leadfield=turn(gain), positions=turn(places))
    expect("unit is not V", leadfield=1e-3 * gain)
    expect("unit is not V", leadfield=1e3 * gain)
    fixed = np.einsum("csk,sk->cs", gain, normals)
    expect("opposite sign", leadfield=fixed, normals=-normals)
    # whoever knows better
    assert make_forward_from_arrays(**{**given, "leadfield": -gain}, check=False)["nsource"] == 324


def test_true_ones_are_plausible():
    """Head models of all kinds pass: bodies of three shells, spheres, volumes, few electrodes."""
    from mne_mmnet.lead_fields.plausible import LEAST_CORRELATION, compare

    low = mne.pick_info(INFO, range(0, 64, 4))
    for fwd in (
        make_fwd("volume"),
        mne_mmnet.make_template_forward(INFO),
        mne_mmnet.make_template_forward(low),
    ):
        electrodes = np.array([channel["loc"][:3] for channel in fwd["info"]["chs"]])
        gain = fwd["sol"]["data"].reshape(len(electrodes), -1, 3)
        correlation, ratio = compare(gain, electrodes, fwd["source_rr"])
        assert correlation > LEAST_CORRELATION + 0.15
        assert 0.5 < ratio < 5.0


def test_reference():
    given = arrays()
    gain = given["leadfield"]
    average = gain - gain.mean(axis=0)
    make_forward_from_arrays(**{**given, "leadfield": average}, reference="average")
    name = INFO["ch_names"][5]
    to_one = gain - gain[5]
    make_forward_from_arrays(**{**given, "leadfield": to_one}, reference=name)
    with pytest.raises(ValueError, match="not average-referenced"):
        make_forward_from_arrays(**given, reference="average")
    with pytest.raises(ValueError, match=f"not referenced to {name}"):
        make_forward_from_arrays(**given, reference=name)
    with pytest.raises(ValueError, match="one of the EEG channels"):
        make_forward_from_arrays(**given, reference="M1")


def test_bad_arrays():
    given = arrays()
    gain = given["leadfield"]

    def expect(error, match, **changed):
        with pytest.raises(error, match=match):
            make_forward_from_arrays(**{**given, **changed})

    expect(ValueError, "must have the shape.*Transpose it", leadfield=gain.reshape(64, -1).T)
    expect(ValueError, "must have the shape", leadfield=gain[:, :5])
    expect(ValueError, "must hold arrays of shape", leadfield=[gain[:, 0], gain[:5, 1]])
    expect(TypeError, "real numbers", leadfield=gain * 1j)
    expect(ValueError, "not finite", leadfield=gain * np.nan)
    expect(ValueError, "positions must have the shape", positions=given["positions"].T)
    expect(ValueError, "unit vectors", normals=2.0 * given["normals"])
    expect(ValueError, "normals must have the shape", normals=given["normals"][:3])
    expect(ValueError, "Subtract 1", triangles=given["triangles"] + 1)
    expect(ValueError, "triangles must be integers", triangles=given["triangles"] + 0.5)
    expect(ValueError, "hemispheres belong to a surface", triangles=None, hemispheres=["lh"])
    expect(ValueError, '"lh" or "rh"', hemispheres=np.zeros(324))
    expect(ValueError, "one hemisphere only", hemispheres=np.repeat("lh", 324))
    expect(ValueError, "2 pieces|3 pieces|1 pieces", triangles=given["triangles"][:320])
    expect(ValueError, "needs normals", leadfield=gain[..., 2], normals=None, triangles=None)
    other = INFO.copy()
    other = mne.create_info(INFO["ch_names"], 250.0, "eeg")
    expect(ValueError, "64 channels have no position.*set_montage", info=other)
    other = mne.create_info(64, 250.0, "misc")
    expect(ValueError, "channels of type misc", info=other)
    expect(ValueError, "from head to MRI", trans=mne.Transform("meg", "head"))


def test_a_source_without_a_triangle():
    """It has no normal: the message says how many there are, and what to do."""
    given = arrays()
    has_last = (given["triangles"] == given["triangles"].max()).any(axis=1)
    given["triangles"] = given["triangles"][~has_last]
    with pytest.raises(ValueError, match="1 sources belong to no triangle. Pass normals="):
        make_forward_from_arrays(**{**given, "normals": None})


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_lead_field_of_one_value(value):
    """It has nothing to do with order, units or axes."""
    given = arrays()
    given["leadfield"] = np.full_like(given["leadfield"], value)
    with pytest.raises(ValueError, match="has the same values at all electrodes.*exported"):
        make_forward_from_arrays(**given)
