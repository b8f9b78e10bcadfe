"""Ctrl-C at several moments, pressed for real: whole files, a state to go on from, no flood."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import mne
import pytest
import torch

import mne_mmnet
from core_cases import random_network
from mne_cases import make_fwd
from mne_mmnet._cli import main
from mne_mmnet.template import surfaces
from mne_mmnet.training import train
from mne_mmnet.training.fine_tuning.evidence import FineTuneConfig
from mne_mmnet.training.interrupt import Interrupt
from mne_mmnet.weights import read_model, save_model
from test_training import CONFIG, ring_people

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as a signal")

PATIENCE = 180  # s, for a busy machine
# what ndarray.tofile makes of an interrupt while it asks whether it was given a file (NumPy 1.26)
SWALLOWED = "TypeError: expected str, bytes or os.PathLike object, not BufferedWriter"


class Program:
    """A process in a session of its own, as a terminal would start it."""

    def __init__(self, argv, **env):
        self.process = subprocess.Popen(
            [sys.executable, *argv],
            env=os.environ | {"MNE_DONTWRITE_HOME": "true"} | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def interrupt_when(self, happened):
        """Press Ctrl-C, which reaches all processes of the session; return what was said.

        Libraries that are being imported swallow it now and then, so it is pressed again.
        """
        stop = time.monotonic() + PATIENCE
        while not happened():
            if self.process.poll() is not None:
                raise AssertionError(f"It ended too early: {self.process.communicate()}")
            assert time.monotonic() < stop, "it took too long"
            time.sleep(0.01)
        while self.process.poll() is None:
            assert time.monotonic() < stop, "it does not stop"
            os.killpg(self.process.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        out, err = self.process.communicate()
        if not (err.count("Traceback") == 1 and err.strip().endswith(SWALLOWED)):
            assert self.process.returncode == 130, err
            assert "Traceback" not in err
        return out + err

    def finish(self):
        out, err = self.process.communicate(timeout=2 * PATIENCE)
        assert self.process.returncode == 0, err
        return out + err


def debris(folder):
    """Scratch files, which nobody should ever see."""
    return [path for path in folder.rglob("*") if path.name.startswith((".", "tmp"))]


# Training ---------------------------------------------------------------------------------------


def test_training(tmp_path):
    """The command is stopped in its first and in a later session, and goes on each time."""
    people = tmp_path / "people"
    ring_people(40, n_people=2).save(people / "ring-2-seed0.npz")
    ring_people(40, n_people=2).save(people / "ring-8-seed1000.npz")
    save_model(random_network(0, 0.1), tmp_path / "start", domain={}, provenance={})
    run = tmp_path / "run"
    argv = ["-m", "mne_mmnet.training", "--out", run, "--people-folder", people]
    argv += ["--initial", tmp_path / "start", "--spaces", "ring:2:1.0", "--workers", "1"]
    argv += ["--n-batches", "100000", "--save-every", "3", "--batch-size", "2"]
    argv += ["--n-steps", "1", "2", "--n-channels", "12", "14", "--max-times", "12"]
    argv = [str(x) for x in [*argv, "--orients", 1, 0, 0, 0]]
    reached = []
    for n_entries in (1, 2):

        def happened(log=run / "log.jsonl", n=n_entries):
            return log.exists() and len(log.read_text().splitlines()) >= n

        said = Program(argv).interrupt_when(happened)
        assert "finishing this batch" in said
        assert "the same command goes on where it stopped" in said
        assert len(said.splitlines()) < 10
        state = torch.load(run / "checkpoint.pt", weights_only=True)
        reached.append(state["batch"])
        assert not debris(tmp_path)
    log = [json.loads(line)["batch"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert log == sorted(set(log))
    assert 3 <= reached[0] < reached[1]
    assert sorted(path.name for path in run.iterdir()) == ["checkpoint.pt", "log.jsonl"]


@pytest.mark.parametrize("moment", [0, 1, 3, 5])
def test_training_goes_on_exactly(tmp_path, monkeypatch, moment):
    """Wherever it is stopped: no batch is lost, none is done twice, the end is the same."""
    monkeypatch.setattr("mne_mmnet.training.loop._N_VALIDATION", 1)
    people = [ring_people()]
    whole, _ = train(CONFIG, tmp_path / "whole", people, save_every=4)

    def press(batches):
        for k in batches:
            if k == moment:
                os.kill(os.getpid(), signal.SIGINT)
            yield k

    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, tmp_path / "parts", people, save_every=4, progress=press)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    state = torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)
    assert state["batch"] == moment + 1
    parts, _ = train(CONFIG, tmp_path / "parts", people, save_every=4)
    for one, other in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_second_interrupt_stops_at_once():
    """The first one is noted, the second one does not wait."""

    def press_twice():
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGINT)
            assert interrupt.asked
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("still there")

    with pytest.raises(KeyboardInterrupt):
        press_twice()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_and_handlers_are_left_alone():
    """Signals belong to the main thread, and to whoever handles them already."""
    seen = []

    def work():
        with Interrupt() as interrupt:
            interrupt.answer(pytest.fail)
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupt():
            seen.append(signal.getsignal(signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.default_int_handler, signal.SIG_IGN]


# Fine-tuning ------------------------------------------------------------------------------------


QUICK = dict(n_heads=2, n_held_out=2)
FINETUNE = f"""
import functools, sys
from mne_mmnet.training.fine_tuning import own_forward
from mne_mmnet import _cli
own_forward.FineTuneConfig = functools.partial(own_forward.FineTuneConfig, **{QUICK})
sys.exit(_cli.main(sys.argv[1:]))
"""


def test_finetune(tmp_path, capsys, monkeypatch):
    """The command is stopped, says so in one line, and goes on when it is called again."""
    mne.write_forward_solution(tmp_path / "my-fwd.fif", make_fwd(), verbose=False)
    out, folder = tmp_path / "mine", tmp_path / "mine-checkpoints"
    argv = ["finetune", str(tmp_path / "my-fwd.fif"), "--out", str(out), "--minutes"]
    program = Program(["-c", FINETUNE, *argv, "30"])
    said = program.interrupt_when((folder / "fine-tune.pt").exists)
    assert "the same command goes on" in said
    assert not debris(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["fine-tune.pt"]
    assert not list(tmp_path.glob("mine.*"))
    n_batches = torch.load(folder / "fine-tune.pt", weights_only=True)["n_batches"]
    monkeypatch.setattr(
        "mne_mmnet.training.fine_tuning.own_forward.FineTuneConfig",
        partial(FineTuneConfig, **QUICK),
    )
    assert main([*argv, "0.02", "--verbose"]) == 0
    assert f"fine-tune.pt at batch {n_batches}" in capsys.readouterr().out
    assert read_model(out).card.provenance["outcome"]["n_batches"] >= n_batches
    assert list(folder.iterdir()) == []


# Cache ------------------------------------------------------------------------------------------

BUILD = """
import sys
from pathlib import Path
import mne
from mne_mmnet.template.make import make_template_bem
solve = mne.make_bem_solution

