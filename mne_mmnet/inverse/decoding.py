"""Sources as features: a scikit-learn transformer from epochs to time courses of labels."""

from functools import reduce
from operator import add

import mne
import numpy as np
from mne.utils import _check_option, _validate_type

from .._mne import claim_label, fill_shared, restrict_to_label
from . import apply_mmnet_inverse_epochs
from .arguments import resolve_operator

try:
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise ImportError(
        "SourceTransformer needs scikit-learn. Install it with pip install 'mne_mmnet[decoding]'."
    ) from error

_FLIPPING = ("mean_flip", "pca_flip")
_MODES = ("auto", "mean", "max", *_FLIPPING)


# the output has three dimensions, which no data frame holds
@fill_shared
class SourceTransformer(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Turn epochs into the time courses of cortical labels, for decoding pipelines.

    Parameters
    ----------
    info : mne.Info
        Channels, bad channels and projectors of the epochs. Arrays have their channels in its
        order.
    %(fwd_operator)s
    noise_cov : mne.Covariance | None
        Noise covariance of single trials. To keep test data out of it, make it from baselines of
        training data, or from another recording.
    labels : list of mne.Label | list of mne.BiHemiLabel | None
        Labels on the source space's subject. None keeps every source.
    mode : "auto" | "mean" | "mean_flip" | "pca_flip" | "max"
        How a label's sources are summed up, as in :func:`mne.extract_label_time_course`. "auto" is
        "mean_flip" where currents are signed (fixed orientation, or ``pick_ori="normal"``) and
        "mean" where they are lengths. Not used without labels.
    %(model)s
    loose : None | "evidence" | float | "auto" | dict
        None has the data settle the orientation on surfaces: lengths of currents. 0 gives signed
        ones.
    %(head)s
    %(depth)s
    rank : None | "info" | "full" | dict
        Rank of the noise covariance.
    pick_ori : None | "normal"
        "normal" gives currents a sign where the orientation is not fixed.
    nave : int
        Number of averages that each epoch is.
    batch_size : int | None
        Epochs that are solved together. None chooses a size that takes about half a GB.
    %(use_cps)s
    %(n_steps)s
    %(device)s

    Attributes
    ----------
    operator_ : MMNetOperator
        The prepared operator.
    mode_ : str
        The mode, "auto" resolved.
    n_features_in_ : int
        Number of channels of the info.

    See Also
    --------
    apply_mmnet_inverse_epochs : The source estimates themselves.

    Notes
    -----
    Nothing is learned from the data: every epoch is localised from itself alone, so that no
    information passes between training and test data. Fitting prepares the lead field.

    Examples
    --------
    >>> decoder = make_pipeline(  # doctest: +SKIP
    ...     mne_mmnet.SourceTransformer(epochs.info, fwd, noise_cov, labels=labels),
    ...     mne.decoding.Vectorizer(),
    ...     LogisticRegression(),
    ... )
    >>> cross_val_score(decoder, epochs.get_data(), y)  # doctest: +SKIP
    """

    def __init__(
        self,
        info,
        fwd,
        noise_cov=None,
        *,
        labels=None,
        mode="auto",
        model="mmnet-base",
        loose=None,
        head="auto",
        depth="auto",
        rank=None,
        pick_ori=None,
        nave=1,
        batch_size=None,
        use_cps=True,
        n_steps=None,
        device="auto",
    ):
        self.info = info
        self.fwd = fwd
        self.noise_cov = noise_cov
        self.labels = labels
        self.mode = mode
        self.model = model
        self.loose = loose
        self.head = head
        self.depth = depth
        self.rank = rank
        self.pick_ori = pick_ori
        self.nave = nave
        self.batch_size = batch_size
        self.use_cps = use_cps
        self.n_steps = n_steps
        self.device = device

    def fit(self, X=None, y=None):
        """Prepare the lead field.

        Parameters
        ----------
        X : array of shape (n_epochs, n_channels, n_times) | mne.BaseEpochs | None
            The epochs; only their shape is looked at.
        y : array of shape (n_epochs,) | None
            Not used.

        Returns
        -------
        self : SourceTransformer
            The transformer itself.

        Raises
        ------
        TypeError, ValueError
            If the options don't fit together, as in :func:`make_mmnet_operator`; if a label has
            no sources; if a mode that flips signs meets currents without signs.
        """
        _check_option("mode", self.mode, _MODES)
        _check_option("pick_ori", self.pick_ori, (None, "normal"))
        _validate_type(self.labels, (list, tuple, None), "labels")
        if self.labels is not None and len(self.labels) == 0:
            raise ValueError("labels is empty. Pass labels, or None to keep every source.")
        if X is not None and not isinstance(X, mne.BaseEpochs):
            self._check_array(X)
        options = ("noise_cov", "model", "loose", "head", "depth", "rank", "use_cps", "device")
        operator, _, _ = resolve_operator(
            self.info,
            self.fwd,
            self.pick_ori,
            None,
            **{name: getattr(self, name) for name in options},
        )
        for label in self.labels or ():
            restrict_to_label(operator.prepared, label)
        signed = operator.prepared.orient == "fixed" or self.pick_ori == "normal"
        if self.labels and self.mode in _FLIPPING and not signed:
            raise ValueError(
                f"mode='{self.mode}' flips signs, and lengths of currents have none. Use "
                "loose=0, pick_ori='normal' or mode='mean'."
            )
        self.mode_ = self.mode
        if self.mode == "auto":
            self.mode_ = "mean_flip" if signed else "mean"
        self.operator_ = operator
        self.n_features_in_ = len(self.info["ch_names"])
        return self

    def transform(self, X):
        """Localise epochs.

        Parameters
        ----------
        X : array of shape (n_epochs, n_channels, n_times) | mne.BaseEpochs
            The epochs (V, T, T/m), average-referenced if EEG (a pending projector is enough).

        Returns
        -------
        courses : array of shape (n_epochs, n_labels, n_times)
            Time courses in A·m, of labels or, without labels, of every source.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        TypeError, ValueError
            If the data have the wrong shape or reference, or are not finite.
        """
        check_is_fitted(self)
        epochs = X
        if not isinstance(X, mne.BaseEpochs):
            epochs = mne.EpochsArray(
                self._check_array(X), self.info, proj=False, baseline=None, verbose="error"
            )
        stcs = apply_mmnet_inverse_epochs(
            epochs,
            self.operator_,
            label=None if self.labels is None else reduce(add, self.labels),
            pick_ori=self.pick_ori,
            nave=self.nave,
            return_generator=True,
            batch_size=self.batch_size,
            n_steps=self.n_steps,
        )
        if self.labels is None:
            return np.stack([stc.data for stc in stcs])
        src = self.operator_.prepared.src
        labels = [claim_label(label, src[0].get("subject_his_id")) for label in self.labels]
        courses = mne.extract_label_time_course(stcs, labels, src, self.mode_, verbose="warning")
        return np.stack(courses)

    def get_feature_names_out(self, input_features=None):
        """Name the rows of the output.

        Parameters
        ----------
        input_features : None
            Not used.

        Returns
        -------
        names : array of str, shape (n_labels,)
            Names of the labels; without labels, hemisphere (or index of the source space) and
            vertex, such as ``"lh-12"``.
        """
        check_is_fitted(self)
        if self.labels is not None:
            return np.array([label.name for label in self.labels], object)
        prepared = self.operator_.prepared
        spaces = [str(k) for k in range(len(prepared.vertices))]
        if prepared.kind in ("surface", "mixed"):
            spaces[:2] = ["lh", "rh"]
        pairs = zip(spaces, prepared.vertices, strict=True)
        return np.array([f"{space}-{v}" for space, vertno in pairs for v in vertno], object)

    def _check_array(self, X):
        X = np.asarray(X)
        n_channels = len(self.info["ch_names"])
        if X.ndim != 3 or X.shape[1] != n_channels:
            raise ValueError(
                f"X must have the shape (n_epochs, n_channels, n_times) with the {n_channels} "
                f"channels of info, got {X.shape}. Pass the array that belongs to info."
            )
        return X
