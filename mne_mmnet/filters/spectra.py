"""Filters on spectra and time–frequency coefficients: linear where these are complex."""

import numpy as np
from mne.time_frequency import AverageTFR, EpochsSpectrum, EpochsTFR

from .._mne import check_like


def currents_of_tfr(tfr, readouts):
    """Yield, for each frequency, the estimates of a time–frequency transform.

    Parameters
    ----------
    tfr : mne.time_frequency.AverageTFR | mne.time_frequency.EpochsTFR
        Complex coefficients.
    readouts : list of Readout
        The product for each frequency.

    Yields
    ------
    stcs : stc | list
        Of an average one estimate, of epochs a list; lists of tapers in place of estimates, where
        there are several.
    """
    data = complex_data(tfr)
    # channels in front of frequencies and times; tapers, if any, lie between
    has_epochs = not isinstance(tfr, AverageTFR)
    channel = int(has_epochs)
    data = np.moveaxis(data, (channel, -2), (-2, 0))
    place = dict(tmin=float(tfr.times[0]), tstep=1.0 / tfr.info["sfreq"])
    picks = _check(tfr, data, readouts[0].filters)
    # (epochs, tapers, channels, times)
    for one, readout in zip(data, readouts, strict=True):
        yield _nest(one, picks, readout, place)


def currents_of_spectrum(spectrum, readout):
    """Yield the estimates of a spectrum, whose samples are frequencies.

    Parameters
    ----------
    spectrum : mne.time_frequency.Spectrum | mne.time_frequency.EpochsSpectrum
        Complex spectrum.
    readout : Readout
        The product.

    Yields
    ------
    stcs : stc | list
        Of each epoch, or of each taper or segment; lists of these where there are both.
    """
    data, freqs = complex_data(spectrum), spectrum.freqs
    channel = int(isinstance(spectrum, EpochsSpectrum))
    if spectrum.method == "welch" and data.ndim - channel == 3:  # segments come last
        data = np.moveaxis(data, -1, channel)
        channel += 1
    data = np.moveaxis(data, channel, -2)
    place = dict(tmin=float(freqs[0]), tstep=float(freqs[1] - freqs[0]) if len(freqs) > 1 else 1.0)
    picks = _check(spectrum, data, readout.filters)
    for one in data if data.ndim > 2 else data[np.newaxis]:
        yield _nest(one, picks, readout, place)


def complex_data(inst):
    """Get the coefficients of a transform; powers have no phase, hence no currents."""
    data = inst.data
    if np.iscomplexobj(data):
        return data
    makes = "compute_tfr" if isinstance(inst, AverageTFR | EpochsTFR) else "compute_psd"
    raise TypeError(
        f"The {type(inst).__name__} holds powers, of which there are no currents: complex values "
        f'are needed. Use {makes}(..., output="complex"), or localise the power with '
        "apply_mmnet_inverse_csd."
    )


def _check(inst, data, filters):
    picks, _ = check_like(inst.info, data, filters.ch_names, filters.projector, "filters")
    return picks


def _nest(data, picks, readout, place):
    """Source estimates of data of shape (..., n_channels, n_times), in as many lists."""
    if data.ndim > 2:
        return [_nest(one, picks, readout, place) for one in data]
    return readout.wrap(readout(data[picks]), place)
