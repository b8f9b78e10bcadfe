"""Averages from what people have: averages, epochs, recordings, in all formats of MNE."""

import warnings
from pathlib import Path
from typing import NamedTuple

import mne

from .._mne import (
    FSAVERAGE_1005,
    check_reference,
    electrode_positions,
    find_other_types,
    plain_name,
    summarize_names,
    warn,
)
from .files import say_cut_short

# averages of other programs
_EVOKED = {".mff": "read_evokeds_mff", ".avr": "read_evoked_besa", ".mul": "read_evoked_besa"}
_FIF = (".fif", ".fif.gz")
# what BrainVision and EEGLAB have beside a header
_HEADERS = {".eeg": ".vhdr", ".vmrk": ".vhdr", ".fdt": ".set"}
# MNE's words for annotations after the end
_BEYOND = "outside data range"
_AVERAGE = "mne.Epochs(raw, events, tmin=-0.2, tmax=0.5).average().save('x-ave.fif')"


class Averaging(NamedTuple):
    """How a recording is cut and averaged.

    Parameters
    ----------
    events : str | None
        What is averaged: names or numbers of events or annotations, separated by commas. None
        takes epochs as they are; a recording needs it.
    tmin, tmax : float
        Limits of the epochs around the events (s).
    """

    events: str | None = None
    tmin: float = -0.2
    tmax: float = 0.5

    @classmethod
    def around(cls, events, tmin, tmax):
        """Make epochs that hold a window (s, None where it is open) and a baseline before 0."""
        low, high = cls._field_defaults["tmin"], cls._field_defaults["tmax"]
        low = low if tmin is None else min(low, tmin)
        return cls(events, low, high if tmax is None else max(high, tmax))


def read_average(path, condition=None, averaging=None):
    """Read one response of a file, or average it.

    Parameters
    ----------
    path : path-like
        Averages (FIF, MFF, BESA), epochs (FIF, EEGLAB, MFF) or a recording of any format that
        MNE reads.
    condition : str | int | None
        Name or number of the response, or of the condition of epochs. None is the only one.
    averaging : Averaging | None
        How a recording is averaged.

    Returns
    -------
    evoked : mne.Evoked
        The response, projectors not applied. Channels named as those of eyes, heart or muscles
        are marked as bad where the file calls them EEG.
    what : str
        What was done to get it; empty where the file holds it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it can't be read, holds no average and can't be averaged without being told how, or the
        choice is not clear; the message lists the responses.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    averaging = Averaging() if averaging is None else averaging
    condition = None if condition is None else str(condition)
    kind, content = read_recording(path)
    if kind == "averages":
        evoked, what = _choose(path, content, condition), ""
    elif kind == "epochs":
        evoked, what = _average_epochs(path, content, condition or averaging.events)
    else:
        evoked, what = _average_raw(path, content, averaging)
    types = find_other_types(evoked.info, evoked.ch_names)
    if left := [name for name in types if name not in evoked.info["bads"]]:
        # types can't be changed below a projector of the reference
        evoked = evoked.copy()
        evoked.info["bads"] = [*evoked.info["bads"], *left]
        warn(
            f"{summarize_names(left)} named as those of eyes, heart or muscles left out, although "
            "the file calls them EEG. If they are electrodes on the scalp, rename them."
        )
    return evoked, what


def read_recording(path):
    """Read a file as what it is: averages, epochs or a recording.

    Parameters
    ----------
    path : pathlib.Path
        A file of any format that MNE reads.

    Returns
    -------
    kind : "averages" | "epochs" | "raw"
        What it holds.
    content : list of mne.Evoked | mne.BaseEpochs | mne.io.BaseRaw
        It; projectors are not applied, a recording is not loaded.

    Raises
    ------
    ValueError
        If it can't be read.
    """
    name = path.name.lower()
    if name.endswith(_FIF):
        return _read_fif(path)
    suffix = next((ending for ending in _EVOKED if name.endswith(ending)), None)
    failures = []
    if suffix is not None:
        try:
            found = getattr(mne, _EVOKED[suffix])(str(path), verbose="error")
            return "averages", found if isinstance(found, list) else [found]
        except Exception as error:  # an MFF may hold a recording
            failures.append(_first_line(error))
    if suffix in (".avr", ".mul"):
        raise ValueError(f"{path} cannot be read as an average of BESA ({failures[0]}).")
    if suffix != ".mff" and name.endswith(".set"):
        try:
            return "epochs", mne.read_epochs_eeglab(str(path), verbose="error")
        except Exception as error:  # a recording
            failures.append(_first_line(error))
    try:
        return "raw", _read_raw(path, mne.io.read_raw)
    except Exception as error:
        failures.append(_first_line(error))
    if header := _find_header(path):
        raise ValueError(f"{path} is a part of a recording. Give its header, {header}.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder, and no recording itself. Give files in it.")
    raise ValueError(
        f"{path} cannot be read ({failures[-1]}). If others of its kind can, it is damaged or cut "
        "short: copy or export it again. Else MNE (mne.io.read_raw, mne.read_epochs, "
        "mne.read_evokeds) does not know its format: convert it, average it and save the average: "
        f"{_AVERAGE}."
    )


def _read_fif(path):
    """Read a FIF file."""
    errors = []
    readers = {
        "averages": lambda: mne.read_evokeds(path, proj=False, verbose="error"),
        "epochs": lambda: mne.read_epochs(path, proj=False, preload=True, verbose="error"),
        "raw": lambda: _read_raw(path, mne.io.read_raw_fif),
    }
    for kind, read in readers.items():
        try:
            found = read()
        except Exception as error:  # what MNE makes of a file of another kind, or a damaged one
            errors.append(_first_line(error))
            continue
        if kind != "averages" or found:
            return kind, found
    reason = say_cut_short(path) or f"({errors[0]})."
    raise ValueError(f"{path} cannot be read as evoked responses, epochs or raw {reason}")


def _find_header(path):
    """Find the file that MNE reads a recording by, beside another one of its files."""
    ending = _HEADERS.get(path.suffix.lower(), path.suffix)
    header = path.with_suffix(ending)
    return header if header != path and header.exists() else None


def _read_raw(path, reader):
    """Read a recording; say so where it ends before its events do."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        raw = reader(path, preload=False, verbose="warning")
    if any(_BEYOND in str(one.message) for one in caught):
        warn(
            f"{path} ends at {raw.n_times / raw.info['sfreq']:.1f} s, before the last of its "
            "events or annotations, which are left out: it seems to be cut short. Copy or export "
            "it again."
        )
    return raw


