"""Power from covariances and cross-spectral densities, and time–frequency epochs."""

import mne
import numpy as np
import pytest
from mne.time_frequency import csd_array_morlet, csd_tfr

from mne_cases import make_cov, make_fwd, make_info, make_meg_fwd, make_meg_info, normal_gain
from mne_mmnet import (
    apply_mmnet_filters,
    apply_mmnet_inverse_cov,
    apply_mmnet_inverse_csd,
    apply_mmnet_inverse_tfr_epochs,
    make_mmnet_filters,
    make_mmnet_operator,
)
from test_filters import LABEL, assert_close, simulate

INFO, FWD = make_info(32), make_fwd()
# epochs have no baseline here
pytestmark = pytest.mark.filterwarnings("ignore:Epochs are not baseline corrected")


@pytest.fixture
def epochs(rng):
    """Single trials of two dipoles."""
    return simulate(rng, n_epochs=6)


@pytest.fixture
def cov(epochs):
    """Their covariance: all samples count, nothing is subtracted."""
    return mne.compute_covariance(epochs, method="empirical", rank="full", verbose=False)


def second_moment(data, info=INFO):
    """Plain second moment of (n_epochs, n_channels, n_times)."""
    data = np.hstack(data)
    n_times = data.shape[1]
    return mne.Covariance(data @ data.T / n_times, info["ch_names"], [], info["projs"], n_times)


@pytest.fixture
def tfr(epochs):
    """Complex coefficients at three frequencies."""
    freqs = [16.0, 25.0, 40.0]
    return epochs.compute_tfr("morlet", freqs, n_cycles=2, output="complex", verbose=False)


@pytest.mark.parametrize("loose", [None, 0.0])
def test_covariance(epochs, loose):
    """Power is the mean square of the currents under the same filters."""
    data = epochs.get_data()
    cov = second_moment(data)
    power, filters = apply_mmnet_inverse_cov(cov, INFO, FWD, loose=loose, return_filters=True)
    assert power.data.shape == (324, 1)
    assert (power.data > 0).all()
    assert filters.origin.kind == "covariance"
    currents = apply_mmnet_filters(data, filters, info=INFO)
    assert_close(power.data[:, 0], np.square(currents).mean(axis=(0, 2)), 1e-9)
    normal = apply_mmnet_inverse_cov(cov, INFO, FWD, loose=loose, pick_ori="normal")
    currents = apply_mmnet_filters(data, filters, info=INFO, pick_ori="normal")
    assert_close(normal.data[:, 0], np.square(currents).mean(axis=(0, 2)), 1e-9)
    part = apply_mmnet_inverse_cov(cov, INFO, FWD, loose=loose, label=LABEL)
    assert_close(part.data, power.data[:20], 1e-9)


def test_like_mne(cov):
    """The same class, shape and place as MNE's own, and a peak nearby."""
    noise = mne.make_ad_hoc_cov(INFO, verbose=False)
    inverse = mne.minimum_norm.make_inverse_operator(INFO, FWD, noise, verbose=False)
    theirs = mne.minimum_norm.apply_inverse_cov(
        cov, INFO, inverse, method="sLORETA", verbose=False
    )
    ours = apply_mmnet_inverse_cov(cov, INFO, FWD)
    assert type(ours) is type(theirs)
    assert ours.shape == theirs.shape
    assert (ours.tmin, ours.tstep, ours.subject) == (theirs.tmin, theirs.tstep, theirs.subject)
    peaks = [FWD["source_rr"][stc.data[:, 0].argmax()] for stc in (ours, theirs)]
    assert np.linalg.norm(np.subtract(*peaks)) < 0.03


