"""Methods that the paper's network is compared with, under one signature.

The learned ones are torch modules from (lead field, data) to currents; MNE's own are in
:mod:`mne_mmnet.baselines.classical`, which alone needs MNE.
"""

from .base import Estimator as Estimator
from .bounded import BoundedMMNet as BoundedMMNet
from .bounded import UnboundedMMNet as UnboundedMMNet
from .direct import ConvNet1D as ConvNet1D
from .direct import LSTMNet as LSTMNet
from .fourdvarnet import FourDVarNet as FourDVarNet
from .meta import MetaCurvature as MetaCurvature
from .meta import ModGrad as ModGrad
from .mmnet import CosineMMNet as CosineMMNet
from .refined import Refined as Refined
from .registry import AUGMENTED as AUGMENTED
from .registry import ESTIMATORS as ESTIMATORS
from .registry import VARIANTS as VARIANTS
from .registry import make_estimator as make_estimator
from .unrolling import DeepUnrolling as DeepUnrolling
