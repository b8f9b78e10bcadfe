"""Where weights come from, for their card: the command and the versions, no place of a machine."""

import platform
import shlex
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch


def name_of(argument):
    """Name of what an argument points at; what is no absolute path stays as it is.

    Such as "people.npz" for "/data/people.npz", "--out=run" for "--out=/data/run".
    """
    if argument is None:
        return None
    option, sign, value = argument.rpartition("=")
    return option + sign + Path(value).name if Path(value).is_absolute() else argument


def write_command(prog, argv):
    """Write a command as others can repeat it in a folder of theirs, quoted for a shell."""
    return shlex.join([*prog.split(), *map(name_of, argv)])


def list_versions():
    """Name the versions that a model card records."""
    return {
        "mne_mmnet": version("mne_mmnet"),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
