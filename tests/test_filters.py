"""Filters: the estimate that made them, linearity, every container, files, errors."""

import hashlib

import mne
import numpy as np
import pytest
from mne.time_frequency import csd_tfr

import mne_mmnet
from mne_cases import (
    SUBJECT,
    make_cov,
    make_fwd,
    make_info,
    make_meg_fwd,
    make_meg_info,
    make_projector,
    make_src,
    normal_gain,
)
from mne_mmnet import (
    apply_mmnet_filters,
    apply_mmnet_inverse,
    make_mmnet_filters,
    make_mmnet_operator,
    read_mmnet_filters,
)
from mne_mmnet.filters import container, files, moments
from mne_mmnet.filters.files import write_record

INFO, FWD = make_info(32), make_fwd()
LABEL = mne.Label(np.arange(20), hemi="lh", name="part", subject=SUBJECT)
N_TIMES = 50


def simulate(rng, n_epochs=4, info=INFO, rows=(10, 200), offset=0.0):
    """Single trials of two dipoles of 50 nA·m, 10 dB above the noise."""
    gain = normal_gain(FWD, info)[:, list(rows)]
    waves = 5e-8 * np.sin(np.linspace(0, 6, N_TIMES) + offset) * [[1.0], [0.5]]
    data = np.stack([gain @ (rng.uniform(0.5, 1.5) * waves) for _ in range(n_epochs)])
    data += rng.standard_normal(data.shape) * np.sqrt(np.mean(data**2) / 10)
    return mne.EpochsArray(data, info, tmin=-0.04, verbose=False)


def assert_close(actual, desired, tolerance=1e-5):
    """Relative to the largest value."""
    np.testing.assert_allclose(actual, desired, rtol=0, atol=tolerance * np.abs(desired).max())


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("loose", [None, 0.0, 0.2, 1.0])
@pytest.mark.parametrize("pick_ori", [None, "normal", "vector"])
@pytest.mark.filterwarnings("ignore:.*outside the training domain")
def test_estimate_that_made_them(epochs, noise, loose, pick_ori):
    """On the average that made it, a filter gives the estimate."""
    evoked = epochs.average()
    cov = make_cov(INFO) if noise else None
    stc = apply_mmnet_inverse(evoked, FWD, cov, loose=loose, pick_ori=pick_ori)
    filters = make_mmnet_filters(evoked, FWD, cov, loose=loose)
    again = apply_mmnet_filters(evoked, filters, pick_ori=pick_ori)
    assert type(again) is type(stc)
    assert_close(again.data, stc.data)
    np.testing.assert_allclose(again.times, stc.times)
    assert again.subject == stc.subject
    part = apply_mmnet_filters(evoked, filters, pick_ori=pick_ori, label=LABEL)
    assert_close(part.data, again.data[:20], 1e-12)
    np.testing.assert_array_equal(part.vertices[0], LABEL.vertices)


@pytest.mark.parametrize("kind", ["volume", "discrete", "mixed"])
def test_other_source_spaces(epochs, kind):
    """The class of the estimate is that of the source space."""
    fwd, evoked = make_fwd(kind), epochs.average()
    filters = make_mmnet_filters(evoked, fwd)
    for pick_ori in (None, "vector"):
        stc = apply_mmnet_inverse(evoked, fwd, pick_ori=pick_ori)
        again = apply_mmnet_filters(evoked, filters, pick_ori=pick_ori)
        assert type(again) is type(stc)
        assert_close(again.data, stc.data)


def test_contrasts_are_linear(rng):
    """One filter for two conditions: the contrast's estimate is the estimates' contrast."""
    left, right = simulate(rng).average(), simulate(rng, rows=(40, 250), offset=1.0).average()
    filters = make_mmnet_filters([left, right], FWD)
    assert filters.origin.n_recordings == 2
    assert filters.origin.n_times == 2 * N_TIMES
    for pick_ori in ("normal", "vector"):
        a, b = (apply_mmnet_filters(x, filters, pick_ori=pick_ori).data for x in (left, right))
        contrast = mne.combine_evoked([left, right], [2.0, -1.0])
        found = apply_mmnet_filters(contrast, filters, pick_ori=pick_ori).data
        assert_close(found, 2.0 * a - b, 1e-6)
    # the variances are those of all samples side by side
    both = mne.EvokedArray(np.hstack([left.data, right.data]), INFO, verbose=False)
    joint, alone = (make_mmnet_filters(x, FWD).kernel for x in (both, left))
    assert_close(filters.kernel, joint)
    assert np.abs(alone - joint).max() > 0.01 * np.abs(joint).max()


