"""When simulated activity happens."""

from functools import cache

import numpy as np
from scipy import fft

from .neural_mass import NeuralMassConfig, draw_discharges

_N_DISCHARGES = 128


@cache
def _discharges():
    """Discharges of neural-mass populations: made once, for all recordings of all runs alike."""
    return draw_discharges(NeuralMassConfig(), _N_DISCHARGES, np.random.default_rng(0))


def power_law(rng, exponent, shape):
    """Noise with a 1/f^exponent power spectrum, unit mean power along the last axis."""
    n_times = shape[-1]
    if n_times < 4:
        return rng.standard_normal(shape)
    n_padded = fft.next_fast_len(2 * n_times, real=True)
    frequency = fft.rfftfreq(n_padded)
    frequency[0] = frequency[1]
    spectrum = fft.rfft(rng.standard_normal((*shape[:-1], n_padded)))
    noise = fft.irfft(spectrum * frequency ** (-exponent / 2.0), n_padded)[..., :n_times]
    return noise / np.sqrt(np.mean(noise**2, axis=-1, keepdims=True)).clip(1e-12)


def draw_timecourses(rng, n_sources, n_times, correlation):
    """Time courses of one recording's sources.

    Each recording uses one kind: event-related (a Gaussian bump, possibly with a carrier),
    oscillation, 1/f, or discharges of a neural mass. They share a common time course to the extent
    of ``correlation``, 0 to below 1; their peak is 1 in absolute value.
    """
    time = np.linspace(0.0, 1.0, n_times) if n_times > 1 else np.zeros(1)
    kind = rng.choice(["event", "oscillation", "power_law", "discharge"], p=[0.3, 0.2, 0.3, 0.2])

    def draw():
        if kind == "power_law" or n_times < 4:
            return power_law(rng, rng.uniform(0.0, 3.0), (n_times,))
        if kind == "discharge":
            trace = _discharges()[rng.integers(_N_DISCHARGES)]
            peak = np.argmax(np.abs(trace)) / len(trace)
            # the window that is seen holds the largest discharge, and more or less around it
            length = rng.uniform(0.2, 0.8)
            place = rng.uniform(max(0.0, peak - length), min(peak, 1.0 - length))
            return np.interp(place + length * time, np.linspace(0.0, 1.0, len(trace)), trace)
        wave = np.cos(2 * np.pi * (rng.uniform(0.5, 6.0) * time + rng.uniform()))
        if kind == "oscillation":
            return wave
        bump = np.exp(-0.5 * ((time - rng.uniform(0.1, 0.9)) / rng.uniform(0.04, 0.25)) ** 2)
        return bump * (wave if rng.uniform() < 0.5 else 1.0) * rng.choice([-1.0, 1.0])

    common = draw()
    mixed = []
    for _ in range(n_sources):
        own = draw()
        own = own / np.linalg.norm(own).clip(1e-12)
        mixed.append(
            np.sqrt(1 - correlation) * own
            + np.sqrt(correlation) * common / np.linalg.norm(common).clip(1e-12)
        )
    mixed = np.array(mixed)
    return mixed / np.abs(mixed).max(axis=1, keepdims=True).clip(1e-12)
