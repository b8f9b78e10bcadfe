"""Fixtures for all tests."""

import os

import numpy as np
import pytest

# one thread a worker: the workers share the machine
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def rng():
    """Seeded source of randomness; MNE_MMNET_TEST_SEED replays another one."""
    seed = int(os.environ.get("MNE_MMNET_TEST_SEED", 0))
    print(f"MNE_MMNET_TEST_SEED={seed}")  # noqa: T201 (shown when a test fails)
    return np.random.default_rng(seed)
