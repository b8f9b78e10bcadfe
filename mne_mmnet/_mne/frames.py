"""Whether electrodes are where head coordinates have them: unit, frame, axes, mirror, order.

Files put positions into other units, axes and frames, and MNE takes them for head coordinates.
What tells is where the electrodes' names belong, and the shape of the scalp.
"""

import functools
import itertools
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from .electrodes import MIN_ELECTRODES, find_copied, fit_similarity, montages_of
from .landmarks import FSAVERAGE_1005, known_places, scalp_tree
from .words import summarize_names

# m: half of the electrodes of any cap lie between these distances from the origin of the head
_NEAREST, _FARTHEST = 0.03, 0.2
# MNE's montages are off by 13 mm and turned by 9° at most; where there are no true fiducials,
# less than the first two is a reason to doubt
_SHIFT, _TURN = 0.025, 30.0
_SHIFT_MADE_UP, _TURN_MADE_UP = 0.018, 18.0
# the template is a large head: those of 17 adults had 87 to 101 % of its size
_SMALLEST, _LARGEST = 0.82, 1.2
# m: named electrodes lie within 8 mm (root mean square) of the 10-05 system, fitted as a whole
_DISORDER, _STRAY = 0.025, 0.035
# a mirror image must fit so much better, and what it is compared with be as bad (m)
_MIRROR_GAIN, _MIRROR_LEAST = 0.5, 0.012
# m: half of the electrodes of a cap lie so near to one of its places, whichever it is
_SHUFFLED = 4e-3
# m: two electrodes can't be nearer
_SAME_PLACE = 1e-3
_LEAST_NAMED, _LEAST_NAMELESS = 5, 16
# a turned cloud must fit the scalp so much better, and the cloud itself fit as badly (m)
_TURNED_GAIN, _TURNED_LEAST = 1.3, 0.008
_REMEDY = (
    f"Set positions by name, with set_montage({FSAVERAGE_1005!r}) for 10-20 and 10-05 names, or "
    "digitise nasion and ears with the electrodes and read them with their fiducials"
)


def doubt_positions(names, positions, *, made_up=False):
    """Say what speaks against electrode positions.

    Parameters
    ----------
    names : list of str
        The electrodes.
    positions : array of shape (n_electrodes, 3)
        What are taken for head coordinates, m.
    made_up : bool
        Whether the fiducials that define the head's coordinates were invented.

    Returns
    -------
    doubts : dict of str
        Texts by kind: ``"unit"``, ``"mirror"``, ``"frame"``, ``"order"``, ``"size"``,
        ``"same place"``.
    """
    positions = np.ascontiguousarray(positions, float)
    if len(positions) == 0:
        return {}
    return dict(_doubt(tuple(names), positions.tobytes(), bool(made_up)))


@functools.lru_cache(maxsize=64)
def _doubt(names, buffer, made_up):
    names, positions = list(names), np.frombuffer(buffer).reshape(-1, 3)
    median = np.median(np.linalg.norm(positions, axis=1))
    if not _NEAREST < median < _FARTHEST:
        return {"unit": _say_unit(median)}
    doubts = {}
    if (pairs := _same_places(names, positions)) is not None:
        doubts["same place"] = (
            f"Electrodes share one place ({pairs}): potentials differ between any two. If these "
            "are bipolar channels or copies, drop them; else give each its own position."
        )
    limits = (_SHIFT_MADE_UP, _TURN_MADE_UP) if made_up else (_SHIFT, _TURN)
    reference = _find_reference(names, positions)
    if reference is None and _is_shuffled(names, positions):
        found = {"order": _say_order("")}
    elif reference is None:
        found = _compare_with_scalp(positions, limits)
    else:
        found = _compare_with_names(names, positions, reference, limits)
    if made_up and "frame" in found:
        found["frame"] += (
            " Nasion and ears were made up: all three lie equally far from the origin."
        )
    return doubts | found


def leave_out_remedy(text):
    """Leave the advice to set positions by name out of a doubt, where that was done."""
    return text.replace(f" {_REMEDY}.", "")


def _say_unit(median):
    return (
        f"The electrodes' median distance from the origin of the head is {median:.3g} m, and a "
        "head's is 0.1 m: positions are in another unit than m (mm, cm, µm), or have another "
        f"origin. mne.channels.make_dig_montage takes m. {_REMEDY}."
    )


