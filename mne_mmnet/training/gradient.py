"""Gradients of batches, in parts where memory does not suffice for a whole one."""

import logging

from .._devices import free_memory, recognise

logger = logging.getLogger("mne")


class Gradient:
    """Backpropagation that goes on with parts of a batch when memory runs out.

    The parts' gradients add up to the batch's, so nothing but the time changes. What fits is
    remembered for the next batch.

    Parameters
    ----------
    learned : list of torch.nn.Parameter
        What the gradients belong to.

    Attributes
    ----------
    most : int | None
        Recordings at once; None is a whole batch.
    """

    def __init__(self, learned):
        self.learned, self.most = learned, None

    def __call__(self, loss_of, n_batch):
        """Compute the gradient of a batch's mean loss, into the parameters.

        Parameters
        ----------
        loss_of : callable
            Maps a slice of the batch to the mean loss of these recordings.
        n_batch : int
            Recordings of the batch.

        Returns
        -------
        loss : float
            Of the whole batch.

        Raises
        ------
        MemoryError
            If there is not enough memory for a single recording.
        RuntimeError
            If the device fails.
        """
        while True:
            size = min(self.most or n_batch, n_batch)
            for parameter in self.learned:
                parameter.grad = None
            try:
                return self._add_up(loss_of, n_batch, size)
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
            device = self.learned[0].device
            if size == 1:
                raise MemoryError(
                    f"The memory of device '{device}' is not enough for a single recording. Use "
                    "another device, a coarser source space or shorter recordings; the last "
                    "checkpoint is whole."
                )
            self.most = size // 2
            free_memory(device)
            logger.warning(
                "The memory of device '%s' is not enough for %d recordings at once; their "
                "gradients are added up, %d at a time.",
                device,
                size,
                self.most,
            )

    def _add_up(self, loss_of, n_batch, size):
        total = 0.0
        for start in range(0, n_batch, size):
            stop = min(start + size, n_batch)
            loss = loss_of(slice(start, stop)) * ((stop - start) / n_batch)
            loss.backward()
            total += float(loss.detach())
        return total
