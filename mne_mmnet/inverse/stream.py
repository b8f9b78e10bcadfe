"""Real time: a prepared operator applied to plain arrays, window after window."""

import time
from collections import deque
from typing import NamedTuple

import mne
import numpy as np
from mne.utils import _validate_type

from .._mne import check_reference, make_stc, noise_scale, pick_data, prepare_data, whiten_data
from .arguments import check_n_steps, resolve_operator
from .concerns import find_concerns, say
from .operator import MMNetOperator

# windows of which the latency is remembered
_REMEMBERED = 1000


class Latency(NamedTuple):
    """Time that the last windows took, from the array to the currents.

    Parameters
    ----------
    n_windows : int
        Number of windows, 1000 at most.
    median, p95, largest : float
        In s.
    """

    n_windows: int
    median: float
    p95: float
    largest: float

    def __str__(self):
        median, p95, largest = (1e3 * x for x in self[1:])
        return (
            f"{median:.1f} ms (median of {self.n_windows} windows; 95 % within {p95:.1f} ms, "
            f"longest {largest:.1f} ms)"
        )


class MMNetStream:
    """Currents of window after window of an incoming recording.

    Parameters
    ----------
    operator : MMNetOperator
        What :func:`make_mmnet_operator` made.
    info : mne.Info
        Names and order of the channels of the arrays to come.
    label : mne.Label | mne.BiHemiLabel | None
        Restrict the currents to a label.
    nave : int
        Number of averages that a window is.
    pick_ori : None | "normal" | "vector"
        As in :func:`apply_mmnet_inverse`.
    n_steps : int | None
        As in :func:`apply_mmnet_inverse`.

    Attributes
    ----------
    vertices : list of array
        Vertices that the rows of the currents belong to, by source space.
    concerns : tuple of str
        Why the last window should not be trusted, in words; empty where nothing speaks against it.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or the channels are not those of the operator.

    Notes
    -----
    Windows are independent of each other: the estimate of one does not know the last. The first
    window is slower than the others, since libraries get ready on it. Data are taken to be in the
    unit that the info declares (``unit_mul`` of its channels; ``mne_lsl.stream.StreamLSL.info``
    declares µV for most amplifiers), which is V if it declares none.

    Examples
    --------
    >>> stream = mne_mmnet.MMNetStream(operator, info)  # doctest: +SKIP
    >>> currents = stream.push(window)  # doctest: +SKIP
    """

    def __init__(self, operator, info, *, label=None, nave=1, pick_ori=None, n_steps=None):
        _validate_type(operator, MMNetOperator, "operator")
        _validate_type(info, mne.Info, "info")
        check_n_steps(n_steps)
        _, self.vertices, self._rows = resolve_operator(info, operator, pick_ori, label)
        self._scale = noise_scale(operator.prepared, nave)
        self._operator, self._info, self._nave, self._n_steps = operator, info, nave, n_steps
        self._place = dict(tmin=0.0, tstep=1.0, pick_ori=pick_ori, label=label)
        self._seconds = deque(maxlen=_REMEMBERED)
        self._known = operator.doubt_recording(info)
        self._said = set()
        self.concerns = ()
        # channels that are missing are an error now, not in the middle of a recording
        prepare_data(info, operator.prepared, np.zeros((len(info["ch_names"]), 1)), nave)

    def push(self, data):
        """Localise one window.

        Parameters
        ----------
        data : array of shape (n_channels, n_times)
            In V or the unit that the info declares, channels in the order of the info,
            average-referenced or with a pending projector in the info.

        Returns
        -------
        currents : array of shape (n_sources, n_times) or (n_sources, 3, n_times)
            In A·m, as ``stc.data`` of :func:`apply_mmnet_inverse`.

        Raises
        ------
        ValueError
            If the data have the wrong shape or reference, or are not finite.

        Warns
        -----
        RuntimeWarning
            If the window should not be trusted, as in :func:`apply_mmnet_inverse`: once for each
            kind of reason. All of the last window are in ``concerns``.
        """
        started = time.perf_counter()
        prepared = self._operator.prepared
        sensors = pick_data(self._info, prepared, data)
        whitened = whiten_data(prepared, sensors, self._nave)
        check_reference(self._info, data, prepared.ch_names)
        solution, reports = self._operator.solve(whitened[None], self._n_steps, rows=self._rows)
        moments = solution.currents[0] / self._scale
        currents = make_stc(prepared, moments, **self._place).data
        concerns, _ = find_concerns(
            self._operator,
            whitened,
            reports[0],
            np.abs(moments).max(initial=0.0),
            sensors=sensors,
            known=self._known,
        )
        self._seconds.append(time.perf_counter() - started)
        self.concerns = tuple(concerns.values())
        say({k: text for k, text in concerns.items() if k not in self._said}, prepared)
        self._said |= set(concerns)
        return currents

    @property
    def latency(self):
        """Time that the last windows took.

        Raises
        ------
        RuntimeError
            If there was none.
        """
        if not self._seconds:
            raise RuntimeError("No window was pushed yet, so there is no latency to tell.")
        seconds = np.array(self._seconds)
        return Latency(
            len(seconds),
            *(float(np.quantile(seconds, share)) for share in (0.5, 0.95)),
            float(seconds.max()),
        )
