"""How tight bounds of a trained regulariser are, and how far the steps go that rest on them.

    python benchmarks/paper_bounds.py --model mmnet-cosine --n-samples 16

Writes ``paper_bounds_shipped.csv``; of the weights of ``paper.py``, see ``paper_claims.py``.
"""

from pathlib import Path

import numpy as np
import torch
from common import timed, write_rows
from paper_setup import read_heads, validation_set
from runner import made_by, make_parser

from mne_mmnet.baselines import CosineMMNet
from mne_mmnet.majorant import SpectralMajorant, lanczos_norm_bound, sharp_structured_majorant
from mne_mmnet.majorant.analytic import regulariser_curvature
from mne_mmnet.network.lipschitz import averaged_norm, convolution_norm, sdp_norm
from mne_mmnet.objective.cosine import CosineObjective
from mne_mmnet.solver import RayProposer, certify, descend
from mne_mmnet.solver.descent import Proposal
from mne_mmnet.training import SampleStream
from mne_mmnet.training.bilevel import cosine
from mne_mmnet.weights import read_model


class WithSlope:
    """A regulariser Φ with another bound of its slope."""

    def __init__(self, regulariser, slope):
        self._regulariser, self._slope = regulariser, slope

    def __call__(self, x):
        """Apply Φ."""
        return self._regulariser(x)

    def __getattr__(self, name):
        """All else is the regulariser's."""
        return getattr(self._regulariser, name)

    def smoothness(self):
        """Return the regulariser's bounds, but for this one."""
        return self._regulariser.smoothness()._replace(slope=self._slope)


class Analytic:
    """Steps of an analytic majorant, raised by these factors where the objective rises."""

    def __init__(self, objective, make=sharp_structured_majorant, raises=(1.0,)):
        self.objective, self.make, self.raises = objective, make, raises

    def __call__(self, point):
        """Yield the proposals at a point."""
        majorant = self.make(self.objective, point, self.objective.gradient(point))
        for factor in self.raises:
            step = majorant.minimiser(factor)
            yield Proposal(lambda index, step=step: step[index], analytic=True)


def slope_bounds(regulariser):
    """Bounds of ‖∇Φ‖ anywhere, by name, and the seconds that each takes."""
    found = {}
    layers = regulariser.kernels[2], regulariser.kernels[1], regulariser.kernels[0]
    methods = {"product of norms": lambda: np.prod([convolution_norm(k) for k in layers])}
    if regulariser.dilations:
        methods["product of norms"] = lambda: _product_with_residuals(regulariser)
        methods["averaged operators"] = lambda: regulariser.smoothness().slope
        methods["semidefinite"] = regulariser.tighten
    else:
        methods["averaged operators"] = lambda: averaged_norm(*layers)
        methods["semidefinite"] = lambda: sdp_norm(*layers)
    for name, method in methods.items():
        bound, seconds = timed(method)
        found[name] = float(bound), seconds
    return found


def _product_with_residuals(regulariser):
    norms = [convolution_norm(kernel) for kernel in regulariser.kernels]
    return np.prod([*norms, *(1.0 + convolution_norm(k) for k in regulariser.context)])


