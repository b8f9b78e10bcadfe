"""Arguments that all ``apply_mmnet_inverse*`` share."""

import mne
from mne.utils import _check_option, _validate_type

from .._mne import check_pick_ori, restrict_to_label
from .operator import MMNetOperator, make_mmnet_operator

# what a prepared operator has settled, with the values that mean "not given"
_SETTLED = dict(
    noise_cov=None,
    model="mmnet-base",
    loose=None,
    head="auto",
    depth="auto",
    rank=None,
    use_cps=True,
    device="auto",
)


def resolve_operator(info, fwd, pick_ori, label, **options):
    """Prepare a forward solution, or check that a prepared one can be used as it is.

    ``options`` are all those of :func:`make_mmnet_operator`. Returned are the operator, and the
    label's vertices by source space and rows among the sources.
    """
    _check_option("pick_ori", pick_ori, (None, "normal", "vector"))
    _validate_type(fwd, (mne.Forward, MMNetOperator), "fwd")
    if isinstance(fwd, MMNetOperator):
        given = [name for name, value in options.items() if not _is_unset(name, value)]
        if given:
            raise ValueError(
                f"{', '.join(given)} cannot be changed for a prepared operator. Give them to "
                "make_mmnet_operator instead."
            )
        operator = fwd
    else:
        operator = make_mmnet_operator(info, fwd, **options)
    # before the work
    check_pick_ori(operator.prepared, pick_ori)
    vertices, rows = restrict_to_label(operator.prepared, label)
    return operator, vertices, rows


def check_count(value, name):
    """Refuse a number of steps, epochs or samples that is none."""
    _validate_type(value, ("int-like", None), name)
    if value is not None and value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}.")


def _is_unset(name, value):
    unset = _SETTLED[name]
    return value is unset or (isinstance(value, str) and value == unset)
