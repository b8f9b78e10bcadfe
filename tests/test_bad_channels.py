"""Channels and data that are not what they should be: named in words, with what to do."""

import warnings

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose

import mne_mmnet
import template_cases as cases
from mne_cases import make_projector, montage_info, normal_gain
from mne_mmnet import make_template_forward
from mne_mmnet.inverse.check_neighbours import ChannelModel
from mne_mmnet.simulation.electrodes import TEN_TEN


def _spoil(what, data, row, rng):
    data = data.copy()
    if what == "offset":
        data[row] += 50e-6
    elif what == "white":
        data[row] += 2e-5 * rng.standard_normal(data.shape[1])
    elif what == "drift":
        data[row] += np.linspace(-4e-5, 4e-5, data.shape[1])
    elif what == "jump":
        data[row, 20:] += 5e-5
    elif what == "line":
        data[row] += 3e-5 * np.sin(2 * np.pi * 50 * np.arange(data.shape[1]) / 500)
    return data


@pytest.mark.parametrize("with_cov", [False, True])
@pytest.mark.parametrize("what", ["offset", "white", "drift", "jump", "line"])
def test_a_bad_channel_is_named(what, with_cov, rng):
    info, fwd, lead = cases.head("biosemi64", None)
    evoked = cases.make_response(info, lead)
    cov = mne.make_ad_hoc_cov(info, dict(eeg=3e-7), verbose="error") if with_cov else None
    clean = cases.localize(evoked, fwd, noise_cov=cov)[1]
    assert not any("others predict" in text or "other channels" in text for text in clean.concerns)
    row = info["ch_names"].index("P8")
    evoked.data = _spoil(what, evoked.data, row, rng)
    _, report, said = cases.localize(evoked, fwd, noise_cov=cov)
    (concern,) = (text for text in report.concerns if "other channels predict" in text)
    assert concern.startswith("Channel P8 is not what")
    assert "info['bads']" in concern
    assert concern in said
    # followed, the advice helps
    evoked.info["bads"] = ["P8"]
    stc, report, _ = cases.localize(evoked, fwd, noise_cov=cov)
    assert report.concerns == ()
    assert cases.miss(stc, fwd) < 12


def test_two_bad_channels_are_named(rng):
    info, fwd, lead = cases.head("biosemi64", None)
    evoked = cases.make_response(info, lead)
    for name in ("P8", "AF3"):
        evoked.data = _spoil("white", evoked.data, info["ch_names"].index(name), rng)
    concerns = cases.localize(evoked, fwd)[1].concerns
    assert any("P8" in text and "AF3" in text for text in concerns)


def test_nameless_data_in_another_order(rng):
    """Positions and names are right; the rows of the data are others'."""
    names = tuple(f"chan{k}" for k in range(64))
    info, _, _ = cases.head("biosemi64", None)
    info = info.copy()
    mne.rename_channels(info, dict(zip(info["ch_names"], names, strict=True)))
    fwd = make_template_forward(info, positions="as given", verbose="error")
    lead = normal_gain(fwd, info)
    n_caught = 0
    for source in range(0, 1000, 100):
        evoked = cases.make_response(info, lead, source)
        assert not any("neighbours" in text for text in cases.localize(evoked, fwd)[1].concerns)
        evoked.data = evoked.data[rng.permutation(64)]
        n_caught += any("neighbours" in text for text in cases.localize(evoked, fwd)[1].concerns)
    assert n_caught == 10


def _silence(montage="biosemi64", n_times=250):
    """A response of zeros, and the operator of its channels."""
    info, fwd, _ = cases.head(montage, None)
    evoked = cases.referenced(np.zeros((len(info.ch_names), n_times)), info)
    return evoked, mne_mmnet.make_mmnet_operator(evoked.info, fwd, verbose="error")