def _first_line(error):
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]


def _choose(path, responses, condition):
    """Choose one of several responses."""
    listing = ", ".join(f"{k}: {evoked.comment!r}" for k, evoked in enumerate(responses[:12]))
    listing += ", …" if len(responses) > 12 else ""
    if condition is None:
        if len(responses) > 1:
            raise ValueError(
                f"{path} holds several responses; say which with --condition (condition=): one of "
                f"{listing}."
            )
        return responses[0]
    named = [evoked for evoked in responses if evoked.comment == condition]
    if len(named) == 1:
        return named[0]
    if condition.isdigit() and int(condition) < len(responses):
        return responses[int(condition)]
    raise ValueError(f"{path} has no response {condition!r}; it holds {listing}.")


def _average_epochs(path, epochs, condition):
    """Average epochs, of one condition where there are several."""
    names = list(epochs.event_id)
    chosen = names
    if condition is not None:
        chosen = _pick_events(path, condition, epochs.event_id)
    elif len(names) > 1:
        raise ValueError(
            f"{path} holds epochs of several conditions; say which with --condition (condition=): "
            f"one of {_list(names)}, or several with commas between them."
        )
    picked = epochs[chosen] if condition is not None else epochs
    if len(picked) == 0:
        raise ValueError(f"{path} holds no good epoch of {_list(chosen)}.")
    evoked = picked.average(picks="data" if "eeg" not in epochs else None)
    # MNE takes "left" for "left/easy", too, and calls the average after the shares of each
    taken = list(picked.event_id)
    evoked.comment = condition or ", ".join(taken)
    return evoked, f"Averaged {evoked.nave} epochs ({_list(taken)})."


def _average_raw(path, raw, averaging):
    """Cut a recording at events or annotations, and average."""
    events, event_id = _find_events(raw)
    if averaging.events is None:
        there = f"It has {_list(event_id)}. " if event_id else "It has no events. "
        raise ValueError(
            f"{path} holds no average: it is a raw recording. {there}Say which to average with "
            f"--events (and --tmin, --tmax), or average first: {_AVERAGE}."
        )
    chosen = _pick_events(path, averaging.events, event_id)
    try:
        epochs = mne.Epochs(
            raw,
            events,
            {name: event_id[name] for name in chosen},
            averaging.tmin,
            averaging.tmax,
            baseline=(None, 0) if averaging.tmin < 0 <= averaging.tmax else None,
            proj=False,
            event_repeated="drop",
            preload=True,
            verbose="error",
        )
    except Exception as error:  # data are read here: what a damaged file makes of MNE's reader
        reason = say_cut_short(path) or f"({_first_line(error)})."
        raise ValueError(f"{path} cannot be cut into epochs {reason}") from error
    if len(epochs) == 0:
        raise ValueError(
            f"{path} holds no good epoch of {_list(chosen)} from {averaging.tmin:g} to "
            f"{averaging.tmax:g} s: all reach beyond the recording or into bad segments."
        )
    evoked = epochs.average()
    evoked.comment = ", ".join(chosen)
    baseline = "no baseline" if epochs.baseline is None else "baseline before 0"
    return evoked, (
        f"Averaged {evoked.nave} epochs of {_list(chosen)}, {averaging.tmin:g} to "
        f"{averaging.tmax:g} s, {baseline}; no epoch was rejected for its amplitude."
    )


