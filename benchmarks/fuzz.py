"""Fuzzing at length: thousands of odd recordings through the public functions.

``python benchmarks/fuzz.py`` runs the properties of ``tests/test_fuzz.py`` on 2100 cases (2 to 7
minutes on one core) and writes how they ended to ``benchmarks/results/fuzz.txt``. The share of
the cases that a test gets is the one of its everyday run; ``--seed`` draws other cases than that
run's. ``--only`` runs one test, and keeps the lines of the others: commands that are cut off can
be done in parts.
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

from mne_mmnet._support.files import whole_file

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "fuzz.txt"
TESTS = ("test_anything", "test_sound", "test_relation", "test_microvolts")


def run(name):
    """Run one test to its end, and count how its cases ended; a failure is raised."""
    import test_fuzz

    test_fuzz.OUTCOMES.clear()
    started = time.perf_counter()
    getattr(test_fuzz, name)()
    outcomes = test_fuzz.OUTCOMES
    total = sum(n for how, n in outcomes.items() if not how.startswith("warning"))
    lines = [f"{name}: {total} cases, 0 failures, {time.perf_counter() - started:.0f} s"]
    lines += [f"    {how}: {n}" for how, n in outcomes.most_common()]
    return "\n".join(lines)


def main():
    """Run the tests, and write the results after each of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2100)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--only", choices=TESTS)
    args = parser.parse_args()
    os.environ["MNE_MMNET_FUZZ"] = str(args.cases)
    if args.seed is not None:
        os.environ["MNE_MMNET_FUZZ_SEED"] = str(args.seed)
    sys.path.insert(0, str(HERE.parent / "tests"))
    done = {}
    if args.only and RESULTS.exists():
        done = {part.split(":")[0]: part.strip() for part in RESULTS.read_text().split("\n\n")[1:]}
    for name in [args.only] if args.only else TESTS:
        done[name] = run(name)
        total = sum(int(re.search(r": (\d+) cases", part)[1]) for part in done.values())
        parts = [
            f"{total} generated cases, seed {args.seed}",
            *(done[key] for key in TESTS if key in done),
        ]
        with whole_file(RESULTS) as path:
            path.write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
