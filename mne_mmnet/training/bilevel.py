"""Bilevel training of the cosine route and of its peers, all by the same loop."""

import json
import logging
import math
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from .._support.devices import keep_triton_out
from ..baselines import Estimator
from .bilevel_config import BilevelConfig
from .checkpoint import append_entry, load_optimiser, resuming, write_checkpoint
from .gradient import Gradient
from .interrupt import Interrupt
from .samples import SampleStream

logger = logging.getLogger("mne")

# share of each part of the run in which the rate rises
_RISE = 0.03
# seeds of different runs lie this far apart
_MIX = 1_000_003


def cosine(x, y):
    """Space-time cosine of each sample, shape (n_batch,); 0 with a zero array."""
    norms = (x.square().sum((1, 2)) * y.square().sum((1, 2))).sqrt()
    return (x * y).sum((1, 2)) / norms.clamp_min(1e-20)


def upper_loss(prior, estimate, truth):
    """Upper level of the bilevel problem (DESIGN §2a), shape (n_batch,).

    [1 − cos(x_K, x*)] + [1 − cos(x_K, Φ(x_K))], the second part for methods with a Φ.
    """
    loss = 1.0 - cosine(estimate, truth)
    if prior is not None:
        image, *_ = prior(estimate)
        loss = loss + 1.0 - cosine(estimate, image)
    return loss


def denoising_loss(estimator, batch, share):
    """Pretraining: 1 − cos(Φ(x̃), x*) with x̃ between the start and the truth.

    A start that is learned has 1 − cos(x₀, x*) besides.

    Parameters
    ----------
    estimator : Estimator
        With a Φ.
    batch : Batch
        Of a :class:`SampleStream`.
    share : torch.Tensor of shape (n_batch, 1, 1)
        Of the truth in each mixture, from 0 to 1.
    """
    model, data, truth = batch
    objective, start = estimator.objective(model, data)
    size = truth.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-20)
    image, *_ = objective.regulariser((1.0 - share) * start.detach() + share * truth / size)
    loss = 1.0 - cosine(image, truth)
    return loss + 1.0 - cosine(start, truth) if start.requires_grad else loss


def _draw_shares(n_batch, seed):
    # mostly near the start, where the iterations begin
    return torch.rand(n_batch, 1, 1, generator=torch.Generator().manual_seed(seed)) ** 4


def _part_loss(estimator, batch, config, seed, pretraining, part):
    """Mean loss of some recordings of a batch, the same whenever and however often it is asked."""
    some = batch._replace(data=batch.data[part], currents=batch.currents[part])
    torch.manual_seed(seed + _MIX**2 * part.start)  # of the dropout
    with torch.autocast(batch.data.device.type, torch.bfloat16, enabled=config.half):
        if pretraining:
            share = _draw_shares(len(batch.data), seed)[part]
            return denoising_loss(estimator, some, share.to(some.data.device)).mean()
        steps = config.n_steps if estimator.any_steps else None
        estimate, prior = estimator.estimate(some.model, some.data, steps)
        return upper_loss(prior, estimate, some.currents).mean()


@dataclass
class _Run:
    """What a checkpoint holds besides weights."""

    batch: int = 0
    seconds: float = 0.0
    best: float = math.inf
    best_at: int = 0
    waited: int = 0

    def progress(self, config):
        """Share of the run that is over."""
        by_time = self.seconds / (60.0 * config.minutes) if config.minutes else 0.0
        return max(by_time, self.batch / config.n_batches)

    def over(self, config):
        """Whether the run is over."""
        return self.progress(config) >= 1 or (0 < config.patience <= self.waited)


def _rate(share):
    """Linear rise, then a cosine to 2 %."""
    if share < _RISE:
        return max(share / _RISE, 0.02)
    return 0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))


def _parameter_groups(estimator, config):
    own = list(estimator.regulariser.parameters()) if estimator.regulariser is not None else []
    theirs = {id(parameter) for parameter in own}
    rest = [p for p in estimator.parameters() if id(p) not in theirs]
    groups = [
        dict(params=rest, lr=config.learning_rate, base=config.learning_rate),
        dict(params=own, lr=config.regulariser_rate, base=config.regulariser_rate),
    ]
    return [group for group in groups if group["params"]]


