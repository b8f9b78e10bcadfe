"""What happened to each file: one JSON file beside its result, one table of all."""

import csv
import json
from dataclasses import asdict, dataclass, field, fields

from .._support.files import is_scratch, whole_file

ENDINGS = ("-mmnet.json", "_desc-mmnet_stc.json")
"""Of records' names, beside plain results and in a BIDS dataset."""
# what the table shows
_COLUMNS = (
    *("file", "status", "error", "message", "seconds", "output"),
    *("descended", "explained", "chi2", "domain_score", "concerns", "warnings"),
)


@dataclass(frozen=True)
class Record:
    """What happened to one file.

    Parameters
    ----------
    file : str
        The evoked response.
    status : str
        ``"done"`` or ``"failed"``.
    seconds : float
        Time it took.
    error, message : str
        Class and text of what went wrong; empty if nothing did.
    output : str
        The source estimate; empty if there is none.
    n_bytes : int
        Its size.
    objective : list of float
        As in :class:`SolverReport`, like the next.
    descended : bool
        The certificate.
    explained, chi2, domain_score, concerns
        Diagnostics.
    warnings : list of str
        What was warned of, each once.
    stamp : dict
        What the result depends on.
    """

    file: str
    status: str
    seconds: float = 0.0
    error: str = ""
    message: str = ""
    output: str = ""
    n_bytes: int = 0
    objective: list[float] = field(default_factory=list)
    descended: bool = False
    explained: float | None = None
    chi2: float | None = None
    domain_score: float | None = None
    concerns: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    stamp: dict = field(default_factory=dict)


def write_record(record, path, sidecar=None):
    """Write a record, with what else the file says, whole or not at all."""
    with whole_file(path) as scratch:
        text = json.dumps((sidecar or {}) | asdict(record), indent=1)
        scratch.write_text(text, encoding="utf-8")


def read_record(path):
    """Read a record; None if there is none, or the file is not one."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        return Record(**{key: plain[key] for key in (one.name for one in fields(Record))})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_records(folder):
    """Read all records in a folder and below: where each is, and itself, by recording."""
    paths = sorted(path for ending in ENDINGS for path in folder.rglob(f"*{ending}"))
    paths = (path for path in paths if not is_scratch(path))
    found = ((path, read_record(path)) for path in paths)
    return {record.file: (path, record) for path, record in found if record is not None}


def write_table(records, path):
    """Write the table of a batch, one line a file."""
    with whole_file(path) as scratch, open(scratch, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, extrasaction="ignore")
        writer.writeheader()
        for record in records:
            lists = {name: " | ".join(getattr(record, name)) for name in ("concerns", "warnings")}
            writer.writerow(asdict(record) | lists)
