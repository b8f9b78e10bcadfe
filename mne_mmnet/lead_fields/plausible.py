"""Whether a lead field can be that of its electrodes and sources: units, axes, order.

Curry's and EEGLAB's axes, millimetres for metres, channels in another order, x, y and z in blocks
pass every check of shapes. They are seen by physics: in an infinite homogeneous medium a current
dipole q at r' makes the potential ::

    V(r) = q · (r − r') / (4π σ |r − r'|³) ,

from which a real head differs by the skull's smearing, but not by much more. In average reference
the fields of head models correlate with it by 0.88 to 0.96, turned, shuffled or mistaken ones by
less than 0.6 but for heads that are nearly balls (``tests/test_lead_fields.py``).
"""

import numpy as np

CONDUCTIVITY = 0.33  # S/m
# no source is nearer to an electrode in a head; sources that seem to be say nothing
_NEAREST = 0.005
# sources that are looked at, at most
_MOST = 500
# median correlation with the homogeneous medium's fields: what is wrong has less
LEAST_CORRELATION = 0.65
# norm over that of the homogeneous medium
RATIOS = (0.05, 20.0)


def infinite_medium(electrodes, positions):
    """Compute potentials of current dipoles in an infinite homogeneous medium.

    In V/(A·m), (n_channels, n_sources, 3); places are in m.
    """
    offset = electrodes[:, None] - positions
    distance = np.linalg.norm(offset, axis=-1, keepdims=True)
    return offset / (4 * np.pi * CONDUCTIVITY * np.maximum(distance, _NEAREST) ** 3)


def compare(gain, electrodes, positions, directions=None):
    """Compare a lead field with that of a homogeneous medium.

    Parameters
    ----------
    gain : array of shape (n_channels, n_sources, n_orient)
        In V/(A·m), along x, y and z, or along ``directions``.
    electrodes, positions
        As for :func:`infinite_medium`.
    directions : array of shape (n_sources, 3) | None
        Where there is one column a source.

    Returns
    -------
    correlation : float
        Median over sources, in average reference.
    ratio : float
        Median ratio of norms.
    """
    chosen = np.linspace(0, len(positions) - 1, min(_MOST, len(positions))).astype(int)
    model = infinite_medium(electrodes, positions[chosen])
    gain = gain[:, chosen]
    if directions is not None:
        model = np.einsum("csk,sk->cs", model, directions[chosen])[:, :, None]
    gain, model = gain - gain.mean(axis=0), model - model.mean(axis=0)
    products = np.einsum("csk,csk->s", gain, model)
    sizes, expected = (np.sqrt(np.einsum("csk,csk->s", x, x)) for x in (gain, model))
    seen = (sizes > 0) & (expected > 0)
    if not seen.any():
        return 0.0, 0.0
    ratio = sizes[seen] / expected[seen]
    return float(np.median(products[seen] / (sizes * expected)[seen])), float(np.median(ratio))


def explain(gain, electrodes, positions, directions=None):
    """Find out which mistake makes a lead field implausible; empty if none of the usual."""

    def fits(*args):
        return compare(*args)[0] >= LEAST_CORRELATION

    if fits(-gain, electrodes, positions, directions):
        return "it has the opposite sign"
    units = {"millimetres": 1e-3, "centimetres": 1e-2}
    found = {
        unit: compare(gain, electrodes, scale * positions, directions)[0]
        for unit, scale in units.items()
    }
    unit = max(found, key=found.get)
    if found[unit] >= LEAST_CORRELATION:
        return f"the positions are in {unit}, not metres"
    if directions is None:
        n_channels, n_sources, _ = gain.shape
        blocks = gain.reshape(n_channels, 3, n_sources).swapaxes(1, 2)
        if fits(blocks, electrodes, positions):
            return "the columns are in blocks of x, y and z, not triplets of each source"
    turned = None if directions is None else _turn(directions)
    columns = _turn(gain) if directions is None else gain
    if fits(columns, electrodes, _turn(positions), turned):
        return (
            "x points to the nose and y to the left (the axes of CTF, Brainstorm and EEGLAB), "
            "where MNE's head coordinates have x to the right and y to the nose"
        )
    return ""


def _turn(vectors):
    """From x to the nose and y to the left to x to the right and y to the nose."""
    return np.stack([-vectors[..., 1], vectors[..., 0], vectors[..., 2]], axis=-1)
