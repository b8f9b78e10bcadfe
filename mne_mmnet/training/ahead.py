"""Batches simulated ahead, in processes of their own: training would wait for one."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from multiprocessing import get_context

import torch

from ..solver import CosineModel
from .samples import Batch


class Ahead:
    """Numbered results, made by a pool of processes before they are asked for, in order.

    Parameters
    ----------
    pool : concurrent.futures.Executor
        The processes.
    make : callable
        Makes the result of a number, in one of them.
    depth : int
        How many are in the making.
    end : int | None
        The number after the last one. None is no end.
    """

    def __init__(self, pool, make, depth, end=None):
        self.pool, self.make, self.depth, self.end = pool, make, depth, end
        self._waiting = {}

    def __call__(self, number):
        """Return the result of a number, and have the next ones made."""
        last = number + self.depth if self.end is None else min(number + self.depth, self.end)
        # those before are not asked for again
        self._waiting = {k: found for k, found in self._waiting.items() if k >= number}
        for k in range(number, last):
            if k not in self._waiting:
                self._waiting[k] = self.pool.submit(self.make, k)
        return self._waiting.pop(number).result()


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
        self.device = device
        context = get_context("spawn")  # a forked process must not touch a GPU
        self._pool = ProcessPoolExecutor(n_workers, context, _start, (stream,))
        self._ahead = Ahead(self._pool, _make, 2 * n_workers)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._pool.shutdown(cancel_futures=True)

    def batch(self, k):
        """Make one batch (see :meth:`SampleStream.batch`)."""
        plain, data, currents = self._ahead(k)
        model = CosineModel(**plain)
        moved = {
            field.name: torch.as_tensor(getattr(model, field.name)).to(self.device)
            for field in fields(model)
            if field.name != "depth_norm"
        }
        data, currents = (torch.as_tensor(part).to(self.device) for part in (data, currents))
        return Batch(replace(model, **moved), data, currents)