def _make_drifting(model, seed, power, n_times=250):
    """Two sources with an hump for a course, activity of all others, noise; and random walks."""
    rng = np.random.default_rng(seed)
    fields = model.fields.reshape(len(model.ch_names), -1)
    wave = np.zeros(n_times)
    wave[:60] = np.hanning(60)
    first, second = rng.integers(fields.shape[1], size=2)
    data = np.outer(fields[:, first], wave) + 0.4 * np.outer(fields[:, second], np.roll(wave, 9))
    size = np.mean((data - data.mean(axis=0)) ** 2)
    walks = rng.standard_normal((len(data), n_times)).cumsum(axis=1)
    others = fields @ rng.standard_normal((fields.shape[1], n_times))
    white = rng.standard_normal(data.shape)
    for noise, share in ((others, 0.2), (white, 0.1), (walks, power)):
        data += noise * np.sqrt(share * size / np.mean(noise**2))
    return data


@pytest.mark.parametrize("montage", ["biosemi32", "biosemi64"])
def test_drifting_electrodes_are_not_called_disordered(montage):
    """Random walks with 5 times the power of the response spoil what is slow; names, all."""
    _, operator = _silence(montage)
    model, whitener = operator.channel_model, operator.prepared.whitener
    rng = np.random.default_rng(0)
    drifts = shuffled = 0
    for seed in range(20):
        quiet, loud = (whitener @ _make_drifting(model, seed, power) for power in (0, 5))
        assert model.doubt(quiet) == {}
        found = model.doubt(loud)
        assert set(found) <= {"drift"}  # and neither disordered nor exchanged
        drifts += "drift" in found
        # the columns of a factor have no order: nothing is slow
        factor = model.doubt(loud, in_time=False)
        assert set(factor) == ({"disorder"} if found else set())
        for power in (0, 5):
            data = _make_drifting(model, seed, power)[rng.permutation(len(model.ch_names))]
            shuffled += set(model.doubt(whitener @ data)) == {"disorder"}
    assert drifts >= 18
    assert shuffled >= 39


@pytest.mark.parametrize("nfree", [1, 63, 249])
def test_columns_of_a_factor_are_no_samples(nfree, monkeypatch):
    """However many samples a covariance is said to be of: one, as many as columns, or others."""
    evoked, operator = _silence()
    evoked.data = 1e-6 * _make_drifting(operator.channel_model, 0, 0)
    seen = []
    doubt = ChannelModel.doubt
    monkeypatch.setattr(
        ChannelModel,
        "doubt",
        lambda model, data, in_time=True: seen.append(in_time) or doubt(model, data, in_time),
    )
    cov = mne.Covariance(
        np.cov(evoked.data), evoked.ch_names, [], evoked.info["projs"], nfree, verbose=False
    )
    for data, expected in ((cov, False), (evoked, True)):
        seen.clear()
        mne_mmnet.make_mmnet_filters(data, operator, verbose="error")
        assert seen == [expected]


@pytest.mark.parametrize("n_times", [1, 2, 4, 7, 8, 250])
def test_few_samples_of_good_electrodes(n_times):
    """Where there is no time to drift in, or hardly any, good data are called good."""
    _, operator = _silence()
    model, whitener = operator.channel_model, operator.prepared.whitener
    for seed in range(10):
        data = whitener @ _make_drifting(model, seed, 0)[:, 20 : 20 + n_times]
        assert model.doubt(data) == {}


def test_drift_is_a_concern_with_its_remedy():
    evoked, operator = _silence()
    data = _make_drifting(operator.channel_model, 0, 5)
    evoked.data = 1e-5 * data / np.abs(data).max()
    _, report, said = cases.localize(evoked, cases.head("biosemi64", None)[1])
    (concern,) = (text for text in report.concerns if "electrodes drift" in text)
    assert "High-pass filter" in concern
    assert "apply a baseline" in concern  # offsets of all electrodes look as drifts do
    assert any(concern in text for text in said)
    assert not any("neighbours predict" in text for text in report.concerns)


