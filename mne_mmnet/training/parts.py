"""Batches in parts, where memory does not suffice for a whole one."""

import logging

import torch

from .._support.devices import free_memory, recognise

logger = logging.getLogger("mne")


class Parts:
    """Work on batches that goes on with parts of them when memory runs out.

    What fits is remembered for the next batch.

    Parameters
    ----------
    device : torch.device | str
        Where the work is done.
    unit : int
        Recordings that stay together: parts are multiples of it.

    Attributes
    ----------
    most : int | None
        Recordings at once; None is a whole batch.
    """

    def __init__(self, device, unit=1):
        self.device, self.unit, self.most = torch.device(device), unit, None

    def __call__(self, work, n_batch):
        """Do something with a batch.

        Parameters
        ----------
        work : callable
            Maps a list of slices, which together are the batch, to a result. It is called again
            with more and smaller ones if memory runs out.
        n_batch : int
            Recordings of the batch.

        Returns
        -------
        result : object
            What it returned.

        Raises
        ------
        MemoryError
            If there is not enough memory for what stays together.
        RuntimeError
            If the device fails.
        """
        while True:
            size = min(self.most or n_batch, n_batch)
            starts = range(0, n_batch, size)
            try:
                return work([slice(start, min(start + size, n_batch)) for start in starts])
            except (RuntimeError, MemoryError) as error:
                trouble = recognise(error)
                if trouble is None:
                    raise
                if trouble == "device":
                    reason = str(error).splitlines()[0]
                    raise RuntimeError(
                        f"The device does not answer any more ({reason}). The last checkpoint is "
                        "whole: start again to go on from there, or on another device."
                    ) from error
            # the traceback is gone, and with it what it held on the device
            if size <= self.unit:
                least = "a single recording" if size == 1 else f"{size} recordings"
                raise MemoryError(
                    f"The memory of device '{self.device}' is not enough for {least}. "
                    "Use another device, a coarser source space or shorter recordings; the last "
                    "checkpoint is whole."
                )
            self.most = max(self.unit, size // 2 // self.unit * self.unit)
            free_memory(self.device)
            logger.warning(
                "The memory of device '%s' is not enough for %d recordings at once; they are "
                "taken %d at a time.",
                self.device,
                size,
                self.most,
            )

    def each(self, function, n_batch):
        """Do something with every part of a batch, a slice; the results are in order."""
        return self(lambda slices: [function(part) for part in slices], n_batch)
