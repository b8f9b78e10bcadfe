"""Many files: in parallel, resumable, one bad file never stopping the others."""

from .run import localize_files as localize_files
