"""What the networks are told about a data set before the first step.

Everything is scale-free (data × c changes nothing) and says the same of every montage, grid and
number of samples: subspace correlations, normalised source images and relative norms, each seen
from the atoms; and a few numbers about the recording as a whole.
"""

import math
from dataclasses import dataclass

import torch

from .._support.eigen import symmetric_eigen
from ..dictionary.model import SourceModel
from ..objective import factor_dtype
from .facts import HEADS, N_FACTS
from .preview import N_FIT_FEATURES, N_PREVIEW_FEATURES, preview

# sizes of the signal subspace with which atoms are correlated (MUSIC)
_SUBSPACES = (1, 2, 4)
# eigenvalues below this share of the first count as zero
_NO_POWER = 1e-4
_LOG_FLOOR = -12.0
# the preview starts at the image, its peak this much (log) below all of the data
_START_BELOW = 6.0
_N_EIGEN = 4

N_ATOM_FEATURES = len(_SUBSPACES) + 2 + N_PREVIEW_FEATURES
N_GLOBAL_FEATURES = _N_EIGEN + 6 + N_FIT_FEATURES + N_FACTS
N_CALIBRATION = len(HEADS) + 2


@dataclass(frozen=True)
class Context:
    """Features of one batch of data sets.

    Parameters
    ----------
    atoms : torch.Tensor of shape (n_batch, n_sources, n_kinds * n_atom_features)
        Features of the atoms of each location.
    norms : torch.Tensor of shape (n_batch, n_sources, 1)
        Log of the location's lead-field norm, relative to the mean.
    recording : torch.Tensor of shape (n_batch, n_global_features)
        Features of the recording.
    start : torch.Tensor of shape (n_batch, n_atoms + 3)
        Log-variances at which the preview ends: where the search starts.
    log_power : torch.Tensor of shape (n_batch,)
        Log of the data power a channel over that of the noise; 0 where the noise is unknown.
    noise_known : torch.Tensor of shape (n_batch,)
        1 where the data were whitened by a measured noise covariance, 0 elsewhere.
    calibration : torch.Tensor of shape (n_batch, n_calibration)
        On what the temperature of probabilities depends: whose head, the number of dimensions,
        whether the noise is known.
    """

    atoms: torch.Tensor
    norms: torch.Tensor
    recording: torch.Tensor
    start: torch.Tensor
    log_power: torch.Tensor
    noise_known: torch.Tensor
    calibration: torch.Tensor


def _relative_log(x):
    """Log relative to the largest of each sample, bounded below."""
    log = x.clamp_min(1e-30).log()
    return (log - log.amax(1, keepdim=True)).clamp_min(_LOG_FLOOR)


def _spectrum(data):
    """Eigenvalues (descending) and eigenvectors of C = Y Yᵀ."""
    exact = data.to(factor_dtype(data.device))
    values, vectors = symmetric_eigen(exact @ exact.mT)
    return values.flip(-1).clamp_min(0.0), vectors.flip(-1)


@torch.no_grad()
def compute_context(
    model: SourceModel,
    data,  # (n_batch, n_kept, n_factors), Y in the model's basis
    rest,  # (n_batch,), the data power outside of it
    log_power,  # (n_batch,)
    noise_known,  # (n_batch,)
    facts,  # (n_batch, N_FACTS)
    config,
):
    """Features of a batch of data sets.

    Parameters
    ----------
    model : SourceModel
        Lead field and dictionary.
    data : torch.Tensor of shape (n_batch, n_kept, n_factors)
        Y in the model's basis; the whole data have tr(Y Yᵀ) = n_rank.
    rest : torch.Tensor of shape (n_batch,)
        Power of the data outside the basis.
    log_power, noise_known : torch.Tensor of shape (n_batch,)
        As in :class:`Context`.
    facts : torch.Tensor of shape (n_batch, N_FACTS)
        From :func:`mne_mmnet.network.facts.describe`.
    config : NetworkConfig
        Of the preview.

    Returns
    -------
    context : Context
        The features. Nothing learned enters them, so no gradient is kept.
    """
    n_batch, n_kept, _ = data.shape
    eigenvalues, left = _spectrum(data)
    dtype = eigenvalues.dtype
    features = []

    # MUSIC: squared correlation of an atom with the first r singular vectors
    width = min(max(_SUBSPACES), n_kept)
    seen = left[..., :width].mT.to(data.dtype) @ model.atoms
    # directions without power are arbitrary: rounding must not decide what the network sees
    power = eigenvalues / eigenvalues[:, :1].clamp_min(1e-30)
    real = power**2 / (power**2 + _NO_POWER**2)
    shares = (real[:, :width, None].to(seen.dtype) * seen * seen).cumsum(1)
    for size in _SUBSPACES:
        correlation = model.sum_columns(shares[:, min(size, width) - 1])
        features.append(2.0 * correlation)

    # standardised image under a fixed covariance: power q/z and its numerator q
    inverse, z = model.standardisation
    dual = (inverse @ data.to(inverse.dtype)).to(data.dtype)
    q = model.sum_columns((dual.mT @ model.atoms).square_().sum(1))
    score = _relative_log(q / z.clamp_min(1e-12))
    features += [score, _relative_log(q)]

    ahead = preview(
        model,
        data,
        rest,
        score + math.log(model.n_rank) - _START_BELOW,
        log_power,
        noise_known,
        config,
    )
    features += ahead.atoms

    atoms = model.graph.to_locations(torch.stack(features, 1))

    scale = model.scale[:, : model.n_sources]  # of the points
    weakest = scale.amax(1, keepdim=True)  # a source that no sensor sees has scale 0
    log_norm = -torch.where(scale > 0, scale, weakest).log()
    norms = (log_norm - log_norm.mean(1, keepdim=True)).expand(n_batch, -1)[..., None]

    shares = eigenvalues / eigenvalues.sum(-1, keepdim=True).clamp_min(1e-30)
    top = torch.zeros(n_batch, _N_EIGEN, dtype=dtype, device=data.device)
    n_top = min(_N_EIGEN, shares.shape[-1])
    top[:, :n_top] = shares[:, :n_top]
    entropy = -(shares * shares.clamp_min(1e-30).log()).sum(-1)
    middle = eigenvalues[:, n_kept // 2]
    full = real.sum(-1) / n_kept  # rank of C, however many samples it comes from
    size = torch.full_like(entropy, model.n_rank / 64.0).log()
    recording = torch.cat(
        [
            top,
            torch.stack(
                [
                    entropy / 3.0,
                    middle.clamp_min(1e-6).log() / 5.0,
                    full,
                    size,
                    noise_known.to(dtype),
                    (noise_known * log_power).to(dtype).clamp(-3.0, 10.0) / 3.0,
                ],
                1,
            ),
            ahead.fit.to(dtype),
            facts.to(dtype),
        ],
        1,
    ).to(data.dtype)
    whose = facts[:, : len(HEADS)].to(data.dtype)
    known = torch.stack([size.to(data.dtype), noise_known.to(data.dtype)], 1)
    calibration = torch.cat([whose, known], 1)
    return Context(atoms, norms, recording, ahead.v, log_power, noise_known, calibration)
