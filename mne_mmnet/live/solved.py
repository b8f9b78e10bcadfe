"""Windows whose source variances are found one by one."""

import numpy as np

from .._mne import make_stc, prepare_data
from ..inverse.arguments import check_count, resolve_operator
from ..inverse.batches import make_solver
from ..inverse.concerns import say


class SolvedWindows:
    """The solver, window by window.

    Parameters
    ----------
    operator : MMNetOperator
        The operator.
    info, label, nave, pick_ori, n_steps
        Of :class:`mne_mmnet.MMNetStream`.

    Attributes
    ----------
    vertices : list of array
        Vertices of the currents.
    """

    def __init__(self, operator, info, label, nave, pick_ori, n_steps):
        check_count(n_steps, "n_steps")
        _, self.vertices, rows = resolve_operator(info, operator, pick_ori, label)
        self._prepared = operator.prepared
        self._solve = make_solver(operator, info, rows, nave, n_steps)
        self._place = dict(tmin=0.0, tstep=1.0, pick_ori=pick_ori, label=label)
        # channels that are missing are an error now, not in the middle of a recording
        prepare_data(info, self._prepared, np.zeros((len(info["ch_names"]), 1)), nave)

    def localize(self, data):
        """Localise one window.

        Currents of shape (n_sources, n_times) or (n_sources, 3, n_times) are in A·m; concerns are
        texts by kind.
        """
        ((moments, concerns),) = self._solve(data[np.newaxis])
        return make_stc(self._prepared, moments, **self._place).data, concerns

    def say(self, concerns):
        """Warn of what was not said when the operator was made."""
        say(concerns, self._prepared)
