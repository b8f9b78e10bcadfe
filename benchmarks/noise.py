"""Sensor noise and background brain activity of the benchmarks' recordings."""

import numpy as np

from mne_mmnet.simulation.timecourses import power_law


def draw_noise(rng, gain, electrodes, n_times, background, factor=None):
    """Noise of one recording (n_channels, n_times), unit mean power a channel.

    ``gain`` is the lead field by which the background, that share of the power, reaches the
    sensors; neighbouring sensors, by the positions of the ``electrodes`` (mm), share noise. Half
    of the recordings take the sensors' from the factor of a measured covariance, where there is
    one.
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
