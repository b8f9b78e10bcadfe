"""The HTML report: what it says and shows, for every kind of source space."""

import base64
import io
import json
import re
from html import escape, unescape

import mne
import numpy as np
import pytest
from PIL import Image

from mne_cases import make_evoked as make_noise
from mne_cases import make_fwd, make_info, make_meg_fwd, make_meg_info
from mne_mmnet import (
    apply_mmnet_inverse,
    fetch_template,
    find_sources,
    make_report,
    make_template_forward,
)
from mne_mmnet._cli import main
from mne_mmnet.report.make import _Surfaces
from mne_mmnet.report.peaks import find_times
from mne_mmnet.weights import read_card
from test_cli import make_evoked


def localise(evoked, fwd, **kwargs):
    return apply_mmnet_inverse(
        evoked, fwd, return_report=True, return_uncertainty=True, verbose="error", **kwargs
    )


def simulate(fwd, n_times=20, seed=0):
    """Make a response of one source, the 30th, in a free-orientation forward solution."""
    evoked = make_noise(make_info(64), n_times=n_times)
    gain = fwd["sol"]["data"][:, 3 * 30 + 2]
    data = np.outer(3e-6 * gain / gain.std(), np.hanning(n_times + 2)[1:-1])
    evoked.data = data + 0.1 * evoked.data
    return evoked


def pictures(html):
    """Images of the report by their titles."""
    found = {}
    pattern = r'alt="([^"]*)"\s*src="data:image/(?:webp|png);base64,\s*([A-Za-z0-9+/=\s]+?)"'
    for title, data in re.findall(pattern, html):
        image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
        found[unescape(title)] = np.asarray(image).astype(int)
    return found


def peak_times(html):
    """Times (s) of the maps."""
    found = re.findall(r"Sources at (-?[0-9.]+) ms", html)
    return [1e-3 * float(time) for time in dict.fromkeys(found)]


def save(page, tmp_path):
    """Text of the page as written."""
    path = tmp_path / "report.html"
    page.save(path, open_browser=False, verbose="error")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def template():
    """A localisation on the template head, in a part of the response."""
    evoked = make_evoked()
    fwd = make_template_forward(evoked.info, verbose="error")
    return evoked, fwd, *localise(evoked.copy().crop(0.05, 0.15), fwd, loose=1.0)


def test_template(template, tmp_path):
    """Every part is there, with the certificate's numbers, the card and painted cortex."""
    evoked, fwd, stc, report, uncertainty = template
    before = evoked.data.copy(), stc.data.copy(), json.dumps(str(fwd["src"]))
    page = make_report(
        evoked, fwd, stc, report, uncertainty=uncertainty, subjects_dir=fetch_template()
    )
    assert (evoked.data == before[0]).all()
    assert (stc.data == before[1]).all()
    assert json.dumps(str(fwd["src"])) == before[2]
    html = save(page, tmp_path)
    for line in [str(report), *report.describe().splitlines()]:
        assert escape(line) in html
    card = read_card("mmnet-base")
    assert card.sha256 in html
    assert escape(card.provenance["command"]) in html
    assert "people.skull_ratio" in html
    assert f"{uncertainty.region(0.9).sum()} locations" in html
    assert "No concerns" in html
    sources = find_sources(stc, fwd, time=peak_times(html), uncertainty=uncertainty)
    header, *rows = sources.cells()
    assert {"MNI152 (mm)", "region", "probability"} <= set(header)
    for cells in (header, *rows):
        for cell in cells:
            assert f">{escape(cell)}</t" in html
    assert f"moment within 15 mm {rows[0][-4]}" in html  # in the summary, too
    images = pictures(html)
    peak = 1e3 * stc.times[np.argmin(np.abs(stc.times - 0.1))]
    cortex = images[f"Sources at {peak:.1f} ms"]
    colour = (np.ptp(cortex, axis=2) > 40)[:, :1040]
    assert colour[:, :520].sum() > 20  # the source is in the left hemisphere
    assert colour[:, 540:].sum() == 0
    for title in ("Butterfly", "Maps, eeg", "Sensors, eeg", "Goodness of fit"):
        assert images[title].std() > 5, title
    assert {"Time courses of the strongest sources", "The objective"} <= set(images)


