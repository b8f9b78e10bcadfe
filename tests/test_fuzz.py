"""Thousands of odd recordings: a valid estimate or one clear error, and nothing else.

``python benchmarks/fuzz.py`` draws thousands; ``MNE_MMNET_FUZZ`` sets the number for the tests,
``MNE_MMNET_FUZZ_SEED`` draws others.
"""

import copy
import os
import re
import warnings
from collections import Counter

import mne
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from hypothesis import strategies as st
from mne.utils import object_diff
from numpy.testing import assert_allclose, assert_array_equal

from fuzz_cases import Recipe, build, may_fail, must_fail, plainest, recipes
from mne_mmnet import (
    MMNetStream,
    apply_mmnet_inverse,
    apply_mmnet_inverse_epochs,
    apply_mmnet_inverse_raw,
    make_mmnet_operator,
)

# share of the cases that the tests draw
N_CASES = int(os.environ.get("MNE_MMNET_FUZZ", 200))
SEED = os.environ.get("MNE_MMNET_FUZZ_SEED")


def drawn(share):
    """Settings of a test: the same cases every time, and a slow machine is no failure."""
    chosen = settings(
        max_examples=max(round(share * N_CASES), 1),
        deadline=None,
        derandomize=SEED is None,
        database=None,
        suppress_health_check=list(HealthCheck),
        # a recipe can be read as it is; making it smaller takes minutes
        phases=(Phase.explicit, Phase.generate),
    )
    return chosen if SEED is None else lambda test: seed(int(SEED))(chosen(test))


# what the warnings of the docstrings say
WARNINGS = {
    "domain": "outside the training domain",
    "meg": "trained on simulated EEG only",
    "noise": "not distinguishable from noise",
    "explained": "The sources explain",
    "amplitude": "MNE's unit is V",
    "rank": ", the whitener ",
    "region": "may be nearly anywhere",
    "condition": "orders of magnitude larger than the smallest",  # MNE's
    "channel": "neighbours predict",
    "copies": "hold the same numbers",
    "no field": "no field at any sensor",
    "projection": "of its original magnitude by subselecting",  # MNE's
}
REMEDY = re.compile(
    r"\b(use|pass|compute|recompute|check|mark|make|must|rename|crop|average|set_eeg_reference|"
    r"divide|needed|choose|leave)\b",
    re.IGNORECASE,
)


def said(caught):
    """Kinds of the warnings; one that the docstrings don't know is a failure."""
    kinds = set()
    for entry in caught:
        text = str(entry.message)
        found = [kind for kind, part in WARNINGS.items() if part in text]
        assert issubclass(entry.category, RuntimeWarning), text
        assert found, f"{entry.filename}:{entry.lineno}: {text}"
        kinds.update(found)
    return kinds


def check_error(error, reasons):
    """An error has a reason, a documented class, and says what to do."""
    text = repr(error)
    assert reasons, f"no reason for {text}"
    assert type(error) in (TypeError, ValueError, RuntimeError), text
    assert len(text) > 40, text
    assert REMEDY.search(text), f"what to do? {text}"


