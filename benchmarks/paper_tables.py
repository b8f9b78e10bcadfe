"""The tables of ``benchmarks/paper.py`` in reST."""

HEADLINE = (
    "space_time_cosine",
    "nmse",
    "auc",
    "strongest_region_error_mm",
    "strongest_peak_error_mm",
    "localization_error_mm",
    "earth_movers_distance_mm",
    "time_error_ms",
)
_HEADS = {
    "people": "other people's heads",
    "unseen": "heads never seen",
    "same": "SAME lead field (inverse crime)",
}
_NOISES = {"white": "white noise", "brain": "noise with background activity"}


def _cells(row):
    return [
        f"{float(row[m]):.3g} ({float(row[f'{m}_low']):.3g} … {float(row[f'{m}_high']):.3g})"
        for m in HEADLINE
    ]


def _table(rows):
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for cells in rows:
        lines += [f"   {'*' if k == 0 else ' '} - {cell}" for k, cell in enumerate(cells)]
    return [*lines, ""]


def write_rst(path, comment, rows, differences):
    """Write the headline metrics as reST tables, and the differences, one a test condition."""
    lines = [comment, ""]
    keys = ("trained_on", "tested_on", "lead_field", "noise")
    heads, noises = list(_HEADS), list(_NOISES)
    order = sorted(
        {tuple(row[key] for key in keys) for row in rows if row["trained_on"] != "none"},
        key=lambda c: (heads.index(c[2]), noises.index(c[3]), c[0] == c[1], c),
    )
    for trained_on, tested_on, lead_field, noise in order:
        title = f"{trained_on} → {tested_on}, {_HEADS[lead_field]}, {_NOISES[noise]}"
        lines += [title, "-" * len(title), ""]
        place = (tested_on, lead_field, noise)

        def here(row, place=place, trained_on=trained_on):
            where = tuple(row[key] for key in keys[1:])
            # methods without training have one reference for each kind of training data
            wanted = row.get("reference", trained_on).endswith(trained_on)
            return where == place and row["trained_on"] in (trained_on, "none") and wanted

        table = [["method", "parameters", "recordings seen", "ms a sample", *HEADLINE]]
        for row in filter(here, rows):
            size, spent = row["parameters"] or "–", row["ms_a_sample"] or "–"
            seen = str(row["recordings_seen"] or "–")
            table.append([row["method"], str(size), seen, spent, *_cells(row)])
        lines += _table(table)
        pairs = list(filter(here, differences))
        for whose in sorted({row["reference"].split(",")[0] for row in pairs}):
            table = [[f"minus {whose} (paired)", *HEADLINE]]
            table += [
                [row["method"], *_cells(row)]
                for row in pairs
                if row["reference"].startswith(f"{whose},")
            ]
            lines += _table(table)
    path.write_text("\n".join(lines), encoding="utf-8")
