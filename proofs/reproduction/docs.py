"""docs/results.md and its picture, made of what an output directory holds for all entries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from proofs.common.checkout import ROOT
from proofs.common.machine import machine_text
from proofs.reproduction.curves import draw_overview
from proofs.reproduction.entries import ENTRIES
from proofs.reproduction.report import Row, make_row, markdown_notes, markdown_table
from proofs.reproduction.store import trial_of

PAGE, PICTURE = ROOT / "docs" / "results.md", ROOT / "docs" / "pictures" / "results.png"

_PAGE = """\
# Published results, run again

```
{command}
```

on {machine}.

The bound that ours must keep stands in `proofs/reproduction/entries.py`. It is held against the mean over the seeds, or
against the median where the table says so: there the published figure is of one agent.

![Learning curves: each seed thin, their mean thick, the published level as a line](pictures/results.png)

{table}

## How each figure is taken

{notes}

{changes}*Local wiring*: collecting, replay and learning take turns in one process, deterministic to the bit, with the
same parts that run as Ray actors otherwise. *Ray*: started as a user starts it, with `robonav train`.

`python -m proofs reproduce list` shows what there is, `python -m proofs reproduce run NAME` runs one of them. This page
is written by `--write-docs`.
"""


def _changes(rows: Sequence[Row]) -> str:
    """Return what was changed after a first look at results, one paragraph for the entries that share it."""
    shared: dict[str, list[str]] = {}
    for row in rows:
        if row.entry.changed:
            shared.setdefault(row.entry.changed, []).append(f"`{row.entry.name}`")
    if not shared:
        return ""
    lines = "\n".join(f"* {', '.join(names)}: {text}." for text, names in shared.items())
    return f"## Changed after a first look\n\nBounds and measures were fixed before the runs, except:\n\n{lines}\n\n"


def write_docs(output: Path, command: str) -> list[Path]:
    """Write the page and the picture from every finished trial under ``output``; entries that were not run are left
    out.
    """
    plan = [(entry, [trial_of(entry, seed, output) for seed in entry.seeds]) for entry in ENTRIES]
    judged = [(make_row(entry, trials, {}), trials) for entry, trials in plan]
    judged = [(row, trials) for row, trials in judged if row.values]
    rows = [row for row, _ in judged]
    text = _PAGE.format(
        command=command,
        machine=machine_text(),
        table=markdown_table(rows),
        notes=markdown_notes(rows),
        changes=_changes(rows),
    )
    PAGE.write_text(text, encoding="utf-8")
    picture = draw_overview(judged, PICTURE)
    return [PAGE, PICTURE] if picture else [PAGE]
