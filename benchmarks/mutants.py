"""Mutation testing: the changes of the solver's core that no test notices.

``pip install -c constraints.txt mutmut``, then ``python benchmarks/mutants.py`` (an hour on two
cores). mutmut changes the code of ``objective``, ``majorant`` and ``solver`` in a clone, one place
at a time, and runs the tests that reach it (``[tool.mutmut]`` of ``pyproject.toml``). Mutants that
survive are shown in ``results/mutants.txt``, sorted by the reasons below. ``--folder`` keeps the
clone: a run that was cut off goes on there, and ``--report`` only sorts what is found.
``--digits 3 7`` takes a sample, the mutants of a function whose numbers end in these digits, to
``results/mutants_sample.txt``.
"""

import argparse
import re
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from mne_mmnet._support.files import whole_file

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "mutants.txt"

# why a mutant can survive good tests: reason, pattern of the line put in, pattern of the function
REASONS = [
    (
        "Device: the tests have only a CPU, which is the default device",
        r"device=None|(?<!kernel\)), \)|\.to\(None, |\.to\(torch\.float32\)|\.to\(None\)",
        r"CosineModelǁbuild|_synthesise|freeze_all_but|GeneralObjectiveǁvalues|certified_step|descend",
    ),
    (
        "Device: the tests have only a CPU, which is the default device",
        r"device=None|dtype=[a-z.()_]+, \)",
        "",
    ),
    (
        "Device: the tests have no MPS, which lacks an eigensolver and double precision",
        r"mps|MPS|eigh\(None\)|values, vectors = None|values\.to\(|posterior|\(prior|\(v\.device",
        r"factor_dtype|symmetric_eigen|posterior_variance",
    ),
    (
        "Cost only: the same numbers come by another way (blocks, broadcasting, shortcuts)",
        "",
        r"products\.x__columns|_(Quadratics|Gram)ǁforward|certified_step|data_factor",
    ),
    (
        "Precision: the other factor or term is in double precision and lifts this one, or what "
        "is lost is below the rounding of the rest",
        r"\.to\(None\)|dtype=None|exact = None"
        r"|torch\.(eye|ones|as_tensor)\([^,]*, (device=|\))",
        "",
    ),
    (
        "Square or two-dimensional: dimension +1 is -1, shape[-2] is shape[-1]",
        r"\+1[])]|shape\[-2\]|x\[1\]\.numel|, \)\.indices",
        "",
    ),
    (
        "Not reached: the other branch of torch.where takes its place, or a later bound does",
        r"torch\.where|nan_to_num|clamp\(None|nothing > 1|clamp_min\(1\.0\) \*\* 2",
        "",
    ),
    ("zip's parts are of one length by construction", r"strict=|, \)+$", r"_combine|certify"),
    ("Equivalent: torch finds the shape by itself", "^$", "posterior_variance"),
    ("Killed by a test written since: data without noise, of any scale", r"unit < 0\)", ""),
    (
        "Equivalent but for rounding (third orthogonalisation, signs beside the diagonal, ties)",
        r"range\(3\)|diag_embed|share > 0\.5|scaled >= 1\.0|check_invariants",
        "",
    ),
]


def call(*command, cwd):
    """Run a command; return what it printed."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout


def find_mutants(folder):
    """State of every mutant."""
    lines = call("mutmut", "results", "--all", "true", cwd=folder).splitlines()
    pairs = (line.strip().rsplit(": ", 1) for line in lines if ": " in line)
    return {name: state for name, state in pairs if "__mutmut_" in name and state != "not checked"}


def show(folder, name):
    """Return the lines that a mutant changes: those taken out, those put in."""
    lines = call("mutmut", "show", name, cwd=folder).splitlines()
    changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return tuple(re.sub(r"\s+", " ", line) for line in changed)


def explain(name, lines):
    """Find the reason for which a mutant survives."""
    put_in = "\n".join(line for line in lines if line[0] == "+")
    for reason, pattern, function in REASONS:
        if re.search(function, name) and re.search(pattern, put_in):
            return reason
    return "Not explained"


def report(folder, options):
    """Write the table and the survivors."""
    states = find_mutants(folder)
    tables = defaultdict(Counter)
    for name, state in states.items():
        tables[".".join(name.split(".")[:3])][state] += 1
    survivors = [name for name, state in states.items() if state in ("survived", "no tests")]
    with ThreadPoolExecutor(2) as pool:
        changes = list(pool.map(lambda name: show(folder, name), survivors))
    reasons = defaultdict(list)
    for name, lines in zip(survivors, changes, strict=True):
        reasons[explain(name, lines)].append((name, lines))
    total = sum(tables.values(), Counter())
    kinds = sorted(total)
    commit = call("git", "rev-parse", "--short", "HEAD", cwd=folder).strip()
    out = [
        f"# python benchmarks/mutants.py{options}; mutmut {version('mutmut')}, commit {commit}, "
        f"{time.strftime('%Y-%m-%d')}; killed: {total['killed'] / total.total():.1%}",
        "",
    ]
    out += [f"{'':36}" + "".join(f"{kind:>12}" for kind in kinds)]
    for module, counts in [*sorted(tables.items()), ("all", total)]:
        out.append(f"{module:36}" + "".join(f"{counts[kind]:12}" for kind in kinds))
    for reason, found in sorted(reasons.items(), key=lambda pair: pair[0] == "Not explained"):
        out += ["", f"{reason}: {len(found)}"]
        for name, lines in found:
            out += [f"    {name}", *(f"        {line}" for line in lines)]
    with whole_file(RESULTS.with_stem("mutants_sample") if options else RESULTS) as path:
        path.write_text("\n".join(out) + "\n", encoding="utf-8")


def main():
    """Clone, run and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--processes", default="2")
    parser.add_argument("--digits", nargs="*", default=[], choices=list("0123456789"))
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="mutants-"))
    if not (folder / "pyproject.toml").exists():
        call("git", "clone", "--quiet", str(HERE.parent), str(folder), cwd=HERE)
    if not args.report:
        names = [f"*__mutmut_*{digit}" for digit in args.digits]
        command = ["mutmut", "run", "--max-children", args.processes, *names]
        subprocess.run(command, cwd=folder, check=False)
    report(folder, " --digits " + " ".join(args.digits) if args.digits else "")


if __name__ == "__main__":
    main()
