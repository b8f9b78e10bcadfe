"""One thread for small problems, one for NumPy's products; the user's setting comes back."""

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from mne_cases import make_fwd, make_info
from mne_mmnet import make_mmnet_operator
from mne_mmnet.inverse import operator
from mne_mmnet.inverse.threads import fitting_threads


@pytest.fixture
def given():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield 4
    torch.set_num_threads(before)


@pytest.mark.parametrize(("n_floats", "expected"), [(1000, 1), (10_000_000, 4)])
def test_threads_fit_the_problem(n_floats, expected, given):
    with fitting_threads(n_floats):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == given


def test_errors_change_nothing(given):
    with pytest.raises(KeyError), fitting_threads(1000):
        raise KeyError
    assert torch.get_num_threads() == given


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.skipif(not blas_threads(), reason="NumPy's linear algebra can't be asked")
def test_operators_are_prepared_with_numpy_on_one_thread(monkeypatch):
    seen, prepare = [], operator.prepare_forward

    def spy(*args, **kwargs):
        seen.append(blas_threads())
        return prepare(*args, **kwargs)

    monkeypatch.setattr(operator, "prepare_forward", spy)
    with threadpool_limits(limits=3, user_api="blas"):
        before = blas_threads()
        make_mmnet_operator(make_info(32), make_fwd())
        assert blas_threads() == before
    assert seen == [{1}]
    assert before == {3}
