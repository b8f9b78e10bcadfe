"""Fine-tuning on a forward model: files in, a model out that is no worse."""

from functools import partial

import mne
import numpy as np
import pytest
import torch

from core_cases import randomise
from mne_cases import make_cov, make_evoked, make_fwd, make_info, make_meg_fwd, make_meg_info
from mne_mmnet import (
    Model,
    apply_mmnet_inverse,
    fine_tune,
    list_models,
    make_mmnet_operator,
    read_model,
    save_model,
)
from mne_mmnet._cli import main
from mne_mmnet._mne import prepare_forward
from mne_mmnet.network import HEADS, ORIENTS
from mne_mmnet.simulation import Perturbation, perturb_heads
from mne_mmnet.training.fine_tuning import evidence as core
from mne_mmnet.training.fine_tuning.own_forward import make_archive

pytestmark = [
    pytest.mark.filterwarnings("ignore:The sources explain"),
    pytest.mark.filterwarnings("ignore:.*outside the training domain"),
]
INFO, FWD = make_info(16), make_fwd()


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few recordings: what is tested is the bookkeeping."""

    class Small(core.FineTuneConfig):
        def __init__(self, **options):
            super().__init__(**{"n_heads": 3, "n_held_out": 2, "n_checks": 3, **options})

    monkeypatch.setattr("mne_mmnet.training.fine_tuning.own_forward.FineTuneConfig", Small)


@pytest.fixture(scope="module")
def archive():
    """The lead field as training takes it."""
    return make_archive(INFO, FWD, prepare_forward(INFO, FWD))


def test_perturbed_heads(archive, rng):
    """Head 0 is the user's; without sizes so are all; with them they differ by some per cent."""
    still = perturb_heads(archive, 3, rng, Perturbation(0.0, 0.0, 0.0, 0.0))
    np.testing.assert_allclose(
        still.gains[1:], np.repeat(archive.gains, 2, axis=0), rtol=1e-3, atol=1e-3
    )
    heads = perturb_heads(archive, 8, rng)
    np.testing.assert_array_equal(heads.gains[0], archive.gains[0])
    centred = heads.gains - heads.gains.mean(axis=1, keepdims=True)
    flat = centred.reshape(8, -1)
    cosine = flat[1:] @ flat[0] / np.linalg.norm(flat[1:], axis=1) / np.linalg.norm(flat[0])
    assert np.all(cosine < 0.9999)
    assert np.all(cosine > 0.7)


def test_files_in_model_out(tmp_path):
    """The forward solution comes from a file, the model goes into one, and localises by path."""
    mne.write_forward_solution(tmp_path / "my-fwd.fif", FWD, verbose=False)
    fwd = mne.read_forward_solution(tmp_path / "my-fwd.fif", verbose=False)
    before = fwd["sol"]["data"].copy()
    model = fine_tune(fwd, make_cov(INFO), info=INFO, minutes=0.1)
    np.testing.assert_array_equal(fwd["sol"]["data"], before)
    assert isinstance(model, Model)
    assert model.card.name == "mmnet-base-tuned"
    save_model(model, tmp_path / "mine")
    evoked = make_evoked(INFO)
    stcs = [apply_mmnet_inverse(evoked, FWD, model=m) for m in (model, tmp_path / "mine")]
    np.testing.assert_array_equal(stcs[0].data, stcs[1].data)
    assert "mine" not in list_models()
    read = read_model(tmp_path / "mine")
    assert read.card.provenance["base"]["name"] == "mmnet-base"
    assert {row["measure"] for row in read.card.provenance["outcome"]["table"]} >= {"AUC"}


def test_never_worse(monkeypatch):
    """Weights that do no better on held-out recordings are not returned."""
    given = read_model("mmnet-base")

    def spoil(self):
        randomise(self.average.hyperprior, 0, 3.0)
        self.best.load_state_dict(self.average.state_dict())
        self.n_batches += 1

    monkeypatch.setattr(core._Run, "train_one", spoil)
    # once, however slow the machine is
    monkeypatch.setattr(core._Run, "is_over", lambda self: self.n_batches > 0)
    # enough recordings to be worse on
    config = partial(core.FineTuneConfig, n_heads=3, n_checks=3, n_held_out=10)
    monkeypatch.setattr("mne_mmnet.training.fine_tuning.own_forward.FineTuneConfig", config)
    model = fine_tune(FWD, info=INFO, minutes=0.05)
    outcome = model.card.provenance["outcome"]
    assert not outcome["kept"]
    assert outcome["table"][0]["after"] > outcome["table"][0]["before"]
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(tensor, given.network.state_dict()[name]), name


