"""Files that name versions agree with each other."""

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# tools: not held back with the oldest versions (.ci/constraints-oldest.txt says so)
TOOLS = {
    "coverage",
    "ruff",
    "sphinx",
    "sphinx_gallery",
    "pydata_sphinx_theme",
    "pyside6_essentials",
}


def read_bounds():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    pairs = re.findall(r"^([\w-]+)(?:\[\w+\])?>=([\d.]+)$", "\n".join(lines), re.MULTILINE)
    return {(name.lower().replace("-", "_"), bound) for name, bound in pairs}


def read_pins(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    pairs = re.findall(r"^([\w-]+)==([\d.]+)$", text, re.MULTILINE)
    return {name.lower().replace("-", "_"): pin for name, pin in pairs}


def as_numbers(version, length=4):
    numbers = [int(part) for part in version.split(".")]
    return numbers + [0] * (length - len(numbers))


def test_one_bound_each():
    names = [name for name, _ in read_bounds()]
    assert len(names) == len(set(names))


def test_newest_are_allowed():
    pins = read_pins("constraints.txt")
    for name, bound in read_bounds():
        assert as_numbers(pins[name]) >= as_numbers(bound), name


@pytest.mark.parametrize("name_and_bound", sorted(read_bounds()), ids=lambda pair: pair[0])
def test_oldest_are_the_bounds(name_and_bound):
    name, bound = name_and_bound
    pins = read_pins(".ci/constraints-oldest.txt")
    if name in pins:
        assert as_numbers(pins[name]) == as_numbers(bound)
    else:
        assert name in TOOLS | {"invertmeeg", "openmeeg", "pyvistaqt"}
