"""People's lead fields for a training machine: fewer people, layouts to 128, half precision.

    python benchmarks/shrink_people.py people/ico3-20-seed0.npz small.npz --n-people 8

Read by ``python -m mne_mmnet.training.cosine_command --people``.
"""

import argparse
from pathlib import Path

from mne_mmnet.simulation import PeopleArchive


def main():
    """Write the smaller file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("whole", type=Path)
    parser.add_argument("small", type=Path)
    parser.add_argument("--n-people", type=int, default=8)
    parser.add_argument("--largest", type=int, default=128, help="electrodes of a layout")
    args = parser.parse_args()
    small = PeopleArchive.read(args.whole).shrink(args.n_people, args.largest)
    small.save(args.small)
    size = args.small.stat().st_size / 2**20
    print(f"{small.n_people} people, {len(small.electrodes)} electrodes: {size:.1f} MiB")


if __name__ == "__main__":
    main()
