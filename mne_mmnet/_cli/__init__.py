"""The command ``mne-mmnet``: a file for each subcommand; those that train are in ``training``."""

import argparse
import sys
import traceback
from importlib import import_module

# what a user can cause: shown as one line, not as a traceback
_USER_ERRORS = (ValueError, TypeError, OSError, RuntimeError, ImportError, MemoryError)


def main(argv=None):
    """Run the command line.

    The code is 0, or 1 if files of a batch failed, 2 after an error of the user's, 130 after an
    interrupt.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog="mne-mmnet",
        description="EEG sources by learned majorization-minimization.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--model", default="mmnet-base", help="name or path of a model")
    shared.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    shared.add_argument("-v", "--verbose", action="store_true", help="MNE's log, and tracebacks")
    forward = argparse.ArgumentParser(add_help=False)
    forward.add_argument(
        "--loose",
        type=_number_or_word,
        help="orientations: 'evidence' has the data settle them (default), 0 is fixed, 1 free, "
        "'auto' 0.2 on surfaces",
    )
    forward.add_argument(
        "--head",
        choices=("auto", "own", "template"),
        default="auto",
        help="whose lead field it is; else told from source space and electrodes",
    )

    files = argparse.ArgumentParser(add_help=False)
    files.add_argument(
        "--events",
        help="what a recording is averaged around: names or numbers of events or annotations, "
        "separated by commas; of epochs, the conditions",
    )
    files.add_argument(
        "--montage",
        help="positions by name: a built-in montage such as fsaverage_1005, or a file",
    )

    demo = commands.add_parser(
        "demo", parents=[shared], help="localise a real and a simulated response"
    )
    demo.add_argument("--out", default="mne-mmnet-demo", help="folder to write to")
    demo.add_argument("--seed", type=int, default=0, help="seed of the simulated response")

    localize = commands.add_parser(
        "localize", parents=[shared, forward, files], help="localise a response of your own"
    )
    localize.add_argument(
        "evoked", help="averages, epochs, or a recording with --events, of any format of MNE"
    )
    localize.add_argument("--condition", help="name or number of the response in the file")
    localize.add_argument("--fwd", help="forward solution; else one on the template head is made")
    localize.add_argument("--cov", help="noise covariance; else the noise is estimated")
    localize.add_argument("--time", type=float, help="time to report (s); else the largest's")
    localize.add_argument("--tmin", type=float, help="start of the window (s); else time - 0.05")
    localize.add_argument("--tmax", type=float, help="end of the window (s); else time + 0.05")
    localize.add_argument(
        "--spacing", type=_spacing, default="ico3", help="of the template's sources: ico3, or mm"
    )
    localize.add_argument("--out", default=".", help="folder to write to")
    localize.add_argument("--report", action="store_true", help="also write an HTML report")

    batch = commands.add_parser(
        "batch", parents=[shared, forward, files], help="localise many responses, in parallel"
    )
    batch.add_argument(
        "files",
        nargs="*",
        help="files of responses, as for localize; with --bids none is all",
    )
    batch.add_argument(
        "--bids", metavar="ROOT", help="a BIDS dataset: write a derivative dataset into it"
    )
    batch.add_argument(
        "--fwd",
        help="forward solution, {folder} and {name} standing for those of each file; else a "
        "template head",
    )
    batch.add_argument("--cov", help="noise covariance, likewise; else the noise is estimated")
    batch.add_argument("--condition", help="name or number of the response in each file")
    batch.add_argument("--tmin", type=float, help="start of the window (s)")
    batch.add_argument("--tmax", type=float, help="end of the window (s)")
    batch.add_argument(
        "--spacing", type=_spacing, default="ico3", help="of the template's sources: ico3, or mm"
    )
    batch.add_argument("--jobs", type=int, default=1, help="number of processes; -1 is all cores")
    batch.add_argument("--dask", metavar="ADDRESS", help="a Dask scheduler, or 'local'")
    batch.add_argument("--retry-failed", action="store_true", help="also what failed before")
    batch.add_argument("--out", help="folder to write to; else this one, or the dataset's")

    finetune = commands.add_parser(
        "finetune",
        parents=[shared, forward],
        help="adapt a model to a forward solution of your own",
    )
    finetune.add_argument("fwd", help="file that holds the forward solution (-fwd.fif)")
    finetune.add_argument("--cov", help="noise covariance, like which the noise will be")
    finetune.add_argument("--info", help="any FIF file of the recording, for channels and bads")
    finetune.add_argument("--minutes", type=float, default=10.0, help="time limit")
    finetune.add_argument("--seed", type=int, default=0, help="seed of the simulations")
    finetune.add_argument("--out", default="my-model", help="name or path of the new model")

    train = commands.add_parser("train", help="train a model (see: mne-mmnet train --help)")
    train.add_argument("options", nargs=argparse.REMAINDER)

    train = commands.add_parser(
        "train-cosine", help="train the paper's network (see: mne-mmnet train-cosine --help)"
    )
    train.add_argument("options", nargs=argparse.REMAINDER)

    if argv[:1] == ["train-cosine"]:
        return _guard(_train_cosine, argv[1:], verbose=False)
    if argv[:1] == ["train"]:
        return _guard(_train, argv[1:], verbose=False)
    args = parser.parse_args(argv)
    return _guard(_run, args, verbose=args.verbose)


def _run(args):
    # here, since an import may be what fails
    return import_module(f".{args.command}", __name__).run(args)


def _train(argv):
    from mne.utils import ProgressBar

    from ..training.command import main as train

    def progress(batches):
        return ProgressBar(batches, mesg="Training")

    card = train(argv, prog="mne-mmnet train", progress=progress)
    print(f"Saved {card.name}, validation loss {card.provenance['validation_loss']:.3f}")


def _train_cosine(argv):
    from mne.utils import ProgressBar

    from ..training.cosine_command import main as train

    bars = []

    def progress(share):
        if not bars:  # not before the options are known to be right
            bars.append(ProgressBar(100, mesg="Training"))
        bars[0].update(int(100 * share))

    card = train(argv, prog="mne-mmnet train-cosine", progress=progress)
    best = card.provenance["validation"]
    print(f"Saved {card.name}, space-time cosine on held-out simulations {best['cosine']:.3f}")


def _number_or_word(text):
    """Read a number, or one of the words that the package has an error message for."""
    try:
        return float(text)
    except ValueError:
        return text


def _spacing(text):
    """Read a spacing: a name, or a number of mm."""
    return int(text) if text.isdigit() else text


def _guard(command, argument, *, verbose):
    """Run a command; turn what a user can cause into one line on standard error."""
    try:
        code = command(argument)
    except KeyboardInterrupt:
        print(
            "Interrupted; files already written are complete, and the same command goes on where "
            "training or a batch of files stopped.",
            file=sys.stderr,
        )
        return 130
    except _USER_ERRORS as error:
        if verbose:
            traceback.print_exc()
        print(f"mne-mmnet: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        # a fault of this program's: the user is helped by one line, the developers by all
        if verbose:
            traceback.print_exc()
        kind = type(error).__name__
        print(
            f"mne-mmnet: unexpected {kind}: {error}. Please report it, with what the same command "
            "prints with --verbose.",
            file=sys.stderr,
        )
        return 2
    return code or 0
