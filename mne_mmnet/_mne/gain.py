"""From (info, fwd, noise_cov) to plain arrays: the whitened lead field and its companions."""

from dataclasses import dataclass, field

import mne
import numpy as np
from mne.utils import _validate_type, logger
from scipy import sparse

from ..dictionary.lead_errors import deep_fields
from .ch_types import doubt_types, refuse_other_types, units_of
from .channels import count_channels, doubt_left_out, select_channels
from .check_electrodes import doubt_electrodes
from .check_input import (
    _KINDS,
    check_channel_axis,
    check_compensation,
    check_finite,
    resolve_loose,
)
from .graph import source_graph
from .leadfield import check_gain, complete_forward
from .match import check_projectors, match_channels
from .whitener import make_whitener

# whitened data whose squares can still be added up
_LARGEST_DATA = 1e100


@dataclass(frozen=True, eq=False, repr=False)
class PreparedForward:
    """Everything about (info, fwd, noise_cov) that doesn't depend on the data.

    Made by :func:`prepare_forward`. All positions and directions are in the coordinate frame
    of the forward solution (head or MRI).

    Parameters
    ----------
    ch_names : tuple of str
        The channels used, in the order of ``info``.
    ch_types : tuple of str
        Their types: "eeg", "mag" or "grad".
    whitener : array of shape (n_rank, n_channels)
        Whitener in 1/V, 1/T and m/T, of full row rank; contains ``projector``.
    projector : array of shape (n_channels, n_channels)
        Average reference over the EEG of ``ch_names`` and all other projectors.
    leadfield : array of shape (n_rank, n_sources, n_orient)
        ``whitener @ gain``, per A·m. Priors are not applied.
    gain : array of shape (n_channels, n_sources, n_orient)
        Lead field in V, T or T/m per A·m, neither projected nor whitened.
    frames : array of shape (n_sources, n_orient, 3)
        Direction of each column, unit vectors: with fixed orientation the normal; with loose
        orientation, or one that the evidence settles, two tangents and the normal; with free
        orientation x, y and z.
    orient_weights : array of shape (n_sources, n_orient)
        Square root of the prior variance of each column relative to that of the normal.
    normals : array of shape (n_sources, 3)
        Normals, unit vectors (z in volume source spaces).
    positions : array of shape (n_sources, 3)
        Positions in mm.
    adjacency : csr_array of shape (n_sources, n_sources)
        Symmetric; the lengths in mm of the edges between neighbouring sources.
    src : instance of SourceSpaces
        A copy of the source spaces.
    vertices : list of array
        Vertex numbers in each source space.
    kind : "surface" | "volume" | "discrete" | "mixed"
        Kind of the source spaces.
    subject : str | None
        The subject that the source spaces belong to.
    orient : "fixed" | "loose" | "free" | "evidence"
        Orientation constraint.
    loose : dict
        Prior variance of tangential currents for each kind of source space, or "evidence".
    use_cps : bool
        Whether normals are averages over cortical patches where patches are known.
    noise_is_known : bool
        Whether a noise covariance was given. If so, whitened data have unit noise variance;
        if not, the noise level is unknown.
    noise_nfree : float
        Samples that the noise covariance is a plain average of; infinite where it is regularised
        or not measured.
    noise_samples : float
        Samples that it was estimated from, whatever was done to it then; infinite where that is
        unknown.
    deep : array of shape (n_rank, n_fields)
        Whitened fields of sources deep inside the head, of any unit; none reach MEG.
    doubts : dict of str
        What speaks against electrodes, channels and lead field, whatever the data: texts by kind.

    Attributes
    ----------
    n_rank : int
        Number of whitened channels.
    n_channels : int
        Number of channels.
    n_sources : int
        Number of source locations.
    n_orient : int
        Columns a location: 1 with fixed orientation, otherwise 3.
    """

    ch_names: tuple
    ch_types: tuple
    whitener: np.ndarray
    projector: np.ndarray
    leadfield: np.ndarray
    gain: np.ndarray
    frames: np.ndarray
    orient_weights: np.ndarray
    normals: np.ndarray
    positions: np.ndarray
    adjacency: sparse.csr_array
    src: mne.SourceSpaces
    vertices: list
    kind: str
    subject: str | None
    orient: str
    loose: dict
    use_cps: bool
    noise_is_known: bool
    noise_nfree: float
    noise_samples: float
    deep: np.ndarray
    doubts: dict
    n_rank: int = field(init=False)
    n_channels: int = field(init=False)
    n_sources: int = field(init=False)
    n_orient: int = field(init=False)

    def __post_init__(self):
        n_channels, n_sources, n_orient = self.gain.shape
        n_rank = len(self.whitener)
        assert self.leadfield.shape == (n_rank, n_sources, n_orient)
        assert self.frames.shape == (n_sources, n_orient, 3)
        assert sum(map(len, self.vertices)) == n_sources
        sizes = {
            "n_rank": n_rank,
            "n_channels": n_channels,
            "n_sources": n_sources,
            "n_orient": n_orient,
        }
        for name, value in sizes.items():
            object.__setattr__(self, name, value)

    def __repr__(self):
        return (
            f"<PreparedForward | {count_channels(self.ch_types)} channels (rank {self.n_rank}), "
            f"{self.n_sources} sources, {self.kind}, {self.orient} orientation, noise "
            f"{'known' if self.noise_is_known else 'unknown'}>"
        )


