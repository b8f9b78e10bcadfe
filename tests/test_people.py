"""People: what a seed says of them, and the lead fields that they and their users have."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from core_cases import assert_same
from mne_mmnet.simulation import PeopleArchive, PeopleVariety
from mne_mmnet.simulation.people_archive import _GAINS
from mne_mmnet.simulation.person import Person, RandomField, digitise, tilt_normals

CENTRE = np.array([0.0, -0.02, 0.01])
NOBODY_DIFFERS = PeopleVariety(
    scale=0.0,
    warp_mm=(0.0, 0.0),
    brain_mm=(0.0, 0.0),
    skull_ratio=(50.0, 50.0),
    skull_thickness=(1.0, 1.0),
    pitch=0.0,
    shift_mm=0.0,
    electrode_mm=0.0,
    digitised_mm=0.0,
    fitted=0.0,
)


@pytest.fixture
def sphere(rng):
    """Points (m) of a head."""
    points = rng.standard_normal((400, 3))
    return CENTRE + 0.09 * points / np.linalg.norm(points, axis=1, keepdims=True)


# One person -------------------------------------------------------------------------------------


def test_random_field(rng):
    """Of the size that was asked for, and smooth over its length."""
    points = rng.uniform(-0.1, 0.1, (500, 3))
    squares, near, far = [], [], []
    step = rng.standard_normal((500, 3))
    step /= np.linalg.norm(step, axis=1, keepdims=True)
    for _ in range(60):
        field = RandomField(rng, 3e-3, 0.05)
        here = field(points)
        squares.append(np.mean(np.sum(here**2, axis=1)))
        near.append(np.mean(np.sum(here * field(points + 0.01 * step), axis=1)))
        far.append(np.mean(np.sum(here * field(points + 0.15 * step), axis=1)))
    assert np.sqrt(np.mean(squares)) == pytest.approx(3e-3, rel=0.1)
    # covariances of a Gaussian process with a squared-exponential kernel
    assert np.mean(near) / np.mean(squares) == pytest.approx(np.exp(-0.5 * 0.2**2), abs=0.02)
    assert abs(np.mean(far) / np.mean(squares)) < 0.15


def test_a_person_is_a_seed(sphere):
    """The same seed is the same person, in everything; another one is another."""
    variety = PeopleVariety()
    one, again, other = (Person.draw(variety, 3, k) for k in (5, 5, 6))
    depth = np.linspace(0.0, 0.03, len(sphere))

    def everything(person):
        return [
            *(person.scale, person.fitted_scale, person.cap, person.cap_shift),
            np.array([person.skull_ratio, person.skull_thickness, person.electrode_mm]),
            person.deform(sphere, CENTRE),
            person.deform_brain(sphere, CENTRE, depth),
            person.place_cap(sphere, CENTRE),
            digitise(sphere, 2.0, person.seed),
        ]

    for first, second, third in zip(*map(everything, (one, again, other)), strict=True):
        assert_array_equal(first, second)
        assert (first != third).any()
    # positions are wrong in another way than where the electrodes sit
    assert (digitise(sphere, 2.0, one.seed) != one.place_cap(sphere, CENTRE)).any()


def test_population():
    """People differ as much as their variety says."""
    variety = PeopleVariety()
    people = [Person.draw(variety, 0, k) for k in range(400)]
    scales = np.array([person.scale for person in people])
    assert_allclose(scales.mean(axis=0), 1.0, atol=0.012)
    assert_allclose(scales.std(axis=0), variety.scale, rtol=0.15)
    errors = np.array([person.fitted_scale - person.scale for person in people])
    assert_allclose(errors.std(axis=0), variety.fitted, rtol=0.15)
    shifts = np.array([person.cap_shift for person in people])
    assert_allclose(shifts.std(axis=0), 1e-3 * variety.shift_mm, rtol=0.15)
    pitch = np.rad2deg([np.arctan2(person.cap[2, 1], person.cap[1, 1]) for person in people])
    assert np.std(pitch) == pytest.approx(variety.pitch, rel=0.15)
    for name in ("skull_ratio", "skull_thickness"):
        low, high = getattr(variety, name)
        values = np.array([getattr(person, name) for person in people])
        assert low <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high
    ratios = np.log([person.skull_ratio for person in people])
    assert np.median(ratios) == pytest.approx(np.log([15.0, 80.0]).mean(), abs=0.15)
    displaced = [person.electrode_mm for person in people]
    assert 0 <= min(displaced) < max(displaced) <= variety.electrode_mm


def test_size_of_displacements(sphere):
    """Electrodes and digitised points are as far off as is said, root mean square."""
    person = Person.draw(replace(NOBODY_DIFFERS, electrode_mm=6.0), 1)
    worn = person.place_cap(sphere, CENTRE)
    found = digitise(worn, 2.0, person.seed)
    for moved, start, error_mm in ((worn, sphere, person.electrode_mm), (found, worn, 2.0)):
        away = 1e3 * np.linalg.norm(moved - start, axis=1)
        assert np.sqrt(np.mean(away**2)) == pytest.approx(error_mm, rel=0.1)


def test_nobody_differs(sphere):
    """Without variety everybody is the template."""
    person = Person.draw(NOBODY_DIFFERS, 8)
    depth = np.full(len(sphere), 0.02)
    assert_allclose(person.deform(sphere, CENTRE), sphere)
    assert_allclose(person.deform_brain(sphere, CENTRE, depth), sphere)
    assert_allclose(person.place_cap(sphere, CENTRE), sphere)
    assert_allclose(digitise(sphere, 0.0, person.seed), sphere)
    assert (person.skull_ratio, person.skull_thickness) == (pytest.approx(50.0), 1.0)
    assert_allclose(person.fitted_scale, 1.0)


def test_brain_stays_in_the_skull(sphere):
    """At the inner skull the brain's own deformation is nothing; deep inside it is all there."""
    person = Person.draw(replace(NOBODY_DIFFERS, brain_mm=(4.0, 4.0)), 2)
    depth = np.repeat([0.0, 0.007, 0.014, 0.05], 100)
    moved = 1e3 * np.linalg.norm(person.deform_brain(sphere, CENTRE, depth) - sphere, axis=1)
    skull, half, whole, deep = np.sqrt(np.mean(moved.reshape(4, 100) ** 2, axis=1))
    assert skull == 0
    assert 0.3 < half / whole < 0.8
    assert 2.0 < whole < 6.0
    assert 2.0 < deep < 6.0


