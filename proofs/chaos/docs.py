"""Bring docs/chaos.md up to date with what was measured: the text between two marks, and a picture."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proofs.chaos.report import fault_markdown, markdown
from proofs.common.markdown import put_between

PAGE = Path("docs") / "chaos.md"


class NoSuchSectionError(ValueError):
    """The page has no section of that name; the message names those that it has."""


def marks(section: str) -> tuple[str, str]:
    """Return what stands before and after a section's figures."""
    return f"<!-- figures of {section} -->", f"<!-- end of {section} -->"


def check_section(root: Path, section: str) -> None:
    """Raise NoSuchSectionError unless docs/chaos.md has the section."""
    text = (root / PAGE).read_text(encoding="utf-8")
    if not all(mark in text for mark in marks(section)):
        names = [
            line[len("<!-- figures of ") : -len(" -->")]
            for line in text.splitlines()
            if line.startswith("<!-- figures of ")
        ]
        raise NoSuchSectionError(f"{PAGE} has no section {section!r}; it has {', '.join(names)}")


def write_docs(root: Path, section: str, report: Mapping[str, Any], picture: Path) -> list[Path]:
    """Put the figures of ``report`` into their section of docs/chaos.md, and its picture beside; return what was
    written.
    """
    page, drawn = root / PAGE, root / "docs" / "pictures" / f"chaos_{section}.png"
    begin, end = marks(section)
    text = page.read_text(encoding="utf-8")
    page.write_text(put_between(text, begin, end, section_text(section, report)), encoding="utf-8")
    drawn.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(picture, drawn)
    return [page, drawn]


def section_text(section: str, report: Mapping[str, Any]) -> str:
    """Return a section's figures."""
    about, findings = report["about"], report["findings"]
    broken = [check["text"] for check in report["checks"] if not check["kept"]]
    whole = "all kept" if not broken else f"broken: {'; '.join(broken)}"
    facts = [
        f"On {about['machine']}: {about['seconds']:,.0f} s, {findings['env_steps']:,} env steps, {findings['commits']} "
        f"checkpoints, {len(findings['sessions'])} lives of the command; the curriculum was "
        f"{'' if findings['passed'] else 'not '}passed.",
        f"Samples per insert off by {100 * (findings['pacing_error'] or 0.0):.2f} %; "
        f"{findings['duplicates_refused']:,.0f} fragments came twice and were refused; {findings['rows_stored_twice']} "
        f"of {findings['rows_inspected']:,} rows in {findings['checkpoints_inspected']} checkpoints were stored twice.",
        f"Of the whole run: {whole}.",
    ]
    picture = f"![What was broken, and how fast the run went](pictures/chaos_{section}.png)"
    return "\n\n".join(
        [
            f"```\n{about['command']}\n```",
            textwrap.fill(" ".join(facts), 140),
            picture,
            fault_markdown(report["faults"]),
            markdown(report),
        ]
    )
