"""Applying filters: one function for every container of MNE, and for plain arrays."""

import mne
import numpy as np
from mne.time_frequency import (
    AverageTFR,
    CrossSpectralDensity,
    EpochsSpectrum,
    EpochsTFR,
    Spectrum,
)
from mne.utils import _check_option, _validate_type, logger, verbose

from .._mne import check_channel_axis, check_like, check_numbers, check_values, warn
from ..inverse.arguments import check_count
from ..inverse.concerns import doubt_amplitude
from ..inverse.epochs import each_epoch
from ..inverse.raw import check_range
from .channels import fit_filters, for_units
from .container import MMNetFilters
from .power import power_of_covariance, power_of_csd
from .readout import Readout
from .spectra import currents_of_spectrum, currents_of_tfr

_CONTAINERS = (
    mne.Evoked,
    mne.BaseEpochs,
    mne.io.BaseRaw,
    AverageTFR,
    EpochsTFR,
    Spectrum,
    EpochsSpectrum,
    mne.Covariance,
    CrossSpectralDensity,
    np.ndarray,
)
# samples whose size is looked at
_LOOKED_AT = 1000
_SEVERAL = (mne.BaseEpochs, AverageTFR, EpochsTFR, Spectrum, EpochsSpectrum)


@verbose
def apply_mmnet_filters(
    inst,
    filters,
    *,
    info=None,
    label=None,
    pick_ori=None,
    start=None,
    stop=None,
    buffer_size=None,
    return_as="list",
    verbose=None,
):
    """Apply filters to data of any kind.

    Channels are found by name, in any order and among any others. Where some are missing or bad,
    the filters are computed anew without them, under the same source variances, and the log says
    so. Complex data (spectra, time–frequency coefficients, analytic signals) have complex
    currents.

    Parameters
    ----------
    inst : mne.Evoked | mne.BaseEpochs | mne.io.BaseRaw | \
            mne.time_frequency.AverageTFR | mne.time_frequency.EpochsTFR | \
            mne.time_frequency.Spectrum | mne.time_frequency.EpochsSpectrum | \
            mne.Covariance | mne.time_frequency.CrossSpectralDensity | \
            array of shape (..., n_channels, n_times)
        The data, EEG average-referenced (a pending projector is enough); not changed. Spectra and
        time–frequency transforms must be complex (``output="complex"``): of powers there are no
        currents.
    filters : MMNetFilters
        Of :func:`make_mmnet_filters`.
    info : mne.Info | None
        The channels of an array, in its order and in the unit that it declares (``unit_mul``), or
        the projectors of a covariance.
    label : mne.Label | mne.BiHemiLabel | None
        Restrict the currents to a label, before they take memory.
    pick_ori : None | "normal" | "vector"
        As in :func:`apply_mmnet_inverse`. Currents are linear in the data with "normal", "vector"
        and filters of fixed orientation; None otherwise gives lengths. Not "vector" for powers.
    start, stop : int | None
        First sample of continuous data, and the one after the last.
    buffer_size : int | None
        Samples of continuous data that are read together, which bounds the memory beside the
        result. None is 10,000.
    return_as : "list" | "generator" | "array"
        What epochs, spectra and time–frequency data return: source estimates in a list, one after
        the other, or their values in one array.
    %(verbose)s

    Returns
    -------
    stc : mne.SourceEstimate | mne.VectorSourceEstimate | mne.VolSourceEstimate | ...
        In A·m, of the class that :func:`apply_mmnet_inverse` returns.

        * Evoked, Raw: one.
        * Epochs: a list or generator of one each; an array of shape (n_epochs, ...).
        * AverageTFR: one for each frequency.
        * EpochsTFR: for each frequency one for each epoch, as of
          :func:`mne.minimum_norm.apply_inverse_tfr_epochs`; an array of shape (n_freqs,
          n_epochs, ...).
        * Spectrum, EpochsSpectrum: one, or one for each epoch, whose times are frequencies in Hz.
        * Where there are several tapers or segments, a list of them in place of each.
        * Covariance: power in (A·m)², one sample; CrossSpectralDensity: as many as it has
          frequencies.
        * array: an array of shape (..., n_sources, n_times) or (..., n_sources, 3, n_times).

    Raises
    ------
    TypeError
        If an argument has the wrong type, or spectra are not complex.
    ValueError
        If fewer than half of the channels are there, types, projectors or reference of the data
        are not those of the filters, or values are not finite; the message says what to do.
    RuntimeError
        If ``pick_ori="normal"`` and the source space has no normals.

    Warns
    -----
    RuntimeWarning
        If currents are larger than any cortex carries, or data smaller than any amplifier
        measures, as where the unit is wrong.

    Notes
    -----
    Memory beside the data: 8 bytes a returned number (16 if complex), and some tens of MB.

    Examples
    --------
    >>> stc = mne_mmnet.apply_mmnet_filters(raw, filters, label=label)  # doctest: +SKIP
    """
    _validate_type(inst, _CONTAINERS, "inst")
    _validate_type(filters, MMNetFilters, "filters")
    if isinstance(inst, np.ndarray):
        check_numbers(inst)
    _check_option("return_as", return_as, ("list", "generator", "array"))
    _check_option("pick_ori", pick_ori, (None, "normal", "vector"))
    _check_given(inst, info, start, stop, buffer_size, return_as)
    filters = _fit(filters, inst, info)
    if isinstance(inst, mne.Covariance):
        return power_of_covariance(inst, filters, info, label, pick_ori)
    if isinstance(inst, CrossSpectralDensity):
        return power_of_csd(inst, filters, info, label, pick_ori)
    readout = Readout(filters, label, pick_ori)
    if isinstance(inst, np.ndarray):
        return _apply_array(inst, info, filters, readout)
    if isinstance(inst, mne.Evoked):
        return _apply_evoked(inst, filters, readout)
    if isinstance(inst, mne.io.BaseRaw):
        return _apply_raw(inst, filters, readout, start, stop, buffer_size)
    if isinstance(inst, mne.BaseEpochs):
        if return_as == "array":
            return _epochs_array(inst, filters, readout)
        stcs = _apply_epochs(inst, filters, readout)
    elif isinstance(inst, AverageTFR | EpochsTFR):
        stcs = currents_of_tfr(inst, [readout] * len(inst.freqs))
    else:
        stcs = currents_of_spectrum(inst, readout)
    if return_as == "generator":
        return stcs
    stcs = list(stcs) if isinstance(inst, _SEVERAL) else stcs
    if return_as == "array":
        return _stack(stcs)
    # a spectrum of one taper is one estimate
    return stcs[0] if type(inst) is Spectrum and inst.data.ndim == 2 else stcs


