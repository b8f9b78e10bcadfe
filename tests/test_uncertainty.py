"""How sure an estimate is, through the public call: classes, units, restriction, regions."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mne_cases
from core_cases import DOMAIN, random_network
from mne_mmnet import Uncertainty, apply_mmnet_inverse, make_mmnet_operator
from mne_mmnet._mne import prepare_data
from mne_mmnet.weights import save_model

pytestmark = mne_cases.noise_may_be_called_that

MAPS = ("std", "peak_probability", "confidence")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Random weights, tame enough that the data decide."""
    network = random_network(0, 0.1)
    network.confidence.log_temperature.zero_()
    path = tmp_path_factory.mktemp("models") / "tiny"
    save_model(network, path, domain=DOMAIN, provenance={})
    return path


@pytest.fixture(scope="module")
def fwd():
    return mne_cases.make_fwd("surface", 32)


@pytest.fixture(scope="module")
def evoked(fwd):
    """One dipole of 20 nA·m along its normal, in noise of a fifth, nine averages."""
    return simulate(fwd)


def simulate(fwd, source=40, nave=9):
    info = mne_cases.make_info(32)
    gain = fwd["sol"]["data"].reshape(32, -1, 3)[:, source] @ fwd["source_nn"][3 * source + 2]
    rng = np.random.default_rng(0)
    signal = 2e-8 * gain[:, None] * np.sin(np.linspace(0, 3, 25))
    data = signal + 0.2 * signal.std() * rng.standard_normal(signal.shape)
    data -= data.mean(axis=0)
    return mne.EvokedArray(data, info, tmin=-0.1, nave=nave, verbose=False)


def make_cov(evoked, factor=1.0):
    """White noise of single trials: a fifth of the signal in their average."""
    size = factor * evoked.nave * (0.2 * evoked.data.std()) ** 2
    return mne.Covariance(size * np.eye(32), evoked.ch_names, [], evoked.info["projs"], 100)


def uncertainty_of(evoked, fwd, model, cov=None, **options):
    return apply_mmnet_inverse(evoked, fwd, cov, model=model, return_uncertainty=True, **options)


@pytest.mark.parametrize("kind", mne_cases.KINDS)
@pytest.mark.parametrize("pick_ori", [None, "vector"])
def test_classes(kind, pick_ori, model):
    """Scalar estimates of the source space's class, one sample at the window's beginning."""
    fwd = mne_cases.make_fwd(kind, 32)
    evoked = simulate(fwd, source=20)
    loose = 1.0 if kind == "mixed" else None
    pick_ori = None if kind == "surface" else pick_ori
    stc, found = uncertainty_of(evoked, fwd, model, pick_ori=pick_ori, loose=loose)
    assert isinstance(found, Uncertainty)
    for name in MAPS:
        one = getattr(found, name)
        assert type(one) is mne_cases.CLASSES[kind][0]
        assert one.data.shape == (fwd["nsource"], 1)
        assert np.isfinite(one.data).all()
        assert one.tmin == stc.tmin == evoked.times[0]
        assert one.tstep == stc.tstep
        assert one.subject == stc.subject
        for mine, theirs in zip(one.vertices, stc.vertices, strict=True):
            assert_array_equal(mine, theirs)
    assert (found.std.data > 0).all()
    assert (found.peak_probability.data >= 0).all()
    assert_allclose(found.peak_probability.data.sum(), 1.0, rtol=1e-12)
    assert ((found.confidence.data >= 0) & (found.confidence.data <= 1 + 1e-12)).all()


def test_only_where_asked_for(evoked, fwd, model):
    """The estimate is the same with and without, and stands before residual and report."""
    plain = apply_mmnet_inverse(evoked, fwd, model=model)
    assert isinstance(plain, mne.SourceEstimate)
    stc, residual, report, found = uncertainty_of(
        evoked, fwd, model, return_residual=True, return_report=True
    )
    assert_array_equal(stc.data, plain.data)
    assert isinstance(residual, mne.Evoked)
    assert report.descended
    assert isinstance(found, Uncertainty)


@pytest.mark.parametrize("loose", [None, 0.3, 1.0])
def test_units(evoked, fwd, model, loose):
    """Without a covariance, the spread grows with the data, and probabilities stay."""
    _, small = uncertainty_of(evoked, fwd, model, loose=loose)
    louder = evoked.copy()
    louder.data = louder.data * 1e4
    _, large = uncertainty_of(louder, fwd, model, loose=loose)
    assert_allclose(large.std.data, 1e4 * small.std.data, rtol=1e-2)
    assert_allclose(large.peak_probability.data, small.peak_probability.data, atol=1e-3)
    # A·m: about the size of the currents
    stc = apply_mmnet_inverse(evoked, fwd, model=model, loose=loose)
    assert 0.01 < small.std.data.max() / np.abs(stc.data).max() < 100


