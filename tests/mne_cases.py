"""Small heads for the tests of the MNE seam: a sphere model, no files, no network."""

import functools

import mne
import numpy as np
import pytest
from mne.transforms import translation
from scipy.spatial import ConvexHull

SPHERE = mne.make_sphere_model(
    (0.0, 0.0, 0.04), 0.095, relative_radii=(0.9, 0.92, 0.97, 1.0), verbose=False
)
SUBJECT = "twoballs"
# names of montages, sources outside of spheres, keywords and MEG helmets
needs_mne_113 = pytest.mark.skipif(
    "fsaverage_1005" not in mne.channels.get_builtin_montages(), reason="needs MNE 1.13"
)
# of each kind of source space the classes of estimates: one number a source, and vectors
CLASSES = {
    "surface": (mne.SourceEstimate, mne.VectorSourceEstimate),
    "volume": (mne.VolSourceEstimate, mne.VolVectorSourceEstimate),
    "discrete": (mne.VolSourceEstimate, mne.VolVectorSourceEstimate),
    "mixed": (mne.MixedSourceEstimate, mne.MixedVectorSourceEstimate),
}
KINDS = tuple(CLASSES)
# of data that are noise of an arbitrary unit the package says so
noise_may_be_called_that = pytest.mark.filterwarnings(
    "ignore:.*outside the training domain:RuntimeWarning",
    "ignore:The sources explain:RuntimeWarning",
    "ignore:The largest current is:RuntimeWarning",
)
N_USED = 162