def test_cap_is_tipped_and_moved(sphere):
    """The cap turns about the axis through the ears as a whole, and is moved as a whole."""
    person = Person.draw(replace(NOBODY_DIFFERS, pitch=5.0, shift_mm=4.0), 4)
    worn = person.place_cap(sphere, CENTRE)
    gaps = [np.linalg.norm(x[:, None] - x, axis=2) for x in (sphere, worn)]
    assert_allclose(*gaps, atol=1e-12)
    assert_allclose(person.cap @ [1.0, 0.0, 0.0], [1.0, 0.0, 0.0])
    assert_allclose(worn[:, 0] - sphere[:, 0], person.cap_shift[0])


@pytest.mark.parametrize("degrees", [0.0, 25.0, 60.0])
def test_tilted_normals(rng, sphere, degrees):
    """Unit vectors, off by as much as was asked for, neighbours by nearly the same."""
    normals = (sphere - CENTRE) / 0.09
    positions = 1e3 * sphere
    tilted = tilt_normals(rng, normals, positions, degrees)
    assert_allclose(np.linalg.norm(tilted, axis=1), 1.0)
    angle = np.rad2deg(np.arccos((tilted * normals).sum(axis=1).clip(-1.0, 1.0)))
    assert np.sqrt(np.mean(angle**2)) == pytest.approx(degrees, abs=1e-4)
    if degrees == 25.0:
        again = tilt_normals(np.random.default_rng(7), normals, positions, degrees)
        close = tilt_normals(np.random.default_rng(7), normals, positions + 0.5, degrees)
        assert np.linalg.norm(again - close, axis=1).max() < 0.1


