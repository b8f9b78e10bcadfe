"""How accurate filters are on other people's heads: single trials, and alpha at rest.

    python benchmarks/filters_accuracy.py             # an hour on one core; --people 8 for a part

People, heads, sources and noise are those of ``people_suite.py`` (never trained on; 64 electrodes;
inverted on the template and on their own heads). **Different lead fields** for simulation and
inversion in every row. :func:`trial_methods` and :func:`rest_methods` are what is compared.

*trials*: 30 trials of 64 samples, of 1 to 3 patches with correlated courses; amplitudes vary by
trial (log-normal, 0.4) and each patch comes up to 8 ms early or late. The signal-to-noise ratio is
that of single trials. All methods get the noise covariance of 60 s before.

- ``course``: absolute correlation of a patch's true course, all trials one after the other, with
  the first principal component of the estimate within 15 mm, vectors where the method has some;
- ``region``: from the strongest region of each trial, at each patch's peak, to the patch that is
  then the strongest, in mm; ``peak``: from the strongest location.

λ² = 1 is the usual one for single trials. ``apply_nave`` was invented on other recordings of the
first eight people.

*rest*: 60 s of one patch of alpha (8 to 12 Hz noise), -10 to 0 dB within that band in background
activity of the brain and sensor noise; nothing is known of the noise. Cross-spectral densities are
of Morlet wavelets, covariances of the filtered data. Where it is said, the noise is the
covariance, or density, of the same rest at 14 to 30 Hz.

- ``region``, ``peak``: from the region, and the location, of the largest amplitude to the patch;
- ``other side``: share of the power in the other hemisphere.

Means, and 95 % intervals from bootstraps of people. Writes ``filters_trials.csv`` and
``filters_rest.csv``; rows are kept in ``--work`` and only missing ones are computed.
"""

from pathlib import Path

import mne
import numpy as np
import scipy.linalg
from common import write_rows
from intervals import clustered_interval
from mne.beamformer import apply_dics_csd, apply_lcmv_cov, apply_lcmv_epochs, make_dics, make_lcmv
from mne.minimum_norm import apply_inverse_cov, apply_inverse_epochs, make_inverse_operator
from mne.time_frequency import csd_array_morlet
from noise import draw_noise
from people_suite import FOLDER, HEADS, N_PEOPLE, People, high_pass
from runner import (
    Store,
    answers,
    attempt,
    deciding,
    fingerprint,
    made_by,
    make_parser,
    measured,
    run,
    tell,
)
from transfer_suite import N_TIMES, SFREQ, draw_courses, draw_extents, patch_profiles

import mne_mmnet
from mne_mmnet.dictionary.regions import REGION_MM, Regions
from mne_mmnet.metrics import strongest_region_error

MODEL = "mmnet-base"
SEED, MONTAGE, PARTS = 2202, "biosemi64", ("trials", "rest")
N_TRIALS, N_RECORDINGS = 30, 2
TRIAL_SNRS_DB, ALPHA_SNRS_DB = (-10, -5, 0), (-10, -5, 0)
N_BASELINE, N_REST = 60 * int(SFREQ), 60 * int(SFREQ)
BAND, OTHER_BAND = (8.0, 12.0), (14.0, 30.0)
# so small a region is the strongest location
_POINT_MM = 1.0


def draw_patches(people, rng, n_patches):
    """Draw patches of a people suite: profiles of unit sum, moments, centres."""
    extents = draw_extents(rng, n_patches)
    centres = rng.choice(len(people.fine.positions), n_patches, replace=False)
    profiles = patch_profiles(people.fine_graph, centres, extents)
    profiles /= profiles.sum(axis=1, keepdims=True)
    return centres, profiles, 1e-9 * rng.uniform(20.0, 60.0, n_patches)


def true_head(people, person):
    """Lead field of a person's own head, and where its electrodes were meant to be (mm)."""
    gain = people.true(person).gain[people.rows(MONTAGE)].astype(float)
    places = 1e3 * np.array([channel["loc"][:3] for channel in people.infos[MONTAGE]["chs"]])
    return gain, places