def _same_places(names, positions):
    """Pairs of electrodes at one place, in words."""
    pairs = cKDTree(positions).query_pairs(_SAME_PLACE, output_type="ndarray")
    if len(pairs) and (copied := find_copied(names, positions)) is not None:
        # MNE's montages of several naming systems have places with two names
        theirs = np.full(positions.shape, np.inf)
        theirs[copied.rows] = copied.places
        with np.errstate(invalid="ignore"):
            apart = np.linalg.norm(theirs[pairs[:, 0]] - theirs[pairs[:, 1]], axis=1)
        pairs = pairs[~(apart < _SAME_PLACE)]
    if len(pairs) == 0:
        return None
    text = ", ".join(f"{names[a]} and {names[b]}" for a, b in pairs[:8])
    return text + (", …" if len(pairs) > 8 else "")


class _Reference(NamedTuple):
    """Where electrodes of these names belong: rows of the electrodes, and places in m.

    "copy" is the montage that positions were copied from, "names" the 10-05 system on the
    template, "cap" a maker's cap whose channels have the same names.
    """

    rows: np.ndarray
    places: np.ndarray
    kind: str


def _find_reference(names, positions):
    """Find where electrodes of these names belong; None if that is unknown."""
    copied = find_copied(names, positions)
    if copied is not None:
        return _Reference(copied.rows, copied.places, "copy")
    rows, places = known_places(names)
    if len(rows) >= _LEAST_NAMED:
        return _Reference(rows, places, "names")
    return _similar_montage(names, positions)


def _similar_montage(names, positions):
    """Find the cap that a maker's own names belong to, if measured positions resemble it."""
    best, found = _DISORDER / 2, None
    for _, rows, places in montages_of(names, max(_LEAST_NAMELESS, 0.9 * len(names))):
        for mirror in (False, True):
            rms = _fit(positions[rows], places, mirror)[2]
            if rms < best:
                best, found = rms, _Reference(rows, places, "cap")
    return found


def _is_shuffled(names, positions):
    """Whether positions are those of a maker's cap, but belong to other names of it."""
    return any(
        np.median(cKDTree(places).query(positions[rows])[0]) < _SHUFFLED
        for _, rows, places in montages_of(names, max(_LEAST_NAMELESS, 0.95 * len(names)))
    )


def _fit(ours, theirs, mirror):
    """Similarity from ours to theirs without the worst fifth: linear, shift, rms, distances."""
    kept = np.arange(len(ours))
    for _ in range(4):
        linear, shift = fit_similarity(ours[kept], theirs[kept], mirror=mirror)
        distances = np.linalg.norm(ours @ linear.T + shift - theirs, axis=1)
        kept = np.argsort(distances)[: max(4, int(np.ceil(0.8 * len(ours))))]
    return linear, shift, np.sqrt(np.mean(distances[kept] ** 2)), distances