def localise(recipe, case):
    """Call the entry point of a recipe; return what it gives as a list of arrays, checked."""
    evoked, fwd, options = case.evoked, case.fwd, dict(case.options)
    later = dict(pick_ori=recipe.pick_ori, label=case.label, n_steps=recipe.n_steps)
    if recipe.entry in ("operator", "stream"):
        cov = options.pop("noise_cov")
        operator = make_mmnet_operator(evoked.info, fwd, cov, **options, verbose=False)
        if recipe.entry == "stream":
            stream = MMNetStream(operator, evoked.info, nave=recipe.nave, **later)
            currents = stream.push(evoked.data)
            assert len(currents) == sum(map(len, stream.vertices))
            return [currents]
        fwd, options = operator, {}
    later.update(options, verbose=False)
    if recipe.entry in ("evoked", "operator"):
        stc, residual, report, *rest = apply_mmnet_inverse(
            evoked,
            fwd,
            return_residual=True,
            return_report=True,
            return_uncertainty=recipe.uncertainty,
            **later,
        )
        for uncertainty in rest:
            check_uncertainty(uncertainty, stc, whole=case.label is None)
        assert report.descended
        assert np.isfinite(report.objective).all()
        assert report.explained <= 1 + 1e-6, report
        assert set(residual.ch_names) <= set(evoked.ch_names) - set(evoked.info["bads"])
        assert residual.data.shape == (len(residual.ch_names), recipe.n_times)
        assert np.isfinite(residual.data).all()
        stcs = [stc]
    elif recipe.entry == "epochs":
        epochs = mne.EpochsArray(
            np.stack([evoked.data, evoked.data]),
            evoked.info,
            tmin=-0.02,
            proj=False,
            verbose=False,
        )
        stcs = apply_mmnet_inverse_epochs(epochs, fwd, nave=recipe.nave, **later)
        assert len(stcs) == 2
    else:
        raw = mne.io.RawArray(evoked.data, evoked.info, verbose=False)
        stcs = [apply_mmnet_inverse_raw(raw, fwd, nave=recipe.nave, window=0.1, **later)]
    for stc in stcs:
        start = 0.0 if recipe.entry == "raw" else evoked.times[0]
        assert_allclose(
            stc.times, start + np.arange(recipe.n_times) / evoked.info["sfreq"], atol=1e-9
        )
        if case.label is None:
            vertices = stc.vertices if isinstance(stc.vertices, list) else [stc.vertices]
            for mine, space in zip(vertices, case.fwd["src"], strict=True):
                assert_array_equal(mine, space["vertno"])
    return [stc.data for stc in stcs]


def check_uncertainty(uncertainty, stc, whole):
    """Positive deviations, and probabilities."""
    std, probability, level = (
        one.data[:, 0]
        for one in (uncertainty.std, uncertainty.peak_probability, uncertainty.confidence)
    )
    assert len(std) == len(probability) == len(level) == len(stc.data)
    assert np.isfinite(std).all()
    assert (std >= 0).all()
    assert (probability >= 0).all()
    assert ((level >= 0) & (level <= 1)).all()
    assert probability.sum() <= 1 + 1e-6
    if whole:
        assert_allclose(probability.sum(), 1.0, rtol=1e-6)
        assert uncertainty.region(0.5).any()


OUTCOMES = Counter()


