"""The training command: ``python -m mne_mmnet.training``, also reached as ``mne-mmnet train``."""

import argparse
import contextlib
import sys
import time
from dataclasses import asdict, fields, replace
from pathlib import Path

import torch

from ..simulation import PeopleArchive, PeopleVariety, SimulationConfig
from ..weights import read_model, save_model
from .confidence import train_confidence
from .config import DEFAULT_SPACES, TrainingConfig
from .loop import Space, train
from .provenance import list_versions, name_of, write_command

_SKIPPED = ("network", "simulation", "spaces")
# people on whom nothing is trained
VALIDATION_PEOPLE, VALIDATION_SEED = 8, 1000
# so many electrodes of fine source spaces are kept: with all, five people take 3 GB
_FEW_ELECTRODES, _FINE_SPACINGS = 300, ("ico4", "oct6", "vol10")


def make_parser(prog="python -m mne_mmnet.training"):
    """Make the parser, with one option for each field of the configurations."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Train the networks through the unrolled solver. Interrupted runs resume: "
        "start the same command again.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("checkpoints"), help="run directory")
    parser.add_argument("--name", default="my-model", help="name of the model that is saved")
    parser.add_argument("--device", default="cpu", help="torch device")
    parser.add_argument("--threads", type=int, default=1, help="threads of the CPU's libraries")
    parser.add_argument(
        "--people-folder",
        type=Path,
        help="where lead fields are kept (with them there, MNE is not needed); default: the cache",
    )
    parser.add_argument(
        "--spaces",
        nargs="+",
        type=_read_space,
        metavar="SPACING:PEOPLE:SHARE",
        default=DEFAULT_SPACES,
        help="source spaces, number of people on each, share of the batches",
    )
    parser.add_argument(
        "--people-jobs", type=int, default=1, help="processes that compute lead fields"
    )
    parser.add_argument("--workers", type=int, default=0, help="processes that simulate ahead")
    parser.add_argument("--initial", help="model whose weights to start from, by name or path")
    parser.add_argument("--save-every", type=int, default=200, help="batches between checkpoints")
    for group, config in (("training", TrainingConfig), ("simulation", SimulationConfig)):
        options = parser.add_argument_group(group)
        for field in fields(config):
            if field.name in _SKIPPED:
                continue
            default = field.default
            pair = isinstance(default, tuple)
            options.add_argument(
                "--" + field.name.replace("_", "-"),
                type=type(default[0] if pair else default),
                nargs=len(default) if pair else None,
                default=default,
            )
    return parser


def _read_space(text):
    """Parse one source space of the option."""
    spacing, n_people, share = text.split(":")
    return spacing, int(n_people), float(share)


def _read_config(args):
    """Make the configuration that the options describe."""

    def take(config):
        values = {}
        for field in fields(config):
            if field.name not in _SKIPPED:
                value = getattr(args, field.name)
                values[field.name] = tuple(value) if isinstance(value, list) else value
        return values

    simulation = SimulationConfig(**take(SimulationConfig))
    return TrainingConfig(simulation=simulation, spaces=tuple(args.spaces), **take(TrainingConfig))


def _limit_threads(n_threads):
    """Let NumPy's BLAS use as many threads as torch: more than the cores wait for each other."""
    torch.set_num_threads(n_threads)
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return contextlib.nullcontext()
    return threadpool_limits(n_threads)


def read_people(path=None, **options):
    """Read lead fields from a file, or have them computed and kept there.

    None is a file in the user's cache; to make it needs MNE. ``options`` are those of
    :func:`mne_mmnet.simulation.people.make_people`.
    """
    if path is not None and Path(path).exists():
        return PeopleArchive.read(path)
    from ..simulation.people import make_people

    return make_people(path, **options)


def read_spaces(folder, spaces, n_jobs=1):
    """Read, or compute and keep, the lead fields of a training run.

    In a folder, of which None is the user's cache, one archive for each space, and one of people
    with the first space who are in none of them.
    """

    def read(spacing, n_people, seed):
        path = None
        if folder is not None:
            path = Path(folder) / f"{spacing}-{n_people}-seed{seed}.npz"
        few = _FEW_ELECTRODES if spacing in _FINE_SPACINGS else None
        return read_people(
            path,
            n_people=n_people,
            spacing=spacing,
            seed=seed,
            n_electrodes=few,
            n_jobs=n_jobs,
        )

    training = [read(spacing, n_people, 0) for spacing, n_people, _ in spaces]
    return training, [read(spaces[0][0], VALIDATION_PEOPLE, VALIDATION_SEED)]


def describe_domain(config):
    """Collect what the simulations cover, for a model card."""
    spaces = [dict(zip(("spacing", "n_people", "share"), s, strict=True)) for s in config.spaces]
    return {**asdict(config.simulation), "people": asdict(PeopleVariety()), "spaces": spaces}


def main(argv=None, *, prog="python -m mne_mmnet.training", progress=iter):
    """Run the command.

    ``progress`` wraps the sequence of batch numbers, for a progress bar. Returned is the card of
    the model that was saved.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    args = make_parser(prog).parse_args(argv)
    config = _read_config(args)
    initial = None
    if args.initial is not None:
        initial, _ = read_model(args.initial)
        config = replace(config, network=initial.config)
    people, validation_people = read_spaces(args.people_folder, config.spaces, args.people_jobs)
    started = time.monotonic()
    with _limit_threads(args.threads):
        network, validation = train(
            config,
            args.out,
            people,
            validation_people=validation_people,
            n_workers=args.workers,
            device=args.device,
            initial=initial,
            save_every=args.save_every,
            progress=progress,
        )
        coverage = train_confidence(
            network,
            config,
            [Space(archive, config.network, args.device) for archive in people],
            [Space(archive, config.network, args.device) for archive in validation_people],
            args.out,
            save_every=args.save_every,
            progress=progress,
        )
    provenance = {
        "command": write_command(prog, argv),
        "training": {
            key: value
            for key, value in config.to_dict().items()
            if key not in ("network", "simulation")
        },
        "initial": name_of(args.initial),
        "validation_loss": validation,
        "coverage": coverage,
        "minutes_of_last_session": round((time.monotonic() - started) / 60, 1),
        "versions": list_versions(),
    }
    domain = describe_domain(config)
    return save_model(network, args.out / args.name, domain=domain, provenance=provenance)
