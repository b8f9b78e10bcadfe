"""The MNE contract (DESIGN §4), clause by clause, through the public functions alone."""

import copy
from types import SimpleNamespace

import mne
import numpy as np
import pytest
from mne.utils import catch_logging, object_diff
from numpy.testing import assert_allclose, assert_array_equal

import mne_cases
import mne_mmnet
from core_cases import DOMAIN, SMALL, random_network
from mne_mmnet import apply_mmnet_inverse, make_mmnet_operator
from mne_mmnet.dictionary.lead_errors import SHARES
from mne_mmnet.inverse import routes
from mne_mmnet.network import describe
from mne_mmnet.weights import save_model

# the recordings of these tests are cleaner than what the network was trained on, on purpose
pytestmark = [
    mne_cases.noise_may_be_called_that,
    pytest.mark.filterwarnings(
        "ignore:The data are not distinguishable from noise:RuntimeWarning"
    ),
]

N_CHANNELS = 32
NAVE = 9


def as_normal(fwd):
    return mne.convert_forward_solution(fwd, force_fixed=True, verbose=False)


def simulate(fwd, info, *, n_times=40, seed=0):
    """Two dipoles along the normals, in noise of a tenth of their field, average-referenced."""
    rng = np.random.default_rng(seed)
    gain = as_normal(fwd)["sol"]["data"]
    times = np.arange(n_times) / info["sfreq"]
    sources = rng.choice(gain.shape[1], 2, replace=False)
    courses = [np.sin(2 * np.pi * 9 * times), np.sin(2 * np.pi * 14 * times + 1)]
    signal = gain[:, sources] @ (2e-8 * np.array(courses))
    noise = rng.normal(size=signal.shape) * signal.std() / 10
    data = np.zeros((len(info["ch_names"]), n_times))
    rows = [info["ch_names"].index(name) for name in fwd["sol"]["row_names"]]
    data[rows] = signal + noise
    data -= data.mean(axis=0)
    return mne.EvokedArray(data, info, tmin=-0.05, nave=NAVE, verbose=False)


def make_cov(evoked, seed=1):
    """Noise covariance of single trials, with correlations, at the level of the noise."""
    cov = mne_cases.make_cov(evoked.info, seed)
    scale = NAVE * (evoked.data.std() / 10) ** 2 / np.diag(cov.data).mean()
    return mne.Covariance(cov.data * scale, cov.ch_names, [], [], 1000)


@pytest.fixture(scope="module")
def subjects_dir():
    # whatever fsaverage this machine may have: always the package's own template
    return mne_mmnet.fetch_template()


@pytest.fixture(scope="module")
def case(subjects_dir):
    """A response on the template. Tests must not change it."""
    info = mne_cases.make_info(N_CHANNELS)
    fwd = mne_mmnet.make_template_forward(info, subjects_dir=subjects_dir)
    evoked = simulate(fwd, info)
    return SimpleNamespace(info=info, fwd=fwd, evoked=evoked, cov=make_cov(evoked))


@pytest.fixture(scope="module")
def stc(case):
    """The estimate of the simplest call."""
    return apply_mmnet_inverse(case.evoked, case.fwd)


@pytest.fixture(scope="module")
def stc_cov(case):
    return apply_mmnet_inverse(case.evoked, case.fwd, case.cov)


def assert_close(actual, desired, tol=1e-3):
    """Equal to a share of the largest value: float32 sums in another order differ by 1e-5."""
    actual, desired = (getattr(x, "data", x) for x in (actual, desired))
    assert actual.shape == desired.shape
    assert_allclose(actual, desired, rtol=0, atol=tol * np.abs(desired).max())


def with_data(evoked, data, **kwargs):
    out = evoked.copy()
    out.data = data
    for key, value in kwargs.items():
        setattr(out, key, value)
    return out


def without_projs(evoked):
    out = evoked.copy()
    with out.info._unlock():
        out.info["projs"] = []
    return out


def logged(*args, **kwargs):
    with catch_logging() as log:
        out = apply_mmnet_inverse(*args, **kwargs, verbose=True)
    return out, log.getvalue()


