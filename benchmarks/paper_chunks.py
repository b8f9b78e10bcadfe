"""Training windows of ``benchmarks/paper.py`` on disk: simulated once, read by every method."""

import hashlib
import zipfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from paper_setup import read_heads, training_set

from mne_mmnet._support.files import whole_file
from mne_mmnet.training import SampleStream
from mne_mmnet.training.samples import Batch

# a whole window of a recording is mostly zeros: what is kept are the sources that are active
_PARTS = ("data", "samples", "places", "values")


class StoredStream(SampleStream):
    """A :class:`SampleStream` whose windows come from a folder, the same numbers bit by bit.

    A chunk's windows that are not there yet are simulated, and kept for the next one who asks. The
    folder has one file a chunk, of any number of data sets.
    """

    def __init__(self, folder, dataset, batch_size, archive, crop=0, seed=0, device="cpu"):
        super().__init__(dataset, batch_size, archive, crop, seed, device)
        fields = asdict(dataset)
        for name in ("archive_digest", "chunk_digest", "version"):
            del fields[name]
        if not fields["background"]:  # white noise, as it was before there was another
            del fields["background"]
        key = hashlib.sha256(repr((fields, batch_size, crop, seed)).encode())
        key.update(np.ascontiguousarray(archive.gains).tobytes())
        self.folder = Path(folder)
        self.stem = f"{dataset.kind}-{key.hexdigest()[:12]}"
        self._read = (None, None)

    def path(self, number):
        """Return the file of one chunk."""
        return self.folder / f"{self.stem}-{number:06d}.npz"

    def make(self, number):
        """Simulate one chunk's windows and keep them, unless they are there.

        Returns ``data`` of shape (n, n_electrodes, n_times), and ``values`` (n_active, n_times) of
        source ``places`` of recording ``samples``.
        """
        path = self.path(number)
        if path.exists():
            try:
                # opened here, since NumPy leaves what it cannot read open
                with open(path, "rb") as raw, np.load(raw) as file:
                    return {name: file[name] for name in _PARTS}
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                pass  # damaged: made again
        per_chunk = self.dataset.chunk_size // self.batch_size
        batches = [self._windows(number * per_chunk + k) for k in range(per_chunk)]
        data, currents = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        samples, places = np.nonzero(currents.any(axis=2))
        values = currents[samples, places]
        arrays = (data, samples.astype(np.int32), places.astype(np.int32), values)
        found = dict(zip(_PARTS, arrays, strict=True))
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as scratch, open(scratch, "wb") as file:
            np.savez(file, **found)
        return found

    def batch(self, k):
        """Make one batch (see :meth:`SampleStream.batch`)."""
        number, part = divmod(k, self.dataset.chunk_size // self.batch_size)
        if self._read[0] != number:
            self._read = (number, self.make(number))
        found = self._read[1]
        first, last = part * self.batch_size, (part + 1) * self.batch_size
        data = self.basis @ found["data"][first:last]
        # samples ascend; the zeros are written where they are needed
        rows = slice(*np.searchsorted(found["samples"], [first, last]))
        where = [
            torch.as_tensor(index[rows].astype(np.int64), device=self.device)
            for index in (found["samples"] - first, found["places"])
        ]
        shape = (self.batch_size, len(self.model.depth), data.shape[2])
        currents = torch.zeros(shape, device=self.device)
        currents[where[0], where[1]] = torch.as_tensor(found["values"][rows], device=self.device)
        return Batch(
            self.model, torch.as_tensor(data, dtype=torch.float32).to(self.device), currents
        )


def _make_some(task):
    folder, kind, batch_size, crop, heads, numbers = task
    torch.set_num_threads(1)
    stream = StoredStream(folder, training_set(kind), batch_size, read_heads(heads), crop)
    for number in numbers:
        if not stream.path(number).exists():
            stream.make(number)
    return kind, len(numbers)


def make_chunks(folder, kinds, n_chunks, config, heads, jobs):
    """Make the first chunks, of 64 recordings, of the training data, in several processes.

    Training may begin at once: every process makes every ``jobs``-th chunk, in order. They will be
    read with the batch size and the crop of the configuration.
    """
    tasks = [
        (folder, kind, config.batch_size, config.crop, heads, range(first, n_chunks, jobs))
        for kind in kinds
        for first in range(jobs)
    ]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for kind, count in pool.map(_make_some, tasks):
            print(f"{count} chunks of {kind}", flush=True)
