"""Lists of names in messages, and warnings that point at the user's line."""

import mne.utils


def summarize_names(names, limit=8):
    """Write a list of channel names for a message.

    Parameters
    ----------
    names : list of str
        The names.
    limit : int
        How many to write out at most.

    Returns
    -------
    text : str
        For example ``"3 channels (Fp1, Fp2, Cz)"``.
    """
    shown = ", ".join(names[:limit]) + (", …" if len(names) > limit else "")
    return f"{len(names)} channel{'s' if len(names) != 1 else ''} ({shown})"


def warn(text):
    """Warn so that the warning points at the user's line.

    Parameters
    ----------
    text : str
        The warning.
    """
    mne.utils.warn(text, module="mne_mmnet", ignore_namespaces=("mne", "mne_mmnet"))
