"""Lead fields of a population of people as one file, readable where there is no MNE."""

import json
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from .._support.files import whole_file
from .archive import (
    DAMAGE,
    graph_arrays,
    layout_arrays,
    misshapen,
    read_graph,
    read_layouts,
)
from .cortex import FineSources

_GAINS = ("standard", "true", "own", "fitted", "deep")
_PLAIN = (*_GAINS, "electrodes", "groups", "positions", "normals")
_FINE, _FINE_PLAIN = "fine ", ("gain", "positions", "normals", "shared", "owner")


@dataclass(frozen=True)
class PeopleArchive:
    """Lead fields of one source space on the template and on several people's heads.

    Parameters
    ----------
    standard : array of shape (n_electrodes, n_sources, 3), float32
        The template's, V/(A·m), along x, y, z; electrodes where the montage has them.
    true : array of shape (n_people, n_electrodes, n_sources, 3), float32
        People's own, electrodes where they are.
    own : array of shape (n_people, n_electrodes, n_sources, 3), float32
        What a careful laboratory has of them: their anatomy, digitised electrodes, nominal
        conductivities.
    fitted : array of shape (n_people, n_electrodes, n_sources, 3), float32
        The template scaled to their digitised electrodes.
    deep : array of shape (n_people, n_electrodes, n_deep, 3), float32
        Thalami and brain stem of people.
    electrodes : array of shape (n_electrodes, 3)
        Nominal positions in mm (head coordinates).
    groups : array of shape (n_electrodes,), int
        The montage that an electrode belongs to.
    positions, normals : array of shape (n_sources, 3)
        The template's source locations (mm) and unit normals.
    adjacency : scipy.sparse.csr_array of shape (n_sources, n_sources)
        Edge lengths of the source-space graph in mm.
    source_space : dict | None
        What :func:`mne_mmnet._mne.describe_source_space` says.
    is_volume : bool
        Whether the sources fill a volume: their normals mean nothing.
    layouts : dict of str to array of int
        Electrodes nearest to those of standard layouts.
    about : list of dict
        Skull, scales and cap of each person.
    fine : FineSources | None
        Sources of people's cortex between these.
    noise_factor : array of shape (n_electrodes, n_components) | None
        Factor of a measured noise covariance, N Nᵀ, like which half of the sensor noise shall be.
        Not kept in files.
    """

    standard: np.ndarray
    true: np.ndarray
    own: np.ndarray
    fitted: np.ndarray
    deep: np.ndarray
    electrodes: np.ndarray
    groups: np.ndarray
    positions: np.ndarray
    normals: np.ndarray
    adjacency: sparse.csr_array
    source_space: dict | None = None
    is_volume: bool = False
    layouts: dict[str, np.ndarray] = field(default_factory=dict)
    about: list = field(default_factory=list)
    fine: FineSources | None = None
    noise_factor: np.ndarray | None = None

    @property
    def n_people(self):
        """Number of people."""
        return len(self.true)

    @cached_property
    def surface_frames(self):
        """Two tangential directions and the normal of each source, (n_sources, 3, 3)."""
        # the columns of Q that follow the normal span its tangent plane
        complete = np.linalg.qr(self.normals[:, :, None], mode="complete")[0]
        return np.concatenate([complete.swapaxes(1, 2)[:, 1:], self.normals[:, None]], axis=1)

    def pick_electrodes(self, picks):
        """Return the people with some of the electrodes, without layouts, which counted all."""
        fine = self.fine
        if fine is not None:
            fine = replace(fine, gain=fine.gain[:, picks])
        noise = self.noise_factor
        return replace(
            self,
            standard=self.standard[picks],
            **{name: getattr(self, name)[:, picks] for name in _GAINS[1:]},
            electrodes=self.electrodes[picks],
            groups=self.groups[picks],
            layouts={},
            fine=fine,
            noise_factor=None if noise is None else noise[picks],
        )

    def shrink(self, n_people, largest=128):
        """Keep what fits through a narrow door: few people, small layouts, half precision.

        The first people, the layouts of at most so many electrodes, float16; no sources between
        those of the inversion.
        """
        layouts = {name: at for name, at in self.layouts.items() if len(at) <= largest}
        picks = np.unique(np.concatenate(list(layouts.values())))
        small = replace(self, fine=None).pick_electrodes(picks)
        gains = {name: getattr(small, name)[:n_people].astype(np.float16) for name in _GAINS[1:]}
        return replace(
            small,
            standard=small.standard.astype(np.float16),
            **gains,
            layouts={name: np.searchsorted(picks, at) for name, at in layouts.items()},
            about=self.about[:n_people],
        )

    def save(self, path):
        """Write to an ``.npz`` file, atomically."""
        fine = {}
        if self.fine is not None:
            fine = {f"{_FINE}{name}": getattr(self.fine, name) for name in _FINE_PLAIN}
            fine |= graph_arrays(self.fine.adjacency, _FINE)
        with whole_file(path) as scratch:
            np.savez(
                scratch,
                **{name: getattr(self, name) for name in _PLAIN},
                **graph_arrays(self.adjacency),
                **fine,
                is_volume=self.is_volume,
                words=np.array(json.dumps([self.source_space, self.about])),
                **layout_arrays(self.layouts),
            )

    @classmethod
    def read(cls, path):
        """Inverse of :meth:`save`; a damaged file, or one of something else, is a ValueError."""
        try:
            # opened here, since NumPy leaves what it can't read open
            with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
                plain = {name: file[name] for name in _PLAIN}
                graph, fine = read_graph(file, len(plain["positions"])), None
                if f"{_FINE}gain" in file:
                    between = {name: file[f"{_FINE}{name}"] for name in _FINE_PLAIN}
                    fine = FineSources(
                        **between, adjacency=read_graph(file, len(between["owner"]), _FINE)
                    )
                space, about = json.loads(str(file["words"]))
                found = cls(
                    **plain,
                    adjacency=graph,
                    source_space=space,
                    is_volume=bool(file["is_volume"]),
                    layouts=read_layouts(file),
                    about=about,
                    fine=fine,
                )
            found._check_shapes()
        except DAMAGE as error:
            raise ValueError(
                f"{path} holds no people, or is damaged ({error}). Remove it, so that it is made "
                "again, or give another file."
            ) from error
        return found

    def _check_shapes(self):
        n_electrodes, n_sources, _ = self.standard.shape
        n_people, _, n_deep, _ = self.deep.shape
        one = (n_people, n_electrodes, n_sources, 3)
        wanted = dict(
            true=one,
            own=one,
            fitted=one,
            deep=(n_people, n_electrodes, n_deep, 3),
            electrodes=(n_electrodes, 3),
            groups=(n_electrodes,),
            positions=(n_sources, 3),
            normals=(n_sources, 3),
        )
        wrong = misshapen(self, wanted)
        if self.fine is not None:
            n_fine = len(self.fine.owner)
            wanted = dict(
                gain=(n_people, n_electrodes, n_fine, 3),
                positions=(n_fine, 3),
                normals=(n_fine, 3),
                shared=(n_sources,),
            )
            wrong += [f"{_FINE}{name}" for name in misshapen(self.fine, wanted)]
        if wrong:
            raise ValueError(f"wrong shape of {', '.join(wrong)}")
