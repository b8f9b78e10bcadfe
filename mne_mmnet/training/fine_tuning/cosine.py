"""The cosine route's network for another source space: what fits is kept, the rest is trained."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ...baselines import CosineMMNet
from ...simulation import perturb_heads
from ..bilevel import train_bilevel
from ..bilevel_config import BilevelConfig
from ..samples import CHUNK, N_CHUNKS, SOURCES, mix_montages

_SNR_DB = (0.0, 15.0)
_N_HEADS = 8


def tune_cosine(network, archive, minutes, directory, *, seed=0, device="cpu", progress=None):
    """Train the cosine route's network for the source space of an archive.

    Parameters
    ----------
    network : CosineNetwork
        Weights to start from, of any source space.
    archive : HeadArchive
        Its head 0 is the lead field to invert with.
    minutes : float
        Time limit.
    directory : pathlib.Path
        Where checkpoints are kept.
    seed : int
        Of heads, recordings and weights.
    device : str | torch.device
        Where to train.
    progress : callable | None
        Called with the share of the run that is over.

    Returns
    -------
    tuned : CosineNetwork
        The weights that did best on held-out simulations.
    found : dict
        What :func:`train_bilevel` says of them.
    """
    n_sources = archive.gains.shape[2]
    n_channels = archive.gains.shape[1]
    config = BilevelConfig.budget(minutes, seed=seed)
    torch.manual_seed(seed)
    shape = replace(network.config, n_sources=n_sources, n_steps=config.n_steps)
    estimator = CosineMMNet(shape)
    own, given = estimator.network.state_dict(), network.state_dict()
    fitting = {k: v.to("cpu") for k, v in given.items() if k in own and own[k].shape == v.shape}
    estimator.network.load_state_dict({**own, **fitting})

    def stream(purpose, n_samples):
        heads = perturb_heads(archive, _N_HEADS, np.random.default_rng([seed, purpose]))
        options = dict(n_channels=(min(16, n_channels), n_channels), snr_db=_SNR_DB)
        options |= dict(crop=config.crop, device=device)
        return mix_montages(SOURCES, purpose, n_samples, config.batch_size, heads, **options)

    history = train_bilevel(
        estimator,
        stream(2 * seed + 1, CHUNK * N_CHUNKS),
        stream(2 * seed + 2, 10 * CHUNK),
        config,
        directory,
        device=device,
        progress=progress,
        belongs=hashlib.sha256(np.ascontiguousarray(archive.gains).tobytes()).hexdigest(),
    )
    for name in ("checkpoint.pt", "log.jsonl"):
        (Path(directory) / name).unlink(missing_ok=True)
    best = min(history, key=lambda entry: entry["validation"])
    return estimator.network.eval().requires_grad_(False), best
