"""Peaks, distances and areas: by hand, against scikit-learn and linear programming."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import linprog
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance
from sklearn.metrics import average_precision_score, roc_auc_score

from core_cases import ring
from mne_mmnet import metrics
from mne_mmnet.metrics import local_maxima, localization_errors

SFREQ = 250.0
PERFECT = dict(
    localization_error_mm=0.0,
    n_maxima=1.0,
    strongest_peak_error_mm=0.0,
    strongest_region_error_mm=0.0,
    neighbourhood_localization_error_mm=0.0,
    time_error_ms=0.0,
    nmse=0.0,
    psnr_db=100.0,
    auc_close=1.0,
    auc_far=1.0,
    auc=1.0,
    average_precision=1.0,
    earth_movers_distance_mm=0.0,
    spatial_dispersion_mm=0.0,
    space_time_cosine=1.0,
)
seeds_of_rng = st.integers(0, 2**32 - 1)


def circle(n_sources, spacing=6.0):
    """Positions (mm) of the sources of `ring`."""
    angle = 2 * np.pi * np.arange(n_sources) / n_sources
    radius = spacing / (2 * np.sin(np.pi / n_sources))
    return radius * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)


def make_case(n_sources=60, n_times=50):
    """Truth and what `score` asks for: two patches of five sources that peak in turn."""
    seeds, peaks = np.array([10, 40]), np.array([12, 33])
    truth, labels = np.zeros((n_sources, n_times)), np.zeros(n_sources, int)
    times = np.arange(n_times)
    for k, (seed, peak) in enumerate(zip(seeds, peaks, strict=True), start=1):
        patch = np.arange(seed - 2, seed + 3)
        labels[patch] = k
        wave = (-1) ** k * np.exp(-0.5 * ((times - peak) / 3.0) ** 2)
        truth[patch] = np.outer([0.3, 0.7, 1.0, 0.7, 0.3], wave)
    about = dict(
        labels=labels,
        seeds=seeds,
        peaks=peaks,
        positions=circle(n_sources),
        adjacency=ring(n_sources),
        sfreq=SFREQ,
    )
    return truth, about


def test_local_maxima():
    """Peaks are found by size, whatever their sign; plateaus, dust and zeros are none."""
    values = np.zeros(20)
    values[3], values[4] = -5.0, 2.0
    values[10] = 3.0
    values[15] = 0.2  # below a tenth of the largest
    values[7] = values[8] = 1.0  # a plateau
    assert local_maxima(values, ring(20)).tolist() == [3, 10]
    assert local_maxima(values, ring(20), share=0.01).tolist() == [3, 10, 15]
    assert len(local_maxima(np.zeros(20), ring(20))) == 0


def test_localization_errors():
    """Each true source is as far off as its nearest peak."""
    truth = np.array([[0.0, 0, 0], [100, 0, 0]])
    found = np.array([[3.0, 4, 0], [50, 0, 0]])
    np.testing.assert_allclose(localization_errors(truth, found), [5.0, 50.0])
    assert np.isinf(localization_errors(truth, np.zeros((0, 3)))).all()


def test_localization_error():
    """By hand on a ring of 6 mm edges: nearest maximum, largest value, number, inside a window."""
    estimate = np.zeros((20, 3))
    estimate[[4, 9], 1] = 1.0, -2.0  # one edge from the seed, and far away
    estimate[[6, 12], 2] = 3.0, 1.0
    seeds, peaks, at, edges = [3, 12], [1, 2], circle(20), ring(20)
    distance = cdist(at, at)
    found = metrics.localization_error(estimate, seeds, peaks, at, edges)
    np.testing.assert_allclose(found, [6.0, 0.0], atol=1e-12)
    assert metrics.count_maxima(estimate, peaks, edges).tolist() == [2, 2]
    found = metrics.strongest_peak_error(estimate, seeds, peaks, at)
    np.testing.assert_allclose(found, [distance[9, 12], distance[6, 3]])
    found = metrics.neighbourhood_localization_error(estimate, seeds, peaks, at, edges)
    np.testing.assert_allclose(found, [6.0, 0.0], atol=1e-12)
    found = metrics.neighbourhood_localization_error(estimate, seeds, peaks, at, edges, order=6)
    np.testing.assert_allclose(found, [distance[9, 3], distance[6, 12]])


def test_strongest_region_error():
    """By hand: the place of the most moment, to the centre of the largest patch at that time."""
    estimate, truth = np.zeros((40, 3)), np.zeros((40, 3))
    at = circle(40)
    distance = cdist(at, at)
    centres, peaks = at[[5, 20]], [1, 2]
    truth[4:7, 1], truth[[20], 1] = 1.0, 2.0  # the patch of more moment, not the larger current
    truth[4:7, 2], truth[[19, 20, 21], 2] = 1.0, -2.0
    estimate[8, 1], estimate[30, 1], estimate[[29, 31], 1] = -3.0, 1.1, 1.1  # 3.3 against 3
    estimate[21, 2] = 0.1
    found = metrics.strongest_region_error(estimate, truth, centres, peaks, at)
    np.testing.assert_allclose(found, [distance[30, 5], distance[21, 20]])
    # the single location would be right
    assert metrics.strongest_peak_error(estimate, [5], [1], at)[0] == distance[8, 5]
    found = metrics.strongest_region_error(estimate, truth, centres, peaks, at, radius=5.0)
    np.testing.assert_allclose(found, [distance[8, 5], distance[21, 20]])
    # the truth on a grid of its own
    order = np.random.default_rng(0).permutation(40)
    options = dict(true_positions=at[order])
    again = metrics.strongest_region_error(estimate, truth[order], centres, peaks, at, **options)
    np.testing.assert_allclose(again, [distance[30, 5], distance[21, 20]])
    # of equally strong regions the farthest counts
    estimate[[8, 28], 2] = 0.1
    found = metrics.strongest_region_error(estimate, truth, centres, peaks, at)
    np.testing.assert_allclose(found[1], distance[8, 20])
    found = metrics.strongest_region_error(0 * estimate, truth, centres, peaks, at)
    np.testing.assert_allclose(found, [distance[5].max(), distance[20].max()])


def test_steadiness():
    """Mean over the pairs of estimates; their order and units are of no matter."""
    at = np.array([[0.0, 0, 0], [30, 40, 0], [0, 40, 0], [0, 0, 200]])
    maps = np.array([[1.0, 0, 0, 0], [0, -2.0, 1.0, 0], [0, 0, 3.0, 0]])
    assert metrics.steadiness(maps, at) == pytest.approx((50 + 40 + 30) / 3)
    assert metrics.steadiness(maps[::-1] * 1e-9, at) == pytest.approx(40.0)
    assert metrics.steadiness([maps[0], maps[0]], at) == 0.0
    # an estimate of zeros is nowhere: as far off as can be
    assert metrics.steadiness([maps[0], 0 * maps[0]], at) == 200.0
    for refused in (maps[0], maps[:1], maps[:, :3], maps * np.nan):
        with pytest.raises(ValueError, match="maps must be"):
            metrics.steadiness(refused, at)


def test_time_error():
    """Samples become ms, sign does not count, and silence is as late as can be."""
    estimate = np.zeros((3, 100))
    estimate[0, [20, 30]] = 1.0, -2.0
    found = metrics.time_error(estimate, [0, 1, 2], [25, 25, 80], SFREQ)
    np.testing.assert_allclose(found, [20.0, 4.0 * 74, 4.0 * 80])


def test_map_errors():
    """By hand: signed maps in units of their largest value."""
    truth, estimate = (
        np.array([[2.0], [0.0], [1.0], [0.0]]),
        np.array([[5.0], [5.0], [0.0], [0.0]]),
    )
    expected = (0.0 + 1.0 + 0.25 + 0.0) / 4
    np.testing.assert_allclose(metrics.nmse(estimate, truth, [0]), [expected])
    np.testing.assert_allclose(metrics.psnr(estimate, truth, [0]), [-10 * np.log10(expected)])
    np.testing.assert_allclose(metrics.nmse(-truth, truth, [0]), [(4.0 + 1.0) / 4])
    np.testing.assert_allclose(metrics.psnr(3 * truth, truth, [0]), [100.0])


@settings(max_examples=50, deadline=None)
@given(seeds_of_rng, st.integers(1, 4))
def test_areas_agree_with_sklearn(seed, n_levels):
    """With and without ties."""
    rng = np.random.default_rng(seed)
    values = rng.integers(n_levels, size=30) + (n_levels == 4) * rng.random(30)
    labels = rng.integers(3, size=30)
    labels[:2] = 0, 2
    active = labels > 0
    np.testing.assert_allclose(metrics.auc(values, active), roc_auc_score(active, values))
    found = metrics.average_precision(values, labels)
    np.testing.assert_allclose(found, average_precision_score(active, values))


def test_roc_auc_is_balanced():
    """Blur is seen near the patch and spurious activity far from it, by hand and by chance."""
    at, labels = circle(40), np.zeros(40, int)
    labels[10:14] = 1
    blurred, spurious = labels.astype(float), labels.astype(float)
    blurred[[8, 9, 14, 15]] = 2.0
    spurious[25:40] = 2.0
    assert metrics.roc_auc(blurred, labels, at) == (0.0, 1.0, 0.5)
    close, far, mean = metrics.roc_auc(spurious, labels, at)
    n_far = 40 - 4 - 4
    assert (close, far) == (1.0, pytest.approx(1 - 15 / n_far))
    assert mean == pytest.approx((close + far) / 2)
    # the area against all far sources is what random draws of as many as are active give
    rng = np.random.default_rng(0)
    values = rng.random(40)
    outside = np.r_[0:8, 16:40]
    drawn = [
        roc_auc_score(labels[chosen], values[chosen])
        for chosen in (np.r_[10:14, rng.choice(outside, 4, replace=False)] for _ in range(400))
    ]
    spread = np.std(drawn) / np.sqrt(len(drawn))
    assert metrics.roc_auc(values, labels, at)[1] == pytest.approx(np.mean(drawn), abs=4 * spread)


def test_roc_auc_without_far_sources():
    """Where all inactive sources are near, they alone count; all or none active is refused."""
    labels = np.ones(10, int)
    labels[:3] = 0
    close, far, mean = metrics.roc_auc(np.arange(10.0), labels, circle(10))
    assert close == far == mean == 1.0
    for refused in (np.zeros(10, int), np.ones(10, int)):
        with pytest.raises(ValueError, match="active and inactive"):
            metrics.roc_auc(np.arange(10.0), refused, circle(10))
        with pytest.raises(ValueError, match="active and inactive"):
            metrics.auc(np.arange(10.0), refused)
    with pytest.raises(ValueError, match="needs active"):
        metrics.average_precision(np.arange(10.0), np.zeros(10, int))


def transport_by_linprog(estimate, truth, positions):
    """Slow oracle: every source to every source."""
    n_sources = len(truth)
    rows = np.kron(np.eye(n_sources), np.ones(n_sources))
    columns = np.kron(np.ones(n_sources), np.eye(n_sources))
    masses = np.r_[estimate / estimate.sum(), truth / truth.sum()]
    cost = cdist(positions, positions).ravel()
    return linprog(cost, A_eq=np.vstack([rows, columns]), b_eq=masses).fun


@settings(max_examples=15, deadline=None)
@given(seeds_of_rng, st.integers(2, 12))
def test_earth_movers_distance_is_exact(seed, n_sources):
    """Against the whole linear program, and against the closed form on a line."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0.02, 1.0, (2, n_sources)) * (rng.random((2, n_sources)) < 0.6)
    a[0], b[-1] = 0.5, 0.5
    at = 30 * rng.standard_normal((n_sources, 3))
    found = metrics.earth_movers_distance(a, b, at)
    np.testing.assert_allclose(found, transport_by_linprog(a, b, at), atol=1e-5)
    at[:, 1:] = 0.0
    expected = wasserstein_distance(at[:, 0], at[:, 0], a, b)
    np.testing.assert_allclose(metrics.earth_movers_distance(a, b, at), expected, atol=1e-5)


