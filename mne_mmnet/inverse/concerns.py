"""Reasons not to trust an answer, in words; and how far a recording is from the training."""

from collections import Counter

import mne.utils
import numpy as np
from mne.utils import logger

# no cortical patch carries more; scalp potentials in µV taken for V give a million times too much
_LARGEST_CURRENT = 5e-6  # A·m
# less than this share explained, without a covariance to compare with, is no finding
_LEAST_EXPLAINED = 0.05
# a region that the strongest source lies in with 90 % probability and that holds a larger share of
# the locations tells next to nothing
_LARGEST_REGION, _LEVEL = 1.0 / 3.0, 0.9
# mm that the strongest region may move between windows: two regions of 15 mm touch there
_STEADY_MM = 30.0
# a signal's mean square must exceed the noise's by as many of its standard errors
_STANDARD_ERRORS = 3.0
_SINGULAR = 1e-6
SAID_BEFORE = ("n_channels", "ch_types")
"""Kinds of concern that are said when the lead field is prepared."""


def outside(card, quantity, value):
    """Measure how far a recording lies outside the model's training domain.

    Parameters
    ----------
    card : ModelCard
        The model card. A model of one's own need not name its domain.
    quantity : str
        Key of a range in ``card.domain``.
    value : float
        The recording's value.

    Returns
    -------
    distance : float
        0 inside; else in octaves, or for a ``quantity`` in dB in units of 10 dB.
    """
    low, high = card.domain.get(quantity, (value, value))
    if quantity.endswith("_db"):
        return max(low - value, value - high, 0.0) / 10.0
    return max(np.log2(low / value), np.log2(value / high), 0.0)


def say_outside(card, quantity, value, unit):
    """Say that a recording lies outside the training domain.

    Parameters
    ----------
    card : ModelCard
        The model card, with a range for the quantity.
    quantity, value
        As in :func:`outside`.
    unit : str
        What the value is.

    Returns
    -------
    text : str
        The reason, in words.
    """
    low, high = card.domain[quantity]
    return (
        f"{value:.4g} {unit} is outside the training domain of {card.name} ({low:g} to {high:g}). "
        "The descent certificate holds all the same, but the estimate may be worse than the "
        "model's benchmarks."
    )


def say_foreign(card, prepared):
    """Say that there are channels of a type that the model has never seen.

    Parameters
    ----------
    card : ModelCard
        The model card.
    prepared : PreparedForward
        The prepared forward solution.

    Returns
    -------
    text : str
        The reason, in words; empty if there are none.
    """
    seen = card.domain.get("ch_types", ["eeg"])
    if set(prepared.ch_types) <= set(seen):
        return ""
    return (
        f"{card.name} was trained on simulated {'/'.join(seen).upper()} only; MEG is outside its "
        "training domain. The descent certificate holds all the same, but the estimate may be "
        "worse than the model's benchmarks: compare it with MNE's methods."
    )


