"""Simulated recordings with known sources, for training and for demonstrations.

Only :mod:`mne_mmnet.simulation.heads` needs MNE, and it is not imported here: training runs where
MNE is not installed, on lead fields computed elsewhere.
"""

from .archive import HeadArchive as HeadArchive
from .batch import SimulatedBatch as SimulatedBatch
from .batch import SimulationConfig as SimulationConfig
from .batch import simulate_batch as simulate_batch
from .sources import PatchSampler as PatchSampler