@pytest.mark.parametrize("loose", [None, 0.0])
def test_epochs(epochs, loose, tmp_path):
    """Lists, generators and arrays of single trials; the mean of these is the average's."""
    evoked = epochs.average()
    filters = make_mmnet_filters(evoked, FWD, loose=loose)
    stcs = apply_mmnet_filters(epochs, filters, pick_ori="normal")
    assert isinstance(stcs, list)
    assert len(stcs) == 4
    mean = np.mean([stc.data for stc in stcs], axis=0)
    assert_close(apply_mmnet_filters(evoked, filters, pick_ori="normal").data, mean, 1e-9)
    lazy = apply_mmnet_filters(epochs, filters, pick_ori="normal", return_as="generator")
    assert not isinstance(lazy, list)
    np.testing.assert_array_equal(next(lazy).data, stcs[0].data)
    array = apply_mmnet_filters(epochs, filters, pick_ori="normal", return_as="array")
    np.testing.assert_array_equal(array, [stc.data for stc in stcs])
    epochs.save(tmp_path / "test-epo.fif", verbose=False)
    read = mne.read_epochs(tmp_path / "test-epo.fif", preload=False, verbose=False)
    read.drop([1], verbose=False)
    array = apply_mmnet_filters(read, filters, label=LABEL, pick_ori="vector", return_as="array")
    assert array.shape == (3, 20, 3, N_TIMES)
    stc = apply_mmnet_filters(epochs, filters, label=LABEL, pick_ori="vector")[2]
    assert_close(array[1], stc.data, 1e-6)  # single precision in the file
    plain = apply_mmnet_filters(epochs.get_data(), filters, info=epochs.info)
    np.testing.assert_array_equal(plain[3], apply_mmnet_filters(epochs, filters)[3].data)


def test_raw(epochs, tmp_path):
    """Pieces are the whole, from files too; memory is bounded by the piece."""
    filters = make_mmnet_filters(epochs.average(), FWD)
    raw = mne.io.RawArray(np.hstack(epochs.get_data()), INFO, verbose=False)
    stc = apply_mmnet_filters(raw, filters, pick_ori="vector")
    evoked = mne.EvokedArray(raw.get_data(), INFO, verbose=False)
    assert_close(stc.data, apply_mmnet_filters(evoked, filters, pick_ori="vector").data, 1e-12)
    raw.save(tmp_path / "test_raw.fif", verbose=False)
    read = mne.io.read_raw_fif(tmp_path / "test_raw.fif", verbose=False)
    part = apply_mmnet_filters(
        read, filters, pick_ori="vector", start=17, stop=140, buffer_size=33, label=LABEL
    )
    assert part.tmin == read.times[17]
    assert_close(part.data, stc.data[:20, :, 17:140], 1e-6)


