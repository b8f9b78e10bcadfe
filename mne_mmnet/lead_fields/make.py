"""Forward solutions of plain arrays, such as other programs make."""

import mne
import numpy as np
from mne.transforms import apply_trans, invert_transform
from mne.utils import _validate_type, logger, verbose

from .plausible import LEAST_CORRELATION, RATIOS, compare, explain
from .surfaces import (
    find_hemispheres,
    make_normals,
    make_points,
    make_surface_space,
    split,
)

_FREE = mne.io.constants.FIFF.FIFFV_MNE_FREE_ORI
_FIXED = mne.io.constants.FIFF.FIFFV_MNE_FIXED_ORI
# mean over channels of average-referenced columns, relative to their root-mean-square
_MEAN_TOLERANCE = 1e-3
_UNIT_TOLERANCE = 1e-2
# how many channels, with which orientation, the check of plausibility needs
_FEWEST = 8


@verbose
def make_forward_from_arrays(
    leadfield,
    positions,
    info,
    *,
    normals=None,
    triangles=None,
    hemispheres=None,
    subject=None,
    reference=None,
    trans=None,
    check=True,
    verbose=None,
):
    """Make a forward solution of a lead field that was computed elsewhere.

    The result is an ordinary :class:`mne.Forward`: for :func:`apply_mmnet_inverse`, for MNE's own
    methods, and to be written with :func:`mne.write_forward_solution`.

    Parameters
    ----------
    leadfield : array | list of array
        In V/(A·m) (T/(A·m), T/m/(A·m) for MEG), channels in the order of ``info``: of shape
        (n_channels, n_sources, 3); (n_channels, 3 * n_sources), the three columns of each source
        together; a list of n_sources arrays (n_channels, 3); or (n_channels, n_sources), of
        currents along ``normals``.
    positions : array of shape (n_sources, 3)
        Places of the sources in m, head coordinates: x to the right, y to the nose, z up; those
        of the electrodes in ``info``.
    info : mne.Info
        Names, types and positions of the channels: exactly those of the lead field.
    normals : array of shape (n_sources, 3) | None
        Unit vectors. None computes them from ``triangles``, and points of a volume have none.
    triangles : array of int, shape (n_triangles, 3) | None
        Of the mesh of the cortex whose vertices the sources are, from 0. With them it is a surface
        source space; without, a cloud of points, whose estimates are
        :class:`mne.VolSourceEstimate`.
    hemispheres : array of shape (n_sources,) | None
        "lh" or "rh" of each source. None takes the two pieces of the mesh.
    subject : str | None
        Name of the subject.
    reference : None | "average" | str
        Reference of an EEG lead field: "average", or a channel's name, are checked. Localisation
        re-references lead field and data alike, so that none is wrong.
    trans : mne.Transform | None
        From head to MRI coordinates, for MNI coordinates and plots. None is the identity.
    check : bool
        Whether to compare an EEG lead field with that of a homogeneous medium, which tells wrong
        units, axes and orders.
    %(verbose)s

    Returns
    -------
    fwd : mne.Forward
        Sources of a surface come left hemisphere first, in the order of each; others in theirs.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes, units, axes, order or reference can't be right; the message says what they
        look like.

    Notes
    -----
    **Brainstorm** (``headmodel_*.mat``): ``leadfield=Gain`` (V/(A·m), three columns a source),
    ``positions=GridLoc``, ``normals=GridOrient``; of the cortex ``triangles=Faces - 1``, and
    ``hemispheres`` from its ``Atlas`` "Structures". **FieldTrip** (``ft_prepare_leadfield``):
    ``leadfield=leadfield.leadfield`` of what is ``inside``, ``positions=leadfield.pos``,
    ``triangles=leadfield.tri - 1``, ``hemispheres`` from ``brainstructure``; after
    ``ft_convert_units`` to m. Both have x to the nose and y to the left: turn places, normals and
    columns, (x, y, z) → (−y, x, z), and take the electrodes from the same file.

    Examples
    --------
    >>> fwd = mne_mmnet.make_forward_from_arrays(gain, places, info)  # doctest: +SKIP
    """
    _validate_type(info, mne.Info, "info")
    _validate_type(subject, (str, None), "subject")
    _validate_type(reference, (str, None), "reference")
    _validate_type(trans, (mne.Transform, None), "trans")
    _validate_type(check, bool, "check")
    trans = _head_to_mri(trans)
    positions = _numbers(positions, "positions")
    if positions.ndim != 2 or positions.shape[1] != 3 or len(positions) == 0:
        raise ValueError(f"positions must have the shape (n_sources, 3), got {positions.shape}.")
    gain = _shape_gain(leadfield, len(info["ch_names"]), len(positions))
    if normals is not None:
        normals = _unit_vectors(normals, len(positions))
    if triangles is not None:
        triangles = _check_triangles(triangles, len(positions))
    elif hemispheres is not None:
        raise ValueError("hemispheres belong to a surface. Pass triangles= too.")
    if normals is None and triangles is not None:
        normals = make_normals(positions, triangles)
    is_fixed = gain.shape[2] == 1
    if is_fixed and normals is None:
        raise ValueError(
            "A lead field with one column a source needs normals= (or triangles=), along which "
            "its currents flow."
        )
    ch_types = _check_channels(info)
    is_eeg = ch_types == "eeg"
    _check_reference(
        gain[is_eeg], reference, [info["ch_names"][k] for k in np.flatnonzero(is_eeg)]
    )
    if check and is_eeg.sum() >= _FEWEST:
        electrodes = np.array([info["chs"][k]["loc"][:3] for k in np.flatnonzero(is_eeg)])
        _check_plausible(gain[is_eeg], electrodes, positions, normals if is_fixed else None)
    spaces, order = _spaces(positions, normals, triangles, hemispheres, subject)
    fwd = _assemble(gain[:, order], info, spaces, is_fixed, trans)
    logger.info(
        f"Forward solution of {len(info['ch_names'])} channels and {len(positions)} sources"
    )
    return fwd


