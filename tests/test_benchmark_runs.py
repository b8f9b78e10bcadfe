"""Every benchmark that needs nothing from elsewhere, run with two cases on coarse heads."""

import functools
import importlib
import sys

import pytest

import mne_mmnet
from benchmark_cases import benchmark_modules, check_table, coarse_heads, optional, quoted_columns
from mne_cases import needs_mne_113

pytestmark = pytest.mark.xdist_group("benchmarks")
PEOPLE = ["--people", "2", "--montages", "10-20"]
# benchmark: its options, and the files that it writes
RUNS = {
    "people": (
        [*PEOPLE, "--methods", "mmnet", "MNE", "MxNE", "sLORETA, loose=0.2"],
        "people people_lead",
    ),
    "calibration": (PEOPLE, "calibration"),
    "ablation": (PEOPLE, "ablation"),
    "majorant": (
        [*PEOPLE, "--kinds", "event-related", "oscillations"],
        "majorant majorant_reach",
    ),
    "filters_accuracy": (["--people", "2"], "filters_trials filters_rest"),
    "transfer": (
        "--n-samples 1 --montages biosemi64 --snrs 5 10 --methods mmnet MNE MxNE LCMV".split(),
        "transfer transfer_lead",
    ),
    "limits": (["--share", "0.01", "--groups", "where", "count", "noise"], "limits"),
    "one_model": (["--n-samples", "2"], "one_model"),
    "amplitude": (["--n-dipoles", "2"], "amplitude"),
    "meg": (["--n-recordings", "2"], "meg"),
    "faults": ("--n-each 1 --n-pairs 1 --n-clean 2 --people 1".split(), "faults"),
    "precision": (["--n-cases", "1"], "precision"),
    "finetune": (["--minutes", "0.02", "--n-batches", "2", "--cases", "child"], "finetune"),
}

# these call MNE's sparse solvers with ``rng``, or need its MEG helmets
NEWER = ("people", "transfer", "meg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where heads and results are kept; source spaces are coarse, and loops short."""
    folder = tmp_path_factory.mktemp("benchmarks")
    with benchmark_modules(), coarse_heads() as patch:
        _shorten(patch, folder)
        yield folder


def _shorten(patch, folder):
    """Take two levels of a source space, one recording a person, and few steps."""
    import faults
    import filters_accuracy
    import finetune
    import limits_suite
    import majorant
    import meg
    import one_model
    import people_run
    import people_suite
    import precision
    import transfer_suite

    make = functools.partial(people_suite.People, fine="ico3", coarse="ico2", montages=["10-20"])
    coarse = functools.cache(make)  # the geometry of the template is of no run in particular
    for module in (people_run, majorant, filters_accuracy):
        patch.setattr(module, "People", coarse)
    patch.setitem(people_suite.N_RECORDINGS, "main", 1)
    patch.setattr(transfer_suite.Setup, "fine", "ico3")
    patch.setattr(transfer_suite.Setup, "coarse", "ico2")
    patch.setattr(transfer_suite, "HEADS", folder / "transfer" / "heads")
    patch.setattr(transfer_suite, "MONTAGES", ("10-20", "biosemi64"))
    # one source of a grid of 40 mm is near, at least
    patch.setattr(transfer_suite, "_TOLERANCE", 30.0)
    head = faults.TemplateHead
    patch.setattr(faults, "TemplateHead", lambda _, *cap: head("ico2", *cap))
    patch.setattr(filters_accuracy, "MONTAGE", "10-20")
    patch.setattr(filters_accuracy, "N_RECORDINGS", 1)
    for suite in (transfer_suite, limits_suite, one_model):
        patch.setattr(suite, "N_HEADS", 1)
    patch.setattr(precision, "HEADS", folder / "transfer" / "heads")
    patch.setattr(precision, "MONTAGES", ("biosemi64",))
    patch.setattr(precision, "SNRS_DB", (5,))
    patch.setattr(precision, "CONDITIONS", (1e14,))
    patch.setattr(precision, "REAL", folder)  # none
    everything = precision.recordings
    fitting = lambda n: (pair for pair in everything(n) if pair[0] != "mmnet-cosine")  # noqa: E731
    patch.setattr(precision, "recordings", fitting)  # whose sources are those of ico3
    patch.setattr(precision, "threadpool_limits", lambda *args, **kwargs: None)
    # what other processes would answer, in which heads are those of the real run
    patch.setattr(precision, "run_process", lambda task, *_: precision.TASKS[task]())
    patch.setattr(precision, "GROUPS", (("biosemi64", 2),))
    patch.setattr(majorant, "SHOWN", (1, 2, 4))
    patch.setattr(majorant, "TARGETS", {"analytic": 4})
    patch.setattr(majorant, "_REFERENCE", 8)
    patch.setattr(finetune, "N_HEADS", 1)
    patch.setattr(one_model, "SNRS_DB", (5,))
    patch.setattr(one_model, "_VOLUME_MM", 25.0)
    patch.setattr(one_model, "_FINE_VOLUME_MM", 20.0)
    patch.setattr(one_model, "SURFACES", ("ico2", "oct4"))
    patch.setattr(meg, "SELECTIONS", {"EEG": meg.SELECTIONS["EEG"], "MEG": meg.SELECTIONS["MEG"]})
    sensors = meg.make_forward
    patch.setattr(meg, "make_forward", lambda info, _: sensors(info, "ico2"))
    forward = mne_mmnet.make_template_forward
    patch.setattr(
        mne_mmnet,
        "make_template_forward",
        lambda info, spacing="ico2", **kwargs: forward(info, spacing, **kwargs),
    )


def options(name, folder, out):
    """Where this run's files are, as the benchmark's own options."""
    if name in ("amplitude", "meg", "finetune", "precision"):
        suffix = "txt" if name == "precision" else "csv"
        return ["--out", str(out / f"{name}.{suffix}")]
    if name == "faults":
        return ["--out", str(out)]
    words = ["--out", str(out), "--work", str(folder / name)]
    on_people = name in ("people", "calibration", "ablation", "majorant", "filters_accuracy")
    return [*words, "--folder", str(folder / "people")] if on_people else words


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=needs_mne_113 if name in NEWER else ()) for name in RUNS],
)
@pytest.mark.filterwarnings("ignore")
def test_runs(name, folder, tmp_path, monkeypatch, capsys):
    """Its tables have the columns that are quoted, and no case failed."""
    words, files = RUNS[name]
    with optional(name):
        module = importlib.import_module(name)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *words, *options(name, folder, tmp_path)])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # put back whatever it becomes
    module.main()
    said = capsys.readouterr().out
    assert "FAILED" not in said
    for file in files.split():
        path = tmp_path / f"{file}.csv"
        if not path.exists():  # a table in words
            path = path.with_suffix(".txt")
        first, header = check_table(path, name)
        assert "FAILED" not in (first if path.suffix == ".csv" else path.read_text())
        if path.suffix == ".csv":
            assert set(quoted_columns(path.name)) <= set(header.split(","))
    if name in ("people", "calibration", "ablation", "majorant", "transfer", "one_model"):
        # all is kept: nothing is computed again
        module.main()
        assert "new results" not in capsys.readouterr().out
