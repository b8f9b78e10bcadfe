"""Estimates in the hands of MNE and its relatives, by way of files."""

from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mne_cases as cases
import mne_mmnet

SUBJECT = "fsaverage5"
SFREQ = 250.0
N_TIMES = 50
SEEDS, THIRD = (139, 373), 19  # sources that are far from each other, by their rows
FREQUENCY = 40.0


@pytest.fixture(scope="module")
def subjects_dir(tmp_path_factory):
    """The template subject, beside what morphing needs of fsaverage.

    The sphere on which FreeSurfer registers fsaverage is the icosahedron that MNE ships.
    """
    subjects_dir = tmp_path_factory.mktemp("subjects")
    mne_mmnet.fetch_template(subjects_dir)
    icos = Path(mne.__file__).parent / "data" / "icos.fif.gz"
    sphere = mne.read_bem_surfaces(icos, s_id=9007, verbose=False)
    surf = subjects_dir / "fsaverage" / "surf"
    surf.mkdir(parents=True)
    for hemi in ("lh", "rh"):
        mne.write_surface(surf / f"{hemi}.sphere.reg", 100 * sphere["rr"], sphere["tris"])
    return subjects_dir


@pytest.fixture(scope="module")
def info():
    return cases.make_info(64)


@pytest.fixture(scope="module")
def fwd(info, subjects_dir, tmp_path_factory):
    path = tmp_path_factory.mktemp("fwd") / "template-fwd.fif"
    made = mne_mmnet.make_template_forward(info, subjects_dir=mne_mmnet.fetch_template())
    mne.write_forward_solution(path, made, verbose=False)
    return mne.read_forward_solution(path, verbose=False)


@pytest.fixture(scope="module")
def cov(info):
    return mne.make_ad_hoc_cov(info, verbose=False)


@pytest.fixture(scope="module")
def gain(fwd, info):
    return cases.normal_gain(fwd, info)


def place(fwd, row):
    """Hemisphere and vertex of a source."""
    n_left = fwd["src"][0]["nuse"]
    hemi, k = divmod(row, n_left) if row < n_left else (1, row - n_left)
    return hemi, int(fwd["src"][hemi]["vertno"][k])


@pytest.fixture(scope="module")
def evoked(info, gain, tmp_path_factory):
    """One source of each hemisphere, one after the other."""
    courses = 2e-8 * np.stack([np.roll(np.hanning(N_TIMES), shift) for shift in (-12, 12)])
    noise = 2e-7 * np.random.default_rng(0).normal(size=(len(info["ch_names"]), N_TIMES))
    made = mne.EvokedArray(gain[:, SEEDS] @ courses + noise, info, tmin=-0.05, verbose=False)
    path = tmp_path_factory.mktemp("evoked") / "two-ave.fif"
    made.save(path, verbose=False)
    return mne.read_evokeds(path, 0, verbose=False)


@pytest.fixture(scope="module")
def stc(evoked, fwd, cov):
    return mne_mmnet.apply_mmnet_inverse(evoked, fwd, cov)


@pytest.fixture(scope="module")
def labels(fwd, subjects_dir, tmp_path_factory):
    """Labels grown around both sources and a third place, written and read back."""
    folder = tmp_path_factory.mktemp("labels")
    where = [place(fwd, row) for row in (*SEEDS, THIRD)]
    hemis, vertices = zip(*where, strict=True)
    grown = mne.grow_labels(SUBJECT, vertices, 15, hemis, subjects_dir)
    read = []
    for k, label in enumerate(grown):
        path = folder / f"part{k}-{label.hemi}.label"
        label.save(path)
        read.append(mne.read_label(path, subject=SUBJECT))
    return read


# --------------------------------------------------------------------------- files


def test_surface_estimates_as_stc_files(stc, tmp_path):
    stc.save(tmp_path / "two", verbose=False)
    read = mne.read_source_estimate(tmp_path / "two", SUBJECT)
    assert_allclose(read.data, stc.data, rtol=1e-6)
    assert_allclose(read.times, stc.times, atol=1e-7)
    for ours, theirs in zip(read.vertices, stc.vertices, strict=True):
        assert_array_equal(ours, theirs)


# --------------------------------------------------------------------------- morphing