@pytest.mark.parametrize("pair", [("C3", "C4"), ("F7", "O2"), ("P8", "Fz")])
def test_two_exchanged_channels_are_named(pair, rng):
    """Their names, not their positions: told by the data alone, and from many of them."""
    info, fwd, lead = cases.head("biosemi64", None)
    sources = rng.choice(lead.shape[1], 40, replace=False)
    brain = lead[:, sources] @ rng.standard_normal((40, 100))
    data = 5e-6 * brain / brain.std()
    data += 1e-6 * rng.standard_normal(data.shape)
    for exchanged in (False, True):
        if exchanged:
            rows = [info.ch_names.index(name) for name in pair]
            data[rows] = data[rows[::-1]]
        _, report, _ = cases.localize(cases.referenced(data, info), fwd)
        found = [text for text in report.concerns if "seem to be exchanged" in text]
        assert bool(found) == exchanged
    first, second = sorted(pair, key=info.ch_names.index)
    assert f"Channels {first} and {second} seem" in found[0]


def test_exchange_is_found_as_a_loop_would(rng):
    """The gain in closed form is that of data with two rows exchanged."""
    from mne_mmnet.inverse.check_neighbours import _of_differences

    n = 7
    data, root = rng.standard_normal((n, 5)), rng.standard_normal((n, n))
    precision = root @ root.T
    spread = data @ data.T
    closed = 2 * _of_differences(spread @ precision)
    closed = closed - _of_differences(spread) * _of_differences(precision)
    before = np.trace(precision @ spread)
    for i in range(n):
        for j in range(i):
            other = data.copy()
            other[[i, j]] = other[[j, i]]
            after = np.trace(other.T @ precision @ other)
            np.testing.assert_allclose(closed[i, j], before - after, rtol=1e-9, atol=1e-9)


def test_few_dimensions_tell_of_no_exchange():
    """A short window of a few sources: exchanged or not, no other source is ruled out."""
    info, fwd, lead = cases.head("biosemi64", None)
    data = lead[:, [45, 800]] @ (5e-8 * np.random.default_rng(2).standard_normal((2, 12)))
    concerns = cases.localize(cases.referenced(data, info), fwd)[1].concerns
    assert not any("exchanged" in text for text in concerns)


def test_flat_and_copied_channels():
    info, fwd, lead = cases.head()
    evoked = cases.make_response(info, lead)
    evoked.data[3] = 0.0
    evoked.data[7] = evoked.data[6]
    concerns = cases.localize(evoked, fwd)[1].concerns
    assert any(text.startswith("1 channel (F3) flat") for text in concerns)
    assert any("(F8 and FC5)" in text and "bridged" in text for text in concerns)


def test_interpolated_channels_are_named():
    info, fwd, lead = cases.head("biosemi64", None)
    evoked = cases.make_response(info, lead, n_times=100)
    evoked.info["bads"] = ["Fp1", "O1"]
    evoked.interpolate_bads(verbose="error")
    (concern,) = cases.localize(evoked, fwd)[1].concerns
    assert "rank 61" in concern
    assert "(Fp1, O1, it seems)" in concern


@pytest.mark.parametrize(
    ("sfreq", "order", "cutoff", "n_times"),
    [(1000, 4, 30, 200), (1000, 8, 40, 200), (2000, 8, 40, 400), (5000, 4, 40, 1000)],
)
def test_filtered_data_are_not_called_interpolated(sfreq, order, cutoff, n_times, rng):
    _, fwd, _ = cases.head("biosemi64", None)
    info = montage_info("biosemi64", sfreq=sfreq)
    raw = mne.io.RawArray(2e-6 * rng.standard_normal((64, 6 * sfreq)), info, verbose=False)
    params = dict(order=order, ftype="butter")
    raw.filter(None, cutoff, method="iir", iir_params=params, verbose=False)
    evoked = cases.referenced(raw.get_data()[:, sfreq : sfreq + n_times], info)
    assert not any("rank" in text for text in cases.localize(evoked, fwd)[1].concerns)


@pytest.mark.parametrize("precision", [np.float64, np.float32])
def test_removed_components_are_found_in_files_of_single_precision(precision, rng):
    info, fwd, lead = cases.head("biosemi64", None)
    evoked = cases.make_response(info, lead, n_times=140)
    maps = np.linalg.qr(rng.standard_normal((64, 4)))[0]
    data = evoked.data - maps @ (maps.T @ evoked.data)
    evoked.data = data.astype(precision).astype(float)
    assert any("or components removed" in x for x in cases.localize(evoked, fwd)[1].concerns)


