"""Impossible input: one clear error each, raised before any work, that says what to do."""

import copy

import mne
import numpy as np
import pytest

import mne_cases
from mne_mmnet import (
    MMNetStream,
    apply_mmnet_inverse,
    apply_mmnet_inverse_epochs,
    apply_mmnet_inverse_raw,
    make_mmnet_operator,
)

INFO = mne_cases.make_info(32)
FWD = mne_cases.make_fwd("surface")
COV = mne_cases.make_cov(INFO)


def make_evoked(change=None):
    """An average-referenced response, changed in one way."""
    # an info of its own: MNE renames channels in projectors that copies share
    evoked = mne_cases.make_evoked(mne_cases.make_info(32)).apply_proj(verbose=False)
    if change is not None:
        change(evoked)
    return evoked


@pytest.fixture(scope="module")
def operator():
    return make_mmnet_operator(INFO, FWD)


# Data -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("prepared", [False, True])
def test_data_not_finite(value, prepared, operator):
    evoked = make_evoked()
    evoked.data[3, 4] = value
    with pytest.raises(
        ValueError, match=r'NaN or infinite values in 1 channel \(F7\).*\["bads"\]'
    ):
        apply_mmnet_inverse(evoked, operator if prepared else FWD)


def _epochs(data, info):
    epochs = mne.EpochsArray(data[np.newaxis], info, proj=False, verbose=False)
    return apply_mmnet_inverse_epochs(epochs, FWD)


def _raw(data, info):
    return apply_mmnet_inverse_raw(mne.io.RawArray(data, info, verbose=False), FWD)


def _stream(data, info):
    return MMNetStream(make_mmnet_operator(info, FWD), info).push(data)


@pytest.mark.filterwarnings("ignore:1 of 1 epochs should not be trusted")  # it is noise
@pytest.mark.filterwarnings("ignore:The sources explain")
@pytest.mark.parametrize("pair", [(np.inf, np.inf), (np.inf, -np.inf), (np.nan, 0.0)])
@pytest.mark.parametrize("apply", [_epochs, _raw, _stream])
def test_windows_not_finite(apply, pair):
    """The missing values are named, not a reference that data with them can't have."""
    evoked = mne_cases.make_evoked(mne_cases.make_info(32)).del_proj()
    evoked.data -= evoked.data.mean(axis=0)
    evoked.data[3:5, 4] = pair
    with pytest.raises(ValueError, match=r"NaN or infinite values in [12] channels? \(F7"):
        apply(evoked.data, evoked.info)
    # nobody wants to know of bad ones
    evoked.info["bads"] = evoked.ch_names[3:5]
    with pytest.raises(ValueError, match="no average EEG reference"):
        apply(evoked.data, evoked.info)
    evoked.data -= evoked.copy().pick("eeg", exclude="bads").data.mean(axis=0)
    apply(evoked.data, evoked.info)


def test_complex_data():
    evoked = make_evoked()
    evoked.data = evoked.data + 1j
    with pytest.raises(TypeError, match="must be real"):
        apply_mmnet_inverse(evoked, FWD)


def test_no_samples():
    evoked = make_evoked()
    evoked.data = evoked.data[:, :0]
    with pytest.raises(ValueError, match="at least one time sample"):
        apply_mmnet_inverse(evoked, FWD)


def test_no_eeg_channels():
    info = mne.create_info(32, 250.0, "ecog")
    evoked = mne.EvokedArray(np.ones((32, 5)), info, verbose=False)
    for call in (lambda: apply_mmnet_inverse(evoked, FWD), lambda: make_mmnet_operator(info, FWD)):
        with pytest.raises(ValueError, match=r"no good EEG or MEG.*types: ecog.*inside the skull"):
            call()


def test_all_channels_bad():
    evoked = make_evoked()
    evoked.info["bads"] = evoked.ch_names
    with pytest.raises(ValueError, match="no good EEG or MEG channels"):
        apply_mmnet_inverse(evoked, FWD)


@pytest.mark.parametrize("nave", [0, -1, np.nan, np.inf])
def test_impossible_nave(nave):
    evoked = make_evoked()
    evoked.nave = nave
    with pytest.raises(ValueError, match="positive number of trials.*nave=1"):
        apply_mmnet_inverse(evoked, FWD, COV)


# Channels ---------------------------------------------------------------------------------------


def few(evoked):
    evoked.info["bads"] = evoked.ch_names[7:]


def renamed(evoked):
    evoked.rename_channels({name: f"E{name}" for name in evoked.ch_names})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (few, r'Only 7 of 32 EEG .* at least 8 .*marked as bad in info\["bads"\]'),
        (renamed, r"Only 0 of 32 EEG .*not in the forward solution.*rename_channels"),
    ],
)
def test_too_few_common_channels(change, message):
    evoked = make_evoked(change)
    with pytest.raises(ValueError, match=message):
        apply_mmnet_inverse(evoked, FWD)
    with pytest.raises(ValueError, match=message):
        make_mmnet_operator(evoked.info, FWD)