# Channels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["data", "forward", "covariance", "all"])
def test_channel_permutation(case, stc_cov, what):
    """Channels are matched by name: their order means nothing, anywhere."""
    evoked, fwd, cov = case.evoked, case.fwd, case.cov
    orders = [np.random.default_rng(seed).permutation(N_CHANNELS) for seed in range(3)]
    if what in ("data", "all"):
        evoked = evoked.copy().reorder_channels([evoked.ch_names[k] for k in orders[0]])
    if what in ("forward", "all"):
        names = [fwd["sol"]["row_names"][k] for k in orders[1]]
        fwd = mne.pick_channels_forward(fwd, names, ordered=True)
        assert fwd["sol"]["row_names"] == names
    if what in ("covariance", "all"):
        names = [cov.ch_names[k] for k in orders[2]]
        cov = mne.pick_channels_cov(cov, names, ordered=True)
    assert_close(apply_mmnet_inverse(evoked, fwd, cov), stc_cov)


@pytest.mark.filterwarnings("ignore:.* good in the data but not in the ")
def test_extra_data_and_covariance_channels(case, stc):
    """Channels that not all of them have are left out, and the log says so."""
    names = case.evoked.ch_names
    fwd = mne.pick_channels_forward(case.fwd, names[2:], ordered=True)
    cov = mne.pick_channels_cov(case.cov, names[:-1], ordered=True)
    full, log = logged(case.evoked, fwd, cov)
    assert f"Dropped 2 channels ({names[0]}, {names[1]}) not in the forward solution" in log
    assert f"Dropped 1 channel ({names[-1]}) not in the noise covariance" in log
    assert f"Using {N_CHANNELS - 3} EEG channels" in log
    used = case.evoked.copy().pick(names[2:-1])
    assert_close(full, apply_mmnet_inverse(used, fwd, cov))


def test_other_channel_types_are_ignored(case, stc):
    """EOG and stimulus channels in the data change nothing."""
    info = mne.create_info(["EOG1", "STI"], case.info["sfreq"], ["eog", "stim"])
    other = mne.EvokedArray(np.ones((2, len(case.evoked.times))), info, tmin=-0.05, verbose=False)
    evoked = case.evoked.copy().add_channels([other], force_update_info=True)
    assert_array_equal(apply_mmnet_inverse(evoked, case.fwd).data, stc.data)


@pytest.mark.parametrize("where", ["info", "covariance"])
def test_bad_channels(case, where):
    """Bads of info and covariance are dropped, whatever they hold, and the log names them."""
    names = case.evoked.ch_names
    bads = [names[3], names[17]]
    evoked, cov = case.evoked.copy(), copy.deepcopy(case.cov)
    if where == "info":
        evoked.info["bads"] = bads
        evoked.data[3] = np.nan
    else:
        cov["bads"] = bads
    marked, log = logged(evoked, case.fwd, cov)
    assert f"Dropped 2 channels ({', '.join(bads)}) marked as bad" in log
    left = [name for name in names if name not in bads]
    dropped = apply_mmnet_inverse(case.evoked.copy().pick(left), case.fwd, case.cov)
    assert_close(marked, dropped)


# Reference --------------------------------------------------------------------------------------


def test_pending_and_applied_reference(case):
    """The projector may be pending or applied."""
    offset = 1e-5 * np.cos(np.arange(len(case.evoked.times)))
    pending = with_data(case.evoked, case.evoked.data + offset)
    assert not pending.proj
    applied = pending.copy().apply_proj()
    expected = apply_mmnet_inverse(applied, case.fwd)
    assert_close(apply_mmnet_inverse(pending, case.fwd), expected)


def test_reference_averaged_directly(case, stc):
    """Data whose mean over the channels is zero need no projector."""
    evoked = without_projs(case.evoked)
    averaged = with_data(evoked, evoked.data + 1e-5)
    averaged.set_eeg_reference("average", projection=False, verbose=False)
    assert not averaged.info["projs"]
    assert_close(apply_mmnet_inverse(averaged, case.fwd), stc)


@pytest.mark.parametrize("prepared", [False, True])
def test_missing_reference(case, prepared):
    """Any other reference is refused, and the message names the call that fixes it."""
    evoked = without_projs(case.evoked)
    evoked = with_data(evoked, evoked.data - evoked.data[0])
    fwd = make_mmnet_operator(evoked.info, case.fwd) if prepared else case.fwd
    with pytest.raises(ValueError, match=r"set_eeg_reference\(projection=True\)"):
        apply_mmnet_inverse(evoked, fwd)


