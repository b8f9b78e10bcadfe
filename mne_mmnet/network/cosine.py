"""The paper's two learned parts: the regulariser and the recurrent curvature network."""

import math
from dataclasses import asdict, dataclass, replace

import torch
from torch import nn

from .anchored import Anchored
from .autoencoder import Autoencoder
from .conv_lstm import ConvLSTMCell

METRICS = ("structured", "diagonal")
# Axis along which a tensor's entries belong to sources; hidden channels may follow them there.
_SOURCE_AXIS = {
    "regulariser.kernels.0": 1,
    "regulariser.kernels.2": 0,
    "curvature.offset": 0,
    "curvature.of_gradient.gates.weight": 1,
    "curvature.of_iterate.gates.weight": 1,
    "curvature.decode_gradient.weight": 0,
    "curvature.decode_gradient.bias": 0,
    "curvature.decode_iterate.weight": 0,
    "curvature.decode_iterate.bias": 0,
    "first.kernels.0": 1,
    "first.kernels.2": 0,
}
# what the untrained network answers
_FACTOR_START = {"structured": 0.3, "diagonal": 30.0}


@dataclass(frozen=True)
class CosineConfig:
    """Shape of the cosine route's networks; the defaults are the paper's where it says.

    Parameters
    ----------
    n_sources : int
        Sources, which are the networks' channels: weights fit one source space.
    width : int
        Hidden channels of the autoencoder.
    hidden : int
        State of each convolutional LSTM.
    kernel : int
        Length of all kernels.
    dropout : float
        Share of the LSTMs' states that is dropped in training.
    smoothing : float
        ε of the smooth ReLU in the autoencoder; 0 is the ReLU.
    weight : float
        λ, weight of the regulariser.
    metric : "structured" | "diagonal"
        Curvature that the factors scale. "diagonal" is the paper's: one number for every source
        and time. "structured" keeps LᵀL in it, and has one number a source.
    factor_min, factor_max : float
        Range of the factors; larger ones are bolder.
    n_steps : int
        K, steps in training and at use.
    dilations : tuple of int
        Of the autoencoder's residual layers; the paper's has none.
    start_width : int
        Hidden channels of a second network of Φ's kind, which improves the start; 0 is none, as
        in the paper.
    anchored : bool
        Whether Φ(x) + x₀ stands where the paper has Φ(x), x₀ being that start.
    """

    n_sources: int = 1284
    width: int = 128
    hidden: int = 48
    kernel: int = 3
    dropout: float = 0.1
    smoothing: float = 0.0
    weight: float = 1.0
    metric: str = "structured"
    factor_min: float = 3e-3
    factor_max: float = 10.0
    n_steps: int = 10
    dilations: tuple[int, ...] = ()
    start_width: int = 0
    anchored: bool = False

    def __post_init__(self):
        object.__setattr__(self, "dilations", tuple(self.dilations))  # JSON has lists
        if any(not dilation > 0 for dilation in self.dilations):
            raise ValueError(f"dilations must be > 0, got {self.dilations}.")
        if self.metric not in METRICS:
            raise ValueError(f"metric must be one of {METRICS}, got {self.metric!r}.")
        if not 0 < self.factor_min < self.factor_max:
            raise ValueError(
                "The factors' range must satisfy 0 < factor_min < factor_max, got "
                f"{self.factor_min} and {self.factor_max}."
            )
        for name in ("n_sources", "width", "hidden", "kernel", "n_steps"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}.")
        for name in ("dropout", "smoothing", "weight", "start_width"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}.")
        if not isinstance(self.anchored, bool):  # a card's "false" would be true
            raise ValueError(f"anchored must be True or False, got {self.anchored!r}.")
        if self.anchored and not self.start_width:
            raise ValueError("anchored needs a start that is learned: set start_width > 0.")

    @classmethod
    def diagonal(cls, **changes):
        """Return the paper's diagonal metric, with factors that mean boldness relative to it."""
        return cls(**{"metric": "diagonal", "factor_min": 0.3, "factor_max": 1e3, **changes})

    def to_dict(self):
        """Return plain types, for a model card."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain):
        """Inverse of :meth:`to_dict`; an unknown key is a TypeError."""
        return cls(**plain)


class CurvatureLSTM(nn.Module):
    """Two coupled convolutional LSTMs: how bold to be, source by source and time by time.

    The first reads the normalised gradient, the second the normalised iterate and the first one's
    hidden state. The product of their two decoded outputs, squashed, is the logarithm of the
    factor, which lies in [factor_min, factor_max] whatever the weights.
    """

    def __init__(self, config: CosineConfig):
        super().__init__()
        self.config = config
        n_sources, hidden, kernel = config.n_sources, config.hidden, config.kernel
        self.of_gradient = ConvLSTMCell(n_sources, hidden, kernel)
        self.of_iterate = ConvLSTMCell(n_sources + hidden, hidden, kernel)
        self.decode_gradient = nn.Conv1d(hidden, n_sources, 1)
        self.decode_iterate = nn.Conv1d(hidden, n_sources, 1)
        self.offset = nn.Parameter(torch.zeros(n_sources))
        self.dropout = nn.Dropout(config.dropout)
        low, high = math.log(config.factor_min), math.log(config.factor_max)
        share = (math.log(_FACTOR_START[config.metric]) - low) / (high - low)
        share = min(max(share, 0.05), 0.95)
        nn.init.constant_(self.offset, math.log(share / (1.0 - share)))

    def initial_state(self, like):
        """Zero states for a batch of arrays like ``like``."""
        return self.of_gradient.initial_state(like), self.of_iterate.initial_state(like)

    def forward(self, gradient, x, state):
        """Answer the logarithms of the factors at one iterate.

        Parameters
        ----------
        gradient, x : torch.Tensor of shape (n_batch, n_sources, n_times)
            Gradient and iterate, each normalised within its sample.
        state : tuple
            Recurrent states.

        Returns
        -------
        log_factor : torch.Tensor of shape (n_batch, n_sources, n_times)
            In [log factor_min, log factor_max].
        state : tuple
            The next states.
        """
        first, second = state
        first = self.of_gradient(gradient, first)
        seen = self.dropout(first[0])
        second = self.of_iterate(torch.cat([x, seen], 1), second)
        product = self.decode_gradient(seen) * self.decode_iterate(self.dropout(second[0]))
        low, high = math.log(self.config.factor_min), math.log(self.config.factor_max)
        share = torch.sigmoid(product + self.offset[:, None])
        return low + (high - low) * share, (first, second)


class CosineNetwork(nn.Module):
    """Regulariser and curvature network, as trained and saved together, and what starts them."""

    def __init__(self, config: CosineConfig | None = None):
        super().__init__()
        self.config = CosineConfig() if config is None else config
        self.regulariser = Autoencoder(
            self.config.n_sources,
            self.config.width,
            self.config.kernel,
            self.config.smoothing,
            self.config.dilations,
        )
        self.curvature = CurvatureLSTM(self.config)
        self.first = None
        if self.config.start_width:
            self.first = Autoencoder(
                self.config.n_sources,
                self.config.start_width,
                self.config.kernel,
                dilations=self.config.dilations,
            )

    def start(self, x):
        """Improve the start: the descent is proved from wherever it begins.

        Parameters
        ----------
        x : torch.Tensor of shape (n_batch, n_sources, n_times)
            Minimum norm, of unit mean square.

        Returns
        -------
        start : torch.Tensor of shape (n_batch, n_sources, n_times)
            Of unit mean square; x itself where there is no network for it (see
            :meth:`Autoencoder.denoise`).
        """
        return x if self.first is None else self.first.denoise(x)

    def prior(self, start):
        """Return the regulariser of the objective: Φ, or Φ(x) + x₀ from that start."""
        return Anchored(self.regulariser, start) if self.config.anchored else self.regulariser

    def restrict(self, sources):
        """Return the network of some of the sources; the others carry no current.

        It answers as this one does where gradient and iterate are zero at the others, whose
        outputs are dropped.

        Parameters
        ----------
        sources : array of int, shape (n_kept,)
            Which ones, ascending.

        Returns
        -------
        network : CosineNetwork
            Shares no memory with this one; in evaluation mode, not trainable.
        """
        config = replace(self.config, n_sources=len(sources))
        tensors = {name: tensor.detach().clone() for name, tensor in self.state_dict().items()}
        for name in _SOURCE_AXIS.keys() & tensors.keys():  # a start need not be learned
            axis = _SOURCE_AXIS[name]
            whole = tensors[name]
            hidden = torch.arange(self.config.n_sources, whole.shape[axis])
            kept = torch.cat([torch.as_tensor(sources, dtype=torch.long), hidden])
            tensors[name] = whole.index_select(axis, kept.to(whole.device))
        with torch.device("meta"):  # nothing is drawn, and the user's random numbers stay
            network = CosineNetwork(config)
        network.load_state_dict(tensors, assign=True)
        return network.eval().requires_grad_(False)
