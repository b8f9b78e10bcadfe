"""Simulated source currents with what is known about them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SimulatedSources:
    """Currents of several samples.

    Parameters
    ----------
    currents : array of shape (n_samples, n_sources, n_times), float32
        In an arbitrary unit: the largest absolute value of each sample is 1.
    seeds : array of shape (n_samples, n_patches_max), int
        Centre of each patch; -1 where a sample has fewer.
    labels : array of shape (n_samples, n_sources), int8
        0 is inactive, k belongs to the k-th patch (from 1).
    peaks : array of shape (n_samples, n_patches_max), int
        Time sample of each patch's largest absolute activity; -1 where a sample has fewer.
    """

    currents: np.ndarray
    seeds: np.ndarray
    labels: np.ndarray
    peaks: np.ndarray

    @classmethod
    def from_waves(cls, patches, waves):
        """Put the time courses of active sources in their places, and normalise them.

        These, (n_active, n_times), are in the order of ``numpy.nonzero(patches.labels)``.
        """
        labels, seeds = patches.labels, patches.seeds
        n_samples, n_sources = labels.shape
        n_patches = seeds.shape[1]
        size = np.abs(waves)
        samples, places = np.nonzero(labels)
        starts = np.searchsorted(samples, np.arange(n_samples))
        largest = np.maximum.reduceat(size.max(axis=1), starts)
        currents = np.zeros((n_samples, n_sources, waves.shape[1]), np.float32)
        currents[samples, places] = waves / largest[samples, None]
        # rows of one patch next to each other
        key = samples * n_patches + labels[samples, places] - 1
        order = np.argsort(key, kind="stable")
        patch, first = np.unique(key[order], return_index=True)
        peaks = np.full(n_samples * n_patches, -1)
        peaks[patch] = np.maximum.reduceat(size[order], first, axis=0).argmax(axis=1)
        return cls(currents, seeds, labels, peaks.reshape(n_samples, n_patches))