# Noise ------------------------------------------------------------------------------------------


def test_nave_with_covariance(case, stc_cov):
    """The covariance is that of single trials: n trials are as good as noise divided by n."""
    single = with_data(case.evoked, case.evoked.data, nave=1)
    smaller = mne.Covariance(case.cov.data / NAVE, case.cov.ch_names, [], [], 1000)
    assert_close(apply_mmnet_inverse(single, case.fwd, smaller), stc_cov)
    other = apply_mmnet_inverse(single, case.fwd, case.cov)
    assert np.abs(other.data - stc_cov.data).max() > 5e-3 * np.abs(stc_cov.data).max()


def test_nave_without_covariance(case, stc):
    single = with_data(case.evoked, case.evoked.data, nave=1)
    assert_array_equal(apply_mmnet_inverse(single, case.fwd).data, stc.data)


def test_ad_hoc_covariance(case):
    """A diagonal covariance does as well as a full one."""
    diagonal = mne.make_ad_hoc_cov(case.info, std=dict(eeg=3e-7), verbose=False)
    full = diagonal.copy().as_diag()
    full = mne.Covariance(np.diag(full.data), full.ch_names, [], [], full["nfree"])
    assert_close(
        apply_mmnet_inverse(case.evoked, case.fwd, diagonal),
        apply_mmnet_inverse(case.evoked, case.fwd, full),
    )


# Invariances ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-15, 1e-6, 3.0, 1e6, 1e12])
def test_scale_equivariance(case, stc, scale):
    """Data × c gives currents × c."""
    scaled = apply_mmnet_inverse(with_data(case.evoked, scale * case.evoked.data), case.fwd)
    assert_close(scaled.data / scale, stc.data)


@pytest.mark.parametrize("scale", [1e-4, 3.0, 1e4])
def test_scale_equivariance_with_covariance(case, stc_cov, scale):
    """Data × c and covariance × c² give currents × c."""
    evoked = with_data(case.evoked, scale * case.evoked.data)
    cov = mne.Covariance(scale**2 * case.cov.data, case.cov.ch_names, [], [], 1000)
    scaled = apply_mmnet_inverse(evoked, case.fwd, cov)
    assert_close(scaled.data / scale, stc_cov.data)


@pytest.mark.parametrize("options", [{}, {"pick_ori": "vector"}, {"loose": 0.0}])
def test_sign_equivariance(case, options):
    """Data × −1 gives currents × −1, and the same lengths."""
    evoked, flipped = case.evoked, with_data(case.evoked, -case.evoked.data)
    one, other = (apply_mmnet_inverse(x, case.fwd, **options) for x in (evoked, flipped))
    assert_close(-other.data if options else other.data, one.data)


@pytest.mark.parametrize("pick_ori", [None, "vector"])
def test_inputs_unchanged(case, pick_ori):
    """No input object is modified, and the output shares no memory with them."""
    evoked, fwd, cov = case.evoked.copy(), copy.deepcopy(case.fwd), copy.deepcopy(case.cov)
    evoked.info["bads"] = [evoked.ch_names[0]]
    before = copy.deepcopy((evoked, fwd, cov))
    stc, residual = apply_mmnet_inverse(
        evoked, fwd, cov, loose=0.2, pick_ori=pick_ori, return_residual=True
    )
    stc.data[:] = 0
    stc.vertices[0][:] = 0
    residual.data[:] = 0
    for now, then in zip((evoked.info, fwd, cov), (before[0].info, *before[1:]), strict=True):
        assert object_diff(now, then) == ""
    assert_array_equal(evoked.data, before[0].data)
    assert_array_equal(evoked.times, before[0].times)
    assert evoked.nave == before[0].nave


def test_repeated_window(case, stc):
    """Samples count by their covariance alone: a window played 50 times is localised the same.

    With 2000 samples the read-out goes in several pieces.
    """
    long = mne.EvokedArray(np.tile(case.evoked.data, 50), case.info, tmin=-0.05, verbose=False)
    assert_close(apply_mmnet_inverse(long, case.fwd), np.tile(stc.data, 50))


