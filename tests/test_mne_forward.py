"""Orientation, whitened lead field and what comes with it, against MNE's public functions."""

from copy import deepcopy

import mne
import numpy as np
import pytest
from mne.utils import catch_logging, object_diff
from numpy.testing import assert_allclose, assert_array_equal

import mne_cases as cases
from mne_mmnet._mne import check_reference, make_residual, make_stc, prepare_data, prepare_forward
from mne_mmnet.dictionary.lead_errors import deep_fields

# kind of source space, loose, the resulting orientation
ORIENTATIONS = [
    ("surface", None, "evidence"),
    ("surface", "evidence", "evidence"),
    ("surface", 0.0, "fixed"),
    ("surface", 0, "fixed"),
    ("surface", "auto", "loose"),
    ("surface", 0.3, "loose"),
    ("surface", {"surface": 0.3}, "loose"),
    ("surface", 1.0, "free"),
    ("volume", None, "free"),
    ("volume", "evidence", "free"),
    ("volume", "auto", "free"),
    ("volume", 1, "free"),
    ("grid", None, "free"),
    ("discrete", None, "free"),
    ("discrete", 0.0, "fixed"),
    ("discrete", 0.5, "loose"),
    ("mixed", None, "free"),
    ("mixed", "evidence", "free"),
    ("mixed", "auto", "free"),
    ("mixed", {"surface": 0.2, "volume": 1.0}, "loose"),
    ("mixed", {"surface": 0.0, "volume": 1.0}, "loose"),
]


def _fixed(kind="surface", **kwargs):
    return mne.convert_forward_solution(
        cases.make_fwd(kind), surf_ori=True, force_fixed=True, verbose=False, **kwargs
    )


@pytest.mark.parametrize(("kind", "loose", "orient"), ORIENTATIONS)
def test_gain_and_frames_reproduce_mne(kind, loose, orient):
    info = cases.make_info()
    fwd = cases.make_fwd(kind)
    prepared = prepare_forward(info, fwd, cases.make_cov(info), loose=loose)
    assert prepared.orient == orient
    n_orient = 1 if orient == "fixed" else 3
    assert (prepared.n_sources, prepared.n_orient) == (fwd["nsource"], n_orient)
    assert_allclose(prepared.leadfield, np.tensordot(prepared.whitener, prepared.gain, axes=1))
    assert_allclose(np.linalg.norm(prepared.frames, axis=-1), 1, atol=1e-6)

    picked = mne.pick_channels_forward(fwd, list(prepared.ch_names))
    xyz = picked["sol"]["data"].reshape(-1, prepared.n_sources, 3)
    assert_allclose(
        np.einsum("cnd,nkd->cnk", xyz, prepared.frames),
        prepared.gain,
        atol=1e-6 * abs(xyz).max(),
    )
    if orient == "free":
        assert_array_equal(prepared.frames, np.tile(np.eye(3), (prepared.n_sources, 1, 1)))
        oracle = picked
    elif orient in ("loose", "evidence"):
        oracle = mne.convert_forward_solution(picked, surf_ori=True)
        assert_allclose(prepared.normals, prepared.frames[:, 2])
    else:
        oracle = mne.convert_forward_solution(picked, surf_ori=True, force_fixed=True)
        assert_allclose(prepared.normals, oracle["source_nn"], atol=1e-6)
    assert_allclose(
        prepared.gain.reshape(len(xyz), -1), oracle["sol"]["data"], atol=1e-6 * abs(xyz).max()
    )
    if orient == "loose":
        prior = mne.forward.compute_orient_prior(oracle, prepared.loose)
        assert_allclose(prepared.orient_weights.ravel() ** 2, prior)
    else:
        assert_array_equal(prepared.orient_weights, np.ones((prepared.n_sources, n_orient)))

    assert_allclose(prepared.positions, 1e3 * fwd["source_rr"])
    assert prepared.kind == fwd["src"].kind
    assert prepared.subject == (cases.SUBJECT if kind in ("surface", "mixed") else None)
    for mine, space in zip(prepared.vertices, fwd["src"], strict=True):
        assert_array_equal(mine, space["vertno"])
    assert prepared.adjacency.shape == (prepared.n_sources,) * 2
    assert orient in repr(prepared)


