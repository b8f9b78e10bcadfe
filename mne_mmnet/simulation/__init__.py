"""Simulated recordings with known sources, for training and for demonstrations.

Only its modules ``electrodes``, ``heads`` and ``people`` need MNE, and they are not imported here:
training runs where MNE is not installed, on lead fields computed elsewhere.
"""

from .archive import HeadArchive as HeadArchive
from .batch import PAIR as PAIR
from .batch import SimulatedBatch as SimulatedBatch
from .batch import SimulationConfig as SimulationConfig
from .batch import average_reference_basis as average_reference_basis
from .batch import draw_montage as draw_montage
from .batch import simulate_batch as simulate_batch
from .dataset import Dataset as Dataset
from .neural_mass import NeuralMassConfig as NeuralMassConfig
from .neural_mass import simulate_neural_mass as simulate_neural_mass
from .patches import Neighbourhoods as Neighbourhoods
from .people_archive import PeopleArchive as PeopleArchive
from .person import PeopleVariety as PeopleVariety
from .perturb import Perturbation as Perturbation
from .perturb import perturb_heads as perturb_heads
from .sereega import SereegaConfig as SereegaConfig
from .sereega import simulate_sereega as simulate_sereega
from .simulated import SimulatedSources as SimulatedSources
from .sources import PatchSampler as PatchSampler
from .variety import HeadVariety as HeadVariety
