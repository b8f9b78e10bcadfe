"""The simulated recordings of ``benchmarks/people.py``: other people's heads, finer sources.

A recording is fixed by (seed, part, montage, person, number) alone. Sources and time courses are
drawn as in ``transfer_suite.py``, but for these:

- **People**: 24 of a population that no model was trained on (``mne_mmnet.simulation.person``:
  seed 2000; training has seed 0, validation 1000). Each has a size and shape of head and brain, a
  skull, a cap that sits askew, and folds of their own, to which sources are normal.
- **Noise** is high-passed at 1 Hz. Part ``dipole``: one vertex, 10 dB.
- **Covariance**: empirical, of 60 s before the window; or ``short``, of 1 to 60 s, regularised
  where that is less than 20 samples a channel; or ``none``.

They are inverted on the *template* (ico3, nominal electrodes), or on the person's *own head* as a
careful laboratory has it: their anatomy and folds at ico3, electrodes digitised to 2 mm, nominal
conductivities. Sources keep their vertex; errors are measured in the coordinates of the inversion.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from pathlib import Path

import mne
import numpy as np
from noise import draw_noise
from runner import CACHE, fingerprint
from scipy import fft
from transfer_suite import (
    MAX_CORRELATION,
    MONTAGES,
    N_TIMES,
    SFREQ,
    SNRS_DB,
    Case,
    Grid,
    add_noise,
    draw_courses,
    draw_patches,
    keep_forward,
    montage_info,
    noise_covariance,
    patch_profiles,
)

import mne_mmnet
from mne_mmnet._mne import source_graph
from mne_mmnet._support.files import whole_file
from mne_mmnet.simulation.grids import join_grids
from mne_mmnet.simulation.people import NOMINAL_RATIO, PersonHead, TemplateHead
from mne_mmnet.simulation.person import PeopleVariety, Person, tilt_normals

SEED, POPULATION, N_PEOPLE = 2027, 2000, 24
VARIETY = PeopleVariety()
FOLDER = CACHE / "people" / "heads"
HEADS = ("template", "own")
PARTS = ("main", "dipole")
# recordings of a person in a montage
N_RECORDINGS = {"main": 5, "dipole": 1}
COVARIANCES = ("60 s", "short", "none")
N_BASELINE = 60 * int(SFREQ)
# nobody leaves the drifts of amplifiers and skin in
_HIGH_PASS = 1.0
# below so many samples a channel a covariance is regularised
_FEW = 20


@dataclass(frozen=True)
class TrueHead:
    """One person's head as it is: what recordings are made with.

    ``gain`` (all electrodes × fine sources, V/(A·m)) is along the person's own ``normals``;
    ``positions`` (mm) and normals are in head coordinates; ``digitised`` are the electrodes (m) as
    a digitiser finds them.
    """

    gain: np.ndarray
    normals: np.ndarray
    positions: np.ndarray
    digitised: np.ndarray


def draw_head(template, seed, number):
    """Draw one person's head of a population."""
    person = Person.draw(VARIETY, seed, number)
    return PersonHead(template, person, VARIETY.digitised_mm)


def worn_leadfield(head):
    """Lead field (n_electrodes, n_sources, 3) of a person's head as it is; V/(A·m)."""
    drawn, maps = head.person, (head.deform, head.deform_brain)
    return head.template.leadfields(head.worn, drawn.skull_ratio, drawn.skull_thickness, *maps)[0]


def worn_gain(head, normals, positions):
    """Lead field of a person's head as it is, along folds of their own, and their normals.

    The template has its sources at ``positions`` (mm), with ``normals``.
    """
    gain = worn_leadfield(head)
    rng = np.random.default_rng([*head.person.seed, 3])
    normals = tilt_normals(rng, normals, positions, rng.uniform(*VARIETY.tilt))
    return np.einsum("esk,sk->es", gain, normals), normals


