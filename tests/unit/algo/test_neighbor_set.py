"""The set is where the worlds put their circles and robots."""

from __future__ import annotations

import pytest

from robonav_ray.algo.neighbor_set import NeighborSet, neighbor_set
from robonav_ray.config.load import ConfigError, load_run_config
from robonav_ray.config.worlds import EnvConfig
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.judge import world_changes
from robonav_ray.worlds.kernels.observation import ObservationLayout


@pytest.mark.parametrize(("num_robots", "num_circles"), [(1, 5), (3, 2), (4, 0)])
def test_the_set_is_that_of_the_layout(num_robots, num_circles):
    env = EnvConfig.model_validate({"world": {"observation": "state", "num_robots": num_robots}})
    layout = ObservationLayout.of(env.world, num_circles)
    found = neighbor_set(env, layout.size)
    assert found is not None
    assert found == NeighborSet(6, num_circles + num_robots - 1, 7, presence=4)
    assert found.size == layout.size
    assert layout.slices["circles"] == slice(found.own, found.size)


@pytest.mark.parametrize(
    ("env", "obs_dim"),
    [({"id": "CartPole-v1"}, 4), ({}, 120), ({"world": {"observation": "state"}}, 6)],
)
def test_no_set_where_no_neighbour_is_shown(env, obs_dim):
    assert neighbor_set(EnvConfig.model_validate(env), obs_dim) is None


def test_worlds_without_a_neighbour_have_no_set_to_encode():
    stage = "{name: empty, level: {num_static: 0, num_dynamic: 0}}"
    overrides = ["env.world.observation=state", f"curriculum.stages=[{stage}]"]
    assert describe_task(load_run_config(None, overrides)).structure is None
    with pytest.raises(
        ConfigError, match=r"algo\.encoder=attention needs a set.*set algo\.encoder=mlp, or have circles"
    ):
        describe_task(load_run_config(None, [*overrides, "algo.encoder=attention"]))


def test_policies_of_a_set_go_to_worlds_with_more_neighbours():
    trained = load_run_config(None, ["env.world.observation=state", "algo.encoder=deep_set"])
    fuller = load_run_config(None, ["env.world.observation=state", "algo.encoder=deep_set", "env.world.num_robots=3"])
    assert world_changes(trained, fuller) == ("env.world.num_robots=3 (trained with 1)",)
    with pytest.raises(ConfigError, match="change nothing that is seen or done"):
        world_changes(load_run_config(None, ["env.world.observation=state"]), fuller)
    with pytest.raises(ConfigError, match="change nothing that is seen or done"):
        world_changes(trained, load_run_config(None, []))
