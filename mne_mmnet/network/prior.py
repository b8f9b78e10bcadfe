"""The prior before anything is learned: what the hyperprior multiplies, and the preview uses."""

import math

import torch

# log of the shares of white noise, activity of the whole cortex and of deep places in the data,
# where nothing is known
_GUESS = (-1.5, -1.5, -4.0)
# where the noise is known, the other two are expected that much (log) below the white noise
_BELOW = (0.0, 2.0, 4.0)


def base_log_cost(n_rank):
    """Log of an atom's cost: an atom of variance n_rank explains all of the data."""
    return -math.log(n_rank) - 1.0


def base_log_weight(n_rank):
    """Log of the weight of the noise prior."""
    return math.log(n_rank) - 2.0


def noise_centre(log_power, noise_known):
    """Where the log-variances of the three noise terms are expected.

    Parameters
    ----------
    log_power : torch.Tensor of shape (n_batch,)
        Log of the data power a channel over that of the noise.
    noise_known : torch.Tensor of shape (n_batch,)
        1 where ``log_power`` was measured, 0 elsewhere.

    Returns
    -------
    centre : torch.Tensor of shape (n_batch, 3)
        White noise, activity of the whole cortex, of deep places.
    """
    known = noise_known[:, None]
    level = -log_power[:, None] - log_power.new_tensor(_BELOW)
    return known * level + (1.0 - known) * level.new_tensor(_GUESS)


def assemble(log_cost, log_weight, centre):
    """Coefficients of the objective.

    Parameters
    ----------
    log_cost : torch.Tensor of shape (n_batch, n_atoms)
        Log of w.
    log_weight, centre : torch.Tensor of shape (n_batch, 3)
        Log of ν, and μ, of the noise terms.

    Returns
    -------
    cost, barrier : torch.Tensor of shape (n_batch, n_atoms + 3)
        As in :class:`mne_mmnet.objective.EvidenceObjective`.
    """
    weight = log_weight.exp()
    cost = torch.cat([log_cost.exp(), weight * (-centre).exp()], 1)
    barrier = torch.cat([torch.zeros_like(log_cost), weight * centre.exp()], 1)
    return cost, barrier