@pytest.mark.parametrize("spacing", [5, None])
def test_morph_to_fsaverage(stc, fwd, subjects_dir, spacing, tmp_path):
    """The template's vertices are the first ones of fsaverage; between them it is filled in."""
    # without "nearest", MNE smooths until the medial wall is full, and everything else with it
    morph = mne.compute_source_morph(
        stc,
        SUBJECT,
        "fsaverage",
        spacing=spacing,
        smooth="nearest",
        subjects_dir=subjects_dir,
        verbose=False,
    )
    morph.save(tmp_path / "to-morph.h5", verbose=False)
    moved = mne.read_source_morph(tmp_path / "to-morph.h5").apply(stc)
    assert moved.subject == "fsaverage"
    n_vertices = 10242 if spacing == 5 else 163842
    assert [len(v) for v in moved.vertices] == [n_vertices] * 2
    # exact where there were sources
    left = stc.vertices[0]
    assert_allclose(moved.lh_data[left], stc.lh_data, atol=1e-6 * np.abs(stc.data).max())
    assert np.isfinite(moved.data).all()
    assert np.abs(moved.data).max() <= np.abs(stc.data).max() * 1.001


def test_rename_to_fsaverage(stc, subjects_dir):
    """Without a morph: the same vertices under the name of fsaverage."""
    renamed = stc.copy()
    renamed.subject = "fsaverage"
    options = dict(spacing=5, smooth="nearest", subjects_dir=subjects_dir, verbose=False)
    morph = mne.compute_source_morph(renamed, "fsaverage", SUBJECT, **options)
    own = mne.compute_source_morph(stc, SUBJECT, SUBJECT, **options)
    expected = own.apply(stc)
    # the way there is filled in through the finer mesh: the same pictures, not the same numbers
    back = morph.apply(renamed)
    for hemi, vertices in zip(("lh", "rh"), stc.vertices, strict=True):
        ours, theirs = (getattr(this, f"{hemi}_data")[vertices] for this in (back, expected))
        assert_allclose(ours, theirs, atol=1e-6 * np.abs(stc.data).max())


# --------------------------------------------------------------------------- labels


def test_label_time_courses(stc, fwd, labels):
    """Each source's label has its time course, the third one none."""
    # sizes have no signs that could be flipped
    courses = mne.extract_label_time_course(stc, labels, fwd["src"], "mean", verbose=False)
    peaks = np.abs(courses).max(axis=1)
    assert peaks[:2].min() > 5 * peaks[2]
    first, second = (np.abs(course).argmax() for course in courses[:2])
    assert first < 20
    assert second > 30
    # restricted estimates, and MNE's own restriction
    for label in labels[:2]:
        assert_array_equal(
            stc.in_label(label).vertices[0 if label.hemi == "lh" else 1],
            np.intersect1d(label.vertices, stc.vertices[0 if label.hemi == "lh" else 1]),
        )


def make_epochs(info, gain, n_epochs, seed=0, coupled=True):
    """Oscillations of both sources and of a third; the first two a quarter period apart."""
    rng = np.random.default_rng(seed)
    times = np.arange(N_TIMES) / SFREQ
    data = []
    for _ in range(n_epochs):
        phase, other = rng.uniform(0, 2 * np.pi, 2)
        phases = (phase, phase + np.pi / 2 if coupled else rng.uniform(0, 2 * np.pi), other)
        courses = [np.sin(2 * np.pi * FREQUENCY * times + this) for this in phases]
        noise = 2e-7 * rng.normal(size=(len(info["ch_names"]), N_TIMES))
        data.append(1e-8 * gain[:, [*SEEDS, THIRD]] @ courses + noise)
    return mne.EpochsArray(np.array(data), info, verbose=False)


def test_connectivity(info, gain, fwd, cov, labels, tmp_path):
    """The coupled pair of labels is found among three."""
    connectivity = pytest.importorskip("mne_connectivity")
    make_epochs(info, gain, 20).save(tmp_path / "three-epo.fif", verbose=False)
    epochs = mne.read_epochs(tmp_path / "three-epo.fif", verbose=False)
    # phases need signs
    stcs = mne_mmnet.apply_mmnet_inverse_epochs(
        epochs, fwd, cov, pick_ori="normal", return_generator=True
    )
    courses = mne.extract_label_time_course(stcs, labels, fwd["src"], "mean_flip", verbose=False)
    found = connectivity.spectral_connectivity_epochs(
        courses, method="imcoh", sfreq=SFREQ, fmin=30.0, fmax=50.0, faverage=True, verbose=False
    )
    strength = np.abs(found.get_data("dense")[:, :, 0])
    assert strength[1, 0] > 0.75
    assert max(strength[2, 0], strength[2, 1]) < 0.65