@pytest.mark.parametrize("precision", [np.float64, np.float32])
def test_covariance_of_too_high_a_rank(precision, rng):
    """Shrinkage gives directions that ICA removed a variance; they are left out again."""
    info, fwd, lead = cases.head("biosemi64", None)
    noise = lead @ rng.standard_normal((lead.shape[1], 4000)) * 2e-10
    noise += 2e-7 * rng.standard_normal((64, 4000))
    noise -= noise.mean(axis=0)
    maps = np.linalg.svd(noise, full_matrices=False)[0][:, :4]
    clean = np.eye(64) - maps @ maps.T

    def process(data):
        return (clean @ (data - data.mean(axis=0))).astype(precision).astype(float)

    def shrunk(share):
        cov = np.cov(process(noise))
        cov += share * np.trace(cov) / 64 * np.eye(64)
        return mne.Covariance(cov, info["ch_names"], [], [], 4000)

    cov = shrunk(1e-6)
    evoked = cases.make_response(info, lead, 300)
    evoked.data = process(evoked.data)
    stc, report, _ = cases.localize(evoked, fwd, noise_cov=cov)
    told, _, _ = cases.localize(evoked, fwd, noise_cov=cov, rank=dict(eeg=59))
    assert report.explained > 0.03  # 1e-8 where they are kept
    assert_allclose(stc.data, told.data, atol=1e-6 * np.abs(told.data).max())
    # a rank that is insisted on is doubted
    _, _, said = cases.localize(evoked, fwd, noise_cov=cov, rank="full")
    assert any("rank" in text for text in said)


def test_epochs_with_other_channels_interpolated(rng):
    info = montage_info("biosemi32", sfreq=250.0)
    fwd = make_template_forward(info, "oct3", verbose="error")
    parts = []
    for bads in (["Fp1", "O1"], ["Fp2", "O2"], ["Cz", "T8"]):
        data = 1e-6 * rng.normal(size=(3, 32, 50))
        part = mne.EpochsArray(data, info, tmin=-0.2, verbose="error")
        part.info["bads"] = bads
        parts.append(part.interpolate_bads(verbose="error"))
    epochs = mne.concatenate_epochs(parts, verbose="error")
    epochs.set_eeg_reference(projection=True, verbose="error")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mne_mmnet.apply_mmnet_inverse_epochs(epochs, fwd, verbose="warning")
    assert any("interpolated in single ones" in str(one.message) for one in caught)
    assert not any("Pass a noise_cov" in str(one.message) for one in caught)


@pytest.mark.parametrize("road", ["epochs", "raw", "stream", "evoked"])
@pytest.mark.parametrize("applied", [False, True])
def test_projectors_that_a_prepared_operator_does_not_know(applied, road):
    """Its lead field has what the data lack, or will lack: another source would explain them."""
    info, fwd, lead = cases.head()
    evoked = cases.make_response(info, lead)
    operator = mne_mmnet.make_mmnet_operator(evoked.info, fwd, verbose="error")
    evoked.add_proj(make_projector(evoked.ch_names, desc="EOG-1"))
    if applied:
        evoked.apply_proj()
    with pytest.raises(ValueError, match="made without: EOG-1"):
        cases.take(road, evoked, operator)
    # the other way round nothing is lost
    known = mne_mmnet.make_mmnet_operator(evoked.info, fwd, verbose="error")
    cases.take(road, cases.make_response(info, lead), known)


