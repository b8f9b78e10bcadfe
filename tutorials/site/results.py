"""Tables of ``benchmarks/results`` in pages, made when the site is built, so that none goes stale.

``.. results:: people.csv`` makes a table of rows and columns of a CSV file, and says how it was
measured (the file's first line)::

    .. results:: people.csv
       :where: montage = all
               head = template
       :rows: mmnet | FlexChampagne
       :columns: method = {method}
                 AUC = {auc:.3f} ({auc_ci})

``:where:`` keeps the rows that match in every line (patterns of the shell, ``|`` between
alternatives, ``!=`` for those that don't match); ``:rows:`` are the values of the first column
in their order, those that are missing left out; ``:across:`` makes a column of every value of
one field, each cell as ``:cell:`` says. Numbers that are missing are a dash.

``.. remarks:: people.csv@0123abcd`` holds what somebody read in files of these checksums. The page
says so where a file is another one by now; ``python tutorials/site/results.py`` lists such pages,
and with ``--accept PAGE`` puts the new checksums there, once the remarks were read again.
"""

import argparse
import csv
import hashlib
import re
import string
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar

SITE = Path(__file__).parent
FOLDER = SITE.parents[1] / "benchmarks" / "results"
_STAMP = re.compile(r"([\w./]+\.(?:csv|txt))@([0-9a-f]{8})")


_WORDS = {
    "strongest_region_error_mm": "region, mm",
    "window_region_error_mm": "region of the window's power, mm",
    "tent_region_error_mm": "region, tapered, mm",
    "strongest_peak_error_mm": "peak, mm",
    "localization_error_mm": "nearest peak, mm",
    "earth_movers_distance_mm": "EMD, mm",
    "auc": "AUC",
    "space_time_cosine": "cosine",
    "spatial_dispersion_mm": "dispersion, mm",
    "dispersion_of_four_mm": "dispersion of four sources, mm",
}


class _Cell(string.Formatter):
    """Formats numbers and intervals of them as such, other text as it is, nothing as a dash."""

    def get_field(self, field_name, args, kwargs):
        # names of columns have dots
        return kwargs[field_name], field_name

    def format_field(self, value, spec):
        if not value:
            return "–"
        try:
            ends = [format(float(end), spec) if spec else end for end in value.split(" … ")]
        except ValueError:
            return value
        return _WORDS.get(value, " … ".join(ends))


def read(name):
    """Say how a file of results was made, by its line of comment, and return the rows."""
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    made = [line[1:].strip() for line in lines if line.startswith("#")]
    return " ".join(made), list(csv.DictReader(li for li in lines if not li.startswith("#")))


def stamp(name):
    """First eight digits of a file's sha256."""
    return hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()[:8]


def _alternatives(text):
    return [part.strip() for part in text.split("|")]


def _matches(row, condition):
    key, negated, value = re.fullmatch(r"\s*(\S+)\s*(!?)=\s*(.*?)\s*", condition).groups()
    found = any(fnmatchcase(row[key], pattern) for pattern in _alternatives(value))
    return found != bool(negated)


def make_table(rows, columns, *, where="", order="", across="", cell=""):
    """Make the cells of a table: a list of the titles, and one for each line.

    ``columns`` has ``title = format`` on each line; all else are the options of the directive.
    """
    for condition in where.splitlines():
        rows = [row for row in rows if _matches(row, condition)]
    write = _Cell().vformat
    pairs = [line.split(" = ", 1) for line in columns.splitlines()]
    titles, formats = [p[0].strip() for p in pairs], [p[1].strip() for p in pairs]
    lines = {}  # one for each row; with ``across`` one for all rows that begin alike
    values = list(dict.fromkeys(row[across] for row in rows)) if across else []
    for k, row in enumerate(rows):
        start = [write(one, (), row) for one in formats]
        line = lines.setdefault(tuple(start) if across else k, start + ["–"] * len(values))
        if across:
            line[len(start) + values.index(row[across])] = write(cell, (), row)
    table = list(lines.values())
    if order:
        wanted = _alternatives(order)
        found = {name: [line for line in table if line[0] == name] for name in wanted}
        table = [line for name in wanted for line in found[name]]
    if not table:
        raise ValueError(f"no rows are left by {where!r} and {order!r}")
    return [titles + values, *table]


