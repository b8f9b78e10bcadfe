"""Fine-tuning: what ten minutes on one core gain on a foreign head, and whether they harm at home.

    python benchmarks/finetune.py

**child**: a sphere of 70 mm radius with a thin skull of high conductivity (0.03 S/m; 0.006 in
training), 64 electrodes, the template's sources scaled to fit. Tuned through ``fine_tune``. The
test heads are computed anew by MNE. No head, seed or perturbation is shared with the tuning, which
perturbs one lead field smoothly without computing another.

**template**: the template head with the BioSemi-64 layout, inside the training domain; the test
heads are those of the people of validation (``mne_mmnet.simulation.person``).

Test recordings are drawn from the training distribution, with this montage, the default
orientation and the nominal head for the inversion. They come in pairs, a recording and a window of
it, which count once (``n``). Paired differences with 95 % bootstrap intervals. Writes
``finetune.csv``.
"""

import time
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import torch
from common import machine, make_info, referenced, write_rows
from runner import RESULTS, made_by, make_parser, tell

import mne_mmnet
from mne_mmnet._mne import describe_head, prepare_forward
from mne_mmnet.inverse.operator import name_head
from mne_mmnet.network import HEADS, ORIENTS
from mne_mmnet.simulation import HeadArchive, PeopleArchive, SimulationConfig
from mne_mmnet.simulation.batch import PAIR
from mne_mmnet.training.command import VALIDATION_PEOPLE, VALIDATION_SEED, read_people
from mne_mmnet.training.fine_tuning.evidence import (
    FineTuneConfig,
    compare,
    fine_tune_network,
    measure,
)
from mne_mmnet.training.fine_tuning.own_forward import make_archive
from mne_mmnet.training.loop import Space
from mne_mmnet.training.parts import Parts

RADIUS, CENTRE = 0.070, (0.0, 0.0, 0.04)  # m
SKULL, SHARES = 0.03, (0.90, 0.93, 0.96, 1.0)
N_HEADS, SEED, BATCH = 5, 90_210, 4


def make_child(rng=None):
    """Info and forward solution; with a generator, of a head that differs from the nominal one."""
    info = make_info("biosemi64", 250.0)
    places = np.array([ch["loc"][:3] for ch in info["chs"]])
    places = places - places.mean(axis=0) + [0, 0, 0.02]
    places = RADIUS * places / np.linalg.norm(places, axis=1, keepdims=True)
    skull, thickness = SKULL, 1.0
    if rng is not None:
        skull = float(np.exp(rng.uniform(np.log(0.012), np.log(0.06))))
        thickness = float(rng.uniform(0.6, 1.6))
        places = places + rng.uniform(0, 0.005) / np.sqrt(3) * rng.standard_normal(places.shape)
        places *= RADIUS / np.linalg.norm(places, axis=1, keepdims=True)
    names = info["ch_names"]
    montage = mne.channels.make_dig_montage(
        dict(zip(names, places + CENTRE, strict=True)), coord_frame="head"
    )
    info = mne.create_info(names, 250.0, "eeg").set_montage(montage)
    brain, csf, bone, skin = SHARES
    csf, bone = csf, csf + (bone - csf) * thickness
    sphere = mne.make_sphere_model(
        CENTRE, RADIUS, relative_radii=(brain, csf, bone, skin), sigmas=(0.33, 1.0, skull, 0.33)
    )
    template = mne_mmnet.make_template_forward(make_info("biosemi64", 250.0), positions="as given")
    src = template["src"].copy()
    every = np.concatenate([space["rr"][space["vertno"]] for space in src])
    middle = 0.5 * (every.min(axis=0) + every.max(axis=0))
    size = 0.97 * brain * RADIUS / np.linalg.norm(every - middle, axis=1).max()
    for space in src:
        space["rr"] = (space["rr"] - middle) * size + CENTRE
    trans = mne.transforms.Transform("head", "mri")
    fwd = mne.make_forward_solution(info, trans, src, sphere, meg=False, mindist=0.0)
    return referenced(info), fwd


