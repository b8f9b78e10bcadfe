"""Meta-learned gradient descent: the gradient is transformed, the transform is learned."""

from abc import abstractmethod

import torch
from torch import nn
from torch.nn.functional import conv1d

from .gradient import GradientDescent


class _MetaDescent(GradientDescent):
    """Gradient descent on the cosine objective with a learned transform of the gradient.

    ``rate`` is the step size at first; it is learned, one a step.
    """

    def __init__(self, n_sources, rate=0.3, **options):
        super().__init__(n_sources, **options)
        self.log_rate = nn.Parameter(torch.full((self.n_steps,), float(rate)).log())

    @abstractmethod
    def transform(self, gradient):
        """Return the direction of the step, of the gradient's shape."""

    def step(self, gradient, k, n_steps, state):
        """Answer a gradient (see :class:`GradientDescent`)."""
        rate = self.log_rate[min(k, self.n_steps - 1)].exp()
        return rate * self.transform(gradient), state


class MetaCurvature(_MetaDescent):
    """MetaCurvature: x ← x − α M_s ĝ M_t.

    Park & Oliva 2019 (arXiv 1902.03356, eq. 3: the gradient is multiplied by a learned matrix
    along each of its modes). M_s (n_sources × n_sources) mixes the sources; M_t is a symmetric
    Toeplitz band, i.e. a convolution over time, so that it fits any number of samples. Both start
    as the identity.

    Parameters
    ----------
    n_sources : int
        Sources.
    band : int
        Half-width of M_t in samples.
    **options
        ``width``, ``kernel``, ``rate`` and ``n_steps``: autoencoder's channels and kernel, first
        step size, number of steps.
    """

    def __init__(self, n_sources, band=4, **options):
        super().__init__(n_sources, **options)
        self.sources = nn.Parameter(torch.eye(n_sources))
        self.times = nn.Parameter(torch.zeros(band + 1))
        with torch.no_grad():
            self.times[0] = 1.0

    def transform(self, gradient):
        """M_s ĝ M_t."""
        mixed = self.sources @ gradient
        kernel = torch.cat([self.times.flip(0), self.times[1:]])
        flat = mixed.reshape(-1, 1, mixed.shape[-1])
        return conv1d(flat, kernel[None, None], padding=len(self.times) - 1).view_as(mixed)


class ModGrad(_MetaDescent):
    """ModGrad: x ← x − α M(ĝ) ∘ ĝ with a low-rank gate M in (0, 1).

    Simon et al. 2020 (doi 10.1007/978-3-030-58598-3_31): a network reads the gradient and answers
    a gate as a product of low-rank factors, M = σ(A Bᵀ), here A(ĝ) (n_sources × rank) from the
    gradient's power over time, and B(ĝ) (n_times × rank) from a convolution over time.

    Parameters
    ----------
    n_sources : int
        Sources.
    rank : int
        Rank of the gate's logits.
    hidden : int
        Width of the gate's network.
    **options
        As for :class:`MetaCurvature`.
    """

    def __init__(self, n_sources, rank=8, hidden=256, **options):
        super().__init__(n_sources, **options)
        self.of_sources = nn.Sequential(
            nn.Linear(n_sources, hidden), nn.ReLU(), nn.Linear(hidden, n_sources * rank)
        )
        self.of_times = nn.Sequential(
            nn.Conv1d(n_sources, hidden, 3, padding=1), nn.ReLU(), nn.Conv1d(hidden, rank, 1)
        )
        self.rank = rank
        # open at first
        self.offset = nn.Parameter(torch.tensor(2.0))

    def transform(self, gradient):
        """M(ĝ) ∘ ĝ."""
        n_batch, n_sources, _ = gradient.shape
        power = gradient.square().mean(2).add(1e-12).sqrt()
        of_sources = self.of_sources(power).view(n_batch, n_sources, self.rank)
        of_times = self.of_times(gradient)
        gate = torch.sigmoid(of_sources @ of_times / self.rank**0.5 + self.offset)
        return gate * gradient
