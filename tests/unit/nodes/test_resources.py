"""Sizing: what fits is chosen and said, what does not fit is refused before anything starts."""

from dataclasses import replace

import pytest

from robonav_ray.config.load import load_run_config
from robonav_ray.nodes import resources
from robonav_ray.nodes.connection import ClusterError, ClusterFacts
from robonav_ray.nodes.resources import make_plan, plan_when_free, split_worlds


def facts(num_cpus: float, num_gpus: float = 0.0, free: float | None = None) -> ClusterFacts:
    return ClusterFacts("10.0.0.1:6379", True, 1, num_cpus, num_gpus, num_cpus if free is None else free, 2**33)


@pytest.mark.parametrize(("cpus", "workers"), [(2, 1), (4, 2), (8, 4), (64, 4)])
def test_auto_takes_what_is_left(cpus: int, workers: int) -> None:
    plan = make_plan(load_run_config(), facts(cpus))
    assert plan.num_workers == workers
    assert plan.cpus <= cpus
    assert sum(n for _, n in plan.worlds) == 64


@pytest.mark.parametrize(
    ("overrides", "cluster", "parts"),
    [
        (["learner.num_ranks=4"], facts(2), ["too small", "learner.num_ranks", "2 of 2 are free"]),
        (["rollout.num_workers=9"], facts(4), ["too small", "9 rollout workers"]),
        ([], facts(8, free=1.0), ["1 of 8 are free", "ray status"]),
        (["learner.device=cuda"], facts(8), ["learner.device is cuda", "0 GPUs"]),
        (["rollout.num_workers=65", "rollout.num_worlds=64"], facts(99), ["rollout.num_workers (65)"]),
    ],
)
def test_what_does_not_fit_is_refused(overrides: list[str], cluster: ClusterFacts, parts: list[str]) -> None:
    with pytest.raises(ClusterError) as caught:
        make_plan(load_run_config(None, overrides), cluster)
    for part in parts:
        assert part in str(caught.value)


def test_cpus_that_another_session_gives_back_are_waited_for_and_those_that_nobody_has_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = iter([facts(8, free=1.0), facts(8)])
    monkeypatch.setattr(resources, "look_at_cluster", lambda started_here: next(looks))
    monkeypatch.setattr(resources.time, "sleep", lambda seconds: None)
    shared = replace(facts(8, free=1.0), started_here=False)
    assert plan_when_free(load_run_config(), shared).num_workers == 4
    with pytest.raises(ClusterError, match="too small"):
        plan_when_free(load_run_config(None, ["runtime.cpus_per_rank=9"]), shared)  # without another look


def test_a_session_after_a_loss_takes_fewer_workers_than_were_asked_for_and_no_fewer_ranks() -> None:
    config = load_run_config(None, ["rollout.num_workers=9"])
    plan = make_plan(config, facts(4), at_most=True)
    assert 1 <= plan.num_workers < 9
    assert plan.cpus <= 4
    assert sum(n for _, n in plan.worlds) == config.rollout.num_worlds
    with pytest.raises(ClusterError, match="too small"):
        make_plan(load_run_config(None, ["learner.num_ranks=4"]), facts(2), at_most=True)


def test_gpus_are_used_when_every_rank_gets_one() -> None:
    assert make_plan(load_run_config(), facts(8, num_gpus=1)).gpus_per_rank == 1.0
    assert make_plan(load_run_config(None, ["learner.num_ranks=2"]), facts(8, num_gpus=1)).gpus_per_rank == 0.0


def test_worlds_are_split_contiguously_and_evenly() -> None:
    assert split_worlds(10, 3) == ((0, 4), (4, 3), (7, 3))