def make_info(n_channels=32, *, reference=True, n_extra=0):
    """EEG info of a biosemi cap with `n_extra` electrodes that no forward solution knows."""
    montage = mne.channels.make_standard_montage("biosemi64")
    names = montage.ch_names[:: 64 // n_channels][:n_channels]
    extra = [f"X{k}" for k in range(n_extra)]
    info = mne.create_info([*names, *extra], 250.0, "eeg")
    info.set_montage(montage, on_missing="ignore", verbose=False)
    if reference:
        evoked = mne.EvokedArray(np.zeros((len(info["ch_names"]), 1)), info, verbose=False)
        info = evoked.set_eeg_reference("average", projection=True, verbose=False).info
    return info


def montage_info(montage, names=None, sfreq=100.0):
    """EEG info of a built-in montage: all of its electrodes, or those of some names."""
    names = mne.channels.make_standard_montage(montage).ch_names if names is None else names
    return mne.create_info(list(names), sfreq, "eeg").set_montage(montage)


def make_projector(names, seed=0, desc="blink-v1"):
    """A pending projector of one random vector on some channels."""
    vector = np.random.default_rng(seed).standard_normal((1, len(names)))
    vector /= np.linalg.norm(vector)
    data = dict(nrow=1, ncol=len(names), row_names=None, col_names=list(names), data=vector)
    return mne.Projection(active=False, data=data, desc=desc, kind=1)


def make_evoked(info, seed=0, n_times=20, nave=1):
    """Pink-ish correlated noise of 1 µV."""
    rng = np.random.default_rng(seed)
    n_channels = len(info["ch_names"])
    mixing = np.eye(n_channels) + rng.normal(size=(n_channels, n_channels)) / n_channels
    data = 1e-6 * mixing @ rng.normal(size=(n_channels, n_times))
    return mne.EvokedArray(data, info, tmin=-0.02, nave=nave, verbose=False)


def make_cov(info, seed=1, rank=None, **kwargs):
    """Noise covariance of about 1 µV with correlations."""
    rng = np.random.default_rng(seed)
    names = list(info["ch_names"])
    mixing = rng.normal(size=(len(names), rank or 3 * len(names)))
    data = 1e-12 * mixing @ mixing.T / mixing.shape[1]
    cov = dict(names=names, bads=[], projs=[], nfree=1000)
    return mne.Covariance(data, **{**cov, **kwargs})


def make_ball(center, radius, n_mesh=642, n_used=N_USED):
    """A wobbly closed surface as a source space; the first `n_used` vertices spread evenly."""
    # even rows of a spiral, so that the used vertices are spread as evenly as the mesh
    used = _spiral(n_used)
    rest = _spiral(n_mesh - n_used)
    unit = np.concatenate([used, rest])
    tris = ConvexHull(unit).simplices
    use_tris = ConvexHull(used).simplices
    wobble = 1 + 0.1 * np.sin(7 * unit[:, :1]) * np.cos(5 * unit[:, 1:2])
    rr = radius * unit * wobble
    nn = np.zeros_like(rr)
    for tri in tris:
        normal = np.cross(rr[tri[1]] - rr[tri[0]], rr[tri[2]] - rr[tri[0]])
        nn[tri] += normal * np.sign(normal @ rr[tri].sum(axis=0))
    nn /= np.linalg.norm(nn, axis=1, keepdims=True)
    inuse = np.zeros(n_mesh, int)
    inuse[:n_used] = 1
    return dict(
        type="surf",
        np=n_mesh,
        ntri=len(tris),
        rr=rr + center,
        nn=nn,
        tris=tris,
        use_tris=use_tris,
        nuse_tri=len(use_tris),
        inuse=inuse,
        vertno=np.arange(n_used),
        nuse=n_used,
        coord_frame=mne.io.constants.FIFF.FIFFV_COORD_HEAD,
        subject_his_id=SUBJECT,
        **dict.fromkeys(["nearest", "nearest_dist", "pinfo", "patch_inds"]),
        **dict.fromkeys(["dist", "dist_limit"]),
    )


def _spiral(n):
    k = np.arange(n) + 0.5
    z, phi = 1 - 2 * k / n, np.pi * (1 + 5**0.5) * k
    return np.column_stack([*(np.sqrt(1 - z**2) * f(phi) for f in (np.cos, np.sin)), z])


@functools.cache
def make_src(kind):
    """Source spaces of a kind; cached, so copy before changing anything."""
    hemispheres = []
    for side, code in ((-1, 101), (1, 102)):
        space = make_ball((side * 0.033, 0.0, 0.04), 0.03)
        hemispheres.append({**space, "id": code})
    surface = mne.SourceSpaces(hemispheres)
    grid = mne.setup_volume_source_space(
        pos=18.0, sphere=(0.0, 0.0, 0.04, 0.07), sphere_units="m", verbose=False
    )
    if kind == "surface":
        # patch statistics, so that use_cps has something to do
        return mne.add_source_space_distances(surface, dist_limit=0, verbose=False)
    if kind == "discrete":
        rng = np.random.default_rng(3)
        rr = 0.06 * _spiral(40) * rng.uniform(0.4, 1, (40, 1)) + [0, 0, 0.04]
        nn = _spiral(40)[::-1].copy()
        return mne.setup_volume_source_space(pos=dict(rr=rr, nn=nn), verbose=False)
    if kind == "grid":
        return grid
    volume = grid.copy()
    # what setup_volume_source_space does when it is given an MRI
    volume[0].update(type="vol", coord_frame=mne.io.constants.FIFF.FIFFV_COORD_HEAD)
    return volume if kind == "volume" else surface + volume


@functools.cache
def make_fwd(kind="surface", n_channels=64):
    """Free-orientation forward solution; cached, so copy before changing anything."""
    info = make_info(n_channels)
    src = make_src(kind).copy()
    trans = mne.Transform("head", "mri")
    return mne.make_forward_solution(
        info, trans, src, SPHERE, meg=False, mindist=0.0, verbose=False
    )


def normal_gain(fwd, info):
    """Lead field of currents along the normals, its rows in the order of `info`."""
    fixed = mne.convert_forward_solution(fwd, force_fixed=True, verbose=False)
    fixed = mne.pick_channels_forward(fixed, info["ch_names"], ordered=True, verbose=False)
    return fixed["sol"]["data"]


def canonical_meg_info(system):
    """Sensors of a helmet, as MNE comes with them; the test is skipped where it does not."""
    if not hasattr(mne.channels, "read_meg_canonical_info"):
        pytest.skip(f"MNE {mne.__version__} comes with no helmets")
    return mne.channels.read_meg_canonical_info(system)


@functools.cache
def make_meg_info(*, eeg=True, system="neuromag", step=3):
    """MEG sensors of a real helmet, every `step`-th of them, and 32 EEG channels; cached."""
    info = canonical_meg_info(system)
    info["dev_head_t"] = mne.Transform("meg", "head", translation(0, 0, 0.045))
    # triplets: the two gradiometers and the magnetometer of a place
    keep = [k for k in range(len(info["ch_names"])) if (k // 3) % step == 0]
    info = mne.pick_info(info, keep)
    if not eeg:
        return info
    return (
        make_evoked(info, n_times=1)
        .add_channels([make_evoked(make_info(reference=False), n_times=1)], force_update_info=True)
        .set_eeg_reference("average", projection=True, verbose=False)
        .info
    )


@functools.cache
def make_meg_fwd(kind="surface", **kwargs):
    """Free-orientation forward solution for MEG and EEG; cached."""
    trans = mne.Transform("head", "mri")
    info = make_meg_info(**kwargs)
    src = make_src(kind).copy()
    return mne.make_forward_solution(info, trans, src, SPHERE, mindist=0.0, verbose=False)
