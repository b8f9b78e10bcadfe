"""The command ``mne-mmnet train-cosine``: the paper's network, for any montage."""

import argparse
import sys
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path

import torch

from ..baselines import CosineMMNet
from ..network import CosineConfig
from ..simulation import (
    Dataset,
    HeadArchive,
    PeopleVariety,
    SimulationConfig,
)
from ..weights import read_model, save_model
from .ahead import AheadStream
from .augmentation import AugmentedStream
from .bilevel import train_bilevel
from .bilevel_config import BilevelConfig
from .command import VALIDATION_PEOPLE, VALIDATION_SEED, read_people
from .people_samples import PeopleStream
from .provenance import list_versions, name_of, write_command
from .samples import CHUNK, N_CHUNKS, SOURCES, AlternatingStream, mix_montages

_SEED, _VALIDATION_SEED = 21, 22


def _read_heads(path):
    """Lead fields of a file; of one in the cache, or made, if there is none, which needs MNE."""
    if path is not None and path.exists():
        return HeadArchive.read(path)
    from ..simulation.heads import make_head_archive

    return make_head_archive(path)


def make_parser(prog="python -m mne_mmnet.training.cosine_command"):
    """Make the parser."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Train the cosine route's network with random montages. Interrupted runs "
        "resume: start the same command again. Without --budget or --gpu-budget the schedule is "
        "the paper's, for a GPU.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("checkpoints"), help="run directory")
    parser.add_argument("--name", default="my-cosine-model", help="name of the saved model")
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="train on a CPU instead")
    parser.add_argument("--initial", help="cosine model whose weights to start from")
    parser.add_argument(
        "--gpu-budget", type=float, metavar="MINUTES", help="train so long on a GPU instead"
    )
    parser.add_argument("--heads-file", type=Path, help="lead fields computed before")
    parser.add_argument(
        "--people",
        type=Path,
        nargs=2,
        metavar=("TRAINING", "VALIDATION"),
        help="instead of mild perturbations of the template's head: files of people's lead fields "
        "(made where there are none), with coloured noise, background activity, a covariance or "
        "none, and all of MNE's caps",
    )
    parser.add_argument("--n-people", type=int, default=20, help="of a training file to be made")
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="torch device"
    )
    parser.add_argument("--workers", type=int, default=0, help="processes that simulate ahead")
    parser.add_argument("--n-channels", type=int, nargs=2, default=(16, 128))
    parser.add_argument("--snr-db", type=float, nargs=2, default=(0.0, 15.0))
    parser.add_argument("--dilations", type=int, nargs="*", default=(), help="residual layers")
    parser.add_argument(
        "--start-width", type=int, default=0, help="channels of the network that starts it"
    )
    parser.add_argument(
        "--anchored", action="store_true", help="the regulariser expects that start: Φ(x) + x₀"
    )
    parser.add_argument("--metric", choices=("structured", "diagonal"), default="structured")
    parser.add_argument(
        "--sources", nargs="+", choices=tuple(SOURCES), default=list(SOURCES), help="simulators"
    )
    parser.add_argument(
        "--superpose", action="store_true", help="half of the training recordings are sums of two"
    )
    group = parser.add_argument_group("schedule", "changes to the paper's or the budget's")
    for field in fields(BilevelConfig):
        if field.name not in ("minutes", "annealing", "half"):
            option = "--" + field.name.replace("_", "-")
            group.add_argument(option, type=type(field.default), default=argparse.SUPPRESS)
    return parser


def _read_config(args):
    changes = {
        field.name: getattr(args, field.name)
        for field in fields(BilevelConfig)
        if hasattr(args, field.name)
    }
    if args.gpu_budget is not None:
        return BilevelConfig.gpu_budget(args.gpu_budget, **changes)
    if args.budget is None:
        return BilevelConfig(**changes)
    return BilevelConfig.budget(args.budget, **changes)


def _name_schedule(args):
    if args.gpu_budget is not None:
        return "GPU budget"
    return "CPU budget" if args.budget else "the paper's"


def _read_archives(args):
    """Lead fields of training and of validation."""
    if args.people is None:
        heads = _read_heads(args.heads_file)
        return heads, heads
    training, validation = args.people
    found = (
        read_people(training, n_people=args.n_people, seed=0),
        read_people(validation, n_people=VALIDATION_PEOPLE, seed=VALIDATION_SEED),
    )
    if found[0].source_space != found[1].source_space:
        raise ValueError(f"{training} and {validation} have different source spaces.")
    # sources between those of the inversion would take most of the memory
    return tuple(replace(people, fine=None) for people in found)


def _simulation(args):
    """Distribution of people's recordings."""
    return SimulationConfig(n_channels=tuple(args.n_channels), snr_db=tuple(args.snr_db))