# Their lead fields ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def coarse():
    """Coarse head models, so that lead fields cost little; MNE says that they are."""
    patch = pytest.MonkeyPatch()
    patch.setattr("mne_mmnet.simulation.people._BEM_ICO", 2)
    yield
    patch.undo()


def make(path=None, **options):
    from mne_mmnet.simulation.people import make_people

    return make_people(path, **{"spacing": "ico2", "n_electrodes": 24, **options}, verbose=False)


@pytest.fixture(scope="module")
def people(coarse, tmp_path_factory):
    """Two people on a coarse grid with few electrodes."""
    return make(tmp_path_factory.mktemp("people") / "two.npz", n_people=2)


def test_file(people, tmp_path):
    """What was written is read: all of it, and no scratch file stays."""
    people.save(tmp_path / "sub" / "people.npz")
    assert_same(PeopleArchive.read(tmp_path / "sub" / "people.npz"), people)
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["people.npz"]


def test_jobs(people, tmp_path):
    """Processes that share the work make the same people."""
    shared = make(tmp_path / "two.npz", n_people=2, n_jobs=2)
    for name in ("standard", "true", "own", "fitted", "deep"):
        assert_array_equal(getattr(shared, name), getattr(people, name))
    assert shared.about == people.about


def test_lead_fields_of_people(people):
    """Shapes belong together; the better one knows a head, the nearer its lead field."""
    n_sources = len(people.positions)
    assert 280 < n_sources < 320  # of 324, without the medial wall
    assert people.standard.shape == (24, n_sources, 3)
    for kind in ("true", "own", "fitted"):
        assert getattr(people, kind).shape == (2, 24, n_sources, 3)
    assert people.deep.shape[:2] == (2, 24)
    # of the next finer grid, in half precision
    fine = people.fine
    assert fine.gain.shape == (2, 24, len(fine.owner), 3)
    assert 3.5 < len(fine.owner) / n_sources < 4.5
    assert_allclose(fine.gain[:, :, fine.shared], people.true, rtol=1e-3, atol=0.01)
    assert_allclose(fine.positions[fine.shared], people.positions)
    assert_array_equal(fine.owner[fine.shared], np.arange(n_sources))
    apart = np.linalg.norm(fine.positions - people.positions[fine.owner], axis=1)
    assert 3.0 < np.median(apart) < 12.0
    assert people.n_people == 2
    assert people.adjacency.shape == (n_sources, n_sources)
    assert people.source_space["subject"] == "fsaverage5"
    assert not people.is_volume
    assert_allclose(np.linalg.norm(people.normals, axis=1), 1.0, atol=1e-6)
    for kind in _GAINS:
        gain = getattr(people, kind)
        assert gain.dtype == np.float32
        assert np.isfinite(gain).all()
        assert 1.0 < np.abs(gain).max() < 1e4  # V/(A·m)

    def likeness(gain, other):
        """Median correlation of columns along the normals."""
        one, two = (np.einsum("esk,sk->es", x, people.normals) for x in (gain, other))
        one, two = (x - x.mean(axis=0) for x in (one, two))
        size = np.linalg.norm(one, axis=0) * np.linalg.norm(two, axis=0)
        return np.median((one * two).sum(axis=0) / size)

    for k in range(2):
        true = people.true[k]
        template, fitted, own = (
            likeness(true, x) for x in (people.standard, people.fitted[k], people.own[k])
        )
        assert 0.85 < template < 0.99
        assert own > max(template, fitted)
        assert own > 0.97
    assert likeness(people.true[0], people.true[1]) < 0.99
    # fields of places deep inside are smooth: few functions make them nearly all
    deep = people.deep[0].reshape(24, -1)
    values = np.linalg.svd(deep - deep.mean(axis=0), compute_uv=False)
    assert (values[:8] ** 2).sum() > 0.98 * (values**2).sum()


