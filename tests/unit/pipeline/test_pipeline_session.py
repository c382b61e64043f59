"""Each step is done once: again only when what it takes, or what it made, is not as it was."""

import contextlib
import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from robonav_ray.config.pipeline import PipelineConfig
from robonav_ray.errors import RunFaultError, UserError
from robonav_ray.pipeline import orchestrator
from robonav_ray.pipeline.orchestrator import PipelineOrchestrator, PipelineResult
from robonav_ray.pipeline.session import StepFailedError, StepRefusedError
from robonav_ray.pipeline.step import Job, Made, Step, UnfinishedError
from robonav_ray.pipeline.steps import back_up, notify
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.watching import EvaluationStopped
from tests.conftest import Robonav
from tests.disk_faults import DiskOperations, Stopped

STEPS = ["train", "select", "evaluate", "visualise", "report"]


class Fakes:
    """Steps that write a line each, and note that they were done."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.before: Callable[[str, Job], None] = lambda name, job: None
        self.words: Mapping[str, str] = {}

    def steps(self) -> dict[str, Step]:
        return {name: self._step(name) for name in STEPS}

    def _step(self, name: Any) -> Step:
        def work(job: Job) -> Made:
            taken = {other: facts["word"] for other, facts in job.results.items()}
            self.before(name, job)
            print(f"{name} at work")
            self.done.append(name)
            path = job.folder / "own" / "result.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{self.words.get(name, name)} {taken}")
            return Made({"word": self.words.get(name, name)}, [path], f"{name} told", 100)

        def inputs(config: Any) -> Mapping[str, Any]:
            section = {"train": config.train, "evaluate": config.evaluate}.get(name)
            return {} if section is None else {name: section.model_dump(mode="json", exclude_defaults=True)}

        return Step(name, ("robonav_ray.errors",), inputs, work)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fakes:
    found = Fakes()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(orchestrator, "STEPS", found.steps())
    return found


def pipeline(**keys: Any) -> PipelineOrchestrator:
    return PipelineOrchestrator({"name": "a", "steps": STEPS}, keys)


def run(keys: Mapping[str, Any] | None = None, **options: Any) -> PipelineResult:
    return pipeline(**(keys or {})).run(quiet=True, **options)


def states(**options: Any) -> dict[str, str]:
    return {step.name: step.state for step in pipeline().plan(**options)}


def test_a_second_run_does_nothing(fakes: Fakes) -> None:
    first = run()
    assert (first.status, list(first.done)) == ("finished", STEPS)
    assert first.facts["report"] == {"word": "report"}
    again = run()
    assert (again.status, again.done) == ("finished", ())
    assert fakes.done == STEPS
    assert set(states().values()) == {"done"}
    lines = [json.loads(line) for line in Path("pipelines/a/pipeline.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["event"] == "step_done"] == STEPS
    assert [line["step"] for line in lines if line["event"] == "step_kept"] == STEPS
    said = json.loads(Path("pipelines/a/logs/train.jsonl").read_text())
    assert (said["event"], said["text"]) == ("said", "train at work")


def test_a_changed_config_does_its_step_and_what_follows(fakes: Fakes) -> None:
    run()
    fakes.words = {"evaluate": "other"}
    plans = {step.name: step for step in pipeline(**{"evaluate.episodes": 60}).plan()}
    assert plans["evaluate"].reason == "evaluate.episodes is 60, and was not set"
    assert plans["report"].state == "depends"
    assert run({"evaluate.episodes": 60}).done == ("evaluate", "report")


def test_what_follows_stays_when_the_result_is_the_same(fakes: Fakes) -> None:
    run()
    assert run({"evaluate.episodes": 60}).done == ("evaluate",)
    assert list(Path("pipelines/a/superseded").iterdir()) == [Path("pipelines/a/superseded/evaluate-001")]


@pytest.mark.parametrize("harm", [lambda p: p.write_text("x"), lambda p: p.unlink()], ids=["changed", "gone"])
def test_an_output_that_was_changed_by_hand_is_made_anew(fakes: Fakes, harm: Callable[[Path], Any]) -> None:
    run()
    harm(Path("pipelines/a/train/own/result.txt"))
    (train,) = (step for step in pipeline().plan() if step.name == "train")
    assert train.reason.startswith("train/own/result.txt ")
    assert run().done == ("train",)
    assert run().done == ()


def test_a_changed_output_is_put_aside_also_when_that_session_is_killed(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    changed = Path("pipelines/a/train/own/result.txt")
    changed.write_text("x")
    for at in range(1, 12):
        with monkeypatch.context() as patches:
            disk = DiskOperations(patches.setattr)
            disk.at = at
            with contextlib.suppress(Stopped):
                run()
    run()
    assert changed.read_text() == "train {}"


def test_a_link_in_the_place_of_an_output_is_a_change(fakes: Fakes, tmp_path: Path) -> None:
    run()
    folder = Path("pipelines/a/evaluate/own")
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert run().done == ("evaluate",)
    assert not folder.is_symlink()


def test_other_code_is_told_and_may_be_accepted(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    monkeypatch.setattr("robonav_ray.pipeline.planning.sources_of", lambda names: dict.fromkeys(names, "other"))
    assert set(states().values()) == {"to do"}
    (train, *_) = pipeline().plan()
    assert train.reason.startswith("code changed: robonav_ray.errors (--accept-code")
    assert set(states(accept_code=True).values()) == {"done"}
    assert run(accept_code=True).done == ()
    assert set(states().values()) == {"done"}


def test_modules_of_ones_own_count_too(fakes: Fakes, tmp_path: Path) -> None:
    (tmp_path / "own_rewards.py").write_text("A = 1\n")
    keys = {"modules": {"evaluate": ["own_rewards"]}}
    run(keys)
    (tmp_path / "own_rewards.py").write_text("A = 2\n")
    assert run(keys).done == ("evaluate",)
    with pytest.raises(UserError, match="modules: 'own_reward': there is no module"):
        run({"modules": {"evaluate": ["own_reward"]}})


def test_from_until_and_force(fakes: Fakes) -> None:
    assert run(until="select").done == ("train", "select")
    with pytest.raises(StepRefusedError, match="report: takes the result of evaluate, which is not done"):
        run(first="report")
    run()
    assert run(first="evaluate", until="visualise", force=True).done == ("evaluate", "visualise")
    assert run({"train.seeds": [5]}, first="evaluate").done == ()
    with pytest.raises(UserError, match="--from evaluat: the pipeline has no such step; did you mean 'evaluate'"):
        run(first="evaluat")
    with pytest.raises(UserError, match="train comes before report"):
        run(first="report", until="train")


def test_a_stop_keeps_what_is_done(fakes: Fakes) -> None:
    stop = StopRequest()

    @contextlib.contextmanager
    def stopping() -> Iterator[StopRequest]:
        yield stop

    for number, step in enumerate(STEPS):
        stop.signal_name = None

        def end(name: str, job: Job, step: str = step) -> None:
            if name == step:
                stop.signal_name = "SIGTERM"
                (job.folder / "half.txt").write_text("x")
                raise EvaluationStopped if name == "evaluate" else UnfinishedError("SIGTERM")

        fakes.before = end
        stopped = run(stopping=stopping)
        assert (stopped.status, stopped.why) == ("unfinished", "SIGTERM")
        assert fakes.done == STEPS[:number]
        fakes.before = lambda name, job: None
        assert states()[step] == "to do"
        stop.signal_name = None
        run(until=step)
        assert Path("pipelines/a", step, "half.txt").is_file(), "it goes on in its folder"
    assert fakes.done == STEPS


def test_a_time_limit_stops_before_the_next_step(fakes: Fakes) -> None:
    stopped = run(time_limit_s=1e-9)
    assert (stopped.status, stopped.why, fakes.done) == ("unfinished", "the time limit", [])


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x.bin"), StepFailedError, "evaluate: .*x.bin.*make room"),
        (RunFaultError("seed-1: NaN"), StepFailedError, "evaluate: seed-1: NaN; the trace is in .*evaluate.jsonl"),
        (KeyError("k"), StepFailedError, "evaluate: KeyError: 'k'"),
        (UserError("suite: is none"), StepRefusedError, "evaluate: suite: is none"),
    ],
)
def test_a_step_that_fails_is_named_and_the_others_stay_done(
    fakes: Fakes, error: Exception, kind: type[Exception], told: str
) -> None:
    def fail(name: str, job: Job) -> None:
        if name == "evaluate":
            raise error

    fakes.before = fail
    with pytest.raises(kind, match=told):
        run()
    fakes.before = lambda name, job: None
    assert run().done == ("evaluate", "visualise", "report")
    assert fakes.done == STEPS


@pytest.mark.parametrize("at", range(1, 60, 4))
def test_a_full_disk_is_one_message_and_what_is_done_stays_done(
    fakes: Fakes, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patches:
        disk = DiskOperations(patches.setattr)
        disk.at, disk.error = at, OSError(errno.ENOSPC, "No space left on device")
        with contextlib.suppress(RunFaultError, OSError):
            run()
    run()
    lines = [json.loads(line) for line in Path("pipelines/a/pipeline.jsonl").read_text().splitlines()]
    done = [line["step"] for line in lines if line["event"] == "step_done"]
    assert len(done) == len(set(done)), "what is written down is not done again"
    assert set(states().values()) == {"done"}


def test_a_second_pipeline_is_refused_with_the_pid_of_the_first(fakes: Fakes, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from robonav_ray.files.place_lock import held_alone\n"
        "with held_alone(Path('pipelines/a'), 'x'): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(UserError, match=f"another pipeline is at work there .pid {holder.pid} "):
        run()
    holder.communicate("")
    assert run().status == "finished"


def test_a_folder_with_other_files_is_left_alone(fakes: Fakes) -> None:
    Path("pipelines/a").mkdir(parents=True)
    Path("pipelines/a/mine.txt").write_text("x")
    with pytest.raises(UserError, match=r"pipelines/a holds other files, and no pipeline\.yaml"):
        run()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("train/own/result.txt", "../../etc/passwd", "is not the lock file"),
        ('"format_version": 1', '"format_version": 0', "is not the lock file"),
        ('"format_version": 1', '"format_version": 9', "was written by a newer version of robonav_ray .format 9"),
        ('"ended_s"', '"ended"', "is not the lock file"),
        (r'"ended_s": [\d.e-]+', '"ended_s": 1e300', "is not the lock file"),
        (r'"took_s": [\d.e-]+', '"took_s": NaN', "is not the lock file"),
        ("{", "[", "is not the lock file"),
    ],
)
def test_a_damaged_lock_file_is_refused(fakes: Fakes, old: str, new: str, says: str) -> None:
    run()
    path = Path("pipelines/a/pipeline.lock.json")
    path.write_text(re.sub(old, new, path.read_text()))
    with pytest.raises(UserError, match=rf"pipeline\.lock\.json: {says}"):
        run()


def test_no_fact_leads_a_step_out_of_the_folder(tmp_path: Path) -> None:
    job = Job(PipelineConfig(), tmp_path, tmp_path / "report", {}, StopRequest(), print)
    assert job.path("train/seed-0") == tmp_path / "train/seed-0"
    for name in ("../other", "/etc/passwd", "train/../../x"):
        with pytest.raises(UserError, match=r"pipeline\.lock\.json: .* leads out of the pipeline's folder"):
            job.path(name)


def test_budget_of_env_steps_and_time(fakes: Fakes) -> None:
    seen: dict[str, Any] = {}
    fakes.before = lambda name, job: seen.update({name: (job.env_steps_left, bool(job.stop))})
    run({"budget.env_steps": 1000, "budget.time_s": 1e-9})
    assert seen["train"] == (1000, True)
    assert seen["evaluate"][1] is False


class Recorder:
    """Stands for what tells people."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def started(self, text: str) -> None:
        self.told.append(("start", text))

    def ended(self, text: str, picture: Path | None = None) -> None:
        self.told.append(("end", text))

    def failed(self, text: str, log: Any = (), picture: Path | None = None) -> None:
        self.told.append(("failure", text, list(log)))

    def close(self) -> None:
        self.told.append(("close",))


