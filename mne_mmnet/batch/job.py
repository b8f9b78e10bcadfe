"""One file of a batch, in whatever process it is: read, localise, write, keep a record."""

import functools
import glob
import os
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import mne

from .._mne import electrodes_key
from .._support.files import UnwritableError
from ..inverse import apply_mmnet_inverse, make_mmnet_operator
from ..places import find_sources
from ..recordings.averages import Averaging, name_places, read_average, settle_reference
from ..recordings.files import read_file, short_name, write_stc
from ..template.make import make_template_forward
from .bids import describe, write_sources
from .records import ENDINGS, Record, write_record

# prepared operators that a process keeps: recordings of one subject follow each other
_N_KEPT = 4


@dataclass(frozen=True)
class Settings:
    """What all files of a batch share.

    Parameters
    ----------
    fwd, noise_cov : str | None
        Patterns of files, see :func:`localize_files`.
    spacing : str
        Of the template's sources, where there is no forward solution.
    model : str
        Name or path.
    weights : str
        sha256 of its weights.
    loose, head, depth, condition, tmin, tmax, device, events, montage
        As in :func:`localize_files`.
    """

    fwd: str | None
    noise_cov: str | None
    spacing: str
    model: str
    weights: str
    loose: float | str | None
    head: str
    depth: float | str | None
    condition: str | None
    tmin: float | None
    tmax: float | None
    device: str
    events: str | None = None
    montage: str | None = None

    @property
    def averaging(self):
        """How recordings are cut and averaged."""
        return Averaging.around(self.events, self.tmin, self.tmax)


@dataclass(frozen=True)
class Job:
    """One file and where its result goes.

    Parameters
    ----------
    file : str
        The evoked response, absolute.
    out : str
        Path of the results without ``-mmnet-stc.h5`` and ``-mmnet.json``, or what BIDS has
        instead.
    settings : Settings
        Of the batch.
    bids : str | None
        Root of the BIDS dataset whose derivatives the results are.
    """

    file: str
    out: str
    settings: Settings
    bids: str | None = None

    @property
    def estimate(self):
        """File of the source estimate."""
        return Path(self.out + ("-mmnet-stc.h5" if self.bids is None else "_desc-mmnet_stc.h5"))

    @property
    def record(self):
        """File of the record."""
        return Path(self.out + ENDINGS[self.bids is not None])

    @property
    def sources(self):
        """File of the strongest sources, of a BIDS dataset alone."""
        return Path(f"{self.out}_desc-mmnet_sources.tsv")

    def stamp(self):
        """Everything that the result depends on: settings, and sizes and dates of the files."""
        settings = self.settings
        files = {name: fill(getattr(settings, name), self.file) for name in ("fwd", "noise_cov")}
        stamps = {f"{name}_stamp": _stamp(path) for name, path in files.items()}
        return asdict(settings) | {"evoked_stamp": _stamp_recording(Path(self.file))} | stamps


def fill(pattern, file):
    """Fill ``{folder}`` and ``{name}`` of a pattern in with those of a recording's file."""
    if pattern is None:
        return None
    return pattern.replace("{folder}", str(Path(file).parent)).replace("{name}", short_name(file))


def _stamp(path):
    """Size and date of a file; None if there is none."""
    try:
        status = os.stat(path)
    except (OSError, TypeError):
        return None
    return [str(path), status.st_size, status.st_mtime_ns]


def _stamp_recording(path):
    """Sizes and dates of a recording's files: signals, events and parts are beside a header."""
    if path.is_dir():
        found = [each for each in path.rglob("*") if each.is_file()]
    else:
        stem = glob.escape(path.with_suffix("").name)
        found = [*path.parent.glob(f"{stem}.*"), *path.parent.glob(f"{stem}-[0-9]*.fif")]
    return [_stamp(each) for each in sorted(found)]


def run_job(job: Job):
    """Localise one file; whatever goes wrong is in the record, not raised."""
    started = time.perf_counter()
    stamp = job.stamp()
    outcome, sidecar = dict(status="done", output=str(job.estimate)), {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            stc, report, fwd = _localize(job)
            write_stc(stc, job.estimate)
            if job.bids is not None:
                write_sources(find_sources(stc, fwd), job.sources)
                sidecar = describe(job.file, job.bids, job.settings, stc.subject)
            outcome |= dict(
                n_bytes=job.estimate.stat().st_size,
                objective=[float(value) for value in report.objective],
                descended=report.descended,
                explained=report.explained,
                chi2=report.chi2,
                domain_score=report.domain_score,
                concerns=list(report.concerns),
            )
        except Exception as error:  # the next file must have its turn
            outcome = dict(status="failed", error=type(error).__name__, message=str(error))
    record = Record(
        file=job.file,
        seconds=time.perf_counter() - started,
        warnings=list(dict.fromkeys(str(one.message) for one in caught)),
        stamp=stamp,
        **outcome,
    )
    try:
        write_record(record, job.record, sidecar)
    except UnwritableError as error:  # reported by the process that collects the records
        return Record(job.file, "failed", error=type(error).__name__, message=str(error))
    return record


def _localize(job):
    settings = job.settings
    evoked, _ = read_average(job.file, settings.condition, settings.averaging)
    if settings.montage is not None:
        evoked, _ = name_places(evoked, settings.montage)
    if settings.tmin is not None or settings.tmax is not None:
        evoked.crop(settings.tmin, settings.tmax)
    settle_reference(evoked)
    paths = [fill(pattern, job.file) for pattern in (settings.fwd, settings.noise_cov)]
    files = tuple(path and (path, *(_stamp(path) or ())) for path in paths)
    operator, said = _prepare(_Channels(evoked.info), files, settings)
    for text in said:  # of montage and files: it holds for every recording that shares them
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    stc, report = apply_mmnet_inverse(evoked, operator, return_report=True)
    return stc, report, operator


class _Channels:
    """Measurement info that is equal to another where an operator serves both."""

    def __init__(self, info):
        self.info = info
        coils = [int(ch["coil_type"]) for ch in info["chs"]]
        projs = [(proj["desc"], proj["data"]["data"].tobytes()) for proj in info["projs"]]
        self.key = (electrodes_key(info), tuple(coils), tuple(info["bads"]), tuple(projs))

    def __eq__(self, other):
        return self.key == other.key

    def __hash__(self):
        return hash(self.key)


@functools.lru_cache(maxsize=_N_KEPT)
def _prepare(channels, files, settings):
    """Operator of a montage and files, which may serve many recordings, and what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        operator = _make_operator(channels, files, settings)
    return operator, list(dict.fromkeys(str(one.message) for one in caught))


def _make_operator(channels, files, settings):
    fwd, cov = files
    if fwd is None:
        forward = make_template_forward(channels.info, settings.spacing)
    else:
        forward = read_file(mne.read_forward_solution, fwd[0], "a forward solution")
    noise_cov = None if cov is None else read_file(mne.read_cov, cov[0], "a noise covariance")
    return make_mmnet_operator(
        channels.info,
        forward,
        noise_cov,
        model=settings.model,
        loose=settings.loose,
        head=settings.head,
        depth=settings.depth,
        device=settings.device,
    )
