"""How many threads a problem is worth."""

import contextlib

import torch
from threadpoolctl import threadpool_limits

# floats of dictionary × batch below which a problem fits a core's cache
_SMALL = 1_000_000


@contextlib.contextmanager
def fitting_threads(n_floats):
    """Use one thread for problems that fit a core's cache.

    Measured with 64 channels × 1284 sources: two threads take twice as long as one on two
    hyperthreads of one core. On two cores they take 0.8 times as long, but 1.5 to 2 times as long
    in the 20 ms after a product of NumPy, whose threads wait busily for the next one.

    Parameters
    ----------
    n_floats : int
        Size of dictionary × batch.
    """
    before = torch.get_num_threads()
    try:
        if n_floats < _SMALL and before > 1:
            torch.set_num_threads(1)
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
