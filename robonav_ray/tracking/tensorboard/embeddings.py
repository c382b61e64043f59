"""Embeddings in the files that TensorBoard's projector reads: vectors, labels and a sheet of thumbnails."""

from __future__ import annotations

import io
import math
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from robonav_ray.files.plain_files import open_reading, read_text, replace
from robonav_ray.tracking.items import Asset

CONFIG_FILE = "projector_config.pbtxt"
FOLDER = "embeddings"
MAX_POINTS, MAX_SIDE = 10_000, 8192
"""Of an embedding, and of the sheet in pixels: what browsers draw."""
MAX_BYTES = 1 << 29
"""Of the arrays in a file."""


def keep_embedding(item: Asset, step: int, folder: Path) -> None:
    """Write an embedding below ``folder`` (TensorBoard's of the run), and show it beside those that are there.

    Raises:
        OSError: When the file cannot be read, or those for TensorBoard not be written.
        ValueError: When it holds no embedding, or more points than MAX_POINTS.
    """
    vector, label, thumbnail = read_embedding(item.path)
    if len(vector) > MAX_POINTS:
        raise ValueError(f"{item.path}: holds {len(vector)} points, and browsers draw {MAX_POINTS}")
    name = f"{re.sub(r'[^A-Za-z0-9_.-]', '_', item.name)}-{step}"
    target = folder / FOLDER / name
    target.mkdir(parents=True, exist_ok=True)
    replace(target / "tensors.tsv", "".join("\t".join(f"{x:.6g}" for x in row) + "\n" for row in vector.tolist()))
    replace(target / "metadata.tsv", "".join(" ".join(str(one).split()) + "\n" for one in label))
    if thumbnail is not None:
        replace(target / "sprite.png", _sheet(thumbnail))
    _show(folder, f"{item.name}:{step}", f"{FOLDER}/{name}", vector.shape, thumbnail)


def read_embedding(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return vector (N, D) float32, label (N,) str and thumbnail (N, H, W, 3) uint8 or None of an npz; ValueError when
    it holds others.
    """
    try:
        with open_reading(path) as file:
            with zipfile.ZipFile(file) as archive:
                if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                    raise ValueError(f"more than {MAX_BYTES} bytes")
            file.seek(0)
            with np.load(file, allow_pickle=False) as found:
                vector, label = found["vector"], found["label"]
                thumbnail = found["thumbnail"] if "thumbnail" in found.files else None
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} holds no embedding ({error})") from None
    if vector.ndim != 2 or vector.dtype.kind != "f" or not len(vector):
        raise ValueError(f"{path}: vector is {vector.dtype} {vector.shape}, and (N, D) float32 belongs there")
    if not np.isfinite(vector).all():
        raise ValueError(f"{path}: its vectors are not all finite")
    if label.shape != (len(vector),) or label.dtype.kind != "U":
        raise ValueError(f"{path}: label is {label.dtype} {label.shape}, and {len(vector)} texts belong there")
    shape = () if thumbnail is None else thumbnail.shape
    if thumbnail is not None and not (
        thumbnail.dtype == np.uint8 and len(shape) == 4 and shape[0] == len(vector) and shape[3] == 3 and min(shape) > 0
    ):
        raise ValueError(f"{path}: thumbnail is {thumbnail.dtype} {shape}, and (N, H, W, 3) uint8 belongs there")
    return vector, label, thumbnail


def _sheet(thumbnail: np.ndarray) -> bytes:
    """Return the thumbnails (N, H, W, 3) row by row on a sheet that holds as many across as down, as a PNG."""
    count, height, width, _ = thumbnail.shape
    side = math.ceil(math.sqrt(count))
    if side * max(height, width) > MAX_SIDE:
        raise ValueError(f"{count} thumbnails of {width} x {height} make a sheet of more than {MAX_SIDE} pixels")
    sheet = np.zeros((side * side, height, width, 3), np.uint8)
    sheet[:count] = thumbnail
    grid = sheet.reshape(side, side, height, width, 3).swapaxes(1, 2).reshape(side * height, side * width, 3)
    png = io.BytesIO()
    Image.fromarray(grid).save(png, "PNG")
    return png.getvalue()


def _show(folder: Path, name: str, below: str, shape: tuple[int, ...], thumbnail: np.ndarray | None) -> None:
    """Put an embedding into the projector's config, in place of one of its name."""
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import EmbeddingInfo, ProjectorConfig, SpriteMetadata  # pyright: ignore[reportAttributeAccessIssue]

    config: Any = ProjectorConfig()
    try:
        text_format.Parse(read_text(folder / CONFIG_FILE), config)
    except FileNotFoundError:
        pass
    except text_format.ParseError:  # nothing of ours wrote that
        config = ProjectorConfig()
    others = [one for one in config.embeddings if one.tensor_name != name]
    info = EmbeddingInfo(tensor_name=name, tensor_path=f"{below}/tensors.tsv", metadata_path=f"{below}/metadata.tsv")
    info.tensor_shape.extend(shape)
    if thumbnail is not None:
        size = [thumbnail.shape[2], thumbnail.shape[1]]
        info.sprite.CopyFrom(SpriteMetadata(image_path=f"{below}/sprite.png", single_image_dim=size))
    shown = text_format.MessageToString(ProjectorConfig(embeddings=[*others, info]))
    replace(folder / CONFIG_FILE, shown)
