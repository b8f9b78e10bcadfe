"""Train a curvature network for descent alone: the lower level, with J as it is.

    python benchmarks/majorant_training.py --people-folder people --out runs/descent.safetensors

The hyperprior of a model, which stays as it is, fixes J and the start of every recording; the
curvature network, drawn anew, is trained to make J small within a few steps, each of which moves
all atoms. That is what a learned majorant is in the narrow sense; the network that comes with the
model is trained for the currents instead. ``majorant.py --descent FILE`` compares both with
classical ones, on other people, caps and kinds of data.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mne_mmnet._support.files import whole_file
from mne_mmnet.network import EvidenceNetwork, NetworkConfig
from mne_mmnet.simulation import PAIR, SimulationConfig
from mne_mmnet.solver import iterate
from mne_mmnet.training import TrainingConfig
from mne_mmnet.training.command import read_spaces
from mne_mmnet.training.confidence import USUAL
from mne_mmnet.training.loop import Space, learning_rate, pose_batch
from mne_mmnet.weights import read_model

SEED, BATCH = 5, 4
RECORDINGS = SimulationConfig(
    **USUAL,
    heads=(0.5, 0.1, 0.4, 0.0),
    orients=(0.3, 0.0, 0.0, 0.7),
)


def with_curvature(network, config):
    """Return the model's network with an untrained curvature cell of another shape."""
    other = EvidenceNetwork(config).requires_grad_(False)
    other.hyperprior.load_state_dict(network.hyperprior.state_dict())
    return other


def descent_loss(network, problem, n_steps):
    """Sum of J over the steps, relative to the start, weights doubling from step to step."""
    values = torch.stack([it.point.value for it in iterate(network, problem, n_steps)], 1)
    weights = 0.5 ** torch.arange(n_steps - 1, -1, -1, dtype=values.dtype)
    return ((values[:, 1:] - values[:, :1].detach()) @ weights).mean()


def train_descent(network, space, n_batches, n_steps, rate):
    """Train the curvature cell, in place."""
    learned = list(network.curvature.requires_grad_(True).parameters())
    optimiser = torch.optim.AdamW(learned, lr=rate)
    schedule = TrainingConfig(n_batches=n_batches, learning_rate=rate)
    recent, started = [], time.monotonic()
    for number in range(n_batches):
        batch = space.simulate(RECORDINGS, PAIR * BATCH, [SEED, number])
        with torch.no_grad():
            # the windows say the same
            problem, _ = pose_batch(network, space, batch.take(slice(0, None, PAIR)))
        loss = descent_loss(network, problem, n_steps)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(schedule, number)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        recent.append(float(loss.detach()))
        if (number + 1) % 50 == 0:
            minutes = (time.monotonic() - started) / 60
            print(f"{number + 1}: {np.mean(recent):.2f}, {minutes:.1f} min", flush=True)
            recent = []
    network.requires_grad_(False)


def write_descent(network, model, path):
    """Keep a curvature cell, with what it belongs to."""
    about = dict(config=json.dumps(network.config.to_dict()), model=model.card.sha256)
    with whole_file(path) as scratch:
        save_file(network.curvature.state_dict(), scratch, metadata=about)


def read_descent(path, model):
    """Return the model's network with a curvature cell from a file."""
    with safe_open(path, framework="pt") as file:
        about, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    if about["model"] != model.card.sha256:
        raise ValueError(f"{path} was trained for the objective of other weights.")
    config = NetworkConfig.from_dict(json.loads(about["config"]))
    network = with_curvature(model.network, config)
    network.curvature.load_state_dict(tensors)
    return network


def main():
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mmnet-base", help="name or path")
    parser.add_argument("--people-folder", type=Path, help="lead fields; default: the cache")
    parser.add_argument("--out", type=Path, default=Path("descent.safetensors"))
    parser.add_argument("--batches", type=int, default=600)
    parser.add_argument("--steps", type=int, default=8, help="unrolled")
    parser.add_argument("--read", type=int, default=40, help="width of the cell's first layer")
    parser.add_argument("--state", type=int, default=16, help="width of the cell's state")
    parser.add_argument("--factor-min", type=float, default=0.05, help="boldest factor")
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    model = read_model(args.model)
    config = replace(
        model.network.config,
        sweep=1,
        read=args.read,
        state=args.state,
        factor_min=args.factor_min,
    )
    network = with_curvature(model.network, config)
    (people,), _ = read_spaces(args.people_folder, (("ico3", 40, 1.0),))
    space = Space(people, config)
    train_descent(network, space, args.batches, args.steps, args.rate)
    write_descent(network, model, args.out)


if __name__ == "__main__":
    main()
