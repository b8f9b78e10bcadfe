"""What each electrode should measure, given the others: tells bad channels and names in disorder.

Currents of equal variance everywhere make data of covariance C = G Gᵀ; with some white noise, the
best linear prediction of channel i from all others leaves the error (C⁻¹ x)_i / (C⁻¹)_ii. Neither
needs names, and any montage will do.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import chi2

# white noise relative to the mean power of a channel
_NOISE = 0.05
_MIN_CHANNELS = 10
# times the median: 12 on clean simulations of 16 channels, 7 from 32 on, 48 in a good recording;
# an offset of 50 µV among responses of 1 µV makes 80 and more with 16 channels, 500 with 32
_LARGEST_ERROR = 60.0
# and so many times what noise alone reaches with this probability, which counts in few samples
_CHANCE, _BEYOND_CHANCE = 1e-3, 3.0
# a single source explains a channel's deviation as well as a fault of the channel does
_AS_GOOD = 1.0
# share of maps that a channel's neighbours don't predict, relative to that of white maps: clean
# ones reach 0.45 with 16 electrodes, 0.35 with 32; those of shuffled names are 0.6 and more
_DISORDER, _DISORDER_FEW, _FEW = 0.5, 0.6, 24
# channels are in order after all where one band of frequencies has less than this: names in
# another order spoil all of them, electrodes that drift, each on its own, the slow ones alone
_ORDER, _ORDER_FEW = 0.5, 0.4
# trends taken out are polynomials of these degrees, with so many samples for each coefficient
_TRENDS, _SAMPLES = (1, 3), 4
_DISORDERED = (
    "Channels are not what their neighbours predict, although the data stand out of noise: "
    "positions belong to other channels (names in another order), several channels are bad or "
    "drift (filter out what is slow), or the data are no potentials of a head. Compare the maps "
    "with those of a response that you know, such as an eye blink."
)
_DRIFT = (
    "Much of the data's power is slow, and differs between neighbouring channels as nothing in "
    "the head does: electrodes drift, each on its own, or have offsets. It is taken for noise, or "
    "for sources. High-pass filter the recording before it is averaged (from 0.1 to 1 Hz), take "
    "out linear trends, or apply a baseline."
)
# components that stand out of white noise by this factor, and hold this share of the power, count
_STANDS_OUT, _LEAST_SHARE = 3.0, 0.3
# two channels are exchanged where that lessens the prediction errors by more than this, times the
# errors' share of white data's, over channels and over dimensions ** 0.75: 2.5 times what chance
# reaches among all pairs. Fewer dimensions (singular values within 40 dB) tell nothing
_EXCHANGED, _LEAST_DIMENSIONS, _WITHIN = 50.0, 20, 1e-2


class ChannelModel(NamedTuple):
    """Prediction of each EEG channel from all others.

    Parameters
    ----------
    ch_names : tuple of str, length n_channels
        The EEG channels.
    unwhitener : array of shape (n_channels, n_rank)
        From whitened data to channels, each in units of its noise.
    covariance : array of shape (n_channels, n_channels)
        Of the data expected, with white noise.
    precision : array of shape (n_channels, n_channels)
        Its inverse.
    fields : array of shape (n_channels, n_sources, n_orient)
        Of single sources, in any unit.
    """

    ch_names: tuple
    unwhitener: np.ndarray
    covariance: np.ndarray
    precision: np.ndarray
    fields: np.ndarray

    @classmethod
    def build(cls, prepared):
        """Build it for a prepared lead field; None where it has too few EEG channels."""
        is_eeg = np.array(prepared.ch_types) == "eeg"
        if is_eeg.sum() < _MIN_CHANNELS:
            return None
        back = np.linalg.pinv(prepared.whitener)[is_eeg]
        back /= np.linalg.norm(back, axis=1, keepdims=True)
        fields = np.tensordot(back, prepared.leadfield, axes=1)
        flat = fields.reshape(len(back), -1)
        covariance = flat @ flat.T
        covariance /= np.trace(covariance) / len(covariance)
        covariance += _NOISE * np.eye(len(covariance))
        names = tuple(name for name, eeg in zip(prepared.ch_names, is_eeg, strict=True) if eeg)
        return cls(names, back, covariance, np.linalg.inv(covariance), fields)

    def doubt(self, whitened, in_time=True):
        """Say which channels don't go with the others, or that none does.

        Parameters
        ----------
        whitened : array of shape (n_rank, n_times)
            The data.
        in_time : bool
            Whether the columns are samples in their order, rather than a factor of a covariance:
            only then drift can be told.

        Returns
        -------
        doubts : dict of str
            Texts by kind: ``"channel"``, ``"disorder"``, ``"drift"``, ``"exchanged"``.
        """
        data = self.unwhitener @ whitened
        power = np.square(data).sum()
        if not 0 < power < np.inf:
            return {}
        data = data / np.sqrt(power)
        n_times = data.shape[1]
        chance = chi2.isf(_CHANCE / len(data), n_times) / chi2.median(n_times)
        limit = max(_LARGEST_ERROR, _BEYOND_CHANCE * chance)
        kept = np.arange(len(data))
        bad, ratio = [], 0.0
        # a bad channel spoils the predictions of its neighbours: the worst one is taken at a time
        while len(kept) > max(_MIN_CHANNELS, 0.8 * len(data)):
            precision = self._precision_of(kept)
            errors = precision @ data[kept]
            sizes = np.square(errors).sum(axis=1) / np.diag(precision)
            worst, median = int(sizes.argmax()), np.median(sizes)
            if not sizes[worst] > limit * median:
                break
            focal = self._is_source(data[kept], errors[worst], precision, kept, worst)
            if focal and not self._is_unpredicted(data[kept], kept):
                break
            ratio = max(ratio, sizes[worst] / max(median, 1e-300))
            bad.append(self.ch_names[kept[worst]])
            kept = np.delete(kept, worst)
        doubts = {}
        if bad:
            doubts["channel"] = _say_bad(bad, ratio)
        if len(kept) < _MIN_CHANNELS:
            return doubts
        if self._is_unpredicted(data[kept], kept):
            drifts = in_time and self._is_in_order(_without_drifts(data[kept]), kept)
            doubts |= {"drift": _DRIFT} if drifts else {"disorder": _DISORDERED}
        elif not bad and (pair := self._find_exchanged(data)):
            first, second = (self.ch_names[k] for k in pair)
            doubts["exchanged"] = (
                f"Channels {first} and {second} seem to be exchanged: each is what the other "
                "channels predict for the other one. Check the cables and the list of names, and "
                "correct the names; or mark both as bad and see whether the answer stays."
            )
        return doubts

    def _precision_of(self, kept):
        """Inverse of the covariance of some channels."""
        if len(kept) == len(self.covariance):
            return self.precision
        return np.linalg.inv(self.covariance[np.ix_(kept, kept)])

    def _find_exchanged(self, data):
        """Find the pair whose exchange lessens the prediction errors of all, beyond chance."""
        data = data - data.mean(axis=0)
        maps, values, _ = np.linalg.svd(data, full_matrices=False)
        values = values[values > _WITHIN * values[0]]
        if len(values) < _LEAST_DIMENSIONS:
            return None
        # amplitudes in place of powers: one focal source is one of many maps, a cable is in all
        maps = maps[:, : len(values)] * np.sqrt(values / values.sum())
        precision, spread = self.precision, maps @ maps.T
        errors = spread @ precision
        total = np.trace(errors)
        # xᵀKx with i and j exchanged is xᵀKx − 2 (x_i − x_j)((Kx)_i − (Kx)_j)
        # + (x_i − x_j)² (K_ii + K_jj − 2 K_ij)
        drop = 2 * _of_differences(errors) - _of_differences(spread) * _of_differences(precision)
        np.fill_diagonal(drop, -np.inf)
        n_channels = len(data)
        noisiness = total * n_channels / np.trace(precision)
        limit = _EXCHANGED * noisiness / (n_channels * len(values) ** 0.75)
        if not drop.max() > limit * total:
            return None
        pair = [int(k) for k in np.unravel_index(drop.argmax(), drop.shape)]
        # a bad channel is better left out than given another's place
        left_out = np.einsum("ij,ji->i", precision[pair], errors[:, pair]) / precision[pair, pair]
        return sorted(pair) if drop.max() > left_out.max() else None

    def _is_source(self, data, course, precision, kept, worst):
        """Whether a source near a channel explains its deviation better than a fault of it.

        The field of a strong, superficial source is focal; but it is no channel's alone.
        """
        pattern = data @ course / np.linalg.norm(course)
        projected = precision @ pattern
        by_fault = projected[worst] ** 2 / precision[worst, worst]
        fields = self.fields[kept]
        seen = np.einsum("csk,c->sk", fields, projected)
        turned = np.tensordot(precision, fields, axes=1)
        gram = np.einsum("csj,csk->sjk", fields, turned)
        # a little is added where a source has no field along a direction
        trace = np.trace(gram, axis1=1, axis2=2)[:, np.newaxis, np.newaxis]
        gram = gram + (1e-6 * trace + 1e-300) * np.eye(gram.shape[-1])
        by_source = np.einsum(
            "sk,sk->s", seen, np.linalg.solve(gram, seen[..., np.newaxis])[..., 0]
        )
        return by_source.max() > _AS_GOOD * by_fault

    def _is_unpredicted(self, data, kept):
        """Whether neighbours predict so little that positions may be those of other channels."""
        return self._disorder(data, kept) > (_DISORDER_FEW if len(kept) < _FEW else _DISORDER)

    def _is_in_order(self, bands, kept):
        """Whether neighbours predict one of several bands of the data well."""
        limit = _ORDER_FEW if len(kept) < _FEW else _ORDER
        return any(self._disorder(band, kept) <= limit for band in bands)

    def _disorder(self, data, kept):
        """Share of the standing-out maps that is not predicted, relative to that of white maps.

        NaN where too little stands out of noise.
        """
        data = data - data.mean(axis=0)
        maps, values, _ = np.linalg.svd(data, full_matrices=False)
        power = np.square(values)
        n_channels, n_times = data.shape
        # Marchenko and Pastur's edge for white noise of the median's size
        noise = np.median(power[: min(n_channels - 1, n_times)])
        aspect = np.sqrt(min(n_channels, n_times) / max(n_channels, n_times))
        edge = noise * ((1 + aspect) / max(1 - 0.5 * aspect, 0.5)) ** 2
        standing = power > _STANDS_OUT * edge
        if not power[standing].sum() > _LEAST_SHARE * power.sum():
            return np.nan
        precision = self._precision_of(kept)
        predictor = precision / np.diag(precision)[:, np.newaxis]
        missed = np.square(predictor @ maps[:, standing]).sum(axis=0)
        centre = np.eye(n_channels) - 1.0 / n_channels
        white = np.square(predictor @ centre).sum() / (n_channels - 1)
        return np.average(missed, weights=power[standing]) / white


def _without_drifts(data):
    """Yield data without their slow trends, and their differences from sample to sample."""
    n_times = data.shape[1]
    for degree in _TRENDS:
        if n_times >= _SAMPLES * (degree + 1):
            powers = np.polynomial.legendre.legvander(np.linspace(-1, 1, n_times), degree)
            trends = np.linalg.qr(powers)[0]
            yield data - data @ trends @ trends.T
    if n_times >= 2 * _SAMPLES:
        yield np.diff(data)


def _of_differences(products):
    """Products of differences (a_i − a_j)(b_i − b_j), from those of all pairs, a_i b_j."""
    own = np.diag(products)
    return own[:, np.newaxis] + own - products - products.T


def _say_bad(names, ratio):
    one = len(names) == 1
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return (
        f"Channel{'' if one else 's'} {shown} {'is' if one else 'are'} not what the other "
        f"channels predict (error {ratio:.0f} times the median): the fit leaves "
        f"{'it' if one else 'them'} aside, or puts a source under {'it' if one else 'them'}. If "
        f"{'it is' if one else 'they are'} bad, mark it in info['bads'] (or exchanged with "
        "another, correct the names); if the recording has an offset, apply a baseline."
    )
