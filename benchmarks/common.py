"""What the benchmarks share: electrodes of a montage, and tables that say how they were made."""

import csv


def make_info(montage, sfreq):
    """Electrodes of one of MNE's montages."""
    import mne  # here, since training runs where there is none

    names = mne.channels.make_standard_montage(montage).ch_names
    info = mne.create_info(names, sfreq, "eeg")
    info.set_montage(montage)
    return info


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
