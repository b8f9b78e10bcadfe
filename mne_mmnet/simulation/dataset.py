"""Data sets that are kept as the recipe to make them again."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from .._support.files import whole_file
from .._version import __version__
from .neural_mass import NeuralMassConfig, simulate_neural_mass
from .noise import draw_field_noise
from .patches import Neighbourhoods
from .sereega import SereegaConfig, simulate_sereega

_KINDS = {
    "sereega": (SereegaConfig, simulate_sereega),
    "neural_mass": (NeuralMassConfig, simulate_neural_mass),
}
_FORMAT = 1


@dataclass(frozen=True)
class Dataset:
    """A data set as a manifest: chunks are made again whenever they are asked for.

    A chunk depends on the seed, its number and its size only, so chunks can be made in any order
    and in several processes.

    Parameters
    ----------
    kind : str
        ``"sereega"`` or ``"neural_mass"``.
    config : SereegaConfig | NeuralMassConfig
        Distribution of the sources.
    seed : int
        Seed of everything random.
    n_samples : int
        Number of samples.
    chunk_size : int
        Samples a chunk; the last one may have fewer.
    snr_db : float
        Signal-to-noise ratio of every sample in dB: mean signal power over mean noise power, over
        channels and samples, both average-referenced. The noise is Gaussian and scaled so that the
        ratio holds exactly.
    heads : tuple of int
        Heads of the archive that the data come from, one drawn for each sample.
    background : float
        Share of brain activity in the noise. 0 is white noise of the sensors; else these have
        noise of their own kind as well (:func:`mne_mmnet.simulation.noise.draw_field_noise`).
    archive_digest, chunk_digest : str | None
        What :meth:`seal` found: SHA-256 of the archive, and of the heads, seeds and labels of the
        first chunk (integers: another machine's rounding does not change them).
    version : str
        Version of the package that made the manifest.
    """

    kind: str
    config: SereegaConfig | NeuralMassConfig
    seed: int
    n_samples: int
    chunk_size: int = 128
    snr_db: float = 5.0
    heads: tuple[int, ...] = (0,)
    background: float = 0.0
    archive_digest: str | None = None
    chunk_digest: str | None = None
    version: str = field(default=__version__, compare=False)

    def __post_init__(self):
        """Refuse what cannot be made."""
        if self.kind not in _KINDS:
            raise ValueError(f"kind must be one of {', '.join(_KINDS)}, got {self.kind!r}.")
        if not isinstance(self.config, _KINDS[self.kind][0]):
            raise TypeError(
                f"config of kind {self.kind!r} must be a {_KINDS[self.kind][0].__name__}, "
                f"got {type(self.config).__name__}."
            )
        for name, least in (("seed", 0), ("n_samples", 1), ("chunk_size", 1)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)!r}.")
        if len(self.heads) == 0 or min(self.heads) < 0:
            raise ValueError(f"heads must be numbers of heads, got {self.heads!r}.")
        if not 0.0 <= self.background <= 1.0:
            raise ValueError(f"background must be from 0 to 1, got {self.background!r}.")
        if not np.isfinite(self.snr_db):
            raise ValueError(f"snr_db must be finite, got {self.snr_db!r}.")

    @property
    def n_chunks(self):
        """Number of chunks."""
        return -(-self.n_samples // self.chunk_size)

    def neighbourhoods(self, archive):
        """Prepare the archive's graph for :meth:`chunk`: hops between its sources."""
        return Neighbourhoods(archive.adjacency, self.config.order[1])

    def chunk(self, k, archive, neighbourhoods=None):
        """Make one chunk.

        Parameters
        ----------
        k : int
            Its number, from 0.
        archive : HeadArchive
            The lead fields, of which those along the normals are used.
        neighbourhoods : Neighbourhoods | None
            Of :meth:`neighbourhoods`, to prepare the graph once for many chunks.

        Returns
        -------
        data : array of shape (n, n_electrodes, n_times), float32
            Noisy recordings with average reference; in V if the currents are in A·m.
        sources : SimulatedSources
            What made them.
        head : array of shape (n,), int
            Number of the head that each was simulated on.
        """
        if not 0 <= k < self.n_chunks:
            raise ValueError(f"There are chunks 0 to {self.n_chunks - 1}, asked for {k}.")
        if max(self.heads) >= len(archive.gains):
            raise ValueError(
                f"The archive has heads 0 to {len(archive.gains) - 1}, heads is {self.heads}."
            )
        sources = self.sources(k, neighbourhoods or self.neighbourhoods(archive))
        _, for_heads, for_noise = self._streams(k)
        head = for_heads.choice(self.heads, size=len(sources.currents))
        data = self._record(archive, sources, head, for_noise)
        return data, sources, head

    def sources(self, k, neighbourhoods):
        """Make the sources of one chunk alone, those of :meth:`chunk`."""
        n = min(self.chunk_size, self.n_samples - k * self.chunk_size)
        for_sources, *_ = self._streams(k)
        return _KINDS[self.kind][1](neighbourhoods, self.config, n, for_sources)

    def _streams(self, k):
        """Streams of their own: how many numbers one part needs does not change the others."""
        return map(np.random.default_rng, np.random.SeedSequence([self.seed, k]).spawn(3))

    def _record(self, archive, sources, head, rng):
        """Noisy, average-referenced recordings of the sources."""
        gains = {}
        for number in np.unique(head):
            gain = archive.along_normals(number)
            gains[number] = (gain - gain.mean(axis=0)).astype(np.float32)
        n_electrodes, n_times = archive.gains.shape[1], sources.currents.shape[2]
        shape = len(head), n_electrodes, n_times
        if self.background:
            # an archive knows no places deep inside the head
            nowhere = np.zeros((n_electrodes, 1, 3))
            data = np.empty(shape, np.float32)
            for sample, number in enumerate(head):
                draw, _ = draw_field_noise(
                    rng, gains[number], nowhere, archive.electrodes, self.background, 0.0
                )
                data[sample] = draw(rng, n_times)
        else:
            data = rng.standard_normal(shape, dtype=np.float32)
        data -= data.mean(axis=1, keepdims=True)
        for sample, number in enumerate(head):
            active = np.flatnonzero(sources.labels[sample])
            signal = gains[number][:, active] @ sources.currents[sample, active]
            power = np.mean(signal**2, dtype=float) / np.mean(data[sample] ** 2, dtype=float)
            data[sample] *= np.sqrt(power) * 10.0 ** (-self.snr_db / 20.0)
            data[sample] += signal
        return data

    def _digests(self, archive):
        whole = hashlib.sha256()
        adjacency = archive.adjacency.tocoo()
        for array, kind in (
            (archive.gains, "<f4"),
            (archive.normals, "<f8"),
            (adjacency.row, "<i8"),
            (adjacency.col, "<i8"),
        ):
            whole.update(repr(array.shape).encode())
            whole.update(np.ascontiguousarray(array, kind).tobytes())
        _, sources, head = self.chunk(0, archive)
        chunk = hashlib.sha256()
        for array in (head, sources.seeds, sources.labels):
            chunk.update(np.ascontiguousarray(array, "<i8").tobytes())
        return whole.hexdigest(), chunk.hexdigest()

    def seal(self, archive):
        """Note down by which archive and which first chunk the data set is recognised."""
        archive_digest, chunk_digest = self._digests(archive)
        return replace(self, archive_digest=archive_digest, chunk_digest=chunk_digest)

    def verify(self, archive):
        """Make sure that this archive and this version of the code make the same data again."""
        if self.archive_digest is None or self.chunk_digest is None:
            raise ValueError("Nothing to compare with. Use the data set that seal() returns.")
        archive_digest, chunk_digest = self._digests(archive)
        if archive_digest != self.archive_digest:
            raise ValueError(
                "These are not the lead fields of this data set: SHA-256 "
                f"{archive_digest[:12]}…, the manifest has {self.archive_digest[:12]}…. Read the "
                "archive that it was made with."
            )
        if chunk_digest != self.chunk_digest:
            raise ValueError(
                "The first chunk comes out differently: SHA-256 of its heads, seeds and labels "
                f"is {chunk_digest[:12]}…, the manifest has {self.chunk_digest[:12]}…. It was "
                f"made with mne_mmnet {self.version}, this is {__version__}, on NumPy "
                f"{np.__version__}."
            )

    def save(self, path):
        """Write the manifest as JSON, atomically."""
        if self.archive_digest is None or self.chunk_digest is None:
            raise ValueError(
                "Without digests, nobody could tell whether the data come out the same. Save the "
                "data set that seal(archive) returns."
            )
        text = json.dumps({"format": _FORMAT, **asdict(self)}, indent=2)
        with whole_file(path) as scratch:
            scratch.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path):
        """Inverse of :meth:`save`."""
        fields = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(fields, dict) or fields.pop("format", None) != _FORMAT:
            raise ValueError(f"{path} is no data set manifest of format {_FORMAT}.")
        if fields.get("kind") not in _KINDS:
            raise ValueError(f"{path} has data of the unknown kind {fields.get('kind')!r}.")
        config = _KINDS[fields["kind"]][0](**_tuples(fields.pop("config")))
        return cls(config=config, **_tuples(fields))


def _tuples(fields):
    """JSON knows lists only."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
