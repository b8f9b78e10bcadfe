"""Data sets, heads and trained models of ``benchmarks/paper.py``."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mne_mmnet.baselines import AUGMENTED, ESTIMATORS, Refined, make_estimator
from mne_mmnet.simulation import (
    Dataset,
    HeadArchive,
    HeadVariety,
    NeuralMassConfig,
    SereegaConfig,
)
from mne_mmnet.training import AugmentedStream, BilevelConfig, SampleStream, train_bilevel

KINDS = ("sereega", "neural_mass")
CONFIGS = {"sereega": SereegaConfig(), "neural_mass": NeuralMassConfig()}
HEADS_SEED, N_HEADS = 101, 14
VARIETY = HeadVariety(skull_ratio=(20.0, 80.0), skull_thickness=(0.8, 1.25), electrode_error=5.0)
# head 0 is the standard one, which all methods invert with; the unseen ones are tested on only
TRAINING_HEADS, VALIDATION_HEADS, UNSEEN_HEADS = tuple(range(8)), (0, 8, 9), (10, 11, 12, 13)
TRAINING_SEED, VALIDATION_SEED, TEST_SEED = 1, 2, 3
CHUNK_SIZE = 64
SNR_DB = 5.0
# who is tested on besides: people of a population that nothing is trained on, with folds of theirs
PEOPLE_SEED, N_PEOPLE = 2000, 16
# kinds of noise, and the share of brain activity in each
NOISES = {"white": 0.0, "brain": 0.5}
HEADS = ("same", "unseen", "people")
# other λ and K at use than in training, as validation recordings of the own kind have it: cosine
# of mmnet-anchored with λ = 1, K = 4: SEREEGA 0.8040, neural masses 0.7364; here 0.8048, 0.7379
AT_USE = {name: dict(weight=0.1, n_steps=20) for name in ("mmnet-anchored", "mmnet+")}
# files with a run's weights: of training itself, and what paper_export.py makes of it
_WEIGHTS = ("checkpoint.pt", "best.pt")
# a peer's answer, then the descent of mmnet+, which was trained with sums, too
REFINED = {
    f"{peer}, then mmnet+": (peer, "mmnet+") for peer in ("lstm+", "unrolling+", "4dvarnet+")
}
# all that can be tested with weights
LEARNED = (*ESTIMATORS, *REFINED)
N_TRAINING = 15_000 * CHUNK_SIZE  # made on the fly: no run reaches the end


def read_heads(path=None):
    """Lead fields of the 90 electrodes on all heads; computed once (a minute and a half)."""
    if path is not None and Path(path).exists():
        return HeadArchive.read(path)
    from mne_mmnet.simulation.heads import make_head_archive  # needs MNE, training does not

    return make_head_archive(
        path, n_heads=N_HEADS, seed=HEADS_SEED, montage="10-10", variety=VARIETY
    )


def read_people(path, standard):
    """Lead fields of other people's heads (DESIGN §5), with the sources of the standard one.

    They are made where there is no such file, which needs MNE (four minutes); None is one in the
    cache. Head 0 is that of ``standard``, since all invert with it. Heads from 1 are people, with
    folds of theirs: lead fields are those along their normals.
    """
    from mne_mmnet._support.cache import find_cached, keep_in_cache

    name = f"heads/paper-people-{PEOPLE_SEED}-{N_PEOPLE}.npz"
    found = find_cached(name) if path is None else Path(path)
    if found is None or not found.exists():
        from paper_people import make_people_heads

        people = make_people_heads(standard, PEOPLE_SEED, N_PEOPLE)
        if path is None:
            keep_in_cache(name, people.save)
        else:
            people.save(path)
    else:
        people = HeadArchive.read(found)
    return replace(people, gains=np.concatenate([standard.gains[:1], people.gains[1:]]))


def archive_of(heads, args):
    """Lead fields that a test set is made on, of the files that the options name."""
    standard = read_heads(args.heads)
    return read_people(args.people, standard) if heads == "people" else standard


def training_set(kind):
    """Manifest of the training data."""
    return Dataset(
        kind, CONFIGS[kind], TRAINING_SEED, N_TRAINING, CHUNK_SIZE, SNR_DB, TRAINING_HEADS
    )


def validation_set(kind, n_samples):
    """Manifest of the recordings that choose the best weights."""
    return _held_out(kind, VALIDATION_SEED, n_samples, VALIDATION_HEADS)


def conditions(wanted=HEADS):
    """Every test set, or those of some heads: kind of data, heads and noise."""
    several = [(heads, "white") for heads in HEADS] + [("people", "brain")]
    return [(kind, *one) for kind in KINDS for one in several if one[0] in wanted]


def evaluation_set(kind, n_samples, heads="same", noise="white"):
    """Manifest of the test recordings.

    They are made on the standard head that all invert with ("same"), on mild perturbations of it
    never trained on ("unseen"), or on other people's ("people": of the archive of
    :func:`read_people`).
    """
    numbers = dict(same=(0,), unseen=UNSEEN_HEADS, people=tuple(range(1, N_PEOPLE + 1)))[heads]
    return _held_out(kind, TEST_SEED, n_samples, numbers, NOISES[noise])


def _held_out(kind, seed, n_samples, *heads_and_background):
    # the largest chunk of at most 32 that divides it into equal parts
    chunk = max(size for size in range(1, 33) if n_samples % size == 0)
    return Dataset(kind, CONFIGS[kind], seed, n_samples, chunk, SNR_DB, *heads_and_background)


def make_fwd(archive):
    """Info and template forward solution of the archive's electrodes, for MNE's methods."""
    import mne

    import mne_mmnet
    from mne_mmnet.simulation.electrodes import TEN_TEN

    info = mne.create_info(list(archive.ch_names), 512.0, "eeg")
    info.set_montage(TEN_TEN)
    # the lead fields of the archive have those on the medial wall
    return info, mne_mmnet.make_template_forward(info, medial_wall=True, positions="as given")


def run_directory(root, name, kind, factor=None, pretraining=None, seed=0):
    """Folder of one run; a trial has its settings in the name.

    ``factor``, of the learning rates, and ``pretraining``, its share, are None where there is no
    trial.
    """
    trial = "" if factor is None else f"-lr{factor:g}-pre{pretraining:g}"
    return Path(root) / f"{name}-{kind}{trial}{f'-seed{seed}' if seed else ''}"


def runs_of(root, name, kind):
    """Folders of all runs of one method on one kind of data that have weights, sorted."""
    places = [run_directory(root, name, kind), *Path(root).glob(f"{name}-{kind}-*")]
    return sorted(p for p in places if any((p / file).exists() for file in _WEIGHTS))


def read_run(directory):
    """Read a run's description, history and best weights, of a checkpoint or of an export."""
    path = next(path for file in _WEIGHTS if (path := Path(directory) / file).exists())
    return torch.load(path, map_location="cpu", weights_only=True)


