"""Every learned estimator by name, in the size in which it is compared."""

import torch

from ..network import CosineConfig
from .bounded import BOUNDS, BoundedMMNet, UnboundedMMNet
from .direct import ConvNet1D, LSTMNet
from .fourdvarnet import FourDVarNet
from .meta import MetaCurvature, ModGrad
from .mmnet import CosineMMNet
from .unrolling import DeepUnrolling


def _sizes(model):
    return model.leadfield.shape[1], model.leadfield.shape[2]


# not the paper's: residual layers give Φ the context in time that direct networks have, a second
# network of its kind improves the start, and the regulariser expects that start
_CONTEXT = (1, 2, 4, 8, 16)
_PLUS = dict(dilations=_CONTEXT, start_width=256)


def _make_mmnet(model, **shape):
    return CosineMMNet(CosineConfig(n_sources=_sizes(model)[1], **shape))


def _make_anchored(model):
    return _make_mmnet(model, **_PLUS, anchored=True)


def _make_unrolling(model):
    return DeepUnrolling(model.start)


def _make_fourdvarnet(model):
    return FourDVarNet(_sizes(model)[1])


def _make_metacurvature(model):
    return MetaCurvature(_sizes(model)[1])


def _make_modgrad(model):
    return ModGrad(_sizes(model)[1])


def _make_lstm(model):
    return LSTMNet(*_sizes(model))


# a "+" is another training of a network (``AUGMENTED``); that of mmnet+ is mmnet-anchored
_MAKERS = {
    "mmnet": _make_mmnet,
    "mmnet-diagonal": lambda model: CosineMMNet(CosineConfig.diagonal(n_sources=_sizes(model)[1])),
    "mmnet+": _make_anchored,
    # what of it helps: some of its parts alone, and elsewhere what fits there
    "mmnet-anchored": _make_anchored,
    "mmnet-start": lambda model: _make_mmnet(model, **_PLUS),
    "mmnet-dilated": lambda model: _make_mmnet(model, dilations=_CONTEXT),
    "unrolling": _make_unrolling,
    "unrolling+": _make_unrolling,
    "4dvarnet": _make_fourdvarnet,
    "4dvarnet+": _make_fourdvarnet,
    "metacurvature": _make_metacurvature,
    "metacurvature+": _make_metacurvature,
    "modgrad": _make_modgrad,
    "modgrad+": _make_modgrad,
    "cnn": lambda model: ConvNet1D(*_sizes(model)),
    "lstm": _make_lstm,
    "lstm+": _make_lstm,
}
ESTIMATORS = tuple(_MAKERS)
# those that are compared after training with ``training.AugmentedStream``
AUGMENTED = tuple(name for name in ESTIMATORS if name.endswith("+"))

_VARIANTS = {
    f"mmnet-{bound}": lambda model, bound=bound: BoundedMMNet(
        CosineConfig.diagonal(n_sources=_sizes(model)[1]), bound
    )
    for bound in BOUNDS
    if bound != "none"
}
_VARIANTS["mmnet-none"] = lambda model: UnboundedMMNet(
    CosineConfig.diagonal(n_sources=_sizes(model)[1])
)
# the diagonal network under other bounds; weights of "mmnet-diagonal" fit all of them
VARIANTS = tuple(_VARIANTS)


def make_estimator(name, model, seed=0, n_steps=None):
    """Make an untrained estimator.

    One of ``ESTIMATORS`` or ``VARIANTS``, for a lead field. ``n_steps`` is for methods whose
    number of steps is not built in; None is their default.
    """
    makers = {**_MAKERS, **_VARIANTS}
    if name not in makers:
        raise ValueError(f"There is no estimator {name!r}; choose from {', '.join(makers)}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        estimator = makers[name](model)
    if estimator.any_steps and n_steps is not None:
        estimator.set_steps(n_steps)
    return estimator
