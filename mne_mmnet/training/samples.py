"""Batches for bilevel training: data sets projected on the sensors' basis, and cropped."""

from typing import NamedTuple

import numpy as np
import torch

from ..simulation import (
    Dataset,
    NeuralMassConfig,
    SereegaConfig,
    SimulatedSources,
    average_reference_basis,
    draw_montage,
)
from ..solver import CosineModel

# of the recordings that weights for any montage are trained on
SOURCES = {"sereega": SereegaConfig(), "neural_mass": NeuralMassConfig()}
CHUNK, N_CHUNKS = 64, 15_000


class Batch(NamedTuple):
    """Recordings, what made them, and the lead field to invert them with.

    Parameters
    ----------
    model : CosineModel
        To invert with: of the standard head, or for people of one drawn for the batch.
    data : torch.Tensor of shape (n_batch, n_channels − 1, n_times)
        Noisy recordings, average-referenced, whitened where a covariance is known.
    currents : torch.Tensor of shape (n_batch, n_sources, n_times)
        What made them.
    """

    model: CosineModel
    data: torch.Tensor
    currents: torch.Tensor


class SampleStream:
    """Numbered batches of one data set, all with the electrodes of its archive.

    Parameters
    ----------
    dataset : Dataset
        The manifest. A chunk is cut into batches: simulating many recordings at once is cheaper.
    batch_size : int
        Recordings a batch; a divisor of the data set's ``chunk_size``.
    archive : HeadArchive
        The lead fields; head 0 is inverted with.
    crop : int
        Longest window in samples, 0 for all. A window holds the peak of one of the patches.
    seed : int
        Of the windows.
    device : torch.device | str
        Where to put the batches.
    """

    def __init__(self, dataset, batch_size, archive, crop=0, seed=0, device="cpu"):
        if dataset.chunk_size % batch_size or dataset.n_samples % batch_size:
            raise ValueError(
                f"A chunk of {dataset.chunk_size} and a data set of {dataset.n_samples} must "
                f"divide into batches of {batch_size}. Change one of the three numbers."
            )
        self.dataset, self.batch_size, self.archive = dataset, batch_size, archive
        self.crop, self.seed, self.device = crop, seed, device
        self._neighbourhoods = dataset.neighbourhoods(archive)
        self._kept = (None, None)
        self._prepare()

    def _prepare(self):
        archive, device = self.archive, self.device
        self.basis = average_reference_basis(archive.gains.shape[1])
        self.model = CosineModel.build(self.basis @ self.archive.along_normals(0), device)

    def batch(self, k):
        """Make one batch; beyond the data set's end it starts again."""
        data, currents = self._windows(k)
        return self._finish(self.model, self.basis @ data, currents)

    def sources(self, k):
        """Return all that is known about the sources of one batch, not cropped."""
        return self._recordings(k)[1]

    def _recordings(self, k):
        first = k * self.batch_size % self.dataset.n_samples
        chunk, first = divmod(first, self.dataset.chunk_size)
        if self._kept[0] != chunk:
            self._kept = (chunk, self._chunk(chunk))
        data, sources, _ = self._kept[1]
        part = slice(first, first + self.batch_size)
        fields = (sources.currents, sources.seeds, sources.labels, sources.peaks)
        sources = SimulatedSources(*(field[part] for field in fields))
        return None if data is None else data[part], sources

    def _chunk(self, chunk):
        """Make one chunk of the data set; data are None where they are not recorded there."""
        return self.dataset.chunk(chunk, self.archive, self._neighbourhoods)

    def _windows(self, k):
        data, sources = self._recordings(k)
        return self._cut(k, sources, data), self._cut(k, sources)

    def _cut(self, k, sources, arrays=None):
        """Cut the windows of one batch out of its currents, or of other arrays."""
        arrays, n_times = sources.currents if arrays is None else arrays, sources.currents.shape[2]
        if 0 < self.crop < n_times:
            rng = np.random.default_rng([self.seed, k])
            windows = [self._window(row, n_times, rng) for row in sources.peaks]
            arrays = np.stack([a[:, w] for a, w in zip(arrays, windows, strict=True)])
        return arrays

    def _window(self, peaks, n_times, rng):
        peak = rng.choice(peaks[peaks >= 0])
        first = rng.integers(max(0, peak - self.crop + 1), min(peak, n_times - self.crop) + 1)
        return slice(first, first + self.crop)

    def _finish(self, model, data, currents):
        to = dict(dtype=torch.float32, device=self.device)
        return Batch(model, torch.as_tensor(data, **to), torch.as_tensor(currents, **to))


