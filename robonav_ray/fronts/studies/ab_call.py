"""``robonav_ray.ab``: what ``robonav ab`` does, as a call."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robonav_ray.config.evaluation_suite import Suite
from robonav_ray.config.load_suite import load_suite
from robonav_ray.errors import UserError
from robonav_ray.evaluation.ab.gate import Gate, Limits
from robonav_ray.evaluation.ab.paired_test import Decision, Rules
from robonav_ray.evaluation.ab.promotion import Contest
from robonav_ray.evaluation.ab.record import AbRecord
from robonav_ray.evaluation.ab.worlds import AB_SEED, area_suite, batches_of, split_suites
from robonav_ray.evaluation.find_entrants import split_name
from robonav_ray.fronts.compare_call import EXAMS
from robonav_ray.fronts.foreign_policies import load_foreign
from robonav_ray.fronts.models.registry_call import registry as registry_at
from robonav_ray.registry.names import model_named
from robonav_ray.runs.session_facts import command_line
from robonav_ray.runtime.examination.ab import AbOrder, Playing, play_ab
from robonav_ray.runtime.examination.examine import Where
from robonav_ray.runtime.signals import stop_on_interrupt
from robonav_ray.screen import plain_screen

SUITE = "ab"
"""Shipped suite that is played unless another is named."""
NUM_WORLDS, AREA_WORLDS = 4000, 100
Entrant = str | Path | Mapping[str, str | Path | Callable[..., Any]]


@dataclass(frozen=True)
class AbResult:
    """What an A/B test has come to."""

    path: Path
    """Its folder, with ``ab.html`` and ``ab.json``."""
    record: AbRecord
    """As in ``ab.json``."""
    evidence_sha256: str
    """Of ``ab.json``: by it the journal knows what an entry rests on."""
    promoted: bool
    """Whether the alias was moved to the challenger."""

    @property
    def decision(self) -> Decision:
        """What the paired test says."""
        return self.record.decision

    @property
    def gate(self) -> Gate:
        """The rows, each with verdict and figures."""
        return self.record.gate

    @property
    def passed(self) -> bool:
        """Whether every row of the gate is."""
        return self.record.gate.passed

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        more = {"out": str(self.path), "promoted": self.promoted, "evidence_sha256": self.evidence_sha256}
        return {**self.record.to_dict(), **more}


@dataclass(frozen=True)
class AbAsked:
    """A test before it is played."""

    order: AbOrder
    contest: Contest | None
    """Of two versions of one model by name; None for other entrants."""

    def default_folder(self) -> Path:
        """Return the folder of a test that names none: the same for the same entrants and worlds, however many."""
        first = self.order.batches.suite.all_scenarios()[: self.order.batches.num_scenarios]
        told = (
            [str(one) for one in self.order.entrants],
            self.order.seed,
            [one.model_dump(mode="json") for one in first],
        )
        return EXAMS / f"ab-{hashlib.sha256(json.dumps(told).encode()).hexdigest()[:8]}"


def ab(
    champion: Entrant,
    challenger: Entrant,
    *,
    worlds: int = NUM_WORLDS,
    suite: str | Path | Suite | Sequence[str | Path | Suite] = SUITE,
    out: str | Path | None = None,
    promote: bool = False,
    registry: str | Path | None = None,
    seed: int = AB_SEED,
    rules: Rules | None = None,
    limits: Limits | None = None,
    area_worlds: int = AREA_WORLDS,
    trust: bool = False,
    local: bool = False,
    address: str | None = None,
    processes: int | None = None,
    quiet: bool = False,
) -> AbResult:
    """Have champion and challenger play the same worlds until it is known which is better, as ``robonav ab`` does.

    ::

        found = robonav_ray.ab("robot_nav@champion", "robot_nav@challenger", worlds=6000, promote=True)
        found.decision, found.passed, found.gate.reason
        robonav_ray.ab({"old": act}, {"new": act_otherwise})

    Args:
        champion: A model by name, a run, a checkpoint, a planner, ``module:function``; or a mapping of one name to any
            of them, or to a function obs (N, D) float32 -> actions (N,).
        challenger: The same.
        worlds: At most so many; the test ends when it knows.
        suite: Scenarios of the paired test, and sweeps of the robustness area; what a suite lacks is taken from ``ab``.
        out: Folder of the test; None takes one below ``exams`` that belongs to these arguments.
        promote: Move the champion's alias to the challenger when the gate is passed.
        registry: Folder or bucket of the models; None takes ``ROBONAV_REGISTRY``, else ``runs/models``.
        seed: Of the worlds.
        rules: Of the paired test: error, margin of collisions, least gain.
        limits: Of the rows beside it: latency, margin of the robustness area.
        area_worlds: Worlds of each point of the robustness area.
        trust: Open Stable-Baselines3 zips and RLlib checkpoints, which runs code that is in them.
        local: On this machine, without Ray.
        address: Ray cluster to play on; None takes the one that the program has joined, or RAY_ADDRESS, else this
            machine.
        processes: Side by side on this machine; None takes its cores.
        quiet: Say nothing of how far it is.

    Raises:
        UserError: For what is wrong in the arguments, an entrant that is none, or an alias that has moved meanwhile. A
            challenger that the gate refuses is no error.
        KeyboardInterrupt: After Ctrl-C; what is finished is kept, and the same call goes on.
    """
    suites = (suite,) if isinstance(suite, str | Path | Suite) else tuple(suite)
    asked = ask_ab(
        _word(champion, "champion"),
        _word(challenger, "challenger"),
        num_worlds=worlds,
        suites=suites,
        registry=registry,
        seed=seed,
        rules=rules or Rules(),
        limits=limits or Limits(),
        area_worlds=area_worlds,
        trust=trust,
    )
    playing = Playing(
        load_foreign, Where(local, address, processes), plain_screen(silent=quiet), stopping=stop_on_interrupt
    )
    folder = asked.default_folder() if out is None else Path(out)
    return run_ab(asked, folder, playing, command_line(), promote=promote)


def ask_ab(
    champion: str | tuple[str, Callable[..., Any]],
    challenger: str | tuple[str, Callable[..., Any]],
    *,
    num_worlds: int,
    suites: Sequence[str | Path | Suite],
    registry: str | Path | None,
    seed: int,
    rules: Rules,
    limits: Limits,
    area_worlds: int,
    trust: bool,
) -> AbAsked:
    """Return a test as it will be played; UserError for what can be seen to be wrong before that."""
    contest = None
    entrants = champion, challenger
    if isinstance(champion, str) and isinstance(challenger, str):
        contest = Contest.of(champion, challenger, lambda place: registry_at(place or registry))
        entrants = contest.words if contest is not None else _told_apart(champion, challenger)
    elif champion[0] == challenger[0]:
        raise UserError(f"{champion[0]}: is the name of both; give each a name of its own")
    if contest is None and registry is not None:
        entrants = _pinned(entrants[0], registry), _pinned(entrants[1], registry)
    scenarios, swept = split_suites([one if isinstance(one, Suite) else load_suite(Path(one)) for one in suites])
    if not scenarios or not swept:
        shipped = split_suites([load_suite(Path(SUITE))])
        scenarios, swept = scenarios or shipped[0], swept or shipped[1]
    return AbAsked(
        AbOrder(
            entrants,
            batches_of(scenarios, num_worlds, seed),
            area_suite(swept, area_worlds, seed),
            seed,
            rules,
            limits,
            trust,
        ),
        contest,
    )


def run_ab(asked: AbAsked, out: Path, playing: Playing, command: Sequence[str], *, promote: bool) -> AbResult:
    """Play a test, write its files and the journal's entry, and with ``promote`` move the alias when the gate is
    passed.

    Raises:
        EvaluationStopped: When it is stopped; the same call goes on.
        UserError: For what is wrong, an entrant that fails, or an alias that has moved meanwhile; with ``promote``, for
            entrants that are no versions of one model, before anything is played.
    """
    contest = asked.contest
    if promote:
        if contest is None:
            raise UserError(
                "--promote: moves an alias of the registry; name two versions of one model (robot_nav@champion "
                "robot_nav@challenger)"
            )
        contest.check_promotable()
    record, evidence = play_ab(asked.order, out, playing, command)
    moved = None
    if contest is not None:
        contest.note(record, evidence)
        if promote and record.gate.passed:
            moved = contest.promote(record, evidence)
    return AbResult(out, record, hashlib.sha256(evidence).hexdigest(), moved is not None)


def _word(given: Entrant, role: str) -> str | tuple[str, Callable[..., Any]]:
    if isinstance(given, str | Path):
        return str(given)
    if not isinstance(given, Mapping) or len(given) != 1:
        raise UserError(f"{role}: give a model by name, a run, a planner, or a mapping of one name to one entrant")
    ((name, what),) = given.items()
    if isinstance(what, str | Path):
        return f"{name}={what}"
    if not callable(what):
        raise UserError(f"{name}: {type(what).__name__} is no entrant; give a run, a planner's name or a function")
    return name, what


def _pinned(word: str | tuple[str, Callable[..., Any]], registry: str | Path) -> str | tuple[str, Callable[..., Any]]:
    """Return the version in ``registry`` where ``word`` names a model there, else the word."""
    if not isinstance(word, str):
        return word
    name, told = split_name(word)
    if (found := model_named(told)) is None or found.place is not None:
        return word
    version = registry_at(registry).version(found.name, found.ref)
    return f"{name or version.ref}={version.location}"


def _told_apart(champion: str, challenger: str) -> tuple[str, str]:
    """Return the words, with names where they are the same: an entrant may be held against itself."""
    return (champion, challenger) if champion != challenger else (f"champion={champion}", f"challenger={challenger}")
