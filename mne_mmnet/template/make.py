"""The template head: a cortex, a three-layer head model and forward solutions, without a download.

All of it is made from files that lie inside the packages ``mne`` (scalp and inner skull of
fsaverage, fiducials, coregistration) and ``nilearn`` (fsaverage5 cortex), and is kept in the
user's cache.
"""

import functools
import hashlib
import logging
from pathlib import Path

import mne
import numpy as np
from mne.bem import ConductorModel
from mne.transforms import Transform, invert_transform
from mne.utils import ProgressBar, _check_option, _validate_type, logger, verbose

from .._mne import POSITIONS, bring_to_head, head_to_template, warn
from .._support.cache import find_cached, keep_in_cache
from .._support.files import whole_file
from . import surfaces
from .cortex import leave_out_wall
from .electrodes import pick_electrodes, place_on_template, warn_far_electrodes
from .fit import fit_template, scale_source_space, why_not_scaled
from .kept import kept_forward, name_forward

_CONDUCTIVITY = (0.3, 0.006, 0.3)  # S/m: brain, skull, scalp
_STANDARD = (_CONDUCTIVITY, 1.0, (1.0, 1.0, 1.0))  # conductivity, skull thickness, scales
_FSAVERAGE_SURF = ("surf/lh.white", "surf/rh.white", "surf/lh.sphere", "surf/rh.sphere")
_SHELLS = ("bem/inner_skull.surf", "bem/outer_skull.surf", "bem/outer_skin.surf")
_FSAVERAGE_SOLUTION = "bem/fsaverage-5120-5120-5120-bem-sol.fif"


@verbose
def fetch_template(subjects_dir=None, *, verbose=None):
    """Write the template subject ``fsaverage5`` once, from files that are already installed.

    Nothing is downloaded. The subject appears whole or not at all, also when several processes
    ask for it at the same time, and a complete one is never modified.

    Parameters
    ----------
    subjects_dir : path-like | None
        Where to put the subject. None is the user's cache: a folder in the directory that the
        environment variable ``MNE_MMNET_CACHE`` names, else in the system's cache directory
        (``~/.cache/mne_mmnet`` on Linux).
    %(verbose)s

    Returns
    -------
    subjects_dir : pathlib.Path
        The directory that holds ``fsaverage5``, to be used as MNE's ``subjects_dir``.

    Raises
    ------
    FileExistsError
        If another subject of that name is there already.
    OSError
        If the place is full, read-only or forbidden.

    Warns
    -----
    RuntimeWarning
        If the cache cannot be written: then the subject is kept as long as the process lives.

    See Also
    --------
    find_template : Prefers MNE's own fsaverage.

    Notes
    -----
    The subject has ``surf/{lh,rh}.{white,pial,inflated,sphere,sphere.reg,curv,sulc}`` with 10242
    vertices for each hemisphere, ``label/{lh,rh}.cortex.label``, all but the medial wall (not used
    here, see :func:`on_cortex`), and in ``bem`` the closed, nested surfaces
    ``inner_skull.surf``, ``outer_skull.surf`` and ``outer_skin.surf`` (2562 vertices each, mm),
    the scalp, the fiducials and the coregistration. Coordinates are those of fsaverage (surface
    RAS, which equal MNI305). It has no MRI volumes and no parcellation.

    Its vertices are the first 10242 ones of each hemisphere of MNE's fsaverage, so that
    ``stc.subject = "fsaverage"`` makes an estimate one of fsaverage. To have it filled in there
    with :func:`mne.compute_source_morph`, write the template beside it:
    ``fetch_template(subjects_dir)``.
    """
    if subjects_dir is None:
        name = f"subjects/{surfaces.SUBJECT}"
        found = find_cached(name, surfaces.is_template)
        return (found or keep_in_cache(name, _build)).parent
    target = Path(subjects_dir).expanduser().absolute() / surfaces.SUBJECT
    if not surfaces.is_template(target):
        _build(target)
    return target.parent


