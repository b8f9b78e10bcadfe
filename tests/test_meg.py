"""MEG, and MEG with EEG: whitened, localised, or refused."""

import mne
import numpy as np
import pytest
from mne.cov import compute_whitener
from mne.utils import catch_logging
from numpy.testing import assert_allclose, assert_array_equal

import mne_cases as cases
from mne_mmnet import (
    MMNetStream,
    apply_mmnet_inverse,
    apply_mmnet_inverse_epochs,
    apply_mmnet_inverse_raw,
    make_mmnet_operator,
)
from mne_mmnet._cli import main
from mne_mmnet._mne import prepare_data, prepare_forward
from mne_mmnet.inverse.concerns import doubt_amplitude

SELECTIONS = {
    "eeg": dict(meg=False, eeg=True),
    "mag": dict(meg="mag", eeg=False),
    "grad": dict(meg="grad", eeg=False),
    "meg": dict(meg=True, eeg=False),
    "meg + eeg": dict(meg=True, eeg=True),
}
N_EACH = 34  # magnetometers; twice as many gradiometers
DOMAIN = "MEG is outside its training domain"


def pick_fwd(name, fwd=None):
    fwd = cases.make_meg_fwd() if fwd is None else fwd
    return mne.pick_types_forward(fwd, **SELECTIONS[name])


def make_cov(info=None):
    return mne.make_ad_hoc_cov(cases.make_meg_info() if info is None else info, verbose=False)


def simulate(sources, seed=0, shift=0.0, amplitude=2e-8):
    """One dipole each, tangential and with ad-hoc noise; the head `shift` m off in the helmet."""
    info, fwd = cases.make_meg_info(), cases.make_meg_fwd()
    if shift:
        moved = info.copy()
        moved["dev_head_t"]["trans"][0, 3] += shift
        trans = mne.Transform("head", "mri")
        fwd = mne.make_forward_solution(
            moved, trans, fwd["src"].copy(), cases.SPHERE, mindist=0.0, verbose=False
        )
    rng = np.random.default_rng(seed)
    noise = np.sqrt(make_cov().data)[:, None]
    course = amplitude * np.hanning(25)
    for source in sources:
        radial = fwd["source_rr"][source] - [0, 0, 0.04]
        moment = np.cross(radial, rng.normal(size=3))
        moment /= np.linalg.norm(moment)
        gain = fwd["sol"]["data"][:, 3 * source : 3 * source + 3] @ moment
        data = np.outer(gain, course)
        data += noise * rng.normal(size=data.shape)
        yield mne.EvokedArray(data, info, verbose=False)


# --------------------------------------------------------------------------- localisation


@pytest.fixture(scope="module")
def distances():
    """Distance (mm) of the strongest location from a dipole's, by selection of channels.

    The data were made with the head 3 mm away from where the lead field has it.
    """
    places = cases.make_meg_fwd()["source_rr"]
    # outer half: a sphere's centre is silent for MEG
    outer = np.flatnonzero(np.linalg.norm(places - [0, 0, 0.04], axis=1) > 0.045)
    sources = np.random.default_rng(5).choice(outer, 12, replace=False)
    found = {}
    for name in SELECTIONS:
        with mne.use_log_level("error"):  # the domain's warning has a test of its own
            operator = make_mmnet_operator(
                cases.make_meg_info(), pick_fwd(name), make_cov(), loose=1.0
            )
            stcs = [apply_mmnet_inverse(ev, operator) for ev in simulate(sources, shift=0.003)]
        peaks = [np.argmax(np.linalg.norm(stc.data, axis=1)) for stc in stcs]
        found[name] = 1e3 * np.linalg.norm(places[peaks] - places[sources], axis=1)
    return found


@pytest.mark.parametrize("name", list(SELECTIONS))
def test_dipoles_are_found(distances, name):
    assert np.median(distances[name]) < 8
    assert distances[name].mean() < 15


def test_more_sensors_are_no_worse(distances):
    both = distances["meg + eeg"].mean()
    assert both <= min(distances["eeg"].mean(), distances["meg"].mean()) + 2


@pytest.mark.parametrize("name", ["grad", "meg + eeg"])
def test_domain_is_named_once(name):
    (evoked,) = simulate([20])
    with pytest.warns(RuntimeWarning, match=DOMAIN) as caught:
        _, report = apply_mmnet_inverse(evoked, pick_fwd(name), make_cov(), return_report=True)
    assert len(caught) == 1
    assert sum(DOMAIN in concern for concern in report.concerns) == 1
    assert report.descended
    assert report.agreement.peak_distance_mm < 30