def test_complex(epochs):
    """Spectra and analytic signals keep their phase; powers are refused."""
    evoked = epochs.average()
    filters = make_mmnet_filters(evoked, FWD)
    vector = dict(pick_ori="vector", label=LABEL)
    analytic = epochs.copy().apply_hilbert()
    stcs = apply_mmnet_filters(analytic, filters, **vector)
    real = apply_mmnet_filters(epochs, filters, **vector)
    assert_close(stcs[1].data.real, real[1].data)
    lengths = apply_mmnet_filters(analytic, filters, label=LABEL)[1].data
    assert_close(lengths, np.linalg.norm(stcs[1].data, axis=1), 1e-12)

    kwargs = dict(freqs=[20.0, 30.0], n_cycles=2, output="complex", verbose=False)
    tfr = epochs.compute_tfr("morlet", **kwargs)
    stcs = apply_mmnet_filters(tfr, filters, **vector)
    assert len(stcs) == 2
    assert len(stcs[0]) == 4
    plain = apply_mmnet_filters(tfr.data[:, :, 1], filters, info=tfr.info, **vector)
    np.testing.assert_array_equal(stcs[1][3].data, plain[3])
    np.testing.assert_allclose(stcs[1][3].times, epochs.times)
    array = apply_mmnet_filters(tfr, filters, return_as="array", **vector)
    assert array.shape == (2, 4, 20, 3, N_TIMES)
    assert np.iscomplexobj(array)
    average = epochs.average().compute_tfr("morlet", **kwargs)
    (_, high) = apply_mmnet_filters(average, filters, **vector)
    assert_close(high.data, array[1].mean(axis=0), 1e-9)
    tapers = epochs.compute_tfr("multitaper", **{**kwargs, "time_bandwidth": 4.0})
    stcs = apply_mmnet_filters(tapers, filters, **vector)
    assert len(stcs[0][0]) == 3
    plain = apply_mmnet_filters(tapers.data[2, :, 1, 1], filters, info=tfr.info, **vector)
    np.testing.assert_array_equal(stcs[1][2][1].data, plain)

    spectrum = epochs.compute_psd("multitaper", output="complex", verbose=False)
    stcs = apply_mmnet_filters(spectrum, filters, **vector)
    n_tapers = spectrum.data.shape[2]
    assert len(stcs) == 4
    assert len(stcs[0]) == n_tapers
    np.testing.assert_allclose(stcs[0][0].times, spectrum.freqs)
    plain = apply_mmnet_filters(spectrum.data[1, :, 2], filters, info=tfr.info, **vector)
    np.testing.assert_array_equal(stcs[1][2].data, plain)
    welch = evoked.compute_psd("welch", output="complex", average=False, n_fft=20, verbose=False)
    stcs = apply_mmnet_filters(welch, filters, **vector)
    assert len(stcs) == welch.data.shape[-1]
    plain = apply_mmnet_filters(welch.data[..., 1], filters, info=tfr.info, **vector)
    np.testing.assert_array_equal(stcs[1].data, plain)
    with pytest.raises(TypeError, match='powers.*output="complex"'):
        apply_mmnet_filters(epochs.compute_psd("welch", verbose=False), filters)
    power = epochs.compute_tfr("morlet", freqs=[20.0], n_cycles=2, verbose=False)
    with pytest.raises(TypeError, match='powers.*compute_tfr.*output="complex"'):
        apply_mmnet_filters(power, filters)


@pytest.mark.filterwarnings("ignore:Epochs are not baseline corrected")
def test_made_of(epochs):
    """The same second moment makes the same filters, wherever it comes from."""
    raw = mne.io.RawArray(np.hstack(epochs.get_data()), INFO, verbose=False)
    from_raw = make_mmnet_filters(raw, FWD)
    cov = mne.compute_raw_covariance(raw, tstep=None, rank="full", verbose=False)
    from_cov = make_mmnet_filters(cov, FWD, info=INFO)
    # MNE leaves out the last samples that fill no window
    assert_close(from_cov.kernel, from_raw.kernel, 1e-3)
    assert from_raw.origin.kind == "raw"
    assert from_cov.origin.kind == "covariance"

    from_epochs = make_mmnet_filters(epochs, FWD)
    evoked = mne.EvokedArray(raw.get_data(), INFO, verbose=False)
    assert_close(from_epochs.kernel, make_mmnet_filters(evoked, FWD).kernel, 1e-4)
    data = raw.get_data()
    second = mne.Covariance(data @ data.T / data.shape[1], INFO["ch_names"], [], [], 200)
    operator = make_mmnet_operator(INFO, FWD)
    second["projs"] = INFO["projs"]
    assert_close(from_epochs.kernel, make_mmnet_filters(second, operator).kernel, 1e-4)

    tfr = epochs.compute_tfr("morlet", [20.0], n_cycles=2, output="complex", verbose=False)
    csd = csd_tfr(tfr, verbose=False)
    from_csd = make_mmnet_filters(csd, FWD, info=INFO)
    assert from_csd.origin.frequencies == (20.0,)
    both = np.concatenate([tfr.data.real, tfr.data.imag])[:, :, 0]
    both = mne.EpochsArray(both, INFO, verbose=False)
    assert_close(from_csd.kernel, make_mmnet_filters(both, FWD).kernel, 1e-4)


