"""Data sets, heads and trained models of ``benchmarks/paper.py``."""

from pathlib import Path

from mne_mmnet.baselines import make_estimator
from mne_mmnet.simulation import Dataset, HeadArchive, NeuralMassConfig, SereegaConfig
from mne_mmnet.simulation.heads import make_head_archive
from mne_mmnet.training import BilevelConfig, SampleStream, train_bilevel

KINDS = ("sereega", "neural_mass")
CONFIGS = {"sereega": SereegaConfig(), "neural_mass": NeuralMassConfig()}
HEADS_SEED, N_HEADS = 101, 14
# head 0 is the standard one, which all methods invert with; the unseen ones are tested on only
TRAINING_HEADS, VALIDATION_HEADS, UNSEEN_HEADS = tuple(range(8)), (0, 8, 9), (10, 11, 12, 13)
TRAINING_SEED, VALIDATION_SEED, TEST_SEED = 1, 2, 3
CHUNK_SIZE = 64
N_TRAINING = 15_000 * CHUNK_SIZE  # made on the fly: no run reaches the end


def read_heads(path=None):
    """Lead fields of the 90 electrodes on all heads; computed once (a minute and a half)."""
    if path is not None and Path(path).exists():
        return HeadArchive.read(path)
    return make_head_archive(path, n_heads=N_HEADS, seed=HEADS_SEED, montage="10-10")


def training_set(kind):
    """Manifest of the training data."""
    return Dataset(
        kind, CONFIGS[kind], TRAINING_SEED, N_TRAINING, CHUNK_SIZE, heads=TRAINING_HEADS
    )


def validation_set(kind, n_samples):
    """Manifest of the recordings that choose the best weights."""
    return Dataset(
        kind, CONFIGS[kind], VALIDATION_SEED, n_samples, min(n_samples, 32), heads=VALIDATION_HEADS
    )


def evaluation_set(kind, n_samples, unseen):
    """Manifest of the test recordings, on the standard head or on heads never seen."""
    return Dataset(
        kind,
        CONFIGS[kind],
        TEST_SEED,
        n_samples,
        min(n_samples, 32),
        heads=UNSEEN_HEADS if unseen else (0,),
    )


def train_one(name, kind, config: BilevelConfig, archive, root, device="cpu", progress=None):
    """Train one method on one kind of data, or go on with it; return it and its history."""
    training = training_set(kind)
    held_out = validation_set(kind, config.n_validation)
    stream = SampleStream(training, config.batch_size, archive, config.crop, config.seed, device)
    validation = SampleStream(
        held_out, config.batch_size, archive, config.crop, config.seed, device
    )
    estimator = make_estimator(name, stream.model, config.seed)
    directory = Path(root) / f"{name}-{kind}"
    directory.mkdir(parents=True, exist_ok=True)
    for part, dataset in (("training", training), ("validation", held_out)):
        manifest = directory / f"{part}.json"
        if not manifest.exists():
            dataset.seal(archive).save(manifest)
    history = train_bilevel(
        estimator, stream, validation, config, directory, device=device, progress=progress
    )
    return estimator, stream.model, history