def test_forward_of_too_few_channels():
    fwd = mne.pick_channels_forward(FWD, INFO["ch_names"][:5])
    with pytest.raises(ValueError, match=r"Only 5 of 32 EEG .*27 channels .*not in the forward"):
        apply_mmnet_inverse(make_evoked(), fwd)


def test_covariance_of_other_channels():
    cov = mne.Covariance(COV.data, [f"E{name}" for name in COV.ch_names], [], [], 100)
    with pytest.raises(ValueError, match=r"Only 0 of 32 EEG .*not in the noise cov.*this very"):
        apply_mmnet_inverse(make_evoked(), FWD, cov)


def test_data_without_the_channels_of_the_operator(operator):
    evoked = make_evoked().pick(INFO["ch_names"][2:])
    with pytest.raises(ValueError, match=r"lack 2 channels \(Fp1, AF3\).*info of these data"):
        apply_mmnet_inverse(evoked, operator)


def test_bad_channel_that_the_operator_uses(operator):
    evoked = make_evoked()
    evoked.info["bads"] = ["Fp1"]
    with pytest.raises(ValueError, match=r"\(Fp1\) marked as bad.*info of these data"):
        apply_mmnet_inverse(evoked, operator)


# Types ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "make", "wanted"),
    [
        ("evoked", lambda evoked: evoked.data, "Evoked"),
        ("evoked", lambda evoked: [evoked], "Evoked"),
        ("evoked", lambda evoked: None, "Evoked"),
        ("evoked", lambda evoked: mne.EpochsArray(evoked.data[None], INFO), "Evoked"),
        ("fwd", lambda _: "some-fwd.fif", "Forward or MMNetOperator"),
        ("fwd", lambda _: None, "Forward or MMNetOperator"),
        ("fwd", lambda _: FWD["src"], "Forward or MMNetOperator"),
        ("noise_cov", lambda _: np.eye(32), "Covariance or None"),
        ("noise_cov", lambda _: "some-cov.fif", "Covariance or None"),
        ("model", lambda _: 3, "path-like or Model"),
        ("model", lambda _: None, "path-like or Model"),
        ("loose", lambda _: [0.2], "None, numeric, str, or dict"),
        ("depth", lambda _: dict(exp=0.8), "numeric, str, or None"),
        ("rank", lambda _: 31, "None, str, or dict"),
        ("label", lambda _: "V1", "Label, BiHemiLabel, or None"),
        ("use_cps", lambda _: None, "bool"),
        ("n_steps", lambda _: "5", "int-like or None"),
        ("n_steps", lambda _: 2.5, "int-like or None"),
        ("device", lambda _: 0, "str or device"),
        ("device", lambda _: None, "str or device"),
    ],
)
def test_wrong_type(name, make, wanted):
    evoked = make_evoked()
    kwargs = dict(evoked=evoked, fwd=FWD)
    kwargs[name] = make(evoked)
    with pytest.raises(TypeError, match=f"^{name} must be an instance of {wanted}, got"):
        apply_mmnet_inverse(**kwargs)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("info", None, "Info"),
        ("info", make_evoked(), "Info"),
        ("fwd", None, "Forward"),
        ("noise_cov", np.eye(32), "Covariance or None"),
        ("model", 3, "path-like or Model"),
        ("device", None, "str or device"),
    ],
)
def test_wrong_type_for_an_operator(name, value, wanted):
    kwargs = {**dict(info=INFO, fwd=FWD), name: value}
    with pytest.raises(TypeError, match=f"^{name} must be an instance of {wanted}, got"):
        make_mmnet_operator(**kwargs)


def test_operator_of_an_operator(operator):
    with pytest.raises(TypeError, match="fwd must be an instance of Forward, got"):
        make_mmnet_operator(INFO, operator)


def test_unknown_argument():
    with pytest.raises(TypeError, match="unexpected keyword argument 'lambda2'"):
        apply_mmnet_inverse(make_evoked(), FWD, lambda2=1 / 9)
    with pytest.raises(TypeError, match="positional arguments"):
        apply_mmnet_inverse(make_evoked(), FWD, None, "mmnet-base")


def test_rank_of_half_a_direction():
    with pytest.raises(TypeError, match="rank.* must be an instance of int"):
        apply_mmnet_inverse(make_evoked(), FWD, COV, rank=dict(eeg=20.5))


