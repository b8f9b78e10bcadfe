"""Files of people, labels, lead fields of their own, global settings of other libraries."""

import copy
import json
import os
import pickle
import re
import shutil
import struct
import warnings
from pathlib import Path

import mne
import numpy as np
import pytest
import torch
from mne.io.constants import FIFF
from numpy.testing import assert_allclose, assert_array_equal

import mne_mmnet
import template_cases as cases
from mne_cases import needs_mne_113
from mne_mmnet._cli import main
from mne_mmnet._mne import COLIN27_1005, FSAVERAGE_1005, find_other_types
from mne_mmnet.recordings.averages import Averaging, name_places, read_average
from mne_mmnet.recordings.files import read_file
from mne_mmnet.report.places import Places
from process_cases import run_python

ROOT = Path(__file__).parents[1]


@pytest.fixture
def raw(rng):
    """Twelve responses to two events, as a recording with annotations."""
    info, _, lead = cases.head()
    data = 1e-6 * rng.standard_normal((len(info["ch_names"]), 7000))
    onsets = 0.8 + np.arange(12)
    for onset in onsets:
        first = round(onset * 500)
        data[:, first : first + 50] += np.outer(lead[:, cases.LEFT], 5e-8 * np.hanning(50))
    raw = mne.io.RawArray(data, info.copy(), verbose="error")
    return raw.set_annotations(mne.Annotations(onsets, 0.0, ["left", "right"] * 6))


def _epochs(raw):
    events, event_id = mne.events_from_annotations(raw, verbose="error")
    return mne.Epochs(raw, events, event_id, -0.2, 0.5, preload=True, verbose="error")


