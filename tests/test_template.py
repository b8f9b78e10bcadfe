"""The template head: its files, its head model and its forward solutions."""

import copy
import shutil
from pathlib import Path

import mne
import numpy as np
import pytest
from mne.transforms import Transform
from mne.utils import catch_logging
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mne_cases import montage_info, needs_mne_113
from mne_mmnet._mne import source_graph
from mne_mmnet.simulation import electrodes, heads
from mne_mmnet.template import cortex, kept, make, surfaces
from mne_mmnet.template.cortex import on_cortex
from mne_mmnet.template.make import (
    fetch_template,
    find_template,
    make_template_bem,
    make_template_forward,
)

# one worker builds the head model once for all of these
pytestmark = pytest.mark.xdist_group("template")

SHELLS = ("inner_skull", "outer_skull", "outer_skin")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Keep the user's own cache and subjects out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("cache")
        patch.setenv("MNE_MMNET_CACHE", str(path))
        patch.setenv("SUBJECTS_DIR", str(tmp_path_factory.mktemp("subjects")))
        yield path


@pytest.fixture(scope="module")
def subjects_dir(cache):
    return fetch_template()


@pytest.fixture(scope="module")
def bem(subjects_dir):
    return make_template_bem()


@pytest.fixture(scope="module")
def info():
    return montage_info("biosemi32")


@pytest.fixture(scope="module")
def fwd(info, bem):
    return make_template_forward(info)


def _shell(subjects_dir, name):
    rr, tris = mne.read_surface(subjects_dir / "fsaverage5" / "bem" / f"{name}.surf")
    return rr / 1e3, tris


def _polar(points):
    """Split points (m) into directions and radii about the centre of the shells."""
    offsets = points - surfaces.CENTRE
    radii = np.linalg.norm(offsets, axis=1)
    return offsets / radii[:, np.newaxis], radii


# Geometry ---------------------------------------------------------------------------------------


def test_cast_rays_ellipsoid():
    directions, tris = surfaces.icosphere(4)
    axes, centre = np.array([0.07, 0.09, 0.06]), np.array([0.01, -0.02, 0.005])
    other = np.random.default_rng(0).standard_normal((500, 3))
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    expected = 1 / np.linalg.norm(other / axes, axis=1)
    radii = surfaces.cast_rays(directions * axes + centre, tris, other, centre)
    assert_allclose(radii, expected, rtol=3e-3)
    assert (radii <= expected * (1 + 1e-9)).all()  # chords lie inside
    # rays through the vertices themselves, where three or more triangles meet
    rr = directions * axes + centre
    unit = (rr - centre) / np.linalg.norm(rr - centre, axis=1, keepdims=True)
    radii = surfaces.cast_rays(rr, tris, unit, centre)
    assert_allclose(radii, np.linalg.norm(rr - centre, axis=1), rtol=1e-5)


def test_cast_rays_outermost_crossing():
    directions, tris = surfaces.icosphere(3)
    rr = np.concatenate([directions, 2 * directions])
    tris = np.concatenate([tris, tris + len(directions)])
    radii = surfaces.cast_rays(rr, tris, directions, np.zeros(3))
    assert_allclose(radii, 2, rtol=1e-5)


def test_cast_rays_open_surface():
    directions, tris = surfaces.icosphere(3)
    with pytest.raises(RuntimeError, match="not closed"):
        surfaces.cast_rays(directions, tris[:-20], directions, np.zeros(3))


def test_distance_to_surface_against_dense_sampling():
    rng = np.random.default_rng(0)
    rr = rng.standard_normal((6, 3))
    tris = np.array([[0, 1, 2], [3, 4, 5]])
    points = 2 * rng.standard_normal((40, 3))
    weights = rng.dirichlet(np.ones(3) * 0.4, 40_000)
    samples = np.concatenate([weights @ rr[tri] for tri in tris])
    oracle = np.array([np.linalg.norm(samples - point, axis=1).min() for point in points])
    distances = surfaces.distance_to_surface(points, rr, tris)
    assert (distances <= oracle + 1e-12).all()
    assert_allclose(distances, oracle, atol=0.02)
    assert_allclose(surfaces.distance_to_surface(rr, rr, tris), 0, atol=1e-12)


@pytest.mark.parametrize("thickness", [0.1, 0.7, 1.0, 2.0])
def test_skull_thickness(thickness):
    inner = np.array([0.06, 0.07, 0.08])
    skin = inner + np.array([0.001, 0.010, 0.080])
    outer, new_skin = surfaces.skull_radii(inner, skin, thickness=thickness)
    assert (outer - inner >= surfaces.LAYER_MIN - 1e-12).all()
    assert (new_skin - outer >= surfaces.LAYER_MIN - 1e-12).all()
    if thickness == 1.0:
        assert_allclose(new_skin[1:], skin[1:])
    if thickness > 0.5:
        assert_allclose((outer - inner)[1:], thickness * np.array([0.005, 0.008]))


# The subject ------------------------------------------------------------------------------------


