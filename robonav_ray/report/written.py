"""The files of a report in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from robonav_ray.files.plain_files import check_folder, replace
from robonav_ray.report.document import Document, to_csv
from robonav_ray.report.html_page import html_page
from robonav_ray.report.plain_pdf import plain_pdf
from robonav_ray.report.typst_pdf import NoTypstError, typst_pdf

REPORT_PDF, REPORT_HTML, SUMMARY_JSON, TABLES = "report.pdf", "report.html", "summary.json", "tables"


def write_document(document: Document, folder: Path, told: Callable[[str], None]) -> list[Path]:
    """Write ``report.pdf``, ``report.html``, ``summary.json`` and ``tables/*.csv`` into ``folder``, made if missing;
    return their paths.

    The same document gives the same bytes. Without typst the PDF is a plain one, and ``told`` is given one line that
    says so.

    Raises:
        UserError: When something else stands in the place of a file or a folder, or no font is there; what was written
            before it is kept.
    """
    tables = folder / TABLES
    check_folder(tables)
    tables.mkdir(parents=True, exist_ok=True)
    written = []
    for table in document.tables():
        written.append(tables / f"{table.name}.csv")
        replace(written[-1], to_csv(table))
    contents: dict[str, Callable[[], str | bytes]] = {
        SUMMARY_JSON: lambda: json.dumps(strict(document.summary), indent=1, allow_nan=False) + "\n",
        REPORT_HTML: lambda: html_page(document),
        REPORT_PDF: lambda: _pdf(document, told),
    }
    for name, make in contents.items():
        written.append(folder / name)
        replace(written[-1], make())
    return written


def _pdf(document: Document, told: Callable[[str], None]) -> bytes:
    try:
        return typst_pdf(document)
    except NoTypstError as error:
        told(f"{REPORT_PDF} is a plain one: {error}")
        return plain_pdf(document)


def strict(value: Any) -> Any:
    """Return ``value`` with null for numbers that JSON has no name for."""
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return None if isinstance(value, float) and value - value != 0.0 else value