def test_files(tmp_path):
    """Response, lead field and covariance from files; the residual in the sensors' own units."""
    (evoked,) = simulate([20], amplitude=1e-7)
    evoked.save(tmp_path / "a-ave.fif", verbose=False)
    mne.write_forward_solution(tmp_path / "a-fwd.fif", cases.make_meg_fwd(), verbose=False)
    make_cov().save(tmp_path / "a-cov.fif", verbose=False)
    read = mne.read_evokeds(tmp_path / "a-ave.fif", 0, verbose=False)
    fwd = mne.read_forward_solution(tmp_path / "a-fwd.fif", verbose=False)
    cov = mne.read_cov(tmp_path / "a-cov.fif", verbose=False)
    with pytest.warns(RuntimeWarning, match=DOMAIN):
        stc, residual = apply_mmnet_inverse(read, fwd, cov, return_residual=True)
    with pytest.warns(RuntimeWarning, match=DOMAIN):
        direct = apply_mmnet_inverse(evoked, cases.make_meg_fwd(), make_cov())
    assert_allclose(stc.data, direct.data, atol=1e-3 * np.abs(direct.data).max())
    assert residual.ch_names == evoked.ch_names
    for kind in ("mag", "grad", "eeg"):
        left = residual.get_data(kind).std() / evoked.get_data(kind).std()
        assert 0 < left < 0.8


def test_epochs_raw_and_stream():
    """The same sources from epochs, a continuous recording and single windows."""
    evoked, other = simulate([20, 90], amplitude=1e-7)
    data = np.tile(evoked.data, 5)
    info = mne.create_info(evoked.ch_names, 100.0, evoked.get_channel_types())
    raw = mne.io.RawArray(data, info, verbose=False)
    with pytest.warns(RuntimeWarning, match=DOMAIN):
        operator = make_mmnet_operator(info, pick_fwd("meg"), make_cov())
    epochs = mne.EpochsArray([evoked.data, other.data], evoked.info, verbose=False)
    singles = [apply_mmnet_inverse(one, operator).data for one in (evoked, other)]
    for stc, single in zip(apply_mmnet_inverse_epochs(epochs, operator), singles, strict=True):
        assert_allclose(stc.data, single, atol=1e-4 * np.abs(single).max())
    stc = apply_mmnet_inverse_raw(raw, operator)
    peak = np.argmax(np.abs(singles[0]).max(axis=1))
    assert np.argmax(np.abs(stc.data).max(axis=1)) == peak
    currents = MMNetStream(operator, info).push(evoked.data)
    assert np.argmax(np.abs(currents).max(axis=1)) == peak


@pytest.mark.filterwarnings("always:.*MEG is outside:RuntimeWarning")
def test_command_line(tmp_path, capsys):
    """A response without EEG."""
    (evoked,) = simulate([20])
    evoked.pick("meg").save(tmp_path / "a-ave.fif", verbose=False)
    mne.write_forward_solution(tmp_path / "a-fwd.fif", pick_fwd("meg"), verbose=False)
    make_cov().save(tmp_path / "a-cov.fif", verbose=False)
    files = {"--fwd": "a-fwd.fif", "--cov": "a-cov.fif", "--out": "out"}
    options = [str(x) for pair in files.items() for x in (pair[0], tmp_path / pair[1])]
    assert main(["localize", str(tmp_path / "a-ave.fif"), *options]) == 0
    said = capsys.readouterr()
    assert "never increasing" in said.out
    assert "average reference" not in said.out
    assert DOMAIN in said.out
    assert DOMAIN not in said.err  # once is enough
    assert (tmp_path / "out" / "a-mmnet-stc.h5").is_file()


# --------------------------------------------------------------------------- channels


def test_meg_needs_a_covariance():
    for name in ("mag", "meg", "meg + eeg"):
        with pytest.raises(ValueError, match=r"gradiometer|magnetometer") as error:
            prepare_forward(cases.make_meg_info(), pick_fwd(name))
        assert "without a noise covariance" in str(error.value)
        assert "pick_types_forward(fwd, meg=False, eeg=True)" in str(error.value)
    # the remedies work
    assert prepare_forward(cases.make_meg_info(), pick_fwd("eeg")).n_channels == 32
    assert prepare_forward(cases.make_meg_info(), pick_fwd("meg"), make_cov()).n_channels == 102


