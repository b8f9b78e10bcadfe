"""How long windows took."""

from collections import deque
from typing import NamedTuple

import numpy as np

# windows of which the time is remembered
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
            f"{median:.3g} ms (median of {self.n_windows} windows; 95 % within {p95:.3g} ms, "
            f"longest {largest:.3g} ms)"
        )


class Stopwatch:
    """The time of the last windows."""

    def __init__(self):
        self._seconds = deque(maxlen=_REMEMBERED)

    def add(self, seconds):
        """Remember a window."""
        self._seconds.append(seconds)

    def read(self):
        """Sum up the windows remembered; to have none is a RuntimeError."""
        if not self._seconds:
            raise RuntimeError("No window was pushed yet, so there is no latency to tell.")
        seconds = np.array(self._seconds)
        return Latency(
            len(seconds),
            *(float(np.quantile(seconds, share)) for share in (0.5, 0.95)),
            float(seconds.max()),
        )
