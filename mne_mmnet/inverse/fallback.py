"""What to do when memory runs out or a GPU disappears: smaller batches, then the CPU."""

from dataclasses import fields

import numpy as np
import torch

from .._support.devices import free_memory, recognise
from ..solver import Certificate
from .concerns import warn
from .routes import Solution, Spread

_CPU = torch.device("cpu")
_TROUBLES = {
    "memory": "has not enough memory for a single recording",
    "device": "does not answer any more; restart Python to use it again",
}


def prepare_route(prepare, device):
    """Make a route on a device, or on the CPU if the device can't.

    Parameters
    ----------
    prepare : callable
        Makes the route on a device, from what is in the computer's own memory.
    device : torch.device
        Where to compute.

    Returns
    -------
    route : EvidenceRoute | CosineRoute
        The route.

    Raises
    ------
    MemoryError
        If the CPU has not enough memory.

    Warns
    -----
    RuntimeWarning
        If it is made on the CPU instead.
    """
    try:
        return prepare(device)
    except (RuntimeError, MemoryError) as error:
        trouble = _recognise_on(device, error)
    # the traceback is gone, and with it what it held on the device
    return _leave(device, trouble, prepare)


class Fallback:
    """A route that goes on with smaller batches, or on the CPU, where it would have failed.

    What it learns it remembers: the next recordings are not tried in vain.

    Parameters
    ----------
    route : EvidenceRoute | CosineRoute
        The route.
    prepare : callable
        Makes it on another device, from what is in the computer's own memory: nothing can be
        copied from a GPU that is gone.

    Attributes
    ----------
    route : EvidenceRoute | CosineRoute
        The one in use.
    most : int | None
        Recordings that are solved together at most; None is any number.
    """

    def __init__(self, route, prepare):
        self.route, self._prepare, self.most = route, prepare, None

    def solve(self, data, n_steps=None, uncertainty=False, rows=None, kernel=None):
        """Estimate the currents of a batch, in parts if need be.

        Parameters
        ----------
        data, n_steps, uncertainty, rows, kernel
            As for :meth:`EvidenceRoute.solve`.

        Returns
        -------
        solution : Solution
            Of all recordings, in order.

        Raises
        ------
        MemoryError
            If the CPU has not enough memory for a single recording.

        Warns
        -----
        RuntimeWarning
            If batches become smaller, or the device changes.
        """
        parts, start, too_many = [], 0, None
        while start < len(data) or not parts:
            part = data[start:] if self.most is None else data[start : start + self.most]
            device = self.route.device
            try:
                solution = self.route.solve(part, n_steps, uncertainty, rows, kernel)
                # read now: later the device may be gone, and kernels fail when they are read
                parts.append(_with_certificate_on_cpu(solution))
            except (RuntimeError, MemoryError) as error:
                trouble = _recognise_on(device, error)
            else:
                start += len(part)
                if too_many is not None:
                    _tell(device, too_many, self.most)
                    too_many = None
                continue
            # the traceback is gone, and with it what it held on the device
            if trouble == "memory" and len(part) > 1:
                too_many = too_many or len(part)
                self.most = len(part) // 2
                free_memory(device)
            else:
                self.route = _leave(device, trouble, self._prepare)
                self.most = too_many = None
        return parts[0] if len(parts) == 1 else _join(parts)


def _tell(device, too_many, most):
    warn(
        f"The memory of device '{device}' is not enough for {too_many} recordings of this length "
        f"at once; they are solved {most} at a time."
    )


def _recognise_on(device, error):
    """Tell what is wrong with a device; other errors are raised again."""
    trouble = recognise(error)
    if trouble is None or (trouble == "device" and device.type == "cpu"):
        raise error
    return trouble


def _leave(device, trouble, prepare):
    """Make the route on the CPU."""
    if device.type == "cpu":
        raise MemoryError(
            "The computer's memory is not enough for a single recording. Use fewer samples (crop "
            "or decimate), or a coarser source space."
        )
    free_memory(device)
    warn(
        f"The device '{device}' {_TROUBLES[trouble]}. Computing goes on with the CPU, which is "
        "slower."
    )
    return prepare(_CPU)


def _with_certificate_on_cpu(solution):
    columns = {f.name: getattr(solution.certificate, f.name).cpu() for f in fields(Certificate)}
    return solution._replace(certificate=Certificate(**columns))


def _join(parts):
    """Put the solutions of parts of a batch together."""

    def join(field):
        first, *_ = values = [getattr(part, field) for part in parts]
        if first is None:
            return None
        if isinstance(first, Certificate):
            names = (f.name for f in fields(Certificate))
            return Certificate(**{n: torch.cat([getattr(v, n) for v in values]) for n in names})
        if isinstance(first, Spread):
            return Spread(*(np.concatenate(arrays) for arrays in zip(*values, strict=True)))
        return np.concatenate(values)

    return Solution(*(join(field) for field in Solution._fields))
