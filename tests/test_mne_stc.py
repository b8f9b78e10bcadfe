"""Arrays to source estimates: the right class, the right vertices, the right signs."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mne_cases as cases
from mne_mmnet._mne import make_stc, prepare_forward

TIMES = dict(tmin=-0.1, tstep=0.004)


def _prepare(kind="surface", loose=None):
    return prepare_forward(cases.make_info(), cases.make_fwd(kind), loose=loose)


def _currents(prepared, n_times=7):
    rng = np.random.default_rng(8)
    return 1e-9 * rng.normal(size=(prepared.n_sources, prepared.n_orient, n_times))


@pytest.mark.parametrize(
    ("kind", "loose"),
    [
        *(("surface", loose) for loose in (None, 0.0, 0.2, 1.0)),
        *(("volume", 1.0), ("discrete", 1.0), ("discrete", 0.0), ("mixed", None)),
        ("mixed", {"surface": 0.2, "volume": 1.0}),
    ],
)
def test_three_views_of_one_estimate(kind, loose):
    """Classes are the source space's (STYLE §2); lengths and normal parts those of the vectors."""
    prepared = _prepare(kind, loose)
    currents = _currents(prepared)
    vector = make_stc(prepared, currents, pick_ori="vector", **TIMES)
    plain = make_stc(prepared, currents, **TIMES)
    magnitude = vector.magnitude()
    assert (type(magnitude), type(vector)) == (type(plain), cases.CLASSES[kind][1])
    assert type(plain) is cases.CLASSES[kind][0]
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


def test_labels_of_nobody():
    """A label that doesn't say whose it is fits every surface; volumes have no labels."""
    anyone = mne.Label([1, 2], hemi="lh")
    prepared = _prepare()
    assert len(make_stc(prepared, _currents(prepared), label=anyone, **TIMES).data) == 2
    for kind in ("volume", "discrete", "mixed"):
        prepared = _prepare(kind)
        with pytest.raises(ValueError, match=rf"needs a surface .*got a {kind}.*label=None"):
            make_stc(prepared, _currents(prepared), label=anyone, **TIMES)


def test_bad_currents():
    prepared = _prepare()
    for shape in ((prepared.n_sources, 5), (prepared.n_sources, 1, 5), (4, 3, 5)):
        with pytest.raises(ValueError, match=r"must have the shape \(324, 3, n_times\).*label"):
            make_stc(prepared, np.zeros(shape), **TIMES)