def test_table(rng):
    """Means of both, their differences, and an interval that counts a pair once."""
    before = rng.standard_normal((40, 4))
    after = before + rng.normal(-0.3, 0.5, (20, 4)).repeat(2, axis=0)
    table = core.compare(before, after)
    assert [row.measure for row in table] == list(core._MEASURES)
    for row, old, new in zip(table, before.T, after.T, strict=True):
        assert (row.before, row.after) == (pytest.approx(old.mean()), pytest.approx(new.mean()))
        mean, low, high = row.change
        assert mean == pytest.approx(new.mean() - old.mean())
        assert low < mean < high
        # of 20 pairs, not of 40 recordings
        error = (new - old)[::2].std(ddof=1) / np.sqrt(20)
        assert 0.75 * 3.92 * error < high - low < 1.25 * 3.92 * error


def test_better_weights_are_kept(monkeypatch):
    """Weights that do better are: here the given ones are spoilt, and training puts them right."""
    good = read_model("mmnet-base")
    with torch.no_grad():
        bad = read_model("mmnet-base")
        for parameter in bad.network.hyperprior.parameters():
            parameter.add_(0.3)

    def repair(self):
        for network in (self.average, self.best):
            network.load_state_dict(good.network.state_dict())
        self.n_batches += 1

    monkeypatch.setattr(core._Run, "train_one", repair)
    # enough recordings to be certain
    config = partial(core.FineTuneConfig, n_heads=3, n_checks=3, n_held_out=10)
    monkeypatch.setattr("mne_mmnet.training.fine_tuning.own_forward.FineTuneConfig", config)
    model = fine_tune(FWD, info=INFO, model=bad, minutes=0.1)
    outcome = model.card.provenance["outcome"]
    assert outcome["kept"]
    assert outcome["table"][0]["change"][2] < 0
    assert model.card.domain["tuned_on"]["n_channels"] == 16


def test_training_lowers_the_loss(archive, tmp_path):
    """The optimiser does its work: the loss on a training batch falls."""
    config = core.FineTuneConfig(
        simulation=core.SimulationConfig(
            n_channels=(16, 16), heads=(0.0, 0.0, 1.0, 0.0), orients=(1.0, 0.0, 0.0, 0.0)
        ),
        n_heads=2,
        n_held_out=1,
        learning_rate=2e-3,
    )
    run = core._Run(read_model("mmnet-base").network, archive, config, tmp_path, "cpu")
    space, batch = run.simulate(core._TRAIN, 0)
    run.simulate = lambda *_: (space, batch)
    with torch.no_grad():
        before = core.batch_loss(run.network, space, batch, 3)[0]
    for _ in range(25):
        run.train_one()
    with torch.no_grad():
        after = core.batch_loss(run.network, space, batch, 3)[0]
    assert after < before - 0.02


