"""Windows through filters: a matrix product each."""

import numpy as np

from .._mne import (
    check_finite,
    check_like,
    check_reference,
    refuse_other_types,
    units_of,
    warn,
)
from ..filters.channels import fit_filters
from ..filters.readout import Readout
from ..inverse.check_channels import doubt_channels
from ..inverse.concerns import doubt_amplitude


class FilteredWindows:
    """Filters, window by window; all that is the same for all windows is done once.

    Parameters
    ----------
    filters : MMNetFilters
        The filters.
    info, label, pick_ori
        Of :class:`mne_mmnet.MMNetStream`.

    Attributes
    ----------
    vertices : list of array
        Vertices of the currents.
    """

    def __init__(self, filters, info, label, pick_ori):
        filters = fit_filters(filters, info["ch_names"], info["bads"])
        self._picks, self._verified = check_like(
            info, None, filters.ch_names, filters.projector, "filters"
        )
        refuse_other_types(info, filters)
        self._factors = units_of(info, filters.ch_names)
        self._readout = Readout(filters, label, pick_ori)
        self._filters, self._info = filters, info
        self._own = {f"filters {k}": text for k, text in enumerate(filters.report.concerns)}
        self.vertices = self._readout.vertices

    def localize(self, data):
        """Localise one window, as :meth:`mne_mmnet.live.solved.SolvedWindows.localize` does."""
        n_channels = len(self._info["ch_names"])
        if data.ndim != 2 or len(data) != n_channels:
            raise ValueError(
                f"A window must have the shape (n_channels, n_times) with the {n_channels} "
                f"channels of info, got {data.shape}. Pass the array that belongs to info."
            )
        names, types = self._filters.ch_names, self._filters.ch_types
        sensors = data[self._picks]
        check_finite(sensors, names)
        if not self._verified:
            check_reference(self._info, data, names)
        sensors = sensors if self._factors is None else self._factors * sensors
        currents = self._readout(sensors)
        concerns = self._own | doubt_channels(sensors, names)
        largest = np.abs(currents).max(initial=0.0)
        concerns |= doubt_amplitude(types, sensors, largest, sensors, found=False)
        return currents, concerns

    def say(self, concerns):
        """Warn of what was not said when the filters were made."""
        for kind, text in concerns.items():
            if kind not in self._own:
                warn(text)
