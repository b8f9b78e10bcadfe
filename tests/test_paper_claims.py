"""What ``benchmarks/paper*.py`` make of trained weights: tables, claims, curves, on tiny heads."""

import contextlib
import csv
import importlib
import sys
from argparse import Namespace
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmark_cases import benchmark_modules
from core_cases import make_heads
from mne_mmnet.baselines import BoundedMMNet, CosineMMNet, UnboundedMMNet
from mne_mmnet.majorant import Proposition1Majorant, SharpMajorant
from mne_mmnet.network import CosineConfig
from mne_mmnet.simulation import Dataset, NeuralMassConfig, SereegaConfig
from mne_mmnet.training import BilevelConfig, SampleStream

N_SOURCES, N_ELECTRODES = 30, 16
TRAINED = (("mmnet", 0), ("mmnet", 1), ("mmnet-diagonal", 0), ("unrolling", 0))
TINY = dict(seed=0, n_batches=3, batch_size=8, n_validation=8, validate_every=1, n_steps=3)


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """Folder with heads and people of a tiny source space, as files."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("claims")
    archive = make_heads(rng, rng.standard_normal((17, N_ELECTRODES, N_SOURCES, 3)))
    replace(archive, gains=archive.gains[:14]).save(folder / "heads.npz")
    replace(archive, gains=archive.gains[::-1].copy()).save(folder / "people.npz")
    return folder


@pytest.fixture(scope="module")
def paper(heads):
    """Import the benchmark's modules, and train a few of its methods for three batches."""
    with benchmark_modules():
        names = ("setup", "scores", "claims", "curves")
        modules = {name: importlib.import_module(f"paper_{name}") for name in names}
        setup = modules["setup"]
        archive = setup.read_heads(heads / "heads.npz")
        setup.CONFIGS["neural_mass"] = NeuralMassConfig(n_times=64)
        for kind in setup.KINDS:
            for name, seed in TRAINED:
                config = BilevelConfig(**{**TINY, "seed": seed})
                folder = setup.run_directory(heads / "runs", name, kind, 1.0, 0.0, seed=seed)
                if kind == "sereega" or name == "mmnet":  # not all of them: that must do as well
                    setup.train_one(name, kind, config, archive, folder)
        yield Namespace(**modules, archive=archive)


@pytest.fixture
def args(heads):
    return Namespace(
        root=heads / "runs",
        heads=heads / "heads.npz",
        people=heads / "people.npz",
        lead_fields=("people",),
        n_samples=8,
        n_others=None,
    )


def test_conditions(paper, args):
    """People are other heads than the standard one, which inverts; noise has the ratio it says."""
    assert ("sereega", "people", "brain") in paper.setup.conditions()
    kinds = paper.setup.KINDS
    assert paper.setup.conditions(["unseen"]) == [(kind, "unseen", "white") for kind in kinds]
    people = paper.setup.archive_of("people", args)
    np.testing.assert_array_equal(people.gains[0], paper.archive.gains[0])
    assert not np.allclose(people.gains[1], paper.archive.gains[1])
    white, brain = (
        paper.setup.evaluation_set("sereega", 8, "people", n) for n in ("white", "brain")
    )
    assert min(white.heads) == 1
    signals = white.chunk(0, people)[1].currents
    np.testing.assert_array_equal(brain.chunk(0, people)[1].currents, signals)
    data, _, head = brain.chunk(0, people)
    lagged = dict(white=[], brain=[])
    for sample in range(8):
        gain = people.along_normals(head[sample])
        signal = (gain - gain.mean(axis=0)) @ signals[sample]
        for name, found in (("brain", data), ("white", white.chunk(0, people)[0])):
            noise = found[sample] - signal
            ratio = 10 * np.log10(np.mean(signal**2) / np.mean(noise**2))
            assert ratio == pytest.approx(5.0, abs=1e-2)
            lagged[name].append(np.sum(noise[:, 1:] * noise[:, :-1]) / np.sum(noise**2))
    # of the brain's activity a sample tells about the next one; of white noise it does not
    assert np.abs(lagged["white"]).max() < 0.12
    assert np.median(lagged["brain"]) > 0.15


def test_differences_are_paired(paper, args, monkeypatch):
    """A constant shift has an interval of no width, however much recordings differ."""
    rng = np.random.default_rng(0)
    base = rng.standard_normal(40) * 10
    condition = ("sereega", "people", "white")

    def found(values):
        return dict(scores=[dict(auc=v) for v in values], counts={}, parameters=1)

    everything = [
        ("mmnet", "sereega", condition, found(base)),
        ("cnn", "sereega", condition, found(base + 1.5)),
        ("MNE", None, condition, found(base[::-1])),
    ]
    monkeypatch.setattr(paper.scores, "read_scores", lambda _: everything)
    shifted, shuffled = paper.scores.collect_differences(args)
    assert shifted["method"] == "cnn"
    assert [shifted[k] for k in ("auc", "auc_low", "auc_high")] == ["1.5"] * 3
    assert float(shuffled["auc_high"]) - float(shuffled["auc_low"]) > 3.0
    assert shuffled["reference"] == "mmnet, sereega"