def test_resume(tmp_path, monkeypatch):
    """An interrupted run goes on where it was; another one is refused."""
    train, limit = core._Run.train_one, [3]

    def interrupted(self):
        if self.n_batches == limit[0]:
            raise KeyboardInterrupt
        train(self)

    monkeypatch.setattr(core._Run, "train_one", interrupted)
    options = dict(info=INFO, directory=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(FWD, minutes=5, **options)
    assert (tmp_path / "fine-tune.pt").exists()
    with pytest.raises(ValueError, match="belongs to another lead field.*remove the file"):
        fine_tune(FWD, minutes=5, rng=3, **options)
    limit[0] = None
    with mne.utils.catch_logging() as log:
        model = fine_tune(FWD, minutes=0.15, verbose="info", **options)
    assert "at batch 3" in log.getvalue()
    assert model.card.provenance["outcome"]["n_batches"] >= 3
    assert not (tmp_path / "fine-tune.pt").exists()


@pytest.mark.parametrize(
    ("options", "orient", "head"),
    [
        ({}, "evidence", "own"),
        (dict(loose=0.0), "fixed", "own"),
        (dict(loose=0.3), "loose", "own"),
        (dict(loose="auto"), "loose", "own"),
        (dict(loose=1.0), "free", "own"),
        (dict(head="template"), "evidence", "template"),
    ],
)
def test_what_is_simulated(monkeypatch, options, orient, head):
    """Recordings are those that the same arguments of the inverse functions expect."""
    seen = []

    def capture(network, archive, config, *args, **kwargs):
        seen.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr("mne_mmnet.training.fine_tuning.own_forward.fine_tune_network", capture)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(FWD, info=INFO, **options)
    (config,) = seen
    assert config.simulation.n_channels == (16, 16)
    assert config.simulation.orients == tuple(float(orient == name) for name in ORIENTS)
    assert config.simulation.heads == (*(float(head == name) for name in HEADS), 0.0)


def test_people_around(archive):
    """People are like the given head, on which, and on no template, all are inverted."""
    config = core.FineTuneConfig(n_heads=3)
    people = core._people_around(archive, config, np.random.default_rng(1))
    assert people.n_people == 3
    for gains in (people.own, people.fitted, people.standard[None]):
        np.testing.assert_array_equal(gains, np.broadcast_to(archive.gains, gains.shape))
    assert (np.abs(people.true - archive.gains).max(axis=(1, 2, 3)) > 0).all()
    again = core._people_around(archive, config, np.random.default_rng(1))
    np.testing.assert_array_equal(people.true, again.true)


@pytest.mark.parametrize("options", [dict(loose=1.0), dict(loose=0.3)])
def test_orientations(options):
    """Free and loose orientation are simulated as they will be inverted."""
    model = fine_tune(FWD, info=INFO, minutes=0.05, **options)
    assert model.card.provenance["outcome"]["n_recordings"] > 0


def test_volume_and_fixed():
    """Volume grids, and forward solutions that have no other orientation."""
    assert fine_tune(make_fwd("volume"), info=INFO, minutes=0.05)
    fixed = mne.convert_forward_solution(FWD, force_fixed=True, use_cps=True, verbose=False)
    assert fine_tune(fixed, minutes=0.05)  # without an info: all channels


def test_cosine_for_another_source_space(tmp_path):
    """The cosine route's network is made to fit a source space that it did not know."""
    evoked = make_evoked(INFO)
    with pytest.raises(ValueError, match="fine_tune"):
        apply_mmnet_inverse(evoked, FWD, model="mmnet-cosine")
    model = fine_tune(FWD, info=INFO, model="mmnet-cosine", minutes=0.15)
    save_model(model, tmp_path / "mine")
    stc = apply_mmnet_inverse(evoked, FWD, model=tmp_path / "mine")
    assert np.isfinite(stc.data).all()
    with pytest.raises(ValueError, match="along the cortex's normals"):
        fine_tune(FWD, info=INFO, model="mmnet-cosine", loose=1.0, minutes=0.1)


def test_bad_input(tmp_path):
    with pytest.raises(TypeError, match="fwd must be an instance of"):
        fine_tune("my-fwd.fif")
    with pytest.raises(ValueError, match="minutes must be > 0"):
        fine_tune(FWD, minutes=0)
    with pytest.raises(FileNotFoundError, match="There is no model 'mmnet-huge'"):
        fine_tune(FWD, model="mmnet-huge")
    nowhere = mne.create_info(INFO["ch_names"], 100.0, "eeg")
    with pytest.raises(ValueError, match="no place on the head.*set_montage"):
        fine_tune(FWD, info=nowhere)
    with pytest.raises(TypeError, match="give domain and provenance"):
        save_model(read_model().network, tmp_path / "x")


def test_command(tmp_path, capsys):
    """The command reads files, says what it did, and writes a model that localises."""
    mne.write_forward_solution(tmp_path / "my-fwd.fif", FWD, verbose=False)
    mne.write_cov(tmp_path / "my-cov.fif", make_cov(INFO), verbose=False)
    evoked = make_evoked(INFO)
    evoked.save(tmp_path / "my-ave.fif", verbose=False)
    out = tmp_path / "my-model"
    argv = ["finetune", str(tmp_path / "my-fwd.fif"), "--cov", str(tmp_path / "my-cov.fif")]
    argv += ["--info", str(tmp_path / "my-ave.fif"), "--minutes", "0.1", "--out", str(out)]
    assert main(argv) == 0
    said = capsys.readouterr().out
    assert "space-time cosine" in said
    assert f"Wrote {out}.safetensors" in said
    operator = make_mmnet_operator(evoked.info, FWD, model=out)
    assert operator.card.name == "my-model"
    assert main(["finetune", str(tmp_path / "none-fwd.fif"), "--out", str(out)]) == 2


def test_lead_fields_that_are_not_tuned_on(monkeypatch):
    """MEG alone or beside EEG, and source spaces that are too fine."""
    meg = make_meg_fwd()
    with pytest.raises(ValueError, match="no EEG channels; fine-tuning is for EEG"):
        fine_tune(mne.pick_types_forward(meg, meg=True, eeg=False))
    info = make_meg_info()
    cov = mne.make_ad_hoc_cov(info, verbose=False)
    with pytest.raises(ValueError, match="has MEG channels too. Give fwd.copy"):
        fine_tune(meg, cov, info=info)
    monkeypatch.setattr("mne_mmnet.training.fine_tuning.own_forward._MOST_SOURCES", 300)
    with pytest.raises(ValueError, match="324 sources are too many to fine-tune"):
        fine_tune(FWD, info=INFO)


@pytest.mark.parametrize(("n_sources", "n_held_out"), [(500, None), (501, 20), (1700, 10)])
def test_large_source_spaces_have_small_batches(n_sources, n_held_out):
    config = core.FineTuneConfig()
    found = core.small_batches(config, n_sources, 3)
    if n_held_out is None:
        assert found == config
    else:
        assert (found.batch_size, found.n_held_out) == (2, n_held_out)
