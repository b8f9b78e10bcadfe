"""Ctrl-C during training: finish the batch, write a checkpoint, then stop."""

import logging
import signal
import threading

logger = logging.getLogger("mne")


class Interrupt:
    """Context in which the first Ctrl-C is only noted, for the loop to stop where it is whole.

    A second one is answered at once. In other threads than the main one, and where Ctrl-C is
    ignored or handled by something else than Python, nothing changes.

    Attributes
    ----------
    asked : bool
        Whether it was pressed.
    """

    def __init__(self):
        self.asked, self._before = False, None

    def __enter__(self):
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(before):
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_):
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, *_):
        self.asked = True
        signal.signal(signal.SIGINT, self._before)
        logger.warning("Interrupted: finishing this batch. Press Ctrl-C again to stop at once.")

    def answer(self, save):
        """Save what the run can go on from, and stop, if Ctrl-C was pressed."""
        if self.asked:
            save()
            raise KeyboardInterrupt


def ignore_interrupts():
    """Leave Ctrl-C, which a terminal sends to all processes, to the one that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
