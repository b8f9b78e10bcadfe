"""Batches of epochs, or of windows of a recording: solved together, doubted one by one."""

import numpy as np

from .._mne import check_reference, noise_scale, pick_data, whiten_data
from .concerns import find_concerns


def make_solver(operator, info, rows, nave, n_steps):
    """Make a function that localises batches of data with one info.

    It maps an array of shape (n_batch, n_all_channels, n_times) to an iterator over its samples:
    currents of shape (n_rows, n_orient, n_times) in A·m, of the locations ``rows`` (None is all),
    and concerns by kind.
    """
    prepared = operator.prepared
    scale = noise_scale(prepared, nave)
    known = operator.doubt_recording(info)

    def solve(batch):
        sensors = pick_data(info, prepared, batch)
        check_reference(info, batch, prepared.ch_names)
        whitened = whiten_data(prepared, sensors, nave)
        solution, reports = operator.solve(whitened, n_steps, rows=rows)
        currents = solution.currents / scale
        for one, sample, report, volts in zip(currents, whitened, reports, sensors, strict=True):
            largest = np.abs(one).max(initial=0.0)
            concerns, _ = find_concerns(
                operator, sample, report, largest, sensors=volts, known=known
            )
            yield one, concerns

    return solve
