"""Filters on data with fewer channels: the same variances, solved again for what is left."""

import mne
import numpy as np
import pytest

from mne_cases import (
    make_cov,
    make_info,
    make_meg_fwd,
    make_meg_info,
    make_projector,
    normal_gain,
)
from mne_mmnet import (
    MMNetStream,
    apply_mmnet_filters,
    make_mmnet_filters,
    make_mmnet_operator,
    make_mmnet_resolution_matrix,
    read_mmnet_filters,
)
from mne_mmnet.filters.channels import fit_filters
from mne_mmnet.inverse.routes import EvidenceRoute
from test_filters import FWD, INFO, LABEL, assert_close

LEFT_OUT = (3, 17, 30)
OUTSIDE = "ignore:.*outside the training domain"


def without(info, which=LEFT_OUT):
    """An info with some channels marked as bad."""
    info = info.copy()
    info["bads"] = [info["ch_names"][k] for k in which]
    return info


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize("apply_nave", [None, 1])
@pytest.mark.filterwarnings(OUTSIDE)
def test_same_variances(epochs, noise, projected, apply_nave, monkeypatch):
    """The kernel is that of the dictionary's rows of the channels left, in MNE's whitener."""
    seen = {}
    kernel_of = EvidenceRoute._kernel

    def spy(self, problem, point, rows, ratio):
        seen.update(model=problem.objective.model, v=point.v.double().numpy()[0], ratio=ratio)
        return kernel_of(self, problem, point, rows, ratio)

    monkeypatch.setattr(EvidenceRoute, "_kernel", spy)
    evoked, cov = epochs.average(), make_cov(INFO) if noise else None
    if projected:
        evoked.add_proj(make_projector(evoked.ch_names))
    filters = make_mmnet_filters(evoked, FWD, cov, apply_nave=apply_nave)
    # Σ column by column, in whitened channels
    model, v = seen["model"], seen["v"]
    basis = model.basis[0].double().numpy()
    columns = basis.T @ model.columns[0].double().numpy()
    import torch

    variance = model.spread(torch.as_tensor(np.exp(v[None, : model.n_atoms])))[0].numpy()
    white, *levels = seen["ratio"] * np.exp(v[model.n_atoms :])
    sigma = (columns * variance) @ columns.T + white * np.eye(len(basis.T))
    for level, field in zip(levels, model.noise[0].double().numpy(), strict=True):
        sigma += level * basis.T @ field @ basis
    full = make_mmnet_operator(evoked.info, FWD, cov).prepared
    few = make_mmnet_operator(without(evoked.info), FWD, cov).prepared
    colour = np.linalg.pinv(full.whitener)
    cross = filters.kernel @ colour @ sigma @ colour.T
    kept = [full.ch_names.index(name) for name in few.ch_names]
    own = few.whitener @ (colour @ sigma @ colour.T)[np.ix_(kept, kept)] @ few.whitener.T
    expected = cross[..., kept] @ few.whitener.T @ np.linalg.inv(own) @ few.whitener

    found = fit_filters(filters, list(few.ch_names))
    assert found.ch_names == few.ch_names
    assert found.n_rank == few.n_rank
    assert_close(found.kernel, expected, 2e-4)  # the solver's variances are in single precision
    np.testing.assert_allclose(found.projector, few.projector, atol=1e-9)
    # and the covariance is in the data's unit, with the noise of a single trial
    data = evoked.data if apply_nave is None else np.hstack(epochs.get_data())
    power = np.square(filters.projector @ data).mean(axis=1).sum()
    assert 0.4 < np.trace(filters.covariance) / power < 2.5


@pytest.mark.filterwarnings(OUTSIDE)
def test_channel_without_information(epochs):
    """Leaving out a channel that is all noise changes nothing."""
    evoked, cov = epochs.average(), make_cov(INFO)
    data = np.array(cov["data"])
    data[5], data[:, 5] = 0, 0
    data[5, 5] = 1e-3**2
    cov = mne.Covariance(data, cov["names"], [], [], 1000)
    filters = make_mmnet_filters(evoked, FWD, cov)
    missing = evoked.copy()
    missing.info["bads"] = [evoked.ch_names[5]]
    for pick_ori in ("normal", "vector"):
        whole, part = (
            apply_mmnet_filters(x, filters, pick_ori=pick_ori).data for x in (evoked, missing)
        )
        assert_close(part, whole, 1e-3)


