"""A single dipole without noise: every orientation mode must peak at its very vertex."""

import functools

import mne
import numpy as np
import pytest

import mne_cases
import mne_mmnet
from mne_mmnet import apply_mmnet_inverse, make_mmnet_operator

# the recordings of these tests are cleaner than what the network was trained on, on purpose
pytestmark = pytest.mark.filterwarnings("ignore:.*outside the training domain:RuntimeWarning")

AMPLITUDE = 2e-8  # A·m
COURSE = np.hanning(22)[1:-1]
NEIGHBOUR = 0.015  # m, the longest edges of ico3
N_DIPOLES = 6
# direction of the dipoles: tangent, tangent, normal on surfaces; x, y, z in volumes
NORMAL, OBLIQUE = (0.0, 0.0, 1.0), (0.48, -0.6, 0.64)


@functools.cache
def make_fwd(kind):
    """A cortex on the template, or a grid in a sphere; 64 channels."""
    if kind == "volume":
        return mne_cases.make_fwd("volume")
    info = mne_cases.make_info(64)
    fwd = mne_mmnet.make_template_forward(info, subjects_dir=mne_mmnet.fetch_template())
    return mne.convert_forward_solution(fwd, surf_ori=True, verbose=False)


@functools.cache
def make_operator(kind, loose, with_cov):
    info = mne_cases.make_info(64)
    cov = mne.make_ad_hoc_cov(info, std=dict(eeg=5e-7), verbose=False) if with_cov else None
    return make_mmnet_operator(info, make_fwd(kind), cov, loose=loose)


def draw_dipoles(kind, direction):
    """Yield a few sources that the sensors see well, and their responses."""
    info = mne_cases.make_info(64)
    gain = make_fwd(kind)["sol"]["data"]
    gain = (gain - gain.mean(axis=0)).reshape(len(gain), -1, 3)
    strength = np.linalg.norm(gain, axis=(0, 2))
    seen = np.flatnonzero(strength > np.median(strength))
    for source in np.random.default_rng(0).choice(seen, N_DIPOLES, replace=False):
        data = np.outer(gain[:, source] @ direction, AMPLITUDE * COURSE)
        yield source, mne.EvokedArray(data, info, tmin=0.0, nave=20, verbose=False)


@pytest.mark.parametrize("with_cov", [False, True], ids=["no-cov", "cov"])
@pytest.mark.parametrize(
    ("kind", "loose", "direction", "pick_ori"),
    [
        *(("surface", None, NORMAL, pick_ori) for pick_ori in (None, "normal", "vector")),
        *(("surface", 0.2, NORMAL, pick_ori) for pick_ori in (None, "normal", "vector")),
        *(("surface", 1.0, NORMAL, pick_ori) for pick_ori in (None, "normal", "vector")),
        # the normal part of an oblique dipole need not be the largest
        *(("surface", 1.0, OBLIQUE, pick_ori) for pick_ori in (None, "vector")),
        *(("volume", None, OBLIQUE, pick_ori) for pick_ori in (None, "vector")),
    ],
)
def test_single_dipole(kind, loose, direction, pick_ori, with_cov):
    """The peak lies at the true source, at the true time, and points the right way."""
    operator = make_operator(kind, loose, with_cov)
    missed, neighbours = [], 0
    for source, evoked in draw_dipoles(kind, direction):
        stc = apply_mmnet_inverse(evoked, operator, pick_ori=pick_ori)
        size = np.linalg.norm(stc.data, axis=1) if pick_ori == "vector" else np.abs(stc.data)
        found, sample = np.unravel_index(size.argmax(), size.shape)
        assert size[found, sample] < 1.2 * AMPLITUDE
        # the data have rank one: every source has the course of the dipole
        np.testing.assert_allclose(size[found] / size[found].max(), COURSE / COURSE.max(), 1e-3)
        positions = make_fwd(kind)["source_rr"]
        if np.linalg.norm(positions[found] - positions[source]) > NEIGHBOUR:
            missed.append((source, found))
        elif found != source:  # a neighbour holds the larger share
            neighbours += 1
        elif pick_ori == "vector":
            frame = np.eye(3)
            if kind == "surface":
                frame = make_fwd(kind)["source_nn"].reshape(-1, 3, 3)[source]
            cosine = stc.data[source, :, sample] @ (direction @ frame) / size[source, sample]
            assert cosine > 0.8
        elif pick_ori == "normal" or (loose is None and kind == "surface"):
            assert stc.data[source, sample] > 0
    assert not missed
    # three free columns without a noise covariance leave much open
    assert neighbours <= 1 or (loose == 1.0 and not with_cov)
