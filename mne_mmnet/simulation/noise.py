"""Sensor noise and background brain activity of a simulated recording."""

import numpy as np

from .timecourses import power_law


def draw_field_noise(rng, gain, deep, electrodes, background, deep_share, factor=None):
    """Noise of one session: its covariance, and any number of samples of it.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    gain : array of shape (n_channels, n_sources)
        Lead field of the cortex.
    deep : array of shape (n_channels, n_deep, 3)
        Lead field of places deep inside the head.
    electrodes : array of shape (n_channels, 3)
        Positions in mm, by which neighbouring sensors share noise.
    background : float
        Share of the power that comes from the brain.
    deep_share : float
        Share of that which comes from deep places.
    factor : array of shape (n_channels, n_components) | None
        Factor of a measured covariance, which half of the sessions take for the sensors'.

    Returns
    -------
    draw : callable
        Maps a generator and a number of samples to noise of shape (n_channels, n_times), unit mean
        power a channel. What goes on in the brain differs somewhat from call to call.
    covariance : array of shape (n_channels, n_channels)
        Of the noise about its mean over time, on average.
    """
    n_channels, n_sources = gain.shape
    if factor is not None and rng.uniform() < 0.5:
        sensor = factor
    else:
        sensor = np.eye(n_channels)
        if rng.uniform() < 0.5:  # neighbouring sensors share noise
            distance = np.linalg.norm(electrodes[:, None] - electrodes[None], axis=-1)
            shared = rng.uniform(0.2, 0.8)
            sensor = shared * np.exp(-distance / rng.uniform(10.0, 60.0)) + (1 - shared) * sensor
        # some channels are noisier than others
        spread = np.exp(rng.uniform(0.0, 0.4) * rng.standard_normal(n_channels))
        sensor = np.linalg.cholesky(sensor * np.outer(spread, spread))
    active = rng.choice(n_sources, size=min(n_sources, 150), replace=False)
    cortex = gain[:, active] * np.exp(0.5 * rng.standard_normal(len(active)))
    inner = np.einsum("edk,dk->ed", deep, rng.standard_normal(deep.shape[1:]))
    exponent, variation = rng.uniform(0.0, 2.0), rng.uniform(0.0, 0.3)
    shares = ((1 - background), background * (1 - deep_share), background * deep_share)

    def unit(factor, share):
        centred = factor - factor.mean(axis=0)
        power = np.sum(centred**2) / n_channels
        return factor * np.sqrt(share / max(power, 1e-300))

    sensor, cortex, inner = map(unit, (sensor, cortex, inner), shares)
    brain = np.concatenate([cortex, inner], axis=1)

    def draw(rng, n_times):
        white = sensor @ rng.standard_normal((sensor.shape[1], n_times))
        louder = np.exp(variation * rng.standard_normal(brain.shape[1]))
        return white + (brain * louder) @ power_law(rng, exponent, (brain.shape[1], n_times))

    return draw, sensor @ sensor.T + brain @ brain.T