def test_every_container(epochs, tmp_path):
    """Bad or missing, in whatever kind of data: the same filters, and the log says so."""
    filters = make_mmnet_filters(epochs.average(), FWD)
    fewer = fit_filters(filters, without(INFO)["ch_names"], without(INFO)["bads"])
    assert len(fewer.ch_names) == 29
    bad = epochs.copy()
    bad.info["bads"] = without(INFO)["bads"]
    dropped = epochs.copy().drop_channels(without(INFO)["bads"])
    shuffled = dropped.copy().reorder_channels(dropped.ch_names[::-1])
    expected = apply_mmnet_filters(dropped, fewer, pick_ori="vector", label=LABEL)[2].data
    assert (
        np.abs(
            expected - apply_mmnet_filters(epochs, filters, pick_ori="vector", label=LABEL)[2].data
        ).max()
        > 1e-3 * np.abs(expected).max()
    )
    for one in (bad, dropped, shuffled):
        with mne.utils.catch_logging(verbose="info") as log:
            found = apply_mmnet_filters(one, filters, pick_ori="vector", label=LABEL)[2].data
        assert "computed anew, under the same source variances, without 3 channels" in (
            log.getvalue()
        )
        assert_close(found, expected, 1e-9)
        plain = apply_mmnet_filters(
            one.get_data(), filters, info=one.info, pick_ori="vector", label=LABEL
        )
        assert_close(plain[2], expected, 1e-9)
    # bad channels may hold anything
    bad._data[:, LEFT_OUT[0]] = np.nan
    assert_close(
        apply_mmnet_filters(bad, filters, pick_ori="vector", label=LABEL)[2].data, expected, 1e-9
    )
    raw = mne.io.RawArray(np.hstack(dropped.get_data()), dropped.info, verbose=False)
    raw.save(tmp_path / "x_raw.fif", verbose=False)
    raw = mne.io.read_raw_fif(tmp_path / "x_raw.fif", verbose=False)
    found = apply_mmnet_filters(raw, filters, pick_ori="vector", label=LABEL, buffer_size=33)
    assert_close(found.data[..., 100:150], expected, 1e-6)
    cov = mne.Covariance(
        np.cov(raw.get_data()), raw.ch_names, [], raw.info["projs"], len(raw.times)
    )
    a, b = (apply_mmnet_filters(cov, x, info=raw.info).data for x in (filters, fewer))
    np.testing.assert_array_equal(a, b)
    tfr = epochs.compute_tfr("morlet", [20.0], n_cycles=2, output="complex", verbose=False)
    tfr.drop_channels(without(INFO)["bads"])
    (found,) = apply_mmnet_filters(tfr, filters, pick_ori="vector")
    assert_close(
        found[0].data, apply_mmnet_filters(tfr, fewer, pick_ori="vector")[0][0].data, 1e-12
    )
    fwd = mne.pick_channels_forward(FWD, list(fewer.ch_names), verbose=False)
    a, b = (make_mmnet_resolution_matrix(x, fwd) for x in (filters, fewer))
    np.testing.assert_array_equal(a, b)


def test_reference_does_not_matter(epochs):
    """A channel left out before the reference or after it, projector pending or applied."""
    filters = make_mmnet_filters(epochs.average(), FWD)
    evoked = epochs.average()
    before = evoked.copy().drop_channels(without(INFO)["bads"])
    after = evoked.copy().apply_proj().drop_channels(without(INFO)["bads"])
    marked = evoked.copy().apply_proj()
    marked.info["bads"] = without(INFO)["bads"]
    offset = before.copy()
    offset.data = offset.data + 1e-5  # a projector takes it away
    expected = apply_mmnet_filters(before, filters, pick_ori="normal").data
    for one in (after, marked, offset):
        assert_close(apply_mmnet_filters(one, filters, pick_ori="normal").data, expected, 1e-8)


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.filterwarnings(OUTSIDE)
def test_one_after_the_other(epochs, noise, tmp_path):
    """In steps or at once, from memory or from a file: the same."""
    cov = make_cov(INFO) if noise else None
    filters = make_mmnet_filters(epochs.average(), FWD, cov)
    filters.save(tmp_path / "x-mmnet.h5")
    names = INFO["ch_names"]
    at_once = fit_filters(filters, names[5:])
    steps = fit_filters(fit_filters(filters, names[2:]), names[5:][::-1])
    from_file = fit_filters(read_mmnet_filters(tmp_path / "x-mmnet.h5"), names[5:])
    assert at_once.ch_names == tuple(names[5:])
    assert_close(steps.kernel, at_once.kernel, 1e-9)
    np.testing.assert_array_equal(from_file.kernel, at_once.kernel)
    assert_close(at_once.kernel @ at_once.projector, at_once.kernel, 1e-9)
    assert fit_filters(filters, names[::-1]) is filters
    # the estimate of nearly all channels is nearly that of all
    evoked = epochs.average()
    few = evoked.copy().drop_channels(names[:2])
    a, b = (apply_mmnet_filters(x, filters, pick_ori="vector").data.ravel() for x in (evoked, few))
    assert np.corrcoef(a, b)[0, 1] > 0.9


