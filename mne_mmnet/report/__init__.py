"""A report that a person can read in a browser."""

from .make import make_report as make_report