def _find_events(raw):
    """Events of a recording: annotations, else those of a trigger channel."""
    try:
        events, event_id = mne.events_from_annotations(raw, verbose="error")
    except ValueError:  # bad segments alone
        events, event_id = [], {}
    if len(events) == 0 and len(mne.pick_types(raw.info, meg=False, stim=True)):
        # many amplifiers write triggers of one sample, which MNE refuses otherwise
        events = mne.find_events(raw, shortest_event=1, verbose="error")
        event_id = {str(number): int(number) for number in sorted(set(events[:, 2]))}
    return events, event_id


def _pick_events(path, wanted, event_id):
    """Names of the events that are wanted: whole names, numbers, or the parts that MNE joins."""
    chosen = []
    for word in (part.strip() for part in wanted.split(",")):
        found = [name for name in event_id if name == word]
        found = found or [name for name in event_id if word in name.split("/")]
        if not found and word.lstrip("-").isdigit():
            found = [name for name, number in event_id.items() if number == int(word)]
        if not found:
            raise ValueError(f"{path} has no events {word!r}; it has {_list(event_id) or 'none'}.")
        chosen += found
    return list(dict.fromkeys(chosen))


def _list(names):
    names = list(names)
    return ", ".join(repr(name) for name in names[:12]) + (", …" if len(names) > 12 else "")


def name_places(evoked, montage):
    """Give electrodes the positions of a montage, by name.

    Parameters
    ----------
    evoked : mne.Evoked
        The response. Names such as ``"EEG Fp1-REF"`` are understood.
    montage : str
        Name of a built-in montage, or path of a file that MNE reads one from.

    Returns
    -------
    evoked : mne.Evoked
        A copy; EEG channels that the montage does not have are marked as bad.
    what : str
        What was done, in words.

    Raises
    ------
    ValueError
        If there is no such montage, or it has other names.
    """
    try:
        if montage in mne.channels.get_builtin_montages() or not Path(montage).exists():
            places = mne.channels.make_standard_montage(montage)
        else:
            places = mne.channels.read_custom_montage(montage)
    except Exception as error:
        raise ValueError(
            f"There is no montage {montage!r} ({_first_line(error)}). Give the path of a file of "
            f"positions, or one of {', '.join(mne.channels.get_builtin_montages())}."
        ) from error
    evoked = evoked.copy()
    known = {plain_name(name): name for name in places.ch_names}
    names = [
        evoked.ch_names[k] for k in mne.pick_types(evoked.info, meg=False, eeg=True, exclude=())
    ]
    ours = {name: known[plain_name(name)] for name in names if plain_name(name) in known}
    if len(ours) < 2:
        raise ValueError(
            f"The montage {montage!r} has none of the channels' names: {summarize_names(names)}. "
            f"It has {summarize_names(places.ch_names)}."
        )
    found = places.get_positions()
    places = mne.channels.make_dig_montage(
        {name: found["ch_pos"][theirs] for name, theirs in ours.items()},
        *(found[key] for key in ("nasion", "lpa", "rpa", "hsp", "hpi", "coord_frame")),
    )
    evoked.set_montage(places, on_missing="ignore", verbose="error")
    lost = [name for name in names if name not in ours]
    evoked.info["bads"] = list(dict.fromkeys([*evoked.info["bads"], *lost]))
    left = f" {summarize_names(lost)} unknown to it, and left out." if lost else ""
    return evoked, f"Electrode positions of {montage} for {len(ours)} channels.{left}"


def settle_reference(evoked):
    """Give EEG that has no average reference one, as a projector; True if that was needed."""
    if "eeg" not in evoked:
        return False
    try:
        check_reference(evoked.info, evoked.data)
    except ValueError:
        evoked.set_eeg_reference(projection=True)
        return True
    return False


def say_unplaced(evoked):
    """Say that no electrode has a position, and how to give one; empty where some have one."""
    names = [evoked.ch_names[k] for k in mne.pick_types(evoked.info, meg=False, eeg=True)]
    if not names or len(electrode_positions(evoked.info, set(names))[0]):
        return ""
    return (
        f"No EEG channel has a position ({summarize_names(names)}). Give them those of a "
        f"montage: --montage {FSAVERAGE_1005} for 10-20 and 10-05 names, --montage with a cap's "
        "name or a file of positions else; or set_montage before saving."
    )
