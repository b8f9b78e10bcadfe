"""The whole pipeline once more in float64: the reference of ``precision.py`` and of its test."""

import contextlib
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode

from mne_mmnet.inverse.graphs import source_graph_of


class _Promote(TorchFunctionMode):
    """Put float64 wherever the library asks torch for float32, and count what stays single."""

    def __init__(self):
        super().__init__()
        self.n_single = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.float:
            function = torch.Tensor.double
        args = tuple(torch.float64 if x is torch.float32 else x for x in args)
        kwargs = {
            key: torch.float64 if x is torch.float32 else x for key, x in (kwargs or {}).items()
        }
        answer = function(*args, **kwargs)
        if isinstance(answer, torch.Tensor) and answer.dtype == torch.float32:
            self.n_single += 1
        return answer


@contextlib.contextmanager
def in_double():
    """Compute in float64 what the library computes in float32: weights, dictionary, data, steps.

    It is the library's own code, not a second one: of an error in both it says nothing. What the
    library reads from single precision (the weights, a forward solution from a file) stays as
    rounded as it was.

    Yields
    ------
    promote : _Promote
        Its ``n_single`` is the number of tensors that were float32 all the same, those of the
        weights as they are read apart.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    source_graph_of.clear()  # what was made before is single
    try:
        # the library puts a user's default aside; here it is what is wanted
        plain = mock.patch("mne_mmnet.inverse.operator.plain_torch", contextlib.nullcontext)
        with plain, _Promote() as promote:
            yield promote
    finally:
        source_graph_of.clear()
        torch.set_default_dtype(before)