def test_meg(rng):
    """Volts and teslas together; a type of channels may be missing."""
    info, fwd = make_meg_info(), make_meg_fwd()
    cov = mne.make_ad_hoc_cov(info, verbose=False)
    signal = 5e-8 * np.outer(normal_gain(fwd, info)[:, 10], np.hanning(50))
    assert cov["diag"]
    noise = np.sqrt(cov["data"])[:, None]
    evoked = mne.EvokedArray(
        signal + 0.3 * noise * rng.standard_normal(signal.shape), info, verbose=False
    )
    with pytest.warns(RuntimeWarning):
        filters = make_mmnet_filters(evoked, fwd, cov)
    types = np.array(filters.ch_types)
    names = np.array(filters.ch_names)
    no_eeg = fit_filters(filters, list(names[types != "eeg"]))
    assert set(no_eeg.ch_types) == {"mag", "grad"}
    assert no_eeg.n_rank == len(no_eeg.ch_names)
    steps = fit_filters(fit_filters(filters, list(names[7:])), list(names[types != "eeg"][7:]))
    assert_close(
        steps.kernel * np.sqrt(np.diag(steps.covariance)),
        fit_filters(no_eeg, list(names[types != "eeg"][7:])).kernel
        * np.sqrt(np.diag(steps.covariance)),
        1e-6,
    )
    stc = apply_mmnet_filters(evoked.copy().pick("meg"), filters)
    assert np.linalg.norm(fwd["source_rr"][stc.data[:, 25].argmax()] - fwd["source_rr"][10]) < 0.02


@pytest.mark.filterwarnings(OUTSIDE)
def test_lower_rank(epochs):
    """Where the rank is lower than that of the channels, what is left of it is not known."""
    evoked = epochs.average()
    filters = make_mmnet_filters(evoked, FWD, make_cov(INFO, rank=20))
    assert filters.n_rank == 20
    fewer = evoked.copy().drop_channels(evoked.ch_names[:2])
    with pytest.raises(ValueError, match="2 channels .* of rank 20.*without these channels"):
        apply_mmnet_filters(fewer, filters)


def test_too_few(epochs):
    """Other channels altogether, and channels of another type."""
    evoked = epochs.average()
    filters = make_mmnet_filters(evoked, FWD)
    few = evoked.copy().pick(evoked.ch_names[:15])
    with pytest.raises(ValueError, match="15 good ones of the 32 channels.*rename_channels"):
        apply_mmnet_filters(few, filters)
    bad = evoked.copy()
    bad.info["bads"] = bad.ch_names[:20]
    with pytest.raises(ValueError, match="12 good ones of the 32.*make the filters"):
        apply_mmnet_filters(bad, filters)
    other = mne.EvokedArray(evoked.data, make_info(32, reference=False), verbose=False)
    other.rename_channels(lambda name: f"EEG {name}")
    with pytest.raises(ValueError, match="have 0 good ones.*from data with these channels"):
        apply_mmnet_filters(other, filters)
    cov = mne.Covariance(np.eye(15), few.ch_names, [], [], 100)
    with pytest.raises(ValueError, match="15 good ones"):
        apply_mmnet_filters(cov, filters)
    eog = mne.EvokedArray(evoked.data, make_info(32, reference=False), verbose=False)
    eog.set_channel_types({evoked.ch_names[2]: "eog"}, verbose=False)
    with pytest.raises(ValueError, match="another type than"):
        apply_mmnet_filters(eog, filters)


def test_units(epochs):
    """Arrays in the unit that their info declares."""
    evoked = epochs.average()
    filters = make_mmnet_filters(evoked, FWD)
    info = evoked.info.copy()
    with info._unlock():
        for channel in info["chs"]:
            channel["unit_mul"] = -6
    expected = apply_mmnet_filters(evoked, filters).data
    assert_close(apply_mmnet_filters(1e6 * evoked.data, filters, info=info), expected, 1e-9)
    stream = MMNetStream(filters, info)
    assert_close(stream.push(1e6 * evoked.data), expected, 1e-9)