def best_run(root, name, kind, missing_ok=False):
    """Choose among the trials of one method by validation: the largest cosine of the kept weights.

    The loss is no measure across trials: it holds each one's own Φ.
    """

    def agreement(directory):
        history = read_run(directory)["history"]
        return min(history, key=lambda entry: entry["validation"])["cosine"] if history else -1.0

    runs = runs_of(root, name, kind)
    if not runs and not missing_ok:
        raise FileNotFoundError(f"There is no run of {name} on {kind} in {root}: train it first.")
    if len(runs) < 2:  # nothing to choose, nor to read
        return runs[0] if runs else None
    return max(runs, key=agreement)


def parts_of(name):
    """Return what has weights: the method itself, or the peer and whose descent comes after it."""
    return REFINED.get(name, (name,))


def is_trained(root, name, kind):
    """Whether there are weights of a method, of both where it is one after the other."""
    return all(runs_of(root, one, kind) for one in parts_of(name))


def load_one(name, kind, archive, root):
    """Load the best weights of the best training, with λ and K of ``AT_USE`` or of training."""
    if name in REFINED:
        peer, descent = (load_one(one, kind, archive, root) for one in REFINED[name])
        descent.network.first = None  # its own start is not used
        return Refined(descent, peer).eval().requires_grad_(False)
    return load_run(best_run(root, name, kind), name, archive)


def load_run(directory, name, archive):
    """Load the best weights of one run, into the method ``name`` if they fit that."""
    stream = SampleStream(validation_set(KINDS[0], 8), 8, archive)
    state = read_run(directory)
    estimator = make_estimator(name, stream.model, n_steps=read_config(state)["n_steps"])
    estimator.load_state_dict({key: tensor.float() for key, tensor in state["best"].items()})
    if name in AT_USE:
        estimator.network.config = replace(estimator.network.config, **AT_USE[name])
    return estimator.eval().requires_grad_(False)


def read_config(state):
    """Return the plain configuration of a run that :func:`read_run` read."""
    return json.loads(state["description"])[1]


def train_one(
    name, kind, config: BilevelConfig, archive, directory, device="cpu", progress=None, chunks=None
):
    """Train one method on one kind of data, or go on with it; return it and its history.

    Windows are the same whatever the run's seed; with ``chunks`` they are kept in that folder.
    """
    training = training_set(kind)
    held_out = validation_set(kind, config.n_validation)
    options = (config.batch_size, archive, config.crop, 0, device)
    if chunks is None:
        stream = SampleStream(training, *options)
    else:
        from paper_chunks import StoredStream  # which needs this module

        stream = StoredStream(chunks, training, *options)
    if name in AUGMENTED:
        stream = AugmentedStream(stream)
    validation = SampleStream(held_out, *options)
    estimator = make_estimator(name, validation.model, config.seed, config.n_steps)
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for part, dataset in (("training", training), ("validation", held_out)):
        manifest = directory / f"{part}.json"
        if not manifest.exists():
            dataset.seal(archive).save(manifest)
    history = train_bilevel(
        estimator, stream, validation, config, directory, device=device, progress=progress
    )
    return estimator, validation.model, history
