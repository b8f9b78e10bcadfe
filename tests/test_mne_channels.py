"""Channel selection, reference and whitening."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mne_cases as cases
from mne_mmnet._mne import (
    check_reference,
    prepare_data,
    prepare_forward,
)


def _whitened(info, cov=None, **kwargs):
    return prepare_forward(info, cases.make_fwd(), cov, **kwargs)


@pytest.mark.parametrize("with_cov", [False, True])
def test_whitener_whitens_and_projects(with_cov):
    info = cases.make_info()
    cov = cases.make_cov(info) if with_cov else None
    prepared = _whitened(info, cov)
    whitener, n_channels = prepared.whitener, len(info["ch_names"])
    assert whitener.shape == (n_channels - 1, n_channels)
    assert np.linalg.matrix_rank(whitener) == n_channels - 1
    average = np.eye(n_channels) - 1 / n_channels
    assert_allclose(prepared.projector, average, atol=1e-12)
    assert_allclose(whitener @ average, whitener, atol=1e-12 * abs(whitener).max())
    noise = cov.data if with_cov else (0.2e-6) ** 2 * np.eye(n_channels)
    assert_allclose(whitener @ noise @ whitener.T, np.eye(n_channels - 1), atol=1e-9)
    assert prepared.noise_is_known is with_cov


def test_data_are_taken_by_the_names_of_their_channels():
    """In any order, with more channels around that may hold anything."""
    info = cases.make_info()
    evoked, prepared = cases.make_evoked(info), _whitened(info, cases.make_cov(info))
    whitened = prepare_data(info, prepared, evoked.data)
    order = np.random.default_rng(4).permutation(info["ch_names"])
    shuffled = evoked.copy().reorder_channels(list(order))
    assert_allclose(prepare_data(shuffled.info, prepared, shuffled.data), whitened)
    data = np.concatenate([evoked.data, np.full((3, evoked.data.shape[1]), np.nan)])
    assert_array_equal(prepare_data(cases.make_info(n_extra=3), prepared, data), whitened)
    for wrong in (evoked.data[:-1], evoked.data[:, 0]):
        with pytest.raises(ValueError, match=r"must have the shape .*got \("):
            prepare_data(info, prepared, wrong)


def test_rows_follow_the_solution_not_the_info_of_the_forward():
    info = cases.make_info()
    fwd = cases.make_fwd().copy()
    expected = prepare_forward(info, fwd, loose=0).gain
    order = np.random.default_rng(5).permutation(fwd["nchan"])
    fwd["sol"]["data"] = fwd["sol"]["data"][order]
    fwd["_orig_sol"] = fwd["_orig_sol"][order]
    fwd["sol"]["row_names"] = [fwd["sol"]["row_names"][k] for k in order]
    assert_allclose(prepare_forward(info, fwd, loose=0).gain, expected)


def test_other_projectors_are_honoured():
    info = cases.make_info()
    proj = cases.make_projector(info["ch_names"], 6)
    pattern = proj["data"]["data"]
    evoked = cases.make_evoked(info)
    evoked.add_proj([proj])
    cov = cases.make_cov(info)
    for this_info, this_cov in (
        (evoked.info, cov),
        (evoked.copy().apply_proj().info, cov),
        (info, cases.make_cov(info, projs=[proj])),
        (evoked.info, cases.make_cov(info, projs=[proj])),
        (evoked.info, None),
    ):
        prepared = _whitened(this_info, this_cov)
        assert prepared.n_rank == len(info["ch_names"]) - 2
        scale = abs(prepared.whitener).max()
        assert_allclose(prepared.whitener @ pattern[0], 0, atol=1e-9 * scale)
        assert_allclose(prepared.whitener.sum(axis=1), 0, atol=1e-9 * scale)


@pytest.mark.parametrize("rank", [None, "info", "full", {"eeg": 20}, {"eeg": 32}])
def test_rank_of_the_covariance(rank):
    info = cases.make_info()
    cov = cases.make_cov(info)
    prepared = _whitened(info, cov, rank=rank)
    # never more than the average reference leaves
    assert prepared.n_rank == (20 if rank == {"eeg": 20} else 31)
    identity = np.eye(prepared.n_rank)
    assert_allclose(prepared.whitener @ cov.data @ prepared.whitener.T, identity, atol=1e-9)


def test_rank_deficient_covariance():
    info = cases.make_info()
    cov = cases.make_cov(info, rank=20)
    prepared = _whitened(info, cov)
    # the average reference takes a direction of its own only from the channels, not from these
    assert prepared.whitener.shape == (20, 32)
    assert_allclose(prepared.whitener @ cov.data @ prepared.whitener.T, np.eye(20), atol=1e-6)
    assert np.isfinite(prepared.leadfield).all()
    # a covariance of average-referenced data
    average = np.eye(32) - 1 / 32
    full = cases.make_cov(info)
    referenced = cases.make_cov(info)
    referenced["data"] = average @ full.data @ average
    assert_allclose(
        _gram(_whitened(info, referenced)), _gram(_whitened(info, full)), rtol=1e-6, atol=1
    )


def _gram(prepared):
    return prepared.whitener.T @ prepared.whitener


# --------------------------------------------------------------------------- reference


def test_projector_over_other_channels():
    """Bads marked after the projector was made; the whitener has its own."""
    evoked = cases.make_evoked(cases.make_info()).apply_proj()
    evoked.info["bads"] = ["C3"]
    assert check_reference(evoked.info, evoked.data) == "projector"
    prepared = _whitened(evoked.info, cases.make_cov(evoked.info))
    assert prepared.n_rank == 30
    fresh = evoked.copy().drop_channels(["C3"])
    same = _whitened(fresh.info, cases.make_cov(evoked.info))
    assert_allclose(prepared.whitener, same.whitener)
    # made while C3 was bad: pending it doesn't matter, applied C3 has another reference
    evoked = cases.make_evoked(cases.make_info(reference=False))
    evoked.info["bads"] = ["C3"]
    evoked.set_eeg_reference(projection=True)
    pending, applied = evoked.copy(), evoked.copy().apply_proj()
    pending.info["bads"], applied.info["bads"] = [], []
    assert check_reference(pending.info, pending.data) == "projector"
    assert _whitened(pending.info).n_rank == 31
    with pytest.raises(ValueError, match=r"1 channel \(C3\).*set_eeg_reference"):
        check_reference(applied.info, applied.data)


@pytest.mark.parametrize("flagged", [True, False])
def test_average_reference_applied_directly(flagged):
    evoked = cases.make_evoked(cases.make_info(reference=False, n_extra=2))
    evoked.info["bads"] = ["X0"]
    if flagged:
        evoked.set_eeg_reference("average", projection=False)
    else:
        good = [k for k, name in enumerate(evoked.ch_names) if name != "X0"]
        evoked.data[good] -= evoked.data[good].mean(axis=0)
    assert bool(evoked.info["custom_ref_applied"]) is flagged
    assert check_reference(evoked.info, evoked.data) == "average"
    assert check_reference(evoked.info, evoked.data.astype(np.float32)) == "average"
    assert check_reference(evoked.info) == "unverified"
    # X1 is in the average but not in the forward: only our own projection makes it consistent
    prepared = _whitened(evoked.info)
    reference = cases.make_evoked(cases.make_info(n_extra=2))
    assert_allclose(
        prepare_data(evoked.info, prepared, evoked.data),
        prepare_data(reference.info, _whitened(reference.info), reference.data),
        atol=1e-9,
    )


def test_missing_reference():
    evoked = cases.make_evoked(cases.make_info(reference=False))
    with pytest.raises(ValueError, match=r"no average EEG .*set_eeg_reference\(projection=True\)"):
        check_reference(evoked.info, evoked.data)
    other = evoked.copy().set_eeg_reference(["C3"])
    with pytest.raises(ValueError, match=r"custom EEG .*set_eeg_reference\(projection=True\)"):
        check_reference(other.info, other.data)
    # the remedy works, for both
    for this in (evoked, other):
        this.set_eeg_reference(projection=True)
        assert check_reference(this.info, this.data) == "projector"
    assert_allclose(
        prepare_data(other.info, _whitened(other.info), other.data),
        prepare_data(evoked.info, _whitened(evoked.info), evoked.data),
        atol=1e-9,
    )
    nothing = mne.create_info(["M1", "M2"], 100.0, "ecog")
    with pytest.raises(ValueError, match=r"no good EEG or MEG .*types: ecog.*inside the sk"):
        check_reference(nothing, np.zeros((2, 4)))


@pytest.mark.parametrize("scale", [1e-250, 1e-20, 1.0, 1e20, 1e250])
def test_reference_check_at_any_scale(scale):
    evoked = cases.make_evoked(cases.make_info(reference=False))
    data = scale * evoked.data
    with pytest.raises(ValueError, match="no average EEG reference"):
        check_reference(evoked.info, data)
    assert check_reference(evoked.info, data - data.mean(axis=0)) == "average"
