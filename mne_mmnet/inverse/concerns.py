"""Reasons not to trust an answer, in words; and how far a recording is from the training."""

from collections import Counter

import numpy as np
from mne.utils import logger

from .._mne import SMALLEST_CURRENT, warn
from .check_channels import doubt_channels, doubt_rank

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
# V: fields of evoked responses of the brain stem have a hundred times as much
_SMALLEST_VOLTAGE = 1e-9
# share of the data's power that is an offset
_OFFSET = 0.9
_SAID_BEFORE = ("n_channels", "ch_types")
_MIXED_RANKS = (
    "The data's rank is not that of the whitener, and other directions are missing from one to "
    "the next: channels were interpolated in single ones. Average them, drop those with "
    "interpolated channels, or mark these channels as bad in all."
)


def outside(card, quantity, value):
    """Measure how far a recording lies outside the model's training domain.

    0 inside, or where the card names no range; else in octaves, or for a ``quantity`` in dB in
    units of 10 dB.
    """
    low, high = card.domain.get(quantity, (value, value))
    if quantity.endswith("_db"):
        return max(low - value, value - high, 0.0) / 10.0
    return max(np.log2(low / value), np.log2(value / high), 0.0)


def say_outside(card, quantity, value, unit):
    """Say that a recording lies outside the training domain."""
    low, high = card.domain[quantity]
    return (
        f"{value:.4g} {unit} is outside the training domain of {card.name} ({low:g} to {high:g}). "
        "The descent certificate holds all the same, but the estimate may be worse than the "
        "model's benchmarks."
    )


def say_foreign(card, prepared):
    """Say that there are channels of a type that the model has never seen; empty if not."""
    seen = card.domain.get("ch_types", ["eeg"])
    if set(prepared.ch_types) <= set(seen):
        return ""
    return (
        f"{card.name} was trained on simulated {'/'.join(seen).upper()} only; MEG is outside its "
        "training domain. The descent certificate holds all the same, but the estimate may be "
        "worse than the model's benchmarks: compare it with MNE's methods."
    )


def find_concerns(
    operator,
    data,
    report,
    largest,
    level=None,
    *,
    sensors=None,
    known=None,
    n_times=None,
    in_time=True,
):
    """Collect what speaks against an answer.

    Parameters
    ----------
    operator : MMNetOperator
        The prepared operator.
    data : array of shape (n_rank, n_times)
        Whitened data.
    report : SolverReport
        What the solver did.
    largest : float
        Largest current of the estimate, A·m.
    level : array of shape (n_sources,) | None
        Of :class:`mne_mmnet.inverse.routes.Spread`, where the uncertainty was asked for.
    sensors : array of shape (n_channels, n_times) | None
        The data of ``operator.prepared.ch_names`` in V, T and T/m, where they are at hand.
    known : dict of str | None
        What is known of the recording's electrodes, whatever its data.
    n_times : float | None
        Samples that the data stand for, where they are a factor of a covariance; None is as many
        as there are.
    in_time : bool
        Whether the columns are samples in their order, rather than such a factor's.

    Returns
    -------
    concerns : dict of str
        Text by kind: those of ``prepared.doubts``, "n_channels", "ch_types", "flat", "copies",
        "channel", "disorder", "drift", "exchanged", "noise", "snr_db", "explained", "amplitude",
        "tiny", "rank" or "region".
    score : float
        See :class:`SolverReport`.
    """
    card, prepared = operator.card, operator.prepared
    concerns = prepared.doubts | (known or {})
    n_times = data.shape[1] if n_times is None else n_times
    n_channels = len(prepared.ch_names)
    distances = [outside(card, "n_channels", n_channels)]
    if distances[0] > 0:
        concerns["n_channels"] = say_outside(card, "n_channels", n_channels, "channels")
    if foreign := say_foreign(card, prepared):
        concerns["ch_types"] = foreign
    if sensors is not None:
        concerns |= doubt_channels(sensors, prepared.ch_names)
    stands_out = True
    if prepared.noise_is_known:
        power = np.mean(np.square(data))
        noise, error = _noise_power(prepared, len(data) * n_times)
        excess = power / noise - 1.0
        snr_db = 10.0 * np.log10(max(excess, 1e-3))
        distances.append(outside(card, "snr_db", snr_db))
        stands_out = excess >= _STANDARD_ERRORS * error
        if not stands_out:
            concerns["noise"] = (
                f"The data are not distinguishable from noise: their whitened power is "
                f"{power:.2f}, that of noise alone is {noise:.3g} (signal-to-noise ratio outside "
                f"the training domain of {card.name}). Don't read the estimate; average more "
                "trials, or check noise_cov and nave."
            )
        elif distances[-1] > 0:
            concerns["snr_db"] = say_outside(card, "snr_db", snr_db, "dB (power of signal)")
    if stands_out and report.explained < _LEAST_EXPLAINED:
        remedy = (
            "check the rank of noise_cov, and that it and the data were cleaned in the same way"
            if prepared.noise_is_known
            else "average more trials, or pass a noise_cov"
        )
        concerns["explained"] = (
            f"The sources explain {100 * report.explained:.1f} % of the data; the rest is taken "
            f"for noise. Don't read the estimate; {remedy}."
        )
    if operator.channel_model is not None:
        doubts = operator.channel_model.doubt(data, in_time)
        if "explained" in concerns:
            # slow noise that is white over the channels looks as channels in disorder do
            reasons = [doubts.pop(kind) for kind in ("disorder", "drift") if kind in doubts]
            concerns["explained"] += "".join(f" Or: {text}" for text in reasons)
        concerns |= doubts
    found = stands_out and "explained" not in concerns
    concerns |= doubt_amplitude(prepared.ch_types, data, largest, sensors, found)
    if text := doubt_rank(data, prepared.whitener, prepared.ch_names, n_times):
        concerns["rank"] = text
    share = 0.0 if level is None else np.mean(np.asarray(level) < _LEVEL)
    if share > _LARGEST_REGION:
        concerns["region"] = (
            f"The strongest source may be nearly anywhere: the region that holds it with "
            f"{100 * _LEVEL:.0f} % probability has {100 * share:.0f} % of all locations. Don't "
            "read its place; average more trials, use more electrodes, or pass a noise_cov."
        )
    return concerns, float(max(distances))