def _check_given(inst, info, start, stop, buffer_size, return_as):
    """Refuse arguments that belong to another kind of data."""
    _validate_type(info, (mne.Info, None), "info")
    takes_info = (np.ndarray, mne.Covariance, CrossSpectralDensity)
    if isinstance(inst, np.ndarray) and info is None:
        raise ValueError("An array has no channel names. Pass info=, in the array's order.")
    if info is not None and not isinstance(inst, takes_info):
        raise ValueError("The data have an info of their own. Leave info=None.")
    if not isinstance(inst, mne.io.BaseRaw):
        given = dict(start=start, stop=stop, buffer_size=buffer_size)
        given = [name for name, value in given.items() if value is not None]
        if given:
            raise ValueError(
                f"{', '.join(given)} belong to continuous data. Crop the data instead."
            )
    if return_as != "list" and not isinstance(inst, _SEVERAL):
        raise ValueError(
            f'return_as="{return_as}" is for epochs, spectra and time–frequency data. Use '
            "stc.data for an array."
        )


def _fit(filters, inst, info):
    """Fit filters to the channels of the data."""
    if isinstance(inst, mne.Covariance):
        return fit_filters(filters, inst["names"], inst["bads"])
    if isinstance(inst, CrossSpectralDensity):
        return fit_filters(filters, inst.ch_names)
    info = inst.info if info is None else info
    return for_units(fit_filters(filters, info["ch_names"], info["bads"]), info)


