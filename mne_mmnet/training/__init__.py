"""Bilevel training through the unrolled, certified solver: the evidence and the cosine route."""

from .augmentation import AugmentedStream as AugmentedStream
from .bilevel import train_bilevel as train_bilevel
from .bilevel_config import BilevelConfig as BilevelConfig
from .config import TrainingConfig as TrainingConfig
from .loop import train as train
from .samples import SampleStream as SampleStream
