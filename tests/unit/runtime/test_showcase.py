"""What a run shows when it has ended: the episodes of the evaluation, the graph of the network, the embedding."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robonav_ray.algo.policy import Policy
from robonav_ray.config.load import load_run_config
from robonav_ray.records import Outcome, PolicySnapshot
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.judging import showcase
from robonav_ray.runtime.judging.held_out import judge_stage
from robonav_ray.worlds.pictures.film import save_gif

SMALL = ["algo.hidden_dims=[8]", "evaluation.num_episodes=6", "evaluation.num_worlds=4"]


def made(words: list[str]) -> tuple:
    config = load_run_config(None, [*SMALL, *words])
    task = describe_task(config)
    policy = Policy(task.obs_dim, task.num_actions, config.algo, task.structure)
    rng = np.random.default_rng(0)
    shapes = policy._shapes
    arrays = tuple(rng.normal(size=shape).astype(np.float32) for shape in shapes.values())
    policy.load(PolicySnapshot(1, 1, tuple(shapes), arrays))
    return config, task, policy


@pytest.mark.parametrize("words", [["env.world.lidar.num_beams=12"], ["env.id=CartPole-v1"]])
def test_episodes_and_embedding_are_of_the_same_worlds(tmp_path: Path, words: list[str]) -> None:
    config, task, policy = made(words)
    table = judge_stage(policy, config, task, 0)
    written = showcase.write_episodes({"a": table}, tmp_path / "t" / "episodes.csv")
    rows = list(csv.DictReader(written.path.read_text().splitlines()))
    assert [int(row["world"]) for row in rows] == list(range(6))
    assert [row["outcome"] for row in rows] == [Outcome(o).name.lower() for o in table.outcome.tolist()]
    assert [float(row["total_return"]) for row in rows] == pytest.approx(table.total_return.tolist())
    asset = showcase.write_embedding(policy, config, task, 0, table, tmp_path / "embedding.npz")
    with np.load(asset.path, allow_pickle=False) as found:
        assert found["vector"].shape == (4, 8), "not more worlds side by side than the evaluation has"
        assert (found["vector"] >= 0).all()
        assert found["label"].tolist() == [row["outcome"] for row in rows[:4]]
        if task.is_native:
            assert found["thumbnail"].shape == (4, 48, 48, 3)
            assert len({picture.tobytes() for picture in found["thumbnail"]}) == 4, "every world looks different"
        else:
            assert "thumbnail" not in found


def test_the_representation_is_the_first_hidden_layer() -> None:
    _, task, policy = made([])
    obs = np.random.default_rng(1).normal(size=(5, task.obs_dim)).astype(np.float32)
    expected = np.maximum(obs @ policy._weights[0] + policy._biases[0], 0.0)
    np.testing.assert_allclose(policy.representation(obs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "algo", [[], ["algo.distribution=iqn", "algo.noisy=true", "algo.layer_norm=true", "curriculum.epsilon_scale=0"]]
)
def test_the_graph_leads_from_the_observation_to_the_q_values(tmp_path: Path, algo: list[str]) -> None:
    config, task, _ = made(algo)
    asset = showcase.write_graph(config, task, tmp_path / "network.json")
    nodes = json.loads(asset.path.read_text())["nodes"]
    at = {node["name"]: i for i, node in enumerate(nodes)}
    assert nodes[at["obs"]]["shape"] == [1, task.obs_dim]
    assert nodes[-1]["shape"] == [1, task.num_actions]
    assert nodes[at["hidden.0.weight"]]["op"] == "parameter"
    assert all(at[name] < i for i, node in enumerate(nodes) for name in node["inputs"])
    assert not any(node["name"].endswith("_sigma") for node in nodes), "nothing random is in it"


def test_the_top_view_is_the_last_picture_of_the_film(tmp_path: Path) -> None:
    frames = [np.full((20, 30, 3), value, np.uint8) for value in (0, 90, 255)]
    frames[2][5:10, 5:10] = (255, 0, 0)
    save_gif(frames, tmp_path / "play.gif", 10)
    with Image.open(showcase.write_top_view(tmp_path / "play.gif", tmp_path / "tracked" / "top.png").path) as picture:
        shown = np.array(picture.convert("RGB")).astype(int)
    assert np.abs(shown - frames[2]).max() < 40
