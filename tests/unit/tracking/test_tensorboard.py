"""TensorBoard's pages, read back as TensorBoard reads them."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robonav_ray.config.tracking import TensorboardTracking
from robonav_ray.tracking.backend import Point, RefusedPointsError, RunEnding
from robonav_ray.tracking.items import Asset, Histogram, Item, Kind
from robonav_ray.tracking.run_facts import RunFacts
from robonav_ray.tracking.tensorboard.embeddings import read_embedding
from robonav_ray.tracking.tensorboard.event_file import TensorboardBackend, open_tensorboard
from robonav_ray.tracking.tensorboard.summaries import table_words

CONFIG = {"seed": 3, "algo": {"dueling": True, "hidden_dims": [64, 32], "network": None}, "name": "mine"}


def read(directory: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(
        str(directory / "tensorboard"), size_guidance={"histograms": 0, "tensors": 0, "images": 0}
    )
    events.Reload()
    return events


def written(directory: Path, *items: Item) -> None:
    backend = TensorboardBackend(directory)
    backend.write([Point({}, 10, 5.0, items)])
    backend.close(None)


def png_header(width: int, height: int) -> bytes:
    """A picture that says how large it is, and holds nothing."""
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", size), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def made(path: Path, kind: Kind, name: str) -> Asset:
    return Asset(kind, name, path)


def test_a_histogram_reads_back(tmp_path):
    values = np.random.default_rng(0).normal(2.0, 1.0, 1000)
    written(tmp_path, Histogram.of("learner/td_error", values), Histogram.of("learner/constant", np.full(7, 3.0)))
    (event,) = read(tmp_path).Histograms("learner/td_error")
    shown = event.histogram_value
    assert (event.step, event.wall_time) == (10, 5.0)
    assert shown.num == sum(shown.bucket) == 1000
    assert shown.min == pytest.approx(values.min())
    assert shown.sum / shown.num == pytest.approx(values.mean(), abs=0.05)
    assert shown.sum_squares / shown.num == pytest.approx((values**2).mean(), rel=0.02)
    assert len(shown.bucket) == len(shown.bucket_limit) == 31
    (constant,) = read(tmp_path).Histograms("learner/constant")
    assert constant.histogram_value.num == 7


def test_a_film_plays_and_a_table_is_a_text(tmp_path):
    frames = [Image.fromarray(np.full((4, 6, 3), value, np.uint8)) for value in (0, 90, 250)]
    frames[0].save(tmp_path / "play.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "episodes.csv").write_text("world,outcome\n7,success\n8,<b>|collision\n9\n")
    written(tmp_path, made(tmp_path / "play.gif", Kind.FILM, "play"), made(tmp_path / "episodes.csv", Kind.TABLE, "e"))
    events = read(tmp_path)
    (film,) = events.Images("play")
    assert film.encoded_image_string == (tmp_path / "play.gif").read_bytes()
    (table,) = events.Tensors("e/text_summary")
    assert table.tensor_proto.string_val[0].decode().splitlines() == [
        "| world | outcome |", "| --- | --- |", "| 7 | success |", r"| 8 | &lt;b&gt;\|collision |", "| 9 |  |",
    ]  # fmt: skip


def test_a_long_table_is_cut_and_says_so():
    words = table_words("\n".join(["a", *map(str, range(500))]))
    assert len(words.splitlines()) == 204
    assert words.endswith("300 rows more are in the file.")


@pytest.mark.parametrize(
    ("kind", "name"), [(Kind.TABLE, "wide.csv"), (Kind.PICTURE, "bomb.png"), (Kind.FILM, "no.gif")]
)
def test_a_file_that_is_broken_is_left_out_and_the_rest_is_written(tmp_path, kind, name, caplog):
    (tmp_path / "wide.csv").write_text("note\n" + 200_000 * "x" + "\n")
    (tmp_path / "bomb.png").write_bytes(png_header(60_000, 60_000))
    (tmp_path / "no.gif").write_bytes(b"GIF89a")
    with caplog.at_level("INFO"):
        written(tmp_path, made(tmp_path / name, kind, "broken"), Histogram.of("learner/q", np.arange(3.0)))
    assert f"tensorboard cannot show broken: {'the table' if kind is Kind.TABLE else 'is no picture'}" in caplog.text
    assert len(read(tmp_path).Histograms("learner/q")) == 1


def test_a_point_whose_name_no_event_file_holds_is_refused_and_the_others_are_written(tmp_path):
    backend = TensorboardBackend(tmp_path)
    points = [Point({name: float(step)}, step, 5.0) for step, name in enumerate(("a", "\ud800", "a"))]
    with pytest.raises(RefusedPointsError) as refused:
        backend.write(points)
    backend.close(None)
    assert refused.value.count == 1
    assert [event.step for event in read(tmp_path).Scalars("a")] == [0, 2]


def test_a_graph_reads_back(tmp_path):
    nodes = [{"name": "obs", "op": "Input", "inputs": [], "shape": [1, 12]},
             {"name": "trunk/0", "op": "Linear", "inputs": ["obs"], "shape": [1, 32]}]  # fmt: skip
    (tmp_path / "graph.json").write_text(json.dumps({"nodes": nodes}))
    written(tmp_path, made(tmp_path / "graph.json", Kind.GRAPH, "policy"))
    found = read(tmp_path).Graph()
    assert [(node.name, node.op, list(node.input)) for node in found.node] == [
        ("obs", "Input", []), ("trunk/0", "Linear", ["obs"])
    ]  # fmt: skip
    assert [d.size for d in found.node[1].attr["_output_shapes"].list.shape[0].dim] == [1, 32]


def embedding(path: Path, count: int = 5, **other) -> Asset:
    rng = np.random.default_rng(1)
    arrays = {
        "vector": rng.normal(size=(count, 3)).astype(np.float32),
        "label": np.array([f"success\t{i}" for i in range(count)]),
        "thumbnail": np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 6, 3), np.uint8),
    }
    np.savez(path, **(arrays | other))
    return made(path, Kind.EMBEDDING, "policy/hidden")


def test_embeddings_stand_side_by_side_in_the_projectors_files(tmp_path):
    item = embedding(tmp_path / "embedding.npz")
    backend = TensorboardBackend(tmp_path)
    backend.write([Point({}, step, 1.0, (item,)) for step in (10, 20, 20)])
    backend.close(None)
    folder = tmp_path / "tensorboard"
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig  # pyright: ignore[reportAttributeAccessIssue]

    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig())
    assert [one.tensor_name for one in config.embeddings] == ["policy/hidden:10", "policy/hidden:20"]
    shown = config.embeddings[1]
    vector, label, _ = read_embedding(item.path)
    np.testing.assert_allclose(np.loadtxt(folder / shown.tensor_path, delimiter="\t"), vector, rtol=1e-5)
    assert (folder / shown.metadata_path).read_text().splitlines() == [f"success {i}" for i in range(5)]
    assert len(label) == 5
    with Image.open(folder / shown.sprite.image_path) as picture:
        sheet = np.asarray(picture)
    assert list(shown.sprite.single_image_dim) == [6, 4]
    assert sheet.shape == (12, 18, 3)
    assert sheet[5, 7, 0] == 4, "the fifth thumbnail is the second of the second row"


@pytest.mark.parametrize(
    "broken",
    [{"vector": np.zeros((5, 3), np.int64)}, {"vector": np.full((5, 3), np.nan, np.float32)}, {"label": np.arange(5)},
     {"vector": np.zeros((4, 3), np.float32)}, {"thumbnail": np.zeros((5, 4, 6), np.uint8)},
     {"label": np.array([{}] * 5, object)}],
)  # fmt: skip
def test_an_embedding_of_a_stranger_is_vetted(tmp_path, broken, caplog):
    item = embedding(tmp_path / "embedding.npz", **broken)
    with pytest.raises(ValueError, match="embedding"):
        read_embedding(item.path)
    with caplog.at_level("INFO"):
        written(tmp_path, item)
    assert "tensorboard cannot show policy/hidden" in caplog.text


def test_hparams_and_the_first_page_stand_in_the_event_files_of_the_run(tmp_path):
    from tensorboard.plugins.custom_scalar.layout_pb2 import Layout  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.plugins.hparams import metadata

    ids: dict[str, str] = {}
    facts = RunFacts("mine", tmp_path, CONFIG, kind="train")
    first = open_tensorboard(TensorboardTracking(), facts, ids.update)
    first.close(RunEnding("unfinished", "", {}))
    second = open_tensorboard(
        TensorboardTracking(), RunFacts("mine", tmp_path, CONFIG, kind="train", resume_step=0, ids=ids), ids.update
    )
    second.close(RunEnding("finished", "", {}))
    assert [path.parent.name for path in tmp_path.rglob("events.*")] == ["tensorboard"] * 2
    events = read(tmp_path)
    plugin = events.summary_metadata
    start = metadata.parse_session_start_info_plugin_data(plugin[metadata.SESSION_START_INFO_TAG].plugin_data.content)
    assert start.hparams["seed"].number_value == 3
    assert start.hparams["algo.dueling"].bool_value
    assert start.hparams["algo.hidden_dims.1"].number_value == 32
    assert start.hparams["algo.network"].string_value == "null"
    end = metadata.parse_session_end_info_plugin_data(plugin[metadata.SESSION_END_INFO_TAG].plugin_data.content)
    assert end.status == 1
    (page,) = events.Tensors("custom_scalars__config__")
    layout = Layout.FromString(page.tensor_proto.string_val[0])
    assert [group.title for group in layout.category] == ["success", "speed", "learner health"]
    assert "judged while it trains" not in [chart.title for chart in layout.category[0].chart]