class MontageStream(SampleStream):
    """Batches with random electrodes: weights that any montage can use.

    Every batch has a montage of its own, spread over the scalp, of a size drawn log-uniformly, and
    a signal-to-noise ratio of its own: white noise is added to the data set's.

    Parameters
    ----------
    dataset : Dataset
        The manifest; its ``snr_db`` is the highest there will be.
    batch_size, archive, crop, seed, device
        As for :class:`SampleStream`; the archive's electrodes come in groups, and the seed is also
        that of montages and noise.
    n_channels : tuple of int
        Range of the number of electrodes.
    snr_db : tuple of float
        Range of the signal-to-noise ratio in dB.
    """

    def __init__(
        self, dataset, batch_size, archive, n_channels=(16, 128), snr_db=(0.0, 15.0), **options
    ):
        super().__init__(dataset, batch_size, archive, **options)
        self.n_channels, self.snr_db = n_channels, snr_db
        if snr_db[1] > dataset.snr_db:
            raise ValueError(
                f"Recordings of {dataset.snr_db} dB can't become ones of {snr_db[1]} dB by adding "
                "noise. Raise the data set's snr_db."
            )

    def _prepare(self):
        self._standard = self.archive.along_normals(0)

    def batch(self, k):
        """Make one batch (see :meth:`SampleStream.batch`)."""
        rng = np.random.default_rng([self.seed, k, 1])
        low, high = np.log(self.n_channels)
        n_channels = round(np.exp(rng.uniform(low, high)))
        group = rng.choice(np.unique(self.archive.groups))
        members = np.flatnonzero(self.archive.groups == group)
        n_channels = min(n_channels, len(members))
        picks = members[draw_montage(rng, self.archive.electrodes[members], n_channels)]
        basis = average_reference_basis(n_channels)
        model = CosineModel.build(basis @ self._standard[picks], self.device)
        data, currents = self._windows(k)
        data = basis @ data[:, picks]
        # power P(1 + 1/r) at ratio r becomes P(1 + 1/t) at ratio t
        ratio = 10.0 ** (self.dataset.snr_db / 10.0)
        target = 10.0 ** (rng.uniform(*self.snr_db, size=(len(data), 1, 1)) / 10.0)
        signal = (data**2).mean(axis=(1, 2), keepdims=True) / (1.0 + 1.0 / ratio)
        extra = np.sqrt(signal * (1.0 / target - 1.0 / ratio))
        data = data + extra * rng.standard_normal(data.shape)
        return self._finish(model, data, currents)


class AlternatingStream:
    """Batches of several streams in turn."""

    def __init__(self, streams):
        self.streams = streams

    def batch(self, k):
        """Make one batch (see :meth:`SampleStream.batch`)."""
        which = k % len(self.streams)
        return self.streams[which].batch(k // len(self.streams))


def mix_montages(kinds, seed, n_samples, batch_size, archive, *, snr_db, **options):
    """Make a stream of several kinds of sources in turn, with random electrodes.

    Parameters
    ----------
    kinds : iterable of str
        Keys of ``SOURCES``.
    seed, n_samples : int
        Of each kind's recordings, and of the montages.
    batch_size, archive
        As for :class:`SampleStream`.
    snr_db : tuple of float
        Range of signal-to-noise ratios.
    **options
        As for :class:`MontageStream`.

    Returns
    -------
    stream : AlternatingStream
        Batches.
    """
    heads = tuple(range(len(archive.gains)))
    sets = [Dataset(k, SOURCES[k], seed, n_samples, CHUNK, max(snr_db), heads) for k in kinds]
    options |= dict(snr_db=snr_db, seed=seed)
    return AlternatingStream([MontageStream(one, batch_size, archive, **options) for one in sets])