def draw_trials(people, person, number):
    """Simulate single trials: data, baseline, courses of the patches in each trial."""
    rng = np.random.default_rng([SEED, 0, person, number])
    gain, places = true_head(people, person)
    n_patches = int(rng.integers(1, 4))
    centres, profiles, moments = draw_patches(people, rng, n_patches)
    courses = draw_courses(rng, n_patches, float(rng.uniform(0.0, 0.9)))
    sizes = np.exp(0.4 * rng.standard_normal((N_TRIALS, n_patches, 1)))
    late = rng.integers(-2, 3, (N_TRIALS, n_patches))
    trials = np.array([[np.roll(c, n) for c, n in zip(courses, one, strict=True)] for one in late])
    trials = moments[:, None] * sizes * trials
    signal = np.einsum("cp,npt->nct", gain @ profiles.T, trials)
    signal -= signal.mean(axis=1, keepdims=True)
    n_noise = N_BASELINE + N_TRIALS * N_TIMES
    noise = draw_noise(rng, gain, places, n_noise, float(rng.uniform(0.0, 0.8)))
    noise = high_pass(noise - noise.mean(axis=0))
    snr_db = TRIAL_SNRS_DB[(person + number) % len(TRIAL_SNRS_DB)]
    noise *= np.sqrt(np.mean(signal**2) / np.mean(noise**2)) / 10.0 ** (snr_db / 20.0)
    rest = noise[:, N_BASELINE:].reshape(-1, N_TRIALS, N_TIMES).swapaxes(0, 1)
    return dict(
        data=signal + rest,
        baseline=noise[:, :N_BASELINE],
        trials=trials,
        profiles=profiles,
        centres=centres,
        factors=dict(snr_db=snr_db, n_patches=n_patches),
    )


def draw_rest(people, person, number):
    """Simulate rest: one patch of alpha in noise."""
    rng = np.random.default_rng([SEED, 1, person, number])
    gain, places = true_head(people, person)
    centres, profiles, moments = draw_patches(people, rng, 1)
    alpha = band_pass(rng.standard_normal((1, N_REST)))
    signal = (gain @ profiles.T) @ (moments[:, None] * alpha / alpha.std())
    signal -= signal.mean(axis=0)
    noise = draw_noise(rng, gain, places, N_REST, float(rng.uniform(0.2, 0.8)))
    noise = high_pass(noise - noise.mean(axis=0))
    snr_db = ALPHA_SNRS_DB[(person + number) % len(ALPHA_SNRS_DB)]
    inside = np.mean(band_pass(noise) ** 2)
    noise *= np.sqrt(np.mean(signal**2) / inside) / 10.0 ** (snr_db / 20.0)
    factors = dict(snr_db=snr_db, n_patches=1)
    return dict(data=signal + noise, profiles=profiles, centres=centres, factors=factors)


def band_pass(data):
    """Filter to the band, without edges."""
    return mne.filter.filter_data(data, SFREQ, *BAND, phase="zero", verbose="error")


def trial_methods(recording, inversion):
    """Estimates of all trials by every method, (n_trials, n_sources, 3 or 1, n_times)."""
    info = inversion.info.copy()
    epochs = mne.EpochsArray(recording["data"], info, verbose="error")
    epochs.set_eeg_reference(projection=True)
    info, evoked = epochs.info, epochs.average()
    baseline = recording["baseline"]
    second = baseline @ baseline.T / baseline.shape[1]
    cov = mne.Covariance(second, info["ch_names"], [], info["projs"], baseline.shape[1])
    vector = dict(pick_ori="vector")
    operator = mne_mmnet.make_mmnet_operator(info, inversion.free, cov)

    def filters(inst, **kwargs):
        made = mne_mmnet.make_mmnet_filters(inst, operator, **kwargs)
        return mne_mmnet.apply_mmnet_filters(epochs, made, return_as="array", **vector)

    def lcmv(fwd, pick_ori):
        data_cov = mne.compute_covariance(epochs, method="empirical", rank="info")
        made = make_lcmv(info, fwd, data_cov, 0.05, cov, **unit_noise_gain(pick_ori))
        return stack(apply_lcmv_epochs(epochs, made))

    def classical(method, lambda2):
        inverse = make_inverse_operator(info, inversion.free, cov, loose=0.2, depth=0.8)
        return stack(apply_inverse_epochs(epochs, inverse, lambda2, method, **vector))

    return {
        "mmnet, filters of the average": lambda: filters(evoked),
        "mmnet, filters of the average for trials": lambda: filters(evoked, apply_nave=1),
        "mmnet, filters of all trials": lambda: filters(epochs),
        "mmnet, each trial by itself": lambda: stack(
            mne_mmnet.apply_mmnet_inverse_epochs(epochs, operator, **vector)
        ),
        "LCMV": lambda: lcmv(inversion.fwd, None),
        "LCMV, vector": lambda: lcmv(inversion.free, "vector"),
        "eLORETA": lambda: classical("eLORETA", 1.0),
        "eLORETA, λ² = 1/9": lambda: classical("eLORETA", 1.0 / 9.0),
        "MNE": lambda: classical("MNE", 1.0),
    }


