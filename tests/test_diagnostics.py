"""What a report tells, and when a user is warned."""

import copy

import mne
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from mne_cases import make_fwd, make_info, normal_gain
from mne_mmnet import apply_mmnet_inverse, make_mmnet_operator
from mne_mmnet.dictionary.regions import Regions

INFO, FWD = make_info(32), make_fwd()
N_TIMES, SOURCE = 70, 40


def simulate(rng, snr_db=10.0, moment=5e-8):
    """One dipole with white noise of a known covariance."""
    gain = normal_gain(FWD, INFO)
    data = np.outer(gain[:, SOURCE], moment * np.sin(np.arange(N_TIMES) / 8.0))
    level = np.sqrt(np.mean(data**2) / 10 ** (snr_db / 10))
    cov = mne.make_ad_hoc_cov(INFO, std=dict(eeg=level), verbose=False)
    data = data + level * rng.standard_normal(data.shape)
    return mne.EvokedArray(data, INFO, tmin=0.1, verbose=False), cov


def test_shares(rng):
    """Explained variance, total and by sample, is that of data minus residual."""
    evoked, cov = simulate(rng)
    operator = make_mmnet_operator(INFO, FWD, cov)
    stc, residual, report = apply_mmnet_inverse(
        evoked, operator, return_residual=True, return_report=True
    )
    whitener = operator.prepared.whitener
    data, rest = (np.square(whitener @ x.data) for x in (evoked, residual))
    np.testing.assert_allclose(report.explained, 1 - rest.sum() / data.sum(), rtol=1e-6)
    by_time = 1 - rest.sum(axis=0) / data.sum(axis=0)
    np.testing.assert_allclose(report.explained_times, by_time, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(report.chi2, rest.mean(), rtol=1e-6)
    assert 0.7 < report.chi2 < 1.3  # the noise is as the covariance says
    assert stc.data.shape[1] == len(report.explained_times)


def test_agreement(rng):
    """The comparison is with what MNE's eLORETA finds."""
    evoked, cov = simulate(rng)
    stc, report = apply_mmnet_inverse(evoked, FWD, cov, return_report=True)
    inverse = mne.minimum_norm.make_inverse_operator(
        evoked.info, FWD, cov, loose=0.2, depth=None, verbose=False
    )
    theirs = mne.minimum_norm.apply_inverse(evoked, inverse, 1 / 9, "eLORETA", verbose=False)
    maps = [np.linalg.norm(x.data, axis=1) for x in (stc, theirs)]
    assert report.agreement.correlation == pytest.approx(np.corrcoef(*maps)[0, 1], rel=1e-6)
    where = FWD["source_rr"][[int(np.argmax(m)) for m in maps]]
    gap = 1e3 * np.linalg.norm(where[0] - where[1])
    assert report.agreement.peak_distance_mm == pytest.approx(gap, abs=1e-6)
    assert gap < 20
    within = cdist(FWD["source_rr"], FWD["source_rr"]) <= 0.015
    strongest = [np.argmax([m[near].sum() for near in within]) for m in maps]
    found = Regions(1e3 * FWD["source_rr"]).strongest(np.transpose(maps))
    for place, naive in zip(found, strongest, strict=True):  # the same but for ties of a region
        assert within[place, naive]
    gap = 1e3 * np.linalg.norm(np.subtract(*FWD["source_rr"][found]))
    assert report.agreement.region_distance_mm == pytest.approx(gap, abs=1e-6)
    assert f"regions {gap:.0f} mm apart" in report.describe()


def test_agreement_is_prepared_once(rng, monkeypatch):
    """A prepared operator keeps eLORETA's, as long as that would be the same."""
    recordings = [simulate(rng)[0] for _ in range(3)]
    cov = simulate(rng)[1]
    recordings[2].nave = 9
    expected = [apply_mmnet_inverse(x, FWD, cov, return_report=True)[1] for x in recordings]
    made = []
    make = mne.minimum_norm.make_inverse_operator
    monkeypatch.setattr(
        mne.minimum_norm, "make_inverse_operator", lambda *a, **k: made.append(1) or make(*a, **k)
    )
    operator = make_mmnet_operator(INFO, FWD, cov)
    for number, n_made in ((0, 1), (1, 1), (2, 2), (2, 2), (0, 3)):
        _, report = apply_mmnet_inverse(recordings[number], operator, return_report=True)
        assert report.agreement == expected[number].agreement
        assert len(made) == n_made


# one source's field is all that the whole cortex makes: it passes for background activity
@pytest.mark.filterwarnings("ignore:The sources explain:RuntimeWarning")
def test_agreement_of_a_single_source(rng):
    """There is nothing to correlate, and no warning of NumPy's about it."""
    keep = mne.SourceEstimate(np.ones((1, 1)), [[SOURCE], []], 0, 1)
    fwd = mne.forward.restrict_forward_to_stc(FWD, keep)
    _, report = apply_mmnet_inverse(simulate(rng)[0], fwd, return_report=True)
    assert np.isnan(report.agreement.correlation)
    assert report.agreement[1:] == (0.0, 0.0)


@pytest.mark.filterwarnings("ignore:162 of 324 sources have no field")
def test_agreement_where_eloreta_fails(rng):
    """Sources without a field are no trouble here, but eLORETA's weights are infinite."""
    fwd = copy.deepcopy(FWD)
    for gain in (fwd["sol"]["data"], fwd["_orig_sol"]):
        gain[:, gain.shape[1] // 2 :] = 0.0
    stc, report = apply_mmnet_inverse(simulate(rng)[0], fwd, return_report=True)
    assert np.isfinite(stc.data).all()
    assert np.isnan(report.agreement).all()


def test_steadiness(rng, monkeypatch):
    """It is the distance to what the windows alone give; far apart, it is a concern."""
    evoked, cov = simulate(rng)
    operator = make_mmnet_operator(INFO, FWD, cov)
    stc, report = apply_mmnet_inverse(evoked, operator, return_report=True)
    peak = int(np.abs(stc.data).sum(axis=0).argmax())
    regions = Regions(operator.prepared.positions)
    place = regions.strongest(np.abs(stc.data[:, peak]))
    expected = []
    for half in (0.01, 0.025, 0.05):
        near = round(half * evoked.info["sfreq"])
        first, last = max(0, peak - near), min(N_TIMES, peak + near + 1)
        window = mne.EvokedArray(evoked.data[:, first:last], INFO, verbose=False)
        if last - first <= 0.8 * N_TIMES:
            part = apply_mmnet_inverse(window, operator)
            there = regions.strongest(np.abs(part.data[:, peak - first]))
            expected.append(np.linalg.norm(regions.positions[there] - regions.positions[place]))
    assert report.steadiness.n_windows == len(expected) > 0
    assert report.steadiness.distance_mm == pytest.approx(max(expected), abs=1e-6)
    assert f"({len(expected)}): strongest region within" in report.describe()
    # where it is short, there is no shorter window
    short = mne.EvokedArray(evoked.data[:, :3], INFO, verbose=False)
    _, report = apply_mmnet_inverse(short, operator, return_report=True)
    assert report.steadiness.n_windows == 0
    assert np.isnan(report.steadiness.distance_mm)
    assert "Shorter windows" not in report.describe()
    monkeypatch.setattr("mne_mmnet.inverse.concerns._STEADY_MM", -1.0)
    _, report = apply_mmnet_inverse(evoked, operator, return_report=True)
    (concern,) = report.concerns  # no warning: who asks for the report reads it
    assert "when only a shorter window around the same moment" in concern


def test_nothing_to_worry_about(rng):
    """A clear response inside the domain raises no concern; text and log have the numbers."""
    evoked, cov = simulate(rng)
    with mne.utils.catch_logging() as log:
        _, report = apply_mmnet_inverse(evoked, FWD, cov, return_report=True, verbose="info")
    (line,) = (line for line in log.getvalue().splitlines() if "objective" in line)
    assert f"residual χ² {report.chi2:.2f}" in line
    assert report.concerns == ()
    assert report.domain_score == 0.0
    text = report.describe()
    for part in (f"χ² {report.chi2:.2f}", f"{100 * report.explained:.1f} %", "Concerns: none"):
        assert part in text
    assert "\n" not in str(report)
    assert f"{100 * report.explained:.1f} %" in str(report)


def concern_of(evoked, *args, match, **kwargs):
    """The warning's text stands in the report, too."""
    with pytest.warns(RuntimeWarning, match=match) as caught:
        _, report = apply_mmnet_inverse(evoked, *args, return_report=True, **kwargs)
    assert str(caught[0].message) in report.concerns
    return report


def test_noise_only(rng):
    evoked, cov = simulate(rng)
    level = np.sqrt(cov.data[0])
    evoked.data[:] = level * rng.standard_normal(evoked.data.shape)
    concern_of(evoked, FWD, cov, match="not distinguishable from noise.*nave")
    concern_of(evoked, FWD, match=r"explain [0-4]\.\d % of the data")


@pytest.mark.parametrize("method", ["empirical", "shrunk"])
@pytest.mark.parametrize("n_samples", [200, 1000])
def test_noise_only_with_a_short_baseline(method, n_samples, rng):
    """A covariance fits the samples it was made of: other noise seems to be more than noise."""
    evoked, _ = simulate(rng)
    mixing = 1e-6 * rng.standard_normal((32, 32))
    raw = mne.io.RawArray(mixing @ rng.standard_normal((32, n_samples)), INFO, verbose=False)
    cov = mne.compute_raw_covariance(raw, method=method, rank=None, verbose=False)
    signal = 3.0 * evoked.data / evoked.data.std() * (mixing @ mixing.T).trace() ** 0.5 / 32**0.5
    evoked.data[:] = mixing @ rng.standard_normal(evoked.data.shape)
    if method == "empirical":
        report = concern_of(evoked, FWD, cov, match="not distinguishable from noise")
        said = float(report.concerns[0].split("that of noise alone is ")[1].split(" ")[0])
        expected = cov["nfree"] / (cov["nfree"] - 31 - 1)
        assert said == pytest.approx(expected, rel=0.01)
    evoked.data += signal
    _, report = apply_mmnet_inverse(evoked, FWD, cov, return_report=True)
    assert not any("noise alone" in concern for concern in report.concerns)


def test_signal_beyond_the_domain(rng):
    """A signal-to-noise ratio that the model was not trained with."""
    evoked, cov = simulate(rng, snr_db=50.0)
    report = concern_of(evoked, FWD, cov, match="outside the training domain of mmnet-base")
    assert 2.0 < report.domain_score < 4.0  # 30 dB, in units of 10


def test_rank(rng):
    """Data from which components were removed, with a whitener that does not know."""
    evoked, cov = simulate(rng)
    left, values, right = np.linalg.svd(evoked.data, full_matrices=False)
    evoked.data = (left[:, :25] * values[:25]) @ right[:25]
    concern_of(evoked, FWD, cov, match="rank 2[45], the whitener 31")


def test_small_montage(rng):
    """Fewer electrodes than the model knows: said once, and counted in octaves."""
    evoked, cov = simulate(rng)
    evoked.pick(evoked.ch_names[:12])
    with pytest.warns(RuntimeWarning, match="12 channels is outside") as caught:
        _, report = apply_mmnet_inverse(evoked, FWD, cov, return_report=True)
    assert len(caught) == 1
    assert report.domain_score == pytest.approx(np.log2(16 / 12))
    assert any("12 channels" in concern for concern in report.concerns)
