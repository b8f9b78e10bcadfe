"""Everything that decides a bilevel training run of the cosine route or of its peers."""

from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True)
class BilevelConfig:
    """One run; the defaults are the paper's (DESIGN §2a).

    Parameters
    ----------
    batch_size : int
        Recordings a batch.
    learning_rate, regulariser_rate : float
        Of Adam, for the curvature network (or whatever else a peer learns) and for Φ.
    clip : float
        Largest gradient norm.
    n_steps : int
        K, for methods whose number of steps is not built in (``any_steps``).
    n_batches : int
        Length of the run, unless ``minutes`` or ``patience`` end it before.
    minutes : float
        Budget of the whole run, sessions added up: time of the process on a CPU (use one thread),
        wall-clock time elsewhere; validation is free. 0 is none.
    pretraining : float
        Share of the run in which Φ alone is trained, as a denoiser of mixtures of the start and
        the truth; methods without Φ train as ever.
    pretraining_rate : float
        Of Adam, in that part.
    annealing : bool
        Whether the learning rates fall along a cosine to 2 % in each part of the run.
    half : bool
        Whether convolutions run in bfloat16 while training.
    crop : int
        Longest window trained on, in samples; the weights fit any length. 0 is all.
    validate_every : int
        Batches between validations; the best weights are kept.
    patience : int
        Validations without a better one that end the run; 0 is no end.
    n_validation : int
        Recordings for validation.
    seed : int
        Of the initial weights, crops and mixtures.
    """

    batch_size: int = 32
    learning_rate: float = 5e-5
    regulariser_rate: float = 2.5e-5
    clip: float = 0.5
    n_steps: int = 10
    n_batches: int = 100_000
    minutes: float = 0.0
    pretraining: float = 0.0
    pretraining_rate: float = 1e-3
    annealing: bool = False
    half: bool = False
    crop: int = 0
    validate_every: int = 500
    patience: int = 20
    n_validation: int = 256
    seed: int = 0

    def __post_init__(self):
        rates = ("learning_rate", "regulariser_rate", "pretraining_rate")
        counts = ("batch_size", "n_steps", "n_batches", "validate_every", "n_validation")
        for name in (*rates, *counts, "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}.")
        for name in ("minutes", "crop", "patience"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}.")
        if not 0 <= self.pretraining < 1:
            raise ValueError(f"pretraining must be from 0 to below 1, got {self.pretraining}.")

    @classmethod
    def budget(cls, minutes, **changes):
        """Return the configuration for a CPU: ``minutes`` on one core instead of days on a GPU.

        Small batches, large annealed rates, Φ pretrained for two thirds of the time, four steps
        (in training, and hence at use) where their number is free, bfloat16.

        Parameters
        ----------
        minutes : float
            Time of the process.
        **changes
            Other fields.
        """
        plan = cls(
            batch_size=8,
            learning_rate=2e-3,
            regulariser_rate=1e-3,
            n_steps=4,
            minutes=minutes,
            pretraining=0.65,
            pretraining_rate=3e-3,
            annealing=True,
            half=True,
            crop=64,
            validate_every=50,
            patience=0,
            n_validation=64,
        )
        return replace(plan, **changes)

    @classmethod
    def gpu_budget(cls, minutes, **changes):
        """Return the configuration for a share of a GPU: :meth:`budget` with full batches.

        Minutes are those of the clock, validations not counted; ``changes`` are other fields.
        """
        plan = cls.budget(minutes, batch_size=32, half=False, validate_every=250, n_validation=256)
        return replace(plan, **changes)

    def to_dict(self):
        """Return plain types, for a checkpoint or a model card."""
        return asdict(self)
