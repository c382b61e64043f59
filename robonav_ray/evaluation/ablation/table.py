"""What the results amount to: each switch with its success over the seeds, and what is lost without it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import PlainFileError, read_json
from robonav_ray.ranges import count, real, require
from robonav_ray.screen import Screen
from robonav_ray.text import markdown_code, markdown_text

ABLATION_JSON = "ablation.json"
FORMAT_VERSION = 1
WHOLE = "whole"
"""Name of the whole method's arm."""


class AblationError(UserError):
    """What lies in a folder is no ablation, or is damaged; the message names the file and what is wrong in it."""


@dataclass(frozen=True)
class Row:
    """One arm: the whole method, or the same without a part."""

    switch: str
    """The part that is off; ``whole`` for the whole method, and ``NAME-whole`` for the own whole of a switch."""
    key: str
    """Keys of the config that it changes; empty for the whole method."""
    off_value: Any
    """Their values, one alone as it is, several as a list; None for the whole method."""
    against: str
    """The row that it is held against; empty for one that is a whole."""
    seeds: tuple[int, ...]
    """That have been trained and judged."""
    success: tuple[float, ...]
    """(S,) of each seed: the success over the exam, or the mean return where none is told."""
    mean: float | None
    """Over the seeds, with the t interval; None where there are too few."""
    low: float | None
    high: float | None
    difference: float | None
    """Without the part minus with it, over the seeds that both have, with the t interval of the pairs."""
    difference_low: float | None
    difference_high: float | None
    differences: tuple[float, ...]
    """(P,) of each such seed."""

    @property
    def verdict(self) -> str:
        """What the interval of the difference says, in a few words."""
        if self.difference is None:
            return ""
        if self.difference_low is None or self.difference_high is None:
            return "one seed: no interval"
        if self.difference_high < 0.0:
            return "worth having"
        return "better without" if self.difference_low > 0.0 else "no difference shown"


@dataclass(frozen=True)
class AblationTable:
    """The rows of an ablation, the whole method first, with what one must know to read them."""

    name: str
    measure: str
    """``success`` (0 to 1) or ``return``."""
    confidence: float
    rows: tuple[Row, ...]
    stages: tuple[str, ...]
    num_episodes: int
    """Of each stage."""
    exam_seed: int
    suite: str | None
    """Of scenarios, in place of ``stages`` of the training and ``exam_seed``."""
    env_steps: int
    """Of each training."""
    num_missing: int
    """Trainings that have no result yet."""