def test_csd(tfr):
    """At each frequency, the power of filters made of that frequency."""
    csd = csd_tfr(tfr, verbose=False)
    power, hertz, filters = apply_mmnet_inverse_csd(csd, INFO, FWD, return_filters=True)
    np.testing.assert_allclose(hertz, tfr.freqs)
    assert power.shape == (324, 3)
    for k, one in enumerate(filters):
        alone = make_mmnet_filters(csd.pick_frequency(index=k), FWD, info=INFO)
        assert_close(one.kernel, alone.kernel, 1e-4)  # solved in a batch
        assert one.origin.frequencies == (hertz[k],)
        matrix = csd.get_data(index=k)
        assert np.abs(matrix.imag).max() > 1e-3 * np.abs(matrix.real).max()
        rows = one.kernel.reshape(-1, 32)
        direct = np.diag(rows @ matrix @ rows.T).reshape(324, -1).sum(axis=1)
        assert_close(power.data[:, k], direct.real, 1e-9)
    # the same filters for all frequencies
    pooled = make_mmnet_filters(csd, FWD, info=INFO)
    assert pooled.origin.frequencies == (16.0, 25.0, 40.0)
    again = apply_mmnet_filters(csd, pooled)
    direct = np.diag((rows := pooled.kernel.reshape(-1, 32)) @ csd.get_data(index=1) @ rows.T)
    assert_close(again.data[:, 1], direct.reshape(324, -1).sum(axis=1).real, 1e-9)
    normal, _ = apply_mmnet_inverse_csd(csd, INFO, FWD, pick_ori="normal", label=LABEL)
    assert normal.shape == (20, 3)
    mean, _ = apply_mmnet_inverse_csd(csd.mean(), INFO, FWD)
    assert mean.shape == (324, 1)


def test_csd_of_arrays(epochs):
    """A density that knows no projectors takes those of the info."""
    common = np.sin(np.arange(50) / 2.0) * 1e-6  # of the reference electrode
    csd = csd_array_morlet(
        epochs.get_data() + common,
        250.0,
        [20.0],
        ch_names=INFO["ch_names"],
        n_cycles=2,
        verbose=False,
    )
    assert csd.projs is None or len(csd.projs) == 0
    power, _ = apply_mmnet_inverse_csd(csd, INFO, FWD)
    filters = make_mmnet_filters(csd, FWD, info=INFO)
    assert_close(apply_mmnet_filters(csd, filters, info=INFO).data, power.data, 1e-4)
    # the mean over channels tells, where nothing else does
    with pytest.raises(ValueError, match="no average EEG reference"):
        apply_mmnet_filters(csd, filters)


@pytest.mark.parametrize("pick_ori", [None, "normal", "vector"])
def test_tfr_epochs(tfr, pick_ori):
    """Frequencies outside, epochs inside, as MNE; each frequency with its own filters."""
    stcs = apply_mmnet_inverse_tfr_epochs(tfr, FWD, pick_ori=pick_ori, label=LABEL)
    assert len(stcs) == 3
    assert len(stcs[0]) == 6
    assert np.iscomplexobj(stcs[0][0].data) == (pick_ori is not None)
    np.testing.assert_allclose(stcs[2][5].times, tfr.times)
    csd = csd_tfr(tfr, verbose=False)
    for k in range(3):
        filters = make_mmnet_filters(csd.pick_frequency(index=k), FWD, info=INFO)
        data = tfr.data[:, :, k]
        plain = apply_mmnet_filters(data, filters, info=INFO, label=LABEL, pick_ori=pick_ori)
        assert_close(np.array([stc.data for stc in stcs[k]]), plain, 2e-4)
    lazy = apply_mmnet_inverse_tfr_epochs(tfr, FWD, pick_ori=pick_ori, return_generator=True)
    assert not isinstance(lazy, list)
    assert_close(next(lazy)[1].data[:20], stcs[0][1].data, 1e-9)


def test_operator_for_each_frequency(tfr):
    """As MNE takes a list of inverse operators."""
    operator = make_mmnet_operator(INFO, FWD)
    stcs = apply_mmnet_inverse_tfr_epochs(tfr, [operator] * 3, label=LABEL)
    alone = apply_mmnet_inverse_tfr_epochs(tfr, operator, label=LABEL)
    assert_close(stcs[2][1].data, alone[2][1].data, 2e-4)
    with pytest.raises(ValueError, match="3 frequencies and 2 operators"):
        apply_mmnet_inverse_tfr_epochs(tfr, [operator] * 2)
    with pytest.raises(TypeError, match="each of a list of fwd"):
        apply_mmnet_inverse_tfr_epochs(tfr, [FWD] * 3)
    broken = tfr.copy()
    broken.data[2, 30, 1, 7] = np.nan
    with pytest.raises(
        ValueError, match=f"NaN or infinite values in 1 channel .{tfr.ch_names[30]}"
    ):
        apply_mmnet_inverse_tfr_epochs(broken, operator)


