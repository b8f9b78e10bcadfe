"""What filters make of a source elsewhere: the resolution matrix."""

import mne
import numpy as np
from mne.utils import _check_option, _validate_type, verbose

from .._mne import match_channels
from .channels import fit_filters
from .container import MMNetFilters
from .readout import Readout


@verbose
def make_mmnet_resolution_matrix(filters, fwd, *, pick_ori="vector", verbose=None):
    """Multiply filters by a lead field.

    Column i is the point-spread function of source i, what the filters find where it alone is
    active; row j the cross-talk function of estimate j, what of each source leaks into it. For
    :func:`mne.minimum_norm.get_point_spread`, :func:`mne.minimum_norm.get_cross_talk` and
    :func:`mne.minimum_norm.resolution_metrics`. The filters are those of their data: that of a
    source which is silent in these is small everywhere.

    Parameters
    ----------
    filters : MMNetFilters
        The filters.
    fwd : mne.Forward
        Forward solution on the same source space: that of the filters, or of another head, to see
        what its difference does. Fixed orientation gives a column a source, free orientation
        three.
    pick_ori : "normal" | "vector"
        Rows: one a source, along the normals, or three (x, y and z); with filters of fixed
        orientation one in either case.
    %(verbose)s

    Returns
    -------
    resmat : array of shape (n_rows, n_columns)
        The resolution matrix, without a unit.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the source space is not that of the filters, or most of their channels are missing.
    RuntimeError
        If ``pick_ori="normal"`` and the source space has no normals.

    Examples
    --------
    >>> resmat = mne_mmnet.make_mmnet_resolution_matrix(filters, fwd)  # doctest: +SKIP
    >>> spread = mne.minimum_norm.get_point_spread(resmat, fwd["src"], [7])  # doctest: +SKIP
    """
    _validate_type(filters, MMNetFilters, "filters")
    _validate_type(fwd, mne.Forward, "fwd")
    _check_option("pick_ori", pick_ori, ("normal", "vector"))
    vertices = [space["vertno"] for space in fwd["src"]]
    same = len(vertices) == len(filters.vertices) and all(
        np.array_equal(a, b) for a, b in zip(vertices, filters.vertices, strict=True)
    )
    if not same:
        raise ValueError(
            f"The forward solution has {sum(map(len, vertices))} sources, the filters "
            f"{filters.n_sources}, or other ones. Use a forward solution on the same source space."
        )
    names = fwd["sol"]["row_names"]
    filters = fit_filters(filters, names, fwd["info"]["bads"])
    picks = match_channels(names, fwd["info"]["bads"], filters.ch_names, "filters")
    if filters.n_orient == 1:
        pick_ori = None
    readout = Readout(filters, None, pick_ori)
    product = readout(np.asarray(fwd["sol"]["data"], float)[picks])
    return product.reshape(-1, product.shape[-1])
