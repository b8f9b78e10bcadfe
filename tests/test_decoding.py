"""The scikit-learn transformer."""

import pickle

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

import mne_cases as cases
from mne_mmnet import (
    SourceTransformer,
    apply_mmnet_inverse,
    apply_mmnet_inverse_epochs,
    make_mmnet_operator,
)
from process_cases import run_python

INFO = cases.make_info()
FWD = cases.make_fwd()
COV = mne.make_ad_hoc_cov(INFO, verbose=False)
N_TIMES = 24
# a source of each ball, and the caps around them
PEAKS = (20, cases.N_USED + 60)


def make_cap(source, radius=0.022):
    """Label of the vertices around a source."""
    hemi, vertex = divmod(source, cases.N_USED)
    space = FWD["src"][hemi]
    near = np.linalg.norm(space["rr"] - space["rr"][vertex], axis=1) < radius
    name = ("lh", "rh")[hemi]
    return mne.Label(
        np.flatnonzero(near), hemi=name, name=f"cap-{name}", subject=cases.SUBJECT, verbose=False
    )


LABELS = [make_cap(source) for source in PEAKS]


def simulate(n_epochs=20, seed=0):
    """Epochs of one source or the other, in noise."""
    rng = np.random.default_rng(seed)
    gain = cases.normal_gain(FWD, INFO)
    y = np.arange(n_epochs) % 2
    course = 2e-8 * np.hanning(N_TIMES)
    X = np.stack([np.outer(gain[:, PEAKS[k]], course) for k in y])
    return X + 2e-7 * rng.normal(size=X.shape), y


X, Y = simulate()


def transformer(**kwargs):
    return SourceTransformer(INFO, FWD, COV, **{"labels": LABELS, **kwargs})


@pytest.mark.parametrize("mode", ["auto", "mean", "mean_flip", "pca_flip", "max"])
def test_time_courses_are_those_of_the_estimates(mode):
    # modes that flip need signs
    loose = 0 if "flip" in mode else None
    courses = transformer(mode=mode, loose=loose).fit_transform(X[:3], Y[:3])
    epochs = mne.EpochsArray(X[:3], INFO, verbose=False)
    stcs = apply_mmnet_inverse_epochs(epochs, FWD, COV, loose=loose)
    expected = mne.extract_label_time_course(stcs, LABELS, FWD["src"], mode, verbose=False)
    assert courses.shape == (3, 2, N_TIMES)
    assert_allclose(courses, expected, atol=1e-6 * np.abs(expected).max())


def test_epochs_and_arrays_are_the_same():
    epochs = mne.EpochsArray(X[:3], INFO, verbose=False)
    fitted = transformer().fit(epochs)
    assert_array_equal(fitted.transform(epochs), fitted.transform(X[:3]))
    whole = fitted.transform(X[:3])
    assert_allclose(fitted.transform(X[1:2])[0], whole[1], atol=1e-4 * np.abs(whole).max())


@pytest.mark.parametrize("kind", ["surface", "volume", "mixed"])
def test_every_source(kind):
    fitted = SourceTransformer(INFO, cases.make_fwd(kind), COV).fit()
    courses = fitted.transform(X[:2])
    names = fitted.get_feature_names_out()
    assert courses.shape == (2, len(names), N_TIMES)
    assert len(set(names)) == len(names)
    stc = apply_mmnet_inverse(mne.EvokedArray(X[0], INFO), cases.make_fwd(kind), COV)
    assert_allclose(courses[0], stc.data, atol=1e-4 * np.abs(stc.data).max())
    first = "lh-0" if kind != "volume" else f"0-{stc.vertices[0][0]}"
    assert names[0] == first


def test_batches_do_not_matter():
    whole = transformer().fit_transform(X[:5])
    assert_allclose(
        transformer(batch_size=2).fit_transform(X[:5]), whole, atol=1e-4 * np.abs(whole).max()
    )


def test_decoding():
    """Which of two sources was active."""
    decoder = make_pipeline(
        transformer(),
        mne.decoding.Scaler(scalings="mean"),
        mne.decoding.Vectorizer(),
        LogisticRegression(),
    )
    scores = cross_val_score(decoder, X, Y, cv=3, error_score="raise")
    assert scores.mean() > 0.9


def test_search_over_parameters():
    decoder = make_pipeline(transformer(), mne.decoding.Vectorizer())
    decoder.set_params(sourcetransformer__mode="mean", sourcetransformer__n_steps=2)
    assert decoder.get_params()["sourcetransformer__n_steps"] == 2
    assert decoder.fit_transform(X[:2]).shape == (2, 2 * N_TIMES)


