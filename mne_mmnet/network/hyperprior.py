"""Learned hyperprior w_θ, starting point and noise prior (DESIGN §2b)."""

import math

import torch
from torch import nn
from torch.nn.functional import silu

from ..objective import N_NOISE
from .config import NetworkConfig
from .context import N_ATOM_FEATURES, N_GLOBAL_FEATURES, Context
from .mixing import mix

# how far the network can move the prior from its base, in log units
_REACH = 6.0


class Hyperprior(nn.Module):
    """What each atom costs, where to start, what noise to expect.

    Two layers with weights shared by all locations; between them locations see the average over
    their neighbourhood on the graph and over the whole source space.

    Parameters
    ----------
    config : NetworkConfig
        The shape.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.config = config
        n_scales, hidden = config.n_scales, config.hidden
        n_in = n_scales * N_ATOM_FEATURES + 1 + N_GLOBAL_FEATURES
        self.encode = nn.Linear(n_in, hidden)
        self.blocks = nn.ModuleList(nn.Linear(3 * hidden, hidden) for _ in range(2))
        self.head = nn.Linear(hidden, 2 * n_scales + config.context)
        self.noise = nn.Sequential(
            nn.Linear(hidden + N_GLOBAL_FEATURES, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 3 * N_NOISE),
        )
        nn.init.zeros_(self.head.weight[: 2 * n_scales])
        nn.init.zeros_(self.head.bias)
        nn.init.zeros_(self.noise[-1].weight)
        nn.init.zeros_(self.noise[-1].bias)

    def forward(self, context: Context, mixing, n_rank):
        """Prior, start and summary of a batch.

        Parameters
        ----------
        context : Context
            The features.
        mixing : torch.Tensor of shape (n_sources, n_sources)
            Average over the graph.
        n_rank : int
            Dimension of the sensor space: the data's total power is n_rank.

        Returns
        -------
        cost, barrier, start : torch.Tensor of shape (n_batch, n_atoms + 2)
            The objective's w, its noise barrier, and v₀.
        summary : torch.Tensor of shape (n_batch, n_sources, context)
            For the curvature cell.
        """
        n_batch, n_sources, _ = context.atoms.shape
        n_scales = self.config.n_scales
        recording = context.recording[:, None].expand(-1, n_sources, -1)
        hidden = silu(self.encode(torch.cat([context.atoms, context.norms, recording], -1)))
        for block in self.blocks:
            whole = hidden.mean(1, keepdim=True).expand_as(hidden)
            near = mix(mixing, hidden)
            hidden = hidden + silu(block(torch.cat([hidden, near, whole], -1)))
        out = self.head(hidden)
        log_cost, log_start = (
            _REACH * torch.tanh(x.mT.reshape(n_batch, -1) / _REACH)
            for x in out[..., : 2 * n_scales].split(n_scales, -1)
        )
        summary = out[..., 2 * n_scales :]

        # an atom of variance n_rank explains all of the data: costs and starts are relative to it
        cost = (log_cost - math.log(n_rank) - 1.0).exp()
        start = math.log(n_rank) - 6.0 + context.start + log_start

        pooled = torch.cat([hidden.mean(1), context.recording], -1)
        centre, log_weight, shift = self.noise(pooled).split(N_NOISE, -1)
        # known noise: white term expected at the measured level, background far below it
        known = context.noise_known[:, None]
        level = torch.stack([-context.log_power, -context.log_power - 2.0], 1)
        guess = centre.new_tensor([-1.5, -1.5])
        centre = known * level + (1.0 - known) * guess + 3.0 * torch.tanh(centre / 3.0)
        weight = n_rank * (3.0 * torch.tanh(log_weight / 3.0) - 2.0).exp()
        noise_start = centre + torch.tanh(shift)
        cost = torch.cat([cost, weight * (-centre).exp()], 1)
        barrier = torch.cat([torch.zeros_like(log_cost), weight * centre.exp()], 1)
        return cost, barrier, torch.cat([start, noise_start], 1), summary
