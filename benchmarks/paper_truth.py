"""Whether the paper's objective knows the truth: its value there, and where it leads from there.

One of the claims of ``paper_claims.py``. A certified descent ends where the objective says: that
bounds what any curvature can do for the map.
"""

import numpy as np
import torch

from mne_mmnet.metrics import confidence_interval
from mne_mmnet.solver import RayProposer, descend
from mne_mmnet.training.bilevel import cosine

# steps of the descent from the truth, each proved along its ray
N_STEPS = 20


def measure_truth(estimator, kind, batches):
    """Return rows about a trained method's objective on some recordings of a kind.

    One for the method's own steps, one for the descent from the truth: medians of F at both ends,
    means of the cosine with the truth, and the share of recordings whose F at the end is below
    that at the truth.
    """
    found = {"the method's start": [], "the truth": []}
    for batch in batches:
        objective, _ = estimator.objective(batch.model, batch.data)
        size = batch.currents.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-20)
        truth = batch.currents / size
        known = objective.evaluate(truth).value
        own = list(estimator.iterates(batch.model, batch.data))
        proved = descend(objective, truth, RayProposer(objective), N_STEPS)
        for begin, xs in zip(found, (own, [iterate.point.x for iterate in proved]), strict=True):
            ends = [objective.evaluate(x).value for x in (xs[0], xs[-1])]
            scores = [cosine(x, batch.currents) for x in (xs[0], xs[-1])]
            found[begin].append(torch.stack([*ends, *scores, ends[1] - known]).numpy())
    rows = []
    for begin, parts in found.items():
        first, last, before, after, excess = np.concatenate(parts, axis=1)
        low, high = confidence_interval(after - before)
        rows.append(
            dict(
                tested_on=kind,
                begins_at=begin,
                n_samples=len(first),
                objective_first=f"{np.median(first):.4g}",
                objective_last=f"{np.median(last):.4g}",
                below_the_truth_percent=f"{100 * (excess < 0).mean():.1f}",
                cosine_first=f"{before.mean():.4f}",
                cosine_last=f"{after.mean():.4f}",
                change=f"{(after - before).mean():.4f}",
                change_low=f"{low:.4f}",
                change_high=f"{high:.4f}",
            )
        )
    return rows
