"""The curriculum: hands out assignments, listens to episodes, goes on to the next stage when a gate opens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from robonav_ray.config.curriculum import CurriculumConfig, StageConfig
from robonav_ray.curriculum.gates import GateEpisode, GateWindow, StartOrder
from robonav_ray.curriculum.judging import Judging
from robonav_ray.curriculum.partner_gate import PartnerMatch, read_figures
from robonav_ray.curriculum.saved_curriculum import check_state
from robonav_ray.ranges import require
from robonav_ray.records import Assignment, EpisodeResults, Outcome
from robonav_ray.runs.progress import (
    CurriculumProgress,
    PartnerFigures,
    StageTotals,
    StageTransition,
    WindowFigures,
)

STATE_VERSION = 3
_BEFORE_JUDGING = 2
"""Version of states that do not say what the gates are judged by."""
_NOBODY = GateEpisode(-1, -1, -1, -1, 0, 0.0)


@dataclass
class _Totals:
    """Running sums of one stage; the mutable twin of ``StageTotals``."""

    num_episodes: int = 0
    num_env_steps: int = 0
    num_successes: int = 0
    num_collisions: int = 0
    return_sum: float = 0.0

    def add(self, results: EpisodeResults, mine: np.ndarray) -> None:
        outcome = results.outcome[mine]
        self.num_episodes += int(mine.sum())
        self.num_env_steps += int(results.length[mine].sum(dtype=np.int64))
        self.num_successes += int((outcome == Outcome.SUCCESS).sum())
        self.num_collisions += int(((outcome >= Outcome.COLLISION_STATIC) & (outcome <= Outcome.COLLISION_ROBOT)).sum())
        self.return_sum += float(results.task_return[mine].sum(dtype=np.float64))


class Curriculum:
    """Stages, gates and exploration of one run; an ``AssignmentSource``.

    A worker is live from its first ``next_assignment`` until ``worker_lost``. The gate sees the episodes of live
    workers that count (``on_gate``), belong to the current stage, and in the order in which they started; it is
    evaluated at every one that enters, so that neither the size of reports nor the number of workers changes where it
    opens. Clocks are per level: every live worker enters a level at the same clock, one that joins later at the highest
    watermark known.

    epsilon follows the stage's schedule, a function of the finished episodes of the stage and the env steps in them
    (``EpsilonConfig.value``), independent of the worker that reports them and of the size of its reports.
    """

    def __init__(
        self, config: CurriculumConfig, has_outcomes: bool = True, clock: Callable[[], float] = time.monotonic
    ):
        self.config = config
        self.stages: tuple[StageConfig, ...] = config.stages_for(has_outcomes)
        """The stages really used: one open stage for an environment without outcomes that was given none of its own."""
        self._judging = Judging(self.stages, has_outcomes)
        self._clock = clock
        self._began = clock()
        self._forced = config.force_stage is not None
        self._stage = self._checked(config.start_stage if config.force_stage is None else config.force_stage)
        self._passed = False
        self._serial = 0
        self._num_gate_episodes = 0
        self._totals = [_Totals() for _ in self.stages]
        self._stage_clock = [0] * len(self.stages)
        self._joined_at: dict[int, int] = {}
        self._window = GateWindow(config.window)
        self._order = StartOrder(config.max_pending)
        self._history: list[StageTransition] = []
        self.listeners: list[Callable[[EpisodeResults], None]] = []
        """Called with every report, in this process: a study that keeps the return of every episode adds itself
        here."""

    @property
    def stage(self) -> int:
        """Index of the current stage."""
        return self._stage

    @property
    def passed(self) -> bool:
        """Whether the gate of the last stage, or of the one that it is held in, has ever opened; holding and releasing
        look again.
        """
        return self._passed

    @property
    def workers(self) -> tuple[int, ...]:
        """Live workers."""
        return self._order.workers

    @property
    def epsilon(self) -> float:
        """The stage's epsilon now."""
        totals = self._totals[self._stage]
        return self.config.epsilon_scale * self.stages[self._stage].epsilon.value(
            totals.num_episodes, totals.num_env_steps
        )

    def next_assignment(self, worker: int) -> Assignment:
        """Return what ``worker`` shall practise now; the first call makes it live."""
        if worker not in self._joined_at:
            self._joined_at[worker] = self._order.join(worker)
        return self.assignment_of(worker)

    def assignment_of(self, worker: int) -> Assignment:
        """Return the assignment of ``worker`` without making it live."""
        clock = self._joined_at.get(worker, self._order.clock)
        return Assignment(stage=self._stage, epsilon=self.epsilon, clock=clock, serial=self._serial)

    def report(self, results: EpisodeResults) -> None:
        """Take finished episodes; climbs when they (or the watermark alone) open the gate.

        Episodes of other stages and of workers that are not live are counted, but the gate does not see them.
        """
        if results.num_episodes and not 0 <= results.stage.min() <= results.stage.max() < len(self.stages):
            raise ValueError(
                f"worker {results.worker} reports stage {results.stage.tolist()}; there are {len(self.stages)} stages"
            )
        self._judging.take(results.outcome)
        epsilon = self.epsilon
        for stage in np.unique(results.stage).tolist():
            self._totals[stage].add(results, results.stage == stage)
        if self.epsilon != epsilon:
            self._serial += 1
        for i in np.flatnonzero(results.on_gate & (results.stage == self._stage)).tolist():
            self._order.add(
                results.worker,
                int(results.started_at[i]),
                int(results.world[i]),
                int(results.outcome[i]),
                float(results.task_return[i]),
            )
        if results.watermark_stage == self._stage:
            self._order.advance(results.worker, results.watermark)
        self._let_enter()
        for listener in self.listeners:
            listener(results)

    def worker_lost(self, worker: int) -> None:
        """Stop waiting for ``worker``; its replacement joins as a late one. Unknown workers are fine."""
        self._joined_at.pop(worker, None)
        self._order.leave(worker)
        self._let_enter()

    def forget_workers(self) -> None:
        """All workers are lost (a run resumed with new ones)."""
        for worker in self.workers:
            self.worker_lost(worker)

    def force(self, stage: int | None) -> None:
        """Go to ``stage`` now and stay there, or (None) let the gates decide again from the current stage.

        While it stays, the stage's own gate decides whether the curriculum counts as passed.
        """
        if stage is not None and self._checked(stage) != self._stage:
            self._enter(stage, "forced", _NOBODY)
        self._forced = stage is not None
        self._passed = self._has_passed()

    def snapshot_taken(self, member: str, env_steps: int) -> None:
        """Hear of a new snapshot, which is to play where the gate asks for partners and all else that it asks for
        holds; where that does not hold, the outcome of an earlier one counts no more.
        """
        asked = self._judging.gate(self._stage).min_partner_success_frac
        if asked is None or self._passed:
            return
        partners = self._judging.partners
        if not self._is_gate_met(with_partners=False):
            partners.figures = None
        elif partners.under_way is None:
            partners.under_way = PartnerMatch(member, env_steps)

    @property
    def partner_match(self) -> PartnerMatch | None:
        """The match beside partners that the gate of the current stage waits for."""
        return self._judging.partners.under_way

    def end_partner_match(self, success_frac: Mapping[str, float] | None) -> PartnerFigures | None:
        """Take in what came of it, by company, each from 0 to 1; the next episode that enters may open the gate. None:
        it could not be played, and the next snapshot may play again.
        """
        if success_frac is None:
            self._judging.partners.under_way = None
            return None
        return self._judging.partners.end(success_frac)

    def _checked(self, stage: int) -> int:
        if not 0 <= stage < len(self.stages):
            raise ValueError(f"there is no stage {stage}; the stages are 0 to {len(self.stages) - 1}")
        return stage

    def _let_enter(self) -> None:
        for episode in self._order.pop_ready():
            self._window.add(episode.outcome, episode.task_return)
            self._num_gate_episodes += 1
            if self._is_gate_met():
                self._climb(episode)

    def _is_gate_met(self, *, with_partners: bool = True) -> bool:
        stage = self.stages[self._stage]
        if not self._window.is_full or self._num_gate_episodes < stage.min_episodes:
            return False
        if (self._forced or self._stage == len(self.stages) - 1) and not self._is_gated:
            return False  # nothing is reached by having played
        is_met = self._judging.is_met if with_partners else self._judging.is_window_met
        return is_met(self._stage, self._window.figures())

    @property
    def _is_gated(self) -> bool:
        """Whether the last stage, or the one that the run is held in, asks for anything now."""
        last = self._stage if self._forced else len(self.stages) - 1
        return self._judging.stage(last).is_gated

    def _climb(self, episode: GateEpisode) -> None:
        is_last = self._stage == len(self.stages) - 1
        if not self._forced and not is_last:
            self._enter(self._stage + 1, "gate", episode)
        elif not self._passed:
            self._passed = True
            self._remember(self._stage, "passed", episode)

    def _has_passed(self) -> bool:
        """Whether the history holds the passing of the last stage, or of the one that it is held in now."""
        goals = {len(self.stages) - 1, self._stage if self._forced else len(self.stages) - 1}
        return any(t.reason == "passed" and t.to_stage in goals for t in self._history)

    def _enter(self, stage: int, reason: Literal["gate", "forced"], episode: GateEpisode) -> None:
        self._remember(stage, reason, episode)
        self._stage_clock[self._stage] = self._order.clock
        self._stage = stage
        self._serial += 1
        self._num_gate_episodes = 0
        self._window.clear()
        self._judging.partners.forget()
        self._order.begin_stage(self._stage_clock[stage])
        self._joined_at = dict.fromkeys(self._joined_at, self._stage_clock[stage])

    def _remember(self, to_stage: int, reason: Literal["gate", "forced", "passed"], episode: GateEpisode) -> None:
        self._history.append(
            StageTransition(
                from_stage=self._stage,
                to_stage=to_stage,
                from_name=self.stages[self._stage].name,
                to_name=self.stages[to_stage].name,
                reason=reason,
                env_steps=sum(t.num_env_steps for t in self._totals),
                num_episodes=sum(t.num_episodes for t in self._totals),
                num_stage_episodes=self._totals[self._stage].num_episodes,
                num_gate_episodes=self._num_gate_episodes,
                window=self._window.figures(),
                world=episode.world,
                started_at=episode.started_at,
                elapsed_s=self._clock() - self._began,
                partners=self._judging.partners.figures,
            )
        )

    def progress(self) -> CurriculumProgress:
        """Return where the curriculum stands."""
        gate = self._judging.gate(self._stage)
        num_episodes = sum(t.num_episodes for t in self._totals)
        return CurriculumProgress(
            stage=self._stage,
            stage_name=self.stages[self._stage].name,
            num_stages=len(self.stages),
            forced=self._forced,
            passed=self._passed,
            epsilon=self.epsilon,
            elapsed_s=self._clock() - self._began,
            env_steps=sum(t.num_env_steps for t in self._totals),
            num_episodes=num_episodes,
            num_gate_episodes=self._num_gate_episodes,
            num_pending=self._order.num_pending,
            num_workers=len(self.workers),
            window=self._window.figures(),
            window_size=self._window.size,
            min_success_frac=gate.min_success_frac,
            min_return=gate.min_return,
            max_collision_frac=gate.max_collision_frac,
            stages=tuple(StageTotals(s.name, **asdict(t)) for s, t in zip(self.stages, self._totals, strict=True)),
            transitions=tuple(self._history),
            tells_success=self._judging.tells_success,
            tells_collisions=self._judging.tells_collisions,
            is_gated=self._is_gated,
            problem=self._judging.problem(self._stage, num_episodes),
            min_partner_success_frac=gate.min_partner_success_frac,
            partners=self._judging.partners.figures,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs, as JSON takes it."""
        return {
            "version": STATE_VERSION,
            "stage_names": [s.name for s in self.stages],
            "window_size": self._window.size,
            "stage": self._stage,
            "serial": self._serial,
            "elapsed_s": self._clock() - self._began,
            "num_gate_episodes": self._num_gate_episodes,
            "totals": [asdict(t) for t in self._totals],
            "level_clock": list(self._stage_clock),
            "joined_at": sorted([worker, clock] for worker, clock in self._joined_at.items()),
            "window": self._window.state_dict(),
            "order": self._order.state_dict(),
            "history": [asdict(t) for t in self._history],
            "judging": self._judging.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave; ValueError (and nothing changed) when it is of another shape or other
        stages.

        Whether a stage is held is the config's to say: ``force_stage`` wins over the saved stage, and without it a
        saved hold is released.
        """
        if state.get("version") == _BEFORE_JUDGING:
            successes = sum(int(t["num_successes"]) for t in state["totals"])
            state = {**state, "version": STATE_VERSION, "judging": self._judging.state_before(successes)}
        if state.get("version") != STATE_VERSION:
            raise ValueError(
                f"the curriculum's state has version {state.get('version')}, this program reads {STATE_VERSION}"
            )
        _check_keys("the curriculum's state", state, self.state_dict())
        self._check_same_stages(state)
        check_state(state, len(self.stages))
        window, order = GateWindow(self.config.window), StartOrder(self.config.max_pending)
        window.load_state_dict(state["window"])
        order.load_state_dict(state["order"])
        stage = self._checked(state["stage"])
        totals = [_Totals(**t) for t in state["totals"]]
        history = [_transition_from(t) for t in state["history"]]
        joined_at = dict(state["joined_at"])
        require(tuple(sorted(joined_at)) == order.workers, "joined_at: names other workers than the order of starting")
        self._judging.load_state_dict(state["judging"])
        self._stage, self._totals, self._history, self._window, self._order = stage, totals, history, window, order
        self._serial = state["serial"] if self._serial <= state["serial"] else self._serial + 1
        self._num_gate_episodes = state["num_gate_episodes"]
        self._stage_clock, self._joined_at = list(state["level_clock"]), joined_at
        self._began = self._clock() - state["elapsed_s"]
        self.force(self.config.force_stage)
        if self._judging.gate(self._stage).min_partner_success_frac is None:
            self._judging.partners.forget()

    def _check_same_stages(self, state: dict[str, Any]) -> None:
        names = [s.name for s in self.stages]
        if not isinstance(state["stage_names"], list):
            raise ValueError("curriculum.stages: the saved state has no list of stages")
        if state["stage_names"] != names:
            raise ValueError(
                f"curriculum.stages: the saved state is of the stages {', '.join(map(str, state['stage_names']))}, the "
                f"config has {', '.join(names)}; resume with those it was saved under, or start a new run"
            )
        if type(state["window_size"]) is not int or state["window_size"] != self._window.size:
            raise ValueError(
                f"curriculum.window: the saved state has a window of {state['window_size']}, the config one of "
                f"{self._window.size}; resume with curriculum.window={state['window_size']}, or start a new run"
            )


def _transition_from(state: dict[str, Any]) -> StageTransition:
    partners = read_figures("partners", state.get("partners"))
    return StageTransition(**{**state, "window": WindowFigures(**state["window"]), "partners": partners})


def _check_keys(what: str, state: dict[str, Any], expected: Iterable[str]) -> None:
    differing = set(state) ^ set(expected)
    if differing:
        raise ValueError(f"{what} does not fit this program: unknown or missing {', '.join(sorted(differing))}")
