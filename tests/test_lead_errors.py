"""Fields of deep sources, and how wrong lead fields are taken to be."""

import numpy as np
import pytest

from mne_mmnet.dictionary.lead_errors import SHARES, deep_fields
from mne_mmnet.network import HEADS


def on_a_sphere(rng, n=60, radius=95.0):
    """Directions of the upper part of a sphere, and points there."""
    away = rng.standard_normal((3 * n, 3))
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    away = away[away[:, 2] > -0.3][:n]
    return away, radius * away + [3.0, -20.0, 45.0]


def test_all_directions_are_alike(rng):
    """Of unit power in the first degree and a quarter of it in the second (addition theorem)."""
    away, electrodes = on_a_sphere(rng)
    cosine = away @ away.T
    expected = cosine + 0.25 * (1.5 * cosine**2 - 0.5)
    fields = deep_fields(electrodes)
    assert fields.shape == (len(electrodes), 8)
    np.testing.assert_allclose(fields @ fields.T, expected, atol=1e-9)


@pytest.mark.parametrize("depth", [2.0, 10.0])
def test_dipoles_near_the_centre(depth, rng):
    """Their potentials are sums of these fields, but for the cube of their share of the radius."""
    away, electrodes = on_a_sphere(rng)
    place = rng.standard_normal(3)
    place *= depth / np.linalg.norm(place)
    moment = rng.standard_normal(3)
    apart = 95.0 * away - place
    potential = apart @ moment / np.linalg.norm(apart, axis=1) ** 3
    fields = deep_fields(electrodes)
    rest = potential - fields @ np.linalg.lstsq(fields, potential, rcond=None)[0]
    assert np.linalg.norm(rest) < 5.0 * (depth / 95.0) ** 2 * np.linalg.norm(potential)
    # the second degree is needed
    first = fields[:, :3]
    alone = potential - first @ np.linalg.lstsq(first, potential, rcond=None)[0]
    assert np.linalg.norm(alone) > 3.0 * np.linalg.norm(rest)


def test_units_and_places_of_the_frame_do_not_matter(rng):
    """Metres or millimetres, another origin: the same fields; electrodes off the sphere, too."""
    _, electrodes = on_a_sphere(rng)
    electrodes += rng.normal(0.0, 3.0, electrodes.shape)
    fields = deep_fields(electrodes)
    np.testing.assert_allclose(deep_fields(electrodes / 1e3), fields, atol=1e-6)
    moved = electrodes + np.array([20.0, -30.0, 10.0])
    np.testing.assert_allclose(deep_fields(moved), fields, atol=1e-6)


def test_impossible_layouts_are_finite():
    """Electrodes in one place, or in a plane, give numbers."""
    for electrodes in (np.ones((8, 3)), np.pad(np.eye(8)[:, :2], ((0, 0), (0, 1)))):
        assert np.isfinite(deep_fields(electrodes)).all()


def test_every_head_has_its_share():
    """The less is known of a head, the more of its lead field is wrong."""
    assert set(SHARES) == set(HEADS)
    assert 0.0 < SHARES["own"] < SHARES["fitted"] < SHARES["template"] < 0.22
