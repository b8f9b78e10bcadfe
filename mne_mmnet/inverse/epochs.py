"""Sources of epochs, in batches."""

from itertools import islice

import mne
import numpy as np
from mne.utils import ProgressBar, _validate_type, logger, verbose

from .._mne import fill_shared, make_stc, noise_scale
from .arguments import check_count, resolve_operator
from .batches import make_solver
from .concerns import Tally

# floats of dictionary × batch × intermediate results: about half a GB
_BATCH_FLOATS = 12_000_000


@verbose
@fill_shared
def apply_mmnet_inverse_epochs(
    epochs,
    fwd,
    noise_cov=None,
    *,
    model="mmnet-base",
    loose=None,
    head="auto",
    depth="auto",
    rank=None,
    pick_ori=None,
    label=None,
    nave=1,
    return_generator=False,
    batch_size=None,
    use_cps=True,
    n_steps=None,
    device="auto",
    verbose=None,
):
    """Localise the sources of each epoch.

    Every epoch has its own source variances, found from its own samples, as if it were given to
    :func:`apply_mmnet_inverse`; but epochs are solved in batches, on the device.

    Parameters
    ----------
    epochs : mne.BaseEpochs
        The epochs, average-referenced (a pending projector is enough). They need not be
        preloaded, and are read batch by batch.
    %(fwd_operator)s
    noise_cov : mne.Covariance | None
        Noise covariance of single trials. With None the noise of each epoch is estimated from it.
    %(model)s
    %(loose)s
    %(head)s
    %(depth)s
    %(rank_none)s
    %(pick_ori)s
    %(label)s
    nave : int
        Number of averages that each epoch is: the noise covariance counts for a single one.
    return_generator : bool
        Whether to return a generator instead of a list, so that only a batch is in memory.
    batch_size : int | None
        Epochs that are solved together. None chooses a size that takes about half a GB.
    %(use_cps)s
    %(n_steps)s
    %(device)s
    %(verbose)s

    Returns
    -------
    stcs : list | generator of mne.SourceEstimate | mne.VectorSourceEstimate | ...
        One a good epoch, in A·m, of the class that :func:`apply_mmnet_inverse` returns.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If there is no good epoch, the data are not finite or not average-referenced, or channels,
        covariance and options don't fit together; the message says what to do.
    RuntimeError
        If ``pick_ori="normal"`` and the source space has no normals.
    FileNotFoundError
        If there is no such model.
    MemoryError
        If the memory is not enough for a single one, on the CPU either.

    Warns
    -----
    RuntimeWarning
        If some epochs should not be trusted, once for each reason with their number. Single
        trials are often buried in noise. If batches get smaller since memory runs out, or the
        device fails and the CPU goes on.

    Examples
    --------
    >>> stcs = mne_mmnet.apply_mmnet_inverse_epochs(epochs, fwd, noise_cov)  # doctest: +SKIP
    """
    _validate_type(epochs, mne.BaseEpochs, "epochs")
    check_count(n_steps, "n_steps")
    check_count(batch_size, "batch_size")
    options = dict(model=model, loose=loose, head=head, depth=depth, rank=rank, use_cps=use_cps)
    operator, _, rows = resolve_operator(
        epochs.info, fwd, pick_ori, label, noise_cov=noise_cov, device=device, **options
    )
    noise_scale(operator.prepared, nave)  # a bad nave is an error before the work
    if batch_size is None:
        batch_size = default_batch(operator, len(epochs.times))
    place = dict(
        tmin=float(epochs.times[0]),
        tstep=1.0 / epochs.info["sfreq"],
        pick_ori=pick_ori,
        label=label,
    )
    stcs = _localise(epochs, operator, rows, nave, batch_size, n_steps, place)
    return stcs if return_generator else list(stcs)


def default_batch(operator, n_times):
    """Choose how many recordings to solve together, by memory."""
    prepared = operator.prepared
    dictionary = 4 * prepared.n_rank * prepared.n_sources * prepared.n_orient
    currents = 2 * prepared.n_sources * prepared.n_orient * n_times
    return max(1, _BATCH_FLOATS // (dictionary + currents))


def each_epoch(epochs):
    """Yield the data of the good epochs, read one by one; to have none is an error."""
    none = True
    for data in (one for one in epochs):  # not iter(epochs): that starts anew after its end
        none = False
        yield data
    if none:
        raise ValueError(
            "There are no good epochs: all were dropped. See epochs.drop_log for the reasons."
        )


def _localise(epochs, operator, rows, nave, batch_size, n_steps, place):
    """Yield the estimates, batch by batch."""
    prepared = operator.prepared
    source = each_epoch(epochs)
    tally = Tally("epochs should not be trusted", prepared)
    solve = make_solver(operator, epochs.info, rows, nave, n_steps)
    logger.info(f"Localising epochs with {operator.card.name}, {batch_size} at a time")
    bar = ProgressBar(len(epochs) if epochs.preload else len(epochs.events), mesg="Epochs")
    while batch := list(islice(source, batch_size)):
        for one, concerns in solve(np.stack(batch)):
            tally.add(concerns)
            bar.update(tally.n_total)
            yield make_stc(prepared, one, **place)
    tally.tell()
    logger.info("[done]")
