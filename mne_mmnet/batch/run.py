"""A batch of files, on the cores of one machine or on a Dask cluster."""

import contextlib
import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from mne.utils import _check_option, _validate_type, logger, verbose

from .._support.files import check_writable, remove_scratch
from ..recordings.files import short_name
from ..weights import read_card
from .bids import FOLDER, check_root, find_recordings, place, write_description
from .job import Job, Settings, run_job
from .records import ENDINGS, Record, read_record, read_records, write_record, write_table

# s: how often Dask is asked for news, and how long for workers that died, or a lost record
_POLL, _PATIENCE = 0.05, 60.0
# Dask has its workers give all memory back at once, and pay for new pages at every product: these
# are the C library's own limits, or the highest it takes
_WORKER_MEMORY = {
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 2**28,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 2**25,
}


@verbose
def localize_files(
    files,
    fwd=None,
    noise_cov=None,
    *,
    out=None,
    bids=None,
    model="mmnet-base",
    loose=None,
    head="auto",
    depth="auto",
    spacing="ico3",
    condition=None,
    tmin=None,
    tmax=None,
    device="auto",
    n_jobs=1,
    client=None,
    retry_failed=False,
    events=None,
    montage=None,
    verbose=None,
):
    """Localise many evoked responses, in parallel; one bad file never stops the others.

    For every file there appear, each whole or not at all, an estimate ``NAME-mmnet-stc.h5`` and a
    record ``NAME-mmnet.json`` of what happened, then ``mmnet-batch.csv``, the table of all that
    is in ``out``. A batch that was interrupted goes on where it stopped: files whose estimate is
    there, and was made with the same settings from the same files (by size and date), are not
    localised again.

    Parameters
    ----------
    files : list of path-like | None
        Files with one evoked response each (or see ``condition``); epochs, which are averaged; or
        recordings (see ``events``). All formats that MNE reads. None, with ``bids``, is all
        ``sub-*_ave.fif`` of the dataset and its derivatives.
    fwd : path-like | None
        Forward solution. ``{folder}`` and ``{name}`` in it stand for the folder and the name
        (without ``-ave.fif``) of each recording. None makes one on the template head.
    noise_cov : path-like | None
        Noise covariance, likewise. None estimates the noise level from the data.
    out : path-like | None
        Folder to write to; None, with ``bids``, is ``derivatives/mne-mmnet`` of the dataset. Below
        it the folders of ``files`` are repeated, from the innermost one that holds all of them, so
        that equal names don't meet. A file that has a result in ``out`` already keeps its place,
        whatever other files it is listed with.
    bids : path-like | None
        Root of a BIDS dataset that the files belong to: ``out`` becomes a derivative dataset, with
        its description, estimates ``sub-01/eeg/sub-01_task-x_desc-mmnet_stc.h5`` (the record is
        their sidecar), and the strongest sources as ``..._sources.tsv``.
    model : str | path-like
        Name or path of a model.
    loose : None | "evidence" | float | "auto"
        As in :func:`apply_mmnet_inverse`, like the next two.
    head : "auto" | "own" | "template"
        Whose lead field it is.
    depth : "auto" | None | float
        Depth weighting.
    spacing : str
        Spacing of the template's sources, as in :func:`make_template_forward`.
    condition : str | int | None
        Name or number of the response in files that hold several.
    tmin, tmax : float | None
        Window to localise, s.
    device : str
        "auto", "cpu", "cuda" or "mps".
    n_jobs : int
        Number of processes, each with one thread; −1 is one a core. 1 works in this process.
    client : str | dask.distributed.Client | None
        A Dask cluster to work on in place of processes of this one: a client, the address of a
        scheduler, or ``"local"`` for a cluster of ``n_jobs`` workers on this machine. Workers
        must see the same files under the same names.
    retry_failed : bool
        Whether to try files again that failed before, with nothing changed since.
    events : str | None
        Names or numbers of the events or annotations that recordings are averaged around,
        separated by commas; of epochs, the conditions. None takes files of averages, and of
        epochs of one condition.
    montage : str | None
        Name of a built-in montage, or path of a file of positions, that electrodes get their
        places from, by name. None takes those of the files.
    %(verbose)s

    Returns
    -------
    records : list of Record
        In the order of ``files``: ``file``, ``status`` ("done" or "failed"), ``error``,
        ``message``, ``seconds``, ``output``, and the solver's diagnostics.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If there are no files, a file is listed twice, two files would have the same result, a
        result in ``out`` is another file's, or a file has no name of BIDS where it must.
    FileNotFoundError
        If there is no such model, or no such dataset.
    ImportError
        If Dask is asked for and not installed.
    UnwritableError
        If ``out`` can't be written to.
    """
    _validate_type(bids, ("path-like", None), "bids")
    _validate_type(out, ("path-like", None), "out")
    if bids is not None:
        bids = check_root(bids)
        files = find_recordings(bids) if files is None else files
        out = bids / FOLDER if out is None else out
    elif out is None:
        raise ValueError(
            "out says where to write. Pass a folder, or bids=, the root of a dataset."
        )
    _validate_type(files, (list, tuple), "files")
    for name, value in (("fwd", fwd), ("noise_cov", noise_cov)):
        _validate_type(value, ("path-like", None), name)
    _validate_type(model, "path-like", "model", extra="(save_model writes a Model to a file)")
    _validate_type(n_jobs, "int", "n_jobs")
    settings = Settings(
        fwd=None if fwd is None else _absolute(fwd),
        noise_cov=None if noise_cov is None else _absolute(noise_cov),
        spacing=spacing,
        model=str(model),
        weights=read_card(model).sha256,
        loose=loose,
        head=head,
        depth=depth,
        condition=condition,
        tmin=tmin,
        tmax=tmax,
        device=str(device),
        events=events,
        montage=montage,
    )
    out = Path(out).expanduser().resolve()
    earlier = read_records(out)
    jobs = _plan(files, out, settings, earlier, bids)
    check_writable(out / "mmnet-batch.csv")
    if bids is not None:
        write_description(out, bids)
    records = {job.file: _find_result(job, retry_failed) for job in jobs}
    due = [job for job in jobs if records[job.file] is None]
    logger.info(f"{len(jobs) - len(due)} of {len(jobs)} files have their result; {len(due)} to do")
    try:
        with contextlib.closing(_work(due, n_jobs, client)) as work:
            for number, record in enumerate(work, 1):
                records[record.file] = record
                what = record.status if not record.error else f"{record.error}: {record.message}"
                place = f"{number}/{len(due)} {record.file}"
                logger.info(f"    {place}: {what} ({record.seconds:.1f} s)")
    finally:  # an interrupted batch has a table of what is done, too
        for job in due:
            # workers of a cluster that goes on may still be at what has no record
            if client in (None, "local") or records[job.file] is not None:
                remove_scratch(job.estimate)
                remove_scratch(job.record)
        # in the order of the files; those of other batches, and what workers wrote last, follow
        table = {file: record for file, record in records.items() if record is not None}
        for file, (_, record) in read_records(out).items():
            table.setdefault(file, record)
        write_table(table.values(), out / "mmnet-batch.csv")
    return [records[job.file] for job in jobs]


