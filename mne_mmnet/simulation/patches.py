"""Which sources of a graph are active: patches of a few hops that do not overlap."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

_FAR = np.int8(127)


def check_range(name, value, low, high=np.inf):
    """Refuse a range that is not a pair of ascending numbers from ``low`` to ``high``."""
    if not (len(value) == 2 and low <= value[0] <= value[1] <= high):
        raise ValueError(
            f"{name} must be two ascending numbers from {low:g} to {high:g}, got {value!r}."
        )


@dataclass(frozen=True)
class Patches:
    """Patches of several samples.

    Parameters
    ----------
    labels : array of shape (n_samples, n_sources), int8
        0 is inactive, k belongs to the k-th patch (from 1).
    seeds : array of shape (n_samples, n_patches_max), int
        Centre of each patch; -1 where a sample has fewer.
    orders : array of shape (n_samples, n_patches_max), int
        Radius of each patch in hops; -1 where a sample has fewer.
    """

    labels: np.ndarray
    seeds: np.ndarray
    orders: np.ndarray


class Neighbourhoods:
    """Distances in hops on a graph, from which patches are drawn cheaply.

    Parameters
    ----------
    adjacency : scipy.sparse array of shape (n_sources, n_sources)
        Nonzero where two sources are joined; symmetric.
    max_order : int
        Largest radius of a patch, in hops.

    Attributes
    ----------
    hops : array of shape (n_sources, n_sources), int8
        Distances up to ``2 * max_order`` (beyond which patches cannot overlap); 127 is farther.
    """

    def __init__(self, adjacency, max_order=5):
        if not 0 <= max_order <= 60:
            raise ValueError(f"max_order must be from 0 to 60, got {max_order!r}.")
        links = sparse.csr_array(sparse.csr_array(adjacency) != 0, dtype=np.float32)
        self.max_order = max_order
        self.n_sources = links.shape[0]
        self.hops = np.full(links.shape, _FAR)
        np.fill_diagonal(self.hops, 0)
        front = sparse.eye_array(self.n_sources, dtype=np.float32, format="csr")
        for distance in range(1, 2 * max_order + 1):
            rows, columns = (front @ links).nonzero()
            new = self.hops[rows, columns] == _FAR
            rows, columns = rows[new], columns[new]
            self.hops[rows, columns] = distance
            front = sparse.csr_array(
                (np.ones(len(rows), np.float32), (rows, columns)), shape=links.shape
            )

    def draw(self, n_samples, n_patches, order, rng):
        """Draw patches for several samples.

        Two patches around s and t overlap if and only if they are at most the sum of their
        orders apart, so a seed is drawn uniformly among those that have room for its patch. Where
        there is none, the patch is made smaller; where not even the smallest fits, it is left out.

        Parameters
        ----------
        n_samples : int
            Number of samples.
        n_patches, order : tuple of int
            Ranges of the number of patches a sample and of their radius in hops, both ends
            included; drawn uniformly.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        patches : Patches
            The patches.
        """
        if order[1] > self.max_order:
            raise ValueError(
                f"These neighbourhoods reach {self.max_order} hops, order asks for {order[1]}. "
                "Make them with a larger max_order."
            )
        low, high = n_patches
        n_wanted = rng.integers(low, high + 1, size=n_samples)
        wanted = rng.integers(order[0], order[1] + 1, size=(n_samples, high))
        seeds, orders = np.full((2, n_samples, high), -1)
        labels = np.zeros((n_samples, self.n_sources), np.int8)
        # largest order for which a patch around a source leaves the others alone, plus one
        room = np.full((n_samples, self.n_sources), _FAR)
        for patch in range(high):
            samples = np.flatnonzero((n_wanted > patch) & (room.max(axis=1) > order[0]))
            size = np.minimum(wanted[samples, patch], room[samples].max(axis=1) - 1)
            keys = rng.random((len(samples), self.n_sources), dtype=np.float32)
            keys[room[samples] <= size[:, None]] = -1.0
            centre = keys.argmax(axis=1)
            seeds[samples, patch], orders[samples, patch] = centre, size
            hops = self.hops[centre]
            labels[samples] += np.where(hops <= size[:, None], np.int8(patch + 1), np.int8(0))
            room[samples] = np.minimum(room[samples], hops - size[:, None].astype(np.int8))
        if ((seeds >= 0).sum(axis=1) < low).any():
            raise ValueError(
                f"{low} patches of {order[0]} or more hops do not fit on {self.n_sources} "
                "sources. Ask for fewer or smaller ones."
            )
        return Patches(labels, seeds, orders)
