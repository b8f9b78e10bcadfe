"""Components: maps in their unit, each by itself; peaks of field power."""

import mne
import numpy as np
import pytest
from mne.decoding import SSD
from mne.preprocessing import ICA

from mne_cases import make_fwd, make_info, make_projector, normal_gain
from mne_mmnet import (
    apply_mmnet_inverse,
    localize_components,
    localize_gfp_peaks,
    localize_maps,
    make_mmnet_operator,
)
from test_filters import LABEL, assert_close

INFO, FWD = make_info(32), make_fwd()
ROWS = (10, 200, 250)
SFREQ = 250.0


def gain_of(rows):
    """Average-referenced fields of some sources along their normals."""
    gain = normal_gain(FWD, INFO)[:, list(rows)]
    return gain - gain.mean(axis=0)


def make_raw(rng, n_times=5000):
    """Three independent sources, not Gaussian, in a little noise."""
    courses = rng.laplace(size=(3, n_times)) * 3e-8 / np.sqrt(2.0)
    data = gain_of(ROWS) @ courses
    data += 0.01 * data.std() * rng.standard_normal(data.shape)
    raw = mne.io.RawArray(data, INFO, verbose=False)
    return raw.apply_proj(verbose=False), courses


def distance_mm(stc, row):
    """From the largest current to a source."""
    size = np.linalg.norm(stc.data.reshape(len(FWD["source_rr"]), -1), axis=1)
    return 1e3 * np.linalg.norm(FWD["source_rr"][size.argmax()] - FWD["source_rr"][row])


@pytest.fixture(scope="module")
def decomposed():
    """Raw data and their independent components."""
    raw, courses = make_raw(np.random.default_rng(0))
    ica = ICA(3, method="infomax", fit_params=dict(extended=True), random_state=0, verbose=False)
    with mne.use_log_level("error"):
        ica.fit(raw)
    return raw, courses, ica


def test_ica(decomposed):
    """Each component is found where its source is, with its amplitude at one deviation."""
    raw, courses, ica = decomposed
    stcs, reports = localize_components(ica, FWD, return_reports=True, head="own")
    assert len(stcs) == len(reports) == 3
    found = ica.get_sources(raw).get_data()
    owner = np.abs(np.corrcoef(found, courses)[:3, 3:]).argmax(axis=1)
    assert sorted(owner) == [0, 1, 2]
    for stc, report, source in zip(stcs, reports, owner, strict=True):
        assert stc.shape == (324, 1)
        assert distance_mm(stc, ROWS[source]) < 15
        assert report.explained > 0.9
        # 30 nA·m, most of it near the place
        assert 1.5e-8 < stc.data.sum() < 9e-8
    (alone,) = localize_components(ica, FWD, picks=1, head="own")
    assert_close(alone.data, stcs[1].data, 2e-4)
    two = localize_components(ica, FWD, picks=[2, 0], label=LABEL, pick_ori="vector")
    assert [stc.shape for stc in two] == [(20, 3, 1)] * 2


def test_unit_of_ica(decomposed, monkeypatch):
    """Maps times courses of deviation 1 are the data, in V: MNE scales components by channel type.

    And, other than FastICA, infomax does not scale its courses.
    """
    raw, _, ica = decomposed
    taken = []
    monkeypatch.setattr(
        "mne_mmnet.components.decompositions.localize_maps",
        lambda maps, info, fwd, noise_cov: taken.append((maps, info)),
    )
    localize_components(ica, FWD)
    noise = mne.make_ad_hoc_cov(raw.info, verbose=False)
    whitened = ICA(3, method="infomax", noise_cov=noise, random_state=0, verbose=False)
    with mne.use_log_level("error"):
        whitened.fit(raw)
    localize_components(whitened, FWD)
    for one, (maps, info) in zip((ica, whitened), taken, strict=True):
        assert info["ch_names"] == raw.ch_names
        courses = one.get_sources(raw).get_data()
        data = raw.get_data() - raw.get_data().mean(axis=1, keepdims=True)
        courses -= courses.mean(axis=1, keepdims=True)
        assert np.abs(courses.std(axis=1) - 1.0).max() > 0.1
        courses /= courses.std(axis=1, keepdims=True)
        assert np.linalg.norm(maps @ courses - data) < 0.1 * np.linalg.norm(data)


def test_maps_are_independent(rng):
    """A map is solved as an evoked response of one sample."""
    maps = gain_of(ROWS) * 3e-8 + 2e-8 * rng.standard_normal((32, 3))
    operator = make_mmnet_operator(INFO, FWD)
    stcs = localize_maps(maps, INFO, operator)
    for one, stc in zip(maps.T, stcs, strict=True):
        evoked = mne.EvokedArray(one[:, None], INFO, verbose=False)
        assert_close(stc.data, apply_mmnet_inverse(evoked, operator).data, 2e-4)
    (single,) = localize_maps(maps[:, 1], INFO, operator)
    assert_close(single.data, stcs[1].data, 2e-4)


