"""A report in the browser, and the same to be printed."""

import base64
import io
from html import escape

import mne

from .._support.files import whole_file
from .html import paragraph

# the sheet is 21 cm wide; pictures are no higher than lets two of them stand on one page
_STYLE = (
    "body{font:10pt/1.4 sans-serif;max-width:17.8cm;margin:1cm auto;color:#111}"
    "h1{font-size:16pt}h2{font-size:13pt;border-bottom:1px solid #999;margin:1.2em 0 .4em}"
    "h3{font-size:11pt;margin:.9em 0 .3em}p{margin:.4em 0}"
    "img{max-width:100%;max-height:9.6cm}"
    "table{border-collapse:collapse;font-size:9pt;max-width:100%}th,td{border:1px solid #bbb;"
    "padding:2px 5px;text-align:left;vertical-align:top}td{overflow-wrap:anywhere}"
    ".grid{font-size:8pt}.grid td{white-space:nowrap}"
    ".small{columns:2}.small table{font-size:6.5pt}.small tr{page-break-inside:avoid}"
    "pre{white-space:pre-wrap;font-size:8.5pt}"
    ".alert{border:1.5px solid #888;padding:.5em 1em;margin-bottom:.8em}"
    ".alert-warning{background:#fff3cd}"
    ".alert-success{background:#e2f3e4}figure{margin:0;page-break-inside:avoid}"
    "h1,h2,h3{page-break-after:avoid}table{page-break-inside:avoid}"
    ".small table{page-break-inside:auto}figcaption{font-size:8.5pt}"
    "@page{size:A4;margin:1.5cm}@media print{body{margin:0 auto;"
    "-webkit-print-color-adjust:exact;print-color-adjust:exact}}"
)


class Pages:
    """Collects what a report says and shows, for both of its forms."""

    def __init__(self, title):
        self.title, self.parts = title, []
        self.page = mne.Report(title=title, verbose="error")

    def show(self, section, title, figure, caption=None):
        """Add a picture: an array of pixels, or a figure of Matplotlib's."""
        tag = (section.lower().replace(" ", "-"),)
        self.page.add_figure(figure, title, caption=caption, section=section, tags=tag)
        words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        image = f'<img alt="{escape(title)}" src="data:image/png;base64,{_encode(figure)}">'
        self.parts.append((section, title, f"<figure>{image}{words}</figure>"))

    def say(self, section, title, html):
        """Add HTML."""
        self.page.add_html(html, title, section=section, tags=(section.lower().replace(" ", "-"),))
        self.parts.append((section, title, html))

    def print(self, path):
        """Write the report as one HTML file without scripts, whole or not at all."""
        sections = dict.fromkeys(section for section, _, _ in self.parts)
        body = []
        for section in sections:
            body.append(f"<h2>{escape(section)}</h2>")
            body += [
                f"{'' if title == where else f'<h3>{escape(title)}</h3>'}{html}"
                for where, title, html in self.parts
                if where == section
            ]
        text = (
            f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>'
            f"{escape(self.title)}</title><style>{_STYLE}</style></head><body>"
            f"<h1>{escape(self.title)}</h1>{''.join(body)}</body></html>"
        )
        with whole_file(path) as scratch:
            scratch.write_text(text, encoding="utf-8")


def _encode(figure):
    """PNG of a figure or of pixels, as base64."""
    buffer = io.BytesIO()
    if hasattr(figure, "savefig"):
        figure.savefig(buffer, format="png", dpi=100)
    else:
        from matplotlib.image import imsave

        imsave(buffer, figure)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


INTERPRETATION = (
    paragraph(
        "For the reader. This report locates electric sources of a response; what they mean is "
        "for a qualified person to say, with everything else that is known."
    )
    + '<table class="table table-sm"><tbody>'
    + "".join(
        f"<tr><th scope='row' style='width:30%'>{name}</th>"
        "<td style='height:3.2em'>&nbsp;</td></tr>"
        for name in (
            "Clinical findings, semiology",
            "MRI and other imaging",
            "Other findings (EEG, MEG, tests)",
            "Agreement with the sources found",
            "Interpretation",
            "Name, date, signature",
        )
    )
    + "</tbody></table>"
)
"""A form to be filled in by hand."""


def intended_use(card):
    """Say what the report is for, and what the method was tested on."""
    ranges = {
        "n_channels": "{:g} to {:g} channels",
        "snr_db": "signal-to-noise ratios of {:g} to {:g} dB",
    }
    tested = [text.format(*card.domain[key]) for key, text in ranges.items() if key in card.domain]
    tested = ", ".join(tested) or "what its card says"
    return paragraph(
        "Intended use: research. This is no medical device; the report is to be read by a "
        f"qualified person and decides nothing by itself. {card.name} was trained and tested on "
        f"simulations with {tested}, on heads of adults' size and shape, and on single recordings "
        "of adults; not on children, infants, skull defects or large lesions."
    )
