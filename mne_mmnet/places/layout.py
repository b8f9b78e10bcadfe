"""How an estimate and a forward solution lie on each other."""

from dataclasses import dataclass

import mne
import numpy as np

_HEMISPHERES = {
    mne.io.constants.FIFF.FIFFV_MNE_SURF_LEFT_HEMI: "lh",
    mne.io.constants.FIFF.FIFFV_MNE_SURF_RIGHT_HEMI: "rh",
}
# of hemispheres, in words
SIDES = {"lh": "left", "rh": "right"}


@dataclass(frozen=True, eq=False)
class Layout:
    """What a forward solution knows of an estimate's sources.

    Parameters
    ----------
    rows : array of int, shape (n_sources,)
        Which of the forward solution's sources they are.
    positions : array of shape (n_sources, 3)
        In metres, in the forward solution's own coordinates.
    vertices : array of int, shape (n_sources,)
        Vertex numbers.
    spaces : array of int, shape (n_sources,)
        Numbers of their source spaces.
    hemispheres : list of str | None
        By source space: "lh", "rh", or None where it is no hemisphere.
    """

    rows: np.ndarray
    positions: np.ndarray
    vertices: np.ndarray
    spaces: np.ndarray
    hemispheres: list


def lay_out(stc, fwd, name="stc"):
    """Find an estimate's sources in a forward solution.

    The estimate is of all sources or of some; error messages call it by ``name``.
    """
    if len(stc.vertices) != len(fwd["src"]):
        raise ValueError(
            f"{name} has {len(stc.vertices)} source spaces, fwd has {len(fwd['src'])}. Give the "
            "forward solution that the estimate was made with."
        )
    rows, start = [], 0
    for space, vertices in zip(fwd["src"], stc.vertices, strict=True):
        known = np.isin(vertices, space["vertno"])
        if not known.all():
            raise ValueError(
                f"{name} has {int((~known).sum())} sources that fwd lacks. Give the forward "
                "solution that the estimate was made with; a morphed estimate needs one of the "
                "subject it was morphed to."
            )
        rows.append(start + np.searchsorted(space["vertno"], np.asarray(vertices, int)))
        start += len(space["vertno"])
    rows = np.concatenate(rows).astype(int)
    counts = [len(vertices) for vertices in stc.vertices]
    surfaces = [space["type"] == "surf" for space in fwd["src"]]
    ids = [int(space["id"]) for space in fwd["src"]]
    return Layout(
        rows=rows,
        positions=fwd["source_rr"][rows],
        vertices=np.concatenate([np.asarray(v, int) for v in stc.vertices]),
        spaces=np.repeat(np.arange(len(counts)), counts),
        hemispheres=[
            _HEMISPHERES.get(code) if surface else None
            for code, surface in zip(ids, surfaces, strict=True)
        ],
    )
