"""Epileptiform discharges of neural masses (Jansen & Rit 1995), spreading to their neighbours.

Jansen, B. H., & Rit, V. G. (1995). Electroencephalogram and visual evoked potential generation in
a mathematical model of coupled cortical columns. Biological Cybernetics, 73, 357–366.
https://doi.org/10.1007/BF00199471

Wendling, F., Bellanger, J. J., Bartolomei, F., & Chauvel, P. (2000). Relevance of nonlinear
lumped-parameter models in the analysis of depth-EEG epileptic signals. Biological Cybernetics, 83,
367–378. https://doi.org/10.1007/s004220000160
"""

from dataclasses import dataclass
from math import ceil

import numpy as np

from .patches import check_range
from .simulated import SimulatedSources

_N_REPLICATES = 6  # of a seed population, in which to find a discharge
_N_ROUNDS = 10


@dataclass(frozen=True)
class NeuralMassConfig:
    """Distribution of neural-mass sources.

    The seed of a patch is a population whose excitatory gain is raised, so that it discharges now
    and then. The other populations of the patch rest until its discharge reaches them. Ranges are
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
        Range of a patch's relative amplitude.
    excitability : tuple of float
        Range of the excitatory gain A of the seed population in mV. From about 3.5 it discharges
        sporadically (below once a second), at 3.7 2.5 times a second.
    gain, inhibition : float
        Excitatory gain A of the other populations and inhibitory gain B of all, in mV.
    rate_excitation, rate_inhibition : float
        Inverse time constants a and b, in 1/s.
    connectivity : float
        Number of synapses C, of which the loops have C, 0.8 C, 0.25 C and 0.25 C.
    threshold, firing, slope : float
        Sigmoid 2 e0 / (1 + exp(r (v0 − v))): v0 in mV, e0 in 1/s and r in 1/mV.
    seed_input, rest_input : float
        Mean input rate of the seed and of the other populations, in 1/s. At rest_input 0 and the
        standard gain, the others answer in proportion; with more of either they have a second
        stable state, in which a discharge can leave them for a long time.
    input_noise : float
        White noise of the input, in 1/s · √s.
    coupling : tuple of float
        Range of the number of synapses K between the seed and a population one hop away. The
        population receives K (S_seed(t − delay) − S_own(t)), the difference of firing rates.
    falloff : tuple of float
        Range of the factor of K for each further hop.
    delay : tuple of float
        Range of the conduction delay in s for each hop.
    discharge : float
        Height in mV above the median from which a peak is a discharge.
    search : float
        Duration in s in which a discharge is looked for.
    burn_in : float
        Duration in s of the discarded beginning.
    max_step : float
        Largest integration step in s; at most 0.001.
    """

    n_times: int = 500
    sfreq: float = 500.0
    n_patches: tuple[int, int] = (1, 3)
    order: tuple[int, int] = (1, 5)
    amplitude: tuple[float, float] = (0.5, 1.0)
    excitability: tuple[float, float] = (3.55, 3.65)
    gain: float = 3.25
    inhibition: float = 22.0
    rate_excitation: float = 100.0
    rate_inhibition: float = 50.0
    connectivity: float = 135.0
    threshold: float = 6.0
    firing: float = 2.5
    slope: float = 0.56
    seed_input: float = 90.0
    rest_input: float = 0.0
    input_noise: float = 2.0
    coupling: tuple[float, float] = (25.0, 45.0)
    falloff: tuple[float, float] = (0.6, 0.85)
    delay: tuple[float, float] = (0.002, 0.006)
    discharge: float = 5.0
    search: float = 1.0
    burn_in: float = 0.5
    max_step: float = 1e-3

    def __post_init__(self):
        """Refuse what cannot be simulated."""
        check_range("n_patches", self.n_patches, 1, 126)
        check_range("order", self.order, 0, 60)
        check_range("amplitude", self.amplitude, 1e-6)
        check_range("excitability", self.excitability, 1e-6)
        check_range("coupling", self.coupling, 0.0)
        check_range("falloff", self.falloff, 0.0, 1.0)
        check_range("delay", self.delay, 0.0)
        positive = ("n_times", "sfreq", "gain", "inhibition", "rate_excitation", "rate_inhibition")
        positive += ("connectivity", "firing", "slope", "discharge", "search", "burn_in")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}.")
        if not self.input_noise >= 0:
            raise ValueError(f"input_noise must not be negative, got {self.input_noise!r}.")
        if not 0 < self.max_step <= 1e-3:
            raise ValueError(f"max_step must be at most 0.001 s, got {self.max_step!r}.")

    @property
    def stride(self):
        """Number of integration steps a time sample."""
        return ceil(1.0 / (self.sfreq * self.max_step) - 1e-9)

    @property
    def step(self):
        """Integration step in s."""
        return 1.0 / (self.sfreq * self.stride)


