"""Localise with another commit of this package, in the same run: the one to compare with.

    old = Revision("2482684")
    old.localise(evoked, noise_cov, inversion, loose=0.2)     # currents or vectors, and levels

A commit's package is exported from git into a cache folder and runs in a process of its own, by
the same interpreter and with the same libraries, found before any installed version of the
package. Arrays go to and fro in ``.npz`` files, forward solutions and infos as FIF, requests and
replies as lines of JSON. The process lives until :meth:`Revision.close`.

This file is what that process runs, too; hence it imports the package nowhere at its top.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
from pathlib import Path

import mne
import numpy as np

ROOT = Path(__file__).parents[1]
# forward solutions that are kept at hand: one for each montage of a run
_KEPT = 4
CACHE = Path.home() / ".cache" / "mne_mmnet" / "revisions"


def export(revision, folder=CACHE, repository=ROOT):
    """Write the package of a commit, with its weights, to a folder under its full hash.

    ``revision`` is anything that git takes for a commit. Returns the folder that holds
    ``mne_mmnet``.
    """
    git = ["git", "-C", str(repository)]
    sha = subprocess.run(
        [*git, "rev-parse", "--verify", f"{revision}^{{commit}}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    target = Path(folder) / sha
    if target.exists():
        return target
    packed = subprocess.run(
        [*git, "archive", "--format=tar", sha, "mne_mmnet", "pretrained"],
        check=True,
        capture_output=True,
    ).stdout
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(scratch, filter="data")
        # where an installed package has it (package_dir in setup.cfg)
        shutil.move(Path(scratch, "pretrained"), Path(scratch, "mne_mmnet", "pretrained"))
        with contextlib.suppress(OSError):  # another process was quicker
            target.mkdir(exist_ok=True)
            Path(scratch, "mne_mmnet").rename(target / "mne_mmnet")
    return target


class Served:
    """A process that answers lines of JSON, as long as it is needed; started anew if it ended.

    ``command`` runs :func:`serve`. Of ``environment``, names and values beside what there is, None
    is not set.
    """

    def __init__(self, command, environment=None):
        known = os.environ | (environment or {})
        self.environment = {name: value for name, value in known.items() if value is not None}
        self._command, self._process = command, None

    def ask(self, request):
        """Return the reply to a request, both as JSON has them; an error there is one here."""
        if self._process is None or self._process.poll() is not None:
            Served.close(self)
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self.environment,
            )
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        except BaseException:  # a late reply would be taken for the next one's
            self._process.kill()
            self._process.wait()
            raise
        if not line:
            raise RuntimeError(f"The other process ended ({self._process.wait()}).")
        reply = json.loads(line)
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply

    def close(self):
        """End the process."""
        if self._process is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Revision(Served):
    """A commit of this package, or what a command serves, at work in a process of its own."""

    def __init__(self, revision=None, *, command=None, folder=CACHE):
        environment = {}
        if command is None:
            tree = export(revision, folder)
            environment["PYTHONPATH"] = str(tree)
            # -P: nothing beside this file may be taken for a library
            command = [sys.executable, "-P", __file__, "--serve", "--tree", str(tree)]
        super().__init__(command, environment)
        self._folder = tempfile.TemporaryDirectory(prefix="mne_mmnet-against-")
        self._known, self._n_heads = {}, 0

    def localise(self, evoked, noise_cov, inversion, **options):
        """Run ``apply_mmnet_inverse`` of that commit; options are as JSON has them.

        ``inversion`` has a forward solution ``free``, and is told apart by identity. Returns a
        dict of arrays: ``data``, currents (n_sources, n_times), or vectors (n_sources, 3, n_times)
        in head coordinates where ``pick_ori`` is ``"vector"``; ``level`` and ``std`` with
        ``return_uncertainty``.
        """
        folder, files = Path(self._folder.name), self._hand_over(inversion, evoked.info)
        arrays = dict(data=evoked.data, tmin=evoked.tmin, nave=evoked.nave)
        if noise_cov is not None:
            arrays |= dict(covariance=noise_cov.data, nfree=noise_cov["nfree"])
        np.savez(folder / "request.npz", **arrays)
        request = {name: str(path) for name, path in files.items()} | dict(
            data=str(folder / "request.npz"), out=str(folder / "reply.npz"), options=options
        )
        self.ask(request)
        with np.load(folder / "reply.npz") as file:
            return {name: file[name] for name in file.files}

    def _hand_over(self, inversion, info):
        """Files of a forward solution and of the electrodes."""
        # the object is kept with its number, lest another one gets the same identity
        if id(inversion) not in self._known:
            number = self._n_heads
            self._n_heads += 1
            files = {n: Path(self._folder.name, f"{number}-{n}.fif") for n in ("fwd", "info")}
            # files hold columns along the axes, and MNE warns of others
            plain = mne.convert_forward_solution(inversion.free, surf_ori=False)
            mne.write_forward_solution(files["fwd"], plain)
            mne.io.write_info(files["info"], info)
            self._known[id(inversion)] = inversion, files
            for path in _forget(self._known)[1].values() if len(self._known) > _KEPT else ():
                path.unlink()
        return self._known[id(inversion)][1]

    def close(self):
        """End the process, and remove what was passed to it."""
        super().close()
        self._folder.cleanup()


def serve(answer, requests=sys.stdin, replies=sys.stdout):
    """Answer requests, lines of JSON, until there are no more."""
    for line in requests:
        try:
            # replies alone go to the pipe, whatever is printed
            with contextlib.redirect_stdout(sys.stderr):
                reply = answer(json.loads(line))
        except Exception as error:
            # any failure is an answer, and told as such
            reply = dict(error=f"{type(error).__name__}: {error}"[:300])
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def localiser(localise):
    """Make what answers the requests of a :class:`Revision`.

    ``localise`` maps evoked, forward solution, noise covariance (or None) and options to a dict of
    arrays.
    """
    known = {}

    def answer(request):
        evoked, noise_cov, fwd = _read(request, known)
        np.savez(request["out"], **localise(evoked, fwd, noise_cov, request["options"]))
        return dict(done=True)

    return answer


def _forget(known):
    """Remove the oldest entry of a dict."""
    return known.pop(next(iter(known)))


def _read(request, known):
    """Put together what was passed as files; forward solutions are read once."""
    if request["fwd"] not in known:
        known[request["fwd"]] = (
            mne.read_forward_solution(request["fwd"]),
            mne.io.read_info(request["info"]),
        )
        if len(known) > _KEPT:
            _forget(known)
    fwd, info = known[request["fwd"]]
    with np.load(request["data"]) as file:
        evoked = mne.EvokedArray(
            file["data"], info.copy(), tmin=float(file["tmin"]), nave=int(file["nave"])
        )
        noise_cov = None
        if "covariance" in file:
            noise_cov = mne.Covariance(
                file["covariance"], info["ch_names"], [], info["projs"], int(file["nfree"])
            )
    return evoked, noise_cov, fwd


def _localise(evoked, fwd, noise_cov, options):
    """Run ``apply_mmnet_inverse`` of whatever commit this process has."""
    import mne_mmnet

    found = mne_mmnet.apply_mmnet_inverse(evoked, fwd, noise_cov, **options)
    if not options.get("return_uncertainty"):
        return dict(data=found.data)
    stc, uncertainty = found
    return dict(
        data=stc.data, level=uncertainty.confidence.data[:, 0], std=uncertainty.std.data[:, 0]
    )


def main():
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", action="store_true", required=True)
    parser.add_argument("--tree", type=Path, help="what the package must come from")
    args = parser.parse_args()
    import mne_mmnet

    if args.tree is not None and args.tree.resolve() not in Path(mne_mmnet.__file__).parents:
        raise ImportError(f"{mne_mmnet.__file__} is not of {args.tree}.")
    mne.set_log_level("error")
    warnings.simplefilter("ignore")
    started = time.perf_counter()
    serve(localiser(_localise))
    print(f"served for {time.perf_counter() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