@torch.no_grad()
def measure_slopes(estimator, batch, n_steps=10):
    """Measure each bound at the start and after the network's own steps, and descend with it.

    A row each. Curvatures are those of the regulariser's term times ‖x‖², medians over recordings,
    and beside them the whole Hessian's.
    """
    regulariser = estimator.regulariser
    objective, start = estimator.objective(batch.model, batch.data)
    *_, end = estimator.certified_iterates(batch.model, batch.data)
    points = dict(start=objective.evaluate(start), end=end.point)
    rows, runs = [], {}
    for name, (slope, seconds) in slope_bounds(regulariser).items():
        other = CosineObjective(
            objective.leadfield,
            objective.norm,
            objective.data,
            WithSlope(regulariser, slope),
            objective.weight,
        )
        row = dict(bound=name, valid="everywhere", slope=f"{slope:.4g}")
        for where, point in points.items():
            row[f"curvature_{where}"] = _median(regulariser_curvature(other, point), point)
        runs[name] = row | dict(seconds=f"{seconds:.3g}"), other, Analytic(other)
    row = dict(bound="Jacobian at x, descent proved along the ray", valid="along the step")
    slopes = []
    for where, point in points.items():
        local = _local_slope(regulariser, point)
        slopes.append(float(local.median()))
        bent = WithSlope(regulariser, local.to(point.norms.dtype))
        other = CosineObjective(objective.leadfield, objective.norm, objective.data, bent)
        row[f"curvature_{where}"] = _median(regulariser_curvature(other, point, "local"), point)
    row["slope"] = " to ".join(f"{slope:.4g}" for slope in sorted(slopes))
    runs["ray"] = row, objective, RayProposer(objective)
    hessians = {
        f"hessian_{where}": _median(
            SpectralMajorant(objective, point, objective.gradient(point)).curvature, point
        )
        for where, point in points.items()
    }
    for row, problem, proposer in runs.values():
        (last, found), spent = timed(certify, descend(problem, start, proposer, n_steps))
        rows.append(_row(row, hessians, found, cosine(last.point.x, batch.currents), spent))
    iterates = estimator.certified_iterates(batch.model, batch.data, n_steps)
    (last, found), spent = timed(certify, iterates)
    row = dict.fromkeys(rows[0], "") | dict(bound="learned curvature", valid="checked")
    rows.append(_row(row, hessians, found, cosine(last.point.x, batch.currents), spent))
    return [{key: row.get(key, "") for key in rows[0]} for row in rows]


def _row(row, hessians, found, accuracy, spent):
    drop = (found.objective[:, :1] - found.objective).numpy()
    decreases = {f"decrease_after_{k}": f"{np.median(drop[:, k]):.4g}" for k in (1, 3, 10)}
    return (
        dict(row)
        | hessians
        | decreases
        | dict(
            rising_steps=int((found.objective.diff(dim=1) > 0).sum()),
            retries=int(found.retries.sum()),
            stalled=int(found.stalled.sum()),
            cosine=f"{float(accuracy.mean()):.4f}",
            n_samples=len(drop),
            ms_a_step=f"{1e3 * spent / len(drop) / (drop.shape[1] - 1):.3g}",
        )
    )


def _median(curvature, point):
    return f"{float((curvature * point.norms[:, 0].square()).median()):.4g}"


def _local_slope(regulariser, point):
    """Upper bound of the Jacobian's norm at a point, with 99 % confidence."""

    def product(vector):
        return regulariser.pullback(point.tape, regulariser.pushforward(point.tape, vector))

    return lanczos_norm_bound(product, point.x).sqrt()


def main():
    """Measure a saved model."""
    parser = make_parser(__file__, __doc__)
    parser.set_defaults(model="mmnet-cosine")  # of the cosine kind
    parser.add_argument("--kind", default="sereega", help="of data")
    parser.add_argument("--n-samples", type=int, default=16)
    parser.add_argument("--heads", type=Path, help="lead fields (default: in the cache)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    network, card = read_model(args.model)
    estimator = CosineMMNet(network.config).eval().requires_grad_(False)
    estimator.network.load_state_dict(network.state_dict())
    archive = read_heads(args.heads)
    dataset = validation_set(args.kind, args.n_samples)
    batch = SampleStream(dataset, args.n_samples, archive).batch(0)
    rows = [dict(weights=card.name) | row for row in measure_slopes(estimator, batch)]
    args.model = card.name  # no path
    notes = f"validation recordings ({args.kind})", "curvatures times ‖x‖²"
    comment = made_by(args, "model n_samples", *notes)
    write_rows(args.out / "paper_bounds_shipped.csv", comment, rows)
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
