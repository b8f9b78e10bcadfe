"""The template fitted to digitised points: pose and three scales, or left as it is."""

import copy

import mne
import numpy as np
import pytest
from mne.transforms import apply_trans, get_ras_to_neuromag_trans
from mne.utils import catch_logging
from numpy.testing import assert_allclose, assert_array_equal

from mne_cases import montage_info
from mne_mmnet import (
    apply_mmnet_inverse,
    fetch_template,
    make_template_bem,
    make_template_forward,
)
from mne_mmnet._mne import describe_head
from mne_mmnet.places.anatomy import find_mni, to_mni152
from mne_mmnet.template import fit as fitting
from mne_mmnet.template.head_shape import fit_head
from mne_mmnet.template.surfaces import CENTRE, cast_rays, distance_to_surface

# one worker makes the head models
pytestmark = pytest.mark.xdist_group("template")

SCALES = np.array([0.93, 1.06, 1.02])


@pytest.fixture(scope="module", autouse=True)
def no_subjects():
    """Keep the user's own fsaverage out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SUBJECTS_DIR", raising=False)
        patch.setattr(mne, "get_config", lambda *args, **kwargs: None)
        yield


@pytest.fixture(scope="module")
def scalp():
    return fetch_template() / "fsaverage5" / "bem" / "outer_skin.surf"


def fiducials():
    """The template's: left, nasion, right (m, surface RAS)."""
    points, _ = mne.io.read_fiducials(fitting._MNE_DATA / "fsaverage-fiducials.fif")
    return np.array([points[k]["r"] for k in (0, 1, 2)], float)


def pose():
    return mne.read_trans(fitting._MNE_DATA / "fsaverage-trans.fif")["trans"]


class Person:
    """Somebody with a scaled template's head, as a digitiser sees it: in head coordinates."""

    def __init__(self, scalp, montage="biosemi64", *, n_points=0, error=2e-3, scales=SCALES):
        rng = np.random.default_rng(0)
        rr, tris = mne.read_surface(scalp)
        rr = rr / 1e3
        info = montage_info(montage)
        places = apply_trans(pose(), np.array([channel["loc"][:3] for channel in info["chs"]]))
        rays = places - CENTRE
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        places = CENTRE + cast_rays(rr, tris, rays, CENTRE)[:, None] * rays
        upper = rr[rr[:, 2] > 0.02]
        extra = upper[rng.permutation(len(upper))[:n_points]]
        anatomy = fiducials() * scales + error * rng.normal(size=(3, 3)) / np.sqrt(3)
        # from the scaled template's coordinates to head coordinates
        self.trans = get_ras_to_neuromag_trans(anatomy[1], anatomy[0], anatomy[2])
        self.electrodes, self.extra = (
            apply_trans(
                self.trans,
                points * scales + error * rng.normal(size=points.shape) / np.sqrt(3),
            )
            for points in (places, extra)
        )
        self.fiducials = apply_trans(self.trans, anatomy)
        self.names = info["ch_names"]

    def info(self, *, fiducials=True, electrodes=None, extra=None):
        """Info with what was digitised."""
        extra = self.extra if extra is None else extra
        electrodes = self.electrodes if electrodes is None else electrodes
        left, nasion, right = self.fiducials if fiducials else [None] * 3
        montage = mne.channels.make_dig_montage(
            dict(zip(self.names, electrodes, strict=True)),
            nasion=nasion,
            lpa=left,
            rpa=right,
            hsp=extra if len(extra) else None,
            coord_frame="head",
        )
        info = mne.create_info(self.names, 250.0, "eeg")
        evoked = mne.EvokedArray(np.zeros((len(self.names), 1)), info, verbose=False)
        evoked.set_montage(montage, verbose=False)
        return evoked.set_eeg_reference("average", projection=True, verbose=False).info


@pytest.fixture(scope="module")
def person(scalp):
    return Person(scalp)


