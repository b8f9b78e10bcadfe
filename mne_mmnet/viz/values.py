"""What pictures take from source estimates, checked."""

import mne
import numpy as np
from mne.utils import _validate_type

from .._mne import check_estimate_values


def check_estimate(stc, name="stc"):
    """Check an estimate on surfaces, and take the lengths of its vectors."""
    _validate_type(stc, (mne.SourceEstimate, mne.VectorSourceEstimate), name)
    if isinstance(stc, mne.VectorSourceEstimate):
        stc = stc.magnitude()
    check_estimate_values(stc, name)
    return stc


def find_sample(stc, time):
    """Find the sample nearest to a time (s); None is that of the largest value."""
    _validate_type(time, ("numeric", None), "time")
    if time is None:
        return int(np.argmax(np.abs(stc.data).max(axis=0)))
    if stc.times[0] - stc.tstep <= time <= stc.times[-1] + stc.tstep:
        return int(np.argmin(np.abs(stc.times - time)))
    raise ValueError(
        f"time must be within {stc.times[0]:g} and {stc.times[-1]:g} s, got {time:g}."
    )


def check_subject(stc, subject):
    """Find out whose estimate it is."""
    subject = stc.subject if subject is None else subject
    if subject is None:
        raise ValueError("stc does not say whose it is. Give the name of the subject.")
    return subject


def check_region(region, stc, level):
    """Turn a confidence region into rows of an estimate.

    A level is that of an uncertainty's region. Also returned is what it is, for a legend.
    """
    if region is None:
        return None, None
    label = "given region"
    if hasattr(region, "confidence"):
        theirs, ours = region.confidence.vertices, stc.vertices
        same = (np.array_equal(a, b) for a, b in zip(theirs, ours, strict=False))
        if len(theirs) != len(ours) or not all(same):
            raise ValueError(
                "region belongs to other sources than stc. Take both from one call of "
                "apply_mmnet_inverse."
            )
        label = f"{100 * level:g} % confidence region"
        region = region.region(level)
    region = np.asarray(region)
    if region.dtype != bool or region.shape != (len(stc.data),):
        raise ValueError(
            "region must be an Uncertainty or an array of bool with one value for each of the "
            f"{len(stc.data)} sources of stc, got {region.dtype} of shape {region.shape}."
        )
    return region, label


def split(rows, stc):
    """Split rows into those of the left and the right hemisphere."""
    return None if rows is None else np.split(rows, [len(stc.vertices[0])])