# Values -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (dict(pick_ori="max-power"), "'pick_ori'.*None, 'normal', and 'vector'"),
        (dict(loose="tight"), "'loose'.*'auto'"),
        (dict(loose=1.5), r"loose must be between 0 \(fixed\) and 1 \(free\), got 1.5"),
        (dict(loose=np.nan), r"loose must be between 0 \(fixed\) and 1 \(free\), got nan"),
        (dict(loose=dict(volume=1.0)), "one key for each kind.*Pass a number"),
        (dict(head="mine"), "Invalid value for the 'head'"),
        (dict(depth="deep"), "'depth'.*'auto'"),
        (dict(depth=-0.1), "'auto', None or a number from 0 to 10, got -0.1"),
        (dict(depth=np.nan), "'auto', None or a number from 0 to 10, got nan"),
        (dict(rank="whole"), "'rank'.*'info' and 'full'"),
        (dict(rank=dict(eeg=33), noise_cov=COV), "between 1 and the 32.*rank=None"),
        (dict(rank=dict(eeg=0), noise_cov=COV), "between 1 and the 32.*rank=None"),
        (dict(rank=dict(eeg=31)), "noise_cov is None.*rank=None"),
        (dict(n_steps=0), "n_steps must be at least 1, got 0"),
        (dict(n_steps=-3), "n_steps must be at least 1, got -3"),
        (dict(device="tpu"), "device 'tpu' cannot be used here.*device='cpu' or 'auto'"),
        (dict(device="meta"), "device 'meta' cannot be used here.*device='cpu' or 'auto'"),
        (dict(device="cuda:99"), "device 'cuda:99' cannot be used.*device='cpu' or 'auto'"),
        (dict(verbose="loud"), "'verbose'"),
    ],
    ids=str,
)
def test_wrong_value(option, message):
    with pytest.raises(ValueError, match=message):
        apply_mmnet_inverse(make_evoked(), FWD, **option)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (dict(vertices=[600], name="far"), 'No source lies in the label "far".*larger label'),
        (dict(vertices=[0], subject="bert"), 'belongs to subject "bert".*label.morph'),
    ],
    ids=str,
)
def test_impossible_label(label, message):
    label = mne.Label(hemi="lh", **label)
    with pytest.raises(ValueError, match=message):
        apply_mmnet_inverse(make_evoked(), FWD, label=label)


def test_options_without_meaning_in_a_volume():
    fwd = mne_cases.make_fwd("volume")
    with pytest.raises(ValueError, match="no normals, so that loose must be 1, got 0.2. Use"):
        apply_mmnet_inverse(make_evoked(), fwd, loose=0.2)
    with pytest.raises(ValueError, match="needs a surface source space.*Use label=None"):
        apply_mmnet_inverse(make_evoked(), fwd, label=mne.Label([0], hemi="lh"))


@pytest.mark.parametrize(
    "options",
    [
        dict(noise_cov=COV),
        dict(model="another"),
        dict(head="own"),
        dict(depth=1.0),
        dict(rank="info"),
        dict(use_cps=False),
        dict(device="cpu"),
        dict(loose=0.2, depth=None),
    ],
    ids=str,
)
def test_options_with_a_prepared_operator(operator, options):
    names = ", ".join(options)
    with pytest.raises(ValueError, match=f"^{names} cannot be changed.*make_mmnet_operator"):
        apply_mmnet_inverse(make_evoked(), operator, **options)


# Forward solution and covariance ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "forward solution contains NaN.*make_forward_solution"),
        (np.inf, "forward solution contains NaN or inf.*make_forward_solution"),
        (0.0, "lead field is zero or not finite.*Recompute the forward"),
    ],
)
def test_unusable_forward(value, message):
    fwd = copy.deepcopy(FWD)
    # MNE rotates the second one
    fwd["sol"]["data"][:], fwd["_orig_sol"][:] = value, value
    with pytest.raises(ValueError, match=message):
        apply_mmnet_inverse(make_evoked(), fwd)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.full((32, 32), np.nan), "noise covariance contains NaN.*compute_covariance"),
        (np.zeros((32, 32)), "Only 0 independent channels.*'shrunk'"),
        (np.ones((32, 32)), "Only 0 independent channels.*'shrunk'"),
        (np.ones((32, 32)) + 1e-15 * np.eye(32), "Only 0 independent channels.*'shrunk'"),
        (
            1e12 * mne_cases.make_cov(INFO, rank=5).data,
            "Only 5 independent .*rank of the noise covariance 5",
        ),
    ],
    ids=["nan", "zero", "the reference alone", "the reference and rounding", "few"],
)
def test_unusable_covariance(data, message):
    cov = mne.Covariance(1e-12 * data, INFO["ch_names"], [], [], 100)
    with pytest.raises(ValueError, match=message):
        apply_mmnet_inverse(make_evoked(), FWD, cov)