# The fit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("montage", "n_points", "tolerance"),
    [
        ("biosemi16", 0, 0.05),
        ("biosemi32", 0, 0.04),
        ("biosemi32", 60, 0.03),
        ("biosemi64", 0, 0.03),
    ],
)
def test_scales_and_pose_are_found(scalp, montage, n_points, tolerance):
    """Within what is said of their uncertainty; so is the place of the brain."""
    person = Person(scalp, montage, n_points=n_points)
    fit, message = fitting.fit_template(person.info(), scalp, force=True)
    assert_allclose(fit.scales, SCALES, atol=tolerance)
    assert (np.abs(fit.scales - SCALES) < 3 * fit.uncertainty).all()
    assert (fit.uncertainty < 0.05).all()
    assert np.median(np.abs(fit.distances)) < 3e-3
    assert f"{len(person.names)} electrodes and {n_points} head-shape points" in message
    assert_allclose(fit.trans[:3, :3] @ fit.trans[:3, :3].T, np.eye(3), atol=1e-6)  # as MNE's pose
    assert np.linalg.det(fit.trans) > 0
    inside = np.random.default_rng(1).uniform(-0.05, 0.05, (50, 3)) + CENTRE
    there = apply_trans(person.trans, inside * SCALES)
    found = apply_trans(np.linalg.inv(fit.trans), inside * fit.scales)
    before = apply_trans(np.linalg.inv(pose()), inside)
    errors = (np.linalg.norm(place - there, axis=1).mean() for place in (found, before))
    fitted, unfitted = errors
    assert fitted < 5e-3
    assert fitted < 0.7 * unfitted


def test_distances_are_those_from_the_scaled_scalp(scalp, person):
    """Point to plane, in the scaled head's metric."""
    rr, tris = mne.read_surface(scalp)
    fit, _ = fitting.fit_template(person.info(), scalp, force=True)
    places = apply_trans(fit.trans, person.electrodes)
    oracle = distance_to_surface(places, rr / 1e3 * fit.scales, tris)
    assert_allclose(np.abs(fit.distances), oracle, atol=1e-3)


def test_outliers_hardly_count(scalp):
    """One point in twelve was touched somewhere else, and a fiducial is missing its place."""
    person = Person(scalp, "biosemi64", n_points=60)
    rng = np.random.default_rng(3)
    electrodes, extra = person.electrodes.copy(), person.extra.copy()
    for points in (electrodes, extra):
        bad = rng.permutation(len(points))[:5]
        points[bad] += rng.normal(size=(5, 3)) * 0.03
    fit, _ = fitting.fit_template(
        person.info(electrodes=electrodes, extra=extra), scalp, force=True
    )
    assert_allclose(fit.scales, SCALES, atol=0.03)


def test_uncertainty(scalp):
    """Nothing is known of directions that no points speak of: there the template's size stays."""
    rr, tris = mne.read_surface(scalp)
    rr = rr / 1e3
    normals = fitting.vertex_normals(rr, tris)
    assert ((rr - CENTRE) * normals).sum(axis=1).min() > 0
    assert_allclose(np.linalg.norm(normals, axis=1), 1)
    person = Person(scalp, "biosemi256", error=0.0)
    back = person.electrodes[person.electrodes[:, 1] < -0.04]
    fits = [
        fit_head(points, rr, normals, pose()) for points in (person.electrodes, back, back[:8])
    ]
    worst = [fit.uncertainty.max() for fit in fits]
    assert worst[0] < 0.04 < worst[1] < worst[2] < 0.065
    assert fits[0].uncertainty[0] < 0.01


# Points -----------------------------------------------------------------------------------------


def test_points(scalp):
    """Electrodes, head shape without the face, fiducials; nothing is changed."""
    person = Person(scalp, "biosemi32", n_points=20)
    face = np.array([[0.0, 0.1, -0.03], [0.02, 0.09, -0.01]])
    info = person.info(extra=np.concatenate([person.extra, face]))
    before = copy.deepcopy(info)
    points = fitting.find_points(info)
    assert_allclose(points.electrodes, person.electrodes, atol=1e-6)
    assert_allclose(points.head_shape, person.extra, atol=1e-6)
    assert set(points.fiducials) == {"lpa", "nasion", "rpa"}
    assert_allclose(points.fiducials["nasion"], person.fiducials[1], atol=1e-6)
    assert points.nominal is None
    fitting.fit_template(info, scalp, force=False)
    assert mne.utils.object_diff(info, before) == ""
    # no digitisation at all but the channels' own places
    with info._unlock():
        info["dig"] = None
    points = fitting.find_points(info)
    assert len(points.electrodes) == 32
    assert points.head_shape.shape == (0, 3)
    assert points.fiducials == {}


