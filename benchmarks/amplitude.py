"""How much of a dipole's moment comes back: single dipoles, biosemi64, template head.

    python benchmarks/amplitude.py

**Inverse crime** (the same lead field simulates and inverts): this measures the shrinkage of the
estimator alone, at its best. Writes ``amplitude.csv``: medians over dipoles of the estimate at the
true place, of the moment within 25 mm, both as shares of the true one, and of the distance of the
strongest source. Currents along the true normals count, and beside them the moment as users read
it off the default output ("of lengths"). mmnet is told that the head is the subject's own
(``head="own"``), and beside it takes it for a template, as it does unless told.
"""

from itertools import product

import mne
import numpy as np
from common import make_info, write_rows
from runner import RESULTS, made_by, make_parser, quiet, tell

import mne_mmnet

MOMENT = 20e-9  # A·m


def measure(operator, gain, positions, normals, info, n_times, snr_db, n_dipoles):
    """Return medians over random dipoles."""
    rng = np.random.default_rng(1)
    wave = np.ones(1) if n_times == 1 else np.hanning(n_times)
    found = []
    for source in rng.integers(gain.shape[1], size=n_dipoles):
        data = np.outer(gain[:, source], MOMENT * wave)
        if snr_db is not None:
            noise = rng.standard_normal(data.shape)
            noise *= np.sqrt(np.mean(data**2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)
            data = data + noise
        evoked = mne.EvokedArray(data, info).set_eeg_reference(projection=True)
        peak = np.argmax(wave)
        stc = mne_mmnet.apply_mmnet_inverse(evoked, operator, pick_ori="vector")
        vectors = stc.data[:, :, peak]
        currents = np.einsum("sk,sk->s", vectors, normals)
        lengths = np.linalg.norm(vectors, axis=1)
        distance = np.linalg.norm(positions - positions[source], axis=1)
        near = distance < 25.0
        shares = (currents[source], currents[near].sum(), lengths[near].sum())
        found.append((*(x / MOMENT for x in shares), distance[np.argmax(lengths)]))
    return np.median(found, axis=0)


def main():
    """Run the measurement."""
    parser = make_parser(__file__, __doc__, out=RESULTS / "amplitude.csv")
    parser.add_argument("--n-dipoles", type=int, default=40)
    args = parser.parse_args()
    quiet()
    info = make_info("biosemi64", 250.0)
    fwd = mne_mmnet.make_template_forward(info, positions="as given")
    fixed = mne.convert_forward_solution(fwd, surf_ori=True, force_fixed=True)
    gain, positions = fixed["sol"]["data"], 1e3 * fixed["source_rr"]
    normals = fixed["source_nn"]
    rows = []
    for head, loose in product(("own", "template"), ("evidence", 0.0, 0.2, 1.0)):
        operator = mne_mmnet.make_mmnet_operator(
            info, fwd, loose=loose, head=head, model=args.model
        )
        for n_times in (1, 20):
            for snr_db in (None, 10.0):
                peak, moment, lengths, distance = measure(
                    operator, gain, positions, normals, info, n_times, snr_db, args.n_dipoles
                )
                row = dict(
                    head=head,
                    loose=loose,
                    n_times=n_times,
                    snr_db="noiseless" if snr_db is None else snr_db,
                    share_at_the_place=f"{peak:.2f}",
                    share_within_25_mm=f"{moment:.2f}",
                    of_lengths_within_25_mm=f"{lengths:.2f}",
                    distance_mm=f"{distance:.1f}",
                )
                rows.append(row)
                tell(row)
    same = "same lead field for simulation and inversion"
    comment = made_by(args, "n_dipoles", args.model, same)
    write_rows(args.out, comment, rows)


if __name__ == "__main__":
    main()
