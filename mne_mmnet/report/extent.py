"""How large sources and regions are, in cm² of cortex, and when they rise."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

# a source extends over what has this share of its largest current
_HALF = 0.5
_CM2 = 1e4


class Rise(NamedTuple):
    """When a source's moment rises and peaks, and where it is then.

    Parameters
    ----------
    half_time, peak_time : float
        In s. NaN where the window begins after half of the peak was reached.
    half_place, peak_place : int
        Location with most moment around it at these times.
    distance_mm : float
        From one to the other.
    """

    half_time: float
    peak_time: float
    half_place: int
    peak_place: int
    distance_mm: float


def source_areas(src):
    """Find the area of cortex (cm²) of each source; None where there are sources on no surface."""
    if any(space["type"] != "surf" or len(space["tris"]) == 0 for space in src):
        return None
    parts = []
    for space in src:
        rr, tris = space["rr"], space["tris"]
        a, b, c = rr[tris].transpose(1, 0, 2)
        faces = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)
        corners = np.zeros(len(rr))
        for corner in tris.T:
            np.add.at(corners, corner, faces / 3)
        distances, owner = cKDTree(rr[space["vertno"]]).query(rr)
        # what is far from every source, such as the medial wall, is none's
        spacing = np.median(cKDTree(rr[space["vertno"]]).query(rr[space["vertno"]], k=2)[0][:, 1])
        near = distances <= spacing
        parts.append(
            np.bincount(owner[near], weights=corners[near], minlength=len(space["vertno"]))
        )
    return _CM2 * np.concatenate(parts)


def area_of_source(values, positions, place, reach, areas):
    """Find the area over which a source extends.

    That of the locations within reach (mm) that have at least half of the largest current there;
    positions are in mm, areas in cm².
    """
    sizes = np.abs(values)
    near = np.linalg.norm(positions - positions[place], axis=1) <= reach
    inside = near & (sizes >= _HALF * sizes[near].max())
    return float(areas[inside].sum())


def find_rise(values, times, regions, positions, sample):
    """Find when the source of a moment rises to half of its moment."""
    sizes = np.abs(values)
    place = int(regions.strongest(sizes[:, [sample]])[0])
    course = sizes[regions.within(place)].sum(axis=0)
    before = np.flatnonzero(course[: sample + 1] < _HALF * course[sample])
    if len(before) == 0:
        return Rise(float("nan"), float(times[sample]), place, place, float("nan"))
    last = before[-1]
    share = (_HALF * course[sample] - course[last]) / (course[last + 1] - course[last])
    half_time = times[last] + share * (times[last + 1] - times[last])
    then = int(regions.strongest(sizes[:, [last + 1]])[0])
    distance = float(np.linalg.norm(positions[then] - positions[place]))
    return Rise(float(half_time), float(times[sample]), then, place, distance)
