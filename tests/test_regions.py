"""Regional moments and separate regions, against naive loops."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_mmnet.dictionary.regions import LEAST, REGION_MM, TIE, Regions

seeds_of_rng = st.integers(0, 2**32 - 1)


def line(n_sources, spacing=5.0):
    return spacing * np.arange(n_sources)[:, None] * [1.0, 0.0, 0.0]


def naive_moments(values, positions, radius):
    found = []
    for here in positions:
        inside = [np.linalg.norm(here - there) <= radius for there in positions]
        found.append(sum(abs(x) for x, keep in zip(values, inside, strict=True) if keep))
    return np.array(found)


def naive_strongest(values, positions, radius):
    """The definition, word by word."""
    moments = naive_moments(values, positions, radius)
    top = int(np.argmax(moments))
    best, least = None, np.inf
    for i, here in enumerate(positions):
        if np.linalg.norm(here - positions[top]) > radius or moments[i] < (1 - TIE) * moments[top]:
            continue
        gaps = np.linalg.norm(positions - here, axis=1)
        spread = sum(abs(x) * d for x, d in zip(values, gaps, strict=True) if d <= radius)
        if spread / moments[i] < least:
            best, least = i, spread / moments[i]
    return best


@settings(max_examples=40, deadline=None)
@given(seeds_of_rng, st.integers(1, 60), st.floats(5.0, 60.0))
def test_definition(seed, n_sources, radius):
    """Moments, the ball and the place are what the definitions say, whatever the signs."""
    rng = np.random.default_rng(seed)
    at = 30.0 * rng.standard_normal((n_sources, 3))
    values = rng.standard_normal((n_sources, 2)) ** 3
    regions = Regions(at, radius)
    expected = [naive_moments(column, at, radius) for column in values.T]
    np.testing.assert_allclose(regions.moments(values), np.transpose(expected))
    np.testing.assert_allclose(regions.moments(values[:, 0]), expected[0])
    place = int(rng.integers(n_sources))
    near = np.flatnonzero(np.linalg.norm(at - at[place], axis=1) <= radius)
    assert sorted(regions.within(place)) == near.tolist()
    best = [naive_strongest(column, at, radius) for column in values.T]
    assert regions.strongest(values).tolist() == best
    assert regions.strongest(values[:, 0]) == best[0]
    # neither the unit nor the order of the sources matters
    order = rng.permutation(n_sources)
    assert order[Regions(at[order], radius).strongest(-1e-12 * values[order, 1])] == best[1]


def test_the_rim_is_inside():
    """Grids of round spacing have sources at exactly the radius."""
    regions = Regions(line(9), REGION_MM)
    assert sorted(regions.within(4)) == [1, 2, 3, 4, 5, 6, 7]
    assert regions.moments(np.ones(9)).tolist() == [4, 5, 6, 7, 7, 7, 6, 5, 4]


def test_a_region_beats_a_single_location():
    """A patch has more moment than a larger current in one place."""
    values = np.zeros(40)
    values[5], values[25:29] = 3.0, 1.0
    regions = Regions(line(40))
    assert regions.strongest(values) in (26, 27)
    assert regions.separate(values) == [regions.strongest(values), 5]


def test_a_focal_source_is_where_it_is():
    """All balls around it hold it; a weak background does not choose among them."""
    regions = Regions(line(40))
    values = np.zeros(40)
    values[20] = 1.0
    assert regions.strongest(values) == 20
    values[23] = -0.04  # 20 would be one of three places without the tie
    values[25] = 0.005
    assert regions.strongest(values) == 20
    assert regions.extent(values, 20) == 0.0


def test_ties():
    """Mirror images are all candidates, zeros have no strongest region."""
    values = np.zeros(41)
    values[[10, 30]] = 1.0
    regions = Regions(line(41))
    assert regions.candidates(values).tolist() == [10, 30]
    assert regions.strongest(values) == 10
    assert regions.separate(values) == [10, 30]
    assert regions.candidates(0 * values).tolist() == list(range(41))
    assert regions.strongest(0 * values) == -1
    assert regions.strongest(np.stack([0 * values, values], axis=1)).tolist() == [-1, 10]
    assert regions.separate(0 * values) == []


@settings(max_examples=40, deadline=None)
@given(seeds_of_rng, st.integers(1, 8), st.floats(0.0, 1.0))
def test_separate(seed, n_regions, least):
    """Promises of the list: strongest first, apart, disjoint, above the floor, no flanks."""
    rng = np.random.default_rng(seed)
    at = rng.uniform(-50.0, 50.0, (300, 3)) * [1, 1, 0.2]
    values = rng.standard_normal(300) ** 5
    regions = Regions(at)
    places = regions.separate(values, n_regions, least)
    moments = regions.moments(values)
    assert 1 <= len(places) <= n_regions
    assert places[0] == regions.strongest(values)
    strength = moments[places]
    assert (strength >= (1 - TIE) * least * moments.max()).all()
    gaps = np.linalg.norm(at[places][:, None] - at[places], axis=-1)
    assert (gaps[~np.eye(len(places), dtype=bool)] > 2 * REGION_MM).all()
    inside = np.concatenate([regions.within(place) for place in places])
    assert len(set(inside)) == len(inside)
    assert strength.sum() <= np.abs(values).sum() * (1 + 1e-9)
    # as good as a summit near it: its own ball may reach the flank of yet another one
    summits = [
        k for k in range(300) if moments[k] >= (1 - 1e-9) * moments[regions.within(k)].max()
    ]
    for place in places:
        near = np.intersect1d(regions.within(place), summits)
        assert moments[place] >= (1 - TIE) * moments[near].min()
    assert all(a >= (1 - TIE) * b for a, b in pairwise(strength))


def test_flanks_are_no_sources():
    """A wide bump is one region, though it reaches far beyond two radii."""
    at = line(100)
    values = np.exp(-0.5 * ((at[:, 0] - 250.0) / 40.0) ** 2)
    regions = Regions(at)
    assert regions.separate(values) == [50]
    values += 0.5 * values[np.arange(100) - 35]
    assert regions.separate(values) == [50, 85]
    assert regions.separate(values, 1) == [50]
    assert regions.separate(values, least=0.9) == [50]
    assert LEAST <= 0.5


def test_extent():
    """By hand: half of the moment within twice the radius."""
    regions = Regions(line(100))
    values = np.ones(100)
    # 13 sources within 30 mm, of which 7 within 15 mm
    assert regions.extent(values, 50) == 15.0
    values[50] = 100.0
    assert regions.extent(values, 50) == 0.0
    assert regions.extent(values, 20) == 15.0
    plane = 2.0 * np.stack([*np.mgrid[-25:26, -25:26], np.zeros((51, 51))], axis=-1)
    flat = Regions(plane.reshape(-1, 3))
    assert flat.extent(np.ones(51**2), 51**2 // 2) == pytest.approx(15 * 2**0.5, abs=0.5)


@pytest.mark.parametrize(
    ("positions", "radius", "message"),
    [
        (np.zeros(3), 15.0, "shape"),
        (np.full((2, 3), np.nan), 15.0, "finite"),
        (np.zeros((2, 3)), 0.0, "positive"),
        (np.zeros((2, 3)), np.nan, "positive"),
    ],
)
def test_refused(positions, radius, message):
    with pytest.raises(ValueError, match=message):
        Regions(positions, radius)