def _numbers(array, name):
    array = np.asarray(array)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be an array of real numbers, got {array.dtype}.")
    array = array.astype(float)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has values that are not finite.")
    return array


def _shape_gain(leadfield, n_channels, n_sources):
    """Bring a lead field to (n_channels, n_sources, 1 or 3)."""
    if isinstance(leadfield, list | tuple):
        shapes = {np.shape(one) for one in leadfield}
        if shapes != {(n_channels, 3)}:
            raise ValueError(
                f"A list of lead fields must hold arrays of shape ({n_channels} channels, 3), got "
                f"{sorted(shapes)}. Leave out sources outside of the brain, which have none."
            )
        leadfield = np.stack(leadfield, axis=1)
    gain = _numbers(leadfield, "leadfield")
    shapes = {
        (n_channels, n_sources, 3): gain,
        (n_channels, 3 * n_sources): gain,
        (n_channels, n_sources): gain,
    }
    if gain.shape not in shapes:
        hint = " Transpose it." if gain.T.shape in shapes else ""
        raise ValueError(
            f"With {n_channels} channels in info and {n_sources} positions, leadfield must have "
            f"the shape {', '.join(map(str, shapes))}, got {gain.shape}.{hint}"
        )
    return gain.reshape(n_channels, n_sources, -1)


def _unit_vectors(normals, n_sources):
    normals = _numbers(normals, "normals")
    if normals.shape != (n_sources, 3):
        raise ValueError(f"normals must have the shape ({n_sources}, 3), got {normals.shape}.")
    lengths = np.linalg.norm(normals, axis=1)
    if not np.allclose(lengths, 1.0, atol=_UNIT_TOLERANCE):
        raise ValueError(
            f"normals must be unit vectors, got lengths from {lengths.min():.3g} to "
            f"{lengths.max():.3g}. Divide them by their lengths."
        )
    return normals / lengths[:, np.newaxis]


