"""The least time that the evidence route could take on this machine, from counted operations.

Counted are the multiplications and additions that the algorithm as written cannot do without
(``mne_mmnet/objective/products.py``: two products with the dictionary a step; the network's
layers; factorisations; the read-out), and the bytes of the dictionary that every pass fetches.
Measured are the rates of this machine's matrix products, in both precisions, and of its memory.
The floor is the larger of the time for the operations, at the rate of a large matrix product, and
the time for the bytes: no Python, no small operations, no waiting for caches.
"""

import time
from typing import NamedTuple

import torch

from mne_mmnet.network.mixing import LookAround
from mne_mmnet.objective import n_active


class Rates(NamedTuple):
    """What the machine can do in a second.

    Operations of a matrix product in float32 and float64; bytes read in a sum over an array that
    no cache holds.
    """

    single: float
    double: float
    memory: float


class Work(NamedTuple):
    """What one recording costs: operations in float32 and float64, bytes of the dictionary."""

    single: float
    double: float
    traffic: float

    def seconds(self, rates):
        """Least time at the machine's rates."""
        arithmetic = self.single / rates.single + self.double / rates.double
        return max(arithmetic, self.traffic / rates.memory)


def clock(function, device, n_times):
    """Seconds that each of some calls takes."""
    found = []
    for _ in range(n_times):
        wait_for(device)
        started = time.perf_counter()
        function()
        wait_for(device)
        found.append(time.perf_counter() - started)
    return found


def wait_for(device):
    """Let a GPU finish what it was asked for, before a clock is read."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def measure_rates(size=768, n_floats=16_000_000, device="cpu"):
    """Measure the machine now, with as many threads as torch has; the best of five.

    On a GPU take sizes, of the matrices' side and of the array, that fill it.
    """
    single = torch.randn(size, size, device=device)
    double = single.double()
    large = torch.ones(n_floats, device=device)
    operations = 2.0 * size**3
    return Rates(
        operations / min(clock(lambda: single @ single, device, 5)),
        operations / min(clock(lambda: double @ double, device, 5)),
        4.0 * n_floats / min(clock(large.sum, device, 5)),
    )


def count_work(network, model, n_times):
    """Count the work for so many samples, steps being accepted at once as nearly all are."""
    config, graph = network.config, model.graph
    n, n_sources, atoms = model.n_kept, model.n_sources, model.n_atom_columns
    # those of the errors, too
    m = model.columns.shape[-1]
    k = min(n, n_times)
    # all atoms move in a sweep; after it, what stands still is summed once
    steps = range(config.n_steps)
    n_sweeps = sum(k % config.sweep == 0 for k in steps)
    n_screens = sum(k % config.sweep == 1 for k in steps)
    n_grams = 2 + 1 + n_sweeps + n_screens  # of the preview, the start, the search
    n_forms = 1 + n_sweeps
    n_few = config.n_preview - 1 + config.n_steps - n_sweeps
    active = m - atoms + sum(n_active(count) * width for count, width in model.families)

    grams = n_grams * (2.0 * n + 1.0) * n * m
    forms = n_forms * (2.0 * n + 5.0) * n * m
    few = n_few * (4.0 * n + 6.0) * n * active
    images = 2.0 * (k + 4.0) * n * atoms
    read_out = 2.0 * n_times * (n * atoms + graph.synthesis.values().numel())
    layers = 0.0
    hyperprior, elsewhere = network.hyperprior, set()
    for layer in hyperprior.modules():
        if isinstance(layer, LookAround):
            own, near, *_ = layer.join.weight.split(layer.split, 1)  # the rest: cells, the mean
            layers += 2.0 * n_sources * (own.numel() + near.numel())
            nonzero = sum(matrix.values().numel() for matrix in (graph.near, graph.far))
            layers += 2.0 * nonzero * layer.split[1]
            elsewhere.add(layer.join)
        elif isinstance(layer, torch.nn.Linear) and layer not in elsewhere:
            on_sources = layer not in set(hyperprior.noise)  # the others see the mean
            layers += 2.0 * n_sources * layer.weight.numel() * on_sources
    weights = sum(weight.numel() for weight in network.curvature.parameters())
    mixing = graph.near.values().numel() * config.state
    layers += config.n_steps * 2.0 * (n_sources * weights + mixing)

    n_eigen = config.n_preview + config.n_steps
    n_evaluations = n_eigen + 1
    small = n_evaluations * (2.0 / 3.0 * n**3 + 2.0 * n * n * k)
    small += n_eigen * (9.0 * n**3 + 2.0 * n * n * (n + k))
    residual = 2.0 * model.n_rank * n_sources * model.n_orient * n_times
    return Work(
        single=grams + forms + few + images + read_out + layers,
        double=small + residual,
        traffic=4.0 * n * m * (n_grams + n_forms + 2),
    )
