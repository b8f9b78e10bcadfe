"""What is known about a recording before the data: the head, the orientations, the noise."""

import math

import torch

HEADS = ("template", "fitted", "own")
"""Whose lead field it is: the template's with electrodes where the montage has them, the template
scaled to digitised electrodes, or the subject's own."""
ORIENTS = ("fixed", "loose", "free", "evidence")
N_FACTS = len(HEADS) + len(ORIENTS) + 1
# log of the samples a dimension that a noise covariance of unknown origin counts as
_UNKNOWN = 2.0


def describe(n_batch, head, orient, n_samples=None, n_rank=1, device="cpu"):
    """Facts of a batch of recordings, as the network reads them.

    Parameters
    ----------
    n_batch : int
        How many recordings.
    head : str
        One of ``HEADS``.
    orient : str
        One of ``ORIENTS``.
    n_samples : float | None
        Samples that the noise covariance was estimated from; None or infinite where that is
        unknown. Not used where the noise is unknown.
    n_rank : int
        Dimension of the sensor space.
    device : torch.device | str
        Where to put them.

    Returns
    -------
    facts : torch.Tensor of shape (n_batch, N_FACTS)
        About 1 in size.
    """
    trust = _UNKNOWN
    if n_samples is not None and math.isfinite(n_samples):
        trust = min(max(math.log(max(n_samples, 1.0) / n_rank), -2.0), 6.0)
    row = [float(head == name) for name in HEADS]
    row += [float(orient == name) for name in ORIENTS]
    return torch.tensor([[*row, trust / 3.0]], dtype=torch.float32, device=device).expand(
        n_batch, -1
    )
