"""Upper-level loss: how far the solver's currents are from the true ones."""

from ..network.mixing import mix


def _cosine_distance(x, y, dim):
    num = (x * y).sum(dim)
    den = (x.square().sum(dim) * y.square().sum(dim)).clamp_min(1e-24).sqrt()
    return 1.0 - num / den


def current_loss(estimate, truth, blurs):
    """Cosine distances a sample: currents, their power, their power blurred to several degrees.

    Cosines are free of amplitude, like the truth of a simulation whose unit is arbitrary. The
    first asks for signs and time courses, the second for the support, the others (on maps blurred
    over the cortex) tell a near miss from a far one: a surrogate of the earth mover's distance.

    Parameters
    ----------
    estimate, truth : torch.Tensor of shape (n_batch, n_sources, n_orient, n_times)
        Currents.
    blurs : sequence of torch.Tensor of shape (n_sources, n_sources)
        Row-stochastic averages over the graph.

    Returns
    -------
    loss : torch.Tensor of shape (n_batch,)
        In [0, 3 + len(blurs)].
    """
    # an estimate of very small or large unit must not underflow in float32
    estimate = estimate / estimate.detach().abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-30)
    space_time = _cosine_distance(estimate, truth, (1, 2, 3))
    rows = [(x.square().sum((2, 3)) + 1e-12).sqrt() for x in (estimate, truth)]
    support = _cosine_distance(*rows, 1)
    loss = space_time + support
    for blur in blurs:
        loss = loss + _cosine_distance(*(mix(blur, row[..., None])[..., 0] for row in rows), 1)
    return loss


def unrolled_loss(losses):
    """Weighted mean of the losses along the iterations, the last ones first.

    Parameters
    ----------
    losses : list of torch.Tensor of shape (n_batch,)
        In the order of the iterations.

    Returns
    -------
    loss : torch.Tensor of shape ()
        Weights double from one supervised iterate to the next.
    """
    weights = [2.0**k for k in range(len(losses))]
    total = sum(w * loss.mean() for w, loss in zip(weights, losses, strict=True))
    return total / sum(weights)