class People:
    """The population: lead fields of people, made when they are asked for.

    They are kept in ``folder``. ``fine`` and ``coarse`` are the spacings of simulated sources and
    of those of the inversion. One head wears the caps of all montages at once, each electrode
    askew by itself.
    """

    def __init__(self, folder, *, fine="ico4", coarse="ico3", montages=MONTAGES):
        self.folder, self.montages = Path(folder), tuple(montages)
        self.spacings = dict(fine=fine, coarse=coarse)
        self.infos = {montage: montage_info(montage) for montage in montages}

    @cached_property
    def _all(self):
        """One info of the electrodes of all montages, and their places."""
        # no colons: they divide names in FIF
        names = [f"{m}/{name}" for m in self.montages for name in self.infos[m]["ch_names"]]
        places = [ch["loc"][:3] for m in self.montages for ch in self.infos[m]["chs"]]
        return mne.create_info(names, SFREQ, "eeg"), np.array(places)

    @cached_property
    def fine(self):
        """Template geometry with the sources that are simulated."""
        return TemplateHead(self.spacings["fine"], *self._all)

    @cached_property
    def coarse(self):
        """Template geometry with the sources of the inversion."""
        return TemplateHead(self.spacings["coarse"], *self._all)

    @cached_property
    def fine_graph(self):
        """Neighbours among the simulated sources, on the template."""
        return source_graph(self.fine.src)

    def rows(self, montage):
        """Rows of a montage among all electrodes."""
        names = self._all[0]["ch_names"]
        return [row for row, name in enumerate(names) if name.startswith(f"{montage}/")]

    @lru_cache(maxsize=2)  # noqa: B019 - there is one population in a run
    def true(self, person):
        """Head of a person as it is (:class:`TrueHead`)."""
        path = self.folder / f"person{person:02d}-true.npz"
        if not path.exists():
            arrays = self._make_true(person)
            with whole_file(path) as scratch, open(scratch, "wb") as file:
                np.savez(file, **arrays)
        with np.load(path) as file:
            return TrueHead(**{name: file[name] for name in file.files})

    def _make_true(self, person):
        template = self.fine
        head = draw_head(template, POPULATION, person)
        gain, normals = worn_gain(head, template.normals, template.positions)
        places = [
            head.deform_brain(space["rr"], depth)[space["vertno"]]
            for space, depth in zip(template.src, template.depths, strict=False)
        ]
        to_head = template.trans
        return dict(
            gain=gain,
            normals=normals,
            positions=1e3 * mne.transforms.apply_trans(to_head, np.concatenate(places)),
            digitised=mne.transforms.apply_trans(to_head, head.digitised),
        )

    def _own_forward(self, person):
        """Forward solution of a person's own head for all electrodes."""

        def make():
            template = self.coarse
            head = draw_head(template, POPULATION, person)
            shared = join_grids(self.fine.src, template.src, self.fine_graph)[0]
            return template.forward(
                head.digitised,
                template.solve_bem(NOMINAL_RATIO, head.person.skull_thickness, head.deform),
                head.deform_brain,
                normals=self.true(person).normals[shared],
                subject=f"person{person:02d}",
            )

        return keep_forward(self.folder / f"person{person:02d}-own-fwd.fif", make)

    @lru_cache(maxsize=4)  # noqa: B019 - there is one population in a run
    def inversion(self, head, montage, person):
        """Make what a recording is inverted with; head is one of ``HEADS``."""
        if head == "template":
            return self._template(montage)
        info, names = self.infos[montage].copy(), self.infos[montage]["ch_names"]
        places = self.true(person).digitised[self.rows(montage)]
        info.set_montage(
            mne.channels.make_dig_montage(
                dict(zip(names, places, strict=True)), coord_frame="head"
            )
        )
        worn = [f"{montage}/{name}" for name in names]
        fwd = mne.pick_channels_forward(self._own_forward(person), worn, ordered=True)
        fwd["sol"]["row_names"] = list(names)
        mne.rename_channels(fwd["info"], dict(zip(worn, names, strict=True)))
        return Inversion(head, info, fwd, self, self.true(person).positions)

    @lru_cache(maxsize=4)  # noqa: B019 - there is one population in a run
    def _template(self, montage):
        make = partial(
            mne_mmnet.make_template_forward,
            self.infos[montage],
            self.spacings["coarse"],
            positions="as given",  # where the caps were worn in the simulation
        )
        fwd = keep_forward(self.folder / f"{montage}-template-fwd.fif", make)
        return Inversion("template", self.infos[montage], fwd, self, self.fine.positions)


