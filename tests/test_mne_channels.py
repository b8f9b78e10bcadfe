"""Channel selection, reference and whitening."""

import mne
import numpy as np
import pytest
from mne.cov import compute_whitener
from mne.utils import catch_logging
from numpy.testing import assert_allclose, assert_array_equal

import mne_cases as cases
from mne_mmnet._mne import (
    MIN_CHANNELS,
    check_evoked,
    check_reference,
    noise_scale,
    prepare_data,
    prepare_forward,
    select_channels,
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


def test_whitener_agrees_with_mne_with_its_own_projector():
    info = cases.make_info()
    cov = cases.make_cov(info)
    oracle, _ = compute_whitener(cov, info, pca=True, verbose=False)
    ours = _whitened(info, cov).whitener
    assert_allclose(ours.T @ ours, oracle.T @ oracle, rtol=1e-7, atol=1e-3)


def test_channel_permutation_invariance():
    info = cases.make_info()
    cov = cases.make_cov(info)
    evoked = cases.make_evoked(info)
    order = np.random.default_rng(4).permutation(len(info["ch_names"]))
    shuffled = evoked.copy().reorder_channels([info["ch_names"][k] for k in order])
    plain, other = _whitened(info, cov), _whitened(shuffled.info, cov)
    assert other.ch_names == tuple(shuffled.ch_names)
    assert_allclose(other.gain, plain.gain[order])
    # the whitener is unique up to a rotation: compare what is invariant
    one = prepare_data(info, plain, evoked.data)
    two = prepare_data(shuffled.info, other, shuffled.data)
    for first, second in ((plain.leadfield[:, :, 0], other.leadfield[:, :, 0]), (one, two)):
        assert_allclose(second.T @ second, first.T @ first, rtol=1e-6, atol=1e-6 * _peak(first))
    assert_allclose(
        other.leadfield[..., 0].T @ two, plain.leadfield[..., 0].T @ one, rtol=1e-5, atol=1e3
    )
    # the same operator takes data in any order, with more channels around
    extra = cases.make_info(n_extra=3)
    data = np.concatenate([evoked.data, np.full((3, evoked.data.shape[1]), np.nan)])
    assert_array_equal(prepare_data(extra, plain, data), one)
    assert_allclose(prepare_data(shuffled.info, plain, shuffled.data), one)


def _peak(array):
    return np.abs(array).max() ** 2


def test_rows_follow_the_solution_not_the_info_of_the_forward(tmp_path):
    info = cases.make_info()
    fwd = cases.make_fwd().copy()
    # a surface frame is not unique in its plane: a file's rounding turns it
    expected = prepare_forward(info, fwd, loose=0).gain
    order = np.random.default_rng(5).permutation(fwd["nchan"])
    fwd["sol"]["data"] = fwd["sol"]["data"][order]
    fwd["_orig_sol"] = fwd["_orig_sol"][order]
    fwd["sol"]["row_names"] = [fwd["sol"]["row_names"][k] for k in order]
    assert_allclose(prepare_forward(info, fwd, loose=0).gain, expected)
    fname = tmp_path / "balls-fwd.fif"
    mne.write_forward_solution(fname, cases.make_fwd(), verbose=False)
    read = mne.read_forward_solution(fname, verbose=False)
    # the electrodes' frame is written in float32
    gain = prepare_forward(info, read, loose=0).gain
    assert_allclose(gain, expected, rtol=1e-3, atol=1e-2)


def test_extra_forward_channels_and_extra_data_channels():
    info = cases.make_info(n_extra=3)
    with catch_logging(verbose="info") as log:
        names = select_channels(info, cases.make_fwd())
    assert names == tuple(cases.make_info().ch_names)
    assert "Dropped 3 channels (X0, X1, X2) not in the forward solution" in log.getvalue()


def test_bads_of_info_and_covariance():
    info = cases.make_info()
    info["bads"] = ["Fp1", "C3"]
    cov = cases.make_cov(info, bads=["O1"])
    names = select_channels(info, cases.make_fwd(), cov)
    assert names == tuple(n for n in info["ch_names"] if n not in ("Fp1", "C3", "O1"))
    prepared = _whitened(info, cov)
    assert prepared.ch_names == names
    assert_allclose(prepared.whitener.sum(axis=1), 0, atol=1e-9 * abs(prepared.whitener).max())
    # channels that the covariance lacks go too, and in info order
    cov = mne.pick_channels_cov(cases.make_cov(info), info["ch_names"][:2:-1])
    assert select_channels(info, cases.make_fwd(), cov) == tuple(
        n for n in info["ch_names"][3:] if n not in ("Fp1", "C3")
    )


def test_meg_and_other_channels_are_left_out():
    info = cases.make_info()
    other = mne.create_info(["MEG1", "EOG1"], 250.0, ["mag", "eog"])
    evoked = mne.EvokedArray(np.zeros((2, 1)), other, verbose=False)
    both = mne.EvokedArray(np.zeros((len(info["ch_names"]), 1)), info, verbose=False)
    both.add_channels([evoked], force_update_info=True)
    with catch_logging(verbose="info") as log:
        names = select_channels(both.info, cases.make_fwd())
    assert names == tuple(info["ch_names"])
    assert "2 channels are not EEG" in log.getvalue()


def test_other_projectors_are_honoured():
    info = cases.make_info()
    rng = np.random.default_rng(6)
    pattern = rng.normal(size=(1, len(info["ch_names"])))
    pattern /= np.linalg.norm(pattern)
    proj = mne.Projection(
        data=dict(
            nrow=1,
            ncol=pattern.shape[1],
            row_names=None,
            col_names=list(info["ch_names"]),
            data=pattern,
        ),
        desc="blink",
    )
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
    n_rank = _whitened(info, cases.make_cov(info), rank=rank).n_rank
    # never more than the average reference leaves
    assert n_rank == (20 if rank == {"eeg": 20} else 31)


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


def test_diagonal_covariance():
    info = cases.make_info()
    cov = cases.make_cov(info).as_diag()
    whitener = _whitened(info, cov).whitener
    assert_allclose(whitener @ np.diag(cov.data) @ whitener.T, np.eye(31), atol=1e-9)


def test_nave_scales_whitened_data_only_when_the_noise_is_known():
    info = cases.make_info()
    evoked = cases.make_evoked(info)
    for cov, factor in ((cases.make_cov(info), 5.0), (None, 1.0)):
        prepared = _whitened(info, cov)
        single = prepare_data(info, prepared, evoked.data)
        assert_allclose(prepare_data(info, prepared, evoked.data, nave=25), factor * single)
        assert noise_scale(prepared, 25) == factor
    evoked.nave = 25
    oracle = mne.whiten_evoked(evoked, cases.make_cov(info), verbose=False).data
    known = prepare_data(info, _whitened(info, cases.make_cov(info)), evoked.data, nave=25)
    assert_allclose(known.T @ known, oracle.T @ oracle, rtol=1e-6)
    for nave in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="nave must be a positive"):
            prepare_data(info, prepared, evoked.data, nave=nave)
    with pytest.raises(TypeError, match="nave must be"):
        prepare_data(info, prepared, evoked.data, nave="many")