def test_concerns_come_first(template, tmp_path):
    """Reasons not to trust the answer are said in a box of their own."""
    from dataclasses import replace

    evoked, fwd, stc, report, _ = template
    worried = replace(report, concerns=("The data are <noise> alone.", "Too few channels."))
    page = make_report(evoked, fwd, stc, worried, subjects_dir=fetch_template(), times=[0.1])
    html = save(page, tmp_path)
    assert "No concerns" not in html
    box = html.index("alert-warning")
    assert box < html.index("The data are &lt;noise&gt; alone.") < html.index("never increasing")
    assert "<noise>" not in html
    assert "confidence region" not in html


@pytest.mark.parametrize("kind", ["volume", "mixed", "surface"])
def test_no_cortex(kind, tmp_path):
    """Without a cortex to draw, a sentence says why, and sources are drawn as points."""
    fwd = make_fwd(kind)
    evoked = simulate(fwd)
    stc, report, uncertainty = localise(evoked, fwd, loose=1.0)
    html = save(make_report(evoked, fwd, stc, report, uncertainty=uncertainty), tmp_path)
    reason = (
        "do not all lie on the cortex" if kind != "surface" else "subject &#x27;twoballs&#x27;"
    )
    assert reason in html
    shown = [image for title, image in pictures(html).items() if title.startswith("Sources at")]
    assert shown
    assert all((np.ptp(image[:, :1000], axis=2) > 60).sum() > 5 for image in shown)
    assert f"{report.objective[-1]:.2f}" in html


def test_meg_and_eeg(tmp_path):
    """Every type of channel has its sensors and maps, and the domain's concern is said."""
    info, fwd = make_meg_info(), make_meg_fwd()
    std = {"eeg": 2e-7, "mag": 5e-15, "grad": 3e-13}
    gain = fwd["sol"]["data"][:, 90]
    evoked = mne.EvokedArray(3e-8 * np.outer(gain, np.hanning(22)[1:-1]), info, verbose="error")
    noise = np.random.default_rng(0).normal(size=evoked.data.shape)
    evoked.data += np.array([[std[kind]] for kind in evoked.get_channel_types()]) * noise
    cov = mne.make_ad_hoc_cov(info, std=std, verbose="error")
    stc, report, _ = localise(evoked, fwd, noise_cov=cov)
    html = save(make_report(evoked, fwd, stc, report), tmp_path)
    assert "MEG is outside its training domain" in html
    titles = {f"{what}, {kind}" for what in ("Sensors", "Maps") for kind in std}
    assert titles <= set(pictures(html))


def test_no_sources(template, tmp_path):
    """An estimate of zeros has a report, which says so."""
    evoked, fwd, stc, report, _ = template
    nothing = stc.copy()
    nothing.data[:] = 0.0
    page = make_report(evoked, fwd, nothing, report, subjects_dir=fetch_template(), times=[0.1])
    assert "the estimate is zero" in save(page, tmp_path)


def test_one_sample(tmp_path):
    """A response of one sample has no curve, and the rest of the report."""
    fwd = make_fwd("volume")
    evoked = simulate(fwd, n_times=1)
    stc, report, _ = localise(evoked, fwd)
    html = save(make_report(evoked, fwd, stc, report), tmp_path)
    assert "one sample" in html
    assert escape(report.describe().splitlines()[0]) in html
    assert f"Sources at {1e3 * stc.times[0]:.1f} ms" in pictures(html)


def test_vectors_and_no_positions(tmp_path):
    """Vector estimates show their length; without channel positions a sentence stands in."""
    fwd = make_fwd("discrete")
    evoked = simulate(fwd)
    stc, report, _ = localise(evoked, fwd, pick_ori="vector")
    for channel in evoked.info["chs"]:
        channel["loc"][:] = np.nan
    html = save(make_report(evoked, fwd, stc, report), tmp_path)
    assert "cannot be drawn on a head" in html
    assert "Maps, eeg" not in pictures(html)
    assert "Butterfly" in pictures(html)


