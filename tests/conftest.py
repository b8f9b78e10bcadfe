"""Fixtures for all tests."""

import os
import signal

# one thread a worker, decided before NumPy is loaded: the workers share the machine, and BLAS
# threads that outnumber the cores wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import mne
import numpy as np
import pytest

# a shell's background jobs ignore Ctrl-C and hand that on; the tests send it to their processes
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def rng():
    """Seeded source of randomness; MNE_MMNET_TEST_SEED replays another one."""
    seed = int(os.environ.get("MNE_MMNET_TEST_SEED", 0))
    print(f"MNE_MMNET_TEST_SEED={seed}")  # noqa: T201 (shown when a test fails)
    return np.random.default_rng(seed)


@pytest.fixture(autouse=True)
def log_level():
    """Leave MNE's log level as it was: benchmarks quieten it, and with it MNE's warnings."""
    level = mne.set_log_level(return_old_level=True)
    yield
    mne.set_log_level(level)


@pytest.fixture
def epochs(rng):
    """Single trials of two dipoles."""
    from test_filters import simulate

    return simulate(rng)
