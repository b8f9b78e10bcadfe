"""Checks of what the user passed in, made before any work; every error says what to do."""

import mne
import numpy as np
from mne.utils import _check_option, _validate_type, logger

from .ch_types import no_channels_message
from .words import summarize_names

LOCALISED = {"mag": "magnetometer", "grad": "gradiometer", "eeg": "EEG"}
"""The channel types that can be localised, and what to call them."""

_KINDS = {"surf": "surface", "vol": "volume", "discrete": "discrete"}
_REFERENCE_REMEDY = (
    "Source localisation needs the average reference: call "
    "set_eeg_reference(projection=True) on the data first"
)
# The mean over channels of average-referenced data is rounding (1e-7 of the rms where they
# went through a float32 file); that of data with any other reference is of the order of the rms.
_MEAN_TOLERANCE = 1e-3


def check_evoked(evoked):
    """Check that an evoked response can be localised at all; bad channels may hold anything."""
    _validate_type(evoked, mne.Evoked, "evoked")
    picks = _pick_good_eeg(evoked.info)
    if len(picks):
        check_finite(evoked.data[picks], [evoked.ch_names[pick] for pick in picks])
    # which channels of MEG count is known with the forward solution
    elif len(mne.pick_types(evoked.info, meg=True, exclude="bads")) == 0:
        raise ValueError(no_channels_message(evoked.info))


def check_channel_axis(info, data):
    """Refuse an array (..., n_channels, n_times) whose channels are not as many as info's."""
    n_channels = len(info["ch_names"])
    if data.ndim < 2 or data.shape[-2] != n_channels:
        raise ValueError(
            f"The data must have the shape (..., n_channels, n_times) with the {n_channels} "
            f"channels of info, got {data.shape}. Pass the array that belongs to info."
        )


def check_finite(data, ch_names):
    """Refuse data (..., n_channels, n_times) that are complex, empty, NaN or infinite."""
    if np.iscomplexobj(data):
        raise TypeError(
            "The data must be real, got complex values. Localise the time courses themselves "
            "and transform the source estimate afterwards."
        )
    if data.size == 0:
        raise ValueError(
            f"The data are empty (shape {data.shape}). Pass at least one time sample."
        )
    finite = np.isfinite(data).all(axis=-1)
    finite = finite.all(axis=tuple(range(finite.ndim - 1)))
    if not finite.all():
        broken = [name for name, good in zip(ch_names, finite, strict=True) if not good]
        raise ValueError(
            f"The data contain NaN or infinite values in {summarize_names(broken)}. Mark these "
            'channels as bad in info["bads"], interpolate them or crop the time range.'
        )


def check_numbers(data):
    """Refuse arrays that hold no numbers, or hide some."""
    if np.ma.isMaskedArray(data):
        raise TypeError(
            "The data are a masked array. Pass np.ma.filled(data, np.nan) and mark channels with "
            "gaps as bad, or leave these samples out."
        )
    if data.dtype.kind not in "fciu":
        raise TypeError(f"The data must be numbers, got an array of {data.dtype}.")


def check_reference(info, data=None, ch_names=None):
    """Check that EEG data have, or will get, the average reference.

    An average-reference projector suffices, pending or applied, because the whitener contains
    the projection anyhow. Without one, the data themselves must have a mean of zero over the
    channels: that is how data averaged directly (``projection=False``) or by another program
    are recognised.

    Parameters
    ----------
    info : instance of Info
        The measurement info of the data.
    data : array of shape (..., n_channels, n_times) | None
        The data, channels in the order of ``info``. With None, data that have no projector
        can't be judged and are let through.
    ch_names : tuple of str | None
        The channels that are localised. If none of them is EEG, the reference doesn't matter.

    Returns
    -------
    status : "projector" | "average" | "unverified" | "no EEG"
        How the reference was recognised.
    """
    _validate_type(info, mne.Info, "info")
    good = _pick_good_eeg(info)
    used = None if ch_names is None else set(ch_names)
    if used is not None and not any(info["ch_names"][pick] in used for pick in good):
        return "no EEG"
    if len(good) == 0:
        raise ValueError(no_channels_message(info))
    good_names = {info["ch_names"][pick] for pick in good}
    covered = set()
    for proj in info["projs"]:
        if is_average_reference(proj):
            covered |= good_names & set(proj["data"]["col_names"])
    if covered:
        # Channels that a projector left out still have the recording reference, so that the
        # data as a whole have none; pending, the whitener's own projector replaces it.
        applied = any(is_average_reference(proj) and proj["active"] for proj in info["projs"])
        missing = [name for name in info["ch_names"] if name in good_names - covered]
        if applied and missing:
            raise ValueError(
                f"The average reference was applied without {summarize_names(missing)}, which "
                "still have another one. Mark them as bad, or redo the reference from the "
                "original data with set_eeg_reference(projection=True)."
            )
        return "projector"
    if data is None:
        logger.info("    No average-reference projector: the data's own mean will be checked")
        return "unverified"
    data = np.asarray(data)
    # said before the reference of data that have none is doubted
    check_finite(data[..., good, :], [info["ch_names"][pick] for pick in good])
    for picks in (good, mne.pick_types(info, meg=False, eeg=True, exclude=())):
        values = data[..., picks, :]
        if not np.isfinite(values).all():  # bad channels may hold anything
            continue
        with np.errstate(over="ignore"):
            mean = values.mean(axis=-2)
        if _rms(mean) <= _MEAN_TOLERANCE * _rms(values) < np.inf:
            logger.info("    The data have the average reference (zero mean over the channels)")
            return "average"
    if info["custom_ref_applied"]:
        raise ValueError(
            "The data have a custom EEG reference that isn't the average of the good channels. "
            f"{_REFERENCE_REMEDY}."
        )
    raise ValueError(f"The data have no average EEG reference. {_REFERENCE_REMEDY}.")


