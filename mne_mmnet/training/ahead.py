"""Batches simulated ahead, in processes of their own: a GPU would wait for one."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from multiprocessing import get_context

import torch

from ..solver import CosineModel
from .samples import Batch

# what this process simulates from
_stream = None


def _start(stream):
    global _stream
    torch.set_num_threads(1)
    _stream = stream


def _make(k):
    model, data, currents = _stream.batch(k)
    plain = {
        field.name: value.numpy() if isinstance(value, torch.Tensor) else value
        for field in fields(model)
        for value in [getattr(model, field.name)]
    }
    return plain, data.numpy(), currents.numpy()


class AheadStream:
    """The batches of a stream, made by several processes before they are asked for.

    Use it in a ``with`` block, which ends the processes.

    Parameters
    ----------
    stream : SampleStream | AlternatingStream
        On the CPU; batches are asked for in their order.
    n_workers : int
        Processes.
    device : torch.device | str
        Where batches are put.
    """

    def __init__(self, stream, n_workers, device="cpu"):
        self.device, self.depth, self._waiting = device, 2 * n_workers, {}
        context = get_context("spawn")  # a forked process must not touch a GPU
        self._pool = ProcessPoolExecutor(n_workers, context, _start, (stream,))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._pool.shutdown(cancel_futures=True)

    def batch(self, k):
        """Make one batch (see :meth:`SampleStream.batch`)."""
        for number in range(k, k + self.depth):
            if number not in self._waiting:
                self._waiting[number] = self._pool.submit(_make, number)
        plain, data, currents = self._waiting.pop(k).result()
        for number in [number for number in self._waiting if number < k]:
            del self._waiting[number]
        model = CosineModel(**plain)
        moved = {
            field.name: torch.as_tensor(getattr(model, field.name)).to(self.device)
            for field in fields(model)
            if field.name != "depth_norm"
        }
        data, currents = (torch.as_tensor(part).to(self.device) for part in (data, currents))
        return Batch(replace(model, **moved), data, currents)
