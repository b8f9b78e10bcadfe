"""What is asked of the recordings of ``people_suite.py``: all of them, through one runner."""

from functools import partial
from pathlib import Path

from people_suite import (
    COVARIANCES,
    FOLDER,
    HEADS,
    N_PEOPLE,
    N_RECORDINGS,
    SEED,
    People,
    draw_recording,
    make_case,
)
from runner import Store, answers, deciding, measured, run
from transfer_suite import MONTAGES

from mne_mmnet.weights import read_card

# what tells recordings apart
KEYS = ("part", "covariance", "montage", "person", "number")


class Answers:
    """Worker of :mod:`runner`: what some methods find in people's recordings.

    ``methods`` map a :class:`Case` and its :class:`Inversion` to a result, whose name is that of
    head and method.
    """

    def __init__(self, args, methods):
        self.args, self.methods, self.people = args, methods, People(args.folder)

    def __call__(self, address, due):
        part, covariance, montage, person, number = address
        recording = draw_recording(self.people, part, montage, person, number)
        for head in self.args.heads:
            inversion = self.people.inversion(head, montage, person)
            case = make_case(recording, inversion, covariance)
            for name, method in self.methods.items():
                if due((head, name), case.factors):
                    yield (head, name), case.factors, method(case, inversion)


def add_options(parser, people=N_PEOPLE, montages=MONTAGES):
    """Say which of the recordings are wanted, and where lead fields are kept."""
    parser.add_argument("--people", type=int, default=people, help="the first so many")
    parser.add_argument("--montages", nargs="+", choices=MONTAGES, default=list(montages))
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=list(HEADS))
    parser.add_argument("--covariance", choices=COVARIANCES, default=COVARIANCES[0])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of lead fields")
    parser.add_argument(
        "--n-recordings", type=int, help="of a person in a montage (default: the suite's)"
    )


def addresses(args, part="main"):
    """All recordings that the options name, person by person."""
    return [
        (part, args.covariance, montage, person, number)
        for person in range(args.people)
        for montage in args.montages
        for number in range(args.n_recordings or N_RECORDINGS[part])
    ]


def ask(make, args):
    """Ask one question of all recordings that the options name.

    ``make``, of a module's top, maps the options to a function of a :class:`Case` and its
    :class:`Inversion`. Returns factors and answers in a dict each, head by head, and for the
    comment of a table weights, seed and counts.
    """
    wanted = addresses(args)
    stores = {
        (head, "answer"): Store(args.work / f"{head}.jsonl", KEYS, deciding(args.model))
        for head in args.heads
    }
    run(partial(_make, make), args, wanted, stores)
    found, counts = answers([r for store in stores.values() for r in store.select(wanted)])
    weights = read_card(args.model).sha256[:12]
    return found, (weights, f"people.py's recordings, seed {SEED}", counts)


def _make(make, args):
    return Answers(args, {"answer": partial(measured, make(args))})
