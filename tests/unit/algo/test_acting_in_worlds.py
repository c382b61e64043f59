"""Noise of acting is the run's, not the worker's: sharing the worlds out changes nothing that happens in them."""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.algo.policy import parameter_shapes
from robonav_ray.config.load import load_run_config
from robonav_ray.records import Assignment, EpisodeResults, Fragment, PolicySnapshot
from robonav_ray.rollout.make_worker import WorkerOrder, make_worker
from robonav_ray.runs.task import describe_task

SETTINGS = {
    "rainbow": ["preset=rainbow", "algo.num_atoms=11"],
    "lidar_conv": ["preset=iqn", "algo.encoder=lidar_conv", "algo.conv_channels=[4]", "curriculum.epsilon_scale=.2"],
    "deep_set": ["algo.encoder=deep_set", "algo.set_dims=[12]", "env.world.observation=state", "env.world.lidar={}"],
}


class Ears:
    """Assignments, sink and weights in one: keeps what it hears."""

    def __init__(self, snapshot: PolicySnapshot, epsilon: float) -> None:
        self.snapshot, self.epsilon = snapshot, epsilon
        self.fragments: list[Fragment] = []

    def next_assignment(self, worker: int) -> Assignment:
        return Assignment(stage=0, epsilon=self.epsilon, clock=0, serial=0)

    def report(self, results: EpisodeResults) -> None:
        pass

    def insert(self, fragment: Fragment) -> None:
        self.fragments.append(fragment)

    def newer_than(self, version: int) -> PolicySnapshot | None:
        return self.snapshot if self.snapshot.version > version else None


def rows_of(settings: list[str], shares: list[tuple[int, int]]) -> np.ndarray:
    """Every row that workers with these (first, number of) worlds ship in three fragments, in an order of their own
    content."""
    config = load_run_config(
        None, ["algo.hidden_dims=[16]", "rollout.num_worlds=8", "rollout.steps_per_fragment=12",
               "env.world.lidar.num_beams=12", *settings],
    )  # fmt: skip
    task = describe_task(config)
    shapes = parameter_shapes(task.obs_dim, task.num_actions, config.algo, task.structure)
    rng = np.random.default_rng(0)
    weights = PolicySnapshot(
        1, 0, tuple(shapes), tuple(rng.standard_normal(s).astype(np.float32) for s in shapes.values())
    )
    rows = []
    for worker, (first, num) in enumerate(shares):
        ears = Ears(weights, 0.0 if config.algo.noisy else 0.2)
        made = make_worker(
            WorkerOrder(
                config=config, levels=task.levels, worker=worker, life=0, first_world=first, num_worlds=num,
                assignments=ears, sink=ears, weights=ears,
            )
        )  # fmt: skip
        for _ in range(3):
            made.collect()
        for fragment in ears.fragments:
            columns = [c.reshape(fragment.num_rows, -1).astype(np.float64) for c in fragment.columns]
            rows.append(np.concatenate([*columns, fragment.priority[:, None]], axis=1))
    table = np.concatenate(rows)
    return table[np.lexsort(table.T)]


@pytest.mark.parametrize("name", SETTINGS)
def test_sharing_worlds_out_changes_no_row(name):
    whole = rows_of(SETTINGS[name], [(0, 8)])
    assert len(whole) > 200
    np.testing.assert_array_equal(rows_of(SETTINGS[name], [(0, 3), (3, 5)]), whole)
    assert not np.array_equal(rows_of([*SETTINGS[name], "seed=1"], [(0, 8)])[:50], whole[:50])
