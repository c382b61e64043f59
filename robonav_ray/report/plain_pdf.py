"""A plain PDF by matplotlib alone, for a machine without typst: the same words, tables and pictures, set without
finesse.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Any

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
from robonav_ray.report.glyphs import set_text
from robonav_ray.report.style import FAINT, GREEN, GRID, INK, NO_DATES, RED
from robonav_ray.text import picture_text

_WIDTH, _HEIGHT = 8.27, 11.69
_LEFT, _TOP, _BOTTOM = 0.8, 0.9, 0.8
_TONES = {"good": GREEN, "bad": RED, "quiet": FAINT, "": INK}


class _Pages:
    """The page that is being filled, from its top to its bottom, in inches."""

    def __init__(self, pdf: Any, document: Document) -> None:
        self._pdf, self._document = pdf, document
        self._number = 0
        self._figure: Any = None
        self.numbers = {"Figure": 0, "Table": 0}
        self.turn()

    def turn(self) -> None:
        """Write this page and begin the next."""
        from matplotlib.backends.backend_pdf import FigureCanvasPdf
        from matplotlib.figure import Figure as Sheet

        self.write()
        self._number += 1
        self._figure = Sheet(figsize=(_WIDTH, _HEIGHT))
        FigureCanvasPdf(self._figure)
        self._y = _TOP
        for x, side, text in ((_LEFT, "left", self._document.footer), (_WIDTH - _LEFT, "right", str(self._number))):
            self._put(x, _HEIGHT - 0.45, text, 7.5, FAINT, ha=side)

    def write(self) -> None:
        """Write the page, if there is one."""
        if self._figure is not None:
            self._pdf.savefig(self._figure)

    def _put(self, x: float, y: float, text: str, size: float, colour: str, **more: Any) -> None:
        self._figure.text(
            x / _WIDTH, 1 - y / _HEIGHT, picture_text(set_text(text)), fontsize=size, color=colour, va="top", **more
        )

    def need(self, height: float) -> None:
        """Turn the page when less than ``height`` is left on it."""
        if self._y + height > _HEIGHT - _BOTTOM and self._y > _TOP:
            self.turn()

    def space(self, height: float) -> None:
        """Leave some of the page empty."""
        self._y += height

    def text(self, text: str, size: float = 9.5, colour: str = INK, *, bold: bool = False, indent: float = 0.0) -> None:
        """Set a paragraph."""
        weight = "bold" if bold else "normal"
        columns = int((_WIDTH - 2 * _LEFT - indent) * 72 / (size * (0.60 if bold else 0.535)))
        for line in textwrap.wrap(text, columns) or [""]:
            self.need(size * 1.45 / 72)
            self._put(_LEFT + indent, self._y, line, size, colour, weight=weight)
            self.space(size * 1.45 / 72)

    def table(self, table: Table) -> None:
        """Set a table; a cell that is too long for its column is cut, the CSV has it whole."""
        rows = [table.head, *table.rows]
        widths = [min(max(len(cell_text(row[i])) for row in rows), 34) + 2 for i in range(len(table.head))]
        room = _WIDTH - 2 * _LEFT
        size = min(8.0, room * 72 / (sum(widths) * 0.56))
        step = size * 0.56 / 72
        for y, row in enumerate(rows):
            self.need(size * 1.5 / 72)
            if y == 1:
                self.rule()
            x = _LEFT
            for cell, width, letter in zip(row, widths, table.align, strict=True):
                it = cell if isinstance(cell, Cell) else Cell(cell)
                side = {"l": "left", "r": "right", "c": "center"}[letter]
                at = x + {"l": 0.0, "r": width - 1.5, "c": width / 2 - 0.75}[letter] * step
                colour = FAINT if y == 0 else _TONES[it.tone]
                shown = it.text if len(it.text) <= 34 else f"{it.text[:33]}\N{HORIZONTAL ELLIPSIS}"
                self._put(at, self._y, shown, size, colour, ha=side, weight="bold" if it.strong or y == 0 else "normal")
                x += width * step
            self.space(size * 1.5 / 72)
        self.rule()

    def rule(self) -> None:
        """Draw a line across the page."""
        from matplotlib.lines import Line2D

        y = 1 - (self._y - 0.02) / _HEIGHT
        self._figure.add_artist(Line2D([_LEFT / _WIDTH, 1 - _LEFT / _WIDTH], [y, y], color=GRID, linewidth=0.8))
        self.space(0.05)

    def pictures(self, figures: Sequence[Figure], columns: int) -> None:
        """Set pictures side by side."""
        from matplotlib.image import imread

        room = (_WIDTH - 2 * _LEFT) / columns
        for first in range(0, len(figures), columns):
            images = [imread(io.BytesIO(figure.png_bytes())) for figure in figures[first : first + columns]]
            heights = [room * image.shape[0] / image.shape[1] for image in images]
            self.need(max(heights) + 0.3)
            for i, (image, height) in enumerate(zip(images, heights, strict=True)):
                box = (
                    (_LEFT + i * room) / _WIDTH,
                    1 - (self._y + height) / _HEIGHT,
                    room * 0.97 / _WIDTH,
                    height / _HEIGHT,
                )
                axes = self._figure.add_axes(box)
                axes.imshow(image)
                axes.set_axis_off()
            self.space(max(heights) + 0.1)


def plain_pdf(document: Document) -> bytes:
    """Return ``document`` as a plain PDF, the same bytes for the same document; pictures need their PNG."""
    import matplotlib as mpl
    from matplotlib.backends.backend_pdf import PdfPages

    out = io.BytesIO()
    with (
        mpl.rc_context({"pdf.fonttype": 42, "font.family": "DejaVu Sans"}),
        PdfPages(out, metadata=NO_DATES["pdf"]) as pdf,
    ):
        pages = _Pages(pdf, document)
        pages.text(document.title, 19, bold=True)
        pages.text(document.subtitle, 9, FAINT)
        pages.space(0.15)
        for block in document.front:
            _set(block, pages)
        for i, section in enumerate(document.sections, 1):
            _set_section(section, str(i), pages)
        pages.write()
    return out.getvalue()


def _set_section(section: Section, number: str, pages: _Pages) -> None:
    is_main = "." not in number
    pages.need(1.2)
    pages.space(0.25 if is_main else 0.12)
    pages.text(f"{number}  {section.title}", 14 if is_main else 11, bold=True)
    pages.space(0.06)
    for block in section.blocks:
        _set(block, pages)
    for i, part in enumerate(section.parts, 1):
        _set_section(part, f"{number}.{i}", pages)


def _plain(block: Paragraph) -> str:
    return "".join(part.text if isinstance(part, Strong) else part for part in block.parts)


def _set(block: Block, pages: _Pages) -> None:
    match block:
        case Paragraph():
            pages.text(_plain(block), colour=_TONES[block.tone])
        case Listing():
            for point in block.points:
                pages.text(f"\N{BULLET} {_plain(point)}", indent=0.15)
        case Verdict():
            pages.text(block.headline, 14, _TONES[block.tone], bold=True)
            pages.text(block.text)
            for name, value in block.figures:
                pages.text(f"{name}: {value}", indent=0.15)
        case Facts():
            for name, value in block.rows:
                pages.text(f"{name}: {value}", 8)
        case Table():
            _caption("Table", block.caption, pages)
            pages.table(block)
        case Figure():
            pages.pictures([block], 1)
            _caption("Figure", block.caption, pages)
        case Gallery():
            pages.pictures(block.figures, block.columns)
            for figure in block.figures:
                pages.text(figure.caption, 7.5, FAINT)
    pages.space(0.1)


def _caption(kind: str, text: str, pages: _Pages) -> None:
    pages.numbers[kind] += 1
    pages.need(0.8)
    pages.text(f"{kind} {pages.numbers[kind]}. {text}", 8, FAINT)
    pages.space(0.04)
