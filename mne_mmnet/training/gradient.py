"""Gradients of batches, in parts where memory does not suffice for a whole one."""

from functools import partial

from .parts import Parts


class Gradient:
    """Backpropagation that goes on with parts of a batch when memory runs out.

    The parts' gradients add up to the batch's, so nothing but the time changes (and the random
    numbers of dropout).

    Parameters
    ----------
    learned : list of torch.nn.Parameter
        What the gradients belong to.
    unit : int
        Recordings that stay together.

    Attributes
    ----------
    parts : Parts
        What fits; to be used for everything else that is done on the device.
    """

    def __init__(self, learned, unit=1):
        self.learned, self.parts = learned, Parts(learned[0].device, unit)

    def __call__(self, loss_of, n_batch):
        """Compute the gradient of a batch's mean loss, into the parameters.

        ``loss_of`` maps a slice of the batch to the mean loss of these recordings. Returns the
        loss of the whole batch; errors are those of :class:`Parts`.
        """
        return self.parts(partial(self._add_up, loss_of, n_batch), n_batch)

    def _add_up(self, loss_of, n_batch, slices):
        total = 0.0
        for parameter in self.learned:
            parameter.grad = None
        for part in slices:
            loss = loss_of(part) * ((part.stop - part.start) / n_batch)
            loss.backward()
            total += float(loss.detach())
        return total
