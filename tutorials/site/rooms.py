"""The rooms of the package, drawn: ``.. rooms::`` lists them in their order, with who uses whom.

The order is that of ``pyproject.toml``, which the tests hold every import to; what a room is for
is the first line of its docstring.
"""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "mne_mmnet"
_FIGURE = "rooms.svg"


def read_order():
    """Names of the rooms, top to bottom."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [name for name in settings["tool"]["mne_mmnet"]["rooms"] if name != "_version"]


def files_of(room):
    """Files of a room, which is a folder or a single one."""
    return sorted((PACKAGE / room).glob("**/*.py")) or [PACKAGE / f"{room}.py"]


def describe(room):
    """First line of a room's docstring."""
    text = ast.get_docstring(ast.parse(files_of(room)[0].read_text(encoding="utf-8")))
    return text.splitlines()[0].rstrip(".:").replace("``", "")


def uses(room, order):
    """Rooms that a room imports from."""
    found = set()
    for path in files_of(room):
        depth = len(path.relative_to(PACKAGE).parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == depth:
                names = [node.module] if node.module else [alias.name for alias in node.names]
                found |= {name.split(".")[0] for name in names}
    return (found - {room}) & set(order)


def arrows(order):
    """Who uses whom, as pairs; those that follow from others are left out."""
    direct = {room: uses(room, order) for room in order}
    every = {}
    for room in order:  # whatever a room uses stands above it
        every[room] = direct[room].union(*(every[other] for other in direct[room]))
    return [
        (room, other)
        for room in order
        for other in sorted(direct[room], key=order.index)
        if not any(other in every[between] for between in direct[room] - {other})
    ]


def draw(path):
    """Draw the rooms below each other, with an arc from each to those that it uses, as SVG."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Arc

    order = read_order()
    height = {room: -float(number) for number, room in enumerate(order)}
    figure = Figure(figsize=(9.5, 0.3 * len(order) + 0.4), layout="constrained")
    axes = figure.subplots()
    for room, y in height.items():
        axes.plot([0], [y], "o", color="#0072B2", ms=5)
        axes.text(0.5, y, room, va="center", family="monospace", fontsize=10, weight="bold")
        axes.text(5.0, y, describe(room), va="center", fontsize=9.5, color="#333333")
    for room, other in arrows(order):
        span = height[other] - height[room]
        middle = (height[room] + height[other]) / 2
        # wide enough to tell arcs of different reach, and no wider than the page
        arc = Arc((0, middle), 0.62 * span, span, theta1=90, theta2=270, color="#8a8a8a", lw=0.9)
        axes.add_patch(arc)
    axes.set(xlim=(-0.36 * len(order), 27), ylim=(-len(order), 1))
    axes.axis("off")
    figure.savefig(path, format="svg")


def setup(app):
    """Add the directive to Sphinx."""
    from docutils import nodes
    from sphinx.util.docutils import SphinxDirective

    class Rooms(SphinxDirective):
        """Draws the rooms."""

        def run(self):
            """Make the picture."""
            folder = Path(self.env.app.outdir) / "_images"
            folder.mkdir(parents=True, exist_ok=True)
            draw(folder / _FIGURE)
            words = "; ".join(f"{room}: {describe(room)}" for room in read_order())
            up = "../" * self.env.docname.count("/")
            picture = f'<img src="{up}_images/{_FIGURE}" alt="{words}" style="max-width: 100%">'
            return [nodes.raw("", picture, format="html")]

    app.add_directive("rooms", Rooms)
    return {"parallel_read_safe": True}
