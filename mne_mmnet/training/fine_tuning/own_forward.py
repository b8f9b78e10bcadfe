"""Fine-tuning of a model on the user's own forward model."""

import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import mne
import numpy as np
from mne.utils import ProgressBar, _validate_type, logger, verbose
from scipy import linalg

from ..._mne import describe_source_space, prepare_forward, resolve_head
from ...inverse.operator import name_head, pick_device, settle_loose
from ...network import HEADS, ORIENTS
from ...simulation import HeadArchive, SimulationConfig
from ...weights import Model, ModelCard, read_model
from ..provenance import list_versions
from .cosine import tune_cosine
from .evidence import FineTuneConfig, fine_tune_network, small_batches

# the sampler of patches keeps the distances of all pairs of sources
_MOST_SOURCES = 10_000


@verbose
def fine_tune(
    fwd,
    noise_cov=None,
    *,
    model="mmnet-base",
    info=None,
    loose=None,
    head="auto",
    minutes=10.0,
    directory=None,
    device="auto",
    rng=None,
    verbose=None,
):
    """Adapt a model to a forward model, by simulating on it.

    Recordings are simulated on perturbations of the lead field (electrodes, skull, source places
    and gains, smoothly) and inverted with the lead field itself, as real ones will be. Other
    perturbations are held out: to stop early, and, others again, to compare old and new weights.
    If the new ones are not better there for certain (95 %% interval), the old ones are returned;
    new ones of ``mmnet-cosine`` are not compared.

    Parameters
    ----------
    fwd : mne.Forward
        The forward solution, EEG.
    noise_cov : mne.Covariance | None
        Noise covariance, like which half of the simulated sensor noise will be.
    model : str | path-like | Model
        The model to start from. ``mmnet-cosine`` is bound to a source space: for another one its
        weights are trained anew, but for those of a fitting shape.
    info : mne.Info | None
        Channels and bad channels of the recordings to come. None takes all EEG channels of the
        forward solution.
    loose : None | "evidence" | float | "auto" | dict
        Orientation constraint of the estimates to come, as in :func:`apply_mmnet_inverse`.
    head : "auto" | "own" | "template"
        Whose lead field the estimates to come will take it for, likewise.
    minutes : float
        Time limit in minutes.
    directory : path-like | None
        Folder for checkpoints, from which the same call resumes after an interrupt; they are
        removed at the end. None keeps none.
    device : str
        "auto", "cpu", "cuda" or "mps".
    rng : int | numpy.random.Generator | None
        Seed of heads and recordings. None is 0: the same call makes the same recordings.
    %(verbose)s

    Returns
    -------
    model : Model
        To be given as ``model=``, or saved with :func:`save_model`. Its card's provenance has the
        table of old against new weights; the table is logged, too.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If channels, covariance and options don't fit together, there are channels other than EEG
        or too many sources, or the directory belongs to another run.
    FileNotFoundError
        If there is no such model.

    Notes
    -----
    Weights are shared by all locations, so that a model that was tuned on a coarse source space
    serves the finer ones of the same head.

    Examples
    --------
    >>> mine = mne_mmnet.fine_tune(fwd, noise_cov, minutes=10)  # doctest: +SKIP
    >>> stc = mne_mmnet.apply_mmnet_inverse(evoked, fwd, model=mine)  # doctest: +SKIP
    """
    _validate_type(fwd, mne.Forward, "fwd")
    _validate_type(info, (mne.Info, None), "info")
    _validate_type(model, ("path-like", Model), "model")
    _validate_type(minutes, "numeric", "minutes")
    if not minutes > 0:
        raise ValueError(f"minutes must be > 0, got {minutes}.")
    device = pick_device(device)
    seed = 0 if rng is None else int(np.random.default_rng(rng).integers(2**31))
    base = read_model(model, device)
    info = _info_of(fwd) if info is None else info
    loose = settle_loose(loose, base.card, fwd)
    asked = prepare_forward(info, fwd, noise_cov, loose=loose)
    archive = make_archive(info, fwd, asked, noise_cov)
    head = resolve_head(head, info, fwd)
    bar = ProgressBar(100, mesg="Fine-tuning")

    def progress(share):
        bar.update(int(100 * share))

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch if directory is None else directory).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        tune = _TUNERS[base.card.kind]
        tuned = tune(base, archive, asked, head, minutes, seed, folder, device, progress)
    logger.info("[done]")
    return tuned


