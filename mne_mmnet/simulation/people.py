"""Lead fields of a population of people, computed once and cached, one file a source space."""

import hashlib
import json
import warnings
from dataclasses import asdict
from pathlib import Path

import mne
import numpy as np
from mne.io.constants import FIFF
from mne.parallel import parallel_func
from mne.transforms import apply_trans, invert_transform
from mne.utils import logger, verbose
from scipy.spatial import cKDTree

from .._mne import describe_source_space, source_graph
from .._support.cache import find_cached, keep_in_cache
from .._support.files import check_writable
from ..template import surfaces
from ..template.cortex import leave_out_wall
from ..template.make import fetch_template, find_template, make_template_bem
from .cortex import FineSources
from .electrodes import electrode_info, standard_layouts
from .grids import FINER, join_grids
from .heads import DEPTH_MM
from .people_archive import PeopleArchive
from .person import PeopleVariety, Person, digitise

_FORMAT = 2
_BEM_ICO = 3
# brain, skull and scalp, in the order of the conductivities
_SHELLS = (
    int(FIFF.FIFFV_BEM_SURF_ID_BRAIN),
    int(FIFF.FIFFV_BEM_SURF_ID_SKULL),
    int(FIFF.FIFFV_BEM_SURF_ID_HEAD),
)
# S/m: what an own head model assumes, whatever the skull
NOMINAL_RATIO, _BRAIN = 50.0, 0.3
# thalami and brain stem in the template's surface coordinates (m): centres and their spread
_DEEP_CENTRES = ((-0.012, -0.02, 0.008), (0.012, -0.02, 0.008), (0.0, -0.028, -0.022))
_DEEP_SPREAD, _N_DEEP = (0.006, 0.006, 0.009), 8


def _deep_places():
    """Places (m) in thalami and brain stem, whose fields no cortical source makes."""
    rng = np.random.default_rng(0)
    centres = np.repeat(_DEEP_CENTRES, _N_DEEP, axis=0)
    return centres + rng.standard_normal(centres.shape) * _DEEP_SPREAD


class TemplateHead:
    """The template's geometry, of which people's heads are deformations.

    Surfaces, sources and electrodes are in MRI coordinates (m).

    Parameters
    ----------
    spacing : str
        Source-space spacing, see :func:`make_people`.
    info : instance of mne.Info
        The electrodes' names.
    electrodes : array of shape (n_electrodes, 3)
        Where they are nominally, in head coordinates (m).
    medial_wall : bool
        Whether there are sources on the medial wall, where there is no cortex.
    """

    def __init__(self, spacing, info, electrodes, medial_wall=False):
        fetch_template(verbose="error")
        subject, subjects_dir = find_template(verbose="error")
        self.info, self.centre = info, surfaces.CENTRE
        self.is_volume = spacing.startswith("vol")
        if self.is_volume:
            self.src = mne.setup_volume_source_space(
                pos=float(spacing[3:]), bem=make_template_bem(), mindist=DEPTH_MM
            )
        else:
            self.src = mne.setup_source_space(
                subject, spacing, subjects_dir=subjects_dir, add_dist=False
            )
            if not medial_wall:
                leave_out_wall(self.src)
        deep = _deep_places()
        upwards = np.tile([0.0, 0.0, 1.0], (len(deep), 1))
        self.deep = mne.setup_volume_source_space(pos=dict(rr=deep, nn=upwards))
        self.bem_ico = _BEM_ICO
        self.surfs = mne.make_bem_model(
            subject, self.bem_ico, _conductivity(NOMINAL_RATIO), subjects_dir
        )
        inner = self.surfs[2]
        self.depths = [
            surfaces.distance_to_surface(space["rr"], inner["rr"], inner["tris"])
            if space["type"] != "surf"
            else _depth_in_use(space, inner)
            for space in [*self.src, *self.deep]
        ]
        trans = Path(subjects_dir) / subject / "bem" / f"{subject}-trans.fif"
        self.trans = invert_transform(mne.read_trans(trans))  # from MRI to head coordinates
        self.electrodes = apply_trans(invert_transform(self.trans), electrodes)

    @property
    def positions(self):
        """Sources of the cortex (or volume) in head coordinates, mm."""
        places = np.concatenate([space["rr"][space["vertno"]] for space in self.src])
        return 1e3 * apply_trans(self.trans, places)

    @property
    def normals(self):
        """Their normals in head coordinates; they mean nothing in a volume."""
        normals = np.concatenate([space["nn"][space["vertno"]] for space in self.src])
        return apply_trans(self.trans, normals, move=False)

    def solve_bem(self, ratio, thickness, deform):
        """Solve the boundary-element model of a head.

        ``ratio`` is that of brain over skull conductivity, ``thickness`` a factor of the skull's;
        ``deform`` maps points of the template to those of the head.
        """
        surfs = [dict(surf) for surf in self.surfs]
        for surf in surfs:
            surf["sigma"] = np.float64(_conductivity(ratio)[_SHELLS.index(int(surf["id"]))])
        if thickness != 1.0:
            surfs = surfaces.reshape_skull(surfs, self.bem_ico, thickness)
        for surf in surfs:
            surf["rr"] = deform(surf["rr"])
        return mne.make_bem_solution(surfs)

    def forward(self, electrodes, bem, deform_brain, *, deep=False, normals=None, subject=None):
        """Forward solution of a head, free orientation.

        Parameters
        ----------
        electrodes : array of shape (n_electrodes, 3)
            In m.
        bem : instance of ConductorModel
            What :meth:`solve_bem` made.
        deform_brain : callable
            Maps points of the template's brain, and their depths, to those of the head.
        deep : bool
            Whether to have the places deep in the brain, too, after all others.
        normals : array of shape (n_sources, 3) | None
            Normals of the head's cortex, in head coordinates. None is the template's, that are
            not deformed.
        subject : str | None
            Whose cortex it is said to be. None is the template.

        Returns
        -------
        fwd : instance of mne.Forward
            Without the sources that touch the skull.
        """
        src = (self.src + self.deep).copy() if deep else self.src.copy()
        for space, depth in zip(src, self.depths, strict=False):
            space["rr"] = deform_brain(space["rr"], depth)
        if normals is not None:
            normals, start = apply_trans(invert_transform(self.trans), normals, move=False), 0
            for space, _ in zip(src, self.src, strict=False):
                # single vertices have them: those of patches would be averages of the template's
                space["nn"][space["vertno"]] = normals[start : start + space["nuse"]]
                space["pinfo"] = space["patch_inds"] = None
                start += space["nuse"]
        if subject is not None:
            for space in src:
                space["subject_his_id"] = subject
        info = self.info.copy()
        for channel, place in zip(info["chs"], apply_trans(self.trans, electrodes), strict=True):
            channel["loc"][:3] = place
        with warnings.catch_warnings():
            # people's heads are not where the montage says: its electrodes are put on their scalp
            warnings.filterwarnings("ignore", category=RuntimeWarning)
            return mne.make_forward_solution(
                info, self.trans, src, bem, meg=False, eeg=True, mindist=0.0
            )

    def leadfields(self, electrodes, ratio, thickness, deform, deform_brain):
        """Lead fields of the cortex (or volume) and of deep places, V/(A·m).

        Of shape (n_electrodes, n_sources, 3), float32; sources that touch the skull have the field
        of their neighbour. Skull and deformation are as for :meth:`solve_bem`; the brain's is told
        the depths of points, too.
        """
        bem = self.solve_bem(ratio, thickness, deform)
        fwd = self.forward(electrodes, bem, deform_brain, deep=True)
        gain = fwd["sol"]["data"].reshape(len(electrodes), fwd["nsource"], 3)
        gain = _fill(gain, self.src + self.deep, fwd["src"]).astype(np.float32)
        n_deep = sum(space["nuse"] for space in self.deep)
        return gain[:, :-n_deep], gain[:, -n_deep:]