def test_the_lead_field_decides():
    """MEG in the recording changes nothing where the lead field has EEG alone."""
    (evoked,) = simulate([20])
    alone = evoked.copy().pick("eeg")
    for cov in (make_cov(), None):
        with catch_logging(verbose="info") as log:
            stc = apply_mmnet_inverse(evoked, pick_fwd("eeg"), cov, verbose="info")
        assert "102 channels are not EEG and are left out" in log.getvalue()
        assert_array_equal(stc.data, apply_mmnet_inverse(alone, pick_fwd("eeg"), cov).data)
    # and the covariance as well
    eeg_cov = make_cov(alone.info)
    prepared = prepare_forward(evoked.info, cases.make_meg_fwd(), eeg_cov)
    assert set(prepared.ch_types) == {"eeg"}


def test_channels_bads_and_log():
    info = cases.make_meg_info().copy()
    info["bads"] = ["MEG 0113", "C3"]
    with catch_logging(verbose="info") as log:
        prepared = prepare_forward(info, cases.make_meg_fwd(), make_cov())
    assert f"Using {N_EACH} magnetometer + {2 * N_EACH - 1} gradiometer + 31 EEG channels" in (
        log.getvalue()
    )
    assert not {"MEG 0113", "C3"} & set(prepared.ch_names)
    assert prepared.n_rank == 3 * N_EACH - 1 + 30
    assert "magnetometer" in repr(prepared)
    few = info.copy()
    few["bads"] = [name for name in few["ch_names"] if not name.startswith("MEG 01")]
    with pytest.raises(ValueError, match=r"Only \d of 34 magnetometer \+ 68 gradiometer channels"):
        prepare_forward(few, pick_fwd("meg"), make_cov())


def test_reference_matters_for_eeg_alone():
    (evoked,) = simulate([20])
    evoked.data[evoked.info.get_channel_types().index("eeg") :] += 1e-5
    evoked.del_proj()
    with pytest.warns(RuntimeWarning, match=DOMAIN):
        apply_mmnet_inverse(evoked, pick_fwd("meg"), make_cov())
    with (
        pytest.warns(RuntimeWarning, match=DOMAIN),
        pytest.raises(ValueError, match="no average EEG reference"),
    ):
        apply_mmnet_inverse(evoked, cases.make_meg_fwd(), make_cov())


@pytest.mark.parametrize("grade", [0, 3])
def test_compensation_grade(grade):
    plain = cases.make_meg_info(eeg=False, system="ctf151", step=4)
    info = plain.copy()
    for ch in info["chs"]:
        ch["coil_type"] = ch["coil_type"] | grade << 16
    assert info.compensation_grade == grade
    fwd = cases.make_meg_fwd(eeg=False, system="ctf151", step=4)
    if grade == 0:
        assert prepare_forward(info, fwd, make_cov(info)).n_channels == len(info["ch_names"])
        return
    with pytest.raises(ValueError, match=r"grade 3, .* 0\. Call apply_gradient_compensation\(0\)"):
        prepare_forward(info, fwd, make_cov(info))


def test_cosine_model_refuses_meg():
    (evoked,) = simulate([20])
    for name in ("meg", "meg + eeg"):
        with pytest.raises(ValueError, match=r"trained on EEG.*model='mmnet-base'"):
            apply_mmnet_inverse(evoked, pick_fwd(name), make_cov(), model="mmnet-cosine")


# --------------------------------------------------------------------------- whitening


def full_cov(seed=2, rank=None):
    """Noise with correlations, within and between types, on the scale of each type."""
    info = cases.make_meg_info()
    scale = np.sqrt(make_cov().data)
    cov = cases.make_cov(info, seed, rank)
    cov["data"] = cov.data * 1e12 * np.outer(scale, scale)
    return cov