def test_single_time_sample(case):
    evoked = case.evoked.copy().crop(0.02, 0.02)
    assert len(evoked.times) == 1
    for cov in (None, case.cov):
        stc, report = apply_mmnet_inverse(evoked, case.fwd, cov, return_report=True)
        assert stc.data.shape == (case.fwd["nsource"], 1)
        assert np.isfinite(stc.data).all()
        assert report.explained > 0.3
        assert stc.tmin == evoked.times[0]


@pytest.mark.parametrize("loose", [None, 0.0, 1.0])
@pytest.mark.parametrize("with_cov", [False, True])
def test_all_zero_data(case, loose, with_cov):
    """Nothing in, nothing out."""
    stc, residual, report = apply_mmnet_inverse(
        with_data(case.evoked, 0 * case.evoked.data),
        case.fwd,
        case.cov if with_cov else None,
        loose=loose,
        return_residual=True,
        return_report=True,
    )
    assert_array_equal(stc.data, 0)
    assert_array_equal(residual.data, 0)
    assert report.descended
    assert report.explained == 0


# The estimate -----------------------------------------------------------------------------------


def test_subject_vertices_and_times(case, stc):
    """The estimate says whose it is, where and when."""
    assert type(stc) is mne.SourceEstimate
    assert stc.subject == "fsaverage5"
    for vertices, space in zip(stc.vertices, case.fwd["src"], strict=True):
        assert_array_equal(vertices, space["vertno"])
    assert stc.tmin == case.evoked.times[0]
    assert stc.tstep == pytest.approx(1 / case.info["sfreq"], rel=1e-12)
    assert_allclose(stc.times, case.evoked.times, atol=1e-12)
    # lengths: nothing is known of the orientation
    assert 0 <= stc.data.min() < stc.data.max()
    # two dipoles of 20 nAm, spread over some sources
    assert 1e-9 < np.abs(stc.data).max() < 1e-7


# Orientation ------------------------------------------------------------------------------------


def test_loose_goes_to_fixed(case, monkeypatch):
    """As tangential currents are forbidden, the estimate becomes the fixed one."""
    # to the network loose orientation is another word than fixed; here it is told the same
    monkeypatch.setattr(
        routes,
        "describe",
        lambda n_batch, head, orient, *rest: describe(n_batch, head, "fixed", *rest),
    )
    almost, zero = (
        apply_mmnet_inverse(case.evoked, case.fwd, loose=loose, pick_ori="normal")
        for loose in (1e-8, 0.0)
    )
    assert_close(zero, apply_mmnet_inverse(case.evoked, case.fwd, loose=0.0), 1e-12)
    assert_close(almost, zero, 1e-2)


def test_evidence_is_the_default(case, stc):
    """Saying it changes nothing; fixing or freeing the orientation does."""
    named = apply_mmnet_inverse(case.evoked, case.fwd, loose="evidence")
    assert_array_equal(named.data, stc.data)
    for loose in (0.0, 0.2, 1.0):
        other = apply_mmnet_inverse(case.evoked, case.fwd, loose=loose)
        assert np.abs(np.abs(other.data) - stc.data).max() > 1e-2 * stc.data.max()


def test_loose_grows_tangential(case):
    """The share of tangential currents grows with loose."""
    shares = []
    for loose in (0.0, 0.1, 0.5, 1.0):
        operator = make_mmnet_operator(case.info, case.fwd, loose=loose)
        scalar, normal = (
            apply_mmnet_inverse(case.evoked, operator, pick_ori=pick_ori)
            for pick_ori in (None, "normal")
        )
        shares.append(1 - (normal.data**2).sum() / (scalar.data**2).sum())
    assert abs(shares[0]) < 1e-6
    assert (np.diff(shares) > 0).all()


# Head -------------------------------------------------------------------------------------------