def test_annotations_are_left_out(epochs):
    data = np.hstack(epochs.get_data())
    raw = mne.io.RawArray(np.hstack([data, 1e3 * data[:, :20]]), INFO, verbose=False)
    clean = mne.io.RawArray(data, INFO, verbose=False)
    raw.set_annotations(mne.Annotations(data.shape[1] / 250.0, 1.0, "BAD_"), verbose="error")
    assert_close(make_mmnet_filters(raw, FWD).kernel, make_mmnet_filters(clean, FWD).kernel, 1e-5)
    raw.set_annotations(mne.Annotations(0, 9.0, "BAD_"), verbose="error")
    with pytest.raises(ValueError, match="no good samples"):
        make_mmnet_filters(raw, FWD)


def test_channel_order(epochs, rng):
    """Channels are matched by name."""
    evoked = epochs.average()
    filters = make_mmnet_filters(evoked, FWD)
    order = rng.permutation(evoked.ch_names)
    shuffled = evoked.copy().reorder_channels(list(order))
    a, b = (apply_mmnet_filters(x, filters).data for x in (evoked, shuffled))
    np.testing.assert_allclose(a, b, rtol=1e-9)
    extra = mne.create_info(["STI", "EOG"], 250.0, ["stim", "eog"])
    extra = mne.EvokedArray(np.full((2, N_TIMES), 7.0), extra, tmin=evoked.tmin, verbose=False)
    more = evoked.copy().add_channels([extra], force_update_info=True)
    np.testing.assert_allclose(apply_mmnet_filters(more, filters).data, a, rtol=1e-9)
    made = make_mmnet_filters(shuffled, FWD)
    assert_close(apply_mmnet_filters(evoked, made).data, a, 1e-4)


def test_file(epochs, tmp_path):
    evoked = epochs.average()
    filters = make_mmnet_filters(evoked, FWD)
    path = tmp_path / "test-mmnet.h5"
    filters.save(path)
    read = read_mmnet_filters(path)
    np.testing.assert_array_equal(read.kernel, filters.kernel)
    assert read.origin == filters.origin
    assert read.head == filters.head
    assert repr(read) == repr(filters)
    assert read.report.concerns == filters.report.concerns
    np.testing.assert_array_equal(read.report.objective, filters.report.objective)
    assert str(read.report) == str(filters.report)
    assert read._repr_html_() == filters._repr_html_()
    for inst in (evoked, mne.io.RawArray(evoked.data, INFO, verbose=False)):
        a, b = (apply_mmnet_filters(inst, x, pick_ori="vector") for x in (filters, read))
        np.testing.assert_array_equal(a.data, b.data)
        np.testing.assert_array_equal(a.vertices[1], b.vertices[1])
        assert a.subject == b.subject
    with pytest.raises(FileExistsError, match="overwrite=True"):
        filters.save(path)
    filters.save(path, overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    with pytest.raises(ValueError, match="-mmnet.h5"):
        filters.save(tmp_path / "test.fif")
    with pytest.raises(FileNotFoundError):
        read_mmnet_filters(tmp_path / "none-mmnet.h5")
    whole = path.read_bytes()
    path.write_bytes(whole[:3000])
    with pytest.raises(ValueError, match="cannot be read as filters.*cut short"):
        read_mmnet_filters(path)
    # HDF5 alone takes most of these for good numbers, and some keep it busy for ever
    for place in np.linspace(0, len(whole) - 1, 40, dtype=int):
        damaged = bytearray(whole)
        damaged[place] ^= 16
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="cannot be read as filters"):
            read_mmnet_filters(path)
    epochs.average().save(tmp_path / "x-ave.fif", verbose=False)
    with pytest.raises(ValueError, match="cannot be read as filters"):
        read_mmnet_filters(tmp_path / "x-ave.fif")