def test_scores_and_tables(paper, args):
    """Methods without weights are left out, others are scored once."""
    condition = ("sereega", "people", "brain")
    assert not paper.scores.evaluate_one("cnn", "sereega", condition, args)
    for name in ("mmnet", "unrolling"):
        assert paper.scores.evaluate_one(name, "sereega", condition, args)
    path = paper.scores.scores_path(args, "mmnet", "sereega", condition)
    before = path.stat().st_mtime_ns
    assert paper.scores.evaluate_one("mmnet", "sereega", condition, args)
    assert path.stat().st_mtime_ns == before
    rows, differences = paper.scores.collect(args, {}), paper.scores.collect_differences(args)
    assert {row["method"] for row in rows} == {"mmnet", "unrolling"}
    assert {row["recordings_seen"] for row in rows} == {24}  # three batches of eight
    assert {row["method"] for row in differences} == {"unrolling"}
    descent = paper.scores.collect_descent(args)
    (mine,) = (row for row in descent if row["method"] == "mmnet")
    assert mine["rising_steps_percent"] == "0.00"


def test_claims(paper, args, tmp_path, monkeypatch):
    """Every claim has its table, of the weights that there are."""
    slow = sys.modules["paper_bounds"].sdp_norm
    monkeypatch.setattr(sys.modules["paper_bounds"], "sdp_norm", lambda *w: slow(*w, 5))
    options = ["paper_claims.py", "--root", args.root, "--heads", args.heads, "--n-samples", "8"]
    monkeypatch.setattr(sys, "argv", [*map(str, options), "--out", str(tmp_path)])
    # here, where modules are patched
    pool = SimpleNamespace(map=map)
    monkeypatch.setattr(
        paper.claims, "ProcessPoolExecutor", lambda *_, **__: contextlib.nullcontext(pool)
    )
    paper.claims.main()
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    monkeypatch.setattr(paper.claims, "load_run", None)  # all is there already
    paper.claims.main()
    assert before == {path.name: path.read_text() for path in tmp_path.iterdir()}

    def read(name):
        lines = (tmp_path / name).read_text().splitlines()
        return list(csv.DictReader(lines[1:]))

    stability = read("paper_stability.csv")
    certified = [row for row in stability if row["method"].startswith("mmnet")]
    assert {int(row["steps"]) for row in certified} == {3, 6, 12, 30}
    assert all(row["rising_steps_percent"] == "0.00" for row in certified)
    assert all(row["diverged_percent"] == "0.00" for row in certified)
    seeds = {(r["method"], r["trained_on"]): r for r in read("paper_seeds.csv")}
    assert seeds["mmnet", "sereega"]["n_seeds"] == "2"
    assert float(seeds["mmnet", "sereega"]["cosine_sd_over_seeds"]) > 0
    assert seeds["unrolling", "sereega"]["cosine_sd_over_seeds"] == ""
    curvature = [row for row in read("paper_curvature.csv") if row["method"] == "mmnet"]
    assert {row["whose"] for row in curvature} == {"own", "other", "analytic"}
    for kind in paper.setup.KINDS:  # one objective, one start, whatever the curvature
        for tested in paper.setup.KINDS:
            starts = {
                row["start"]
                for row in curvature
                if (row["regulariser"], row["tested_on"]) == (kind, tested)
            }
            assert len(starts) == 1
    assert all(row["rising_steps_percent"] == "0.00" for row in curvature)
    bounds = {(row["bound"], row["when"]): row for row in read("paper_bounds.csv")}
    assert bounds["mmnet-proposition1", "at use"]["rising_steps_percent"] == "0.00"
    cases = [
        bounds["mmnet-proposition1", "at use"],
        bounds["mmnet-sharp", "at use"],
        bounds["mmnet-diagonal", "in training"],
    ]
    fell = [float(case["start"]) - float(case["end"]) for case in cases]
    assert fell[0] <= fell[1] < fell[2]
    slopes = [row for row in read("paper_slopes.csv") if "lr1-pre0" in row["weights"]]
    drops = {row["bound"]: float(row["decrease_after_10"]) for row in slopes[:5]}
    assert drops["product of norms"] < drops["averaged operators"] < drops["semidefinite"]
    assert drops["Jacobian at x, descent proved along the ray"] > 3 * drops["semidefinite"]
    truth = read("paper_truth.csv")
    assert {row["method"] for row in truth} == {"mmnet", "mmnet-diagonal"}  # unrolling has no F
    from_truth = [row for row in truth if row["begins_at"] == "the truth"]
    assert len(from_truth) == len(truth) / 2
    for row in from_truth:
        assert row["cosine_first"] == "1.0000"
        assert float(row["change"]) < 0
        assert float(row["objective_last"]) <= float(row["objective_first"])
    knows = {row["objective_first"] for row in truth if row["begins_at"] == "the method's start"}
    assert not knows & {row["objective_first"] for row in from_truth}


