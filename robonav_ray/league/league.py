"""The league of one run: pool, payoff and matchmaking together, and what happened in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from robonav_ray.config.league import LeagueConfig
from robonav_ray.league.challenges import NO_CHALLENGES, Challenge, Challenges
from robonav_ray.league.diversity import Diversity, DiversityPoint
from robonav_ray.league.events import MAX_EVENTS, LeagueEvent, read_events
from robonav_ray.league.exploiters import Exploit, Exploiters
from robonav_ray.league.matchmaking import Draw, Matchmaker
from robonav_ray.league.member import LeagueError, Member, read_member
from robonav_ray.league.payoff import Payoff
from robonav_ray.league.pool import Pool, member_rows
from robonav_ray.league.promotion import Outcomes, PairedTest, Verdict, judge
from robonav_ray.league.ratings import Elo, Rating, bradley_terry, ratings
from robonav_ray.ranges import MAX_COUNT, count, require

STATE_VERSION = 1
MAIN = "main"
"""Id of the policy that learns, where it is given no other."""


class League:
    """One learner among frozen and scripted members: who is met, what came of it, which snapshots stay.

    It knows members by their ids and hashes; weights are kept elsewhere. All of it is a function of the calls that
    it was given, so that a league that is loaded goes on as if it had not stopped.
    """

    def __init__(
        self,
        config: LeagueConfig,
        *,
        learner: str = MAIN,
        scripted: Sequence[str] | None = None,
        seeds: Iterable[Member] = (),
    ) -> None:
        """Begin without snapshots; ``scripted`` takes the place of the config's, which are drivers of our worlds.

        Raises:
            LeagueError: When ids stand twice, or are none.
        """
        self.config = config
        self.learner = learner
        members = [
            Member(learner, "main"),
            *(Member(name, "scripted") for name in (config.scripted if scripted is None else scripted)),
            *seeds,
        ]
        self.pool = Pool(config.capacity, members)
        self.payoff = Payoff(config.window)
        for member in members:
            self.payoff.add(member.id)
        self.elo = Elo()
        self.diversity = Diversity()
        self.exploiters = Exploiters()
        self._matchmaker = Matchmaker(config)
        self._serial = 0
        self._num_snapshots = 0
        self._challenges = Challenges(config.promotion)
        self._newest: str | None = None
        self._snapped_at = 0
        self._events: list[LeagueEvent] = []

    @property
    def serial(self) -> int:
        """Rises whenever ``draw`` may give something else."""
        return self._serial

    @property
    def num_judged(self) -> int:
        """Challenges of the best so far."""
        return self._challenges.num_judged

    @property
    def events(self) -> tuple[LeagueEvent, ...]:
        """What happened, the oldest first; at most the last MAX_EVENTS."""
        return tuple(self._events)

    @property
    def newest(self) -> Member | None:
        """The snapshot that was taken last; None before the first, or when it is lost."""
        return self.pool[self._newest] if self._newest is not None and self._newest in self.pool else None

    @property
    def best(self) -> Member | None:
        """The member that a challenge has promoted last; before any challenge the snapshot that is most able by its
        results (``ratings.bradley_terry``). None before the first snapshot.
        """
        snapshots = self.pool.snapshots
        if self.num_judged or not snapshots:
            return self.pool.best
        ability = bradley_terry(self.payoff.score, self.payoff.games).ability
        return max(snapshots, key=lambda member: float(ability[self.payoff.index(member.id)]))

    def draw(self) -> Draw:
        """Return how opponents are drawn by what is known now."""
        return self._matchmaker.draw_for(self.learner, self.pool, self.payoff)

    def report(self, first: str, second: str, scores: Sequence[float] | np.ndarray) -> int:
        """Take scores in [0, 1] of ``first`` in games with ``second``, the oldest first; return how many were taken.

        Results of members that have left meanwhile are late, and none is taken.

        Raises:
            LeagueError: For a score out of range, or a name that was never a member's.
        """
        if self.pool.has_left(first) or self.pool.has_left(second):
            return 0
        self.payoff.record(first, second, scores)
        self.elo.record(first, second, scores)
        self._serial += 1
        return int(np.size(scores))

    def is_snapshot_due(self, env_steps: int) -> bool:
        """Whether ``league.snapshot_env_steps`` have gone by since the last snapshot, or since the beginning."""
        interval = self.config.snapshot_env_steps
        return interval is not None and env_steps >= self._snapped_at + interval

    def snapshot(self, env_steps: int, sha256: str) -> Member:
        """Take in the learner as it is now, with its results; the first snapshot is the best so far.

        The learner's own results fade (``league.fade``), and where the pool is full another snapshot leaves.

        Raises:
            LeagueError: When ``env_steps`` is no whole number, or below that of the last one.
        """
        if not isinstance(env_steps, int | np.integer):
            raise LeagueError(f"env_steps ({env_steps!r}) must be a whole number")
        env_steps = int(env_steps)
        if env_steps < self._snapped_at:
            raise LeagueError(f"a snapshot at {env_steps} env steps comes after one at {self._snapped_at}")
        member = Member(f"{self.learner}-{self._num_snapshots:04d}", "main", self._newest, env_steps, sha256)
        self._num_snapshots += 1
        self._newest, self._snapped_at = member.id, env_steps
        self._join(member, "snapshot", like=self.learner)
        self.payoff.fade(self.learner, self.config.fade)
        if self.pool.best is None:
            self.pool.promote(member.id)
            self._note("promoted", member.id, "the first")
        self.measure()
        return member

    def measure(self, q: np.ndarray | None = None) -> DiversityPoint:
        """Note how different the snapshots are by their results, and where ``q`` (K, N, A) is given by behaviour: the
        Q-values of the K snapshots in ``diversity.states``.
        """
        return self.diversity.note(self._snapped_at, self._rows(), q)

    def exploited(self, baseline: float, score: float, sha256: str) -> Exploit:
        """End the exploiter that trains (``exploiters``), and take it in as a member to be met; return what it found.

        Raises:
            LeagueError: When none trains, or a score is not in [0, 1].
        """
        found, member = self.exploiters.end(baseline, score, sha256)
        self._join_exploiter(found, member)
        return found

    def adopt(self, found: Exploit, sha256: str) -> bool:
        """Take in a best response that was trained and measured outside of this league, as a member to be met; return
        whether it is new here.
        """
        ever = {member.id for member in self.pool.lineage}
        if found.id in ever or found.target not in ever:
            return False
        self._join_exploiter(found, self.exploiters.adopt(found, sha256))
        return True

    def _join_exploiter(self, found: Exploit, member: Member) -> None:
        self._join(member, "exploiter", f"gain {found.gain:.3f} over {found.target}")

    def ratings(self, rng: np.random.Generator) -> list[Rating]:
        """Return the rating of each member by what is known of all pairs now; see ``ratings.ratings``."""
        return ratings(self.payoff.ids, self.payoff.score, self.payoff.games, rng)

    @property
    def challenged(self) -> Challenge | None:
        """The match that is under way for the place of the best."""
        return self._challenges.under_way

    def begin_challenge(self, env_steps: int) -> Challenge | None:
        """Begin a match of the newest snapshot against the best, where ``league.promotion.interval_env_steps`` have
        gone by since the last one; None where none is due, or there are not two to play it.
        """
        newest, best = self.newest, self.pool.best
        if newest is None or not self._challenges.is_due(env_steps, newest, best):
            return None
        found = self._challenges.begin(newest.id, None if best is None else best.id, env_steps)
        if found is None:
            self.pool.promote(newest.id)
            self._note("promoted", newest.id, "the best was lost")
        self._guard()
        return found

    def is_challenge_over(self, env_steps: int) -> bool:
        """Whether the outcomes of the match under way are to be taken in now at the latest: half an interval later."""
        return self._challenges.is_over(env_steps)

    def end_challenge(self, outcomes: Outcomes, paired_p: PairedTest) -> Verdict:
        """Take in the outcomes of the match under way; see ``challenge``.

        Raises:
            LeagueError: When none is, or the outcomes do not suffice.
        """
        if self.challenged is None:
            raise LeagueError("no challenge is under way")
        verdict = self.challenge(self.challenged.challenger, outcomes, paired_p)
        self._challenges.under_way = None
        self._guard()
        return verdict

    def drop_challenge(self, why: str) -> None:
        """End the match under way without outcomes; the next one begins when it is due."""
        if self.challenged is not None:
            self._note("unplayed", self.challenged.challenger, why)
            self._challenges.under_way = None
            self._guard()

    def _guard(self) -> None:
        """A challenger stays in the pool until its match is over."""
        self.pool.challenger = None if self.challenged is None else self.challenged.challenger

    def challenge(self, challenger: str, outcomes: Outcomes, paired_p: PairedTest) -> Verdict:
        """Let ``challenger`` take the place of the best when ``outcomes`` on the same worlds say so.

        Raises:
            LeagueError: When it is no frozen member, or the outcomes do not suffice.
        """
        if not self.pool[challenger].is_frozen:
            raise LeagueError(f"{challenger!r} has no fixed weights: challenge with a snapshot of it")
        verdict = judge(outcomes, self.config.promotion, paired_p)
        self._challenges.num_judged += 1
        if verdict.promoted:
            self.pool.promote(challenger)
        self._note("promoted" if verdict.promoted else "kept", challenger, verdict.reason)
        return verdict

    def lose(self, member: str, why: str) -> None:
        """Go on without a member whose weights are missing or damaged. One that is gone already is fine.

        Raises:
            LeagueError: When it learns, is scripted, or never was a member.
        """
        if self.pool.has_left(member):
            return
        if not self.pool[member].is_frozen:
            raise LeagueError(f"{member!r} has no snapshot that could be lost")
        self.pool.remove(member)
        self._forget(member, "lost", why)

    def _join(self, member: Member, event: str, detail: str = "", like: str | None = None) -> None:
        self.payoff.add(member.id, like)
        if like is not None:
            self.elo.copy(member.id, like)
        left = self.pool.add(member, self.payoff)
        self._note(event, member.id, detail)
        for leaves in left:
            self._forget(leaves.id, "dropped", "the pool is full, and others are most like it")
        self._serial += 1

    def _forget(self, member: str, event: str, why: str) -> None:
        if self.challenged is not None and member in self.challenged[:2]:
            self.drop_challenge(f"{member} has left")
        self.payoff.remove(member)
        self.elo.forget(member)
        self._note(event, member, why)
        self._serial += 1

    def _rows(self) -> np.ndarray:
        return member_rows(self.payoff, [member.id for member in self.pool.snapshots])

    def _note(self, event: str, member: str, detail: str = "") -> None:
        self._events = [*self._events, LeagueEvent(event, member, self._snapped_at, detail)][-MAX_EVENTS:]

    def state_dict(self) -> dict[str, Any]:
        """Return everything: numbers, texts, lists, and the arrays of the payoff."""
        return {
            "version": STATE_VERSION,
            "learner": self.learner,
            "serial": self._serial,
            "num_snapshots": self._num_snapshots,
            "challenges": self._challenges.state_dict(),
            "newest": self._newest,
            "snapped_at": self._snapped_at,
            "pool": self.pool.state_dict(),
            "payoff": self.payoff.state_dict(),
            "elo": self.elo.state_dict(),
            "diversity": self.diversity.state_dict(),
            "exploiters": self.exploiters.state_dict(),
            "events": [list(event) for event in self._events],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave; ValueError, and nothing changed, when it does not fit.

        Scripted members and seeds are the config's to say: one that the state does not have joins without results,
        and one that it has beyond them leaves.
        """
        require(isinstance(state, Mapping), "league: is no state")
        if state.get("version") != STATE_VERSION:
            raise ValueError(
                f"the league's state has version {state.get('version')}, this program reads {STATE_VERSION}"
            )
        state = _with_challenges(state)
        require(set(state) == set(self.state_dict()), "league: the keys differ from what is expected")
        for name in ("serial", "num_snapshots", "snapped_at"):
            count(high=MAX_COUNT).check(f"league.{name}", state[name])
        require(state["learner"] == self.learner, f"league.learner: is another than {self.learner}")
        events = read_events(state["events"])
        pool, payoff = Pool(self.config.capacity, self.pool.members), Payoff(self.config.window)
        pool.load_state_dict(state["pool"])
        payoff.load_state_dict(state["payoff"])
        elo, diversity, exploiters = Elo(), Diversity(), Exploiters()
        elo.load_state_dict(state["elo"])
        diversity.load_state_dict(state["diversity"])
        exploiters.load_state_dict(state["exploiters"])
        require(set(payoff.ids) == {member.id for member in pool.members}, "league: pool and payoff differ in members")
        require(self.learner in pool and pool[self.learner].learns, "league.pool: the learner is not in it")
        ever = {member.id for member in pool.lineage}
        require(state["newest"] is None or state["newest"] in ever, "league.newest: was never a member")
        challenges = Challenges(self.config.promotion)
        challenges.load_state_dict(state["challenges"], pool)
        lost = {event.member for event in events if event.event == "lost"}
        wanted = [member for member in self.pool.members if member.is_anchor and member.id not in lost]
        changed = _meet_config(pool, payoff, wanted)
        self.pool, self.payoff, self._events = pool, payoff, events
        self.elo, self.diversity, self.exploiters = elo, diversity, exploiters
        self._serial = max(self._serial, state["serial"]) + (changed or self._serial > state["serial"])
        self._num_snapshots, self._snapped_at = state["num_snapshots"], state["snapped_at"]
        self._newest, self._challenges = state["newest"], challenges
        self._guard()

    @classmethod
    def restored(cls, config: LeagueConfig, state: Mapping[str, Any]) -> League:
        """Return the league that ``state`` is of, with the scripted members and seeds that it had.

        Raises:
            ValueError: When it is no state of a league.
        """
        pool = state.get("pool") if isinstance(state, Mapping) else None
        known = pool.get("members") if isinstance(pool, Mapping) else None
        require(isinstance(known, list), "league.pool: has no members")
        anchors = [read_member(f"pool.members[{i}]", one) for i, one in enumerate(known or ())]
        league = cls(
            config,
            learner=str(state.get("learner")),
            scripted=[member.id for member in anchors if member.role == "scripted"],
            seeds=[member for member in anchors if member.role == "seed"],
        )
        league.load_state_dict(state)
        return league


def _meet_config(pool: Pool, payoff: Payoff, wanted: Sequence[Member]) -> bool:
    """Have ``pool`` hold just the ``wanted`` anchors, beside what was made in the run; return whether it did not."""
    leave = [member for member in pool.members if member.is_anchor and member not in wanted]
    for member in leave:
        pool.remove(member.id)
        payoff.remove(member.id)
    come = [member for member in wanted if member.id not in pool]
    for member in come:
        pool.add(member, payoff)
        payoff.add(member.id)
    return bool(leave or come)


def _with_challenges(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a state as it is now; one of an earlier version has the number of challenges alone."""
    if "num_judged" not in state or "challenges" in state:
        return state
    now = {key: value for key, value in state.items() if key != "num_judged"}
    return {**now, "challenges": {**NO_CHALLENGES, "num_judged": state["num_judged"]}}