def _escape(text):
    # an interval stays on one line
    text = text.replace(" … ", "\u00a0…\u00a0")
    return re.sub(r"([\\*`|_])", r"\\\1", text)


def to_rst(table, caption):
    """Write a table as a ``list-table``."""
    lines = [f".. list-table:: {caption}", "   :header-rows: 1", "   :class: results", ""]
    for line in table:
        marks = ["   * -"] + ["     -"] * (len(line) - 1)
        texts = (_escape(text) for text in line)
        lines += [f"{mark} {text}".rstrip() for mark, text in zip(marks, texts, strict=True)]
    return "\n".join([*lines, ""])


def stale(page):
    """Find files of a page's remarks that have changed: name, stamp in the page, stamp now."""
    found = _STAMP.findall(page.read_text(encoding="utf-8"))
    return [(name, old, stamp(name)) for name, old in found if stamp(name) != old]


def setup(app):
    """Add the directives to Sphinx."""
    from docutils import nodes
    from docutils.parsers.rst import directives
    from sphinx.util.docutils import SphinxDirective

    class Results(SphinxDirective):
        """A table of a file of results."""

        required_arguments = 1
        final_argument_whitespace = False
        option_spec = dict.fromkeys(
            ("columns", "where", "rows", "across", "cell", "caption"), directives.unchanged
        ) | dict(quiet=directives.flag)

        def run(self):
            """Make the table, and what it was made by."""
            (name,) = self.arguments
            self.env.note_dependency(str(FOLDER / name))
            self.env.note_dependency(__file__)
            made, rows = read(name)
            options = {key: self.options.get(key, "") for key in ("where", "across", "cell")}
            try:
                table = make_table(
                    rows, self.options["columns"], order=self.options.get("rows", ""), **options
                )
            except (KeyError, ValueError, AttributeError) as error:
                raise self.error(f"{name}: {error}") from error
            found = self.parse_text_to_nodes(to_rst(table, self.options.get("caption", "")))
            if "quiet" in self.options:
                return found
            command, _, rest = made.partition(";")
            up = "../" * (self.env.docname.count("/") + 2)
            text = f":download:`{name} <{up}benchmarks/results/{name}>`: ``{command.strip()}``"
            # as code, or two hyphens become a dash
            rest = re.sub(r"--[\w-]+", r"``\g<0>``", _escape(rest.strip()))
            text += f"; {rest}" if rest else ""
            note = self.parse_text_to_nodes(text)
            for paragraph in note:
                paragraph["classes"].append("made-by")
            return found + note

    class Remarks(SphinxDirective):
        """What somebody read in files of results."""

        required_arguments = 1
        final_argument_whitespace = True
        has_content = True
        option_spec: ClassVar = {"title": directives.unchanged}

        def run(self):
            """Parse the remarks; say where a file is another one by now."""
            stamps = _STAMP.findall(self.arguments[0])
            for name, _ in stamps:
                self.env.note_dependency(str(FOLDER / name))
            title = nodes.rubric("", self.options.get("title", "Remarks"))
            changed = [name for name, old in stamps if stamp(name) != old]
            text = (
                f"*These remarks were written for earlier results: {', '.join(changed)} has "
                "changed since. Where they differ, the tables hold.*"
            )
            note = self.parse_text_to_nodes(text) if changed else []
            return [title, *note, *self.parse_content_to_nodes()]

    app.add_directive("results", Results)
    app.add_directive("remarks", Remarks)
    return dict(parallel_read_safe=True)


def main():
    """List the pages whose remarks are older than their files; accept them."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--accept", nargs="*", default=[], help="pages that were read again")
    accepted = {Path(page).resolve() for page in parser.parse_args().accept}
    for page in sorted(SITE.rglob("*.rst")):
        for name, old, new in stale(page):
            print(f"{page.relative_to(SITE)}: {name}@{old} is {new} now")
            if page.resolve() in accepted:
                text = page.read_text(encoding="utf-8").replace(f"{name}@{old}", f"{name}@{new}")
                page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
