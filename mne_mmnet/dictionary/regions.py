"""Regions of a map: the moment within a distance, the strongest region, and several separate ones.

A single location is a poor answer to "where is the strongest source?": the moment of a patch is
spread over as many locations as the grid has there, and errors of the lead field spread it
further. So moments are summed within `REGION_MM` first, and this is the one place that says how
(no MNE, no torch).

The *regional moment* of location i is m_i = Σ_{j: |r_i − r_j| ≤ radius} |x_j|. The *strongest
region* is the ball that holds the most. Balls around neighbours hold nearly the same, and where a
source is focal, exactly the same: of the locations within the radius whose regional moment is as
large but for `TIE`, the one that its moment lies nearest to, on average, is called the place.
"""

import numpy as np
from scipy import sparse
from scipy.spatial import KDTree

REGION_MM = 15.0
# share of the largest regional moment by which places of one region may differ
TIE = 0.05
# regions are listed down to this share of the strongest one's moment
LEAST = 0.2
# equal but for the order in which a sum is taken
_ROUNDING = 1e-9


class Regions:
    """The balls of one radius around all locations of a grid.

    Parameters
    ----------
    positions : array of shape (n_sources, 3)
        Positions of the sources (mm).
    radius : float
        Of the balls (mm), positive; sources that far from the centre are inside.

    Attributes
    ----------
    distance : scipy.sparse.csr_array of shape (n_sources, n_sources)
        Distances (mm) within the radius; all of them are stored, those of 0 as well.
    """

    def __init__(self, positions, radius=REGION_MM):
        positions = np.asarray(positions, float)
        if positions.ndim != 2 or positions.shape[1] != 3 or not np.isfinite(positions).all():
            raise ValueError(
                f"positions must be finite and of shape (n_sources, 3), got {positions.shape}."
            )
        if not (np.isfinite(radius) and radius > 0):
            raise ValueError(f"radius must be a positive number of mm, got {radius!r}.")
        self.positions, self.radius = positions, float(radius)
        row, col = KDTree(positions).query_pairs(self.radius, output_type="ndarray").T
        each = np.arange(len(positions))
        row, col = np.r_[row, col, each], np.r_[col, row, each]
        distance = np.linalg.norm(positions[row] - positions[col], axis=1)
        shape = (len(positions),) * 2
        # distances of zero stay stored: a ball holds its centre
        self.distance = sparse.csr_array((distance, (row, col)), shape=shape)
        self._inside = self.distance.copy()
        self._inside.data[:] = 1.0

    def within(self, place):
        """Find the sources in the ball around one of them, itself among them."""
        start, stop = self._inside.indptr[place : place + 2]
        return self._inside.indices[start:stop]

    def moments(self, values):
        """Sum the sizes within the radius of each source.

        Parameters
        ----------
        values : array of shape (n_sources,) or (n_sources, n_times)
            Currents in any unit; their absolute values count. Give lengths of vectors.

        Returns
        -------
        moments : array of the same shape
            Regional moments, in that unit.
        """
        return self._inside @ np.abs(values)

    def candidates(self, values):
        """Find the place of the strongest region, and all others that are just as good.

        One but for symmetrical maps; all sources of a map of zeros.
        """
        moments = self.moments(values)
        if not moments.any():
            return np.arange(len(moments))
        return self._pick(values, moments, np.ones(len(moments), bool))

    def strongest(self, values):
        """Find the strongest region of a map, or of each of several.

        Parameters
        ----------
        values : array of shape (n_sources,) or (n_sources, n_maps)
            Currents in any unit; their absolute values count.

        Returns
        -------
        place : int | array of int, shape (n_maps,)
            The source in the middle; of equally good ones the first. A map of zeros has no
            strongest region: −1.
        """
        values = np.asarray(values)
        if values.ndim == 2:
            return np.array([self.strongest(column) for column in values.T], int)
        return int(self.candidates(values)[0]) if values.any() else -1

    def separate(self, values, n_regions=5, least=LEAST):
        """List the strongest regions of a map that stand apart.

        The strongest first; then, as long as there are any, the strongest of those that are
        more than two radii from all before (so that no source is in two of them), and whose
        regional moment no place within the radius exceeds (so that the flank of a wide region is
        not another one).

        Parameters
        ----------
        values : array of shape (n_sources,)
            A map; its absolute values count.
        n_regions : int
            How many at most.
        least : float
            Share of the strongest region's moment below which none is listed.

        Returns
        -------
        places : list of int
            The sources in the middle, the strongest first; none of a map of zeros.
        """
        moments = self.moments(values)
        # every ball holds its centre: no row is empty
        highest = np.maximum.reduceat(moments[self._inside.indices], self._inside.indptr[:-1])
        worth = (moments >= (1.0 - _ROUNDING) * highest) & (moments > 0.0)
        worth &= moments >= least * moments.max(initial=0.0)
        free, places = np.ones(len(moments), bool), []
        while len(places) < n_regions and (free & worth).any():
            place = int(self._pick(values, moments, free, free & worth)[0])
            places.append(place)
            gap = np.linalg.norm(self.positions - self.positions[place], axis=1)
            free &= gap > 2.0 * self.radius
        return places

    def extent(self, values, place):
        """Say how far the moment around a place reaches.

        Parameters
        ----------
        values : array of shape (n_sources,)
            A map; its absolute values count.
        place : int
            The source in the middle.

        Returns
        -------
        extent : float
            Radius (mm) around it within which half of the moment lies that lies within twice the
            radius of a region: 0 for a point, √2 radii for an even map of a plane.
        """
        gap = np.linalg.norm(self.positions - self.positions[place], axis=1)
        order = np.argsort(gap, kind="stable")
        order = order[: np.searchsorted(gap[order], 2.0 * self.radius, side="right")]
        total = np.cumsum(np.abs(values)[order])
        # half, but for rounding of the sum
        return float(gap[order][np.searchsorted(total, (0.5 - _ROUNDING) * total[-1])])

    def _pick(self, values, moments, free, worth=None):
        """Places of the strongest region with its top in ``worth``, among sources in ``free``."""
        worth = free if worth is None else worth
        tops = worth & (moments >= (1.0 - _ROUNDING) * moments[worth].max())
        near = np.zeros(len(moments), bool)
        for top in np.flatnonzero(tops):
            near[self.within(top)] = True
        near &= free
        rows = np.flatnonzero(near & (moments >= (1.0 - TIE) * moments[tops].max()))
        spread = (self.distance[rows] @ np.abs(values)) / moments[rows]
        return rows[spread <= spread.min() + _ROUNDING * self.radius]
