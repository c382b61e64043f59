"""The PDF by typst: the document as JSON into our own template, PDF/A-2b, the same bytes for the same document.

The template takes no package, so that no network is asked; texts come through ``sys_inputs`` and are never run as code.
"""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import read_text
from robonav_ray.report.document import (
    Block,
    Cell,
    Document,
    Facts,
    Figure,
    Gallery,
    Listing,
    Paragraph,
    Section,
    Strong,
    Table,
    Verdict,
    cell_text,
)
from robonav_ray.report.glyphs import fonts_folder, set_text

_TEMPLATE = Path(__file__).with_name("page.typ")
_ROOMY, _MANY = 112, 6
"""Characters of a row that have room with columns as wide as their texts; shaded columns that are many."""


class NoTypstError(UserError):
    """The extra ``report`` is not installed."""


def typst_pdf(document: Document) -> bytes:
    """Return ``document`` as PDF/A-2b.

    Raises:
        NoTypstError: When typst is not installed.
        UserError: When it is another version that cannot set our template; with what it says.
    """
    try:
        import typst
    except ImportError:
        raise NoTypstError(
            "typst is not installed; it comes with the extra: pip install 'robonav_ray[report]'"
        ) from None
    fonts = typst.Fonts(include_system_fonts=False, font_paths=[str(fonts_folder())])
    try:
        return typst.compile(
            read_text(_TEMPLATE, follow=True).encode(),
            sys_inputs={"document": json.dumps(_shown(document), ensure_ascii=True)},
            font_paths=fonts,
            pdf_standards="a-2b",
            timestamp=0,
        )
    except typst.TypstError as error:
        raise UserError(
            f"typst could not set the report: {error.message}; the version that it is made for comes with "
            "pip install 'robonav_ray[report]'"
        ) from error


def _shown(document: Document) -> dict[str, Any]:
    """Return the document as the template reads it, each text with the characters that our fonts have."""
    return {
        "kind": set_text(document.kind),
        "title": set_text(document.title),
        "subtitle": set_text(document.subtitle),
        "footer": set_text(document.footer),
        "front": [_block(block) for block in document.front],
        "sections": [_section(section) for section in document.sections],
    }


def _section(section: Section) -> dict[str, Any]:
    return {
        "title": set_text(section.title),
        "blocks": [_block(block) for block in section.blocks],
        "parts": [_section(part) for part in section.parts],
    }


def _block(block: Block) -> dict[str, Any]:
    match block:
        case Paragraph():
            return {"kind": "paragraph", **_paragraph(block)}
        case Listing():
            return {"kind": "listing", "points": [_paragraph(point) for point in block.points]}
        case Verdict():
            return {
                "kind": "verdict",
                "headline": set_text(block.headline),
                "tone": block.tone,
                "text": set_text(block.text),
                "figures": [[set_text(label), set_text(figure)] for label, figure in block.figures],
            }
        case Facts():
            return {"kind": "facts", "rows": [[set_text(name), set_text(value)] for name, value in block.rows]}
        case Table():
            return _table(block)
        case Figure():
            return {"kind": "figure", **_figure(block)}
        case Gallery():
            return {
                "kind": "gallery",
                "columns": block.columns,
                "figures": [_figure(figure) for figure in block.figures],
            }


def _paragraph(block: Paragraph) -> dict[str, Any]:
    parts = [
        {"text": set_text(p.text if isinstance(p, Strong) else p), "strong": isinstance(p, Strong)} for p in block.parts
    ]
    return {"parts": parts, "tone": block.tone}


def _table(table: Table) -> dict[str, Any]:
    widest = [max(len(cell_text(row[i])) for row in (table.head, *table.rows)) for i in range(len(table.head))]
    wide = sum(min(width, 30) + 2 for width in widest)
    crowded = wide > _ROOMY and table.align.count("c") >= _MANY
    return {
        "kind": "table",
        "caption": set_text(table.caption),
        "head": [_broken(set_text(head)) if crowded else set_text(head) for head in table.head],
        "groups": [{"text": set_text(text), "span": span} for text, span in table.groups],
        "rows": [[_cell(cell) for cell in row] for row in table.rows],
        "align": list(table.align),
        "widths": _pieces(table) if crowded else _widths(widest, table.align, wide),
        "size": 8.8 if wide <= 96 else 7.8 if wide <= 116 else 7.0 if wide <= 136 else 6.2,
        "rules": list(table.rules),
    }


def _broken(head: str) -> str:
    """Return the head of a narrow column, which may go on in another line behind each underscore."""
    return head.replace("_", "_\u200b")


def _pieces(table: Table) -> list[int]:
    """Return the shares of columns that are many: as wide as the longest piece that stays on one line; texts on the
    left have room for two such lines.
    """
    shares = []
    for i, letter in enumerate(table.align):
        head = max(len(piece) for piece in table.head[i].replace("_", "_ ").split() or [""])
        cells = [cell_text(row[i]) for row in table.rows]
        longest = max((len(cell) if letter != "l" else min(len(cell), 14) for cell in cells), default=0)
        shares.append(max(head, longest) + 3)
    return shares


def _widths(widest: list[int], align: str, wide: int) -> list[int]:
    """Return the shares of the text's width that columns take; 0 for one as wide as what it holds."""
    shaded = max((width for width, letter in zip(widest, align, strict=True) if letter == "c"), default=0)
    even = [max(width, shaded) if letter == "c" else width for width, letter in zip(widest, align, strict=True)]
    if max(even) <= 34 and wide <= _ROOMY:
        return [width + 4 for width in even]
    return [min(width, 44) + 2 if letter == "l" else 0 for letter, width in zip(align, widest, strict=True)]


def _cell(cell: str | Cell) -> dict[str, Any]:
    it = cell if isinstance(cell, Cell) else Cell(cell)
    return {**it._asdict(), "text": set_text(it.text)}


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "caption": set_text(figure.caption),
        "alt": set_text(figure.alt),
        "svg": figure.svg or png_as_svg(figure.png_bytes()),
        "width": figure.width,
    }


def png_as_svg(png: bytes) -> str:
    """Return an SVG that holds a PNG and nothing else: one way for both kinds into the page."""
    width, height = struct.unpack(">II", png[16:24])
    data = base64.b64encode(png).decode()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<image width="{width}" height="{height}" href="data:image/png;base64,{data}"/></svg>'
    )
