"""How good the members of a run's league are, beside each other on held-out cases: played once, kept, and read again.

::

    RUN/league/cross_play.jsonl     a line for each pair: setting, hashes of the two, part of the robots that arrived
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from robonav_ray.algo.policy import Policy
from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.errors import UserError
from robonav_ray.evaluation.episodes import EvaluationProgress
from robonav_ray.evaluation.together import CaseTable, Obstacle, play_together
from robonav_ray.files.plain_files import append, check_folder, read_lines
from robonav_ray.league.cross_play import CrossPlay, Setting
from robonav_ray.league.diversity import NUM_STATES, behavioural_distance
from robonav_ray.league.member import LeagueError
from robonav_ray.ranges import MAX_COUNT, count, real, require
from robonav_ray.runtime.self_play.league_of_run import LeagueOfRun, lines_of
from robonav_ray.runtime.self_play.matches import played_stage, stage_last
from robonav_ray.runtime.self_play.member_store import FOLDER
from robonav_ray.runtime.self_play.players import LeaguePlayer, LeaguePlayers
from robonav_ray.worlds.batched import BatchedWorlds
from robonav_ray.worlds.cases import load_cases
from robonav_ray.worlds.kernels.layout import DRIVERS, ENDED

KEPT_FILE = "cross_play.jsonl"
NUM_CASES = 200
VERSION = 1
"""Of what is played: another one plays anew what an earlier one has kept."""
_STATE_WORLDS, _STEPS_BETWEEN, _STATES = 64, 4, "states"
Told = Callable[[str], None]
Progress = Callable[[EvaluationProgress], None]


class _Games(NamedTuple):
    """What a pair has played."""

    score: np.ndarray
    """(2, N): part of the robots of the first, and of the second, that arrived in each case."""
    distance: float | None
    """Mean total variation of softmax(Q / spread) between them, the spread of Q over actions; None with a script."""


def rate_league(
    found: LeagueOfRun,
    *,
    num_cases: int = NUM_CASES,
    seed: int | None = None,
    stage: int | None = None,
    progress: Progress | None = None,
    told: Told = lambda _: None,
) -> CrossPlay:
    """Play every two members of the league of ``found`` on the same held-out cases; pairs that are kept are not played
    again.

    In a world of R robots the first of a pair has R / 2 of them (rounded up), in seats that are drawn for each case;
    beside itself a member has all.

    Args:
        found: A run with a league; the learner plays as the checkpoint has it.
        num_cases: Of each pair, at least 10.
        seed: Of the worlds; None takes that of the held-out ones (``evaluation.seed``).
        stage: Number of the stage; None takes the last.
        progress: Called after every vector step with the cases that are through, those of all pairs together; what it
            raises ends the rating, and pairs that are through are kept.
        told: Is given a line where a member cannot play.

    Raises:
        LeagueError: For fewer cases, or fewer than two members that can play.
        OSError: When a pair cannot be kept.
    """
    if num_cases < 10:
        raise LeagueError(f"{num_cases} cases say nothing: give 10 at least")
    known = LeaguePlayers(found)
    plan = _plan(found, known, num_cases, seed, stage)
    players = list(_able(found, known, told))
    if len(players) < 2:
        raise LeagueError(f"{found.shown}: fewer than two members of its league can play, so there is nothing to rate")
    path, games = kept_file(found), {key: one for key, (_, one) in _kept(found).items()}
    pairs = [_ordered(one, other) for one, other in combinations_with_replacement(players, 2)]
    behaviour: dict[str, np.ndarray] = {}
    for done, (first, second) in enumerate(pairs):
        key = (plan.key, first.content, second.content)
        if key not in games:
            own = None if progress is None else partial(_shifted, progress, done, len(pairs))
            played = plan.play(first, second, own)
            games[key] = _Games(played, _distance(plan, behaviour, first, second))
            _keep(path, plan, first, second, games[key])
    return _assembled(plan.setting, plan.key, players, games)


def _shifted(progress: Progress, num_before: int, num_pairs: int, now: EvaluationProgress) -> None:
    """Tell ``progress`` how far all pairs are, of which ``num_before`` are through."""
    cases = now.num_episodes
    progress(EvaluationProgress(num_before * cases + now.num_done, num_pairs * cases, now.num_steps))


def kept_rating(found: LeagueOfRun) -> CrossPlay | None:
    """Return the cross-play that is kept of the league of ``found``, in the setting that was played last by all that
    can be met now; None where there is none.
    """
    kept = _kept(found)
    if not kept:
        return None
    try:
        players = list(_able(found, LeaguePlayers(found), lambda _: None))
    except UserError:
        return None
    pairs = [_ordered(one, other) for one, other in combinations_with_replacement(players, 2)]
    for key in dict.fromkeys(key for key, _, _ in reversed(kept)):
        of_pairs = [(key, one.content, other.content) for one, other in pairs]
        if len(players) > 1 and all(pair in kept for pair in of_pairs):
            setting = kept[of_pairs[0]][0]
            return _assembled(setting, key, players, {pair: games for pair, (_, games) in kept.items()})
    return None


def kept_file(found: LeagueOfRun) -> Path:
    """Return where pairs are added: in the run; of a run in a storage in the current folder."""
    return found.run.path / FOLDER / KEPT_FILE if found.uri is None else Path(f"{found.run.name}-{KEPT_FILE}")


class _Plan(NamedTuple):
    """What every pair plays."""

    setting: Setting
    key: str
    """Hash of all that the games depend on, but for the players."""
    world: WorldConfig
    levels: tuple[LevelConfig, ...]
    """The last one is played."""

    def play(self, first: LeaguePlayer, second: LeaguePlayer, progress: Progress | None) -> np.ndarray:
        """Return the parts (2, N) of the robots of each that arrived."""
        cast = [(first, second)[i % 2].plays for i in range(self.world.num_robots)]
        table = play_together(
            self.world, self.levels, cast, self.setting.num_cases, self.setting.seed, progress=progress
        )
        own = _share(table, 0)
        return np.stack([own, own if first is second else _share(table, 1)])

    def states(self) -> np.ndarray:
        """Return observations (NUM_STATES, D) float32 of robots that drive by ORCA: the same ones for all policies."""
        worlds = BatchedWorlds(self.world, self.levels, _STATE_WORLDS, self.setting.seed, gamma=0.99)
        worlds.set_level(len(self.levels) - 1)
        worlds.reset()
        worlds.set_drivers(np.full(worlds.num_lanes, DRIVERS.index("orca"), np.int8))
        still = np.zeros((worlds.num_lanes, 2), np.float32)
        seen: list[np.ndarray] = []
        while sum(map(len, seen)) < NUM_STATES:  # worlds that are through begin anew
            seen.append(worlds.out.obs[worlds.state.lane[..., ENDED].ravel() == 0])
            for _ in range(_STEPS_BETWEEN):
                worlds.step_command(still)
        return np.concatenate(seen)[:NUM_STATES]


def _share(table: CaseTable, player: int) -> np.ndarray:
    """Return the part (N,) of the robots of ``player`` that arrived; in a case of one robot, that of the robot."""
    alone = table.arrived.sum(axis=1) / table.there.sum(axis=1)
    own = table.share_arrived(player)
    return np.where(np.isnan(own), alone, own)


def _plan(found: LeagueOfRun, known: LeaguePlayers, num_cases: int, seed: int | None, stage: int | None) -> _Plan:
    config, task = found.run.config, known.task
    stage = played_stage(config) if stage is None else stage
    level, world, levels = task.levels[stage], config.env.world, stage_last(task, stage)
    given = load_cases(world)[0]  # none where worlds draw their own
    if world.cases is not None:
        num_cases = min(num_cases, len(given))
    robots = level.num_robots or world.num_robots
    setting = Setting(
        stage=task.stage_names[stage],
        min_robots=min(level.min_robots or robots, robots),
        num_robots=robots,
        num_cases=num_cases,
        seed=config.evaluation.seed if seed is None else seed,
    )
    content = hashlib.sha256(given.tobytes()).hexdigest()
    depends = [
        VERSION,
        content,
        world.model_dump(mode="json"),
        [one.model_dump(mode="json") for one in levels],
        list(setting),
    ]
    key = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
    return _Plan(setting, key, world, levels)


def _able(found: LeagueOfRun, known: LeaguePlayers, told: Told) -> Iterator[LeaguePlayer]:
    """Yield the members that can be met now as robots, and the learner; of one that cannot play ``told`` is given the
    reason. An obstacle has no goal to be rated by.
    """
    for member in found.league.pool.members:
        try:
            player = known.of(member)
        except UserError as error:
            told(f"left out: {error}")
            continue
        if not isinstance(player.plays, Obstacle):
            yield player


def _ordered(one: LeaguePlayer, other: LeaguePlayer) -> tuple[LeaguePlayer, LeaguePlayer]:
    """Return a pair in the order in which it plays: by content, not by place in the pool."""
    return (one, other) if one.content <= other.content else (other, one)


def _distance(plan: _Plan, behaviour: dict[str, np.ndarray], first: LeaguePlayer, second: LeaguePlayer) -> float | None:
    """Return how differently two policies behave; ``behaviour`` keeps their Q-values in the frozen states, and the
    states.
    """
    if isinstance(first.plays, str) or isinstance(second.plays, str):
        return None
    if _STATES not in behaviour:
        behaviour[_STATES] = plan.states()
    for one in (first, second):
        if one.content not in behaviour and isinstance(one.plays, Policy):
            behaviour[one.content] = one.plays.q_values(behaviour[_STATES])
    q = np.stack([behaviour[first.content], behaviour[second.content]])
    spread = float(q.std(axis=2).mean())  # values of actions lie close together: by themselves all would look alike
    return float(behavioural_distance(q, max(spread, 1e-9))[0, 1])


def _keep(path: Path, plan: _Plan, first: LeaguePlayer, second: LeaguePlayer, games: _Games) -> None:
    line = {
        "version": VERSION,
        "key": plan.key,
        "setting": plan.setting._asdict(),
        "first": first.content,
        "second": second.content,
        "names": [first.id, second.id],
        "score": games.score.tolist(),
        "distance": games.distance,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    check_folder(path.parent)
    append(path, f"\n{json.dumps(line)}\n")  # a line that was cut off by a kill ends here


def _kept(found: LeagueOfRun) -> dict[tuple[str, str, str], tuple[Setting, _Games]]:
    """Return what is kept by (key, first, second), the newest last; lines that are none of ours are passed over."""
    kept: dict[tuple[str, str, str], tuple[Setting, _Games]] = {}
    lines = lines_of(found, f"{FOLDER}/{KEPT_FILE}")
    if found.uri is not None:
        with contextlib.suppress(FileNotFoundError):
            lines += read_lines(kept_file(found))
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            key, one = _read(json.loads(line))
            kept.pop(key, None)
            kept[key] = one
    return kept


def _read(line: Any) -> tuple[tuple[str, str, str], tuple[Setting, _Games]]:
    """Return a line of ``_keep``; ValueError, TypeError or KeyError when it is none."""
    require(isinstance(line, Mapping) and line["version"] == VERSION, "is no line of a cross-play")
    key = (line["key"], line["first"], line["second"])
    require(all(isinstance(part, str) for part in key), "its key is no text")
    setting = Setting(**line["setting"])
    require(isinstance(setting.stage, str), "setting.stage: is no text")
    for name in ("min_robots", "num_robots", "num_cases", "seed"):
        count(low=0, high=MAX_COUNT).check(f"setting.{name}", getattr(setting, name))
    real(2, setting.num_cases, low=0.0, high=1.0).check("score", line["score"])
    if line["distance"] is not None:
        real(low=0.0, high=1.0 + 1e-9).check("distance", line["distance"])
    return key, (setting, _Games(np.array(line["score"], np.float64), line["distance"]))


def _assembled(
    setting: Setting, key: str, players: Sequence[LeaguePlayer], games: Mapping[tuple[str, str, str], _Games]
) -> CrossPlay:
    m = len(players)
    score, distance = np.zeros((m, m, setting.num_cases)), np.full((m, m), np.nan)
    for (i, one), (j, other) in combinations_with_replacement(enumerate(players), 2):
        first, second = _ordered(one, other)
        found = games[key, first.content, second.content]
        score[i, j], score[j, i] = found.score if first is one else found.score[::-1]
        if found.distance is not None:
            distance[i, j] = distance[j, i] = found.distance
    return CrossPlay(tuple(player.id for player in players), setting, score, distance)