def _check_triangles(triangles, n_sources):
    triangles = np.asarray(triangles)
    if triangles.dtype.kind not in "iu" or triangles.ndim != 2 or triangles.shape[1] != 3:
        raise ValueError(
            f"triangles must be integers of shape (n_triangles, 3), got {triangles.dtype} of "
            f"shape {triangles.shape}."
        )
    low, high = triangles.min(), triangles.max()
    if low < 0 or high >= n_sources:
        hint = " Subtract 1: they start from 1." if (low, high) == (1, n_sources) else ""
        raise ValueError(
            f"triangles must hold numbers of the {n_sources} sources from 0, got {low} to {high}."
            f"{hint}"
        )
    return triangles.astype(np.int32)


def _check_channels(info):
    ch_types = np.array(info.get_channel_types())
    foreign = sorted(set(ch_types) - {"eeg", "mag", "grad"})
    if foreign:
        raise ValueError(
            f"info has channels of type {', '.join(foreign)}, which no lead field has. Pick those "
            "of the lead field: mne.pick_info, or raw.copy().pick(names).info."
        )
    places = np.array([channel["loc"][:3] for channel in info["chs"]])
    without = ~np.isfinite(places).all(axis=1) | ~places.any(axis=1)
    if without.any():
        names = [name for name, no in zip(info["ch_names"], without, strict=True) if no]
        raise ValueError(
            f"{len(names)} channels have no position, such as {names[0]}. Call set_montage."
        )
    return ch_types


def _check_reference(gain, reference, names):
    """Check that the lead field has the reference that it is said to have."""
    if reference is None or len(gain) == 0:
        return
    rms = np.sqrt(np.mean(np.square(gain)))
    if reference == "average":
        found = np.abs(gain.mean(axis=0)).max()
        if found > _MEAN_TOLERANCE * rms:
            raise ValueError(
                f"The lead field is not average-referenced: the mean over channels is up to "
                f"{found / rms:.2g} of its size. Leave reference=None; localisation re-references "
                "it."
            )
        return
    if reference not in names:
        raise ValueError(
            f'reference must be None, "average" or one of the EEG channels, got {reference!r}.'
        )
    found = np.abs(gain[names.index(reference)]).max()
    if found > _MEAN_TOLERANCE * rms:
        raise ValueError(
            f"The lead field is not referenced to {reference}, whose row should be zero, or its "
            "channels have another order than info."
        )


def _check_plausible(gain, electrodes, positions, directions):
    correlation, ratio = compare(gain, electrodes, positions, directions)
    logger.info(
        f"    Correlation with a homogeneous medium {correlation:.2f}, size {ratio:.2g} times its"
    )
    if ratio == 0:
        raise ValueError(
            "The lead field has the same values at all electrodes: nothing can be told from it. "
            "Check what was exported. (check=False takes it as it is.)"
        )
    if correlation < LEAST_CORRELATION:
        guess = explain(gain, electrodes, positions, directions)
        guess = f"It looks as if {guess}." if guess else "Check the order of channels and columns."
        raise ValueError(
            f"The lead field does not fit electrodes and sources: its correlation with that of a "
            f"homogeneous medium is {correlation:.2f}, those of head models 0.88 to 0.96. {guess} "
            "(check=False takes it as it is.)"
        )
    low, high = RATIOS
    if not low <= ratio <= high:
        raise ValueError(
            f"The lead field is {ratio:.2g} times that of a homogeneous medium, where head models "
            f"have {low:g} to {high:g}: its unit is not V/(A·m), or that of the positions not m. "
            "Multiply µV/(nA·m) by 1e3. (check=False takes it as it is.)"
        )