def test_epochs_shaped_data():
    info = cases.make_info()
    prepared = _whitened(info)
    data = 1e-6 * np.random.default_rng(7).normal(size=(3, 32, 10))
    together = prepare_data(info, prepared, data)
    assert together.shape == (3, 31, 10)
    for epoch, whitened in zip(data, together, strict=True):
        assert_allclose(whitened, prepare_data(info, prepared, epoch))


# --------------------------------------------------------------------------- reference


def test_pending_and_applied_projector_give_the_same():
    evoked = cases.make_evoked(cases.make_info())
    applied = evoked.copy().apply_proj()
    cov = cases.make_cov(evoked.info)
    assert check_reference(evoked.info, evoked.data) == "projector"
    assert check_reference(applied.info, applied.data) == "projector"
    one, two = _whitened(evoked.info, cov), _whitened(applied.info, cov)
    assert_array_equal(one.whitener, two.whitener)
    assert_allclose(
        prepare_data(applied.info, two, applied.data),
        prepare_data(evoked.info, one, evoked.data),
        atol=1e-9,
    )


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


@pytest.mark.parametrize("scale", [1e-250, 1e-20, 1.0, 1e20, 1e250])
def test_reference_check_at_any_scale(scale):
    evoked = cases.make_evoked(cases.make_info(reference=False))
    data = scale * evoked.data
    with pytest.raises(ValueError, match="no average EEG reference"):
        check_reference(evoked.info, data)
    assert check_reference(evoked.info, data - data.mean(axis=0)) == "average"


# --------------------------------------------------------------------------- bad input


def test_check_evoked():
    evoked = cases.make_evoked(cases.make_info())
    check_evoked(evoked)
    with pytest.raises(TypeError, match="evoked must be an instance of Evoked"):
        check_evoked(evoked.data)
    evoked.data[2, 3] = np.nan
    evoked.data[4, 0] = np.inf
    names = evoked.ch_names
    with pytest.raises(ValueError, match=rf"2 channels \({names[2]}, {names[4]}\).*bad"):
        check_evoked(evoked)
    with pytest.raises(ValueError, match="NaN or infinite"):
        prepare_data(evoked.info, _whitened(evoked.info), evoked.data)
    evoked.info["bads"] = [names[2], names[4]]
    check_evoked(evoked)
    assert np.isfinite(prepare_data(evoked.info, _whitened(evoked.info), evoked.data)).all()
    evoked.data = evoked.data.astype(complex)
    with pytest.raises(TypeError, match="must be real"):
        check_evoked(evoked)


