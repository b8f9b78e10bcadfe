"""The prepared operator: everything that does not depend on the data, once, on the device."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import mne
import torch
from mne.utils import _validate_type, fill_doc, logger, verbose

from .._mne import (
    HeadKind,
    PreparedForward,
    complete_forward,
    doubt_electrodes,
    electrodes_key,
    fill_shared,
    prepare_forward,
    resolve_head,
    warn,
)
from ..weights import Model, ModelCard, read_model
from .check_neighbours import ChannelModel
from .concerns import outside, say_foreign, say_outside
from .fallback import Fallback, prepare_route
from .routes import ROUTES, CosineRoute, EvidenceRoute
from .solver_report import make_reports
from .threads import fitting_threads, numpy_on_one_thread
from .torch_state import plain_torch


def pick_device(device="auto"):
    """Resolve a device name.

    "auto" is CUDA if there is one, else Apple's MPS, else the CPU. A device that torch does not
    know, or this machine has not, is a ValueError.
    """
    _validate_type(device, (str, torch.device), "device")
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()  # "meta" holds no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0].split(". ")[0][:200]
        raise ValueError(
            f"The device '{device}' cannot be used here ({reason}). Use device='cpu' or 'auto'."
        ) from None
    return found


@fill_doc
@dataclass(frozen=True, eq=False, repr=False)
class MMNetOperator:
    """A lead field made ready for the solver, by :func:`make_mmnet_operator`.

    Parameters
    ----------
    prepared : PreparedForward
        Channels, whitener, lead field and source space.
    head : HeadKind
        Whose lead field it is.
    route : EvidenceRoute | CosineRoute
        Lead field and network on the device.
    card : ModelCard
        The model card.
    fwd : mne.Forward
        The user's forward solution, for comparisons with other methods.
    noise_cov : mne.Covariance | None
        The user's noise covariance.
    prepare : callable
        Makes the route anew on another device, if this one fails.
    """

    prepared: PreparedForward
    head: HeadKind
    route: EvidenceRoute | CosineRoute
    card: ModelCard
    fwd: mne.Forward
    noise_cov: mne.Covariance | None
    prepare: Callable

    def __post_init__(self):
        # the one thing that changes: on a failing device batches get smaller, or the CPU is used
        object.__setattr__(self, "_worker", Fallback(self.route, self.prepare))
        object.__setattr__(self, "_doubted", None)
        # and what recordings are compared with, made when it is first asked for
        object.__setattr__(self, "second_opinion", {})

    @functools.cached_property
    def channel_model(self):
        """What each EEG channel should measure, given the others; None with few of them."""
        return ChannelModel.build(self.prepared)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        # nothing in it changes, and torch's sparse tensors can't be copied
        return self

    def doubt_recording(self, info):
        """Say what speaks against the electrodes of a recording.

        Parameters
        ----------
        info : mne.Info
            Of the recording.

        Returns
        -------
        doubts : dict of str
            Texts by kind.
        """
        # the next recording mostly has the electrodes of the one before
        key, doubted = electrodes_key(info), self._doubted  # once: threads share the operator
        if doubted is None or doubted[0] != key:
            doubted = key, doubt_electrodes(info, self.fwd, self.prepared.ch_names)
            object.__setattr__(self, "_doubted", doubted)
        return doubted[1]

    @property
    def device(self):
        """Where it computes now."""
        return self._worker.route.device

    def __repr__(self):
        return (
            f"<MMNetOperator | {self.card.name}, {len(self.prepared.ch_names)} channels, "
            f"{self.prepared.n_sources} sources ({self.prepared.orient}), {self.head.kind} head, "
            f"{self.device}>"
        )

    def solve(self, data, n_steps=None, uncertainty=False, rows=None, kernel=None):
        """Estimate the currents of a batch of whitened recordings.

        Parameters
        ----------
        data : array of shape (n_batch, n_rank, n_times)
            Whitened data, of :func:`mne_mmnet._mne.prepare_data`.
        n_steps : int | None
            Number of steps; None is what the model was made for.
        uncertainty : bool
            Whether to say how sure the estimate is.
        rows : array of int | None
            Locations whose currents are wanted, for instance those of a label. None is all.
        kernel : float | None
            Return the linear map from whitened data to currents, too, for data whose noise has
            so many times the variance of these (not with ``mmnet-cosine``).

        Returns
        -------
        solution : Solution
            Currents in A·m along the columns of ``prepared.frames``.
        reports : list of SolverReport, length n_batch
            The certificates.

        Raises
        ------
        MemoryError
            If there is not enough memory for a single recording, on the CPU either.

        Warns
        -----
        RuntimeWarning
            If memory runs out and batches become smaller, or a device fails and the CPU goes on.
        """
        started = time.perf_counter()
        with plain_torch():
            solution = self._worker.solve(data, n_steps, uncertainty, rows, kernel)
        seconds = (time.perf_counter() - started) / max(len(data), 1)
        return solution, make_reports(solution, data, self.prepared.noise_is_known, seconds)


@verbose
@fill_shared
def make_mmnet_operator(
    info,
    fwd,
    noise_cov=None,
    *,
    model="mmnet-base",
    loose=None,
    head="auto",
    depth="auto",
    rank=None,
    use_cps=True,
    device="auto",
    verbose=None,
):
    """Prepare a lead field for :func:`apply_mmnet_inverse`, once for many recordings.

    Parameters
    ----------
    info : mne.Info
        Channels, bad channels and projectors of the recordings to come; one that has further
        projectors is refused.
    fwd : mne.Forward
        The forward solution: free or fixed orientation, surface, volume, discrete or mixed. All
        its EEG, magnetometer and gradiometer channels that the recording has are used.
    noise_cov : mne.Covariance | None
        Noise covariance; MEG channels need one. With None the solver estimates the noise level
        from the data.
    %(model)s
    %(loose)s
    %(head)s
    %(depth)s
    %(rank_none)s
    %(use_cps)s
    %(device)s
    %(verbose)s

    Returns
    -------
    operator : MMNetOperator
        To be given to :func:`apply_mmnet_inverse` in place of ``fwd``.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If channels, reference, covariance or options don't fit together, or the weights are
        damaged; the message says what to do.
    FileNotFoundError
        If there is no such model.

    Warns
    -----
    RuntimeWarning
        If the number of channels lies outside the model's training domain, there are MEG
        channels; electrodes are not where head coordinates have them, or not where the forward
        solution was made for; good channels are left out; sources have no field; the device fails
        and the CPU is used, or the noise covariance is so
        ill-conditioned that whitening is unstable (MNE's).
    """
    _validate_type(model, ("path-like", Model), "model")
    _validate_type(depth, ("numeric", str, None), "depth")
    device = pick_device(device)
    with plain_torch():
        model = read_model(model)
    card = model.card
    _validate_type(fwd, mne.Forward, "fwd")
    fwd = complete_forward(fwd)
    loose = settle_loose(loose, card, fwd)
    with numpy_on_one_thread(), plain_torch():
        prepared = prepare_forward(info, fwd, noise_cov, loose=loose, rank=rank, use_cps=use_cps)
        head = resolve_head(head, info, fwd)
        logger.info(f"    Lead field of {head}")
        prepare = partial(_prepare_route, model, prepared, depth, name_head(head))
        route = prepare_route(prepare, device)
    n_channels = len(prepared.ch_names)
    if outside(card, "n_channels", n_channels) > 0:
        warn(say_outside(card, "n_channels", n_channels, "channels"))
    if foreign := say_foreign(card, prepared):
        warn(foreign)
    for text in prepared.doubts.values():
        warn(text)
    logger.info("[done]")
    return MMNetOperator(prepared, head, route, card, fwd, noise_cov, prepare)


def settle_loose(loose, card, fwd):
    """Fix the orientation on surfaces for a model that knows normals only.

    Where the choice was left to the model, that is.
    """
    is_open = loose is None or (isinstance(loose, str) and loose == "evidence")
    if is_open and card.kind == "cosine" and fwd["src"].kind == "surface":
        return 0.0
    return loose


def name_head(head):
    """Name a head as the network knows it, one of :data:`mne_mmnet.network.facts.HEADS`."""
    if head.kind == "own":
        return "own"
    return "fitted" if head.is_fitted or head.electrodes == "digitised" else "template"


def _prepare_route(model, prepared, depth, head, device):
    """Put a model and a lead field on a device."""
    # on another device a copy: this one must stay in the computer's own memory
    network, card = model if torch.device(device).type == "cpu" else read_model(model, device)
    with fitting_threads(prepared.leadfield.size):
        return ROUTES[card.kind].prepare(network, card, prepared, depth, head, device)
