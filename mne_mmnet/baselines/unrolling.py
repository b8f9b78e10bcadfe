"""Deep unrolling: a proximal gradient scheme with learned operators."""

import torch
from torch import nn
from torch.nn.functional import softplus

from ..network import Autoencoder
from ..solver import shrink_singular_values, unit_rms
from .base import Estimator


class DeepUnrolling(Estimator):
    """Learned unrolled proximal gradient, LISTA-type.

        z = x_k + η_k W (y − L x_k),   x_{k+1} = S_{θ_k}(z + R(z))

    where W (n_sources × n_channels) is learned from the minimum-norm operator (Gregor & LeCun
    2010; coupled weights of Chen et al. 2018, arXiv 1808.10038), S_θ is the soft threshold with
    one θ_k a source, and R a convolutional network over time that completes the learned proximal
    map (Adler & Öktem 2018, doi 10.1109/TMI.2018.2799231). η_k and θ_k are one a step, W and R
    shared.

    Parameters
    ----------
    start : torch.Tensor of shape (n_sources, n_channels)
        First value of W: ``CosineModel.start``.
    width, kernel : int
        Of R.
    n_steps : int
        Number of layers.
    """

    def __init__(self, start, width=128, kernel=3, n_steps=10):
        super().__init__()
        n_sources = len(start)
        self.n_steps = n_steps
        self.inverse = nn.Parameter(start.clone())
        self.proximal = Autoencoder(n_sources, width, kernel)
        # the proximal map starts as the threshold alone
        nn.init.zeros_(self.proximal.kernels[-1])
        self.log_rate = nn.Parameter(torch.full((n_steps,), 0.3).log())
        self.threshold = nn.Parameter(torch.full((n_steps, n_sources), -4.0))

    def iterates(self, model, data, n_steps=None):
        """Yield the iterates (see :class:`Estimator`)."""
        n_steps = self.n_steps if n_steps is None else n_steps
        data = shrink_singular_values(data)
        # the unit in which the start has unit mean square
        size = (model.start @ data).square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-30)
        data = data / size
        x = unit_rms(model.start @ data)
        yield x
        for k in range(n_steps):
            layer = min(k, self.n_steps - 1)
            correction = self.inverse @ (data - model.leadfield @ x)
            x = x + self.log_rate[layer].exp() * correction
            x = x + self.proximal(x)[0]
            limit = softplus(self.threshold[layer])[:, None]
            x = x.sign() * (x.abs() - limit).relu()
            yield x
