"""Recurrent curvature network: the factor o by which the majorant's curvature is scaled."""

import math

import torch
from torch import nn
from torch.nn.functional import silu

from ..majorant import EvidenceMajorant
from ..objective import N_NOISE
from .config import NetworkConfig
from .mixing import mix

# of each atom, at one iterate
N_STEP_FEATURES = 6
_N_NOISE_FEATURES = 3 * N_NOISE


def relevance(majorant: EvidenceMajorant):
    """Whether the data want an atom, were it not there: log of Q/S (Tipping & Faul 2003).

    With Σ = Σ₋ᵢ + γ_i l̃_i l̃_iᵀ, S = l̃ᵀ Σ₋ᵢ⁻¹ l̃ = z/(1 − γz) and
    Q = l̃ᵀ Σ₋ᵢ⁻¹ C Σ₋ᵢ⁻¹ l̃ = q/(1 − γz)²: Q/S = b/(a (1 − a)). Without cost, J is least along the
    atom's variance at γ* = (Q − S)/S², or at 0 where Q < S. Neighbours compete for the same data,
    so that is no step to take, but it tells more than the majorant does.

    Parameters
    ----------
    majorant : EvidenceMajorant
        a = γz and b = γq, at v.

    Returns
    -------
    relevance : torch.Tensor of shape (n_batch, n_atoms + 3)
        From −6 to 6.
    """
    a = majorant.a.clamp(1e-9, 0.999)
    ratio = 2.0 * majorant.analytic_step - torch.log1p(-a)
    return ratio.clamp(-6.0, 6.0)


def step_features(v, majorant: EvidenceMajorant, graph, log_rank):
    """Scale-free state of each location's atoms at one iterate.

    Of each atom: log b/a (0 at a stationary point), variance, relative posterior power, relative
    beamformer image, log a, and :func:`relevance`.

    Parameters
    ----------
    v : torch.Tensor of shape (n_batch, n_atoms + 3)
        Log-variances.
    majorant : EvidenceMajorant
        The majorant at v.
    graph : SourceGraph
        The source space.
    log_rank : float
        log(n_rank), the scale of the variances.

    Returns
    -------
    features : torch.Tensor of shape (n_batch, n_sources, 6 * n_kinds)
        About 1 in size.
    """
    n_atoms = graph.n_atoms
    log_b = majorant.b[:, :n_atoms].clamp_min(1e-12).log()
    u = v[:, :n_atoms]
    image = log_b - u
    features = torch.stack(
        [
            majorant.analytic_step[:, :n_atoms].clamp(-4.0, 4.0),
            (u - log_rank).clamp_min(-12.0) / 4.0,
            (log_b - log_b.amax(1, keepdim=True)).clamp_min(-12.0) / 4.0,
            (image - image.amax(1, keepdim=True)).clamp_min(-12.0) / 4.0,
            majorant.a[:, :n_atoms].clamp_min(1e-9).log() / 4.0,
            relevance(majorant)[:, :n_atoms] / 2.0,
        ],
        1,
    )
    return graph.to_locations(features)


class CurvatureCell(nn.Module):
    """One recurrent cell per location, weights shared by all.

    It reads the scale-free state of the location's atoms (log b/a, variance, relative posterior
    power, relative image), the hyperprior's summary, the noise terms, and its neighbours' states,
    and answers one curvature factor an atom.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.config = config
        n_kinds, state = config.n_kinds, config.state
        n_in = n_kinds * N_STEP_FEATURES + config.context + _N_NOISE_FEATURES + state
        self.read = nn.Linear(n_in, config.read)
        self.cell = nn.GRUCell(config.read, state)
        self.answer = nn.Linear(state, n_kinds)
        self.noise = nn.Parameter(torch.zeros(N_NOISE))
        nn.init.zeros_(self.answer.weight)
        # the untrained network answers o = 0.7
        nn.init.constant_(self.answer.bias, self._inverse_squash(0.7))
        nn.init.constant_(self.noise, self._inverse_squash(0.7))

    def _squash(self, x):
        low, high = math.log(self.config.factor_min), math.log(self.config.factor_max)
        return (low + (high - low) * torch.sigmoid(x)).exp()

    def _inverse_squash(self, factor):
        low, high = math.log(self.config.factor_min), math.log(self.config.factor_max)
        share = (math.log(factor) - low) / (high - low)
        return math.log(share / (1.0 - share))

    def initial_state(self, n_batch, n_sources, like):
        """Return zeros of shape (n_batch * n_sources, state)."""
        return like.new_zeros(n_batch * n_sources, self.config.state)

    def forward(self, v, majorant: EvidenceMajorant, summary, graph, state, log_rank):
        """Curvature factors at one iterate.

        Parameters
        ----------
        v : torch.Tensor of shape (n_batch, n_atoms + 3)
            Log-variances.
        majorant : EvidenceMajorant
            The majorant at v.
        summary : torch.Tensor of shape (n_batch, n_sources, context)
            From the hyperprior.
        graph : SourceGraph
            The source space.
        state : torch.Tensor of shape (n_batch * n_sources, state)
            Recurrent state.
        log_rank : float
            log(n_rank), the scale of the variances.

        Returns
        -------
        factor : torch.Tensor of shape (n_batch, n_atoms + 3)
            o, in [factor_min, factor_max].
        state : torch.Tensor of shape (n_batch * n_sources, state)
            The next state.
        """
        n_batch, n_sources, _ = summary.shape
        n_atoms = graph.n_atoms
        features = step_features(v, majorant, graph, log_rank)
        noise = torch.cat(
            [
                v[:, n_atoms:] / 4.0,
                majorant.a[:, n_atoms:].clamp_min(1e-5).log() / 4.0,
                majorant.analytic_step[:, n_atoms:].clamp(-4.0, 4.0),
            ],
            1,
        )
        noise = noise[:, None].expand(-1, n_sources, -1)
        near = mix(graph.near, state.view(n_batch, n_sources, -1))
        read = silu(self.read(torch.cat([features, summary, noise, near], -1)))
        state = self.cell(read.flatten(0, 1), state)
        atoms = graph.to_atoms(self.answer(state).view(n_batch, n_sources, -1))
        logits = torch.cat([atoms, self.noise.expand(n_batch, -1)], 1)
        return self._squash(logits), state