def _tune_evidence(base, archive, asked, head, minutes, seed, folder, device, progress):
    n_channels = len(asked.ch_names)
    simulation = SimulationConfig(
        n_channels=(n_channels, n_channels),
        layouts=0.0,
        heads=(*(float(name == name_head(head)) for name in HEADS), 0.0),
        orients=tuple(float(asked.orient == name) for name in ORIENTS),
        deep=0.0,  # such fields are not known of a head that is not one's own
    )
    config = FineTuneConfig(simulation=simulation, minutes=float(minutes), seed=seed)
    config = small_batches(config, asked.n_sources, asked.n_orient)
    logger.info(f"Fine-tuning {base.card.name} for at most {minutes:g} minutes on {device}")
    network, outcome = fine_tune_network(
        base.network, archive, config, folder, device=device, progress=progress
    )
    for line in str(outcome).splitlines():
        logger.info(f"    {line}")
    provenance = {
        "base": {"name": base.card.name, "sha256": base.card.sha256},
        "fine_tuning": {
            key: value for key, value in asdict(config).items() if key != "simulation"
        },
        "outcome": asdict(outcome),
        "versions": list_versions(),
        "base_provenance": base.card.provenance,
    }
    domain = base.card.domain
    if outcome.kept:
        tuned_on = {
            "n_channels": n_channels,
            "orient": asked.orient,
            **describe_source_space(asked.vertices, asked.subject),
        }
        low, high = domain.get("n_channels", (n_channels, n_channels))
        domain = {
            **domain,
            "n_channels": [min(low, n_channels), max(high, n_channels)],
            "tuned_on": tuned_on,
        }
    card = replace(
        base.card, name=f"{base.card.name}-tuned", sha256="", domain=domain, provenance=provenance
    )
    return Model(network, card)


def _tune_cosine(base, archive, asked, head, minutes, seed, folder, device, progress):
    if asked.orient != "fixed":
        raise ValueError(
            f"{base.card.name} estimates currents along the cortex's normals, orientation is "
            f"{asked.orient}. Leave loose at None, or use model='mmnet-base'."
        )
    logger.info(f"Training {base.card.name} for this source space, {minutes:g} minutes")
    network, found = tune_cosine(
        base.network, archive, float(minutes), folder, seed=seed, device=device, progress=progress
    )
    logger.info(f"    Space-time cosine on held-out simulations: {found['cosine']:.3f}")
    n_channels = len(asked.ch_names)
    card = ModelCard(
        name=f"{base.card.name}-tuned",
        kind="cosine",
        sha256="",
        network=network.config.to_dict(),
        domain={
            **base.card.domain,
            "source_space": describe_source_space(asked.vertices, asked.subject),
            "n_channels": [min(16, n_channels), n_channels],
            "n_heads": len(archive.gains),
        },
        provenance={
            "base": {"name": base.card.name, "sha256": base.card.sha256},
            "minutes": float(minutes),
            "validation": found,
            "versions": list_versions(),
        },
    )
    return Model(network, card)


_TUNERS = {"evidence": _tune_evidence, "cosine": _tune_cosine}


def _info_of(fwd):
    """Info of all EEG channels of a forward solution, with the average reference."""
    picks = mne.pick_types(fwd["info"], meg=False, eeg=True, exclude=())
    if len(picks) == 0:
        raise ValueError("The forward solution has no EEG channels; fine-tuning is for EEG.")
    info = mne.pick_info(fwd["info"], picks)
    blank = mne.create_info(info["ch_names"], 1000.0, "eeg", verbose=False)
    evoked = mne.EvokedArray(np.zeros((len(picks), 1)), blank, verbose=False)
    places = {ch["ch_name"]: ch["loc"][:3] for ch in info["chs"]}
    evoked.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"), verbose="error")
    return evoked.set_eeg_reference(projection=True, verbose=False).info


def make_archive(info, fwd, asked, noise_cov=None):
    """Bring a forward solution into the form in which training takes lead fields.

    ``asked`` is the same, prepared as it will be inverted. Too many sources, channels other than
    EEG, or channels without a place are a ValueError.
    """
    if set(asked.ch_types) != {"eeg"}:
        raise ValueError(
            "Fine-tuning simulates EEG only, and the forward solution has MEG channels too. Give "
            "fwd.copy().pick_channels of the EEG channels, or an info with those alone."
        )
    if asked.n_sources > _MOST_SOURCES:
        raise ValueError(
            f"{asked.n_sources} sources are too many to fine-tune on (at most {_MOST_SOURCES}). "
            "Use a coarser source space of the same head: the tuned model serves both."
        )
    fixed = mne.forward.is_fixed_orient(fwd)
    if fixed:  # nothing is known but the current along the normal
        gains = asked.gain * asked.frames[:, 0]
    else:
        gains = prepare_forward(info, fwd, noise_cov, loose=1.0).gain
    electrodes = np.array(
        [info["chs"][info["ch_names"].index(name)]["loc"][:3] for name in asked.ch_names]
    )
    if not np.isfinite(electrodes).all() or np.ptp(electrodes, axis=0).min() == 0:
        raise ValueError(
            "Some channels have no place on the head. Give an info with a montage (set_montage)."
        )
    factor = None
    if noise_cov is not None:
        # unit mean power; the inverse of a whitener colours
        colour = linalg.pinv(asked.whitener)
        factor = colour / np.sqrt(np.mean(np.sum(colour**2, axis=1)))
    return HeadArchive(
        gains=gains[None].astype(np.float32),
        electrodes=1e3 * electrodes,
        groups=np.zeros(len(electrodes), int),
        positions=asked.positions,
        normals=asked.normals,
        adjacency=asked.adjacency,
        ch_names=asked.ch_names,
        source_space=describe_source_space(asked.vertices, asked.subject),
        is_volume=asked.kind in ("volume", "discrete"),
        noise_factor=factor,
    )
