"""Results that leave Python: tables, volumes, surfaces, dipoles, parcellations."""

from .cifti import write_cifti as write_cifti
from .dipoles import write_dipoles as write_dipoles
from .parcellation import read_template_labels as read_template_labels
from .surface import make_surface_image as make_surface_image
from .surface import write_gifti as write_gifti
from .table import source_mni as source_mni
from .table import write_source_table as write_source_table
from .volume import make_nifti as make_nifti
