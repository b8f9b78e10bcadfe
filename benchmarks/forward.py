"""Is the forward solution right? Against the exact sphere, and against OpenMEEG.

    python benchmarks/forward.py

*Spheres.* Three concentric ones with the template's conductivities and about its thicknesses are
solved as the template is: ``mne.make_bem_model`` from FreeSurfer surfaces of ico 3,
``mne.make_bem_solution`` (linear collocation with the isolated-skull approach), the same by
OpenMEEG (symmetric boundary elements), and MNE's sphere model (Berg and Scherg). The truth is the
series of Legendre polynomials for layered spheres (Zhang 1995, doi 10.1088/0031-9155/40/3/001). 64
electrodes, radial and tangential dipoles at 40 places for each eccentricity (distance from the
centre, relative to the inner skull's radius).

*Template.* The same surfaces of the template, by MNE and by OpenMEEG, all its sources along their
normals, by distance from the inner skull.

Of RDM and MAG (:func:`rdm_mag`, average reference) ``forward.csv`` has medians, and the 95th
percentile of RDM. OpenMEEG comes with the extra ``benchmark``; without it, its rows are left out,
and said so.
"""

import importlib.util
import tempfile
import warnings
from pathlib import Path

import mne
import numpy as np
from common import make_info, timed, write_rows
from mne.io.constants import FIFF
from mne.transforms import Transform, apply_trans, invert_transform
from runner import RESULTS, made_by, make_parser, quiet, tell
from scipy.spatial import cKDTree
from scipy.special import eval_legendre

from mne_mmnet.template import make_template_bem, make_template_forward
from mne_mmnet.template.surfaces import icosphere

SIGMAS = (0.3, 0.006, 0.3)  # S/m: brain, skull, scalp, as the template has them
RADII = (0.080, 0.085, 0.092)  # m
SHELLS = ("inner_skull", "outer_skull", "outer_skin")
ECCENTRICITIES = (0.1, 0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.94, 0.97)
DEPTHS = (2.0, 4.0, 6.0, 10.0, 20.0, 100.0)  # mm: limits of bins
N_PLACES, SEED = 40, 23


def exact_potentials(electrodes, place, moment, radii=RADII, sigmas=SIGMAS, n_terms=300):
    """Potentials (V) at electrodes on concentric spheres of a dipole in the innermost one.

    ``electrodes`` (n_electrodes, 3) and ``place`` are in m from the centre, where the dipole must
    not be, ``moment`` in A·m; ``radii`` (m) and ``sigmas`` (S/m) go from the inside; ``n_terms``
    is the length of the series.
    """
    outer, n = radii[-1], np.arange(1, n_terms + 1)
    # what n-th harmonics become from shell to shell; each step is an exact boundary condition
    step = np.broadcast_to(np.eye(2), (n_terms, 2, 2))
    for radius, inside, outside in zip(radii[:-1], sigmas[:-1], sigmas[1:], strict=True):
        ratio, scale = inside / outside, (radius / outer) ** (2 * n + 1)
        matrix = np.array(
            [
                [n + (n + 1) * ratio, (n + 1) * (ratio - 1) / scale],
                [n * (ratio - 1) * scale, (n + 1) + n * ratio],
            ]
        ) / (2 * n + 1)
        step = step @ np.moveaxis(matrix, -1, 0)
    weight = n / (n * step[:, 1, 1] + (n + 1) * step[:, 1, 0])
    distance = np.linalg.norm(place)
    axis = place / distance
    radial = moment @ axis
    across = moment - radial * axis
    tangential = np.linalg.norm(across)
    units = electrodes / np.linalg.norm(electrodes, axis=1, keepdims=True)
    cosine = np.clip(units @ axis, -1.0, 1.0)[:, np.newaxis]
    sine = np.sqrt(1.0 - cosine**2)
    legendre = eval_legendre(n, cosine)
    before = eval_legendre(n - 1, cosine)
    # P_n^1 = sin · dP_n/dcos, which vanishes on the axis
    associated = n * (before - cosine * legendre) / np.maximum(sine, 1e-12)
    along = 0.0
    if tangential > 0:
        flat = units - cosine * axis
        along = flat @ (across / tangential) / np.maximum(np.linalg.norm(flat, axis=1), 1e-12)
    factor = (2 * n + 1) / n * (distance / outer) ** (n - 1) * weight
    series = radial * (n * legendre) @ factor + tangential * along * (associated @ factor)
    return series / (4 * np.pi * sigmas[-1] * outer**2)


def rdm_mag(ours, true):
    """Relative difference of topographies and ratio of their norms, column by column."""
    ours, true = ours - ours.mean(axis=0), true - true.mean(axis=0)
    norms = np.linalg.norm(ours, axis=0), np.linalg.norm(true, axis=0)
    return np.linalg.norm(ours / norms[0] - true / norms[1], axis=0), norms[0] / norms[1]


def make_sphere():
    """Make MNE's sphere model of the same spheres."""
    relative = np.array(RADII) / RADII[-1]
    centre = np.zeros(3)
    return mne.make_sphere_model(centre, RADII[-1], relative_radii=relative, sigmas=SIGMAS)


def sphere_bem(solver="mne", ico=3):
    """Solve three spheres on the template's way: from FreeSurfer's surfaces."""
    directions, tris = icosphere(4)
    with tempfile.TemporaryDirectory() as folder:
        bem = Path(folder) / "spheres" / "bem"
        bem.mkdir(parents=True)
        for name, radius in zip(SHELLS, RADII, strict=True):
            mne.write_surface(bem / f"{name}.surf", 1e3 * radius * directions, tris)
        surfs = mne.make_bem_model("spheres", ico, SIGMAS, folder)
    return mne.make_bem_solution(surfs, solver=solver)


