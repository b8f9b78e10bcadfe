"""How many threads a problem is worth."""

import contextlib
import functools
import os
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

# floats of dictionary × batch below which a problem fits the cores' caches
_SMALL = 1_000_000
# threads for such a problem: more have not been measured
_FEW = 2
_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


@functools.cache
def count_cores():
    """Count the cores that this process may use; hyperthreads of one core count once.

    Returns
    -------
    n_cores : int
        1 where the system (any but Linux) does not tell.
    """
    try:
        siblings = {Path(_TOPOLOGY.format(cpu)).read_text() for cpu in os.sched_getaffinity(0)}
    except (AttributeError, OSError):
        return 1
    return len(siblings)


@contextlib.contextmanager
def fitting_threads(n_floats):
    """Use few threads for problems that fit a core's cache, and never two on one core.

    Measured with 64 channels × 1284 sources: two threads take twice as long as one on two
    hyperthreads of one core, where they wait for each other, and 0.8 times as long on two cores.

    Parameters
    ----------
    n_floats : int
        Size of dictionary × batch.
    """
    before = torch.get_num_threads()
    threads = before if n_floats >= _SMALL else min(before, _FEW, count_cores())
    try:
        if threads != before:
            torch.set_num_threads(threads)
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
        On leaving it the former number of threads comes back.
    """
    return threadpool_limits(limits=1, user_api="blas")
