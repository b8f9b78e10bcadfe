"""The prepared operator: everything that does not depend on the data, once, on the device."""

import contextlib
import time
from dataclasses import dataclass

import numpy as np
import torch
from mne.utils import _check_option, _validate_type, fill_doc, logger, verbose, warn

from .._mne import PreparedForward, prepare_forward
from ..dictionary import mixing_matrix, patch_matrices, synthesis_matrix
from ..network import EvidenceNetwork
from ..objective import factor_dtype
from ..solver import normalise_data, pose, solve
from ..source_model import SourceModel, build_source_model, to_torch_csr
from ..weights import ModelCard, load_model
from .report import SolverReport

# samples per read-out product: bounds its memory to about n_atoms × 512 floats
_READ_OUT = 512
# floats of dictionary × batch below which one thread is faster than several
_SMALL = 1_000_000
# depth weights of sources are limited to this ratio of norms, as in mne.forward
_DEPTH_LIMIT = 10.0


def pick_device(device="auto"):
    """Resolve a device name.

    Parameters
    ----------
    device : str | torch.device
        ``"auto"`` is CUDA if there is one, else Apple's MPS, else the CPU.

    Returns
    -------
    device : torch.device
        The device.

    Raises
    ------
    TypeError
        If ``device`` is neither a name nor a device.
    ValueError
        If torch knows no such device, or this machine has none.
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
        raise ValueError(
            f"The device '{device}' cannot be used here ({error}). Use device='cpu' or 'auto'."
        ) from None
    return found


@contextlib.contextmanager
def _fitting_threads(n_floats):
    """Use one thread for problems that fit a core's cache: two would wait for each other.

    Measured with ``benchmarks/speed.py``: 64 channels × 1284 sources take twice as long on two
    threads as on one.
    """
    before = torch.get_num_threads()
    try:
        if n_floats < _SMALL and before > 1:
            torch.set_num_threads(1)
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


@fill_doc
@dataclass(frozen=True, eq=False, repr=False)
class MMNetOperator:
    """A lead field made ready for the solver, by :func:`make_mmnet_operator`.

    Parameters
    ----------
    prepared : PreparedForward
        Channels, whitener, lead field and source space.
    model : SourceModel
        The multi-scale dictionary on the device.
    log_prior : torch.Tensor of shape (n_atoms,) | None
        Log of the prior variances relative to the learned ones.
    unit : float
        A·m per unit of the solver's currents.
    network : EvidenceNetwork
        The network.
    card : ModelCard
        Its model card.
    """

    prepared: PreparedForward
    model: SourceModel
    log_prior: torch.Tensor | None
    unit: float
    network: EvidenceNetwork
    card: ModelCard

    def __repr__(self):
        return (
            f"<MMNetOperator | {self.card.name}, {len(self.prepared.ch_names)} channels, "
            f"{self.model.n_sources} sources ({self.prepared.orient}), "
            f"{self.model.atoms.device}>"
        )

    def solve(self, data, n_steps=None):
        """Estimate the currents of a batch of whitened recordings.

        Parameters
        ----------
        data : array of shape (n_batch, n_rank, n_times)
            Whitened data, of :func:`mne_mmnet._mne.prepare_data`.
        n_steps : int | None
            Number of steps; None is what the model was made for.

        Returns
        -------
        currents : array of shape (n_batch, n_sources, n_orient, n_times)
            Posterior mean in A·m along the columns of ``prepared.frames``.
        reports : list of SolverReport, length n_batch
            The certificates.
        """
        started = time.perf_counter()
        device, known = self.model.atoms.device, self.prepared.noise_is_known
        size = self.model.atoms.numel() * len(data)
        with torch.inference_mode(), _fitting_threads(size):
            exact = torch.as_tensor(np.ascontiguousarray(data), dtype=torch.float64)
            scaled, amplitude = normalise_data(exact)
            scaled = scaled.to(device)
            problem = pose(
                self.network,
                self.model,
                scaled,
                amplitude.to(device, factor_dtype(device)),
                torch.full((len(scaled),), float(known), device=device),
                log_prior=self.log_prior,
            )
            last, certificate = solve(self.network, problem, n_steps)
            chunks = [
                problem.objective.posterior_mean(last.v, last.factor, chunk).cpu()
                for chunk in scaled.split(_READ_OUT, dim=2)
            ]
            currents = torch.cat(chunks, dim=3).double().numpy()
            currents *= (self.unit * amplitude.numpy())[:, None, None, None]
            currents *= self.prepared.orient_weights[None, :, :, None]
            noise = last.v[:, self.model.n_atoms].cpu().double().exp().numpy()
        if known:
            noise = noise * amplitude.numpy() ** 2
        seconds = (time.perf_counter() - started) / max(len(data), 1)
        return currents, self._report(data, currents, certificate, noise, seconds)

    def _report(self, data, currents, certificate, noise, seconds):
        fields = ("objective", "retries", "analytic", "stalled")
        columns = [getattr(certificate, field).cpu().numpy() for field in fields]
        power = (data**2).sum(axis=(1, 2))
        leadfield = self.prepared.leadfield
        reports = []
        for k in range(len(data)):
            rest = data[k] - np.tensordot(leadfield, currents[k], axes=2)
            explained = 1.0 - (rest**2).sum() / power[k] if power[k] > 0 else 0.0
            reports.append(
                SolverReport(*(c[k] for c in columns), float(noise[k]), float(explained), seconds)
            )
        return reports


def _log_depth_prior(leadfield, depth):
    """Log prior variance of each source, relative to the learned prior (which is depth = 1)."""
    if isinstance(depth, str):
        _check_option("depth", depth, ("auto",))
        return None
    exponent = 0.0 if depth is None else float(depth)
    if not 0.0 <= exponent <= 10.0:
        raise ValueError(f"depth must be 'auto', None or a number from 0 to 10, got {depth}.")
    # largest squared singular value of each source's columns, as mne.forward.compute_depth_prior
    power = np.linalg.norm(leadfield.transpose(1, 0, 2), ord=2, axis=(1, 2)) ** 2
    power = np.maximum(power, power.max() / _DEPTH_LIMIT**2)
    log_prior = (1.0 - exponent) * np.log(power)
    return log_prior - np.median(log_prior)


@verbose
def make_mmnet_operator(
    info,
    fwd,
    noise_cov=None,
    *,
    model="mmnet-base",
    loose=None,
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
        Channels, bad channels and projectors of the recordings to come.
    fwd : mne.Forward
        The forward solution: free or fixed orientation, surface, volume, discrete or mixed.
    noise_cov : mne.Covariance | None
        Noise covariance. With None the solver estimates the noise level from the data.
    model : str | path-like
        Name of a pretrained model, or path of a saved one.
    loose : None | float | "auto" | dict
        Prior variance of tangential currents relative to normal ones. None fixes the orientation
        on surfaces (signed estimates) and frees it elsewhere; other values have MNE's meaning
        ("auto" is 0.2 on surfaces and 1 elsewhere).
    depth : "auto" | None | float
        Exponent of the depth weighting, with MNE's meaning: prior variances grow as the lead
        field's squared norm to the power −depth, None being 0. "auto" leaves it to the learned
        prior, whose reference is an exponent of 1.
    %(rank_none)s
    use_cps : bool
        Whether to use the cortical patch statistics for the normals.
    device : str
        "auto", "cpu", "cuda" or "mps".
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
        If the number of channels lies outside the model's training domain.
    """
    _validate_type(model, "path-like", "model")
    _validate_type(depth, ("numeric", str, None), "depth")
    device = pick_device(device)
    network, card = load_model(model, device)
    prepared = prepare_forward(info, fwd, noise_cov, loose=loose, rank=rank, use_cps=use_cps)
    warn_outside_domain(card, "n_channels", len(prepared.ch_names), "channels")

    config = network.config
    logger.info(
        f"Building the dictionary: {config.n_scales} scales × {prepared.n_sources} sources"
    )
    patches = patch_matrices(prepared.adjacency, config.scales)
    frames = prepared.frames if prepared.n_orient == 3 else None
    synthesis = synthesis_matrix(patches, frames, transport=prepared.orient == "loose")
    weighted = prepared.leadfield * prepared.orient_weights
    source_model, unit = build_source_model(
        torch.as_tensor(weighted, dtype=torch.float64)[None],
        to_torch_csr(synthesis, dtype=torch.float64),
        to_torch_csr(mixing_matrix(prepared.adjacency, config.mixing_extent), device),
    )
    log_prior = _log_depth_prior(weighted, depth)
    if log_prior is not None:
        tiled = np.tile(log_prior, config.n_scales)
        log_prior = torch.as_tensor(tiled, dtype=torch.float32, device=device)
    logger.info("[done]")
    return MMNetOperator(
        prepared=prepared,
        model=source_model,
        log_prior=log_prior,
        unit=unit,
        network=network,
        card=card,
    )


def warn_outside_domain(card, quantity, value, unit):
    """Warn where the card says that the network has not seen anything like it.

    Parameters
    ----------
    card : ModelCard
        The model card. A model of one's own need not name its domain.
    quantity : str
        Key of a range in ``card.domain``.
    value : float
        The recording's value.
    unit : str
        What the value is, for the message.
    """
    low, high = card.domain.get(quantity, (value, value))
    if low <= value <= high:
        return
    warn(
        f"{value:.4g} {unit} is outside the training domain of {card.name} ({low:g} to {high:g}). "
        "The descent certificate holds all the same, but the estimate may be worse than the "
        "model's benchmarks.",
        module="mne_mmnet",
        ignore_namespaces=("mne", "mne_mmnet"),
    )
