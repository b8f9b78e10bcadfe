"""Real time: an operator or filters applied to plain arrays, window after window."""

import time

import mne
import numpy as np
from mne.utils import _validate_type

from .._mne import check_numbers, fill_shared
from ..filters import MMNetFilters
from ..inverse import MMNetOperator
from .filtered import FilteredWindows
from .latency import Stopwatch
from .solved import SolvedWindows


@fill_shared
class MMNetStream:
    """Currents of window after window of an incoming recording.

    With an operator the source variances are found in each window anew; with filters they are
    those of what the filters were made of, and a window costs a matrix product.

    Parameters
    ----------
    operator : MMNetOperator | MMNetFilters
        What :func:`make_mmnet_operator` or :func:`make_mmnet_filters` made.
    info : mne.Info
        Names and order of the channels of the arrays to come.
    label : mne.Label | mne.BiHemiLabel | None
        Restrict the currents to a label.
    nave : int
        Number of averages that a window is. Filters know theirs.
    %(pick_ori)s
    %(n_steps)s

    Attributes
    ----------
    vertices : list of array
        Vertices that the rows of the currents belong to, by source space.
    concerns : tuple of str
        Why the last window should not be trusted, in words; empty where nothing speaks against it.
        With filters, also why these should not.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or the channels are not those of the operator or
        filters.

    Notes
    -----
    Windows are independent of each other: the estimate of one does not know the last. The first
    window is slower than the others, since libraries get ready on it. Data are taken to be in the
    unit that the info declares (``unit_mul`` of its channels; ``mne_lsl.stream.StreamLSL.info``
    declares µV for most amplifiers), which is V if it declares none.

    Filters are computed anew, once, where the info lacks some of their channels or has them
    marked as bad (:func:`apply_mmnet_filters`).

    Examples
    --------
    >>> stream = mne_mmnet.MMNetStream(operator, info)  # doctest: +SKIP
    >>> currents = stream.push(window)  # doctest: +SKIP
    """

    def __init__(self, operator, info, *, label=None, nave=1, pick_ori=None, n_steps=None):
        _validate_type(operator, (MMNetOperator, MMNetFilters), "operator")
        _validate_type(info, mne.Info, "info")
        if isinstance(operator, MMNetFilters):
            if nave != 1 or n_steps is not None:
                raise ValueError(
                    "Filters have settled nave and n_steps. Give them to make_mmnet_filters "
                    "instead, nave of the windows as apply_nave."
                )
            self._windows = FilteredWindows(operator, info, label, pick_ori)
        else:
            self._windows = SolvedWindows(operator, info, label, nave, pick_ori, n_steps)
        self.vertices = self._windows.vertices
        self._stopwatch = Stopwatch()
        self._said = set()
        self.concerns = ()

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
            In A·m, as ``stc.data`` of :func:`apply_mmnet_inverse` or :func:`apply_mmnet_filters`.

        Raises
        ------
        TypeError
            If the data are complex, masked or no numbers.
        ValueError
            If the data have the wrong shape or reference, or are not finite.

        Warns
        -----
        RuntimeWarning
            If the window should not be trusted, as in :func:`apply_mmnet_inverse`: once for each
            kind of reason. All of the last window are in ``concerns``. With filters, for what is
            seen of the channels and the size of the currents.
        """
        started = time.perf_counter()
        data = np.asanyarray(data)
        check_numbers(data)
        with mne.use_log_level("warning"):  # else a line a window
            currents, concerns = self._windows.localize(data)
        self._stopwatch.add(time.perf_counter() - started)
        self.concerns = tuple(concerns.values())
        self._windows.say({k: text for k, text in concerns.items() if k not in self._said})
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
        return self._stopwatch.read()
