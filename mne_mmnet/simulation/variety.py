"""How much simulated heads differ from the standard one."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class HeadVariety:
    """How perturbed heads differ from the standard one.

    Parameters
    ----------
    skull_ratio : tuple of float
        Range of brain over skull conductivity, drawn log-uniformly.
    skull_thickness : tuple of float
        Range of the factor by which the skull's thickness is multiplied.
    electrode_error : float
        Largest root-mean-square displacement of the electrodes (mm), drawn for each head.
    """

    skull_ratio: tuple[float, float] = (15.0, 80.0)
    skull_thickness: tuple[float, float] = (0.75, 1.3)
    electrode_error: float = 6.0

    def draw(self, rng):
        """Draw one head: skull ratio, thickness factor, electrode displacement (mm)."""
        low, high = np.log(self.skull_ratio)
        return (
            float(np.exp(rng.uniform(low, high))),
            rng.uniform(*self.skull_thickness),
            rng.uniform(0.0, self.electrode_error),
        )