def find_concerns(card, prepared, data, report, largest, level=None, n_times=None):
    """Collect what speaks against an answer.

    Parameters
    ----------
    card : ModelCard
        The model card.
    prepared : PreparedForward
        The prepared forward solution.
    data : array of shape (n_rank, n_times)
        Whitened data.
    report : SolverReport
        What the solver did.
    largest : float
        Largest current of the estimate, A·m.
    level : array of shape (n_sources,) | None
        Of :class:`mne_mmnet.inverse.routes.Spread`, where the uncertainty was asked for.
    n_times : float | None
        Samples that the data stand for, where they are a factor of a covariance; None is as many
        as there are.

    Returns
    -------
    concerns : dict of str
        Text by kind: "n_channels", "ch_types", "noise", "snr_db", "explained", "amplitude",
        "rank" or "region".
    score : float
        See :class:`SolverReport`.
    """
    concerns = {}
    n_times = data.shape[1] if n_times is None else n_times
    n_channels = len(prepared.ch_names)
    distances = [outside(card, "n_channels", n_channels)]
    if distances[0] > 0:
        concerns["n_channels"] = say_outside(card, "n_channels", n_channels, "channels")
    if foreign := say_foreign(card, prepared):
        concerns["ch_types"] = foreign
    if prepared.noise_is_known:
        power = np.mean(np.square(data))
        noise, error = _noise_power(prepared, len(data) * n_times)
        excess = power / noise - 1.0
        snr_db = 10.0 * np.log10(max(excess, 1e-3))
        distances.append(outside(card, "snr_db", snr_db))
        if excess < _STANDARD_ERRORS * error:
            concerns["noise"] = (
                f"The data are not distinguishable from noise: their whitened power is "
                f"{power:.2f}, that of noise alone is {noise:.3g} (signal-to-noise ratio outside "
                f"the training domain of {card.name}). Don't read the estimate; average more "
                "trials, or check noise_cov and nave."
            )
        elif distances[-1] > 0:
            concerns["snr_db"] = say_outside(card, "snr_db", snr_db, "dB (power of signal)")
    elif report.explained < _LEAST_EXPLAINED:
        concerns["explained"] = (
            f"The sources explain {100 * report.explained:.1f} % of the data; the rest is taken "
            "for noise. Don't read the estimate; average more trials, or pass a noise_cov."
        )
    if largest > _LARGEST_CURRENT:
        concerns["amplitude"] = (
            f"The largest current is {largest:.2g} A·m, more than any patch of cortex carries. "
            "MNE's unit is V: divide data in µV by 1e6, and check the forward solution's unit."
        )
    # filtered windows that are hardly longer have few dimensions in time, too
    rank = _rank(data) if n_times > 2 * prepared.n_rank else prepared.n_rank
    if prepared.n_rank / 2 < rank < prepared.n_rank:  # less is a simulation without noise
        concerns["rank"] = (
            f"The data have rank {rank}, the whitener {prepared.n_rank}: channels were "
            "interpolated, or components removed. Pass a noise_cov made from data cleaned in the "
            "same way, or mark interpolated channels as bad."
        )
    share = 0.0 if level is None else np.mean(np.asarray(level) < _LEVEL)
    if share > _LARGEST_REGION:
        concerns["region"] = (
            f"The strongest source may be nearly anywhere: the region that holds it with "
            f"{100 * _LEVEL:.0f} % probability has {100 * share:.0f} % of all locations. Don't "
            "read its place; average more trials, use more electrodes, or pass a noise_cov."
        )
    return concerns, float(max(distances))


def doubt_steadiness(steadiness):
    """Say that the answer depends on the window.

    Parameters
    ----------
    steadiness : Steadiness
        Of :func:`mne_mmnet.inverse.steadiness.compare_windows`.

    Returns
    -------
    text : str
        The reason, in words; empty if there is none.
    """
    if not steadiness.distance_mm > _STEADY_MM:  # NaN: nothing was compared
        return ""
    return (
        f"The strongest region lies {steadiness.distance_mm:.0f} mm away when only a shorter "
        "window around the same moment is looked at. Several sources may be active: crop to the "
        "response of interest, and compare windows before you read a place."
    )


def warn(text):
    """Warn so that the warning points at the user's line.

    Parameters
    ----------
    text : str
        The warning.
    """
    mne.utils.warn(text, module="mne_mmnet", ignore_namespaces=("mne", "mne_mmnet"))


class Tally:
    """Concerns of many recordings, each reason to be said once.

    Parameters
    ----------
    noun : str
        What the recordings are, in the plural.
    """

    def __init__(self, noun):
        self.noun, self.n_total = noun, 0
        self.texts, self.counts = {}, Counter()

    def add(self, concerns):
        """Take note of one recording's concerns, of :func:`find_concerns`."""
        self.n_total += 1
        self.counts.update(concerns.keys())
        for kind, text in concerns.items():
            self.texts.setdefault(kind, text)

    def tell(self, silent=()):
        """Warn of each reason; log those of a kind that is usual for such recordings."""
        for kind, text in self.texts.items():
            if kind in SAID_BEFORE:
                continue
            text = f"{self.counts[kind]} of {self.n_total} {self.noun}, such as: {text}"
            if kind in silent:
                logger.info(f"    {text}")
            else:
                warn(text)


def _noise_power(prepared, n_values):
    """Return the expected mean square of whitened noise, and its relative standard error.

    A covariance S that is the plain average over ν samples fits these better than others:
    E tr(S⁻¹ Σ)/n = ν/(ν − n − 1), the mean of an inverse Wishart distribution.
    """
    n, spare = prepared.n_rank, prepared.noise_nfree - prepared.n_rank - 1
    if not 0 < spare < np.inf:
        return 1.0, np.sqrt(2.0 / n_values)
    return prepared.noise_nfree / spare, np.sqrt(2.0 / n_values + 2.0 / (n * spare))


def _rank(data):
    values = np.linalg.svd(data, compute_uv=False)
    return int((values > _SINGULAR * values.max(initial=0.0)).sum())
