"""Lists of names in messages, short names, and warnings that point at the user's line."""

import re
from itertools import takewhile

import mne.utils


def summarize_names(names, limit=8):
    """Write a list of channel names for a message: ``"3 channels (Fp1, Fp2, Cz)"``."""
    shown = ", ".join(names[:limit]) + (", …" if len(names) > limit else "")
    return f"{len(names)} channel{'s' if len(names) != 1 else ''} ({shown})"


def shorten_names(names):
    """Leave out what all names begin with, such as the ``"EEG "`` of ``"EEG 001"``.

    Digits, and the letters of one word, stay together. Also returned is what was left out, which
    is empty where names have no word in common.
    """
    names = list(names)
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    common = "".join(letters[0] for letters in same)
    # up to a blank or a sign; or a word before numbers
    found = re.match(r".*[^A-Za-z0-9]|[A-Za-z]{2,}(?=[0-9]*$)", common)
    prefix = found.group() if found else ""
    short = [name[len(prefix) :] for name in names]
    is_word = prefix[-1:].isalpha()
    if len(names) < 2 or not all(short) or (is_word and not all(x[0].isdigit() for x in short)):
        return names, ""
    return short, prefix


def warn(text):
    """Warn so that the warning points at the user's line."""
    mne.utils.warn(text, module="mne_mmnet", ignore_namespaces=("mne", "mne_mmnet"))
