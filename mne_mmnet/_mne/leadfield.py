"""Forward solutions as MNE makes them, from those that people build or change by hand."""

import numpy as np
from mne.io.constants import FIFF
from mne.utils import logger

from .words import summarize_names

# relative to the largest entry: MNE keeps rotated lead fields in single precision
_ROUNDING = 1e-4
_MM = 1e3


def complete_forward(fwd):
    """Make a forward solution say the same in all its parts.

    MNE turns sources from a private copy of the lead field, so that one that is put into
    ``fwd["sol"]["data"]`` is forgotten. Solutions built by hand lack that copy, and other parts.
    The same object comes back where nothing is missing or contradicts itself, else a repaired
    copy.
    """
    data = np.asarray(fwd["sol"]["data"])
    used = [space["rr"][space["vertno"]] for space in fwd["src"]]
    missing = {}
    if "source_rr" not in fwd:
        missing["source_rr"] = np.concatenate(used)
    n_sources = sum(map(len, used))
    if data.ndim != 2 or data.shape[1] not in (n_sources, 3 * n_sources):
        raise ValueError(
            f"fwd['sol']['data'] has the shape {data.shape}, and there are {n_sources} sources: "
            "it must have one column for each (normals), or three. Make the forward solution anew."
        )
    if len(data) != len(fwd["sol"]["row_names"]):
        raise ValueError(
            f"fwd['sol']['data'] has {len(data)} rows and {len(fwd['sol']['row_names'])} names "
            "(fwd['sol']['row_names']). Make the forward solution anew."
        )
    for key, value in (
        ("nsource", n_sources),
        ("source_ori", FIFF.FIFFV_MNE_FREE_ORI if data.shape[1] > n_sources else 1),
        ("surf_ori", False),
        ("coord_frame", FIFF.FIFFV_COORD_HEAD),
        ("sol_grad", None),
        ("_orig_source_ori", fwd.get("source_ori", FIFF.FIFFV_MNE_FREE_ORI)),
    ):
        if key not in fwd:
            missing[key] = value
    if "source_nn" not in fwd:
        missing["source_nn"] = (
            np.tile(np.eye(3), (n_sources, 1))
            if data.shape[1] > n_sources
            else np.concatenate([space["nn"][space["vertno"]] for space in fwd["src"]])
        )
    directions = np.asarray(fwd.get("source_nn", missing.get("source_nn")), float)
    is_fixed = fwd.get("source_ori", missing.get("source_ori")) == FIFF.FIFFV_MNE_FIXED_ORI
    if len(directions) != data.shape[1] or is_fixed != (data.shape[1] == n_sources):
        raise ValueError(
            f"fwd['sol']['data'] has {data.shape[1]} columns for {n_sources} sources, "
            f"fwd['source_nn'] {len(directions)} directions, and fwd['source_ori'] says "
            f"{'fixed' if is_fixed else 'free'} orientations. Change all three, or use "
            "mne_mmnet.make_forward_from_arrays."
        )
    kept = fwd.get("_orig_sol")
    agrees = kept is not None and _agrees(data, np.asarray(kept), directions, n_sources)
    if agrees and not missing:
        return fwd
    fwd = fwd.copy()
    fwd.update(missing)
    if not agrees:
        if kept is not None:
            logger.info(
                "    The lead field in fwd['sol']['data'] is not MNE's: it is used as it is"
            )
        fwd["_orig_sol"], fwd["_orig_sol_grad"] = _unturn(data, directions, n_sources), None
        fwd["_orig_source_ori"] = fwd["source_ori"]
    return fwd


def _agrees(data, kept, directions, n_sources):
    """Whether a lead field is what MNE makes of its private copy."""
    if kept.shape == data.shape and data.shape[1] == n_sources:
        expected = kept  # fixed from the beginning
    elif kept.shape != (len(data), 3 * n_sources):
        return False
    else:
        blocks = kept.reshape(len(kept), -1, 3)
        turn = directions.reshape(n_sources, -1, 3)
        expected = np.einsum("csk,sjk->csj", blocks, turn).reshape(len(kept), -1)
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
    return np.allclose(data, expected, rtol=0, atol=_ROUNDING * largest, equal_nan=True)


def _unturn(data, directions, n_sources):
    """Columns along x, y and z from those along three directions; fixed ones stay."""
    if data.shape[1] == n_sources:
        return data.copy()
    blocks, turn = data.reshape(len(data), -1, 3), directions.reshape(-1, 3, 3)
    return np.einsum("csj,sjk->csk", blocks, turn).reshape(data.shape)


def check_gain(gain, ch_names, positions):
    """Refuse a lead field with NaN, and find the sources that reach no sensor.

    These are told in a text under ``"silent"``; positions are in m.
    """
    finite = np.isfinite(gain)
    sources = np.flatnonzero(~finite.all(axis=(0, 2)))
    rows = np.flatnonzero(~finite.all(axis=(1, 2)))
    if len(rows) and len(rows) < len(gain):
        raise ValueError(
            f"The forward solution has NaN or infinite values for "
            f"{summarize_names([ch_names[k] for k in rows])}. Check the positions of these "
            "channels and make it anew, or mark them as bad."
        )
    if len(sources) == len(positions):
        raise ValueError(
            "The forward solution contains NaN or infinite values for all sources. Compute it "
            "again with mne.make_forward_solution, and check the electrode positions."
        )
    if len(sources):
        where = ", ".join(_place(positions[k]) for k in sources[:4])
        centre = " (the centre of a sphere has none)" if len(sources) == 1 else ""
        raise ValueError(
            f"{len(sources)} of {len(positions)} sources ha{'s' if len(sources) == 1 else 've'} "
            f"no field (NaN or infinite values), at {where}{centre}: leave "
            f"{'it' if len(sources) == 1 else 'them'} out of the source space, in MNE with "
            "exclude=… or mindist=… of setup_volume_source_space."
        )
    silent = np.flatnonzero(~gain.any(axis=(0, 2)))
    if not len(silent):
        return {}
    where = ", ".join(_place(positions[k]) for k in silent[:4])
    return {
        "silent": (
            f"{len(silent)} of {len(positions)} sources have no field at any sensor (their "
            f"columns of the lead field are 0), for instance at {where}: nothing can be found "
            "there. They lie outside the head model; make the forward solution with mindist=5."
        )
    }


def _place(position):
    return "({:.0f}, {:.0f}, {:.0f}) mm".format(*(_MM * position))
