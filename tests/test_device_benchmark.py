"""``benchmarks/device.py``: the commands for a GPU, tried on a CPU and without MNE."""

import csv
from pathlib import Path

import pytest

from core_cases import DOMAIN, random_network
from mne_mmnet.weights import save_model
from process_cases import run_python
from test_training import ring_people

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "device.py"
# what the machine with the GPU lacks
NO_MNE = """
import runpy, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("mne", "nibabel", "nilearn", "pyvista"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
sys.path.insert(0, sys.argv[1].rsplit("/", 1)[0])
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def files(tmp_path):
    """People and a model."""
    ring_people().save(tmp_path / "people.npz")
    save_model(random_network(0, 0.1), tmp_path / "mine", domain=DOMAIN, provenance={})
    return tmp_path


def test_device_benchmark(files):
    """A table of estimates, training and agreement, which on a CPU is perfect."""
    options = ["--people", files / "people.npz", "--model", files / "mine", "--device", "cpu"]
    options += ["--windows", 1, 3, "--batches", 2, "--agreement", 2, "--repeats", 1]
    options += ["--out", files / "device.csv"]
    run_python("-W", "error", "-c", NO_MNE, SCRIPT.as_posix(), *options)
    first, *lines = (files / "device.csv").read_text().splitlines()
    assert "mine" in first
    assert str(files) not in first  # no path of a machine
    rows = list(csv.DictReader(lines))
    what = ["difference from a CPU", "estimates", "estimates", "training"]
    assert [row["what"] for row in rows] == what
    assert rows[0]["percent_of_floor"].startswith("0 ")
    for row in rows[1:]:
        assert float(row["a_second"]) == pytest.approx(
            int(row["batch"]) / float(row["ms"]) * 1e3, rel=0.01
        )
