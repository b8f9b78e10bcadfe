"""What the solver did, in numbers and in words."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class SolverReport:
    """The certificate of one call.

    Parameters
    ----------
    objective : array of shape (n_steps + 1,)
        The objective at the start and after every step; it never increases.
    retries : array of int, shape (n_steps,)
        Proposals rejected in each step because the objective would have increased.
    analytic : array of bool, shape (n_steps,)
        Whether the step was the analytic majorant's own, all learned ones having been rejected.
    stalled : array of bool, shape (n_steps,)
        Whether rounding defeated even that one, so that the iterate stayed where it was.
    noise_level : float | None
        Estimated variance of the white noise: relative to that of the noise covariance where one
        was given, else relative to the mean data power a channel. None for models that estimate
        none (``mmnet-cosine``).
    explained : float
        Share of the whitened data's power that the sources explain.
    seconds : float
        Time taken by the solver.
    """

    objective: np.ndarray
    retries: np.ndarray
    analytic: np.ndarray
    stalled: np.ndarray
    noise_level: float | None
    explained: float
    seconds: float

    @property
    def descended(self):
        """Whether the objective never increased, exactly as computed."""
        return bool(np.all(np.diff(self.objective) <= 0))

    def __str__(self):
        start, end = self.objective[0], self.objective[-1]
        return (
            f"objective {start:.2f} → {end:.2f} in {len(self.retries)} steps, "
            f"{'never increasing' if self.descended else 'NOT MONOTONE'}; "
            f"{int(self.retries.sum())} proposals rejected, {int(self.analytic.sum())} analytic "
            f"steps, {int(self.stalled.sum())} stalled; {100 * self.explained:.1f} % of the "
            f"whitened data explained; {1e3 * self.seconds:.0f} ms"
        )