def test_bad_input(template):
    evoked, fwd, stc, report, _ = template
    with pytest.raises(TypeError, match="report must be an instance of SolverReport"):
        make_report(evoked, fwd, stc, str(report))
    with pytest.raises(ValueError, match="both from one call"):
        make_report(evoked, fwd, stc.copy().crop(0.06, 0.1), report)
    with pytest.raises(ValueError, match="does not cover"):
        make_report(evoked.copy().crop(0.1, 0.2), fwd, stc, report)
    with pytest.raises(ValueError, match="source spaces"):
        make_report(evoked, make_fwd("volume"), stc, report)
    with pytest.raises(ValueError, match="time must be within"):
        make_report(evoked, fwd, stc, report, times=[1.0])
    with pytest.raises(FileNotFoundError, match="no model 'none'"):
        make_report(evoked, fwd, stc, report, model="none")


def test_peaks():
    evoked = make_noise(make_info(64), n_times=100)
    times = evoked.times
    wave = sum(a * np.exp(-0.5 * ((times - t) / 0.01) ** 2) for a, t in ((1, 0.05), (0.6, 0.2)))
    evoked.data = np.outer(np.linspace(-1e-6, 1e-6, len(evoked.ch_names)), wave)
    np.testing.assert_allclose(find_times(evoked, (times[0], times[-1])), [0.05, 0.2], atol=0.002)
    np.testing.assert_allclose(find_times(evoked, (0.1, 0.3)), [0.2], atol=0.002)


def test_command_line(tmp_path, capsys):
    """``localize --report`` writes one whole file more."""
    mne.write_evokeds(tmp_path / "tones-ave.fif", make_evoked(), verbose="error")
    out = tmp_path / "out"
    out.mkdir()
    (out / "tones-mmnet.html").write_text("of an earlier run", encoding="utf-8")
    argv = ["localize", str(tmp_path / "tones-ave.fif"), "--report", "--out", str(out)]
    assert main(argv) == 0
    printed = capsys.readouterr().out
    names = ["tones-mmnet-stc.h5", "tones-mmnet.html", "tones-mmnet.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    html = (out / "tones-mmnet.html").read_text(encoding="utf-8")
    certificate = next(x for x in printed.splitlines() if x.startswith("Certificate: "))
    assert escape(certificate.removeprefix("Certificate: ")) in html
    assert "90 % confidence region" in html


def test_command_line_with_volume_sources(tmp_path):
    """Own forward solution and covariance from files, sources in a volume."""
    fwd = make_fwd("grid")
    evoked = simulate(fwd)
    files = [str(tmp_path / name) for name in ("a-ave.fif", "a-fwd.fif", "a-cov.fif")]
    mne.write_evokeds(files[0], evoked, verbose="error")
    mne.write_forward_solution(files[1], fwd, verbose="error")
    mne.make_ad_hoc_cov(evoked.info, std={"eeg": 3e-7}, verbose="error").save(
        files[2], verbose="error"
    )
    options = ["--fwd", files[1], "--cov", files[2], "--time", "0.02", "--out", str(tmp_path)]
    assert main(["localize", files[0], *options, "--report"]) == 0
    html = (tmp_path / "a-mmnet.html").read_text(encoding="utf-8")
    assert "do not all lie on the cortex" in html
    assert "Residual: χ²" in html
    assert [title for title in pictures(html) if title.startswith("Sources at")] == [
        "Sources at 20.0 ms"
    ]


def test_nobodys_cortex():
    """Without a subject there are no surfaces to look for: a sentence stands in."""
    stc = mne.SourceEstimate(np.ones((2, 1)), [np.array([0]), np.array([1])], 0.0, 0.1)
    assert "does not say whose it is" in _Surfaces(None, None, stc).missing
