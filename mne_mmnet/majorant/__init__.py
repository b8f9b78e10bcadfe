"""Majorants of the objectives: what a step may rely on."""

from .analytic import Proposition1Majorant as Proposition1Majorant
from .analytic import SharpMajorant as SharpMajorant
from .base import Majorant as Majorant
from .base import QuadraticMajorant as QuadraticMajorant
from .diagonal import DiagonalMajorant as DiagonalMajorant
from .evidence import EvidenceMajorant as EvidenceMajorant
from .ray import Ray as Ray
from .ray import certified_ray as certified_ray
from .ray import estimate_slope as estimate_slope
from .ray import local_structured_majorant as local_structured_majorant
from .spectral import SpectralMajorant as SpectralMajorant
from .spectral import lanczos_norm_bound as lanczos_norm_bound
from .structured import StructuredMajorant as StructuredMajorant
from .structured import sharp_structured_majorant as sharp_structured_majorant
