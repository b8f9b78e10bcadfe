"""Peaks and distances."""

import numpy as np

from core_cases import ring
from mne_mmnet.metrics import local_maxima, localization_errors


def test_local_maxima():
    """Peaks are found by size, whatever their sign; plateaus, dust and zeros are none."""
    values = np.zeros(20)
    values[3], values[4] = -5.0, 2.0
    values[10] = 3.0
    values[15] = 0.2  # below a tenth of the largest
    values[7] = values[8] = 1.0  # a plateau
    assert local_maxima(values, ring(20)).tolist() == [3, 10]
    assert local_maxima(values, ring(20), share=0.01).tolist() == [3, 10, 15]
    assert len(local_maxima(np.zeros(20), ring(20))) == 0


def test_localization_errors():
    """Each true source is as far off as its nearest peak."""
    truth = np.array([[0.0, 0, 0], [100, 0, 0]])
    found = np.array([[3.0, 4, 0], [50, 0, 0]])
    np.testing.assert_allclose(localization_errors(truth, found), [5.0, 50.0])
    assert np.isinf(localization_errors(truth, np.zeros((0, 3)))).all()
