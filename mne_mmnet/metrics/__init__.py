"""How far an estimate is from the truth (DESIGN §6). Arrays only."""

from .localization import (
    count_maxima,
    local_maxima,
    localization_error,
    localization_errors,
    neighbourhood_localization_error,
    strongest_peak_error,
    time_error,
)
from .maps import (
    auc,
    average_precision,
    mean_power,
    nmse,
    psnr,
    roc_auc,
    space_time_cosine,
    spatial_dispersion,
)
from .regions import steadiness, strongest_region_error
from .summary import confidence_interval, score
from .transport import earth_movers_distance

__all__ = [
    "auc",
    "average_precision",
    "confidence_interval",
    "count_maxima",
    "earth_movers_distance",
    "local_maxima",
    "localization_error",
    "localization_errors",
    "mean_power",
    "neighbourhood_localization_error",
    "nmse",
    "psnr",
    "roc_auc",
    "score",
    "space_time_cosine",
    "spatial_dispersion",
    "steadiness",
    "strongest_peak_error",
    "strongest_region_error",
    "time_error",
]
