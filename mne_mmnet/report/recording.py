"""What a reader asks of a recording and a head model before looking at a source."""

import re

import numpy as np

from .._mne import (
    describe_head,
    electrode_positions,
    has_made_up_fiducials,
    head_positions,
    place_electrodes,
    set_positions,
)
from .peaks import project_types

_SAME_PLACE = 1e-4  # m: rounding in files
_HOW = {
    "by name": "placed by name, where fsaverage_1005 has them on the template",
    "fitted": "the cap was fitted to the template's scalp",
}


def localised(evoked, fwd, report):
    """Pick the channels that were localised.

    Alone, in a copy: bad channels may hold anything, and choose no time. Old reports don't name
    the channels.
    """
    known = set(report.ch_names or fwd["sol"]["row_names"]) - set(evoked.info["bads"])
    names = [name for name in evoked.ch_names if name in known]
    if not names:
        raise ValueError(
            "evoked and fwd have no good channel in common. Give the response and the forward "
            "solution that were localised."
        )
    return evoked.copy().pick(names)


def place_as_localised(evoked, fwd):
    """Put electrodes where the forward solution has them, so that all pictures agree.

    In a copy. Electrodes that have no position of their own are left without.
    """
    evoked = evoked.copy()
    own = electrode_positions(evoked.info)[0]
    set_positions(evoked.info, *electrode_positions(fwd["info"], set(own)))
    return evoked


def describe_recording(evoked, seen, fwd, window):
    """Describe a recording, of which some channels were ``seen``, as rows of a table."""
    info = evoked.info
    kinds = seen.get_channel_types()
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    left = len(evoked.ch_names) - len(seen.ch_names) - len(info["bads"])
    others = f"; {left} others left out" if left > 0 else ""
    rows = {
        "response": f"{evoked.comment or '(no comment)'}, {_say_nave(evoked)}",
        "channels": f"{counts}; bad: {', '.join(info['bads']) or 'none'}{others}",
    }
    if info["meas_date"] is not None:
        rows = {"recorded": f"{info['meas_date']:%Y-%m-%d}"} | rows
    if "eeg" in kinds:
        rows["electrode positions"] = _describe_positions(evoked, fwd)
        rows["reference"] = _describe_reference(seen)
    rows["filter"] = f"{_say_filter(info)}, as the file says"
    rows["sampling rate"] = f"{info['sfreq']:.4g} Hz"
    rows["baseline"] = (
        "none, or not noted"
        if evoked.baseline is None
        else f"{1e3 * evoked.baseline[0]:.0f} to {1e3 * evoked.baseline[1]:.0f} ms"
    )
    ratio = signal_to_noise(seen, window)
    rows["signal-to-noise ratio"] = (
        "unknown: no samples before time 0 and outside the window"
        if ratio is None
        else f"{ratio:.1f} dB (mean power in the window over that before time 0)"
    )
    return rows


def _say_nave(evoked):
    return f"average of {evoked.nave} trial{'' if evoked.nave == 1 else 's'}"


def _say_filter(info):
    high, low = info["highpass"] or 0.0, info["lowpass"] or 0.0
    highpass = f"high-pass {high:.3g} Hz" if high > 0 else "no high-pass"
    # half of the sampling rate is MNE's word for none
    is_filtered = 0 < low < 0.49 * info["sfreq"]
    return f"{highpass}, {f'low-pass {low:.3g} Hz' if is_filtered else 'no low-pass'}"


def signal_to_noise(evoked, window):
    """Compare the power of the window with that of the baseline.

    In dB, EEG against the mean of the channels, projectors applied; None where there is no
    baseline.
    """
    half = 0.5 / evoked.info["sfreq"]
    inside = (evoked.times >= window[0] - half) & (evoked.times <= window[1] + half)
    before = (evoked.times < 0) & ~inside
    if before.sum() < 2:
        return None
    ratios = []
    for data in project_types(evoked):
        noise = np.mean(data[:, before] ** 2)
        if noise > 0:
            ratios.append(np.mean(data[:, inside] ** 2) / noise)
    return None if not ratios else float(10 * np.log10(np.mean(ratios)))


def _describe_positions(evoked, fwd):
    head = describe_head(evoked.info, fwd)
    if head.electrodes == "digitised":
        made_up = "; nasion and ears were made up" if has_made_up_fiducials(evoked.info) else ""
        return f"digitised{made_up}"
    names, own, _ = head_positions(evoked.info, set(fwd["sol"]["row_names"]))
    placed = place_electrodes(names, own)
    text = f"no measurement ({placed.montage or head.montage})"
    fwd_names, places = electrode_positions(fwd["info"], set(names))
    same = placed.how != "as given" and fwd_names == names
    if same and np.abs(places - placed.positions).max() < _SAME_PLACE:
        return f"{text}; {_HOW[placed.how]}"
    return f"{text}; as the forward solution has them"


def _describe_reference(evoked):
    projs = [proj for proj in evoked.info["projs"] if "verage" in proj["desc"]]
    if projs:
        return "average (a projector)"
    if evoked.info["custom_ref_applied"]:
        return "average, applied to the data before"
    return "average of the localised channels"


def describe_head_model(evoked, fwd):
    """Describe a head model, as rows of a table."""
    spaces = {"surf": "surface", "vol": "volume", "discrete": "discrete"}
    used = dict.fromkeys(spaces.get(space["type"], space["type"]) for space in fwd["src"])
    kinds = " and ".join(used)
    subject = fwd["src"][0].get("subject_his_id")
    return {
        "head": _say_head(describe_head(evoked.info, fwd), subject),
        "subject": subject or "not noted",
        "conductivities": find_conductivities(fwd)
        or "not noted in the forward solution (ask who made it)",
        "sources": f"{fwd['nsource']}, {kinds}",
    }


def _say_head(head, subject):
    """Whose head; a forward solution that names nobody may be anybody's."""
    guessed = head.kind == "own" and not subject
    note = "; taken for that, as the forward solution names no template" if guessed else ""
    return f"{head}{note}"


def find_conductivities(fwd):
    """Read the conductivities that a forward solution on the template notes.

    Empty where there are none.
    """
    noted = str(fwd["info"].get("command_line", ""))
    found = re.search(r"conductivity=\(([^,)]+), ([^,)]+), ([^,)]+)\)", noted)
    return "brain {}, skull {}, scalp {} S/m".format(*found.groups()) if found else ""
