"""The whitener that brings channels to unit noise, and the projector that goes with it."""

import mne
import numpy as np
from mne.cov import compute_whitener
from mne.utils import _check_option, _validate_type, logger

from .channels import MIN_CHANNELS, count_channels
from .check_input import is_average_reference

_MEG = ("mag", "grad")
# variances that a covariance's regularisation left: equal, and so far below all others
_FLOOR_SPREAD, _FLOOR_GAP = 0.1, 100.0


def _unit_data(info, names, ch_types, projs=()):
    """Make the identity as data; pending are average reference, ``projs`` and those of info."""
    used = set(names)
    projs = [
        mne.Projection(**{**proj, "active": False})
        for proj in [*info["projs"], *projs]
        if not is_average_reference(proj) and used & set(proj["data"]["col_names"])
    ]
    # An info of our own: the user's may forbid the reference projector (custom_ref_applied)
    # and holds projectors that span other channels. Maxwell filtering decides MEG's rank.
    own = mne.create_info(list(names), 1.0, ch_types)
    own = mne.Info({**own, "proc_history": info["proc_history"]})
    eye = mne.EvokedArray(np.eye(len(names)), own, verbose=False)
    if "eeg" in ch_types:
        eye.set_eeg_reference("average", projection=True, verbose=False)
    return eye.add_proj(projs, verbose=False)


def project(info, data, picks):
    """Take channels out of data, in average reference and with all projectors, pending ones too.

    Parameters
    ----------
    info : instance of Info
        Of the data; its projectors may be applied already.
    data : array of shape (n_all_channels, n_times)
        Channels in the order of ``info``.
    picks : array of int, shape (n_channels,)
        The good channels that are wanted.

    Returns
    -------
    projected : array of shape (n_channels, n_times)
        A copy.
    """
    names = [info["ch_names"][k] for k in picks]
    eye = _unit_data(info, names, info.get_channel_types(picks))
    return eye.apply_proj(verbose=False).data @ data[picks]


def field_power(info, data, picks):
    """Global field power: standard deviation over channels at each sample, projectors applied.

    Times are chosen by what is localised; see :func:`project`.
    """
    return project(info, data, picks).std(axis=0)


def make_whitener(info, ch_names, noise_cov=None, rank=None):
    """Make the whitener and the projector for a set of EEG and MEG channels.

    The average reference over exactly the EEG channels is part of both, whatever the reference
    projector of ``info`` or ``noise_cov`` spans, so that data and lead field agree on any
    subset of the channels. All other projectors of the two are part of them too.

    Parameters
    ----------
    info : instance of Info
        The measurement info, for its projectors and the history of its processing.
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
        The whitener in 1/V, 1/T and m/T, of full row rank.
    projector : array of shape (n_channels, n_channels)
        The projector.
    """
    names = list(ch_names)
    ch_types = info.get_channel_types([info["ch_names"].index(name) for name in names])
    rank = _check_rank(rank, noise_cov, ch_types)
    eye = _unit_data(info, names, ch_types, [] if noise_cov is None else noise_cov["projs"])
    projector = eye.copy().apply_proj(verbose=False).data

    if noise_cov is None:
        noise_cov = mne.make_ad_hoc_cov(eye.info, verbose=False)
    noise_cov = mne.pick_channels_cov(noise_cov, names, ordered=True)
    noise_cov["projs"], noise_cov["bads"] = [], []
    # as read from a file they are big-endian, which mne.cov.compute_whitener may not take
    noise_cov["data"] = np.asarray(noise_cov["data"], float)
    if not np.isfinite(noise_cov.data).all():
        raise ValueError(
            "The noise covariance contains NaN or infinite values. Compute it again from data "
            "without them (mne.compute_covariance)."
        )
    ranks = mne.compute_rank(noise_cov, rank=rank, info=eye.info, verbose=False)
    for kind, value in ranks.items():
        kinds = _MEG if kind == "meg" else (kind,)
        members = np.isin(ch_types, kinds)
        ranks[kind] = min(
            value,
            round(np.trace(projector[np.ix_(members, members)])),
            sum(_count_beyond_rounding(noise_cov, projector, ch_types, kind) for kind in kinds),
        )
    if rank is None and "eeg" in ranks:
        n_floor = _count_floor(noise_cov, projector, ch_types)
        if n_floor:
            members = np.array(ch_types) == "eeg"
            left = round(np.trace(projector[np.ix_(members, members)])) - n_floor
            ranks["eeg"] = min(ranks["eeg"], left)
            logger.info(
                "    %d directions in which the noise covariance has nothing but its "
                "regularisation"
                " are left out: components were removed or channels interpolated",
                n_floor,
            )
    n_rank = sum(ranks.values())
    if n_rank < MIN_CHANNELS and len(names) <= MIN_CHANNELS and set(ch_types) == {"eeg"}:
        raise ValueError(
            f"{len(names)} EEG channels are {n_rank} with the average reference; at least "
            f"{MIN_CHANNELS + 1} are needed. So few electrodes can't tell where a source lies."
        )
    if n_rank < MIN_CHANNELS:
        raise ValueError(
            f"Only {n_rank} independent channels are left after whitening "
            f"{count_channels(ch_types)} channels "
            f"({len(names) - round(np.trace(projector))} projected out, rank of the noise "
            f"covariance {n_rank}), at least {MIN_CHANNELS} are needed. Compute the noise "
            "covariance from more data or with regularisation (mne.compute_covariance, "
            "method='shrunk'), or pass the right rank."
        )
    whitener, whitened_names = compute_whitener(
        noise_cov, eye.info, picks=names, rank=ranks, pca=True, verbose=False
    )
    assert list(whitened_names) == names
    logger.info("    Whitener of rank %d for %d channels", len(whitener), len(names))
    # In exact arithmetic the product is the whitener itself; it removes the rounding, which a
    # badly conditioned covariance blows up.
    return whitener @ projector, projector