def _build(target):
    """Write the template subject to where its name fits."""
    logger.info(f"Writing the template subject {target} ...")
    surfaces.build_template(target.parent)
    logger.info("[done]")


@verbose
def find_template(subjects_dir=None, *, verbose=None):
    """Choose the template head: MNE's own fsaverage, else ``fsaverage5`` from the cache.

    Parameters
    ----------
    subjects_dir : path-like | None
        Where to look for a subject. None is MNE's configured ``SUBJECTS_DIR``. Nothing is
        written there.
    %(verbose)s

    Returns
    -------
    subject : str
        ``"fsaverage"`` or ``"fsaverage5"``.
    subjects_dir : pathlib.Path
        The directory that holds it.
    """
    if subjects_dir is None:
        subjects_dir = mne.get_config("SUBJECTS_DIR")
    if subjects_dir is not None:
        subjects_dir = Path(subjects_dir).expanduser().absolute()
        fsaverage = subjects_dir / "fsaverage"
        has_bem = (fsaverage / _FSAVERAGE_SOLUTION).is_file() or _has(fsaverage, _SHELLS)
        if has_bem and _has(fsaverage, _FSAVERAGE_SURF):
            return "fsaverage", subjects_dir
        if surfaces.is_template(subjects_dir / surfaces.SUBJECT):
            return surfaces.SUBJECT, subjects_dir
    return surfaces.SUBJECT, fetch_template()


def _has(directory, names):
    return all((directory / name).is_file() for name in names)


def _check_positive(name, given, meaning):
    values = np.atleast_1d(np.asarray(given, float))
    if values.shape != (3,) or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"{name} must be three positive numbers{meaning}, got {given!r}.")
    return tuple(values.tolist())


@verbose
def make_template_bem(
    *,
    ico=3,
    conductivity=_CONDUCTIVITY,
    subjects_dir=None,
    skull_thickness=1.0,
    scales=(1.0, 1.0, 1.0),
    cache=None,
    verbose=None,
):
    """Make the three-layer head model of the template head.

    Parameters
    ----------
    ico : int
        Grade of the surfaces: 3 (642 vertices each, seconds) or 4 (2562 vertices each, about a
        minute and 0.5 GB).
    conductivity : array-like of shape (3,)
        Conductivities of brain, skull and scalp (S/m).
    subjects_dir : path-like | None
        Where to look for MNE's own fsaverage, see :func:`find_template`. Its ready-made solution
        is taken when it has one, whatever ``ico``, as long as conductivity, skull thickness and
        scales are the standard ones.
    skull_thickness : float
        Multiplies the thickness of the skull, of which at least 2 mm remain. The scalp keeps its
        thickness and moves with the skull.
    scales : array-like of shape (3,)
        Multiply the head along its axes: to the right, to the front, up.
    cache : bool | None
        Whether to keep the solution in the user's cache (15 MB at ico 3) and take it from there.
        None keeps that of standard conductivity, thickness and scales only.
    %(verbose)s

    Returns
    -------
    bem : instance of mne.bem.ConductorModel
        The solution, in MRI coordinates.

    Raises
    ------
    ValueError
        If ``ico``, ``conductivity``, ``skull_thickness`` or ``scales`` makes no sense.
    """
    if ico not in (3, 4):
        raise ValueError(f"ico must be 3 or 4, got {ico!r}.")
    conductivity = _check_positive(
        "conductivity", conductivity, " (S/m) for brain, skull and scalp"
    )
    scales = _check_positive("scales", scales, " for right, front and up")
    if not (np.isfinite(skull_thickness) and skull_thickness > 0):
        raise ValueError(f"skull_thickness must be a positive factor, got {skull_thickness!r}.")
    subject, subjects_dir = find_template(subjects_dir)
    shape = (conductivity, skull_thickness, scales)
    standard = shape == _STANDARD
    solution = subjects_dir / subject / _FSAVERAGE_SOLUTION
    if subject == "fsaverage" and standard and solution.is_file():
        return mne.read_bem_solution(solution)
    if not _has(subjects_dir / subject, _SHELLS):
        raise ValueError(
            f"{subjects_dir / subject / 'bem'} lacks inner_skull.surf, outer_skull.surf or "
            "outer_skin.surf, which this conductivity, skull_thickness or scales needs. Complete "
            "it with mne.datasets.fetch_fsaverage(), or use the standard values."
        )
    keep = standard if cache is None else cache
    name = _bem_name(subject, subjects_dir, ico, shape)
    if keep and (found := find_cached(name)):
        return mne.read_bem_solution(found)
    surfs = mne.make_bem_model(subject, ico, conductivity, subjects_dir)
    if skull_thickness != 1.0:
        surfs = surfaces.reshape_skull(surfs, ico, skull_thickness)
    if scales != _STANDARD[2]:
        surfs = surfaces.scale_shells(surfs, scales)
    bem = mne.make_bem_solution(surfs)
    if not keep:
        return bem

    def write(path):
        with whole_file(path) as scratch:
            mne.write_bem_solution(scratch, bem)

    # Also the first call reads the file: its single precision gives all the same numbers.
    return mne.read_bem_solution(keep_in_cache(name, write))