def test_fiducials_made_up_by_mne_are_not_believed(scalp, person):
    """All three at the same distance from the origin."""
    info = person.info(fiducials=False)
    assert fitting.find_points(info).fiducials == {}
    radius = 0.08
    made_up = np.array([[-radius, 0, 0], [0, radius, 0], [radius, 0, 0]])
    other = copy.copy(person)
    other.fiducials = made_up
    assert fitting.find_points(other.info()).fiducials == {}
    fit, _ = fitting.fit_template(other.info(), scalp, force=True)
    assert_allclose(fit.scales, SCALES, atol=0.06)
    assert (
        fit.uncertainty.max()
        > fitting.fit_template(person.info(), scalp, force=True)[0].uncertainty.max()
    )


def test_when_it_is_fitted(scalp, person):
    """Drawings are not fitted to, unless it is asked for; few points neither."""
    nominal = montage_info("biosemi64")
    assert fitting.fit_template(nominal, scalp, force=False) == (None, "")
    assert fitting.fit_template(nominal, scalp, force=True)[0] is not None
    assert fitting.fit_template(person.info(), scalp, force=False)[0] is not None
    # a few electrodes over one place
    back = np.argsort(person.electrodes[:, 1])[:10]
    few = mne.pick_info(person.info(fiducials=False), back)
    with few._unlock():
        few["dig"] = None
    fit, message = fitting.fit_template(few, scalp, force=False)
    assert fit is None
    assert "10 points settle its size to" in message
    assert fitting.fit_template(few, scalp, force=True)[0] is not None
    few = mne.pick_info(few, range(7))
    assert fitting.fit_template(few, scalp, force=False) == (None, "")
    with pytest.raises(ValueError, match=r"at least 8 .* there are 7.*fit=False"):
        fitting.fit_template(few, scalp, force=True)


@pytest.mark.parametrize("factor", [0.5, 1.6, 1000.0])
@pytest.mark.parametrize("force", [False, True])
def test_absurd_points(scalp, person, factor, force):
    """Another unit, or an animal: said, and not followed."""
    info = person.info(fiducials=False)
    for channel in info["chs"]:
        channel["loc"][:3] *= factor
    with pytest.warns(RuntimeWarning, match=r"fit no scaled template.*unit .*fit=False"):
        assert fitting.fit_template(info, scalp, force=force) == (None, "")


# The forward solution ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fwd(person):
    return make_template_forward(person.info())


def normals_only(fwd):
    fixed = mne.convert_forward_solution(fwd, force_fixed=True, use_cps=False, verbose=False)
    gain = fixed["sol"]["data"]
    return gain - gain.mean(axis=0)


def test_forward(person, fwd, tmp_path):
    """Scales can be read off it, vertices and subject are the template's; files keep all that."""
    info = person.info()
    plain = make_template_forward(info, fit=False)
    head = describe_head(info, fwd)
    assert head[:2] == ("template", "digitised")
    assert_allclose(head.scales, SCALES, atol=0.03)
    assert describe_head(info, plain) == ("template", "digitised", None, None)
    for ours, theirs in zip(fwd["src"], plain["src"], strict=True):
        assert ours["subject_his_id"] == "fsaverage5"
        assert_array_equal(ours["vertno"], theirs["vertno"])
        assert_allclose(np.linalg.norm(ours["nn"], axis=1), 1, rtol=1e-5)
    mne.write_forward_solution(tmp_path / "a-fwd.fif", fwd)
    again = mne.read_forward_solution(tmp_path / "a-fwd.fif")
    assert_allclose(describe_head(info, again).scales, head.scales, rtol=1e-4)
    assert_allclose(again["sol"]["data"], fwd["sol"]["data"], rtol=1e-5)


