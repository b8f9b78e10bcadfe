"""Channels that can't be localised, and why, in words."""

import re
from collections import Counter

import mne
import numpy as np
from mne.io.constants import FIFF

from .landmarks import plain_name, ten_five_places
from .words import summarize_names

# what people have instead of scalp EEG, and what to do then
_WHY_NOT = {
    "csd": "current source densities can't be localised, since they are no potentials: use the "
    "data from before compute_current_source_density",
    "ecog": "electrodes of type ecog lie inside the skull, and this head model ends at the scalp",
    "seeg": "electrodes of type seeg lie inside the skull, and this head model ends at the scalp",
    "dbs": "electrodes of type dbs lie inside the skull, and this head model ends at the scalp",
    "mag": "MEG has no template: pass a forward solution of the person's own (--fwd)",
    "grad": "MEG has no template: pass a forward solution of the person's own (--fwd)",
    "ref_meg": "reference sensors of MEG are not localised",
    "hbo": "near-infrared spectroscopy has no electric sources",
    "hbr": "near-infrared spectroscopy has no electric sources",
    "fnirs_cw_amplitude": "near-infrared spectroscopy has no electric sources",
    "fnirs_od": "near-infrared spectroscopy has no electric sources",
}
_SEPARATOR = re.compile(r"\s*[-–_/:]\s*")
# words in names of channels that readers call EEG because the file has no types (EEGLAB, EDF,
# Neuroscan): "VEOG1", "Left EOG", "HEO", "POL EKG1", "EMGchin"
_WORDS = {
    "eog": re.compile(r"[hvlr]?eog.*|[hv]eo.?"),
    "ecg": re.compile(r"e[ck]g.*"),
    "emg": re.compile(r"emg.*"),
}
# left and right outer canthus; words of other names, too
_EYES = ("loc", "roc")


def no_eeg_message(info):
    """Say that there is no EEG for a template head, and what there is instead."""
    return f"info has no EEG channels, which the template head needs. {_say_types(info)}"


def no_channels_message(info):
    """Say that there is nothing to localise."""
    kinds = sorted(set(info.get_channel_types()))
    n_bad = len(set(info["bads"]))
    bad = f" {n_bad} channels are marked as bad." if n_bad else ""
    return (
        f"There are no good EEG or MEG channels (channel types: {', '.join(kinds) or 'none'})."
        f"{bad} This method localises EEG and MEG. {_say_types(info, template=False)}"
    )


def _say_types(info, *, template=True):
    counts = Counter(info.get_channel_types())
    kinds = [kind for kind in counts if template or kind not in ("eeg", "mag", "grad")]
    why = dict.fromkeys(_WHY_NOT[kind] for kind in kinds if kind in _WHY_NOT)
    there = ", ".join(f"{number} {kind}" for kind, number in counts.items()) or "no channels"
    if why:
        return f"There are {there}: {'; '.join(why)}."
    return (
        f"There are {there}. Pass EEG data; where electrodes have the wrong type, set it with "
        "raw.set_channel_types(dict.fromkeys(names, 'eeg'))."
    )


def refuse_bipolar(info, ch_names):
    """Refuse channels that are differences between two electrodes of the scalp."""
    coils = dict(zip(info["ch_names"], (ch["coil_type"] for ch in info["chs"]), strict=True))
    bipolar = [name for name in ch_names if coils[name] == FIFF.FIFFV_COIL_EEG_BIPOLAR]
    pairs = {name: pair for name in ch_names if (pair := _split(name)) is not None}
    # all of them against one electrode is a reference, such as Fp1-Cz, F3-Cz, ...
    if len(pairs) < len(ch_names) or len({second for _, second in pairs.values()}) > 1:
        bipolar += [name for name in pairs if name not in bipolar]
    if bipolar:
        raise ValueError(
            f"{summarize_names(bipolar)} bipolar: each is a difference between two electrodes, "
            "and localisation needs one reference. Use the recording from before the bipolar "
            "montage (export it with a common reference); a forward solution of differences is "
            "not made. Drop such channels, or mark them as bad, if there are others."
        )


def find_other_types(info, ch_names):
    """Find channels of type EEG that are named as those of eyes, heart or muscles.

    The type that the name says, by name: ``"eog"``, ``"ecg"`` or ``"emg"``.
    """
    of_type = dict(zip(info["ch_names"], info.get_channel_types(), strict=True))
    said = {name: _type_of_name(name) for name in ch_names if of_type[name] == "eeg"}
    return {name: kind for name, kind in said.items() if kind is not None}


def _type_of_name(name):
    """Type that a name says; None if it is that of an electrode, or says nothing."""
    plain = plain_name(name)
    words = re.findall(r"[^\W_]+", plain)
    if plain in _EYES:
        return "eog"
    if not words or words[0] in ten_five_places()[0]:  # "Fp1-EOG": against an electrode at the eye
        return None
    said = (kind for kind, word in _WORDS.items() if any(map(word.fullmatch, words)))
    return next(said, None)


def doubt_types(info, ch_names):
    """Say that channels of type EEG are named as those of eyes, heart or muscles.

    A text under ``"types"``, where there are such channels.
    """
    types = find_other_types(info, ch_names)
    if not types:
        return {}
    return {
        "types": (
            f"{summarize_names(list(types))} named as those of eyes, heart or muscles, but of "
            "type EEG: they are localised like electrodes on the scalp. If they are none, mark "
            f"them as bad, or use set_channel_types({types}) before the average reference is set."
        )
    }


def _split(name):
    """Two electrodes of the scalp that a name joins; None if it does not."""
    places, _ = ten_five_places()
    parts = _SEPARATOR.split(plain_name(name))
    if len(parts) == 3 and parts[2].isdigit():  # MNE numbers channels of the same name
        parts = parts[:2]
    if len(parts) != 2 or not all(part in places for part in parts):
        return None
    ears = {"a1", "a2", "m1", "m2"}
    return None if ears & set(parts) else tuple(parts)


def refuse_other_types(info, prepared):
    """Refuse data whose channels are of another type than the lead field's."""
    index = {name: k for k, name in enumerate(info["ch_names"])}
    wrong = {}
    for name, kind in zip(prepared.ch_names, prepared.ch_types, strict=True):
        found = mne.channel_type(info, index[name])
        if found != kind:
            wrong[name] = found
    if not wrong:
        return
    kind = next(iter(wrong.values()))
    why = _WHY_NOT.get(kind, f"they are of type {kind}")
    raise ValueError(
        f"{summarize_names(list(wrong))} of another type than in the forward solution "
        f"({', '.join(sorted(set(wrong.values())))}): {why}."
    )


def units_of(info, ch_names):
    """Find what data in the units that an info declares are multiplied by to be in SI units.

    Recordings that MNE reads are in SI units; streams of amplifiers (``StreamLSL.info``) may
    declare µV. Factors are an array of shape (n_channels, 1), or None where all are 1.
    """
    index = {name: k for k, name in enumerate(info["ch_names"])}
    powers = [int(info["chs"][index[name]].get("unit_mul", 0)) for name in ch_names]
    if not any(powers):
        return None
    return 10.0 ** np.array(powers, float)[:, np.newaxis]
