"""The chaos suite's plan, eyes and report: the same seed, the right victims, verdicts that can be broken."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from proofs.chaos import program as chaos
from proofs.chaos.docs import NoSuchSectionError, check_section, write_docs
from proofs.chaos.fault import choose, learner_flows, loss_of
from proofs.chaos.kinds import GROUPS, KINDS, UnknownKindError, chosen_kinds
from proofs.chaos.picture import draw_timeline
from proofs.chaos.processes import Look, Process, Watch
from proofs.chaos.promises import CHECKS, PROMISES, figures_of
from proofs.chaos.record import as_reading
from proofs.chaos.report import broken_lines, fault_table, make_report, markdown, print_report, write_report
from proofs.chaos.schedule import JITTER_FRAC, Planned, make_schedule
from proofs.chaos.training import Training
from robonav_ray.part_names import Part
from robonav_ray.screen import Screen

THREE = chosen_kinds(["worker", "shard", "rank"])
FACTS = {"fragment_rows": 100.0, "checkpoint_s": 15.0}


def actor(pid: int, title: str, state: str = "S") -> Process:
    return Process(pid, 1, 1000 + pid, state, title)


def look(**nodes: list[Process]) -> Look:
    return Look(5.0, {name: tuple(group) for name, group in nodes.items()})


def test_a_schedule_is_a_function_of_its_seed() -> None:
    assert make_schedule(THREE, 7, 10.0, 9) == make_schedule(THREE, 7, 10.0, 9)
    assert make_schedule(THREE, 7, 10.0, 9) != make_schedule(THREE, 8, 10.0, 9)
    with pytest.raises(ValueError, match="above 0"):
        make_schedule(THREE, 0, 0.0, 3)


def test_a_schedule_shares_out_the_kinds_and_keeps_its_period() -> None:
    planned = make_schedule(THREE, 3, 10.0, 30)
    for first in range(0, 30, 3):
        assert {p.kind.name for p in planned[first : first + 3]} == {"worker", "shard", "rank"}
    assert all(abs(p.at_s - 10.0 * (p.number + 1)) <= 10.0 * JITTER_FRAC for p in planned)
    assert [p.at_s for p in planned] == sorted(p.at_s for p in planned)
    assert len({p.draw for p in planned}) == 30
    assert all(0 <= p.pick(2) < 2 for p in planned)
    assert {p.pick(2) for p in planned} == {0, 1}


def test_kinds_and_groups_are_found_by_name() -> None:
    assert [kind.name for kind in chosen_kinds(["hang", "worker", "hang-worker"])] == [*GROUPS["hang"], "worker"]
    with pytest.raises(UnknownKindError, match=r"'wroker'.*worker"):
        chosen_kinds(["wroker"])
    assert {kind.promise for kind in KINDS.values()} == set(PROMISES)


def test_a_node_is_up_while_a_process_of_it_lives_and_a_worker_that_only_waits_is_a_spare() -> None:
    here = look(
        driver=[actor(1, "python -m robonav_ray.cli train")],
        head=[actor(2, "ray start"), actor(12, "ray::_WorkerActor.run"), actor(15, "ray::_WorkerActor")],
        frozen=[actor(3, "ray start", "T")],
        ended=[actor(4, "", "Z")],
        gone=[],
    )
    assert here.nodes_up() == {"head", "frozen"}
    assert {pid for pid, _ in here.at_work()["worker"]} == {12}


def test_victims_are_those_at_work_in_the_order_of_their_start() -> None:
    here = look(
        driver=[actor(1, "python -m robonav_ray.cli train")],
        head=[actor(2, "ray start"), actor(12, "ray::_WorkerActor.run"), actor(10, "ray::_WorkerActor.run")],
        a=[
            actor(3, "ray start"),
            actor(11, "ray::_WorkerActor.__init__"),
            actor(13, "ray::RayTrainWorker"),
            actor(14, "ray::IDLE"),
        ],
    )
    chosen = [choose(here, Planned(0, KINDS["worker"], 1.0, draw), "head") for draw in (0.0, 0.6)]
    assert [process.pid for _, process in chosen if process] == [10, 12]
    assert choose(here, Planned(0, KINDS["shard"], 1.0, 0.0), "head") is None
    assert choose(here, Planned(0, KINDS["node"], 1.0, 0.9), "head") == ("a", None), "the head is never broken"
    idle = look(
        head=[actor(2, "ray start")],
        b=[actor(4, "ray start")],
        a=[actor(9, "ray start"), actor(10, "ray::_WorkerActor.run")],
    )
    assert {choose(idle, Planned(0, KINDS["node"], 1.0, draw), "head") for draw in (0.0, 0.9)} == {("a", None)}, (
        "one in use"
    )
    assert choose(here, Planned(0, KINDS["driver"], 1.0, 0.9), "head") == ("driver", None)


def test_a_loss_is_made_good_by_as_many_new_ones_at_work() -> None:
    one, two = actor(10, "ray::_WorkerActor.run"), actor(11, "ray::_WorkerActor.run")
    loss = loss_of(look(a=[one, two]), KINDS["worker"], "a", one)
    assert not loss.is_made_good(look(a=[two]), thawed=False)
    assert not loss.is_made_good(look(a=[two, actor(12, "ray::_WorkerActor.__init__")]), thawed=False)
    assert loss.is_made_good(look(a=[two, actor(12, "ray::_WorkerActor.run")]), thawed=False)
    assert not loss.is_made_good(look(a=[one, two]), thawed=False), "who was frozen is not its own replacement"
    assert loss.is_made_good(look(a=[one, two]), thawed=True)


def test_all_ranks_begin_anew_when_one_is_lost_and_everybody_with_the_driver() -> None:
    ranks = [actor(10, "ray::RayTrainWorker"), actor(11, "ray::RayTrainWorker")]
    loss = loss_of(look(a=ranks), KINDS["rank"], "a", ranks[0])
    assert not loss.is_made_good(look(a=[ranks[1], actor(12, "ray::RayTrainWorker")]), thawed=False)
    assert loss.is_made_good(look(a=[actor(12, "ray::RayTrainWorker"), actor(13, "ray::RayTrainWorker")]), thawed=False)
    loss = loss_of(look(a=ranks), KINDS["driver"], "driver", None)
    assert not loss.is_made_good(look(a=ranks), thawed=False)


def test_a_part_is_back_when_the_run_says_so_and_not_before() -> None:
    from proofs.chaos.fault import Fault, said_of

    hit = Fault(0, "shard", 1.0, 100.0, "shard 7", back_s=2.0)
    events = [
        {"time": 101.0, "event": "lost", "part": "replay/0"},
        {"time": 102.0, "event": "back", "part": "rollout/0", "detail": "delivers again"},
        {"time": 103.5, "event": "back", "part": "replay/0", "detail": "came back with 500 rows"},
    ]
    assert said_of(Part.SHARD, hit, events) == {"back_s": 3.5, "began_empty": False}
    assert said_of(Part.WORKER, hit, events) == {"back_s": 2.0, "began_empty": False}
    events[-1]["detail"] = "came back with 0 rows"
    assert said_of(Part.SHARD, hit, events) == {"back_s": 3.5, "began_empty": True}
    assert said_of(Part.SHARD, hit, events[:2]) == {"back_s": None, "began_empty": True}
    assert said_of(None, hit, events) == {}


def test_a_learner_flows_when_it_was_seen_to_step_lately() -> None:
    changes = [(10.0 + 0.25 * i, i) for i in range(20)]
    assert learner_flows(changes, 9.0, 15.0)
    assert not learner_flows(changes, 9.0, 17.5), "not lately"
    assert not learner_flows(changes, 14.5, 15.0), "not often enough since the fault"


def test_the_watch_sees_whom_we_started_and_who_is_left() -> None:
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    watch = Watch()
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.stdout.close()
    try:
        found = watch.look({"node": process.pid}).nodes["node"]
        assert [p.pid for p in found] == [process.pid, child]
        assert "time.sleep(60)" in found[1].title
        os.kill(child, signal.SIGSTOP)
        until = time.monotonic() + 120.0
        while watch.look({"node": process.pid}).nodes["node"][1].state != "T":
            assert time.monotonic() < until
            time.sleep(0.01)
        assert {p.pid for p in watch.still_alive()} == {process.pid, child}
    finally:
        process.kill()
        process.wait()
        os.kill(child, signal.SIGKILL)
    until = time.monotonic() + 120.0
    while watch.still_alive():
        assert time.monotonic() < until
        time.sleep(0.01)
    assert watch.look({"node": process.pid}).nodes["node"] == ()


def test_the_command_is_the_same_in_every_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(tmp_path / "run", ["configs/run/chaos.yaml", "seed=1"], {"NAME": "value"}, tmp_path / "log")
    assert training.command()[2:] == [
        "robonav_ray.cli", "train", "configs/run/chaos.yaml", "seed=1", "--resume", "auto", "--out",
        str(tmp_path / "run")
    ]  # fmt: skip
    code = "import os, sys; sys.exit(3 if os.environ['NAME'] == 'value' else 4)"
    monkeypatch.setattr(training, "command", lambda *_: [sys.executable, "-c", code])
    assert training.poll() is None
    for _ in range(2):
        training.start()
        until = time.monotonic() + 120.0
        while training.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.01)
    assert [session.code for session in training.sessions] == [3, 3]
    assert training.pid is None


def fault(kind: str, number: int = 0, **changes: Any) -> dict[str, Any]:
    cost = {
        "stall_s": 0.4, "silent_s": 0.5, "resumed_s": 0.0, "env_silent_s": 0.5, "env_dip_frac": 0.6, "env_dip_s": 2.0,
        "rows_lost": 0.0, "replay_rows_lost": 0.0, "redone_steps": 0, "redone_s": 0.0, "events": [],
    }  # fmt: skip
    record = {
        "number": number, "kind": kind, "planned_s": 1.0, "time": 1002.0 + number, "victim": f"{kind} 17", "node": None,
        "held_rank": False, "back_s": 2.5, "resumed_s": 0.5, "thawed_s": None, "gone_s": None, "driver_exit": None,
        "idle": False, "note": "",
    }  # fmt: skip
    mine = {key: value for key, value in changes.items() if key in cost}
    return record | {k: v for k, v in changes.items() if k not in cost} | {"cost": cost | mine}


GOOD = {
    "final_code": 0, "stop_s": 3.0, "behind_commits": [], "repeated_tags": 0, "run_directories": 1,
    "rows_stored_twice": 0, "bad_shards": [], "balance_beyond": -5.0, "pacing_error": 0.001, "not_inflicted": [],
    "free_s": 1.0, "placement_groups": 0, "orphans": [], "survivors": [],
}  # fmt: skip


def report(faults: list[dict[str, Any]], **findings: Any) -> dict[str, Any]:
    return make_report(faults, GOOD | findings, FACTS, {"command": "python scripts/chaos.py"})


def test_every_bound_speaks_of_a_figure_that_there_is() -> None:
    figures = figures_of(fault("worker"), FACTS)
    assert {bound.figure for promise in PROMISES.values() for bound in promise.bounds} <= set(figures)
    assert {check.figure for check in CHECKS} == set(GOOD)


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (fault("worker", back_s=5.1), "within 5 s"),
        (fault("worker", stall_s=2.1), "never stalls"),
        (fault("worker", rows_lost=101.0), "one fragment"),
        (fault("worker", back_s=None), "recovers"),
        (fault("worker", driver_exit=1), "by itself"),
        (fault("rank", redone_s=16.0), "one checkpoint interval"),
        (fault("node", resumed_s=31.0), "within 30 s"),
        (fault("node", resumed_s=46.0, held_rank=True), "within 30 s"),
        (fault("freeze", back_s=26.0), "within 15 s"),
        (fault("hang-shard", resumed_s=31.0), "within 30 s"),
        (fault("add", back_s=61.0), "on it within 60 s"),
        (fault("add", back_s=None, idle=True), "on it within 60 s"),
        (fault("shard", began_empty=True), "rows of its snapshot"),
        (
            fault("hang-worker", back_s=26.0, events=[{"time": 1003.0, "event": "lost", "part": "replay/0"}]),
            "within 15 s",
        ),
        (
            fault("freeze", back_s=26.0, events=[{"time": 1003.0, "event": "fenced", "part": "rollout/1"}]),
            "within 15 s",
        ),
        (fault("sigterm", driver_exit=0, gone_s=3.0), "exit code 75"),
        (fault("sigterm", driver_exit=75, gone_s=31.0), "gone within 30 s"),
    ],
)
def test_a_broken_promise_is_said(record: dict[str, Any], says: str) -> None:
    found = report([fault("shard"), record])
    assert not found["kept"]
    assert any(says in one for one in broken_lines(found, speed=True)), broken_lines(found, speed=True)


@pytest.mark.parametrize(
    "record",
    [
        fault("worker", rows_lost=100.0),
        fault("add", back_s=20.0),
        fault("node", resumed_s=44.0, held_rank=True),
        fault("hang-shard", back_s=26.0, events=[{"time": 1012.0, "event": "fenced", "part": "replay/1"}]),
        fault("freeze", back_s=26.0, events=[{"time": 1012.0, "event": "left", "part": "node/10.0.0.2"}]),
        fault("sigterm", driver_exit=75, gone_s=3.0, resumed_s=20.0),
        fault("driver", driver_exit=-9, gone_s=0.1, resumed_s=20.0, redone_s=9.0),
    ],
)
def test_a_kept_promise_is_kept(record: dict[str, Any]) -> None:
    found = report([record])
    assert broken_lines(found, speed=True) == []
    assert found["kept"]


def test_speed_alone_can_be_left_out() -> None:
    found = report([fault("worker", back_s=9.0)])
    assert broken_lines(found, speed=True)
    assert not broken_lines(found, speed=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"final_code": 75},
        {"orphans": ["12 ray::ReplayShard"]},
        {"free_s": None},
        {"stop_s": None},
        {"not_inflicted": ["3 worker: skipped: no part to hit"]},
        {"pacing_error": 0.03},
    ],
)
def test_a_run_that_left_something_behind_is_said(changes: dict[str, Any]) -> None:
    assert len(broken_lines(report([fault("worker")], **changes), speed=True)) == 1


def test_the_report_is_printed_and_written_also_where_something_never_came_back(tmp_path: Path) -> None:
    found = report(
        [fault("worker"), fault("worker", 1, back_s=None, resumed_s=None), fault("shard", 2, victim="nobody")]
    )
    write_report(found, tmp_path / "chaos.json")
    read = json.loads((tmp_path / "chaos.json").read_text())
    assert read["faults"][1]["figures"]["back_s"] is None
    console = Screen(width=160, record=True, file=io.StringIO())
    print_report(found, console)
    text = console.export_text()
    assert "never" in text
    assert "BROKEN" in text
    assert fault_table(found["faults"]).row_count == 2
    assert "| worker | 2 | its replacement at work within 5 s | never | never | 1 of 2 |" in markdown(found)


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    readings = [
        as_reading({"step": 100 * i, "time": 1000.0 + i / 4, "learner/learner_step": 10 * i}) for i in range(80)
    ]
    draw_timeline(readings, [fault("worker"), fault("rank", 3, back_s=None)], [], tmp_path / "chaos.png", "two faults")
    assert (tmp_path / "chaos.png").stat().st_size > 10_000


def test_arguments_that_make_no_sense_are_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, says in (
        (["--faults", "wroker"], "wroker"),
        (["--faults", "node", "--nodes", "1"], "--nodes 2"),
        (["--faults", "partition"], "--namespaces"),
        (["--faults", "worker", "--period", "0"], "above 0"),
        (["--faults", "worker", "--times", "0"], "at least 1"),
        (["--faults", "worker", "--output", str(tmp_path)], "exists"),
    ):
        with pytest.raises(SystemExit) as ended:
            chaos.main(arguments)
        assert ended.value.code == 2
        assert says in capsys.readouterr().err
    assert chaos.main(["list"]) == 0
    assert "SIGKILL of a rollout worker" in capsys.readouterr().out


def test_a_section_of_the_page_is_brought_up_to_date_and_the_rest_is_left(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "chaos.md"
    page.parent.mkdir()
    page.write_text(
        "before\n"
        "<!-- figures of one -->\n"
        "old\n"
        "<!-- end of one -->\n"
        "after\n"
        "<!-- figures of two -->\n"
        "<!-- end of two -->\n"
    )
    (tmp_path / "chaos.png").write_bytes(b"picture")
    extra = {
        "env_steps": 10, "commits": 2, "sessions": [{}], "passed": True, "pacing_error": 0.001,
        "duplicates_refused": 0.0, "rows_inspected": 9, "checkpoints_inspected": 2,
    }  # fmt: skip
    found = make_report([fault("worker")], GOOD | extra, FACTS, {"command": "python scripts/chaos.py", "seconds": 9.0})
    for _ in range(2):
        assert write_docs(tmp_path, "one", found, tmp_path / "chaos.png")[0] == page
    text = page.read_text()
    assert "old" not in text
    assert text.startswith("before\n<!-- figures of one -->\n```\npython scripts/chaos.py\n```")
    assert text.endswith("<!-- end of one -->\nafter\n<!-- figures of two -->\n<!-- end of two -->\n")
    assert text.count("| worker | 1 | 2.5 / 2.5 |") == 1
    assert (page.parent / "pictures" / "chaos_one.png").read_bytes() == b"picture"
    with pytest.raises(NoSuchSectionError, match="one, two"):
        check_section(tmp_path, "three")


def test_the_page_has_the_sections_that_its_commands_name() -> None:
    for section in ("everything", "workers"):
        check_section(chaos.ROOT, section)


def test_the_command_on_the_page_does_not_say_where_its_output_went() -> None:
    words = ["--output", "/somewhere", "--config", str(chaos.ROOT / "configs" / "x.yaml")]
    assert chaos.command_line(words) == "python -m proofs chaos --config configs/x.yaml"
