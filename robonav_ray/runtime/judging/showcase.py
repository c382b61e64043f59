"""What a run shows of itself when its training has ended, beside curves, film and evaluation.

======================  ==============================================================================
``episodes.csv``        every episode of the evaluation: stage, world, outcome, steps, way, clearance
``top_view.png``        the last picture of the film: where the robot went
``network.json``        the graph of the policy's operations
``embedding.npz``       what the first hidden layer makes of held-out worlds, with how each ended
======================  ==============================================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from robonav_ray.algo.policy import Policy
from robonav_ray.config import RunConfig
from robonav_ray.evaluation.episodes import EpisodeTable
from robonav_ray.files.plain_files import replace, replacing
from robonav_ray.records import Outcome
from robonav_ray.report.document import Scalar, Table, to_csv
from robonav_ray.runs.task import Task
from robonav_ray.runtime.judging.held_out import held_out_env
from robonav_ray.tracking.items import Asset, Kind
from robonav_ray.worlds.pictures.film import last_picture, padded, save_png
from robonav_ray.worlds.pictures.render import MIN_SIZE_PX, SceneRenderer
from robonav_ray.worlds.vector_env import NavVectorEnv

MAX_POINTS = 128
"""Worlds, at most, that an embedding shows."""
THUMBNAIL_PX = 48
_COLUMNS = ("length", "task_return", "total_return", "goals_reached", "path_length_m", "shortest_path_length_m",
            "min_clearance_m")  # fmt: skip


def write_episodes(tables: Mapping[str, EpisodeTable], path: Path) -> Asset:
    """Write one line per episode of each stage, in the order of stages and worlds."""
    columns: tuple[str, ...] = ("stage", "world", "outcome", *_COLUMNS)
    rows = [
        (
            stage,
            int(table.world[i]),
            Outcome(int(table.outcome[i])).name.lower(),
            *(_scalar(getattr(table, name)[i]) for name in _COLUMNS),
        )
        for stage, table in tables.items()
        for i in range(table.num_episodes)
    ]
    _make_folder(path)
    records: tuple[Mapping[str, Scalar], ...] = tuple(dict(zip(columns, row, strict=True)) for row in rows)
    replace(path, to_csv(Table("episodes", "Episodes", columns, (), "l" * len(columns), records)))
    return Asset(Kind.TABLE, "evaluation/episodes", path)


def write_top_view(film: Path, path: Path) -> Asset:
    """Write the last picture of ``film``, a GIF."""
    _make_folder(path)
    save_png(last_picture(film), path)
    return Asset(Kind.PICTURE, "evaluation/top_view", path)


def write_graph(config: RunConfig, task: Task, path: Path) -> Asset:
    """Write the graph of the policy's operations (see ``network_graph``); NoGraphError when there can be none."""
    from robonav_ray.algo.network_graph import network_graph

    _make_folder(path)
    replace(path, json.dumps(network_graph(task.obs_dim, task.num_actions, config.algo, task.structure), indent=1))
    return Asset(Kind.GRAPH, "learner/network", path)


def write_embedding(
    policy: Policy, config: RunConfig, task: Task, stage: int, table: EpisodeTable, path: Path
) -> Asset:
    """Write what the policy makes of the first observation of each held-out world of ``table``, at most
    ``MAX_POINTS``.

    The worlds depend on the evaluation's seed alone, so that the same observations are shown of every policy. The
    archive holds ``vector`` (N, H) float32, ``label`` (N,) str: how the policy's episode in that world ended, and of
    our own worlds ``thumbnail`` (N, 48, 48, 3) uint8.
    """
    robots = config.env.world.num_robots if task.is_native else 1
    num_worlds = min(max(1, min(MAX_POINTS, table.num_episodes) // robots), config.evaluation.num_worlds)
    env = held_out_env(config, task, stage, stage, 0, num_worlds)
    try:
        obs, _ = env.reset()
        vector = policy.representation(np.asarray(obs, np.float32))
        pictures = {"thumbnail": _thumbnails(env, robots)} if isinstance(env, NavVectorEnv) else {}
    finally:
        env.close()
    label = np.array([Outcome(int(outcome)).name.lower() for outcome in table.outcome[: len(vector)]])
    arrays = {name: array[: len(label)] for name, array in {"vector": vector, "label": label, **pictures}.items()}
    _make_folder(path)
    with replacing(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return Asset(Kind.EMBEDDING, "evaluation/embedding", path)


def _thumbnails(env: NavVectorEnv, robots: int) -> np.ndarray:
    renderer = SceneRenderer(MIN_SIZE_PX, hud=False)
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    views: list[np.ndarray] = []
    for world in range(env.worlds.num_worlds):
        square = padded(renderer.render(env.worlds.scene(world)), MIN_SIZE_PX, MIN_SIZE_PX)
        views.append(np.array(Image.fromarray(square).resize(size, Image.Resampling.BOX)))
    return np.repeat(np.stack(views), robots, axis=0)


def _scalar(value: np.generic) -> Scalar:
    number = value.item()
    return number if isinstance(number, int) or np.isfinite(number) else None


def _make_folder(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
