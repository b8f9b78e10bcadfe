"""The recordings of benchmarks/people.py, and how another commit is served beside."""

import subprocess
import sys

import numpy as np
import pytest

from benchmark_cases import FOLDER, benchmark_modules, coarse_heads

STUB = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from against import localiser, serve

def localise(evoked, fwd, noise_cov, options):
    if "fail" in options:
        raise ValueError("as told")
    trace = 0.0 if noise_cov is None else np.trace(noise_cov.data)
    return dict(data=evoked.data, n_sources=fwd["nsource"], trace=trace, loose=options["loose"])

serve(localiser(localise))
"""


@pytest.fixture(scope="module", autouse=True)
def _benchmarks():
    with benchmark_modules(), coarse_heads():
        yield


def make_people(folder):
    from people_suite import People

    return People(folder, fine="ico3", coarse="ico2", montages=("10-20",))


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return make_people(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def recording(people):
    from people_suite import draw_recording

    return draw_recording(people, "dipole", "10-20", 0, 0)


def test_same_twice(people, recording):
    """From what was written, too, and whatever was drawn before."""
    from people_suite import draw_recording

    again = make_people(people.folder)
    other = draw_recording(again, "main", "10-20", 0, 1)
    twin = draw_recording(again, "dipole", "10-20", 0, 0)
    np.testing.assert_array_equal(twin.data, recording.data)
    np.testing.assert_array_equal(twin.baseline, recording.baseline)
    assert twin.factors == recording.factors
    assert other.factors["fingerprint"] != recording.factors["fingerprint"]


def test_truth_makes_the_recording(people, recording):
    true = people.true(0)
    signal = true.gain[people.rows("10-20")] @ recording.currents
    signal -= signal.mean(axis=0)
    noise = recording.data - signal
    # as loud as before the window, 10 dB below the signal
    ratio = np.mean(signal**2) / np.mean(recording.baseline**2)
    assert 10.0 * np.log10(ratio) == pytest.approx(10.0, abs=0.1)
    assert 0.2 < np.mean(noise**2) / np.mean(recording.baseline**2) < 5.0
    np.testing.assert_allclose(recording.data.mean(axis=0), 0.0, atol=1e-12)


@pytest.mark.parametrize("head", ["template", "own"])
def test_heads(people, recording, head):
    """Sources keep their vertex; the own head has its own folds, and another name."""
    from people_scores import Estimate, score
    from people_suite import make_case

    inversion = people.inversion(head, "10-20", 0)
    case = make_case(recording, inversion)
    same, true = inversion.coarse_in_fine, people.true(0)
    np.testing.assert_allclose(
        inversion.positions, inversion.fine_positions[same], rtol=0, atol=1e-2
    )
    np.testing.assert_allclose(case.truth.sum(axis=0), recording.currents.sum(axis=0))
    (subject,) = {space["subject_his_id"] for space in inversion.fwd["src"]}
    if head == "own":
        assert subject == "person00"
        np.testing.assert_allclose(inversion.normals, true.normals[same], atol=1e-4)
        places = people.true(0).digitised[people.rows("10-20")]
        found = [channel["loc"][:3] for channel in case.evoked.info["chs"]]
        np.testing.assert_allclose(found, places, atol=1e-6)
    else:
        assert subject.startswith("fsaverage")
    # different lead fields, yet of alike heads
    columns = [true.gain[people.rows("10-20")][:, same], inversion.fwd["sol"]["data"]]
    columns = [gain - gain.mean(axis=0) for gain in columns]
    units = [gain / np.linalg.norm(gain, axis=0) for gain in columns]
    assert 0.8 < np.median(np.sum(units[0] * units[1], axis=0)) < 0.99999
    scores = score(Estimate.of(case.truth, inversion), case, inversion)
    assert scores["space_time_cosine"] == pytest.approx(1.0)
    assert scores["earth_movers_distance_mm"] == pytest.approx(0.0, abs=1e-9)
    assert scores["moment_along_normals"] == pytest.approx(1.0)


def test_covariances(people, recording):
    from people_suite import make_case

    inversion = people.inversion("template", "10-20", 0)
    covs = {
        kind: make_case(recording, inversion, kind).noise_cov for kind in ("60 s", "short", "none")
    }
    assert covs["none"] is None
    assert covs["60 s"]["nfree"] == 60 * 256
    assert covs["short"]["nfree"] == recording.n_short


def test_against(people, recording):
    """What is sent arrives, failures are told, and the process can go on."""
    from against import Revision
    from people_suite import make_case

    inversion = people.inversion("template", "10-20", 0)
    case = make_case(recording, inversion)
    command = [sys.executable, "-c", STUB, str(FOLDER)]
    with Revision(command=command) as other:
        found = other.localise(case.evoked, case.noise_cov, inversion, loose=0.2)
        np.testing.assert_array_equal(found["data"], case.evoked.data)
        assert found["n_sources"] == len(inversion.positions)
        assert found["trace"] == pytest.approx(np.trace(case.noise_cov.data))
        assert found["loose"] == 0.2
        with pytest.raises(RuntimeError, match="as told"):
            other.localise(case.evoked, None, inversion, fail=True)
        assert other.localise(case.evoked, None, inversion, loose=1)["trace"] == 0.0


def test_against_ends():
    from against import Revision

    with Revision(command=[sys.executable, "-c", "raise SystemExit(3)"]) as other:
        for _ in range(2):  # started anew, it ends again
            with pytest.raises(RuntimeError, match=r"ended \(3\)"):
                other.ask(dict(fwd="", info=""))


def test_export(tmp_path):
    """A commit, whatever the working tree holds by now."""
    from against import export

    repository = tmp_path / "repository"
    for name in ("mne_mmnet", "pretrained"):
        (repository / name).mkdir(parents=True)
        (repository / name / "__init__.py").write_text("")
    (repository / "mne_mmnet" / "answer.py").write_text("ANSWER = 42\n")
    who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", str(repository), *words], check=True)
    (repository / "mne_mmnet" / "answer.py").write_text("ANSWER = 0\n")
    tree = export("HEAD", tmp_path / "exports", repository)
    assert (tree / "mne_mmnet" / "answer.py").read_text() == "ANSWER = 42\n"
    assert (tree / "mne_mmnet" / "pretrained" / "__init__.py").exists()
    assert export("HEAD", tmp_path / "exports", repository) == tree


def test_late_replies_are_nobody_elses(monkeypatch):
    """A request that was given up is not answered in the next one's place."""
    import runner
    from against import Served

    monkeypatch.setattr(runner, "TIME_LIMIT", 2)
    echo = (
        "import json, sys, time\n"
        "for line in sys.stdin:\n"
        "    seconds = json.loads(line)\n"
        "    time.sleep(seconds)\n"
        "    print(json.dumps(dict(slept=seconds)), flush=True)\n"
    )
    with Served([sys.executable, "-c", echo]) as other:
        assert runner.attempt(other.ask, 3)[1]["failure"].startswith("TimeoutError")
        assert other.ask(0) == dict(slept=0)