def prepare_forward(info, fwd, noise_cov=None, *, loose=None, rank=None, use_cps=True):
    """Prepare a forward solution for localisation.

    Parameters
    ----------
    info : instance of Info
        The measurement info: channels, bads and projectors.
    fwd : instance of Forward
        The forward solution.
    noise_cov : instance of Covariance | None
        The noise covariance; MEG needs one. With None, EEG channels are only re-referenced and
        brought to one scale, and the noise level is left to the solver.
    loose : None | float | "evidence" | "auto" | dict
        As in :func:`mne_mmnet._mne.check_input.resolve_loose`.
    rank : None | "info" | "full" | dict
        Rank of the noise covariance, as in :func:`mne.cov.compute_whitener`.
    use_cps : bool
        Whether to average normals over cortical patches where patches are known.

    Returns
    -------
    prepared : instance of PreparedForward
        The arrays. No input is modified and none is shared.
    """
    _validate_type(info, mne.Info, "info")
    _validate_type(fwd, mne.Forward, "fwd")
    _validate_type(noise_cov, (mne.Covariance, None), "noise_cov")
    _validate_type(use_cps, bool, "use_cps")
    _check_source_spaces(fwd["src"])
    fwd = complete_forward(fwd)
    fixed_fwd = mne.forward.is_fixed_orient(fwd)
    loose = resolve_loose(fwd["src"], loose, fixed=fixed_fwd)

    logger.info("Preparing the forward solution")
    ch_names = select_channels(info, fwd, noise_cov)
    doubts = doubt_left_out(info, ch_names, fwd, noise_cov) | doubt_types(info, ch_names)
    ch_types = info.get_channel_types([info["ch_names"].index(name) for name in ch_names])
    if set(ch_types) != {"eeg"}:
        check_compensation(info, fwd)
    whitener, projector = make_whitener(info, ch_names, noise_cov, rank)
    # From here on this is our own copy.
    fwd = mne.pick_channels_forward(fwd, list(ch_names), ordered=True, verbose=False)
    gain, frames, normals, orient = _orient(fwd, loose, fixed_fwd, use_cps)
    doubts |= check_gain(gain, ch_names, fwd["source_rr"])
    doubts |= doubt_electrodes(info, fwd, ch_names)
    orient_weights = _orient_weights(fwd["src"], loose, gain.shape[2])
    settled = "orientation settled by the evidence"
    words = settled if orient == "evidence" else f"{orient} orientation"
    logger.info("    %d sources, %s", gain.shape[1], words)
    prepared = PreparedForward(
        ch_names=ch_names,
        ch_types=tuple(ch_types),
        whitener=whitener,
        projector=projector,
        leadfield=np.tensordot(whitener, gain, axes=1),
        gain=gain,
        frames=frames,
        orient_weights=orient_weights,
        normals=normals,
        positions=fwd["source_rr"] * 1e3,
        adjacency=source_graph(fwd["src"]),
        src=fwd["src"],
        vertices=[space["vertno"].copy() for space in fwd["src"]],
        kind=fwd["src"].kind,
        subject=fwd["src"][0].get("subject_his_id"),
        orient=orient,
        loose=loose,
        use_cps=use_cps,
        noise_is_known=noise_cov is not None,
        noise_nfree=_count_samples(noise_cov),
        noise_samples=_samples(noise_cov),
        deep=whitener @ _deep_fields(fwd, ch_types),
        doubts=doubts,
    )
    logger.info("[done]")
    return prepared


def _samples(cov):
    # MNE's ad hoc covariances have none
    return float(cov["nfree"]) if cov is not None and cov["nfree"] > 1 else np.inf


def _deep_fields(fwd, ch_types):
    """Fields of deep sources at EEG electrodes; zero at MEG sensors, and with few electrodes."""
    is_eeg = np.array(ch_types) == "eeg"
    places = np.array([channel["loc"][:3] for channel in fwd["info"]["chs"]])
    found = deep_fields(1e3 * places[is_eeg]) if is_eeg.sum() > 4 else np.zeros((is_eeg.sum(), 8))
    fields = np.zeros((len(is_eeg), found.shape[1]))
    fields[is_eeg] = found
    return fields


def _count_samples(cov):
    # MNE names no method of averages over continuous data; ad hoc covariances have no samples
    if cov is None or cov.get("method") not in (None, "empirical") or cov["nfree"] <= 0:
        return np.inf
    return float(cov["nfree"])