def test_what_they_are(epochs):
    """Representations say what the filters were made of."""
    evoked = epochs.average()
    evoked.comment = "tones <left>"
    filters = make_mmnet_filters(evoked, FWD)
    assert "tones <left>" in repr(filters)
    assert "32 channels" in repr(filters)
    html = filters._repr_html_()
    assert "tones &lt;left&gt;" in html
    assert "never increasing" in html
    assert filters.report.descended
    assert len(filters.report.retries) > 0


def test_resolution(epochs):
    """MNE's functions take the resolution matrix; its columns are estimates of single sources."""
    fixed = mne.convert_forward_solution(FWD, force_fixed=True, use_cps=True, verbose=False)
    evoked = epochs.average()
    filters = make_mmnet_filters(evoked, FWD)
    resmat = mne_mmnet.make_mmnet_resolution_matrix(filters, fixed, pick_ori="normal")
    assert resmat.shape == (324, 324)
    gain = mne.pick_channels_forward(fixed, INFO["ch_names"], ordered=True)["sol"]["data"]
    dipole = mne.EvokedArray(1e-8 * gain[:, [10]], INFO, verbose=False)
    found = apply_mmnet_filters(dipole, filters, pick_ori="normal").data[:, 0]
    assert_close(1e-8 * resmat[:, 10], found)
    # an active source is found where it is
    assert np.abs(resmat[:, 10]).argmax() in np.flatnonzero(
        np.linalg.norm(FWD["source_rr"] - FWD["source_rr"][10], axis=1) < 0.015
    )
    spread = mne.minimum_norm.get_point_spread(resmat, fixed["src"], [10])
    np.testing.assert_array_equal(spread.data[:, 0], resmat[:, 10])
    leak = mne.minimum_norm.get_cross_talk(resmat, fixed["src"], [10])
    np.testing.assert_array_equal(leak.data[:, 0], resmat[10])
    error = mne.minimum_norm.resolution_metrics(resmat, fixed["src"], "psf", "peak_err")
    assert error.data[10] < 1.5  # cm
    free = mne_mmnet.make_mmnet_resolution_matrix(filters, FWD)
    assert free.shape == (972, 972)
    with pytest.raises(ValueError, match="same source space"):
        mne_mmnet.make_mmnet_resolution_matrix(filters, make_fwd("volume"))


def test_input_is_kept(epochs):
    """Nothing the user owns is changed, and nothing is shared."""
    evoked = epochs.average()
    before, info = evoked.data.copy(), evoked.info.copy()
    filters = make_mmnet_filters(evoked, FWD)
    stc = apply_mmnet_filters(evoked, filters)
    stc.vertices[0][:] = 0
    assert filters.vertices[0].any()
    np.testing.assert_array_equal(evoked.data, before)
    assert mne.utils.object_diff(dict(evoked.info), dict(info)) == ""
    assert make_src("surface")[0]["vertno"].any()


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.filterwarnings("ignore:.*outside the training domain")
def test_noise_of_single_trials(epochs, rng, noise):
    """Filters of an average for single trials: the limits, and less noise in the trials."""
    evoked, cov = epochs.average(), make_cov(INFO) if noise else None
    filters = make_mmnet_filters(evoked, FWD, cov)
    same = make_mmnet_filters(evoked, FWD, cov, apply_nave=4)
    np.testing.assert_array_equal(same.kernel, filters.kernel)
    assert (filters.nave, same.nave) == (4, 4)
    single = make_mmnet_filters(evoked, FWD, cov, apply_nave=1)
    assert single.nave == 1
    white = 1e-6 * rng.standard_normal((32, 5000))
    white -= white.mean(axis=0)
    before, after = (
        np.square(apply_mmnet_filters(white, x, info=INFO, pick_ori="vector")).sum()
        for x in (filters, single)
    )
    assert after < 0.9 * before
    # nearly as many averages, nearly the same filters
    almost = make_mmnet_filters(evoked, FWD, cov, apply_nave=4.0001)
    assert_close(almost.kernel, filters.kernel, 1e-3)
    with pytest.raises(ValueError, match="nave must be a positive"):
        make_mmnet_filters(evoked, FWD, apply_nave=-1)


