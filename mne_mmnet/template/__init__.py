"""The template head: surfaces, electrodes on it, and forward solutions without a download."""

from .make import fetch_template as fetch_template
from .make import make_template_bem as make_template_bem
from .make import make_template_forward as make_template_forward
