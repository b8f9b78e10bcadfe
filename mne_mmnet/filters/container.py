"""What a set of filters is, and what it was made of."""

from dataclasses import dataclass, fields
from html import escape
from typing import NamedTuple

import numpy as np

from .._mne import HeadKind
from ..inverse import SolverReport
from .files import read_record, write_record

_WORDS = {
    "evoked": "evoked response",
    "epochs": "epochs",
    "raw": "continuous data",
    "covariance": "covariance",
    "csd": "cross-spectral density",
    "tfr": "time–frequency coefficients",
}


class FilterOrigin(NamedTuple):
    """What the source variances of filters were found from.

    Parameters
    ----------
    kind : "evoked" | "epochs" | "raw" | "covariance" | "csd" | "tfr"
        Which of them.
    comment : str
        The names of the conditions, where they have some.
    n_recordings : int
        Evoked responses, epochs or matrices that were pooled.
    n_times : float
        Samples of all of them; NaN where that is unknown.
    frequencies : tuple of float
        In Hz, of spectra; else empty.
    """

    kind: str
    comment: str
    n_recordings: int
    n_times: float
    frequencies: tuple[float, ...] = ()

    def __str__(self):
        text = _WORDS[self.kind]
        if self.comment:
            text += f" “{self.comment}”"
        details = []
        if self.n_recordings != 1:
            details.append(f"{self.n_recordings} pooled")
        if np.isfinite(self.n_times):
            details.append(f"{self.n_times:g} samples")
        if self.frequencies:
            low, high = min(self.frequencies), max(self.frequencies)
            details.append(f"{low:g} Hz" if low == high else f"{low:g} to {high:g} Hz")
        return f"{text} ({', '.join(details)})" if details else text


@dataclass(frozen=True, eq=False, repr=False)
class MMNetFilters:
    r"""Linear filters from sensors to sources, by :func:`make_mmnet_filters`.

    Parameters
    ----------
    kernel : array of shape (n_sources, n_orient, n_channels)
        K = S̃ diag(e\ :sup:`u`) L̃ᵀ Σ⁻¹ W, in A·m/V, A·m/T and A·m·m/T, the whitener W with its
        projectors included: currents along ``frames`` are K times data of ``ch_names``.
    ch_names : tuple of str
        The channels.
    ch_types : tuple of str
        Their types: "eeg", "mag" or "grad".
    projector : array of shape (n_channels, n_channels)
        The average reference and all other projectors, which the kernel contains.
    covariance : array of shape (n_channels, n_channels)
        Of the projected data under the variances found, in V², T² and T²/m², Σ in sensors: what
        fewer channels than these need for filters of their own.
    frames : array of shape (n_sources, n_orient, 3)
        Direction of each row of the kernel, unit vectors in the forward solution's coordinate
        frame.
    normals : array of shape (n_sources, 3)
        Normals of the cortex, unit vectors.
    vertices : list of array
        Vertex numbers in each source space.
    kind : "surface" | "volume" | "discrete" | "mixed"
        Kind of the source spaces.
    subject : str | None
        The subject that the source spaces belong to.
    orient : "fixed" | "loose" | "free" | "evidence"
        Orientation constraint.
    noise_is_known : bool
        Whether a noise covariance was given.
    n_rank : int
        Rank of the whitened data.
    nave : float
        Averages of the data that the filters are for.
    model : str
        Name of the model.
    head : HeadKind
        Whose lead field it is.
    origin : FilterOrigin
        What the filters were made of.
    report : SolverReport
        The certificate and the concerns of the solution that the filters come from.

    Attributes
    ----------
    n_sources, n_orient : int
        Locations, and directions of each.
    """

    kernel: np.ndarray
    ch_names: tuple
    ch_types: tuple
    projector: np.ndarray
    covariance: np.ndarray
    frames: np.ndarray
    normals: np.ndarray
    vertices: list
    kind: str
    subject: str | None
    orient: str
    noise_is_known: bool
    n_rank: int
    nave: float
    model: str
    head: HeadKind
    origin: FilterOrigin
    report: SolverReport

    @property
    def n_sources(self):
        """Number of locations."""
        return self.kernel.shape[0]

    @property
    def n_orient(self):
        """Directions of each location: 1 or 3."""
        return self.kernel.shape[1]

    def __repr__(self):
        return (
            f"<MMNetFilters | {self.model}, made of {self.origin}, {len(self.ch_names)} channels, "
            f'{self.n_sources} sources ({self.orient}), subject "{self.subject}">'
        )

    def _repr_html_(self):
        """Tabulate what the filters are, for notebooks."""
        noise = "from a covariance" if self.noise_is_known else "estimated from the data"
        rows = {
            "Made of": self.origin,
            "Model": self.model,
            "Channels": f"{len(self.ch_names)} (rank {self.n_rank})",
            "Sources": f"{self.n_sources}, {self.kind}, orientation {self.orient}",
            "Subject": self.subject or "unknown",
            "Head": self.head,
            "Noise": f"{noise}, of {self.nave:g} averages",
            "Certificate": self.report,
            **{f"Concern {k + 1}": text for k, text in enumerate(self.report.concerns)},
        }
        cells = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
            for name, value in rows.items()
        )
        return f"<table><caption>MMNetFilters</caption><tbody>{cells}</tbody></table>"

    def save(self, fname, *, overwrite=False):
        """Save the filters to an HDF5 file, whole or not at all.

        Parameters
        ----------
        fname : path-like
            Where to; the name should end in ``-mmnet.h5``.
        overwrite : bool
            Whether a file of that name may be replaced.

        Raises
        ------
        ValueError
            If the name does not end in ``.h5``.
        FileExistsError
            If there is such a file, and ``overwrite`` is False.
        UnwritableError
            If the place is full, read-only or forbidden.
        """
        record = {f.name: getattr(self, f.name) for f in fields(self)}
        report = {f.name: getattr(self.report, f.name) for f in fields(self.report)}
        report.update(agreement=None, steadiness=None)  # filters have none
        record.update(
            ch_names=list(self.ch_names),
            ch_types=list(self.ch_types),
            vertices=list(self.vertices),
            head=dict(self.head._asdict()),
            origin={**self.origin._asdict(), "frequencies": list(self.origin.frequencies)},
            report={**report, "concerns": list(self.report.concerns)},
        )
        write_record(record, fname, overwrite)