def to_dict(table: AblationTable, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table as JSON takes it."""
    rows = [{**asdict(row), "verdict": row.verdict} for row in table.rows]
    return {"format_version": FORMAT_VERSION, **asdict(table), "rows": rows, "provenance": dict(provenance)}


def to_json(table: AblationTable, provenance: Mapping[str, Any]) -> str:
    """Return the table as the text of a JSON file."""
    return json.dumps(to_dict(table, provenance), indent=1, allow_nan=False, default=str) + "\n"


_ROW_NUMBERS = ("mean", "low", "high", "difference", "difference_low", "difference_high")


def load_ablation(folder: Path) -> AblationTable:
    """Return the table in ``folder/ablation.json``; AblationError unless it is one of ours."""
    path = folder / ABLATION_JSON
    try:
        found = read_json(path)
        require(isinstance(found, dict) and found.get("format_version") == FORMAT_VERSION, "is of another version")
        rows = found["rows"]
        require(isinstance(rows, list) and 0 < len(rows) <= MOST_ROWS, "rows: are none, or too many")
        table = {field.name: found[field.name] for field in dataclasses.fields(AblationTable)}
        table |= {
            "rows": tuple(_loaded(row, f"rows[{i}]") for i, row in enumerate(rows)),
            "stages": tuple(found["stages"]),
        }
        _FRAC.check("confidence", table["confidence"])
        for name in ("num_episodes", "exam_seed", "env_steps", "num_missing"):
            count().check(name, table[name])
        texts = (table["name"], table["measure"], *table["stages"])
        require(all(isinstance(text, str) for text in texts), "name, measure or stages: are no texts")
        require(table["measure"] in ("success", "return"), "measure: is neither success nor return")
        require(table["suite"] is None or isinstance(table["suite"], str), "suite: is no text")
        return AblationTable(**table)
    except FileNotFoundError:
        raise AblationError(f"{path}: is missing; `robonav ablate CONFIG.yaml` writes one") from None
    except PlainFileError as error:
        raise AblationError(f"{error}; write it anew with `robonav ablate`") from None
    except (ValueError, TypeError, LookupError) as error:
        raise AblationError(f"{path}: is damaged ({error}); write it anew with `robonav ablate`") from None


MOST_ROWS = 1000
_FRAC = real(low=0.0, high=1.0)


def _loaded(found: Any, where: str) -> Row:
    names = [field.name for field in dataclasses.fields(Row)]
    require(isinstance(found, dict) and set(found) == {*names, "verdict"}, f"{where}: has not the keys of a row")
    for name in ("switch", "key", "against"):
        require(isinstance(found[name], str), f"{where}.{name}: is no text")
    count(None).check(f"{where}.seeds", found["seeds"])
    real(None).check(f"{where}.success", found["success"])
    real(None).check(f"{where}.differences", found["differences"])
    require(len(found["seeds"]) == len(found["success"]), f"{where}.success: is not one figure a seed")
    for name in _ROW_NUMBERS:
        if found[name] is not None:
            real().check(f"{where}.{name}", found[name])
    known = {name: found[name] for name in names}
    return Row(**{**known, **{name: tuple(known[name]) for name in ("seeds", "success", "differences")}})


def figure_text(
    value: float | None, low: float | None, high: float | None, table: AblationTable, *, signed: bool
) -> str:
    """Return a figure with its interval: in points of a hundred where it is a success."""
    if value is None:
        return "-"
    scale, digits = (100.0, 1) if table.measure == "success" else (1.0, 2)
    form = f"{'+' * signed}.{digits}f"
    text, *ends = (
        "" if number is None else format(round(scale * number, digits) + 0.0, form) for number in (value, low, high)
    )
    return f"{text} ({ends[0]} to {ends[1]})" if all(ends) else text


def row_cells(row: Row, table: AblationTable) -> list[str]:
    """Return a row as it is shown, below ``heads``."""
    return [
        row.switch,
        str(len(row.seeds)),
        figure_text(row.mean, row.low, row.high, table, signed=False),
        figure_text(row.difference, row.difference_low, row.difference_high, table, signed=True),
        row.verdict + f" (against {row.against})" * (row.against not in ("", WHOLE)),
    ]


def _by(row: Row) -> str:
    return "" if row.off_value is None else markdown_code(f"{row.key}={json.dumps(row.off_value)}")


def heads(table: AblationTable) -> list[str]:
    """Return the heads of the columns; the last one, of the verdict, has none."""
    unit = "success, %" if table.measure == "success" else "mean return"
    return ["without", "seeds", unit, "difference", ""]


def caption(table: AblationTable) -> str:
    """Return what one must know to read the table."""
    worlds = f" of seed {table.exam_seed}" if table.suite is None else f" of the suite {table.suite}"
    missing = f" {table.num_missing} trainings are still to be done." if table.num_missing else ""
    return (
        f"Each training: {table.env_steps:,} env steps. Exam: {table.num_episodes:,} greedy episodes of "
        f"{', '.join(table.stages)} on held-out worlds{worlds}, the same for all. In brackets "
        f"{table.confidence:.0%} intervals (Student's t over the seeds; differences are paired by seed).{missing}"
    )


def to_markdown(table: AblationTable) -> str:
    """Return the table as Markdown."""
    columns = [*(head or "verdict" for head in heads(table)), "by"]
    lines = [
        f"# {markdown_text(f'Ablation {table.name}')}",
        "",
        "| " + " | ".join(columns) + " |",
        "|---|---:|---:|---:|---|---|",
        *("| " + " | ".join([*map(markdown_text, row_cells(row, table)), _by(row)]) + " |" for row in table.rows),
        "",
        markdown_text(caption(table)),
        "",
    ]
    return "\n".join(lines)


def print_table(table: AblationTable, screen: Screen) -> None:
    """Show the table in a terminal."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head, justify in zip(heads(table), ("left", "right", "right", "right", "left"), strict=True):
        shown.add_column(head, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in table.rows:
        shown.add_row(*(Text(cell) for cell in row_cells(row, table)))
    screen.print(shown, soft_wrap=False)
    screen.print(caption(table), style="dim italic", soft_wrap=False)


def rows_by_loss(table: AblationTable) -> Sequence[Row]:
    """Return the rows of switches that can be compared, the greatest loss first."""
    known = [row for row in table.rows if row.difference is not None and row.against]
    return sorted(known, key=lambda row: row.difference or 0.0)
