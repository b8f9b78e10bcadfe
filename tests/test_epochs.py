"""Epochs: the same as one evoked after another, from files, lazily, in batches."""

import mne
import numpy as np
import pytest

from mne_cases import SUBJECT, make_cov, make_info
from mne_mmnet import (
    apply_mmnet_inverse,
    apply_mmnet_inverse_epochs,
    make_mmnet_operator,
)
from test_filters import FWD, INFO, LABEL, N_TIMES, simulate


@pytest.fixture
def epochs(rng, tmp_path):
    """Epochs from a file, not preloaded."""
    path = tmp_path / "test-epo.fif"
    simulate(rng, 5).save(path, verbose=False)
    return mne.read_epochs(path, preload=False, verbose=False)


@pytest.mark.parametrize("loose", [None, 0.3])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_equals_a_loop(epochs, loose, batch_size):
    """A batch is solved as its members are alone."""
    operator = make_mmnet_operator(epochs.info, FWD, loose=loose)
    stcs = apply_mmnet_inverse_epochs(epochs, operator, batch_size=batch_size)
    assert len(stcs) == len(epochs.events)
    for data, stc in zip(epochs.get_data(), stcs, strict=True):
        evoked = mne.EvokedArray(data, epochs.info, tmin=epochs.tmin, verbose=False)
        alone = apply_mmnet_inverse(evoked, operator)
        assert type(stc) is type(alone)
        assert stc.subject == SUBJECT
        np.testing.assert_allclose(stc.times, epochs.times)
        np.testing.assert_allclose(stc.data, alone.data, atol=2e-4 * np.abs(alone.data).max())


def test_generator(epochs):
    """A generator yields the same, and works only when it is asked."""
    stcs = apply_mmnet_inverse_epochs(epochs, FWD)
    lazy = apply_mmnet_inverse_epochs(epochs, FWD, return_generator=True, batch_size=2)
    assert not isinstance(lazy, list)
    first = next(lazy)
    np.testing.assert_allclose(first.data, stcs[0].data, atol=2e-4 * np.abs(first.data).max())
    assert len(list(lazy)) == len(stcs) - 1


def test_label(epochs):
    """A label restricts what is returned, not what is estimated."""
    whole = apply_mmnet_inverse_epochs(epochs, FWD)
    part = apply_mmnet_inverse_epochs(epochs, FWD, label=LABEL)
    for a, b in zip(part, whole, strict=True):
        assert a.data.shape == (20, N_TIMES)
        np.testing.assert_array_equal(a.vertices[0], LABEL.vertices)
        np.testing.assert_allclose(a.data, b.in_label(LABEL).data, atol=1e-20)


def test_vector(epochs):
    """Vectors, of a label too, have the length of what is returned without them."""
    options = dict(loose=1.0, label=LABEL)
    vectors = apply_mmnet_inverse_epochs(epochs, FWD, pick_ori="vector", **options)
    lengths = apply_mmnet_inverse_epochs(epochs, FWD, **options)
    assert vectors[0].data.shape == (20, 3, N_TIMES)
    np.testing.assert_allclose(vectors[0].magnitude().data, lengths[0].data, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*outside the training domain")
def test_nave(rng):
    """The noise covariance of single trials counts for averages by their number."""
    epochs = simulate(rng, 2)
    cov = make_cov(epochs.info)
    few = apply_mmnet_inverse_epochs(epochs, FWD, cov, nave=4)
    evoked = mne.EvokedArray(epochs.get_data()[0], epochs.info, nave=4, verbose=False)
    alone = apply_mmnet_inverse(evoked, FWD, cov)
    np.testing.assert_allclose(few[0].data, alone.data, atol=2e-4 * np.abs(alone.data).max())


def test_dropped_epochs(epochs):
    """Bad epochs of a file are left out; nothing but bad ones is an error."""
    epochs.drop([0, 2, 4], verbose=False)
    assert len(apply_mmnet_inverse_epochs(epochs, FWD)) == 2
    epochs.drop([0, 1], verbose=False)
    with pytest.raises(ValueError, match="no good epochs.*drop_log"):
        apply_mmnet_inverse_epochs(epochs, FWD)


def test_input_is_kept(rng):
    epochs = simulate(rng, 5)
    before, info = epochs.get_data(copy=True), epochs.info.copy()
    apply_mmnet_inverse_epochs(epochs, FWD)
    np.testing.assert_array_equal(epochs.get_data(), before)
    assert mne.utils.object_diff(dict(epochs.info), dict(info)) == ""


def test_noise_is_counted(rng):
    """One warning a reason, with the number of epochs."""
    data = 1e-6 * rng.standard_normal((3, 32, N_TIMES))
    epochs = mne.EpochsArray(data, INFO, verbose=False)
    with pytest.warns(RuntimeWarning, match="3 of 3 epochs should not be trusted") as caught:
        apply_mmnet_inverse_epochs(epochs, FWD)
    assert len(caught) == 1


def test_bad_input(rng):
    epochs = simulate(rng, 1)
    with pytest.raises(TypeError, match="epochs must be an instance of"):
        apply_mmnet_inverse_epochs(epochs.average(), FWD)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        apply_mmnet_inverse_epochs(epochs, FWD, batch_size=0)
    with pytest.raises(ValueError, match="nave must be a positive number"):
        apply_mmnet_inverse_epochs(epochs, FWD, nave=0)
    with pytest.raises(TypeError, match="nave must be"):
        apply_mmnet_inverse_epochs(epochs, FWD, nave="many")
    operator = make_mmnet_operator(epochs.info, FWD)
    with pytest.raises(ValueError, match="loose cannot be changed for a prepared operator"):
        apply_mmnet_inverse_epochs(epochs, operator, loose=1.0)
    plain = make_info(32, reference=False)
    unreferenced = mne.EpochsArray(epochs.get_data() + 1e-5, plain, verbose=False)
    with pytest.raises(ValueError, match="no average EEG reference"):
        apply_mmnet_inverse_epochs(unreferenced, FWD)
