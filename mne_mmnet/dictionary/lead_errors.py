"""How wrong lead fields are, and what no source of the model makes (no MNE, no torch)."""

import numpy as np

SHARES = {"template": 0.15, "fitted": 0.12, "own": 0.02}
"""Power of a lead field's errors over that of its columns, by the head it is of: the template with
nominal electrodes, with digitised ones, the subject's own. A person's columns differ from the
template's by 0.22 (``benchmarks/people.py --population``), of which tangential atoms take some."""


def deep_fields(electrodes):
    """Fields of sources deep inside the head, from the electrodes' places alone.

    The potential of a dipole at a small share r of the head's radius is a sum of spherical
    harmonics of the electrode's direction whose degree l has an amplitude ∝ r^{l−1}: three of the
    first degree and, more weakly, five of the second.

    Parameters
    ----------
    electrodes : array of shape (n_electrodes, 3)
        In mm; any frame.

    Returns
    -------
    fields : array of shape (n_electrodes, 8)
        No unit.
    """
    system = np.column_stack([2 * electrodes, np.ones(len(electrodes))])
    centre = np.linalg.lstsq(system, (electrodes**2).sum(axis=1), rcond=None)[0][:3]
    away = electrodes - centre
    x, y, z = (away / np.linalg.norm(away, axis=1, keepdims=True).clip(1e-9)).T
    second = [x * y, y * z, z * x, 0.5 * (x * x - y * y), (3 * z * z - 1) / np.sqrt(12.0)]
    return np.column_stack([x, y, z, *(0.5 * np.sqrt(3.0) * part for part in second)])
