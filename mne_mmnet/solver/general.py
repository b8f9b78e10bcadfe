"""The certified loop on an objective of the user's own."""

import torch

from ..majorant import SpectralMajorant
from ..objective import GeneralObjective
from .descent import Proposal, certify, descend

# the curvature is raised by this factor, as many times as float64 has exponents to spare
_RAISE = 4.0
_N_RAISES = 40


class SpectralProposer:
    """Steps of the Hessian-vector-product majorant, verified and raised.

    A step δ from curvature κ is accepted only if the majorant held where it was used,
    J(x + δ) ≤ J(x) + ⟨g, δ⟩ + (κ/2)‖δ‖² = J(x) − ‖g‖²/2κ; else κ is raised fourfold. Where the
    gradient is Lipschitz on the way, some κ always passes.

    Parameters
    ----------
    objective : GeneralObjective | CosineObjective
        With ``values`` and ``gradient``.
    n_products, confidence, seed
        See :func:`mne_mmnet.majorant.lanczos_norm_bound`.
    """

    def __init__(self, objective, n_products=None, confidence=0.99, seed=0):
        self.objective = objective
        self.options = dict(n_products=n_products, confidence=confidence, seed=seed)

    def __call__(self, point):
        """Yield the proposals at a point."""
        gradient = self.objective.gradient(point)
        majorant = SpectralMajorant(self.objective, point, gradient, **self.options)
        for k in range(_N_RAISES):
            factor = _RAISE**k
            full = majorant.minimiser(factor)
            allowed = majorant.increase(full, factor)
            yield Proposal(
                step=lambda index, full=full: full[index],
                increase=lambda index, _, allowed=allowed: allowed[index],
            )


def minimize(function, start, n_steps=100, *, n_products=None, confidence=0.99, seed=0):
    """Minimise a differentiable objective of one's own by certified majorization-minimization.

    Each step's curvature is an upper bound of the Hessian's norm at the iterate, from
    Hessian-vector products only (Lanczos, with a stated confidence); it is verified where it is
    used and raised where it does not hold, so the objective never increases, whatever the
    confidence.

    Parameters
    ----------
    function : callable
        ``function(x, index)`` maps x of shape (n_part, ...) to values of shape (n_part,);
        ``index`` says which samples of the batch x holds. Written with torch.
    start : torch.Tensor of shape (n_batch, ...)
        Where to start; float64 is recommended.
    n_steps : int
        Number of steps.
    n_products : int | None
        Hessian-vector products a step; None takes as many as the confidence needs.
    confidence : float
        Probability with which the bound holds before it is verified, between 0 and 1.
    seed : int
        Of the random start of Lanczos' iteration.

    Returns
    -------
    x : torch.Tensor of shape (n_batch, ...)
        The final iterate.
    certificate : Certificate
        Objective after every step, retries, stalled steps.

    Raises
    ------
    ValueError
        If the function does not answer one finite value a sample at the start, or the start is not
        of floating point.

    Examples
    --------
    A Huber data term, which forgives outliers:

    >>> import torch
    >>> leadfield, data = torch.randn(8, 20).double(), torch.randn(3, 8).double()
    >>> def huber(x, index):
    ...     residual = x @ leadfield.T - data[index]
    ...     loss = torch.nn.functional.huber_loss(residual, 0 * residual, reduction="none")
    ...     return loss.sum(1) + 1e-3 * x.square().sum(1)
    >>> x, certificate = minimize(huber, torch.zeros(3, 20).double(), n_steps=50)
    >>> bool((certificate.objective.diff(dim=1) <= 0).all())
    True
    """
    if not start.is_floating_point():
        raise ValueError(f"The start must be of floating point, got {start.dtype}.")
    objective = GeneralObjective(function)
    if not bool(torch.isfinite(objective.evaluate(start).value).all()):
        raise ValueError("The objective is not finite at the start; start somewhere else.")
    propose = SpectralProposer(objective, n_products, confidence, seed)
    last, certificate = certify(descend(objective, start, propose, n_steps))
    return last.point.x, certificate
