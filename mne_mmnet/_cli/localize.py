"""``mne-mmnet localize``: an evoked response of the user's own."""

import sys
import warnings
from pathlib import Path

import mne
import numpy as np

from .._mne import field_power
from .._support.files import whole_file
from ..inverse import apply_mmnet_inverse
from ..places import find_sources
from ..recordings.averages import (
    Averaging,
    name_places,
    read_average,
    say_unplaced,
    settle_reference,
)
from ..recordings.files import read_file, short_name, write_stc
from ..template.make import find_template, make_template_forward
from ..viz import plot_sources
from ..weights import read_card

HALF_WINDOW = 0.05


def run(args):
    """Localise, print where the sources are, write the estimate and a picture."""
    with mne.use_log_level("info" if args.verbose else "warning"), warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(
            f"Warning: {message}", file=sys.stderr
        )
        _run(args)


def _run(args):
    averaging = Averaging.around(args.events, args.tmin, args.tmax)
    evoked, what = read_average(args.evoked, args.condition, averaging)
    if what:
        print(what)
    if args.montage is not None:
        evoked, what = name_places(evoked, args.montage)
        print(what)
    cov = None if args.cov is None else read_file(mne.read_cov, args.cov, "a noise covariance")
    # before the work, and before anything is written
    time, tmin, tmax = _choose_window(evoked, args.time, args.tmin, args.tmax)
    if settle_reference(evoked):
        print("Set the average reference (a projector), which the data did not have.")

    if args.fwd is None:
        if text := say_unplaced(evoked):
            raise ValueError(text)
        print("No --fwd: making a forward solution on the template head.")
        fwd = make_template_forward(evoked.info, args.spacing)
        subject, subjects_dir = find_template()
    else:
        fwd = read_file(mne.read_forward_solution, args.fwd, "a forward solution")
        subject, subjects_dir = fwd["src"][0].get("subject_his_id"), None
        if subject in ("fsaverage", "fsaverage5"):
            found, subjects_dir = find_template()
            subjects_dir = subjects_dir if found == subject else None

    whole = evoked.copy()
    evoked.crop(tmin, tmax)
    window = f"{1e3 * evoked.times[0]:.0f} … {1e3 * evoked.times[-1]:.0f} ms"
    print(f"Localising {evoked.comment or 'the response'}, window {window}")
    # the cosine objective has no posterior
    with_uncertainty = read_card(args.model).kind != "cosine"
    with warnings.catch_warnings(record=True) as caught:
        stc, report, *uncertainty = apply_mmnet_inverse(
            evoked,
            fwd,
            cov,
            model=args.model,
            device=args.device,
            loose=args.loose,
            head=args.head,
            return_report=True,
            return_uncertainty=with_uncertainty,
        )
    for text in dict.fromkeys(str(one.message) for one in caught):
        if text not in report.concerns:  # those are printed below
            print(f"Warning: {text}", file=sys.stderr)
    print(f"Certificate: {report}")
    for concern in report.concerns:
        print(f"Concern: {concern}")
    sources = find_sources(
        stc,
        fwd,
        time=time,
        uncertainty=uncertainty[0] if uncertainty else None,
        subject=subject,
        subjects_dir=subjects_dir,
    )
    _print_sources(sources, subject)

    out = Path(args.out).expanduser()
    stem = short_name(args.evoked)
    path = out / f"{stem}-mmnet-stc.h5"
    write_stc(stc, path)
    print(f"Wrote {path}")
    if subjects_dir is not None and isinstance(stc, mne.SourceEstimate):
        picture = out / f"{stem}-mmnet.png"
        plot_sources(
            stc,
            subject=subject,
            subjects_dir=subjects_dir,
            time=time,
            path=picture,
            title=f"{evoked.comment or stem}: mmnet",
        )
        print(f"Wrote {picture}")
    else:
        print("No picture: the surfaces of this source space are not at hand (see stc.plot).")
    if args.report:
        from ..report import make_report  # takes a second that others need not wait

        page = make_report(
            whole,
            fwd,
            stc,
            report,
            uncertainty=uncertainty[0] if uncertainty else None,
            model=args.model,
            times=None if args.time is None else [time],
            subject=subject,
            subjects_dir=subjects_dir,
        )
        path = out / f"{stem}-mmnet.html"
        with whole_file(path) as scratch:
            page.save(scratch, open_browser=False, verbose="error")
        print(f"Wrote {path}")


def _choose_window(evoked, time, tmin, tmax):
    """Time to report and window to localise (s), with what is not given filled in.

    No time is that of the largest response (global field power) in the window, or after 0 where
    there is no window either.
    """
    first, last = float(evoked.times[0]), float(evoked.times[-1])
    low = first if tmin is None else max(tmin, first)
    high = last if tmax is None else min(tmax, last)
    if low > high:
        raise ValueError(
            f"--tmin and --tmax leave nothing of the response, which lasts from {first:g} to "
            f"{last:g} s."
        )
    if time is None:
        picks = mne.pick_types(evoked.info, meg=False, eeg=True)
        if len(picks) == 0:
            picks = mne.pick_types(evoked.info, meg=True)
        if len(picks) == 0:
            raise ValueError("The response has no EEG or MEG channels.")
        power = field_power(evoked.info, evoked.data, picks)
        if not np.isfinite(power).all():
            raise ValueError("The response contains NaN or infinite values.")
        candidates = (evoked.times >= low) & (evoked.times <= high)
        if tmin is None and (candidates & (evoked.times > 0)).any():
            candidates &= evoked.times > 0
        if not candidates.any():
            raise ValueError("There is no sample between --tmin and --tmax.")
        time = float(evoked.times[np.flatnonzero(candidates)[np.argmax(power[candidates])]])
    elif not low <= time <= high:
        raise ValueError(f"--time must be within {low:g} and {high:g} s, got {time:g}.")
    low = max(first, time - HALF_WINDOW) if tmin is None else low
    high = min(last, time + HALF_WINDOW) if tmax is None else high
    return time, low, high


def _print_sources(sources, subject):
    """Say where the sources are."""
    print(f"Sources, the strongest first, with their moments within {sources.radius:g} mm:")
    print(sources)
    known = [row for row in sources if row.mni_mm is not None]
    if known and all(row.region is None for row in known):
        print("(pip install mne_mmnet[demo] for the names of regions)")
    if known and subject == "fsaverage5":
        print("These are coordinates of a template head: expect errors of centimetres.")
