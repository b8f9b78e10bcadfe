"""``mne-mmnet finetune``: a model for a forward solution of the user's own."""

from pathlib import Path

import mne

from .._support.files import check_writable
from ..recordings.files import read_file
from ..training.fine_tuning.own_forward import fine_tune
from ..weights import save_model


def run(args):
    """Fine-tune, print the table of old against new weights, write the model."""
    with mne.use_log_level("info" if args.verbose else "warning"):
        fwd = read_file(mne.read_forward_solution, args.fwd, "a forward solution")
        cov = None
        if args.cov is not None:
            cov = read_file(mne.read_cov, args.cov, "a noise covariance")
        info = None
        if args.info is not None:
            info = read_file(mne.io.read_info, args.info, "measurement info")
        out = Path(args.out).expanduser()
        check_writable(out)  # before minutes of work
        print(f"Fine-tuning {args.model} for at most {args.minutes:g} minutes")
        model = fine_tune(
            fwd,
            cov,
            model=args.model,
            info=info,
            loose=args.loose,
            head=args.head,
            minutes=args.minutes,
            directory=out.with_name(out.name + "-checkpoints"),
            device=args.device,
            rng=args.seed,
        )
    outcome = model.card.provenance.get("outcome")
    if outcome is not None:
        for row in outcome["table"]:
            mean, low, high = row["change"]
            print(
                f"    {row['measure']:20} {row['before']:8.3f} → {row['after']:8.3f}   "
                f"({mean:+.3f}, 95 % {low:+.3f} … {high:+.3f})"
            )
        if not outcome["kept"]:
            print("The new weights are no better; the given ones are saved.")
    card = save_model(model, out)
    print(f"Wrote {out.with_suffix('')}.safetensors and .json (model={str(out)!r}, {card.kind})")
