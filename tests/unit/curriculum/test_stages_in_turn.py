"""The curriculum: transitions do not depend on who reports what when; forcing, losing workers, resuming."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_up_episodes import Worker, World, episode, make_results

from robonav_ray.config.curriculum import CurriculumConfig, EpsilonConfig, GateConfig, StageConfig
from robonav_ray.curriculum.curriculum import Curriculum
from robonav_ray.curriculum.gates import GateWindow
from robonav_ray.curriculum.judging import Judging
from robonav_ray.interfaces import AssignmentSource
from robonav_ray.records import Outcome
from robonav_ray.runs.progress import write_progress

NUM_WORLDS, NUM_GATE_WORLDS = 16, 8
GATE = GateConfig(min_success_frac=0.7, min_return=5.0, max_collision_frac=0.3)
CONFIG = CurriculumConfig(
    stages=tuple(
        StageConfig(name=f"s{i}", gate=GATE, epsilon=EpsilonConfig(start=0.5, end=0.1, decay=0.99)) for i in range(3)
    ),
    window=50,
)


def oracle_transition(stage: int) -> tuple[int, int, int]:
    """Sort all gate episodes of a stage by start, slide the window over them: (world, started_at, number entered)."""
    rows = []
    for world in range(NUM_GATE_WORLDS):
        clock = 0
        for index in range(200):
            length, outcome, task_return = episode(stage, world, index)
            rows.append((clock, world, outcome, task_return))
            clock += length
    window, judging = GateWindow(CONFIG.window), Judging(CONFIG.stages, True)
    for n, (started_at, world, outcome, task_return) in enumerate(sorted(rows), start=1):
        window.add(outcome, task_return)
        if window.is_full and judging.is_met(0, window.figures()):
            return world, started_at, n
    raise AssertionError("the made-up episodes never open the gate")


def play(num_workers: int, seed: int, num_rounds: int = 6000, curriculum: Curriculum | None = None) -> Curriculum:
    """Share the worlds out and let the workers report in random turns of random length."""
    rng = np.random.default_rng(seed)
    curriculum = curriculum or Curriculum(CONFIG)
    worlds = [World(i, i < NUM_GATE_WORLDS) for i in range(NUM_WORLDS)]
    workers = [Worker(k, worlds[k::num_workers], curriculum) for k in range(num_workers)]
    for _ in range(num_rounds):
        workers[int(rng.integers(num_workers))].play(int(rng.integers(1, 40)))
        if curriculum.passed:
            break
    return curriculum


@pytest.mark.parametrize(("num_workers", "seed"), [(1, 0), (1, 1), (2, 2), (2, 3), (8, 4), (8, 5), (16, 6)])
def test_the_gate_opens_at_the_same_episode_however_the_worlds_are_shared(num_workers, seed):
    curriculum = play(num_workers, seed)
    assert curriculum.passed
    got = [(t.world, t.started_at, t.num_gate_episodes) for t in curriculum.progress().transitions]
    assert got == [oracle_transition(stage) for stage in range(3)]
    assert [t.reason for t in curriculum.progress().transitions] == ["gate", "gate", "passed"]


def test_the_order_of_finishing_would_have_given_another_answer():
    """The collisions are short: judged in the order of finishing, the first windows look worse than they are."""
    finished, started = [], []
    for world in range(256):
        clock = 0
        for index in range(3):
            length, outcome, _ = episode(0, world, 20 + index)
            started.append((clock, world, outcome))
            finished.append((clock + length, world, outcome))
            clock += length
    first_finished = [o == Outcome.SUCCESS for _, _, o in sorted(finished)[:50]]
    first_started = [o == Outcome.SUCCESS for _, _, o in sorted(started)[:50]]
    assert np.mean(first_finished) < np.mean(first_started) - 0.2


def one(stage: int, started_at: int, outcome: int = 1, task_return: float = 10.0, on_gate: bool = True, world: int = 0):
    return (stage, world, started_at, 10, outcome, task_return, on_gate)


def feed(curriculum: Curriculum, n: int, stage: int, start: int = 0, **kwargs) -> None:
    rows = [one(stage, start + 10 * i, **kwargs) for i in range(n)]
    curriculum.report(make_results(0, rows, start + 10 * n, stage))


def test_it_is_an_assignment_source_and_follows_the_epsilon_schedule():
    curriculum = Curriculum(CONFIG)
    assert isinstance(curriculum, AssignmentSource)
    first = curriculum.next_assignment(0)
    assert (first.stage, first.epsilon, first.clock) == (0, 0.5, 0)
    feed(curriculum, 10, 0, outcome=int(Outcome.TIMEOUT), task_return=0.0)
    second = curriculum.next_assignment(0)
    assert second.epsilon == pytest.approx(0.5 * 0.99**10)
    assert second.serial > first.serial
    feed(curriculum, 1000, 0, start=100, outcome=int(Outcome.TIMEOUT), task_return=0.0)
    assert curriculum.epsilon == 0.1
    serial = curriculum.next_assignment(0).serial
    feed(curriculum, 1, 0, start=20000, outcome=int(Outcome.TIMEOUT), task_return=0.0)
    assert curriculum.next_assignment(0).serial == serial, "nothing in the assignment changed"


def test_the_window_must_be_full_and_empties_at_a_transition():
    curriculum = Curriculum(CONFIG)
    curriculum.next_assignment(0)
    feed(curriculum, 49, 0)
    assert curriculum.progress().stage == 0
    feed(curriculum, 1, 0, start=490)
    progress = curriculum.progress()
    assert (progress.stage, progress.window.num_episodes, progress.epsilon) == (1, 0, 0.5)
    transition = progress.transitions[0]
    assert (transition.env_steps, transition.num_episodes, transition.window.success_frac) == (500, 50, 1.0)
    feed(curriculum, 60, 0, start=500)
    progress = curriculum.progress()
    assert progress.window.num_episodes == 0, "episodes of the old stage never enter"
    assert progress.stages[0].num_episodes == 110


def test_episodes_off_the_gate_are_counted_only():
    curriculum = Curriculum(CONFIG)
    curriculum.next_assignment(0)
    feed(curriculum, 200, 0, on_gate=False)
    assert (curriculum.progress().num_gate_episodes, curriculum.progress().num_episodes) == (0, 200)


def test_min_episodes_delays_the_gate():
    stages = (CONFIG.stages[0].model_copy(update={"min_episodes": 80}), CONFIG.stages[1])
    curriculum = Curriculum(CurriculumConfig(stages=stages))
    curriculum.next_assignment(0)
    feed(curriculum, 200, 0)
    assert curriculum.progress().transitions[0].num_gate_episodes == 80


def test_forcing_stays_until_released_and_force_stage_passes_at_its_own_gate():
    curriculum = Curriculum(CONFIG)
    curriculum.next_assignment(0)
    curriculum.force(1)
    feed(curriculum, 49, 1)
    assert not curriculum.passed
    feed(curriculum, 51, 1, start=490)
    progress = curriculum.progress()
    assert (progress.stage, progress.forced, progress.passed) == (1, True, True), (
        "the stage that it is held in is the whole task"
    )
    assert [t.reason for t in progress.transitions] == ["forced", "passed"]
    curriculum.force(None)
    assert not curriculum.passed, "released, the last stage is the task again"
    feed(curriculum, 1, 1, start=1000)
    assert curriculum.progress().stage == 2
    before = curriculum.state_dict()
    with pytest.raises(ValueError, match="0 to 2"):
        curriculum.force(3)
    assert curriculum.state_dict()["history"] == before["history"]
    assert not curriculum.progress().forced

    forced = Curriculum(CurriculumConfig(stages=CONFIG.stages, force_stage=1))
    forced.next_assignment(0)
    feed(forced, 100, 1)
    assert (forced.progress().stage, forced.passed) == (1, True)


def with_config(state: dict, **changes) -> Curriculum:
    """A curriculum under another config that takes over ``state``."""
    curriculum = Curriculum(CONFIG.model_copy(update=changes))
    curriculum.load_state_dict(json.loads(json.dumps(state)))
    return curriculum


def test_a_resume_holds_or_releases_as_its_own_config_says():
    held = Curriculum(CONFIG.model_copy(update={"force_stage": 1}))
    held.next_assignment(0)
    feed(held, 60, 1)
    assert with_config(held.state_dict(), force_stage=1).passed
    released = with_config(held.state_dict())
    assert (released.progress().stage, released.progress().forced, released.passed) == (1, False, False)
    feed(released, 1, 1, start=600)
    assert released.progress().stage == 2, "the window it was saved with counts"
    moved = with_config(held.state_dict(), force_stage=2)
    assert (moved.progress().stage, moved.progress().forced, moved.passed) == (2, True, False)

    at_run_time = Curriculum(CONFIG)
    at_run_time.force(2)
    assert not with_config(at_run_time.state_dict()).progress().forced

    through = play(2, 0)
    assert with_config(through.state_dict()).passed
    assert with_config(through.state_dict(), force_stage=0).passed, "who has passed the last stage has passed"


def test_going_back_to_a_stage_ignores_what_began_in_the_first_visit():
    curriculum = Curriculum(CONFIG)
    curriculum.next_assignment(0)
    feed(curriculum, 10, 0)
    curriculum.force(1)
    curriculum.force(0)
    assert curriculum.next_assignment(0).clock == 100
    curriculum.report(make_results(0, [one(0, 50), one(0, 100)], 110, 0))
    assert curriculum.progress().num_gate_episodes == 1


def test_after_passing_it_stays_in_the_last_stage_and_says_so_once():
    curriculum = play(2, 0)
    before = len(curriculum.progress().transitions)
    assert curriculum.next_assignment(0).stage == 2
    play(2, 1, num_rounds=50, curriculum=curriculum)
    assert curriculum.next_assignment(0).stage == 2
    assert len(curriculum.progress().transitions) == before
    assert curriculum.progress().transitions[-1].reason == "passed"


def test_a_silent_worker_holds_the_gate_until_it_is_lost_and_its_replacement_joins_late():
    curriculum = Curriculum(CONFIG)
    curriculum.next_assignment(0), curriculum.next_assignment(1)
    feed(curriculum, 60, 0)
    assert curriculum.progress().stage == 0
    assert curriculum.progress().num_pending == 60
    curriculum.worker_lost(1)
    assert curriculum.progress().stage == 1
    curriculum.report(make_results(0, [], 300, 1))
    assert curriculum.next_assignment(1).clock == 300
    curriculum.report(make_results(5, [one(1, 0)], 0, 1))
    assert curriculum.progress().num_workers == 2, "a report does not make a worker live: it may be a dead one's last"


def test_workers_killed_at_random_never_stop_the_climb():
    rng = np.random.default_rng(3)
    curriculum = Curriculum(CONFIG)
    worlds = [[World(i, i < NUM_GATE_WORLDS) for i in range(k, NUM_WORLDS, 4)] for k in range(4)]
    workers = [Worker(k, worlds[k], curriculum) for k in range(4)]
    num_killed = 0
    for _ in range(4000):
        k = int(rng.integers(4))
        if rng.random() < 0.05:
            curriculum.worker_lost(k)
            workers[k] = Worker(k, worlds[k], curriculum)
            num_killed += 1
        workers[k].play(int(rng.integers(1, 40)))
        if curriculum.passed:
            break
    assert curriculum.passed
    assert num_killed > 10


def test_state_round_trip_goes_on_exactly_as_before():
    for stop_after in (3, 40, 150):
        curriculum = play(2, 11, num_rounds=stop_after)
        twin = Curriculum(CONFIG)
        state = json.loads(json.dumps(curriculum.state_dict()))
        twin.load_state_dict(state)
        after = twin.state_dict()
        assert {k: v for k, v in after.items() if k != "elapsed_s"} == {
            k: v for k, v in state.items() if k != "elapsed_s"
        }
        for c in (curriculum, twin):
            c.report(make_results(0, [one(0, 9000 + i, world=i) for i in range(8)], 9500, 0))
            c.report(make_results(1, [], 9600, 0))
        assert twin.progress().window == curriculum.progress().window
        assert twin.next_assignment(0) == curriculum.next_assignment(0)


def test_state_of_another_shape_or_other_stages_is_refused_and_changes_nothing():
    curriculum = play(1, 0, num_rounds=20)
    state = curriculum.state_dict()
    fresh = Curriculum(CONFIG)
    before = {k: v for k, v in fresh.state_dict().items() if k != "elapsed_s"}
    for broken in (
        {**state, "colour": 1},
        {k: v for k, v in state.items() if k != "window"},
        {**state, "stage_names": ["a"]},
        {**state, "version": 99},
        {**state, "order": {}},
        {},
    ):
        with pytest.raises(ValueError, match=r"state|saved|version"):
            fresh.load_state_dict(broken)
    for key, changes in (("curriculum.window", {"window": 60}), ("curriculum.stages", {"stages": CONFIG.stages[:2]})):
        with pytest.raises(ValueError, match=rf"{key}: the saved state .* start a new run"):
            with_config(state, **changes)
    assert {k: v for k, v in fresh.state_dict().items() if k != "elapsed_s"} == before


def test_elapsed_time_goes_on_over_a_resume():
    now = [100.0]
    curriculum = Curriculum(CONFIG, clock=lambda: now[0])
    now[0] = 130.0
    state = curriculum.state_dict()
    now[0] = 5000.0
    resumed = Curriculum(CONFIG, clock=lambda: now[0])
    resumed.load_state_dict(state)
    now[0] = 5010.0
    assert resumed.progress().elapsed_s == 40.0


def test_without_outcomes_one_open_stage_or_the_users_own_return():
    open_one = Curriculum(CurriculumConfig(), has_outcomes=False)
    assert [s.name for s in open_one.stages] == ["open"]
    stage = StageConfig(name="cartpole", gate=GateConfig(min_success_frac=None, min_return=450.0))
    curriculum = Curriculum(CurriculumConfig(stages=(stage,)), has_outcomes=False)
    curriculum.next_assignment(0)
    feed(curriculum, 60, 0, outcome=0, task_return=450.0)
    assert not curriculum.passed
    assert curriculum.progress().min_success_frac is None
    feed(curriculum, 50, 0, start=600, outcome=0, task_return=451.0)
    assert curriculum.passed


def test_a_stage_that_does_not_exist_is_refused():
    curriculum = Curriculum(CONFIG)
    with pytest.raises(ValueError, match="3 stages"):
        feed(curriculum, 1, 7)


def test_progress_is_written_aside_and_reads_as_json(tmp_path):
    curriculum = play(2, 0)
    path = tmp_path / "curriculum_progress.json"
    write_progress(curriculum.progress(), path)
    data = json.loads(path.read_text())
    assert data["passed"] is True
    assert data["stages"][2]["name"] == "s2"
    assert len(data["transitions"]) == 3
    assert data["transitions"][0]["window"]["num_episodes"] == 50
    assert [p.name for p in tmp_path.iterdir()] == ["curriculum_progress.json"]
    text = curriculum.progress().summary_text()
    assert "s0 -> s1 (gate)" in text
    assert "s2 passed" in text
    metrics = curriculum.progress().metrics()
    assert all(isinstance(v, float) for v in metrics.values())
    assert metrics["curriculum/passed"] == 1.0


def test_a_return_that_is_not_finite_is_written_as_null(tmp_path):
    curriculum = Curriculum(CONFIG)
    curriculum.next_assignment(0)
    feed(curriculum, 1, 0, task_return=float("nan"))
    write_progress(curriculum.progress(), tmp_path / "progress.json")
    told = json.loads((tmp_path / "progress.json").read_text(), parse_constant=lambda word: pytest.fail(word))
    assert told["stages"][0]["return_sum"] is None
    assert told["stages"][0]["num_episodes"] == 1


def linear_curriculum() -> Curriculum:
    epsilon = EpsilonConfig(start=1.0, end=0.1, schedule="linear", steps=20_000)
    return Curriculum(
        CurriculumConfig(stages=(StageConfig(name="only", gate=GateConfig(min_return=1e9), epsilon=epsilon),))
    )


@pytest.mark.parametrize(("num_workers", "seed"), [(1, 0), (2, 1), (8, 2)])
def test_a_linear_epsilon_depends_on_the_env_steps_alone(num_workers, seed):
    curriculum, serials = linear_curriculum(), []

    def check(_results: object) -> None:
        env_steps = curriculum.progress().env_steps
        assert curriculum.epsilon == pytest.approx(max(0.1, 1.0 - 0.9 * env_steps / 20_000), rel=1e-12)
        serials.append(curriculum.assignment_of(0).serial)

    curriculum.listeners.append(check)
    play(num_workers, seed, num_rounds=300, curriculum=curriculum)
    assert curriculum.epsilon < 1.0
    assert serials == sorted(serials)
    assert len(set(serials)) > 10, "a worker is told that epsilon has changed"


def test_listeners_hear_every_report_once():
    curriculum, heard = Curriculum(CONFIG), []
    curriculum.listeners.append(lambda results: heard.append(results.num_episodes))
    play(2, 3, num_rounds=100, curriculum=curriculum)
    assert sum(heard) == curriculum.progress().num_episodes > 0
