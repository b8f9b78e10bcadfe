"""The matrix product, and what ``pick_ori`` makes of it."""

import numpy as np

from .._mne import check_pick_ori, restrict_to_label, wrap_stc

# floats of currents worked on at once, before they are combined to lengths
_CHUNK = 250_000
_LEAST_SAMPLES = 16


class Readout:
    """Filters restricted to a label, in the orientation that was asked for.

    Parameters
    ----------
    filters : MMNetFilters
        The filters.
    label : mne.Label | mne.BiHemiLabel | None
        Of the user.
    pick_ori : None | "normal" | "vector"
        Of the user.

    Attributes
    ----------
    filters : MMNetFilters
        The filters, whole.
    vertices : list of array
        Vertices of the sources, by source space.
    shape : tuple of int
        (n_sources,) or (n_sources, 3).
    """

    def __init__(self, filters, label, pick_ori):
        check_pick_ori(filters, pick_ori)
        self.filters = filters
        self.vertices, rows = restrict_to_label(filters, label)
        kernel, frames = filters.kernel[rows], filters.frames[rows]
        if pick_ori == "vector":
            kernel = np.einsum("skc,skd->sdc", kernel, frames)
        elif pick_ori == "normal":
            kernel = np.einsum("skc,skd,sd->sc", kernel, frames, filters.normals[rows])
        elif filters.n_orient == 1:
            kernel = kernel[:, 0]
        self.is_vector = pick_ori == "vector"
        self._is_length = kernel.ndim == 3 and not self.is_vector
        self.shape = kernel.shape[:-1] if not self._is_length else kernel.shape[:1]
        self._n_rows = int(np.prod(kernel.shape[:-1]))
        # directions outermost: the lengths' sums are then over contiguous rows
        kernel = kernel.swapaxes(0, 1) if self._is_length else kernel
        self._kernel = np.ascontiguousarray(kernel.reshape(self._n_rows, -1))

    @property
    def n_together(self):
        """Samples worth working on at once."""
        return max(_LEAST_SAMPLES, _CHUNK // self._n_rows)

    def dtype(self, data):
        """Type of the currents of data."""
        dtype = np.result_type(self._kernel.dtype, data.dtype)
        return np.empty(0, dtype).real.dtype if self._is_length else dtype

    def __call__(self, data, out=None):
        """Compute currents.

        Parameters
        ----------
        data : array of shape (n_channels, n_times)
            Channels of the filters, in their order; real or complex.
        out : array of shape (*shape, n_times) | None
            Where to put them.

        Returns
        -------
        currents : array of shape (*shape, n_times)
            In A·m; lengths where the orientation is not fixed and none was picked.
        """
        n_times = data.shape[-1]
        if out is None:
            out = np.empty((*self.shape, n_times), self.dtype(data))
        for start in range(0, n_times, self.n_together):
            span = slice(start, start + self.n_together)
            self._product(data[:, span], out[..., span])
        return out

    def wrap(self, currents, place):
        """Put currents, or powers, into a source estimate, without copying them."""
        vertices = [vertno.copy() for vertno in self.vertices]
        return wrap_stc(self.filters, currents, vertices, is_vector=self.is_vector, **place)

    def _product(self, data, out):
        if not self._is_length:
            # a view: all axes but the last lie together in memory
            np.matmul(self._kernel, data, out=out.reshape(self._n_rows, -1))
            return
        currents = self._kernel @ data
        if np.iscomplexobj(currents):
            currents = np.concatenate([currents.real, currents.imag])
        np.square(currents, out=currents)
        n = self.shape[0]
        total = currents[:n]
        for start in range(n, len(currents), n):
            total += currents[start : start + n]
        np.sqrt(total, out=out)

    def power(self, matrix):
        """Compute the power of currents whose data have a covariance: diag(K C Kᴴ).

        Parameters
        ----------
        matrix : array of shape (n_channels, n_channels)
            Covariance or cross-spectral density; power depends on its real part alone.

        Returns
        -------
        power : array of shape (n_sources,)
            In (A·m)², summed over directions where none was picked.
        """
        # the imaginary part is antisymmetric: kᵀ Im(C) k = 0
        rows = ((self._kernel @ matrix.real) * self._kernel).sum(axis=1)
        return rows.reshape(-1, self.shape[0]).sum(axis=0) if self._is_length else rows
