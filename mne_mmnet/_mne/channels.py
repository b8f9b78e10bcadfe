"""Which channels take part, and what is wrong with leaving the others out."""

from collections import Counter

from mne.utils import logger

from .ch_types import no_channels_message, refuse_bipolar
from .check_input import LOCALISED
from .words import summarize_names

MIN_CHANNELS = 8
"""The least number of whitened channels that is worth localising with."""


def select_channels(info, fwd, noise_cov=None):
    """Select (info ∩ fwd ∩ noise_cov) without bads, EEG and MEG, in the order of ``info``.

    Which of the two depends on the forward solution: with one for EEG alone, the MEG channels of a
    recording are left out. MEG channels need a noise covariance.
    """
    all_types = dict(zip(info["ch_names"], info.get_channel_types(), strict=True))
    in_fwd = set(fwd["sol"]["row_names"])
    present = {kind for kind in all_types.values() if kind in LOCALISED}
    kinds = {kind for name, kind in all_types.items() if kind in present and name in in_fwd}
    kinds = kinds or ({"eeg"} & present) or present
    if not kinds:
        raise ValueError(no_channels_message(info))
    names = chosen = [name for name, kind in all_types.items() if kind in kinds]
    n_other = len(all_types) - len(names)
    if n_other:
        text = " or ".join(LOCALISED[kind] for kind in LOCALISED if kind in kinds)
        logger.info("    %d channels are not %s and are left out", n_other, text)
    bads = set(info["bads"])
    steps = [('marked as bad in info["bads"]', lambda name: name not in bads)]
    steps.append(("not in the forward solution", in_fwd.__contains__))
    if noise_cov is not None:
        in_cov, cov_bads = set(noise_cov["names"]), set(noise_cov["bads"])
        steps.append(("not in the noise covariance", in_cov.__contains__))
        steps.append(('marked as bad in noise_cov["bads"]', lambda name: name not in cov_bads))
    dropped = []
    for reason, keep in steps:
        out = [name for name in names if not keep(name)]
        names = [name for name in names if keep(name)]
        if out:
            dropped.append(f"{summarize_names(out)} {reason}")
            logger.info("    Dropped %s", dropped[-1])
    if len(names) < MIN_CHANNELS:
        raise ValueError(
            f"Only {len(names)} of {count_channels(all_types[name] for name in chosen)} channels "
            f"can be used, at least {MIN_CHANNELS} are needed: "
            f"{'; '.join(dropped) or 'none was dropped'}. Channels are matched by "
            "name; rename them with rename_channels, or make the forward solution and the noise "
            "covariance from this very info."
        )
    refuse_bipolar(info, [name for name in names if all_types[name] == "eeg"])
    used = [all_types[name] for name in names]
    if noise_cov is None and set(used) != {"eeg"}:
        raise ValueError(
            f"{count_channels(used)} channels can't be localised without a noise covariance, "
            "which makes T, T/m and V comparable. Pass noise_cov (mne.compute_covariance, or "
            "mne.make_ad_hoc_cov for a start), or localise the EEG alone: "
            "mne.pick_types_forward(fwd, meg=False, eeg=True)."
        )
    logger.info("    Using %s channels", count_channels(used))
    return tuple(names)


def doubt_left_out(info, ch_names, fwd, noise_cov=None):
    """Say which good channels of the types used can't be, in a text under ``"left out"``."""
    kinds = dict(zip(info["ch_names"], info.get_channel_types(), strict=True))
    used = {kinds[name] for name in ch_names}
    bads = {*info["bads"], *(() if noise_cov is None else noise_cov["bads"])}
    out = [name for name, kind in kinds.items() if kind in used and name not in bads]
    out = [name for name in out if name not in set(ch_names)]
    known = fwd["sol"]["row_names"]
    lost = [name for name in out if name not in known]
    if lost:
        return {"left out": _say_left_out(lost, "not in the forward solution", known)}
    if out:
        return {"left out": _say_left_out(out, "not in the noise covariance", noise_cov["names"])}
    return {}


def _say_left_out(names, reason, known):
    """Say which good channels are left out, and whether they are only spelt otherwise."""
    spelling = {_letters(name): name for name in known}
    alike = [
        f"{name} is {spelling[_letters(name)]}" for name in names if _letters(name) in spelling
    ]
    text = f"{summarize_names(names)} good in the data but {reason}, and left out. "
    if alike:
        shown = ", ".join(alike[:4]) + (", …" if len(alike) > 4 else "")
        return (
            f"{text}{len(alike)} differ by capitals, blanks or dots alone ({shown}): rename them "
            "with rename_channels."
        )
    return f"{text}Make it from this very info, or mark them as bad."


def _letters(name):
    return name.casefold().replace(" ", "").replace(".", "")


def count_channels(ch_types):
    """Say how many channels there are of each type: ``"102 magnetometer + 60 EEG"``."""
    counts = Counter(ch_types)
    return " + ".join(f"{counts[kind]} {text}" for kind, text in LOCALISED.items() if counts[kind])