def test_whitener_is_mne_s():
    info, cov = cases.make_meg_info(), full_cov()
    prepared = prepare_forward(info, cases.make_meg_fwd(), cov)
    oracle, names = compute_whitener(cov, info, pca=True, verbose=False)
    assert tuple(names) == prepared.ch_names
    assert prepared.n_rank == len(oracle) == 3 * N_EACH + 31
    unit = np.sqrt(make_cov().data)
    ours, theirs = prepared.whitener * unit, oracle * unit
    assert_allclose(ours.T @ ours, theirs.T @ theirs, atol=1e-6 * np.abs(ours).max() ** 2)
    # noise of each type has unit variance
    for kind in ("eeg", "mag", "grad"):
        own = np.array(prepared.ch_types) == kind
        colour = np.linalg.svd(ours[:, own])[1]
        assert np.isfinite(colour).all()
        assert colour.max() > 0
    (evoked,) = simulate([20])
    whitened = prepare_data(info, prepared, evoked.data)
    assert_allclose(np.linalg.norm(whitened), np.linalg.norm(oracle @ evoked.data), rtol=1e-6)


@pytest.mark.parametrize(
    ("rank", "n_rank"),
    [
        (None, 133),
        ("info", 133),
        ({"eeg": 20}, 122),
        ({"meg": 60}, 91),
        ({"mag": 20, "grad": 40}, 91),
        ({"meg": 60, "eeg": 20}, 80),
    ],
)
def test_rank_by_type(rank, n_rank):
    prepared = prepare_forward(cases.make_meg_info(), cases.make_meg_fwd(), full_cov(), rank=rank)
    assert prepared.n_rank == n_rank


def test_rank_of_one_type():
    info, fwd = cases.make_meg_info(), pick_fwd("mag")
    for rank in ({"mag": 20}, {"meg": 20}, {"meg": 20, "eeg": 500}):
        assert prepare_forward(info, fwd, full_cov(), rank=rank).n_rank == 20
    with pytest.raises(ValueError, match=r'rank\["mag"\] must be between 1 and the 34'):
        prepare_forward(info, fwd, full_cov(), rank={"mag": 35})


def test_maxwell_filtered_data():
    """The rank of Maxwell-filtered data is that of the expansion, for both types together."""
    info = cases.canonical_meg_info("neuromag")
    info["dev_head_t"] = cases.make_meg_info()["dev_head_t"]
    noise = np.sqrt(make_cov(info).data)[:, None]
    data = noise * np.random.default_rng(0).normal(size=(len(info["ch_names"]), 1600))
    raw = mne.io.RawArray(data, info, verbose=False)
    raw = mne.preprocessing.maxwell_filter(raw, origin=(0, 0, 0.04), verbose=False)
    cov = mne.compute_raw_covariance(raw, verbose=False)
    names = raw.ch_names[:306]
    fwd = mne.make_forward_solution(
        raw.info,
        mne.Transform("head", "mri"),
        cases.make_src("discrete").copy(),
        cases.SPHERE,
        mindist=0.0,
        verbose=False,
    )
    for rank in (None, "info"):
        prepared = prepare_forward(raw.info, fwd, cov, rank=rank)
        assert prepared.ch_names == tuple(names)
        assert 60 < prepared.n_rank <= 80
        whitened = prepare_data(raw.info, prepared, raw.get_data())
        assert_allclose(whitened.var(axis=1), 1, atol=0.05)


@pytest.mark.parametrize("name", ["meg", "meg + eeg"])
@pytest.mark.parametrize("applied", [False, True])
def test_projectors_of_meg(name, applied):
    info = cases.make_meg_info()
    mags = [info["ch_names"][k] for k in mne.pick_types(info, meg="mag")]
    proj = cases.make_projector(mags, desc="empty room")
    (evoked,) = simulate([20])
    evoked.del_proj().add_proj(proj)
    if applied:
        evoked.apply_proj()
    prepared = prepare_forward(evoked.info, pick_fwd(name), full_cov())
    assert prepared.n_rank == 3 * N_EACH - 1 + (31 if "eeg" in name else 0)
    rows = [prepared.ch_names.index(mag) for mag in mags]
    scale = np.abs(prepared.whitener[:, rows]).max()
    assert_allclose(prepared.whitener[:, rows] @ proj["data"]["data"][0], 0, atol=1e-9 * scale)
    assert evoked.info["projs"][0]["active"] is applied


def test_currents_of_meg_in_another_unit():
    """What is said of EEG in µV does not help there."""
    data = np.random.default_rng(0).standard_normal((3, 40))
    remedies = {("eeg",) * 3: "divide data in µV by 1e6", ("eeg", "mag", "grad"): "T, T/m and V"}
    for ch_types, remedy in remedies.items():
        text = doubt_amplitude(ch_types, data, 1.0, None, True)["amplitude"]
        assert text.startswith("The largest current is 1 A·m, more than any patch")
        assert remedy in text
