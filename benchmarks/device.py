"""Windows a second on a GPU (or CPU): estimation, training, and whether it agrees with a CPU.

    python benchmarks/device.py --people people/ico3-8-seed1000.npz --device cuda

Needs no MNE: lead fields of people come from a file of :mod:`mne_mmnet.training` (its
``--people-folder``), so that it runs where only torch, numpy, scipy and safetensors are.

Estimation: from whitened data in the processor's memory to currents in it; median of
``--repeats``. The share of the floor is the least time that the counted operations and bytes could
take on this device (``floor.py``) over the time taken. Agreement: largest difference of the
currents from those of a CPU, relative to the largest current. Training: the loop's own step,
forward and backward, without the simulation. Writes ``device.csv``.
"""

import platform
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import write_rows
from floor import clock, count_work, measure_rates
from runner import RESULTS, made_by, make_parser

from mne_mmnet.network import describe
from mne_mmnet.simulation import PeopleArchive, SimulationConfig
from mne_mmnet.solver import iterate, normalise_data, pose
from mne_mmnet.training.loop import Space, part_loss, pose_batch
from mne_mmnet.weights import read_model

N_CHANNELS, N_TIMES, SEED = 64, 50, 0
# one person on the template, orientation along the normals, a known noise covariance
WINDOWS = SimulationConfig(
    n_channels=(N_CHANNELS, N_CHANNELS),
    layouts=0.0,
    heads=(1.0, 0.0, 0.0, 0.0),
    orients=(1.0, 0.0, 0.0, 0.0),
    known_noise=1.0,
    removed=0.0,
    max_times=N_TIMES,
)


def simulate_windows(space, n_windows):
    """One person's windows, all of ``N_TIMES`` samples or the most that were drawn."""
    for seed in range(1000):  # the number of samples is drawn, too
        batch = space.simulate(WINDOWS, 2, [SEED, seed])
        if batch.data.shape[2] > N_TIMES // 2:
            break
    batch = space.simulate(WINDOWS, n_windows + n_windows % 2, [SEED, seed])
    return batch.take(slice(0, n_windows))


@torch.inference_mode()
def prepare(network, space, batch):
    """Return what a head and a cap decide: the model of the sources, which is kept."""
    return pose_batch(network, space, batch.take(slice(0, 1)))[0].objective.model


@torch.inference_mode()
def estimate(network, model, batch):
    """Currents of a batch, in the processor's memory."""
    device, n_batch = model.columns.device, len(batch.data)
    data, amplitude = normalise_data(torch.as_tensor(batch.data, dtype=torch.float64))
    data, known = data.to(device), torch.full((n_batch,), batch.noise_known, device=device)
    facts = describe(n_batch, batch.head, batch.orient, batch.n_samples, model.n_rank, device)
    problem = pose(network, model, data, amplitude.to(device), known, facts)
    *_, last = iterate(network, problem)
    return problem.objective.posterior_mean(last.point, data).cpu()


def median_seconds(function, args):
    """Median of the seconds that a call takes, after two that warm up."""
    return float(np.median(clock(function, args.device, args.repeats + 2)[2:]))


def make_row(what, n, seconds, share=""):
    """One row of the table, printed."""
    row = dict(
        what=what,
        batch=n,
        ms=f"{1e3 * seconds:.4g}",
        a_second=f"{n / seconds:.4g}",
        percent_of_floor=share,
    )
    print(row, flush=True)
    return row


def measure_estimates(network, people, args, rates):
    """One row a batch size: windows a second, share of the floor."""
    space, rows = Space(people, network.config, args.device), []
    for n_windows in args.windows:
        batch = simulate_windows(space, n_windows)
        model = prepare(network, space, batch)
        seconds = median_seconds(partial(estimate, network, model, batch), args)
        floor = n_windows * count_work(network, model, batch.data.shape[2]).seconds(rates)
        rows.append(make_row("estimates", n_windows, seconds, f"{100 * floor / seconds:.3g}"))
    return rows


def measure_training(network, people, args):
    """One row a batch size: recordings a second, as the training loop has them."""
    space, rows = Space(people, network.config, args.device), []
    network.requires_grad_(True)
    for n_batch in args.batches:
        batches = [space.simulate(SimulationConfig(), n_batch, [SEED, k]) for k in range(6)]

        def step(batches=batches, part=slice(0, n_batch)):
            for batch in batches:
                part_loss(network, space, batch, network.config.n_steps, part).backward()

        rows.append(make_row("training", n_batch, median_seconds(step, args) / len(batches)))
    network.requires_grad_(False)
    return rows


def compare(model, people, args):
    """Largest difference from a CPU's currents, relative to the largest current of each window."""
    found = []
    for device in ("cpu", args.device):
        network, _ = read_model(model, device)
        space = Space(people, network.config, device)
        batch = simulate_windows(space, args.agreement)
        found.append(estimate(network, prepare(network, space, batch), batch))
    size = found[0].abs().amax((1, 2, 3))
    difference = (found[1] - found[0]).abs().amax((1, 2, 3)) / size
    return dict(
        what="difference from a CPU",
        batch=args.agreement,
        ms="",
        a_second="",
        percent_of_floor=f"{float(difference.max()):.2g} (relative, largest)",
    )


def main(argv=None):
    """Run everything."""
    parser = make_parser(__file__, __doc__, out=RESULTS / "device.csv")
    parser.add_argument("--people", type=Path, required=True, help="lead fields of people, .npz")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--windows", type=int, nargs="+", default=[1, 8, 64, 256, 1024])
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 32, 64, 128])
    parser.add_argument("--agreement", type=int, default=64, help="windows that are compared")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args(argv)
    people = PeopleArchive.read(args.people)
    people = replace(people, layouts={})
    network, card = read_model(args.model, args.device)
    gpu = torch.device(args.device).type == "cuda"
    sizes = dict(size=8192, n_floats=500_000_000) if gpu else {}
    rates = measure_rates(**sizes, device=args.device)
    rows = [compare(args.model, people, args)]
    rows += measure_estimates(network, people, args, rates)
    rows += measure_training(network, people, args)
    name = torch.cuda.get_device_name(args.device) if gpu else platform.machine()
    args.people = args.people.name  # no path
    comment = made_by(
        args,
        "people device",
        name,
        f"torch {torch.__version__}",
        f"{card.name} {card.sha256[:12]}",
        f"{rates.single / 1e12:.3g} TFLOP/s single, {rates.double / 1e12:.3g} double, "
        f"{rates.memory / 1e9:.4g} GB/s",
    )
    write_rows(args.out, comment, rows)


if __name__ == "__main__":
    main()