def test_earth_movers_distance_of_many_sources():
    """Clusters keep the total and cost little accuracy; dust counts as nothing."""
    rng = np.random.default_rng(3)
    at = rng.standard_normal((500, 3))
    at *= 60 / np.linalg.norm(at, axis=1, keepdims=True)
    truth = np.exp(-0.5 * (np.linalg.norm(at - at[0], axis=1) / 20) ** 2)
    estimate = np.exp(-0.5 * (np.linalg.norm(at - at[1], axis=1) / 40) ** 2)
    estimate += 0.2 * rng.random(500)
    exact = metrics.earth_movers_distance(estimate, truth, at, max_arcs=10**6)
    for max_arcs, accuracy in ((10_000, 0.01), (2_500, 0.03)):
        found = metrics.earth_movers_distance(estimate, truth, at, max_arcs=max_arcs)
        assert found == pytest.approx(exact, rel=accuracy)
        turned = metrics.earth_movers_distance(truth, estimate, at, max_arcs=max_arcs)
        assert turned == pytest.approx(found, rel=1e-6)
    truth[truth < 0.01] = 0.0
    dusty = truth + 0.009 * (truth == 0)
    assert metrics.earth_movers_distance(dusty, truth, at) == 0.0
    with pytest.raises(ValueError, match="no mass"):
        metrics.earth_movers_distance(truth, 0 * truth, at)


