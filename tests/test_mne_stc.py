"""Arrays to source estimates: the right class, the right vertices, the right signs."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mne_cases as cases
from mne_mmnet._mne import check_pick_ori, make_residual, make_stc, prepare_forward

TIMES = dict(tmin=-0.1, tstep=0.004)


def _prepare(kind="surface", loose=None):
    return prepare_forward(cases.make_info(), cases.make_fwd(kind), loose=loose)


def _currents(prepared, n_times=7):
    rng = np.random.default_rng(8)
    return 1e-9 * rng.normal(size=(prepared.n_sources, prepared.n_orient, n_times))


# STYLE §2, "Return class"
CLASSES = [
    ("surface", 0.0, None, mne.SourceEstimate),
    ("surface", 0.0, "normal", mne.SourceEstimate),
    ("surface", 0.0, "vector", mne.VectorSourceEstimate),
    ("surface", 0.2, None, mne.SourceEstimate),
    ("surface", 0.2, "normal", mne.SourceEstimate),
    ("surface", 0.2, "vector", mne.VectorSourceEstimate),
    ("surface", 1.0, None, mne.SourceEstimate),
    ("surface", 1.0, "normal", mne.SourceEstimate),
    ("surface", 1.0, "vector", mne.VectorSourceEstimate),
    ("volume", 1.0, None, mne.VolSourceEstimate),
    ("volume", 1.0, "normal", RuntimeError),
    ("volume", 1.0, "vector", mne.VolVectorSourceEstimate),
    ("discrete", 1.0, None, mne.VolSourceEstimate),
    ("discrete", 1.0, "normal", mne.VolSourceEstimate),
    ("discrete", 1.0, "vector", mne.VolVectorSourceEstimate),
    ("discrete", 0.0, None, mne.VolSourceEstimate),
    ("discrete", 0.0, "vector", mne.VolVectorSourceEstimate),
    ("mixed", None, None, mne.MixedSourceEstimate),
    ("mixed", None, "normal", RuntimeError),
    ("mixed", None, "vector", mne.MixedVectorSourceEstimate),
    ("mixed", {"surface": 0.2, "volume": 1.0}, None, mne.MixedSourceEstimate),
    ("mixed", {"surface": 0.2, "volume": 1.0}, "vector", mne.MixedVectorSourceEstimate),
]


@pytest.mark.parametrize(("kind", "loose", "pick_ori", "expected"), CLASSES)
def test_class_table(kind, loose, pick_ori, expected):
    prepared = _prepare(kind, loose)
    currents = _currents(prepared)
    if expected is RuntimeError:
        for call in (
            lambda: check_pick_ori(prepared, pick_ori),
            lambda: make_stc(prepared, currents, pick_ori=pick_ori, **TIMES),
        ):
            with pytest.raises(RuntimeError, match=r'needs normals.*pick_ori=None or "vector"'):
                call()
        return
    check_pick_ori(prepared, pick_ori)
    stc = make_stc(prepared, currents, pick_ori=pick_ori, **TIMES)
    assert type(stc) is expected
    n_sources = prepared.n_sources
    assert stc.data.shape == ((n_sources, 3, 7) if pick_ori == "vector" else (n_sources, 7))
    assert stc.subject == prepared.subject
    assert_allclose([stc.tmin, stc.tstep], [-0.1, 0.004])
    for mine, space in zip(stc.vertices, cases.make_fwd(kind)["src"], strict=True):
        assert_array_equal(mine, space["vertno"])


@pytest.mark.parametrize(
    ("kind", "loose"),
    [(k, o) for k, o, pick_ori, _ in CLASSES if pick_ori == "vector"],
)
def test_vector_agrees_with_magnitude_and_normal(kind, loose):
    prepared = _prepare(kind, loose)
    currents = _currents(prepared)
    vector = make_stc(prepared, currents, pick_ori="vector", **TIMES)
    plain = make_stc(prepared, currents, **TIMES)
    magnitude = vector.magnitude()
    assert type(magnitude) is type(plain)
    assert_allclose(magnitude.data, abs(plain.data), atol=1e-6 * abs(plain.data).max())
    if prepared.orient == "fixed":
        assert_array_equal(plain.data, currents[:, 0])
        assert plain.data.min() < 0
    else:
        assert plain.data.min() >= 0
    if kind in ("surface", "discrete"):
        normal = make_stc(prepared, currents, pick_ori="normal", **TIMES)
        for src in (prepared.src, cases.make_fwd(kind)["src"]):
            projected, _ = vector.project("normal", src)
            assert type(projected) is type(normal)
            assert_allclose(projected.data, normal.data, atol=1e-6 * abs(normal.data).max())


def test_vector_is_in_the_frame_of_the_forward():
    """A current along x in every orientation mode, seen by the same lead field."""
    direction = np.array([0.6, 0.0, 0.8])
    potentials = []
    for loose in (0.2, 1.0):
        prepared = _prepare(loose=loose)
        currents = np.zeros((prepared.n_sources, 3, 1))
        currents[50, :, 0] = prepared.frames[50] @ direction
        stc = make_stc(prepared, currents, pick_ori="vector", **TIMES)
        assert_allclose(stc.data[50, :, 0], direction, atol=1e-6)
        assert np.count_nonzero(stc.data) <= 3
        potentials.append(np.tensordot(prepared.gain, currents, axes=2))
    assert_allclose(*potentials, rtol=1e-5, atol=1e-5 * abs(potentials[0]).max())


def test_use_cps_is_honoured_in_the_normal():
    fwd = cases.make_fwd()
    for use_cps in (True, False):
        prepared = prepare_forward(cases.make_info(), fwd, loose=1.0, use_cps=use_cps)
        currents = _currents(prepared)
        vector = make_stc(prepared, currents, pick_ori="vector", **TIMES)
        normal = make_stc(prepared, currents, pick_ori="normal", **TIMES)
        projected, _ = vector.project("normal", fwd["src"], use_cps=use_cps)
        assert_allclose(projected.data, normal.data, atol=1e-6 * abs(normal.data).max())


def test_tiny_and_huge_float32_currents():
    prepared = _prepare(loose=1.0)
    for scale in (1e-30, 1e30):
        currents = (scale * _currents(prepared) * 1e9).astype(np.float32)
        stc = make_stc(prepared, currents, **TIMES)
        assert np.isfinite(stc.data).all()
        assert (stc.data > 0).all()


@pytest.mark.parametrize("pick_ori", [None, "normal", "vector"])
@pytest.mark.parametrize("hemi", ["lh", "rh", "both"])
def test_label(hemi, pick_ori):
    prepared = _prepare(loose=0.2)
    currents = _currents(prepared)
    parts = {
        "lh": mne.Label(np.arange(10, 200, 3), hemi="lh", subject=cases.SUBJECT),
        "rh": mne.Label(np.arange(100, 300), hemi="rh", subject=cases.SUBJECT),
    }
    label = parts["lh"] + parts["rh"] if hemi == "both" else parts[hemi]
    stc = make_stc(prepared, currents, label=label, pick_ori=pick_ori, **TIMES)
    whole = make_stc(prepared, currents, pick_ori=pick_ori, **TIMES)
    expected = whole.in_label(label)
    for mine, theirs in zip(stc.vertices, expected.vertices, strict=True):
        assert_array_equal(mine, theirs)
    assert_array_equal(stc.data, expected.data)
    assert len(stc.data) == (51 if hemi != "rh" else 0) + (62 if hemi != "lh" else 0)


def test_bad_labels():
    prepared = _prepare()
    currents = _currents(prepared)
    empty = mne.Label([600, 601], hemi="lh", subject=cases.SUBJECT)
    other = mne.Label([1, 2], hemi="lh", subject="sample")
    for label, error, match in (
        ("lh", TypeError, "label must be an instance of"),
        (empty, ValueError, "No source lies in the label.*larger label"),
        (other, ValueError, 'belongs to subject "sample".*label.morph'),
    ):
        with pytest.raises(error, match=match):
            make_stc(prepared, currents, label=label, **TIMES)
    # a label that doesn't say whose it is
    anyone = mne.Label([1, 2], hemi="lh")
    assert len(make_stc(prepared, currents, label=anyone, **TIMES).data) == 2
    for kind in ("volume", "discrete", "mixed"):
        prepared = _prepare(kind)
        with pytest.raises(ValueError, match=rf"needs a surface .*got a {kind}.*label=None"):
            make_stc(prepared, _currents(prepared), label=anyone, **TIMES)


def test_bad_currents_and_pick_ori():
    prepared = _prepare()
    for shape in ((prepared.n_sources, 5), (prepared.n_sources, 1, 5), (4, 3, 5)):
        with pytest.raises(ValueError, match=r"must have the shape \(324, 3, n_times\).*label"):
            make_stc(prepared, np.zeros(shape), **TIMES)
    for pick_ori in ("max-power", "x"):
        with pytest.raises(ValueError, match="Invalid value for the 'pick_ori'"):
            check_pick_ori(prepared, pick_ori)


@pytest.mark.parametrize(("kind", "pick_ori"), [("surface", None), ("mixed", "vector")])
def test_save_and_read(kind, pick_ori, tmp_path):
    prepared = _prepare(kind)
    stc = make_stc(prepared, _currents(prepared), pick_ori=pick_ori, **TIMES)
    stc.save(tmp_path / "any-stc.h5", ftype="h5", verbose=False)
    again = mne.read_source_estimate(tmp_path / "any-stc.h5")
    assert type(again) is type(stc)
    assert_allclose(again.data, stc.data)
    assert again.subject == stc.subject


@pytest.mark.parametrize("loose", [0.0, 0.2, 1.0])
def test_estimate_plus_residual_is_the_data(loose):
    info = cases.make_info(n_extra=1)
    evoked = cases.make_evoked(info)
    evoked.info["bads"] = ["C3"]
    prepared = prepare_forward(evoked.info, cases.make_fwd(), loose=loose)
    currents = _currents(prepared, len(evoked.times))
    residual = make_residual(evoked, prepared, currents)
    assert tuple(residual.ch_names) == prepared.ch_names
    assert_array_equal(residual.times, evoked.times)
    assert_allclose(residual.data.mean(axis=0), 0, atol=1e-18)
    picks = [evoked.ch_names.index(name) for name in prepared.ch_names]
    measured = evoked.data[picks] - evoked.data[picks].mean(axis=0)
    explained = measured - residual.data
    if loose == 0.0:  # MNE's own forward projection takes signed fixed currents only
        stc = make_stc(prepared, currents, tmin=evoked.times[0], tstep=1 / info["sfreq"])
        fixed = mne.convert_forward_solution(
            cases.make_fwd(), surf_ori=True, force_fixed=True, verbose=False
        )
        fixed = mne.pick_channels_forward(fixed, list(prepared.ch_names))
        expected = mne.apply_forward(fixed, stc, residual.info, verbose=False).data
    else:
        stc = make_stc(prepared, currents, pick_ori="vector", **TIMES)
        fwd = mne.pick_channels_forward(cases.make_fwd(), list(prepared.ch_names))
        expected = fwd["sol"]["data"] @ stc.data.reshape(-1, len(evoked.times))
    expected = expected - expected.mean(axis=0)
    assert_allclose(explained, expected, atol=1e-6 * abs(expected).max())
    # nothing is left over when the currents explain it all
    residual.data = explained
    nothing = make_residual(residual, prepared, currents)
    assert_allclose(nothing.data, 0, atol=1e-12 * abs(expected).max())
