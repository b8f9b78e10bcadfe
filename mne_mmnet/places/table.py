"""The sources found, as a table."""

from dataclasses import asdict, dataclass

import mne


@dataclass(frozen=True)
class FoundSource:
    """One source of an estimate at one time: a region, and what is in it.

    Parameters
    ----------
    time : float
        Time in s.
    side : str
        "left", "right" or "midline" (within 1 mm, where it is not on a hemisphere's surface).
    position_mm : tuple of float
        Its place in head coordinates, mm.
    mni_mm : tuple of float | None
        Its place in MNI152, mm. None where the subject's way there is not known.
    region : str | None
        Name of the atlas's region that the place is in, or nearest to. None without an atlas.
    moment_nam : float
        Sum of the sizes of all currents within the radius, nA·m.
    extent_mm : float
        Radius around the place that holds half of the moment within twice the radius. It tells of
        the estimate, more than of the patch of cortex behind it.
    share : float
        Share of the moment of the whole estimate at that time, between 0 and 1.
    probability : float | None
        That the strongest source over the estimate's window lies within the radius. None without
        an uncertainty.
    vertex : int
        Vertex number of the place.
    source_space : int
        Number of its source space: 0 is the left hemisphere of a surface one, 1 the right.
    """

    time: float
    side: str
    position_mm: tuple[float, float, float]
    mni_mm: tuple[float, float, float] | None
    region: str | None
    moment_nam: float
    extent_mm: float
    share: float
    probability: float | None
    vertex: int
    source_space: int


@dataclass(frozen=True, eq=False, repr=False)
class SourceTable:
    """The sources that :func:`find_sources` found.

    It has the length of its table, and is printed as one.

    Parameters
    ----------
    table : tuple of FoundSource
        By time, and at each time the strongest first.
    dipoles : tuple of mne.Dipole
        The same sources over all times of the estimate, in head coordinates.
    radius : float
        Of a region, mm.
    """

    table: tuple[FoundSource, ...]
    dipoles: tuple[mne.Dipole, ...]
    radius: float

    def __len__(self):
        return len(self.table)

    def __iter__(self):
        return iter(self.table)

    def __getitem__(self, number):
        return self.table[number]

    def __repr__(self):
        times = dict.fromkeys(f"{1e3 * row.time:.1f}" for row in self.table)
        at = f" at {', '.join(times)} ms" if times else ""
        count = "1 source" if len(self) == 1 else f"{len(self)} sources"
        return f"<SourceTable | {count}{at}, moments within {self.radius:g} mm>"

    def __str__(self):
        if not self.table:
            return "No sources: the estimate is zero."
        header, *rows = self.cells()
        left = [name in ("side", "region") for name in header]
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        lines = []
        for cells in (header, *rows):
            each = zip(cells, widths, left, strict=True)
            padded = [x.ljust(width) if to_left else x.rjust(width) for x, width, to_left in each]
            lines.append("  ".join(padded).rstrip())
        return "\n".join(lines)

    def cells(self):
        """Put the table into words, without the columns that nothing is known of.

        Returns
        -------
        rows : list of list of str
            The header and a row for each source.
        """
        has_mni = any(row.mni_mm is not None for row in self.table)
        columns = {
            "time": lambda row: f"{1e3 * row.time:.1f} ms",
            "side": lambda row: row.side,
            "MNI152 (mm)": lambda row: _place(row.mni_mm),
            "head (mm)": lambda row: _place(row.position_mm),
            "region": lambda row: row.region or "",
            f"moment within {self.radius:g} mm": lambda row: f"{row.moment_nam:.3g} nA·m",
            "extent": lambda row: f"{row.extent_mm:.0f} mm",
            "share": lambda row: f"{100 * row.share:.0f} %",
            "probability": lambda row: _percent(row.probability),
        }
        columns.pop("head (mm)" if has_mni else "MNI152 (mm)")
        for name in ("region", "probability"):
            if all(getattr(row, name) is None for row in self.table):
                columns.pop(name)
        body = [[write(row) for write in columns.values()] for row in self.table]
        return [list(columns), *body]

    def to_data_frame(self):
        """Make a table of pandas'.

        Returns
        -------
        frame : pandas.DataFrame
            A row for each source. Columns are the fields of :class:`FoundSource`, places as
            ``x``, ``y``, ``z`` (head) and ``mni_x``, ``mni_y``, ``mni_z``, in mm; NaN or None is
            what is not known.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise ImportError(
                "to_data_frame needs pandas: pip install pandas. The table itself is in .table."
            ) from None
        records = []
        for row in self.table:
            record = asdict(row)
            for name, prefix in (("position_mm", ""), ("mni_mm", "mni_")):
                place = record.pop(name) or (float("nan"),) * 3
                record |= {f"{prefix}{axis}": x for axis, x in zip("xyz", place, strict=True)}
            records.append(record)
        return pandas.DataFrame(records, columns=_COLUMNS)


_COLUMNS = [
    *("time", "side", "region", "mni_x", "mni_y", "mni_z", "x", "y", "z", "moment_nam"),
    *("extent_mm", "share", "probability", "vertex", "source_space"),
]


def _place(position):
    return "" if position is None else f"({', '.join(str(round(x)) for x in position)})"


def _percent(probability):
    return "" if probability is None else f"{100 * probability:.0f} %"
