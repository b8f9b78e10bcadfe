"""A lead field on a multi-scale dictionary, as tensors."""

import warnings
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from .dictionary import PatchScale, mixing_matrix, patch_matrices, synthesis_matrix
from .distances import Neighbourhoods, cover

# atoms weaker than this share of the strongest are not seen by the sensors: no current there
_BLIND = 1e-9
# share of white noise in the covariance that the standardised image assumes, rest background
_WHITE_SHARE = 0.3
# share of the dictionary's energy that its sensor basis may miss
_LOST = 3e-4


@dataclass(frozen=True)
class SourceGraph:
    """What depends on the source space alone: the dictionary's patches, and who sees whom.

    A scale has an atom at some locations only, the wider its patches the fewer. Networks answer
    for every location and scale; ``atom_of`` and ``place_of`` translate. A *place* is a pair of
    scale and location, number ``scale * n_sources + location``.

    Parameters
    ----------
    synthesis : torch.Tensor, sparse CSR of shape (n_sources * n_orient, n_atoms * n_orient)
        Atom amplitudes to source currents, S.
    atom_of : torch.Tensor of shape (n_scales * n_sources,), int64
        The atom nearest to each place, of the same scale.
    place_of : torch.Tensor of shape (n_atoms,), int64
        The place of each atom.
    near : torch.Tensor of shape (n_sources, n_sources)
        Row-stochastic average over close neighbours (sparse CSR; dense where there is no CSR).
    far : torch.Tensor of shape (n_cells, n_sources)
        The same over a wider part of the graph, at the centres of cells.
    cell_of : torch.Tensor of shape (n_sources,), int64
        The cell of each location.
    n_orient : int
        Columns a location: 1 or 3.
    """

    synthesis: torch.Tensor
    atom_of: torch.Tensor
    place_of: torch.Tensor
    near: torch.Tensor
    far: torch.Tensor
    cell_of: torch.Tensor
    n_orient: int

    @property
    def n_sources(self):
        """Number of source locations."""
        return len(self.cell_of)

    @property
    def n_atoms(self):
        """Number of atoms."""
        return len(self.place_of)

    @property
    def n_scales(self):
        """Number of dictionary scales."""
        return len(self.atom_of) // self.n_sources

    def to_locations(self, atoms):
        """Features of atoms, as each location sees them: those of its places.

        Parameters
        ----------
        atoms : torch.Tensor of shape (n_batch, n_features, n_atoms)
            The features.

        Returns
        -------
        locations : torch.Tensor of shape (n_batch, n_sources, n_features * n_scales)
            The same, by location.
        """
        # four times faster than atoms[..., self.atom_of]
        places = atoms.gather(-1, self.atom_of.expand(*atoms.shape[:-1], -1))
        places = places.unflatten(-1, (self.n_scales, self.n_sources))
        return places.permute(0, 3, 1, 2).flatten(2)

    def to_atoms(self, locations):
        """Pick the atoms' answers from those of all places.

        Parameters
        ----------
        locations : torch.Tensor of shape (n_batch, n_sources, n_scales)
            An answer for every scale at every location.

        Returns
        -------
        atoms : torch.Tensor of shape (n_batch, n_atoms)
            The answers of the places where there is an atom.
        """
        places = locations.mT.flatten(1)
        return places.gather(1, self.place_of.expand(len(places), -1))


def build_source_graph(adjacency, config, frames=None, transport=False, device="cpu"):
    """Patches and averages of a source space, as tensors.

    Parameters
    ----------
    adjacency : scipy.sparse array of shape (n_sources, n_sources)
        Symmetric edge lengths in mm.
    config : mne_mmnet.network.NetworkConfig
        Its ``scales``, ``thinning``, ``near_extent`` and ``far_extent``.
    frames, transport
        As in :func:`mne_mmnet.dictionary.synthesis_matrix`.
    device : torch.device | str
        Where to put them; the synthesis stays on the CPU, in float64, until a lead field has been
        multiplied by it.

    Returns
    -------
    graph : SourceGraph
        The tensors.
    """
    n_sources = adjacency.shape[0]
    # as far as all locations look; the few that are centres look farther
    spacing = config.thinning * max(config.far_extent, *(scale.extent for scale in config.scales))
    near = PatchScale("gaussian", config.near_extent).radius
    near = Neighbourhoods(adjacency, max(near, spacing))
    everywhere = np.arange(n_sources)
    centres, atom_of, n_atoms = [], [], 0
    for scale in config.scales:
        if scale.extent > 0:
            kept, nearest = cover(near, config.thinning * scale.extent)
        else:
            kept, nearest = everywhere, everywhere
        centres.append(kept)
        atom_of.append(n_atoms + nearest)
        n_atoms += len(kept)
    place_of = [number * n_sources + kept for number, kept in enumerate(centres)]
    patches = patch_matrices(near, config.scales, centres)
    synthesis = synthesis_matrix(patches, frames, transport, centres)
    cells, cell_of = cover(near, config.thinning * config.far_extent)
    return SourceGraph(
        synthesis=to_torch_csr(synthesis, dtype=torch.float64),
        atom_of=torch.as_tensor(np.concatenate(atom_of), device=device),
        place_of=torch.as_tensor(np.concatenate(place_of), device=device),
        near=to_torch_csr(mixing_matrix(near, config.near_extent), device),
        far=to_torch_csr(mixing_matrix(near, config.far_extent, cells), device),
        cell_of=torch.as_tensor(cell_of, device=device),
        n_orient=1 if frames is None else frames.shape[1],
    )