def test_head(case, stc):
    """The template is recognised, and trusted less than a head of one's own."""
    assert_array_equal(apply_mmnet_inverse(case.evoked, case.fwd, head="template").data, stc.data)
    operators = {
        head: make_mmnet_operator(case.info, case.fwd, head=head)
        for head in ("auto", "template", "own")
    }
    assert [one.head.kind for one in operators.values()] == ["template", "template", "own"]
    assert "own head" in repr(operators["own"])
    own = apply_mmnet_inverse(case.evoked, operators["own"])
    assert np.abs(own.data - stc.data).max() > 1e-2 * stc.data.max()

    def error_power(operator):
        model = operator.route.model
        return (model.columns[..., model.n_atom_columns :] ** 2).sum()

    # the same errors, but for their size
    ratio = error_power(operators["own"]) / error_power(operators["template"])
    assert ratio == pytest.approx(SHARES["own"] / SHARES["template"], rel=0.05)


def test_head_of_epochs_and_raw(case):
    """All inverse functions take it."""
    data = case.evoked.data
    expected = apply_mmnet_inverse(case.evoked, case.fwd, head="own")
    epochs = mne.EpochsArray(data[None], case.info, verbose=False)
    (stc,) = mne_mmnet.apply_mmnet_inverse_epochs(epochs, case.fwd, head="own")
    assert_close(stc, expected)
    raw = mne.io.RawArray(data, case.info, verbose=False)
    stc = mne_mmnet.apply_mmnet_inverse_raw(raw, case.fwd, head="own", window=10.0)
    assert_close(stc, expected)


# Source spaces ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", mne_cases.KINDS)
def test_source_spaces(kind, tmp_path):
    """Every kind of source space has its class of estimate, signed or not as MNE has it."""
    fwd = mne_cases.make_fwd(kind)
    evoked = mne_cases.make_evoked(mne_cases.make_info(64))
    operator = make_mmnet_operator(evoked.info, fwd)
    scalar, vector = (
        apply_mmnet_inverse(evoked, operator, pick_ori=pick_ori) for pick_ori in (None, "vector")
    )
    assert (type(scalar), type(vector)) == mne_cases.CLASSES[kind]
    assert scalar.data.shape == (fwd["nsource"], len(evoked.times))
    assert vector.data.shape == (fwd["nsource"], 3, len(evoked.times))
    assert_close(vector.magnitude(), np.abs(scalar.data), 1e-6)
    assert scalar.data.min() >= 0
    # fixed, hence signed, where that is asked for, or a forward solution leaves no choice
    if kind in ("surface", "discrete"):
        assert apply_mmnet_inverse(evoked, fwd, loose=0.0).data.min() < 0
    for vertices, space in zip(scalar.vertices, fwd["src"], strict=True):
        assert_array_equal(vertices, space["vertno"])
    for name, stc in (("scalar", scalar), ("vector", vector)):
        assert_allclose(stc.times, evoked.times, atol=1e-12)
        stc.save(tmp_path / f"{name}-stc.h5", ftype="h5")
        again = mne.read_source_estimate(tmp_path / f"{name}-stc.h5")
        assert type(again) is type(stc)
        assert again.subject == stc.subject
        assert_array_equal(again.data, stc.data)
        assert_allclose(again.times, stc.times)
        for mine, theirs in zip(again.vertices, stc.vertices, strict=True):
            assert_array_equal(mine, theirs)


@pytest.mark.parametrize("kind", ["volume", "mixed"])
def test_no_normals_in_volumes(kind):
    evoked = mne_cases.make_evoked(mne_cases.make_info(64))
    with pytest.raises(RuntimeError, match='Use pick_ori=None or "vector"'):
        apply_mmnet_inverse(evoked, mne_cases.make_fwd(kind), pick_ori="normal")


def test_mixed_loose():
    """A mixed source space takes one value of loose for each kind."""
    evoked = mne_cases.make_evoked(mne_cases.make_info(64))
    fwd = mne_cases.make_fwd("mixed")
    stc = apply_mmnet_inverse(evoked, fwd, loose=dict(surface=0.0, volume=1.0), pick_ori="vector")
    surface = stc.surface()
    src = fwd["src"][:2]
    normal, _ = surface.project("normal", src)
    assert_close(np.abs(normal.data), surface.magnitude(), 1e-6)


def test_patch_statistics():
    """use_cps decides about the normals, as everywhere in MNE."""
    evoked = mne_cases.make_evoked(mne_cases.make_info(64))
    fwd = mne_cases.make_fwd("surface")
    for use_cps in (False, True):
        fixed = mne.convert_forward_solution(
            fwd, surf_ori=True, force_fixed=True, use_cps=use_cps, verbose=False
        )
        assert_close(
            apply_mmnet_inverse(evoked, fwd, use_cps=use_cps, loose=0.0),
            apply_mmnet_inverse(evoked, fixed),
        )


