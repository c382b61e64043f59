"""Markdown for pages: a table, and a text between two marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the table, one line for the header, one for the rule, one for each row."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def put_between(page: str, begin: str, end: str, text: str) -> str:
    """Return ``page`` with ``text``, on lines of its own, in place of what stands between two marks; KeyError without
    the marks.
    """
    before, found, rest = page.partition(begin)
    _, also_found, after = rest.partition(end)
    if not (found and also_found):
        raise KeyError(f"there is no place marked {begin} ... {end}")
    return f"{before}{begin}\n{text}\n{end}{after}"
