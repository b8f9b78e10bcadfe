"""Which channels take part, and the whitener that brings them to unit noise."""

import mne
import numpy as np
from mne.utils import _check_option, _validate_type, logger

from .checks import _no_eeg_message, is_average_reference, summarize_names

MIN_CHANNELS = 8
"""The least number of whitened channels that is worth localising with."""


def select_channels(info, fwd, noise_cov=None):
    """Select (info ∩ fwd ∩ noise_cov) without bads, EEG only, in the order of ``info``.

    Parameters
    ----------
    info : instance of Info
        The measurement info.
    fwd : instance of Forward
        The forward solution.
    noise_cov : instance of Covariance | None
        The noise covariance.

    Returns
    -------
    ch_names : tuple of str
        The names of the channels to use.
    """
    eeg = [info["ch_names"][p] for p in mne.pick_types(info, meg=False, eeg=True, exclude=())]
    if not eeg:
        raise ValueError(_no_eeg_message(info))
    n_other = len(info["ch_names"]) - len(eeg)
    if n_other:
        logger.info("    %d channels are not EEG and are left out", n_other)
    bads = set(info["bads"])
    steps = [('marked as bad in info["bads"]', lambda name: name not in bads)]
    in_fwd = set(fwd["sol"]["row_names"])
    steps.append(("not in the forward solution", in_fwd.__contains__))
    if noise_cov is not None:
        in_cov, cov_bads = set(noise_cov["names"]), set(noise_cov["bads"])
        steps.append(("not in the noise covariance", in_cov.__contains__))
        steps.append(('marked as bad in noise_cov["bads"]', lambda name: name not in cov_bads))
    names, dropped = eeg, []
    for reason, keep in steps:
        out = [name for name in names if not keep(name)]
        names = [name for name in names if keep(name)]
        if out:
            dropped.append(f"{summarize_names(out)} {reason}")
            logger.info("    Dropped %s", dropped[-1])
    if len(names) < MIN_CHANNELS:
        raise ValueError(
            f"Only {len(names)} of {len(eeg)} EEG channels can be used, at least {MIN_CHANNELS} "
            f"are needed: {'; '.join(dropped) or 'none was dropped'}. Channels are matched by "
            "name; rename them with rename_channels, or make the forward solution and the noise "
            "covariance from this very info."
        )
    logger.info("    Using %d EEG channels", len(names))
    return tuple(names)


def make_whitener(info, ch_names, noise_cov=None, rank=None):
    """Make the whitener and the projector for a set of EEG channels.

    The average reference over exactly these channels is part of both, whatever the reference
    projector of ``info`` or ``noise_cov`` spans, so that data and lead field agree on any
    subset of the channels. All other projectors of the two are part of them too.

    Parameters
    ----------
    info : instance of Info
        The measurement info, for its projectors.
    ch_names : tuple of str
        The channels, as from :func:`select_channels`.
    noise_cov : instance of Covariance | None
        The noise covariance. With None, white noise of MNE's ad-hoc level (0.2 µV).
    rank : None | "info" | "full" | dict
        The rank of the noise covariance, as in :func:`mne.cov.compute_whitener`. It is never
        taken to be more than what the projectors leave.

    Returns
    -------
    whitener : array of shape (n_rank, n_channels)
        The whitener in 1/V, of full row rank.
    projector : array of shape (n_channels, n_channels)
        The projector.
    """
    _check_rank(rank, noise_cov, len(ch_names))
    names = list(ch_names)
    used = set(names)
    projs = list(info["projs"]) + ([] if noise_cov is None else list(noise_cov["projs"]))
    projs = [
        proj
        for proj in projs
        if not is_average_reference(proj) and used & set(proj["data"]["col_names"])
    ]
    # An info of our own: the user's may forbid the reference projector (custom_ref_applied)
    # and holds projectors that span other channels.
    eye = mne.EvokedArray(np.eye(len(names)), mne.create_info(names, 1.0, "eeg"), verbose=False)
    eye.set_eeg_reference("average", projection=True, verbose=False)
    eye.add_proj(projs, verbose=False)
    projector = eye.copy().apply_proj(verbose=False).data
    max_rank = round(np.trace(projector))

    if noise_cov is None:
        noise_cov = mne.make_ad_hoc_cov(eye.info, verbose=False)
    noise_cov = mne.pick_channels_cov(noise_cov, names, ordered=True)
    noise_cov["projs"], noise_cov["bads"] = [], []
    if not np.isfinite(noise_cov.data).all():
        raise ValueError(
            "The noise covariance contains NaN or infinite values. Compute it again from data "
            "without them (mne.compute_covariance)."
        )
    if isinstance(rank, dict):
        rank = {"eeg": rank["eeg"]} if "eeg" in rank else None
    n_rank = mne.compute_rank(noise_cov, rank=rank, info=eye.info, verbose=False)["eeg"]
    n_rank = min(n_rank, max_rank)
    if n_rank < MIN_CHANNELS:
        raise ValueError(
            f"Only {n_rank} independent channels are left after whitening {len(names)} EEG "
            f"channels ({len(names) - max_rank} projected out, rank of the noise covariance "
            f"{n_rank}), at least {MIN_CHANNELS} are needed. Compute the noise covariance from "
            "more data or with regularisation (mne.compute_covariance, method='shrunk'), or "
            "pass the right rank."
        )
    whitener, whitened_names = mne.cov.compute_whitener(
        noise_cov, eye.info, picks=names, rank={"eeg": n_rank}, pca=True, verbose=False
    )
    assert list(whitened_names) == names
    logger.info("    Whitener of rank %d for %d channels", len(whitener), len(names))
    # In exact arithmetic the product is the whitener itself; it removes the rounding, which a
    # badly conditioned covariance blows up.
    return whitener @ projector, projector


def _check_rank(rank, noise_cov, n_channels):
    _validate_type(rank, (None, str, dict), "rank")
    if isinstance(rank, str):
        _check_option("rank", rank, ["info", "full"])
    if isinstance(rank, dict):
        value = rank.get("eeg", n_channels)
        _validate_type(value, "int-like", 'rank["eeg"]')
        if not 0 < value <= n_channels:
            raise ValueError(
                f'rank["eeg"] must be between 1 and the {n_channels} channels used, got {value}. '
                "Use rank=None to estimate it."
            )
        if noise_cov is None:
            raise ValueError(
                "A rank needs a covariance to say which directions to keep, and noise_cov is "
                "None. Use rank=None, or pass a noise covariance."
            )
