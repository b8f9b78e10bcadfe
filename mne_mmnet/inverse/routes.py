"""What a kind of model does with a prepared lead field: one class for each route."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from mne.utils import _check_option, logger

from .._mne import locate_sources
from ..dictionary.lead_errors import SHARES
from ..dictionary.model import SourceModel, build_source_model
from ..network import CosineNetwork, EvidenceNetwork, confidence_levels, describe
from ..objective import factor_dtype
from ..solver import (
    Certificate,
    CosineModel,
    certify,
    cosine_iterates,
    iterate,
    normalise_data,
    peak_log_probability,
    pose,
)
from ..template.cortex import wall_vertices
from .graphs import source_graph_of
from .threads import fitting_threads

# samples per read-out product, all recordings together: bounds its memory to n_atoms × 512 floats
_READ_OUT = 512
# depth weights of sources are limited to this ratio of norms, as in mne.forward
_DEPTH_LIMIT = 10.0


class Spread(NamedTuple):
    """How sure an estimate is.

    Parameters
    ----------
    std : array of shape (n_batch, n_sources, n_orient)
        Posterior standard deviation of the currents, A·m.
    probability : array of shape (n_batch, n_sources)
        That a location is the strongest source.
    level : array of shape (n_batch, n_sources)
        The confidence region of level c holds the locations with a value below c.
    """

    std: np.ndarray
    probability: np.ndarray
    level: np.ndarray


class Solution(NamedTuple):
    """What a route answers.

    Parameters
    ----------
    currents : array of shape (n_batch, n_rows, n_orient, n_times)
        In A·m, of the locations that were asked for.
    residual : array of shape (n_batch, n_rank, n_times)
        Whitened data minus what the currents of all locations explain.
    certificate : Certificate
        What the solver did.
    noise_level : array of shape (n_batch,) | None
        Variance of the white noise, in the units of the whitened data where the noise covariance
        is known, else relative to the mean data power; None where the route estimates none.
    spread : Spread | None
        Where it was asked for.
    kernel : array of shape (n_batch, n_rows, n_orient, n_rank) | None
        Currents of whitened data, A·m, under the variances found: where it was asked for.
    covariance : array of shape (n_batch, n_rank, n_rank) | None
        Of the whitened data that the kernel is for, under these variances: with the kernel.
    """

    currents: np.ndarray
    residual: np.ndarray
    certificate: Certificate
    noise_level: np.ndarray | None
    spread: Spread | None = None
    kernel: np.ndarray | None = None
    covariance: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class EvidenceRoute:
    """Any source space, montage and orientation: posterior mean under learned variances.

    Parameters
    ----------
    network : EvidenceNetwork
        The network.
    model : SourceModel
        The multi-scale dictionary on the device.
    log_prior : torch.Tensor of shape (n_atoms,) | None
        Log of the prior variances relative to the learned ones.
    unit : float
        A·m per unit of the solver's currents.
    noise_is_known : bool
        Whether whitened data have unit noise variance.
    facts : torch.Tensor of shape (1, n_facts)
        What the network is told of head, orientations and noise covariance.
    leadfield : torch.Tensor of shape (n_rank, n_sources * n_orient)
        Of the solver's currents, on the device.
    orient_weights : array of shape (n_sources, n_orient)
        Prior standard deviation of each column of the prepared forward.
    """

    network: EvidenceNetwork
    model: SourceModel
    log_prior: torch.Tensor | None
    unit: float
    noise_is_known: bool
    facts: torch.Tensor
    leadfield: torch.Tensor
    orient_weights: np.ndarray

    @classmethod
    def prepare(cls, network, card, prepared, depth, head, device):
        """Build the dictionary.

        Parameters
        ----------
        network : EvidenceNetwork
            The network, on the device.
        card : ModelCard
            Its card.
        prepared : PreparedForward
            The lead field.
        depth : "auto" | None | float
            Exponent of the depth weighting.
        head : str
            Whose lead field it is, one of :data:`mne_mmnet.network.facts.HEADS`.
        device : torch.device
            Where to compute.
        """
        config = network.config
        logger.info(
            f"Building the dictionary: {config.n_scales} scales × {prepared.n_sources} sources"
        )
        frames = prepared.frames if prepared.n_orient == 3 else None
        graph = source_graph_of(prepared.adjacency, config, frames, prepared.orient, device)
        weighted = prepared.leadfield * prepared.orient_weights
        model, unit = build_source_model(
            torch.as_tensor(weighted, dtype=torch.float64)[None],
            graph,
            config.n_errors,
            SHARES[head],
            torch.as_tensor(prepared.deep, dtype=torch.float64)[None],
        )
        log_prior = _log_depth_prior(weighted, depth)
        if log_prior is not None:
            log_prior = torch.as_tensor(log_prior, dtype=torch.float32, device=device)
            log_prior = log_prior[graph.place_of % graph.n_sources]
        return cls(
            network,
            model,
            log_prior,
            unit,
            prepared.noise_is_known,
            describe(1, head, prepared.orient, prepared.noise_samples, prepared.n_rank, device),
            torch.as_tensor(
                unit * weighted.reshape(len(weighted), -1), dtype=torch.float32, device=device
            ),
            prepared.orient_weights,
        )

    @property
    def device(self):
        """Where it computes."""
        return self.model.columns.device

    def solve(self, data, n_steps=None, uncertainty=False, rows=None, kernel=None):
        """Estimate the currents of a batch.

        Parameters
        ----------
        data : array of shape (n_batch, n_rank, n_times)
            Whitened data.
        n_steps : int | None
            Number of steps; None is what the model was made for.
        uncertainty : bool
            Whether to say how sure the estimate is.
        rows : array of int | None
            Locations whose currents are wanted. None is all.
        kernel : float | None
            Return the linear map from whitened data to currents, too, for data whose noise has
            so many times the variance of these.

        Returns
        -------
        solution : Solution
            Currents, certificate and noise.
        """
        size = self.model.columns.numel() * len(data)
        with torch.inference_mode(), fitting_threads(size):
            exact = torch.as_tensor(np.ascontiguousarray(data), dtype=torch.float64)
            scaled, amplitude = normalise_data(exact)
            scaled = scaled.to(self.device)
            problem = pose(
                self.network,
                self.model,
                scaled,
                amplitude.to(self.device, factor_dtype(self.device)),
                torch.full((len(scaled),), float(self.noise_is_known), device=self.device),
                self.facts.expand(len(scaled), -1),
                log_prior=self.log_prior,
            )
            last, certificate = certify(iterate(self.network, problem, n_steps))
            unit = (self.unit * amplitude.numpy())[:, None, None, None]
            weights = self.orient_weights if rows is None else self.orient_weights[rows]
            weights = unit * weights[:, :, None]
            kept, rest = [], []
            length = max(1, _READ_OUT // max(1, len(scaled)))
            for chunk, part in zip(
                scaled.split(length, dim=2), exact.split(length, dim=2), strict=True
            ):
                currents = problem.objective.posterior_mean(last.point, chunk)
                seen = self._predict(currents).cpu().double()
                rest.append((part - amplitude[:, None, None] * seen).numpy())
                currents = currents if rows is None else currents[:, rows]
                kept.append(weights * currents.cpu().double().numpy())
            spread = None
            if uncertainty:
                spread = self._spread(problem, last.point, amplitude.numpy())
            filters = covariance = None
            if kernel is not None:
                filters, covariance = self._kernel(problem, last.point, rows, kernel)
                # of data of zeros it has no unit
                power = np.square(np.where(amplitude > 0, amplitude, 1.0))
                covariance *= power[:, None, None]
            noise = last.point.v[:, self.model.n_atoms].cpu().double().exp().numpy()
        if self.noise_is_known:
            noise = noise * amplitude.numpy() ** 2
        currents, residual = (np.concatenate(parts, axis=-1) for parts in (kept, rest))
        return Solution(currents, residual, certificate, noise, spread, filters, covariance)

    def _kernel(self, problem, point, rows, ratio):
        """K = S̃ Γ L̃ᵀ Σ⁻¹ from unit vectors, where the data's scale cancels, and Σ in that scale.

        Σ = ratio · noise + L̃ Γ L̃ᵀ.
        """
        if ratio != 1.0:  # the same as with Γ / ratio and the noise as it was
            v = point.v.clone()
            v[:, : self.model.n_atoms] -= math.log(ratio)
            point = problem.objective.evaluate(v)
        n_rank = self.model.n_rank
        eye = torch.eye(n_rank, device=self.device).expand(len(point.v), -1, -1)
        kernel = problem.objective.posterior_mean(point, eye)
        kernel = kernel if rows is None else kernel[:, rows]
        weights = self.orient_weights if rows is None else self.orient_weights[rows]
        kernel = self.unit * weights[:, :, None] * kernel.cpu().double().numpy()
        covariance = ratio * problem.objective.data_covariance(point)
        return kernel, covariance.cpu().double().numpy()

    def _predict(self, currents):
        """Compute the data that currents (n_batch, n_sources, n_orient, n_times) make."""
        n_batch, *_, n_times = currents.shape
        # as they lie in memory: one product for the whole batch
        flat = currents.permute(1, 2, 0, 3).reshape(-1, n_batch * n_times)
        return (self.leadfield @ flat).view(-1, n_batch, n_times).transpose(0, 1)

    def _spread(self, problem, point, amplitude):
        variance = problem.objective.posterior_variance(point)
        log_probability = peak_log_probability(self.network, problem, point)
        # in double precision, which not every device has, they sum to 1
        probability = log_probability.cpu().double().softmax(1)
        std = variance.sqrt().cpu().double().numpy() * (self.unit * amplitude)[:, None, None]
        level = confidence_levels(probability)
        return Spread(std * self.orient_weights, probability.numpy(), level.numpy())


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


@dataclass(frozen=True, eq=False)
class CosineRoute:
    """The paper's objective: one source space or part of it, fixed orientation, any montage.

    Parameters
    ----------
    network : CosineNetwork
        The network.
    model : CosineModel
        The lead field on the device.
    leadfield : array of shape (n_rank, n_sources)
        The same in its own unit, per A·m, for the amplitude.
    """

    network: CosineNetwork
    model: CosineModel
    leadfield: np.ndarray

    @classmethod
    def prepare(cls, network, card, prepared, depth, head, device):
        """Check that the weights fit the source space, and prepare the lead field.

        See :meth:`EvidenceRoute.prepare`; whose ``head`` it is plays no part, since these weights
        know the template only. Channel types, a source space, orientation or depth weighting that
        are not those of the weights are a ValueError.
        """
        if not set(prepared.ch_types) <= set(card.domain.get("ch_types", ["eeg"])):
            # measured on the same lead field: 50 mm off with MEG alone, mmnet-base 3 to 12 mm
            raise ValueError(
                f"{card.name} was trained on EEG and misses the sources of MEG. Use "
                "model='mmnet-base', or localise the EEG alone: "
                "mne.pick_types_forward(fwd, meg=False, eeg=True)."
            )
        space = card.domain.get("source_space", {})
        places = locate_sources(prepared.vertices, prepared.subject, space, wall_vertices())
        if places is None:
            raise ValueError(
                f"The weights of {card.name} belong to one source space and parts of it, "
                f"{space.get('subject')!r} with {space.get('n_sources')} sources (make_template_"
                f"forward makes it); this one is {prepared.subject!r} with {prepared.n_sources}. "
                "Use model='mmnet-base', which takes any source space, or retrain the weights for "
                "yours with fine_tune."
            )
        if prepared.orient != "fixed":
            raise ValueError(
                f"{card.name} estimates currents along the cortex's normals, orientation is "
                f"{prepared.orient}. Leave loose at None, or use model='mmnet-base'."
            )
        if not (isinstance(depth, str) and depth == "auto"):
            raise ValueError(
                f"The depth weighting of {card.name} is learned; leave depth at 'auto', or use "
                "model='mmnet-base'."
            )
        if len(places) < network.config.n_sources:
            logger.info(
                f"    {network.config.n_sources - len(places)} of the "
                f"{network.config.n_sources} sources of {card.name} are not in the source space"
            )
            network = network.restrict(places)
        leadfield = prepared.leadfield[:, :, 0]
        return cls(network, CosineModel.build(leadfield, device), leadfield)

    @property
    def device(self):
        """Where it computes."""
        return self.model.leadfield.device

    def solve(self, data, n_steps=None, uncertainty=False, rows=None, kernel=None):
        """Estimate the currents of a batch.

        See :meth:`EvidenceRoute.solve`. The objective does not see amplitudes; the one that fits
        best is ⟨Lx, y⟩/‖Lx‖². There is no posterior, and currents are no linear function of the
        data: to ask for the uncertainty or the kernel is a ValueError.
        """
        if kernel is not None:
            raise ValueError(
                "The estimate of mmnet-cosine is no linear function of the data, hence there are "
                "no filters. Use model='mmnet-base'."
            )
        if uncertainty:
            raise ValueError(
                "The objective of mmnet-cosine has no posterior, hence no uncertainty. Use "
                "model='mmnet-base'."
            )
        with torch.inference_mode():
            exact = torch.as_tensor(np.ascontiguousarray(data), dtype=torch.float64)
            scaled, amplitude = normalise_data(exact)
            iterates = cosine_iterates(self.network, self.model, scaled.to(self.device), n_steps)
            last, certificate = certify(iterates)
            currents = last.point.x.cpu().double().numpy()
        seen = self.leadfield @ currents
        scaled = scaled.double().numpy()
        size = (seen * seen).sum(axis=(1, 2))
        fit = (seen * scaled).sum(axis=(1, 2)) / np.where(size > 0, size, 1.0)
        currents *= (fit * amplitude.numpy())[:, None, None]
        residual = data - self.leadfield @ currents
        kept = currents if rows is None else currents[:, rows]
        return Solution(kept[:, :, None, :], residual, certificate, None)


ROUTES = {"evidence": EvidenceRoute, "cosine": CosineRoute}
