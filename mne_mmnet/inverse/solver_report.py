"""What the solver did and how far to trust it, in numbers and in words."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Agreement(NamedTuple):
    """How the estimate compares with eLORETA's, which needs no training.

    Parameters
    ----------
    correlation : float
        Between the two maps of root-mean-square current over the window. eLORETA's is smooth:
        0.3 is usual for a focal source. NaN where a map is constant, as that of a single source,
        or where some sources have no field, for which there is no eLORETA.
    peak_distance_mm : float
        Between the two strongest locations. NaN where no current is found, or there is no eLORETA.
    region_distance_mm : float
        Between the places where the two maps have most moment within 15 mm, as in
        :func:`find_sources`: read this one. NaN likewise.
    """

    correlation: float
    peak_distance_mm: float
    region_distance_mm: float


class Steadiness(NamedTuple):
    """Whether shorter windows around the same moment give the same answer.

    Parameters
    ----------
    n_windows : int
        Windows of ± 10, 25 and 50 ms that are shorter than the data: 0 where these are short.
    distance_mm : float
        Largest distance from the strongest region at the moment of most current, as all data have
        it, to where one of the windows has it. NaN without such windows or currents.
    """

    n_windows: int
    distance_mm: float


@dataclass(frozen=True, eq=False)
class SolverReport:
    """The certificate of one call, and its diagnostics.

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
        was given, else relative to the mean data power a channel. It regularises: the network has
        learned to leave room for errors of the lead field, so it is usually larger than the
        noise (1.5 to 3.5 with an exact covariance). None for models that estimate none
        (``mmnet-cosine``).
    explained : float
        Share of the whitened data's power that the sources explain.
    seconds : float
        Time taken by the solver.
    explained_times : array of shape (n_times,)
        The same share, sample by sample.
    chi2 : float | None
        Mean square of the whitened residual: 1 if it is exactly the noise of the covariance, well
        above if something is left unexplained, well below if noise was explained too. None
        without a covariance.
    agreement : Agreement | None
        With eLORETA. None where it was not compared.
    steadiness : Steadiness | None
        Of shorter windows. None where none was looked at.
    concerns : tuple of str
        Why the answer should not be trusted, in words; empty where nothing speaks against it.
    domain_score : float
        0 inside the model's training domain. Outside, how far the farthest quantity lies beyond
        its range: in octaves (channels) or in units of 10 dB (signal-to-noise ratio).
    ch_names : tuple of str
        The channels that were localised; empty where they were not noted.
    """

    objective: np.ndarray
    retries: np.ndarray
    analytic: np.ndarray
    stalled: np.ndarray
    noise_level: float | None
    explained: float
    seconds: float
    explained_times: np.ndarray
    chi2: float | None
    agreement: Agreement | None = None
    steadiness: Steadiness | None = None
    concerns: tuple[str, ...] = ()
    domain_score: float = 0.0
    ch_names: tuple[str, ...] = ()

    @property
    def descended(self):
        """Whether the objective never increased, exactly as computed."""
        return bool(np.all(np.diff(self.objective) <= 0))

    @property
    def has_second_opinion(self):
        """Whether eLORETA was asked, and had an answer."""
        return self.agreement is not None and np.isfinite(self.agreement.region_distance_mm)

    def __str__(self):
        start, end = self.objective[0], self.objective[-1]
        chi2 = "" if self.chi2 is None else f", residual χ² {self.chi2:.2f}"
        number = len(self.concerns)
        concerns = f"; {number} concern{'s' if number > 1 else ''}" if number else ""
        return (
            f"objective {start:.2f} → {end:.2f} in {len(self.retries)} steps, "
            f"{'never increasing' if self.descended else 'NOT MONOTONE'}; "
            f"{int(self.retries.sum())} proposals rejected, {int(self.analytic.sum())} analytic "
            f"steps, {int(self.stalled.sum())} stalled; {100 * self.explained:.1f} % of the "
            f"whitened data explained{chi2}; {1e3 * self.seconds:.0f} ms{concerns}"
        )

    def describe(self):
        """Put the report into several lines of plain text.

        Returns
        -------
        text : str
            For a person.
        """
        worst, best = 100 * self.explained_times.min(), 100 * self.explained_times.max()
        lines = [
            f"Objective: {', '.join(f'{value:.2f}' for value in self.objective)}",
            f"Descent: {'certified, it never increased' if self.descended else 'NOT MONOTONE'}; "
            f"{int(self.retries.sum())} proposals rejected, {int(self.analytic.sum())} analytic "
            f"and {int(self.stalled.sum())} stalled steps of {len(self.retries)}",
            f"Explained: {100 * self.explained:.1f} % of the whitened data "
            f"({worst:.0f} to {best:.0f} % by sample)",
        ]
        if self.chi2 is not None:
            lines.append(f"Residual: χ² {self.chi2:.2f} a channel and sample (1 is noise alone)")
        if self.noise_level is not None:
            unit = "the data's power" if self.chi2 is None else "the covariance's"
            lines.append(
                f"White noise assumed, errors of the lead field included: {self.noise_level:.3g} "
                f"× {unit}"
            )
        if self.has_second_opinion:
            lines.append(
                f"eLORETA: correlation of the maps {self.agreement.correlation:.2f}, strongest "
                f"regions {self.agreement.region_distance_mm:.0f} mm apart (locations "
                f"{self.agreement.peak_distance_mm:.0f} mm)"
            )
        if self.steadiness is not None and self.steadiness.n_windows:
            lines.append(
                f"Shorter windows ({self.steadiness.n_windows}): strongest region within "
                f"{self.steadiness.distance_mm:.0f} mm of this one"
            )
        inside = "inside" if self.domain_score == 0 else f"outside by {self.domain_score:.2f}"
        lines.append(f"Training domain: {inside}")
        lines += [f"Concern: {concern}" for concern in self.concerns] or ["Concerns: none"]
        return "\n".join(lines)


def make_reports(solution, data, noise_is_known, seconds):
    """Report on every recording of a batch.

    Without the comparison and the concerns, which need to know where the data come from.
    """
    fields = ("objective", "retries", "analytic", "stalled")
    columns = [getattr(solution.certificate, field).cpu().numpy() for field in fields]
    power, rest = (np.square(x).sum(axis=1) for x in (np.asarray(data), solution.residual))
    reports = []
    for k in range(len(data)):
        noise = None if solution.noise_level is None else float(solution.noise_level[k])
        shares = 1.0 - rest[k] / np.where(power[k] > 0, power[k], np.inf)
        total = power[k].sum()
        reports.append(
            SolverReport(
                *(column[k] for column in columns),
                noise_level=noise,
                explained=float(1.0 - rest[k].sum() / total) if total > 0 else 0.0,
                seconds=seconds,
                explained_times=np.where(power[k] > 0, shares, 0.0),
                chi2=float(np.square(solution.residual[k]).mean()) if noise_is_known else None,
            )
        )
    return reports
