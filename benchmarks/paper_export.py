"""What a training machine hands back: the best weights in half precision, in small files.

    python benchmarks/paper_export.py --root paper-runs --out bundles --kinds sereega
    python benchmarks/paper_export.py --root paper-runs --unpack bundles/*.tar

A checkpoint with its optimiser is four times as large as what a table needs. ``best.pt`` holds
the weights that did best on validation data (float16), the run's description and its history;
histories of all trials travel, weights of each method's best one (``--all``: of every one).
"""

import argparse
import io
import tarfile
from pathlib import Path

import torch
from paper_setup import KINDS, best_run, read_run, runs_of

from mne_mmnet.baselines import ESTIMATORS, VARIANTS

LIMIT = 15 * 2**20


def pack_run(directory, weights):
    """Bytes of ``best.pt`` of one run, with its weights or without."""
    state = read_run(directory)
    best = {name: tensor.half() for name, tensor in state["best"].items()} if weights else {}
    blob = io.BytesIO()
    torch.save(dict(description=state["description"], history=state["history"], best=best), blob)
    return blob.getvalue()


def export(root, out, kinds, methods, everything=False):
    """Write the runs' results as tar files below 15 MiB; return their paths."""
    files = {}
    for kind in kinds:
        for name in methods:
            chosen = best_run(root, name, kind, missing_ok=True)
            for directory in runs_of(root, name, kind):
                blob = pack_run(directory, everything or directory == chosen)
                files[f"{directory.name}/best.pt"] = blob
    bundles = []  # first fit, the largest first
    for name in sorted(files, key=lambda name: -len(files[name])):
        size = len(files[name]) + 1536
        bundle = next((b for b in bundles if b[0] + size <= LIMIT), None)
        if bundle is None:
            bundle = [10240, []]
            bundles.append(bundle)
        bundle[0] += size
        bundle[1].append(name)
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, (_, names) in enumerate(bundles):
        paths.append(out / f"runs-{'-'.join(kinds)}-{number}.tar")
        with tarfile.open(paths[-1], "w") as archive:
            for name in names:
                entry = tarfile.TarInfo(name)
                entry.size = len(files[name])
                archive.addfile(entry, io.BytesIO(files[name]))
    return paths


def main():
    """Pack or unpack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path("paper-runs"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument(
        "--methods",
        nargs="+",
        default=(*ESTIMATORS, *VARIANTS),
        choices=(*ESTIMATORS, *VARIANTS),
    )
    parser.add_argument("--all", action="store_true", help="weights of every trial")
    parser.add_argument("--unpack", type=Path, nargs="+", metavar="TAR")
    args = parser.parse_args()
    if args.unpack:
        for path in args.unpack:
            with tarfile.open(path) as archive:
                archive.extractall(args.root, filter="data")
    elif args.out is None:
        parser.error("give --out or --unpack")
    else:
        for path in export(args.root, args.out, args.kinds, args.methods, args.all):
            print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
