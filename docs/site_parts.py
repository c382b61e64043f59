"""Parts of the site that are made and not written: the reference of config keys, and pages that show files of the
repository.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound

SCHEME = "repository"
"""Scheme, known to MyST, of a link that leads to a file of the repository."""
_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)(#[^)\s]*)?\)")


class SourcePages:
    """Turns links to files outside of ``docs/`` into pages of the site, so that they work there as on a code host."""

    def __init__(self, root: Path) -> None:
        self.root, self.found = root, set[Path]()

    def read(self, app: Any, name: str, source: list[str]) -> None:
        """Rewrite the links of one page (Sphinx's ``source-read``)."""
        page = Path(app.env.doc2path(name))

        def rewritten(link: re.Match[str]) -> str:
            target = (page.parent / link[1]).resolve()
            docs, inside = self.root / "docs", target.is_relative_to(self.root)
            if not inside or not target.exists() or (target.is_relative_to(docs) and target.is_file()):
                return link[0]
            self.found.add(target)
            up = "../" * name.count("/")
            return f"]({SCHEME}:{up}source/{target.relative_to(self.root).as_posix()}.html)"

        source[0] = _LINK.sub(rewritten, source[0])

    def write(self, app: Any, error: Exception | None) -> None:
        """Write a page for each file that a link leads to, and for each folder its list (``build-finished``)."""
        if error is not None or app.builder.format != "html":
            return
        for target in sorted(self.found):
            page = Path(app.outdir) / "source" / f"{target.relative_to(self.root)}.html"
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(self._folder(target, page) if target.is_dir() else self._file(target), encoding="utf-8")

    def _file(self, path: Path) -> str:
        try:
            lexer = get_lexer_for_filename(path.name)
        except ClassNotFound:
            lexer = TextLexer()
        title = path.relative_to(self.root).as_posix()
        return highlight(
            path.read_text(encoding="utf-8"), lexer, HtmlFormatter(full=True, linenos="table", title=title)
        )

    def _folder(self, path: Path, page: Path) -> str:
        rows = []
        for file in sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            shown = Path(page.parent / path.name / f"{file.relative_to(path)}.html")
            shown.parent.mkdir(parents=True, exist_ok=True)
            shown.write_text(self._file(file), encoding="utf-8")
            name = html.escape(file.relative_to(path).as_posix())
            rows.append(f'<li><a href="{path.name}/{name}.html">{name}</a></li>')
        title = html.escape(path.relative_to(self.root).as_posix())
        return f"<!doctype html><meta charset='utf-8'><title>{title}</title><h1>{title}/</h1><ul>{''.join(rows)}</ul>"


def write_generated_pages(docs: Path) -> None:
    """Bring ``config_keys.md`` and ``configs/training_config.yaml`` up to date with the config classes."""
    from robonav_ray.config.described.master_file import master_file
    from robonav_ray.config.described.reference import reference_page

    for path, text in (
        (docs / "config_keys.md", reference_page()),
        (docs.parent / "configs/training_config.yaml", master_file()),
    ):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