def test_clone_and_pickle():
    unfitted = transformer(loose=0.2, pick_ori="normal")
    copy = clone(unfitted)
    assert copy.loose == 0.2
    assert not hasattr(copy, "operator_")
    expected = unfitted.fit_transform(X[:2])
    for made in (copy.fit(X), pickle.loads(pickle.dumps(unfitted))):
        assert_allclose(made.transform(X[:2]), expected, rtol=1e-6, atol=1e-15)
    before = pickle.loads(pickle.dumps(transformer()))
    assert_allclose(before.fit_transform(X[:2]), transformer().fit_transform(X[:2]))


def test_prepared_operator():
    operator = make_mmnet_operator(INFO, FWD, COV)
    courses = SourceTransformer(INFO, operator, labels=LABELS).fit_transform(X[:2])
    assert_array_equal(courses, transformer().fit_transform(X[:2]))
    with pytest.raises(ValueError, match="loose cannot be changed for a prepared operator"):
        SourceTransformer(INFO, operator, loose=1.0).fit()


def test_nothing_is_learned_or_changed():
    data = X[:4].copy()
    one = transformer().fit(data, Y[:4])
    two = transformer().fit(X[4:])
    assert_array_equal(one.transform(data), two.transform(data))
    assert_array_equal(data, X[:4])


def test_names():
    assert list(transformer().fit().get_feature_names_out()) == ["cap-lh", "cap-rh"]
    assert "SourceTransformer" in repr(transformer())


def test_flips_undo_the_folding():
    """Currents of one direction have both signs along the normals; flips bring them together."""
    label = make_cap(PEAKS[0], 0.05)
    sources = np.intersect1d(label.vertices, np.arange(cases.N_USED))
    normals = FWD["src"][0]["nn"][sources]
    # along the label's mean direction, as label_sign_flip measures it
    direction = np.linalg.svd(normals)[2][0]
    direction *= np.sign((normals @ direction).sum())
    strength = normals @ direction
    assert (strength > 0.3).any()
    assert (strength < -0.3).any()
    course = 1e-9 * np.hanning(N_TIMES)
    gain = cases.normal_gain(FWD, INFO)
    data = (gain[:, sources] @ np.outer(strength, course))[None]
    data = data + 2e-7 * np.random.default_rng(0).normal(size=data.shape)
    plain, flipped = (
        SourceTransformer(INFO, FWD, COV, labels=[label], mode=mode, loose=0).fit_transform(data)[
            0, 0
        ]
        for mode in ("mean", "mean_flip")
    )
    # the sign is that of the direction, and the cancelling is undone
    assert np.corrcoef(flipped, course)[0, 1] > 0.95
    assert np.abs(flipped).max() > 2 * np.abs(plain).max()


# --------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        (dict(mode="median"), "Invalid value for the 'mode'"),
        (dict(pick_ori="vector"), "Invalid value for the 'pick_ori'"),
        (dict(labels=[]), "labels is empty"),
        (dict(loose=0.2, mode="mean_flip"), "lengths of currents have none.*loose=0"),
        (dict(labels=[mne.Label([], hemi="lh", name="void", verbose=False)]), "No source lies"),
        (dict(labels=[mne.Label([0], hemi="lh", subject="bert")]), 'subject "bert"'),
    ],
)
def test_bad_options(kwargs, match):
    with pytest.raises(ValueError, match=match):
        transformer(**kwargs).fit(X)


def test_bad_data():
    with pytest.raises(NotFittedError):
        transformer().transform(X)
    for wrong in (X[0], X[:, :-1]):
        with pytest.raises(
            ValueError, match=r"shape \(n_epochs, n_channels, n_times\) with the 32"
        ):
            transformer().fit(wrong)
        with pytest.raises(ValueError, match="Pass the array that belongs to info"):
            transformer().fit().transform(wrong)
    broken = X[:2].copy()
    broken[1, 3, 4] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        transformer().fit().transform(broken)


def test_signless_estimates_are_averaged():
    """Lengths of currents: auto is the mean, and never negative."""
    for loose in (None, 1.0):
        fitted = transformer(loose=loose).fit()
        assert fitted.mode_ == "mean"
        assert (fitted.transform(X[:2]) >= 0).all()
        assert transformer(loose=loose, pick_ori="normal").fit().mode_ == "mean_flip"
    assert transformer(loose=0).fit().mode_ == "mean_flip"


def test_head_is_passed_on():
    assert transformer().fit().operator_.head.kind == "own"
    assert transformer(head="template").fit().operator_.head.kind == "template"


def test_without_scikit_learn():
    """The package works without it; the error names the remedy."""
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import mne_mmnet; mne_mmnet.list_models()\n"
        "try: mne_mmnet.SourceTransformer\n"
        "except ImportError as error: print(error)\n"
    )
    assert "pip install 'mne_mmnet[decoding]'" in run_python("-c", code)