@dataclass(frozen=True)
class SourceModel:
    """A lead field on a multi-scale dictionary, on a device.

    The leading dimension ``n_models`` is 1, or the batch size when every sample has a head of its
    own (training).

    Parameters
    ----------
    atoms : torch.Tensor of shape (n_models, n_kept, n_atoms * n_orient)
        The dictionary seen by the sensors, L̃ (every atom has Frobenius norm 1), in the basis.
    basis : torch.Tensor of shape (n_models, n_kept, n_rank)
        Orthonormal rows: the sensor maps that the dictionary makes, but for a negligible share.
    background : torch.Tensor of shape (n_models, n_kept, n_kept)
        Covariance of unstructured brain activity in the basis, B = L Lᵀ n_rank / tr(L Lᵀ).
    scale : torch.Tensor of shape (n_models, n_atoms)
        1 / ‖L S_i‖, which turns the amplitude of a unit-norm atom into A·m.
    graph : SourceGraph
        The source space.
    """

    atoms: torch.Tensor
    basis: torch.Tensor
    background: torch.Tensor
    scale: torch.Tensor
    graph: SourceGraph

    @property
    def n_rank(self):
        """Dimension of the whitened sensor space."""
        return self.basis.shape[2]

    @property
    def n_kept(self):
        """Dimension of the part of it that the dictionary reaches."""
        return self.basis.shape[1]

    @property
    def n_atoms(self):
        """Number of atoms."""
        return self.scale.shape[1]

    @property
    def n_sources(self):
        """Number of source locations."""
        return self.graph.n_sources

    @property
    def n_orient(self):
        """Columns a location: 1 or 3."""
        return self.graph.n_orient

    @cached_property
    def standardisation(self):
        """What a standardised image under a fixed covariance needs, computed at first use.

        As sLORETA (Pascual-Marqui 2002): with Σ₀ = 0.3 I + 0.7 B, the power of atom i is
        ‖l̃_iᵀ Σ₀⁻¹ Y‖² / tr(l̃_iᵀ Σ₀⁻¹ l̃_i).

        Returns
        -------
        inverse : torch.Tensor of shape (n_models, n_kept, n_kept)
            Σ₀⁻¹, in double precision where the device has it.
        norm : torch.Tensor of shape (n_models, n_atoms)
            tr(l̃_iᵀ Σ₀⁻¹ l̃_i).
        """
        exact = torch.float32 if self.atoms.device.type == "mps" else torch.float64
        eye = torch.eye(self.n_kept, dtype=exact, device=self.atoms.device)
        sigma = _WHITE_SHARE * eye + (1.0 - _WHITE_SHARE) * self.background.to(exact)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(sigma))
        norm = ((inverse.to(self.atoms.dtype) @ self.atoms) * self.atoms).sum(1)
        return inverse, self.sum_orient(norm)

    def sum_orient(self, x):
        """Sum the last dimension, n_atoms * n_orient, over the orientations of each atom."""
        return x if self.n_orient == 1 else x.unflatten(-1, (-1, self.n_orient)).sum(-1)

    def repeat_orient(self, x):
        """Repeat the last dimension, n_atoms, for the orientations of each atom."""
        return x if self.n_orient == 1 else x.repeat_interleave(self.n_orient, dim=-1)

    def select_atoms(self, index):
        """Return the model with some atoms only, other ones for each sample.

        Parameters
        ----------
        index : torch.Tensor of shape (n_batch, n_active), int64
            Which atoms.

        Returns
        -------
        model : SourceModel
            Not to be read out: the graph's synthesis is that of all atoms.
        """
        n_batch = len(index)
        columns = self.n_orient * index[..., None] + torch.arange(
            self.n_orient, device=index.device
        )
        columns = columns.reshape(n_batch, 1, -1).expand(-1, self.n_kept, -1)
        atoms = self.atoms.expand(n_batch, -1, -1).gather(2, columns)
        scale = self.scale.expand(n_batch, -1).gather(1, index)
        return replace(self, atoms=atoms, scale=scale)

    def select(self, index):
        """Return the model of some samples of a batch."""
        parts = {name: getattr(self, name) for name in ("atoms", "basis", "background", "scale")}
        # what all samples share has a first dimension of 1
        parts = {name: x if len(x) == 1 else x[index] for name, x in parts.items()}
        return replace(self, **parts)