def test_curvature_is_swapped(paper, args):
    """The other's curvature steers on the owner's objective."""
    both = [
        paper.setup.load_run(
            paper.setup.best_run(args.root, "mmnet", kind), "mmnet", paper.archive
        )
        for kind in paper.setup.KINDS
    ]
    owner, other = both
    with torch.no_grad():  # untrained heads answer alike
        other.network.curvature.offset += 2.0
    batch = SampleStream(paper.setup.validation_set("sereega", 8), 8, paper.archive).batch(0)
    with torch.no_grad():
        own, swapped = (paper.claims._descend_with(owner, who, batch, 3)[0] for who in both)
    np.testing.assert_allclose(own[:, 0], swapped[:, 0])
    assert (np.abs(own[:, -1] - swapped[:, -1]) > 1e-6).any()


def test_curves(paper, args, tmp_path):
    """Recordings and minutes of every run, the best trial marked; the figure is drawn."""
    rows, best = paper.curves.read_curves(args.root)
    runs = {row["run"] for row in rows}
    assert len(runs) == 6
    mine = [row for row in rows if row["run"] == "mmnet-sereega-lr1-pre0"]
    assert [row["recordings"] for row in mine] == [8, 16, 24]
    assert len({row["run"] for row in rows if row["chosen"]}) == 4
    assert ("mmnet", "neural_mass") in best
    for row in rows:
        assert -1.0 <= float(row["cosine"]) <= 1.0
    paper.curves.figure_curves(tmp_path / "curves.png", best)
    assert (tmp_path / "curves.png").stat().st_size > 20_000


# the diagonal network under bounds


@pytest.fixture
def problem():
    rng = np.random.default_rng(3)
    archive = make_heads(rng, rng.standard_normal((1, N_ELECTRODES, N_SOURCES, 3)))
    sources = SereegaConfig(n_times=16, latency=(0.01, 0.02), order=(1, 2))
    batch = SampleStream(Dataset("sereega", sources, 0, 8, 8), 8, archive).batch(0)
    config = CosineConfig.diagonal(n_sources=N_SOURCES, width=8, hidden=6, n_steps=3)
    torch.manual_seed(0)
    plain = CosineMMNet(config).eval().requires_grad_(False)
    plain.network.curvature.offset.fill_(8.0)  # as bold as can be
    return plain, batch


@pytest.mark.parametrize("bound", ["proposition1", "sharp", "hvp", "ray", "none"])
def test_bounds_bind(bound, problem):
    """Steps are shortened to what the bound allows, and only "none" may rise."""
    plain, batch = problem
    config = plain.network.config
    other = UnboundedMMNet(config) if bound == "none" else BoundedMMNet(config, bound)
    other = other.eval().requires_grad_(False)
    other.load_state_dict(plain.state_dict())
    objective, start = plain.objective(batch.model, batch.data)
    xs = list(other.iterates(batch.model, batch.data))
    assert len(xs) == 4
    values = torch.stack([objective.evaluate(x).value for x in xs], 1)
    if bound == "none":
        assert (values.diff(dim=1) > 0).any()
        assert not hasattr(other, "certified_iterates")
        return
    assert (values.diff(dim=1) <= 0).all()
    first, point = xs[1] - start, objective.evaluate(start)
    gradient = objective.gradient(point)
    bold = list(plain.iterates(batch.model, batch.data))[1] - start
    if bound in ("proposition1", "sharp"):
        make = dict(proposition1=Proposition1Majorant, sharp=SharpMajorant)[bound]
        curvature = make(objective, point, gradient).curvature[:, None, None]
        # P in (0, 2/κ), and at its end for so bold a network
        ratio = (first * curvature).flatten(1).norm(dim=1) / gradient.flatten(1).norm(dim=1)
        torch.testing.assert_close(ratio, torch.full_like(ratio, 2.0), rtol=1e-3, atol=0.0)
    if bound == "ray":
        assert (first.flatten(1).norm(dim=1) < bold.flatten(1).norm(dim=1) * 17).all()
        certificate = list(other.certified_iterates(batch.model, batch.data))
        assert all(int(step.retries.sum()) <= len(batch.data) for step in certificate)


def test_classical_methods_have_the_archives_sources(paper):
    """MNE's methods are given all sources of the paper's source space, the medial wall's too."""
    from mne_mmnet.simulation.electrodes import ten_ten_info

    names = tuple(ten_ten_info()[0]["ch_names"])
    archive = replace(paper.archive, ch_names=names)
    assert paper.scores.classical_matrix("MNE", archive).shape == (1284, len(names) - 1)