# The strongest oracle: a minimum-norm estimate from our arrays is MNE's own.
MINIMUM_NORM = [
    ("surface", 0.0, None),
    ("surface", 0.2, None),
    ("surface", 0.2, "normal"),
    ("surface", 0.2, "vector"),
    ("surface", 1.0, None),
    ("surface", 1.0, "normal"),
    ("surface", 1.0, "vector"),
    ("grid", 1.0, None),
    ("grid", 1.0, "normal"),
    ("grid", 1.0, "vector"),
    ("discrete", 0.5, "vector"),
    ("volume", 1.0, None),
    ("volume", 1.0, "vector"),
    ("mixed", "auto", None),
    ("mixed", {"surface": 0.2, "volume": 1.0}, "vector"),
]


@pytest.mark.parametrize(("kind", "loose", "pick_ori"), MINIMUM_NORM)
def test_minimum_norm_estimate_is_that_of_mne(kind, loose, pick_ori):
    info = cases.make_info()
    info["bads"] = ["C3"]
    cov, fwd = cases.make_cov(info, bads=["O1"]), cases.make_fwd(kind)
    evoked = cases.make_evoked(info, nave=9)
    inverse = mne.minimum_norm.make_inverse_operator(
        info, fwd, cov, loose=loose, depth=None, verbose=False
    )
    kwargs = dict(method="MNE", pick_ori=pick_ori, return_residual=True, verbose=False)
    label = None
    if kind == "surface":
        label = mne.Label(np.arange(0, 300, 3), hemi="rh", subject=cases.SUBJECT)
    expected, residual = mne.minimum_norm.apply_inverse(
        evoked, inverse, 1 / 9.0, label=label, **kwargs
    )

    prepared = prepare_forward(info, fwd, cov, loose=loose)
    weights = prepared.orient_weights
    leadfield = (prepared.leadfield * weights).reshape(prepared.n_rank, -1)
    scale = prepared.n_rank / np.linalg.norm(leadfield) ** 2
    # λ² is 1/9 for the average: MNE divides both noise and source covariance by nave, which
    # is λ² without √nave in the data
    whitened = prepare_data(info, prepared, evoked.data)
    kernel = scale * leadfield @ leadfield.T + np.eye(prepared.n_rank) / 9
    currents = scale * leadfield.T @ np.linalg.solve(kernel, whitened)
    currents = currents.reshape(*weights.shape, -1) * weights[..., np.newaxis]
    stc = make_stc(
        prepared,
        currents,
        tmin=evoked.times[0],
        tstep=1 / info["sfreq"],
        pick_ori=pick_ori,
        label=label,
    )
    assert type(stc) is type(expected)
    assert stc.subject == expected.subject
    assert_allclose(stc.times, expected.times, atol=1e-12)
    for mine, theirs in zip(stc.vertices, expected.vertices, strict=True):
        assert_array_equal(mine, theirs)
    assert_allclose(stc.data, expected.data, atol=1e-5 * abs(expected.data).max())
    if label is None:  # MNE's residual is that of the label's currents alone
        mine = make_residual(evoked, prepared, currents)
        theirs = residual.copy().pick(list(prepared.ch_names)).data
        theirs = theirs - theirs.mean(axis=0)
        assert_allclose(mine.data, theirs, atol=1e-5 * abs(theirs).max())


@pytest.mark.parametrize("loose", [0.0, 0.2, 1.0])
def test_patch_normals(loose):
    """use_cps changes the normals; either way they are MNE's."""
    info, fwd = cases.make_info(), cases.make_fwd()
    normals = []
    for use_cps in (True, False):
        prepared = prepare_forward(info, fwd, loose=loose, use_cps=use_cps)
        normals.append(_fixed(use_cps=use_cps)["source_nn"])
        assert prepared.use_cps is use_cps
        assert_allclose(prepared.normals, normals[-1], atol=1e-6)
    assert abs(normals[0] - normals[1]).max() > 1e-2


