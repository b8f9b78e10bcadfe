"""Faults of ten kinds on people's heads: how many are caught, how many named, false alarms.

    python benchmarks/faults.py --n-each 10 --n-pairs 40

A recording is simulated on a head of its own (``simulation.people``: other size, folds, skull and
electrodes than the template's), spoilt in one way, and localised on the template as a user would,
with electrodes digitised to 2 mm. Beside the share that raises a concern, or an error, stands the
same of those that move the strongest region by more than 20 mm from where the recording has it
without the fault. False alarms: all of MNE's built-in montages by name, and clean simulations,
half of them on the template, half on people's heads.
"""

import re

import mne
import numpy as np
from common import write_rows
from mne.transforms import apply_trans
from people_suite import draw_head, worn_leadfield
from runner import made_by, make_parser, quiet
from scipy.spatial.transform import Rotation

import mne_mmnet
from mne_mmnet._mne import doubt_positions, electrode_positions
from mne_mmnet.dictionary.regions import Regions
from mne_mmnet.simulation.people import TemplateHead
from mne_mmnet.simulation.person import tilt_normals

SEED = 23
SFREQ, N_TIMES = 500.0, 60
FAR_MM = 20.0
NAMES = tuple(mne.channels.make_standard_montage("biosemi64").ch_names)
# what the checks of electrodes and channels say; other concerns are of the estimate, not of faults
SAID = {
    "frame": r"not head coordinates: the electrodes (are turned|lie|are \d+ mm off)",
    "mirror": r"mirror image",
    "order": r"names? belong|another order|neighbours predict",
    "unit": r"another unit|µV by 1e6",
    "size": r"of the template's size",
    "channel": r"not what the other channels predict",
    "exchanged": r"seem to be exchanged",
    "drift": r"electrodes drift",
    "copies": r"same numbers",
    "moved": r"lie \d+ mm \(median\)",
    "flat": r" flat: ",
    "rank": r"The data have rank",
}


def _turned(axis, degrees):
    turn = Rotation.from_euler(axis, degrees, degrees=True).as_matrix()
    return lambda places, data, rng: (places @ turn.T, data)


def _one_bad(places, data, rng):
    data[rng.integers(len(data))] += 50e-6
    return places, data


def _three_noisy(places, data, rng):
    rows = rng.choice(len(data), 3, replace=False)
    data[rows] += 2e-5 * rng.standard_normal((3, data.shape[1]))
    return places, data


def _bridged(places, data, rng):
    a, b = rng.choice(len(data), 2, replace=False)
    data[b] = data[a]
    return places, data


def _rows_shuffled(places, data, rng):
    return places, data[rng.permutation(len(data))]


def _alphabetical(places, data, rng):
    """Positions read from a list sorted by name, taken for that of the channels."""
    return places[np.argsort(NAMES)], data


def _exchanged(places, data, rng):
    """Exchange two cables, anywhere on the head."""
    pair = rng.choice(len(data), 2, replace=False)
    data[pair] = data[pair[::-1]]
    return places, data


def _mirror_pair(places, data, rng):
    """Exchange an electrode of one side and its like on the other."""
    sided = [name for name in NAMES if name[-1] in "13579"]
    left = sided[rng.integers(len(sided))]
    right = left[:-1] + str(int(left[-1]) + 1)
    pair = np.array([NAMES.index(left), NAMES.index(right)])
    data[pair] = data[pair[::-1]]
    return places, data


def _neighbours(places, data, rng):
    """Exchange two electrodes next to each other."""
    one = rng.integers(len(data))
    order = np.argsort(np.linalg.norm(places - places[one], axis=1))
    pair = np.array([one, order[rng.integers(1, 5)]])
    data[pair] = data[pair[::-1]]
    return places, data


