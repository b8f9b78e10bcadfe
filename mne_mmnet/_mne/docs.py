"""Parameters that many calls share, described once: MNE's ``fill_doc`` with our own words."""

import re
import textwrap

_SHARED = {
    "fwd_operator": """
fwd : mne.Forward | MMNetOperator
    The forward solution, or what :func:`make_mmnet_operator` made of it. An operator has settled
    ``noise_cov``, ``model``, ``loose``, ``head``, ``depth``, ``rank``, ``use_cps`` and ``device``:
    giving them again is an error.""",
    "model": """
model : str | path-like | Model
    Name of a pretrained model, path of a saved one, or what :func:`fine_tune` made.""",
    "loose": """
loose : None | "evidence" | float | "auto" | dict
    Prior variance of tangential currents relative to normal ones. None and "evidence" have the
    data settle the orientation on surfaces (fixed where the forward solution is, and with
    ``mmnet-cosine``) and free it elsewhere; other values have MNE's meaning: 0 is fixed, along the
    normals, with signed estimates, 1 is free, "auto" is 0.2 on surfaces and 1 elsewhere.""",
    "head": """
head : "auto" | "own" | "template"
    Whose lead field it is, which decides how far it is trusted: the subject's own, or that of a
    template in the subject's place. "auto" tells from the source space's subject and the
    electrodes' positions; say "own" where a recording was simulated with the lead field.""",
    "depth": """
depth : "auto" | None | float
    Exponent of the depth weighting, with MNE's meaning: prior variances grow as the lead field's
    squared norm to the power −depth, None being 0. "auto" leaves it to the learned prior, whose
    reference is an exponent of 1.""",
    "use_cps": """
use_cps : bool
    Whether to use the cortical patch statistics for the normals.""",
    "n_steps": """
n_steps : int | None
    Number of majorization-minimization steps. None is what the model was made for.""",
    "device": """
device : str | torch.device
    "auto" (CUDA if there is one, else Apple's MPS, else the CPU), "cpu", "cuda" or "mps".""",
    "pick_ori": """
pick_ori : None | "normal" | "vector"
    None: the signed current where the orientation is fixed, its length elsewhere. "normal": the
    signed current along the surface normal. "vector": the current vector.""",
    "label": """
label : mne.Label | mne.BiHemiLabel | None
    Restrict what is returned to a label, before it takes memory. Sources outside it are still
    estimated.""",
}
_SHARED = {name: textwrap.dedent(text).strip() for name, text in _SHARED.items()}
# a place in a docstring, alone on its line; MNE's own look alike, and are left to MNE
_PLACE = re.compile(rf"^( *)%\(({'|'.join(_SHARED)})\)s$", re.MULTILINE)


def fill_shared(described):
    """Put the shared parameters into a docstring, where it says ``%(name)s``.

    To be put below :func:`mne.utils.verbose`, which fills in MNE's.
    """
    if described.__doc__:  # python -OO has none
        described.__doc__ = _PLACE.sub(
            lambda place: textwrap.indent(_SHARED[place[2]], place[1]), described.__doc__
        )
    return described