def test_bads_of_conditions(rng):
    """A channel that is bad in one condition is left out of all."""
    left, right = simulate(rng).average(), simulate(rng).average()
    left.info["bads"] = [left.ch_names[3]]
    filters = make_mmnet_filters([left, right], FWD)
    assert len(filters.ch_names) == 31
    assert left.ch_names[3] not in filters.ch_names
    for one in (left, right):
        assert np.isfinite(apply_mmnet_filters(one, filters).data).all()
    assert right.info["bads"] == []


def test_bad_data(epochs):
    evoked = epochs.average()
    filters = make_mmnet_filters(evoked, FWD)
    projected = evoked.copy().add_proj(make_projector(evoked.ch_names))
    with pytest.raises(ValueError, match="projectors that the filters.*blink-v1"):
        apply_mmnet_filters(projected, filters)
    # known to the filters, applied or not: all the same
    more = make_mmnet_filters(projected, FWD)
    a, b = (apply_mmnet_filters(x, more).data for x in (projected, projected.copy().apply_proj()))
    assert_close(a, b, 1e-9)
    plain = mne.EvokedArray(evoked.data + 1e-5, make_info(32, reference=False), verbose=False)
    with pytest.raises(ValueError, match="no average EEG reference"):
        apply_mmnet_filters(plain, filters)
    raw = mne.io.RawArray(plain.data, plain.info, verbose=False)
    with pytest.raises(ValueError, match="no average EEG reference"):
        apply_mmnet_filters(raw, filters)
    raw._data -= raw._data.mean(axis=0)
    referenced = apply_mmnet_filters(raw, filters).data
    assert_close(referenced, apply_mmnet_filters(evoked, filters).data, 1e-9)
    broken = evoked.copy()
    broken.data[4, 5] = np.nan
    with pytest.raises(ValueError, match=f"NaN.*{evoked.ch_names[4]}"):
        apply_mmnet_filters(broken, filters)
    with pytest.raises(ValueError, match=f"NaN.*{evoked.ch_names[4]}"):
        apply_mmnet_filters(broken.data, filters, info=broken.info)
    cut = evoked.copy()
    cut.data = cut.data[:10]
    with pytest.raises(ValueError, match=r"shape \(10, 50\), and their info 32 channels"):
        apply_mmnet_filters(cut, filters)
    gaps = np.ma.masked_less(evoked.data, 0)
    for data, message in ((gaps, "masked array"), (evoked.data.astype(str), "must be numbers")):
        with pytest.raises(TypeError, match=message):
            apply_mmnet_filters(data, filters, info=INFO)
    zero = mne.EvokedArray(0 * evoked.data, INFO, verbose=False)
    with pytest.raises(ValueError, match="data are zero"):
        make_mmnet_filters(zero, FWD)
    halves = [evoked.copy().pick(evoked.ch_names[k::2]) for k in (0, 1)]
    with pytest.raises(ValueError, match="responses have no channel in common"):
        make_mmnet_filters(halves, FWD)