def test_ssd(rng):
    """Spatio-spectral decomposition finds an oscillation, and this its source."""
    times = np.arange(5000) / SFREQ
    alpha = 3e-8 * np.sin(2 * np.pi * 10.0 * times) * (1.5 + np.sin(2 * np.pi * 0.3 * times))
    data = gain_of([10]) * alpha
    data += data.std() * rng.standard_normal(data.shape)
    raw = mne.io.RawArray(data, INFO, verbose=False).apply_proj(verbose=False)
    band = dict(l_trans_bandwidth=1, h_trans_bandwidth=1)
    ssd = SSD(
        raw.info,
        dict(l_freq=9, h_freq=11, **band),
        dict(l_freq=7, h_freq=13, **band),
        n_components=2,
        reg="empirical",
        rank=dict(eeg=31),
    )
    with mne.use_log_level("error"):
        ssd.fit(raw.get_data())
    (stc,) = localize_components(ssd, FWD, picks=0)
    assert distance_mm(stc, 10) < 15


def test_gfp_peaks():
    """Maps at the highest moments, at their times."""
    times = np.arange(100) / SFREQ
    courses = [np.exp(-0.5 * ((times - t) / 0.01) ** 2) for t in (0.1, 0.2, 0.3)]
    data = gain_of(ROWS) * [3e-8, 1e-8, 4e-8] @ np.array(courses)
    evoked = mne.EvokedArray(data, INFO, tmin=-0.048, verbose=False)
    stcs = localize_gfp_peaks(evoked, FWD, head="own")
    np.testing.assert_allclose([stc.tmin for stc in stcs], [0.052, 0.152, 0.252], atol=1e-9)
    for stc, row in zip(stcs, ROWS, strict=True):
        assert stc.shape == (324, 1)
        assert distance_mm(stc, row) < 15
    fewer, reports = localize_gfp_peaks(evoked, FWD, n_peaks=1, return_reports=True)
    power = data.std(axis=0)
    np.testing.assert_allclose(fewer[0].tmin, evoked.times[power.argmax()])
    assert len(fewer) == len(reports) == 1
    raw = mne.io.RawArray(data, INFO, verbose=False)
    again = localize_gfp_peaks(raw, FWD, head="own")
    assert_close(again[0].data, stcs[0].data)


def test_gfp_peaks_without_what_is_projected_out():
    """A blink whose projector waits chooses no time."""
    times = np.arange(100) / SFREQ
    proj = make_projector(INFO["ch_names"])
    blink = proj["data"]["data"][0] - proj["data"]["data"][0].mean()
    data = np.outer(gain_of(ROWS[:1])[:, 0], 3e-8 * np.exp(-0.5 * ((times - 0.1) / 0.01) ** 2))
    data += np.outer(blink, 1e-4 * np.exp(-0.5 * ((times - 0.3) / 0.02) ** 2))
    evoked = mne.EvokedArray(data, INFO, verbose=False).add_proj(proj)
    for one in (evoked, evoked.copy().apply_proj()):
        (stc,) = localize_gfp_peaks(one, FWD, n_peaks=1, head="own")
        assert stc.tmin == pytest.approx(0.1)


def test_bad_input(decomposed):
    raw, _, ica = decomposed
    with pytest.raises(RuntimeError, match="not fitted"):
        localize_components(ICA(3), FWD)
    with pytest.raises(ValueError, match="numbers of the 3 components"):
        localize_components(ica, FWD, picks=[3])
    with pytest.raises(ValueError, match="numbers of the 3 components"):
        localize_components(ica, FWD, picks="all")
    with pytest.raises(ValueError, match="info of its own"):
        localize_components(ica, FWD, info=raw.info)
    with pytest.raises(TypeError, match="patterns_"):
        localize_components(raw.get_data(), FWD)
    with pytest.raises(RuntimeError, match="fit it first"):
        localize_components(mne.decoding.CSP(2), FWD)

    class Fitted:
        patterns_ = 3e-8 * gain_of(ROWS).T

    with pytest.raises(ValueError, match="does not know its channels"):
        localize_components(Fitted, FWD)
    assert len(localize_components(Fitted, FWD, info=INFO)) == 3
    maps = 3e-8 * gain_of(ROWS)
    with pytest.raises(ValueError, match="must have the shape"):
        localize_maps(maps.T, INFO, FWD)
    with pytest.raises(TypeError, match="must be real"):
        localize_maps(maps * 1j, INFO, FWD)
    with pytest.raises(ValueError, match="Map 1 is zero"):
        localize_maps(maps * [1.0, 0.0, 1.0], INFO, FWD)
    with pytest.raises(ValueError, match="NaN"):
        localize_maps(maps * [1.0, np.nan, 1.0], INFO, FWD)
    with pytest.raises(ValueError, match="no average EEG reference"):
        localize_maps(maps + 100.0, make_info(32, reference=False), FWD)
    flat = mne.EvokedArray(np.outer(maps[:, 0], np.arange(20)), INFO, verbose=False)
    with pytest.raises(ValueError, match="no peak within"):
        localize_gfp_peaks(flat, FWD)
    with pytest.raises(ValueError, match="n_peaks must be at least 1"):
        localize_gfp_peaks(flat, FWD, n_peaks=0)
    with pytest.raises(TypeError, match="inst must be an instance"):
        localize_gfp_peaks(flat.data, FWD)


def test_peaks_of_a_recording_without_eeg(decomposed):
    evoked = mne.EvokedArray(decomposed[0].get_data()[:, :50], INFO, verbose=False)
    evoked.info["bads"] = list(INFO["ch_names"])
    with pytest.raises(ValueError, match="no good EEG channels, of which the field power"):
        localize_gfp_peaks(evoked, FWD)
