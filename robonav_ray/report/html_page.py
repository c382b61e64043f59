"""One HTML page with all in it: no file beside it, no script, nothing asked of a network; every text is escaped."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

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
)
from robonav_ray.text import html_text

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_STYLE = Path(__file__).with_name("page.css")


class _Numbers:
    """Numbers of figures and tables, and names of ids, in reading order."""

    def __init__(self) -> None:
        self.figures = self.tables = self.pictures = 0


def html_page(document: Document) -> str:
    """Return ``document`` as one self-contained page."""
    numbers = _Numbers()
    body = [
        f'<div class="kind">{html_text(document.kind)}</div>',
        f"<h1>{html_text(document.title)}</h1>",
        f'<p class="subtitle">{html_text(document.subtitle)}</p>',
        *(part for block in document.front for part in _block(block, numbers)),
    ]
    if len(document.sections) > 1:
        points = "".join(
            f'<li><a href="#s{i}">{html_text(s.title)}</a></li>' for i, s in enumerate(document.sections, 1)
        )
        body.append(f'<nav aria-label="Contents"><h3>Contents</h3><ol>{points}</ol></nav>')
    for i, section in enumerate(document.sections, 1):
        body += _section(section, str(i), numbers)
    body.append(f"<footer>{html_text(document.footer)}</footer>")
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html_text(document.title)}</title>",
            f'<style>{read_text(_STYLE, follow=True)}</style>\n</head>\n<body>\n<main class="page">',
            *body,
            "</main>\n</body>\n</html>\n",
        ]
    )


def _section(section: Section, number: str, numbers: _Numbers) -> Iterator[str]:
    level = min(2 + number.count("."), 4)
    anchor = f"s{number.replace('.', '-')}"
    yield f'<h{level} id="{anchor}"><span class="n">{number}</span>{html_text(section.title)}</h{level}>'
    for block in section.blocks:
        yield from _block(block, numbers)
    for i, part in enumerate(section.parts, 1):
        yield from _section(part, f"{number}.{i}", numbers)


def _block(block: Block, numbers: _Numbers) -> Iterator[str]:
    match block:
        case Paragraph():
            yield f"<p{_tone(block.tone)}>{_words(block)}</p>"
        case Listing():
            yield f"<ul>{''.join(f'<li{_tone(point.tone)}>{_words(point)}</li>' for point in block.points)}</ul>"
        case Verdict():
            figures = "".join(
                f"<div><dt>{html_text(name)}</dt><dd>{html_text(value)}</dd></div>" for name, value in block.figures
            )
            yield (
                f'<section class="verdict {block.tone}"><div class="head">{html_text(block.headline)}</div>'
                f"<p>{html_text(block.text)}</p><dl>{figures}</dl></section>"
            )
        case Facts():
            rows = "".join(
                f"<tr><td>{html_text(name)}</td><td>{html_text(value)}</td></tr>" for name, value in block.rows
            )
            yield f'<table class="facts"><tbody>{rows}</tbody></table>'
        case Table():
            numbers.tables += 1
            yield from _table(block, numbers.tables)
        case Figure():
            numbers.figures += 1
            caption = f"<b>Figure {numbers.figures}.</b> {html_text(block.caption)}"
            yield f"<figure>{_picture(block, numbers)}<figcaption>{caption}</figcaption></figure>"
        case Gallery():
            pictures = "".join(
                f"<figure>{_picture(figure, numbers)}<figcaption>{html_text(figure.caption)}</figcaption></figure>"
                for figure in block.figures
            )
            yield f'<div class="gallery" style="grid-template-columns:repeat({block.columns},1fr)">{pictures}</div>'


def _tone(tone: str) -> str:
    return f' class="{tone}"' if tone else ""


def _words(block: Paragraph) -> str:
    return "".join(
        f"<strong>{html_text(p.text)}</strong>" if isinstance(p, Strong) else html_text(p) for p in block.parts
    )


def _table(table: Table, number: int) -> Iterator[str]:
    caption = f"<figcaption><b>Table {number}.</b> {html_text(table.caption)}</figcaption>"
    groups = "".join(f'<th class="c" colspan="{span}">{html_text(text)}</th>' for text, span in table.groups)
    head = "".join(f"<th{_side(table.align[i])}>{html_text(text)}</th>" for i, text in enumerate(table.head))
    rows = (
        f"<tr{' class=' + chr(34) + 'rule' + chr(34) if y in table.rules else ''}>"
        f"{''.join(_cells(row, table.align))}</tr>"
        for y, row in enumerate(table.rows)
    )
    above = f"<tr>{groups}</tr>" if groups else ""
    yield f'<figure>{caption}<div class="wide"><table><thead>{above}<tr>{head}</tr></thead><tbody>'
    yield from rows
    yield "</tbody></table></div></figure>"


def _side(letter: str) -> str:
    return "" if letter == "l" else f' class="{letter}"'


def _cells(row: Sequence[str | Cell], align: str) -> Iterator[str]:
    for letter, cell in zip(align, row, strict=True):
        it = cell if isinstance(cell, Cell) else Cell(cell)
        classes = " ".join(word for word in (letter if letter != "l" else "", it.tone) if word)
        shade = (
            f' style="background:{_shade(it.shade)};color:{"#fff" if it.shade > 0.74 else "inherit"}"'
            if it.shade is not None
            else ""
        )
        text = f"<strong>{html_text(it.text)}</strong>" if it.strong else html_text(it.text)
        yield f"<td{f' class={chr(34)}{classes}{chr(34)}' if classes else ''}{shade}>{text}</td>"


def _shade(share: float) -> str:
    light, dark = (247, 250, 253), (45, 111, 180)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(light, dark, strict=True))


def _picture(figure: Figure, numbers: _Numbers) -> str:
    numbers.pictures += 1
    if not figure.svg:
        data = base64.b64encode(figure.png_bytes()).decode()
        return f'<img alt="{html_text(figure.alt)}" src="data:image/png;base64,{data}">'
    return inline_svg(figure.svg, f"f{numbers.pictures}-", figure.alt)


def inline_svg(svg: str, prefix: str, alt: str) -> str:
    """Return an SVG for the inside of a page that has others: its ids get ``prefix``, its size is the page's."""
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}\1"', svg)
    svg = re.sub(r'(href="|url\()#', rf"\g<1>#{prefix}", svg)
    svg = svg.replace("xlink:href=", "href=")
    head, body = svg.split(">", 1)
    head = re.sub(r'\s(width|height|version|xmlns(:\w+)?)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{html_text(alt)}">{body}'