def test_a_recording_is_averaged(raw, tmp_path, capsys):
    path = tmp_path / "x_raw.fif"
    raw.save(path, verbose="error")
    expected = _epochs(raw)["left"].average()
    evoked, what = read_average(path, averaging=Averaging("left"))
    assert_allclose(evoked.data, expected.data, atol=1e-12)
    assert "Averaged 6 epochs of 'left'" in what
    assert read_average(path, averaging=Averaging("1"))[0].nave == 6
    assert read_average(path, averaging=Averaging("left, right"))[0].nave == 12
    with pytest.raises(ValueError, match=r"no events 'up'; it has 'left', 'right'"):
        read_average(path, averaging=Averaging("up"))
    with pytest.raises(ValueError, match=r"raw recording.*'left', 'right'.*\.average\(\)\.save"):
        read_average(path)
    assert main(["localize", str(path), "--events", "left", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "Averaged 6 epochs" in out
    assert (tmp_path / "x_raw-mmnet-stc.h5").exists()
    assert main(["localize", str(path), "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "holds no average" in error
    assert "Traceback" not in error


def test_epochs_are_averaged(raw, tmp_path):
    path = tmp_path / "x-epo.fif"
    epochs = _epochs(raw)
    epochs.save(path, verbose="error")
    evoked, what = read_average(path, "right")
    assert_allclose(evoked.data, epochs["right"].average().data, rtol=1e-5, atol=1e-11)
    assert "6 epochs" in what
    with pytest.raises(ValueError, match="'left', 'right'"):
        read_average(path)


def test_epochs_of_a_part_of_names(raw, tmp_path):
    """MNE takes "left" for "left/easy", too: what was averaged is said, and named as asked for."""
    words = ["left", "right", "left/easy"] * 4
    raw.set_annotations(mne.Annotations(raw.annotations.onset, 0.0, words))
    path = tmp_path / "x-epo.fif"
    _epochs(raw).save(path, verbose="error")
    evoked, what = read_average(path, "left")
    assert what == "Averaged 8 epochs ('left', 'left/easy')."
    assert (evoked.nave, evoked.comment) == (8, "left")


@pytest.mark.filterwarnings("always:.*muscles left out:RuntimeWarning")
def test_channels_of_eyes_that_a_file_calls_eeg(raw, tmp_path, capsys):
    """EEGLAB's files have no types: the command leaves out what names say, others are warned."""
    names = raw.ch_names[:3]
    raw.rename_channels(dict(zip(names, ("EOG1", "EEG HEOG-REF", "EKG"), strict=True)))
    path = tmp_path / "x_raw.fif"
    raw.save(path, verbose="error")
    with pytest.warns(RuntimeWarning, match="muscles left out") as said:
        evoked, _ = read_average(path, averaging=Averaging("left"))
    assert str(said[0].message).startswith("3 channels (EOG1, EEG HEOG-REF, EKG) named as")
    assert evoked.info["bads"] == ["EOG1", "EEG HEOG-REF", "EKG"]
    command = ["localize", str(path), "--events", "left", "--out", str(tmp_path)]
    assert main(command) == 0
    assert "EKG) named as those of eyes, heart or muscles left out" in capsys.readouterr().err
    # of a batch the table keeps it; what is marked as bad needs no word
    command = ["batch", str(path), "--events", "left", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    record = json.loads((tmp_path / "out" / "x_raw-mmnet.json").read_text(encoding="utf-8"))
    assert [text for text in record["warnings"] if "muscles left out" in text]
    raw.info["bads"] = ["EKG", "EOG1", "EEG HEOG-REF"]
    raw.save(path, overwrite=True, verbose="error")
    evoked, _ = read_average(path, averaging=Averaging("left"))
    assert evoked.info["bads"] == ["EKG", "EOG1", "EEG HEOG-REF"]
    raw.info["bads"] = []
    # of the functions, types are the user's
    evoked = cases.referenced(_epochs(raw).average().data, raw.info)
    fwd = mne_mmnet.make_template_forward(raw.info, verbose="error")
    _, report, said = cases.localize(evoked, fwd)
    (concern,) = (text for text in report.concerns if "eyes, heart or muscles" in text)
    assert concern in said
    assert "set_channel_types({'EOG1': 'eog', 'EEG HEOG-REF': 'eog', 'EKG': 'ecg'})" in concern
    types = find_other_types(evoked.info, evoked.ch_names)
    evoked.info["bads"] = list(types)
    assert not any("muscles" in text for text in cases.localize(evoked, fwd)[1].concerns)
    evoked.info["bads"] = []
    evoked.del_proj().set_channel_types(types, verbose="error")
    evoked.set_eeg_reference(projection=True, verbose=False)
    assert not any("muscles" in text for text in cases.localize(evoked, fwd)[1].concerns)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("eog", "EOG VEOG1 heog HEOGL-HEOGR EOG_left L-EOG Left·EOG EOG·E1-M2 EOG(L) VEO HEOR"),
        ("eog", "EEG·LOC-REF ROC-A1 POL·EOG"),
        ("ecg", "ECG EKG1 POL·EKG2 EEG·EKG-REF ecg·LA-RA"),
        ("emg", "EMG EMGchin Chin·EMG EMG1-EMG2"),
        (None, "Fp1 E1 E2 EEG·Fp1-EOG X1 LO1 IO EXG1 loc·1 leg VE1 H_E_O_G"),
    ],
)
def test_types_that_names_say(kind, names):
    names = [name.replace("·", " ") for name in names.split()]
    info = mne.create_info(names, 100.0, "eeg")
    assert find_other_types(info, names) == {name: kind for name in names if kind}
    info.set_channel_types(dict.fromkeys(names, "misc"), verbose="error")
    assert find_other_types(info, names) == {}


def test_no_built_in_montage_has_names_of_other_types():
    for montage in mne.channels.get_builtin_montages():
        names = mne.channels.make_standard_montage(montage).ch_names
        assert find_other_types(mne.create_info(names, 100.0, "eeg"), names) == {}


@pytest.mark.parametrize("kind", ["edf", "brainvision", "eeglab"])
def test_other_formats(kind, raw, tmp_path, capsys):
    suffix, needs = dict(
        edf=("edf", "edfio"), brainvision=("vhdr", "pybv"), eeglab=("set", "eeglabio")
    )[kind]
    pytest.importorskip(needs)
    path = tmp_path / f"x.{suffix}"
    mne.export.export_raw(path, raw, fmt=kind, verbose="error")
    (event,) = (
        name
        for name in mne.events_from_annotations(
            mne.io.read_raw(path, verbose="error"), verbose="error"
        )[1]
        if "left" in name
    )
    evoked, _ = read_average(path, averaging=Averaging(event))
    assert evoked.nave == 6
    with pytest.raises(ValueError, match="raw recording"):
        read_average(path)
    options = ["--events", event, "--montage", FSAVERAGE_1005, "--out", str(tmp_path)]
    assert main(["localize", str(path), *options]) == 0
    assert f"Electrode positions of {FSAVERAGE_1005} for 30 channels" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["x.edf", "x.set", "x.avr", "x.mff", "x.fif", "x.txt", "x.EEG"])
def test_broken_files_are_one_line(name, tmp_path, capsys):
    path = tmp_path / name
    path.write_bytes(b"nothing")
    assert main(["localize", str(path)]) == 2
    error = capsys.readouterr().err
    assert "cannot be read" in error
    assert "Traceback" not in error
    assert len(error) < 900


@pytest.mark.filterwarnings("ignore:.*x_raw.fif ends at:RuntimeWarning")
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7])
@pytest.mark.parametrize("name", ["x_raw.fif", "x-epo.fif", "x-ave.fif", "x-ave.fif.gz"])
def test_a_file_that_was_cut_short(name, share, raw, tmp_path):
    """MNE's "can only convert an array of size 1 to a Python scalar" helps nobody."""
    path = tmp_path / name
    averaging = None
    if "raw" in name:
        raw.save(path, verbose="error")
        averaging = Averaging("left")
    elif "epo" in name:
        _epochs(raw)["left"].save(path, verbose="error")
    else:
        _epochs(raw)["left"].average().save(path, verbose="error")
    assert read_average(path, averaging=averaging)[0].nave == 6
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    with pytest.raises(ValueError, match=r"because it (is empty|ends in .*): it was cut short"):
        read_average(path, averaging=averaging)