@pytest.mark.parametrize("road", ["epochs", "raw", "stream", "evoked"])
@pytest.mark.parametrize("kind", ["csd", "misc"])
def test_other_types_with_a_prepared_operator(kind, road):
    info, fwd, lead = cases.head()
    evoked = cases.make_response(info, lead).del_proj()
    operator = mne_mmnet.make_mmnet_operator(info, fwd, verbose="error")
    types = dict.fromkeys(evoked.ch_names, kind)
    if kind == "csd":
        evoked = mne.preprocessing.compute_current_source_density(evoked)
    else:
        evoked.set_channel_types(types, verbose="error")
    why = "current source densities can't be localised" if kind == "csd" else "misc"
    with pytest.raises(ValueError, match=why):
        cases.take(road, evoked, operator)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("mag", "forward solution of the person's own"),
        ("csd", "current source densities can't be localised"),
        ("ecog", "lie inside the skull"),
        ("seeg", "lie inside the skull"),
        ("hbo", "near-infrared"),
        ("misc", "set_channel_types"),
    ],
)
def test_what_there_is_instead_of_eeg(kind, why):
    with pytest.raises(ValueError, match=why):
        make_template_forward(mne.create_info(["a", "b"], 250.0, kind))


BANANA = (
    "Fp1-F7 F7-T7 T7-P7 P7-O1 Fp1-F3 F3-C3 C3-P3 P3-O1 Fp2-F4 F4-C4 C4-P4 P4-O2 Fp2-F8 F8-T8 "
    "T8-P8 P8-O2 Fz-Cz Cz-Pz"
).split()


@pytest.mark.parametrize(
    "spell",
    [str, str.upper, "EEG {}".format, lambda name: name.replace("-", " - "), "{}-0".format],
)
def test_bipolar_names(spell):
    from mne_mmnet._mne import refuse_bipolar

    names = [spell(name) for name in BANANA]
    info = mne.create_info(names, 250.0, "eeg")
    with pytest.raises(ValueError, match=r"18 channels \(.*, …\) bipolar: each is a difference"):
        refuse_bipolar(info, names)
    refuse_bipolar(info, [])


@pytest.mark.parametrize("reference", ["A1", "M2", "REF", "Cz", "LE", "Avg"])
def test_one_reference_is_not_bipolar(reference):
    from mne_mmnet._mne import refuse_bipolar

    names = [f"{name}-{reference}" for name in cases.NAMES if name != reference]
    refuse_bipolar(mne.create_info(names, 250.0, "eeg"), names)


def test_bipolar_coils_and_own_forward_solution():
    info, fwd, lead = cases.head()
    raw = mne.io.RawArray(cases.make_response(info, lead).data, info, verbose="error")
    pairs = [("Fp1", "F7"), ("F4", "C4")]
    bipolar = mne.set_bipolar_reference(
        raw, *map(list, zip(*pairs, strict=True)), ch_name=["one", "two"], verbose="error"
    )
    with pytest.raises(ValueError, match=r"2 channels \(one, two\) bipolar"):
        make_template_forward(bipolar.info)
    evoked = cases.make_response(info, lead)
    with evoked.info._unlock():
        for channel in evoked.info["chs"][:3]:
            channel["coil_type"] = mne.io.constants.FIFF.FIFFV_COIL_EEG_BIPOLAR
    with pytest.raises(ValueError, match=r"3 channels \(Fp1, Fp2, F7\) bipolar"):
        mne_mmnet.apply_mmnet_inverse(evoked, fwd)
    evoked.info["bads"] = evoked.ch_names[:3]
    mne_mmnet.apply_mmnet_inverse(evoked, fwd)


def test_names_in_another_case_are_said():
    info, fwd, lead = cases.head()
    evoked = cases.make_response(info, lead)
    evoked.rename_channels({name: name.upper() for name in ("Fz", "Cz", "Pz", "Oz")})
    _, report, said = cases.localize(evoked, fwd)
    (concern,) = (text for text in report.concerns if "left out" in text)
    assert "4 differ by capitals" in concern
    assert "FZ is Fz" in concern
    assert concern in said


def test_eight_electrodes():
    names = "Fp1 Fp2 C3 C4 P7 P8 O1 O2".split()
    info = montage_info(TEN_TEN, names)
    evoked = cases.referenced(np.eye(8) * 1e-6, info)
    fwd = make_template_forward(info, "oct3", verbose="error")
    with pytest.raises(ValueError, match="8 EEG channels are 7 with the average reference; at l"):
        mne_mmnet.apply_mmnet_inverse(evoked, fwd)
    info = montage_info(TEN_TEN, [*names, "Cz"])
    fwd = make_template_forward(info, "oct3", verbose="error")
    assert mne_mmnet.make_mmnet_operator(info, fwd, verbose="error").prepared.n_rank == 8


