"""Trainings of one pipeline: one after the other in this process, or side by side in processes of their own.

A process is told what to train by one line, and to stop by another; when its standard input ends, this process has been
killed, and it ends at once: the run goes on from its last checkpoint.

::

    in   the order            out  {"said": line} ...
         "stop"                    {"ended": status, "env_steps": n}, {"refused": why} or {"failed": why}
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from robonav_ray.config import RunConfig
from robonav_ray.errors import RunFaultError, UserError
from robonav_ray.files.plain_files import is_plain
from robonav_ray.pipeline.logs import heard
from robonav_ray.pipeline.step import UnfinishedError
from robonav_ray.runs.checkpoint import newest_good_checkpoint
from robonav_ray.runs.run_directory import EVALUATION_JSON, RunDirectory
from robonav_ray.runtime.signals import StopRequest, stop_shared

_LOOK_S = 0.2
Say = Callable[[str], None]


@dataclass(frozen=True)
class TrainOrder:
    """One training, as ``robonav_ray.train`` takes it."""

    name: str
    """What it is called among the others: ``seed-0``."""
    config: str | None
    overrides: Mapping[str, Any]
    out: str
    local: bool

    def train(self) -> str:
        """Train, or go on with what is in ``out``; return ``finished`` or ``unfinished``; raises as
        ``robonav_ray.train``.
        """
        from robonav_ray.fronts.train_call import train

        run = RunDirectory(Path(self.out))
        if is_trained(run):  # killed before it was judged: a resume would train a round more
            return _judged(run)
        done = train(self.config, self.overrides, local=self.local, resume="auto", out=self.out)
        whole = done.status == "finished" and done.evaluation is not None
        return "finished" if whole else "unfinished"


def is_trained(run: RunDirectory) -> bool:
    """Whether the training in a folder has come to its end, be it judged or not."""
    if not is_plain(run.path / "config.yaml"):
        return False
    newest = newest_good_checkpoint(run.checkpoints)[0]
    most = run.config.budget.max_env_steps
    is_at_its_limit = newest is not None and most is not None and newest.counters.env_steps >= most
    return newest is not None and (is_at_its_limit or run.status == "finished")


def _judged(run: RunDirectory) -> str:
    """Judge a run as the end of its training does; return ``finished``, or ``unfinished`` when that was stopped."""
    from robonav_ray.fronts.evaluate_call import evaluate
    from robonav_ray.runs.task import describe_task
    from robonav_ray.runtime.watching import EvaluationStopped

    config = run.config
    stages = config.evaluation.levels or (len(describe_task(config).levels) - 1,)
    try:
        if not is_plain(run.path / EVALUATION_JSON):
            evaluate(run.path, stages=list(stages), out=run.path)
    except EvaluationStopped:
        return "unfinished"
    run.write_status("finished")
    return "finished"


def num_at_once(asked: int | None, num_runs: int, config: RunConfig, *, local: bool) -> int:
    """Return how many runs go side by side: ``asked``, or as many as there are cores, or as fit on a Ray cluster that
    was there before.

    A Ray of one's own is for one run at a time, which takes all of it.
    """
    if asked is not None:
        return min(asked, num_runs)
    if local:
        return min(num_runs, len(os.sched_getaffinity(0)))
    if num_runs == 1 or not (config.runtime.address or os.environ.get("RAY_ADDRESS")):
        return 1
    from robonav_ray.nodes.connection import connected
    from robonav_ray.nodes.resources import make_plan

    with connected(config.runtime) as cluster:
        each = make_plan(config, cluster).cpus
        return max(1, min(num_runs, int(cluster.free_cpus / each + 1e-9)))


def train_all(orders: Sequence[TrainOrder], at_once: int, stop: StopRequest, say: Say) -> dict[str, str]:
    """Train all; return name -> ``finished`` or ``unfinished``, where ``stop`` has ended them.

    Raises:
        UserError: For what is wrong in one.
        RunFaultError: When one fails; the others are stopped, and go on later.
    """
    if at_once > 1 and len(orders) > 1:
        return _Beside(at_once, stop, say).train(orders)
    ended = dict[str, str]()
    for order in orders:
        if stop:
            break
        say(f"{order.name}: {order.out}")
        ended[order.name] = order.train()
    return ended


class _Child:
    """A process that trains."""

    def __init__(self, order: TrainOrder, told: queue.Queue[tuple[_Child, Any]]) -> None:
        from robonav_ray.runtime.examination.child import start_child

        self.order, self.has_answered = order, False
        self._process = start_child(serve_training)
        self.write(asdict(order))
        threading.Thread(target=self._listen, args=(told,), daemon=True).start()

    def write(self, words: Any) -> None:
        """Tell it something; one that is gone says so by its end."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(words) + "\n")
            self._process.stdin.flush()

    def end(self) -> int:
        """Have it end, at once unless it has answered, wait for that, and return its exit code."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        return self._process.wait()

    def _listen(self, told: queue.Queue[tuple[_Child, Any]]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told.put((self, json.loads(line)))
        told.put((self, None))


class _Beside:
    """Keeps as many processes at work as may be."""

    def __init__(self, at_once: int, stop: StopRequest, say: Say) -> None:
        self._at_once, self._stop, self._say = at_once, stop, say
        self._told: queue.Queue[tuple[_Child, Any]] = queue.Queue()
        self._at_work = list[_Child]()
        self._problem: Exception | None = None

    def train(self, orders: Sequence[TrainOrder]) -> dict[str, str]:
        """As ``train_all``."""
        left, ended, stopping = list(orders), dict[str, str](), False
        try:
            while self._at_work or (left and not stopping):
                while left and not stopping and len(self._at_work) < self._at_once:
                    self._say(f"{left[0].name}: {left[0].out}")
                    self._at_work.append(_Child(left.pop(0), self._told))
                if not stopping and (self._stop or self._problem is not None):
                    stopping = True
                    for child in self._at_work:
                        child.write("stop")
                try:
                    child, words = self._told.get(timeout=_LOOK_S)
                except queue.Empty:
                    continue
                self._take(child, words, ended)
        finally:
            for child in self._at_work:
                child.end()
        if self._problem is not None:
            raise self._problem
        return ended

    def _take(self, child: _Child, words: Any, ended: dict[str, str]) -> None:
        name = child.order.name
        if words is None:
            self._at_work.remove(child)
            code = child.end()
            if not child.has_answered:
                self._problem = self._problem or RunFaultError(
                    f"{name}: its process ended too soon (exit code {code}); what it has said is in the step's log"
                )
        elif "said" in words:
            self._say(f"{name}: {words['said']}")
        else:
            child.has_answered = True
            if "refused" in words:
                self._problem = self._problem or UserError(f"{name}: {words['refused']}")
            elif "failed" in words:
                self._problem = self._problem or RunFaultError(f"{name}: {words['failed']}")
            else:
                ended[name] = words["ended"]
            child.end()


def serve_training() -> None:
    """Train what the first line of standard input says, in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command that has started this one stops it
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    order, stop, over = TrainOrder(**json.loads(sys.stdin.readline())), StopRequest(), threading.Event()

    def tell(**words: Any) -> None:
        answers.write(json.dumps(words) + "\n")

    def listen() -> None:
        for line in sys.stdin:
            if json.loads(line) == "stop":
                stop.signal_name = "a stop of the pipeline"
        if not over.is_set():
            os._exit(1)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        with heard(lambda line: tell(said=line)), stop_shared(stop):
            answer = {"ended": order.train()}
    except UserError as error:
        answer = {"refused": str(error)}
    except Exception as error:  # noqa: BLE001  (told to the process that has asked, which raises it)
        tell(said="".join(traceback.format_exception(error)))
        answer = {"failed": str(error) if isinstance(error, RuntimeError) else f"{type(error).__name__}: {error}"}
    over.set()
    with contextlib.suppress(BrokenPipeError):
        tell(**answer)
    listener.join()


def check_finished(ended: Mapping[str, str], names: Sequence[str], stop: StopRequest, folder: Path) -> None:
    """Raise UnfinishedError, naming the first run that has not ended, unless all have."""
    left = [name for name in names if ended.get(name) != "finished"]
    if left and stop:
        raise UnfinishedError(f"{stop.why}: {', '.join(left)} {'go' if len(left) > 1 else 'goes'} on later")
    if left:
        raise UnfinishedError(
            f"{left[0]} stopped before its end (the last lines of {folder / left[0] / 'log.txt'} say why): change "
            "train.overrides, or give the same command again"
        )
