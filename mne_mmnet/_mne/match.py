"""Whether data belong to what was made for others: same channels, projectors and reference."""

import numpy as np

from .check_input import check_finite, check_reference, is_average_reference
from .words import summarize_names

# part of a projector's vector that may be left of it: MNE drops directions below 1 %
_LEFT = 0.1


def match_channels(names, bads, ch_names, owner):
    """Find channels by name, in whatever order and among whatever others they come.

    Missing and bad ones are an error; its message names the ``owner``, "operator" or "filters".
    """
    index = {name: k for k, name in enumerate(names)}
    missing = [name for name in ch_names if name not in index]
    if missing:
        raise ValueError(
            f"The data lack {summarize_names(missing)} that the {owner} {_was(owner)} made for. "
            f"Make the {owner} from the info of these data."
        )
    bads = [name for name in ch_names if name in bads]
    if bads:
        raise ValueError(
            f"{summarize_names(bads)} marked as bad in the data but used by the {owner}. Make "
            f"the {owner} from the info of these data."
        )
    return np.array([index[name] for name in ch_names])


def check_projectors(projs, ch_names, projector, owner):
    """Refuse data with projectors that were not known when the operator or filters were made.

    More of them in the operator than in the data do no harm: they are applied with it.
    """
    unknown = []
    for proj in projs:
        if is_average_reference(proj):
            continue
        column = {name: k for k, name in enumerate(proj["data"]["col_names"])}
        inside = [name in column for name in ch_names]
        if not any(inside):
            continue
        vectors = np.zeros((len(proj["data"]["data"]), len(ch_names)))
        picks = [column[name] for name in ch_names if name in column]
        vectors[:, inside] = proj["data"]["data"][:, picks]
        left = np.linalg.norm(vectors @ projector.T, axis=1)
        if (left > _LEFT * np.linalg.norm(vectors, axis=1)).any():
            unknown.append(proj["desc"])
    if unknown:
        raise ValueError(
            f"The data have projectors that the {owner} {_was(owner)} made without: "
            f"{', '.join(unknown)}. Make the {owner} from data with the same projectors, or "
            "remove them with del_proj while they are not applied."
        )


def check_like(info, data, ch_names, projector, owner):
    """Check all at once: channels, projectors, reference and finite values.

    Parameters
    ----------
    info : instance of Info
        Of the data.
    data : array of shape (..., n_all_channels, n_times) | None
        The data, real or complex, channels in the order of ``info``. With None, the values are
        not looked at.
    ch_names, projector, owner : tuple of str, array, str
        The channels used, what the operator or filters apply to them, and which of the two it is.

    Returns
    -------
    picks : array of int, shape (n_channels,)
        Where the channels are.
    verified : bool
        Whether the average reference is certain for all data with this info.
    """
    picks = match_channels(info["ch_names"], info["bads"], ch_names, owner)
    check_projectors(info["projs"], ch_names, projector, owner)
    verified = check_reference(info, None, ch_names) != "unverified"
    if data is not None:
        if data.ndim < 2 or data.shape[-2] != len(info["ch_names"]):
            raise ValueError(
                f"The data have the shape {data.shape}, and their info {len(info['ch_names'])} "
                "channels. Leave channels out with drop_channels or pick, not in the array."
            )
        check_values(info, data, picks, ch_names, verified)
    return picks, verified


def check_values(info, data, picks, ch_names, verified):
    """Check that values are finite and, where no projector vouches for it, average-referenced.

    Data may be complex; ``picks`` and ``verified`` are those of :func:`check_like`.
    """
    # sums are finite where all values are; looking for the others takes four times as long
    if data.size == 0 or not np.isfinite(data.sum()):
        for part in _parts(data):
            check_finite(part[..., picks, :], ch_names)
    if not verified:
        for part in _parts(data):
            check_reference(info, part, ch_names)


def _parts(data):
    return (data.real, data.imag) if np.iscomplexobj(data) else (data,)


def _was(owner):
    return "were" if owner.endswith("s") else "was"
