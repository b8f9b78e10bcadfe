"""What the benchmarks share: electrodes of a montage, tables, the machine, taking turns."""

import contextlib
import csv
import os
import platform
import subprocess
import sys
import time

import numpy as np

# MNE's montages by their number of electrodes; "10-20" is of transfer_suite.montage_info
MONTAGES = {19: "10-20", 32: "biosemi32", 64: "biosemi64", 128: "biosemi128", 256: "biosemi256"}


def make_info(montage, sfreq):
    """Electrodes of one of MNE's montages."""
    import mne  # here, since training runs where there is none

    names = mne.channels.make_standard_montage(montage).ch_names
    info = mne.create_info(names, sfreq, "eeg")
    info.set_montage(montage)
    return info


def referenced(info):
    """Make the same info with the average reference as a projector."""
    import mne

    data = [[0.0]] * len(info["ch_names"])
    return mne.EvokedArray(data, info).set_eeg_reference(projection=True).info


def draw_dipoles(fwd, sfreq, n_times, seed, snr_db=5.0):
    """Three dipoles with oscillations along the normals, and white noise; V."""
    import mne

    rng = np.random.default_rng(seed)
    fixed = mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True)
    picks = rng.choice(fixed["nsource"], 3, replace=False)
    phase = rng.uniform(3, 12, (3, 1)) * np.arange(n_times) / sfreq
    signal = fixed["sol"]["data"][:, picks] @ (3e-8 * np.sin(2 * np.pi * phase))
    noise = rng.standard_normal(signal.shape)
    return signal + noise * np.sqrt(np.mean(signal**2) / 10 ** (snr_db / 10))


def write_rows(path, comment, rows):
    """Write a list of dicts as CSV, below one line of comment (command, seeds, machine)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        file.write(f"# {comment}\n")
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path):
    """Read what :func:`write_rows` wrote, without the comment."""
    with open(path, newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def machine():
    """Say what times depend on."""
    return f"{platform.machine()}, {os.cpu_count()} cores"


@contextlib.contextmanager
def busy_cores(n_processes):
    """Keep cores busy with something else, each with a process."""
    command = [sys.executable, "-c", "while True: pass"]
    with contextlib.ExitStack() as stack:
        for _ in range(n_processes):
            process = stack.enter_context(subprocess.Popen(command))
            stack.callback(process.kill)
        yield


def timed(function, *args, **kwargs):
    """Answer of a function, and the seconds that it took."""
    started = time.perf_counter()
    answer = function(*args, **kwargs)
    return answer, time.perf_counter() - started


def by_turns(ways, n_repeats):
    """Seconds of calls by name, a list each, of which the first is not counted.

    They take turns, so that what slows the machine slows all; who is first has other caches.
    """
    seconds = {name: [] for name in ways}
    for repeat in range(n_repeats + 1):
        for name in list(ways)[:: -1 if repeat % 2 else 1]:
            _, spent = timed(ways[name])
            if repeat:
                seconds[name].append(spent)
    return seconds
