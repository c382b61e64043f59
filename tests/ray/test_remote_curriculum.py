"""The curriculum's Ray shell keeps the contract of the plain one."""

from __future__ import annotations

import pickle
import time

import numpy as np
import pytest

from robonav_ray.config.curriculum import CurriculumConfig, GateConfig, StageConfig
from robonav_ray.interfaces import AssignmentSource
from robonav_ray.records import EpisodeResults

pytestmark = pytest.mark.ray

CONFIG = CurriculumConfig(
    stages=tuple(StageConfig(name=f"s{i}", gate=GateConfig(min_success_frac=0.5)) for i in range(3)), window=10
)


def successes(worker: int, stage: int, start: int, n: int) -> EpisodeResults:
    ones, zeros = np.ones(n, np.int32), np.zeros(n, np.float32)
    return EpisodeResults(
        worker=worker, stage=ones * stage, world=ones * worker, started_at=start + np.arange(n, dtype=np.int64) * 5,
        length=ones * 5, outcome=ones.astype(np.int8), task_return=zeros + 10, total_return=zeros + 10,
        goals_reached=ones, path_length_m=zeros, shortest_path_length_m=zeros, min_clearance_m=zeros,
        on_gate=np.ones(n, bool), watermark=start + 5 * n, watermark_stage=stage,
    )  # fmt: skip


def wait_for(condition, timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def test_shell_climbs_forces_and_resumes(ray_session):
    from robonav_ray.curriculum.remote import RemoteAssignmentSource, start_curriculum

    handle = start_curriculum(CONFIG)
    source = pickle.loads(pickle.dumps(handle.source(max_in_flight=2)))  # noqa: S301
    assert isinstance(source, AssignmentSource)
    assert isinstance(source, RemoteAssignmentSource)
    assert source.next_assignment(0).stage == 0
    for i in range(3):
        source.report(successes(0, 0, 20 * i, 4))
    wait_for(lambda: source.next_assignment(0).stage == 1)
    assert source.next_assignment(0).clock == 0
    assert handle.progress().transitions[0].num_gate_episodes == 10

    for _ in range(100):
        source.next_assignment(0)
    assert len(source._in_flight) <= 2

    handle.force(2)
    wait_for(lambda: source.next_assignment(0).stage == 2)
    state = handle.state()
    handle.stop()

    resumed = start_curriculum(CONFIG)
    resumed.load(state)
    progress = resumed.progress()
    assert (progress.stage, progress.forced, progress.num_workers) == (2, False, 0), (
        "a resume holds what its config holds"
    )
    with pytest.raises(ValueError, match="0 to 2"):
        resumed.force(9)
    late = resumed.source()
    assert late.next_assignment(4).stage == 2
    late.report(successes(4, 7, 0, 1))
    with pytest.raises(ValueError, match="3 stages"):
        wait_for(lambda: late.next_assignment(4).stage == 99)
    resumed.stop()


def test_two_workers_share_the_gate_and_a_lost_one_lets_go(ray_session):
    from robonav_ray.curriculum.remote import start_curriculum

    handle = start_curriculum(CONFIG)
    sources = [handle.source(), handle.source()]
    assert [s.next_assignment(k).stage for k, s in enumerate(sources)] == [0, 0]
    sources[0].report(successes(0, 0, 0, 12))
    wait_for(lambda: handle.progress().num_pending == 12)
    assert handle.progress().stage == 0
    handle.worker_lost(1)
    assert handle.progress().stage == 1
    handle.stop()


def test_merged_reports_say_the_same_as_single_ones():
    from robonav_ray.curriculum.curriculum import Curriculum
    from robonav_ray.curriculum.remote import merge_results

    reports = [successes(0, 0, 20 * i, n) for i, n in enumerate((4, 0, 4, 1))]
    merged = merge_results(reports)
    assert merged.num_episodes == 9
    assert (merged.watermark, merged.watermark_stage) == (reports[-1].watermark, 0)
    np.testing.assert_array_equal(merged.started_at, np.concatenate([r.started_at for r in reports]))
    assert merge_results(reports[:1]) is reports[0]
    single, together = Curriculum(CONFIG), Curriculum(CONFIG)
    single.next_assignment(0), together.next_assignment(0)
    for r in reports:
        single.report(r)
    together.report(merged)
    assert together.progress().window == single.progress().window
    assert together.progress().stages == single.progress().stages


def test_many_reports_make_few_calls(ray_session):
    from robonav_ray.curriculum.remote import start_curriculum

    handle = start_curriculum(CONFIG)
    source = handle.source(interval_s=0.2)
    source.next_assignment(0)
    for i in range(300):
        source.report(successes(0, 2, 5 * i, 1))
        source.next_assignment(0)
    time.sleep(0.2)
    source.next_assignment(0)
    wait_for(lambda: handle.progress().num_episodes == 300)
    handle.stop()
