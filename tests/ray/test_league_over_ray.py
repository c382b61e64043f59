"""A league over Ray: snapshots are taken, met and counted, challenge the best and play for gates; a checkpoint holds
the league, and a session goes on from it.
"""

import time
from pathlib import Path

import pytest

from robonav_ray.config.load import load_run_config
from robonav_ray.league.league import League
from robonav_ray.nodes.resources import make_plan
from robonav_ray.runs.checkpoint import CheckpointWriter, Counters, open_checkpoint
from robonav_ray.runs.run_directory import create_run
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.over_ray.ray_wiring import RayWiring
from robonav_ray.runtime.wiring import RunSession
from tests.e2e.test_league_resume import PROMOTED
from tests.ray.test_ray_wiring import EIGHT_CPUS, events, poll_until

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_a_league_trains_and_is_gone_on_with(ray_session: None, tmp_path: Path) -> None:
    config = load_run_config(
        None, [*PROMOTED, "rollout.num_workers=2", "runtime.cpus_per_rollout_worker=0.5", "runtime.start_timeout_s=400"]
    )
    run = create_run(config, tmp_path / "run")
    session = RunSession(config, describe_task(config), run, None, time.monotonic())
    wiring = RayWiring(session, make_plan(config, EIGHT_CPUS))
    try:
        facts = poll_until(wiring, lambda facts: facts.metrics.get("league/snapshots", 0) >= 3)
        assert facts.metrics["league/lost"] == 0.0
        assert ("joined", "league/main-0000") in events(run.path)
        facts = poll_until(wiring, lambda facts: facts.metrics.get("league/challenges", 0) >= 1)
        assert facts.metrics["league/match_cpu_s"] > 0.0
        assert {"promoted", "kept"} & {event for event, _ in events(run.path)}
        facts = poll_until(wiring, lambda facts: "played" in {event for event, _ in events(run.path)})
        assert facts.metrics["league/gate_match_cpu_s"] > 0.0, "a snapshot has played for the gate of the first stage"
        writer = CheckpointWriter(run.checkpoints, Counters(facts.env_steps, facts.learner_steps, 0.0, 1))
        wiring.save(writer)
        checkpoint = open_checkpoint(writer.commit().path)
    finally:
        wiring.close()
    assert config.league is not None
    league = League(config.league)
    league.load_state_dict(checkpoint.read_json("league.json"))
    met = [member for member in league.pool.snapshots if league.payoff.known("main", [member.id])[0] > 0]
    assert len(met) >= 2
    later = RunSession(config, describe_task(config), run, checkpoint, time.monotonic())
    wiring = RayWiring(later, make_plan(config, EIGHT_CPUS))
    try:
        num = len(league.pool.lineage)
        poll_until(wiring, lambda facts: f"league/main-{num:04d}" in {part for _, part in events(run.path)})
    finally:
        wiring.close()