def electrodes_on_sphere(n_electrodes=64):
    """Info of electrodes on the outermost sphere, and their places (m)."""
    info = make_info(f"biosemi{n_electrodes}", 100.0)
    places = np.array([channel["loc"][:3] for channel in info["chs"]])
    places -= [0.0, 0.0, 0.03]  # of a head's origin, between the ears
    places *= RADII[-1] / np.linalg.norm(places, axis=1, keepdims=True)
    montage = mne.channels.make_dig_montage(
        dict(zip(info["ch_names"], places, strict=True)), coord_frame="head"
    )
    info = mne.create_info(info["ch_names"], 100.0, "eeg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no fiducials: the spheres' frame is the head's
        info.set_montage(montage)
    return info, places


def solve_spheres(bem, info, places, moments):
    """Potentials (n_electrodes, n_dipoles) of dipoles of 1 A·m, by MNE's forward solution."""
    pos = dict(rr=places, nn=moments)
    src = mne.setup_volume_source_space(pos=pos, mindist=0.0, verbose="error")
    for space in src if bem["is_sphere"] else ():
        space["coord_frame"] = FIFF.FIFFV_COORD_HEAD  # the sphere model has no MRI
    fwd = mne.make_forward_solution(info, Transform("head", "mri"), src, bem, meg=False, mindist=0)
    assert fwd["nsource"] == len(places), "sources were left out"
    return np.einsum("esk,sk->es", fwd["sol"]["data"].reshape(len(info["chs"]), -1, 3), moments)


def draw_dipoles(eccentricity, n_places, rng):
    """Places at one eccentricity, twice, with radial and tangential unit moments."""
    axes = rng.standard_normal((n_places, 3))
    axes[:, 2] = np.abs(axes[:, 2])  # where the electrodes are
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    across = np.cross(axes, rng.standard_normal((n_places, 3)))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    places = eccentricity * RADII[0] * axes
    return np.concatenate([places, places]), np.concatenate([axes, across])


def compare_spheres(solvers):
    """One row an eccentricity and orientation, for each solver."""
    info, electrodes = electrodes_on_sphere()
    for name, make in solvers.items():
        bem, seconds = timed(make)
        rng = np.random.default_rng(SEED)
        for eccentricity in ECCENTRICITIES:
            places, moments = draw_dipoles(eccentricity, N_PLACES, rng)
            true = np.transpose(
                [exact_potentials(electrodes, *each) for each in zip(places, moments, strict=True)]
            )
            rdm, mag = rdm_mag(solve_spheres(bem, info, places, moments), true)
            for k, orientation in enumerate(("radial", "tangential")):
                part = slice(k * N_PLACES, (k + 1) * N_PLACES)
                yield _row(
                    "spheres", name, "exact", orientation, eccentricity, rdm[part], mag[part]
                )
        print(f"{name}: solved in {seconds:.1f} s", flush=True)


def compare_template(solvers):
    """One row a bin of depth below the inner skull: the first solver beside the others."""
    info = make_info("biosemi64", 100.0)
    gains, depth = {}, None
    for name, bem in solvers.items():
        fwd = make_template_forward(info, bem=bem, mindist=0.0)
        fixed = mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True, use_cps=False)
        gains[name] = fixed["sol"]["data"]
        places = apply_trans(invert_transform(fwd["mri_head_t"]), fwd["source_rr"])
        skull = next(surf for surf in bem["surfs"] if surf["id"] == 1)
        depth = 1e3 * cKDTree(skull["rr"]).query(places)[0]
    (ours, gain), *others = gains.items()
    for name, other in others:
        rdm, mag = rdm_mag(gain, other)
        low = 0.0
        for high in DEPTHS:
            inside = (depth >= low) & (depth < high)
            if inside.any():
                where = f"{low:g} to {high:g} mm below the skull"
                yield _row("template", ours, name, "normal", where, rdm[inside], mag[inside])
            low = high
        yield _row("template", ours, name, "normal", "all", rdm, mag)


def _row(head, solver, reference, orientation, where, rdm, mag):
    row = dict(head=head, solver=solver, reference=reference, orientation=orientation)
    row |= dict(where=where, n=len(rdm), rdm=f"{np.median(rdm):.4f}")
    row |= dict(rdm_95=f"{np.percentile(rdm, 95):.4f}", mag=f"{np.median(mag):.4f}")
    tell(row)
    return row


def main():
    """Run the benchmark from the command line."""
    parser = make_parser(__file__, __doc__, out=RESULTS / "forward.csv", model=False)
    args = parser.parse_args()
    quiet()
    solvers = {"MNE": sphere_bem, "MNE's sphere model": make_sphere}
    bem = make_template_bem(ico=3)
    template = {"MNE": bem}
    if importlib.util.find_spec("openmeeg") is None:
        print("OpenMEEG is not installed (pip install openmeeg): compared with the sphere alone.")
    else:
        solvers["OpenMEEG"] = lambda: sphere_bem("openmeeg")
        template["OpenMEEG"] = mne.make_bem_solution(bem["surfs"], solver="openmeeg")
    rows = [*compare_spheres(solvers), *compare_template(template)]
    write_rows(args.out, made_by(args, "", f"seed {SEED}"), rows)


if __name__ == "__main__":
    main()
