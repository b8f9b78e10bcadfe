"""HTML of what a report says in words and tables."""

from html import escape


def paragraph(text):
    """Make a paragraph."""
    return f"<p>{escape(text)}</p>"


def lines(text):
    """Make a block that keeps its line breaks."""
    return f'<pre style="white-space: pre-wrap">{escape(text)}</pre>'


def table(rows):
    """Make a table of names and values.

    Those of dictionaries within get rows of their own, and floats four digits.
    """
    cells = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
        for name, value in _flatten(rows)
    )
    return f'<table class="table table-sm" style="width: auto">{cells}</table>'


def grid(rows):
    """Make a table of rows of which the first is the header."""
    header, *body = ([escape(cell) for cell in row] for row in rows)
    head = "".join(f"<th scope='col'>{cell}</th>" for cell in header)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in body)
    return (
        '<table class="table table-sm grid" style="width: auto">'
        f'<thead><tr>{head}</tr></thead><tbody style="white-space: nowrap">{lines}</tbody></table>'
    )


def small(html):
    """Put what few readers need into small print."""
    return f'<div class="small">{html}</div>'


def _flatten(rows, prefix=""):
    for name, value in rows.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + str(name), f"{value:.4g}" if isinstance(value, float) else value


def verdict(concerns):
    """Say whether anything speaks against an answer."""
    if not concerns:
        text = "No concerns: nothing that was checked speaks against this answer."
        return f'<div class="alert alert-success">{text}</div>'
    items = "".join(f"<li>{escape(concern)}</li>" for concern in concerns)
    head = "Reasons not to trust this answer"
    return f'<div class="alert alert-warning"><b>{head}</b><ul>{items}</ul></div>'
