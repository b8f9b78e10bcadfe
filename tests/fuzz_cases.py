"""Random recordings with heads for the fuzz tests: hypothesis draws a recipe, `build` cooks it."""

import copy
import functools
from dataclasses import dataclass
from types import SimpleNamespace

import mne
import numpy as np
from hypothesis import strategies as st

import mne_cases

KINDS = ("surface", "volume", "discrete", "grid", "mixed", "meg")
SOURCES = ("all", "some", "mindist", "islands", "one side", "single")
REFERENCES = ("projector", "applied", "none", "custom")
COVS = ("none", "full", "diagonal", "ad hoc", "deficient", "ill", "regularised", "tiny", "huge")
FLAWS = ("none", "none", "none", "constant", "dead", "zero", "duplicate", "nan", "inf", "outlier")
LAYOUTS = ("C", "F", "strided", "readonly", "float32")
HEADS = ("right",) * 5 + (
    *("nan gain", "nan cov", "silent source", "silent channel", "huge gain", "fixed"),
)
ENTRIES = ("evoked", "operator", "epochs", "raw", "stream")


@dataclass(frozen=True)
class Recipe:
    """All choices of a case; the first value of each is the plainest."""

    kind: str = "surface"
    sources: str = "all"
    n_channels: int = 32
    n_bads: int = 0
    reference: str = "projector"
    cov: str = "none"
    flaw: str = "none"
    layout: str = "C"
    exponent: int = 0
    n_times: int = 12
    nave: float = 1
    n_extra_projs: int = 0
    loose: object = None
    depth: object = "auto"
    rank: object = None
    pick_ori: str | None = None
    label: str = "none"
    n_steps: int | None = None
    use_cps: bool = True
    entry: str = "evoked"
    head: str = "right"
    model: str = "mmnet-base"
    uncertainty: bool = False
    seed: int = 0


def plainest(*names):
    """The plainest of some choices."""
    return {name: getattr(Recipe, name) for name in names}


def recipes(**fixed):
    """Draw recipes, with some of the choices fixed."""
    pick = st.sampled_from
    fields = dict(
        kind=pick(KINDS),
        sources=pick(SOURCES),
        n_channels=pick((32, 16, 9)),
        n_bads=pick((0, 0, 1, 3, 30)),
        reference=pick(("projector",) * 3 + REFERENCES),
        cov=pick(COVS),
        flaw=pick(FLAWS),
        layout=pick(LAYOUTS),
        exponent=pick((0, 0, 0, 6, -6, -20, 20, -60, 60, -150, 150)),
        n_times=pick((12, 1, 2, 60, 0)),
        nave=pick((1, 1, 7, 1000, 0.5, 0, -2)),
        n_extra_projs=pick((0, 0, 1, 2)),
        loose=pick((None, "auto", 0, 0.2, 1.0)),
        depth=pick(("auto", None, 0.8, 5.0)),
        rank=pick((None, None, "info", "full", "count")),
        pick_ori=pick((None, "normal", "vector")),
        label=pick(("none", "none", "some", "outside")),
        n_steps=pick((None, 1, 7)),
        use_cps=st.booleans(),
        entry=pick(ENTRIES),
        head=pick(HEADS),
        model=pick(("mmnet-base",) * 7 + ("mmnet-cosine",)),
        uncertainty=st.booleans(),
        seed=st.integers(0, 999),
    )
    fields.update({key: st.just(value) for key, value in fixed.items()})
    # MNE's own containers refuse to be without samples
    return st.builds(Recipe, **fields).filter(
        lambda r: r.n_times > 0 or r.entry not in ("epochs", "raw")
    )


@functools.cache
def _close_fwd():
    """A forward solution that lacks the vertices nearer than 28 mm to the skull."""
    trans = mne.Transform("head", "mri")
    src = mne_cases.make_src("surface").copy()
    info = mne_cases.make_info(64)
    return mne.make_forward_solution(
        info, trans, src, mne_cases.SPHERE, meg=False, mindist=28.0, verbose=False
    )