def tell_and_solve(surfs):
    Path(sys.argv[1]).touch()
    return solve(surfs)

mne.make_bem_solution = tell_and_solve
try:
    make_template_bem(verbose="error")
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_cache(tmp_path):
    """Stopped while the subject is written, then while the head model is computed."""
    cache, computing = tmp_path / "cache", tmp_path / "computing"
    subjects, bem = (cache / f"v{surfaces.LAYOUT}" / part for part in ("subjects", "bem"))
    env = dict(MNE_MMNET_CACHE=str(cache), SUBJECTS_DIR=str(tmp_path / "none"))
    argv = ["-c", BUILD, str(computing)]
    Program(argv, **env).interrupt_when(lambda: any(subjects.glob(".*/*/surf/lh.pial")))
    assert list(subjects.iterdir()) == []
    assert not computing.exists()
    Program(argv, **env).interrupt_when(computing.exists)
    assert [path.name for path in subjects.iterdir()] == [surfaces.SUBJECT]
    assert surfaces.is_template(subjects / surfaces.SUBJECT)
    assert not bem.exists()
    assert not debris(tmp_path)


def test_helpers_of_the_tests(tmp_path):
    """Scratch files would be found, and the library is the one that is tested."""
    (tmp_path / ".scratch").touch()
    assert debris(tmp_path)
    found = Program(["-c", "import mne_mmnet; print(mne_mmnet.__file__)"]).finish().strip()
    assert found == mne_mmnet.__file__