def check_pick_ori(prepared, pick_ori):
    """Check the requested orientation against the source space.

    With fixed orientation, "normal" is what None gives: the signed amplitude along the normal.
    """
    _check_option("pick_ori", pick_ori, [None, "normal", "vector"])
    if pick_ori == "normal" and prepared.kind not in ("surface", "discrete"):
        raise RuntimeError(
            'pick_ori="normal" needs normals, which only surface and discrete source spaces '
            f'have, got a {prepared.kind} one. Use pick_ori=None or "vector".'
        )


def resolve_loose(src, loose, *, fixed):
    """Turn ``loose`` into the prior variance of tangential currents for each kind of space.

    Parameters
    ----------
    src : instance of SourceSpaces
        The source spaces.
    loose : None | float | "evidence" | "auto" | dict
        None and "evidence" leave it to the data on surface source spaces (fixed, where the
        forward solution is), and are 1 (free) on all others. Everything else means what it means
        to MNE: a number in [0, 1], ``"auto"`` (0.2 on surface source spaces, 1 on all others), or
        a dict with keys ``"surface"``, ``"volume"`` and ``"discrete"``, one for each kind that
        ``src`` has.
    fixed : bool
        Whether the forward solution has fixed orientation, which leaves no choice.

    Returns
    -------
    loose : dict
        The value for each kind of source space in ``src``: a number or ``"evidence"``.
    """
    _validate_type(loose, (None, "numeric", str, dict), "loose")
    if isinstance(loose, str):
        _check_option("loose", loose, ["auto", "evidence"])
    kinds = sorted({_KINDS[space["type"]] for space in src})
    by_default = loose is None or isinstance(loose, str)
    if by_default and fixed:
        loose = 0.0
    elif by_default and src.kind == "surface":
        if loose != "auto":
            return {"surface": "evidence"}
        loose = 0.2
    elif by_default:
        loose = 1.0
    if not isinstance(loose, dict):
        loose = {kind: float(loose) for kind in kinds}
    if sorted(loose) != kinds:
        raise ValueError(
            f"loose must have one key for each kind of source space, {kinds}, got "
            f"{sorted(loose)}. Pass a number to use it for all of them."
        )
    for kind, value in loose.items():
        _validate_type(value, "numeric", f'loose["{kind}"]')
        if not 0 <= value <= 1:
            raise ValueError(
                f'loose must be between 0 (fixed) and 1 (free), got {value} for "{kind}".'
            )
        if kind == "volume" and value != 1:
            raise ValueError(
                f"Volume source spaces have no normals, so that loose must be 1, got {value}. "
                'Use loose="auto", or a dict such as dict(surface=0.2, volume=1.0).'
            )
        if fixed and value > 0:
            raise ValueError(
                f"The forward solution has fixed orientation, so that loose must be 0, got "
                f"{value}. Pass a free-orientation forward solution (as made by "
                "mne.make_forward_solution, without force_fixed=True), or loose=None."
            )
    return {kind: float(loose[kind]) for kind in kinds}


def is_average_reference(proj):
    """Tell whether a projector is an average EEG reference.

    Of the kinds that MNE itself recognises.
    """
    desc = proj["desc"]
    return proj["kind"] == mne.io.constants.FIFF.FIFFV_PROJ_ITEM_EEG_AVREF or (
        desc.startswith("Average ") and desc.endswith(" reference")
    )


def check_compensation(info, fwd):
    """Refuse MEG data whose reference sensors were used otherwise than the lead field assumes."""
    data, lead = (this.compensation_grade or 0 for this in (info, fwd["info"]))
    if data != lead:
        raise ValueError(
            f"The MEG data have compensation grade {data}, the forward solution {lead}. Call "
            f"apply_gradient_compensation({lead}) on the raw data, or make the forward solution "
            "from their info."
        )


def _pick_good_eeg(info):
    return mne.pick_types(info, meg=False, eeg=True, exclude="bads")


def _rms(values):
    """Root mean square that survives the extremes of floating point."""
    peak = np.abs(values).max(initial=0.0)
    if peak == 0 or not np.isfinite(peak):
        return peak
    return peak * np.sqrt(np.mean((values / peak) ** 2))
