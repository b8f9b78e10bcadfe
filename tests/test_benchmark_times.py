"""Benchmarks of time, memory and latency, run with as little as they can do."""

import contextlib
import importlib
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from benchmark_cases import FOLDER, benchmark_modules, check_table, optional, quoted_columns

pytestmark = pytest.mark.xdist_group("benchmarks")
# benchmark: its options
RUNS = {
    "throughput": "--n-epochs 2 --repeats 1 --minutes 0.02 --windows 2 --threads 1",
    "threads": "--turns 1",
    "batch": "--files 2 --few 1 --repeats 1",
    "filters": "--repeats 1 --minutes 0.1",
    "speed": "--repeats 2 --few 1 --channels 19 --compare --spacings ico3 --threads 1",
}


@contextlib.contextmanager
def short():
    """Let benchmarks be imported, and put back the threads that they set."""
    with pytest.MonkeyPatch.context() as patch, benchmark_modules():
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        yield patch
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.filterwarnings("ignore")
def test_runs(name, tmp_path):
    """Its table has the columns that are quoted."""
    out = tmp_path / f"{name}.csv"
    with short() as patch, optional(name):
        module = importlib.import_module(name)
        if name == "throughput":
            here = lambda n_jobs, mp_context: ThreadPoolExecutor(n_jobs)  # noqa: E731
            patch.setattr(module, "ProcessPoolExecutor", here)
        if name == "threads":
            patch.setattr(module, "KINDS", ("evoked",))
        if name == "batch":
            patch.setattr(module, "WAYS", {"one process": dict(n_jobs=1)})
        patch.setattr(sys, "argv", [f"{name}.py", *RUNS[name].split(), "--out", str(out)])
        module.main()
    _, header = check_table(out, name)
    if (FOLDER / "results" / out.name).exists():
        assert quoted_columns(out.name) == header.split(",")