def _compare_with_names(names, positions, reference, limits):
    """Compare named electrodes with where their names belong."""
    rows, places, kind = reference
    ours = positions[rows]
    linear, shift, rms, distances = _fit(ours, places, mirror=False)
    other = _fit(ours, places, mirror=True)
    mirrored = other[2] < _MIRROR_GAIN * rms and rms > _MIRROR_LEAST
    if mirrored and np.linalg.det(other[0]) < 0:
        linear, _, rms, distances = other
        if rms < _DISORDER:
            return {
                "mirror": (
                    "These are not head coordinates: the electrodes are a mirror image of where "
                    "their names belong, left and right (or another axis) exchanged, or names "
                    f"and sides. {_REMEDY}. Compare one side of the data with the other, an "
                    "eye blink or a visual response, before you read a side."
                )
            }
    if rms > _DISORDER:
        return {
            "order": (
                _say_order(
                    f": they are {1e3 * rms:.0f} mm (root mean square) from where their names "
                    "belong, however they are turned"
                )
            )
        }
    scale = abs(np.linalg.det(linear)) ** (1 / 3)
    turn = np.rad2deg(np.arccos(np.clip((np.trace(linear) / scale - 1) / 2, -1, 1)))
    # a maker's cap was measured on some head, the other places are the template's or MNE's
    size = _size_on_scalp(positions) if kind == "cap" else 1 / scale
    # moved as a whole, whatever the size
    off = np.linalg.norm(places.mean(axis=0) / scale - ours.mean(axis=0))
    if kind != "copy":
        off = min(off, np.linalg.norm(_shift_to_scalp(positions * scale)[0]) / scale)
    doubts = {}
    if turn > limits[1] or off > limits[0]:
        doubts["frame"] = _say_frame(turn, off)
    stray = np.flatnonzero(distances > _STRAY)
    if kind == "cap" and not _are_exchanged(ours[stray] @ linear.T + shift, places[stray]):
        # names such as EEG001 are inputs of an amplifier: a lab's cap has them elsewhere
        stray = stray[:0]
    if len(stray):
        lost = [names[rows[k]] for k in stray]
        doubts["order"] = (
            f"{summarize_names(lost)} lie {1e3 * distances[stray].max():.0f} mm and less from "
            "where their names belong, the others near: exchanged, or misplaced. Correct names or "
            f"positions, or mark these channels as bad. {_REMEDY}."
        )
    if not _SMALLEST < size < _LARGEST:
        doubts["size"] = (
            f"These electrodes lie on a head of about {100 * size:.0f} % of the template's size. "
            "A child's or infant's head differs from an adult's template in more than its size: "
            "expect errors of a centimetre and more, and use a head model of that age "
            "(mne.datasets.fetch_infant_template) or of the person."
        )
    return doubts


def _are_exchanged(points, places):
    """Whether points lie near the places, but each near that of another."""
    if len(points) < 2:
        return False
    distances, partner = cKDTree(places).query(points)
    return distances.max() < _STRAY and len(set(partner)) == len(points)


def _size_on_scalp(positions):
    """Size of the head that electrodes lie on, relative to the template's."""
    tree = scalp_tree()
    moved = positions
    for _ in range(60):
        linear, shift = fit_similarity(positions, tree.data[tree.query(moved)[1]])
        moved = positions @ linear.T + shift
    return np.linalg.det(linear) ** (-1 / 3)


def _say_order(how):
    return (
        f"Names and positions of the electrodes don't belong together{how}. Names are in another "
        f"order than positions. {_REMEDY}."
    )


def _say_frame(turn, off):
    return (
        f"These are not head coordinates: the electrodes are turned by {turn:.0f}° and "
        f"{1e3 * off:.0f} mm off from where a head has them (no fiducials, or axes exchanged). "
        f"{_REMEDY}."
    )


def _compare_with_scalp(positions, limits):
    """Compare electrodes without names that are known with the scalp."""
    if len(positions) < MIN_ELECTRODES:
        return {}
    shift, rms = _shift_to_scalp(positions)
    off = np.linalg.norm(shift)
    if off > limits[0]:
        return {
            "frame": (
                f"These are not head coordinates: the electrodes are {1e3 * off:.0f} mm off from "
                f"where a head has them (no fiducials, or another size). {_REMEDY}."
            )
        }
    if len(positions) < _LEAST_NAMELESS or rms < _TURNED_LEAST:
        return {}
    # a sphere fits as well however it is turned, a head does not
    middle = positions.mean(axis=0)
    best = min(
        _shift_to_scalp((positions - middle) @ turn.T + [0.0, 0.0, 0.05])[1]
        for turn in _quarter_turns()
    )
    if rms < _TURNED_GAIN * best:
        return {}
    return {
        "frame": (
            f"These are not head coordinates: the electrodes lie {1e3 * rms:.0f} mm (root mean "
            f"square) from the scalp, turned by quarters {1e3 * best:.0f} mm (axes exchanged). "
            f"{_REMEDY}."
        )
    }


def _shift_to_scalp(positions):
    """Shift that brings points onto the scalp (m), and their root mean square distance then."""
    tree = scalp_tree()
    shift = np.zeros(3)
    for _ in range(20):
        moved = positions + shift
        shift = shift + (tree.data[tree.query(moved)[1]] - moved).mean(axis=0)
    distances = tree.query(positions + shift)[0]
    return shift, np.sqrt(np.mean(distances**2))


def _quarter_turns():
    """All rotations that bring axes to axes."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            turn = np.zeros((3, 3))
            turn[range(3), order] = signs
            if np.linalg.det(turn) > 0:
                yield turn