def _bem_name(subject, subjects_dir, ico, shape):
    """Name a solution's file by all it depends on: no other head is mistaken for it."""
    digest = hashlib.sha256()
    if shape != _STANDARD:
        digest.update(repr(shape).encode())
    for name in _SHELLS:
        digest.update((subjects_dir / subject / name).read_bytes())
    return f"bem/{subject}-ico{ico}-{digest.hexdigest()[:16]}-bem-sol.fif"


def _make_source_space(spacing, subject, subjects_dir, medial_wall):
    """Set up the source space."""
    try:
        src = mne.setup_source_space(subject, spacing, subjects_dir=subjects_dir, add_dist=False)
    except (RuntimeError, ValueError) as exc:
        raise ValueError(
            f"spacing {spacing!r} cannot be made on subject {subject!r}: {exc} It is 'ico' or "
            "'oct' and a number, such as 'ico3', or a distance in mm, such as 10. The finest on "
            "fsaverage5 are 'ico5' and 'oct6'; MNE's own fsaverage (mne.datasets.fetch_fsaverage) "
            "has more vertices."
        ) from exc
    if not medial_wall:
        leave_out_wall(src)
    return src


def _check_source_space(src):
    """Check a source space of the user's."""
    for space in src:
        name = space.get("subject_his_id")
        if name not in (None, "", "fsaverage", surfaces.SUBJECT):
            raise ValueError(
                f"The source space belongs to subject {name!r}, not to the template head. Use "
                "mne.make_forward_solution with that subject's own BEM and coregistration."
            )


def _fit(fit, info, src, bem, subject, subjects_dir):
    """Fit the template to the electrodes, if that is wanted and can be done."""
    reason = "" if src is None else why_not_scaled(src)
    reason = f"the source space {reason}" if reason else ""
    if bem is not None:
        reason = "bem is given, whose solution is that of one size"
    elif not _has(subjects_dir / subject, _SHELLS):
        reason = f"{subjects_dir / subject / 'bem'} lacks the surfaces of the head"
    if fit is False or (fit == "auto" and reason):
        return None, ""
    if reason:
        raise ValueError(
            f"The template cannot be fitted: {reason}. Use fit=False, or give spacing by name and "
            "leave out bem."
        )
    return fit_template(info, subjects_dir / subject / _SHELLS[2], force=fit is True)


def _describe(bem_given, conductivity, fitted):
    """Note of a head model that files of forward solutions have room for."""
    values = "of the given bem" if bem_given else repr(tuple(float(x) for x in conductivity))
    size = "" if fitted is None else ", fitted"
    return f"make_template_forward(conductivity={values}{size})"


