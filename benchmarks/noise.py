"""Sensor noise and background brain activity of the benchmarks' recordings."""

import numpy as np

from mne_mmnet.simulation.timecourses import power_law


def draw_noise(rng, gain, electrodes, n_times, background, factor=None):
    """Noise of one recording, unit mean power a channel.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    gain : array of shape (n_channels, n_sources)
        Lead field by which the background reaches the sensors.
    electrodes : array of shape (n_channels, 3)
        Positions in mm, by which neighbouring sensors share noise.
    n_times : int
        Number of samples.
    background : float
        Share of the power that comes from the brain.
    factor : array of shape (n_channels, n_components) | None
        Factor of a measured covariance, which half of the recordings take for the sensors'.

    Returns
    -------
    noise : array of shape (n_channels, n_times)
        The noise.
    """
    n_channels, n_sources = gain.shape
    sensor = rng.standard_normal((n_channels, n_times))
    if factor is not None and rng.uniform() < 0.5:
        sensor = factor @ rng.standard_normal((factor.shape[1], n_times))
    elif rng.uniform() < 0.5:
        # neighbouring sensors share noise
        distance = np.linalg.norm(electrodes[:, None] - electrodes[None], axis=-1)
        length = rng.uniform(10.0, 60.0)
        shared = rng.uniform(0.2, 0.8)
        covariance = shared * np.exp(-distance / length) + (1 - shared) * np.eye(n_channels)
        sensor = np.linalg.cholesky(covariance) @ sensor
    # some channels are noisier than others
    sensor *= np.exp(rng.uniform(0.0, 0.4) * rng.standard_normal((n_channels, 1)))
    active = rng.choice(n_sources, size=min(n_sources, 150), replace=False)
    waves = power_law(rng, rng.uniform(0.0, 2.0), (len(active), n_times))
    # about their mean; recordings that were made before power_law kept it have been published
    brain = gain[:, active] @ (waves / waves.std(axis=1, keepdims=True))
    unit = [part / np.sqrt(np.mean(part**2)).clip(1e-30) for part in (sensor, brain)]
    noise = np.sqrt(1 - background) * unit[0] + np.sqrt(background) * unit[1]
    return noise / np.sqrt(np.mean(noise**2)).clip(1e-30)