# kind: in the list of cases, what names it rightly, what it does to positions and (in place) data
FAULTS = {
    "axes: x to the nose": (True, ("frame",), _turned("z", 90)),
    "left and right exchanged": (True, ("mirror",), lambda p, d, _: (p * [-1, 1, 1], d)),
    "no fiducials": (True, ("frame",), lambda p, d, _: (p + np.array([0, -0.03, -0.042]), d)),
    "one channel 50 µV off": (True, ("channel",), _one_bad),
    "µV taken for V": (True, ("unit",), lambda p, d, _: (p, 1e6 * d)),
    "positions in order of names": (False, ("order",), _alphabetical),
    "cap tipped by 40°": (False, ("frame",), _turned("x", 40)),
    "rows of the data shuffled": (False, ("order", "channel"), _rows_shuffled),
    "three noisy channels": (False, ("channel",), _three_noisy),
    "bridged channels": (False, ("copies", "channel"), _bridged),
}
# single pairs of channels exchanged, which is hard to see: counted apart
PAIRS = {
    "any two exchanged": (False, ("exchanged", "channel"), _exchanged),
    "left for right, one pair": (False, ("exchanged", "channel"), _mirror_pair),
    "neighbours exchanged": (False, ("exchanged", "channel"), _neighbours),
}


class Heads:
    """People's heads, and the recordings that are made on them."""

    def __init__(self, n_people):
        info = mne.create_info(list(NAMES), SFREQ, "eeg").set_montage("biosemi64")
        places = np.array([channel["loc"][:3] for channel in info["chs"]])
        self.template = TemplateHead("ico3", info, places)
        self.people = []
        for number in range(n_people):
            head = draw_head(self.template, SEED, number)
            gain = worn_leadfield(head)
            rng = np.random.default_rng([SEED, number])
            normals = tilt_normals(rng, self.template.normals, self.template.positions, 25.0)
            digitised = apply_trans(self.template.trans, head.digitised)
            self.people.append((np.einsum("esk,sk->es", gain, normals), digitised))

    def draw(self, number):
        """Positions (m) and data (V) of a recording: two patches, background and white noise."""
        rng = np.random.default_rng([SEED, 1, number])
        gain, places = self.people[number % len(self.people)]
        rows = rng.choice(gain.shape[1], 2, replace=False)
        wave = np.hanning(N_TIMES)
        data = np.outer(gain[:, rows[0]], wave) + 0.4 * np.outer(
            gain[:, rows[1]], np.roll(wave, 9)
        )
        background = gain @ rng.standard_normal((gain.shape[1], N_TIMES))
        white = rng.standard_normal(data.shape)
        power = np.mean((data - data.mean(axis=0)) ** 2)
        for noise, share in ((background, 0.2), (white, 0.1)):
            data += noise * np.sqrt(share * power / np.mean(noise**2))
        return places, 4e-6 * data / np.abs(data).max()


def localize(places, data):
    """Strongest region (mm), texts of concerns; the text of an error and no place."""
    info = mne.create_info(list(NAMES), SFREQ, "eeg")
    ch_pos = dict(zip(NAMES, places, strict=True))
    montage = mne.channels.make_dig_montage(
        ch_pos, nasion=[0, 0.1, 0], lpa=[-0.08, 0, 0], rpa=[0.08, 0, 0], coord_frame="head"
    )
    info.set_montage(montage)
    evoked = mne.EvokedArray(data, info, verbose="error").set_eeg_reference(projection=True)
    try:
        # the fit to digitised points takes seconds a recording, and changes none of the checks
        fwd = mne_mmnet.make_template_forward(info, fit=False)
        stc, report = mne_mmnet.apply_mmnet_inverse(evoked, fwd, loose=1.0, return_report=True)
    except ValueError as error:
        return None, (str(error),)
    places = 1e3 * fwd["source_rr"]
    sizes = np.sqrt(np.mean(stc.data**2, axis=1))
    return places[Regions(places).strongest(sizes[:, np.newaxis])[0]], report.concerns


def name_faults(texts):
    """Kinds of faults that texts speak of."""
    return {kind for kind, words in SAID.items() if any(re.search(words, text) for text in texts)}


def run_faults(heads, n_each, n_pairs):
    """Spoil recordings in all ways; a row for each."""
    for k, (kind, (known, names, spoil)) in enumerate((FAULTS | PAIRS).items()):
        for number in range(n_pairs if kind in PAIRS else n_each):
            places, data = heads.draw(100 * k + number)
            right, _ = localize(places, data)
            rng = np.random.default_rng([SEED, 2, k, number])
            where, texts = localize(*spoil(places, data.copy(), rng))
            found = name_faults(texts)
            yield dict(
                kind=kind,
                listed=known,
                moved_mm=np.inf if where is None else np.linalg.norm(where - right),
                caught=bool(found),
                named=bool(found & set(names)),
                error=where is None,
                said=" ".join(sorted(found)),
            )


