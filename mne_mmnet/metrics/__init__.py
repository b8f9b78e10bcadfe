"""How far an estimate is from the truth (DESIGN §6). Arrays only."""

from .localization import count_maxima as count_maxima
from .localization import local_maxima as local_maxima
from .localization import localization_error as localization_error
from .localization import localization_errors as localization_errors
from .localization import neighbourhood_localization_error as neighbourhood_localization_error
from .localization import strongest_peak_error as strongest_peak_error
from .localization import time_error as time_error
from .maps import auc as auc
from .maps import average_precision as average_precision
from .maps import mean_power as mean_power
from .maps import nmse as nmse
from .maps import psnr as psnr
from .maps import roc_auc as roc_auc
from .maps import space_time_cosine as space_time_cosine
from .maps import spatial_dispersion as spatial_dispersion
from .regions import steadiness as steadiness
from .regions import strongest_region_error as strongest_region_error
from .summary import confidence_interval as confidence_interval
from .summary import score as score
from .transport import earth_movers_distance as earth_movers_distance