def test_bad_files(epochs, tmp_path):
    """Files that are whole, and hold what no filters do."""
    record = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(container, "write_record", lambda values, *args: record.update(values))
        make_mmnet_filters(epochs.average(), FWD).save("x-mmnet.h5")
    path = tmp_path / "x-mmnet.h5"
    for name, value, message in (
        ("kernel", np.nan * record["kernel"], "kernel is not finite"),
        ("covariance", record["covariance"][:3], "covariance has shape"),
        ("vertices", record["vertices"][:1], "differ in number"),
        ("report", None, "TypeError"),
    ):
        write_record({**record, name: value}, path, overwrite=True)
        with pytest.raises(ValueError, match=f"cannot be read as filters.*{message}"):
            read_mmnet_filters(path)
    write_record(record, path, overwrite=True)
    assert read_mmnet_filters(path).ch_names == tuple(INFO["ch_names"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_FORMAT", 7)
        write_record(record, path, overwrite=True)
    with pytest.raises(ValueError, match="has format 7, .* reads 2. Make the filters anew"):
        read_mmnet_filters(path)


def test_single_channels_are_doubted(epochs):
    """As by an estimate of the same response; of pooled ones all together."""
    good = epochs.average()
    bad = good.copy()
    bad.data[5] = 0.0
    for evokeds in (bad, [bad, bad.copy()]):
        with pytest.warns(RuntimeWarning, match=bad.ch_names[5]):
            filters = make_mmnet_filters(evokeds, FWD)
        if evokeds is bad:
            with pytest.warns(RuntimeWarning, match=bad.ch_names[5]):
                _, report = apply_mmnet_inverse(bad, FWD, return_report=True)
            assert set(filters.report.concerns) <= set(report.concerns)
    assert not any("flat" in text for text in make_mmnet_filters(good, FWD).report.concerns)


@pytest.mark.parametrize("kind", ["evoked", "epochs", "raw", "array"])
def test_wrong_units_are_said(epochs, kind):
    """Data in µV, or divided too often."""
    filters = make_mmnet_filters(epochs.average(), FWD)
    for factor, message in ((1e6, "divide data in µV by 1e6"), (1e-8, "than any amplifier")):
        data = factor * epochs.get_data()
        inst = {
            "evoked": mne.EvokedArray(data[0], INFO, verbose=False),
            "epochs": mne.EpochsArray(data, INFO, verbose=False),
            "raw": mne.io.RawArray(data[0], INFO, verbose=False),
            "array": data,
        }[kind]
        info = INFO if kind == "array" else None
        with pytest.warns(RuntimeWarning, match=message) as record:
            apply_mmnet_filters(inst, filters, info=info)
        assert len(record) == 1
    if kind == "raw":
        microvolts = np.cov(1e6 * epochs.get_data()[0])
        cov = mne.Covariance(microvolts, INFO["ch_names"], [], INFO["projs"], N_TIMES)
        with pytest.warns(RuntimeWarning, match="divide data in µV by 1e6"):
            apply_mmnet_filters(cov, filters)


def test_bad_arguments(epochs):
    evoked = epochs.average()
    filters = make_mmnet_filters(evoked, FWD)
    with pytest.raises(TypeError, match="inst must be an instance of"):
        make_mmnet_filters(evoked.data, FWD)
    with pytest.raises(ValueError, match="empty list"):
        make_mmnet_filters([], FWD)
    with pytest.raises(TypeError, match="each of a list"):
        make_mmnet_filters([evoked, 1], FWD)
    with pytest.raises(ValueError, match="info of their own"):
        make_mmnet_filters(evoked, FWD, info=INFO)
    with pytest.raises(ValueError, match="nave must be a positive"):
        make_mmnet_filters(epochs, FWD, nave=0)
    fwd = mne_mmnet.make_template_forward(INFO)
    with pytest.raises(ValueError, match="no linear function.*mmnet-base"):
        make_mmnet_filters(evoked, fwd, model="mmnet-cosine")
    with pytest.raises(TypeError, match="filters must be an instance"):
        apply_mmnet_filters(evoked, FWD)
    with pytest.raises(ValueError, match="no channel names. Pass info"):
        apply_mmnet_filters(evoked.data, filters)
    with pytest.raises(ValueError, match="must have the shape"):
        apply_mmnet_filters(evoked.data[:5], filters, info=INFO)
    with pytest.raises(ValueError, match="start belong"):
        apply_mmnet_filters(evoked, filters, start=3)
    with pytest.raises(ValueError, match="return_as"):
        apply_mmnet_filters(evoked, filters, return_as="array")
    raw = mne.io.RawArray(evoked.data, INFO, verbose=False)
    with pytest.raises(ValueError, match="0 ≤ start < stop"):
        apply_mmnet_filters(raw, filters, start=9, stop=9)
    with pytest.raises(ValueError, match="buffer_size must be at least 1"):
        apply_mmnet_filters(raw, filters, buffer_size=0)
    volume = make_mmnet_filters(evoked, make_fwd("volume"))
    with pytest.raises(RuntimeError, match="needs normals"):
        apply_mmnet_filters(evoked, volume, pick_ori="normal")
    epochs.drop(range(4), verbose=False)
    for return_as in ("list", "array"):
        with pytest.raises(ValueError, match="no good epochs"):
            apply_mmnet_filters(epochs, filters, return_as=return_as)
    with pytest.raises(ValueError, match="no good epochs"):
        make_mmnet_filters(epochs, FWD)


def test_noise_is_said():
    """What speaks against the estimate is a warning, and in the report."""
    data = 1e-6 * np.random.default_rng(0).standard_normal((32, N_TIMES))
    with pytest.warns(RuntimeWarning, match="Don't read the estimate"):
        filters = make_mmnet_filters(mne.EvokedArray(data, INFO, verbose=False), FWD)
    assert "Don't read the estimate" in filters.report.concerns[0]
    assert "Don&#x27;t read the estimate" in filters._repr_html_()


def test_of_a_recording_in_pieces(epochs, monkeypatch):
    """A long recording is read piece by piece: the same filters, and no piece is taken unseen."""
    raw = mne.io.RawArray(np.hstack(epochs.get_data()), INFO, verbose=False)
    whole = make_mmnet_filters(raw, FWD)
    monkeypatch.setattr(moments, "_CHUNK", 64)
    assert_close(make_mmnet_filters(raw, FWD).kernel, whole.kernel)
    raw._data[5, 150] = np.nan
    with pytest.raises(ValueError, match=f"NaN.*{raw.ch_names[5]}"):
        make_mmnet_filters(raw, FWD)
    plain = mne.io.RawArray(np.hstack(epochs.get_data()), make_info(32, reference=False))
    plain._data -= plain._data.mean(axis=0)
    assert_close(make_mmnet_filters(plain, FWD).kernel, whole.kernel, 1e-3)
    plain._data[:, 150:] += 1e-5
    with pytest.raises(ValueError, match="no average EEG reference"):
        make_mmnet_filters(plain, FWD)


def test_a_covariance_of_meg(rng):
    """No EEG, no reference to be asked for."""
    info = make_meg_info()
    meg = mne.pick_info(info, mne.pick_types(info, meg=True))
    root = 1e-13 * rng.standard_normal((len(meg["ch_names"]), 400))
    cov = mne.Covariance(root @ root.T / 400, meg["ch_names"], [], [], 400)
    with pytest.warns(RuntimeWarning, match="outside its training domain"):
        operator = make_mmnet_operator(meg, make_meg_fwd(), mne.make_ad_hoc_cov(meg))
    assert make_mmnet_filters(cov, operator).origin.kind == "covariance"


def test_an_info_too_many(epochs):
    evoked = epochs.average()
    filters = make_mmnet_filters(evoked, FWD)
    with pytest.raises(ValueError, match="have an info of their own. Leave info=None"):
        apply_mmnet_filters(evoked, filters, info=evoked.info)


@pytest.mark.parametrize(
    ("frequencies", "said"), [((10.0,), "10 Hz"), ((8.0, 12.0), "8 to 12 Hz")]
)
def test_frequencies_that_filters_are_of(frequencies, said):
    origin = container.FilterOrigin("csd", "rest", 1, np.nan, frequencies)
    assert str(origin).endswith(f" “rest” ({said})")


def test_sealed_file_of_something_else(tmp_path):
    """Undamaged, and no filters: it says what HDF5 says."""
    path, body = tmp_path / "x-mmnet.h5", b"no HDF5"
    path.write_bytes(body + files._SEAL + hashlib.sha256(body).digest())
    with pytest.raises(ValueError, match=r"x-mmnet.h5 cannot be read as filters \("):
        read_mmnet_filters(path)