@verbose
def make_template_forward(
    info,
    spacing="ico3",
    *,
    bem=None,
    bem_ico=3,
    conductivity=_CONDUCTIVITY,
    subjects_dir=None,
    mindist=0.0,
    medial_wall=False,
    fit="auto",
    positions="auto",
    n_jobs=None,
    verbose=None,
):
    """Compute a forward solution on the template head for any EEG montage.

    Parameters
    ----------
    info : instance of mne.Info
        Its EEG channels, bad ones included, need positions: from :meth:`mne.io.Raw.set_montage`
        or digitised. Bad channels without a position are left out. Not modified.
    spacing : str | int | instance of mne.SourceSpaces
        Spacing of the cortical sources as in :func:`mne.setup_source_space` (``"ico3"``: 642 for
        each hemisphere, ``"ico4"``: 2562, ``"oct5"``: 1026, ..., before the medial wall is left
        out), or a source space of the template subject, which is used as it is.
    bem : instance of mne.bem.ConductorModel | None
        The head model. None makes that of :func:`make_template_bem` from the next two
        parameters, which are not used otherwise.
    bem_ico : int
        Grade of the BEM surfaces, 3 or 4.
    conductivity : array-like of shape (3,)
        Conductivities of brain, skull and scalp (S/m).
    subjects_dir : path-like | None
        Where to look for MNE's own fsaverage, see :func:`find_template`.
    mindist : float
        Least distance (mm) of the sources from the inner skull; nearer ones are left out.
    medial_wall : bool
        Whether to keep the sources on the medial wall, where the hemispheres are cut apart and
        there is no cortex: 109 of the 1284 of ``"ico3"``. See :func:`on_cortex`. Morph estimates
        that lack them with ``smooth="nearest"``: by default,
        :func:`mne.compute_source_morph` smooths until the wall is full, and all else with it.
    fit : "auto" | bool
        Whether to scale the template along its three axes, and to place it, so that digitised
        electrodes, head-shape points and fiducials fit its scalp. "auto" does so where the
        electrodes were measured, which is not so if they equal a built-in montage, and the points
        settle the scales to 4 %% (some 20 electrodes with fiducials do); and where ``bem`` is not
        given. It takes a few seconds more: the head model has to be solved for every size.
    positions : "auto" | "as given"
        Where the electrodes are. Positions that equal a built-in montage, or are as regular as a
        drawing, are no measurement: "auto" puts electrodes with names of the 10-05 system where
        ``fsaverage_1005`` has them on the template (MNE 1.13 on), and fits other such caps to its
        scalp; digitised ones are kept. "as given" keeps all. Positions whose digitised points are
        in ``mri`` or ``mni_tal`` coordinates are taken for the template's own.
    %(n_jobs)s
    %(verbose)s

    Returns
    -------
    fwd : instance of mne.Forward
        Free orientation, EEG only; ``fwd["sol"]["data"]`` has shape (n_channels, 3 * n_sources)
        in V/(A·m). For normals use :func:`mne.convert_forward_solution`.

    Raises
    ------
    TypeError
        If ``info`` or ``bem`` is of another type.
    ValueError
        If there are no EEG channels, if some have no position, if a source space of another
        subject is given, if ``spacing`` is finer than the template's surfaces, or if ``fit`` is
        asked for and cannot be; if positions are not in m, or in an unknown coordinate frame; if
        EEG channels are differences of two electrodes.

    Warns
    -----
    RuntimeWarning
        If positions are no head coordinates (axes, frame, mirror image, order of names, size), or
        single electrodes are more than 30 mm away from the scalp; digitised points fit no head,
        scaled by less than a quarter: then the template is used as it is; or sources lie outside
        the inner skull, and are left out.

    Notes
    -----
    Head coordinates, defined by nasion and preauricular points, are brought to the template by
    MNE's standard coregistration of fsaverage (``trans="fsaverage"``), or by the fit, and the
    electrodes are projected onto the scalp. Points that are off, and those on the face, hardly
    count in a fit. Vertex numbers and subject stay those of the template: a fitted forward
    solution is plotted and morphed like any other. On fsaverage5, with spacing by name and no
    ``bem``, the solutions of the last 32 caps are kept in the user's cache.
    """
    _validate_type(info, mne.Info, "info")
    _validate_type(bem, (ConductorModel, None), "bem")
    _validate_type(medial_wall, bool, "medial_wall")
    _validate_type(fit, (bool, str), "fit")
    if isinstance(fit, str):
        _check_option("fit", fit, ("auto",))
    _check_option("positions", positions, POSITIONS)
    info = pick_electrodes(info)
    # a fit that is asked for is one to the points as they are
    moved, placed = place_on_template(info, "as given" if fit is True else positions)
    fit = False if moved and fit == "auto" else fit
    bar = ProgressBar(3, mesg="Template forward")
    # MNE's own account of each step would tear the bar apart
    with mne.use_log_level(max(logger.level, logging.WARNING)):
        subject, subjects_dir = find_template(subjects_dir)
        src = spacing if isinstance(spacing, mne.SourceSpaces) else None
        if src is not None:
            _check_source_space(src)
        fitted, message = _fit(fit, info, src, bem, subject, subjects_dir)
        trans, scales = "fsaverage", _STANDARD[2]
        if fitted is not None:
            trans, scales = Transform("head", "mri", fitted.trans), fitted.scales
        bar.update(1)
        # the same cap on the template that is made here: the same solution
        keep = bem is None and src is None and subject == surfaces.SUBJECT
        bem_given = bem is not None
        if bem is None:
            bem = make_template_bem(
                ico=bem_ico, conductivity=conductivity, subjects_dir=subjects_dir, scales=scales
            )
        bar.update(2)

        def solve():
            space = src
            if space is None:
                space = _make_source_space(spacing, subject, subjects_dir, medial_wall)
            if fitted is not None:
                space = scale_source_space(space, scales)
            compute = functools.partial(
                mne.make_forward_solution, meg=False, eeg=True, mindist=mindist, n_jobs=n_jobs
            )
            if bem["is_sphere"]:
                # MNE compares sources in MRI coordinates with a centre in head coordinates: here
                # the two are one
                head_mri_t = head_to_template()
                space = bring_to_head(space, head_mri_t)
                fwd = compute(info, Transform("head", "mri"), space, bem)
                fwd["mri_head_t"] = invert_transform(head_mri_t)
                with fwd["info"]._unlock():
                    fwd["info"]["mri_head_t"] = fwd["mri_head_t"]
            else:
                fwd = compute(info, trans, space, bem)
            omitted = sum(hemi["nuse"] for hemi in space) - fwd["nsource"]
            if not omitted:
                return fwd, []
            left = (
                f"{omitted} of {omitted + fwd['nsource']} sources outside the inner skull or too "
                "near to it are left out."
            )
            return fwd, [left]

        if keep:
            what = (spacing, bem_ico, tuple(np.ravel(conductivity)), mindist, medial_wall)
            what = (*what, str(trans), tuple(np.ravel(scales)))
            files = [subjects_dir / subject / each for each in (*_FSAVERAGE_SURF, *_SHELLS)]
            fwd, notes = kept_forward(name_forward(info, what, files), info, solve)
        else:
            fwd, notes = solve()
        # kept in files, and read by the report
        with fwd["info"]._unlock():
            fwd["info"]["command_line"] = _describe(bem_given, conductivity, fitted)
        bar.update(3)
    del bar  # ends its line
    for note in [placed, message] if message else [placed]:
        logger.info(note)
    for note in notes:
        # sources are asked to be left out by mindist alone
        logger.info(note) if mindist > 0 else warn(note)
    logger.info(
        f"Forward solution of subject {subject}: {fwd['nchan']} channels, "
        f"{fwd['nsource']} sources [done]"
    )
    warn_far_electrodes(fwd, bem)
    return fwd