def judge(recipe):
    """Run a case, and say how it ended; raise if in anything but an estimate or a clear error."""
    case = build(recipe)
    reasons = must_fail(recipe, case)
    before = copy.deepcopy((case.evoked, case.cov, case.fwd["sol"], case.fwd["source_nn"]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            arrays = localise(recipe, case)
            outcome = "valid"
        except (TypeError, ValueError, RuntimeError) as error:
            check_error(error, reasons + may_fail(recipe, case))
            outcome = type(error).__name__
    kinds = said(caught)
    after = (case.evoked, case.cov, case.fwd["sol"], case.fwd["source_nn"])
    for was, now in zip(before, after, strict=True):
        if isinstance(was, mne.Evoked):
            assert_array_equal(was.data, now.data)
            assert was.data.dtype == now.data.dtype
            was, now = was.info, now.info
        elif isinstance(was, mne.Covariance):
            was, now = ({**cov, "bads": list(cov["bads"])} for cov in (was, now))
        assert object_diff(was, now) == ""
    if outcome == "valid":
        assert not reasons, f"an estimate in spite of: {reasons}"
        n_sources = case.fwd["nsource"]
        for data in arrays:
            assert np.isfinite(data).all()
            assert data.shape[-1] == recipe.n_times
            assert len(data) == n_sources or (case.label is not None and 0 < len(data) <= 3)
            assert (data.ndim == 3) == (recipe.pick_ori == "vector")
    OUTCOMES.update([outcome, *(f"warning: {kind}" for kind in kinds)])
    return outcome, kinds


# Anything ---------------------------------------------------------------------------------------


@drawn(0.43)
@given(recipes())
def test_anything(recipe):
    judge(recipe)


# most of the above fail; here only the layout, the head and the options vary
sound = recipes(
    **plainest("reference", "flaw", "exponent", "nave", "label", "n_channels", "rank", "model")
).filter(lambda r: r.n_times > 0 and r.n_bads < 4)


@drawn(0.43)
@given(sound)
def test_sound(recipe):
    judge(recipe)


# Relations --------------------------------------------------------------------------------------

plain = recipes(
    reference="applied",
    pick_ori="vector",
    **plainest("flaw", "exponent", "nave", "n_extra_projs", "label", "n_steps", "loose", "depth"),
    **plainest("n_channels", "rank", "n_times", "model", "head", "layout", "entry"),
).filter(lambda r: r.kind != "meg" and r.n_bads < 4 and r.cov not in ("tiny", "huge", "ill"))


def solve(case, evoked=None, fwd=None, cov="same"):
    options = dict(case.options, noise_cov=case.cov if isinstance(cov, str) else cov)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stc = apply_mmnet_inverse(
            evoked or case.evoked, fwd or case.fwd, pick_ori="vector", verbose=False, **options
        )
    # where one direction is whitened to all there is, as MNE warns, rounding decides
    assume(not any(WARNINGS["condition"] in str(entry.message) for entry in caught))
    return stc.data


def assert_close(actual, desired, tol=5e-3):
    assert actual.shape == desired.shape
    assert_allclose(actual, desired, rtol=0, atol=tol * np.abs(desired).max())


def changed(case, data):
    evoked = case.evoked.copy()
    evoked.data = data
    return evoked


def scaled(case, factor):
    """Data and noise in another unit."""
    cov = case.cov
    if cov is not None:
        cov = cov.copy()
        cov["data"] = cov["data"] * factor**2
    return solve(case, changed(case, factor * case.evoked.data), cov=cov) / factor


def flipped(case, _):
    return -solve(case, changed(case, -case.evoked.data))


def permuted(case, factor):
    order = np.random.default_rng(int(1e3 * factor)).permutation(case.evoked.ch_names)
    return solve(case, case.evoked.copy().reorder_channels(list(order)))


def dropped(case, _):
    """Without the bad channels, instead of with bads."""
    good = [name for name in case.evoked.ch_names if name not in case.evoked.info["bads"]]
    return solve(case, case.evoked.copy().pick(good))


def in_epochs(case, _):
    """As one of many epochs."""
    data = np.stack([case.evoked.data * k for k in (3, 1, -2)])
    epochs = mne.EpochsArray(data, case.evoked.info, tmin=-0.02, proj=False, verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        stcs = apply_mmnet_inverse_epochs(
            epochs, case.fwd, pick_ori="vector", verbose=False, **case.options
        )
    return stcs[1].data


RELATIONS = (scaled, flipped, permuted, dropped, in_epochs)


@drawn(0.1)
@given(plain, st.sampled_from(RELATIONS), st.sampled_from((1e-3, 0.5, 7.0)))
def test_relation(recipe, relation, factor):
    """Unit, sign, order, bads and batches mean what they should."""
    case = build(recipe)
    assert_close(relation(case, factor), solve(case))
    OUTCOMES[f"relation: {relation.__name__}"] += 1


@drawn(0.04)
@given(plain.filter(lambda r: r.kind == "surface"))
def test_microvolts(recipe):
    case = build(recipe)
    evoked = changed(case, 1e6 * case.evoked.data)
    with pytest.warns(RuntimeWarning) as caught:
        apply_mmnet_inverse(evoked, case.fwd, verbose=False, **case.options)
    assert any("MNE's unit is V" in str(entry.message) for entry in caught)
    OUTCOMES["relation: microvolts"] += 1


def test_too_large():
    """Squares that overflow were a warning of NumPy's."""
    case = build(Recipe(reference="applied", exponent=160))
    with pytest.raises(ValueError, match="too large to compute with. Check their unit"):
        apply_mmnet_inverse(case.evoked, case.fwd, verbose=False)
