"""What is wrong with single channels, seen from their data: flat, copied, interpolated."""

import numpy as np

from .._mne import summarize_names

# squared distance of copies relative to their power: those of a file in single precision agree so
_COPY = 1e-10
# share of the power outside of the first dimension below which data have one only
_ONE_DIMENSION = 1e-9
# a direction was removed where singular values fall by so much in one step, to so little of the
# largest: filters make them fall smoothly, removal to rounding (1e-7 from files)
_GAP, _REMOVED = 100.0, 1e-5
# a window with fewer samples for each direction may lack some in time as well
_LEAST_SAMPLES = 1.25
# share of the removed directions that lies in as many single channels: they were interpolated
_CONCENTRATED = 0.5


def doubt_channels(data, ch_names):
    """Say which channels are flat, or copies of each other.

    Data are in any unit, before any projection; texts come under ``"flat"`` and ``"copies"``.
    """
    doubts = {}
    if data.shape[1] < 2:
        return doubts
    data = np.asarray(data, float)
    varies = np.ptp(data, axis=1) > 0
    flat = [name for name, moves in zip(ch_names, varies, strict=True) if not moves]
    if flat and varies.any():
        doubts["flat"] = (
            f"{summarize_names(flat)} flat: no electrode measures exactly the same all the time. "
            "If it is the recording reference, drop it or leave it as it is; else mark it as "
            "bad."
        )
    data = data[varies]
    names = [name for name, moves in zip(ch_names, varies, strict=True) if moves]
    data = data / (np.abs(data).max(initial=0.0) or 1.0)
    products = data @ data.T
    spread = np.linalg.eigvalsh(products)
    if len(spread) < 2 or spread[-2] < _ONE_DIMENSION * spread[-1]:
        return doubts  # of one source without noise: some channels are alike by chance
    power = np.diag(products)
    apart = power[:, np.newaxis] + power - 2 * products
    same = apart < _COPY * (power[:, np.newaxis] + power)
    pairs = np.argwhere(np.triu(same, 1))
    if len(pairs):
        shown = ", ".join(f"{names[a]} and {names[b]}" for a, b in pairs[:4])
        doubts["copies"] = (
            f"Channels hold the same numbers ({shown}{', …' if len(pairs) > 4 else ''}): bridged "
            "by gel, or copied. Mark one of each pair as bad, or interpolate it."
        )
    return doubts


def removed_directions(data, n_samples=None):
    """Find directions that were removed from data, by interpolation or with components.

    Parameters
    ----------
    data : array of shape (n_rank, n_times)
        Whitened data.
    n_samples : float | None
        Samples that the data stand for, where they are a factor of a covariance.

    Returns
    -------
    directions : array of shape (n_removed, n_rank)
        Orthonormal; none where there are too few samples to tell.
    """
    n_rank, n_times = data.shape
    n_samples = n_times if n_samples is None else n_samples
    peak = np.abs(data).max(initial=0.0)
    if n_samples < _LEAST_SAMPLES * n_rank or peak == 0:
        return np.zeros((0, n_rank))
    data = np.pad(data / peak, ((0, 0), (0, max(0, n_rank - n_times))))  # a factor may be narrow
    maps, values, _ = np.linalg.svd(data, full_matrices=False)
    ratios = values[:-1] / np.maximum(values[1:], 1e-300)
    candidates = np.flatnonzero((ratios > _GAP) & (values[1:] < _REMOVED * values[0]))
    if len(candidates) == 0:
        return np.zeros((0, n_rank))
    n_left = candidates[0] + 1
    return maps[:, n_left:].T


def doubt_rank(whitened, whitener, ch_names, n_samples=None):
    """Say that data have fewer directions than the whitener.

    In words, empty if they have not; ``n_samples`` is as for :func:`removed_directions`.
    """
    removed = removed_directions(whitened, n_samples)
    n_rank = len(whitened)
    rank = n_rank - len(removed)
    if not n_rank / 2 < rank < n_rank:  # less is a simulation without noise
        return ""
    # in channels: where few of them hold what is missing, they were interpolated
    back = np.linalg.qr((removed @ whitener).T)[0]
    weight = np.square(back).sum(axis=1)
    most = np.argsort(weight)[::-1][: len(removed)]
    interpolated = weight[most].sum() > _CONCENTRATED * len(removed)
    if not interpolated and whitened.shape[1] <= 2 * n_rank:
        # samples may be missing in time as well, where an artefact was cut out and bridged
        return ""
    text = f"The data have rank {rank}, the whitener {n_rank}: channels were interpolated"
    if interpolated:
        names = sorted(ch_names[k] for k in most)
        text = f"{text} ({', '.join(names[:8])}{', …' if len(names) > 8 else ''}, it seems)"
    else:
        text += ", or components removed"
    return (
        f"{text}. Mark interpolated channels as bad, or pass rank=dict(eeg={rank}) with a "
        "noise_cov made from data cleaned in the same way."
    )