def child_people():
    """Info, forward solution, and the test heads as people that are inverted with it."""
    info, fwd = make_child()
    own = make_archive(info, fwd, prepare_forward(info, fwd))
    rng = np.random.default_rng(SEED)
    gains = []
    for _ in range(N_HEADS):
        other, solution = make_child(rng)
        gains.append(make_archive(other, solution, prepare_forward(other, solution)).gains[0])
    nominal = np.broadcast_to(own.gains[0], (N_HEADS, *own.gains[0].shape))
    people = PeopleArchive(
        standard=own.gains[0],
        true=np.stack(gains),
        own=nominal,
        fitted=nominal,
        deep=np.zeros((N_HEADS, len(own.electrodes), 1, 3), np.float32),
        **shared(own),
    )
    return info, fwd, people


def shared(archive):
    """Electrodes and sources, of which another archive of the same has the same."""
    names = "electrodes", "groups", "positions", "normals", "adjacency"
    return {name: getattr(archive, name) for name in names}


def template_people(folder):
    """Take the template's head, and the test people, with the electrodes of one layout."""
    path = None
    if folder is not None:
        path = Path(folder) / f"ico3-{VALIDATION_PEOPLE}-seed{VALIDATION_SEED}.npz"
    people = read_people(path, n_people=VALIDATION_PEOPLE, spacing="ico3", seed=VALIDATION_SEED)
    picks = people.layouts[next(name for name in people.layouts if "biosemi64" in name)]
    people = replace(people.pick_electrodes(picks), groups=np.zeros(len(picks), int))
    template = HeadArchive(
        gains=people.standard[None],
        **shared(people),
        source_space=people.source_space,
    )
    return template, people


def simulation_of(n_channels, head, **options):
    """Make the distribution of recordings: one montage, one kind of head, default orientation."""
    return SimulationConfig(
        n_channels=(n_channels, n_channels),
        layouts=0.0,
        heads=(*(float(head == name) for name in HEADS), 0.0),
        orients=tuple(float(name == "evidence") for name in ORIENTS),
        **options,
    )


def main():
    """Run the benchmark."""
    parser = make_parser(__file__, __doc__, out=RESULTS / "finetune.csv")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--n-batches", type=int, default=50, help=f"of {BATCH} test recordings")
    parser.add_argument("--people-folder", help="where lead fields are kept; default: the cache")
    parser.add_argument("--cases", nargs="+", default=["child", "template"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    mne.set_log_level("warning")
    base = mne_mmnet.read_model(args.model)
    rows = []
    for case in args.cases:
        started = time.monotonic()
        if case == "child":
            info, fwd, people = child_people()
            head = name_head(describe_head(info, fwd))
            tuned = mne_mmnet.fine_tune(fwd, info=info, minutes=args.minutes, model=base).network
        else:
            own, people = template_people(args.people_folder)
            head = "template"
            # as fine_tune does: such fields are not known of a given head
            simulation = simulation_of(len(own.electrodes), head, deep=0.0)
            config = FineTuneConfig(simulation=simulation, minutes=args.minutes)
            folder = args.out.parent / "finetune-checkpoints"
            folder.mkdir(parents=True, exist_ok=True)
            tuned, _ = fine_tune_network(
                base.network, own, config, folder, progress=lambda share: None
            )
            folder.rmdir()
        minutes = (time.monotonic() - started) / 60
        # deep places are known of the people of validation alone
        deep = {"deep": 0.0} if case == "child" else {}
        test = simulation_of(len(people.electrodes), head, **deep)
        space = Space(people, base.network.config)
        batches = [space.simulate(test, BATCH, [SEED, k]) for k in range(args.n_batches)]
        parts = Parts(space.device)
        before, after = (
            measure(network, space, batches, parts) for network in (base.network, tuned)
        )
        for line in compare(before, after):
            mean, low, high = line.change
            row = dict(
                case=case,
                measure=line.measure,
                n=len(before) // PAIR,
                before=f"{line.before:.4f}",
                after=f"{line.after:.4f}",
                change=f"{mean:+.4f}",
                low=f"{low:+.4f}",
                high=f"{high:+.4f}",
                minutes=f"{minutes:.1f}",
            )
            rows.append(row)
            tell(row)
    notes = args.model, f"seed {SEED}", f"{machine()}, 1 thread"
    comment = made_by(args, "minutes n_batches", *notes)
    write_rows(args.out, comment, rows)


if __name__ == "__main__":
    main()
