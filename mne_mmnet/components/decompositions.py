"""Sources of the components of a decomposition."""

import mne
import numpy as np
from mne.decoding import SSD
from mne.preprocessing import ICA
from mne.utils import _validate_type, fill_doc

from .maps import localize_maps


@fill_doc
def localize_components(decomposition, fwd, noise_cov=None, *, picks=None, info=None, **options):
    """Localise the components of an independent component analysis, or of another decomposition.

    Parameters
    ----------
    decomposition : mne.preprocessing.ICA | mne.decoding.SSD | object
        A fitted decomposition: MNE's ICA or SSD, or whatever has ``patterns_`` of shape
        (n_components, n_channels) in V, such as :class:`mne.decoding.CSP`.
    fwd : mne.Forward | MMNetOperator
        The forward solution, or what :func:`make_mmnet_operator` made of it.
    noise_cov : mne.Covariance | None
        Covariance of the maps' noise; MEG channels need one.
    picks : int | list of int | None
        Numbers of the components, from 0; None is all.
    info : mne.Info | None
        The channels of the patterns, where the decomposition does not know them.
    **options
        Of :func:`localize_maps`: ``loose``, ``pick_ori``, ``label``, ``return_reports`` and so on.

    Returns
    -------
    stcs : list of mne.SourceEstimate | mne.VectorSourceEstimate | mne.VolSourceEstimate | ...
        One for each component, with one sample, in A·m: of an ICA at one standard deviation of the
        component's course. Signs are arbitrary.
    reports : list of SolverReport
        Only with ``return_reports=True``.

    Raises
    ------
    TypeError
        If the decomposition has no patterns.
    RuntimeError
        If it is not fitted.
    ValueError
        If there are no such components, or the channels don't fit; the message says what to do.

    Warns
    -----
    RuntimeWarning
        If some maps should not be trusted, once for each reason with their number.

    Examples
    --------
    >>> stcs = mne_mmnet.localize_components(ica, fwd, picks=[0, 3])  # doctest: +SKIP
    >>> print(mne_mmnet.find_sources(stcs[0], fwd))  # doctest: +SKIP
    """
    _validate_type(info, (mne.Info, None), "info")
    if isinstance(decomposition, ICA):
        maps, own = _maps_of_ica(decomposition)
    else:
        maps, own = _patterns(decomposition)
    if own is not None and info is not None:
        raise ValueError("The decomposition has an info of its own. Leave info=None.")
    info = own if info is None else info
    if info is None:
        raise ValueError(
            "The decomposition does not know its channels. Pass info=, in the order of its "
            "patterns."
        )
    n_maps = maps.shape[1]
    if picks is not None:
        chosen = np.atleast_1d(picks)
        if chosen.dtype.kind not in "iu" or not ((chosen >= 0) & (chosen < n_maps)).all():
            raise ValueError(
                f"picks must be numbers of the {n_maps} components, from 0 to {n_maps - 1}, got "
                f"{picks}."
            )
        maps = maps[:, chosen]
    return localize_maps(maps, info, fwd, noise_cov, **options)


def _maps_of_ica(ica):
    """Return maps in V at one standard deviation of the courses."""
    if ica.current_fit == "unfitted":
        raise RuntimeError("The ICA is not fitted. Call ica.fit on the data first.")
    maps = ica.get_components()
    # MNE scales channels before the decomposition: by one number for each type of channel, or
    # with the whitener of a noise covariance
    whitener = ica.pre_whitener_
    maps = maps * whitener if ica.noise_cov is None else np.linalg.pinv(whitener) @ maps
    # the principal components have these variances in the data of the fit, and no covariance;
    # only FastICA makes courses of unit variance of them
    variances = ica.pca_explained_variance_[: ica.n_components_]
    return maps * np.sqrt(np.square(ica.unmixing_matrix_) @ variances), ica.info


def _patterns(decomposition):
    if not hasattr(decomposition, "patterns_"):
        if hasattr(decomposition, "fit"):
            raise RuntimeError(
                f"The {type(decomposition).__name__} has no patterns_: fit it first. Of PCA, give "
                "the maps themselves to localize_maps."
            )
        raise TypeError(
            "decomposition must be an ICA, an SSD or something else with patterns_, got "
            f"{type(decomposition)}. Give maps to localize_maps."
        )
    own = None
    if isinstance(decomposition, SSD) and isinstance(decomposition.info, mne.Info):
        own = decomposition.info
        if decomposition.picks_ is not None:
            own = mne.pick_info(own, decomposition.picks_)
    return np.asarray(decomposition.patterns_, float).T, own