def _absolute(path):
    """Make a pattern absolute, so that it means the same in every process."""
    path = str(Path(path).expanduser())
    return path if path.startswith("{folder}") else os.path.abspath(path)


def _plan(files, out, settings, earlier, bids):
    """Where the result of each file goes, or is."""
    if not files:
        raise ValueError("There are no files to localise.")
    for file in files:
        _validate_type(file, "path-like", "Every one of files")
    paths = [Path(file).expanduser().resolve() for file in files]
    root = Path(os.path.commonpath([path.parent for path in paths]))
    jobs, taken = [], {}
    for path in paths:
        if bids is None:
            target = str(out / path.parent.relative_to(root) / short_name(path))
        else:
            target = str(out / place(path))
        if str(path) in earlier:
            target = str(earlier[str(path)][0]).removesuffix(ENDINGS[bids is not None])
        if target in taken:
            raise ValueError(
                f"{taken[target]} and {path} would have the same result. List each file once (of "
                "BrainVision's the .vhdr, of EEGLAB's the .set), and give files of one folder "
                "different names."
            )
        taken[target] = path
        jobs.append(Job(str(path), target, settings, None if bids is None else str(bids)))
    return jobs


def _find_result(job, retry_failed):
    """Return what a run before this one left of a job; None if it is to be done (again)."""
    record = read_record(job.record)
    if record is None:
        return None
    if record.file != job.file:
        raise ValueError(
            f"{job.record} is the result of another file, {record.file}. Choose another out."
        )
    if record.stamp != job.stamp():
        logger.warning(f"{job.file}: files or settings changed since its result; it is made again")
        return None
    if record.status == "failed":
        return None if retry_failed else record
    whole = job.estimate.exists() and job.estimate.stat().st_size == record.n_bytes
    return record if whole else None


