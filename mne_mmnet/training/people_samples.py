"""Recordings of people for the cosine route: any cap, coloured noise, heads that are wrong."""

import numpy as np

from ..simulation import PatchSampler, PeopleArchive, SimulationConfig
from ..simulation.batch import (
    GAINS,
    average_reference_basis,
    draw_electrodes,
    draw_noise_model,
    estimate_covariance,
    gain_of,
    whiten_basis,
)
from ..simulation.cortex import draw_cortex
from ..solver import CosineModel
from .samples import SampleStream


class PeopleStream(SampleStream):
    """Batches of one person in one cap each, inverted with a head that is not quite theirs.

    Sources are the data set's, at those of the inversion; everything else is as in the training of
    the evidence route (:func:`mne_mmnet.simulation.simulate_batch`): people, caps and their
    electrodes, folds, background activity of cortex and deep places, noise that neighbours share,
    a covariance or none, and whose lead field inverts.

    Parameters
    ----------
    dataset : Dataset
        Manifest of the sources; its heads, noise and ratio are of no matter.
    batch_size : int
        Recordings a batch; a divisor of the data set's ``chunk_size``.
    people : PeopleArchive
        Lead fields.
    config : SimulationConfig | None
        The distribution. None is the default; orientations are fixed, whatever it says.
    crop, seed, device
        As for :class:`SampleStream`.
    """

    def __init__(self, dataset, batch_size, people: PeopleArchive, config=None, **options):
        self.config = SimulationConfig() if config is None else config
        super().__init__(dataset, batch_size, people, **options)

    def _prepare(self):
        # `draw_cortex` asks for it; patches are the data set's
        self.sampler = PatchSampler(self.archive.adjacency)

    def _chunk(self, chunk):
        return None, self.dataset.sources(chunk, self._neighbourhoods), None

    def _session(self, rng):
        """Draw who, in which cap, with what noise: (model, fields, whitener, noise, level)."""
        people, config = self.archive, self.config
        heads, shares = list(GAINS), np.asarray(config.heads, float)
        source = str(rng.choice(heads, p=shares / shares.sum()))
        person = int(rng.integers(people.n_people))
        ideal = source == "exact" and rng.uniform() < config.ideal
        most = int(np.unique(people.groups, return_counts=True)[1].min())
        low, high = np.log([min(number, most) for number in config.n_channels])
        n_channels = round(np.exp(rng.uniform(low, high)))
        picks = draw_electrodes(rng, people, config, n_channels)
        degrees = rng.uniform(*config.tilt) if source in ("template", "fitted") else 0.0
        cortex = draw_cortex(rng, people, self.sampler, person, picks, degrees, off_grid=False)
        noise_of, covariance = draw_noise_model(rng, people, person, picks, cortex, config, ideal)
        basis = average_reference_basis(len(picks))
        projected = basis @ covariance @ basis.T
        whitener, level = basis, np.sqrt(np.trace(projected) / len(basis))
        if rng.uniform() < config.known_noise:
            n_samples = len(picks) * np.exp(rng.uniform(*np.log(config.baseline)))
            found = projected if ideal else estimate_covariance(rng, projected, n_samples)
            whitener = whiten_basis(found, basis)
        gain = gain_of(people, source, person)[picks].astype(float)
        leadfield = whitener @ np.einsum("esk,sk->es", gain, people.normals)
        return CosineModel.build(leadfield, self.device), cortex.field, whitener, noise_of, level

    def batch(self, k):
        """Make one batch (see :meth:`SampleStream.batch`)."""
        rng = np.random.default_rng([self.seed, k, 1])
        model, field, whitener, noise_of, level = self._session(rng)
        currents = self._cut(k, self.sources(k))
        data, scales = [], []
        for one in currents:
            signal = field @ one
            signal -= signal.mean(axis=0)
            noise = noise_of(rng, one.shape[1])
            noise -= noise.mean(axis=0)
            ratio = 10.0 ** (rng.uniform(*self.config.snr_db) / 20.0)
            scale = max(np.sqrt(np.mean(signal**2)), 1e-300) / ratio / level
            data.append(whitener @ (signal / scale + noise))
            scales.append(scale)
        # in the unit of the data, so that recordings can be added up
        return self._finish(model, np.stack(data), currents / np.reshape(scales, (-1, 1, 1)))
