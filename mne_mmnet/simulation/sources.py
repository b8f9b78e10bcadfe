"""Where simulated activity lies: patches of several profiles on a source-space graph."""

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

_PROFILES = ("point", "diffused", "gaussian", "flat", "irregular")
_PROFILE_SHARES = (0.3, 0.15, 0.15, 0.1, 0.3)
# mm: farther locations are infinitely far
_HORIZON = 80.0
# up to that many locations all distances are kept (100 MB), of more only looked for when needed
_KEPT = 5000


class PatchSampler:
    """Draws patches on one graph, whose symmetric edge lengths are in mm."""

    def __init__(self, adjacency):
        adjacency = sparse.csr_array(adjacency)
        self.n_sources = adjacency.shape[0]
        self._adjacency = adjacency
        self._kept = None
        if self.n_sources <= _KEPT:
            self._kept = self._search(np.arange(self.n_sources))
        links = (adjacency > 0).astype(float)
        self._neighbours = np.split(links.indices, links.indptr[1:-1])
        degree = np.asarray(links.sum(axis=1)).ravel()
        self._laplacian = sparse.csr_array(sparse.diags_array(degree) - links)

    def _search(self, locations):
        found = dijkstra(self._adjacency, directed=False, indices=locations, limit=_HORIZON)
        return found.astype(np.float32)

    def distances(self, locations):
        """Distances (..., n_sources) along the graph, in mm; infinite beyond 80 mm."""
        return self._search(locations) if self._kept is None else self._kept[locations]

    def draw(self, rng, max_extent):
        """Draw one patch.

        Of a radius or standard deviation of at most ``max_extent`` (mm). Returned are one or two
        spatial components, (n_components, n_sources) with peak 1, each to be given a time course,
        and the first one's peak.
        """
        profile = rng.choice(_PROFILES, p=_PROFILE_SHARES)
        centre = int(rng.integers(self.n_sources))
        distance = self.distances(centre)
        extent = rng.uniform(5.0, max_extent)
        if profile == "point":
            patch = (np.arange(self.n_sources) == centre).astype(float)
        elif profile == "diffused":
            patch = self._diffuse(centre, rng.uniform(0.05, 0.15), int(rng.integers(1, 4)))
        elif profile == "gaussian":
            patch = np.exp(-0.5 * (distance / extent) ** 2) * (distance < 2.5 * extent)
        elif profile == "flat":
            patch = (distance <= extent).astype(float)
        else:
            return self._irregular(rng, centre, extent)
        return patch[None], centre

    def _diffuse(self, centre, rate, order):
        """(I − rate · Laplacian)^order applied to a point: a sharp centre with weak skirts."""
        patch = np.zeros(self.n_sources)
        patch[centre] = 1.0
        for _ in range(order):
            patch = patch - rate * (self._laplacian @ patch)
        return patch / patch.max()

    def _irregular(self, rng, seed, extent):
        """Grow a connected region at random; one or two Gaussian components inside it."""
        n_within = int((self.distances(seed) <= extent).sum())
        size = max(2, int(n_within * rng.uniform(0.4, 1)))
        region, seen, frontier = [seed], {seed}, []
        while len(region) < size:
            new = [k for k in self._neighbours[region[-1]].tolist() if k not in seen]
            seen.update(new)
            frontier += new
            if not frontier:
                break
            # one of them, in whose place comes the last
            place = int(rng.integers(len(frontier)))
            frontier[place], frontier[-1] = frontier[-1], frontier[place]
            region.append(frontier.pop())
        region = np.array(region)
        n_components = int(rng.integers(1, 3))
        maps = np.zeros((n_components, self.n_sources))
        centres = rng.choice(region, size=min(n_components, len(region)), replace=False)
        for component, centre in enumerate(centres):
            width = rng.uniform(0.4, 1.2) * extent
            maps[component, region] = np.exp(-0.5 * (self.distances(centre)[region] / width) ** 2)
        return maps[: len(centres)], int(centres[0])
