"""What a lead field is the lead field of: the person's own head, or a template's."""

from typing import NamedTuple

import mne
import numpy as np
from mne.utils import _check_option, _validate_type

from .electrodes import electrode_positions, find_nominal
from .placement import head_positions
from .spaces import TEMPLATES

HEADS = ("auto", "own", "template")
"""What ``head`` may be."""

# mm, surface RAS: the first twelve vertices of both white surfaces of fsaverage, which are the
# first ones of every icosahedral source space of it
_LANDMARKS = np.array(
    [
        [-36.79, -18.60, 64.82],
        [-16.17, -66.89, 59.41],
        [-11.61, -8.90, 47.88],
        [-22.42, 42.81, 23.56],
        [-57.10, -0.08, 10.12],
        [-50.08, -48.91, 44.90],
        [-36.34, -85.40, -2.18],
        [-20.95, -61.96, 8.06],
        [-3.60, 9.39, -3.54],
        [-26.44, 23.38, -6.37],
        [-53.47, -22.49, -4.52],
        [-35.55, -23.50, -23.12],
        [27.20, -14.10, 60.79],
        [31.09, -47.57, 44.57],
        [62.94, -9.12, 28.10],
        [39.00, 41.02, 23.98],
        [13.89, 23.40, 29.99],
        [9.18, -51.31, 48.16],
        [20.83, -99.81, 3.97],
        [46.09, -43.96, 7.24],
        [37.25, -12.71, 1.76],
        [14.36, 25.50, -15.84],
        [12.57, -42.95, 1.79],
        [47.74, -20.40, -27.54],
    ]
)
# mm: rounded to 0.005 above; the same vertices of another head are centimetres off
_SAME_HEAD = 0.5
# m: rounding of positions in files
_SAME_PLACE = 1e-4
# scales nearer to 1 than that are none
_NO_SCALE = 2e-3


class HeadKind(NamedTuple):
    """What is known of the head that a lead field belongs to.

    Parameters
    ----------
    kind : "own" | "template"
        The person's own head, or a template's in place of it.
    electrodes : "digitised" | "nominal" | "none"
        Whether the electrodes' positions were measured, or are those of a cap's drawing (or too
        few to tell); "none" without EEG.
    montage : str | None
        Where nominal positions come from, see :func:`find_nominal`.
    scales : tuple of float, length 3 | None
        Size of a template head along its axes (x to the right, y to the front, z up) relative to
        fsaverage, where it was fitted to the person; None where it was not, or cannot be seen.
    """

    kind: str
    electrodes: str
    montage: str | None = None
    scales: tuple | None = None

    @property
    def is_fitted(self):
        """Whether a template was scaled to the person."""
        return self.scales is not None

    def __str__(self):
        """One line for a log."""
        text = "the person's own head" if self.kind == "own" else "a template head"
        if self.is_fitted:
            text += " scaled by " + " × ".join(f"{scale:.3f}" for scale in self.scales)
        reason = {"few": "too few to tell", "sphere": "on a sphere", "mirror": "symmetric"}
        reason = reason.get(self.montage, self.montage)
        reason = f" ({reason})" if reason else ""
        return (
            text if self.electrodes == "none" else f"{text}, {self.electrodes} electrodes{reason}"
        )


def describe_head(info, fwd):
    """Tell what a lead field is: of the own head or a template, with measured electrodes or not.

    It is worked out from the forward solution's positions, so that nothing is lost in files; of
    ``info`` only the channels count. A source space is a template's if its subject is
    ``fsaverage`` or ``fsaverage5``, or if its surfaces are fsaverage's, perhaps scaled
    (:func:`mne.scale_mri`), under any name.
    """
    _validate_type(info, mne.Info, "info")
    _validate_type(fwd, mne.Forward, "fwd")
    names, positions = electrode_positions(fwd["info"], set(info["ch_names"]))
    electrodes, montage = "none", None
    if names:
        montage = find_nominal(names, positions) or _drawing(info, names, positions)
        electrodes = "digitised" if montage is None else "nominal"
    scales = template_scales(fwd["src"])
    named = any(space.get("subject_his_id") in TEMPLATES for space in fwd["src"])
    if scales is not None and np.abs(np.subtract(scales, 1.0)).max() < _NO_SCALE:
        scales, named = None, True
    kind = "template" if named or scales is not None else "own"
    return HeadKind(kind, electrodes, montage, scales)


def _drawing(info, names, positions):
    """Montage that a cap was copied from before it was fitted to the template's scalp.

    The fit is affine, and was made with all electrodes: some may be gone since, or reordered.
    """
    own_names, own, _ = head_positions(info, set(names))
    montage = find_nominal(own_names, own)
    if montage in (None, "few"):
        return None
    placed = positions[[names.index(name) for name in own_names]]
    design = np.column_stack([own, np.ones(len(own))])
    affine, *_ = np.linalg.lstsq(design, placed, rcond=None)
    near = np.linalg.norm(design @ affine - placed, axis=1).max() < _SAME_PLACE
    return montage if near else None


def template_scales(src):
    """Compare surfaces with those of fsaverage.

    Their size along fsaverage's axes relative to it, in any coordinate frame; None if they are not
    fsaverage's white surfaces, or there are none.
    """
    surfaces = [space for space in src if space["type"] == "surf"]
    if len(surfaces) != 2 or min(len(space["rr"]) for space in surfaces) < len(_LANDMARKS) // 2:
        return None
    points = np.concatenate([1e3 * space["rr"][: len(_LANDMARKS) // 2] for space in surfaces])
    design = np.column_stack([_LANDMARKS, np.ones(len(_LANDMARKS))])
    affine, *_ = np.linalg.lstsq(design, points, rcond=None)
    if not np.abs(design @ affine - points).max() < _SAME_HEAD:
        return None
    # scales, then a rotation: the rows are as long as the scales
    return tuple(np.linalg.norm(affine[:3], axis=1).tolist())


def resolve_head(head, info, fwd):
    """Settle what ``head`` says about a lead field.

    Parameters
    ----------
    head : "auto" | "own" | "template"
        "auto" is what :func:`describe_head` finds. "own" takes the lead field for the person's
        own, for instance where a recording was simulated with it; "template" takes it for
        another head's, for instance an atlas that this package does not know.
    info : instance of Info
        Of the recording.
    fwd : instance of Forward
        The forward solution.

    Returns
    -------
    head : HeadKind
        With ``kind`` as asked for.

    Raises
    ------
    TypeError, ValueError
        If ``head`` is none of these.
    """
    _validate_type(head, str, "head")
    _check_option("head", head, HEADS)
    found = describe_head(info, fwd)
    return found if head == "auto" else found._replace(kind=head)