def unit_noise_gain(pick_ori):
    """Options of beamformers; with directions their gain must not depend on the axes."""
    gain = "unit-noise-gain" if pick_ori is None else "unit-noise-gain-invariant"
    return dict(pick_ori=pick_ori, weight_norm=gain, rank="info")


def stack(stcs):
    """Values of source estimates in one array, with an axis of directions."""
    data = np.array([stc.data for stc in stcs])
    return data if data.ndim == 4 else data[:, :, None]


def score_trials(estimate, recording, inversion):
    """Correlation of courses and distance of regions."""
    places = inversion.fine_positions[recording["centres"]]
    inside = np.linalg.norm(inversion.positions[:, None] - places, axis=-1) <= REGION_MM
    found = []
    for patch, rows in enumerate(inside.T):
        rows = rows if rows.any() else nearest(inversion.positions, places[patch])
        course = recording["trials"][:, patch].ravel()
        flat = np.moveaxis(estimate[:, rows], 0, -2).reshape(-1, course.size)
        flat = flat - flat.mean(axis=1, keepdims=True)
        values, vectors = np.linalg.eigh(flat @ flat.T)
        first = vectors[:, -1] @ flat
        found.append(abs(np.corrcoef(first, course)[0, 1]) if values[-1] > 0 else 0.0)
    errors, peak_errors = [], []
    for one, trial in zip(estimate, recording["trials"], strict=True):
        truth = inversion.to_coarse(recording["profiles"].T @ trial)
        peaks = np.abs(trial).argmax(axis=1)
        size = np.linalg.norm(one, axis=1)
        args = (size, truth, places, peaks, inversion.positions)
        errors += list(strongest_region_error(*args))
        peak_errors += list(strongest_region_error(*args, radius=_POINT_MM))
    return {
        "course": float(np.mean(found)),
        "region": float(np.mean(errors)),
        "peak": float(np.mean(peak_errors)),
    }


def nearest(positions, place):
    """Tell which source is nearest to a place, as a mask."""
    distance = np.linalg.norm(positions - place, axis=1)
    return distance == distance.min()


