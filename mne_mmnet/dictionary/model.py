"""A lead field on a multi-scale dictionary, as tensors."""

import warnings
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from .._support.eigen import symmetric_eigen
from .distances import Neighbourhoods, cover, within
from .patches import PatchScale, mixing_matrix, patch_matrices, synthesis_matrix

# atoms weaker than this share of the strongest are not seen by the sensors: no current there
_BLIND = 1e-9
# share of white noise in the covariance that the standardised image assumes; the rest is
# activity of the whole cortex
_WHITE_SHARE = 0.3
# floats worked on at once where regions sum the fields of many sources
_CHUNK = 4_000_000
# share of the dictionary's energy that its sensor basis may miss
_LOST = 3e-4


@dataclass(frozen=True)
class SourceGraph:
    """What depends on the source space alone: the dictionary's patches, and who sees whom.

    Atoms come in families: patches of one scale, of one kind of orientation. A family has an atom
    at some locations only, the wider its patches the fewer, and all its atoms have as many
    columns. Networks answer for every location and every family that there can be; ``atom_of``
    and ``place_of`` translate. A *place* is a pair of family and location, number
    ``family * n_sources + location``.

    Parameters
    ----------
    synthesis : torch.Tensor, sparse CSR of shape (n_sources * n_orient, n_columns)
        Atom amplitudes to source currents, S.
    families : tuple of (int, int)
        Number of atoms and columns an atom of each family that is there.
    atom_of : torch.Tensor of shape (n_places_a_location * n_sources,), int64
        The atom nearest to each place, of the same family; ``n_atoms`` where the family is not
        there.
    place_of : torch.Tensor of shape (n_atoms,), int64
        The place of each atom.
    near : torch.Tensor of shape (n_sources, n_sources)
        Row-stochastic average over close neighbours (sparse CSR; dense where there is no CSR).
    far : torch.Tensor of shape (n_cells, n_sources)
        The same over a wider part of the graph, at the centres of cells.
    cell_of : torch.Tensor of shape (n_sources,), int64
        The cell of each location.
    region_of : torch.Tensor of shape (n_sources,), int64
        The region of each location, whose sources share the errors of their lead fields.
    reach : torch.Tensor of shape (n_regions, n_sources)
        1 where a location is near enough to a region's centre for its field to be among the
        region's errors (sparse CSR; dense where there is no CSR).
    n_orient : int
        Directions a location: 1 or 3.
    """

    synthesis: torch.Tensor
    families: tuple[tuple[int, int], ...]
    atom_of: torch.Tensor
    place_of: torch.Tensor
    near: torch.Tensor
    far: torch.Tensor
    cell_of: torch.Tensor
    region_of: torch.Tensor
    reach: torch.Tensor
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
    def n_kinds(self):
        """Number of places a location, whether there are such atoms or not."""
        return len(self.atom_of) // self.n_sources

    @cached_property
    def n_regions(self):
        """Number of regions."""
        return len(self.reach)

    @cached_property
    def region_of_atom(self):
        """The region of each atom's centre, shape (n_atoms,)."""
        return self.region_of[self.place_of % self.n_sources]

    def to_locations(self, atoms):
        """Features of atoms, as each location sees them: those of its places.

        Parameters
        ----------
        atoms : torch.Tensor of shape (n_batch, n_features, n_atoms)
            The features.

        Returns
        -------
        locations : torch.Tensor of shape (n_batch, n_sources, n_features * n_kinds)
            The same, by location; 0 for families that are not there.
        """
        atoms = torch.nn.functional.pad(atoms, (0, 1))
        # four times faster than atoms[..., self.atom_of]
        places = atoms.gather(-1, self.atom_of.expand(*atoms.shape[:-1], -1))
        places = places.unflatten(-1, (self.n_kinds, self.n_sources))
        return places.permute(0, 3, 1, 2).flatten(2)

    def to_atoms(self, locations):
        """Pick the atoms' answers from those of all places.

        Parameters
        ----------
        locations : torch.Tensor of shape (n_batch, n_sources, n_kinds)
            An answer for every family at every location.

        Returns
        -------
        atoms : torch.Tensor of shape (n_batch, n_atoms)
            The answers of the places where there is an atom.
        """
        places = locations.mT.flatten(1)
        return places.gather(1, self.place_of.expand(len(places), -1))


