"""Bilevel training and the learned peers, on a tiny problem."""

import json
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from core_cases import make_heads
from mne_mmnet.baselines import (
    ESTIMATORS,
    ConvNet1D,
    CosineMMNet,
    DeepUnrolling,
    FourDVarNet,
    LSTMNet,
    MetaCurvature,
    ModGrad,
    Refined,
    make_estimator,
)
from mne_mmnet.network import CosineConfig
from mne_mmnet.simulation import Dataset, SereegaConfig, average_reference_basis
from mne_mmnet.solver import unit_rms
from mne_mmnet.training import (
    AugmentedStream,
    BilevelConfig,
    SampleStream,
    bilevel,
    train_bilevel,
)
from mne_mmnet.training.bilevel import cosine, denoising_loss, upper_loss
from mne_mmnet.training.gradient import Gradient
from mne_mmnet.training.samples import AlternatingStream, MontageStream

N_SOURCES, N_ELECTRODES, N_TIMES = 40, 20, 24
SOURCES = SereegaConfig(
    n_times=N_TIMES, sfreq=512.0, n_patches=(1, 2), order=(1, 2), latency=(0.01, 0.03)
)
CONFIG = BilevelConfig(
    batch_size=4, n_steps=3, n_batches=6, validate_every=2, n_validation=8, learning_rate=1e-3
)


