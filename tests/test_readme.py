"""README: short, rendered without a complaint, its commands run, its tables true."""

import re
from pathlib import Path

import docutils.core
import pytest

from benchmark_cases import benchmark_modules

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.rst").read_text(encoding="utf-8")


@pytest.fixture
def tables():
    with benchmark_modules():
        import readme_tables

        yield readme_tables


def test_short():
    lines = TEXT.splitlines()
    assert len(lines) <= 130
    assert max(map(len, lines)) <= 100


def test_renders_strictly():
    """As a package index does, where a warning is an error."""
    settings = dict(halt_level=2, report_level=1, raw_enabled=False, file_insertion_enabled=False)
    html = docutils.core.publish_string(TEXT, writer="html5", settings_overrides=settings)
    assert b'class="problematic"' not in html


def test_commands_are_those_of_ci():
    """Two commands; ``.ci/run`` installs in the same way and runs the same programs."""
    commands = re.findall(r"^    (pip install .+) && (.+)$", TEXT, re.MULTILINE)
    assert [program for _, program in commands] == ["mne-mmnet demo", "pytest"]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    script = script.replace('"${CONSTRAINTS:-constraints.txt}"', "constraints.txt")
    run = re.findall(r"^pip install -q (.+)$", script, re.MULTILINE)
    assert ["pip install " + rest for rest in run] == [install for install, _ in commands]
    for _, program in commands:
        assert re.search(rf'"\$\{{display\[@\]\}}" {program}\)?$', script, re.MULTILINE), program


def test_tables_are_those_of_the_results(tables):
    """If this fails: ``python benchmarks/readme_tables.py --write``."""
    assert tables.replace_tables(TEXT, tables.make_tables()) == TEXT


def test_marks_and_gaps(tables):
    keys = dict(montage="all", auc="0.5")
    keys |= {name: "9.96" for name, _ in tables.MEASURES.values() if name != "auc"}
    rows = [dict(keys, head=h, method=m) for h in tables.HEADS for m in tables.METHODS]
    lead = [
        dict(head=head, method="mmnet", montage="all", metric=name, other=other, verdict=verdict)
        for head in tables.HEADS
        for name, _ in tables.MEASURES.values()
        for other, verdict in (
            ("dSPM", {"auc": "lead", "strongest_peak_error_mm": "behind"}.get(name, "tie")),
            ("mmnet 2482684", "lead"),  # earlier weights make no star
        )
    ]
    lines = tables.people_table(rows, lead).splitlines()
    assert lines[5].split() == ["mmnet", *["10.0", "10.0†", "10.0", "0.500*"] * 2]
    assert "*" not in lines[6]
    assert "†" not in lines[6]
    row = dict(n_channels="64", method="mmnet", orientation="evidence", n_sources="4687")
    table = tables.time_table([row | dict(median_ms="12.6")])
    assert "mmnet, prepared operator          –    13   –" in table
    with pytest.raises(ValueError, match="1 simple tables instead of 2"):
        tables.replace_tables(table, (table, table))


def test_what_it_names_is_there():
    for path in re.findall(r"``((?:tutorials|benchmarks|pretrained)/[\w./]+|[A-Z]+\.rst)``", TEXT):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"image:: (\S+)", TEXT):
        assert (ROOT / path).is_file(), path