def build_source_graph(adjacency, config, frames=None, orient="fixed", device="cpu"):
    """Patches and averages of a source space, as tensors.

    Parameters
    ----------
    adjacency : scipy.sparse array of shape (n_sources, n_sources)
        Symmetric edge lengths in mm.
    config : mne_mmnet.network.NetworkConfig
        Its ``scales``, ``tangential``, ``thinning``, ``near_extent``, ``far_extent`` and
        ``region_extent``.
    frames, orient
        As in :func:`mne_mmnet.dictionary.patches.synthesis_matrix`.
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
    near = Neighbourhoods(adjacency, max(near, spacing, config.region_extent))
    everywhere = np.arange(n_sources)
    centres, nearests = [], []
    for scale in config.scales:
        if scale.extent > 0:
            kept, nearest = cover(near, config.thinning * scale.extent)
        else:
            kept, nearest = everywhere, everywhere
        centres.append(kept)
        nearests.append(nearest)
    width = 1 if orient in ("fixed", "evidence") else 3
    families = [(len(kept), width) for kept in centres]
    family_centres = list(centres)
    if orient == "evidence":
        families += [(len(centres[scale]), 2) for scale in config.tangential]
        family_centres += [centres[scale] for scale in config.tangential]
        nearests += [nearests[scale] for scale in config.tangential]
    first = np.concatenate([[0], np.cumsum([count for count, _ in families])])
    atom_of = [start + nearest for start, nearest in zip(first[:-1], nearests, strict=True)]
    missing = config.n_kinds - len(families)
    atom_of.append(np.full(missing * n_sources, first[-1]))
    place_of = [number * n_sources + kept for number, kept in enumerate(family_centres)]
    patches = patch_matrices(near, config.scales, centres)
    synthesis = synthesis_matrix(patches, frames, orient, centres, config.tangential)
    cells, cell_of = cover(near, config.thinning * config.far_extent)
    regions, region_of = cover(near, config.region_extent)
    reach = within(near, config.region_extent, regions)
    reach.data = np.ones_like(reach.data)
    return SourceGraph(
        synthesis=to_torch_csr(synthesis, dtype=torch.float64),
        families=tuple(families),
        atom_of=torch.as_tensor(np.concatenate(atom_of), device=device),
        place_of=torch.as_tensor(np.concatenate(place_of), device=device),
        near=to_torch_csr(mixing_matrix(near, config.near_extent), device),
        far=to_torch_csr(mixing_matrix(near, config.far_extent, cells), device),
        cell_of=torch.as_tensor(cell_of, device=device),
        region_of=torch.as_tensor(region_of, device=device),
        reach=to_torch_csr(reach, device),
        n_orient=1 if orient == "fixed" else 3,
    )


@dataclass(frozen=True)
class SourceModel:
    """A lead field on a multi-scale dictionary, on a device.

    The leading dimension ``n_models`` is 1, or the batch size when every sample has a head of its
    own.

    An atom contributes its variance γ_i times a covariance: that of its own columns, and that of
    the errors which lead fields have in its region, ::

        Σ = noise + Σ_i γ_i (l̃_i l̃_iᵀ + E_r(i) E_r(i)ᵀ) .

    It is linear in γ and each term positive semidefinite, which is all that the majorant needs.

    Parameters
    ----------
    columns : torch.Tensor of shape (n_models, n_kept, n_columns)
        The dictionary seen by the sensors, L̃ (every atom has Frobenius norm 1), in the basis; then
        the regions' error columns, E.
    basis : torch.Tensor of shape (n_models, n_kept, n_rank)
        Orthonormal rows: the sensor maps that the dictionary makes, but for a negligible share.
    noise : torch.Tensor of shape (n_models, n_terms, n_kept, n_kept)
        Covariances of fields that no source of the model makes, in the basis, of trace n_rank:
        unstructured activity of the cortex, B = L Lᵀ n_rank / tr(L Lᵀ), L with columns of norm 1,
        and of places deep inside (0 where there are none).
    scale : torch.Tensor of shape (n_models, n_atoms)
        1 / ‖L S_i‖, which turns the amplitude of a unit-norm atom into A·m.
    graph : SourceGraph
        The source space.
    families : tuple of (int, int)
        As of the graph, or of the atoms that were selected.
    region_of_atom : torch.Tensor of shape (n_atoms,) or (n_models, n_atoms), int64
        Likewise.
    """

    columns: torch.Tensor
    basis: torch.Tensor
    noise: torch.Tensor
    scale: torch.Tensor
    graph: SourceGraph
    families: tuple[tuple[int, int], ...]
    region_of_atom: torch.Tensor

    @property
    def atoms(self):
        """The columns without the errors', L̃, shape (n_models, n_kept, n_atom_columns)."""
        return self.columns[..., : self.n_atom_columns]

    @property
    def n_atom_columns(self):
        """Number of columns of the atoms themselves."""
        return sum(count * width for count, width in self.families)

    @property
    def n_errors(self):
        """Number of error columns of a region."""
        return (self.columns.shape[-1] - self.n_atom_columns) // self.graph.n_regions

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
        """Directions a location: 1 or 3."""
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
        exact = torch.float32 if self.columns.device.type == "mps" else torch.float64
        eye = torch.eye(self.n_kept, dtype=exact, device=self.columns.device)
        sigma = _WHITE_SHARE * eye + (1.0 - _WHITE_SHARE) * self.noise[:, 0].to(exact)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(sigma))
        norm = ((inverse.to(self.columns.dtype) @ self.atoms) * self.atoms).sum(1)
        return inverse, self.sum_columns(norm)

    def sum_columns(self, x):
        """Sum the last dimension, columns of atoms, over the columns of each atom."""
        if all(width == 1 for _, width in self.families):
            return x
        parts, start = [], 0
        for count, width in self.families:
            part = x[..., start : start + count * width]
            start += count * width
            parts.append(part if width == 1 else part.unflatten(-1, (count, width)).sum(-1))
        return torch.cat(parts, -1)

    def repeat_columns(self, x):
        """Repeat the last dimension, n_atoms, for the columns of each atom."""
        if all(width == 1 for _, width in self.families):
            return x
        parts = x.split([count for count, _ in self.families], -1)
        return torch.cat(
            [
                part if width == 1 else part.repeat_interleave(width, dim=-1)
                for part, (_, width) in zip(parts, self.families, strict=True)
            ],
            -1,
        )

    def spread(self, variance):
        """Variances of all columns, from those of the atoms.

        Parameters
        ----------
        variance : torch.Tensor of shape (n_batch, n_atoms)
            γ.

        Returns
        -------
        columns : torch.Tensor of shape (n_batch, n_columns)
            γ of the atoms' own columns, sums over regions of the error columns.
        """
        own = self.repeat_columns(variance)
        if self.n_errors == 0:
            return own
        total = variance.new_zeros(len(variance), self.graph.n_regions)
        region = self.region_of_atom.expand(len(variance), -1)
        total = total.scatter_add(1, region, variance)
        return torch.cat([own, total.repeat_interleave(self.n_errors, dim=1)], 1)

    def collect(self, columns):
        """Sum over all columns that an atom's variance reaches: the transpose of spread.

        Parameters
        ----------
        columns : torch.Tensor of shape (n_batch, n_rows, n_columns)
            Something of every column.

        Returns
        -------
        atoms : torch.Tensor of shape (n_batch, n_rows, n_atoms)
            The sums.
        """
        if self.n_errors == 0:
            return self.sum_columns(columns)
        own = self.sum_columns(columns[..., : self.n_atom_columns])
        shared = columns[..., self.n_atom_columns :].unflatten(-1, (-1, self.n_errors)).sum(-1)
        region = self.region_of_atom
        region = region if region.dim() == 1 else region[:, None]
        return own + shared.gather(-1, region.expand(*own.shape[:-1], -1))

    def select_atoms(self, index):
        """Return the model with some atoms only, other ones for each sample.

        Parameters
        ----------
        index : tuple of torch.Tensor of shape (n_batch, n_active), int64
            Which atoms of each family, by their numbers in it.

        Returns
        -------
        model : SourceModel
            Not to be read out: the graph's synthesis is that of all atoms.
        """
        n_batch = len(index[0])
        columns, atoms, families, column, atom = [], [], [], 0, 0
        for (count, width), chosen in zip(self.families, index, strict=True):
            offsets = torch.arange(width, device=chosen.device)
            columns.append(column + (width * chosen[..., None] + offsets).flatten(1))
            atoms.append(atom + chosen)
            families.append((chosen.shape[1], width))
            column, atom = column + count * width, atom + count
        columns = torch.cat(columns, 1)[:, None].expand(-1, self.n_kept, -1)
        whole = self.columns.expand(n_batch, -1, -1)
        picked = whole.gather(2, columns)
        if self.n_errors:
            picked = torch.cat([picked, whole[..., self.n_atom_columns :]], 2)
        atoms = torch.cat(atoms, 1)
        return replace(
            self,
            columns=picked,
            scale=self.scale.expand(n_batch, -1).gather(1, atoms),
            families=tuple(families),
            region_of_atom=self.region_of_atom.expand(n_batch, -1).gather(1, atoms),
        )

    def select(self, index):
        """Return the model of some samples of a batch."""
        parts = {name: getattr(self, name) for name in ("columns", "basis", "noise", "scale")}
        if self.region_of_atom.dim() == 2:
            parts["region_of_atom"] = self.region_of_atom
        # what all samples share has a first dimension of 1
        parts = {name: x if len(x) == 1 else x[index] for name, x in parts.items()}
        return replace(self, **parts)