def test_earth_movers_distance_of_a_shift():
    """A point that was moved is as far as it was moved; coinciding sources are one place."""
    at = np.array([[0.0, 0, 0], [3.0, 4, 0], [3.0, 4, 0]])
    assert metrics.earth_movers_distance([0, 2.0, 0], [1.0, 0, 0], at) == pytest.approx(5.0)
    assert metrics.earth_movers_distance([0, 2.0, 0], [0, 0, 1.0], at) == 0.0
    crowd = np.repeat(at, 3, axis=0)
    half = np.arange(9) % 3 / 2
    found = metrics.earth_movers_distance(half + (np.arange(9) > 2), half, crowd, max_arcs=2)
    expected = metrics.earth_movers_distance(half + (np.arange(9) > 2), half, crowd)
    assert found == pytest.approx(expected)


def test_spatial_dispersion():
    """By hand: power inside a patch is in place, outside counts by its squared distance."""
    at = np.array([[0.0, 0, 0], [10, 0, 0], [40, 0, 0]])
    labels = [1, 2, 0]
    assert metrics.spatial_dispersion(np.array([1.0, 5.0, 0.0]), labels, at) == 0.0
    found = metrics.spatial_dispersion(np.array([3.0, 0.0, 1.0]), labels, at)
    assert found == pytest.approx(30.0 * np.sqrt(0.25))


