"""Event-related sources in the style of SEREEGA (Krol et al. 2018).

Krol, L. R., Pawlitzki, J., Lotte, F., Gramann, K., & Zander, T. O. (2018). SEREEGA: Simulating
event-related EEG activity. Journal of Neuroscience Methods, 309, 13–24.
https://doi.org/10.1016/j.jneumeth.2018.08.001
"""

from dataclasses import dataclass

import numpy as np

from .patches import check_range
from .simulated import SimulatedSources


@dataclass(frozen=True)
class SereegaConfig:
    """Distribution of event-related sources.

    Every patch has one Gaussian deflection of random sign,
    a · exp(−½ ((t − latency) / (width / 6))²), from which its sources deviate. All ranges are
    drawn uniformly, once a patch.

    Parameters
    ----------
    n_times : int
        Number of time samples.
    sfreq : float
        Sampling frequency in Hz.
    n_patches : tuple of int
        Range of the number of patches a sample.
    order : tuple of int
        Range of a patch's radius: all sources within that many hops of its seed.
    amplitude : tuple of float
        Range of the deflection's absolute size at the seed (arbitrary unit).
    latency : tuple of float
        Range of the time of its peak, in s from the first sample.
    width : tuple of float
        Range of its full width in s: six standard deviations, as in SEREEGA.
    edge : tuple of float
        Range of the relative amplitude at a patch's outermost sources, to which it falls
        linearly with the number of hops.
    amplitude_jitter, latency_jitter, width_jitter : float
        Largest relative deviation of a source from its patch, either way.
    """

    n_times: int = 64
    sfreq: float = 512.0
    n_patches: tuple[int, int] = (1, 5)
    order: tuple[int, int] = (1, 5)
    amplitude: tuple[float, float] = (0.5, 1.0)
    latency: tuple[float, float] = (0.025, 0.1)
    width: tuple[float, float] = (0.03, 0.12)
    edge: tuple[float, float] = (0.2, 0.7)
    amplitude_jitter: float = 0.1
    latency_jitter: float = 0.05
    width_jitter: float = 0.1

    def __post_init__(self):
        """Refuse what cannot be simulated."""
        if self.n_times < 1 or not self.sfreq > 0:
            raise ValueError(
                f"n_times and sfreq must be positive, got {self.n_times!r} and {self.sfreq!r} Hz."
            )
        check_range("n_patches", self.n_patches, 1, 126)
        check_range("order", self.order, 0, 60)
        check_range("amplitude", self.amplitude, 1e-6)
        # in the window, or there might be nothing in it
        check_range("latency", self.latency, 0.0, (self.n_times - 1) / self.sfreq)
        check_range("width", self.width, 1e-6)
        check_range("edge", self.edge, 1e-6, 1.0)
        for name in ("amplitude_jitter", "latency_jitter", "width_jitter"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to below 1, got {getattr(self, name)!r}.")


def simulate_sereega(neighbourhoods, config, n_samples, rng):
    """Simulate event-related sources."""
    patches = neighbourhoods.draw(n_samples, config.n_patches, config.order, rng)
    shape = patches.seeds.shape
    amplitude = rng.uniform(*config.amplitude, shape) * rng.choice([-1.0, 1.0], shape)
    latency = rng.uniform(*config.latency, shape)
    deviation = rng.uniform(*config.width, shape) / 6.0
    edge = rng.uniform(*config.edge, shape)

    samples, places = np.nonzero(patches.labels)
    patch = samples, patches.labels[samples, places] - 1
    hops = neighbourhoods.hops[places, patches.seeds[patch]]
    share = hops / np.maximum(patches.orders[patch], 1)

    def jitter(size):
        return 1.0 + rng.uniform(-size, size, len(samples))

    amplitude = amplitude[patch] * (1.0 - (1.0 - edge[patch]) * share)
    amplitude *= jitter(config.amplitude_jitter)
    latency = latency[patch] * jitter(config.latency_jitter)
    deviation = deviation[patch] * jitter(config.width_jitter)
    time = (np.arange(config.n_times) / config.sfreq).astype(np.float32)
    phase = (time - latency[:, None].astype(np.float32)) / deviation[:, None].astype(np.float32)
    waves = amplitude[:, None].astype(np.float32) * np.exp(-0.5 * phase**2)
    return SimulatedSources.from_waves(patches, waves)
