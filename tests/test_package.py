"""Architecture, packaging and style, kept by machine."""

import ast
import configparser
import importlib
import inspect
import subprocess
import tomllib
from pathlib import Path

import numpydoc.validate
import pytest

import mne_mmnet
from process_cases import run_python

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mne_mmnet"

# top to bottom: a room imports only from rooms above it (or itself)
ORDER = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mne_mmnet"][
    "rooms"
]
# what the training core needs must run where MNE is not installed
NO_MNE = {
    "_support",
    "dictionary",
    "objective",
    "majorant",
    "network",
    "solver",
    "weights",
    "metrics",
    "simulation",
    "baselines",
    "training",
}
NO_MNE_EXCEPT = {
    *(f"simulation/{name}.py" for name in ("electrodes", "heads", "people")),
    "_support/cache.py",
    "baselines/classical.py",
    "training/fine_tuning/own_forward.py",
}
NO_TORCH = {
    "_support",
    "_version",
    "dictionary",
    "metrics",
    "_mne",
    "recordings",
    "template",
    "lead_fields",
    "live",
    "export",
    "components",
    "places",
    "viz",
    "report",
    "_cli",
    "simulation",
}
NO_TORCH_EXCEPT = {"_support/devices.py", "_support/eigen.py", "dictionary/model.py"}
NUMPYDOC_IGNORED = {
    "EX01",  # examples live in tutorials
    "SA01",
    "SA04",
    "ES01",
    "GL01",  # text starts on the opening line, as in MNE
    "GL02",
    "GL03",
    "RT02",  # returned values are named, as in MNE
    "SS06",
    "PR06",
    "YD01",
}


def sources():
    return sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def part_of(path):
    return path.parts[0].removesuffix(".py")


def imports_of(path):
    """Every import of a file, anywhere in it, as absolute dotted names."""
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    package = ("mne_mmnet", *path.parts[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{module}.{alias.name}"


@pytest.mark.parametrize("path", sources(), ids=str)
def test_imports_go_one_way(path):
    """No part imports from a part below it, and every part has its place in the order."""
    part = part_of(path)
    if part == "__init__":
        return
    rank = ORDER.index(part)
    for name in imports_of(path):
        pieces = name.split(".")
        if pieces[0] == "mne_mmnet" and len(pieces) > 1 and pieces[1] in ORDER:
            assert ORDER.index(pieces[1]) <= rank, f"{path} imports {name}"


@pytest.mark.parametrize("path", sources(), ids=str)
def test_who_knows_whom(path):
    """MNE only at the seam, torch only in the core."""
    roots = {name.split(".")[0] for name in imports_of(path)}
    part = part_of(path)
    if part in NO_MNE and str(path) not in NO_MNE_EXCEPT:
        assert "mne" not in roots, f"{path} imports mne"
    if part in NO_TORCH and str(path) not in NO_TORCH_EXCEPT:
        assert "torch" not in roots, f"{path} imports torch"


@pytest.mark.parametrize("folder", ["mne_mmnet", "tutorials", "tests"])
def test_parts_of_mne_are_imported(folder):
    """MNE 1.9 has no attribute for these, until something imports them."""
    hidden = {"bem", "cov", "transforms"}
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert node.value.id != "mne" or node.attr not in hidden, f"{path}:{node.lineno}"


def test_import_is_light():
    """``import mne_mmnet`` loads no torch and costs under 0.3 s beyond ``import mne``."""
    out = run_python(
        "-c",
        "import time, sys, mne\n"
        "start = time.perf_counter()\n"
        "import mne_mmnet\n"
        "print(time.perf_counter() - start)\n"
        "assert 'torch' not in sys.modules and 'pyvista' not in sys.modules\n"
        "mne_mmnet.apply_mmnet_inverse\n"
        "assert 'torch' in sys.modules\n",
    )
    assert float(out) < 0.3


def test_training_core_runs_without_mne():
    """The training loop imports where MNE is not installed."""
    run_python(
        "-c",
        "import sys\n"
        "sys.modules['mne'] = None\n"
        "import mne_mmnet.training, mne_mmnet.training.command, mne_mmnet.weights\n",
    )


def test_packages_are_all_listed():
    """setup.cfg lists every package in the tree, and the weights."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    found = {
        ".".join(["mne_mmnet", *path.parts[:-1]])
        for path in sources()
        if path.name == "__init__.py"
    }
    assert listed == found | {"mne_mmnet.pretrained"}


def test_weights_are_package_data():
    """Weights and cards are found through the installed package."""
    from importlib import resources

    folder = resources.files("mne_mmnet.pretrained")
    names = {item.name for item in folder.iterdir()}
    for model in ("mmnet-base", "mmnet-cosine"):
        assert {f"{model}.safetensors", f"{model}.json"} <= names


def test_version():
    """One version, also in the metadata."""
    from importlib.metadata import version

    assert version("mne_mmnet") == mne_mmnet.__version__


def test_top_level():
    """Nothing at the top level but what DESIGN §3 allows."""
    out = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    if not out:
        pytest.skip("not a git checkout")
    allowed = {
        *("setup.cfg", "pyproject.toml", "README.rst", "CHANGES.rst", "LICENSE"),
        *("mne_mmnet", "tests", "tutorials", "pretrained", "benchmarks", "findings"),
        *(".ci", ".github", ".gitignore", "constraints.txt", "docs"),
    }
    assert {line.split("/")[0] for line in out.splitlines()} <= allowed


def public_objects():
    for name in mne_mmnet.__all__:
        if name == "__version__":
            continue
        found = getattr(mne_mmnet, name)
        yield name
        if inspect.isclass(found):
            for member, value in vars(found).items():
                if not member.startswith("_") and callable(value):
                    yield f"{name}.{member}"


@pytest.mark.parametrize("name", list(public_objects()))
def test_docstring(name):
    """Public docstrings pass numpydoc's validation."""
    first, *rest = name.split(".")
    module = importlib.import_module(getattr(mne_mmnet, first).__module__)
    full = ".".join([module.__name__, first, *rest])
    found = numpydoc.validate.validate(full)["errors"]
    errors = [f"{code}: {text}" for code, text in found if code not in NUMPYDOC_IGNORED]
    assert not errors


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_ruff(command):
    run_python("-m", "ruff", *command, ".", cwd=ROOT)


@pytest.mark.parametrize("name", mne_mmnet.__all__)
def test_shared_parameters_are_filled_in(name):
    """No place for a shared description is left, neither ours nor MNE's."""
    doc = inspect.getdoc(getattr(mne_mmnet, name)) or ""
    assert "%(" not in doc


def test_shared_parameters():
    """The indentation is the place's; MNE's places, and what has no docstring, are left alone."""
    from mne_mmnet._mne.docs import fill_shared

    def described():
        """Do.

        %(label)s
        %(verbose)s
            %(use_cps)s
        in a line: %(label)s
        """

    lines = inspect.cleandoc(fill_shared(described).__doc__).splitlines()
    assert lines[2] == "label : mne.Label | mne.BiHemiLabel | None"
    assert lines[3].startswith("    Restrict")
    assert lines[5:] == [
        "%(verbose)s",
        "    use_cps : bool",
        "        Whether to use the cortical patch statistics for the normals.",
        "in a line: %(label)s",
    ]
    assert fill_shared(lambda: None).__doc__ is None