@functools.cache
def _fwd(kind, sources):
    """Forward solution with some sources dropped; cached, never changed."""
    meg = kind == "meg"
    if sources == "mindist" and kind == "surface":
        return _close_fwd()
    fwd = mne_cases.make_meg_fwd(step=6) if meg else mne_cases.make_fwd(kind)
    if sources in ("all", "mindist") or kind == "mixed":
        return fwd
    rng = np.random.default_rng(5)
    vertices = [space["vertno"] for space in fwd["src"]]
    if sources == "some":
        chosen = [np.sort(rng.choice(v, len(v) // 4, replace=False)) for v in vertices]
    elif sources == "islands":  # far from each other on the same surface
        chosen = [v[[0, 1, -2, -1]] for v in vertices]
    else:
        n_first = 1 if sources == "single" else len(vertices[0]) // 3
        chosen = [vertices[0][:n_first], *(v[:0] for v in vertices[1:])]
    surface = len(vertices) == 2
    maker = mne.SourceEstimate if surface else mne.VolSourceEstimate
    stc = maker(np.ones((sum(map(len, chosen)), 1)), chosen, 0, 1, subject=mne_cases.SUBJECT)
    if not surface:
        stc.subject = None
    return mne.forward.restrict_forward_to_stc(fwd, stc)


def build(recipe):
    """Make the recording, forward solution and covariance of a recipe.

    Returns
    -------
    case : SimpleNamespace
        ``evoked``, ``fwd``, ``cov``, ``options`` and ``used``, the names of the good channels.
    """
    rng = np.random.default_rng(recipe.seed)
    fwd = _fwd(recipe.kind, recipe.sources)
    info = (
        copy.deepcopy(mne_cases.make_meg_info(step=6))
        if recipe.kind == "meg"
        else mne_cases.make_info(recipe.n_channels, reference=False)
    )
    names = list(info["ch_names"])
    eeg = np.array([kind == "eeg" for kind in info.get_channel_types()])
    fwd = mne.pick_channels_forward(fwd, names, ordered=True, verbose=False)
    if recipe.flaw == "duplicate":  # two electrodes in one place
        first, second = np.flatnonzero(eeg)[:2]
        fwd = copy.deepcopy(fwd)
        for gain in (fwd["sol"]["data"], fwd["_orig_sol"]):
            gain[second] = gain[first]
        info["chs"][second]["loc"][:3] = info["chs"][first]["loc"][:3]
    data = _simulate(rng, fwd["sol"]["data"], recipe.n_times)
    fwd = _change_head(fwd, recipe)
    clean = data.copy()
    _spoil(data, recipe.flaw, eeg)
    with np.errstate(over="ignore", under="ignore"):
        data *= 10.0**recipe.exponent
    evoked = mne.EvokedArray(np.zeros((len(names), 1)), info, tmin=-0.02, verbose=False)
    evoked.pick(names)
    if recipe.kind != "meg":
        _set_reference(evoked, recipe.reference)
    if recipe.reference == "applied" or (recipe.kind == "meg"):
        with np.errstate(invalid="ignore"):
            data[eeg] -= data[eeg].mean(axis=0)
    _add_projs(evoked, names, eeg, rng, recipe.n_extra_projs)
    cov = _make_cov(rng, recipe.cov, names, clean, eeg, evoked.info)
    if recipe.head == "nan cov" and cov is not None:
        cov["data"][:] = np.nan
    n_bads = min(recipe.n_bads, len(names))
    evoked.info["bads"] = list(rng.permutation(names)[:n_bads])
    order = rng.permutation(len(names))
    evoked.reorder_channels([names[k] for k in order])
    evoked.data = _lay_out(data[order], recipe.layout)
    evoked._set_times(-0.02 + np.arange(recipe.n_times) / info["sfreq"])
    evoked.nave = recipe.nave
    rank = recipe.rank
    n_good = len(names) - n_bads
    if rank == "count":
        rank = dict(eeg=max(n_good - 2, 1))
    options = dict(
        model=recipe.model,
        loose=recipe.loose,
        depth=recipe.depth,
        rank=rank,
        use_cps=recipe.use_cps,
        noise_cov=cov,
    )
    return SimpleNamespace(
        evoked=evoked,
        fwd=fwd,
        cov=cov,
        options=options,
        label=_make_label(fwd, recipe.label),
        n_good=n_good,
    )


def _change_head(fwd, recipe):
    if recipe.head == "fixed" and recipe.kind in ("surface", "meg"):
        return mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True, verbose=False)
    if recipe.head in ("nan gain", "silent source", "silent channel", "huge gain"):
        fwd = copy.deepcopy(fwd)
        for gain in (fwd["sol"]["data"], fwd["_orig_sol"]):
            if recipe.head == "nan gain":
                gain[:, -1] = np.nan
            elif recipe.head == "silent source":
                gain[:, :3] = 0.0
            elif recipe.head == "silent channel":
                gain[0] = 0.0
            else:
                gain *= 1e30
    return fwd


def _simulate(rng, gain, n_times):
    """Two free dipoles of 20 nAm in noise of a tenth of each channel's field."""
    columns = rng.choice(gain.shape[1], min(2, gain.shape[1]), replace=False)
    times = np.arange(n_times) / 250.0
    courses = [2e-8 * np.sin(2 * np.pi * f * times + 1) for f in (9, 14)][: len(columns)]
    signal = gain[:, columns] @ np.array(courses)
    size = np.abs(gain[:, columns]).mean(axis=1, keepdims=True) * 2e-9
    return signal + size * rng.normal(size=signal.shape)


def _spoil(data, flaw, eeg):
    channel = np.flatnonzero(eeg)[2]
    if flaw in ("constant", "dead"):
        data[channel] = 1e-5 * (flaw == "constant")
    elif flaw == "zero":
        data[:] = 0.0
    elif flaw == "outlier":
        data[channel] *= 1e6
    elif flaw in ("nan", "inf") and data.size:
        data[channel, -1] = dict(nan=np.nan, inf=-np.inf)[flaw]


def _set_reference(evoked, reference):
    if reference in ("projector", "applied"):
        evoked.set_eeg_reference("average", projection=True, verbose=False)
        if reference == "applied":
            evoked.apply_proj(verbose=False)
    elif reference == "custom":
        evoked.set_eeg_reference([evoked.ch_names[0]], verbose=False)


def _add_projs(evoked, names, eeg, rng, n_projs):
    used = [name for name, is_eeg in zip(names, eeg, strict=True) if is_eeg]
    for k in range(n_projs):
        evoked.add_proj(mne_cases.make_projector(used, rng, f"blink-{k}"), verbose=False)


def _make_cov(rng, how, names, data, eeg, info):
    if how == "none":
        return None
    if how == "ad hoc":
        return mne.make_ad_hoc_cov(info, verbose=False)
    n = len(names)
    # each channel's noise: a tenth of its field, or of what it would be in V, T or T/m
    std = np.abs(data).mean(axis=1) / 10 if data.size else np.where(eeg, 1e-6, 1e-13)
    std = np.maximum(std, 1e-15)
    mixing = np.eye(n) + 0.3 * rng.normal(size=(n, n)) / np.sqrt(n)
    if how == "diagonal":
        return mne.Covariance(std**2, names, [], [], 1000)
    if how == "deficient":
        mixing = rng.normal(size=(n, max(n - 4, 2))) / np.sqrt(n)
    elif how == "ill":
        mixing = mixing * np.logspace(0, -7, n)
    matrix = mixing @ mixing.T
    if how == "regularised":
        matrix = 0.9 * matrix + 0.1 * np.eye(n)
    scale = dict(tiny=1e-20, huge=1e20).get(how, 1.0)
    return mne.Covariance(scale * matrix * np.outer(std, std), names, [], [], 1000)


def _lay_out(data, layout):
    if layout == "F":
        return np.asfortranarray(data)
    if layout == "strided":
        return np.repeat(data, 2, axis=1)[:, ::2]
    if layout == "readonly":
        data.setflags(write=False)
    if layout == "float32":
        with np.errstate(over="ignore", under="ignore"):
            return data.astype(np.float32)
    return data


def _make_label(fwd, which):
    if which == "none":
        return None
    vertices = fwd["src"][0]["vertno"][:3] if which == "some" else [641]
    return mne.Label(vertices, hemi="lh", name=which, subject=mne_cases.SUBJECT)


def must_fail(recipe, case):
    """Say why a case can have no estimate; empty where it has one."""
    eeg_custom = recipe.kind != "meg" and recipe.reference in ("none", "custom")
    values = case.evoked.data
    spoiled = recipe.flaw in ("nan", "inf") and recipe.n_times > 0
    return [
        reason
        for reason, holds in {
            # the mean over the channels of a single sample may be zero by chance
            "no reference": eeg_custom and values.any() and recipe.n_times > 1,
            "no samples": recipe.n_times == 0,
            "nave": recipe.nave <= 0,
            "channels": case.n_good < 8,
            "gain": recipe.head == "nan gain",
            "covariance": recipe.head == "nan cov" and recipe.cov != "none",
            "source space": recipe.model == "mmnet-cosine",
        }.items()
        if holds
    ] + (["not finite"] if spoiled and _bad_used(case) else [])


def _bad_used(case):
    good = [
        k for k, name in enumerate(case.evoked.ch_names) if name not in case.evoked.info["bads"]
    ]
    return not np.isfinite(case.evoked.data[good]).all()


def may_fail(recipe, case):
    """Say why an error is a fair answer, though an estimate is one too."""
    surface = recipe.kind in ("surface", "meg")
    with np.errstate(over="ignore"):
        finite = np.isfinite(case.evoked.data).all()
    return [
        reason
        for reason, holds in {
            "loose": recipe.loose not in (None, "auto", 1.0)
            and recipe.kind not in ("surface", "meg"),
            "fixed": recipe.head == "fixed"
            and (recipe.loose not in (None, 0) or recipe.pick_ori == "vector"),
            "gain": recipe.head == "huge gain",
            "one silent source": recipe.head == "silent source" and recipe.sources == "single",
            "normal": recipe.pick_ori == "normal" and not surface,
            "label": recipe.label != "none" and (not surface or recipe.label == "outside"),
            "reference": recipe.reference in ("none", "custom") and recipe.n_times == 1,
            "label elsewhere": recipe.label == "some" and recipe.sources == "one side",
            "rank": recipe.rank is not None,
            "few directions": case.n_good - recipe.n_extra_projs - 1 < 8
            or (recipe.cov in ("deficient", "ill", "tiny") and case.n_good < 20),
            "amplitude": abs(recipe.exponent) > 10 or not finite,
            "covariance": recipe.cov in ("tiny", "huge", "ill"),
            "meg needs a covariance": recipe.kind == "meg" and recipe.cov == "none",
        }.items()
        if holds
    ]
