"""Other people's heads under the 90 electrodes of ``benchmarks/paper.py``."""

from dataclasses import replace

import mne
import numpy as np
from people_suite import draw_head, worn_gain

from mne_mmnet.simulation.electrodes import ten_ten_info
from mne_mmnet.simulation.people import TemplateHead


def make_people_heads(standard, seed, n_people):
    """Compute lead fields of people along the normals of their own folds.

    Electrodes, sources and head 0 are those of ``standard``; person k is drawn from (seed, k). Of
    the other heads, only ``along_normals`` means something.
    """
    info, electrodes, _ = ten_ten_info()
    # the paper's networks have one channel for each source, those on the medial wall included
    with mne.use_log_level("error"):
        template = TemplateHead("ico3", info, electrodes, medial_wall=True)
    if not np.allclose(template.positions, standard.positions, atol=0.1):
        raise ValueError("The people's sources are not those of the standard head.")
    gains = [standard.gains[0]]
    for number in range(n_people):
        head = draw_head(template, seed, number)
        with mne.use_log_level("error"):
            folded, _ = worn_gain(head, standard.normals, standard.positions)
        # along the standard normals an archive's reader finds what the person's own give
        gains.append((folded[:, :, None] * standard.normals).astype(np.float32))
    return replace(standard, gains=np.stack(gains))
