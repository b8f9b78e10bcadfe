"""Bilevel training of the evidence networks through the unrolled, certified solver."""

from .config import TrainingConfig as TrainingConfig
from .loop import train as train
