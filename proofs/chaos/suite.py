"""The suite at work: brings the run up, breaks it by the schedule, watches it recover, ends it and looks at what is
left.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proofs.chaos.aftermath import load_config
from proofs.chaos.fault import Fault, Loss, choose, learner_flows, loss_of, said_of, send
from proofs.chaos.kinds import KINDS
from proofs.chaos.processes import Look, Process, Watch
from proofs.chaos.record import Commits, Reading, Tail, read_events, times_of_change
from proofs.chaos.schedule import Planned
from proofs.chaos.site import Site, SiteError
from proofs.chaos.training import Session, Training
from robonav_ray.errors import EXIT_RESUME
from robonav_ray.nodes.resources import most_auto_workers
from robonav_ray.part_names import Part
from robonav_ray.screen import Screen

TICK_S = 0.2
START_LIMIT_S, END_LIMIT_S = 240.0, 240.0
REPLACE_NODE_S = 10.0
"""How long the cluster may be short of a node before another one is started."""
MAX_QUICK_ENDS, QUICK_S = 3, 15.0
"""A command that ends so often within so many seconds of its start is not started again."""


class SuiteError(RuntimeError):
    """The run could not be brought up, or not be kept up; the message says where its log is."""


@dataclass
class _UnderWay:
    """A fault that the run is still getting over."""

    fault: Fault
    loss: Loss
    process: Process | None
    limit: float
    settled: float


@dataclass
class Outcome:
    """What was done and seen."""

    began: float
    ended: float = 0.0
    stop_began: float = 0.0
    """When the run was told to stop for good."""
    faults: list[Fault] = field(default_factory=list)
    failure: str = ""
    """Why the schedule was broken off; empty when it was not."""
    stop_s: float | None = None
    final_code: int | None = None


@dataclass(frozen=True)
class Manner:
    """How a schedule is carried out."""

    num_nodes: int
    """Nodes that are kept up."""
    freeze_s: float
    """How long what is frozen, or cut off, stays so."""
    calm_s: float
    """A fault that had to wait until the run had got over the one before comes so long after that."""
    overlap: bool = False
    """Faults come by the clock, whether the run has got over the one before or not."""
    from_start: bool = False
    """The clock of the schedule begins with the command; otherwise once it learns and has a checkpoint."""


class Suite:
    """Runs one schedule against one run."""

    def __init__(self, site: Site, training: Training, manner: Manner, console: Screen, log: Path) -> None:
        """Nothing is started yet; ``log`` is where the command's output goes."""
        self._site, self._training, self._manner, self._console, self._log = site, training, manner, console, log
        self._num_nodes = manner.num_nodes
        self.watch, self.commits, self.tail = Watch(), Commits(log.parent / "kept"), Tail(training.run)
        self.outcome = Outcome(time.time())
        self._look = Look(0.0, {})
        self._under_way: list[_UnderWay] = []
        self._hands = ThreadPoolExecutor(1, "site")
        self._joining: Future[str | None] | None = None
        self._short_since: float | None = None
        self._thaw: list[tuple[float, Callable[[], object], Fault]] = []
        self._quick_ends = 0
        self._keep_up = True

    @property
    def sessions(self) -> list[Session]:
        """Lives of the command so far."""
        return self._training.sessions

    def run(self, schedule: Sequence[Planned]) -> Outcome:
        """Do everything, as far as the run can be brought up and kept up. The site is left running."""
        try:
            self._training.start()
            if not self._manner.from_start:
                self._until(self._is_well, START_LIMIT_S, "has not begun to learn")
                self._say("the run is well")
            self._say(f"{len(schedule)} faults to come")
            late_s, origin = 0.0, time.time()
            for planned in schedule:
                self._wait(origin + planned.at_s + late_s)
                if not self._manner.overlap and self._under_way:
                    self._until(self._is_over, 600.0, "does not get over a fault")
                    self._wait(time.time() + self._manner.calm_s)
                self._tick()
                is_flowing = True
                if self._manner.overlap or self._manner.from_start:
                    is_flowing = self._is_flowing()
                else:
                    self._until(self._is_flowing, START_LIMIT_S, "does not learn again")
                late_s = max(late_s, time.time() - origin - planned.at_s)
                self._inflict(planned, is_flowing=is_flowing)
            self._until(self._is_over, 600.0, "does not get over the last fault")
            self._wait(time.time() + 5.0)
            self._finish()
        except (SuiteError, SiteError) as error:
            self.outcome.failure = str(error)
            self._say(f"broken off: {error}")
        finally:
            self.outcome.stop_began = self.outcome.stop_began or time.time()
            for _, thaw, _ in self._thaw:
                thaw()
            self._training.end()
            self._hands.shutdown()
            self.outcome.ended = time.time()
        return self.outcome

    def _inflict(self, planned: Planned, *, is_flowing: bool) -> None:
        """Break what was seen at the last look, at which the learner made steps or did not."""
        kind = planned.kind
        chosen = choose(self._look, planned, self._site.head)
        fault = Fault(planned.number, kind.name, planned.at_s, time.time(), "nobody")
        self.outcome.faults.append(fault)
        if chosen is None or not is_flowing:
            fault.note = "skipped: no part to hit" if chosen is None else "the run was not learning"
            fault.missed = True
            if chosen is None:
                return
        node, process = chosen
        fault.node = None if node == "driver" else node
        fault.victim = node if process is None else f"{process.role} {process.pid}" + f" on {node}" * (node != "driver")
        loss = loss_of(self._look, kind, node, process)
        fault.held_rank = any(key in loss.hit for key in loss.before.get(Part.RANK, ()))
        fault.time = time.time()
        self._do(kind.action, node, process, fault, loss)
        self._say(f"{fault.number + 1:3d}  {kind.name:12s} {fault.victim}")
        now = time.time()
        self._under_way.append(_UnderWay(fault, loss, process, now + kind.limit_s, now + kind.settle_s))

    def _do(self, action: str, node: str, process: Process | None, fault: Fault, loss: Loss) -> None:
        if action in ("kill", "hang") and process is not None:
            if not send(process, signal.SIGKILL if action == "kill" else signal.SIGSTOP):
                fault.note, fault.missed = "it was gone already", True
            if action == "hang":
                self._thaw.append((fault.time + self._manner.freeze_s, lambda: send(process, signal.SIGCONT), fault))
        elif action in ("freeze_node", "partition"):
            self._act(action, node)
            undo = "thaw_node" if action == "freeze_node" else "heal"
            self._thaw.append((fault.time + self._manner.freeze_s, lambda: self._act(undo, node), fault))
        elif action == "add_node":
            fault.node = fault.victim = self._act(action, None) or ""
            self._num_nodes += 1
            rollout = load_config(self._training.run).rollout
            most = most_auto_workers(rollout.num_worlds)
            if rollout.num_workers != "auto":
                fault.idle, fault.note = True, "rollout.num_workers is fixed, so there is nothing for it to do"
            elif len(self._look.at_work().get(Part.WORKER, ())) >= most:
                fault.idle, fault.note = (
                    True,
                    f"rollout.num_worlds={rollout.num_worlds} are good for {most} workers, which there are",
                )
            else:
                loss.new_node = fault.node
        elif action in ("kill_driver", "stop_driver"):
            self._training.signal(signal.SIGKILL if action == "kill_driver" else signal.SIGTERM)
        else:
            self._act(action, node)

    def _act(self, action: str, node: str | None) -> str | None:
        """Act on the nodes, after the actions that are under way."""
        return self._hands.submit(self._site.act, action, node).result()

    def _tick(self) -> None:
        """Look at everything once: processes, metrics, checkpoints, the command; and do what is due."""
        self._look = self.watch.look(self._site.roots())
        self.tail.read()
        self.commits.look(self._training.run)
        self._keep_command_up()
        self._keep_nodes_up()
        now = time.time()
        for due in [entry for entry in self._thaw if entry[0] <= now]:
            self._thaw.remove(due)
            due[1]()
            due[2].thawed_s = round(time.time() - due[2].time, 2)
        flowing = self._changes()
        for entry in list(self._under_way):
            fault = entry.fault
            if fault.back_s is None and entry.loss.is_made_good(self._look, fault.thawed_s is not None):
                fault.back_s = round(self._look.time - fault.time, 2)
            if fault.resumed_s is None and learner_flows(flowing, fault.time, now):
                fault.resumed_s = round(now - fault.time, 2)
            well = fault.back_s is not None and now >= entry.settled and learner_flows(flowing, fault.time, now)
            well = (
                well
                and said_of(KINDS[fault.kind].role, fault, self._events_since(fault.time)).get("back_s", 0.0)
                is not None
            )
            if KINDS[fault.kind].needs_commit and fault.resumed_s is not None:
                well = well and any(
                    commit.time > fault.time + fault.resumed_s for commit in self.commits.found.values()
                )
            frozen = any(fault is waiting for _, _, waiting in self._thaw)
            if (well and not frozen) or now >= entry.limit:
                self._under_way.remove(entry)

    def _events_since(self, since: float) -> list[dict[str, Any]]:
        return [event for event in read_events(self._training.run) if float(event.get("time", 0.0)) >= since]

    def _keep_command_up(self) -> None:
        """Start the command again when it has ended, as a queue of jobs or its user would."""
        code = self._training.poll()
        if code is None or not self._keep_up or not self._training.sessions:
            return
        session = self._training.sessions[-1]
        ended = session.ended or time.time()
        for entry in self._under_way:
            if entry.fault.driver_exit is None:
                entry.fault.driver_exit, entry.fault.gone_s = code, round(ended - entry.fault.time, 2)
        if not session.wanted:
            self._say(f"     the command ended by itself with {code}")
        self._quick_ends = self._quick_ends + 1 if ended - session.began < QUICK_S and not session.wanted else 0
        if self._quick_ends >= MAX_QUICK_ENDS or code == 2:
            raise SuiteError(f"the command ends with {code} as soon as it is started; its log is {self._log}")
        self._training.start()

    def _keep_nodes_up(self) -> None:
        """Start another node when the cluster has been short of one for a while."""
        now = time.time()
        if self._joining is not None and self._joining.done():
            self._say(f"     {self._joining.result()} joins in its place")
            self._joining, self._short_since = None, None
        up = len(self._look.nodes_up())
        if self._joining is not None or up >= self._num_nodes or self._site.address is None:
            self._short_since = self._short_since if self._joining else None
            return
        self._short_since = self._short_since or now
        if now - self._short_since >= REPLACE_NODE_S:
            self._joining = self._hands.submit(self._site.act, "add_node", None)

    def _finish(self) -> None:
        """End the run with SIGTERM, then let the same command finish it."""
        self._keep_up = False
        began = self.outcome.stop_began = time.time()
        self._training.signal(signal.SIGTERM)
        self._until(lambda: self._training.poll() is not None, END_LIMIT_S, "does not end on SIGTERM")
        if self._training.poll() == EXIT_RESUME:
            self.outcome.stop_s = round((self._training.sessions[-1].ended or time.time()) - began, 2)
        most = max((reading.env_steps for reading in self.tail.readings), default=0)
        self._training.start(f"budget.max_env_steps={most + 1000}")
        self._until(lambda: self._training.poll() is not None, END_LIMIT_S, "does not finish")
        self.outcome.final_code = self._training.poll()
        self._tick()

    def _is_well(self) -> bool:
        return bool(self.commits.found) and self._is_flowing()

    def _is_flowing(self) -> bool:
        return learner_flows(self._changes(), 0.0, time.time())

    def _is_over(self) -> bool:
        return not self._under_way

    def _changes(self) -> list[tuple[float, int]]:
        recent: list[Reading] = self.tail.readings[-60:]
        return times_of_change(recent, "learner_step")

    def _wait(self, until: float) -> None:
        while time.time() < until:
            self._tick()
            time.sleep(TICK_S)

    def _until(self, is_so: Callable[[], bool], limit_s: float, otherwise: str) -> None:
        deadline = time.time() + limit_s
        while not is_so():
            if time.time() > deadline:
                raise SuiteError(f"the run {otherwise} within {limit_s:.0f} s; its log is {self._log}")
            self._tick()
            time.sleep(TICK_S)

    def _say(self, text: str) -> None:
        self._console.print(f"{time.time() - self.outcome.began:6.1f}  {text}", soft_wrap=True)