def test_connectivity_of_the_transformer(info, gain, fwd, cov, labels):
    """The transformer's output is what mne-connectivity takes."""
    connectivity = pytest.importorskip("mne_connectivity")
    courses = mne_mmnet.SourceTransformer(info, fwd, cov, labels=labels).fit_transform(
        make_epochs(info, gain, 6)
    )
    found = connectivity.envelope_correlation(courses, verbose=False)
    assert found.get_data().shape[:3] == (6, 3, 3)
    assert np.isfinite(found.get_data()).all()


# --------------------------------------------------------------------------- statistics


def test_cluster_statistics(info, gain, fwd, cov):
    """A group of seven: the cluster holds the source's place and time."""
    rng = np.random.default_rng(3)
    course = 2e-8 * np.hanning(10)
    adjacency = mne.spatial_src_adjacency(fwd["src"], verbose=False)
    operator = mne_mmnet.make_mmnet_operator(info, fwd, cov, loose=0.2)
    data = []
    for _ in range(7):
        noise = 2e-7 * rng.normal(size=(len(info["ch_names"]), 15))
        signal = np.outer(gain[:, SEEDS[0]], np.concatenate([np.zeros(5), course]))
        evoked = mne.EvokedArray(signal + noise, info, verbose=False)
        stc = mne_mmnet.apply_mmnet_inverse(evoked, operator, pick_ori="normal")
        data.append(stc.data.T)
    result = mne.stats.spatio_temporal_cluster_1samp_test(
        np.array(data),
        threshold=5.0,
        n_permutations=64,
        adjacency=adjacency,
        out_type="indices",
        verbose=False,
        **_seeded(0),
    )
    _, clusters, p_values, _ = result
    assert p_values.min() < 0.05
    near = adjacency.tocsr()[[SEEDS[0]]].indices  # its neighbours and itself
    # with 64 permutations several clusters may share the smallest p
    (best,) = (
        cluster
        for cluster, p in zip(clusters, p_values, strict=True)
        if p == p_values.min() and np.isin(cluster[1], near).any()
    )
    assert set(best[0]) >= {9, 10}
    vertices = [space["vertno"] for space in fwd["src"]]
    summary = mne.stats.summarize_clusters_stc(
        result, vertices=vertices, subject=SUBJECT, tstep=1 / SFREQ
    )
    assert summary.data.shape[0] == len(gain.T)


def _seeded(seed):
    """MNE's name of the seed: ``rng`` from 1.13 on, ``seed`` before."""
    import inspect

    known = inspect.signature(mne.stats.spatio_temporal_cluster_1samp_test).parameters
    return {"rng" if "rng" in known else "seed": seed}


# --------------------------------------------------------------------------- reports


def test_report(stc, evoked, subjects_dir, tmp_path):
    """Pictures of both peaks in MNE's report.

    ``Report.add_stc`` needs a display and Qt: what MNE 1.13.2 does without them, it does wrong
    (it closes figures as if they were brains, and counts captions by time but figures by
    hemisphere).
    """
    report = mne.Report(title="Sources", verbose=False)
    report.add_figure(evoked.plot(show=False), "Sensors")
    times = (evoked.times[12], evoked.times[37])
    options = dict(subject=SUBJECT, subjects_dir=subjects_dir)
    images = [mne_mmnet.plot_sources(stc, time=time, **options) for time in times]
    report.add_figure(images, "Sources", caption=[f"{1e3 * time:.0f} ms" for time in times])
    path = tmp_path / "report.html"
    report.save(path, open_browser=False, verbose=False)
    page = path.read_text(encoding="utf-8")
    # the sensors, and two pictures of the sources
    assert page.count("data:image/") >= 3
    for text in ("Sources", *(f"{1e3 * time:.0f} ms" for time in times)):
        assert text in page