def _count_beyond_rounding(noise_cov, projector, ch_types, kind):
    """Count the directions of one kind in which a covariance has more than projection's rounding.

    MNE compares what a projection leaves with its largest part. Where nothing is left, as of a
    covariance along the reference alone, that part is rounding itself and seems to have a rank.
    """
    members = np.array(ch_types) == kind
    if not members.any():
        return 0
    full = np.diag(noise_cov.data) if noise_cov["diag"] else noise_cov.data
    left = np.linalg.eigvalsh((projector @ full @ projector.T)[np.ix_(members, members)])
    largest = np.linalg.norm(full[np.ix_(members, members)], 2)
    return int((left > members.sum() * np.finfo(float).eps * largest).sum())


def _count_floor(noise_cov, projector, ch_types):
    """Count EEG directions in which a covariance has nothing but what regularising put there.

    Shrinkage gives all directions that were removed from the data the same small variance, which
    a whitener would blow up. None of the data's own directions lie below such a gap.
    """
    members = np.array(ch_types) == "eeg"
    full = np.diag(noise_cov.data) if noise_cov["diag"] else noise_cov.data
    seen = (projector @ full @ projector.T)[np.ix_(members, members)]
    values = np.linalg.eigvalsh(seen)[::-1]
    values = values[: round(np.trace(projector[np.ix_(members, members)]))]
    if len(values) < 2 or values[-1] <= 0:
        return 0
    n_floor = int((values < (1 + _FLOOR_SPREAD) * values[-1]).sum())
    if n_floor == len(values) or values[-n_floor - 1] < _FLOOR_GAP * values[-n_floor]:
        return 0
    return n_floor


def _check_rank(rank, noise_cov, ch_types):
    """Check the rank, and put it under MNE's keys: "meg" for magnetometers with gradiometers."""
    _validate_type(rank, (None, str, dict), "rank")
    if isinstance(rank, str):
        _check_option("rank", rank, ["info", "full"])
    if not isinstance(rank, dict):
        return rank
    found = {}
    meg = [kind for kind in _MEG if kind in ch_types]
    if len(meg) == 1 and "meg" in rank:
        rank = {meg[0]: rank["meg"], **rank}
    elif len(meg) == 2 and set(meg) <= set(rank):
        rank = {"meg": sum(rank[kind] for kind in meg), **rank}
    for kind in ("eeg", *(("meg",) if len(meg) == 2 else meg)):
        n_channels = sum(map(ch_types.count, _MEG if kind == "meg" else (kind,)))
        if kind not in rank or n_channels == 0:
            continue
        _validate_type(rank[kind], "int-like", f'rank["{kind}"]')
        if not 0 < rank[kind] <= n_channels:
            raise ValueError(
                f'rank["{kind}"] must be between 1 and the {n_channels} channels used, got '
                f"{rank[kind]}. Use rank=None to estimate it."
            )
        found[kind] = int(rank[kind])
    if noise_cov is None:
        raise ValueError(
            "A rank needs a covariance to say which directions to keep, and noise_cov is "
            "None. Use rank=None, or pass a noise covariance."
        )
    return found
