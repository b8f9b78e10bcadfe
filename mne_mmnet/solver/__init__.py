"""The certified majorization-minimization loop, and what each route does with it."""

from .cosine import CosineModel as CosineModel
from .cosine import CosineProposer as CosineProposer
from .cosine import RayProposer as RayProposer
from .cosine import cosine_iterates as cosine_iterates
from .cosine import pose_cosine as pose_cosine
from .cosine import pose_network as pose_network
from .cosine import unit_rms as unit_rms
from .descent import Certificate as Certificate
from .descent import Iterate as Iterate
from .descent import Proposal as Proposal
from .descent import certify as certify
from .descent import descend as descend
from .evidence import data_factor as data_factor
from .evidence import iterate as iterate
from .evidence import normalise_data as normalise_data
from .evidence import peak_log_probability as peak_log_probability
from .evidence import peak_logits as peak_logits
from .evidence import pose as pose
from .general import SpectralProposer as SpectralProposer
from .general import minimize as minimize
from .low_rank import shrink_singular_values as shrink_singular_values