@pytest.mark.filterwarnings("ignore:.*MEG is outside")
def test_meg_and_eeg(rng):
    """Volts and teslas in one covariance: neither is lost in the other's rounding."""
    info, fwd = make_meg_info(), make_meg_fwd()
    noise = mne.make_ad_hoc_cov(info, verbose=False)
    n_times = 300
    data = normal_gain(fwd, info)[:, [10]] * 5e-8 * np.sin(np.arange(n_times) / 5.0)
    data += np.sqrt(noise.data)[:, None] * rng.standard_normal((len(data), n_times))
    cov = second_moment([data], info)
    from_cov = make_mmnet_filters(cov, fwd, noise, info=info)
    evoked = mne.EvokedArray(data, info, verbose=False)
    assert_close(
        from_cov.kernel * 1e-6, make_mmnet_filters(evoked, fwd, noise).kernel * 1e-6, 1e-3
    )
    power = apply_mmnet_inverse_cov(cov, info, fwd, noise)
    assert power.data.argmax() == 10


def test_bad_covariances(cov, epochs, tfr):
    operator = make_mmnet_operator(INFO, FWD)
    with pytest.raises(ValueError, match="no info. Pass info="):
        make_mmnet_filters(cov, FWD)
    few = mne.pick_channels_cov(cov, INFO["ch_names"][:20])
    with pytest.raises(ValueError, match="lack 12 channels.*Make the operator"):
        make_mmnet_filters(few, operator)
    # with a forward solution those are left out
    assert len(make_mmnet_filters(few, FWD, info=INFO).ch_names) == 20
    renamed = cov.copy()
    renamed["names"] = [f"other {name}" for name in cov["names"]]
    with pytest.raises(ValueError, match="no channel in common"):
        apply_mmnet_inverse_cov(renamed, INFO, FWD)
    bad = cov.copy()
    bad["bads"] = [cov["names"][2]]
    with pytest.raises(ValueError, match="marked as bad"):
        make_mmnet_filters(bad, operator)
    assert len(make_mmnet_filters(bad, FWD, info=INFO).ch_names) == 31
    for value, message in ((np.nan, "NaN"), (0.0, "is zero"), (-1.0, "negative eigenvalues")):
        broken = cov.copy()
        broken["data"] = cov.data * value
        with pytest.raises(ValueError, match=message):
            apply_mmnet_inverse_cov(broken, INFO, FWD)
    csd = csd_tfr(tfr, verbose=False)
    with pytest.raises(TypeError, match="must be real.*CrossSpectralDensity itself"):
        apply_mmnet_inverse_cov(csd.get_data(index=0, as_cov=True), INFO, FWD)
    filters = make_mmnet_filters(cov, operator)
    with pytest.raises(TypeError, match="must be real.*CrossSpectralDensity itself"):
        apply_mmnet_filters(csd.get_data(index=0, as_cov=True), filters)
    with pytest.raises(ValueError, match="pick_ori"):
        apply_mmnet_inverse_cov(cov, INFO, FWD, pick_ori="vector")
    with pytest.raises(ValueError, match="Power has no direction"):
        apply_mmnet_filters(cov, filters, pick_ori="vector")
    with pytest.raises(ValueError, match="Power has no direction"):
        apply_mmnet_filters(csd, filters, pick_ori="vector")
    other = make_info(32, reference=False)
    own = cov.copy()
    own["projs"] = []
    own["data"] = cov.data + 1e-10
    with pytest.raises(ValueError, match="no average EEG reference"):
        apply_mmnet_inverse_cov(own, other, FWD)
    power = epochs.compute_tfr("morlet", [20.0], n_cycles=2, verbose=False)
    with pytest.raises(TypeError, match="powers"):
        apply_mmnet_inverse_tfr_epochs(power, FWD)
    with pytest.raises(TypeError, match="epochs_tfr must be an instance"):
        apply_mmnet_inverse_tfr_epochs(epochs, FWD)


@pytest.mark.filterwarnings("ignore:.*outside the training domain")
def test_noise_of_averages(cov):
    """The covariance of averages counts by their number, where the noise is known."""
    noise = make_cov(INFO)
    more = cov.copy()
    more["data"] = cov.data * 4.0
    a = make_mmnet_filters(cov, FWD, noise, info=INFO, nave=4).kernel
    b = make_mmnet_filters(more, FWD, noise, info=INFO).kernel
    assert_close(a, b, 1e-6)
    c = make_mmnet_filters(cov, FWD, noise, info=INFO).kernel
    assert np.abs(a - c).max() > 1e-3 * np.abs(a).max()