@pytest.fixture(scope="module")
def archive():
    """Two heads with 40 sources and 20 electrodes; neighbouring sources look alike, as in EEG."""
    rng = np.random.default_rng(0)
    gains = rng.standard_normal((2, N_ELECTRODES, N_SOURCES, 3))
    for _ in range(2):
        gains = gains + np.roll(gains, 1, axis=2) + np.roll(gains, -1, axis=2)
    return make_heads(
        rng,
        gains,
        groups=np.repeat([0, 1], N_ELECTRODES // 2),
        source_space=dict(subject="ring", n_sources=N_SOURCES, vertices_sha256="none"),
    )


def dataset(n_samples=64, seed=0, **changes):
    return Dataset("sereega", SOURCES, seed, n_samples, 8, heads=(0, 1), **changes)


def small(name, model):
    """Every peer, small."""
    shape = dict(n_sources=N_SOURCES, width=8, hidden=6)
    wide = dict(dilations=(1, 2, 4))
    makers = {
        "mmnet": lambda: CosineMMNet(CosineConfig(**shape)),
        "mmnet-diagonal": lambda: CosineMMNet(CosineConfig.diagonal(**shape)),
        "mmnet-anchored": lambda: CosineMMNet(
            CosineConfig(**shape, **wide, start_width=10, anchored=True)
        ),
        "mmnet-start": lambda: CosineMMNet(CosineConfig(**shape, **wide, start_width=10)),
        "mmnet-dilated": lambda: CosineMMNet(CosineConfig(**shape, **wide)),
        "unrolling": lambda: DeepUnrolling(model.start, width=8, n_steps=4),
        "4dvarnet": lambda: FourDVarNet(N_SOURCES, width=8, hidden=6, n_steps=4),
        "metacurvature": lambda: MetaCurvature(N_SOURCES, width=8, n_steps=4),
        "modgrad": lambda: ModGrad(N_SOURCES, width=8, hidden=8, n_steps=4),
        "cnn": lambda: ConvNet1D(N_ELECTRODES - 1, N_SOURCES, width=12),
        "lstm": lambda: LSTMNet(N_ELECTRODES - 1, N_SOURCES, hidden=8),
    }
    # the same networks, trained otherwise
    makers |= {"mmnet+": makers["mmnet-anchored"]}
    peers = ("unrolling", "4dvarnet", "metacurvature", "modgrad", "lstm")
    makers |= {f"{peer}+": makers[peer] for peer in peers}
    torch.manual_seed(0)
    return makers[name]()


def streams(archive, **options):
    return (
        SampleStream(dataset(), 4, archive, **options),
        SampleStream(dataset(16, seed=1), 4, archive, **options),
    )


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator(name, archive):
    """Shapes, iterates, gradients to all weights, and no influence of batch mates."""
    stream, _ = streams(archive)
    batch = stream.batch(0)
    estimator = small(name, batch.model)
    *_, last = xs = list(estimator.iterates(batch.model, batch.data))
    assert all(x.shape == batch.currents.shape for x in xs)
    assert torch.isfinite(last).all()
    estimate, prior = estimator.estimate(batch.model, batch.data)
    assert estimate.shape == last.shape
    upper_loss(prior, last, batch.currents).sum().backward()
    for key, parameter in estimator.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
    estimator.eval()
    with torch.no_grad():
        together = estimator(batch.model, batch.data)
        torch.testing.assert_close(estimator.estimate(batch.model, batch.data)[0], together)
        # two steps: where Φ has kinks, what rounding does to more differs between processors
        few = estimator(batch.model, batch.data, 2)
        alone = estimator(batch.model, batch.data[2:3], 2)
        # the unit of the data changes the estimate's direction for none of them
        louder = estimator(batch.model, 1e3 * batch.data)
    torch.testing.assert_close(alone[0], few[2], rtol=1e-3, atol=1e-4)
    assert cosine(louder, together).min() > 0.999


def test_registry(archive):
    """Every name makes an estimator, reproducibly; others are refused with the list."""
    stream, _ = streams(archive)
    for name in ESTIMATORS:
        one, two = (make_estimator(name, stream.model, seed=3) for _ in range(2))
        for left, right in zip(one.parameters(), two.parameters(), strict=True):
            assert torch.equal(left, right)
    with pytest.raises(ValueError, match="choose from mmnet"):
        make_estimator("gradient-descent", stream.model)


@pytest.mark.parametrize("name", ["mmnet-start", "mmnet+"])
def test_pretraining_of_a_learned_start(archive, name):
    """The start and Φ are trained at once, the mixtures don't train the start."""
    stream, _ = streams(archive)
    batch = stream.batch(0)
    estimator = small(name, batch.model)
    for share in (0.0, 1.0):
        shares = torch.full((len(batch.data), 1, 1), share)
        losses = denoising_loss(estimator, batch, shares)
        _, start = estimator.objective(batch.model, batch.data)
        image, *_ = estimator.regulariser(
            (1.0 - share) * start.detach()
            + share * batch.currents / batch.currents.square().mean((1, 2), keepdim=True).sqrt()
        )
        if name == "mmnet+":  # whose regulariser expects it
            image = image + start
        expected = 2.0 - cosine(image, batch.currents) - cosine(start, batch.currents)
        torch.testing.assert_close(losses, expected)
    if name == "mmnet+":
        return
    gradients = torch.autograd.grad(losses.sum(), list(estimator.network.first.parameters()))
    _, start = estimator.objective(batch.model, batch.data)
    alone = torch.autograd.grad(
        -cosine(start, batch.currents).sum(), list(estimator.network.first.parameters())
    )
    for found, wanted in zip(gradients, alone, strict=True):
        torch.testing.assert_close(found, wanted)


def test_refined(archive):
    """Certified from anybody's answer, which is the anchor; the descent's network is shared."""
    stream, _ = streams(archive)
    batch = stream.batch(0)
    first, descent = (small(name, batch.model).eval() for name in ("lstm", "mmnet-anchored"))
    refined = Refined(descent, first)
    assert refined.network is descent.network
    with torch.no_grad():
        iterates = list(refined.certified_iterates(batch.model, batch.data))
        objective, start = refined.objective(batch.model, batch.data)
        torch.testing.assert_close(start, unit_rms(first(batch.model, batch.data)))
        assert torch.equal(objective.regulariser.anchor, start)
        assert torch.equal(iterates[0].point.x, start)
        values = torch.stack([iterate.point.value for iterate in iterates], 1)
        assert (values.diff(dim=1) <= 0).all()
        assert (values[:, -1] < values[:, 0]).all()
        # who answers nothing, or no number, is passed over
        _, minimum_norm = small("mmnet", batch.model).objective(batch.model, batch.data)
        for value in (0.0, np.nan, np.inf):
            for parameter in first.parameters():
                parameter.fill_(value)
            torch.testing.assert_close(refined.objective(batch.model, batch.data)[1], minimum_norm)
    with pytest.raises(ValueError, match="anchored"):
        Refined(small("mmnet-start", batch.model), first)


def test_four_d_var_net_is_its_equation(archive):
    """With a dead LSTM and rate η the step is η (k + 1)/K times the normalised gradient."""
    stream, _ = streams(archive)
    batch = stream.batch(0)
    estimator = small("4dvarnet", batch.model).eval()
    torch.nn.init.zeros_(estimator.decode.weight)
    torch.nn.init.zeros_(estimator.decode.bias)
    with torch.no_grad():
        xs = list(estimator.iterates(batch.model, batch.data, 4))
        objective, _ = estimator.objective(batch.model, batch.data)
        for k in range(4):
            gradient = objective.gradient(objective.evaluate(xs[k]))
            gradient = gradient / gradient.square().mean((1, 2), keepdim=True).sqrt()
            step = float(estimator.rate) * (k + 1) / 4 * gradient
            torch.testing.assert_close(xs[k + 1], xs[k] - step)


def test_meta_curvature_starts_as_gradient_descent(archive):
    """M_s and M_t start as the identity; M_t is symmetric in time."""
    estimator = small("metacurvature", None)
    gradient = torch.randn(2, N_SOURCES, N_TIMES)
    torch.testing.assert_close(estimator.transform(gradient), gradient)
    with torch.no_grad():
        estimator.times.copy_(torch.tensor([1.0, 0.5, 0.2, 0.0, 0.0]))
    flipped = estimator.transform(gradient.flip(2)).flip(2)
    torch.testing.assert_close(flipped, estimator.transform(gradient))


def test_mod_grad_gates():
    """The gate only shrinks a gradient, entry by entry."""
    estimator = small("modgrad", None)
    gradient = torch.randn(2, N_SOURCES, N_TIMES)
    ratio = estimator.transform(gradient) / gradient
    assert ((ratio > 0) & (ratio < 1)).all()


def test_stream(archive):
    """Batches are those of the data set, projected; deterministic; crops hold a peak."""
    whole, _ = streams(archive)
    data, sources, _ = dataset().chunk(1, archive)
    batch = whole.batch(3)  # the second half of chunk 1
    basis = average_reference_basis(N_ELECTRODES)
    np.testing.assert_allclose(basis @ basis.T, np.eye(N_ELECTRODES - 1), atol=1e-12)
    np.testing.assert_allclose(basis.sum(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(batch.data.numpy(), basis @ data[4:], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(batch.currents.numpy(), sources.currents[4:])
    np.testing.assert_array_equal(whole.sources(3).seeds, sources.seeds[4:])
    assert torch.equal(whole.batch(3 + 16).data, batch.data)  # starts again after 64 recordings

    cropped, _ = streams(archive, crop=6)
    part = cropped.batch(3)
    assert part.data.shape[2] == part.currents.shape[2] == 6
    peaks = whole.batch(3).currents.abs().amax((1, 2))
    # the window holds the largest activity of at least one patch
    assert (part.currents.abs().amax((1, 2)) > 0.3 * peaks).all()
    assert torch.equal(cropped.batch(3).data, part.data)
    with pytest.raises(ValueError, match="divide into batches"):
        SampleStream(dataset(), 3, archive)


def test_montage_stream(archive):
    """Montages and noise of a batch's own, with the signal-to-noise ratio asked for."""
    loud = dataset(snr_db=60.0)
    stream = MontageStream(loud, 4, archive, n_channels=(6, 10), snr_db=(10.0, 10.0), seed=5)
    sizes = set()
    for k in range(6):
        batch = stream.batch(k)
        sizes.add(batch.data.shape[1])
        assert batch.model.leadfield.shape[1] == batch.data.shape[1]
        assert torch.equal(batch.data, stream.batch(k).data)
    assert len(sizes) > 1
    assert sizes <= set(range(5, 10))
    # the same without the added noise: what was added has a tenth of the signal's power
    plain = MontageStream(loud, 4, archive, n_channels=(6, 10), snr_db=(60.0, 60.0), seed=5)
    ratios = []
    for k in range(16):
        noisy, clean = stream.batch(k).data, plain.batch(k).data
        added = (noisy - clean).square().mean((1, 2))
        ratios.append(clean.square().mean((1, 2)) / added)
    assert 8.0 < float(torch.cat(ratios).median()) < 12.5
    with pytest.raises(ValueError, match="snr_db"):
        MontageStream(dataset(), 4, archive, snr_db=(0.0, 15.0))

    both = AlternatingStream([stream, plain])
    assert torch.equal(both.batch(3).data, plain.batch(1).data)


@torch.no_grad()
def _loss_on(estimator, stream):
    batches = [stream.batch(k) for k in range(2)]
    losses = [
        upper_loss(prior, estimate, b.currents)
        for b in batches
        for estimate, prior in [estimator.estimate(b.model, b.data)]
    ]
    return float(torch.cat(losses).mean())


def test_training_learns_and_keeps_the_best(archive, tmp_path):
    """The validation loss falls, and the weights kept are those of its smallest value."""
    stream, validation = streams(archive)
    torch.manual_seed(0)
    estimator = CosineMMNet(CosineConfig(n_sources=N_SOURCES, width=32, hidden=6))
    before = _loss_on(estimator.eval(), validation)
    plan = BilevelConfig.budget(
        0.0, n_batches=150, validate_every=10, n_validation=8, batch_size=4, half=False, crop=0
    )
    history = train_bilevel(estimator, stream, validation, plan, tmp_path)
    losses = [entry["validation"] for entry in history]
    assert min(losses) < before - 0.05
    assert not estimator.training
    assert _loss_on(estimator, validation) == pytest.approx(min(losses), abs=1e-5)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == len(history)


def fits(most, monkeypatch):
    """Let memory run out beyond a number of recordings; returns the numbers that are tried."""
    sizes = []

    def attempt(loss, estimator, what, of_each):
        sizes.append(len(of_each))
        if len(of_each) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return loss(estimator, what, of_each)

    for loss in (upper_loss, denoising_loss):
        monkeypatch.setattr(bilevel, loss.__name__, partial(attempt, loss))
    return sizes


def test_training_with_little_memory(archive, tmp_path, monkeypatch):
    """Training and validation go on with the recordings that fit, to the same end."""
    stream, validation = streams(archive)
    histories = {}
    for name, most in dict(whole=99, parts=1).items():
        with monkeypatch.context() as patch:
            sizes = fits(most, patch)
            estimator = small("mmnet", stream.model)
            estimator.network.curvature.dropout.p = 0.0  # each part has its own
            run = tmp_path / name
            histories[name] = train_bilevel(estimator, stream, validation, CONFIG, run)
    assert max(sizes) > 1
    assert sizes[-1] == 1
    for whole, parts in zip(*histories.values(), strict=True):
        for name in ("loss", "validation", "cosine"):
            assert parts[name] == pytest.approx(whole[name], rel=1e-5)


@pytest.mark.parametrize("pretraining", [0.0, 0.5])
def test_failed_attempts_leave_no_trace(pretraining, archive, tmp_path, monkeypatch):
    """Dropout and mixtures are the same, however often memory ran out before."""
    stream, validation = streams(archive)
    plan = replace(CONFIG, pretraining=pretraining)
    ends = []
    for name, known in dict(found=None, known=1).items():
        with monkeypatch.context() as patch:
            fits(1, patch)
            patch.setattr(bilevel, "Gradient", partial(gradient_of, known))
            estimator = small("mmnet", stream.model)
            train_bilevel(estimator, stream, validation, plan, tmp_path / name)
        ends.append(torch.cat([p.detach().flatten() for p in estimator.parameters()]))
    assert torch.equal(*ends)


def gradient_of(most, learned):
    """A gradient that knows how many recordings fit."""
    gradient = Gradient(learned)
    gradient.parts.most = most
    return gradient


class Stop(Exception):
    """Something that ends a run."""


@pytest.mark.parametrize(
    ("moment", "how"), [(0.0, KeyboardInterrupt), (0.5, KeyboardInterrupt), (0.6, Stop)]
)
def test_resumes_exactly(archive, tmp_path, moment, how):
    """A run that an error or, after its batch, Ctrl-C ends goes on to where a whole one ends."""
    stream, validation = streams(archive)
    whole = small("mmnet", stream.model)
    train_bilevel(whole, stream, validation, CONFIG, tmp_path / "whole")

    def stop(share):
        if share >= moment:
            if how is Stop:
                raise Stop
            os.kill(os.getpid(), signal.SIGINT)

    options = (stream, validation, CONFIG, tmp_path / "parts")
    with pytest.raises(how):
        train_bilevel(small("mmnet", stream.model), *options, progress=stop, belongs="head 1")
    assert (tmp_path / "parts" / "checkpoint.pt").exists()
    with pytest.raises(ValueError, match="belongs to a run with another configuration"):
        train_bilevel(small("mmnet", stream.model), *options, belongs="head 2")
    parts = small("mmnet", stream.model)
    history = train_bilevel(parts, *options, belongs="head 1")
    assert [entry["batch"] for entry in history] == [2, 4, 6]
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], tensor, rtol=0, atol=0)
    options = (stream, validation, replace(CONFIG, seed=1), tmp_path / "parts")
    with pytest.raises(ValueError, match="another configuration"):
        train_bilevel(parts, *options, belongs="head 1")


def test_early_stopping(archive, tmp_path):
    """Without progress on the validation recordings the run ends."""
    stream, validation = streams(archive)
    estimator = small("lstm", stream.model)
    plan = replace(CONFIG, learning_rate=1e-30, n_batches=1000, validate_every=1, patience=3)
    history = train_bilevel(estimator, stream, validation, plan, tmp_path)
    assert len(history) <= 5


def test_time_budget(archive, tmp_path):
    """A budget of time ends the run, also over several sessions."""
    stream, validation = streams(archive)
    plan = BilevelConfig.budget(0.02, n_validation=8, batch_size=4, crop=0, half=False)
    train_bilevel(small("cnn", stream.model), stream, validation, plan, tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert 1.2 <= state["run"]["seconds"] < 4.0
    before = state["run"]["batch"]
    train_bilevel(small("cnn", stream.model), stream, validation, plan, tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["run"]["batch"] == before


def test_losses(archive):
    """The truth has the least data part; methods without Φ have no second part."""
    stream, _ = streams(archive)
    batch = stream.batch(0)
    assert small("cnn", batch.model).estimate(batch.model, batch.data)[1] is None
    truth = batch.currents
    torch.testing.assert_close(upper_loss(None, truth, truth), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(upper_loss(None, -truth, truth), torch.full((4,), 2.0))
    torch.testing.assert_close(upper_loss(None, 0 * truth, truth), torch.ones(4))
    with_prior = small("mmnet", batch.model).eval()
    image, *_ = with_prior.regulariser(truth)
    torch.testing.assert_close(
        upper_loss(with_prior.regulariser, truth, truth),
        1.0 - cosine(truth, image),
        atol=1e-6,
        rtol=1e-5,
    )
    share = torch.linspace(0.0, 1.0, 4)[:, None, None]
    loss = denoising_loss(with_prior, batch, share)
    assert ((loss >= 0) & (loss <= 2)).all()


def test_paper_defaults():
    """The default schedule is the paper's (DESIGN §2a)."""
    plan = BilevelConfig()
    assert (plan.n_steps, plan.batch_size, plan.clip) == (10, 32, 0.5)
    assert (plan.learning_rate, plan.regulariser_rate) == (5e-5, 2.5e-5)
    assert plan.pretraining == 0
    assert not plan.annealing
    network = CosineConfig.diagonal()
    assert (network.n_steps, network.hidden, network.width) == (10, 48, 128)
    assert (network.kernel, network.dropout, network.weight) == (3, 0.1, 1.0)


@pytest.mark.parametrize(
    "changes",
    [
        dict(clip=0.0),
        dict(batch_size=0),
        dict(patience=-1),
        dict(pretraining=1.0),
        dict(minutes=-1),
    ],
)
def test_impossible_plans_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        BilevelConfig(**changes)


def test_command(archive, tmp_path):
    """The command trains, saves a model in half precision with its source space, and resumes."""
    from mne_mmnet.training.cosine_command import main
    from mne_mmnet.weights import read_model

    heads = tmp_path / "heads.npz"
    archive.save(heads)
    options = ["--out", str(tmp_path / "run"), "--name", "tiny", "--heads-file", str(heads)]
    options += ["--device", "cpu", "--n-channels", "8", "10", "--sources", "sereega"]
    options += ["--n-batches", "2", "--batch-size", "2", "--n-validation", "4", "--n-steps", "2"]
    card = main(options)
    assert card.kind == "cosine"
    assert card.domain["source_space"] == archive.source_space
    network, _ = read_model(tmp_path / "run" / "tiny")
    assert network.config.n_sources == N_SOURCES
    assert json.loads((tmp_path / "run" / "tiny.json").read_text())["domain"]["snr_db"] == [0, 15]
    assert all(p.dtype == torch.float32 for p in network.parameters())
    main([*options, "--initial", str(tmp_path / "run" / "tiny")])
    replace(archive, source_space=None).save(heads)
    with pytest.raises(ValueError, match="do not say what source space"):
        main(options)


@pytest.fixture
def options(archive, tmp_path):
    """Options of a short training."""
    archive.save(tmp_path / "heads.npz")
    options = ["--out", str(tmp_path / "run"), "--name", "tiny", "--device", "cpu"]
    options += ["--heads-file", str(tmp_path / "heads.npz"), "--n-channels", "8", "10"]
    options += ["--sources", "sereega", "--batch-size", "2", "--n-validation", "4"]
    return [*options, "--n-batches", "1", "--n-steps", "2"]


def test_command_line(options, tmp_path, capsys):
    """Progress and what was saved are said; weights of another network are refused."""
    from mne_mmnet._cli import main

    assert main(["train-cosine", *options]) == 0
    said = capsys.readouterr().out
    cosine = json.loads((tmp_path / "run" / "tiny.json").read_text())["provenance"]["validation"]
    assert f"Saved tiny, space-time cosine on held-out simulations {cosine['cosine']:.3f}" in said
    start = ["--dilations", "1", "--initial", str(tmp_path / "run" / "tiny")]
    assert main(["train-cosine", *options, *start]) == 2
    assert "The weights of tiny belong to another network." in capsys.readouterr().err


def test_sums_of_two(options, monkeypatch):
    """The command trains on them if asked to, and says so; validation recordings stay."""
    from mne_mmnet.training import cosine_command as command

    train, seen = command.train_bilevel, []

    def watched(estimator, *streams, **options):
        seen.append([isinstance(stream, AugmentedStream) for stream in streams[:2]])
        return train(estimator, *streams, **options)

    monkeypatch.setattr(command, "train_bilevel", watched)
    assert command.main([*options, "--superpose"]).domain["sums_of_two"] is True
    assert command.main([*options, "--name", "other"]).domain["sums_of_two"] is False
    assert seen == [[True, False], [False, False]]


@pytest.mark.parametrize(
    ("budget", "schedule"),
    [("--budget", "CPU budget"), ("--gpu-budget", "GPU budget"), (None, "the paper's")],
)
def test_schedules_of_the_command(budget, schedule):
    """A budget sets the time and leaves what is asked for besides."""
    from mne_mmnet.training import cosine_command as command

    given = [] if budget is None else [budget, "3"]
    args = command.make_parser().parse_args([*given, "--batch-size", "5"])
    config = command._read_config(args)
    assert command._name_schedule(args) == schedule
    assert config.batch_size == 5
    assert config.minutes == (BilevelConfig().minutes if budget is None else 3.0)


@pytest.mark.parametrize("path", [None, "new.npz"])
def test_heads_that_are_not_there_are_made(path, archive, monkeypatch):
    from mne_mmnet.training import cosine_command as command

    asked = []
    monkeypatch.setattr(
        "mne_mmnet.simulation.heads.make_head_archive", lambda path: asked.append(path) or archive
    )
    args = command.make_parser().parse_args([] if path is None else ["--heads-file", path])
    assert command._read_archives(args) == (archive, archive)
    assert asked == [None if path is None else Path(path)]