# Residual, report, operator, options ------------------------------------------------------------


def test_residual(case):
    """Residual and what the sources explain, through MNE's own forward, are the data."""
    stc, residual = apply_mmnet_inverse(case.evoked, case.fwd, loose=0.0, return_residual=True)
    assert isinstance(residual, mne.Evoked)
    assert residual.ch_names == case.evoked.ch_names
    assert_allclose(residual.times, case.evoked.times)
    explained = mne.apply_forward(as_normal(case.fwd), stc, case.info, verbose=False)
    explained = explained.data - explained.data.mean(axis=0)
    assert_close(explained + residual.data, case.evoked.data, 1e-6)
    assert (residual.data**2).sum() < 0.5 * (case.evoked.data**2).sum()


@pytest.mark.parametrize("loose", [None, 0.2, 1.0])
def test_residual_of_vectors(case, loose):
    """The same with three columns a source, with a noise covariance and trials."""
    stc, residual = apply_mmnet_inverse(
        case.evoked, case.fwd, case.cov, loose=loose, pick_ori="vector", return_residual=True
    )
    gain = case.fwd["sol"]["data"]
    explained = gain @ stc.data.reshape(gain.shape[1], -1)
    explained -= explained.mean(axis=0)
    assert_close(explained + residual.data, case.evoked.data, 1e-6)


@pytest.mark.parametrize("with_cov", [False, True])
def test_report(case, with_cov):
    """The certificate comes back in numbers and in words."""
    cov = case.cov if with_cov else None
    _, residual, report = apply_mmnet_inverse(
        case.evoked, case.fwd, cov, return_residual=True, return_report=True
    )
    assert isinstance(report, mne_mmnet.SolverReport)
    assert report.descended
    assert (np.diff(report.objective) <= 0).all()
    assert report.objective[-1] < report.objective[0]
    n_steps = len(report.objective) - 1
    for field in (report.retries, report.analytic, report.stalled):
        assert field.shape == (n_steps,)
    assert 0 < report.explained < 1
    assert report.noise_level > 0
    text = str(report)
    assert f"in {n_steps} steps, never increasing" in text
    assert f"{100 * report.explained:.1f} % of the whitened data explained" in text
    if not with_cov:  # the whitener is the average reference times a number
        share = (residual.data**2).sum() / (case.evoked.data**2).sum()
        assert report.explained == pytest.approx(1 - share, abs=1e-5)
    _, again = apply_mmnet_inverse(case.evoked, case.fwd, cov, return_report=True)
    assert_array_equal(again.objective, report.objective)


def test_number_of_steps(case):
    """More steps take the same way, further."""
    few, many = (
        apply_mmnet_inverse(case.evoked, case.fwd, n_steps=n, return_report=True)[1]
        for n in (3, 7)
    )
    assert len(few.objective) == 4  # the start and three steps
    assert len(many.objective) == 8
    assert_array_equal(many.objective[:4], few.objective[:4])


@mne_cases.needs_mne_113
def test_known_noise_level(case):
    """With the true covariance of white noise, the noise is found to be what it says."""
    rng = np.random.default_rng(0)
    signal = case.evoked.data
    noise = signal.std() / 5 * rng.normal(size=signal.shape)
    evoked = with_data(case.evoked, signal + noise - noise.mean(axis=0), nave=1)
    cov = mne.make_ad_hoc_cov(case.info, std=dict(eeg=signal.std() / 5), verbose=False)
    _, report = apply_mmnet_inverse(evoked, case.fwd, cov, return_report=True)
    assert 0.3 < report.noise_level < 4


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loose": 0.0},
        {"loose": 0.2},
        {"loose": 1.0, "depth": 0.8, "head": "own"},
        {"use_cps": False, "device": "cpu"},
    ],
)
@pytest.mark.parametrize("with_cov", [False, True])
def test_prepared_operator(case, options, with_cov):
    """A prepared operator gives what the forward solution gives, again and again."""
    cov = case.cov if with_cov else None
    operator = make_mmnet_operator(case.info, case.fwd, cov, **options)
    direct = apply_mmnet_inverse(case.evoked, case.fwd, cov, **options)
    for _ in range(2):
        stc = apply_mmnet_inverse(case.evoked, operator)
        assert type(stc) is type(direct)
        assert stc.subject == direct.subject
        assert_array_equal(stc.data, direct.data)
    assert f"{N_CHANNELS} channels" in repr(operator)