def _apply_array(data, info, filters, readout):
    check_channel_axis(info, data)
    picks, _ = check_like(info, data, filters.ch_names, filters.projector, "filters")
    before, n_times = data.shape[:-2], data.shape[-1]
    out = np.empty((*before, *readout.shape, n_times), readout.dtype(data))
    for index in np.ndindex(before):
        readout(data[index][picks], out[index])
    first = (0,) * len(before)
    _say_size(data[first][picks], out[first], filters)
    return out


def _apply_evoked(evoked, filters, readout):
    picks, _ = check_like(evoked.info, evoked.data, filters.ch_names, filters.projector, "filters")
    place = dict(tmin=float(evoked.times[0]), tstep=1.0 / evoked.info["sfreq"])
    data = evoked.data[picks]
    currents = readout(data)
    _say_size(data, currents, filters)
    return readout.wrap(currents, place)


def _apply_epochs(epochs, filters, readout):
    """Yield source estimates, one an epoch."""
    place = dict(tmin=float(epochs.times[0]), tstep=1.0 / epochs.info["sfreq"])
    for currents in _each_epoch(epochs, filters, readout):
        yield readout.wrap(currents, place)


def _each_epoch(epochs, filters, readout):
    picks, verified = check_like(epochs.info, None, filters.ch_names, filters.projector, "filters")
    n_epochs = 0
    for data in each_epoch(epochs):
        check_values(epochs.info, data, picks, filters.ch_names, verified)
        currents = readout(data[picks])
        if n_epochs == 0:
            _say_size(data[picks], currents, filters)
        yield currents
        n_epochs += 1
    logger.info(f"Applied filters to {n_epochs} epochs")


def _epochs_array(epochs, filters, readout):
    """Put all epochs into one array, without holding them twice."""
    out, n_epochs = None, 0
    for currents in _each_epoch(epochs, filters, readout):
        if out is None:
            most = len(epochs) if epochs.preload else len(epochs.events)
            out = np.empty((most, *currents.shape), currents.dtype)
        out[n_epochs] = currents
        n_epochs += 1
    return out[:n_epochs]


def _apply_raw(raw, filters, readout, start, stop, buffer_size):
    """Read and localise piece by piece."""
    start, stop = check_range(start, stop, len(raw.times))
    check_count(buffer_size, "buffer_size")
    if buffer_size is None:
        buffer_size = 10_000
    names = filters.ch_names
    picks, verified = check_like(raw.info, None, names, filters.projector, "filters")
    # where the reference has to be seen in the values, it is that of all channels
    wanted = picks if verified else np.arange(len(raw.ch_names))
    inside = np.arange(len(picks)) if verified else picks
    out = None
    for first in range(start, stop, buffer_size):
        last = min(first + buffer_size, stop)
        data = raw.get_data(picks=wanted, start=first, stop=last)
        check_values(raw.info, data, inside, names, verified)
        if out is None:
            out = np.empty((*readout.shape, stop - start), readout.dtype(data))
        data = data if verified else data[picks]
        part = out[..., first - start : last - start]
        readout(data, part)
        if first == start:
            _say_size(data, part, filters)
    place = dict(tmin=float(raw.times[start]), tstep=1.0 / raw.info["sfreq"])
    logger.info(f"Applied filters to {stop - start} samples")
    return readout.wrap(out, place)


def _say_size(data, currents, filters):
    """Warn of the size of currents, seen in some samples; transforms have units of their own."""
    if np.iscomplexobj(data):
        return
    some = slice(None, None, 1 + data.shape[-1] // _LOOKED_AT)
    largest = np.abs(currents[..., some]).max(initial=0.0)
    data = data[:, some]
    for text in doubt_amplitude(filters.ch_types, data, largest, data, found=False).values():
        warn(text)


def _stack(stcs):
    """Nested lists of source estimates as one array."""
    if isinstance(stcs, list):
        return np.stack([_stack(one) for one in stcs])
    return stcs.data