def count_false_alarms(heads, n_clean):
    """Built-in montages, and clean recordings on the template and on people, that are doubted."""
    montages = mne.channels.get_builtin_montages()
    doubted = []
    for name in montages:
        channels = mne.channels.make_standard_montage(name).ch_names
        info = mne.create_info(channels, 100.0, "eeg").set_montage(name)
        if doubt_positions(*electrode_positions(info)):
            doubted.append(name)
    alarms = [("built-in montages", len(montages), len(doubted), " ".join(doubted))]
    people = [name_faults(localize(*heads.draw(5000 + k))[1]) for k in range(n_clean // 2)]
    template = [name_faults(_on_template(k)) for k in range(n_clean // 2)]
    for what, found in (("people's heads", people), ("template", template)):
        kinds = " ".join(sorted(set().union(*found)))
        alarms.append((what, len(found), sum(map(bool, found)), kinds))
    return alarms


def _on_template(number):
    """Texts of a clean recording on the template, one source, 30 or 64 electrodes."""
    rng = np.random.default_rng([SEED, 3, number])
    names = NAMES if number % 2 else NAMES[::2]
    info = mne.create_info(list(names), SFREQ, "eeg").set_montage("biosemi64")
    fwd = mne_mmnet.make_template_forward(info)
    lead = mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True)["sol"]["data"]
    data = np.outer(lead[:, rng.integers(lead.shape[1])], 5e-8 * np.hanning(N_TIMES))
    data += rng.choice([1e-7, 3e-7, 1e-6]) * rng.standard_normal(data.shape)
    evoked = mne.EvokedArray(data, info, verbose="error").set_eeg_reference(projection=True)
    return mne_mmnet.apply_mmnet_inverse(evoked, fwd, loose=1.0, return_report=True)[1].concerns


def summarise(rows, alarms):
    """Put the results into lines."""
    lines = [f"{'kind':30s} listed  n  caught  named  moved > 20 mm: n caught  median move (mm)"]
    for kind in [*FAULTS, None, *PAIRS]:
        kinds = FAULTS if kind is None else (kind,)
        part = [row for row in rows if row["kind"] in kinds]
        far = [row for row in part if row["moved_mm"] > FAR_MM]
        finite = [row["moved_mm"] for row in part if np.isfinite(row["moved_mm"])]
        caught, named, caught_far = (
            f"{100 * np.mean([row[key] for row in each]):.0f} %" if each else "-"
            for each, key in ((part, "caught"), (part, "named"), (far, "caught"))
        )
        listed = "" if kind is None else "yes" if part[0]["listed"] else "no"
        lines.append(
            f"{kind or 'all':30s} {listed:6s} {len(part):3d} {caught:>6s} {named:>6s} "
            f"{len(far):15d} {caught_far:>6s} {np.median(finite) if finite else np.nan:12.0f}"
        )
    lines += [
        f"False alarms, {what}: {number} of {total} {said}" for what, total, number, said in alarms
    ]
    return lines


def main():
    """Run the benchmark from the command line."""
    parser = make_parser(__file__, __doc__, model=False)
    parser.add_argument("--n-each", type=int, default=10, help="faults of each kind")
    parser.add_argument("--n-pairs", type=int, default=40, help="pairs of each kind")
    parser.add_argument("--n-clean", type=int, default=200, help="clean recordings")
    parser.add_argument("--people", type=int, default=5, help="heads")
    args = parser.parse_args()
    quiet()
    heads = Heads(args.people)
    rows = list(run_faults(heads, args.n_each, args.n_pairs))
    lines = summarise(rows, count_false_alarms(heads, args.n_clean))
    print("\n".join(lines))
    moved = [row | dict(moved_mm=f"{row['moved_mm']:.1f}") for row in rows]
    comment = made_by(args, "n_each n_pairs n_clean people")
    write_rows(args.out / "faults.csv", comment, moved)
    (args.out / "faults.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