@pytest.mark.parametrize("factor", [1e-6, 1e-9, 1e6])
def test_data_of_another_unit(factor):
    info, fwd, lead = cases.head()
    evoked = cases.make_response(info, lead)
    evoked.data *= factor
    concerns = cases.localize(evoked, fwd)[1].concerns
    assert any("unit" in text and "A·m" in text for text in concerns)


def test_offsets_of_meg_are_named():
    import mne_cases

    info, fwd = mne_cases.make_meg_info(eeg=False), mne_cases.make_meg_fwd(eeg=False)
    rng = np.random.default_rng(0)
    data = 1e-13 * rng.standard_normal((len(info["ch_names"]), 30))
    data += 1e-8 * rng.standard_normal((len(data), 1))
    evoked = mne.EvokedArray(data, info, verbose=False)
    cov = mne.make_ad_hoc_cov(info, verbose="error")
    _, report, _ = cases.localize(evoked, fwd, noise_cov=cov)
    (concern,) = (text for text in report.concerns if "largest current" in text)
    assert "apply a baseline or a high-pass" in concern
    assert "µV" not in concern


@pytest.mark.parametrize("road", ["stream", "evoked"])
def test_declared_microvolts(road):
    """``StreamLSL.info`` of an amplifier declares its unit."""
    info, fwd, lead = cases.head()
    evoked = cases.make_response(info, lead)
    operator = mne_mmnet.make_mmnet_operator(evoked.info, fwd, loose=1.0, verbose="error")
    expected, residual = mne_mmnet.apply_mmnet_inverse(evoked, operator, return_residual=True)
    scaled = evoked.copy()
    with scaled.info._unlock():
        for channel in scaled.info["chs"]:
            channel["unit_mul"] = -6
    scaled.data *= 1e6
    if road == "evoked":
        found, rest = mne_mmnet.apply_mmnet_inverse(scaled, operator, return_residual=True)
        assert_allclose(rest.data, 1e6 * residual.data, rtol=1e-5, atol=1e-6)
        found = found.data
    else:
        stream = mne_mmnet.MMNetStream(operator, scaled.info)
        found = stream.push(scaled.data)
        assert stream.concerns == ()
    assert_allclose(found, expected.data, rtol=1e-5, atol=1e-14)


def test_a_stream_warns_once_a_kind():
    info, fwd, lead = cases.head()
    evoked = cases.make_response(info, lead)
    operator = mne_mmnet.make_mmnet_operator(evoked.info, fwd, verbose="error")
    stream = mne_mmnet.MMNetStream(operator, evoked.info)
    with pytest.warns(RuntimeWarning, match="divide data in µV by 1e6") as record:
        stream.push(1e6 * evoked.data)
    assert len(record) == 1
    stream.push(2e6 * evoked.data)  # warnings are errors here
    assert "divide data" in stream.concerns[0]
    stream.push(evoked.data)
    assert stream.concerns == ()


def test_source_without_a_field_is_named():
    import mne_cases

    info = mne_cases.make_info()
    fwd = mne_cases.make_fwd("discrete").copy()
    for data in (fwd["sol"]["data"], fwd["_orig_sol"]):
        data[:, 3:6] = np.nan
    x, y, z = 1e3 * fwd["source_rr"][1]
    where = rf"1 of 40 sources has no field .*\({x:.0f}, {y:.0f}, {z:.0f}\) mm.*leave it out"
    with pytest.raises(ValueError, match=where):
        mne_mmnet.make_mmnet_operator(info, fwd)
    fwd = mne_cases.make_fwd("discrete").copy()
    for data in (fwd["sol"]["data"], fwd["_orig_sol"]):
        data[0] = np.nan
    with pytest.raises(ValueError, match=rf"values for 1 channel \({info['ch_names'][0]}\)"):
        mne_mmnet.make_mmnet_operator(info, fwd)