def _work(jobs, n_jobs, client):
    """Run jobs; yields their records as they come."""
    if not jobs:
        return
    if client is not None:
        yield from _on_dask(jobs, n_jobs, client)
        return
    from joblib import Parallel, delayed, effective_n_jobs, parallel_config

    if effective_n_jobs(n_jobs) == 1:
        yield from map(run_job, jobs)
        return
    left = {job.file: job for job in jobs}
    while left:
        try:
            # one thread a process: they would wait for each other
            with parallel_config("loky", n_jobs=n_jobs, inner_max_num_threads=1):
                work = [delayed(_in_worker)(run_job, job) for job in left.values()]
                parallel = Parallel(return_as="generator_unordered")
                with contextlib.closing(parallel(work)) as ended:
                    for record in ended:
                        del left[record.file]
                        yield record
        except BrokenProcessPool:
            # a process died, of a job among those handed out: these run by themselves
            for file in list(left)[: 2 * effective_n_jobs(n_jobs)]:
                yield _alone(left.pop(file))


def _in_worker(function, job):
    """Run a job in a process that leaves Ctrl-C to the one that collects the records."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return function(job)


def _alone(job):
    """Run a job in a process of its own; if that dies, the record says so."""
    from joblib.externals.loky import ProcessPoolExecutor

    with ProcessPoolExecutor(max_workers=1) as pool:
        try:
            return pool.submit(_in_worker, run_job, job).result()
        except BrokenProcessPool as error:
            return _give_up(job, error)


def _give_up(job, error):
    """Record the death of a job's process."""
    message = f"The process that worked on this file died; out of memory? ({error})"
    record = Record(
        job.file, "failed", error=type(error).__name__, message=message, stamp=job.stamp()
    )
    write_record(record, job.record)
    return record


def _on_dask(jobs, n_jobs, client):
    try:
        import dask
        from dask.distributed import Client, LocalCluster
    except ImportError:
        raise ImportError('Dask is not installed: pip install "mne_mmnet[batch]".') from None
    _validate_type(client, (str, Client), "client")
    is_local = client == "local"
    with contextlib.ExitStack() as stack:
        if is_local:
            _check_option("n_jobs", n_jobs > 0 or n_jobs == -1, (True,), "a count or −1")
            with dask.config.set(_WORKER_MEMORY):
                cluster = LocalCluster(
                    n_workers=os.cpu_count() if n_jobs == -1 else n_jobs,
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",  # no port that another has
                )
            client = stack.enter_context(Client(stack.enter_context(cluster)))
        elif isinstance(client, str):
            client = stack.enter_context(Client(client))
        # pure=False: the same job must run again if it is asked for again
        futures = client.map(run_job, jobs, pure=False)
        of = dict(zip((future.key for future in futures), jobs, strict=True))
        suspects = []
        try:
            for future in _as_they_end(futures, client, is_local):
                record = _fetch(future)
                if record is None:
                    suspects.append(of[future.key])
                else:
                    yield record
            # Dask blames all jobs that a dying worker held: these run again, one at a time
            for job in [] if is_local else suspects:
                futures = [client.submit(run_job, job, pure=False)]
                error = futures[0].exception()
                yield futures[0].result() if error is None else _give_up(job, error)
        finally:
            client.cancel(futures)
    if is_local:  # the cluster is no more: its processes are not always replaced when they die
        yield from _work(suspects, n_jobs, None)


def _as_they_end(futures, client, is_local):
    """Yield futures that ended, and all others once a local cluster has lost its workers."""
    from dask.distributed import as_completed

    completed, left = as_completed(futures), dict.fromkeys(futures)
    seen = time.monotonic()  # workers
    while left:
        batch = completed.next_batch(block=False)
        for future in batch:
            del left[future]
            yield future
        if batch:
            continue
        time.sleep(_POLL)
        if not is_local or client.scheduler_info()["workers"]:
            seen = time.monotonic()
        elif time.monotonic() - seen > _PATIENCE:
            logger.warning("Dask's workers died and did not come back; going on without Dask")
            yield from left
            return


def _fetch(future):
    """Return a job's record; None if the worker died that ran it, or that kept the record."""
    if future.status != "finished":
        return None
    try:
        return future.result(timeout=_PATIENCE)
    except Exception:  # Dask's: run_job raises nothing
        return None
