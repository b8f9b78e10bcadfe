"""The training command: ``python -m mne_mmnet.training``, also reached as ``mne-mmnet train``."""

import argparse
import contextlib
import platform
import shlex
import sys
import time
from dataclasses import asdict, fields, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from ..simulation import HeadArchive, SimulationConfig
from ..weights import load_model, save_model
from .config import TrainingConfig
from .loop import train

_SKIPPED = ("network", "simulation")


def make_parser(prog="python -m mne_mmnet.training"):
    """Make the parser, with one option for each field of the configurations.

    Parameters
    ----------
    prog : str
        Name of the program, for its help.

    Returns
    -------
    parser : argparse.ArgumentParser
        The parser.
    """
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
        "--heads-file",
        type=Path,
        help="lead fields computed before (needs no MNE); else they are computed and cached",
    )
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
                nargs=2 if pair else None,
                default=default,
            )
    return parser


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
    return TrainingConfig(simulation=simulation, **take(TrainingConfig))


def _limit_threads(n_threads):
    """Let NumPy's BLAS use as many threads as torch: more than the cores wait for each other."""
    torch.set_num_threads(n_threads)
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return contextlib.nullcontext()
    return threadpool_limits(n_threads)


def read_heads(path, **options):
    """Read lead fields from a file, or have them computed and cached.

    Parameters
    ----------
    path : path-like | None
        The file; None computes them, which needs MNE.
    **options
        Of :func:`mne_mmnet.simulation.heads.make_head_archive`.

    Returns
    -------
    heads : HeadArchive
        The lead fields.
    """
    if path is not None:
        return HeadArchive.read(path)
    from ..simulation.heads import make_head_archive

    return make_head_archive(**options)


def list_versions():
    """Name the versions that a model card records."""
    return {
        "mne_mmnet": version("mne_mmnet"),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def main(argv=None, *, prog="python -m mne_mmnet.training", progress=iter):
    """Run the command.

    Parameters
    ----------
    argv : list of str | None
        Arguments; None is those of the process.
    prog : str
        Name of the program, for its help and for the model card.
    progress : callable
        Wraps the sequence of batch numbers, for a progress bar.

    Returns
    -------
    card : ModelCard
        The card of the model that was saved.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    args = make_parser(prog).parse_args(argv)
    config = _read_config(args)
    initial = None
    if args.initial is not None:
        initial, _ = load_model(args.initial)
        config = replace(config, network=initial.config)
    heads = read_heads(args.heads_file, n_heads=config.n_heads)
    started = time.monotonic()
    with _limit_threads(args.threads):
        network, validation = train(
            config,
            args.out,
            heads,
            device=args.device,
            initial=initial,
            save_every=args.save_every,
            progress=progress,
        )
    provenance = {
        "command": shlex.join([*prog.split(), *argv]),
        "training": {k: v for k, v in config.to_dict().items() if k not in _SKIPPED},
        "initial": args.initial,
        "validation_loss": validation,
        "minutes_of_last_session": round((time.monotonic() - started) / 60, 1),
        "versions": list_versions(),
    }
    domain = asdict(config.simulation)
    return save_model(network, args.out / args.name, domain=domain, provenance=provenance)
