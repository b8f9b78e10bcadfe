"""``apply_mmnet_inverse(…, model="mmnet-cosine")``: the paper's network behind the same call."""

from importlib import resources

import mne
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import mne_cases
import mne_mmnet
from mne_mmnet import apply_mmnet_inverse, make_mmnet_operator
from mne_mmnet._mne import describe_source_space, locate_sources
from mne_mmnet.network import CosineConfig, CosineNetwork
from mne_mmnet.weights import read_model, save_model

pytestmark = mne_cases.noise_may_be_called_that


@pytest.fixture(scope="module")
def fwd():
    return mne_cases.make_fwd("surface", 64)


@pytest.fixture(scope="module")
def model(fwd, tmp_path_factory):
    """Untrained weights for the test cases' source space."""
    space = describe_source_space(
        [hemisphere["vertno"] for hemisphere in fwd["src"]], fwd["src"][0]["subject_his_id"]
    )
    torch.manual_seed(0)
    network = CosineNetwork(CosineConfig(n_sources=space["n_sources"], width=16, hidden=8))
    path = tmp_path_factory.mktemp("models") / "tiny-cosine"
    domain = dict(source_space=space, n_channels=[16, 128], snr_db=[0.0, 15.0])
    save_model(network, path, domain=domain, provenance={}, half=True)
    return path


def make_evoked(fwd, n_channels=32, n_times=30, scale=1.0, seed=0, source=40):
    """One dipole of 20 nA·m along its normal, in noise of a tenth."""
    info = mne_cases.make_info(n_channels)
    fixed = mne.convert_forward_solution(fwd, force_fixed=True, verbose=False)
    rng = np.random.default_rng(seed)
    rows = [fixed["sol"]["row_names"].index(name) for name in info["ch_names"]]
    gain = fixed["sol"]["data"][rows]
    wave = np.sin(np.linspace(0, 3, n_times))
    signal = 2e-8 * scale * gain[:, [source]] * wave
    data = signal + 0.1 * signal.std() * rng.standard_normal(signal.shape)
    data -= data.mean(axis=0)
    return mne.EvokedArray(data, info, tmin=-0.1, verbose=False)


def test_call(fwd, model):
    """A signed SourceEstimate that explains the data, with a certificate."""
    evoked = make_evoked(fwd)
    stc, residual, report = apply_mmnet_inverse(
        evoked, fwd, model=model, return_residual=True, return_report=True
    )
    assert isinstance(stc, mne.SourceEstimate)
    assert stc.data.shape == (2 * mne_cases.N_USED, 30)
    assert stc.subject == mne_cases.SUBJECT
    assert_allclose(stc.times, evoked.times)
    assert (stc.data < 0).any()
    assert (stc.data > 0).any()
    assert report.descended
    assert report.noise_level is None
    assert len(report.objective) == 11
    assert "never increasing" in str(report)
    # the amplitude is the one of least squares: the residual is orthogonal to the fit
    fit = evoked.data - residual.data
    assert abs(np.sum(fit * residual.data)) < 1e-3 * np.sum(fit**2)
    assert report.explained > 0.5


@pytest.mark.parametrize("n_channels", [16, 32, 64])
def test_any_montage(fwd, model, n_channels):
    """The weights belong to the sources, not to the electrodes."""
    stc = apply_mmnet_inverse(make_evoked(fwd, n_channels), fwd, model=model)
    assert np.isfinite(stc.data).all()
    assert np.abs(stc.data).max() > 0


def test_contract(fwd, model):
    """Scale, channel order, determinism, prepared operators; nothing given is changed."""
    evoked = make_evoked(fwd)
    before = evoked.data.copy()
    stc = apply_mmnet_inverse(evoked, fwd, model=model)
    assert_array_equal(evoked.data, before)
    assert_array_equal(apply_mmnet_inverse(evoked, fwd, model=model).data, stc.data)
    size = np.abs(stc.data).max()
    for scale in (1e-6, 1e6):
        louder = evoked.copy()
        louder.data = louder.data * scale
        found = apply_mmnet_inverse(louder, fwd, model=model)
        assert_allclose(found.data, scale * stc.data, atol=1e-4 * scale * size)
    order = np.random.default_rng(0).permutation(evoked.ch_names).tolist()
    shuffled = evoked.copy().reorder_channels(order)
    found = apply_mmnet_inverse(shuffled, fwd, model=model)
    assert_allclose(found.data, stc.data, atol=1e-3 * size)
    operator = make_mmnet_operator(evoked.info, fwd, model=model)
    assert "tiny-cosine" in repr(operator)
    assert_allclose(apply_mmnet_inverse(evoked, operator).data, stc.data, atol=1e-5 * size)
    cov = mne_cases.make_cov(evoked.info)
    assert np.isfinite(apply_mmnet_inverse(evoked, fwd, cov, model=model).data).all()
    # batches of one and many
    whitened = operator.prepared.whitener @ evoked.data
    batch = np.stack([whitened, 3.0 * whitened[:, ::-1], np.zeros_like(whitened)])
    solution, reports = operator.solve(batch)
    assert solution.spread is None
    assert solution.noise_level is None
    many = solution.currents
    alone = operator.solve(batch[:1])[0].currents
    assert_allclose(many[0], alone[0], atol=1e-3 * np.abs(alone).max())
    assert (many[2] == 0).all()
    assert all(report.descended for report in reports)


