"""Everything that decides a training run."""

from dataclasses import asdict, dataclass, field

from ..network import NetworkConfig
from ..simulation import SimulationConfig

# spacing, number of people, share of the batches
DEFAULT_SPACES = (
    ("ico3", 40, 0.76),
    ("oct5", 8, 0.08),
    ("ico4", 5, 0.03),
    ("vol12", 8, 0.13),
)


@dataclass(frozen=True)
class TrainingConfig:
    """One training run.

    Parameters
    ----------
    network : NetworkConfig
        The model.
    simulation : SimulationConfig
        The training domain.
    spaces : tuple of (str, int, float)
        Source spaces: spacing, number of people, share of the batches.
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
    n_confidence : int
        Batches on which the confidence head is trained afterwards.
    n_temperature : int
        Batches on which it is calibrated.
    seed : int
        Of the initial weights and of the simulations.
    """

    network: NetworkConfig = field(default_factory=NetworkConfig)
    simulation: SimulationConfig = field(default_factory=SimulationConfig)
    spaces: tuple[tuple[str, int, float], ...] = DEFAULT_SPACES
    n_batches: int = 9_000
    batch_size: int = 8
    n_steps: tuple[int, int] = (1, 2)
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    clip: float = 1.0
    average: float = 0.999
    n_confidence: int = 1200
    n_temperature: int = 100
    seed: int = 0

    def __post_init__(self):
        shares = [share for _, _, share in self.spaces]
        if not shares or min(shares) <= 0 or abs(sum(shares) - 1.0) > 1e-6:
            raise ValueError(f"The shares of spaces must be > 0 and sum to 1, got {self.spaces}.")
        if self.batch_size % 2:
            raise ValueError(
                f"batch_size must be even, got {self.batch_size}: recordings come in pairs."
            )
        for name in (
            "n_batches",
            "batch_size",
            "learning_rate",
            "clip",
            "n_confidence",
            "n_temperature",
        ):
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