def test_people_are_told_of_start_end_and_failure(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Recorder()
    monkeypatch.setattr(orchestrator, "open_notifier", lambda config, name: told)
    monkeypatch.setitem(orchestrator.STEPS, "notify", notify.STEP)  # type: ignore[arg-type]
    keys = {"steps": [*STEPS, "notify"], "notify": {"channels": {"team": {"env": "TEAM_URL"}}}}

    def fail(name: str, job: Job) -> None:
        if name == "select":
            print("before it failed")
            raise RunFaultError("out of luck")

    fakes.before = fail
    with pytest.raises(RunFaultError):
        run(keys)
    kinds = [event[0] for event in told.told]
    assert kinds == ["start", "failure", "close"]
    assert told.told[1][1].startswith("select: out of luck")
    assert told.told[1][2] == ["before it failed"]
    fakes.before, told.told = lambda name, job: None, []
    assert run(keys).done[-1] == "notify"
    assert [event[0] for event in told.told] == ["start", "end", "close"]
    assert "report: report told" in told.told[1][1]
    told.told = []
    assert run(keys).done == ()
    assert told.told == [], "where nothing is done, none is told"
    assert "notify" not in run().facts, "null is off"


def test_a_backup_is_brought_back_and_goes_on(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, robonav_here: Robonav
) -> None:
    monkeypatch.setitem(orchestrator.STEPS, "back_up", back_up.STEP)  # type: ignore[arg-type]
    keys = {"steps": ["back_up", *STEPS], "back_up": {"uri": str(tmp_path / "safe" / "a")}}
    assert run(keys).done == (*STEPS, "back_up")
    ended = robonav_here("pipeline", "restore", tmp_path / "safe" / "a", "--out", "again")
    assert (ended.returncode, "robonav pipeline run again" in ended.stdout) == (0, True), ended.stderr
    states = {step.name: step.state for step in PipelineOrchestrator(Path("again")).plan()}
    assert states.pop("back_up") == "to do"
    assert set(states.values()) == {"done"}
    Path("plain").write_text("x")
    with pytest.raises(UserError, match="back_up: "):
        run({**keys, "back_up.uri": "plain/b"})
    assert run(keys).done == ("back_up",), "what was done before stays done"


def marks(folder: Path) -> dict[str, tuple[Any, ...]]:
    found = {}
    for path in [folder, *folder.rglob("*")]:
        facts = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_mode, content)
    return found


def test_a_plan_touches_nothing(fakes: Fakes, tmp_path: Path) -> None:
    before = marks(tmp_path)
    assert set(states().values()) == {"to do"}
    assert marks(tmp_path) == before, "no folder is made"
    run()
    os.utime(tmp_path / "pipelines/a/pipeline.lock.json", (1, 1))
    before = marks(tmp_path)
    for keys in ({}, {"evaluate.episodes": 60}):
        pipeline(**keys).plan(force=bool(keys))
    PipelineOrchestrator(Path("pipelines/a")).plan()
    assert marks(tmp_path) == before
