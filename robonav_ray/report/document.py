"""What a report holds, without a word of how it looks: sections of paragraphs, tables, figures and facts."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Scalar = str | int | float | bool | None
Tone = Literal["", "good", "bad", "quiet"]


class Strong(NamedTuple):
    """A part of a paragraph that stands out."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Running text; its parts are put together without anything between them."""

    parts: tuple[str | Strong, ...]
    tone: Tone = ""


def paragraph(*parts: str | Strong, tone: Tone = "") -> Paragraph:
    """Return a paragraph of these parts."""
    return Paragraph(parts, tone)


@dataclass(frozen=True)
class Listing:
    """A list of points."""

    points: tuple[Paragraph, ...]


@dataclass(frozen=True)
class Verdict:
    """The one thing that a reader shall take away, set large, with the figures behind it."""

    headline: str
    tone: Tone
    text: str
    figures: tuple[tuple[str, str], ...]
    """(label, figure) in reading order, some six of them."""


@dataclass(frozen=True)
class Facts:
    """Names and what they stand for, one line each."""

    rows: tuple[tuple[str, str], ...]


class Cell(NamedTuple):
    """A cell that is more than its text."""

    text: str
    tone: Tone = ""
    strong: bool = False
    shade: float | None = None
    """Of a heat map, 0 (lightest) to 1."""


@dataclass(frozen=True)
class Table:
    """A table as it is shown, and the records that a program reads from its CSV."""

    name: str
    """Of the CSV file: small letters, digits and ``_``."""
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
    align: str
    """One letter a column: ``l``, ``r`` or ``c``."""
    records: tuple[Mapping[str, Scalar], ...] = ()
    """One mapping a line of the CSV; empty writes the rows as they are shown."""
    groups: tuple[tuple[str, int], ...] = ()
    """Second line of heads above the first: (text, number of columns), all columns together."""
    rules: tuple[int, ...] = ()
    """Rows that have a line above them, where another group begins."""

    def __post_init__(self) -> None:
        """ValueError for rows that are not as wide as the head."""
        if not re.fullmatch(r"[a-z0-9_]+", self.name):
            raise ValueError(f"{self.name!r} is no name of a table")
        wide = {len(self.head), len(self.align), *(len(row) for row in self.rows)}
        if len(wide) > 1:
            raise ValueError(f"table {self.name}: head, align and rows have {sorted(wide)} columns")


@dataclass(frozen=True)
class Figure:
    """A picture with a caption that says how to read it."""

    name: str
    caption: str
    alt: str
    """What it shows, for who does not see it."""
    svg: str = ""
    """Lines and letters as paths, no reference to anything outside; empty where there is only a ``png``."""
    png: bytes = b""
    width: float = 1.0
    """Part of the text's width."""
    as_png: Callable[[], bytes] | None = None
    """Makes the ``png`` of a picture that has an ``svg``, for the writer that takes nothing else."""

    def png_bytes(self) -> bytes:
        """Return the picture as PNG."""
        return self.png if self.png or self.as_png is None else self.as_png()


@dataclass(frozen=True)
class Gallery:
    """Small pictures side by side."""

    figures: tuple[Figure, ...]
    columns: int = 4


Block = Paragraph | Listing | Verdict | Facts | Table | Figure | Gallery


@dataclass(frozen=True)
class Section:
    """A titled part of the document, which may have parts of its own."""

    title: str
    blocks: tuple[Block, ...]
    parts: tuple[Section, ...] = ()


@dataclass(frozen=True)
class Document:
    """The whole report."""

    title: str
    subtitle: str
    front: tuple[Block, ...]
    """The first page."""
    sections: tuple[Section, ...]
    kind: str = "Evaluation report"
    footer: str = ""
    """On every page."""
    summary: Mapping[str, object] = field(default_factory=dict)
    """What a program wants to know, as JSON takes it."""

    def blocks(self) -> tuple[Block, ...]:
        """Return all blocks in reading order."""
        return (*self.front, *(block for section in self.sections for block in _blocks_of(section)))

    def tables(self) -> tuple[Table, ...]:
        """Return all tables in reading order.

        Raises:
            ValueError: When two have one name: one CSV would replace the other.
        """
        found = tuple(block for block in self.blocks() if isinstance(block, Table))
        names = [table.name for table in found]
        if len(set(names)) < len(names):
            raise ValueError(f"two tables have one name: {sorted(name for name in names if names.count(name) > 1)[0]}")
        return found


def _blocks_of(section: Section) -> tuple[Block, ...]:
    return (*section.blocks, *(block for part in section.parts for block in _blocks_of(part)))


def cell_text(cell: str | Cell) -> str:
    """Return what a cell shows."""
    return cell.text if isinstance(cell, Cell) else cell


def to_csv(table: Table) -> str:
    r"""Return the table as CSV (RFC 4180 with ``\n``): its records, or its rows as shown.

    A text that a spreadsheet would run (``=``, ``+``, ``-``, ``@`` in front of what is no number) gets an apostrophe
    before it.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if table.records:
        keys = list(dict.fromkeys(key for record in table.records for key in record))
        writer.writerow(keys)
        writer.writerows([_csv_value(record.get(key)) for key in keys] for record in table.records)
    else:
        writer.writerow(_csv_value(head) for head in table.head)
        writer.writerows([_csv_value(cell_text(cell)) for cell in row] for row in table.rows)
    return out.getvalue()


def _csv_value(value: Scalar) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return "" if value != value else repr(float(value))
    if isinstance(value, str) and value[:1] in tuple("=+-@\t\r"):
        return f"'{value}"
    return str(value)
