"""What was tracked, as TensorBoard's summaries."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from robonav_ray.files.plain_files import read_bytes, read_json, read_text
from robonav_ray.text import markdown_text
from robonav_ray.tracking.items import Asset, Histogram, Kind

MAX_ROWS, MAX_COLUMNS = 200, 40
"""Of a table as it is shown; the file has all of them."""
_TEXTS = frozenset({".md", ".txt"})


def summary(values: Sequence[Any]) -> Any:
    """Return values as one summary."""
    from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

    return Summary(value=values)


def scalar(name: str, value: float) -> Any:
    """Return one number."""
    return _value(tag=name, simple_value=value)


def histogram(item: Histogram) -> Any:
    """Return the buckets; sums are those of values in the middle of their buckets."""
    from tensorboard.compat.proto.summary_pb2 import HistogramProto  # pyright: ignore[reportAttributeAccessIssue]

    middle = (item.edges[1:] + item.edges[:-1]) / 2
    shown = HistogramProto(
        min=item.edges[0],
        max=item.edges[-1],
        num=item.counts.sum(),
        sum=np.dot(item.counts, middle),
        sum_squares=np.dot(item.counts, middle**2),
        bucket_limit=item.edges,
        bucket=[0.0, *item.counts],
    )
    return _value(tag=item.name, histo=shown)


def asset(item: Asset) -> list[Any]:
    """Return what shows a picture, film, table or text; nothing for what TensorBoard has no page for.

    Raises:
        OSError: When the file cannot be read.
        ValueError: For a picture or table that is none.
    """
    suffix = item.path.suffix.lower()
    if item.kind in (Kind.PICTURE, Kind.FILM) and suffix != ".mp4":
        return [_picture(item)]
    if item.kind is Kind.TABLE:
        return [text(item.name, table_words(read_text(item.path, errors="replace")))]
    if item.kind is Kind.FILE and suffix in _TEXTS:
        return [text(item.path.stem, read_text(item.path, errors="replace"))]
    return []


def _picture(item: Asset) -> Any:
    """Return the file as it is: TensorBoard shows what a browser can, and plays a GIF."""
    from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

    data = read_bytes(item.path)
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"is no picture ({error})") from None
    shown = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=data)
    return _value(tag=item.name, image=shown)


def text(name: str, words: str) -> Any:
    """Return a text that TensorBoard shows as Markdown."""
    from tensorboard.plugins.text.plugin_data_pb2 import TextPluginData  # pyright: ignore[reportAttributeAccessIssue]

    return plugin_value(f"{name}/text_summary", "text", TextPluginData(version=0).SerializeToString(), words.encode())


def plugin_value(tag: str, plugin: str, content: bytes, words: bytes) -> Any:
    """Return bytes for one of TensorBoard's plugins."""
    from tensorboard.compat.proto.summary_pb2 import SummaryMetadata  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.compat.proto.tensor_pb2 import TensorProto  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto  # pyright: ignore[reportAttributeAccessIssue]

    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    return _value(
        tag=tag,
        metadata=SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin, content=content)),
        tensor=TensorProto(dtype="DT_STRING", string_val=[words], tensor_shape=shape),
    )


def table_words(document: str) -> str:
    """Return a CSV as a table of Markdown, at most MAX_ROWS by MAX_COLUMNS of it; ValueError when it has no header, or
    is none.
    """
    try:
        rows = list(csv.reader(io.StringIO(document)))
    except csv.Error as error:  # a cell of more than 131,072 characters
        raise ValueError(f"the table cannot be read ({error})") from None
    if not rows or not rows[0]:
        raise ValueError("the table has no header")
    head, body = rows[0][:MAX_COLUMNS], rows[1 : 1 + MAX_ROWS]
    shown = [head, ["---"] * len(head), *([*row, *[""] * len(head)][: len(head)] for row in body)]
    lines = [
        "| " + " | ".join(cell if n == 1 else markdown_text(cell) for cell in row) + " |" for n, row in enumerate(shown)
    ]
    left = max(0, len(rows) - 1 - MAX_ROWS)
    return "\n".join(lines) + (f"\n\n{left} rows more are in the file." if left else "")


def graph(item: Asset) -> bytes:
    """Return the nodes of a graph as TensorBoard reads them: a ``GraphDef``.

    Raises:
        OSError: When the file cannot be read.
        ValueError: When it holds no graph.
    """
    from tensorboard.compat.proto.attr_value_pb2 import AttrValue  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.compat.proto.graph_pb2 import GraphDef  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.compat.proto.node_def_pb2 import NodeDef  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.compat.proto.versions_pb2 import VersionDef  # pyright: ignore[reportAttributeAccessIssue]

    nodes = list[Any]()
    try:
        for node in read_json(item.path)["nodes"]:
            sizes = [TensorShapeProto.Dim(size=int(size)) for size in node.get("shape") or ()]
            shapes = AttrValue(list=AttrValue.ListValue(shape=[TensorShapeProto(dim=sizes)]))
            inputs = [str(name) for name in node.get("inputs", ())]
            nodes.append(
                NodeDef(name=str(node["name"]), op=str(node["op"]), input=inputs, attr={"_output_shapes": shapes})
            )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{item.path} holds no graph ({error!r})") from None
    return GraphDef(node=nodes, versions=VersionDef(producer=22)).SerializeToString()


def _value(**fields: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

    return Summary.Value(**fields)
