"""How far the mass of one map has to be moved to make another (DESIGN §6)."""

import numpy as np
from scipy import sparse
from scipy.optimize import linprog
from scipy.spatial.distance import cdist

MAX_ARCS = 10_000  # supplies × demands of one linear program: 40 ms
MAX_CLUSTERS = 400  # of one side, where the program has to be made smaller
FLOOR = 0.01  # of the largest value: less counts as nothing


def earth_movers_distance(estimate, truth, positions, max_arcs=MAX_ARCS):
    """Earth mover's distance between two maps, each of total mass 1.

    min Σᵢⱼ Fᵢⱼ |rᵢ − rⱼ| over the plans F ≥ 0 with the masses of the maps as marginals (Rubner
    et al. 2000, 10.1023/A:1026543900054): the first Wasserstein distance, of straight lines. In
    both maps, values below 1 % of the largest are left out. Mass that both maps have in one
    place stays there, which is optimal for a metric; the rest is a linear program. Programs of
    more than ``max_arcs`` supplies × demands are made smaller first: masses join into clusters
    at their centres of mass, which shortens the distance a little (by at most 0.25 mm or 0.8 %
    on 24 simulated maps of 1284 sources; 40 to 80 ms on one core).

    Parameters
    ----------
    estimate, truth : array of shape (n_sources,)
        Estimated and true strength; the absolute value counts. An estimate of zeros is scored
        as an even map.
    positions : array of shape (n_sources, 3)
        Positions of the sources (mm).
    max_arcs : int
        Largest program that is solved exactly.

    Returns
    -------
    distance : float
        In mm.
    """
    if not np.any(truth):
        raise ValueError("The true map is zero: there is no mass to be moved.")
    if not np.any(estimate):
        estimate = np.ones(len(truth))
    excess = _masses(estimate) - _masses(truth)
    supply, demand = np.flatnonzero(excess > 1e-12), np.flatnonzero(excess < -1e-12)
    if len(supply) == 0 or len(demand) == 0:
        return 0.0
    n_supply, n_demand = _shares(len(supply), len(demand), max_arcs)
    origins, given = _gather(positions[supply], excess[supply], n_supply)
    targets, taken = _gather(positions[demand], -excess[demand], n_demand)
    moved = given.sum()
    return float(moved * _transport(given / moved, taken / taken.sum(), cdist(origins, targets)))


def _masses(values):
    """Shares of the total of |values|, without those below 1 % of the largest."""
    size = np.abs(values) / np.abs(values).max()
    size[size < FLOOR] = 0.0
    return size / size.sum()


def _shares(n_supply, n_demand, max_arcs):
    """Numbers of supplies and demands whose product fits; the smaller side is spared."""
    if n_supply * n_demand <= max_arcs:
        return n_supply, n_demand
    if n_supply > n_demand:
        return _shares(n_demand, n_supply, max_arcs)[::-1]
    n_supply = min(n_supply, int(np.sqrt(max_arcs)))
    return n_supply, min(max_arcs // n_supply, MAX_CLUSTERS)


def _gather(points, mass, n_kept):
    """Join masses into at most ``n_kept`` clusters, at their centres of mass.

    Clusters form around heavy points that are far from the clusters so far: each next centre
    has the largest product of mass and distance to the nearest one.
    """
    if len(mass) <= n_kept:
        return points, mass
    nearest, owner = np.full(len(mass), np.inf), np.zeros(len(mass), int)
    centre = np.argmax(mass)
    for k in range(n_kept):
        distance = np.linalg.norm(points - points[centre], axis=1)
        owner[distance < nearest] = k
        nearest = np.minimum(nearest, distance)
        centre = np.argmax(mass * nearest)
        if nearest[centre] == 0.0:
            break
    total = np.bincount(owner, mass)
    moments = [np.bincount(owner, mass * coordinate) for coordinate in points.T]
    return np.stack(moments, axis=1) / total[:, None], total


def _transport(given, taken, cost):
    """Cost of the cheapest plan between two sets of masses, both of total 1."""
    n_given, n_taken = cost.shape
    if n_given == 1 or n_taken == 1:
        return given @ cost @ taken
    arc = np.arange(cost.size)
    ends = np.r_[arc // n_taken, n_given + arc % n_taken]
    marginals = sparse.csr_array(
        (np.ones(2 * cost.size), (ends, np.r_[arc, arc])), shape=(n_given + n_taken, cost.size)
    )
    # the last equation follows from the others, but for rounding
    plan = linprog(
        cost.ravel(),
        A_eq=marginals[:-1],
        b_eq=np.r_[given, taken][:-1],
        method="highs-ds",
    )
    if not plan.success:
        raise RuntimeError(f"The transport plan was not found: {plan.message}")
    return plan.fun