def test_a_person_is_the_same_in_any_company(people, tmp_path):
    """Person k is drawn from (seed, k) alone, and described."""
    alone = make(tmp_path / "one.npz", n_people=1)
    for kind in ("true", "own", "fitted", "deep"):
        assert_array_equal(getattr(alone, kind)[0], getattr(people, kind)[0])
    assert_array_equal(alone.standard, people.standard)
    assert alone.about == people.about[:1]
    variety = PeopleVariety()
    for number, about in enumerate(people.about):
        person = Person.draw(variety, 0, number)
        assert about["scale"] == person.scale.tolist()
        assert about["skull_ratio"] == person.skull_ratio
    # the file is read, whatever else is asked for
    assert_array_equal(make(tmp_path / "one.npz", n_people=5, seed=3).true, alone.true)


def test_people_who_do_not_differ(people, tmp_path):
    """They have the template's lead field, and so have all who invert them."""
    same = make(tmp_path / "same.npz", n_people=1, variety=NOBODY_DIFFERS)
    size = np.abs(same.standard).max()
    assert_allclose(same.fitted[0], same.true[0], atol=1e-4 * size)
    assert_allclose(same.own[0], same.true[0], atol=1e-4 * size)
    assert_array_equal(same.standard, people.standard)
    # electrodes where the montage has them, but for their projection on the scalp
    assert_allclose(same.true[0], same.standard, atol=0.05 * size)


def test_volume(coarse, tmp_path, monkeypatch):
    """A grid inside the brain has no normals that mean anything."""
    # the coarse skull is smaller than the one that the grid was made for
    monkeypatch.setattr("mne_mmnet.simulation.people.DEPTH_MM", 10.0)
    found = make(tmp_path / "grid.npz", spacing="vol30", n_people=1, n_electrodes=12)
    assert found.is_volume
    assert found.true.shape[1:] == (12, len(found.positions), 3)
    assert 30 < len(found.positions) < 150
    assert PeopleArchive.read(tmp_path / "grid.npz").is_volume is True


def test_cache(coarse, tmp_path, monkeypatch):
    """Without a path the user's cache keeps them, by all that decides them."""
    monkeypatch.setenv("MNE_MMNET_CACHE", str(tmp_path))
    made = []

    def head(*args):
        made.append(args)
        raise RuntimeError("computed")

    monkeypatch.setattr("mne_mmnet.simulation.people.TemplateHead", head)
    monkeypatch.setattr(PeopleArchive, "read", lambda path: path)
    options = [{}, dict(seed=1), dict(n_people=3), dict(spacing="ico3"), dict(n_electrodes=7)]
    options += [dict(variety=PeopleVariety(scale=0.1))]
    names = set()

    def find(name):
        names.add(name)

    monkeypatch.setattr("mne_mmnet.simulation.people.find_cached", find)
    for one in options:
        with pytest.raises(RuntimeError, match="computed"):
            make(**one)
    assert len(names) == len(made) == len(options)
    monkeypatch.setattr("mne_mmnet.simulation.people.find_cached", lambda name: "there")
    assert make() == "there"


def test_unwritable_path(coarse, tmp_path, monkeypatch):
    """A place that can't be written is an error before any work."""
    monkeypatch.setattr("mne_mmnet.simulation.people.TemplateHead", None)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        make(tmp_path / "file" / "people.npz")


def test_sources_that_touch_the_skull(rng):
    """They have the field of their neighbour, where they are few."""
    from mne_mmnet.simulation.people import _fill

    rr = rng.standard_normal((200, 3))
    src = [dict(rr=rr, vertno=np.arange(200))]
    gain = rng.standard_normal((5, 199, 3))
    filled = _fill(gain, src, [dict(vertno=np.delete(np.arange(200), 7))])
    assert_array_equal(np.delete(filled, 7, axis=1), gain)
    nearest = np.argsort(np.linalg.norm(rr - rr[7], axis=1))[1]
    assert_array_equal(filled[:, 7], filled[:, nearest])
    with pytest.raises(RuntimeError, match="3 of 200 sources lie outside the brain"):
        _fill(gain[:, :197], src, [dict(vertno=np.arange(3, 200))])
