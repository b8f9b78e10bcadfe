"""``mne-mmnet batch``: many evoked responses."""

from collections import Counter
from pathlib import Path

import mne

from ..batch import localize_files
from ..batch.bids import FOLDER

_MOST_SHOWN = 8


def run(args):
    """Localise files and say what failed; the code is 1 if a file did, else 0."""
    out = "." if args.out is None and args.bids is None else args.out
    with mne.use_log_level("info" if args.verbose else "warning"):
        records = localize_files(
            args.files or (None if args.bids else []),
            args.fwd,
            args.cov,
            out=out,
            bids=args.bids,
            model=args.model,
            loose=args.loose,
            head=args.head,
            spacing=args.spacing,
            condition=args.condition,
            tmin=args.tmin,
            tmax=args.tmax,
            device=args.device,
            n_jobs=args.jobs,
            client=args.dask,
            retry_failed=args.retry_failed,
            events=args.events,
            montage=args.montage,
        )
    failed = [record for record in records if record.status == "failed"]
    for record in failed:
        print(f"Failed: {record.file}: {record.error}: {record.message}")
    _say("Concern", [record.concerns for record in records])
    # many a warning is a concern, which was just said
    _say("Warning", [set(record.warnings) - set(record.concerns) for record in records])
    print(f"{len(records) - len(failed)} of {len(records)} files done, {len(failed)} failed")
    print(f"Wrote {Path(args.bids) / FOLDER if out is None else out}/mmnet-batch.csv")
    if failed:
        print("Files that failed are tried again with --retry-failed, or when they have changed.")
    return 1 if failed else 0


def _say(kind, texts):
    """Print what was said of files, the most frequent first."""
    counts = Counter(text for one in texts for text in one)
    for text, number in counts.most_common(_MOST_SHOWN):
        print(f"{kind}, {number} of {len(texts)} files: {text}")
    if len(counts) > _MOST_SHOWN:
        print(f"... and {len(counts) - _MOST_SHOWN} others: see the table.")