def test_operator_is_a_copy(case, stc):
    """What happens to the forward solution afterwards doesn't reach the operator."""
    info, fwd = copy.deepcopy(case.info), copy.deepcopy(case.fwd)
    operator = make_mmnet_operator(info, fwd)
    fwd["sol"]["data"][:], fwd["_orig_sol"][:] = 0, 0
    fwd["src"][0]["vertno"][:] = 0
    info["bads"] = info["ch_names"][:10]
    again = apply_mmnet_inverse(case.evoked, operator)
    assert_allclose(again.data, stc.data, rtol=1e-12)  # sums depend on where memory lies
    assert_array_equal(again.vertices[0], stc.vertices[0])


def test_depth_auto_is_one(case, stc):
    """The learned prior's reference is MNE's depth weighting with exponent 1."""
    assert_close(apply_mmnet_inverse(case.evoked, case.fwd, depth=1.0), stc, 1e-6)


def test_small_depth_is_superficial(case):
    """The smaller the exponent, the nearer to the electrodes the currents."""
    gain = as_normal(case.fwd)["sol"]["data"]
    strength = np.log(np.linalg.norm(gain - gain.mean(axis=0), axis=0))
    means = []
    for depth in (None, 0.5, 1.0, 2.0):
        stc = apply_mmnet_inverse(case.evoked, case.fwd, depth=depth)
        weights = np.abs(stc.data).sum(axis=1)
        means.append(weights @ strength / weights.sum())
    assert (np.diff(means) < 0).all(), means
    zero, none = (apply_mmnet_inverse(case.evoked, case.fwd, depth=d) for d in (0.0, None))
    assert_array_equal(zero.data, none.data)


def test_device(case, stc):
    """The CPU can be asked for."""
    on_cpu = apply_mmnet_inverse(case.evoked, case.fwd, device="cpu")
    assert_close(on_cpu, stc)


def test_verbose(case):
    """MNE's verbose decides about the log."""
    _, log = logged(case.evoked, case.fwd)
    for text in ("Using 32 EEG channels", "Localising with mmnet-base", "never increasing"):
        assert text in log
    assert log.rstrip().endswith("[done]")
    for verbose in (False, "error"):
        with catch_logging() as log:
            apply_mmnet_inverse(case.evoked, case.fwd, verbose=verbose)
        assert log.getvalue() == ""


def test_model_of_ones_own(case, tmp_path):
    """A saved model is given by its path, as text or not."""
    path = tmp_path / "mine"
    save_model(random_network(0, 0.1), path, domain=DOMAIN, provenance={})
    stc, report = apply_mmnet_inverse(case.evoked, case.fwd, model=path, return_report=True)
    assert len(report.objective) == SMALL.n_steps + 1  # the start and the steps
    assert report.descended
    assert np.isfinite(stc.data).all()
    again, log = logged(case.evoked, case.fwd, model=str(path))
    assert "Localising with mine" in log
    assert_array_equal(again.data, stc.data)


# Training domain --------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
def test_warns_outside_the_training_domain(case, tmp_path):
    """What the card's ranges don't cover is warned about, by the model's name."""
    for domain, message in [
        ({"n_channels": (100, 200)}, "32 channels is outside .* of mine \\(100 to 200\\)"),
        ({"snr_db": (-60.0, -50.0)}, "dB .* outside the training domain"),
        ({"n_channels": (8, 200), "snr_db": (-60.0, 60.0)}, None),
        ({}, None),
    ]:
        save_model(random_network(0, 0.1), tmp_path / "mine", domain=domain, provenance={})
        arguments = (case.evoked, case.fwd, case.cov)
        if message is None:
            apply_mmnet_inverse(*arguments, model=tmp_path / "mine")
        else:
            with pytest.warns(RuntimeWarning, match=message):
                apply_mmnet_inverse(*arguments, model=tmp_path / "mine")
