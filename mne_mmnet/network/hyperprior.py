"""Learned hyperprior w_θ, starting point and noise prior (DESIGN §2b)."""

import torch
from torch import nn
from torch.nn.functional import silu

from ..dictionary.model import SourceGraph
from ..objective import N_NOISE
from .config import NetworkConfig
from .context import N_ATOM_FEATURES, N_GLOBAL_FEATURES, Context
from .mixing import LookAround
from .prior import assemble, base_log_cost, base_log_weight, noise_centre

# how far the network can move the prior from its base, in log units
_REACH = 6.0


def _bounded(x, reach=_REACH):
    return reach * torch.tanh(x / reach)


class Hyperprior(nn.Module):
    """What each atom costs, where to start, what noise to expect.

    Layers with weights shared by all locations; in each, locations see averages over their
    neighbourhood on the graph, near and far, and over the whole source space.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.config = config
        n_kinds, hidden = config.n_kinds, config.hidden
        n_in = n_kinds * N_ATOM_FEATURES + 1 + N_GLOBAL_FEATURES
        self.encode = nn.Linear(n_in, hidden)
        self.blocks = nn.ModuleList(
            LookAround(hidden, hidden, config.shown) for _ in range(config.blocks)
        )
        self.head = nn.Linear(hidden, 2 * n_kinds + config.context)
        self.noise = nn.Sequential(
            nn.Linear(hidden + N_GLOBAL_FEATURES, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 3 * N_NOISE),
        )
        nn.init.zeros_(self.head.weight[: 2 * n_kinds])
        nn.init.zeros_(self.head.bias)
        nn.init.zeros_(self.noise[-1].weight)
        nn.init.zeros_(self.noise[-1].bias)

    def forward(self, context: Context, graph: SourceGraph, n_rank):
        """Prior, start and summary of a batch.

        Parameters
        ----------
        context : Context
            The features.
        graph : SourceGraph
            The source space.
        n_rank : int
            Dimension of the sensor space: the data's total power is n_rank.

        Returns
        -------
        cost, barrier, start : torch.Tensor of shape (n_batch, n_atoms + 3)
            The objective's w, its noise barrier, and v₀.
        summary : torch.Tensor of shape (n_batch, n_sources, context)
            For the curvature cell.
        """
        n_sources = context.atoms.shape[1]
        n_kinds = self.config.n_kinds
        recording = context.recording[:, None].expand(-1, n_sources, -1)
        hidden = silu(self.encode(torch.cat([context.atoms, context.norms, recording], -1)))
        for block in self.blocks:
            hidden = hidden + silu(block(graph, hidden))
        out = self.head(hidden)
        log_cost, log_start = (
            _bounded(graph.to_atoms(x)) for x in out[..., : 2 * n_kinds].split(n_kinds, -1)
        )
        summary = out[..., 2 * n_kinds :]

        pooled = torch.cat([hidden.mean(1), context.recording], -1)
        shift, log_weight, jump = self.noise(pooled).split(N_NOISE, -1)
        centre = noise_centre(context.log_power, context.noise_known) + _bounded(shift, 3.0)
        cost, barrier = assemble(
            log_cost + base_log_cost(n_rank),
            _bounded(log_weight, 3.0) + base_log_weight(n_rank),
            centre,
        )
        start = context.start + torch.cat([log_start, torch.tanh(jump)], 1)
        return cost, barrier, start, summary