def test_windows(fwd, model):
    """From a single sample to more samples than channels."""
    for n_times in (1, 5, 120):
        stc = apply_mmnet_inverse(make_evoked(fwd, n_times=n_times), fwd, model=model)
        assert stc.data.shape[1] == n_times
        assert np.isfinite(stc.data).all()


def restrict(fwd, *vertices):
    n_sources = sum(map(len, vertices))
    ones = np.ones((n_sources, 1))
    keep = mne.SourceEstimate(ones, list(vertices), 0, 1, subject=mne_cases.SUBJECT)
    return mne.forward.restrict_forward_to_stc(fwd, keep)


def test_locate_sources():
    """All of a space, some of it, or none; fsaverage and fsaverage5 share their places."""
    grid = [np.arange(42), np.arange(42)]
    space = describe_source_space(grid, "fsaverage5")
    for subject in ("fsaverage", "fsaverage5"):
        assert_array_equal(locate_sources(grid, subject, space), np.arange(84))
        some = [np.array([3, 41]), np.array([0, 5])]
        assert_array_equal(locate_sources(some, subject, space), [3, 41, 42, 47])
        one_sided = [np.array([], int), np.array([7])]
        assert_array_equal(locate_sources(one_sided, subject, space), [49])
    assert locate_sources(grid, "sample", space) is None
    assert locate_sources([np.arange(42), np.array([0, 42])], "fsaverage", space) is None
    assert locate_sources([np.arange(3)], "fsaverage", space) is None
    assert locate_sources([np.array([], int)] * 2, "fsaverage", space) is None
    assert locate_sources(grid, "fsaverage", {}) is None
    # of a space that is not icosahedral nothing is known but the digest
    other = [np.arange(0, 80, 2), np.arange(42)]
    space = describe_source_space(other, "sample")
    assert_array_equal(locate_sources(other, "sample", space), np.arange(82))
    assert locate_sources([other[0], other[1][:5]], "sample", space) is None
    # but for the medial wall, as the template is made
    walls = [np.array([1, 7, 50]), np.array([0, 2, 30])]
    cortex = [np.setdiff1d(np.arange(42), wall) for wall in walls]
    space = describe_source_space(cortex, "fsaverage5")
    assert_array_equal(locate_sources(cortex, "fsaverage", space), np.arange(79))
    assert locate_sources(some, "fsaverage", space) is None
    assert locate_sources(some, "fsaverage", space, walls) is None  # right 0 is on the wall
    inside = [np.array([3, 41]), np.array([1, 5])]
    assert_array_equal(locate_sources(inside, "fsaverage", space, walls), [2, 39, 40, 43])
    # a damaged card
    for size in (10**15, -2, 84.0, "84", None):
        found = locate_sources(some, "fsaverage", dict(space, subject="fsaverage", n_sources=size))
        assert found is None


def test_part_of_the_source_space(fwd, model):
    """Sources that are left out carry no current: the same networks answer for the others."""
    rng = np.random.default_rng(2)
    half = mne_cases.N_USED
    vertices = [np.sort(rng.choice(half, n, replace=False)) for n in (half - 20, half - 31)]
    places = np.concatenate([vertices[0], half + vertices[1]])
    whole = read_model(model).network
    before = torch.random.get_rng_state()
    part = whole.restrict(places)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert part.config.n_sources == len(places)

    def embed(x):
        full = torch.zeros(len(x), 2 * half, x.shape[2])
        full[:, places] = x
        return full

    x, gradient = torch.randn(2, 3, len(places), 11, generator=torch.manual_seed(0))
    for restricted, full in zip(part.regulariser(x), whole.regulariser(embed(x)), strict=True):
        full = full[:, places] if full.shape[1] == 2 * half else full
        assert_allclose(restricted, full, rtol=1e-4, atol=1e-6)
    states = part.curvature.initial_state(x), whole.curvature.initial_state(x)
    for _ in range(3):  # the recurrence, too
        ours, state = part.curvature(gradient, x, states[0])
        theirs, other = whole.curvature(embed(gradient), embed(x), states[1])
        assert_allclose(ours, theirs[:, places], rtol=1e-4, atol=1e-6)
        states = state, other
    # and the call, of a source whose place in the forward solution has moved
    source = int(places[90])
    evoked = make_evoked(fwd, source=source)
    stc, report = apply_mmnet_inverse(
        evoked, restrict(fwd, *vertices), model=model, return_report=True
    )
    assert report.descended
    assert report.explained > 0.5
    assert [len(numbers) for numbers in stc.vertices] == [half - 20, half - 31]
    # the weights are untrained, the depth-weighted minimum norm that they start from is not
    peak = places[np.abs(stc.data).max(axis=1).argmax()]
    rr = fwd["source_rr"]
    assert np.linalg.norm(rr[peak] - rr[source]) < 0.03