class PersonHead:
    """One person's head, as a deformation of the template's.

    Parameters
    ----------
    template : TemplateHead
        The template.
    person : Person
        Who.
    digitised_mm : float
        Root-mean-square error of digitised positions.

    Attributes
    ----------
    worn, digitised : array of shape (n_electrodes, 3)
        Electrodes where they are, and where a digitiser finds them (MRI coordinates, m).
    """

    def __init__(self, template, person, digitised_mm):
        self.template, self.person = template, person
        worn = person.place_cap(template.electrodes, template.centre)
        self.worn = _on_surface(worn, self.deform(template.surfs[0]["rr"]))
        self.digitised = digitise(self.worn, digitised_mm, person.seed)

    def deform(self, points):
        """Map points of the template's head to this one."""
        return self.person.deform(points, self.template.centre)

    def deform_brain(self, points, depth):
        """Map points of the template's brain to this one."""
        return self.person.deform_brain(points, self.template.centre, depth)


def _fill(gain, src, kept):
    """Give sources that MNE left out, for they touch the skull, the field of their neighbour."""
    inside = np.concatenate(
        [np.isin(a["vertno"], b["vertno"]) for a, b in zip(src, kept, strict=True)]
    )
    if (~inside).sum() > 0.01 * len(inside):
        raise RuntimeError(f"{(~inside).sum()} of {len(inside)} sources lie outside the brain.")
    places = np.concatenate([space["rr"][space["vertno"]] for space in src])
    _, nearest = cKDTree(places[inside]).query(places)
    return gain[:, nearest]


def _conductivity(ratio):
    return _BRAIN, _BRAIN / ratio, _BRAIN


def _depth_in_use(space, inner):
    """Depth (m) of the vertices in use; the others, which no one asks for, count as deep."""
    depth = np.ones(len(space["rr"]))
    used = space["vertno"]
    depth[used] = surfaces.distance_to_surface(space["rr"][used], inner["rr"], inner["tris"])
    return depth


