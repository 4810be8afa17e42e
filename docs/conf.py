"""Sphinx configuration. `sphinx-build -W docs docs/_build/html` makes the pages."""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE / "_extensions"))

project = "pystack"
author = "The pystack authors"
copyright = author
release = "0.1.0"

extensions = ["myst_parser", "sphinx.ext.autodoc", "state_diagram"]
exclude_patterns = ["_build", "performance"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
smartquotes = False  # code in prose: b"" is not a quotation
default_role = "code"  # docstrings put names in single backticks

html_theme = "furo"
html_title = "pystack"


def _escape(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings are prose with `code` in it, not reStructuredText: its other marks mean themselves."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = line.split("`")
            parts[::2] = [re.sub(r"(?<=\w)_(?!\w)|[*|]", r"\\\g<0>", part) for part in parts[::2]]
            lines[number] = "`".join(parts)


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", _escape)