def test_space_time_cosine():
    """Orthogonal, equal and opposite arrays."""
    a, b = np.array([[1.0, 0], [0, 1]]), np.array([[0.0, 1], [1, 1]])
    assert metrics.space_time_cosine(a, b) == pytest.approx(1 / np.sqrt(6))
    assert metrics.space_time_cosine(-2 * a, a) == pytest.approx(-1.0)
    assert metrics.space_time_cosine(0 * a, a) == 0.0


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e9])
def test_perfect_estimate(scale):
    """The truth, in any unit, is perfect by every metric."""
    truth, about = make_case()
    found = metrics.score(scale * truth, truth, **about)
    assert list(found) == list(PERFECT)
    assert all(type(value) is float for value in found.values())
    assert found == pytest.approx(PERFECT, abs=1e-6)


def test_estimate_of_zeros():
    """Zeros have finite scores, as bad as they can be or those of an even map."""
    truth, about = make_case()
    found = metrics.score(0 * truth, truth, **about)
    assert np.isfinite(list(found.values())).all()
    at = about["positions"]
    assert found["localization_error_mm"] == pytest.approx(cdist(at, at).max())
    assert found["auc"] == 0.5
    assert found["average_precision"] == pytest.approx(10 / 60)
    assert found["space_time_cosine"] == found["n_maxima"] == 0.0
    even = metrics.score(np.ones_like(truth), truth, **about)
    for name in ("earth_movers_distance_mm", "spatial_dispersion_mm", "auc_far"):
        assert found[name] == pytest.approx(even[name])
    worst = metrics.score(np.random.default_rng(0).standard_normal(truth.shape), truth, **about)
    for name in (
        *("localization_error_mm", "strongest_peak_error_mm", "strongest_region_error_mm"),
        "time_error_ms",
    ):
        assert found[name] >= worst[name] > 0