def rest_methods(recording, inversion):
    """Amplitudes (n_sources,) by every method."""
    raw = mne.io.RawArray(recording["data"], inversion.info.copy())
    raw.set_eeg_reference(projection=True).apply_proj()
    info, free, fixed = raw.info, inversion.free, inversion.fwd
    filtered = raw.copy().filter(*BAND)
    cov = mne.compute_raw_covariance(filtered)
    pieces = raw.get_data()[:, : N_REST // 512 * 512]
    pieces = pieces.reshape(len(pieces), -1, 512).swapaxes(0, 1)
    hertz = np.arange(BAND[0], BAND[1] + 0.5)
    csd = csd_array_morlet(pieces, SFREQ, hertz, ch_names=info["ch_names"], n_cycles=7).mean()
    noise_csd = csd_array_morlet(
        pieces, SFREQ, np.arange(*OTHER_BAND, 4.0), ch_names=info["ch_names"], n_cycles=7
    ).mean()
    white = mne.make_ad_hoc_cov(info)
    others = mne.compute_raw_covariance(raw.copy().filter(*OTHER_BAND))
    # the level at which half of the directions hold no more than noise
    values = scipy.linalg.eigvals(np.linalg.pinv(others.data) @ cov.data).real
    scaled = others.copy()
    scaled["data"] = others.data * np.median(np.sort(values)[1:])

    def beamformer(fwd, pick_ori, noise=None):
        made = make_lcmv(info, fwd, cov, 0.05, noise, **unit_noise_gain(pick_ori))
        return apply_lcmv_cov(cov, made)

    def dics(fwd, pick_ori, noise=None):
        options = unit_noise_gain(pick_ori)
        made = make_dics(info, fwd, csd, 0.05, noise, real_filter=True, **options)
        return apply_dics_csd(csd, made)[0]

    def eloreta():
        inverse = make_inverse_operator(info, free, white, loose=0.2, depth=0.8)
        return apply_inverse_cov(cov, info, inverse, lambda2=1.0 / 9.0, method="eLORETA")

    ways = {
        "mmnet, csd": lambda: mne_mmnet.apply_mmnet_inverse_csd(csd, info, free)[0],
        "mmnet, covariance": lambda: mne_mmnet.apply_mmnet_inverse_cov(cov, info, free),
        "mmnet, covariance, other band as noise": lambda: mne_mmnet.apply_mmnet_inverse_cov(
            cov, info, free, others
        ),
        "mmnet, covariance, other band scaled as noise": lambda: mne_mmnet.apply_mmnet_inverse_cov(
            cov, info, free, scaled
        ),
        "LCMV": lambda: beamformer(fixed, None),
        "LCMV, other band as noise": lambda: beamformer(fixed, None, others),
        "LCMV, vector": lambda: beamformer(free, "vector"),
        "LCMV, vector, other band as noise": lambda: beamformer(free, "vector", others),
        "DICS": lambda: dics(fixed, None),
        "DICS, max-power": lambda: dics(free, "max-power"),
        "DICS, max-power, other band as noise": lambda: dics(free, "max-power", noise_csd),
        "eLORETA": eloreta,
    }
    return {name: (lambda way=way: np.sqrt(way().data[:, 0])) for name, way in ways.items()}


def score_rest(amplitude, recording, inversion):
    """Distance of the strongest region, share of the power on the other side."""
    place = inversion.fine_positions[recording["centres"][0]]
    found = Regions(inversion.positions).strongest(amplitude)
    n_left = inversion.free["src"][0]["nuse"]
    is_left = np.arange(len(amplitude)) < n_left
    side = is_left[nearest(inversion.positions, place)][0]
    power = amplitude**2
    return {
        "region": float(np.linalg.norm(inversion.positions[found] - place)),
        "peak": float(np.linalg.norm(inversion.positions[amplitude.argmax()] - place)),
        "other side": float(power[is_left != side].sum() / power.sum()),
    }


_KINDS = {
    "trials": (draw_trials, trial_methods, score_trials),
    "rest": (draw_rest, rest_methods, score_rest),
}


class Worker:
    """Answers one recording with all methods, on both heads; see :mod:`runner`."""

    def __init__(self, args):
        self.people = People(args.folder)

    def __call__(self, address, due):
        part, person, number = address
        draw, methods, score = _KINDS[part]
        recording = draw(self.people, person, number)
        factors = dict(part=part, person=person, number=number) | recording["factors"]
        factors["fingerprint"] = fingerprint(recording["data"])
        for head in HEADS:
            if due(head, factors):
                inversion = self.people.inversion(head, MONTAGE, person)
                yield head, factors, measured(answer, recording, inversion, methods, score)


def answer(recording, inversion, methods, score):
    """Scores and seconds of every method; one that fails ends the others, and is told."""
    found = {}
    for name, method in methods(recording, inversion).items():
        estimate, result = attempt(method)
        if result["failure"]:
            raise RuntimeError(f"{name}: {result['failure']}")
        scores = score(estimate, recording, inversion)
        found[name] = scores | dict(seconds=result["seconds"])
    return dict(methods=found)


def summarise(rows, columns):
    """Means and intervals of every method on either head."""
    out = []
    for head in HEADS:
        for method in dict.fromkeys(row["method"] for row in rows):
            chosen = [row for row in rows if (row["head"], row["method"]) == (head, method)]
            line = dict(head=head, method=method, n=len(chosen))
            people = [row["person"] for row in chosen]
            for column in columns:
                values = np.array([row[column] for row in chosen])
                low, high = clustered_interval(values, people)
                line |= {column: f"{values.mean():.3f}", f"{column}_low": f"{low:.3f}"}
                line[f"{column}_high"] = f"{high:.3f}"
            line["seconds"] = f"{np.median([row['seconds'] for row in chosen]):.2f}"
            out.append(line)
    return out


def main():
    """Run the benchmark."""
    parser = make_parser(__file__, __doc__, model=False, work="filters")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--people", type=int, default=N_PEOPLE, help="the first so many")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of lead fields")
    args = parser.parse_args()
    for part in args.parts:
        wanted = [(part, person, k) for person in range(args.people) for k in range(N_RECORDINGS)]
        stores = {
            head: Store(
                args.work / f"{head}-{part}.jsonl", ("part", "person", "number"), deciding(MODEL)
            )
            for head in HEADS
        }
        run(Worker, args, wanted, stores)
        _, counts = answers([r for store in stores.values() for r in store.select(wanted)])
        # of a record, one row a method
        rows = [
            dict(head=head, method=name, person=record["person"]) | scores
            for head, store in stores.items()
            for record in answers(store.select(wanted))[0]
            for name, scores in record["methods"].items()
        ]
        columns = ("course", "region", "peak")
        columns = columns if part == "trials" else ("region", "peak", "other side")
        table = summarise(rows, columns)
        args.parts = part
        comment = made_by(
            args,
            "parts people",
            f"seed {SEED}, people of seed 2000, {N_RECORDINGS} recordings each: {counts}",
            f"mne {mne.__version__}",
        )
        write_rows(args.out / f"filters_{part}.csv", comment, table)
        for row in table:
            tell(row)


if __name__ == "__main__":
    main()