class Inversion(Grid):
    """A forward solution of free orientation, and how its sources belong to the simulated ones.

    ``fine_positions`` are those of the simulated sources in its own coordinates (mm).
    """

    def __init__(self, head, info, fwd, people, fine_positions):
        self.head, self.info, self.fine_positions = head, info, fine_positions
        self.free = mne.convert_forward_solution(fwd, surf_ori=True)
        self.fwd = mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True)
        self.positions = 1e3 * self.fwd["source_rr"]
        self.normals = self.fwd["source_nn"]
        self.adjacency = source_graph(self.fwd["src"])
        self.coarse_in_fine, self.coarse_of_fine = join_grids(
            people.fine.src, self.fwd["src"], people.fine_graph
        )


@dataclass(frozen=True)
class Recording:
    """Electrodes' data (V), and the truth on the fine grid; see :func:`draw_recording`."""

    data: np.ndarray
    baseline: np.ndarray = field(repr=False)
    n_short: int
    currents: np.ndarray = field(repr=False)
    centres: np.ndarray
    profiles: np.ndarray = field(repr=False)
    peaks: np.ndarray
    factors: dict


def draw_recording(people, part, montage, person, number, draw_courses=draw_courses):
    """Simulate a person's recording of a number, in a part and a montage.

    ``draw_courses`` may draw time courses of another kind.
    """
    address = [SEED, PARTS.index(part), MONTAGES.index(montage), person, number]
    rng = np.random.default_rng(address)
    single = part == "dipole"
    # as many of each in a montage
    snr_db = 10 if single else SNRS_DB[(person + number) % len(SNRS_DB)]
    true, info = people.true(person), people.infos[montage]
    gain = true.gain[people.rows(montage)].astype(float)
    n_patches = 1 if single else int(rng.integers(1, 5))
    correlation = float(rng.uniform(0.0, MAX_CORRELATION))
    background = float(rng.uniform(0.0, 0.8))
    centres, extents, moments = draw_patches(rng, gain.shape[1], n_patches)
    extents = 0.0 * extents if single else extents
    courses = draw_courses(rng, n_patches, correlation)
    n_short = int(np.exp(rng.uniform(np.log(SFREQ), np.log(N_BASELINE))))

    profiles = patch_profiles(people.fine_graph, centres, extents)
    weights = moments[:, None] * profiles / profiles.sum(axis=1, keepdims=True)
    currents = weights.T @ courses
    signal = gain @ currents
    signal -= signal.mean(axis=0)
    electrodes = 1e3 * np.array([channel["loc"][:3] for channel in info["chs"]])
    noise = draw_noise(rng, gain, electrodes, N_BASELINE + N_TIMES, background)
    noise = high_pass(noise - noise.mean(axis=0))
    data = add_noise(signal, noise, snr_db)
    return Recording(
        data=data,
        baseline=noise[:, :N_BASELINE],
        n_short=n_short,
        currents=currents,
        centres=centres,
        profiles=profiles,
        peaks=np.abs(courses).argmax(axis=1),
        factors=dict(
            part=part,
            montage=montage,
            n_channels=len(info["ch_names"]),
            person=person,
            number=number,
            snr_db=snr_db,
            n_patches=n_patches,
            correlation=correlation if n_patches > 1 else None,
            background=background,
            extent_mm=extents.tolist(),
            moment_nam=(1e9 * moments).tolist(),
            fingerprint=fingerprint(data),
        ),
    )


def make_case(recording, inversion, covariance="60 s"):
    """Give a recording the head that it is inverted with, of its montage and person."""
    evoked = mne.EvokedArray(recording.data, inversion.info.copy())
    evoked.set_eeg_reference(projection=True)
    return Case(
        evoked=evoked,
        noise_cov=_covariance(recording, evoked.info, covariance),
        peaks=recording.peaks,
        **inversion.place(recording.centres, recording.profiles, recording.currents),
        factors=recording.factors | dict(covariance=covariance, head=inversion.head),
    )


def _covariance(recording, info, kind):
    """Covariance of the noise before the window, estimated as a user would."""
    if kind == "none":
        return None
    baseline = recording.baseline
    if kind == "short":
        baseline = baseline[:, -recording.n_short :]
    return noise_covariance(baseline, info, enough=_FEW * len(baseline))


def high_pass(noise):
    """Remove what is slower than 1 Hz."""
    spectrum = fft.rfft(noise)
    spectrum[:, fft.rfftfreq(noise.shape[1], 1.0 / SFREQ) < _HIGH_PASS] = 0.0
    return fft.irfft(spectrum, noise.shape[1])