def test_no_eeg_channels():
    info = mne.create_info(["M1", "M2"], 100.0, "ecog")
    evoked = mne.EvokedArray(np.zeros((2, 4)), info)
    for function, args in (
        (check_evoked, (evoked,)),
        (check_reference, (info, evoked.data)),
        (prepare_forward, (info, cases.make_fwd())),
    ):
        with pytest.raises(ValueError, match=r"no good EEG or MEG .*types: ecog.*inside the sk"):
            function(*args)


def test_too_few_channels():
    info, fwd = cases.make_info(), cases.make_fwd()
    info["bads"] = info["ch_names"][: 32 - MIN_CHANNELS + 1]
    with pytest.raises(ValueError, match=r"Only 7 of 32 .*25 channels.*bad in info"):
        prepare_forward(info, fwd)
    # eight channels have rank seven after referencing
    info["bads"] = info["ch_names"][: 32 - MIN_CHANNELS]
    with pytest.raises(ValueError, match="8 EEG channels are 7 with the average reference"):
        prepare_forward(info, fwd)
    info["bads"] = info["ch_names"][: 32 - MIN_CHANNELS - 1]
    assert prepare_forward(info, fwd).n_rank == MIN_CHANNELS


def test_forward_of_other_channels():
    info = mne.create_info([f"E{k}" for k in range(32)], 250.0, "eeg")
    with pytest.raises(ValueError, match=r"Only 0 of 32 .*not in the forward.*rename_channels"):
        prepare_forward(info, cases.make_fwd())


def test_covariance_of_other_channels():
    info = cases.make_info()
    cov = cases.make_cov(mne.create_info([f"E{k}" for k in range(32)], 250.0, "eeg"))
    with pytest.raises(ValueError, match=r"Only 0 of 32 .*not in the noise covariance"):
        prepare_forward(info, cases.make_fwd(), cov)


def test_unusable_covariance():
    info, fwd = cases.make_info(), cases.make_fwd()
    cov = cases.make_cov(info)
    cov["data"][3, 3] = np.nan
    with pytest.raises(ValueError, match=r"covariance contains NaN.*compute_covariance"):
        prepare_forward(info, fwd, cov)
    with pytest.raises(ValueError, match=r"Only 5 independent .*rank of the noise covariance 5"):
        prepare_forward(info, fwd, cases.make_cov(info, rank=5))
    cov["data"] = np.zeros_like(cov.data)
    with pytest.raises(ValueError, match="Only 0 independent channels"):
        prepare_forward(info, fwd, cov)


def test_wrong_types_and_values():
    info, fwd = cases.make_info(), cases.make_fwd()
    for args, match in (
        ((cases.make_evoked(info), fwd), "info must be an instance of Info"),
        ((info, "a-fwd.fif"), "fwd must be an instance of Forward"),
        ((info, fwd, np.eye(32)), "noise_cov must be an instance of Covariance"),
    ):
        with pytest.raises(TypeError, match=match):
            prepare_forward(*args)
    for kwargs, error, match in (
        (dict(use_cps="yes"), TypeError, "use_cps must be"),
        (dict(rank=3.0), TypeError, "rank must be"),
        (dict(rank="all"), ValueError, "Invalid value for the 'rank'"),
        (dict(rank={"eeg": 20}), ValueError, "noise_cov is None.*rank=None"),
        (dict(rank={"eeg": 0}), ValueError, "must be between 1 and the 32 .*rank=None"),
        (dict(rank={"eeg": 40}), ValueError, "must be between 1 and the 32"),
        (dict(rank={"eeg": 20.5}), TypeError, "rank.* must be an instance of int"),
    ):
        with pytest.raises(error, match=match):
            prepare_forward(info, fwd, **kwargs)


def test_data_that_do_not_fit_the_operator():
    info = cases.make_info()
    prepared, evoked = _whitened(info), cases.make_evoked(info)
    with pytest.raises(ValueError, match=r"must have the shape .*got \(31, 20\)"):
        prepare_data(info, prepared, evoked.data[:-1])
    with pytest.raises(ValueError, match=r"must have the shape"):
        prepare_data(info, prepared, evoked.data[:, 0])
    with pytest.raises(ValueError, match=r"data are empty.*at least one"):
        prepare_data(info, prepared, evoked.data[:, :0])
    fewer = evoked.copy().drop_channels(["C3"])
    with pytest.raises(ValueError, match=r"lack 1 channel \(C3\).*Make the operator"):
        prepare_data(fewer.info, prepared, fewer.data)
    evoked.info["bads"] = ["C3"]
    with pytest.raises(ValueError, match=r"1 channel \(C3\) marked as bad.*Make the operator"):
        prepare_data(evoked.info, prepared, evoked.data)
