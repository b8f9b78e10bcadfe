"""README's two tables, from the files of results.

    python benchmarks/readme_tables.py            # print them
    python benchmarks/readme_tables.py --write    # put them into README.rst

Accuracy is from ``people.csv`` and ``people_lead.csv`` (all montages), time from ``speed.csv``
(64 channels). A test compares README with what is printed.
"""

import argparse
import re
from pathlib import Path

from common import read_rows

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
METHODS = ("mmnet", "FlexChampagne", "OmniChampagne", "FLEX-AP", "eLORETA", "dSPM")
# of people.csv, with digits after the point
MEASURES = {
    "region": ("strongest_region_error_mm", 1),
    "peak": ("strongest_peak_error_mm", 1),
    "EMD": ("earth_movers_distance_mm", 1),
    "AUC": ("auc", 3),
}
HEADS = {"template": "on the template head", "own": "on their own head"}
N_CHANNELS, SOURCES = "64", ("1175", "4687", "7501")
# what a row is called, and how speed.csv says it: method, orientation
TIMES = {
    "mmnet, prepared operator": ("mmnet", "evidence"),
    "mmnet, given the forward solution": ("mmnet cold", "evidence"),
    "mmnet, one of 20 epochs": ("mmnet epochs", "evidence"),
    "MNE's eLORETA, prepared operator": ("eLORETA", "fixed"),
    "MNE's Gamma-MAP": ("Gamma-MAP", "fixed"),
    "MNE's MxNE": ("MxNE", "fixed"),
    "invertmeeg's FlexChampagne": ("FlexChampagne", "fixed"),
}
_SIMPLE = re.compile(r"^=[= ]+\n(?:.+\n)+?=[= ]+\n(?:.+\n)+?=[= ]+\n", re.MULTILINE)


def simple_table(lines, groups=()):
    """Write lists of cells, the first one of titles, as a simple table of reStructuredText.

    ``groups`` are titles above those of the columns, each with the number that it spans.
    """
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    rule = " ".join("=" * width for width in widths)
    texts = [
        " ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    above, under, start = [], [], 0
    for title, span in groups:
        width = sum(widths[start : start + span]) + span - 1
        above, under, start = [*above, title.ljust(width)], [*under, "-" * width], start + span
    head = [" ".join(above).rstrip(), " ".join(under)] if groups else []
    return "\n".join([rule, *head, texts[0], rule, *texts[1:], rule, ""])


def people_table(rows, lead):
    """Errors on other people's heads; a mark where mmnet is ahead of the best peer, or behind.

    ``rows`` and ``lead`` are those of people.csv and people_lead.csv. Ahead or behind: the 95 %
    interval of the difference to the best of all peers, paired, excludes 0.
    """
    found = {(r["head"], r["method"]): r for r in rows if r["montage"] == "all"}
    marks = {
        (r["head"], r["metric"]): {"lead": "*", "behind": "†"}.get(r["verdict"], "")
        for r in lead
        # its earlier weights are compared with, too
        if (r["method"], r["montage"]) == ("mmnet", "all") and not r["other"].startswith("mmnet")
    }
    lines = [["method", *MEASURES, *MEASURES]]
    for method in METHODS:
        line = [method]
        for head in HEADS:
            for name, digits in MEASURES.values():
                mark = marks[head, name] if method == "mmnet" else ""
                line.append(f"{float(found[head, method][name]):.{digits}f}{mark}")
        lines.append(line)
    spans = [(title, len(MEASURES)) for title in HEADS.values()]
    return simple_table(lines, [("\\", 1), *spans])


def time_table(rows):
    """Milliseconds for one recording, by the number of sources; a dash where not measured."""
    found = {
        (r["method"], r["orientation"], r["n_sources"]): r["median_ms"]
        for r in rows
        if r["n_channels"] == N_CHANNELS
    }
    lines = [["sources", *SOURCES]]
    for name, key in TIMES.items():
        values = [found.get((*key, n)) for n in SOURCES]
        lines.append([name, *("–" if v is None else f"{float(v):.0f}" for v in values)])
    return simple_table(lines)


def make_tables(folder=RESULTS):
    """Both tables, in README's order."""
    people, lead, speed = (
        read_rows(folder / f"{name}.csv") for name in ("people", "people_lead", "speed")
    )
    return people_table(people, lead), time_table(speed)


def replace_tables(text, tables):
    """Put tables into a text in place of its simple tables, of which it has as many."""
    found = _SIMPLE.findall(text)
    if len(found) != len(tables):
        raise ValueError(f"README has {len(found)} simple tables instead of {len(tables)}")
    for old, new in zip(found, tables, strict=True):
        text = text.replace(old, new)
    return text


def main():
    """Print, or write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put them into README.rst")
    tables = make_tables()
    if parser.parse_args().write:
        path = ROOT / "README.rst"
        path.write_text(replace_tables(path.read_text(encoding="utf-8"), tables), encoding="utf-8")
    else:
        print("\n".join(tables))


if __name__ == "__main__":
    main()
