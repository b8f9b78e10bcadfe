"""Where the peak is, as probabilities: read from the last iterate."""

import torch
from torch import nn
from torch.nn.functional import silu

from ..majorant import EvidenceMajorant
from ..objective import EvidenceObjective, EvidencePoint
from .config import NetworkConfig
from .context import N_CALIBRATION, N_GLOBAL_FEATURES, Context
from .curvature import N_STEP_FEATURES, step_features
from .mixing import LookAround

# relative power of the posterior mean and of the posterior, and their ratio
_N_POSTERIOR_FEATURES = 3
_FLOOR = 1e-12


class ConfidenceHead(nn.Module):
    """Probability that a location is the strongest source.

    Maxima of a posterior with estimated variances are too sure of themselves: what the variances
    could also have been is not in it. This network has seen how far the strongest source of a
    simulated recording tends to be from where the estimate has it.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__()
        width = config.confidence
        n_in = config.n_kinds * N_STEP_FEATURES + config.context
        n_in += N_GLOBAL_FEATURES + _N_POSTERIOR_FEATURES
        self.encode = nn.Linear(n_in, width)
        self.blocks = nn.ModuleList(LookAround(width, width) for _ in range(2))
        self.answer = nn.Linear(width, 1)
        # fitted on validation recordings after training, see `calibrate`
        self.log_temperature = nn.Parameter(torch.zeros(N_CALIBRATION))
        self.tail = nn.Parameter(torch.zeros(2))

    def logits(
        self,
        objective: EvidenceObjective,
        point: EvidencePoint,
        context: Context,
        summary,  # (n_batch, n_sources, context)
        log_rank,
    ):
        """Evidence for each location, before its calibration.

        Parameters
        ----------
        objective : EvidenceObjective
            The objective.
        point : EvidencePoint
            The last iterate.
        context : Context
            What the hyperprior was shown.
        summary : torch.Tensor of shape (n_batch, n_sources, context)
            What it handed on.
        log_rank : float
            log(n_rank).

        Returns
        -------
        logits : torch.Tensor of shape (n_batch, n_sources)
            Finite.
        """
        graph = objective.model.graph
        majorant = EvidenceMajorant(*objective.coefficients(point))
        mean = objective.posterior_power(point).sum(-1)
        total = mean + objective.posterior_variance(point).sum(-1)
        largest = mean.amax(1, keepdim=True).clamp_min(1e-30)
        posterior = torch.stack(
            [
                (mean / largest).clamp_min(_FLOOR).log() / 4.0,
                (total / largest).clamp_min(_FLOOR).log() / 4.0,
                mean / total.clamp_min(1e-30),
            ],
            -1,
        )
        recording = context.recording[:, None].expand(-1, graph.n_sources, -1)
        steps = step_features(point.v, majorant, graph, log_rank)
        features = torch.cat([steps, posterior, summary, recording], -1)
        hidden = silu(self.encode(features.nan_to_num(0.0, posinf=0.0, neginf=0.0)))
        for block in self.blocks:
            hidden = hidden + silu(block(graph, hidden))
        logits = self.answer(hidden)[..., 0]
        # start from the estimate's own opinion: the power of the posterior mean
        return (logits + 4.0 * posterior[..., 0]).nan_to_num(0.0)

    def calibrate(self, logits, calibration, log_temperature=None, tail=None):
        """Turn evidence into probabilities that are right as often as they say.

        With log T linear in what is known of the recording (whose head, how many dimensions,
        whether the noise is known), p = (1 − ε) softmax(l/T) + ε softmax(l/((1 + ρ) T)). The
        second part is for surprises: one temperature makes regions of 10 % too large or those of
        90 % too small.

        Parameters
        ----------
        logits : torch.Tensor of shape (n_batch, n_sources)
            The evidence.
        calibration : torch.Tensor of shape (n_batch, n_calibration)
            Of :class:`mne_mmnet.network.context.Context`.
        log_temperature : torch.Tensor of shape (n_calibration,) | None
            Coefficients of log T; None are the head's.
        tail : torch.Tensor of shape (2,) | None
            ε, at most ½, and log ρ; None is the head's.

        Returns
        -------
        log_probability : torch.Tensor of shape (n_batch, n_sources)
            Sums to 1 over the sources, exponentiated.
        """
        log_temperature = self.log_temperature if log_temperature is None else log_temperature
        share, log_ratio = (self.tail if tail is None else tail).nan_to_num(0.0)
        share, ratio = share.clamp(0.0, 0.5), 1.0 + log_ratio.clamp(-3.0, 3.0).exp()
        temperature = (calibration @ log_temperature).clamp(-3.0, 3.0).exp()[:, None]
        sharp = (logits / temperature).nan_to_num(0.0)
        return torch.logaddexp(
            torch.log1p(-share) + sharp.log_softmax(1),
            share.log() + (sharp / ratio).log_softmax(1),
        )


def confidence_levels(probability):
    """Smallest level at which the confidence region holds a location.

    The region of level c is the smallest set of locations whose probabilities sum to c or more.

    Parameters
    ----------
    probability : torch.Tensor of shape (n_batch, n_sources)
        Of each location.

    Returns
    -------
    levels : torch.Tensor of shape (n_batch, n_sources)
        Sum of the probabilities of all locations that are more probable: a location belongs to
        the region of level c if its value is below c. 0 at the most probable one.
    """
    ordered, order = probability.sort(dim=1, descending=True, stable=True)
    before = ordered.cumsum(1) - ordered
    return torch.empty_like(before).scatter_(1, order, before.clamp(0.0, 1.0))
