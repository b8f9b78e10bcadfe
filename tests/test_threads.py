"""Few threads for small problems, one for NumPy's products; the user's setting comes back."""

import os

import mne
import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from mne_cases import make_fwd, make_info
from mne_mmnet import apply_mmnet_inverse
from mne_mmnet.inverse import operator, routes, threads
from mne_mmnet.inverse.threads import fitting_threads, numpy_on_one_thread


@pytest.fixture(autouse=True)
def many_cores(monkeypatch):
    monkeypatch.setattr(threads, "_count_cores", lambda: 8)


@pytest.fixture
def given():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield 4
    torch.set_num_threads(before)


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


can_be_asked = pytest.mark.skipif(
    not blas_threads(), reason="NumPy's linear algebra can't be asked for its threads"
)


@can_be_asked
@pytest.mark.parametrize(
    ("n_floats", "n_numpy", "expected"), [(1000, 3, 1), (1000, 1, 2), (10**7, 1, 4), (10**7, 3, 4)]
)
def test_threads_fit_the_problem(n_floats, n_numpy, expected, given):
    with threadpool_limits(limits=n_numpy, user_api="blas"), fitting_threads(n_floats):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == given


def test_one_core_gets_one_thread(given, monkeypatch):
    monkeypatch.setattr(threads, "_count_cores", lambda: 1)
    with threadpool_limits(limits=1, user_api="blas"), fitting_threads(1000):
        assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("share", "said", "expected"), [("1", None, 1), ("2", None, 1), ("2", "2", 2), ("1", "4", 1)]
)
def test_a_core_is_left_to_others(share, said, expected, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", share)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    threads._count_cores.cache_clear()
    assert threads._count_cores() == expected
    threads._count_cores.cache_clear()


@can_be_asked
def test_what_numpy_had_before_counts(given):
    """While an operator is prepared, NumPy's threads of before may still be waiting busily."""
    with threadpool_limits(limits=3, user_api="blas"):
        with numpy_on_one_thread(), fitting_threads(1000):
            assert torch.get_num_threads() == 1
        with fitting_threads(1000):
            assert torch.get_num_threads() == 1


def test_one_thread_stays_one():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1, user_api="blas"), fitting_threads(1000):
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@can_be_asked
def test_numpy_gets_its_threads_back_from_the_last(given):
    """Two operators at once: the first to end must leave one thread to the other."""
    with threadpool_limits(limits=3, user_api="blas"):
        first, second = numpy_on_one_thread(), numpy_on_one_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert blas_threads() == {1}
        second.__exit__(None, None, None)
        assert blas_threads() == {3}


@can_be_asked
def test_numpy_gets_its_threads_back_after_an_error():
    with threadpool_limits(limits=3, user_api="blas"):
        with pytest.raises(KeyError), numpy_on_one_thread():
            raise KeyError
        assert blas_threads() == {3}


def test_errors_change_nothing(given):
    with pytest.raises(KeyError), fitting_threads(1000):
        raise KeyError
    assert torch.get_num_threads() == given


@can_be_asked
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # it is nothing but noise
@pytest.mark.parametrize(
    ("module", "name"),
    [
        (operator, "prepare_forward"),
        (routes, "build_source_model"),
        (mne.minimum_norm, "prepare_inverse_operator"),
    ],
    ids=["operator", "small dictionary", "second opinion"],
)
def test_preparing_takes_one_thread(module, name, given, monkeypatch):
    """NumPy's and, for a small dictionary, torch's: they wait busily beside another process."""
    seen, prepare = [], getattr(module, name)

    def spy(*args, **kwargs):
        seen.append((torch.get_num_threads(), blas_threads()))
        return prepare(*args, **kwargs)

    monkeypatch.setattr(module, name, spy)
    data = 1e-6 * np.random.default_rng(0).standard_normal((32, 20))
    evoked = mne.EvokedArray(data, make_info(32))
    with threadpool_limits(limits=3, user_api="blas"):
        apply_mmnet_inverse(evoked, make_fwd(), return_report=True)
        assert blas_threads() == {3}
    ((n_torch, n_numpy),) = seen
    assert n_numpy == {1}
    assert n_torch == 1 or name != "build_source_model"
    assert torch.get_num_threads() == given
