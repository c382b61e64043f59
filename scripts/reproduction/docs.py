"""docs/results.md and its picture, made of what an output directory holds for all entries."""

from __future__ import annotations

from pathlib import Path

from reproduction.curves import draw_overview
from reproduction.entries import ENTRIES
from reproduction.entry import ROOT
from reproduction.report import machine_text, make_row, markdown_notes, markdown_table
from reproduction.store import trial_of

PAGE, PICTURE = ROOT / "docs" / "results.md", ROOT / "docs" / "pictures" / "results.png"

_PAGE = """\
# Published results, run again

```
{command}
```

on {machine}. The bound that ours must keep was fixed before the runs and stands in `scripts/reproduction/entries.py`; the figure held
against it is the mean over the seeds, or the median where the table says so (there the published figure is of one agent, so a mean over
seeds has no counterpart).

![Learning curves: each seed thin, their mean thick, the published level as a line](pictures/results.png)

{table}

## How each figure is taken

{notes}

*Local wiring*: collecting, replay and learning take turns in one process, deterministic to the bit, with the same parts that run as
Ray actors otherwise. *Ray*: started as a user starts it, with `robonav train`.

`python scripts/reproduce.py list` shows what there is, `python scripts/reproduce.py run NAME` runs one of them. This page is written
by `--write-docs`.
"""


def write_docs(output: Path, command: str) -> list[Path]:
    """Write the page and the picture from every finished trial under ``output``; entries that were not run are left out."""
    plan = [(entry, [trial_of(entry, seed, output) for seed in entry.seeds]) for entry in ENTRIES]
    judged = [(make_row(entry, trials, {}), trials) for entry, trials in plan]
    judged = [(row, trials) for row, trials in judged if row.values]
    rows = [row for row, _ in judged]
    text = _PAGE.format(command=command, machine=machine_text(), table=markdown_table(rows), notes=markdown_notes(rows))
    PAGE.write_text(text, encoding="utf-8")
    picture = draw_overview(judged, PICTURE)
    return [PAGE, PICTURE] if picture else [PAGE]
