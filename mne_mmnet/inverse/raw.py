"""Sources of continuous data: overlapping windows, faded into each other."""

import mne
import numpy as np
from mne.utils import ProgressBar, _validate_type, logger, verbose

from .._mne import fill_shared, make_stc
from .arguments import check_count, resolve_operator
from .batches import make_solver
from .concerns import Tally
from .epochs import default_batch

# continuous data hold rest: no news
_USUAL = ("noise", "snr_db", "explained")
_LARGEST_OVERLAP = 0.9


@verbose
@fill_shared
def apply_mmnet_inverse_raw(
    raw,
    fwd,
    noise_cov=None,
    *,
    model="mmnet-base",
    loose=None,
    head="auto",
    depth="auto",
    rank=None,
    pick_ori=None,
    label=None,
    start=None,
    stop=None,
    nave=1,
    window=0.5,
    overlap=0.5,
    time_func=None,
    buffer_size=None,
    use_cps=True,
    n_steps=None,
    device="auto",
    verbose=None,
):
    r"""Localise the sources of continuous data, window by window.

    Source variances belong to a window. Windows overlap, and their currents x\ :sub:`k` are faded
    into each other: x(t) = Σ w\ :sub:`k`\ (t) x\ :sub:`k`\ (t) / Σ w\ :sub:`k`\ (t) with
    w\ :sub:`k` = sin² from end to end of window k.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording, average-referenced (a pending projector is enough). It need not be
        preloaded, and is read piece by piece.
    %(fwd_operator)s
    noise_cov : mne.Covariance | None
        Noise covariance. With None the noise of each window is estimated from it.
    %(model)s
    %(loose)s
    %(head)s
    %(depth)s
    %(rank_none)s
    %(pick_ori)s
    %(label)s
    start, stop : int | None
        First sample, and the one after the last, as in :func:`mne.minimum_norm.apply_inverse_raw`.
    nave : int
        Number of averages that the recording is.
    window : float
        Length of a window in s. Sources are taken to keep their places for as long.
    overlap : float
        Share of a window, from 0 to 0.9, that the next one sees again.
    time_func : callable | None
        Function of the sensor data (n_channels, n_times) that keeps their shape, such as a filter.
        It needs all of them at once.
    buffer_size : int | None
        Samples that are read and localised together. None chooses a size that takes about
        half a GB.
    %(use_cps)s
    %(n_steps)s
    %(device)s
    %(verbose)s

    Returns
    -------
    stc : mne.SourceEstimate | mne.VectorSourceEstimate | mne.VolSourceEstimate | ...
        Currents in A·m, from ``raw.times[start]`` on.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the data are not finite or not average-referenced, a range is empty, or channels,
        covariance and options don't fit together; the message says what to do.
    RuntimeError
        If ``pick_ori="normal"`` and the source space has no normals.
    FileNotFoundError
        If there is no such model.
    MemoryError
        If the memory is not enough for a single window, not even on the CPU.

    Warns
    -----
    RuntimeWarning
        If currents are impossibly large in some windows, or data and whitener differ in rank.
        Windows of noise alone are logged. If memory runs out, or the device fails, as for
        epochs.

    Notes
    -----
    Memory beside the recording: 8 bytes a returned number (10 minutes at 1 kHz of a label with
    100 fixed sources: 0.5 GB; of all 1284: 6 GB), and a buffer of about half a GB.

    Examples
    --------
    >>> stc = mne_mmnet.apply_mmnet_inverse_raw(raw, fwd, label=label)  # doctest: +SKIP
    """
    _validate_type(raw, mne.io.BaseRaw, "raw")
    check_count(n_steps, "n_steps")
    check_count(buffer_size, "buffer_size")
    _validate_type(window, "numeric", "window")
    _validate_type(overlap, "numeric", "overlap")
    if time_func is not None and not callable(time_func):
        raise TypeError(f"time_func must be a function or None, got {type(time_func)}.")
    if not window > 0:
        raise ValueError(f"window must be a length > 0 in s, got {window}.")
    if not 0 <= overlap <= _LARGEST_OVERLAP:
        raise ValueError(f"overlap must be between 0 and {_LARGEST_OVERLAP}, got {overlap}.")
    start, stop = check_range(start, stop, len(raw.times))
    options = dict(model=model, loose=loose, head=head, depth=depth, rank=rank, use_cps=use_cps)
    operator, _, rows = resolve_operator(
        raw.info, fwd, pick_ori, label, noise_cov=noise_cov, device=device, **options
    )
    n_window = min(max(1, round(window * raw.info["sfreq"])), stop - start)
    starts, step = _place_windows(stop - start, n_window, overlap)
    if buffer_size is None:
        n_together = default_batch(operator, n_window)
    else:
        n_together = max(1, (buffer_size - n_window) // step + 1)
    logger.info(
        f"Localising {len(starts)} windows of {n_window} samples with {operator.card.name}, "
        f"{n_together} at a time"
    )
    read = _make_reader(raw, start, stop, time_func)
    solve = make_solver(operator, raw.info, rows, nave, n_steps)
    place = dict(
        tmin=float(raw.times[start]),
        tstep=1.0 / raw.info["sfreq"],
        pick_ori=pick_ori,
        label=label,
    )
    tally = Tally("windows", operator.prepared)
    currents = _fade(starts, n_window, stop - start, n_together, read, solve, tally)
    stc = _collect(currents, operator.prepared, stop - start, place)
    tally.tell(silent=_USUAL)
    logger.info("[done]")
    return stc


def check_range(start, stop, n_times):
    """First sample and the one after the last, with what is not given filled in."""
    for name, value in (("start", start), ("stop", stop)):
        _validate_type(value, ("int-like", None), name)
    start, stop = 0 if start is None else int(start), n_times if stop is None else int(stop)
    if not 0 <= start < stop <= n_times:
        raise ValueError(
            f"start and stop must be samples with 0 ≤ start < stop ≤ {n_times}, got {start} and "
            f"{stop}. Multiply times in s by raw.info['sfreq']."
        )
    return start, stop


def _place_windows(n_times, n_window, overlap):
    """First samples of windows that cover everything, and the step between them."""
    step = max(1, round(n_window * (1.0 - overlap)))
    return [*range(0, n_times - n_window, step), n_times - n_window], step


def _make_reader(raw, start, stop, time_func):
    """Make a function that reads some samples, counted from ``start``."""
    if time_func is None:
        return lambda first, last: raw.get_data(start=start + first, stop=start + last)
    whole = raw.get_data(start=start, stop=stop)
    shape = whole.shape
    whole = np.asarray(time_func(whole))
    if whole.shape != shape:
        raise ValueError(
            f"time_func must keep the shape of the data, {shape}, got {whole.shape}. Resample "
            "the recording before, with raw.copy().resample()."
        )
    return lambda first, last: whole[:, first:last]


def _fade(starts, n_window, n_times, n_together, read, solve, tally):
    """Yield the currents piece by piece, (n_rows, n_orient, n_samples), in order and complete."""
    fade = np.sin(np.pi * (np.arange(n_window) + 0.5) / n_window) ** 2
    done, total, weight = 0, None, None
    bar = ProgressBar(len(starts), mesg="Windows")
    for k in range(0, len(starts), n_together):
        batch = starts[k : k + n_together]
        data = read(batch[0], batch[-1] + n_window)
        windows = np.stack([data[:, s - batch[0] : s - batch[0] + n_window] for s in batch])
        length = batch[-1] + n_window - done
        for first, (one, concerns) in zip(batch, solve(windows), strict=True):
            if total is None or total.shape[-1] < length:
                total, weight = (
                    _lengthen(total, one.shape[:2], length),
                    _lengthen(weight, (), length),
                )
            span = slice(first - done, first - done + n_window)
            total[..., span] += fade * one
            weight[span] += fade
            tally.add(concerns)
            bar.update(tally.n_total)
        following = starts[k + n_together] if k + n_together < len(starts) else n_times
        ready = following - done
        yield total[..., :ready] / weight[:ready]
        total, weight, done = total[..., ready:], weight[ready:], following


def _lengthen(array, shape, length):
    """Pad with zeros at the end; None is empty."""
    longer = np.zeros((*shape, length))
    if array is not None:
        longer[..., : array.shape[-1]] = array
    return longer


def _collect(pieces, prepared, n_times, place):
    """Join pieces into one source estimate without holding them twice."""
    stc, data, done = None, None, 0
    for piece in pieces:
        stc = make_stc(prepared, piece, **place)
        if data is None:
            data = np.empty((*stc.data.shape[:-1], n_times))
        data[..., done : done + piece.shape[-1]] = stc.data
        done += piece.shape[-1]
    return type(stc)(
        data, stc.vertices, tmin=place["tmin"], tstep=place["tstep"], subject=stc.subject
    )
