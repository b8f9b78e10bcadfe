"""Where the template has its scalp and the electrodes of the 10-05 system, in head coordinates."""

import functools
import re
from pathlib import Path

import mne
import numpy as np
from mne.transforms import apply_trans, invert_transform
from scipy.spatial import cKDTree

_MNE_DATA = Path(mne.__file__).parent / "data" / "fsaverage"
# "EEG Fp1-REF" is Fp1
_DECORATION = re.compile(r"^eeg[ _-]+|[ _-]+(ref|avg?|le|[am][12])$")
# names of 1958 for places that have had another since 1991
_OLD_NAMES = {"t3": "t7", "t4": "t8", "t5": "p7", "t6": "p8"}
# A1, B12, C3, D32: also the names of BioSemi's caps, for other places
_AMBIGUOUS = re.compile(r"^[a-d]\d+$")
_QUORUM = 4


def plain_name(name):
    """Strip an electrode's name of what files put around it: ``"EEG Fp1-REF"`` is ``"fp1"``."""
    return _DECORATION.sub("", name.strip().casefold())


@functools.cache
def head_to_template():
    """Read MNE's coregistration of fsaverage: from head coordinates to its surface RAS, m."""
    return mne.read_trans(_MNE_DATA / "fsaverage-trans.fif", verbose="error")


@functools.cache
def template_scalp():
    """Read the scalp of fsaverage: vertices (head coordinates, m), normals, triangles."""
    scalp = mne.read_bem_surfaces(_MNE_DATA / "fsaverage-head.fif", verbose="error")[0]
    trans = invert_transform(head_to_template())
    return (
        apply_trans(trans, scalp["rr"]),
        apply_trans(trans, scalp["nn"], move=False),
        scalp["tris"],
    )


@functools.cache
def scalp_tree():
    """Make a search tree of the vertices of :func:`template_scalp`."""
    return cKDTree(template_scalp()[0])


_KNOWN = mne.channels.get_builtin_montages()
# MNE 1.13 put the 10-05 system on fsaverage's scalp, and renamed that on colin27's
COLIN27_1005 = "colin27_1005" if "colin27_1005" in _KNOWN else "standard_1005"
FSAVERAGE_1005 = "fsaverage_1005" if "fsaverage_1005" in _KNOWN else COLIN27_1005


@functools.cache
def ten_five_places():
    """Find the electrodes of the 10-05 system on the template.

    Returns
    -------
    places : dict of array, shape (3,)
        In head coordinates (m), by plain name.
    exact : bool
        Whether they were placed on this very scalp (MNE 1.13 on); else they are colin27's, a
        centimetre off.
    """
    exact = FSAVERAGE_1005 != COLIN27_1005
    montage = mne.channels.make_standard_montage(FSAVERAGE_1005)
    found = montage.get_positions()["ch_pos"]
    if exact:  # its coordinates are fsaverage's own, so that fiducials play no part
        names = list(found)
        where = apply_trans(invert_transform(head_to_template()), np.array(list(found.values())))
    else:
        names, where = places_of(montage)
    places = {name.casefold(): place for name, place in zip(names, where, strict=True)}
    places |= {old: places[new] for old, new in _OLD_NAMES.items() if new in places}
    return places, exact


def places_of(montage):
    """Names and places (head coordinates, m) of a built-in montage's electrodes that have one."""
    info = mne.create_info(montage.ch_names, 1.0, "eeg")
    info.set_montage(montage, verbose="error")
    places = np.array([channel["loc"][:3] for channel in info["chs"]])
    known = np.isfinite(places).all(axis=1)
    names = [name for name, keep in zip(montage.ch_names, known, strict=True) if keep]
    return names, places[known]


def known_places(names):
    """Find the electrodes whose names are those of the 10-05 system.

    Parameters
    ----------
    names : list of str
        The electrodes.

    Returns
    -------
    rows : array of int, shape (n_known,)
        Which of the names. None unless at least four can't be mistaken for another system's (A1
        to D32 are BioSemi's, too), and they are half of all.
    places : array of shape (n_known, 3)
        Where the template has them: head coordinates, m.
    """
    places, _ = ten_five_places()
    plain = [plain_name(name) for name in names]
    known = [row for row, name in enumerate(plain) if name in places]
    sure = [row for row in known if not _AMBIGUOUS.match(plain[row])]
    if len(sure) < _QUORUM or 2 * len(known) < len(names):
        known = []
    return np.array(known, int), np.array([places[plain[row]] for row in known]).reshape(-1, 3)