def train_bilevel(
    estimator: Estimator,
    stream: SampleStream,
    validation: SampleStream,
    config: BilevelConfig,
    directory,
    *,
    device="cpu",
    progress=None,
    belongs="",
):
    """Train an estimator, or go on where an interrupted run stopped.

    Parameters
    ----------
    estimator : Estimator
        Untrained, or with weights to start from; trained in place.
    stream, validation : SampleStream
        Training batches, and recordings that only choose the best weights.
    config : BilevelConfig
        The run. A directory holds one run: another configuration is refused.
    directory : path-like
        Where ``checkpoint.pt`` and ``log.jsonl`` are kept.
    device : str
        A torch device.
    progress : callable | None
        Called with the share of the run that is over, after every batch.
    belongs : str
        What else a checkpoint must agree in to be this run's, such as the digest of a lead field.

    Returns
    -------
    history : list of dict
        One entry a validation: batch, seconds, training loss, validation loss and cosine.

    Raises
    ------
    ValueError
        If the directory holds a run with another configuration or a damaged checkpoint.
    KeyboardInterrupt
        After the first Ctrl-C as soon as the batch is over and a checkpoint is written, after the
        second one at once.
    OSError
        If the directory cannot be written; the last checkpoint is whole.

    Notes
    -----
    The estimator is left with the weights that did best on the validation recordings, in
    evaluation mode. Each sample's loss is its own: nothing is normalised over the batch.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "checkpoint.pt"
    estimator.to(device)
    keep_triton_out()
    optimiser = torch.optim.Adam(_parameter_groups(estimator, config))
    gradient = Gradient(list(estimator.parameters()))
    run, history = _Run(), []
    best = {name: tensor.clone() for name, tensor in estimator.state_dict().items()}
    mark = ("description", json.dumps([type(estimator).__name__, config.to_dict()]) + belongs)
    if path.exists():
        with resuming(path, mark, "a run with another configuration", device) as state:
            estimator.load_state_dict(state["network"])
            load_optimiser(optimiser, state["optimiser"])
            run, history = _Run(**state["run"]), list(state["history"])
            for name in best:
                best[name].copy_(state["best"][name])
        logger.info("Resuming %s at batch %d.", path, run.batch)
    held_out = _held_out(validation, config)

    def checkpoint(losses):
        if losses:
            loss, agreement = _validate(estimator, held_out, gradient.parts)
            entry = dict(
                batch=run.batch,
                seconds=round(run.seconds, 1),
                loss=sum(losses) / len(losses),
                validation=loss,
                cosine=agreement,
            )
            history.append(entry)
            logger.info("    %s", entry)
            append_entry(directory / "log.jsonl", entry)
            if loss < run.best:
                run.best, run.best_at, run.waited = loss, run.batch, 0
                best.update({k: v.clone() for k, v in estimator.state_dict().items()})
            else:
                run.waited += 1
        save()

    def save():
        state = dict(
            [mark],
            network=estimator.state_dict(),
            best=best,
            optimiser=optimiser.state_dict(),
            run=vars(run),
            history=history,
        )
        write_checkpoint(path, state)

    # on a CPU the time that counts is this process's own, whatever else the machine is doing
    clock = time.process_time if torch.device(device).type == "cpu" else time.monotonic
    losses = []
    has_prior = estimator.regulariser is not None
    with Interrupt() as interrupt:
        while not run.over(config):
            started = clock()
            share = run.progress(config)
            pretraining = has_prior and share < config.pretraining
            batch = stream.batch(run.batch)
            estimator.train()
            cut = config.pretraining if has_prior else 0.0
            phase = share / cut if pretraining else (share - cut) / (1.0 - cut)
            for group in optimiser.param_groups:
                peak = config.pretraining_rate if pretraining else group["base"]
                group["lr"] = peak * (_rate(phase) if config.annealing else 1.0)
            # dropout and mixtures depend on the batch's number only: a resumed run is the same one
            seed = _MIX * config.seed + run.batch
            loss_of = partial(_part_loss, estimator, batch, config, seed, pretraining)
            losses.append(gradient(loss_of, len(batch.data)))
            norm = torch.nn.utils.clip_grad_norm_(estimator.parameters(), config.clip)
            if torch.isfinite(norm):
                optimiser.step()
            run.batch += 1
            run.seconds += clock() - started
            if run.batch % config.validate_every == 0 or run.over(config):
                checkpoint([] if pretraining else losses)
                losses = []
            if progress is not None:
                progress(min(run.progress(config), 1.0))
            interrupt.answer(save)
    estimator.load_state_dict(best)
    estimator.eval()
    return history


def _held_out(validation, config):
    batches, count = [], 0
    while count < config.n_validation:
        batches.append(validation.batch(len(batches)))
        count += len(batches[-1].data)
    return batches


@torch.no_grad()
def _validate(estimator, batches, parts):
    """Mean upper-level loss and space-time cosine, with the steps taken at use."""
    estimator.eval()

    def compute(batch, part):
        truth = batch.currents[part]
        estimate, prior = estimator.estimate(batch.model, batch.data[part])
        return torch.stack([upper_loss(prior, estimate, truth), cosine(estimate, truth)])

    found = []
    for batch in batches:
        found += parts.each(partial(compute, batch), len(batch.data))
    loss, agreement = torch.cat(found, 1).mean(1).tolist()
    return loss, agreement
