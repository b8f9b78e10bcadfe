"""A family of perturbed template heads, computed once and cached as one file."""

import hashlib
import json
import warnings
from dataclasses import asdict
from pathlib import Path

import mne
import numpy as np
from mne.utils import ProgressBar, logger, verbose

from .._mne import describe_source_space, source_graph
from .._support.cache import find_cached, keep_in_cache
from .._support.files import check_writable
from ..template.make import make_template_bem, make_template_forward
from .archive import HeadArchive
from .electrodes import electrode_info, standard_layouts, ten_ten_info
from .variety import HeadVariety

_FORMAT = 2
DEPTH_MM = 5.0
"""Sources of a volume grid stay that far from the inner skull."""
# skull ratio, thickness factor, electrode displacement
_STANDARD_HEAD = (50.0, 1.0, 0.0)


def _source_space(spacing, bem):
    """Cortical spacing, or ``"volN"``: a grid of N mm inside the inner skull."""
    if not spacing.startswith("vol"):
        return spacing
    return mne.setup_volume_source_space(pos=float(spacing[3:]), bem=bem, mindist=DEPTH_MM)


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
    nominal, electrodes, groups = electrode_info() if montage is None else ten_ten_info()
    gains, src = [], None
    logger.info(f"Computing the lead fields of {n_heads} heads ({len(electrodes)} electrodes) …")
    for head in ProgressBar(range(n_heads), mesg=f"Heads, {spacing}"):
        ratio, thickness, jitter = variety.draw(rng) if head else _STANDARD_HEAD
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
            # and are jittered on purpose
            warnings.filterwarnings("ignore", message=".*lectrodes.*", category=RuntimeWarning)
            fwd = make_template_forward(
                info, src, bem=bem, medial_wall=True, positions="as given", verbose="error"
            )
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
        layouts=standard_layouts(electrodes, groups) if montage is None else {},
    )
    if path is None:
        keep_in_cache(name, archive.save)
    else:
        archive.save(path)
    return archive
