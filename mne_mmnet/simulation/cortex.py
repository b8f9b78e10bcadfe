"""The sources of one session: where a person's really are, and how the inversion sees them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from .grids import gather_matrix
from .person import tilt_normals
from .sources import PatchSampler


@dataclass(frozen=True)
class FineSources:
    """Sources of people's cortex between those of the inversion.

    Parameters
    ----------
    gain : array of shape (n_people, n_electrodes, n_fine, 3), float16
        Their lead fields, V/(A·m), along x, y, z, electrodes where they are.
    positions, normals : array of shape (n_fine, 3)
        On the template (mm).
    adjacency : scipy.sparse.csr_array of shape (n_fine, n_fine)
        Edge lengths in mm.
    shared : array of int, shape (n_sources,)
        The fine source that each source of the inversion is.
    owner : array of int, shape (n_fine,)
        The source of the inversion that is nearest to each fine one.
    """

    gain: np.ndarray
    positions: np.ndarray
    normals: np.ndarray
    adjacency: sparse.csr_array
    shared: np.ndarray
    owner: np.ndarray

    @cached_property
    def sampler(self):
        """Patches on the fine grid."""
        return PatchSampler(self.adjacency)

    @cached_property
    def gather(self):
        """Matrix that sums moments by the sources of the inversion."""
        return gather_matrix(self.owner, len(self.shared))


@dataclass(frozen=True)
class Cortex:
    """Sources of one person, in one cap.

    Parameters
    ----------
    gain : array of shape (n_channels, n_places, 3)
        Lead fields of all places where there can be a source.
    normals : array of shape (n_places, 3)
        That person's.
    sampler : PatchSampler
        Patches of such places.
    fine : FineSources | None
        Where the places are more than the sources of the inversion.
    """

    gain: np.ndarray
    normals: np.ndarray
    sampler: PatchSampler
    fine: FineSources | None = None

    @cached_property
    def field(self):
        """Lead fields along the normals, (n_channels, n_places)."""
        return np.einsum("esk,sk->es", self.gain, self.normals)

    @property
    def coarse_normals(self):
        """Normals at the sources of the inversion, (n_sources, 3)."""
        return self.normals if self.fine is None else self.normals[self.fine.shared]

    def gather(self, moments):
        """Moments of places, (n_places, n), summed at the sources of the inversion."""
        return moments if self.fine is None else self.fine.gather @ moments


def draw_cortex(rng, people, sampler, person, picks, degrees, off_grid):
    """Draw the folds of a person's cortex.

    Normals are turned by ``degrees``, root mean square, from the template's. Off the grid, sources
    may lie between those of the inversion, if the archive has such.
    """
    fine = people.fine if off_grid else None
    grid, gain = (people, people.true) if fine is None else (fine, fine.gain)
    normals = grid.normals
    if people.is_volume:  # the direction of each patch is drawn with it
        degrees = 0.0
    return Cortex(
        gain=gain[person][picks].astype(float),
        normals=tilt_normals(rng, normals, grid.positions, degrees),
        sampler=sampler if fine is None else fine.sampler,
        fine=fine,
    )