def test_subject_is_complete(subjects_dir, cache):
    assert subjects_dir.is_relative_to(cache)
    assert surfaces.is_template(subjects_dir / "fsaverage5")
    assert [path.name for path in subjects_dir.iterdir()] == ["fsaverage5"]
    for hemi in ("lh", "rh"):
        surf = subjects_dir / "fsaverage5" / "surf"
        white, tris = mne.read_surface(surf / f"{hemi}.white")
        assert white.shape == (10242, 3)
        assert (np.mean(white[:, 0]) < 0) == (hemi == "lh")
        for name in ("pial", "inflated", "sphere", "sphere.reg"):
            assert_array_equal(mne.read_surface(surf / f"{hemi}.{name}")[1], tris)
        sphere = mne.read_surface(surf / f"{hemi}.sphere.reg")[0]
        assert_allclose(np.linalg.norm(sphere, axis=1), 100, rtol=1e-4)
    for name in ("surf/lh.pial", "bem/outer_skin.surf"):
        *_, meta = mne.read_surface(subjects_dir / "fsaverage5" / name, read_metadata=True)
        assert_array_equal(meta["cras"], 0)


@pytest.mark.parametrize("name", SHELLS)
def test_shell_is_watertight(subjects_dir, name):
    rr, tris = _shell(subjects_dir, name)
    edges = np.sort(tris[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    assert (counts == 2).all()
    assert len(rr) - len(unique) + len(tris) == 2  # Euler characteristic of a sphere
    a, b, c = rr[tris].transpose(1, 0, 2)
    assert (np.einsum("ij,ij->i", a - surfaces.CENTRE, np.cross(b - a, c - a)) > 0).all()


@pytest.mark.parametrize("ico", [3, 4])
def test_shells_are_nested(subjects_dir, ico):
    if ico == 3:  # with all checks of MNE
        surfs = mne.make_bem_model("fsaverage5", ico, subjects_dir=subjects_dir)
    else:
        shells = (_shell(subjects_dir, name) for name in SHELLS[::-1])
        surfs = [dict(rr=rr, tris=tris) for rr, tris in shells]
    skin, outer, inner = (_polar(surf["rr"]) for surf in surfs)
    assert_allclose(skin[0], inner[0], atol=1e-6)  # common rays: nested everywhere, not just here
    assert (outer[1] - inner[1] > 0.0029).all()
    assert (skin[1] - outer[1] > 0.0029).all()
    # off the rays too
    random = np.random.default_rng(0).standard_normal((1000, 3))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    cast = [surfaces.cast_rays(s["rr"], s["tris"], random, surfaces.CENTRE) for s in surfs]
    assert (cast[0] > cast[1]).all()
    assert (cast[1] > cast[2]).all()


def test_cortex_inside_inner_skull(subjects_dir):
    # the coarser surface is the tighter one
    inner = mne.make_bem_model("fsaverage5", 3, subjects_dir=subjects_dir)[2]
    for hemi in ("lh", "rh"):
        white = mne.read_surface(subjects_dir / "fsaverage5" / "surf" / f"{hemi}.white")[0] / 1e3
        directions, radii = _polar(white)
        skull = surfaces.cast_rays(inner["rr"], inner["tris"], directions, surfaces.CENTRE)
        assert (skull > radii).all()
        near = white[np.argsort(skull - radii)[:100]]
        distance = surfaces.distance_to_surface(near, inner["rr"], inner["tris"]).min()
        assert 0.003 < distance < 0.01


def test_fetch_again_changes_nothing(subjects_dir):
    def state():
        return {path: path.stat().st_mtime_ns for path in subjects_dir.rglob("*")}

    before = state()
    with catch_logging() as log:
        assert fetch_template(verbose="info") == subjects_dir
    assert "Writing" not in log.getvalue()
    assert state() == before


def test_fetch_leaves_a_foreign_subject_alone(tmp_path):
    file = tmp_path / "fsaverage5" / "surf" / "lh.white"
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    with pytest.raises(FileExistsError, match=r"not overwritten.*subjects_dir"):
        fetch_template(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
    assert file.read_text() == "mine"


def test_another_layout_is_not_mistaken(subjects_dir, monkeypatch):
    monkeypatch.setattr(surfaces, "LAYOUT", surfaces.LAYOUT + 1)
    assert not surfaces.is_template(subjects_dir / "fsaverage5")


# Which head -------------------------------------------------------------------------------------


def _fake_fsaverage(subjects_dir, target):
    """Give the template the name and the files of MNE's own fsaverage."""
    shutil.copytree(subjects_dir / "fsaverage5", target / "fsaverage")
    (target / "fsaverage" / surfaces.MARKER).unlink()
    return target


def test_find_template(subjects_dir, tmp_path, monkeypatch):
    assert find_template() == ("fsaverage5", subjects_dir)
    empty = tmp_path / "empty"
    assert find_template(empty) == ("fsaverage5", subjects_dir)
    assert not empty.exists()
    own = _fake_fsaverage(subjects_dir, tmp_path / "own")
    assert find_template(own) == ("fsaverage", own)
    monkeypatch.setenv("SUBJECTS_DIR", str(own))
    assert find_template() == ("fsaverage", own)
    (own / "fsaverage" / "bem" / "outer_skin.surf").unlink()
    assert find_template() == ("fsaverage5", subjects_dir)
    monkeypatch.setenv("SUBJECTS_DIR", str(tmp_path / "gone"))
    assert find_template() == ("fsaverage5", subjects_dir)
    # written by fetch_template
    shutil.copytree(subjects_dir / "fsaverage5", tmp_path / "fetched" / "fsaverage5")
    assert find_template(tmp_path / "fetched") == ("fsaverage5", tmp_path / "fetched")


def test_own_fsaverage_is_used(subjects_dir, tmp_path, bem, info, fwd, monkeypatch):
    own = _fake_fsaverage(subjects_dir, tmp_path)
    solution = own / "fsaverage" / "bem" / "fsaverage-5120-5120-5120-bem-sol.fif"
    mne.write_bem_solution(solution, bem)
    monkeypatch.setattr(mne, "make_bem_solution", lambda *a, **k: pytest.fail("not needed"))
    own_fwd = make_template_forward(info, subjects_dir=own)
    assert own_fwd["src"][0]["subject_his_id"] == "fsaverage"
    assert_allclose(own_fwd["sol"]["data"], fwd["sol"]["data"], rtol=1e-6)
    (own / "fsaverage" / "bem" / "outer_skin.surf").unlink()
    with pytest.raises(ValueError, match=r"outer_skin\.surf.*fetch_fsaverage"):
        make_template_bem(conductivity=(0.3, 0.01, 0.3), subjects_dir=own)


# Medial wall ------------------------------------------------------------------------------------


def _edges(src):
    """Edges of the source graph as pairs of (hemisphere, vertex)."""
    names = [(side, vertex) for side, space in enumerate(src) for vertex in space["vertno"]]
    rows, cols = source_graph(src).nonzero()
    return {(names[a], names[b]) for a, b in zip(rows, cols, strict=True)}


def test_wall(subjects_dir):
    """One piece on each medial side, as large as FreeSurfer's own, written as its complement."""
    for hemi, wall in zip(("lh", "rh"), cortex.wall_vertices(), strict=True):
        surf = subjects_dir / "fsaverage5" / "surf"
        rr, tris = mne.read_surface(surf / f"{hemi}.white")
        assert len(wall) == (888 if hemi == "lh" else 881)
        inside = np.isin(np.arange(len(rr)), wall)
        for member in (inside, ~inside):
            pairs = np.concatenate([tris[:, [0, 1]], tris[:, [1, 2]]])
            pairs = pairs[member[pairs].all(axis=1)]
            mesh = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(rr),) * 2)
            pieces = connected_components(mesh, directed=False)[1]
            assert len(np.unique(pieces[member])) == 1
        # mm from the midline; the amygdala and the hippocampus are farthest
        assert np.median(np.abs(rr[wall, 0])) < 20
        assert np.abs(rr[wall, 0]).max() < 42
        label = mne.read_label(subjects_dir / "fsaverage5" / "label" / f"{hemi}.cortex.label")
        assert label.hemi == hemi
        assert_array_equal(label.vertices, np.flatnonzero(~inside))
        assert_allclose(1e3 * label.pos, rr[label.vertices], atol=1e-3)


@pytest.mark.parametrize("spacing", ["ico3", "oct4", "ico2"])
def test_no_sources_on_the_medial_wall(bem, spacing):
    """They are gone and nothing else is: lead field, graph, MNE's own adjacency."""
    info = montage_info("easycap-M1", ["C3", "C4", "Oz"])
    fwd = make_template_forward(info, spacing)
    whole = make_template_forward(info, spacing, medial_wall=True)
    cortex = on_cortex(whole["src"])
    assert 0.06 < np.mean(~cortex) < 0.10
    assert on_cortex(fwd["src"]).all()
    gain = whole["sol"]["data"][:, np.repeat(cortex, 3)]
    assert_allclose(fwd["sol"]["data"], gain, rtol=1e-6, atol=1e-6 * np.abs(gain).max())
    kept = {(side, v) for side, space in enumerate(fwd["src"]) for v in space["vertno"]}
    assert len(kept) == cortex.sum()
    edges = {(a, b) for a, b in _edges(whole["src"]) if a in kept and b in kept}
    assert _edges(fwd["src"]) == edges
    adjacency = source_graph(fwd["src"])
    assert connected_components(adjacency)[0] == 2
    theirs = mne.spatial_src_adjacency(fwd["src"]).tocsr()  # no warning about holes
    theirs.setdiag(0)
    assert (theirs != (adjacency > 0)).nnz == 0


def test_medial_wall_is_no_bridge(bem):
    """Without triangles between sources, those on the two sides of the wall are not joined."""
    info = montage_info("easycap-M1", ["C3", "C4", "Oz"])
    made = [make_template_forward(info, 12, medial_wall=wall) for wall in (False, True)]
    (without, whole), kept = (_edges(fwd["src"]) for fwd in made), on_cortex(made[1]["src"])
    names = [(side, v) for side, space in enumerate(made[1]["src"]) for v in space["vertno"]]
    kept = {name for name, keep in zip(names, kept, strict=True) if keep}
    among = {(a, b) for a, b in whole if a in kept and b in kept}
    assert among <= without
    assert len(without - among) < 0.01 * len(among)  # along the rim
    assert connected_components(source_graph(made[0]["src"]))[0] == 2


def test_wall_survives_a_file(bem, tmp_path):
    fwd = make_template_forward(montage_info("easycap-M1", ["C3", "C4", "Oz"]), "ico2")
    mne.write_forward_solution(tmp_path / "a-fwd.fif", fwd)
    again = mne.read_forward_solution(tmp_path / "a-fwd.fif")
    assert _edges(again["src"]) == _edges(fwd["src"])
    assert on_cortex(again["src"]).all()


def test_on_cortex_of_finer_surfaces(subjects_dir, tmp_path):
    """Vertices that fsaverage5 does not have belong with the nearest one that it has."""
    surf = tmp_path / "fsaverage" / "surf"
    shutil.copytree(subjects_dir / "fsaverage5" / "surf", surf)
    for hemi in ("lh", "rh"):
        for kind in ("white", "sphere"):
            rr, tris = mne.read_surface(surf / f"{hemi}.{kind}")
            # each edge halved, as FreeSurfer and MNE do it
            pairs = np.sort(tris[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
            pairs, index = np.unique(pairs, axis=0, return_inverse=True)
            middle = len(rr) + index.reshape(-1, 3)
            a, b, c = tris.T
            d, e, f = middle.T
            tris = np.concatenate(
                [np.column_stack(t) for t in ((a, d, f), (d, b, e), (f, e, c), (d, e, f))]
            )
            rr = np.concatenate([rr, rr[pairs].mean(axis=1)])
            mne.write_surface(surf / f"{hemi}.{kind}", rr, tris, overwrite=True)
    src = mne.setup_source_space("fsaverage", "all", subjects_dir=tmp_path, add_dist=False)
    before = src.copy()
    found, walls = np.split(on_cortex(src), 2), cortex.wall_vertices()
    for space, old, mine, wall in zip(src, before, found, walls, strict=True):
        assert mne.utils.object_diff(space, old) == ""
        coarse = ~np.isin(np.arange(10242), wall)
        assert_array_equal(mine[:10242], coarse)
        # halfway between two of a kind lies one more
        tris = space["tris"][-20480:]
        assert tris.min() >= 10242
        rows = space["tris"][:20480]
        d, f = rows[:, 1], rows[:, 2]
        both = coarse[rows[:, 0]]
        share = mine[np.concatenate([d[both], f[both]])].mean()
        assert 0.98 < share < 1.0
        assert abs(mine.mean() - coarse.mean()) < 0.01


def test_on_cortex_of_others(subjects_dir):
    volume = mne.setup_volume_source_space(pos=40.0)
    with pytest.raises(ValueError, match=r"type 'discrete'.*cortex label"):
        on_cortex(volume)
    src = mne.setup_source_space("fsaverage5", "oct1", subjects_dir=subjects_dir, add_dist=False)
    src[1]["subject_his_id"] = "sample"
    with pytest.raises(ValueError, match="subject 'sample'"):
        on_cortex(src)


# Head model -------------------------------------------------------------------------------------


def test_bem(bem):
    assert [surf["np"] for surf in bem["surfs"]] == [642] * 3
    assert_allclose([surf["sigma"] for surf in bem["surfs"]], [0.3, 0.006, 0.3], rtol=1e-6)
    assert np.isfinite(bem["solution"]).all()


def test_bem_comes_from_the_cache(bem, cache, monkeypatch):
    monkeypatch.setattr(mne, "make_bem_solution", lambda *a, **k: pytest.fail("not cached"))
    again = make_template_bem()
    assert_array_equal(again["solution"], bem["solution"])
    assert len(list(cache.rglob("*-bem-sol.fif"))) == 1


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        (dict(ico=5), "ico must be 3 or 4"),
        (dict(conductivity=0.3), "three positive"),
        (dict(conductivity=(0.3, 0, 0.3)), "three positive"),
        (dict(conductivity=(0.3, np.nan, 0.3)), "three positive"),
        (dict(skull_thickness=0), "positive factor"),
        *(
            (dict(scales=scales), "scales must be three positive numbers")
            for scales in (1.0, (1, 1), (1, 0, 1), (1, np.nan, 1), (1, -1, 1))
        ),
    ],
)
def test_bem_bad_input(subjects_dir, kwargs, match):
    with pytest.raises(ValueError, match=match):
        make_template_bem(**kwargs)


@pytest.mark.parametrize(
    ("kwargs", "low", "high"),
    [
        (dict(skull_thickness=1.5), 0.7, 0.95),
        (dict(conductivity=(0.3, 0.012, 0.3)), 1.05, 1.8),
    ],
)
def test_other_heads_attenuate_as_expected(info, fwd, cache, kwargs, low, high):
    def strength(forward):
        gain = forward["sol"]["data"]
        return np.linalg.norm(gain - gain.mean(axis=0), axis=0)

    if "skull_thickness" in kwargs:
        other = make_template_forward(info, bem=make_template_bem(**kwargs))
    else:
        other = make_template_forward(info, **kwargs)
    assert low < np.median(strength(other) / strength(fwd)) < high
    assert len(list(cache.rglob("*-bem-sol.fif"))) == 1  # only the standard head is kept


# Forward ----------------------------------------------------------------------------------------


def test_forward(info, fwd):
    assert fwd["src"].kind == "surface"
    assert [space["subject_his_id"] for space in fwd["src"]] == ["fsaverage5"] * 2
    assert [space["nuse"] for space in fwd["src"]] == [642 - 54, 642 - 55]
    assert fwd["sol"]["row_names"] == info["ch_names"]
    assert fwd["sol"]["data"].shape == (32, 3 * 1175)
    gain = fwd["sol"]["data"]
    assert np.isfinite(gain).all()
    rms = np.sqrt(np.mean((gain - gain.mean(axis=0)) ** 2))
    assert 1e-8 < rms * 1e-9 < 1e-7  # 10 to 100 nV at the scalp for 1 nA·m


@needs_mne_113
def test_forward_resembles_the_sphere_model(info, fwd):
    sphere = mne.make_sphere_model("auto", "auto", info, verbose="error")
    with pytest.warns(RuntimeWarning, match="sources outside the inner skull"):
        other = make_template_forward(info, bem=sphere, spacing=fwd["src"])
    pairs = zip(fwd["src"], other["src"], strict=True)
    common = np.concatenate([np.isin(a["vertno"], b["vertno"]) for a, b in pairs])
    ours, theirs = fwd["sol"]["data"][:, np.repeat(common, 3)], other["sol"]["data"]
    inside = theirs.any(axis=0)  # the sphere is smaller than the brain here and there
    assert inside.mean() > 0.8
    ours, theirs = ours[:, inside], theirs[:, inside]
    ours, theirs = ours - ours.mean(axis=0), theirs - theirs.mean(axis=0)
    norms = np.linalg.norm(ours, axis=0), np.linalg.norm(theirs, axis=0)
    assert np.median((ours * theirs).sum(axis=0) / (norms[0] * norms[1])) > 0.98
    assert_allclose(np.median(norms[0] / norms[1]), 1, atol=0.15)


def test_rows_follow_names(info, fwd):
    names = info["ch_names"][::-1]
    reverse = make_template_forward(montage_info("biosemi32", names))
    assert reverse["sol"]["row_names"] == names
    assert_allclose(reverse["sol"]["data"], fwd["sol"]["data"][::-1], rtol=1e-6, atol=1e-6)


def test_forward_comes_from_the_cache(info, fwd, cache, monkeypatch):
    before = copy.deepcopy(info)
    monkeypatch.setattr(mne, "make_forward_solution", lambda *a, **k: pytest.fail("not cached"))
    monkeypatch.setattr(mne, "setup_source_space", lambda *a, **k: pytest.fail("not cached"))
    again = make_template_forward(info)
    assert mne.utils.object_diff(info, before) == ""
    assert again["sol"]["data"].dtype == again["_orig_sol"].dtype == np.float64
    assert_array_equal(again["sol"]["data"], fwd["sol"]["data"])
    for ours, theirs in zip(again["src"], fwd["src"], strict=True):
        assert_array_equal(ours["vertno"], theirs["vertno"])
    # it is whole: MNE can turn its sources
    assert_array_equal(
        mne.convert_forward_solution(again, surf_ori=True)["sol"]["data"],
        mne.convert_forward_solution(fwd, surf_ori=True)["sol"]["data"],
    )


def test_a_damaged_file_of_the_cache_is_made_again(info, fwd, cache):
    folder = next((cache / f"v{surfaces.LAYOUT}").glob("forward"))
    path = max(folder.glob("*-fwd.fif"), key=lambda path: path.stat().st_mtime)
    name, whole = f"forward/{path.name}", path.read_bytes()
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2 : len(whole) // 2 + 60_000] = bytes(60_000)  # readable all the same
    for damaged in (b"", b"no forward solution", whole[: len(whole) // 2], bytes(spoilt)):
        path.write_bytes(damaged)
        made = []
        again, notes = kept.kept_forward(
            name, info, lambda made=made: made.append(1) or (fwd, ["said"])
        )
        assert made
        assert notes == ["said"]
        assert_array_equal(again["sol"]["data"], fwd["sol"]["data"])
    # and then it is whole, and says the same
    again, notes = kept.kept_forward(name, info, lambda: pytest.fail("not cached"))
    assert_array_equal(again["sol"]["data"], fwd["sol"]["data"])
    assert notes == ["said"]


def test_names_that_files_cannot_spell(info, cache):
    """Colons and letters beyond ASCII come back, nothing personal is in the file."""
    strange = info.copy()
    mne.rename_channels(strange, {info["ch_names"][0]: "EEG:1", info["ch_names"][3]: "Fpö µV"})
    with strange._unlock():
        strange["dev_head_t"] = Transform("meg", "head", np.diag([1.0, 1, -1, 1]))
    strange["bads"] = ["Fpö µV"]
    fwd = make_template_forward(info, positions="as given")
    for _ in range(2):  # made, then read
        found = make_template_forward(strange, positions="as given")
        assert found["sol"]["row_names"] == found["info"]["ch_names"] == strange["ch_names"]
        assert found["info"]["bads"] == strange["bads"]
        assert found["info"]["dev_head_t"] == strange["dev_head_t"]
        assert_array_equal(found["sol"]["data"], fwd["sol"]["data"])
        mne.pick_channels_forward(found, ["EEG:1"])
    files = b"".join(path.read_bytes() for path in cache.rglob("*-fwd.fif"))
    assert str(Path.cwd()).encode() not in files
    assert b"EEG:1" not in files


def test_other_surfaces_are_not_mistaken(info, tmp_path):
    path = tmp_path / "lh.white"
    path.write_bytes(b"one")
    before = kept.name_forward(info, (), [path])
    assert kept.name_forward(info, (), [path]) == before
    path.write_bytes(b"two")
    assert kept.name_forward(info, (), [path]) != before


def test_cached_forward_is_that_of_mne(info, bem, subjects_dir):
    fwd = make_template_forward(info, positions="as given")
    direct = mne.make_forward_solution(info, "fsaverage", fwd["src"], bem, meg=False)
    assert_allclose(fwd["sol"]["data"], direct["sol"]["data"], rtol=1e-5, atol=1e-4)
    assert_allclose(fwd["source_rr"], direct["source_rr"], atol=1e-7)


def test_another_cap_is_not_mistaken(info, fwd, bem, monkeypatch):
    asked = []
    monkeypatch.setattr(make, "kept_forward", lambda name, *_: asked.append(name) or (fwd, []))
    monkeypatch.setattr(make, "make_template_bem", lambda **options: bem)
    moved, bad = info.copy(), info.copy()
    moved["chs"][3]["loc"][0] += 1e-4
    bad["bads"] = [info["ch_names"][0]]
    names = info["ch_names"][1:]
    cases = [
        (info, {}),
        (moved, {}),
        (bad, {}),
        (mne.pick_info(info, mne.pick_channels(info["ch_names"], names)), {}),
        (info, dict(spacing="oct4")),
        (info, dict(mindist=4.0)),
        (info, dict(medial_wall=True)),
        (info, dict(conductivity=(0.3, 0.01, 0.3))),
    ]
    for one, options in cases:
        make_template_forward(one, positions="as given", **options)
    assert len(set(asked)) == len(cases)
    make_template_forward(info.copy(), positions="as given")
    assert asked[-1] == asked[0]


def test_the_cache_of_forward_solutions_is_bounded(info, fwd, cache, monkeypatch):
    folder = next((cache / f"v{surfaces.LAYOUT}").glob("forward"))
    monkeypatch.setattr(kept, "_MOST_FILES", 2)
    for k in range(3):
        kept.kept_forward(f"forward/{k}-fwd.fif", info, lambda: (fwd, []))
    wanted = {f"{k}-fwd.{ending}" for k in (1, 2) for ending in ("fif", "json")}
    assert {path.name for path in folder.iterdir()} == wanted
    monkeypatch.setattr(kept, "_MOST_BYTES", 10)
    found, _ = kept.kept_forward("forward/large-fwd.fif", info, lambda: (fwd, []))
    assert found is fwd
    assert not (folder / "large-fwd.fif").exists()


@pytest.mark.parametrize(("spacing", "n_sources"), [("oct3", 121), ("ico2", 297), (12, None)])
def test_spacing(bem, spacing, n_sources):
    fwd = make_template_forward(montage_info("easycap-M1", ["C3", "C4", "Oz"]), spacing)
    assert n_sources is None or fwd["nsource"] == n_sources
    assert fwd["nsource"] == sum(space["nuse"] for space in fwd["src"])


def test_given_source_space(bem, info, fwd, subjects_dir):
    src = mne.setup_source_space("fsaverage5", "ico3", subjects_dir=subjects_dir, add_dist=False)
    before = src.copy()
    same = make_template_forward(info, src)  # as it is, medial wall and all
    assert same["nsource"] == 1284
    cortex = np.repeat(on_cortex(same["src"]), 3)
    assert_allclose(same["sol"]["data"][:, cortex], fwd["sol"]["data"], rtol=1e-6, atol=1e-6)
    for space, old in zip(src, before, strict=True):
        assert space.keys() == old.keys()
        assert space["coord_frame"] == old["coord_frame"]
        for key in ("rr", "nn", "vertno", "inuse"):
            assert_array_equal(space[key], old[key])
    near = make_template_forward(info, src, mindist=8.0)
    assert 1000 < near["nsource"] < 1284
    for space in src:
        space["subject_his_id"] = "sample"
    with pytest.raises(ValueError, match=r"'sample'.*make_forward_solution"):
        make_template_forward(info, src)


def test_volume_source_space(bem, info):
    # with subject="fsaverage5" MNE would ask for an MRI
    src = mne.setup_volume_source_space(pos=25.0, bem=bem, add_interpolator=False)
    fwd = make_template_forward(info, src)
    assert np.isfinite(fwd["sol"]["data"]).all()
    assert fwd["sol"]["data"].shape == (32, 3 * fwd["nsource"])


def test_head_archive_of_a_volume(bem, tmp_path, monkeypatch):
    """A grid inside the brain, with free dipoles, layouts of the merged electrodes, kept as is."""
    path = tmp_path / "grid.npz"
    monkeypatch.setattr(electrodes, "_MONTAGES", ("biosemi64", "easycap-M1"))
    made = heads.make_head_archive(path, n_heads=1, spacing="vol30", verbose="error")
    assert made.is_volume
    n_sources = len(made.positions)
    assert n_sources > 20
    assert made.gains.shape == (1, len(made.electrodes), n_sources, 3)
    assert np.isfinite(made.gains).all()
    # neighbours on the grid are 30 mm apart, and there is one piece
    edges = made.adjacency.tocoo()
    lengths = np.linalg.norm(made.positions[edges.row] - made.positions[edges.col], axis=1)
    assert_allclose(edges.data, lengths, rtol=1e-3)
    assert_allclose(lengths.min(), 30.0, rtol=1e-3)
    assert connected_components(made.adjacency)[0] == 1
    # inside the inner skull, which lies well inside the electrodes
    radii = np.linalg.norm(made.positions - made.electrodes.mean(axis=0), axis=1)
    assert radii.max() < np.linalg.norm(made.electrodes, axis=1).max()
    assert_array_equal(made.layouts["biosemi64"], np.arange(64))
    assert len(made.layouts["biosemi32"]) == 32
    monkeypatch.setattr(heads, "make_template_bem", None)  # from now on it is read
    again = heads.make_head_archive(path, n_heads=1, spacing="vol30")
    assert again.is_volume
    assert_array_equal(again.gains, made.gains)
    assert again.layouts.keys() == made.layouts.keys()


def test_standard_layouts():
    """Each layout is made of electrodes of one montage, next to those that it stands for."""
    _, positions, groups = electrodes.electrode_info()
    layouts = electrodes.standard_layouts(positions, groups)
    assert len(layouts) > 20
    assert not any(name.startswith("artinis") for name in layouts)
    for name, picks in layouts.items():
        assert len(set(groups[picks].tolist())) == 1
        assert (np.diff(picks) > 0).all()
        wanted = np.array([channel["loc"][:3] for channel in montage_info(name)["chs"]])
        assert 0.8 * len(wanted) <= len(picks) <= len(wanted)
        gaps = np.linalg.norm(wanted[:, None] - positions[picks], axis=2).min(axis=1)
        assert np.median(gaps) < 0.016  # spherical layouts stand off the others
    # a layout that is among the electrodes is found as it is
    group = groups[layouts["biosemi256"]][0]
    assert_array_equal(layouts["biosemi256"], np.flatnonzero(groups == group))


@pytest.mark.parametrize("missing", [0.0, np.nan])
def test_missing_positions(bem, missing):
    info = montage_info("easycap-M1", ["Fz", "Cz", "Pz", "Oz"])
    for name in ("Cz", "Oz"):
        info["chs"][info["ch_names"].index(name)]["loc"][:3] = missing
    with pytest.raises(ValueError, match=r"Cz, Oz\) .*set_montage.*bad"):
        make_template_forward(info, "oct2")
    info["bads"] = ["Cz", "Oz"]
    assert make_template_forward(info, "oct2")["sol"]["row_names"] == ["Fz", "Pz"]
    info["bads"] = ["Fz", "Cz", "Oz"]  # a bad channel with a position stays
    assert make_template_forward(info, "oct2")["sol"]["row_names"] == ["Fz", "Pz"]


def test_bad_input(bem, info):
    with pytest.raises(ValueError, match="'ico5' and 'oct6'"):
        make_template_forward(info, "ico6")
    with pytest.raises(TypeError, match="info must be"):
        make_template_forward(info["ch_names"])
    with pytest.raises(TypeError, match="bem must be"):
        make_template_forward(info, bem="bem-sol.fif")
    eyes = mne.create_info(["EOG", "STI"], 100.0, ["eog", "stim"])
    with pytest.raises(ValueError, match=r"no EEG channels.*set_channel_types"):
        make_template_forward(eyes)
    info = mne.create_info(["Fz", "Cz"], 100.0, "eeg")
    with pytest.raises(ValueError, match="Fz, Cz"):
        make_template_forward(info)
    info["bads"] = ["Fz", "Cz"]
    with pytest.raises(ValueError, match=r"No EEG channel.*set_montage"):
        make_template_forward(info)


def test_other_channel_types_are_ignored(bem):
    info = montage_info("easycap-M1", ["Fz", "Cz", "Pz"])
    both = mne.create_info(["EOG", "Fz", "Cz", "Pz"], 100.0, ["eog"] + ["eeg"] * 3)
    both.set_montage(mne.channels.make_standard_montage("easycap-M1"))
    fwd, fwd_both = (make_template_forward(i, "oct2") for i in (info, both))
    assert fwd_both["sol"]["row_names"] == ["Fz", "Cz", "Pz"]
    assert_array_equal(fwd_both["sol"]["data"], fwd["sol"]["data"])


def test_electrodes_are_projected_onto_the_scalp(bem):
    info = montage_info("easycap-M1", ["Fz", "Cz", "Pz"])
    gain = make_template_forward(info, "oct2")["sol"]["data"]
    info["chs"][1]["loc"][:3] *= 1.02
    lifted = make_template_forward(info, "oct2")["sol"]["data"]
    assert_array_equal(lifted[[0, 2]], gain[[0, 2]])
    assert_allclose(lifted[1], gain[1], rtol=0.05, atol=0.05 * np.abs(gain).max())


def test_far_electrodes_warn(bem):
    info = montage_info("easycap-M1", ["Fz", "Cz", "Pz"])
    info["chs"][1]["loc"][2] += 0.05
    with pytest.warns(RuntimeWarning, match=r"1 electrode.*Cz \(\d\d mm\).*units") as record:
        make_template_forward(info, "oct2")
    assert len(record) == 1
    assert record[0].filename == __file__  # it points at the caller


@pytest.mark.parametrize("montage", ["easycap-M1", "biosemi128", "GSN-HydroCel-128"])
def test_standard_montages_do_not_warn(bem, montage):
    make_template_forward(montage_info(montage), "oct1")


def test_progress_and_verbosity(bem, info, capfd):
    with catch_logging() as log:
        make_template_forward(info, "oct2", verbose="info")
    assert "Template forward" in capfd.readouterr().err
    lines = log.getvalue().splitlines()
    assert len(lines) == 2
    by_name = "fsaverage_1005" in mne.channels.get_builtin_montages()
    assert ("placed by name" if by_name else "is scaled and shifted to fit") in lines[0]
    assert "32 channels" in lines[1]
    with catch_logging() as log:
        make_template_forward(info, "oct2", verbose="error")
    assert log.getvalue() == ""
    assert "Template forward" not in capfd.readouterr().err


def test_a_changed_lead_field_in_the_cache_is_made_again(info, fwd, cache):
    """A file that is whole for MNE, but holds other numbers, as of a disk that lost some."""
    name = "forward/changed-fwd.fif"
    kept.kept_forward(name, info, lambda: (fwd, []))
    path = cache / f"v{surfaces.LAYOUT}" / name
    other = mne.read_forward_solution(path, verbose="error")
    data = other["sol"]["data"].copy()
    data[3, 7] *= 1.001
    other["sol"]["data"] = other["_orig_sol"] = data
    mne.write_forward_solution(path, other, overwrite=True, verbose="error")
    with catch_logging(verbose="info") as log:
        again, _ = kept.kept_forward(name, info, lambda: (fwd, []))
    assert "is damaged (its checksum is another) and is made again" in log.getvalue()
    assert_array_equal(again["sol"]["data"], fwd["sol"]["data"])


def test_another_process_empties_the_cache_of_forward_solutions(info, fwd, cache, monkeypatch):
    """Files that are gone by the time they are looked at are no fault."""
    monkeypatch.setattr(kept, "_MOST_FILES", 1)
    folder = cache / f"v{surfaces.LAYOUT}" / "forward"
    (folder / "gone-fwd.fif").symlink_to(folder / "nowhere")
    found, _ = kept.kept_forward("forward/new-fwd.fif", info, lambda: (fwd, []))
    assert_array_equal(found["sol"]["data"], fwd["sol"]["data"])
    assert [path.name for path in folder.glob("*-fwd.fif")] == ["new-fwd.fif"]


def test_head_archive_in_the_cache(bem, cache, monkeypatch):
    """Without a path lead fields are kept in the cache, by all that they depend on."""
    monkeypatch.setattr(electrodes, "_MONTAGES", ("biosemi16",))
    made = heads.make_head_archive(n_heads=1, spacing="oct2", verbose="error")
    assert not made.is_volume
    assert made.source_space["subject"] == "fsaverage5"
    assert len(list(cache.glob("*/heads/heads-oct2-*.npz"))) == 1

    def fail(**kwargs):
        raise RuntimeError("made anew")

    monkeypatch.setattr(heads, "make_template_bem", fail)
    assert_array_equal(heads.make_head_archive(n_heads=1, spacing="oct2").gains, made.gains)
    with pytest.raises(RuntimeError, match="made anew"):
        heads.make_head_archive(n_heads=1, spacing="oct2", seed=1)
