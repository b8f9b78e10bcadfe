"""Where the sources of an estimate are, in words and numbers that a person can use."""

from .find import find_sources as find_sources
from .table import FoundSource as FoundSource
from .table import SourceTable as SourceTable
