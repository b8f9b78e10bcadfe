"""What a report calls places: MNI coordinates where they are known, one system for all of it."""

import mne
import numpy as np

from ..places.anatomy import find_mni, name_regions, to_head
from ..places.layout import SIDES, lay_out


class Places:
    """Names of an estimate's sources.

    Parameters
    ----------
    stc : mne.SourceEstimate | mne.VolSourceEstimate | mne.MixedSourceEstimate
        The estimate.
    fwd : mne.Forward
        Its forward solution.
    subject : str | None
        Whose head it is.
    subjects_dir : path-like | None
        Directory of the subject.

    Attributes
    ----------
    positions : array of shape (n_sources, 3)
        In m, as the forward solution has them.
    mm : array of shape (n_sources, 3)
        In mm, in the frame that places are named in.
    frame : str
        Name of that frame.
    """

    def __init__(self, stc, fwd, subject, subjects_dir):
        layout = lay_out(stc, fwd)
        self.positions = layout.positions
        head = to_head(layout.positions, fwd)
        mni = find_mni(head, fwd, subject, subjects_dir)
        self.mm = 1e3 * layout.positions if mni is None else mni
        self._hemispheres = [layout.hemispheres[space] for space in layout.spaces]
        if mni is not None:
            self.frame = "MNI152"
        elif fwd["coord_frame"] == mne.io.constants.FIFF.FIFFV_COORD_HEAD:
            self.frame = "head coordinates"
        else:
            self.frame = "MRI coordinates"

    def name(self, source):
        """Side and coordinates (mm) of a source, such as ``"left (-44, -63, 12)"``."""
        return self._write(source)

    def _write(self, source, region=""):
        x, y, z = (round(float(value)) for value in self.mm[source])
        side = SIDES.get(self._hemispheres[source], "left" if x < 0 else "right")
        return f"{side} {region}({x}, {y}, {z})"

    def name_with_region(self, source):
        """Name a source with the atlas's region, where it is known: ``"left Insula_L (…)"``."""
        found = name_regions(self.mm[[source]]) if self.frame == "MNI152" else None
        return self._write(source, f"{found[0]} " if found else "")

    def distance(self, sources, centre):
        """Distance (mm) of the farthest of some sources from one of them."""
        away = self.positions[sources] - self.positions[centre]
        return 1e3 * np.linalg.norm(away, axis=1).max(initial=0.0)
