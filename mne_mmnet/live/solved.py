"""Windows whose source variances are found one by one."""

import numpy as np

from .._mne import check_reference, make_stc, noise_scale, pick_data, prepare_data, whiten_data
from ..inverse.arguments import check_n_steps, resolve_operator
from ..inverse.concerns import find_concerns, say


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
        check_n_steps(n_steps)
        _, self.vertices, self._rows = resolve_operator(info, operator, pick_ori, label)
        self._scale = noise_scale(operator.prepared, nave)
        self._operator, self._info, self._nave, self._n_steps = operator, info, nave, n_steps
        self._place = dict(tmin=0.0, tstep=1.0, pick_ori=pick_ori, label=label)
        self._known = operator.doubt_recording(info)
        # channels that are missing are an error now, not in the middle of a recording
        prepare_data(info, operator.prepared, np.zeros((len(info["ch_names"]), 1)), nave)

    def localize(self, data):
        """Localise one window.

        Parameters
        ----------
        data : array of shape (n_channels, n_times)
            Of the user.

        Returns
        -------
        currents : array of shape (n_sources, n_times) or (n_sources, 3, n_times)
            In A·m.
        concerns : dict of str
            Texts by kind.
        """
        prepared = self._operator.prepared
        sensors = pick_data(self._info, prepared, data)
        whitened = whiten_data(prepared, sensors, self._nave)
        check_reference(self._info, data, prepared.ch_names)
        solution, reports = self._operator.solve(whitened[None], self._n_steps, rows=self._rows)
        moments = solution.currents[0] / self._scale
        currents = make_stc(prepared, moments, **self._place).data
        concerns, _ = find_concerns(
            self._operator,
            whitened,
            reports[0],
            np.abs(moments).max(initial=0.0),
            sensors=sensors,
            known=self._known,
        )
        return currents, concerns

    def say(self, concerns):
        """Warn of what was not said when the operator was made."""
        say(concerns, self._operator.prepared)