def pick_data(info, prepared, data):
    """Pick the channels of a prepared forward solution, in SI units.

    Parameters
    ----------
    info : instance of Info
        The measurement info of the data. Its channels are found by name, in any order, and it
        may hold others as well.
    prepared : instance of PreparedForward
        The prepared forward solution.
    data : array of shape (..., n_all_channels, n_times)
        The data in V, T and T/m, or whatever ``unit_mul`` in ``info`` makes of these, channels in
        the order of ``info``.

    Returns
    -------
    data : array of shape (..., n_channels, n_times)
        In V, T and T/m.
    """
    _validate_type(info, mne.Info, "info")
    data = np.asarray(data)
    check_channel_axis(info, data)
    picks = match_channels(info["ch_names"], info["bads"], prepared.ch_names, "operator")
    check_projectors(info["projs"], prepared.ch_names, prepared.projector, "operator")
    refuse_other_types(info, prepared)
    data = data[..., picks, :]
    if (factors := units_of(info, prepared.ch_names)) is not None:
        data = factors * data
    check_finite(data, prepared.ch_names)
    return data


def prepare_data(info, prepared, data, nave=1):
    """Pick, re-reference and whiten data.

    Parameters
    ----------
    info, prepared, data
        As for :func:`pick_data`.
    nave : int
        How many trials were averaged. A noise covariance describes single trials, so that
        data are multiplied by √nave to have unit noise variance, as in
        :func:`mne.whiten_evoked`. Currents found from them are to be divided by √nave.
        Where the noise is not known, nave has no effect.

    Returns
    -------
    whitened : array of shape (..., n_rank, n_times)
        The whitened data (no unit).
    """
    return whiten_data(prepared, pick_data(info, prepared, data), nave)


def whiten_data(prepared, data, nave=1):
    """Re-reference and whiten what :func:`pick_data` picked.

    Data of shape (..., n_channels, n_times) become (..., n_rank, n_times), without a unit;
    ``nave`` is as for :func:`prepare_data`.
    """
    whitened = noise_scale(prepared, nave) * (prepared.whitener @ data)
    if not np.abs(whitened).max(initial=0.0) < _LARGEST_DATA:
        raise ValueError(
            f"The largest value of the data is {np.abs(data).max():.2g}: too large to compute "
            "with. Check their unit (MNE's are V, T and T/m), and the noise covariance's."
        )
    return whitened


def noise_scale(prepared, nave):
    """Factor of whitened data for averaging: √nave where the noise is known, otherwise 1."""
    _validate_type(nave, "numeric", "nave")
    if not (np.isfinite(nave) and nave > 0):
        raise ValueError(f"nave must be a positive number of trials, got {nave}. Use nave=1.")
    return float(np.sqrt(nave)) if prepared.noise_is_known else 1.0


def _check_source_spaces(src):
    kind = src.kind  # raises where the order of the spaces makes no sense
    if kind == "mixed" and len(src) < 3:
        raise ValueError(
            "The forward solution has a single hemisphere, which MNE has no source estimate "
            "for. Keep both, the other one with few sources if need be."
        )
    if sum(space["nuse"] for space in src) == 0:
        raise ValueError(
            "The source space has no sources in use. Make the forward solution again with a "
            "source space inside the head."
        )


def _orient(fwd, loose, fixed_fwd, use_cps):
    """Bring the gain into the frame that ``loose`` asks for; changes ``fwd``."""
    n_sources = fwd["nsource"]
    if fixed_fwd:
        normals = fwd["source_nn"].astype(float)
        gain = fwd["sol"]["data"].astype(float)[:, :, np.newaxis]
        return gain, normals[:, np.newaxis, :], normals, "fixed"

    for space in fwd["src"]:
        lengths = np.linalg.norm(space["nn"][space["vertno"]], axis=1)
        # MNE would make up a direction where there is none
        kind = loose[_KINDS[space["type"]]]
        if (kind == "evidence" or kind < 1) and not np.allclose(lengths, 1, atol=1e-2):
            raise ValueError(
                "The source space has normals that aren't unit vectors, and loose < 1 needs "
                "them. Use loose=1.0, or a source space with normals."
            )
    fwd = mne.convert_forward_solution(
        fwd, surf_ori=True, use_cps=use_cps, copy=False, verbose=False
    )
    gain = fwd["sol"]["data"].astype(float).reshape(-1, n_sources, 3)
    frames = fwd["source_nn"].astype(float).reshape(n_sources, 3, 3)
    normals = frames[:, 2].copy()
    values = set(loose.values())
    if values == {"evidence"}:
        return gain, frames, normals, "evidence"
    if values == {0.0}:
        return gain[:, :, 2:].copy(), frames[:, 2:].copy(), normals, "fixed"
    if values == {1.0}:
        xyz = np.einsum("csk,skd->csd", gain, frames)
        return xyz, np.tile(np.eye(3), (n_sources, 1, 1)), normals, "free"
    return gain, frames, normals, "loose"


def _orient_weights(src, loose, n_orient):
    weights = []
    for space in src:
        kind = loose[_KINDS[space["type"]]]
        tangential = 1.0 if kind == "evidence" else np.sqrt(kind)
        row = [1.0] if n_orient == 1 else [tangential, tangential, 1.0]
        weights.append(np.tile(row, (space["nuse"], 1)))
    return np.concatenate(weights)