def to_torch_csr(matrix, device="cpu", dtype=torch.float32):
    """Sparse SciPy array as a torch CSR tensor; dense where the device has no CSR."""
    matrix = matrix.tocsr()
    matrix.sort_indices()
    # what MKL takes: others are converted for every product
    index = np.int32 if matrix.nnz < 2**31 else np.int64
    if torch.device(device).type == "mps":
        return torch.as_tensor(matrix.toarray(), dtype=dtype, device=device)
    with warnings.catch_warnings():
        # torch calls its CSR layout "beta" at first use; the products used here are tested
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            torch.as_tensor(matrix.indptr.astype(index)),
            torch.as_tensor(matrix.indices.astype(index)),
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
    values, vectors = symmetric_eigen(atoms @ atoms.mT)  # ascending
    lost = values.clamp_min(0.0).cumsum(-1) / values.clamp_min(0.0).sum(-1, keepdim=True)
    n_dropped = int((lost <= _LOST).sum(-1).min())
    return vectors[..., n_dropped:].mT.flip(-2)


def _error_columns(leadfield, graph, n_errors, share):
    """Columns of what the lead field gets wrong, told from the lead field itself.

    Another skull, other folds, a source some millimetres off, electrodes that are not where they
    should be: what these change in the field of a source lies, but for a few percent, in the space
    that the fields of all currents around it span. So a region's errors are those of a random
    current of any direction nearby, whose power is a share of that of the region's sources.

    Parameters
    ----------
    leadfield : torch.Tensor of shape (n_models, n_kept, n_sources, n_orient)
        In the basis.
    graph : SourceGraph
        Its ``reach``.
    n_errors : int
        Columns a region; no more than ``n_kept`` are of use, or made.
    share : float
        Their power over that of an atom of unit norm.

    Returns
    -------
    errors : torch.Tensor of shape (n_models, n_kept, n_regions * n_errors)
        The columns.
    """
    _, n_kept, n_sources, _ = leadfield.shape
    found = []
    reach = graph.reach.to(leadfield.device, leadfield.dtype)
    n_rows = max(1, _CHUNK // (n_sources * n_kept))
    for one in leadfield:
        fields = one.permute(1, 0, 2)
        grams = [
            (reach @ (fields @ part.mT).flatten(1)).unflatten(1, (n_kept, -1))
            for part in fields.split(n_rows, 1)
        ]
        values, vectors = symmetric_eigen(torch.cat(grams, 2))
        top = values[:, -n_errors:].clamp_min(0.0)
        size = (share * top / top.sum(1, keepdim=True).clamp_min(1e-300)).sqrt()
        columns = vectors[..., -n_errors:] * size[:, None]
        found.append(columns.permute(1, 0, 2).flatten(1))
    return torch.stack(found)


def build_source_model(leadfield, graph: SourceGraph, n_errors=0, share=0.0, deep=None):
    """Lead field → dictionary with unit-norm atoms.

    Parameters
    ----------
    leadfield : torch.Tensor of shape (n_models, n_rank, n_sources, n_orient)
        Whitened lead field, per A·m, orientation weights applied. Any scale: its own precision
        (float64 for user data) is kept until the atoms are normalised.
    graph : SourceGraph
        Its source space.
    n_errors : int
        Error columns of a region; 0 is a lead field without errors.
    share : float
        Power of the errors over that of a column.
    deep : torch.Tensor of shape (n_models, n_rank, n_fields) | None
        Whitened fields of sources deep inside the head; None is none.

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
    atoms = (graph.synthesis.mT @ flat.mT).mT.reshape(n_models, n_rank, -1)
    draft = SourceModel(
        atoms,
        atoms[:, :0],
        atoms[:, :0, None],
        atoms[:, 0],
        graph,
        graph.families,
        graph.region_of_atom,
    )
    norm = draft.sum_columns(atoms.square().sum(1)).sqrt()
    largest = norm.max()
    if not (torch.isfinite(largest) and largest > 0):
        raise ValueError(
            "The lead field is zero or not finite: no source reaches the sensors. Recompute the "
            "forward solution."
        )
    seen = norm > _BLIND * largest
    scale = torch.where(seen, 1.0 / norm.clamp_min(1e-300), 0.0)
    atoms = atoms * draft.repeat_columns(scale)[:, None]
    basis = _sensor_basis(atoms)
    atoms = basis @ atoms
    # unit-norm points: every location sends the same power, none is favoured for lying close
    points = atoms[..., : graph.families[0][0] * graph.families[0][1]]
    terms = [points @ points.mT]
    if deep is None:
        terms.append(torch.zeros_like(terms[0]))
    else:
        fields = basis @ deep.to(basis.dtype)
        terms.append(fields @ fields.mT)
    noise = torch.stack(terms, 1)
    trace = noise.diagonal(dim1=-2, dim2=-1).sum(-1)
    noise = noise * torch.where(trace > 0, n_rank / trace.clamp_min(1e-300), 0.0)[..., None, None]
    columns = atoms
    if n_errors and share > 0:
        inside = (basis @ leadfield.flatten(2)).view(n_models, -1, n_sources, n_orient)
        inside = inside / largest  # the unit is lost anyhow; squares shall not overflow
        columns = torch.cat([atoms, _error_columns(inside, graph, n_errors, share)], -1)
    unit = scale[seen].mean()
    device = graph.cell_of.device
    # sparse products stay on the CPU where the device has none
    home = "cpu" if device.type == "mps" else device
    model = SourceModel(
        columns=columns.to(device, torch.float32).contiguous(),
        basis=basis.to(device, torch.float32).contiguous(),
        noise=noise.to(device, torch.float32),
        scale=(scale / unit).to(device, torch.float32),
        graph=replace(graph, synthesis=graph.synthesis.to(home, torch.float32)),
        families=graph.families,
        region_of_atom=graph.region_of_atom,
    )
    return model, float(unit)