def test_other_source_spaces_are_refused(fwd, model):
    """The message names the way out: fine_tune, or mmnet-base."""
    evoked = make_evoked(fwd)
    with pytest.raises(ValueError, match=r"mmnet-base.*fine_tune"):
        apply_mmnet_inverse(evoked, mne_cases.make_fwd("volume", 64), model=model)
    beyond = fwd["src"].copy()
    for space in beyond:
        vertices = np.append(np.arange(99), mne_cases.N_USED)
        space["inuse"][:] = 0
        space["inuse"][vertices] = 1
        space.update(vertno=vertices, nuse=100)
    other = mne.make_forward_solution(
        fwd["info"], mne.Transform("head", "mri"), beyond, mne_cases.SPHERE, mindist=0.0
    )
    with pytest.raises(ValueError, match=r"with 324 sources.*with 200"):
        apply_mmnet_inverse(evoked, other, model=model)


def test_orientation_is_fixed_without_a_word(fwd, model):
    """There is nothing for the evidence to settle: these weights know normals only."""
    evoked = make_evoked(fwd)
    expected = apply_mmnet_inverse(evoked, fwd, model=model, loose=0.0)
    assert expected.data.min() < 0
    for loose in (None, "evidence"):
        stc = apply_mmnet_inverse(evoked, fwd, model=model, loose=loose)
        assert_array_equal(stc.data, expected.data)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (dict(loose=1.0), "Leave loose at None"),
        (dict(loose=0.2), "Leave loose at None"),
        (dict(depth=0.8), "leave depth at 'auto'"),
        (dict(depth=None), "leave depth at 'auto'"),
        (dict(return_uncertainty=True), "no uncertainty.*mmnet-base"),
    ],
)
def test_options_that_do_not_fit_are_refused(fwd, model, options, match):
    """What the weights have settled cannot be changed; an objective has no posterior."""
    with pytest.raises(ValueError, match=match):
        apply_mmnet_inverse(make_evoked(fwd), fwd, model=model, **options)


def test_shipped_model():
    """mmnet-cosine is there, small, says how it was trained, and works on the template."""
    network, card = read_model("mmnet-cosine")
    folder = resources.files("mne_mmnet.pretrained")
    assert len((folder / "mmnet-cosine.safetensors").read_bytes()) <= 10e6
    assert card.kind == "cosine"
    assert card.provenance["schedule"] in ("CPU budget", "the paper's")
    assert network.config.n_steps >= 4
    info = mne_cases.make_info(32)
    fwd = mne_mmnet.make_template_forward(info, subjects_dir=mne_mmnet.fetch_template())
    assert fwd["nsource"] == 1175 == network.config.n_sources  # without the medial wall
    fixed = mne.convert_forward_solution(fwd, force_fixed=True, surf_ori=True, verbose=False)
    rng = np.random.default_rng(1)
    errors = []
    gain = fixed["sol"]["data"] - fixed["sol"]["data"].mean(axis=0)
    size = np.linalg.norm(gain, axis=0)
    visible = np.flatnonzero(size > np.median(size))
    for source in rng.choice(visible, 5, replace=False):
        wave = np.exp(-0.5 * ((np.arange(64) - 32) / 6.0) ** 2)
        near = np.linalg.norm(fwd["source_rr"] - fwd["source_rr"][source], axis=1) < 0.015
        signal = gain[:, near].sum(axis=1, keepdims=True) * wave * 1e-9
        noise = 0.3 * signal.std() * rng.standard_normal(signal.shape)
        evoked = mne.EvokedArray(signal + noise, info, verbose=False)
        stc, report = apply_mmnet_inverse(evoked, fwd, model="mmnet-cosine", return_report=True)
        assert report.descended
        peak = np.abs(stc.data[:, 32]).argmax()
        errors.append(np.linalg.norm(fwd["source_rr"][peak] - fwd["source_rr"][source]))
    # chance is about 70 mm
    assert np.median(errors) < 0.025
    other = mne_mmnet.make_template_forward(info, "oct4", subjects_dir=mne_mmnet.fetch_template())
    with pytest.raises(ValueError, match="fine_tune"):
        apply_mmnet_inverse(evoked, other, model="mmnet-cosine")