def to_torch_csr(matrix, device="cpu", dtype=torch.float32):
    """Sparse SciPy array as a torch CSR tensor; dense where the device has no CSR.

    Parameters
    ----------
    matrix : scipy.sparse array
        Any format.
    device : torch.device | str
        Where to put it.
    dtype : torch.dtype
        Type of the values.

    Returns
    -------
    tensor : torch.Tensor
        Of the same shape.
    """
    matrix = matrix.tocsr()
    matrix.sort_indices()
    if torch.device(device).type == "mps":
        return torch.as_tensor(matrix.toarray(), dtype=dtype, device=device)
    with warnings.catch_warnings():
        # torch calls its CSR layout "beta" at first use; the products used here are tested
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            torch.as_tensor(matrix.indptr.astype(np.int64)),
            torch.as_tensor(matrix.indices.astype(np.int64)),
            torch.as_tensor(matrix.data, dtype=dtype),
            size=matrix.shape,
            check_invariants=False,  # SciPy vouches for them
        ).to(device)


def _sensor_basis(atoms):
    """Left singular vectors of the dictionary, but for those that hold next to nothing of it.

    The EEG of nearby sources is alike, so a dictionary of thousands of atoms spans far fewer
    dimensions than there are electrodes: of 250 channels about 60. What lies outside carries white
    noise only, and the objective treats it in closed form.
    """
    values, vectors = torch.linalg.eigh(atoms @ atoms.mT)  # ascending
    lost = values.clamp_min(0.0).cumsum(-1) / values.clamp_min(0.0).sum(-1, keepdim=True)
    n_dropped = int((lost <= _LOST).sum(-1).min())
    return vectors[..., n_dropped:].mT.flip(-2)


def build_source_model(leadfield, graph: SourceGraph):
    """Lead field → dictionary with unit-norm atoms.

    Parameters
    ----------
    leadfield : torch.Tensor of shape (n_models, n_rank, n_sources, n_orient)
        Whitened lead field, per A·m, orientation weights applied. Any scale: its own precision
        (float64 for user data) is kept until the atoms are normalised.
    graph : SourceGraph
        Its source space.

    Returns
    -------
    model : SourceModel
        In float32 on the device of ``graph``. Its ``scale`` is relative to ``unit``.
    unit : float
        The mean of 1 / ‖L S_i‖ over atoms: currents come out in A·m after multiplication by it.

    Raises
    ------
    ValueError
        If the lead field is zero or not finite.
    """
    n_models, n_rank, n_sources, n_orient = leadfield.shape
    flat = leadfield.reshape(n_models * n_rank, n_sources * n_orient)
    # (S ᵀ Lᵀ)ᵀ: the sparse factor must come first
    atoms = (graph.synthesis.mT @ flat.mT).mT.reshape(n_models, n_rank, -1, n_orient)
    norm = atoms.square().sum((1, 3)).sqrt()
    largest = norm.max()
    if not (torch.isfinite(largest) and largest > 0):
        raise ValueError(
            "The lead field is zero or not finite: no source reaches the sensors. Recompute the "
            "forward solution."
        )
    seen = norm > _BLIND * largest
    scale = torch.where(seen, 1.0 / norm.clamp_min(1e-300), 0.0)
    atoms = (atoms * scale[:, None, :, None]).reshape(n_models, n_rank, -1)
    basis = _sensor_basis(atoms)
    atoms = basis @ atoms
    # unit-norm points: every location sends the same power, none is favoured for lying close
    points = atoms[..., : n_sources * n_orient]
    background = points @ points.mT
    background *= (n_rank / background.diagonal(dim1=-2, dim2=-1).sum(-1))[..., None, None]
    unit = scale[seen].mean()
    device = graph.cell_of.device
    # sparse products stay on the CPU where the device has none
    home = "cpu" if device.type == "mps" else device
    model = SourceModel(
        atoms=atoms.to(device, torch.float32).contiguous(),
        basis=basis.to(device, torch.float32).contiguous(),
        background=background.to(device, torch.float32),
        scale=(scale / unit).to(device, torch.float32),
        graph=replace(graph, synthesis=graph.synthesis.to(home, torch.float32)),
    )
    return model, float(unit)