@settings(max_examples=15, deadline=None)
@given(seeds_of_rng, st.floats(1e-12, 1e12))
def test_invariances(seed, scale):
    """Neither the unit nor the order of the sources nor a motion of the head matters."""
    rng = np.random.default_rng(seed)
    truth, about = make_case()
    estimate = truth + rng.uniform(0.05, 1.0) * rng.standard_normal(truth.shape)
    expected = metrics.score(estimate, truth, **about)
    assert metrics.score(scale * estimate, truth, **about) == pytest.approx(expected)
    order = rng.permutation(len(truth))
    adjacency = sparse.csr_array(about["adjacency"])[order][:, order]
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    moved = about | dict(
        labels=about["labels"][order],
        seeds=np.argsort(order)[about["seeds"]],
        positions=(about["positions"] @ rotation + 20.0)[order],
        adjacency=adjacency,
    )
    found = metrics.score(estimate[order], truth[order], **moved)
    assert found == pytest.approx(expected, abs=1e-6)
    assert found["auc"] == pytest.approx((found["auc_close"] + found["auc_far"]) / 2)
    assert all(value >= 0 for name, value in found.items() if name != "space_time_cosine")


def test_score_refuses_what_does_not_fit():
    """Shapes, gaps and indices are checked, and the message says which."""
    truth, about = make_case()
    for estimate, changes, message in (
        (truth[:-1], {}, "one shape"),
        (np.where(truth > 0.9, np.nan, truth), {}, "finite"),
        (truth, dict(labels=about["labels"][:-1]), "one row for each"),
        (truth, dict(peaks=[3]), "one entry for each patch"),
        (truth, dict(seeds=[], peaks=[]), "at least one"),
        (truth, dict(peaks=[3, 50]), "samples"),
        (truth, dict(seeds=[3, -1]), "sources"),
    ):
        with pytest.raises(ValueError, match=message):
            metrics.score(estimate, truth, **about | changes)


def test_confidence_interval():
    """It holds the mean, is that of the normal law for many values, and refuses gaps."""
    values = np.random.default_rng(1).normal(5.0, 2.0, 400)
    low, high = metrics.confidence_interval(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    np.testing.assert_allclose([low, high], values.mean() + half * np.array([-1, 1]), atol=0.03)
    assert metrics.confidence_interval(values) == (low, high)
    narrow = metrics.confidence_interval(values, level=0.5)
    assert low < narrow[0] < narrow[1] < high
    assert metrics.confidence_interval([3.0]) == (3.0, 3.0)
    for refused in ([1.0, np.nan], [1.0, np.inf], [], [[1.0]]):
        with pytest.raises(ValueError, match="finite numbers, one per sample"):
            metrics.confidence_interval(refused)
    with pytest.raises(ValueError, match="level"):
        metrics.confidence_interval(values, level=95)
