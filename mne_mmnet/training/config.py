"""Everything that decides a training run."""

from dataclasses import asdict, dataclass, field

from ..network import NetworkConfig
from ..simulation import SimulationConfig


@dataclass(frozen=True)
class TrainingConfig:
    """One training run.

    Parameters
    ----------
    network : NetworkConfig
        The model.
    simulation : SimulationConfig
        The training domain.
    n_heads : int
        Perturbed template heads.
    n_batches : int
        Length of the run; the learning-rate schedule spans it.
    batch_size : int
        Recordings a batch.
    n_steps : tuple of int
        Range from which the number of unrolled steps is drawn for each batch.
    learning_rate : float
        Peak of the one-cycle schedule of AdamW.
    weight_decay : float
        Of AdamW.
    clip : float
        Largest gradient norm.
    average : float
        Decay of the exponential average of the weights, which is what is kept.
    seed : int
        Of the initial weights and of the simulations.
    """

    network: NetworkConfig = field(default_factory=NetworkConfig)
    simulation: SimulationConfig = field(default_factory=SimulationConfig)
    n_heads: int = 10
    n_batches: int = 5000
    batch_size: int = 4
    n_steps: tuple[int, int] = (6, 12)
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    clip: float = 1.0
    average: float = 0.995
    seed: int = 0

    def __post_init__(self):
        for name in ("n_heads", "n_batches", "batch_size", "learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}.")
        low, high = self.n_steps
        if not 1 <= low <= high:
            raise ValueError(f"n_steps must be a range of at least 1 step, got {self.n_steps}.")

    def to_dict(self):
        """Return plain types, for a checkpoint or a model card."""
        plain = asdict(self)
        plain["network"] = self.network.to_dict()
        return plain
