"""Live data: windows of a stream of the lab streaming layer (LSL), localised as they come."""

import time
from typing import NamedTuple

import numpy as np
from mne.utils import _validate_type, logger

# s between looks at the buffer
_POLL = 0.002


class LiveWindow(NamedTuple):
    """One localised window of a live stream.

    Parameters
    ----------
    currents : array
        What ``localize`` returned.
    timestamp : float
        Of the window's last sample, on the stream's clock, s.
    latency : float
        From that sample's timestamp to the estimate, s; what the amplifier's own buffer adds is
        not seen. MNE-LSL's player dates samples up to a chunk ahead.
    n_dropped : int
        Windows that could not be kept up with since the one before.
    n_reconnected : int
        Times that the stream was lost and found again so far.
    """

    currents: np.ndarray
    timestamp: float
    latency: float
    n_dropped: int
    n_reconnected: int


def follow_stream(
    stream, localize, *, window, step=None, patience=10.0, silence=1.0, prepare=None, clock=None
):
    """Localise a live stream window by window, always the newest.

    Where a window takes longer than the next one to come, the ones between are dropped and
    counted: an estimate is never older than its own window needs. A stream that falls silent is
    connected again.

    Parameters
    ----------
    stream : mne_lsl.stream.StreamLSL
        A connected stream, with its channels picked, named and referenced; or whatever has its
        ``get_data``, ``n_new_samples``, ``connected``, ``connect``, ``disconnect`` and ``info``.
    localize : callable
        Of an array (n_channels, n_times) in the units of the stream: ``MMNetStream(...).push``.
    window : float
        Length of a window, s; at most the stream's buffer.
    step : float | None
        Time from one window to the next, s. None is the window's length.
    patience : float
        How long to look for a stream that was lost, s.
    silence : float
        Time without a new sample after which a stream counts as lost, s.
    prepare : callable | None
        Called with the stream after it was connected again: to pick, name, reference and filter
        channels as before, which MNE-LSL forgets with the connection.
    clock : callable | None
        Tells the time (s) on the stream's clock. None is ``mne_lsl.lsl.local_clock``.

    Returns
    -------
    windows : generator of LiveWindow
        Currents, latency, and what was dropped, for ever. Leave the loop to end.

    Raises
    ------
    TypeError
        If ``localize``, ``prepare`` or ``clock`` can't be called.
    ValueError
        If ``window`` or ``step`` is shorter than a sample, or ``window`` longer than the buffer.
    RuntimeError
        If the stream is not connected, or comes back with other channels, units, reference or
        filters.
    TimeoutError
        If a lost stream does not come back.
    ImportError
        If mne-lsl is not installed, and no clock is given.

    Examples
    --------
    >>> for one in mne_mmnet.follow_stream(stream, localizer.push, window=0.2):  # doctest: +SKIP
    ...     print(one.latency)
    """
    for name, value in (("localize", localize), ("prepare", prepare), ("clock", clock)):
        if not callable(value) and (name == "localize" or value is not None):
            raise TypeError(f"{name} must be a function, got {type(value)}.")
    _validate_type(window, "numeric", "window")
    _validate_type(step, ("numeric", None), "step")
    if clock is None:
        try:
            from mne_lsl.lsl import local_clock as clock
        except ImportError:
            raise ImportError(
                'follow_stream needs mne-lsl: pip install "mne_mmnet[live]".'
            ) from None
    if not stream.connected:
        raise RuntimeError("The stream is not connected. Call stream.connect() first.")
    sfreq = stream.info["sfreq"]
    n_window = round(window * sfreq)
    n_step = n_window if step is None else round(step * sfreq)
    if min(n_window, n_step) < 1:
        raise ValueError(f"window and step must be at least a sample, {1.0 / sfreq:g} s.")
    n_buffer = getattr(stream, "n_buffer", None)
    if n_buffer is not None and n_window > n_buffer:
        raise ValueError(
            f"window has {n_window} samples, the stream's buffer {n_buffer}. Use a shorter one, "
            "or a longer buffer: StreamLSL(bufsize=...)."
        )
    return _follow(stream, localize, n_window, n_step, patience, silence, prepare, clock)


def _follow(stream, localize, n_window, n_step, patience, silence, prepare, clock):
    sfreq, before = stream.info["sfreq"], _describe(stream)
    # the first window has to be filled
    wanted, fresh, n_reconnected = n_window, True, 0
    heard, n_heard = time.monotonic(), -1
    while True:
        n_new = stream.n_new_samples if stream.connected else -1
        if n_new > n_heard:
            heard, n_heard = time.monotonic(), n_new
        if n_new < wanted:
            if not stream.connected or time.monotonic() - heard > silence:
                _reconnect(stream, patience)
                if prepare is not None:
                    prepare(stream)
                _check_same(before, _describe(stream))
                n_reconnected += 1
                wanted, fresh = n_window, True
                heard, n_heard = time.monotonic(), -1
            else:
                time.sleep(_POLL)
            continue
        data, stamps = stream.get_data(winsize=n_window / sfreq)
        # what had gathered before the first window was nobody's to localise
        n_dropped = 0 if fresh else (n_new - wanted) // n_step
        currents = localize(data)
        yield LiveWindow(
            currents, float(stamps[-1]), clock() - float(stamps[-1]), n_dropped, n_reconnected
        )
        wanted, fresh = n_step, False
        heard, n_heard = time.monotonic(), -1


def _describe(stream):
    """All that windows depend on, and a connection may lose."""
    info = stream.info
    return {
        "channels": list(info["ch_names"]),
        "sampling rate": info["sfreq"],
        "units": [channel.get("unit_mul", 0) for channel in info["chs"]],
        "reference": (int(info["custom_ref_applied"]), len(info["projs"])),
        "filters": len(getattr(stream, "filters", [])),
    }


def _check_same(before, after):
    lost = [name for name, value in before.items() if after[name] != value]
    if lost:
        raise RuntimeError(
            f"The stream came back with other {', '.join(lost)}. Pass prepare=, a function that "
            "does to the stream what was done to it after the first connection."
        )


def _reconnect(stream, patience):
    """Connect again, as often as patience allows."""
    logger.info("The stream is silent; connecting again")
    start = time.monotonic()
    if stream.connected:
        stream.disconnect()
    while True:
        try:
            stream.connect()
            return
        except (RuntimeError, TimeoutError) as error:
            if time.monotonic() - start > patience:
                raise TimeoutError(
                    f"The stream did not come back within {patience:g} s ({error}). Check the "
                    "amplifier and its program, or raise patience."
                ) from None
        time.sleep(_POLL)
