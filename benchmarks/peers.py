"""The peer methods of ``transfer.py``, ``people.py`` and ``speed.py`` under one signature.

Every method is a function of (evoked, noise_cov, setup) that returns currents (n_sources, n_times)
along the normals of ``setup.fwd``, or vectors (n_sources, 3, n_times); it raises where it has no
answer. All get the same data, covariance and forward solution. invertmeeg is GPL, so it is
imported only where one of its solvers is called.
"""

import importlib.util
from functools import partial

import mne

from mne_mmnet.baselines.classical import CLASSICAL, minimum_norm

# invertmeeg's solvers by their names here
INVERTMEEG = {
    "FlexChampagne": "flex-champagne",
    "OmniChampagne": "omni-champagne",
    "FlexNLChampagne": "flex-nl-champagne",
    "Champagne": "champagne-mackay",
    "FLEX-MUSIC": "flex-music",
    "FLEX-AP": "flex-ap",
    "AltProj": "altproj",
    "lcmv-mvpure": "lcmv-mvpure",
}
# invertmeeg starts from source variances of 1: currents in nA·m make that a sensible start
_NANO = 1e-9


def _classical(name, evoked, noise_cov, setup):
    return minimum_norm(evoked, setup.free, noise_cov, method=name).data


def sloreta_loose(evoked, noise_cov, setup):
    """Run sLORETA with a loose orientation constraint; vectors.

    Read by the power of the whole window, it is the best of the classical methods where there is
    one source (site: people). Not free: MNE's sLORETA of free orientation misses even noise-free
    dipoles by a centimetre, for it standardises by the trace of each location's resolution.
    """
    inverse = mne.minimum_norm.make_inverse_operator(
        evoked.info, setup.free, noise_cov, loose=0.2, depth=0.8
    )
    return mne.minimum_norm.apply_inverse(
        evoked, inverse, 1.0 / 9.0, "sLORETA", pick_ori="vector"
    ).data


def _mxne(evoked, noise_cov, setup):
    """Mixed-norm estimate (Gramfort et al. 2012); SURE, MNE's default, chooses the penalty."""
    stc = mne.inverse_sparse.mixed_norm(
        evoked, setup.fwd, noise_cov, alpha="sure", loose=0.0, rng=0, maxit=1000
    )
    return _fill(stc, setup)


def _gamma_map(evoked, noise_cov, setup):
    """Gamma-MAP (Wipf & Nagarajan 2009); whitened noise has variance 1, and that is its alpha."""
    stc = mne.inverse_sparse.gamma_map(
        evoked, setup.fwd, noise_cov, alpha=1.0, loose=0.0, maxit=2000
    )
    return _fill(stc, setup)


def _lcmv(evoked, noise_cov, setup):
    """Unit-noise-gain LCMV beamformer (Van Veen et al. 1997) of the window's own covariance."""
    # filters are applied in the order of the data's channels, whatever their own
    assert evoked.ch_names == setup.fwd["sol"]["row_names"] == noise_cov.ch_names
    centred = evoked.data - evoked.data.mean(axis=1, keepdims=True)
    n_times = centred.shape[1]
    data_cov = mne.Covariance(
        centred @ centred.T / (n_times - 1),
        evoked.ch_names,
        [],
        evoked.info["projs"],
        n_times - 1,
    )
    filters = mne.beamformer.make_lcmv(
        evoked.info,
        setup.fwd,
        data_cov,
        reg=0.05,
        noise_cov=noise_cov,
        weight_norm="unit-noise-gain",
    )
    return mne.beamformer.apply_lcmv(evoked, filters).data


def _invertmeeg(name, evoked, noise_cov, setup):
    """One of invertmeeg's solvers, with a covariance and a lead field that it can use.

    invertmeeg 1.1 looks for ``mne.make_projector``, which MNE 1.13 has not, and goes on without
    the average reference; and Champagne does not whiten, so that it cannot use the singular
    covariance of referenced data. Hence all is referenced here, and then one electrode left out:
    nothing is lost, and what remains has full rank.
    """
    from invert.solver_registry import create_solver

    kept = evoked.ch_names[:-1]
    fwd = setup.fwd.copy()
    gain = _NANO * fwd["sol"]["data"]
    fwd["sol"]["data"] = gain - gain.mean(axis=0)
    fwd = mne.pick_channels_forward(fwd, kept, ordered=True)
    data = mne.EvokedArray(evoked.data - evoked.data.mean(axis=0), setup.info).pick(kept)
    cov = mne.Covariance(noise_cov.data[:-1, :-1], kept, [], [], noise_cov["nfree"])
    solver = create_solver(name)
    solver.make_inverse_operator(fwd, data, alpha="auto", noise_cov=cov)
    return _NANO * solver.apply_inverse_operator(data).data


def _fill(stc, setup):
    """Put the active sources of a sparse estimate where they belong; zeros elsewhere."""
    if not stc.data.size:
        raise RuntimeError("no active source found")
    return stc.expand([space["vertno"] for space in setup.fwd["src"]]).data


PEERS = (
    {name: partial(_classical, name) for name in CLASSICAL}
    | {"MxNE": _mxne, "Gamma-MAP": _gamma_map, "LCMV": _lcmv}
    | {name: partial(_invertmeeg, solver) for name, solver in INVERTMEEG.items()}
)


def check_peers(names):
    """Refuse methods that are not installed: that they can't run is no result of theirs."""
    missing = sorted(INVERTMEEG.keys() & set(names))
    if missing and importlib.util.find_spec("invert") is None:
        raise SystemExit(
            f"{', '.join(missing)}: of invertmeeg, which is not installed. Install it with "
            "pip install -c constraints.txt -e '.[benchmark]', or name --methods without them."
        )
