"""What is tracked beside scalars, as wandb's data types: pictures and films are encoded already, and their files are
handed over.
"""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import DecompressionBombError

from robonav_ray.files.plain_files import open_reading, read_text
from robonav_ray.tracking.items import Asset, Histogram, Item, Kind
from robonav_ray.tracking.tensorboard.embeddings import read_embedding

logger = logging.getLogger(__name__)
MAX_BINS = 512
"""Of wandb's histogram."""
MAX_ROWS = 10_000
"""Of wandb's table."""
MAX_CSV_BYTES = 64_000_000
TAKES = frozenset(("scalars", "histogram", *(str(kind) for kind in Kind if kind is not Kind.GRAPH)))


def as_logged(item: Item) -> Any:
    """Return what ``run.log`` takes for an item that is no file.

    Raises:
        OSError: When its file cannot be read, or is no picture.
        ValueError: When it holds something else than belongs there.
    """
    import wandb

    if isinstance(item, Histogram):
        return wandb.Histogram(np_histogram=_fewer_bins(item.counts, item.edges))
    caption = item.note.get("caption")
    with open_reading(item.path):  # a plain file, that can be read
        pass
    if item.kind is Kind.PICTURE:
        try:
            return wandb.Image(str(item.path), caption=caption)
        except DecompressionBombError as error:
            raise ValueError(str(error)) from None
    if item.kind is Kind.FILM:
        return wandb.Video(str(item.path), caption=caption, format=item.path.suffix[1:].lower())  # pyright: ignore[reportArgumentType]
    if item.kind is Kind.TABLE:
        return _table(*_rows_of(item))
    if item.kind is Kind.EMBEDDING:
        return _embedding(item.path)
    raise ValueError(f"{item.kind} is nothing that wandb logs")


def _fewer_bins(counts: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put neighbouring bins together until wandb takes so many: counts (B,), edges (B + 1,)."""
    together = -(-len(counts) // MAX_BINS)
    starts = np.arange(0, len(counts), together)
    return np.add.reduceat(counts, starts), edges[np.append(starts, len(counts))]


def _rows_of(asset: Asset) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and rows of a table's file; a column of numbers is one of numbers. ValueError when it is
    none.
    """
    try:
        lines = list(csv.reader(io.StringIO(read_text(asset.path, MAX_CSV_BYTES))))
    except csv.Error as error:  # a cell of more than 131,072 characters
        raise ValueError(f"the table cannot be read ({error})") from None
    if not lines:
        return ["empty"], []
    columns, rows = lines[0], [line for line in lines[1:] if len(line) == len(lines[0])]
    if len(rows) > MAX_ROWS:
        logger.warning("W&B is given the first %d of the %d rows of %s", MAX_ROWS, len(rows), asset.name)
    by_column = [_typed([row[i] for row in rows[:MAX_ROWS]]) for i in range(len(columns))]
    return columns, [list(row) for row in zip(*by_column, strict=True)]


def _typed(texts: list[str]) -> list[Any]:
    try:
        return [float(text) if text else None for text in texts]
    except ValueError:
        return list(texts)


def _embedding(path: Path) -> Any:
    """Return vectors as the table that W&B's projector draws: a column a dimension, the label, the thumbnail."""
    import wandb

    vector, label, thumbnails = read_embedding(path)
    vector, label = vector[:MAX_ROWS], label[:MAX_ROWS]
    columns = ["label", *(f"d{i}" for i in range(vector.shape[1]))]
    rows = [[str(name), *point] for name, point in zip(label, vector.tolist(), strict=True)]
    if thumbnails is not None:
        columns.append("thumbnail")
        rows = [[*row, wandb.Image(picture)] for row, picture in zip(rows, thumbnails[:MAX_ROWS], strict=True)]
    return _table(columns, rows)


def _table(columns: Any, rows: Any) -> Any:
    import wandb

    return wandb.Table(columns, rows)
