"""How Sphinx builds the site: `make docs`. Generated pages are written before the pages are read."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

from site_parts import SCHEME, SourcePages, write_generated_pages  # noqa: E402

project = "robonav_ray"
author = "the robonav_ray authors"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "robonav_ray"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_copyright = False
myst_heading_anchors = 4
myst_url_schemes = {"http": None, "https": None, "mailto": None, SCHEME: "{{path}}"}
highlight_language = "none"
"""Blocks without a language are commands and drawings."""

write_generated_pages(DOCS)


def setup(app: Sphinx) -> None:
    """Let links to files of the repository lead to pages that show them."""
    pages = SourcePages(DOCS.parent)
    app.connect("source-read", pages.read)
    app.connect("build-finished", pages.write)