def test_averages(evoked, fwd, model):
    """Nine averages under a covariance are one trial under a ninth of it, in every map."""
    _, nine = uncertainty_of(evoked, fwd, model, make_cov(evoked))
    single = evoked.copy()
    single.nave = 1
    _, one = uncertainty_of(single, fwd, model, make_cov(evoked, 1 / 9))
    for name in MAPS:
        expected = getattr(one, name).data
        assert_allclose(getattr(nine, name).data, expected, rtol=1e-2, atol=1e-3 * expected.max())
    # without a covariance their number is not used
    for name in MAPS:
        found = [getattr(uncertainty_of(e, fwd, model)[1], name).data for e in (evoked, single)]
        assert_array_equal(*found)


def test_spread_is_the_posterior(evoked, fwd, model):
    """With loose orientation the spread is that of all three directions, as for the currents."""
    operator = make_mmnet_operator(evoked.info, fwd, make_cov(evoked), model=model, loose=0.2)
    _, found = apply_mmnet_inverse(evoked, operator, return_uncertainty=True)
    whitened = prepare_data(evoked.info, operator.prepared, evoked.data, evoked.nave)
    solution, _ = operator.solve(whitened[None], uncertainty=True)
    assert solution.spread.std.shape == (1, 2 * mne_cases.N_USED, 3)
    total = np.sqrt((solution.spread.std[0] ** 2).sum(axis=1))
    assert_allclose(found.std.data[:, 0], total / np.sqrt(9), rtol=1e-6)
    # tangential directions are less likely by the square root of the loose parameter
    tangential = solution.spread.std[0, :, :2].mean() / solution.spread.std[0, :, 2].mean()
    assert 0.2 < tangential < 0.8


def test_label(evoked, fwd, model):
    """A label cuts the maps, and does not change what they say."""
    everywhere, whole = uncertainty_of(evoked, fwd, model)
    inside = np.arange(5, 60)
    label = mne.Label(inside, hemi="lh", subject=mne_cases.SUBJECT, verbose=False)
    stc, part = uncertainty_of(evoked, fwd, model, label=label)
    assert_array_equal(stc.data, everywhere.data[inside])
    for name in MAPS:
        one = getattr(part, name)
        assert_array_equal(one.vertices[0], inside)
        assert len(one.vertices[1]) == 0
        assert_array_equal(one.data, getattr(whole, name).data[inside])
    assert part.peak_probability.data.sum() < 1.0


def test_regions(evoked, fwd, model):
    """They hold as much as they say, and would not without their last member.

    That such regions are the smallest, and nested, is in test_confidence.
    """
    _, found = uncertainty_of(evoked, fwd, model)
    probability = found.peak_probability.data[:, 0]
    for level in (1e-6, 0.2, 0.5, 0.9, 0.99):
        region = found.region(level)
        assert_array_equal(region, found.confidence.data[:, 0] < level)
        assert probability[region].sum() >= level - 1e-6
        assert probability[region].sum() - probability[region].min() < level + 1e-6
        assert probability[~region].max() <= probability[region].min()
    assert_array_equal(found.region(), found.region(0.9))
    assert found.region(1e-6).sum() == 1


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 90, float("nan")])
def test_impossible_level(evoked, fwd, model, level):
    stc = mne.SourceEstimate(np.zeros((2, 1)), [np.array([0]), np.array([1])], 0, 1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Uncertainty(stc, stc, stc).region(level)


@pytest.mark.filterwarnings("ignore:The strongest source may be nearly anywhere")
def test_silence(evoked, fwd, model):
    """Data of zeros have no amplitude, hence no spread, and still probabilities."""
    nothing = evoked.copy()
    nothing.data = 0.0 * nothing.data
    _, found = uncertainty_of(nothing, fwd, model)
    assert (found.std.data == 0).all()
    assert_allclose(found.peak_probability.data.sum(), 1.0, rtol=1e-12)


def test_batch(evoked, fwd, model):
    """Recordings of a batch have the uncertainty that each has alone."""
    operator = make_mmnet_operator(evoked.info, fwd, model=model)
    whitened = operator.prepared.whitener @ evoked.data
    batch = np.stack([whitened, 1e3 * whitened[::-1], np.zeros_like(whitened)])
    together, _ = operator.solve(batch, uncertainty=True)
    assert together.spread.level.shape == (3, 2 * mne_cases.N_USED)
    for k in (0, 1):
        alone, _ = operator.solve(batch[k : k + 1], uncertainty=True)
        assert_allclose(together.spread.std[k], alone.spread.std[0], rtol=1e-2)
        assert_allclose(
            together.spread.probability[k], alone.spread.probability[0], rtol=1e-2, atol=1e-4
        )
    assert operator.solve(batch)[0].spread is None
