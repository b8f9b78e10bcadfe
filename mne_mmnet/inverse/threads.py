"""How many threads a problem is worth, and NumPy's own."""

import contextlib
import functools
import os
import threading

import torch
from threadpoolctl import ThreadpoolController, threadpool_limits

# floats of dictionary × batch below which a problem fits a core's cache, and the most threads
# that it gets (more have not been measured)
_SMALL, _FEW = 1_000_000, 2


class _NumpyThreads:
    """Threads of NumPy's linear algebra: a number that belongs to the whole process.

    Whoever comes first sets it, whoever goes last puts back what was there: two operators that are
    prepared at the same time would else put back each other's one thread.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._n_users, self._limits = 0, None
        self._given = None

    def given(self):
        """Return the number that the user has set (1 where the library can't be asked)."""
        with self._lock:
            return self._given if self._n_users else _count_blas_threads()

    @contextlib.contextmanager
    def one(self):
        """Keep them at one."""
        with self._lock:
            if self._n_users == 0:
                self._given = _count_blas_threads()
                self._limits = threadpool_limits(limits=1, user_api="blas")
            self._n_users += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_users -= 1
                if self._n_users == 0:
                    self._limits.restore_original_limits()


@functools.cache
def _blas():
    # looking for the libraries takes longer than a small product
    return ThreadpoolController().select(user_api="blas")


def _count_blas_threads():
    return max((library.num_threads for library in _blas().lib_controllers), default=1)


@functools.cache
def _count_cores():
    """Count the cores to use: all if the user has set a number of threads, else all but one."""
    # unlike torch's number, no more than a container's share
    from joblib import cpu_count

    return max(1, cpu_count() - ("OMP_NUM_THREADS" not in os.environ))


_numpy = _NumpyThreads()


def _after_fork():
    """Use one thread in a forked child: those of the parent did not come along.

    OpenMP waits for them for ever. A lock that another thread of the parent held is never opened.
    """
    global _numpy
    _numpy = _NumpyThreads()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextlib.contextmanager
def fitting_threads(n_floats):
    """Use few threads for problems that fit a core's cache, one beside threads of NumPy's.

    Threads that wait for each other wait busily, so two are only worth it where nothing else
    computes on their cores. Measured with 64 channels × 1284 sources on two cores
    (``benchmarks/throughput.py``): two threads take 0.8 times as long as one; but 2 to 10 times as
    long beside another process, and up to 6 in the 20 ms after a product of NumPy's own two. Hence
    two only where NumPy has one and a core is left to others, or the user has set
    ``OMP_NUM_THREADS``.

    Parameters
    ----------
    n_floats : int
        Size of dictionary × batch.
    """
    before = torch.get_num_threads()
    try:
        if n_floats < _SMALL and before > 1:
            alone = _numpy.given() == 1
            torch.set_num_threads(min(before, _FEW, _count_cores()) if alone else 1)
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def numpy_on_one_thread():
    """Keep NumPy's linear algebra on one thread for a while, torch's where it is.

    Its threads go on waiting busily after each product, and torch's wait for a core: on two
    cores an operator for 64 channels × 1284 sources takes 1.5 to 2 times as long to prepare.

    Returns
    -------
    limits : context manager
        On leaving it the former number of threads comes back, after the last of those who are in
        it at the same time.
    """
    return _numpy.one()