def _describe_heads(args, archive):
    """Say in the model card what recordings were simulated with."""
    if args.people is None:
        return {"noise": "white", "n_heads": len(archive.gains)}
    config = asdict(_simulation(args))
    kept = ("heads", "tilt", "background", "deep", "known_noise", "baseline", "layouts", "ideal")
    return {
        "noise": "of sensors, shared by neighbours, and background activity of the brain",
        "n_people": archive.n_people,
        "people": asdict(PeopleVariety()),
        "simulation": {name: config[name] for name in kept},
    }


def _make_stream(args, archive, config, seed, n_samples, device):
    if args.people is not None:
        streams = [
            PeopleStream(
                Dataset(kind, SOURCES[kind], seed, n_samples, CHUNK),
                config.batch_size,
                archive,
                _simulation(args),
                crop=config.crop,
                seed=seed,
                device=device,
            )
            for kind in args.sources
        ]
        return AlternatingStream(streams)
    options = dict(n_channels=tuple(args.n_channels), snr_db=tuple(args.snr_db))
    options |= dict(crop=config.crop, device=device)
    return mix_montages(args.sources, seed, n_samples, config.batch_size, archive, **options)


def main(argv=None, *, prog="python -m mne_mmnet.training.cosine_command", progress=None):
    """Run the command.

    ``progress`` is called with the share of the run that is over. Returned is the card of the
    model that was saved. Lead fields that don't name their source space, or an initial model of
    another kind, are a ValueError.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    args = make_parser(prog).parse_args(argv)
    config = _read_config(args)
    archive, others = _read_archives(args)
    if archive.source_space is None:
        raise ValueError(
            "The lead fields do not say what source space they belong to, so nobody could tell "
            "where the weights may be used. Make them again with make_head_archive."
        )
    n_sources = archive.source_space["n_sources"]
    make_config = CosineConfig.diagonal if args.metric == "diagonal" else CosineConfig
    torch.manual_seed(config.seed)
    shape = dict(
        n_steps=config.n_steps,
        dilations=args.dilations,
        start_width=args.start_width,
        anchored=args.anchored,
    )
    estimator = CosineMMNet(make_config(n_sources=n_sources, **shape))
    if args.initial is not None:
        initial, card = read_model(args.initial)
        if card.kind != "cosine" or initial.config != estimator.network.config:
            raise ValueError(f"The weights of {card.name} belong to another network.")
        estimator.network.load_state_dict(initial.state_dict())
    torch.set_num_threads(1 if args.budget else torch.get_num_threads())
    # processes that simulate ahead do so without the device
    place = "cpu" if args.workers else args.device
    stream = _make_stream(args, archive, config, _SEED, CHUNK * N_CHUNKS, place)
    if args.superpose:
        stream = AugmentedStream(stream, _SEED)
    validation = _make_stream(
        args, others, replace(config, seed=1), _VALIDATION_SEED, 10 * CHUNK, args.device
    )
    run = partial(train_bilevel, device=args.device, progress=progress)
    if args.workers:
        with AheadStream(stream, args.workers, args.device) as ahead:
            history = run(estimator, ahead, validation, config, args.out)
    else:
        history = run(estimator, stream, validation, config, args.out)
    best = min(history, key=lambda entry: entry["validation"])
    provenance = {
        "command": write_command(prog, argv),
        "schedule": _name_schedule(args),
        "training": config.to_dict(),
        "initial": name_of(args.initial),
        "validation": best,
        "device": args.device,
        "versions": list_versions(),
    }
    domain = {
        "source_space": archive.source_space,
        "n_channels": list(args.n_channels),
        "snr_db": list(args.snr_db),
        "sources": list(args.sources),
        "sums_of_two": args.superpose,
        "max_times": config.crop or None,
        **_describe_heads(args, archive),
    }
    return save_model(
        estimator.network, args.out / args.name, domain=domain, provenance=provenance, half=True
    )


if __name__ == "__main__":
    main()
