"""Sphinx configuration: the pages beside this file and the tutorials of the folder above."""

import os
import sys
import warnings
from pathlib import Path

# before MNE is imported
os.environ.update(MNE_LOGGING_LEVEL="warning", MPLBACKEND="agg")

from docutils import nodes
from matplotlib.sphinxext import mathmpl
from sphinx.domains.python import PyXRefRole
from sphinx.util.docutils import SphinxRole

import mne_mmnet

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for reading_order, which the gallery imports by name

project = "mne_mmnet"
author = "the mne_mmnet developers"
version = release = mne_mmnet.__version__
project_copyright = author
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "matplotlib.sphinxext.mathmpl",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "results",
    "rooms",
]
templates_path = ["templates"]
exclude_patterns = ["_build", "**/sg_execution_times.rst", "sg_execution_times.rst"]
html_theme = "pydata_sphinx_theme"
html_theme_options = dict(show_prev_next=False)
html_title = f"{project} {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
# an empty column beside pages without sections
html_sidebars = {path.stem: [] for path in HERE.glob("*.rst")}
html_show_sourcelink = False
default_role = "code"
# a formula that cannot be drawn is an error
warnings.filterwarnings("error", "Could not render math", UserWarning)
mathmpl_fontsize = 12.0
mathmpl_srcset = ["2x"]

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

sphinx_gallery_conf = dict(
    examples_dirs=str(HERE.parent),
    gallery_dirs="gallery",
    filename_pattern=r"\.py$",
    within_subsection_order="reading_order.position",
    download_all_examples=False,
    capture_repr=(),
    show_memory=False,
    show_signature=False,
    remove_config_comments=True,
    abort_on_example_error=True,
    min_reported_time=0,
    doc_module=("mne_mmnet",),
    reference_url=dict(mne_mmnet=None),
    backreferences_dir=None,
)


class Call(SphinxRole):
    """A public name as a link; one that this version doesn't have yet is told as such."""

    def run(self):
        """Make the link, or the plain name."""
        if self.text not in mne_mmnet.__all__:
            missing = nodes.emphasis("", "not in this version")
            return [nodes.literal("", self.text), nodes.Text(" ("), missing, nodes.Text(")")], []
        text = f"{self.text} <mne_mmnet.{self.text}>"
        return PyXRefRole()("py:obj", self.rawtext, text, self.lineno, self.inliner)


def setup(app):
    """Draw formulas as pictures, with matplotlib: MathJax would be fetched by the reader."""
    app.add_role("call", Call())
    app.add_role("math", mathmpl.math_role, override=True)
    app.add_directive("math", mathmpl.MathDirective, override=True)
