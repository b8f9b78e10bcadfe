"""EEG source localisation with learned majorization-minimization, for MNE-Python."""

import lazy_loader as _lazy

from ._version import __version__ as __version__

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