def read_mmnet_filters(fname):
    """Read filters that :meth:`MMNetFilters.save` wrote.

    Parameters
    ----------
    fname : path-like
        The file.

    Returns
    -------
    filters : MMNetFilters
        The filters.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, holds something else, or was written by a later version.
    """
    record = read_record(fname)
    try:
        return _restore(record)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{fname} cannot be read as filters ({error!r}).") from error


def _restore(record):
    """Make filters of plain values; shapes that contradict each other are an error."""
    kernel = np.asarray(record["kernel"], float)
    n_sources, n_orient, n_channels = kernel.shape
    for name, shape in {
        "kernel": kernel.shape,
        "projector": (n_channels, n_channels),
        "covariance": (n_channels, n_channels),
        "frames": (n_sources, n_orient, 3),
        "normals": (n_sources, 3),
        "ch_names": (n_channels,),
        "ch_types": (n_channels,),
    }.items():
        if np.shape(record[name]) != shape:
            raise ValueError(f"{name} has shape {np.shape(record[name])}, not {shape}")
        if np.asarray(record[name]).dtype.kind == "f" and not np.isfinite(record[name]).all():
            raise ValueError(f"{name} is not finite")
    if sum(map(len, record["vertices"])) != n_sources:
        raise ValueError("vertices and kernel differ in number")
    report, origin = dict(record["report"]), dict(record["origin"])
    for name in ("analytic", "stalled"):
        report[name] = np.asarray(report[name], bool)
    report["concerns"] = tuple(report["concerns"])
    origin["frequencies"] = tuple(float(x) for x in origin["frequencies"])
    return MMNetFilters(
        **{
            **record,
            "kernel": kernel,
            "ch_names": tuple(record["ch_names"]),
            "ch_types": tuple(record["ch_types"]),
            "vertices": [np.asarray(x, int) for x in record["vertices"]],
            "noise_is_known": bool(record["noise_is_known"]),
            "n_rank": int(record["n_rank"]),
            "nave": float(record["nave"]),
            "head": HeadKind(**record["head"]),
            "origin": FilterOrigin(**origin),
            "report": SolverReport(**report),
        }
    )
