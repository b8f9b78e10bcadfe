#!/bin/sh
# The courses of an infomax ICA have no unit variance, and its maps therefore no common size.
#
# In MNE-Python 1.13.2 ica.get_sources has courses of standard deviation 1 with method "fastica".
# With "infomax", extended or not, each has another one, which depends on how the course is
# distributed; ica.get_components, whose maps times these courses are the data, is smaller by the
# same factor. Four independent courses (two heavy-tailed, a square wave, a uniform one), of
# standard deviation 1 by construction, mixed into eight channels:
#
#                          standard deviation of the four courses
#     fastica              1.00 1.00 1.00 1.00
#     infomax, extended    0.79 0.79 1.45 1.56 (sorted)
#     infomax              1.70 1.70 1.93 1.93
#
# So amplitudes of maps, and of whatever is computed from them, can't be compared between
# components or methods as they are. Without the data, the standard deviations follow from
# attributes: sqrt(unmixing_matrix_**2 @ pca_explained_variance_[:n_components_]).
#
# Versions: mne 1.13.2, scikit-learn 1.7.2, numpy 2.4.6. Exits with 0 as long as this holds.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet \
    mne==1.13.2 scikit-learn==1.7.2 numpy==2.4.6 scipy==1.17.1
export MNE_DONTWRITE_HOME=true
cat >"$folder/check.py" <<'PYTHON'
import sys

import mne
import numpy as np

mne.set_log_level("error")
print("mne", mne.__version__)
rng = np.random.default_rng(0)
n_times = 10_000
square = np.sign(np.sin(np.arange(n_times) / 20.0))
courses = [rng.laplace(size=n_times), rng.laplace(size=n_times), square, rng.uniform(-1, 1, n_times)]
courses = np.array(courses)
courses -= courses.mean(axis=1, keepdims=True)
courses /= courses.std(axis=1, keepdims=True)
maps = 1e-5 * rng.standard_normal((8, 4))
data = maps @ courses + 1e-8 * rng.standard_normal((8, n_times))
raw = mne.io.RawArray(data, mne.create_info(8, 250.0, "eeg"))

same = True
for name, method, options in (
    ("fastica", "fastica", None),
    ("infomax, extended", "infomax", dict(extended=True)),
    ("infomax", "infomax", None),
):
    ica = mne.preprocessing.ICA(4, method=method, fit_params=options, random_state=0, max_iter=500)
    ica.fit(raw)
    found = ica.get_sources(raw).get_data().std(axis=1)
    variances = ica.pca_explained_variance_[: ica.n_components_]
    foretold = np.sqrt(ica.unmixing_matrix_**2 @ variances)
    print(f"{name}: {np.sort(found).round(2)}, from attributes {np.sort(foretold).round(2)}")
    same &= np.allclose(found, foretold, rtol=0.02)
    if name == "fastica":
        same &= np.allclose(found, 1.0, atol=0.02)
    elif name == "infomax":
        same &= found.min() > 1.2
    else:
        same &= found.min() < 0.9 and found.max() > 1.3
print("as described" if same else "CHANGED")
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