@pytest.mark.parametrize("loose", [None, "evidence", 0, "auto", {"surface": 0.0}])
def test_fixed_forward(loose):
    info = cases.make_info()
    prepared = prepare_forward(info, _fixed(), loose=loose)
    free = prepare_forward(info, cases.make_fwd(), loose=0.0)
    assert prepared.orient == "fixed"
    assert_allclose(prepared.frames, free.frames, atol=1e-6)
    assert_allclose(prepared.gain, free.gain, atol=1e-6 * abs(free.gain).max())


def test_fixed_forward_from_file(tmp_path):
    info = cases.make_info()
    fwd = _fixed()
    # as from a program that computes fixed orientations only: nothing to go back to
    fwd.update(_orig_source_ori=fwd["source_ori"], _orig_sol=fwd["sol"]["data"].copy())
    fname = tmp_path / "fixed-fwd.fif"
    mne.write_forward_solution(fname, fwd, verbose="error")
    read = mne.read_forward_solution(fname, verbose=False)
    for this in (read, mne.convert_forward_solution(read, surf_ori=True, force_fixed=True)):
        prepared = prepare_forward(info, this, loose=0.0)
        expected = prepare_forward(info, fwd)
        assert_allclose(prepared.gain, expected.gain, rtol=1e-3, atol=1e-2)
        assert_array_equal(prepared.normals, this["source_nn"])


def test_surface_oriented_forward_is_the_same_as_a_free_one():
    info, fwd = cases.make_info(), cases.make_fwd()
    oriented = mne.convert_forward_solution(fwd, surf_ori=True, verbose=False)
    for loose in (0.0, 0.2, 1.0):
        one = prepare_forward(info, fwd, loose=loose)
        two = prepare_forward(info, oriented, loose=loose)
        assert_allclose(two.gain, one.gain)
        assert_allclose(two.frames, one.frames)


def test_bad_loose():
    info = cases.make_info()
    for kind, loose, error, match in (
        ("surface", 1.5, ValueError, "between 0 .* and 1"),
        ("surface", -0.1, ValueError, "between 0 .* and 1"),
        ("surface", np.nan, ValueError, "between 0 .* and 1"),
        ("surface", "fixed", ValueError, "Invalid value for the 'loose'"),
        ("surface", [0.2], TypeError, "loose must be"),
        ("surface", {"surface": "auto"}, TypeError, "must be"),
        ("surface", {"surface": "evidence"}, TypeError, "must be"),
        ("surface", {"volume": 1.0}, ValueError, r"one key for each kind.*\['surface'\]"),
        ("mixed", {"surface": 0.2}, ValueError, r"one key for each kind.*Pass a number"),
        ("volume", 0.2, ValueError, 'no normals.*loose="auto"'),
        ("mixed", 0.0, ValueError, r"no normals.*dict\(surface=0.2, volume=1.0\)"),
    ):
        with pytest.raises(error, match=match):
            prepare_forward(info, cases.make_fwd(kind), loose=loose)
    for loose in (0.2, 1.0, {"surface": 0.2}):
        with pytest.raises(ValueError, match=r"fixed orientation.*free-orientation forward"):
            prepare_forward(info, _fixed(), loose=loose)


def test_unusable_forward():
    info = cases.make_info()
    fwd = cases.make_fwd().copy()
    for space in fwd["src"]:
        space["nn"][:] = 0
        space["patch_inds"] = None
    with pytest.raises(ValueError, match=r"normals that aren't unit vectors.*loose=1.0"):
        prepare_forward(info, fwd)
    fwd = cases.make_fwd("volume").copy()
    fwd["src"][0].update(nuse=0, vertno=np.array([], int))
    with pytest.raises(ValueError, match=r"no sources in use.*inside the head"):
        prepare_forward(info, fwd)
    lonely = mne.make_forward_solution(
        info,
        mne.Transform("head", "mri"),
        cases.make_src("surface")[:1].copy(),
        cases.SPHERE,
        meg=False,
        mindist=0.0,
        verbose=False,
    )
    with pytest.raises(ValueError, match=r"single hemisphere.*Keep both"):
        prepare_forward(info, lonely)


