"""Precomputed lead fields as one file, readable where there is no MNE."""

import json
import zipfile
import zlib
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from .._support.files import whole_file

# what the names of the layouts' arrays begin with in the file
_LAYOUT = "layout "
_PLAIN = ("gains", "electrodes", "groups", "positions", "normals")
# what reading a damaged archive, or some other file, ends in
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, MemoryError, ArithmeticError),
    *(AttributeError, LookupError, TypeError, ValueError),
)


@dataclass(frozen=True)
class HeadArchive:
    """Lead fields of one source space on several heads.

    Parameters
    ----------
    gains : array of shape (n_heads, n_electrodes, n_sources, 3), float32
        V/(A·m), along x, y, z.
    electrodes : array of shape (n_electrodes, 3)
        Nominal positions in mm (head coordinates).
    groups : array of shape (n_electrodes,), int
        The montage that an electrode belongs to.
    positions, normals : array of shape (n_sources, 3)
        Source locations (mm) and unit normals.
    adjacency : scipy.sparse.csr_array of shape (n_sources, n_sources)
        Edge lengths of the source-space graph in mm.
    ch_names : tuple of str | None
        Names of the electrodes; None where they were not kept.
    source_space : dict | None
        What :func:`mne_mmnet._mne.describe_source_space` says; None where it was not kept.
    is_volume : bool
        Whether the sources fill a volume: their normals mean nothing.
    layouts : dict of str to array of int
        Electrodes nearest to those of standard layouts.
    noise_factor : array of shape (n_electrodes, n_components) | None
        Factor of a measured noise covariance, N Nᵀ, like which half of the sensor noise shall be.
        Not kept in files.
    """

    gains: np.ndarray
    electrodes: np.ndarray
    groups: np.ndarray
    positions: np.ndarray
    normals: np.ndarray
    adjacency: sparse.csr_array
    ch_names: tuple[str, ...] | None = None
    source_space: dict | None = None
    is_volume: bool = False
    layouts: dict[str, np.ndarray] = field(default_factory=dict)
    noise_factor: np.ndarray | None = None

    def along_normals(self, head):
        """Lead field (n_electrodes, n_sources) of one head along the normals, V/(A·m)."""
        return np.einsum("esk,sk->es", self.gains[head], self.normals)

    def save(self, path):
        """Write to an ``.npz`` file, atomically."""
        names = {} if self.ch_names is None else {"ch_names": np.array(self.ch_names, dtype=str)}
        if self.source_space is not None:
            names["source_space"] = np.array(json.dumps(self.source_space))
        with whole_file(path) as scratch:
            np.savez(
                scratch,
                **{name: getattr(self, name) for name in _PLAIN},
                **graph_arrays(self.adjacency),
                is_volume=self.is_volume,
                **layout_arrays(self.layouts),
                **names,
            )

    @classmethod
    def read(cls, path):
        """Inverse of :meth:`save`; a damaged file, or one of something else, is a ValueError."""
        try:
            # opened here, since NumPy leaves what it can't read open
            with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
                found = cls(
                    **{name: file[name] for name in _PLAIN},
                    adjacency=read_graph(file, len(file["positions"])),
                    # files written before there were these fields have none
                    ch_names=tuple(file["ch_names"].tolist()) if "ch_names" in file else None,
                    source_space=(
                        json.loads(str(file["source_space"])) if "source_space" in file else None
                    ),
                    is_volume="is_volume" in file and bool(file["is_volume"]),
                    layouts=read_layouts(file),
                )
            found._check_shapes()
        except DAMAGE as error:
            raise ValueError(
                f"{path} holds no lead fields, or is damaged ({error}). Remove it, so that it is "
                "made again, or give another file."
            ) from error
        return found

    def _check_shapes(self):
        n_heads, n_electrodes, n_sources, _ = self.gains.shape
        wanted = dict(
            gains=(n_heads, n_electrodes, n_sources, 3),
            electrodes=(n_electrodes, 3),
            groups=(n_electrodes,),
            positions=(n_sources, 3),
            normals=(n_sources, 3),
        )
        if wrong := misshapen(self, wanted):
            raise ValueError(f"wrong shape of {', '.join(wrong)}")


def misshapen(holder, wanted):
    """Name the arrays that have another shape than is wanted."""
    return [name for name, shape in wanted.items() if getattr(holder, name).shape != shape]


def layout_arrays(layouts):
    """Make arrays of layouts, for a file."""
    return {f"{_LAYOUT}{name}": picks for name, picks in layouts.items()}


def read_layouts(file):
    """Inverse of :func:`layout_arrays`."""
    return {key.removeprefix(_LAYOUT): file[key] for key in file if key.startswith(_LAYOUT)}


def graph_arrays(adjacency, prefix=""):
    """Make arrays of a graph, for a file."""
    coo = adjacency.tocoo()
    return {f"{prefix}edges": np.stack([coo.row, coo.col]), f"{prefix}lengths": coo.data}


def read_graph(file, n_sources, prefix=""):
    """Inverse of :func:`graph_arrays`."""
    return sparse.csr_array(
        (file[f"{prefix}lengths"], tuple(file[f"{prefix}edges"])), shape=(n_sources, n_sources)
    )