def firing_rate(config, potential):
    """Sigmoid from the membrane potential (mV) to the firing rate (1/s)."""
    return 2.0 * config.firing / (1.0 + np.exp(config.slope * (config.threshold - potential)))


def integrate(config, gain, mean_input, n_steps, rng, *, skip=0, every=1, weight=None, drive=None):
    """Integrate populations from zero by Heun's method.

    With S the sigmoid, p the input and ω the coupling::

        y0'' = A a S(y1 − y2)                       − 2 a y0' − a² y0
        y1'' = A a (p + ω (S_drive − S(y1 − y2)) + 0.8 C S(C y0)) − 2 a y1' − a² y1
        y2'' = B b 0.25 C S(0.25 C y0)              − 2 b y2' − b² y2

    Parameters
    ----------
    config : NeuralMassConfig
        The model.
    gain : array of shape (n_populations,)
        Excitatory gains in mV; their type is that of the computation.
    mean_input : float
        Mean of the input, in 1/s.
    n_steps : int
        Number of integration steps.
    rng : numpy.random.Generator
        Source of the input's noise.
    skip : int
        Number of steps that are not returned.
    every : int
        Of the others, every which step is returned.
    weight : array of shape (n_populations,) | None
        Coupling ω; None is no coupling.
    drive : callable | None
        Returns the firing rates (n_populations,) that arrive at a step, in 1/s.

    Returns
    -------
    potential : array of shape (ceil((n_steps - skip) / every), n_populations)
        Postsynaptic potentials y1 − y2 of the pyramidal cells, in mV.
    """
    dtype, n_populations = gain.dtype, len(gain)
    step = dtype.type(config.step)
    a, b, synapses = config.rate_excitation, config.rate_inhibition, config.connectivity
    rate = np.array([[a], [a], [b]], dtype)
    scale = np.stack([gain * a, gain * a, np.full_like(gain, config.inhibition * b)])
    afferent = np.array([[1.0], [0.8 * synapses], [0.25 * synapses]], dtype)
    noise = dtype.type(config.input_noise / np.sqrt(config.step))
    slope, threshold = dtype.type(config.slope), dtype.type(config.threshold)
    inner = np.array([[synapses], [0.25 * synapses]], dtype)
    ceiling = dtype.type(2.0 * config.firing)
    rates, force = np.empty((2, 3, n_populations), dtype)

    def acceleration(value, speed, given, arriving):
        np.subtract(value[1], value[2], out=rates[0])
        np.multiply(inner, value[0], out=rates[1:])
        np.subtract(threshold, rates, out=rates)
        np.multiply(rates, slope, out=rates)
        # far below threshold the rate is 0: no need to overflow
        np.minimum(rates, 80.0, out=rates)
        np.exp(rates, out=rates)
        np.add(rates, 1.0, out=rates)
        np.divide(ceiling, rates, out=rates)
        np.multiply(afferent, rates, out=force)
        force[1] += given
        if weight is not None:
            force[1] += weight * (arriving - rates[0])
        np.multiply(force, scale, out=force)
        # (d/dt + k)² y = force, in the form force − k (2 y' + k y)
        return force - rate * (speed + speed + rate * value)

    value, speed = np.zeros((2, 3, n_populations), dtype)
    potential = np.empty((-(-(n_steps - skip) // every), n_populations), dtype)
    arriving = None if drive is None else drive(0)
    for index in range(n_steps):
        if index >= skip and (index - skip) % every == 0:
            np.subtract(value[1], value[2], out=potential[(index - skip) // every])
        given = rng.standard_normal(n_populations, dtype=dtype)
        given *= noise
        given += dtype.type(mean_input)
        first = acceleration(value, speed, given, arriving)
        arriving = None if drive is None else drive(index + 1)
        trial = speed + step * first
        second = acceleration(value + step * speed, trial, given, arriving)
        value += (0.5 * step) * (speed + trial)
        speed += (0.5 * step) * (first + second)
    return potential


def simulate_neural_mass(neighbourhoods, config, n_samples, rng):
    """Simulate discharges that start in the seed of a patch and spread over it.

    Every patch discharges at least once, at a random time of its own. Currents are postsynaptic
    potentials without their median: positive along the normals while the cells are excited. All
    samples are integrated together.
    """
    patches = neighbourhoods.draw(n_samples, config.n_patches, config.order, rng)
    used = patches.seeds >= 0
    n_patches = np.count_nonzero(used)
    number = np.full(patches.seeds.shape, -1)
    number[used] = np.arange(n_patches)
    amplitude, coupling, falloff, delay = (
        rng.uniform(*span, n_patches)
        for span in (config.amplitude, config.coupling, config.falloff, config.delay)
    )
    seeds = _seed_potentials(config, n_patches, rng)

    samples, places = np.nonzero(patches.labels)
    slot = samples, patches.labels[samples, places] - 1
    patch = number[slot]
    hops = neighbourhoods.hops[places, patches.seeds[slot]].astype(int)
    waves = np.empty((len(samples), config.n_times), np.float32)
    burn_in = seeds.shape[1] - config.n_times * config.stride
    waves[hops == 0] = seeds[patch[hops == 0], burn_in :: config.stride]
    driven = np.flatnonzero(hops)
    if len(driven):
        patch_driven, hops_driven = patch[driven], hops[driven]
        weight = coupling[patch_driven] * falloff[patch_driven] ** (hops_driven - 1)
        lag = np.rint(delay[patch_driven] * hops_driven / config.step).astype(int)
        # time along the first axis: one step's rates lie together
        rates = np.ascontiguousarray(firing_rate(config, seeds).T)
        last = len(rates) - 1

        def drive(index):
            return rates[np.clip(index - lag, 0, last), patch_driven]

        waves[driven] = integrate(
            config,
            np.full(len(driven), config.gain, np.float32),
            config.rest_input,
            seeds.shape[1],
            rng,
            skip=burn_in,
            every=config.stride,
            weight=weight.astype(np.float32),
            drive=drive,
        ).T
    waves -= np.median(waves, axis=1, keepdims=True)
    # amplitudes relative to the seeds', so that a patch's place in its range is not left to chance
    peak = np.empty(n_patches, np.float32)
    peak[patch[hops == 0]] = np.abs(waves[hops == 0]).max(axis=1)
    waves *= (amplitude[patch] / peak[patch]).astype(np.float32)[:, None]
    return SimulatedSources.from_waves(patches, waves)


def draw_discharges(config, n_traces, rng):
    """Potentials of single populations that discharge at least once.

    Without their median, peak 1 in absolute value: (n_traces, n_times), float32.
    """
    potentials = _seed_potentials(config, n_traces, rng)
    burn_in = potentials.shape[1] - config.n_times * config.stride
    traces = potentials[:, burn_in :: config.stride]
    traces = traces - np.median(traces, axis=1, keepdims=True)
    return traces / np.abs(traces).max(axis=1, keepdims=True)


def _seed_potentials(config, n_patches, rng):
    """Potentials (n_patches, n_steps) of discharging seeds: burn-in, then the window, in mV."""
    stride, step = config.stride, config.step
    window = config.n_times * stride
    burn_in = ceil(config.burn_in / step)
    search = ceil(config.search / step)
    total = 2 * burn_in + window + search
    gain = rng.uniform(*config.excitability, n_patches).astype(np.float32)
    # where in the window the discharge shall be: what follows must have time to happen
    position = (rng.uniform(0.1, 0.8, n_patches) * window).astype(int)
    found = np.empty((n_patches, burn_in + window), np.float32)
    missing = np.arange(n_patches)
    for _ in range(_N_ROUNDS):
        potential = integrate(
            config, np.repeat(gain[missing], _N_REPLICATES), config.seed_input, total, rng
        ).T.reshape(len(missing), _N_REPLICATES, total)
        height = potential - np.median(potential, axis=2, keepdims=True)
        is_peak = np.zeros(height.shape, bool)
        middle = height[..., 1:-1]
        is_peak[..., 1:-1] = (
            (middle > config.discharge) & (middle > height[..., :-2]) & (middle >= height[..., 2:])
        )
        left = []
        for row, patch in enumerate(missing):
            # of these, the window starts after two burn-ins: one of the seed, one of the others
            first = 2 * burn_in + position[patch]
            replicates, times = np.nonzero(is_peak[row, :, first : first + search])
            if len(times) == 0:
                left.append(patch)
                continue
            chosen = rng.integers(len(times))
            start = burn_in + times[chosen]
            found[patch] = potential[row, replicates[chosen], start : start + burn_in + window]
        missing = np.array(left, int)
        if len(missing) == 0:
            return found
    raise RuntimeError(
        f"{len(missing)} of {n_patches} populations did not discharge. Raise excitability, "
        "seed_input or search."
    )