def doubt_amplitude(ch_types, data, largest, sensors, found):
    """Say that currents are too large for any cortex, or too small where something was found.

    Parameters
    ----------
    ch_types : tuple of str
        Of the channels.
    data : array of shape (n_rank, n_times)
        The data that were localised, of any unit.
    largest : float
        Largest current of the estimate, A·m.
    sensors : array of shape (n_channels, n_times) | None
        The data of these channels in V, T and T/m, where they are at hand.
    found : bool
        Whether the data stand out from the noise.

    Returns
    -------
    concerns : dict of str
        Text by kind: "amplitude" or "tiny".
    """
    if largest > _LARGEST_CURRENT:
        power = np.square(data).sum()
        offset = data.shape[1] * np.square(data.mean(axis=1)).sum()
        if data.shape[1] > 1 and offset > _OFFSET * power:
            remedy = (
                f"{100 * offset / power:.0f} % of the data's power is their mean over the window: "
                "apply a baseline or a high-pass"
            )
        elif set(ch_types) == {"eeg"}:
            remedy = (
                "MNE's unit is V: divide data in µV by 1e6, and check the forward solution's unit"
            )
        else:
            remedy = (
                "MNE's units are T, T/m and V: check those of data and forward solution, and "
                "apply a baseline or a high-pass"
            )
        return {
            "amplitude": (
                f"The largest current is {largest:.2g} A·m, more than any patch of cortex "
                f"carries. {remedy}."
            )
        }
    is_eeg = np.array(ch_types) == "eeg"
    volts = np.inf
    if sensors is not None and is_eeg.any():
        volts = np.abs(np.asarray(sensors)[is_eeg]).max(initial=0.0)
    if (found and 0 < largest < SMALLEST_CURRENT) or 0 < volts < _SMALLEST_VOLTAGE:
        return {
            "tiny": (
                f"The largest current is {largest:.2g} A·m"
                + (f", of data of {volts:.2g} V at most" if np.isfinite(volts) else "")
                + ": smaller than any amplifier measures. MNE's unit is V: data were divided by "
                "1e6 too often, or are of another unit."
            )
        }
    return {}


def doubt_steadiness(steadiness):
    """Say that the answer depends on the window; empty if it does not."""
    if not steadiness.distance_mm > _STEADY_MM:  # NaN: nothing was compared
        return ""
    return (
        f"The strongest region lies {steadiness.distance_mm:.0f} mm away when only a shorter "
        "window around the same moment is looked at. Several sources may be active: crop to the "
        "response of interest, and compare windows before you read a place."
    )


def say(concerns, prepared, tell=warn):
    """Warn of concerns that were not said when the lead field was prepared."""
    for kind, text in concerns.items():
        if kind not in _SAID_BEFORE and prepared.doubts.get(kind) != text:
            tell(text)


class Tally:
    """Concerns of many recordings, each reason to be said once.

    Parameters
    ----------
    noun : str
        What the recordings are, in the plural.
    prepared : PreparedForward
        The prepared forward solution, with what was said when it was prepared.
    """

    def __init__(self, noun, prepared):
        self.noun, self.prepared, self.n_total = noun, prepared, 0
        self.texts, self.counts, self.ranks = {}, Counter(), set()

    def add(self, concerns):
        """Take note of one recording's concerns, of :func:`find_concerns`."""
        self.n_total += 1
        self.counts.update(concerns.keys())
        for kind, text in concerns.items():
            self.texts.setdefault(kind, text)
        if "rank" in concerns:
            self.ranks.add(concerns["rank"])

    def tell(self, silent=()):
        """Warn of each reason; log those of a kind that is usual for such recordings."""

        def counted(kind, text):
            return f"{self.counts[kind]} of {self.n_total} {self.noun}, such as: {text}"

        if len(self.ranks) > 1:
            self.texts["rank"] = _MIXED_RANKS
        loud = {
            kind: text if self.prepared.doubts.get(kind) == text else counted(kind, text)
            for kind, text in self.texts.items()
        }
        for kind in set(silent) & set(loud):
            logger.info(f"    {loud.pop(kind)}")
        say(loud, self.prepared)


def _noise_power(prepared, n_values):
    """Return the expected mean square of whitened noise, and its relative standard error.

    A covariance S that is the plain average over ν samples fits these better than others:
    E tr(S⁻¹ Σ)/n = ν/(ν − n − 1), the mean of an inverse Wishart distribution.
    """
    n, spare = prepared.n_rank, prepared.noise_nfree - prepared.n_rank - 1
    if not 0 < spare < np.inf:
        return 1.0, np.sqrt(2.0 / n_values)
    return prepared.noise_nfree / spare, np.sqrt(2.0 / n_values + 2.0 / (n * spare))