def _spaces(positions, normals, triangles, hemispheres, subject):
    """Source spaces, and the order in which they hold the sources."""
    if triangles is None:
        order = np.arange(len(positions))
        nn = np.tile([0.0, 0.0, 1.0], (len(positions), 1)) if normals is None else normals
        return [make_points(positions, nn, subject)], order
    if hemispheres is None:
        is_right = find_hemispheres(positions, triangles)
    else:
        sides = np.asarray(hemispheres)
        if sides.shape != (len(positions),) or not np.isin(sides, ("lh", "rh")).all():
            raise ValueError('hemispheres must hold "lh" or "rh" for each source.')
        is_right = sides == "rh"
    if is_right.all() or not is_right.any():
        raise ValueError(
            "There is one hemisphere only, which MNE has no source estimate for. Keep both, or "
            "leave out triangles for a cloud of points."
        )
    if positions[is_right, 0].mean() < positions[~is_right, 0].mean():
        raise ValueError(
            "The right hemisphere lies to the left of the left one: the hemispheres are swapped, "
            "or x does not point to the right."
        )
    spaces, order = [], []
    for hemi, mask, tris in zip(
        ("lh", "rh"), (~is_right, is_right), split(triangles, is_right), strict=True
    ):
        rows = np.flatnonzero(mask)
        spaces.append(make_surface_space(hemi, positions[rows], normals[rows], tris, subject))
        order.append(rows)
    return spaces, np.concatenate(order)


def _assemble(gain, info, spaces, is_fixed, trans):
    """Put everything into MNE's structure, which a forward solution of one source lends."""
    shell = _shell(info, trans)
    index = {name: k for k, name in enumerate(info["ch_names"])}
    rows = [index[name] for name in shell["sol"]["row_names"]]
    n_channels, n_sources, n_orient = gain.shape
    data = np.ascontiguousarray(gain[rows].reshape(n_channels, -1))
    normals = np.concatenate([space["nn"] for space in spaces])
    shell.update(
        source_ori=_FIXED if is_fixed else _FREE,
        _orig_source_ori=_FIXED if is_fixed else _FREE,
        surf_ori=is_fixed,
        nsource=n_sources,
        src=mne.SourceSpaces(spaces),
        source_rr=np.concatenate([space["rr"] for space in spaces]),
        source_nn=normals if is_fixed else np.tile(np.eye(3), (n_sources, 1)),
        sol_grad=None,
        _orig_sol=data.copy(),
    )
    shell["sol"].update(data=data, nrow=n_channels, ncol=n_sources * n_orient, col_names=[])
    return shell


def _shell(info, trans):
    """Forward solution of the same channels and a single source."""
    own = info.copy()
    own["bads"] = []
    trans = mne.Transform("head", "mri") if trans is None else trans
    place = apply_trans(trans, np.array([[0.0, 0.0, 0.05]]))
    place = dict(rr=place, nn=np.array([[0.0, 0.0, 1.0]]))
    src = mne.setup_volume_source_space(pos=place, verbose="error")
    sphere = mne.make_sphere_model((0.0, 0.0, 0.04), 0.09, verbose="error")
    ch_types = set(info.get_channel_types())
    fwd = mne.make_forward_solution(
        own,
        trans,
        src,
        sphere,
        meg=bool(ch_types & {"mag", "grad"}),
        eeg="eeg" in ch_types,
        mindist=0.0,
        verbose="error",
    )
    fwd["info"]["bads"] = list(info["bads"])
    return fwd


def _head_to_mri(trans):
    """Turn a transform so that it leads from head to MRI coordinates."""
    frames = mne.io.constants.FIFF
    ends = {frames.FIFFV_COORD_HEAD, frames.FIFFV_COORD_MRI}
    if trans is None:
        return None
    if {trans["from"], trans["to"]} != ends:
        raise ValueError("trans must lead from head to MRI coordinates.")
    return trans if trans["from"] == frames.FIFFV_COORD_HEAD else invert_transform(trans)
