"""Other people's heads: simulated on 24 of them, inverted on the template and on their own.

    pip install -c constraints.txt -e ".[benchmark]"
    python benchmarks/people.py --methods peers     # hours on one core: --people 8 for a part
    python benchmarks/people.py --methods ours old
    python benchmarks/people.py --methods           # tables alone, of what there is
    python benchmarks/people.py --methods mmnet-cosine sLORETA eLORETA --heads template \
        --montages biosemi64 --n-recordings 16 --out benchmarks/results/people_cosine
    python benchmarks/people.py --population        # how much these people differ

**Different lead fields** for simulation and inversion in every row; what is simulated and inverted
says ``people_suite.py``, what it is compared with ``peers.py``, how it is scored
``people_scores.py``. All methods get the same data, covariance and forward solution, and are read
in the same way. With the strongest region of the window's power, and an orientation constraint of
0.2 ("sLORETA, loose=0.2"), the classical methods are at their best where there is one source.

"mmnet-cosine" is the paper's route, on the template only, to whose sources its weights belong; it
is compared with the better of MNE's sLORETA and eLORETA. "mmnet 2482684" is the commit before this
population, run beside (``against.py``).

A method that fails on a recording is counted in ``n_failed`` and scored as a map of zeros. Writes
``people.csv`` (means, 95 % bootstrap intervals with people as clusters), ``people_lead.csv``
(mmnet against the best peer of each cell and column, paired, which favours the peer) and
``people.png``; of the part ``dipole`` (shares of a moment that come back) ``people_dipoles.csv``,
and of ``--covariance short`` or ``none`` what a covariance is worth, ``people_covariance.csv``.
"""

import atexit
from functools import cache, partial

import mne
import numpy as np
from against import Revision
from peers import PEERS, check_peers, sloreta_loose
from people_report import report
from people_run import KEYS, Answers, add_options, addresses
from people_scores import SCORES, Estimate, score, solve
from people_suite import PARTS, People
from runner import Store, choose, make_parser, quiet, run, slug

import mne_mmnet
from mne_mmnet.weights import read_card

BASE = "2482684"
# DESIGN §7; the other peers of peers.py are behind these everywhere
SHOWN = (
    "FlexChampagne",
    "OmniChampagne",
    "FLEX-AP",
    "lcmv-mvpure",
    "Gamma-MAP",
    "MxNE",
    "LCMV",
    "MNE",
    "dSPM",
    "sLORETA",
    "eLORETA",
)
BEST_CLASSICAL = "sLORETA, loose=0.2"
OURS = {"mmnet": {}, "mmnet, loose=0": dict(loose=0.0)}
# the paper's route: no uncertainty, currents along the normals
PAPER = "mmnet-cosine"
LINEAR = ("sLORETA", "eLORETA")
OLD = {f"mmnet {BASE}": {}, f"mmnet {BASE}, loose=0.2": dict(loose=0.2)}


def _peer(name, case, inversion):
    noise_cov = _ad_hoc(case.evoked.info) if case.noise_cov is None else case.noise_cov
    method = sloreta_loose if name == BEST_CLASSICAL else PEERS[name]
    return Estimate.of(method(case.evoked, noise_cov, inversion), inversion)


def _ad_hoc(info):
    """Make what MNE has where there is no covariance: white, 0.2 µV; in average reference."""
    white = mne.make_ad_hoc_cov(info)
    n_channels = len(white["data"])
    data = white["data"][0] * (np.eye(n_channels) - 1.0 / n_channels)
    return mne.Covariance(data, white.ch_names, [], info["projs"], 0)


def _ours(model, options, case, inversion):
    """Run this package as users call it: vectors where the orientation is not fixed."""
    stc, uncertainty = mne_mmnet.apply_mmnet_inverse(
        case.evoked,
        inversion.free,
        case.noise_cov,
        model=model,
        pick_ori=None if options.get("loose") == 0.0 else "vector",
        return_uncertainty=True,
        **options,
    )
    level, std = uncertainty.confidence.data[:, 0], uncertainty.std.data[:, 0]
    return Estimate.of(stc.data, inversion, level=level, std=std)


def _paper(case, inversion):
    """Run the paper's route."""
    stc = mne_mmnet.apply_mmnet_inverse(case.evoked, inversion.free, case.noise_cov, model=PAPER)
    return Estimate.of(stc.data, inversion)


@cache
def _serve():
    """Start the commit to compare with; it ends with this process."""
    other = Revision(BASE)
    atexit.register(other.close)
    return other


def _old(options, case, inversion):
    """Run the commit to compare with; it fixed the orientation unless told otherwise."""
    found = _serve().localise(
        case.evoked,
        case.noise_cov,
        inversion,
        pick_ori="vector" if options else None,
        return_uncertainty=True,
        **options,
    )
    return Estimate.of(found["data"], inversion, level=found["level"], std=found["std"])


def make_methods(model):
    """Name every method: functions of (case, inversion) that return an :class:`Estimate`."""
    methods = {name: partial(_ours, model, options) for name, options in OURS.items()}
    methods |= {name: partial(_old, options) for name, options in OLD.items()}
    methods[PAPER] = _paper
    return methods | {name: partial(_peer, name) for name in (*SHOWN, BEST_CLASSICAL)}


def make(args):
    """Make the worker of a process."""
    methods = make_methods(args.model)
    ask = {name: partial(solve, score, methods[name]) for name in args.names}
    return Answers(args, ask)


def main():
    """Run the benchmark."""
    parser = make_parser(__file__, __doc__, work="people/rows")
    add_options(parser)
    parser.add_argument("--part", choices=PARTS, default="main")
    parser.add_argument(
        "--methods", nargs="*", default=["all"], help='names, "peers", "ours", "old"; none: tables'
    )
    parser.add_argument("--no-report", action="store_true", help="write no tables and figures")
    parser.add_argument("--population", action="store_true", help="describe the people instead")
    args = parser.parse_args()
    if args.population:
        from people_population import describe

        quiet()
        describe(People(args.folder), range(args.people), args.out)
        return
    peers = (*SHOWN, BEST_CLASSICAL)
    methods = (*OURS, *OLD, PAPER, *peers)
    groups = dict(all=methods, peers=peers, ours=tuple(OURS), old=tuple(OLD))
    args.names = choose(parser, args.methods, groups, methods)
    check_peers(args.names)
    # a table of peers alone needs no weights
    ours = set(OURS) & set(args.names) or not args.no_report
    sha256 = dict.fromkeys(OURS, read_card(args.model).sha256 if ours else None)
    sha256[PAPER] = read_card(PAPER).sha256
    stores = {
        (head, name): Store(
            args.work / f"{head}-{slug(name)}.jsonl", KEYS, sha256.get(name), SCORES
        )
        for head in args.heads
        for name in methods
        if name != PAPER or head == "template"
    }
    if args.names:
        wanted = {key: store for key, store in stores.items() if key[1] in args.names}
        run(make, args, addresses(args, args.part), wanted)
    if not args.no_report:
        pairs = ((OURS, peers), (OURS, OLD), (OLD, peers), ((PAPER,), LINEAR))
        report(stores, args, (*OURS, *OLD, PAPER, *peers), pairs)


if __name__ == "__main__":
    main()