def test_nearer_to_the_own_head(person, fwd):
    """The lead field is more like that of the person's own head."""
    src = mne.setup_source_space(
        "fsaverage5", "ico3", subjects_dir=fetch_template(), add_dist=False, verbose=False
    )
    src = fitting.scale_source_space(src, SCALES)
    trans = mne.Transform("mri", "head", person.trans)
    true = mne.make_forward_solution(
        person.info(), trans, src, make_template_bem(scales=SCALES), meg=False, mindist=0.0
    )
    used = [np.isin(a["vertno"], b["vertno"]) for a, b in zip(src, fwd["src"], strict=True)]
    true = normals_only(true)[:, np.concatenate(used)]
    plain = normals_only(make_template_forward(person.info(), fit=False))
    errors = [
        np.median(np.linalg.norm(gain - true, axis=0) / np.linalg.norm(true, axis=0))
        for gain in (normals_only(fwd), plain)
    ]
    assert errors[0] < 0.6 * errors[1]


def test_inverse(person, fwd):
    """A source is found, and its estimate is one of the template's."""
    info = person.info()
    gain = normals_only(fwd)
    source = 300
    wave = np.sin(np.linspace(0, np.pi, 20))
    data = 2e-8 * gain[:, [source]] * wave
    data += 0.1 * data.std() * np.random.default_rng(0).normal(size=data.shape)
    evoked = mne.EvokedArray(data, info, verbose=False)
    stc = apply_mmnet_inverse(evoked, fwd)
    peak = np.abs(stc.data[:, 10]).argmax()
    assert np.linalg.norm(fwd["source_rr"][peak] - fwd["source_rr"][source]) < 0.02
    assert stc.subject == "fsaverage5"


def test_mni_coordinates(fwd):
    """A place keeps its name, whatever the size of the head."""
    surf = fetch_template() / "fsaverage5" / "surf"
    white = [mne.read_surface(surf / f"{hemi}.white")[0] for hemi in ("lh", "rh")]
    white = [rr[space["vertno"]] for rr, space in zip(white, fwd["src"], strict=True)]
    found = find_mni(fwd["source_rr"], fwd, "fsaverage5")
    assert_allclose(found, to_mni152(np.concatenate(white)), atol=0.05)


def test_it_is_said(person):
    info = mne.pick_info(person.info(), range(0, 64, 2))
    with catch_logging() as log:
        fwd = make_template_forward(info, "oct1", verbose="info")
    said = log.getvalue()
    assert "The template is scaled by 0.9" in said
    assert "32 electrodes and 0 head-shape points" in said
    assert describe_head(info, fwd).is_fitted


def test_drawings_leave_the_template_alone():
    info = montage_info("biosemi32")
    auto, never = (make_template_forward(info, "oct2", fit=fit) for fit in ("auto", False))
    assert_array_equal(auto["sol"]["data"], never["sol"]["data"])
    assert_array_equal(auto["mri_head_t"]["trans"], never["mri_head_t"]["trans"])
    assert not describe_head(info, auto).is_fitted


def test_what_cannot_be_fitted(person):
    """By itself it is left out; if it is asked for, the error says why."""
    info = person.info()
    bem = make_template_bem()
    src = mne.setup_source_space(
        "fsaverage5", "oct2", subjects_dir=fetch_template(), add_dist=False, verbose=False
    )
    volume = mne.setup_volume_source_space(pos=40.0, bem=bem, verbose=False)
    for options, reason in (
        (dict(bem=bem, spacing="oct2"), "bem is given"),
        (dict(spacing=volume), "is no cortical surface"),
        (
            dict(spacing=make_template_forward(info, src, fit=False)["src"]),
            "is in head coordinates",
        ),
    ):
        assert not describe_head(info, make_template_forward(info, **options)).is_fitted
        with pytest.raises(ValueError, match=f"{reason}.*fit=False"):
            make_template_forward(info, fit=True, **options)
    with pytest.raises(ValueError, match="'fit'.*'auto'"):
        make_template_forward(info, fit="always")
    with pytest.raises(TypeError, match="fit must be"):
        make_template_forward(info, fit=1)
    # a surface of the template's is scaled, in a copy
    before = src.copy()
    fitted = make_template_forward(info, src)
    assert describe_head(info, fitted).is_fitted
    for space, old in zip(src, before, strict=True):
        assert_array_equal(space["rr"], old["rr"])
        assert_array_equal(space["nn"], old["nn"])
