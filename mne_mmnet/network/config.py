"""Frozen description of a network: everything its weights do not say."""

from dataclasses import asdict, dataclass

from ..dictionary.patches import PatchScale

_DEFAULT_SCALES = (
    PatchScale("point"),
    PatchScale("gaussian", 10.0),
    PatchScale("gaussian", 15.0),
    PatchScale("flat", 22.0),
)


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of the network and of the dictionary that it was trained on.

    Parameters
    ----------
    scales : tuple of PatchScale
        The dictionary's scales; the first must be the point.
    tangential : tuple of int
        Scales that have atoms of tangential currents, too, where the evidence settles the
        orientation.
    region_extent : float
        Spacing (mm) of the regions whose sources share the errors of their lead fields.
    n_errors : int
        Error columns of a region, 0 for a lead field without errors.
    thinning : float
        Spacing of the atoms of a scale, as a share of its extent.
    near_extent, far_extent : float
        Reach (mm) of the two averages through which locations see their neighbours.
    hidden : int
        Width of the hyperprior's layers.
    blocks : int
        Number of the hyperprior's layers that mix neighbours.
    shown : int
        Width of what its locations show to their neighbours; 0 is all.
    read : int
        Width of the layer through which the curvature cell reads.
    state : int
        Width of the curvature cell's recurrent state.
    context : int
        Width of the summary that the hyperprior hands to the curvature cell.
    confidence : int
        Width of the layers that locate the peak.
    n_preview : int
        Steps of the preview, see :func:`mne_mmnet.network.preview.preview`.
    factor_min, factor_max : float
        Range of the curvature factor o. Factors below 1 are bolder than the analytic majorant.
    max_step : float
        Bound on |δ|, the change of a log-variance in one step.
    n_steps : int
        Steps taken at use.
    sweep : int
        Every that many steps all atoms move, between them the few that matter.
    """

    scales: tuple[PatchScale, ...] = _DEFAULT_SCALES
    tangential: tuple[int, ...] = (0, 2)
    region_extent: float = 25.0
    n_errors: int = 4
    thinning: float = 0.75
    near_extent: float = 8.0
    far_extent: float = 25.0
    hidden: int = 64
    blocks: int = 2
    shown: int = 24
    read: int = 32
    state: int = 16
    context: int = 12
    confidence: int = 32
    n_preview: int = 2
    factor_min: float = 0.05
    factor_max: float = 2.0
    max_step: float = 6.0
    n_steps: int = 2
    sweep: int = 4

    def __post_init__(self):
        if not self.scales or self.scales[0].profile != "point":
            raise ValueError("The first scale of the dictionary must be the point.")
        if not 0 < self.factor_min < 1 <= self.factor_max:
            raise ValueError(
                "The curvature factor's range must satisfy 0 < factor_min < 1 <= factor_max, got "
                f"{self.factor_min} and {self.factor_max}."
            )
        scales = {number for number in self.tangential if type(number) is int}
        if len(scales) < len(self.tangential) or not scales <= set(range(self.n_scales)):
            raise ValueError(f"tangential must name scales, each once, got {self.tangential}.")
        extents = ("thinning", "near_extent", "far_extent", "max_step", "region_extent")
        sizes = ("hidden", "blocks", "read", "state", "context", "confidence")
        for name in (*extents, *sizes, "n_preview", "n_steps", "sweep"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}.")
        if self.n_preview < 2:  # its first and its last iterate are features
            raise ValueError(f"n_preview must be at least 2, got {self.n_preview}.")
        if self.n_errors < 0:
            raise ValueError(f"n_errors must be >= 0, got {self.n_errors}.")

    @property
    def n_scales(self):
        """Number of dictionary scales."""
        return len(self.scales)

    @property
    def n_kinds(self):
        """Number of places a location: an atom of each scale, and the tangential ones."""
        return self.n_scales + len(self.tangential)

    def to_dict(self):
        """Return plain types, for a model card."""
        plain = asdict(self)
        plain["scales"] = [[scale.profile, scale.extent] for scale in self.scales]
        plain["tangential"] = list(self.tangential)
        return plain

    @classmethod
    def from_dict(cls, plain):
        """Inverse of :meth:`to_dict`; an unknown key is a TypeError."""
        plain = dict(plain)
        plain["scales"] = tuple(PatchScale(*scale) for scale in plain["scales"])
        plain["tangential"] = tuple(plain["tangential"])
        return cls(**plain)