def _draw_leadfields(template, fine, variety, seed):
    """One person's lead fields: the true ones, and those that a user could have."""
    person = Person.draw(variety, *seed)
    centre = template.centre

    def rescale(points, depth=None):
        return centre + person.fitted_scale * (points - centre)

    with mne.use_log_level("error"):  # here, since a process of its own has a level of its own
        head = PersonHead(template, person, variety.digitised_mm)
        thickness, maps = person.skull_thickness, (head.deform, head.deform_brain)
        true, deep = fine.leadfields(head.worn, person.skull_ratio, thickness, *maps)
        own, _ = template.leadfields(head.digitised, NOMINAL_RATIO, thickness, *maps)
        fitted, _ = template.leadfields(head.digitised, NOMINAL_RATIO, 1.0, rescale, rescale)
    about = dict(
        scale=person.scale.tolist(),
        skull_ratio=person.skull_ratio,
        skull_thickness=person.skull_thickness,
        electrode_mm=person.electrode_mm,
    )
    return dict(true=true, own=own, fitted=fitted, deep=deep), about


def _on_surface(points, rr):
    """Nearest vertices would jump; electrodes are moved along their ray to the scalp's radius."""
    centre = rr.mean(axis=0)
    directions = rr - centre
    radius = np.linalg.norm(directions, axis=1)
    tree = cKDTree(directions / radius[:, None])
    away = points - centre
    length = np.linalg.norm(away, axis=1)
    distance, nearest = tree.query(away / length[:, None], k=3)
    weight = 1.0 / np.maximum(distance, 1e-6)
    found = (weight * radius[nearest]).sum(axis=1) / weight.sum(axis=1)
    return centre + away * (found / length)[:, None]


@verbose
def make_people(
    path=None,
    *,
    n_people=8,
    spacing="ico3",
    seed=0,
    variety=None,
    n_electrodes=None,
    n_jobs=1,
    verbose=None,
):
    """Lead fields of a population of people.

    Parameters
    ----------
    path : path-like | None
        File to read, or to write where it does not exist. None is a file in the user's cache.
    n_people : int
        Number of people.
    spacing : str
        Source-space spacing, as in :func:`mne_mmnet.make_template_forward`, or ``"vol12"`` for a
        volume grid of 12 mm (any number). Cortical ones leave the medial wall out.
    seed : int
        Of the population: person k is drawn from (seed, k), whatever the spacing.
    variety : PeopleVariety | None
        How they differ. None is the default.
    n_electrodes : int | None
        As many of the electrodes of the 10–5 system, Biosemi 256 and HydroCel 256, which None
        keeps all: of fine source spaces they take much room.
    %(n_jobs)s
    %(verbose)s

    Returns
    -------
    people : PeopleArchive
        The lead fields.
    """
    variety = PeopleVariety() if variety is None else variety
    if path is None:
        key = json.dumps([_FORMAT, n_people, spacing, seed, n_electrodes, asdict(variety)])
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        name = f"people/people-{spacing}-{digest}.npz"
        if found := find_cached(name):
            return PeopleArchive.read(found)
    elif Path(path).exists():
        return PeopleArchive.read(path)
    else:
        check_writable(path)  # before minutes of work
    info, positions, groups = electrode_info()
    if n_electrodes is not None:
        chosen = np.random.default_rng(0).permutation(len(positions))[:n_electrodes]
        chosen = np.sort(chosen)
        info, positions, groups = mne.pick_info(info, chosen), positions[chosen], groups[chosen]
    logger.info(f"Computing the lead fields of {n_people} people ({len(positions)} electrodes) …")
    with mne.use_log_level("error"):
        template = fine = TemplateHead(spacing, info, positions)
        if spacing in FINER:
            fine = TemplateHead(FINER[spacing], info, positions)

        def same(points, depth=None):
            return points

        standard, _ = template.leadfields(template.electrodes, NOMINAL_RATIO, 1.0, same, same)
    parallel, draw, _ = parallel_func(_draw_leadfields, n_jobs, max_nbytes=None)
    found = parallel(draw(template, fine, variety, (seed, person)) for person in range(n_people))
    drawn, about = zip(*found, strict=True)
    src, between = template.src, None
    drawn = {kind: np.stack([gains[kind] for gains in drawn]) for kind in drawn[0]}
    if fine is not template:
        graph = source_graph(fine.src)
        shared, owner = join_grids(fine.src, src, graph)
        between = FineSources(
            drawn["true"].astype(np.float16),  # of some 100 V/(A·m), rounded to 0.05 %
            fine.positions,
            fine.normals,
            graph,
            shared,
            owner,
        )
        drawn["true"] = drawn["true"][:, :, shared]
    archive = PeopleArchive(
        standard=standard,
        **drawn,
        electrodes=1e3 * positions,
        groups=groups,
        positions=template.positions,
        normals=template.normals,
        adjacency=source_graph(src),
        source_space=describe_source_space(
            [space["vertno"] for space in src], src[0].get("subject_his_id")
        ),
        is_volume=template.is_volume,
        layouts=standard_layouts(positions, groups),
        about=list(about),
        fine=between,
    )
    if path is None:
        keep_in_cache(name, archive.save)
    else:
        archive.save(path)
    return archive
