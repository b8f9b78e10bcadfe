"""The benchmarks' one runner: what is kept, gone on with, spread over processes, and told."""

import time
from argparse import Namespace

import numpy as np
import pytest

from benchmark_cases import benchmark_modules

KEYS = ("person", "number")
CASES = [(person, number) for person in range(3) for number in range(2)]


@pytest.fixture(autouse=True)
def _benchmarks():
    with benchmark_modules():
        yield


def make(args):
    """Make a worker that answers with a number, and fails on one case if it is told to."""
    import torch
    from runner import measured

    def ask(address, due):
        if address == args.interrupted:
            raise KeyboardInterrupt
        person, number = address
        factors = dict(person=person, number=number, fingerprint=[args.data, 1.0])
        for name in ("first", "second"):
            if due(name, factors):
                yield name, factors, measured(answer, name, address)

    def answer(name, address):
        if (name, address) == ("second", args.failing):
            raise ValueError("no answer")
        return dict(value=np.arange(2) + address[0], threads=torch.get_num_threads())

    return ask


def run(folder, sha256="a", **options):
    """Run all cases; return stores as they are read anew."""
    from runner import Store
    from runner import run as run_cases

    def read():
        return {
            name: Store(folder / f"{name}.jsonl", KEYS, sha256) for name in ("first", "second")
        }

    defaults = dict(jobs=1, again=False, retry=False, data=1.0, failing=None, interrupted=None)
    run_cases(make, Namespace(**(defaults | options)), CASES, read())
    return read()


def count_lines(folder):
    return sum(len(path.read_text().splitlines()) for path in folder.glob("*.jsonl"))


def test_goes_on_where_it_was_interrupted(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, interrupted=(1, 1))
    assert count_lines(tmp_path) == 6
    # killed while it wrote: the line is cut, and what comes next is not glued to it
    path = tmp_path / "second.jsonl"
    path.write_text(path.read_text()[:-20])
    stores = run(tmp_path)
    for store in stores.values():
        values = [record["scores"]["value"][0] for record in store.select(CASES)]
        assert values == [0, 0, 1, 1, 2, 2]
    n_lines = count_lines(tmp_path)
    assert n_lines == 13
    run(tmp_path)
    assert count_lines(tmp_path) == n_lines


def test_other_data_or_weights_are_computed_anew(tmp_path):
    run(tmp_path)
    run(tmp_path, data=1.1)
    assert count_lines(tmp_path) == 24
    stores = run(tmp_path, data=1.1, sha256="b")
    assert count_lines(tmp_path) == 36
    assert all(r["model_sha256"] == "b" for r in stores["first"].select(CASES))
    run(tmp_path, data=1.1)
    assert count_lines(tmp_path) == 36


def test_failures_are_told(tmp_path, capsys):
    from runner import answers

    stores = run(tmp_path, failing=(2, 0))
    assert "FAILED: second 2 0: ValueError: no answer" in capsys.readouterr().out
    found, counts = answers(stores["second"].select(CASES))
    assert counts == "5 results, 1 FAILED and left out"
    assert [one["person"] for one in found] == [0, 0, 1, 1, 2]
    run(tmp_path)
    assert count_lines(tmp_path) == 12
    stores = run(tmp_path, retry=True)
    assert count_lines(tmp_path) == 13
    assert answers(stores["second"].select(CASES))[1] == "6 results"


@pytest.mark.filterwarnings("ignore")
def test_processes_answer_alike(tmp_path):
    alone, several = (
        [
            record["scores"]
            for store in run(tmp_path / str(jobs), jobs=jobs, failing=(0, 1)).values()
            for record in store.select(CASES)
        ]
        for jobs in (1, 2)
    )
    assert alone == several
    assert alone[0]["threads"] == 1


def test_no_answer_in_time(monkeypatch):
    import runner

    monkeypatch.setattr(runner, "TIME_LIMIT", 1)
    answer, result = runner.attempt(time.sleep, 60)
    assert answer is None
    assert result["failure"] == "TimeoutError: no answer in 1 s"
    assert result["seconds"] < 10


def test_rows_in_the_repository_are_read(tmp_path):
    """Rows of people.py that are kept beside its tables."""
    import tarfile

    from people_run import KEYS as PEOPLE_KEYS
    from people_scores import SCORES
    from runner import RESULTS, Store

    with tarfile.open(RESULTS / "people_rows.tar.gz") as archive:
        archive.extract("rows/own-mxne.jsonl", tmp_path, filter="data")
    path = tmp_path / "rows" / "own-mxne.jsonl"
    records = Store(path, PEOPLE_KEYS, None, SCORES).records
    assert len(records) == len(path.read_text().splitlines()) == 160
    assert not Store(path, PEOPLE_KEYS, "other weights", SCORES).records


def test_intervals():
    from intervals import clustered_interval, mean_columns

    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 6])
    values = rng.standard_normal((len(people), 3)) + people[:, None]
    quick = clustered_interval(values, people)
    slow = clustered_interval(values, people, lambda drawn: drawn.mean(axis=0))
    np.testing.assert_allclose(quick, slow, rtol=1e-12)
    # whole people are drawn: wider than if each recording were another person's
    width = np.subtract(*clustered_interval(values, range(len(people)))[::-1])
    assert (quick[1] - quick[0] > 1.3 * width).all()
    np.testing.assert_array_equal(
        clustered_interval(values, np.zeros(len(people))), [[-np.inf] * 3, [np.inf] * 3]
    )
    assert mean_columns("x", np.ones(4), [0, 0, 1, 1]) == dict(x="1", x_ci="1 … 1")


def test_comment(tmp_path, monkeypatch):
    """The command can be given again, and holds no path."""
    import runner

    parser = runner.make_parser("/somewhere/mine.py", "Mine.\n", work="mine")
    parser.add_argument("--covariance", default="60 s")
    args = parser.parse_args(["--work", str(tmp_path)])
    assert runner.made_by(args, "model covariance", "a note").startswith(
        "python benchmarks/mine.py --model mmnet-base --covariance '60 s'; a note; 20"
    )
    with pytest.raises(SystemExit):
        runner.choose(parser, ["nobody"], dict(all=("one",)), ("one",))
    assert runner.choose(parser, ["all"], dict(all=("one",)), ("one",)) == ["one"]