@pytest.mark.parametrize("kind", cases.KINDS)
def test_inputs_are_not_modified(kind):
    info = cases.make_info(n_extra=2)
    info["bads"] = ["C3"]
    evoked = cases.make_evoked(info)
    fwd, cov = cases.make_fwd(kind).copy(), cases.make_cov(info, bads=["O1"])
    inputs = (evoked, fwd, cov)
    before = deepcopy(inputs)
    for loose in (None, "auto", 1.0):
        prepared = prepare_forward(evoked.info, fwd, cov, loose=loose)
        check_reference(evoked.info, evoked.data)
        whitened = prepare_data(evoked.info, prepared, evoked.data, nave=evoked.nave)
        currents = np.ones((prepared.n_sources, prepared.n_orient, 20))
        make_residual(evoked, prepared, currents)
        stc = make_stc(prepared, currents, tmin=0, tstep=1)
        # nothing that comes out is shared either
        stc.data[:] = 0
        whitened[:] = 0
        for array in (*prepared.vertices, prepared.gain, prepared.positions, prepared.frames):
            array[:] = 0
        prepared.src[0]["rr"][:] = 0
        prepared.src[0]["vertno"][:] = 0
        assert (currents == 1).all()
    assert_array_equal(evoked.data, before[0].data)
    assert object_diff(evoked.info, before[0].info) == ""
    assert object_diff(dict(fwd), dict(before[1])) == ""
    assert object_diff(dict(cov), dict(before[2])) == ""


def test_deep_fields():
    """Fields of deep sources are whitened like all others, and reach no MEG sensor."""
    info, fwd = cases.make_info(), cases.make_fwd()
    prepared = prepare_forward(info, fwd, cases.make_cov(info))
    places = {ch["ch_name"]: 1e3 * ch["loc"][:3] for ch in fwd["info"]["chs"]}
    fields = deep_fields(np.array([places[name] for name in prepared.ch_names]))
    assert_allclose(prepared.deep, prepared.whitener @ fields)
    both = cases.make_meg_info()
    fwd = cases.make_meg_fwd()
    cov = mne.make_ad_hoc_cov(both, verbose=False)
    prepared = prepare_forward(both, fwd, cov)
    is_eeg = np.array(prepared.ch_types) == "eeg"
    seen = np.linalg.pinv(prepared.whitener) @ prepared.deep
    peak = np.abs(seen).max()
    assert peak > 0.1
    assert np.abs(seen[~is_eeg]).max() < 1e-9 * peak
    assert np.abs(seen[is_eeg]).max() == peak
    # three electrodes beside MEG have no sphere to be on
    meg = cases.make_meg_info(eeg=False)
    few = mne.pick_info(both, range(len(meg["ch_names"]) + 3))
    for info in (meg, few):
        prepared = prepare_forward(info, fwd, mne.make_ad_hoc_cov(info, verbose=False))
        assert not prepared.deep.any()


def test_samples_of_the_covariance():
    """What a covariance was estimated from, whatever was done to it since."""
    info, fwd = cases.make_info(), cases.make_fwd()
    cov = cases.make_cov(info, nfree=400, method="shrunk")
    assert prepare_forward(info, fwd, cov).noise_samples == 400
    assert prepare_forward(info, fwd).noise_samples == np.inf
    ad_hoc = mne.make_ad_hoc_cov(info, verbose=False)
    assert prepare_forward(info, fwd, ad_hoc).noise_samples == np.inf


def test_log():
    info = cases.make_info()
    with catch_logging(verbose="info") as log:
        prepare_forward(info, cases.make_fwd())
    assert log.getvalue().splitlines() == [
        "Preparing the forward solution",
        "    Using 32 EEG channels",
        "    Whitener of rank 31 for 32 channels",
        "    324 sources, orientation settled by the evidence",
        "[done]",
    ]
