"""A family of perturbed template heads, computed once and cached as one file."""

import hashlib
import json
import warnings
from dataclasses import asdict
from pathlib import Path

import mne
import numpy as np
from mne.utils import ProgressBar, logger, verbose
from scipy.spatial import cKDTree

from .._cache import find_cached, keep_in_cache
from .._files import check_writable
from .._mne import describe_source_space, source_graph
from ..template import make_template_bem, make_template_forward
from .archive import HeadArchive
from .variety import HeadVariety

# MNE 1.13 renamed the first one
_MONTAGES = (
    "colin27_1005" if "colin27_1005" in mne.channels.get_builtin_montages() else "standard_1005",
    "biosemi256",
    "GSN-HydroCel-256",
)
_TEN_TEN = (
    "colin27_1020" if "colin27_1020" in mne.channels.get_builtin_montages() else "standard_1020"
)
# older names of T7, T8, P7 and P8: the same places
_ALIASES = ("T3", "T4", "T5", "T6")
_FORMAT = 2
# sources of a volume grid stay that far from the inner skull (mm)
_DEPTH_MM = 5.0


# skull ratio, thickness factor, electrode displacement
STANDARD_HEAD = (50.0, 1.0, 0.0)


def _ten_ten_info():
    """Make one info of the 90 electrodes of the 10–10 system, in head coordinates."""
    names = [
        name
        for name in mne.channels.make_standard_montage(_TEN_TEN).ch_names
        if name not in _ALIASES
    ]
    info = mne.create_info(names, 1.0, "eeg")
    info.set_montage(_TEN_TEN)
    positions = np.array([ch["loc"][:3] for ch in info["chs"]])
    return info, positions, np.zeros(len(names), int)


def _electrode_info():
    """All electrodes of the montages, in head coordinates, as one info."""
    infos = []
    for montage in _MONTAGES:
        names = mne.channels.make_standard_montage(montage).ch_names
        info = mne.create_info(names, 1.0, "eeg")
        info.set_montage(montage)
        mne.rename_channels(info, {name: f"{montage}-{name}" for name in names})
        infos.append(info)
    groups = np.repeat(np.arange(len(infos)), [len(info["ch_names"]) for info in infos])
    names = [name for info in infos for name in info["ch_names"]]
    merged = mne.create_info(names, 1.0, "eeg")
    positions = np.array([ch["loc"][:3] for info in infos for ch in info["chs"]])
    # one electrode of a standard montage lies where another one does (T7 and T3): keep one
    _, unique = np.unique(
        np.round(np.column_stack([groups, positions * 1e3]), 1), axis=0, return_index=True
    )
    unique = np.sort(unique)
    merged = mne.pick_info(merged, unique)
    return merged, positions[unique], groups[unique]


def _standard_layouts(electrodes, groups):
    """Electrodes (of one group) nearest to those of each of MNE's standard layouts."""
    layouts = {}
    for name in mne.channels.get_builtin_montages():
        montage = mne.channels.make_standard_montage(name)
        if name.startswith("artinis") or len(montage.ch_names) > 300:
            continue  # optodes; the 10-5 system, which is itself what is chosen from
        info = mne.create_info(montage.ch_names, 1.0, "eeg")
        info.set_montage(montage)
        wanted = np.array([channel["loc"][:3] for channel in info["chs"]])
        best = None
        for group in np.unique(groups):
            members = np.flatnonzero(groups == group)
            distance, nearest = cKDTree(electrodes[members]).query(wanted)
            if best is None or distance.mean() < best[0]:
                best = distance.mean(), np.unique(members[nearest])
        layouts[name] = best[1]
    return layouts


def _source_space(spacing, bem):
    """Cortical spacing, or ``"volN"``: a grid of N mm inside the inner skull."""
    if not spacing.startswith("vol"):
        return spacing
    return mne.setup_volume_source_space(pos=float(spacing[3:]), bem=bem, mindist=_DEPTH_MM)


