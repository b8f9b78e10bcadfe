"""How sure an estimate is, as source estimates."""

from dataclasses import dataclass

import mne
import numpy as np

from .._mne import make_scalar_stc, noise_scale


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """How sure an estimate is.

    Attributes of type ``stc`` have one sample, at the beginning of the response's window: they
    belong to the whole of it.

    Parameters
    ----------
    std : mne.SourceEstimate | mne.VolSourceEstimate | mne.MixedSourceEstimate
        Posterior standard deviation of the current at any one sample, in A·m; over the three
        directions together where the orientation is not fixed. The source variances are taken as
        known, so that it is a lower bound of the real uncertainty.
    peak_probability : mne.SourceEstimate | mne.VolSourceEstimate | mne.MixedSourceEstimate
        Probability that the strongest region, at the instant at which the most goes on, is that
        around a location: the place of the largest moment within 15 mm (:func:`find_sources`). All
        locations together have probability 1, also if a label restricts what is returned.
    confidence : mne.SourceEstimate | mne.VolSourceEstimate | mne.MixedSourceEstimate
        Where the confidence regions are: that of level c holds the locations with a value below
        c. So ``confidence.data < 0.9`` is the smallest set of locations that holds the strongest
        source with 90 % probability.

    Notes
    -----
    The probabilities come from a network trained on simulations, with a temperature fitted on
    others: they are right on average over recordings like those (``benchmarks/calibration.py``),
    not for one recording known to be special.
    """

    std: mne.SourceEstimate
    peak_probability: mne.SourceEstimate
    confidence: mne.SourceEstimate

    def region(self, level=0.9):
        """Select the locations of a confidence region.

        Parameters
        ----------
        level : float
            Between 0 and 1.

        Returns
        -------
        inside : array of bool, shape (n_sources,)
            Which rows of the estimates belong to it: at least the most probable location, unless a
            label left it out.
        """
        if not 0.0 < level < 1.0:
            raise ValueError(f"level must be between 0 and 1, got {level}.")
        return self.confidence.data[:, 0] < level


def make_uncertainty(prepared, spread, nave, *, tmin, tstep, label=None):
    """Source estimates of one recording's spread."""
    std = np.linalg.norm(spread.std[0], axis=1) / noise_scale(prepared, nave)
    maps = (std, spread.probability[0], spread.level[0])
    return Uncertainty(
        *(make_scalar_stc(prepared, x[:, None], tmin=tmin, tstep=tstep, label=label) for x in maps)
    )
