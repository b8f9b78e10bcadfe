"""Multi-scale patch dictionary on a source-space graph (arrays only, no MNE, no torch).

A *patch* is a map over source locations that decays with the distance along the source-space
graph. Extents are millimetres, not hops, so a scale means the same at every grid density
(DESIGN §2b).
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from .distances import Neighbourhoods, within

_PROFILES = ("point", "gaussian", "exponential", "flat")
# a patch is cut where its profile falls below this share of its peak
_CUT = 0.05


@dataclass(frozen=True)
class PatchScale:
    """One scale of the dictionary.

    Parameters
    ----------
    profile : str
        ``"point"``, ``"gaussian"`` (exp(−d²/2e²)), ``"exponential"`` (exp(−d/e): a sharp centre
        with weak skirts) or ``"flat"`` (1 up to e).
    extent : float
        The extent e in mm; 0 for a point.
    """

    profile: str
    extent: float = 0.0

    def __post_init__(self):
        if self.profile not in _PROFILES:
            raise ValueError(f"profile must be one of {_PROFILES}, got {self.profile!r}.")
        if self.profile != "point" and not self.extent > 0:
            raise ValueError(f"A {self.profile} patch needs an extent > 0 mm, got {self.extent}.")

    @property
    def radius(self):
        """Distance (mm) beyond which the patch is zero."""
        if self.profile == "gaussian":
            return self.extent * np.sqrt(-2.0 * np.log(_CUT))
        if self.profile == "exponential":
            return self.extent * -np.log(_CUT)
        return self.extent if self.profile == "flat" else 0.0

    def __call__(self, distance):
        """Return the profile at distances in mm, peak 1."""
        distance = np.asarray(distance, float)
        if self.profile == "gaussian":
            value = np.exp(-0.5 * (distance / self.extent) ** 2)
        elif self.profile == "exponential":
            value = np.exp(-distance / self.extent)
        else:
            value = np.ones_like(distance)
        return np.where(distance <= self.radius, value, 0.0)


def patch_matrices(graph, scales, centres=None):
    """One matrix of patches per scale.

    Parameters
    ----------
    graph : scipy.sparse array of shape (n_sources, n_sources) | Neighbourhoods
        Symmetric edge lengths in mm.
    scales : sequence of PatchScale
        The scales.
    centres : sequence of array of int | None
        Locations that have a patch, for each scale. None is all.

    Returns
    -------
    patches : list of scipy.sparse.csr_array of shape (n_sources, n_centres)
        Column j of each is the patch of its centre j, with peak 1.
    """
    centres = [None] * len(scales) if centres is None else centres
    if not isinstance(graph, Neighbourhoods) and all(kept is None for kept in centres):
        graph = Neighbourhoods(graph, max(scale.radius for scale in scales))
    patches = []
    for scale, kept in zip(scales, centres, strict=True):
        patch = within(graph, scale.radius, kept)
        patch.data = scale(patch.data)
        patches.append(patch.T.tocsr())
    return patches


def mixing_matrix(graph, extent, rows=None):
    """Row-stochastic Gaussian average over the graph, by which locations see their neighbours.

    Parameters
    ----------
    graph : scipy.sparse array of shape (n_sources, n_sources) | Neighbourhoods
        Symmetric edge lengths in mm.
    extent : float
        Standard deviation of the Gaussian, in mm.
    rows : array of int | None
        Locations at which the average is wanted. None is all.

    Returns
    -------
    mixing : scipy.sparse.csr_array of shape (n_rows, n_sources)
        The average.
    """
    gaussian = PatchScale("gaussian", extent)
    weights = within(graph, gaussian.radius, rows)
    weights.data = gaussian(weights.data)
    weights.data *= np.repeat(1.0 / weights.sum(axis=1), np.diff(weights.indptr))
    return weights


def synthesis_matrix(patches, frames=None, orient="fixed", centres=None, tangential=()):
    """Map from atom amplitudes to source currents, S = [S₀, S₁, …].

    Parameters
    ----------
    patches : list of scipy.sparse array of shape (n_sources, n_centres)
        From :func:`patch_matrices`.
    frames : None | array of shape (n_sources, 3, 3)
        Direction of each column of a location: two tangents and the normal of a surface, or any
        three where the orientation is free. None where it is fixed.
    orient : "fixed" | "free" | "loose" | "evidence"
        How a patch carries an orientation to its neighbours. Loose and evidence take the frames of
        a surface along: a normal current stays normal, a tangential one is projected on the
        neighbour's tangent plane. Free keeps the columns' names, which is right for the global x,
        y, z axes. Evidence has atoms of one column along the normal for every scale, then atoms
        of two tangential columns for some.
    centres : sequence of array of int | None
        As given there.
    tangential : sequence of int
        Scales that have tangential atoms (evidence only).

    Returns
    -------
    synthesis : scipy.sparse.csr_array of shape (n_sources * n_orient, n_columns)
        Columns ordered by family of atoms, then location; an atom's columns are neighbours.
    """
    if centres is None:
        centres = [np.arange(patch.shape[1]) for patch in patches]
    if orient == "fixed":
        return sparse.csr_array(sparse.hstack(patches, format="csr"))
    if orient == "free":
        eye = sparse.eye_array(3, format="csr")
        return sparse.csr_array(sparse.hstack([sparse.kron(p, eye) for p in patches]))
    if orient == "loose":
        blocks = [
            _transport(patch, frames, kept) for patch, kept in zip(patches, centres, strict=True)
        ]
    else:
        normal = sparse.csr_array(np.array([[0.0], [0.0], [1.0]]))
        blocks = [sparse.kron(patch, normal) for patch in patches]
        for scale in tangential:
            block = _transport(patches[scale], frames, centres[scale])
            columns = np.arange(block.shape[1])
            blocks.append(block[:, columns[columns % 3 < 2]])
    return sparse.csr_array(sparse.hstack(blocks, format="csr"))


def _transport(patch, frames, kept):
    """Patch with three columns a location, of surface frames, carried along the surface."""
    coo = patch.tocoo()
    # R[p, a, b] = e_{i,a} · e_{j,b} for the edge i ← j
    rotation = np.einsum("pak,pbk->pab", frames[coo.row], frames[kept[coo.col]])
    rotation[:, :2, 2] = rotation[:, 2, :2] = 0.0
    rotation[:, 2, 2] = 1.0
    a, b = np.meshgrid(np.arange(3), np.arange(3), indexing="ij")
    rows = 3 * coo.row[:, None, None] + a
    cols = 3 * coo.col[:, None, None] + b
    values = coo.data[:, None, None] * rotation
    shape = (3 * patch.shape[0], 3 * patch.shape[1])
    block = sparse.coo_array((values.ravel(), (rows.ravel(), cols.ravel())), shape=shape).tocsr()
    block.eliminate_zeros()
    return block
