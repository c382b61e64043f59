"""What a user has in memory (arrays, rows, a model), as the files that trackers are given."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import replace, replacing
from robonav_ray.report.document import Scalar, Table, to_csv
from robonav_ray.worlds.pictures.film import save_gif


def as_array(values: Any) -> np.ndarray:
    """Return anything with numbers as an array; a tensor is brought from its device."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(values, torch.Tensor):
        values = values.detach().float().cpu().numpy()
    return np.asarray(values)


def picture_of(image: Any, what: str) -> np.ndarray:
    """Return an image as (H, W, 3) uint8: (H, W) or (H, W, 1) is grey, a fourth channel is left out, and numbers with a
    fraction are brightness from 0 to 1; UserError, naming ``what``, for another shape.
    """
    array = np.asarray(image.convert("RGB")) if isinstance(image, Image.Image) else as_array(image)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise UserError(
            f"{what}: has the shape {as_array(image).shape}, and (H, W) or (H, W, C) with 1, 3 or 4 channels belongs "
            "there"
        )
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise UserError(f"{what}: holds numbers that are not finite")
        array = np.clip(array, 0.0, 1.0) * 255
    elif array.dtype.kind == "b":
        array = array * 255
    elif array.dtype.kind not in "iu" or array.min() < 0 or array.max() > 255:
        raise UserError(f"{what}: holds {array.dtype}, and 0 to 255, or fractions from 0 to 1, belong there")
    array = array[..., :3] if array.shape[2] >= 3 else np.repeat(array, 3, axis=2)
    return np.ascontiguousarray(np.round(array).astype(np.uint8))


def write_picture(image: Any, path: Path, what: str) -> None:
    """Write an image as a PNG."""
    picture = Image.fromarray(picture_of(image, what))
    with replacing(path) as file:
        picture.save(file, "PNG")


def write_film(frames: Any, path: Path, fps: float, what: str) -> None:
    """Write frames (an iterable of images, or (T, H, W, 3)) as a GIF."""
    images = [picture_of(frame, f"{what}: frame {n}") for n, frame in enumerate(frames)]
    if not images:
        raise UserError(f"{what}: has no frames")
    if len({image.shape for image in images}) > 1:
        raise UserError(f"{what}: its frames have several sizes")
    if not 0.0 < fps <= 50.0:
        raise UserError(f"{what}: fps ({fps}) must be above 0 and at most 50, which viewers of GIF can show")
    save_gif(images, path, fps)


def write_table(rows: Any, columns: Sequence[str] | None, path: Path, what: str) -> None:
    """Write rows (mappings, or sequences with ``columns``, or a pandas.DataFrame) as a CSV."""
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(rows, pandas.DataFrame):
        columns, rows = [str(name) for name in rows.columns], rows.itertuples(index=False)
    given = list(rows)
    if columns is None:
        if not all(isinstance(row, Mapping) for row in given):
            raise UserError(f"{what}: rows that are no mappings need columns=[...], the names of their values")
        columns = list(dict.fromkeys(str(key) for row in given for key in row))
        records = [{str(key): _cell(value) for key, value in row.items()} for row in given]
    else:
        if (wrong := next((n for n, row in enumerate(given) if len(row) != len(columns)), None)) is not None:
            raise UserError(f"{what}: row {wrong} has {len(given[wrong])} values, and there are {len(columns)} columns")
        records = [{name: _cell(value) for name, value in zip(columns, row, strict=True)} for row in given]
    if not columns:
        raise UserError(f"{what}: has no columns")
    head = tuple(columns)
    replace(path, to_csv(Table("tracked", what, head, (), "l" * len(head), tuple(records))))


def _cell(value: Any) -> Scalar:
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return str(value)


def write_embedding(vectors: Any, labels: Iterable[Any] | None, thumbnails: Any, path: Path, what: str) -> None:
    """Write vectors (N, D), labels (N) and thumbnails (N images of one size) as an npz."""
    vector = as_array(vectors)
    if vector.ndim != 2 or vector.dtype.kind not in "iuf" or not vector.size:
        raise UserError(f"{what}: vectors are {vector.dtype} {vector.shape}, and numbers (N, D) belong there")
    if not np.isfinite(vector).all():
        raise UserError(f"{what}: its vectors are not all finite")
    names = [str(label) for label in (range(len(vector)) if labels is None else labels)]
    if len(names) != len(vector):
        raise UserError(f"{what}: has {len(vector)} vectors and {len(names)} labels")
    arrays = {"vector": vector.astype(np.float32), "label": np.array(names)}
    if thumbnails is not None:
        images = [picture_of(image, f"{what}: thumbnail {n}") for n, image in enumerate(thumbnails)]
        if len(images) != len(vector) or len({image.shape for image in images}) > 1:
            raise UserError(f"{what}: has {len(vector)} vectors and needs as many thumbnails, all of one size")
        arrays["thumbnail"] = np.stack(images)
    with replacing(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def write_graph(graph: Any, inputs: Any, path: Path, what: str) -> None:
    """Write a graph: nodes (a list of mappings with name, op, inputs and shape), or the operations of a torch module on
    ``inputs``.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(graph, torch.nn.Module):
        from robonav_ray.fronts.own_tracking.module_graph import module_nodes

        if inputs is None:
            raise UserError(f"{what}: a model is traced once: give its input too, log_graph(model, inputs)")
        graph = module_nodes(graph, inputs, what)
    nodes = graph.get("nodes") if isinstance(graph, Mapping) else graph
    if not isinstance(nodes, list | tuple) or not nodes:
        raise UserError(f"{what}: is no list of nodes, and no model (torch.nn.Module)")
    names = set[str]()
    found = list[dict[str, Any]]()
    for n, node in enumerate(nodes):
        if not isinstance(node, Mapping) or not node.get("name"):
            raise UserError(f"{what}: node {n} has no name; write {{'name': ..., 'op': ..., 'inputs': [...]}}")
        if (name := str(node["name"])) in names:
            raise UserError(f"{what}: two nodes are called {name!r}")
        names.add(name)
        shape = [int(size) for size in node.get("shape") or ()]
        inputs_of = [str(one) for one in node.get("inputs") or ()]
        found.append({"name": name, "op": str(node.get("op", "op")), "inputs": inputs_of, "shape": shape})
    replace(path, json.dumps({"nodes": found}, indent=1))