@verbose
def make_head_archive(
    path=None,
    *,
    n_heads=10,
    spacing="ico3",
    seed=0,
    montage=None,
    variety=None,
    verbose=None,
):
    """Lead fields of perturbed template heads.

    The first head is the standard one: brain 50 times as conductive as the skull, electrodes in
    place.

    Parameters
    ----------
    path : path-like | None
        File to read, or to write where it does not exist. None is a file in the user's cache.
    n_heads : int
        Number of heads.
    spacing : str
        Source-space spacing, as in :func:`mne_mmnet.make_template_forward`, or ``"vol12"`` for a
        volume grid of 12 mm (any number).
    seed : int
        Seed of the perturbations.
    montage : str | None
        ``"10-10"`` for the 90 electrodes of MNE's montage of that system (``standard_1020``, named
        ``colin27_1020`` since MNE 1.13), ears and mastoids among them; T3, T4, T5 and T6, older
        names of T7, T8, P7 and P8, are left out. None is the 10–5 system, Biosemi 256 and HydroCel
        256 side by side, without names.
    variety : HeadVariety | None
        How the other heads differ from it; None is the default ``HeadVariety()``.
    %(verbose)s

    Returns
    -------
    heads : HeadArchive
        The lead fields.
    """
    if montage not in (None, "10-10"):
        raise ValueError(f"montage must be '10-10' or None, got {montage!r}.")
    variety = HeadVariety() if variety is None else variety
    if path is None:
        key = json.dumps([_FORMAT, n_heads, spacing, seed, montage, asdict(variety)])
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        name = f"heads/heads-{spacing}-{digest}.npz"
        if found := find_cached(name):
            return HeadArchive.read(found)
    elif Path(path).exists():
        return HeadArchive.read(path)
    else:
        check_writable(path)  # before minutes of work
    rng = np.random.default_rng(seed)
    nominal, electrodes, groups = _electrode_info() if montage is None else _ten_ten_info()
    gains, src = [], None
    logger.info(f"Computing the lead fields of {n_heads} heads ({len(electrodes)} electrodes) …")
    for head in ProgressBar(range(n_heads), mesg=f"Heads, {spacing}"):
        ratio, thickness, jitter = variety.draw(rng) if head else STANDARD_HEAD
        info = nominal.copy()
        moved = electrodes + 1e-3 * jitter * rng.standard_normal(electrodes.shape) / np.sqrt(3)
        for channel, position in zip(info["chs"], moved, strict=True):
            channel["loc"][:3] = position
        bem = make_template_bem(
            conductivity=(0.3, 0.3 / ratio, 0.3), skull_thickness=thickness, verbose="error"
        )
        # the brain is that of the standard head: all heads have the same sources
        src = _source_space(spacing, bem) if src is None else src
        with warnings.catch_warnings():
            # generic spherical montages stand off the template's scalp; they are projected on it
            warnings.filterwarnings(
                "ignore", message=".*from the scalp.*", category=RuntimeWarning
            )
            fwd = make_template_forward(info, src, bem=bem, medial_wall=True, verbose="error")
        gain = fwd["sol"]["data"].reshape(len(electrodes), -1, 3)
        gains.append(gain.astype(np.float32))
    adjacency = source_graph(fwd["src"])
    archive = HeadArchive(
        gains=np.stack(gains),
        electrodes=electrodes * 1e3,
        groups=groups,
        positions=fwd["source_rr"] * 1e3,
        normals=np.concatenate([space["nn"][space["vertno"]] for space in fwd["src"]]),
        adjacency=adjacency,
        source_space=describe_source_space(
            [space["vertno"] for space in fwd["src"]], fwd["src"][0]["subject_his_id"]
        ),
        ch_names=None if montage is None else tuple(nominal["ch_names"]),
        is_volume=spacing.startswith("vol"),
        layouts=_standard_layouts(electrodes, groups) if montage is None else {},
    )
    if path is None:
        keep_in_cache(name, archive.save)
    else:
        archive.save(path)
    return archive