def test_a_recording_that_ends_before_its_events(raw, tmp_path):
    """The signals of BrainVision are a file of their own, without their length in the header."""
    pytest.importorskip("pybv")
    path = tmp_path / "x.vhdr"
    raw.export(path, verbose="error")
    signals = path.with_suffix(".eeg")
    with pytest.raises(ValueError, match="is a folder, and no recording"):
        read_average(tmp_path)
    with pytest.raises(ValueError, match=r"x\.eeg is a part .* Give its header, .*x\.vhdr"):
        read_average(signals, averaging=Averaging("left"))
    signals.write_bytes(signals.read_bytes()[: signals.stat().st_size // 2])
    with pytest.warns(RuntimeWarning, match=r"ends at 7\.0 s, before .*cut short"):
        assert read_average(path, averaging=Averaging("left"))[0].nave == 3


def test_a_batch_goes_by_all_files_of_a_recording(raw, tmp_path, capsys):
    """The header stays as it was when signals that had been cut short are copied again."""
    pytest.importorskip("pybv")
    path = tmp_path / "x.vhdr"
    raw.export(path, verbose="error")
    signals = path.with_suffix(".eeg")
    whole = signals.read_bytes()
    signals.write_bytes(whole[: len(whole) // 2])
    command = ["batch", str(path), "--events", "left", "--montage", FSAVERAGE_1005]
    command += ["--tmin", "0", "--tmax", "0.1", "--out", str(tmp_path / "out")]
    main(command)
    said = capsys.readouterr().out
    assert "Warning, 1 of 1 files" in said
    assert "cut short" in said
    estimate = tmp_path / "out" / "x-mmnet-stc.h5"
    half = estimate.read_bytes()
    main(command)
    assert estimate.read_bytes() == half
    signals.write_bytes(whole)
    capsys.readouterr()
    main(command)
    assert estimate.read_bytes() != half
    assert "cut short" not in capsys.readouterr().out


def test_no_positions_in_the_file(raw, tmp_path, capsys):
    bare = mne.io.RawArray(
        raw.get_data(), mne.create_info([f"EEG {n}-REF" for n in raw.ch_names], 500.0, "eeg")
    )
    epochs = mne.EpochsArray(
        bare.get_data()[None, :, 390:460], bare.info, event_id=dict(a=1), verbose="error"
    )
    epochs.save(tmp_path / "x-epo.fif", verbose="error")
    command = ["localize", str(tmp_path / "x-epo.fif"), "--out", str(tmp_path)]
    assert main(command) == 2
    assert f"--montage {FSAVERAGE_1005}" in capsys.readouterr().err
    assert main([*command, "--montage", COLIN27_1005]) == 0
    capsys.readouterr()
    assert main([*command, "--montage", "no-such"]) == 2
    assert "There is no montage 'no-such'" in capsys.readouterr().err


@needs_mne_113
def test_a_batch_keeps_what_is_said_of_a_montage(tmp_path, capsys):
    info, _, lead = cases.head()
    info = info.copy()
    for channel in info["chs"]:
        channel["loc"][0] *= -1
    for subject in range(3):
        evoked = cases.make_response(info, lead, seed=subject)
        evoked.save(tmp_path / f"s{subject}-ave.fif", verbose="error")
    (tmp_path / "s3-ave.fif").write_bytes(b"nothing")
    files = [str(path) for path in sorted(tmp_path.glob("*-ave.fif"))]
    assert main(["batch", *files, "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().out
    assert "Concern, 3 of 4 files: These are not head coordinates" in told
    assert "Failed" in told
    for subject in range(3):
        record = json.loads((tmp_path / "out" / f"s{subject}-mmnet.json").read_text())
        assert any("mirror image" in text for text in record["warnings"])
        assert any("mirror image" in text for text in record["concerns"])
    table = (tmp_path / "out" / "mmnet-batch.csv").read_text(encoding="utf-8")
    assert "warnings" in table.splitlines()[0]
    assert table.count("They are placed by their names instead") == 3
    # what was done needs no advice to do it, and is not called a fault of the forward solution
    record = json.loads((tmp_path / "out" / "s0-mmnet.json").read_text())
    (concern,) = (text for text in record["concerns"] if "mirror image" in text)
    assert concern.endswith("it has its electrodes elsewhere, without fault.")
    assert "set_montage" not in concern
    assert "Compare one side of the data with the other" in concern  # names may be wrong as well


@pytest.mark.parametrize("spacing", ["ico9", "abc", "1"])
def test_spacing_of_the_command(spacing, tmp_path, capsys):
    info, _, lead = cases.head()
    path = tmp_path / "x-ave.fif"
    cases.make_response(info, lead).save(path, verbose="error")
    assert main(["localize", str(path), "--spacing", spacing, "--out", str(tmp_path)]) == 2
    assert "'ico3', or a distance in mm" in capsys.readouterr().err
    if spacing == "1":
        assert main(["localize", str(path), "--spacing", "20", "--out", str(tmp_path)]) == 0


def test_device_error_is_one_line():
    if torch.backends.mps.is_available():
        pytest.skip("there is one")
    with pytest.raises(ValueError, match="mps") as caught:
        mne_mmnet.make_mmnet_operator(*cases.head()[:2], device="mps")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_labels_of_fsaverage():
    info, fwd, lead = cases.head()
    evoked = cases.make_response(info, lead)
    labels = [
        mne.Label(np.arange(3000), hemi="lh", subject=s) for s in ("fsaverage", "fsaverage5")
    ]
    first, second = (mne_mmnet.apply_mmnet_inverse(evoked, fwd, label=label) for label in labels)
    assert_array_equal(first.data, second.data)
    assert first.subject == "fsaverage5"
    with pytest.raises(ValueError, match="sample"):
        mne_mmnet.apply_mmnet_inverse(
            evoked, fwd, label=mne.Label([1, 2], hemi="lh", subject="sample")
        )
    pytest.importorskip("sklearn")
    epochs = mne.EpochsArray(evoked.data[None], evoked.info, verbose="error")
    courses = [
        mne_mmnet.SourceTransformer(evoked.info, fwd, labels=[label]).fit_transform(epochs)
        for label in labels
    ]
    assert_array_equal(*courses)
    assert labels[0].subject == "fsaverage"


@pytest.mark.parametrize("loose", [None, 0.0, 0.2, 1.0])
@pytest.mark.parametrize("form", ["free", "surface", "fixed"])
def test_a_lead_field_of_ones_own_is_used(form, loose, rng):
    import mne_cases

    if form == "fixed" and loose not in (None, 0.0):
        return
    info, fwd = mne_cases.make_info(), mne_cases.make_fwd()
    with mne.use_log_level("error"):
        if form != "free":
            fwd = mne.convert_forward_solution(
                fwd, surf_ori=True, force_fixed=form == "fixed", use_cps=False
            )
    mine = fwd.copy()
    mine["sol"]["data"] = mine["sol"]["data"] * rng.uniform(0.5, 2, (64, 1))
    one, two = (
        mne_mmnet.make_mmnet_operator(info, each, loose=loose, use_cps=False, verbose="error")
        for each in (fwd, mine)
    )
    rows = [mine["sol"]["row_names"].index(name) for name in two.prepared.ch_names]
    before = one.prepared.gain
    factors = mine["sol"]["data"][rows, 0] / fwd["sol"]["data"][rows, 0]
    assert_allclose(two.prepared.gain, before * factors[:, None, None], rtol=2e-3, atol=1e-3)


def test_a_forward_solution_built_by_hand():
    import mne_cases

    info, fwd = mne_cases.make_info(), mne_cases.make_fwd().copy()
    expected = mne_mmnet.make_mmnet_operator(info, fwd, verbose="error").prepared
    for key in ("_orig_sol", "_orig_source_ori", "source_rr", "source_nn", "nsource"):
        del fwd[key]
    found = mne_mmnet.make_mmnet_operator(info, fwd, verbose="error").prepared
    assert_allclose(found.gain, expected.gain, atol=1e-4 * np.abs(expected.gain).max())
    assert "_orig_sol" not in fwd
    fwd["sol"]["data"] = fwd["sol"]["data"][:, :-1]
    with pytest.raises(ValueError, match="must have one column for each"):
        mne_mmnet.make_mmnet_operator(info, fwd)


def test_an_operator_is_copied():
    operator = mne_mmnet.make_mmnet_operator(*cases.head()[:2], verbose="error")
    assert copy.deepcopy(operator) is copy.copy(operator) is operator
    assert pickle.loads(pickle.dumps(operator)).prepared.ch_names == operator.prepared.ch_names
    base = pytest.importorskip("sklearn.base")
    transformer = base.clone(mne_mmnet.SourceTransformer(cases.head()[0], operator))
    assert transformer.fwd is operator


@pytest.mark.parametrize("setting", ["float64", "bfloat16 autocast", "meta", "inference mode"])
def test_torch_settings_of_others(setting):
    info, fwd, lead = cases.head()
    evoked = cases.make_response(info, lead)
    expected = mne_mmnet.apply_mmnet_inverse(evoked, fwd)
    try:
        if setting == "float64":
            torch.set_default_dtype(torch.float64)
        elif setting == "meta":
            torch.set_default_device("meta")
        with (
            torch.autocast("cpu", torch.bfloat16, enabled="autocast" in setting),
            torch.inference_mode(setting == "inference mode"),
        ):
            found, report = mne_mmnet.apply_mmnet_inverse(evoked, fwd, return_report=True)
            stream = mne_mmnet.MMNetStream(
                mne_mmnet.make_mmnet_operator(evoked.info, fwd), evoked.info
            )
            stream.push(evoked.data)
            assert torch.is_autocast_enabled("cpu") == ("autocast" in setting)
        assert torch.get_default_dtype() == getattr(torch, setting, torch.float32)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert_array_equal(found.data, expected.data)
    assert report.descended


def _localize_in_child(evoked, operator, queue):
    queue.put(mne_mmnet.apply_mmnet_inverse(evoked, operator).data)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_wait(tmp_path):
    script = tmp_path / "forks.py"
    script.write_text(
        "import multiprocessing, sys, warnings\n"
        f"sys.path[:0] = [{str(ROOT / 'tests')!r}]\n"
        "import numpy as np, torch, template_cases as cases, mne_mmnet\n"
        "from test_what_people_have import _localize_in_child\n"
        "warnings.simplefilter('ignore')\n"
        "torch.set_num_threads(2)\n"
        "info, fwd, lead = cases.head()\n"
        "evoked = cases.make_response(info, lead)\n"
        "operator = mne_mmnet.make_mmnet_operator(evoked.info, fwd)\n"
        "expected = mne_mmnet.apply_mmnet_inverse(evoked, operator).data\n"
        "a = torch.randn(700, 700); a @ a\n"  # OpenMP's threads are there now
        "context = multiprocessing.get_context('fork')\n"
        "queue = context.Queue()\n"
        "child = context.Process(target=_localize_in_child, args=(evoked, operator, queue))\n"
        "child.start()\n"
        "found = queue.get(timeout=60)\n"
        "child.join()\n"
        "assert np.allclose(found, expected, rtol=1e-4, atol=1e-13)\n"
    )
    run_python(script, timeout=240)


def test_pyvista_theme_of_others(rng):
    pyvista = pytest.importorskip("pyvista")
    _, fwd, _ = cases.head()
    vertices = [space["vertno"] for space in fwd["src"]]
    data = 2e-8 * (np.arange(fwd["nsource"]) == cases.LEFT)[:, None].astype(float)
    stc = mne.SourceEstimate(data, vertices, 0, 1, subject="fsaverage5")
    before = mne_mmnet.plot_sources(stc, verbose="error")
    try:
        pyvista.global_theme.opacity = 0.5
        pyvista.global_theme.show_edges = True
        assert_array_equal(mne_mmnet.plot_sources(stc, verbose="error"), before)
    finally:
        pyvista.global_theme.restore_defaults()


def test_models_in_a_clone_that_is_not_installed(tmp_path):
    """``pretrained`` lies beside the package, not in it."""
    shutil.copytree(
        ROOT / "mne_mmnet",
        tmp_path / "mne_mmnet",
        symlinks=True,
        ignore=shutil.ignore_patterns("pretrained", "__pycache__"),
    )
    (tmp_path / "pretrained").symlink_to(ROOT / "pretrained")
    code = (
        "import sys; sys.meta_path = [x for x in sys.meta_path if 'editable' not in repr(x)]\n"
        "import mne_mmnet; print(mne_mmnet.__file__); print(mne_mmnet.read_model('mmnet-base'))\n"
        "print(mne_mmnet.list_models())"
    )
    said = run_python("-c", code, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert str(tmp_path) in said
    assert "mmnet-cosine" in said


def test_clean_simulations_raise_no_concern():
    """40 of the 200 of ``benchmarks/faults.py``: at most 2 % may."""
    n_concerns = 0
    for number in range(40):
        montage, names = (("biosemi64", None), (COLIN27_1005, tuple(cases.NAMES)))[number % 2]
        info, fwd, lead = cases.head(montage, names)
        evoked = cases.make_response(info, lead, (31 * number) % lead.shape[1], seed=number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, report, _ = cases.localize(evoked, fwd)
        n_concerns += bool([text for text in report.concerns if "window" not in text])
    assert n_concerns <= 1


@pytest.mark.parametrize("length", [1, 5])
@pytest.mark.parametrize("marks", [[], ["BAD_blink", "bad jump"]])
def test_events_of_a_trigger_channel(length, marks, raw, tmp_path):
    """Amplifiers write triggers, some of one sample; bad segments are no events."""
    expected = _epochs(raw)["left"].average()
    trigger = np.zeros((1, raw.n_times))
    for number, onset in enumerate(raw.annotations.onset):
        first = round(onset * 500)
        trigger[0, first : first + length] = (7, 9)[number % 2]
    info = mne.create_info(["Status"], 500.0, "stim", verbose="error")
    raw.add_channels([mne.io.RawArray(trigger, info, verbose="error")], force_update_info=True)
    raw.set_annotations(mne.Annotations([0.1] * len(marks), 0.01, marks))
    raw.save(tmp_path / "x_raw.fif", verbose="error")
    evoked, what = read_average(tmp_path / "x_raw.fif", averaging=Averaging("7"))
    assert "Averaged 6 epochs of '7'" in what
    assert_allclose(evoked.data, expected.data, atol=1e-12)
    with pytest.raises(ValueError, match="no events '8'; it has '7', '9'"):
        read_average(tmp_path / "x_raw.fif", averaging=Averaging("8"))


def test_no_event_at_all(raw, tmp_path):
    """Bad segments are no events, and there is no trigger channel."""
    raw.set_annotations(mne.Annotations(1.0, 0.1, "BAD")).save(tmp_path / "x_raw.fif")
    with pytest.raises(ValueError, match=r"a raw recording. It has no events. Say which"):
        read_average(tmp_path / "x_raw.fif")


@pytest.mark.parametrize("kind", ["raw", "epo"])
def test_no_good_epoch(kind, raw, tmp_path):
    """Where all epochs are lost, that is said, not an average of nothing."""
    path = tmp_path / f"x-{kind}.fif"
    if kind == "raw":
        raw.set_annotations(mne.Annotations(13.9, 0.0, "right")).save(path, verbose="error")
    else:
        epochs = _epochs(raw)
        epochs.drop(epochs.events[:, 2] == 2, verbose="error").save(path, verbose="error")
    with pytest.raises(ValueError, match="holds no good epoch of 'right'"):
        read_average(path, "right", Averaging("right"))


def test_an_average_of_besa(tmp_path):
    """BESA writes µV, and no positions: they are those of a file or of a montage."""
    names = ["Fp1", "Cz", "Oz"]
    header = "Npts= 4 TSB= -8.0 DI= 4.0 SB= 1.0 SC= 200.0 Nchan= 3 SegmentName= tones\n"
    rows = "".join(f"{k} {k}.5 0 -1\n" for k in range(3))
    (tmp_path / "x.avr").write_text(f"{header}{' '.join(names)}\n{rows}")
    evoked, what = read_average(tmp_path / "x.avr")
    assert (evoked.comment, evoked.ch_names, what) == ("tones", names, "")
    assert evoked.times == pytest.approx([-0.008, -0.004, 0.0, 0.004])
    assert_allclose(evoked.data[2], [2e-6, 2.5e-6, 0.0, -1e-6])
    (tmp_path / "cap.sfp").write_text("Fp1 -3 9 2\nCz 0 0 10\nnasion 0 10 0\n")
    placed, what = name_places(evoked, str(tmp_path / "cap.sfp"))
    assert "cap.sfp for 2 channels. 1 channel (Oz) unknown to it, and left out." in what
    assert placed.info["bads"] == ["Oz"]
    # MNE takes such numbers for a shape, and gives it the size of a head
    assert_allclose(placed.info["chs"][1]["loc"][:3], [0.0, 0.0, 0.095], atol=1e-6)
    with pytest.raises(ValueError, match=r"'GSN-HydroCel-32' has none of.*Fp1.*It has .*E1"):
        name_places(evoked, "GSN-HydroCel-32")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (struct.pack(">iIii", 100, 31, 0, 0), "its end is missing: it was cut short"),
        (struct.pack(">iIii", 100, 31, 0, -5), "(no FIF)."),
        (b"\x1f\x8b no gzip", "(no FIF)."),
        (None, "(no FIF)."),
    ],
)
def test_why_a_file_cannot_be_read(content, reason, tmp_path):
    """Only files that do end too early are said to; of others the reader's word stands."""

    def fail(path):
        raise KeyError("no FIF")

    path = tmp_path / "x-fwd.fif"
    path.mkdir() if content is None else path.write_bytes(content)
    reason = reason.replace("(no FIF)", "('no FIF')")
    with pytest.raises(ValueError, match=re.escape(reason)) as said:
        read_file(fail, path, "a forward solution")
    assert str(said.value).startswith(f"{path} cannot be read as a forward solution ")


def test_a_forward_solution_with_another_number_of_names():
    _, fwd, _ = cases.head()
    fwd = fwd.copy()
    fwd["sol"]["data"] = fwd["sol"]["data"][:-2]
    with pytest.raises(ValueError, match="has 28 rows and 30 names.*Make the forward solution"):
        mne_mmnet.make_mmnet_operator(cases.head()[0], fwd)


@pytest.mark.parametrize("kept", ["of other channels", "of fixed sources"])
def test_a_lead_field_is_used_whatever_mne_keeps_beside_it(kept):
    """MNE's private copy has another shape: the lead field that is seen is the one that counts."""
    info, fwd, lead = cases.head()
    changed = fwd.copy()
    if kept == "of fixed sources":
        changed["_orig_sol"] = changed["sol"]["data"][:, 2::3]
    else:
        changed["_orig_sol"] = changed["_orig_sol"][:-1]
    evoked = cases.make_response(info, lead)
    expected, found = (cases.localize(evoked, x)[0] for x in (fwd, changed))
    assert_allclose(found.data, expected.data, rtol=0, atol=1e-5 * expected.data.max())


def test_channels_that_a_covariance_lacks():
    """They are left out, and said to be."""
    info, fwd, lead = cases.head()
    evoked = cases.make_response(info, lead)
    cov = mne.make_ad_hoc_cov(evoked.info, std=dict(eeg=3e-7), verbose=False)
    cov = cov.copy().pick_channels([name for name in info["ch_names"] if name not in ("C3", "Cz")])
    _, report, _ = cases.localize(evoked, fwd, noise_cov=cov)
    (concern,) = (text for text in report.concerns if "covariance" in text)
    assert "2 channels (C3, Cz)" in concern
    assert "not in the noise covariance" in concern


@pytest.mark.parametrize("frame", [FIFF.FIFFV_COORD_HEAD, FIFF.FIFFV_COORD_MRI])
def test_frame_that_places_are_named_in(frame):
    """Without a way to MNI152 coordinates are those of the forward solution, under its name."""
    _, fwd, _ = cases.head()
    fwd = fwd.copy()
    fwd["coord_frame"] = frame
    for space in fwd["src"]:
        space["subject_his_id"] = None
    stc = mne.SourceEstimate(
        np.zeros((fwd["nsource"], 1)), [s["vertno"] for s in fwd["src"]], 0, 1
    )
    found = Places(stc, fwd, None, None).frame
    assert found == ("head" if frame == FIFF.FIFFV_COORD_HEAD else "MRI") + " coordinates"


@pytest.mark.parametrize("directions", ["free", "fixed"])
def test_a_fixed_lead_field_in_a_free_forward_solution(directions):
    """Said before MNE multiplies what does not fit; what is changed as a whole is used."""
    info, fwd, lead = cases.head()
    fwd = fwd.copy()
    fwd["sol"]["data"] = lead.copy()
    if directions == "fixed":
        fwd["source_nn"] = fwd["source_nn"][2::3]
    words = "1175 columns for 1175 sources, .* says free orientations. Change all three, or use"
    with pytest.raises(ValueError, match=words):
        mne_mmnet.make_mmnet_operator(info, fwd)
    if directions == "fixed":
        fwd["source_ori"] = FIFF.FIFFV_MNE_FIXED_ORI
        operator = mne_mmnet.make_mmnet_operator(info, fwd)
        assert operator.prepared.gain.shape[-1] == 1
